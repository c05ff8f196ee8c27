// SPDX-License-Identifier: Apache-2.0
#include "tests/system/socket.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "tests/support/world.hpp"

namespace causeway::test {
namespace {

// As the kernel has an end, of either family.
union Name {
    sockaddr any;
    sockaddr_in ipv4;
    sockaddr_in6 ipv6;
};

socklen_t size_of(const Name& name) {
    return name.any.sa_family == AF_INET6 ? sizeof(name.ipv6) : sizeof(name.ipv4);
}

Name name_of(const End& end) {
    Name name{};
    int read = 0;
    if (end.is_ipv6()) {
        name.ipv6.sin6_family = AF_INET6;
        name.ipv6.sin6_port = htons(end.port);
        read = inet_pton(AF_INET6, end.address.c_str(), &name.ipv6.sin6_addr);
    } else {
        name.ipv4.sin_family = AF_INET;
        name.ipv4.sin_port = htons(end.port);
        read = inet_pton(AF_INET, end.address.c_str(), &name.ipv4.sin_addr);
    }
    if (read != 1) {
        throw std::runtime_error(end.address + " is no IP address");
    }
    return name;
}

End end_of(const Name& name) {
    char text[INET6_ADDRSTRLEN] = "";
    if (name.any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &name.ipv6.sin6_addr, text, sizeof(text));
        return {text, ntohs(name.ipv6.sin6_port)};
    }
    inet_ntop(AF_INET, &name.ipv4.sin_addr, text, sizeof(text));
    return {text, ntohs(name.ipv4.sin_port)};
}

template <typename Ask>
End asked(Ask ask, int fd) {
    Name name{};
    socklen_t size = sizeof(name);
    if (ask(fd, &name.any, &size) != 0) {
        fail("ask a socket for its ends");
    }
    return end_of(name);
}

}  // namespace

Socket Socket::open(const std::string& netns, int type, int protocol, bool ipv6) {
    const Visit visit(netns);
    Socket socket(::socket(ipv6 ? AF_INET6 : AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol));
    if (socket.fd_ < 0) {
        fail("open a socket");
    }
    return socket;
}

Socket Socket::udp(const std::string& netns, const End& local) {
    auto socket = open(netns, SOCK_DGRAM, 0, local.is_ipv6());
    socket.bind(local);
    return socket;
}

Socket Socket::tcp(const std::string& netns, const End& local) {
    auto socket = open(netns, SOCK_STREAM, 0, local.is_ipv6());
    if (local != End{}) {
        socket.set(SOL_SOCKET, SO_REUSEADDR, 1);
        socket.bind(local);
    }
    return socket;
}

Socket Socket::listener(const std::string& netns, const End& local) {
    auto socket = tcp(netns, local);
    if (::listen(socket.fd_, 1024) != 0) {
        fail("listen");
    }
    return socket;
}

Socket::Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

Socket& Socket::operator=(Socket&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
}

Socket::~Socket() {
    if (fd_ >= 0) {
        close(fd_);
    }
}

End Socket::local() const {
    return asked(::getsockname, fd_);
}

End Socket::peer() const {
    return asked(::getpeername, fd_);
}

void Socket::bind(const End& local) {
    const auto name = name_of(local);
    if (::bind(fd_, &name.any, size_of(name)) != 0) {
        fail("bind to " + local.address + ":" + std::to_string(local.port));
    }
}

void Socket::set(int level, int name, int value) {
    if (setsockopt(fd_, level, name, &value, sizeof(value)) != 0) {
        fail("set a socket option");
    }
}

bool Socket::is_ipv6() const {
    int domain = 0;
    socklen_t size = sizeof(domain);
    return getsockopt(fd_, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_INET6;
}

void Socket::set_hops(int most) {
    is_ipv6() ? set(IPPROTO_IPV6, IPV6_UNICAST_HOPS, most) : set(IPPROTO_IP, IP_TTL, most);
}

void Socket::set_mtu_discovery(int way) {
    is_ipv6() ? set(IPPROTO_IPV6, IPV6_MTU_DISCOVER, way) : set(IPPROTO_IP, IP_MTU_DISCOVER, way);
}

int Socket::path_mtu() const {
    int mtu = 0;
    socklen_t size = sizeof(mtu);
    const bool ipv6 = is_ipv6();
    if (getsockopt(fd_, ipv6 ? IPPROTO_IPV6 : IPPROTO_IP, ipv6 ? IPV6_MTU : IP_MTU, &mtu, &size) != 0) {
        fail("ask a socket for its MTU");
    }
    return mtu;
}

void Socket::reset() {
    const linger now{.l_onoff = 1, .l_linger = 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(std::exchange(fd_, -1));
}

bool Socket::ready(short events, std::chrono::milliseconds time) const {
    const auto deadline = std::chrono::steady_clock::now() + time;
    pollfd waiting{.fd = fd_, .events = events, .revents = 0};
    for (;;) {
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
        const int result = poll(&waiting, 1, left.count() < 0 ? 0 : static_cast<int>(left.count()));
        if (result >= 0 || errno != EINTR) {
            return result > 0;
        }
    }
}

// An error that comes while the kernel is still sending is told by poll(2) only where it is in the error queue, which
// IPv6 has on request; else the next attempt is waited for.
int Socket::connect(const End& remote, std::chrono::milliseconds time) {
    const auto name = name_of(remote);
    const auto queue_errors = [&](bool wanted) {
        if (remote.is_ipv6()) {
            set(IPPROTO_IPV6, IPV6_RECVERR, wanted);
        }
    };
    queue_errors(true);
    int error = ::connect(fd_, &name.any, size_of(name)) == 0 ? 0 : errno;
    if (error == EINPROGRESS && ready(POLLOUT, time)) {
        socklen_t size = sizeof(error);
        getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
    } else if (error == EINPROGRESS) {
        error = ETIMEDOUT;
    }
    queue_errors(false);
    return error;
}

std::optional<Socket> Socket::accept(std::chrono::milliseconds time) {
    if (!ready(POLLIN, time)) {
        return std::nullopt;
    }
    const int fd = accept4(fd_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    return fd < 0 ? std::nullopt : std::optional<Socket>(fd);
}

bool Socket::send(std::string_view text) {
    while (!text.empty()) {
        const auto sent = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
        if (sent >= 0) {
            text.remove_prefix(static_cast<std::size_t>(sent));
        } else if (errno != EAGAIN || !ready(POLLOUT, patience)) {
            return false;
        }
    }
    return true;
}

bool Socket::send_to(const End& remote, std::string_view text) {
    const auto name = name_of(remote);
    return sendto(fd_, text.data(), text.size(), MSG_NOSIGNAL, &name.any, size_of(name)) ==
           static_cast<ssize_t>(text.size());
}

std::optional<Datagram> Socket::receive(std::chrono::milliseconds time) {
    if (!ready(POLLIN, time)) {
        return std::nullopt;
    }
    std::string text(65536, '\0');
    Name name{};
    socklen_t size = sizeof(name);
    const auto got = recvfrom(fd_, text.data(), text.size(), 0, &name.any, &size);
    if (got < 0) {
        return std::nullopt;
    }
    text.resize(static_cast<std::size_t>(got));
    return Datagram{end_of(name), text};
}

}  // namespace causeway::test
