// SPDX-License-Identifier: Apache-2.0
// Requests and their replies: round trips and connections, one after the other.
#include "bench/load.hpp"

#include <linux/sock_diag.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "bench/median.hpp"
#include "bench/rate.hpp"
#include "bench/socket.hpp"
#include "bench/worker.hpp"

namespace causeway::bench {
namespace {

struct RoundTrips {
    std::vector<std::uint32_t> nanoseconds;  // not empty
    long lost = 0;
};

// A datagram may get lost, a few times. Goes on until there is a reply, however late on a machine that is busy
// elsewhere. apart: between the beginnings of two, so that long ones count as often as short ones.
RoundTrips round_trips(int fd, Duration time, long losses_allowed, Duration apart = {}) {
    RoundTrips result;
    result.nanoseconds.reserve(1 << 18);
    std::uint64_t number = 0;
    const auto begin = Clock::now(), counted_from = begin + time / 10, deadline = begin + time;
    for (auto before = begin; before < deadline || result.nanoseconds.empty();) {
        const bool answered = exchange(fd, ++number);
        const auto after = Clock::now();
        if (!answered && ++result.lost > losses_allowed) {
            fail("no reply");
        }
        if (answered && before >= counted_from) {
            result.nanoseconds.push_back(static_cast<std::uint32_t>((after - before).count()));
        }
        if (apart.count() > 0) {
            std::this_thread::sleep_until(before + apart);
        }
        before = apart.count() > 0 ? Clock::now() : after;
    }
    return result;
}

// In µs.
Sample half_round_trip(int fd, Duration time, long losses_allowed) {
    RoundTrips found = round_trips(fd, time, losses_allowed);
    return {.values = {median(std::move(found.nanoseconds)) / 2000.0}, .failed = found.lost};
}

// One connection at a time; ends each one after the client did, so that the server is left with nothing. One from the
// wrong source is not answered.
[[noreturn]] void serve_connections(int listener, const Path& path) {
    const auto expected = seen_as(path);
    for (;;) {
        SocketAddress peer;
        const UniqueFd client(accept4(listener, peer.get(), &peer.length, SOCK_CLOEXEC));
        if (client && is_from(expected, peer)) {
            set_patience(client.get());
            echo_stream(client.get());
        }
    }
}

// Who closes first keeps the port for a minute (TIME_WAIT, RFC 9293 section 3.6.1): that is the client here. So that
// it never runs out it has all ports above the servers', and may use one again after a second, as timestamps make safe
// (RFC 6191). That a port comes back while whoever translates still remembers it is part of the figure.
void allow_many_connections() {
    std::ofstream("/proc/sys/net/ipv4/ip_local_port_range") << "8000 65535" << std::flush;
    std::ofstream reuse("/proc/sys/net/ipv4/tcp_tw_reuse");
    if (!(reuse << 1 << std::flush)) {
        fail("set tcp_tw_reuse");
    }
}

bool connect_once(const SocketAddress& server) {
    const UniqueFd client = open_socket(server.family(), SOCK_STREAM);
    return connect_to(client.get(), server) && exchange(client.get(), 1);
}

// Datagrams that came to a socket whose buffer is full.
std::uint32_t dropped_at(int fd) {
    std::array<std::uint32_t, SK_MEMINFO_VARS> memory{};
    socklen_t length = sizeof memory;
    if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory.data(), &length) != 0) {
        fail("ask how many datagrams came");
    }
    return memory[SK_MEMINFO_DROPS];
}

}  // namespace

Sample tcp_half_round_trip(const Path& path, Cpus cpus, Duration time) {
    const Connection connection = std::move(open_connections(path, 1).front());
    const Worker server(cpus.server, [&] {
        echo_stream(connection.server.get());
        return Sample();
    });
    Worker client(cpus.client, [&] { return half_round_trip(connection.client.get(), time, 0); });
    return client.result(time + 5 * patience);
}

