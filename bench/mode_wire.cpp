// SPDX-License-Identifier: Apache-2.0
// The wire: two namespaces and a veth pair, with nothing between them.
#include "bench/mode.hpp"

namespace causeway::bench {
namespace {

struct Addresses {
    std::string first, second, prefix_length;
};

Network connect_two(test::World& world, const Addresses& addresses) {
    const std::string first = world.add_namespace("first"), second = world.add_namespace("second");
    const auto address = [&](const std::string& own) {
        const std::string family = own.contains(':') ? " nodad" : "";  // there is nobody whom it could meet
        // In this order: on a device that comes up later, the kernel lays the route for multicast when it gets round to
        // it, and does not hear until then that somebody asks for this address.
        return "link set eth0 up\naddr add " + own + addresses.prefix_length + " dev eth0" + family + "\n";
    };
    test::must_run({"ip", "-batch", "-"},
                   {.stdin_text = "link set lo up\nlink add eth0 type veth peer name eth0 netns second\n" +
                                  address(addresses.first),
                    .netns = first});
    test::must_run({"ip", "-batch", "-"},
                   {.stdin_text = "link set lo up\n" + address(addresses.second), .netns = second});
    const Path only = {.client = first, .server = second, .address = addresses.second, .seen_as = addresses.first};
    return {.sandbox_to_sandbox = only, .sandbox_to_world = only, .host_to_sandbox = only, .world_to_published = only};
}

}  // namespace

Mode wire(Family family) {
    const bool ipv6 = family == Family::ipv6;
    const Addresses addresses =
        ipv6 ? Addresses{"fd00:1::2", "fd00:1::3", "/64"} : Addresses{"10.0.0.2", "10.0.0.3", "/24"};
    return {
        .column = ipv6 ? Column{"wire6", "one veth pair, IPv6", ipv6_set} : Column{"wire", "one veth pair", ipv4_set},
        .connect_two = [=](test::World& world) { return connect_two(world, addresses); }};
}

}  // namespace causeway::bench
