// SPDX-License-Identifier: Apache-2.0
// The ways to connect sandboxes that are compared: what each builds on a node, and what it can do.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "bench/cni.hpp"
#include "bench/load.hpp"
#include "bench/results.hpp"
#include "tests/support/world.hpp"

namespace causeway::bench {

// Two sandboxes, connected, and the ways through them that are measured; one that the mode does not have has no
// address.
struct Network {
    Path sandbox_to_sandbox, sandbox_to_world, host_to_sandbox, world_to_published{};
};

struct Mode {
    Column column;
    std::function<Network(test::World&)> connect_two;

    // What connects more of them; a mode without has no ADD and no DEL.
    std::optional<Plugin> plugin{};

    // Its packets go through causeway's programs.
    bool has_programs = false;

    // The steps of traffic that it takes part in unless it is asked for by name; empty: all. For a variant that changes
    // little else.
    std::vector<std::string> steps{};

    // Its sandboxes have a bandwidth: it has the figures that mean something only then.
    bool is_limited = false;

    // The same where the node has so many flows; a mode without has room for them as it is.
    std::function<Mode(int flows)> with_room_for{};
};

// Columns that are shown beside each other (Column::set).
inline constexpr const char *ipv4_set = "IPv4", *ipv6_set = "IPv6", *variants_set = "Variants",
                            *limited_set = "With a bandwidth";

// All that this kernel can have, in the order in which they take turns. `causeway_plugin` is the path of causeway's
// executable.
std::vector<Mode> all_modes(const std::string& causeway_plugin);

enum class Family : std::uint8_t { ipv4, ipv6 };

// One veth pair between two namespaces stands for each of the ways: nothing that forwards a packet can take fewer
// steps.
Mode wire(Family family);

// The reference plugins, as commonly configured: a bridge in hairpin mode or a link each, iptables, host-local,
// portmap.
Mode bridge(Family family);
Mode ptp();
Mode limited_bridge();  // and bandwidth behind it

// A bridge without any plugin: the commands of the walk-through.
Mode bridge_by_hand();

// causeway's links, with a program on them that does nothing but redirect, by the same calls and attached the same way:
// what causeway adds is what it has over that. It has no way for the host, and publishes nothing.
Mode bare();

// causeway with its defaults, or with one thing different from them.
Mode causeway(const std::string& plugin);
Mode causeway_ipv6(const std::string& plugin);
Mode causeway_both(const std::string& plugin);     // an address of each family
Mode causeway_limited(const std::string& plugin);  // what limited_bridge() limits
Mode causeway_big_tcp(const std::string& plugin);  // TCP packets of up to 512 KiB on the sandboxes' links
Mode causeway_ipv6_big_tcp(const std::string& plugin);
Mode causeway_tcx(const std::string& plugin);      // from_sandbox attached by TCX in place of clsact
Mode causeway_no_peer(const std::string& plugin);  // out of the host end, in place of a redirect to its peer

// What each sandbox of a limited mode may send, and may be sent (keys of causeway's and of the reference plugin
// bandwidth), and the traffic that it takes part in.
inline const nlohmann::json limits = {
    {"ingressRate", 100'000'000}, {"ingressBurst", 1'000'000}, {"egressRate", 100'000'000}, {"egressBurst", 1'000'000}};
inline const std::vector<std::string> limited_steps = {"tcp_world", "tcp_published", "limited_out", "limited_in"};

// What a mode says about its plugin.
struct Abilities {
    bool publishes_ports = true;  // takes runtimeConfig.portMappings
    bool has_programs = false;
};

// A mode whose sandboxes `plugin` connects; what they send to the world is seen as the node's.
Mode mode_of_plugin(Column column, Plugin plugin, Abilities abilities);

// The ways between two sandboxes that have these addresses, of either family.
Network network_of(const test::World& world, const std::string& first_address, const std::string& second_address);

}  // namespace causeway::bench
