// SPDX-License-Identifier: Apache-2.0
// RFC 792 for the errors, RFC 1122 for when there are none, RFC 9293 for the reset.
#include "tests/datapath/expected_answer.hpp"

#include <algorithm>
#include <span>
#include <string>

#include "tests/datapath/node.hpp"

namespace causeway::test {
namespace {

constexpr std::size_t ethernet_size = 14, quote_max = 128;
constexpr std::uint8_t host_unreachable = 1, too_big = 4, prohibited = 13;

// The dropped packet, as far as an answer depends on it.
struct Dropped {
    explicit Dropped(const Bytes& frame) : ethernet(frame), ip(std::span(frame).subspan(ethernet_size)) {
        ip = ip.first(std::min<std::size_t>(ip.size(), number(2, 2)));
        transport = ip.subspan(std::min<std::size_t>(ip.size(), (ip[0] & 0xfU) * std::size_t{4}));
    }

    std::uint32_t number(std::size_t offset, std::size_t size) const { return number_in(ip, offset, size); }
    static std::uint32_t number_in(std::span<const std::uint8_t> bytes, std::size_t offset, std::size_t size) {
        std::uint32_t value = 0;
        for (std::uint8_t byte : bytes.subspan(offset, size)) {
            value = value << 8 | byte;
        }
        return value;
    }

    bool is_fragment() const { return (number(6, 2) & 0x3fffU) != 0; }
    bool is_later_fragment() const { return (number(6, 2) & 0x1fffU) != 0; }
    bool is_icmp_error() const {  // RFC 1122, section 3.2.2: source quench and redirects, too
        const std::uint8_t errors[] = {3, 4, 5, 11, 12};
        return ip[9] == 1 && !is_later_fragment() && !transport.empty() &&
               std::ranges::find(errors, transport[0]) != std::end(errors);
    }
    Ip source() const { return {number(12, 4)}; }
    Ip destination() const { return {number(16, 4)}; }
    Ethernet back() const {
        Ethernet out;
        std::ranges::copy(ethernet.subspan(0, 6), out.source.bytes.begin());
        std::ranges::copy(ethernet.subspan(6, 6), out.destination.bytes.begin());
        return out;
    }

    std::span<const std::uint8_t> ethernet, ip, transport;
};

std::optional<IcmpError> error_of(enum verdict verdict, const RouteAnswer& route) {
    switch (verdict) {
        case VERDICT_DROP_TTL_EXPIRED:
            return IcmpError{.type = icmp_time_exceeded, .code = 0};
        case VERDICT_DROP_TOO_BIG:
            return IcmpError{.code = too_big, .rest = route.mtu};
        case VERDICT_DROP_NO_ROUTE:
            return route.code ? std::optional(IcmpError{.code = *route.code}) : std::nullopt;
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

std::optional<Bytes> reset_for(const Dropped& packet) {
    const std::uint8_t flags = packet.transport[13];
    if (packet.is_fragment() || packet.ip[0] != 0x45 || (flags & (ack | rst)) != ack) {
        return std::nullopt;
    }
    const auto number = [&](std::size_t offset, std::size_t size) {
        return Dropped::number_in(packet.transport, offset, size);
    };
    const IPv4 ip{.source = packet.destination(), .destination = packet.source(), .identification = 0};
    return (packet.back() / ip /
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
    std::optional<IcmpError> error = error_of(verdict, route);
    if (!error || !(from_sandbox || from_uplink)) {
        return std::nullopt;
    }
    const Dropped dropped(packet);
    if (verdict == VERDICT_DROP_STALE_SOURCE && dropped.ip[9] == 6) {
        return reset_for(dropped);
    }
    if (dropped.is_later_fragment() || dropped.is_icmp_error()) {
        return std::nullopt;
    }
    const auto quote = dropped.ip.first(std::min(dropped.ip.size(), quote_max));
    const IPv4 ip{.source = from_sandbox ? ip_gateway : dropped.destination(),
                  .destination = dropped.source(),
                  .type_of_service = static_cast<std::uint8_t>(0xc0 | (dropped.ip[1] & 0x1e)),
                  .identification = 0};
    return (dropped.back() / ip / *error / Payload{std::string(quote.begin(), quote.end())}).bytes();
}

}  // namespace causeway::test
