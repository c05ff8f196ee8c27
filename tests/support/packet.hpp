// SPDX-License-Identifier: Apache-2.0
// Packets written as they nest: Ethernet{...} / IPv4{...} / TCP{...} / Payload{"hello"}.
//
// ICMP within IPv6 is ICMPv6: its checksum covers a pseudo header.
// Every field has a default that makes a valid packet. Types, lengths and checksums are filled in unless a test
// gives its own; they are computed over all that follows, up to a Padding. Numbers are in host order.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace causeway::test {

using Bytes = std::vector<std::uint8_t>;

struct Mac {
    std::array<std::uint8_t, 6> bytes{};

    friend bool operator==(const Mac&, const Mac&) = default;
};

struct Ip {
    std::uint32_t value = 0;

    friend bool operator==(const Ip&, const Ip&) = default;
};

struct Ip6 {
    std::array<std::uint8_t, 16> bytes{};

    friend bool operator==(const Ip6&, const Ip6&) = default;
};

// "02:00:00:00:00:01"_mac, "10.0.0.1"_ip and "fd00::1"_ip6; anything else does not compile.
consteval Mac operator""_mac(const char* text, std::size_t length) {
    auto digit = [](char c) { return c >= 'a' ? c - 'a' + 10 : c - '0'; };
    Mac mac;
    if (length != 17) {
        throw "not a MAC";
    }
    for (std::size_t i = 0; i < 6; ++i) {
        mac.bytes[i] = static_cast<std::uint8_t>(digit(text[3 * i]) * 16 + digit(text[3 * i + 1]));
    }
    return mac;
}

consteval Ip operator""_ip(const char* text, std::size_t length) {
    std::uint32_t value = 0, part = 0, dots = 0;
    for (std::size_t i = 0; i < length; ++i) {
        if (text[i] == '.') {
            value = value << 8 | part;
            part = 0;
            ++dots;
        } else {
            part = part * 10 + static_cast<std::uint32_t>(text[i] - '0');
        }
        if (part > 255 || dots > 3) {
            throw "not an IPv4 address";
        }
    }
    return dots == 3 ? Ip{value << 8 | part} : throw "not an IPv4 address";
}

// RFC 4291, section 2.2, without dotted decimals.
consteval Ip6 operator""_ip6(const char* text, std::size_t length) {
    std::array<std::uint16_t, 8> groups{};
    std::size_t count = 0, gap = 8;
    for (std::size_t i = 0; i < length; ++count) {
        if (count == 8) {
            throw "more than an IPv6 address";
        }
        if (text[i] == ':' && i + 1 < length && text[i + 1] == ':' && gap == 8) {
            gap = count--;
            i += 2;
            continue;
        }
        for (; i < length && text[i] != ':'; ++i) {
            const char c = text[i];
            const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : throw "no digit";
            groups[count] = static_cast<std::uint16_t>(groups[count] * 16 + digit);
        }
        if (i + 1 < length && text[i + 1] != ':') {
            ++i;  // else a gap follows
        }
    }
    if (count != 8 && gap == 8) {
        throw "less than an IPv6 address";
    }
    Ip6 ip;
    for (std::size_t i = 0; i < count; ++i) {
        const std::size_t place = i < gap ? i : 8 - count + i;
        ip.bytes[2 * place] = static_cast<std::uint8_t>(groups[i] >> 8);
        ip.bytes[2 * place + 1] = static_cast<std::uint8_t>(groups[i]);
    }
    return ip;
}

inline constexpr std::uint16_t ethertype_ipv4 = 0x0800, ethertype_arp = 0x0806, ethertype_vlan = 0x8100,
                               ethertype_ipv6 = 0x86dd;

struct Ethernet {
    Mac source, destination;
    std::optional<std::uint16_t> type;
};

struct Vlan {  // IEEE 802.1Q
    std::uint16_t tag = 1;
    std::optional<std::uint16_t> type;
};

inline constexpr std::uint16_t arp_request = 1, arp_reply = 2;

struct Arp {  // RFC 826, for IPv4 over Ethernet
    std::uint16_t operation = arp_request;
    Mac sender_mac;
    Ip sender;
    Mac target_mac;
    Ip target;
    std::uint16_t hardware = 1, protocol = ethertype_ipv4;
    std::uint8_t hardware_length = 6, protocol_length = 4;
};

struct IPv4 {  // RFC 791
    Ip source, destination;
    std::uint8_t ttl = 64;
    std::optional<std::uint8_t> protocol{};
    std::uint8_t type_of_service = 0;
    std::uint16_t identification = 0x4242;
    bool reserved_flag = false, dont_fragment = true, more_fragments = false;
    std::uint16_t fragment_offset = 0;  // in units of 8 bytes
    Bytes options{};                    // a multiple of 4 bytes
    std::uint8_t version = 4;
    std::optional<std::uint8_t> header_words{};  // IHL
    std::optional<std::uint16_t> total_length{};
    std::optional<std::uint16_t> checksum{};
};

struct IPv6 {  // RFC 8200
    Ip6 source, destination;
    std::uint8_t hop_limit = 64;
    std::optional<std::uint8_t> next_header{};
    std::uint8_t traffic_class = 0;
    std::uint32_t flow_label = 0;
    std::uint8_t version = 6;
    std::optional<std::uint16_t> payload_length{};
};

inline constexpr std::uint8_t hop_by_hop = 0, routing = 43, fragment_header = 44, no_next_header = 59,
                              destination_options = 60, mobility = 135;

