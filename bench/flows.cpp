// SPDX-License-Identifier: Apache-2.0
#include "bench/flows.hpp"

#include <sys/socket.h>

#include <cstddef>
#include <fstream>
#include <stdexcept>
#include <utility>

#include "bench/memory.hpp"
#include "bench/socket.hpp"
#include "bench/worker.hpp"
#include "userspace/datapath.hpp"

namespace causeway::bench {
namespace {

constexpr int sandbox_count = 32, ports_of_one_address = 50'000, first_port = 10'000;
constexpr Duration longest_fill{60'000};

// One socket of each sandbox sends to as many ports, of as many addresses, as it takes. The outside drops what is for
// these addresses, since it forwards nothing.
void send_one_each(const std::string& netns, const std::string& peers, int count) {
    enter(netns);
    const int family = peers.contains(':') ? AF_INET6 : AF_INET;
    const UniqueFd socket = open_socket(family, SOCK_DGRAM);
    bind_to(socket.get(), any_address(family, load_port));
    for (int i = 0; i < count; ++i) {
        const std::string address = peers + std::to_string(100 + i / ports_of_one_address);
        const auto port = static_cast<std::uint16_t>(first_port + i % ports_of_one_address);
        const SocketAddress peer = socket_address(address, port);
        if (sendto(socket.get(), "flow", 4, 0, peer.get(), peer.length) != 4) {
            fail("open a flow to " + address);
        }
    }
}

long flows_in_causeway() {
    const auto datapath = Datapath::open();
    if (!datapath) {
        throw std::runtime_error(datapath.error().message);
    }
    long entries = 0;
    if (const auto read = datapath->flows.for_each([&](const flow_key&, const flow&) { ++entries; }); !read) {
        throw std::runtime_error(read.error().message);
    }
    return entries / 2;
}

// Of the network namespace that the caller is in: the node's.
long flows_in_kernel() {
    long count = 0;
    if (!(std::ifstream("/proc/sys/net/netfilter/nf_conntrack_count") >> count)) {
        throw std::runtime_error("cannot read how many connections the kernel tracks");
    }
    return count;
}

}  // namespace

Flows Flows::make(test::World& world, const Mode& mode, const std::string& service, int count) {
    std::vector<std::string> sandboxes;
    for (int i = 0; i < sandbox_count; ++i) {
        const std::string name = "filler" + std::to_string(i);
        sandboxes.push_back(world.add_namespace(name));
        mode.plugin->add(name, sandboxes.back());
    }
    // One of the last part: the service itself has 1.
    return Flows(std::move(sandboxes), service.substr(0, service.size() - 1), count, mode.has_programs);
}

int Flows::of_one_sandbox() const {
    return (count_ + sandbox_count - 1) / sandbox_count;
}

void Flows::fill_from(std::size_t sandbox, int cpu) const {
    Worker worker(cpu, [&] {
        send_one_each(sandboxes_[sandbox], peers_, of_one_sandbox());
        return Sample();
    });
    worker.result(longest_fill);
}

void Flows::expect_all() const {
    const long found = in_causeway_ ? flows_in_causeway() : flows_in_kernel();
    if (found < count_) {
        throw std::runtime_error("of " + std::to_string(count_) + " flows " + std::to_string(found) +
                                 " are in the table");
    }
}

void Flows::fill(int cpu) const {
    for (std::size_t i = 0; i < sandboxes_.size(); ++i) {
        fill_from(i, cpu);
    }
    expect_all();
}

std::vector<double> Flows::memory_of_one(int cpu) const {
    constexpr std::size_t share = 4;  // sandboxes
    std::vector<double> samples;
    for (std::size_t i = 0; i < sandboxes_.size(); i += share) {
        const double before = kernel_memory();
        for (std::size_t k = i; k < i + share; ++k) {
            fill_from(k, cpu);
        }
        samples.push_back((kernel_memory() - before) / static_cast<double>(share) / of_one_sandbox());
    }
    expect_all();
    return samples;
}

}  // namespace causeway::bench
