// SPDX-License-Identifier: Apache-2.0
#include "bench/load.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <utility>
#include <vector>

#include "bench/median.hpp"
#include "bench/worker.hpp"

namespace causeway::bench {
namespace {

using Clock = std::chrono::steady_clock;
using Message = std::array<char, 64>;

constexpr std::uint16_t port = 7000;
constexpr Duration patience{1000};  // for anything that answers at once or never

[[noreturn]] void fail(const std::string& what) {
    throw std::runtime_error(what + ": " + std::strerror(errno));
}

class Descriptor {
public:
    explicit Descriptor(int fd) : fd_(fd) {}
    Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Descriptor& operator=(Descriptor&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~Descriptor() {
        if (fd_ >= 0) {
            close(fd_);
        }
    }
    int get() const { return fd_; }

private:
    int fd_;
};

void enter(const std::string& netns) {
    const Descriptor target(open(netns.c_str(), O_RDONLY | O_CLOEXEC));
    if (setns(target.get(), CLONE_NEWNET) != 0) {
        fail("enter " + netns);
    }
}

void set_option(int fd, int level, int name, int value) {
    if (setsockopt(fd, level, name, &value, sizeof value) != 0) {
        fail("setsockopt");
    }
}

void set_patience(int fd) {
    const timeval limit = {.tv_sec = patience.count() / 1000, .tv_usec = patience.count() % 1000 * 1000};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);  // also bounds connect()
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);  // also bounds accept()
}

Descriptor open_socket(int type) {
    Descriptor made(socket(AF_INET, type | SOCK_CLOEXEC, 0));
    if (made.get() < 0) {
        fail("socket");
    }
    set_patience(made.get());
    if (type == SOCK_STREAM) {
        set_option(made.get(), IPPROTO_TCP, TCP_NODELAY, 1);
    }
    return made;
}

// A socket belongs for life to the namespace that it was opened in: this one visits `netns` and comes back.
Descriptor open_socket_in(const std::string& netns, int type) {
    enter(netns);
    Descriptor made = open_socket(type);
    enter("/run/netns/node");
    return made;
}

sockaddr_in socket_address(const char* address) {
    sockaddr_in result = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {}, .sin_zero = {}};
    if (inet_pton(AF_INET, address, &result.sin_addr) != 1) {
        throw std::runtime_error(std::string("not an IPv4 address: ") + address);
    }
    return result;
}

bool connect_to(int fd, const sockaddr_in& server) {
    return connect(fd, reinterpret_cast<const sockaddr*>(&server), sizeof server) == 0;
}

Descriptor open_server(const Path& path, int type) {
    Descriptor server = open_socket_in(path.server, type);
    set_option(server.get(), SOL_SOCKET, SO_REUSEADDR, 1);
    const sockaddr_in any = socket_address("0.0.0.0");
    if (bind(server.get(), reinterpret_cast<const sockaddr*>(&any), sizeof any) != 0) {
        fail("bind");
    }
    if (type == SOCK_STREAM && listen(server.get(), 1024) != 0) {
        fail("listen");
    }
    return server;
}

Descriptor open_client(const Path& path, int type) {
    Descriptor client = open_socket_in(path.client, type);
    if (!connect_to(client.get(), socket_address(path.address.c_str()))) {
        errno = errno == EINPROGRESS ? ETIMEDOUT : errno;  // what SO_SNDTIMEO makes of it
        fail("connect to " + path.address);
    }
    return client;
}

struct Connection {
    Descriptor client, server;
};

void expect_source(const Path& path, const sockaddr_in& peer) {
    std::array<char, INET_ADDRSTRLEN> text{};
    inet_ntop(AF_INET, &peer.sin_addr, text.data(), text.size());
    if (!path.seen_as.empty() && path.seen_as != text.data()) {
        throw std::runtime_error("the server sees " + std::string(text.data()) + " instead of " + path.seen_as);
    }
}

Connection open_connection(const Path& path) {
    const Descriptor listener = open_server(path, SOCK_STREAM);
    Descriptor client = open_client(path, SOCK_STREAM);
    sockaddr_in peer{};
    socklen_t length = sizeof peer;
    Descriptor server(accept4(listener.get(), reinterpret_cast<sockaddr*>(&peer), &length, SOCK_CLOEXEC));
    if (server.get() < 0) {
        fail("accept");
    }
    expect_source(path, peer);
    set_option(server.get(), IPPROTO_TCP, TCP_NODELAY, 1);
    return {std::move(client), std::move(server)};
}