struct Extension {  // RFC 8200, section 4: those of the usual shape
    std::uint8_t kind = destination_options;
    Bytes body = {1, 4, 0, 0, 0, 0};  // behind the first two bytes: 6 and a multiple of 8
    std::optional<std::uint8_t> next_header{};
    std::optional<std::uint8_t> length{};  // in units of 8 bytes, the first not counted
};

struct FragmentHeader {        // RFC 8200, section 4.5
    std::uint16_t offset = 0;  // in units of 8 bytes
    bool more_fragments = false;
    std::uint32_t identification = 0x4242;
    std::optional<std::uint8_t> next_header{};
};

inline constexpr std::uint8_t fin = 0x01, syn = 0x02, rst = 0x04, psh = 0x08, ack = 0x10;

struct TCP {  // RFC 9293
    std::uint16_t source_port = 40000, destination_port = 80;
    std::uint8_t flags = syn;
    std::uint32_t sequence = 1000, acknowledged = 0;
    std::uint16_t window = 64240;
    Bytes options{};                             // a multiple of 4 bytes
    std::optional<std::uint8_t> header_words{};  // data offset
    std::optional<std::uint16_t> checksum{};
};

struct UDP {  // RFC 768
    std::uint16_t source_port = 40000, destination_port = 53;
    std::optional<std::uint16_t> length{};
    std::optional<std::uint16_t> checksum{};  // 0: none
};

struct SCTP {  // RFC 9260: the header before the chunks
    std::uint16_t source_port = 40000, destination_port = 9899;
    std::uint32_t tag = 0;
    std::optional<std::uint32_t> checksum{};
};

inline constexpr std::uint8_t icmp_echo_reply = 0, icmp_unreachable = 3, icmp_echo_request = 8;

// RFC 792, echo. In an error the two words are what stands before the quoted packet: 0 and the MTU for frag-needed.
struct ICMP {
    std::uint8_t type = icmp_echo_request, code = 0;
    std::uint16_t identifier = 40000, sequence = 1;
    std::optional<std::uint16_t> checksum{};
};

inline constexpr std::uint8_t icmp_time_exceeded = 11, icmp_parameter_problem = 12, icmp_timestamp_request = 13,
                              icmp_timestamp_reply = 14, icmp_information_request = 15, icmp_information_reply = 16,
                              icmp_mask_request = 17, icmp_mask_reply = 18;

struct IcmpError {  // RFC 792; what follows is the packet that it quotes, from its IP header on
    std::uint8_t type = icmp_unreachable, code = 0;
    std::uint32_t rest = 0;         // of the header: the MTU of the next hop, a pointer
    std::size_t quoted = SIZE_MAX;  // bytes of the packet, at the most
    std::optional<std::uint16_t> checksum{};
};

inline constexpr std::uint8_t icmpv6_unreachable = 1, icmpv6_too_big = 2, icmpv6_time_exceeded = 3,
                              icmpv6_parameter_problem = 4, icmpv6_echo_request = 128, icmpv6_echo_reply = 129,
                              icmpv6_listener_report = 143, router_solicitation = 133, router_advertisement = 134,
                              neighbour_solicitation = 135, neighbour_advertisement = 136, icmpv6_redirect = 137;

struct Neighbour {  // RFC 4861, sections 4.3 and 4.4
    std::uint8_t type = neighbour_solicitation, code = 0;
    std::uint32_t flags = 0;
    Ip6 target;
    std::optional<Mac> source_link{}, target_link{};  // options: link-layer addresses
    Bytes options{};                                  // after those
    std::optional<std::uint16_t> checksum{};
};

inline constexpr std::uint32_t nd_router = 0x80000000, nd_solicited = 0x40000000, nd_override = 0x20000000;

struct UdpLite {  // RFC 3828
    std::uint16_t source_port = 40000, destination_port = 53;
    std::uint16_t coverage = 0;  // bytes that the checksum covers; 0: all
    std::optional<std::uint16_t> checksum{};
};

struct Payload {
    std::string text;
};

// Zeros after the packet, as a link adds to frames that are too short for it; in no length and no checksum.
struct Padding {
    std::size_t size;
};

using Layer = std::variant<Ethernet, Vlan, Arp, IPv4, IPv6, Extension, FragmentHeader, TCP, UDP, UdpLite, SCTP, ICMP,
                           IcmpError, Neighbour, Payload, Padding>;

class Frame;
Frame operator/(Frame frame, Layer layer);

class Frame {
public:
    Frame(Ethernet ethernet) : layers_{ethernet} {}  // so that Ethernet{...} / ... begins one

    // Ends after size bytes, whatever its headers say.
    Frame cut(std::size_t size) const;
    Bytes bytes() const;

    const std::vector<Layer>& layers() const { return layers_; }
    std::size_t most() const { return size_; }  // where it is cut

    // The same with other layers; the first is Ethernet.
    Frame of(std::vector<Layer> layers) const;

    friend Frame operator/(Frame frame, Layer layer);

private:
    std::vector<Layer> layers_;
    std::size_t size_ = SIZE_MAX;
};

// RFC 1071: over data, an odd last byte taken as followed by 0. Of data that holds its checksum: 0.
std::uint16_t checksum_of(const Bytes& data);

// One line a field, as far as the frame goes.
std::string describe(const Bytes& frame);

// What differs between two frames, field by field; empty when they are equal to the byte.
std::string difference(const Bytes& expected, const Bytes& actual);

// Which checksums (IPv4, TCP, UDP, SCTP, ICMP of both families) do not hold when computed from scratch; empty when all
// do.
std::string wrong_checksums(const Bytes& frame);

// TCP, UDP or SCTP source port, or ICMP identifier; nothing when the frame has none.
std::optional<std::uint16_t> source_port_of(const Bytes& frame);

}  // namespace causeway::test
