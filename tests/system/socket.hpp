// SPDX-License-Identifier: Apache-2.0
// Sockets in any namespace of the world, used by one thread with deadlines.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace causeway::test {

inline constexpr std::chrono::milliseconds patience = std::chrono::seconds(5);        // with what must come
inline constexpr std::chrono::milliseconds silence = std::chrono::milliseconds(200);  // that proves that nothing comes

struct End {
    std::string address = "0.0.0.0";
    std::uint16_t port = 0;

    bool is_ipv6() const { return address.find(':') != std::string::npos; }
    auto operator<=>(const End&) const = default;
};

struct Datagram {
    End from;
    std::string text;
};

// Non-blocking underneath. What the network does is a value; what the test does wrong is thrown.
class Socket {
public:
    static Socket open(const std::string& netns, int type, int protocol = 0, bool ipv6 = false);
    // Of the family of their local ends.
    static Socket udp(const std::string& netns, const End& local = {});
    static Socket tcp(const std::string& netns, const End& local = {});
    static Socket listener(const std::string& netns, const End& local);

    explicit Socket(int fd) : fd_(fd) {}
    Socket(Socket&& other) noexcept;
    Socket& operator=(Socket&& other) noexcept;
    ~Socket();

    int fd() const { return fd_; }
    bool is_ipv6() const;
    End local() const;
    End peer() const;
    void bind(const End& local);
    void set(int level, int name, int value);
    // Of IP or IPv6, as the socket is.
    void set_hops(int most);          // TTL, hop limit
    void set_mtu_discovery(int way);  // IP_PMTUDISC_...
    int path_mtu() const;             // of its connection
    void reset();                     // closes a TCP connection with RST

    // 0, or why not: ECONNREFUSED, ETIMEDOUT when the time is up, ...
    int connect(const End& remote, std::chrono::milliseconds time = patience);
    std::optional<Socket> accept(std::chrono::milliseconds time = patience);
    bool send(std::string_view text);  // all of it
    bool send_to(const End& remote, std::string_view text);
    // What there is first, or nothing when the time is up or the kernel reports an error. Empty text: end of stream.
    std::optional<Datagram> receive(std::chrono::milliseconds time = patience);

private:
    bool ready(short events, std::chrono::milliseconds time) const;

    int fd_ = -1;
};

}  // namespace causeway::test
