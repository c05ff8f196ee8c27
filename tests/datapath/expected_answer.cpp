// SPDX-License-Identifier: Apache-2.0
// RFC 792 and RFC 4443 for the errors, RFC 1122 for when there are none, RFC 9293 for the reset.
#include "tests/datapath/expected_answer.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <variant>

#include "tests/datapath/node.hpp"
#include "tests/support/packet_bytes.hpp"

namespace causeway::test {
namespace {

// Of the link: redirects, and what has an answer of its own or none.
bool is_nd(std::uint8_t icmpv6_type) {
    return icmpv6_type >= router_solicitation && icmpv6_type <= icmpv6_redirect;
}

// The dropped packet, as far as an answer depends on it.
struct Dropped {
    explicit Dropped(const Bytes& frame)
        : ethernet(frame),
          ip(std::span(frame).subspan(ethernet_size)),
          family(number_in(frame, 12, 2) == ethertype_ipv6 ? Family::ipv6 : Family::ipv4) {
        const bool is_ipv6 = family == Family::ipv6;
        ip = ip.first(std::min<std::size_t>(ip.size(), is_ipv6 ? 40 + number(4, 2) : number(2, 2)));
        protocol = is_ipv6 ? ip[6] : ip[9];
        std::size_t header = is_ipv6 ? 40 : (ip[0] & 0xfU) * std::size_t{4};
        fragment = is_ipv6 ? 0 : number(6, 2) & 0x3fffU;
        while (is_ipv6 && (protocol == hop_by_hop || protocol == routing || protocol == destination_options ||
                           protocol == fragment_header)) {
            plain = false;
            if (protocol == fragment_header) {
                fragment = (number(header + 2, 2) & 1U) << 13 | number(header + 2, 2) >> 3;
            }
            protocol = ip[header];
            header += fragment_at(header) ? 8 : (ip[header + 1] + std::size_t{1}) * 8;
        }
        plain = plain && (is_ipv6 || ip[0] == 0x45);
        transport = ip.subspan(std::min<std::size_t>(ip.size(), header));
    }

    std::uint32_t number(std::size_t offset, std::size_t size) const { return number_in(ip, offset, size); }
    static std::uint32_t number_in(std::span<const std::uint8_t> bytes, std::size_t offset, std::size_t size) {
        std::uint32_t value = 0;
        for (std::uint8_t byte : bytes.subspan(offset, size)) {
            value = value << 8 | byte;
        }
        return value;
    }

    bool is_for_sandbox() const {
        return std::ranges::any_of(std::array{ip_a, ip_b}, [&](Ip own) {
            return family == Family::ipv6 ? address(24) == ip6_of(own) : number(16, 4) == own.value;
        });
    }
    bool is_fragment() const { return fragment != 0; }
    bool is_later_fragment() const { return (fragment & 0x1fffU) != 0; }
    bool is_icmp_error() const {  // RFC 1122, section 3.2.2: source quench and redirects, too; RFC 4443, section 2.4
        const std::uint8_t errors[] = {3, 4, 5, 11, 12};
        if (is_later_fragment() || transport.empty() || protocol != protocol_in(1, family)) {
            return false;
        }
        return family == Family::ipv6 ? transport[0] < 128 || is_nd(transport[0])
                                      : std::ranges::find(errors, transport[0]) != std::end(errors);
    }
    bool has_wrong_checksum() const {  // RFC 1812, section 4.3.2.7
        return family == Family::ipv4 && checksum_of({ip.begin(), transport.begin()}) != 0;
    }
    Frame back() const {  // its Ethernet header, turned
        Ethernet out;
        std::ranges::copy(ethernet.subspan(0, 6), out.source.bytes.begin());
        std::ranges::copy(ethernet.subspan(6, 6), out.destination.bytes.begin());
        return out;
    }
    Ip6 address(std::size_t offset) const {
        Ip6 out;
        std::ranges::copy(ip.subspan(offset, 16), out.bytes.begin());
        return out;
    }
    // The IP header of what its sender hears; from nobody in particular: from where it was sent to.
    Layer header(std::optional<Ip> from, std::uint8_t type_of_service) const {
        if (family == Family::ipv6) {
            return IPv6{.source = from ? ip6_of(*from) : address(24), .destination = address(8)};
        }
        return IPv4{.source = from.value_or(Ip{number(16, 4)}),
                    .destination = Ip{number(12, 4)},
                    .type_of_service = type_of_service,
                    .identification = 0};
    }

