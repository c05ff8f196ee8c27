// SPDX-License-Identifier: Apache-2.0
// As much as goes: packets and streams, in one direction.
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <cerrno>
#include <stdexcept>
#include <vector>

#include "bench/load.hpp"
#include "bench/rate.hpp"
#include "bench/socket.hpp"
#include "bench/worker.hpp"

namespace causeway::bench {
namespace {

constexpr std::size_t chunk = 128 << 10;

std::vector<pollfd> all_of(const std::vector<Connection>& connections, UniqueFd Connection::* end, short events) {
    std::vector<pollfd> result;
    for (const Connection& connection : connections) {
        result.push_back({.fd = (connection.*end).get(), .events = events, .revents = 0});
    }
    return result;
}

// Waits until one of the sockets is ready and calls `move` on each that is; returns the bytes that it moved.
template <typename Move>
double move_bytes(std::vector<pollfd>& sockets, Move move) {
    if (poll(sockets.data(), sockets.size(), static_cast<int>(patience.count())) <= 0) {
        throw std::runtime_error("the streams stopped");
    }
    double bytes = 0;
    for (const pollfd& socket : sockets) {
        const ssize_t length = socket.revents ? move(socket.fd) : 0;
        if (length < 0 && errno != EAGAIN) {
            fail("a stream broke");
        }
        bytes += length > 0 ? static_cast<double>(length) : 0;
    }
    return bytes;
}

void allow_files(int count) {
    const rlimit enough = {.rlim_cur = static_cast<rlim_t>(count), .rlim_max = static_cast<rlim_t>(count)};
    if (setrlimit(RLIMIT_NOFILE, &enough) != 0) {
        fail("allow more files");
    }
}

}  // namespace

template <int Sockets>
Sample packets(const Path& path, Cpus cpus, Duration time) {
    const UniqueFd receiving = open_server(path, SOCK_DGRAM, load_port);
    set_option(receiving.get(), SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20);
    Worker server(cpus.server, [&] {
        Message message{};
        SocketAddress first;
        if (recvfrom(receiving.get(), message.data(), message.size(), 0, first.get(), &first.length) <= 0) {
            throw std::runtime_error("not one packet arrived");
        }
        expect_source(path, first);
        const auto receive = [&] { return recv(receiving.get(), message.data(), message.size(), 0) > 0; };
        const Rate received = rate(cpus, time, receive);
        if (received.count == 0) {
            throw std::runtime_error("the packets stopped");
        }
        return Sample{.values = {received.per_second() / 1000, received.busy_seconds / received.count * 1e6}};
    });
    const Worker client(cpus.client, [&]() -> Sample {
        allow_files(Sockets + 100);
        std::vector<UniqueFd> sending;
        for (int i = 0; i < Sockets; ++i) {
            sending.push_back(open_client(path, SOCK_DGRAM, load_port));
        }
        for (const Message message{};;) {
            for (const UniqueFd& socket : sending) {
                send(socket.get(), message.data(), message.size(), 0);
            }
        }
    });
    return server.result(time + 5 * patience);
}

template Sample packets<1>(const Path& path, Cpus cpus, Duration time);
template Sample packets<1000>(const Path& path, Cpus cpus, Duration time);

template <int Count>
Sample streams(const Path& path, Cpus cpus, Duration time) {
    const std::vector<Connection> connections = open_connections(path, Count);
    Worker server(cpus.server, [&] {
        std::vector<char> buffer(chunk);
        auto sockets = all_of(connections, &Connection::server, POLLIN);
        const auto receive = [&](int fd) { return recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT); };
        const Rate received = rate(cpus, time, [&] { return move_bytes(sockets, receive); });
        if (received.count == 0) {
            throw std::runtime_error("not one byte arrived");
        }
        return Sample{.values = {received.per_second() * 8 / 1e9, received.busy_seconds / (received.count / 1e9)}};
    });
    const Worker client(cpus.client, [&]() -> Sample {
        const std::vector<char> buffer(chunk);
        auto sockets = all_of(connections, &Connection::client, POLLOUT);
        const auto push = [&](int fd) { return send(fd, buffer.data(), buffer.size(), MSG_NOSIGNAL | MSG_DONTWAIT); };
        for (;;) {
            move_bytes(sockets, push);
        }
    });
    return server.result(time + 5 * patience);
}

template Sample streams<1>(const Path& path, Cpus cpus, Duration time);
template Sample streams<4>(const Path& path, Cpus cpus, Duration time);
template Sample streams<16>(const Path& path, Cpus cpus, Duration time);

}  // namespace causeway::bench
