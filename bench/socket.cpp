// SPDX-License-Identifier: Apache-2.0
#include "bench/socket.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace causeway::bench {
namespace {

// A socket belongs for life to the namespace that it was opened in: this one visits `netns` and comes back.
UniqueFd open_socket_in(const std::string& netns, int family, int type) {
    enter(netns);
    UniqueFd made = open_socket(family, type);
    enter("/run/netns/node");
    return made;
}

// The two families differ in where they keep the same.
void* host_of(SocketAddress& address) {
    return address.family() == AF_INET ? static_cast<void*>(&reinterpret_cast<sockaddr_in*>(address.get())->sin_addr)
                                       : &reinterpret_cast<sockaddr_in6*>(address.get())->sin6_addr;
}

const void* host_of(const SocketAddress& address) {
    return address.family() == AF_INET
               ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in*>(address.get())->sin_addr)
               : &reinterpret_cast<const sockaddr_in6*>(address.get())->sin6_addr;
}

// Of no host yet.
SocketAddress empty_address(int family, std::uint16_t port) {
    SocketAddress result;
    result.storage.ss_family = static_cast<sa_family_t>(family);
    result.length = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    reinterpret_cast<sockaddr_in*>(result.get())->sin_port = htons(port);  // at the same place in both
    return result;
}

}  // namespace

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

SocketAddress socket_address(const std::string& address, std::uint16_t port) {
    SocketAddress result = empty_address(address.contains(':') ? AF_INET6 : AF_INET, port);
    if (inet_pton(result.family(), address.c_str(), host_of(result)) != 1) {
        throw std::runtime_error("not an address: " + address);
    }
    return result;
}

// All zeros, in both families.
SocketAddress any_address(int family, std::uint16_t port) {
    return empty_address(family, port);
}

std::string SocketAddress::text() const {
    std::array<char, INET6_ADDRSTRLEN> written{};
    inet_ntop(family(), host_of(*this), written.data(), written.size());
    return written.data();
}

std::optional<SocketAddress> seen_as(const Path& path) {
    return path.seen_as.empty() ? std::nullopt : std::optional(socket_address(path.seen_as, 0));
}

bool is_from(const std::optional<SocketAddress>& expected, const SocketAddress& peer) {
    if (!expected) {
        return true;
    }
    const std::size_t size = expected->family() == AF_INET ? sizeof(in_addr) : sizeof(in6_addr);
    return expected->family() == peer.family() && std::memcmp(host_of(*expected), host_of(peer), size) == 0;
}

void expect_source(const Path& path, const SocketAddress& peer) {
    if (!is_from(seen_as(path), peer)) {
        throw std::runtime_error("the server sees " + peer.text() + " instead of " + path.seen_as);
    }
}

UniqueFd open_socket(int family, int type) {
    UniqueFd made(socket(family, type | SOCK_CLOEXEC, 0));
    if (!made) {
        fail("socket");
    }
    set_patience(made.get());
    if (type == SOCK_STREAM) {
        set_option(made.get(), IPPROTO_TCP, TCP_NODELAY, 1);
    }
    return made;
}

bool connect_to(int fd, const SocketAddress& server) {
    return connect(fd, server.get(), server.length) == 0;
}

void bind_to(int fd, const SocketAddress& own) {
    if (bind(fd, own.get(), own.length) != 0) {
        fail("bind to " + own.text());
    }
}

UniqueFd open_server(const Path& path, int type, std::uint16_t port) {
    const SocketAddress known = socket_address(path.own.empty() ? path.address : path.own, port);
    UniqueFd server = open_socket_in(path.server, known.family(), type);
    set_option(server.get(), SOL_SOCKET, SO_REUSEADDR, 1);
    // A reply comes from where the request went to only if a socket for datagrams has that address.
    bind_to(server.get(), type == SOCK_DGRAM ? known : any_address(known.family(), port));
    if (type == SOCK_STREAM && listen(server.get(), 1024) != 0) {
        fail("listen");
    }
    return server;
}

UniqueFd open_client(const Path& path, int type, std::uint16_t port) {
    const SocketAddress server = socket_address(path.address, port);
    UniqueFd client = open_socket_in(path.client, server.family(), type);
    if (!connect_to(client.get(), server)) {
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
        SocketAddress peer;
        UniqueFd server(accept4(listener.get(), peer.get(), &peer.length, SOCK_CLOEXEC));
        if (!server) {
            fail("accept");
        }
        expect_source(path, peer);
        set_option(server.get(), IPPROTO_TCP, TCP_NODELAY, 1);
        connections.push_back({std::move(client), std::move(server)});
    }
    return connections;
}

void echo_datagrams(int fd, const Path& path) {
    const std::optional<SocketAddress> only = seen_as(path);
    Message message{};
    for (;;) {
        SocketAddress peer;
        if (recvfrom(fd, message.data(), message.size(), 0, peer.get(), &peer.length) > 0 && is_from(only, peer)) {
            sendto(fd, message.data(), message.size(), 0, peer.get(), peer.length);
        }
    }
}

}  // namespace causeway::bench