    std::span<const std::uint8_t> ethernet, ip, transport;
    Family family;
    std::uint8_t protocol = 0;
    std::uint32_t fragment = 0;  // more fragments, and the offset, as IPv4 has them
    bool plain = true;           // neither options nor extension headers

private:
    bool fragment_at(std::size_t header) const {
        std::uint8_t here = ip[6];
        for (std::size_t at = 40; at < header; at += (ip[at + 1] + std::size_t{1}) * 8) {
            here = ip[at];
        }
        return here == fragment_header;
    }
};

// By the numbers of IPv4: in_family() knows those of IPv6.
std::optional<IcmpError> error_of(enum verdict verdict, const RouteAnswer& route) {
    constexpr std::uint8_t host_unreachable = 1, too_big = 4, prohibited = 13;
    switch (verdict) {
        case VERDICT_DROP_TTL_EXPIRED:
            return IcmpError{.type = icmp_time_exceeded, .code = 0};
        case VERDICT_DROP_TOO_BIG:
            return IcmpError{.code = too_big, .rest = route.mtu};
        case VERDICT_DROP_NO_ROUTE:
            return route.code ? std::optional(IcmpError{.code = *route.code}) : std::nullopt;
        case VERDICT_DROP_EXTENSION_HEADER:
            return IcmpError{.type = icmpv6_parameter_problem, .code = route.problem, .rest = route.pointer};
        case VERDICT_DROP_NO_ENDPOINT:
        case VERDICT_DROP_ISOLATED:
        case VERDICT_DROP_NO_UPLINK:
        case VERDICT_DROP_NO_SOURCE:
            return IcmpError{.code = host_unreachable};
        case VERDICT_DROP_STALE_SOURCE:
        case VERDICT_DROP_NO_PORT:
        case VERDICT_DROP_TABLE_FULL:
        case VERDICT_DROP_FLOW_QUOTA:
        case VERDICT_DROP_FLOW_RATE:
            return IcmpError{.code = prohibited};
        default:
            return std::nullopt;
    }
}

// The error as the family has it.
IcmpError error_in(const IcmpError& error, enum verdict verdict, Family family) {
    if (family == Family::ipv4 || verdict == VERDICT_DROP_EXTENSION_HEADER) {
        return error;
    }
    return std::get<IcmpError>(in_family(Frame(Ethernet{}) / IPv4{} / error, family).layers().back());
}

std::optional<Bytes> reset_for(const Dropped& packet) {
    const std::uint8_t flags = packet.transport[13];
    if (packet.is_fragment() || !packet.plain || (flags & (ack | rst)) != ack) {
        return std::nullopt;
    }
    const auto number = [&](std::size_t offset, std::size_t size) {
        return Dropped::number_in(packet.transport, offset, size);
    };
    return (packet.back() / packet.header({}, 0) /
            TCP{.source_port = static_cast<std::uint16_t>(number(2, 2)),
                .destination_port = static_cast<std::uint16_t>(number(0, 2)),
                .flags = rst,
                .sequence = number(8, 4),
                .window = 0})
        .bytes();
}

}  // namespace

std::optional<Bytes> expected_answer(Program program, const Bytes& packet, enum verdict verdict,
                                     const RouteAnswer& route) {
    const bool from_sandbox = program == Program::from_sandbox;
    const bool from_uplink = program == Program::from_uplink && verdict == VERDICT_DROP_TTL_EXPIRED;
    const std::optional<IcmpError> error = error_of(verdict, route);
    if (!error || !(from_sandbox || from_uplink)) {
        return std::nullopt;
    }
    const Dropped dropped(packet);
    if (verdict == VERDICT_DROP_STALE_SOURCE && dropped.protocol == 6) {
        return reset_for(dropped);
    }
    if (dropped.is_later_fragment() || dropped.is_icmp_error() || dropped.has_wrong_checksum()) {
        return std::nullopt;
    }
    const std::size_t quote_max = dropped.family == Family::ipv6 ? 1280 - 48 : 128;
    const auto quote = dropped.ip.first(std::min(dropped.ip.size(), quote_max));
    const bool by_gateway = from_sandbox || dropped.is_for_sandbox();
    const Layer header = dropped.header(by_gateway ? std::optional(ip_gateway) : std::nullopt,
                                        static_cast<std::uint8_t>(0xc0 | (dropped.ip[1] & 0x1e)));
    return (dropped.back() / header / error_in(*error, verdict, dropped.family) /
            Payload{std::string(quote.begin(), quote.end())})
        .bytes();
}

}  // namespace causeway::test
