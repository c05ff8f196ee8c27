// SPDX-License-Identifier: Apache-2.0
// Load generators: each sends one kind of traffic from one namespace to another for a while and returns what came of
// it.
//
// Client and server are two processes, each pinned to a CPU. The first tenth of the time is not counted. Errors
// (no route, no reply, the wrong source address) are thrown as std::runtime_error; nothing outlives a call. What comes
// from the wrong source is not answered, and of a flood in one direction the first packet is looked at.
#pragma once

#include <array>
#include <chrono>
#include <string>

namespace causeway::bench {

// From where to where.
struct Path {
    std::string client, server;  // paths of network namespaces
    std::string address;         // the server's, as the client knows it
    std::string seen_as;         // the client's, as the server must see it; empty: whatever
    std::string own{};           // the server's, where that is another than the client knows
};

struct Cpus {
    int client, server;
};

struct Sample {
    std::array<double, 4> values{};  // a load says which
    long failed = 0;                 // attempts that came to nothing
};

using Duration = std::chrono::milliseconds;

// µs: half the median time of a 64-byte request and its 64-byte reply, over one connection or socket.
Sample tcp_half_round_trip(const Path& path, Cpus cpus, Duration time);
Sample udp_half_round_trip(const Path& path, Cpus cpus, Duration time);

// Connections per second, one after the other: connect, request, reply, close by the client. One that is refused,
// unanswered for a second, reset or answered wrongly counts as failed. Sets in the client's namespace
// net.ipv4.ip_local_port_range to 8000 to 65535, which has no port of a server, and tcp_tw_reuse to 1.
Sample connections(const Path& path, Cpus cpus, Duration time);

// Of a flood of UDP datagrams with 64 bytes each, from so many sockets in turn, each a flow: thousands that arrive a
// second; µs that both CPUs are busy for each. The receiving socket's buffer is 4 MiB.
template <int Sockets>
Sample packets(const Path& path, Cpus cpus, Duration time);

// Gbit/s that arrive over so many TCP connections; s that both CPUs are busy for each GB (10^9 bytes).
template <int Count>
Sample streams(const Path& path, Cpus cpus, Duration time);

// µs of a whole TCP round trip with both ends on the client's CPU, while the server's sends a flood like that of
// packets() from the client's namespace to the server's: the median, 99 % and 99.9 %; thousands of the flood that
// arrive a second.
Sample latency(const Path& path, Cpus cpus, Duration time);

// ms of a whole TCP round trip, one each ms at most, while a TCP stream has been going the same way for half the time
// or more: the median and 99 %; Mbit/s of the stream.
Sample latency_beside_stream(const Path& path, Cpus cpus, Duration time);

}  // namespace causeway::bench