Sample udp_half_round_trip(const Path& path, Cpus cpus, Duration time) {
    const UniqueFd server_socket = open_server(path, SOCK_DGRAM, load_port);
    const UniqueFd client_socket = open_client(path, SOCK_DGRAM, load_port);
    const Worker server(cpus.server, [&]() -> Sample { echo_datagrams(server_socket.get(), path); });
    Worker client(cpus.client, [&] { return half_round_trip(client_socket.get(), time, 3); });
    return client.result(time + 10 * patience);
}

Sample connections(const Path& path, Cpus cpus, Duration time) {
    const UniqueFd listener = open_server(path, SOCK_STREAM, load_port);
    const SocketAddress address = socket_address(path.address, load_port);
    const Worker server(cpus.server, [&]() -> Sample { serve_connections(listener.get(), path); });
    Worker client(cpus.client, [&] {
        enter(path.client);
        allow_many_connections();
        Sample sample;
        const Rate made = rate(cpus, time, [&] {
            const bool succeeded = connect_once(address);
            sample.failed += !succeeded;
            return succeeded;
        });
        sample.values[0] = made.per_second();
        return sample;
    });
    return client.result(time + 5 * patience);
}

Sample latency(const Path& path, Cpus cpus, Duration time) {
    const Connection connection = std::move(open_connections(path, 1).front());
    const UniqueFd unread = open_server(path, SOCK_DGRAM, flood_port);
    set_option(unread.get(), SOL_SOCKET, SO_RCVBUF, 1);  // room for hardly one, so that what comes is what is dropped
    const UniqueFd flooding = open_client(path, SOCK_DGRAM, flood_port);
    const Worker flood(cpus.server, [&]() -> Sample {
        for (const Message message{};;) {
            send(flooding.get(), message.data(), message.size(), 0);
        }
    });
    const Worker server(cpus.client, [&] {
        echo_stream(connection.server.get());
        return Sample();
    });
    Worker client(cpus.client, [&] {
        const std::uint32_t dropped = dropped_at(unread.get());
        const auto begin = Clock::now();
        const auto found = round_trips(connection.client.get(), time, 0).nanoseconds;
        const std::chrono::duration<double> taken = Clock::now() - begin;
        const std::uint32_t arrived = dropped_at(unread.get()) - dropped;
        if (arrived == 0) {
            throw std::runtime_error("nothing of the flood arrived");
        }
        return Sample{.values = {quantile(found, 0.5) / 1000.0, quantile(found, 0.99) / 1000.0,
                                 quantile(found, 0.999) / 1000.0, arrived / taken.count() / 1000}};
    });
    return client.result(time + 5 * patience);
}

Sample latency_beside_stream(const Path& path, Cpus cpus, Duration time) {
    const std::vector<Connection> connections = open_connections(path, 2);
    const Connection &asking = connections.front(), &streaming = connections.back();
    const Worker source(cpus.server, [&]() -> Sample {
        for (const std::vector<char> bytes(128 << 10);;) {
            send(streaming.client.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
        }
    });
    Worker sink(cpus.server, [&] {
        std::vector<char> bytes(128 << 10);
        const Rate received = rate(cpus, 2 * time, [&] {
            const ssize_t length = recv(streaming.server.get(), bytes.data(), bytes.size(), 0);
            if (length <= 0) {
                fail("the stream stopped");
            }
            return static_cast<double>(length);
        });
        return Sample{.values = {8 * received.per_second() / 1e6}};
    });
    const Worker server(cpus.client, [&] {
        echo_stream(asking.server.get());
        return Sample();
    });
    Worker client(cpus.client, [&] {
        round_trips(asking.client.get(), time / 2, 0, Duration(1));  // until the queue is full
        const auto found = round_trips(asking.client.get(), time, 0, Duration(1)).nanoseconds;
        return Sample{.values = {quantile(found, 0.5) / 1e6, quantile(found, 0.99) / 1e6}};
    });
    Sample sample = client.result(2 * time + 5 * patience);
    sample.values[2] = sink.result(time + patience).values[0];
    return sample;
}

}  // namespace causeway::bench
