// SPDX-License-Identifier: Apache-2.0
// One test, either family: packets and commands that are written as IPv4 become the same of IPv6.
//
// Each IPv4 address stands for one of IPv6, with the same last 32 bits: 10.0.0.2 for fd00::a00:2, those of the world
// (203.0.113.1) for 2001:db8::cb00:7101, multicast groups for ff02::/96. A prefix is 96 bits longer, but the one of all
// addresses.
#pragma once

#include <iosfwd>
#include <string>

#include "tests/support/packet.hpp"

namespace causeway::test {

enum class Family { ipv4, ipv6 };
void PrintTo(Family family, std::ostream* stream);  // for GoogleTest

Ip6 ip6_of(Ip ip);

// What each IPv4 header becomes: an IPv6 header, a hop-by-hop header as long as the options were (in steps of 8), a
// fragment header. ICMP within it becomes ICMPv6, errors those that mean the same. Nothing else changes; what is
// IPv6 already does not. Lengths that a test gives count what is longer now.
Frame in_family(const Frame& frame, Family family);

// The text with each dotted address or prefix replaced.
std::string in_family(const std::string& text, Family family);

std::uint8_t protocol_in(std::uint8_t protocol, Family family);  // ICMP becomes ICMPv6

}  // namespace causeway::test
