// SPDX-License-Identifier: Apache-2.0
#include "bench/loads.hpp"

#include <sched.h>

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <stdexcept>

namespace causeway::bench {

const std::vector<Load>& loads() {
    using N = Network;
    static const std::vector<Load> all = {
        {{"tcp_sandbox"}, tcp_half_round_trip, &N::sandbox_to_sandbox, false},
        {{"udp_sandbox"}, udp_half_round_trip, &N::sandbox_to_sandbox, false},
        {{"tcp_world"}, tcp_half_round_trip, &N::sandbox_to_world, false},
        {{"udp_world"}, udp_half_round_trip, &N::sandbox_to_world, false},
        {{"tcp_host"}, tcp_half_round_trip, &N::host_to_sandbox, false},
        {{"udp_host"}, udp_half_round_trip, &N::host_to_sandbox, false},
        {{"tcp_published"}, tcp_half_round_trip, &N::world_to_published, false},
        {{"udp_published"}, udp_half_round_trip, &N::world_to_published, false},
        {{"connections_sandbox"}, connections, &N::sandbox_to_sandbox, false},
        {{"connections_world"}, connections, &N::sandbox_to_world, false},
        {{"connections_published"}, connections, &N::world_to_published, false},
        {{"packets", "cpu_packet"}, packets<1>, &N::sandbox_to_sandbox, true},
        {{"packets_world", "cpu_packet_world"}, packets<1>, &N::sandbox_to_world, true},
        {{"packets_spread"}, packets<1000>, &N::sandbox_to_world, true},
        {{"stream", "cpu_gigabyte"}, streams<1>, &N::sandbox_to_sandbox, true},
        {{"stream_4"}, streams<4>, &N::sandbox_to_sandbox, true},
        {{"stream_16"}, streams<16>, &N::sandbox_to_sandbox, true},
        {{"stream_world"}, streams<1>, &N::sandbox_to_world, true},
        {{"latency_p50", "latency_p99", "latency_p999", "latency_flood"}, latency, &N::sandbox_to_sandbox, true},
        {{"limited_out", "limited_out_p99", "limited_out_stream"},
         latency_beside_stream,
         &N::sandbox_to_world,
         true,
         false,
         true},
        {{"limited_in", "limited_in_p99", "limited_in_stream"},
         latency_beside_stream,
         &N::world_to_published,
         true,
         false,
         true},
    };
    return all;
}

const Load& load_of(const std::string& figure) {
    return *std::ranges::find(loads(), figure, [](const Load& load) { return load.figures.front(); });
}

Cpus choose_cpus(bool two) {
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    sched_getaffinity(0, sizeof allowed, &allowed);
    std::vector<int> list;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (CPU_ISSET(static_cast<unsigned>(cpu), &allowed)) {
            list.push_back(cpu);
        }
    }
    if (two && list.size() < 2) {
        throw std::runtime_error("needs two CPUs");
    }
    return {.client = list.back(), .server = two ? *std::prev(list.end(), 2) : list.back()};
}

Measurements measure(const Load& load, const Network& network, Duration time) {
    const Path& path = network.*load.path;
    if (path.address.empty() || (load.ipv4_only && path.address.contains(':'))) {
        return {};
    }
    const Sample sample = load.generate(path, choose_cpus(load.two_cpus), time);
    Measurements measured;
    for (std::size_t i = 0; i < load.figures.size(); ++i) {
        measured[load.figures[i]] = {.samples = {sample.values.at(i)}, .failed = i == 0 ? sample.failed : 0};
    }
    return measured;
}

}  // namespace causeway::bench
