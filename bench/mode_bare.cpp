// SPDX-License-Identifier: Apache-2.0
// The redirects alone: causeway's links, and a program that does nothing on them but send each packet on.
#include <arpa/inet.h>
#include <net/if.h>

#include <memory>
#include <stdexcept>

#include "bare.skel.h"
#include "bench/mode.hpp"
#include "bench/socket.hpp"
#include "userspace/attach.hpp"

namespace causeway::bench {
namespace {

constexpr const char *first_address = "10.0.0.2", *second_address = "10.0.0.3";
constexpr const char* uplink = "up0";

// Nobody answers for the others' addresses, and no program looks at MACs: any will do.
void connect_bare(test::World& world, const std::string& name, const std::string& address) {
    const std::string netns = world.add_namespace(name);
    test::must_run({"ip", "-batch", "-"},
                   {.stdin_text = "link add " + name + " numtxqueues 1 numrxqueues 1 type veth peer name eth0 netns " +
                                  name + " numtxqueues 1 numrxqueues 1\nlink set " + name + " addrgenmode none up\n"});
    test::must_run({"ip", "-batch", "-"},
                   {.stdin_text = "link set lo up\naddr add " + address +
                                  "/32 dev eth0\nlink set eth0 addrgenmode none up\n"
                                  "route add 10.0.0.1 dev eth0\nroute add default via 10.0.0.1\n"
                                  "neigh add 10.0.0.1 lladdr 02:00:00:00:00:01 dev eth0 nud permanent\n",
                    .netns = netns});
}

std::uint32_t index_of(const char* device) {
    const std::uint32_t ifindex = if_nametoindex(device);
    return ifindex != 0 ? ifindex : throw std::runtime_error(std::string("there is no device ") + device);
}

void attach_to(const char* device, Hook hook, int program) {
    if (const auto attached = attach(hook, index_of(device), Direction::ingress, program, device); !attached) {
        throw std::runtime_error(attached.error().message);
    }
}

// The programs live on where they are attached.
void attach_programs() {
    const std::unique_ptr<bare_skeleton, decltype(&bare_skeleton::destroy)> skeleton(bare_skeleton::open(),
                                                                                     &bare_skeleton::destroy);
    if (!skeleton) {
        fail("open the bare program");
    }
    skeleton->rodata->sandboxes[0] = inet_addr(first_address);
    skeleton->rodata->sandboxes[1] = inet_addr(second_address);
    skeleton->rodata->host_ends[0] = index_of("first");
    skeleton->rodata->host_ends[1] = index_of("second");
    skeleton->rodata->next_hop = inet_addr(test::world_address);
    skeleton->rodata->uplink = index_of(uplink);
    if (bare_skeleton::load(skeleton.get()) != 0) {
        fail("load the bare program");
    }
    const int program = bpf_program__fd(skeleton->progs.from_anywhere);
    attach_to("first", own_device_hook, program);
    attach_to("second", own_device_hook, program);
    attach_to(uplink, shared_device_hook(), program);
}

Network two_bare(test::World& world) {
    connect_bare(world, "first", first_address);
    connect_bare(world, "second", second_address);
    test::must_run({"ip", "route", "add", "10.0.0.0/24", "via", test::node_address}, {.netns = world.world()});
    attach_programs();
    Network network = network_of(world, first_address, second_address);
    network.sandbox_to_world.seen_as = first_address;
    network.host_to_sandbox = {};
    return network;
}

}  // namespace

Mode bare() {
    return {.column = {"bare", "redirects alone, no NAT and no checks", variants_set, {"wire", "bridge"}},
            .connect_two = two_bare,
            .steps = {"tcp_sandbox", "udp_sandbox", "tcp_world", "udp_world", "connections_sandbox",
                      "connections_world", "packets", "packets_world", "stream"}};
}

}  // namespace causeway::bench
