// SPDX-License-Identifier: Apache-2.0
// The sockets that loads send through, opened from outside of the namespaces that they are in.
#pragma once

#include <sys/socket.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bench/load.hpp"
#include "bench/message.hpp"
#include "tests/support/world.hpp"
#include "userspace/unique_fd.hpp"

namespace causeway::bench {

using Clock = std::chrono::steady_clock;

inline constexpr std::uint16_t load_port = 7000, flood_port = 7001;
inline constexpr Duration patience{1000};  // for anything that answers at once or never

using test::fail;

// The calling thread goes there.
void enter(const std::string& netns);

void set_option(int fd, int level, int name, int value);
void set_patience(int fd);  // of each send, receive, connect and accept

// Of either family.
struct SocketAddress {
    sockaddr_storage storage{};
    socklen_t length = sizeof storage;

    int family() const { return storage.ss_family; }
    sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
    const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
    std::string text() const;  // without the port
};
SocketAddress socket_address(const std::string& address, std::uint16_t port);
SocketAddress any_address(int family, std::uint16_t port);

// As whom the server must see the client; nothing: whoever it is.
std::optional<SocketAddress> seen_as(const Path& path);
bool is_from(const std::optional<SocketAddress>& expected, const SocketAddress& peer);  // whatever the ports
void expect_source(const Path& path, const SocketAddress& peer);                        // throws if it is another

// Where the caller is; TCP without delay.
UniqueFd open_socket(int family, int type);
bool connect_to(int fd, const SocketAddress& server);
void bind_to(int fd, const SocketAddress& own);

// In the path's namespaces; the caller comes back to the node.
UniqueFd open_server(const Path& path, int type, std::uint16_t port);
UniqueFd open_client(const Path& path, int type, std::uint16_t port);

struct Connection {
    UniqueFd client, server;
};
// Throws if the server sees another client than the path says.
std::vector<Connection> open_connections(const Path& path, int count);

// Answers what comes from where the path says, and nothing else.
[[noreturn]] void echo_datagrams(int fd, const Path& path);

}  // namespace causeway::bench
