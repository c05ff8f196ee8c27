// SPDX-License-Identifier: Apache-2.0
// What a runtime does to have two sandboxes connected by a plugin.
#include "bench/mode.hpp"

#include <utility>

#include "bench/socket.hpp"
#include "userspace/attach.hpp"

namespace causeway::bench {
namespace {

using nlohmann::json;

json port_mappings() {
    json mappings = json::array();
    for (const char* const protocol : {"tcp", "udp"}) {
        mappings.push_back({{"hostPort", load_port}, {"containerPort", load_port}, {"protocol", protocol}});
    }
    return {{"portMappings", mappings}};
}

// What addresses of a sandbox's family there are beyond it.
struct Outside {
    const char *node, *world, *service;
};

Outside outside_of(const std::string& address) {
    return address.contains(':') ? Outside{test::node_ipv6, test::world_ipv6, test::service_ipv6}
                                 : Outside{test::node_address, test::world_address, test::service_address};
}

// Returns the address that the plugin gave it.
std::string add_sandbox(test::World& world, const Plugin& plugin, const std::string& name, const json& runtime) {
    const std::string netns = world.add_namespace(name);
    test::must_run({"ip", "link", "set", "lo", "up"}, {.netns = netns});
    const Plugin::Added added = plugin.add(name, netns, runtime);
    const std::string address = added.result.at("ips").at(0).at("address");
    return address.substr(0, address.find('/'));
}

Network connect_two(test::World& world, const Plugin& plugin, bool publishes_ports) {
    // Nobody else could have an address of the node's. Looking for one (RFC 4862 section 5.4) takes longer than a load
    // waits, and the gateway's address answers nobody until then.
    test::write_file("/proc/sys/net/ipv6/conf/default/accept_dad", "0");
    const std::string first = add_sandbox(world, plugin, "first", {});
    const std::string second = add_sandbox(world, plugin, "second", publishes_ports ? port_mappings() : json());
    Network network = network_of(world, first, second);
    if (publishes_ports) {
        const Outside outside = outside_of(first);
        network.world_to_published = {.client = world.world(),
                                      .server = world.path("second"),
                                      .address = outside.node,
                                      .seen_as = outside.world,
                                      .own = second};
    }
    return network;
}

}  // namespace

Network network_of(const test::World& world, const std::string& first_address, const std::string& second_address) {
    const std::string first = world.path("first"), second = world.path("second");
    const Outside outside = outside_of(first_address);
    return {
        .sandbox_to_sandbox = {.client = first, .server = second, .address = second_address, .seen_as = first_address},
        .sandbox_to_world = {.client = first,
                             .server = world.world(),
                             .address = outside.service,
                             .seen_as = outside.node},
        .host_to_sandbox = {.client = world.node(), .server = second, .address = second_address, .seen_as = {}},
    };
}

Mode mode_of_plugin(Column column, Plugin plugin, Abilities abilities) {
    Mode mode = {.column = std::move(column), .connect_two = {}, .plugin = std::move(plugin)};
    mode.has_programs = abilities.has_programs;
    mode.connect_two = [plugin = *mode.plugin, publishes = abilities.publishes_ports](test::World& world) {
        return connect_two(world, plugin, publishes);
    };
    return mode;
}

std::vector<Mode> all_modes(const std::string& causeway_plugin) {
    std::vector<Mode> modes = {wire(Family::ipv4),
                               bridge(Family::ipv4),
                               bridge_by_hand(),
                               ptp(),
                               causeway(causeway_plugin),
                               wire(Family::ipv6),
                               bridge(Family::ipv6),
                               causeway_ipv6(causeway_plugin),
                               bare(),
                               causeway_big_tcp(causeway_plugin),
                               causeway_ipv6_big_tcp(causeway_plugin),
                               causeway_no_peer(causeway_plugin),
                               causeway_both(causeway_plugin),
                               limited_bridge(),
                               causeway_limited(causeway_plugin)};
    if (shared_device_hook() == Hook::tcx) {
        modes.push_back(causeway_tcx(causeway_plugin));
    }
    return modes;
}

}  // namespace causeway::bench
