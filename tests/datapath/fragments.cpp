// SPDX-License-Identifier: Apache-2.0
// Slices the bytes of a frame, so that the checksums in them stay those of the whole.
#include "tests/datapath/fragments.hpp"

#include <algorithm>
#include <string>

#include "tests/support/packet_bytes.hpp"

namespace causeway::test {
namespace {

std::uint16_t number(const Bytes& bytes, std::size_t offset) {
    return static_cast<std::uint16_t>(bytes[offset] << 8 | bytes[offset + 1]);
}

Ip ipv4_address(const Bytes& bytes, std::size_t offset) {
    return {static_cast<std::uint32_t>(number(bytes, offset)) << 16 | number(bytes, offset + 2)};
}

Ip6 ipv6_address(const Bytes& bytes, std::size_t offset) {
    Ip6 ip;
    std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(offset), ip.bytes.size(), ip.bytes.begin());
    return ip;
}

bool is_ipv6(const Bytes& frame) {
    return number(frame, 12) == ethertype_ipv6;
}

// One fragment's place in the whole, in units of 8 bytes, and whether others follow.
struct Place {
    std::uint16_t offset;
    bool more;
};

Frame headers_of(const Bytes& whole, std::uint16_t identification, const Place& place) {
    Ethernet ethernet;
    std::copy_n(whole.begin(), 6, ethernet.destination.bytes.begin());
    std::copy_n(whole.begin() + 6, 6, ethernet.source.bytes.begin());
    if (is_ipv6(whole)) {
        return ethernet /
               IPv6{.source = ipv6_address(whole, ethernet_size + 8),
                    .destination = ipv6_address(whole, ethernet_size + 24),
                    .hop_limit = whole[ethernet_size + 7]} /
               FragmentHeader{.offset = place.offset,
                              .more_fragments = place.more,
                              .identification = identification,
                              .next_header = whole[ethernet_size + 6]};
    }
    return ethernet / IPv4{.source = ipv4_address(whole, ethernet_size + 12),
                           .destination = ipv4_address(whole, ethernet_size + 16),
                           .ttl = whole[ethernet_size + 8],
                           .protocol = whole[ethernet_size + 9],
                           .identification = identification,
                           .dont_fragment = false,
                           .more_fragments = place.more,
                           .fragment_offset = place.offset};
}

}  // namespace

std::vector<Frame> fragments_of(const Frame& whole, std::size_t size) {
    const Bytes bytes = whole.bytes();
    return fragments_of(whole, size, is_ipv6(bytes) ? std::uint16_t{0x4242} : number(bytes, ethernet_size + 4));
}

std::vector<Frame> fragments_of(const Frame& whole, std::size_t size, std::uint16_t identification) {
    const Bytes bytes = whole.bytes();
    const std::size_t headers = ethernet_size + (is_ipv6(bytes) ? ipv6_size : ipv4_size);
    const std::string text(bytes.begin() + static_cast<std::ptrdiff_t>(headers), bytes.end());
    std::vector<Frame> frames;
    for (std::size_t offset = 0; offset < text.size(); offset += size) {
        const Place place{static_cast<std::uint16_t>(offset / 8), offset + size < text.size()};
        frames.push_back(headers_of(bytes, identification, place) / Payload{text.substr(offset, size)});
    }
    return frames;
}

}  // namespace causeway::test
