// SPDX-License-Identifier: Apache-2.0
#include "tests/system/layout.hpp"

#include <algorithm>

#include "tests/support/packet_bytes.hpp"

namespace causeway::test {
namespace {

bool is_extension(std::uint8_t number) {
    return number == hop_by_hop || number == routing || number == fragment_header || number == destination_options;
}

std::optional<Layout> layout_of_ipv4(const Bytes& bytes, std::size_t begin) {
    constexpr unsigned more = 0x2000, offset_mask = 0x1fff;
    if (bytes.size() < begin + ipv4_size) {
        return std::nullopt;
    }
    const auto size = std::size_t{bytes[begin]} % 16 * 4;
    if (size < ipv4_size || begin + size > bytes.size()) {
        return std::nullopt;
    }
    const unsigned place = get16(bytes, begin + 6);
    return Layout{.family = Family::ipv4,
                  .begin = begin,
                  .payload = begin + size,
                  .transport = begin + size,
                  .end = std::min<std::size_t>(bytes.size(), begin + get16(bytes, begin + 2)),
                  .protocol = bytes[begin + 9],
                  .next = begin + 9,
                  .fragment = (place & (more | offset_mask)) != 0,
                  .more_fragments = (place & more) != 0,
                  .fragment_offset = std::size_t{place & offset_mask} * 8};
}

std::optional<Layout> layout_of_ipv6(const Bytes& bytes, std::size_t begin) {
    if (bytes.size() < begin + ipv6_size) {
        return std::nullopt;
    }
    Layout layout{.family = Family::ipv6,
                  .begin = begin,
                  .payload = begin + ipv6_size,
                  .transport = begin + ipv6_size,
                  .end = std::min<std::size_t>(bytes.size(), begin + ipv6_size + get16(bytes, begin + 4)),
                  .protocol = bytes[begin + 6],
                  .next = begin + 6};
    auto number = layout.next;
    while (is_extension(layout.protocol) && layout.fragment_offset == 0) {
        const auto at = layout.transport;
        if (at + 8 > layout.end) {
            return std::nullopt;
        }
        const bool cut = layout.protocol == fragment_header;
        if (cut) {
            const unsigned place = get16(bytes, at + 2);
            layout.fragment = true;
            layout.fragment_header = at;
            layout.before_fragment_header = number;
            layout.more_fragments = (place & 1) != 0;
            layout.fragment_offset = place & 0xfff8;
        }
        layout.transport += cut ? fragment_header_size : (std::size_t{bytes[at + 1]} + 1) * 8;
        if (layout.protocol == hop_by_hop) {
            layout.payload = layout.transport;
            layout.next = at;
        }
        layout.protocol = bytes[at];
        number = at;
        if (layout.transport > layout.end) {
            return std::nullopt;
        }
    }
    layout.protocol = layout.protocol == protocol_icmpv6 ? protocol_icmp : layout.protocol;
    return layout;
}

}  // namespace

std::optional<Layout> layout_of(const Bytes& bytes, std::size_t begin, Family family) {
    return family == Family::ipv6 ? layout_of_ipv6(bytes, begin) : layout_of_ipv4(bytes, begin);
}

Family family_of(const Bytes& frame) {
    return frame.size() >= ethernet_size && get16(frame, 12) == ethertype_ipv6 ? Family::ipv6 : Family::ipv4;
}

std::optional<Layout> layout_of_frame(const Bytes& frame) {
    return layout_of(frame, ethernet_size, family_of(frame));
}

Ip address_at(const Bytes& bytes, std::size_t offset, Family family) {
    if (family == Family::ipv4) {
        return Ip{get32(bytes, offset)};
    }
    const Ip ip{get32(bytes, offset + 12)};
    return std::ranges::equal(ip6_of(ip).bytes, std::span(bytes).subspan(offset, 16)) ? ip : Ip{};
}

void put_address(Bytes& bytes, std::size_t offset, Family family, Ip ip) {
    Bytes address;
    if (family == Family::ipv4) {
        put32(address, ip.value);
    } else {
        put(address, ip6_of(ip).bytes);
    }
    std::ranges::copy(address, bytes.begin() + static_cast<std::ptrdiff_t>(offset));
}

bool is_icmp_error(Family family, std::uint8_t type) {
    if (family == Family::ipv6) {
        return type < 128;
    }
    return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

bool is_icmp_query(Family family, std::uint8_t type) {
    if (family == Family::ipv6) {
        return type == icmpv6_echo_request;
    }
    return type == icmp_echo_request || type == icmp_timestamp_request || type == icmp_information_request ||
           type == icmp_mask_request;
}

}  // namespace causeway::test