// Sends a request and waits for its reply; a stream socket may deliver it in pieces.
bool exchange(int fd) {
    Message message{};
    if (send(fd, message.data(), message.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(message.size())) {
        return false;
    }
    return recv(fd, message.data(), message.size(), MSG_WAITALL) == static_cast<ssize_t>(message.size());
}

// Calls `step` until the time is up; the first tenth of it counts for nothing. Returns what was counted, a second.
template <typename Step>
double rate(Duration time, Step step) {
    const auto begin = Clock::now(), counted_from = begin + time / 10, deadline = begin + time;
    double count = 0;
    auto now = begin, first = begin;
    while (now < deadline) {
        const double more = step();
        now = Clock::now();
        if (now < counted_from) {
            first = now;
        } else {
            count += more;
        }
    }
    return count / std::chrono::duration<double>(now - first).count();
}

// Half the median of how long an exchange takes, in µs. A datagram may get lost, a few times.
Sample half_round_trip(int fd, Duration time, long losses_allowed) {
    std::vector<std::uint32_t> nanoseconds;
    nanoseconds.reserve(1 << 18);
    Sample sample;
    const auto begin = Clock::now(), counted_from = begin + time / 10, deadline = begin + time;
    for (auto before = begin; before < deadline;) {
        const bool answered = exchange(fd);
        const auto after = Clock::now();
        if (!answered && ++sample.failed > losses_allowed) {
            fail("no reply");
        }
        if (answered && before >= counted_from) {
            nanoseconds.push_back(static_cast<std::uint32_t>((after - before).count()));
        }
        before = after;
    }
    if (nanoseconds.empty()) {
        throw std::runtime_error("not one reply in time");
    }
    sample.value = median(std::move(nanoseconds)) / 2000.0;
    return sample;
}

void echo_stream(int fd) {
    Message message{};
    while (recv(fd, message.data(), message.size(), MSG_WAITALL) == static_cast<ssize_t>(message.size())) {
        send(fd, message.data(), message.size(), MSG_NOSIGNAL);
    }
}

[[noreturn]] void echo_datagrams(int fd) {
    Message message{};
    for (;;) {
        sockaddr_in peer{};
        socklen_t length = sizeof peer;
        if (recvfrom(fd, message.data(), message.size(), 0, reinterpret_cast<sockaddr*>(&peer), &length) > 0) {
            sendto(fd, message.data(), message.size(), 0, reinterpret_cast<sockaddr*>(&peer), length);
        }
    }
}

// One connection at a time; ends each one after the client did, so that the server is left with nothing.
[[noreturn]] void serve_connections(int listener) {
    for (;;) {
        const Descriptor client(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
        if (client.get() >= 0) {
            set_patience(client.get());
            echo_stream(client.get());
        }
    }
}

// Who closes first keeps the port for a minute (TIME_WAIT, RFC 9293 section 3.6.1): that is the client here. So that
// it never runs out it has all ports, and may use one again after a second, as timestamps make safe (RFC 6191). That a
// port comes back while whoever translates still remembers it is part of the figure.
void allow_many_connections() {
    std::ofstream("/proc/sys/net/ipv4/ip_local_port_range") << "1024 65535" << std::flush;
    std::ofstream reuse("/proc/sys/net/ipv4/tcp_tw_reuse");
    if (!(reuse << 1 << std::flush)) {
        fail("set tcp_tw_reuse");
    }
}

bool connect_once(const sockaddr_in& server) {
    const Descriptor client = open_socket(SOCK_STREAM);
    return connect_to(client.get(), server) && exchange(client.get());
}

}  // namespace

Sample tcp_half_round_trip(const Path& path, Cpus cpus, Duration time) {
    const Connection connection = open_connection(path);
    const Worker server(cpus.server, [&] {
        echo_stream(connection.server.get());
        return Sample();
    });
    Worker client(cpus.client, [&] { return half_round_trip(connection.client.get(), time, 0); });
    return client.result(time + 5 * patience);
}

Sample udp_half_round_trip(const Path& path, Cpus cpus, Duration time) {
    const Descriptor server_socket = open_server(path, SOCK_DGRAM);
    const Descriptor client_socket = open_client(path, SOCK_DGRAM);
    const Worker server(cpus.server, [&]() -> Sample { echo_datagrams(server_socket.get()); });
    Worker client(cpus.client, [&] { return half_round_trip(client_socket.get(), time, 3); });
    return client.result(time + 10 * patience);
}

Sample connections(const Path& path, Cpus cpus, Duration time) {
    const Descriptor listener = open_server(path, SOCK_STREAM);
    const sockaddr_in address = socket_address(path.address.c_str());
    const Worker server(cpus.server, [&]() -> Sample { serve_connections(listener.get()); });
    Worker client(cpus.client, [&] {
        enter(path.client);
        allow_many_connections();
        Sample sample;
        sample.value = rate(time, [&] {
            const bool succeeded = connect_once(address);
            sample.failed += !succeeded;
            return succeeded;
        });
        return sample;
    });
    return client.result(time + 5 * patience);
}

Sample packets_received(const Path& path, Cpus cpus, Duration time) {
    const Descriptor receiving = open_server(path, SOCK_DGRAM);
    const Descriptor sending = open_client(path, SOCK_DGRAM);
    set_option(receiving.get(), SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20);
    Worker server(cpus.server, [&] {
        Message message{};
        const auto receive = [&] { return recv(receiving.get(), message.data(), message.size(), 0) > 0; };
        const double received = rate(time, receive);
        if (received == 0) {
            throw std::runtime_error("not one packet arrived");
        }
        return Sample{.value = received / 1000};
    });
    const Worker client(cpus.client, [&]() -> Sample {
        for (const Message message{};;) {
            send(sending.get(), message.data(), message.size(), 0);
        }
    });
    return server.result(time + 5 * patience);
}

Sample stream(const Path& path, Cpus cpus, Duration time) {
    constexpr std::size_t chunk = 128 << 10;
    const Connection connection = open_connection(path);
    Worker server(cpus.server, [&] {
        set_patience(connection.server.get());
        std::vector<char> buffer(chunk);
        const double bytes_per_second = rate(time, [&] {
            const ssize_t length = recv(connection.server.get(), buffer.data(), buffer.size(), 0);
            if (length <= 0) {
                fail("the stream stopped");
            }
            return static_cast<double>(length);
        });
        return Sample{.value = bytes_per_second * 8 / 1e9};
    });
    const Worker client(cpus.client, [&]() -> Sample {
        const std::vector<char> buffer(chunk);
        while (send(connection.client.get(), buffer.data(), buffer.size(), MSG_NOSIGNAL) > 0) {
        }
        return {};
    });
    return server.result(time + 5 * patience);
}

}  // namespace causeway::bench
