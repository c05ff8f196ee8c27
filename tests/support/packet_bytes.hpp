// SPDX-License-Identifier: Apache-2.0
// Numbers in network order, into and out of bytes; and the sizes of headers.
#pragma once

#include <cstdint>
#include <span>

#include "tests/support/packet.hpp"

namespace causeway::test {

inline constexpr std::uint8_t protocol_icmp = 1, protocol_tcp = 6, protocol_udp = 17, protocol_icmpv6 = 58,
                              protocol_sctp = 132, protocol_udp_lite = 136;
inline constexpr std::size_t ethernet_size = 14, ipv4_size = 20, ipv6_size = 40, tcp_size = 20, udp_size = 8,
                             sctp_size = 12, icmp_size = 8, arp_size = 28, fragment_header_size = 8;

inline void put8(Bytes& out, unsigned value) {
    out.push_back(static_cast<std::uint8_t>(value));
}

inline void put16(Bytes& out, unsigned value) {
    put8(out, value >> 8 & 0xff);
    put8(out, value & 0xff);
}

inline void put32(Bytes& out, std::uint32_t value) {
    put16(out, value >> 16);
    put16(out, value & 0xffff);
}

template <typename Range>
inline void put(Bytes& out, const Range& bytes) {
    out.insert(out.end(), bytes.begin(), bytes.end());
}

inline void set16(Bytes& out, std::size_t offset, unsigned value) {
    out[offset] = static_cast<std::uint8_t>(value >> 8);
    out[offset + 1] = static_cast<std::uint8_t>(value);
}

inline std::uint16_t get16(std::span<const std::uint8_t> bytes, std::size_t offset) {
    return static_cast<std::uint16_t>(bytes[offset] << 8 | bytes[offset + 1]);
}

inline std::uint32_t get32(std::span<const std::uint8_t> bytes, std::size_t offset) {
    return static_cast<std::uint32_t>(get16(bytes, offset)) << 16 | get16(bytes, offset + 2);
}

// RFC 9260, appendix A: CRC32c, its bytes in the order in which they are sent.
inline std::uint32_t crc32c(std::span<const std::uint8_t> bytes) {
    std::uint32_t crc = 0xffffffff;
    for (const auto byte : bytes) {
        crc ^= byte;
        for (int bit = 0; bit < 8; ++bit) {
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78U : 0U);
        }
    }
    return __builtin_bswap32(~crc);
}

// RFC 9293, section 3.1, RFC 768 and RFC 8200, section 8.1: what a checksum covers besides the segment. ip: its header.
inline Bytes with_pseudo_header(std::span<const std::uint8_t> ip, std::uint8_t protocol,
                                std::span<const std::uint8_t> segment) {
    const bool ipv6 = ip[0] >> 4U == 6;
    Bytes out;
    put(out, ipv6 ? ip.subspan(8, 32) : ip.subspan(12, 8));
    put32(out, protocol);
    put32(out, static_cast<std::uint32_t>(segment.size()));
    put(out, segment);
    return out;
}

}  // namespace causeway::test
