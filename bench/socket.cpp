// SPDX-License-Identifier: Apache-2.0
#include "bench/socket.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace causeway::bench {
namespace {

// A socket belongs for life to the namespace that it was opened in: this one visits `netns` and comes back.
UniqueFd open_socket_in(const std::string& netns, int type) {
    enter(netns);
    UniqueFd made = open_socket(type);
    enter("/run/netns/node");
    return made;
}

void expect_source(const Path& path, const sockaddr_in& peer) {
    std::array<char, INET_ADDRSTRLEN> text{};
    inet_ntop(AF_INET, &peer.sin_addr, text.data(), text.size());
    if (!path.seen_as.empty() && path.seen_as != text.data()) {
        throw std::runtime_error("the server sees " + std::string(text.data()) + " instead of " + path.seen_as);
    }
}

}  // namespace

void fail(const std::string& what) {
    throw std::runtime_error(what + ": " + std::strerror(errno));
}

void enter(const std::string& netns) {
    const UniqueFd target(open(netns.c_str(), O_RDONLY | O_CLOEXEC));
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

sockaddr_in socket_address(const std::string& address, std::uint16_t port) {
    sockaddr_in result = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {}, .sin_zero = {}};
    if (inet_pton(AF_INET, address.c_str(), &result.sin_addr) != 1) {
        throw std::runtime_error("not an IPv4 address: " + address);
    }
    return result;
}

UniqueFd open_socket(int type) {
    UniqueFd made(socket(AF_INET, type | SOCK_CLOEXEC, 0));
    if (!made) {
        fail("socket");
    }
    set_patience(made.get());
    if (type == SOCK_STREAM) {
        set_option(made.get(), IPPROTO_TCP, TCP_NODELAY, 1);
    }
    return made;
}

bool connect_to(int fd, const sockaddr_in& server) {
    return connect(fd, reinterpret_cast<const sockaddr*>(&server), sizeof server) == 0;
}

UniqueFd open_server(const Path& path, int type, std::uint16_t port) {
    UniqueFd server = open_socket_in(path.server, type);
    set_option(server.get(), SOL_SOCKET, SO_REUSEADDR, 1);
    // A reply comes from where the request went to only if a socket for datagrams has that address.
    const sockaddr_in own = socket_address(type == SOCK_DGRAM ? path.address : "0.0.0.0", port);
    if (bind(server.get(), reinterpret_cast<const sockaddr*>(&own), sizeof own) != 0) {
        fail("bind");
    }
    if (type == SOCK_STREAM && listen(server.get(), 1024) != 0) {
        fail("listen");
    }
    return server;
}

UniqueFd open_client(const Path& path, int type, std::uint16_t port) {
    UniqueFd client = open_socket_in(path.client, type);
    if (!connect_to(client.get(), socket_address(path.address, port))) {
        errno = errno == EINPROGRESS ? ETIMEDOUT : errno;  // what SO_SNDTIMEO makes of it
        fail("connect to " + path.address);
    }
    return client;
}

std::vector<Connection> open_connections(const Path& path, int count) {
    const UniqueFd listener = open_server(path, SOCK_STREAM, load_port);
    std::vector<Connection> connections;
    for (int i = 0; i < count; ++i) {
        UniqueFd client = open_client(path, SOCK_STREAM, load_port);
        sockaddr_in peer{};
        socklen_t length = sizeof peer;
        UniqueFd server(accept4(listener.get(), reinterpret_cast<sockaddr*>(&peer), &length, SOCK_CLOEXEC));
        if (!server) {
            fail("accept");
        }
        expect_source(path, peer);
        set_option(server.get(), IPPROTO_TCP, TCP_NODELAY, 1);
        connections.push_back({std::move(client), std::move(server)});
    }
    return connections;
}

// A stream socket may deliver a reply in pieces.
bool exchange(int fd) {
    Message message{};
    if (send(fd, message.data(), message.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(message.size())) {
        return false;
    }
    return recv(fd, message.data(), message.size(), MSG_WAITALL) == static_cast<ssize_t>(message.size());
}

void echo_stream(int fd) {
    Message message{};
    while (recv(fd, message.data(), message.size(), MSG_WAITALL) == static_cast<ssize_t>(message.size())) {
        send(fd, message.data(), message.size(), MSG_NOSIGNAL);
    }
}

void echo_datagrams(int fd) {
    Message message{};
    for (;;) {
        sockaddr_in peer{};
        socklen_t length = sizeof peer;
        if (recvfrom(fd, message.data(), message.size(), 0, reinterpret_cast<sockaddr*>(&peer), &length) > 0) {
            sendto(fd, message.data(), message.size(), 0, reinterpret_cast<sockaddr*>(&peer), length);
        }
    }
}

}  // namespace causeway::bench
