// SPDX-License-Identifier: Apache-2.0
// The bridge by hand: the walk-through's own commands, with no plugin and no port published.
#include "bench/mode.hpp"

namespace causeway::bench {
namespace {

void connect_by_hand(test::World& world, const std::string& name, const std::string& address) {
    const std::string netns = world.add_namespace(name);
    test::must_run({"ip", "-batch", "-"},
                   {.stdin_text = "link add port-" + name + " type veth peer name eth0 netns " + name +
                                  "\nlink set port-" + name + " master br0\nlink set port-" + name + " up\n"});
    test::must_run({"ip", "-batch", "-"},
                   {.stdin_text = "link set lo up\naddr add " + address +
                                  "/24 dev eth0\nlink set eth0 up\nroute add default via 10.0.0.1\n",
                    .netns = netns});
}

Network two_by_hand(test::World& world) {
    test::must_run({"ip", "-batch", "-"}, {.stdin_text = "link add br0 type bridge\n"
                                                         "addr add 10.0.0.1/24 dev br0\n"
                                                         "link set br0 up\n"});
    connect_by_hand(world, "first", "10.0.0.2");
    connect_by_hand(world, "second", "10.0.0.3");
    test::must_run({"sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"});
    test::must_run(
        {"iptables", "-t", "nat", "-A", "POSTROUTING", "-s", "10.0.0.0/24", "!", "-o", "br0", "-j", "MASQUERADE"});
    return network_of(world, "10.0.0.2", "10.0.0.3");
}

}  // namespace

Mode bridge_by_hand() {
    return {.column = {"by-hand", "bridge and MASQUERADE by hand", ipv4_set}, .connect_two = two_by_hand};
}

}  // namespace causeway::bench
