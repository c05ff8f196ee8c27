// SPDX-License-Identifier: Apache-2.0
// What a runtime does to have two sandboxes connected by a plugin.
#include "bench/mode.hpp"

namespace causeway::bench {
namespace {

// Returns the address that the plugin gave it.
std::string add_sandbox(test::World& world, const Plugin& plugin, const std::string& name) {
    const std::string netns = world.add_namespace(name);
    test::must_run({"ip", "link", "set", "lo", "up"}, {.netns = netns});
    const Plugin::Added added = plugin.add(name, netns);
    const std::string address = added.result.at("ips").at(0).at("address");
    return address.substr(0, address.find('/'));
}

}  // namespace

Network make_network(test::World& world, const Plugin& plugin) {
    const std::string first_address = add_sandbox(world, plugin, "first");
    const std::string second_address = add_sandbox(world, plugin, "second");
    const std::string first = world.path("first"), second = world.path("second");
    return {
        .sandbox_to_sandbox = {.client = first, .server = second, .address = second_address, .seen_as = first_address},
        .sandbox_to_world = {.client = first,
                             .server = world.world(),
                             .address = test::service_address,
                             .seen_as = test::node_address},
        .host_to_sandbox = {.client = world.node(), .server = second, .address = second_address, .seen_as = {}},
    };
}

}  // namespace causeway::bench
