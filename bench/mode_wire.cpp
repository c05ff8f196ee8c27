// SPDX-License-Identifier: Apache-2.0
// The wire: two namespaces and a veth pair, with nothing between them.
#include "bench/mode.hpp"

namespace causeway::bench {
namespace {

Network connect_two(test::World& world) {
    const std::string first = world.add_namespace("first"), second = world.add_namespace("second");
    test::must_run({"ip", "-batch", "-"}, {.stdin_text = "link set lo up\n"
                                                         "link add eth0 type veth peer name eth0 netns second\n"
                                                         "addr add 10.0.0.2/24 dev eth0\n"
                                                         "link set eth0 up\n",
                                           .netns = first});
    test::must_run({"ip", "-batch", "-"}, {.stdin_text = "link set lo up\n"
                                                         "addr add 10.0.0.3/24 dev eth0\n"
                                                         "link set eth0 up\n",
                                           .netns = second});
    const Path only = {.client = first, .server = second, .address = "10.0.0.3", .seen_as = "10.0.0.2"};
    return {.sandbox_to_sandbox = only, .sandbox_to_world = only, .host_to_sandbox = only, .world_to_published = only};
}

}  // namespace

Mode wire() {
    return {.column = {"wire", "one veth pair"}, .connect_two = connect_two};
}

}  // namespace causeway::bench
