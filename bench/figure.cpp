// SPDX-License-Identifier: Apache-2.0
#include "bench/figure.hpp"

#include <cstdlib>
#include <utility>

#include "bench/number.hpp"

namespace causeway::bench {
namespace {

constexpr auto higher = Figure::higher;

// What there are so many of, in the singular and the plural.
struct Noun {
    std::string one, many;
};
const Noun sandboxes = {"sandbox", "sandboxes"}, flows = {"flow", "flows"};

std::string counted(int count, const Noun& noun) {
    return number(count, 0) + " " + (count == 1 ? noun.one : noun.many);
}

// One figure and one line of the same value at several sizes.
void add_sized(Group& group, const Figure& figure, const std::vector<int>& sizes, const Noun& noun) {
    Line line = {figure.text, figure.unit, noun.many, {}};
    for (const int size : sizes) {
        Figure one = figure;
        one.key = sized(figure.key, size);
        one.text += ", " + counted(size, noun);
        line.points.push_back({size, one.key});
        group.figures.push_back(std::move(one));
    }
    group.lines.push_back(std::move(line));
}

Group round_trips() {
    return {"Half round trips",
            "Half the median time of a 64-byte request and its reply, both ends on one CPU: work, not wake-ups.",
            {{"tcp_sandbox", "TCP, sandbox → sandbox", "µs", 2},
             {"udp_sandbox", "UDP, sandbox → sandbox", "µs", 2},
             {"tcp_world", "TCP, sandbox → world (SNAT)", "µs", 2},
             {"udp_world", "UDP, sandbox → world (SNAT)", "µs", 2},
             {"tcp_host", "TCP, host → sandbox", "µs", 2},
             {"udp_host", "UDP, host → sandbox", "µs", 2},
             {"tcp_published", "TCP, world → published port", "µs", 2},
             {"udp_published", "UDP, world → published port", "µs", 2}}};
}

Group connections() {
    return {"Connections",
            "Connect, request, reply, close, one after the other; both ends on one CPU.",
            {{"connections_sandbox", "connections, sandbox → sandbox", "/s", 0, higher},
             {"connections_world", "connections, sandbox → world (SNAT)", "/s", 0, higher},
             {"connections_published", "connections, world → published port", "/s", 0, higher}}};
}

Group throughput() {
    return {"Packets and streams",
            "What arrives; each end has a CPU of its own.",
            {{"packets", "64-byte UDP, sandbox → sandbox", "kpps", 0, higher},
             {"packets_world", "64-byte UDP, sandbox → world (SNAT)", "kpps", 0, higher},
             {"packets_spread", "64-byte UDP, 1,000 sockets → world", "kpps", 0, higher},
             {"stream", "1 TCP stream, sandbox → sandbox", "Gbit/s", 1, higher},
             {"stream_4", "4 TCP streams, sandbox → sandbox", "Gbit/s", 1, higher},
             {"stream_16", "16 TCP streams, sandbox → sandbox", "Gbit/s", 1, higher},
             {"stream_world", "1 TCP stream, sandbox → world (SNAT)", "Gbit/s", 1, higher}}};
}

Group latency() {
    return {"Latency under a flood",
            "A TCP round trip between two sandboxes on one CPU, while another CPU sends 64-byte datagrams between the "
            "same two as fast as it can.",
            {{"latency_p50", "round trip under a flood, median", "µs", 1},
             {"latency_p99", "round trip under a flood, 99 %", "µs", 1},
             {"latency_p999", "round trip under a flood, 99.9 %", "µs", 1},
             {"latency_flood", "the flood that arrives meanwhile", "kpps", 0, higher}}};
}

Group limited() {
    return {"Latency of a bandwidth",
            "A 64-byte TCP round trip while one TCP stream fills the 100 Mbit/s that each sandbox may send, and may be "
            "sent (bursts of 1 Mbit).",
            {{"limited_out", "round trip beside a stream to the world, median", "ms", 2},
             {"limited_out_p99", "round trip beside a stream to the world, 99 %", "ms", 2},
             {"limited_out_stream", "the stream to the world", "Mbit/s", 1, higher},
             {"limited_in", "round trip beside a stream to a published port, median", "ms", 2},
             {"limited_in_p99", "round trip beside a stream to a published port, 99 %", "ms", 2},
             {"limited_in_stream", "the stream to a published port", "Mbit/s", 1, higher}}};
}

Group cpu_time() {
    return {"CPU time",
            "How long the two CPUs were busy, divided by the packets or the bytes that arrived.",
            {{"cpu_packet", "CPU time, 64-byte UDP, sandbox → sandbox", "µs", 2},
             {"cpu_packet_world", "CPU time, 64-byte UDP, sandbox → world", "µs", 2},
             {"cpu_gigabyte", "CPU time, 1 TCP stream, sandbox → sandbox", "s/GB", 3}}};
}

Group programs() {
    return {
        "Programs",
        "Nanoseconds for each run of a BPF program. Test run: BPF_PROG_TEST_RUN, from_sandbox → sandbox repeated in "
        "the kernel, the others one run at a time, which includes reading the clock twice. Under load: by the "
        "kernel's own BPF statistics, which cost some time too.",
        {{"program_sandbox", "test run, from_sandbox → sandbox", "ns", 0},
         {"program_world", "test run, from_sandbox → world (SNAT)", "ns", 0},
         {"program_uplink", "test run, from_uplink → sandbox", "ns", 0},
         {"load_sandbox", "under load, from_sandbox → sandbox", "ns", 0},
         {"load_world", "under load, from_sandbox → world", "ns", 0},
         {"load_uplink", "under load, from_uplink → sandbox", "ns", 0},
         {"load_host", "under load, from_host → sandbox", "ns", 0}}};
}

Group adds() {
    Group group = {"ADD and DEL",
                   "From the runtime's fork to the plugin's end, beside so many sandboxes; in parallel: eight at once, "
                   "the time of all divided by eight. causeway's DEL ends before the kernel has removed the link: a "
                   "child waits for that, and ends later.",
                   {}};
    add_sized(group, {"add", "ADD", "ms", 2}, add_sizes, sandboxes);
    add_sized(group, {"del", "DEL", "ms", 2}, add_sizes, sandboxes);
    add_sized(group, {"del_done", "DEL, until its child has ended", "ms", 2}, add_sizes, sandboxes);
    add_sized(group, {"add_parallel", "ADD, 8 in parallel", "ms", 2}, add_sizes, sandboxes);
    add_sized(group, {"del_parallel", "DEL, 8 in parallel", "ms", 2}, add_sizes, sandboxes);
    return group;
}

// A figure of traffic, as it is measured beside so many others.
Figure figure_beside(const std::string& key, const std::string& suffix) {
    for (const Group& group : {round_trips(), connections(), throughput(), programs()}) {
        for (Figure figure : group.figures) {
            if (figure.key == key) {
                figure.key += suffix;
                return figure;
            }
        }
    }
    std::abort();
}

Group beside() {
    Group group = {"Beside others",
                   "What the same traffic, and runs of the program, cost on a node with more sandboxes, or with more "
                   "flows.",
                   {}};
    for (const std::string& key : traffic_beside) {
        add_sized(group, figure_beside(key, "_beside"), beside_sizes, sandboxes);
    }
    for (const char* const key : {"program_sandbox", "program_world"}) {
        add_sized(group, figure_beside(key, "_beside"), beside_sizes, sandboxes);
    }
    for (const std::string& key : traffic_beside_flows) {
        add_sized(group, figure_beside(key, "_flows"), flow_sizes, flows);
    }
    add_sized(group, figure_beside("program_world", "_flows"), flow_sizes, flows);
    return group;
}

Group memory() {
    Group group = {
        "Memory",
        "How much more the kernel has in use after some of them than before, divided by their number; without "
        "a sandbox's own namespace.",
        {{"memory_flow", "memory of a flow", "B", 0}}};
    add_sized(group, {"memory_sandbox", "memory of a sandbox", "KiB", 1}, memory_sizes, sandboxes);
    return group;
}

Group others() {
    return {"Others' load generators",
            "iperf3; sockperf, half round trips; wrk against nginx. Each end has a CPU, but sockperf's are on one.",
            {{"iperf3_1", "iperf3, 1 stream, sandbox → sandbox", "Gbit/s", 1, higher},
             {"iperf3_4", "iperf3, 4 streams, sandbox → sandbox", "Gbit/s", 1, higher},
             {"iperf3_16", "iperf3, 16 streams, sandbox → sandbox", "Gbit/s", 1, higher},
             {"sockperf_tcp", "sockperf, TCP, sandbox → sandbox", "µs", 2},
             {"sockperf_udp", "sockperf, UDP, sandbox → sandbox", "µs", 2},
             {"sockperf_udp_p99", "sockperf, UDP, sandbox → sandbox, 99 %", "µs", 2},
             {"wrk_requests", "wrk, requests on 16 connections, sandbox → world", "/s", 0, higher},
             {"wrk_connections", "wrk, a connection a request, sandbox → world", "/s", 0, higher}}};
}

}  // namespace

const std::vector<Group>& groups() {
    static const std::vector<Group> all = {round_trips(), connections(), throughput(), latency(), limited(), cpu_time(),
                                           programs(),    adds(),        beside(),     memory(),  others()};
    return all;
}

const Figure* find_figure(const std::string& key) {
    for (const Group& group : groups()) {
        for (const Figure& figure : group.figures) {
            if (figure.key == key) {
                return &figure;
            }
        }
    }
    return nullptr;
}

std::string sized(const std::string& figure, int size) {
    return figure + "_" + std::to_string(size);
}

}  // namespace causeway::bench
