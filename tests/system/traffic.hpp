// SPDX-License-Identifier: Apache-2.0
// Conversations between two places of the world, and what both ends saw of them.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <ostream>
#include <string>

#include "tests/system/socket.hpp"

namespace causeway::test {

enum class Protocol { tcp, udp, icmp };
void PrintTo(Protocol protocol, std::ostream* stream);

// A server's end is where it listens and is spoken to; a client's, what it binds to (by default nothing), of the same
// family.
struct Place {
    std::string netns;
    End end{};
    std::function<void(Socket&)> prepare{};  // a client's, before it is used
};

// To prepare a client with: what its IP headers carry (RFC 791, section 3.1; with IPv6 destination options), and
// whether they forbid fragments.
std::function<void(Socket&)> ip_options(const std::string& options);
inline const std::string no_operations = {1, 1, 1, 1};
inline const std::string record_route = {7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0};
std::function<void(Socket&)> fragments(bool allowed);

struct Meeting {
    bool met = false;
    std::string why;  // not met
    End client;       // as it sees itself; for ICMP the port is the identifier
    End seen;         // the client, as the server saw it

    explicit operator bool() const { return met; }
};
void PrintTo(const Meeting& meeting, std::ostream* stream);

// One question and its answer: with TCP a connection, its use both ways, and its end. asked: whom the client asks, if
// that is not the server's end itself.
Meeting meet(Protocol protocol, const Place& client, const Place& server, const End& asked = {});

// A question of a client that must not get through, with a short wait: met where it came to the server, whether or not
// the client would hear of that. Fails the test where the client could not send. asked: as above.
Meeting knock(Protocol protocol, const Place& client, const Place& server, const End& asked = {});

// An echo request and its answer.
bool ping(const std::string& netns, const std::string& address, std::chrono::milliseconds time = patience);

// A TCP connection that stays. Throws where it can't be had.
struct Line {
    Socket client, server;
    End seen;  // the client, as the server saw it
};
Line open_line(const Place& client, const Place& server, const End& asked = {});
// A question on it, and its answer.
bool alive(Line& line, std::chrono::milliseconds time = patience);

// So many bytes that nobody could guess, sent by one thread and read by another, all there and in order.
testing::AssertionResult carries(Socket& from, Socket& to, std::size_t size);

// A datagram of so many bytes, and one of so many back, whatever they are cut into on their way; asked: as above.
testing::AssertionResult carries_datagrams(const Place& client, const Place& server, std::size_t question,
                                           std::size_t answer, const End& asked = {});

}  // namespace causeway::test
