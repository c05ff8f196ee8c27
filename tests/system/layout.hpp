// SPDX-License-Identifier: Apache-2.0
// Where things are in an IP packet of either family, in the words of IPv4: see tests/support/family.hpp.
#pragma once

#include <optional>

#include "tests/support/family.hpp"

namespace causeway::test {

struct Layout {
    Family family;
    std::size_t begin;      // of the IP header
    std::size_t payload;    // behind the IP header and, with IPv6, the hop-by-hop header: what is cut into fragments
    std::size_t transport;  // behind all headers of IP
    std::size_t end;        // by the packet's lengths, and no further than the bytes go
    std::uint8_t protocol;  // ICMPv6 is ICMP
    std::size_t next;       // where the number of what is at `payload` stands
    bool fragment = false, more_fragments = false;
    std::size_t fragment_offset = 0;
    std::size_t fragment_header = 0, before_fragment_header = 0;  // IPv6: where it is, and its number stands

    std::size_t ttl() const { return begin + (family == Family::ipv6 ? 7 : 8); }
    std::size_t source() const { return begin + (family == Family::ipv6 ? 8 : 12); }
    std::size_t destination() const { return begin + (family == Family::ipv6 ? 24 : 16); }
    std::size_t address_size() const { return family == Family::ipv6 ? 16 : 4; }
};

// Nothing where the headers are not whole. begin: as where a frame's link header ends.
std::optional<Layout> layout_of(const Bytes& bytes, std::size_t begin, Family family);
Family family_of(const Bytes& frame);  // by its ethertype
std::optional<Layout> layout_of_frame(const Bytes& frame);

// The IPv4 address that this one stands for, or 0.0.0.0.
Ip address_at(const Bytes& bytes, std::size_t offset, Family family);
void put_address(Bytes& bytes, std::size_t offset, Family family, Ip ip);

// RFC 792 and RFC 4443: what tells of another packet; and what asks for an answer.
bool is_icmp_error(Family family, std::uint8_t type);
bool is_icmp_query(Family family, std::uint8_t type);

}  // namespace causeway::test
