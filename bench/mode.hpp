// SPDX-License-Identifier: Apache-2.0
// The ways to connect sandboxes that are compared: what each builds on a node.
#pragma once

#include <string>

#include "bench/cni.hpp"
#include "bench/load.hpp"
#include "tests/support/world.hpp"

namespace causeway::bench {

// Two sandboxes, connected, and the ways through them that are measured.
struct Network {
    Path sandbox_to_sandbox, sandbox_to_world, host_to_sandbox;
};

// One veth pair between two namespaces stands for each of the three: nothing that forwards can take fewer steps.
Network make_wire(test::World& world);

// Two sandboxes that `plugin` connects; what they send to the world is seen as the node's.
Network make_network(test::World& world, const Plugin& plugin);

// The reference plugins, as commonly configured: a bridge, hairpin mode, iptables, host-local.
Plugin bridge_plugin();

// causeway, from this file.
Plugin causeway_plugin(const std::string& path);

}  // namespace causeway::bench
