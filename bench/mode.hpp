// SPDX-License-Identifier: Apache-2.0
// The ways to connect sandboxes that are compared: what each builds on a node, and what it can do.
#pragma once

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
};

// All, in the order in which they take turns. `causeway_plugin` is the path of causeway's executable.
std::vector<Mode> all_modes(const std::string& causeway_plugin);

// One veth pair between two namespaces stands for each of the ways: nothing that forwards can take fewer steps.
Mode wire();

// The reference plugins, as commonly configured: a bridge in hairpin mode or a link each, iptables, host-local,
// portmap.
Mode bridge();
Mode ptp();

// A bridge without any plugin: the commands of the walk-through.
Mode bridge_by_hand();

// causeway, its defaults first, then what else is worth comparing with them.
std::vector<Mode> causeway_variants(const std::string& plugin);

// What a mode says about its plugin.
struct Abilities {
    bool publishes_ports;  // takes runtimeConfig.portMappings
    bool has_programs;
};

// A mode whose sandboxes `plugin` connects; what they send to the world is seen as the node's.
Mode mode_of_plugin(Column column, Plugin plugin, Abilities abilities);

// The path from one sandbox to another and so on, where the first sees the second as `address`.
Network network_of(const test::World& world, const std::string& first_address, const std::string& second_address);

}  // namespace causeway::bench
