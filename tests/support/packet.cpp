// SPDX-License-Identifier: Apache-2.0
// Packets to bytes.
#include "tests/support/packet.hpp"

#include <algorithm>
#include <span>
#include <utility>

#include "tests/support/packet_bytes.hpp"

namespace causeway::test {
namespace {

// As much of the IP header around a segment as its checksum covers; empty: there is none.
Bytes addresses_in(const Layer* ip) {
    Bytes header;
    if (const auto* ipv4 = ip ? std::get_if<IPv4>(ip) : nullptr) {
        header = {0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
        put32(header, ipv4->source.value);
        put32(header, ipv4->destination.value);
    } else if (const auto* ipv6 = ip ? std::get_if<IPv6>(ip) : nullptr) {
        header = {0x60, 0, 0, 0, 0, 0, 0, 0};
        put(header, ipv6->source.bytes);
        put(header, ipv6->destination.bytes);
    }
    return header;
}

// The bytes of layers[index] and all within it, without padding. ip: the nearest one around it, or nullptr.
class Writer {
public:
    explicit Writer(std::span<const Layer> layers) : layers_(layers) {}

    Bytes write(std::size_t index, const Layer* ip) const {
        if (index == layers_.size()) {
            return {};
        }
        const Layer& layer = layers_[index];
        if (std::holds_alternative<IPv4>(layer) || std::holds_alternative<IPv6>(layer)) {
            ip = &layer;
        }
        const Bytes rest = write(index + 1, ip);
        return std::visit([&](const auto& header) { return bytes_of(header, index, rest, ip); }, layer);
    }

private:
    template <typename Header>
    bool followed_by(std::size_t index) const {
        return index + 1 < layers_.size() && std::holds_alternative<Header>(layers_[index + 1]);
    }

    std::uint16_t type_after(std::size_t index) const {
        return followed_by<Arp>(index)    ? ethertype_arp
               : followed_by<Vlan>(index) ? ethertype_vlan
               : followed_by<IPv6>(index) ? ethertype_ipv6
                                          : ethertype_ipv4;
    }

    static bool is_ipv6(const Layer* ip) { return ip && std::holds_alternative<IPv6>(*ip); }

    std::uint8_t protocol_after(std::size_t index, const Layer* ip) const {
        if (followed_by<ICMP>(index) || followed_by<IcmpError>(index) || followed_by<Neighbour>(index)) {
            return is_ipv6(ip) ? protocol_icmpv6 : protocol_icmp;
        }
        if (followed_by<FragmentHeader>(index)) {
            return fragment_header;
        }
        if (followed_by<Extension>(index)) {
            return std::get<Extension>(layers_[index + 1]).kind;
        }
        if (followed_by<UdpLite>(index)) {
            return protocol_udp_lite;
        }
        if (followed_by<SCTP>(index)) {
            return protocol_sctp;
        }
        return followed_by<UDP>(index) ? protocol_udp : protocol_tcp;
    }

    Bytes bytes_of(const Ethernet& ethernet, std::size_t index, const Bytes& rest, const Layer*) const {
        Bytes out;
        put(out, ethernet.destination.bytes);
        put(out, ethernet.source.bytes);
        put16(out, ethernet.type.value_or(type_after(index)));
        put(out, rest);
        return out;
    }

    Bytes bytes_of(const Vlan& vlan, std::size_t index, const Bytes& rest, const Layer*) const {
        Bytes out;
        put16(out, vlan.tag);
        put16(out, vlan.type.value_or(type_after(index)));
        put(out, rest);
        return out;
    }

    static Bytes bytes_of(const Arp& arp, std::size_t, const Bytes& rest, const Layer*) {
        Bytes out;
        put16(out, arp.hardware);
        put16(out, arp.protocol);
        put8(out, arp.hardware_length);
        put8(out, arp.protocol_length);
        put16(out, arp.operation);
        put(out, arp.sender_mac.bytes);
        put32(out, arp.sender.value);
        put(out, arp.target_mac.bytes);
        put32(out, arp.target.value);
        put(out, rest);
        return out;
    }

    Bytes bytes_of(const IPv4& ip, std::size_t index, const Bytes& rest, const Layer* around) const {
        const std::size_t header_size = ipv4_size + ip.options.size();
        Bytes out;
        put8(out, static_cast<unsigned>(ip.version << 4 | ip.header_words.value_or(header_size / 4)));
        put8(out, ip.type_of_service);
        put16(out, ip.total_length.value_or(static_cast<std::uint16_t>(header_size + rest.size())));
        put16(out, ip.identification);
        put16(out, (ip.reserved_flag ? 0x8000U : 0U) | (ip.dont_fragment ? 0x4000U : 0U) |
                       (ip.more_fragments ? 0x2000U : 0U) | ip.fragment_offset);
        put8(out, ip.ttl);
        put8(out, ip.protocol.value_or(protocol_after(index, around)));
        put16(out, 0);
        put32(out, ip.source.value);
        put32(out, ip.destination.value);
        put(out, ip.options);
        set16(out, 10, ip.checksum.value_or(checksum_of(out)));
        put(out, rest);
        return out;
    }

    Bytes bytes_of(const IPv6& ip, std::size_t index, const Bytes& rest, const Layer* around) const {
        Bytes out;
        put32(out, static_cast<std::uint32_t>(ip.version) << 28 | static_cast<std::uint32_t>(ip.traffic_class) << 20 |
                       ip.flow_label);
        put16(out, ip.payload_length.value_or(static_cast<std::uint16_t>(rest.size())));
        put8(out, ip.next_header.value_or(protocol_after(index, around)));
        put8(out, ip.hop_limit);
        put(out, ip.source.bytes);
        put(out, ip.destination.bytes);
        put(out, rest);
        return out;
    }

    Bytes bytes_of(const Extension& extension, std::size_t index, const Bytes& rest, const Layer* ip) const {
        Bytes out;
        put8(out, extension.next_header.value_or(protocol_after(index, ip)));
        put8(out, extension.length.value_or(static_cast<std::uint8_t>((extension.body.size() + 2) / 8 - 1)));
        put(out, extension.body);
        put(out, rest);
        return out;
    }

    Bytes bytes_of(const FragmentHeader& fragment, std::size_t index, const Bytes& rest, const Layer* ip) const {
        Bytes out;
        put8(out, fragment.next_header.value_or(protocol_after(index, ip)));
        put8(out, 0);
        put16(out, static_cast<unsigned>(fragment.offset << 3) | (fragment.more_fragments ? 1U : 0U));
        put32(out, fragment.identification);
        put(out, rest);
        return out;
    }

    static void put_link_address(Bytes& out, unsigned option, const std::optional<Mac>& mac) {
        if (mac) {
            put8(out, option);
            put8(out, 1);
            put(out, mac->bytes);
        }
    }

    static Bytes bytes_of(const Neighbour& neighbour, std::size_t, const Bytes& rest, const Layer* ip) {
        Bytes out;
        put8(out, neighbour.type);
        put8(out, neighbour.code);
        put16(out, 0);
        put32(out, neighbour.flags);
        put(out, neighbour.target.bytes);
        put_link_address(out, 1, neighbour.source_link);
        put_link_address(out, 2, neighbour.target_link);
        put(out, neighbour.options);
        put(out, rest);
        set16(out, 2, neighbour.checksum.value_or(transport_checksum(ip, protocol_icmpv6, out)));
        return out;
    }

    static Bytes bytes_of(const TCP& tcp, std::size_t, const Bytes& rest, const Layer* ip) {
        Bytes out;
        put16(out, tcp.source_port);
        put16(out, tcp.destination_port);
        put32(out, tcp.sequence);
        put32(out, tcp.acknowledged);
        put8(out, static_cast<unsigned>(tcp.header_words.value_or((tcp_size + tcp.options.size()) / 4) << 4));
        put8(out, tcp.flags);
        put16(out, tcp.window);
        put32(out, 0);  // checksum, urgent pointer
        put(out, tcp.options);
        put(out, rest);
        set16(out, 16, tcp.checksum.value_or(transport_checksum(ip, protocol_tcp, out)));
        return out;
    }

    static Bytes bytes_of(const UDP& udp, std::size_t, const Bytes& rest, const Layer* ip) {
        Bytes out;
        put16(out, udp.source_port);
        put16(out, udp.destination_port);
        put16(out, udp.length.value_or(static_cast<std::uint16_t>(udp_size + rest.size())));
        put16(out, 0);
        put(out, rest);
        const std::uint16_t computed = transport_checksum(ip, protocol_udp, out);
        set16(out, 6, udp.checksum.value_or(computed ? computed : 0xffff));  // 0 would mean none: RFC 768
        return out;
    }

    static Bytes bytes_of(const SCTP& sctp, std::size_t, const Bytes& rest, const Layer*) {
        Bytes head, out;
        put16(head, sctp.source_port);
        put16(head, sctp.destination_port);
        put32(head, sctp.tag);
        out = head;
        put32(out, 0);
        put(out, rest);
        put32(head, sctp.checksum.value_or(crc32c(out)));
        put(head, rest);
        return head;
    }

    static Bytes bytes_of(const ICMP& icmp, std::size_t, const Bytes& rest, const Layer* ip) {
        Bytes out;
        put8(out, icmp.type);
        put8(out, icmp.code);
        put16(out, 0);
        put16(out, icmp.identifier);
        put16(out, icmp.sequence);
        put(out, rest);
        set16(out, 2, icmp.checksum.value_or(icmp_checksum(ip, out)));
        return out;
    }

    static Bytes bytes_of(const IcmpError& error, std::size_t, const Bytes& rest, const Layer* ip) {
        Bytes out;
        put8(out, error.type);
        put8(out, error.code);
        put16(out, 0);
        put32(out, error.rest);
        put(out, std::span(rest).first(std::min(rest.size(), error.quoted)));
        set16(out, 2, error.checksum.value_or(icmp_checksum(ip, out)));
        return out;
    }

    static Bytes bytes_of(const UdpLite& udp, std::size_t, const Bytes& rest, const Layer* ip) {
        Bytes out;
        put16(out, udp.source_port);
        put16(out, udp.destination_port);
        put16(out, udp.coverage);
        put16(out, 0);
        put(out, rest);
        const std::size_t covered = udp.coverage ? std::min<std::size_t>(udp.coverage, out.size()) : out.size();
        const std::uint16_t computed = udp_lite_checksum(ip, out, covered);
        set16(out, 6, udp.checksum.value_or(computed ? computed : 0xffff));  // 0 would be wrong: RFC 3828, section 3.1
        return out;
    }

    static Bytes bytes_of(const Payload& payload, std::size_t, const Bytes& rest, const Layer*) {
        Bytes out(payload.text.begin(), payload.text.end());
        put(out, rest);
        return out;
    }

    static Bytes bytes_of(const Padding&, std::size_t, const Bytes& rest, const Layer*) { return rest; }

    static std::uint16_t transport_checksum(const Layer* ip, std::uint8_t protocol, const Bytes& segment) {
        return ip ? checksum_of(with_pseudo_header(addresses_in(ip), protocol, segment)) : std::uint16_t{0};
    }

    // RFC 792 has no pseudo header, RFC 4443, section 2.3, has.
    static std::uint16_t icmp_checksum(const Layer* ip, const Bytes& message) {
        return is_ipv6(ip) ? transport_checksum(ip, protocol_icmpv6, message) : checksum_of(message);
    }

    // The pseudo header has the whole length, whatever is covered.
    static std::uint16_t udp_lite_checksum(const Layer* ip, const Bytes& segment, std::size_t covered) {
        if (!ip) {
            return 0;
        }
        Bytes text = with_pseudo_header(addresses_in(ip), protocol_udp_lite, segment);
        text.resize(text.size() - segment.size() + covered);
        return checksum_of(text);
    }

    std::span<const Layer> layers_;
};

}  // namespace

Frame Frame::cut(std::size_t size) const {
    Frame shorter = *this;
    shorter.size_ = size;
    return shorter;
}

Frame Frame::of(std::vector<Layer> layers) const {
    Frame other = *this;
    other.layers_ = std::move(layers);
    return other;
}

Bytes Frame::bytes() const {
    Bytes out = Writer(layers_).write(0, nullptr);
    for (const Layer& layer : layers_) {
        if (const auto* padding = std::get_if<Padding>(&layer)) {
            out.resize(out.size() + padding->size);
        }
    }
    out.resize(std::min(out.size(), size_));
    return out;
}

Frame operator/(Frame frame, Layer layer) {
    frame.layers_.push_back(std::move(layer));
    return frame;
}

std::uint16_t checksum_of(const Bytes& data) {
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < data.size(); ++i) {
        sum += i % 2 ? data[i] : static_cast<std::uint32_t>(data[i]) << 8;
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return static_cast<std::uint16_t>(~sum);
}

}  // namespace causeway::test
