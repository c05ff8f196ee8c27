// SPDX-License-Identifier: Apache-2.0
#include "tests/datapath/host_socket.hpp"

#include <netinet/in.h>

#include <cerrno>
#include <cstring>
#include <system_error>

namespace causeway::test {
namespace {

// An address and port of either family, for the system calls.
struct SocketAddress {
    SocketAddress(Family family, Ip ip, std::uint16_t port) {
        if (family == Family::ipv6) {
            auto& in6 = reinterpret_cast<sockaddr_in6&>(storage);
            in6.sin6_family = AF_INET6;
            std::memcpy(&in6.sin6_addr, ip6_of(ip).bytes.data(), sizeof(in6.sin6_addr));
            in6.sin6_port = htons(port);
            return;
        }
        auto& in = reinterpret_cast<sockaddr_in&>(storage);
        in.sin_family = AF_INET;
        in.sin_addr.s_addr = htonl(ip.value);
        in.sin_port = htons(port);
    }

    const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }

    sockaddr_storage storage{};
};

}  // namespace

HostSocket::HostSocket(Family family, int type, Ip ip, std::uint16_t port)
    : fd_(socket(family == Family::ipv6 ? AF_INET6 : AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)),
      family_(family) {
    const SocketAddress address(family, ip, port);
    require(bind(fd_.get(), address.get(), sizeof(address.storage)), "bind");
}

void HostSocket::require(int result, const char* what) {
    if (result < 0) {
        throw std::system_error(errno, std::generic_category(), what);
    }
}

HostSocket& HostSocket::listening() {
    require(listen(fd_.get(), 1), "listen");
    return *this;
}

HostSocket& HostSocket::connecting(Ip ip, std::uint16_t port) {
    const SocketAddress address(family_, ip, port);
    if (connect(fd_.get(), address.get(), sizeof(address.storage)) != 0 && errno != EINPROGRESS) {
        require(-1, "connect");
    }
    return *this;
}

}  // namespace causeway::test
