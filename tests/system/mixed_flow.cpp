// SPDX-License-Identifier: Apache-2.0
#include "tests/system/mixed_flow.hpp"

#include <algorithm>

#include "tests/support/packet_bytes.hpp"
#include "tests/system/datagram.hpp"
#include "tests/system/layout.hpp"

namespace causeway::test {
namespace {

Bytes part(const Bytes& bytes, std::size_t begin, std::size_t end) {
    return {bytes.begin() + static_cast<std::ptrdiff_t>(begin), bytes.begin() + static_cast<std::ptrdiff_t>(end)};
}

std::size_t checksum_offset(std::uint8_t protocol) {
    return protocol == tcp_number ? 16 : protocol == icmp_number ? 2 : 6;
}

// RFC 1071 over the segment with what the protocol adds to it: 0 if the checksum holds.
unsigned residue(const Bytes& packet, const Layout& layout) {
    auto segment = part(packet, layout.transport, packet.size());
    const bool ipv6 = layout.family == Family::ipv6;
    if (layout.protocol == icmp_number && !ipv6) {
        return checksum_of(segment);
    }
    auto covered = segment.size();
    if (layout.protocol == udp_lite_number && get16(segment, 4) != 0) {
        covered = std::min<std::size_t>(covered, get16(segment, 4));
    }
    if (layout.protocol == udp_number && get16(segment, 4) >= 8) {  // bytes after its own length are nobody's
        covered = std::min<std::size_t>(covered, get16(segment, 4));
    }
    auto summed = part(packet, layout.source(), layout.source() + 2 * layout.address_size());
    put16(summed, protocol_in(layout.protocol, layout.family));
    put16(summed, static_cast<unsigned>(layout.protocol == udp_number ? covered : segment.size()));
    summed.insert(summed.end(), segment.begin(), segment.begin() + static_cast<std::ptrdiff_t>(covered));
    return checksum_of(summed);
}

// The one's complement sum without a word, and with another in its place; 0 and 0xffff are one number.
unsigned adjusted(unsigned checksum, unsigned gone, unsigned come) {
    const auto sum = checksum + gone + (0xffff - come) + 0xffff;
    return sum % 0xffff;
}

void write_ip_residue(Bytes& packet, const Layout& layout) {
    if (layout.family == Family::ipv6) {
        const auto header = packet.begin() + static_cast<std::ptrdiff_t>(layout.fragment_header);
        if (layout.fragment) {
            std::fill(header + 4, header + 8, std::uint8_t{0});  // the id
        }
        return;
    }
    const auto sum = checksum_of(part(packet, layout.begin, layout.transport));
    set16(packet, layout.begin + 4, 0);  // the id, which is in the sum
    set16(packet, layout.begin + 10, sum);
}

// The packet that an error at the world quotes: sent to the sandbox, and so known there by another port.
void write_quoted(Bytes& packet, std::size_t at, Family family, const Side& side, bool at_world) {
    const auto layout = layout_of(packet, at, family);
    if (!layout) {
        return;
    }
    const auto protocol = layout->protocol;
    const auto transport = layout->transport;
    write_ip_residue(packet, *layout);
    const auto where = transport + (protocol == icmp_number ? 4 : 2), sum = transport + checksum_offset(protocol);
    if (!has_ports(protocol) || packet.size() < where + 2) {
        return;
    }
    const auto port = get16(packet, where);
    auto known = port;
    if (at_world && address_at(packet, layout->destination(), family) == node_ip) {
        const auto* flow = side.flow_behind(protocol, port, address_at(packet, layout->source(), family),
                                            protocol == icmp_number ? std::uint16_t{0} : get16(packet, transport));
        known = flow ? flow->port : port;
        set16(packet, where, known);
        if (flow && protocol == sctp_number) {  // nobody could say whether its checksum held with the other port
            const auto crc = packet.begin() + static_cast<std::ptrdiff_t>(std::min(packet.size(), transport + 8));
            std::fill(crc, std::min(crc + 4, packet.end()), std::uint8_t{0});
        }
    }
    const bool summed = sum + 2 <= packet.size() && protocol != sctp_number;
    if (summed && (protocol != udp_number || get16(packet, sum) != 0)) {
        set16(packet, sum, adjusted(get16(packet, sum), port, known));
    }
}

// Returns the sandbox whose flow it is, or 255.
std::uint8_t write_port(Bytes& packet, const Layout& layout, const Side& side) {
    const auto transport = layout.transport;
    const bool echo = layout.protocol == icmp_number;
    if (echo && !is_icmp_query(layout.family, packet[transport])) {
        return 255;
    }
    const auto where = transport + (echo ? 4 : 0);
    const auto* flow =
        side.flow_behind(layout.protocol, get16(packet, where), address_at(packet, layout.destination(), layout.family),
                         echo ? std::uint16_t{0} : get16(packet, transport + 2));
    if (!flow) {
        return 255;
    }
    set16(packet, where, flow->port);
    return static_cast<std::uint8_t>(flow->sandbox);
}

// Whether it holds, in its place: one that holds whatever the port is cannot be.
void write_crc_residue(Bytes& packet, std::size_t transport) {
    const auto bytes =
        (Ethernet{} / IPv4{} /
         SCTP{.source_port = get16(packet, transport),
              .destination_port = get16(packet, transport + 2),
              .tag = get32(packet, transport + 4)} /
         Payload{std::string(packet.begin() + static_cast<std::ptrdiff_t>(transport + 12), packet.end())})
            .bytes();
    const bool holds = get32(bytes, 42) == get32(packet, transport + 8);
    set16(packet, transport + 8, 0);
    set16(packet, transport + 10, holds ? 0 : 1);
}

}  // namespace

bool has_ports(std::uint8_t protocol) {
    return protocol == tcp_number || protocol == udp_number || protocol == icmp_number || protocol == sctp_number ||
           protocol == udp_lite_number;
}

std::uint16_t Side::port_in_the_world(const Flow& flow) const {
    return flow.external.at(number_) != 0 ? flow.external.at(number_) : flow.port;
}

const Flow* Side::flow_behind(std::uint8_t protocol, std::uint16_t port, Ip peer, std::uint16_t peer_port) const {
    const auto found = flows_.find({protocol, port, peer.value, peer_port});
    return found == flows_.end() ? nullptr : found->second;
}

void Side::know(const Flow& flow) {
    flows_[{flow.protocol, flow.external.at(number_), flow.peer.value, flow.peer_port}] = &flow;
}

void Side::learn(Flow& flow, const std::vector<Bytes>& at_world) {
    for (const auto& frame : at_world) {
        const auto layout = layout_of_frame(frame);
        if (!layout || layout->protocol != flow.protocol ||
            address_at(frame, layout->source(), layout->family) != node_ip ||
            address_at(frame, layout->destination(), layout->family) != flow.peer ||
            frame.size() < layout->transport + 8) {
            continue;
        }
        const auto transport = layout->transport;
        const bool echo = flow.protocol == icmp_number;
        if (!has_ports(flow.protocol)) {
            flow.external.at(number_) = 1;  // it is there
        } else if (echo ? is_icmp_query(layout->family, frame[transport])
                        : get16(frame, transport + 2) == flow.peer_port) {
            const auto port = get16(frame, transport + (echo ? 4 : 0));
            flow.external.at(number_) = port;
            flows_[{flow.protocol, port, flow.peer.value, flow.peer_port}] = &flow;
        }
    }
}

Bytes like(const Bytes& frame, const Side& side, bool at_world) {
    const auto family = family_of(frame);
    const auto in_frame = layout_of_frame(frame);
    Bytes packet = part(frame, ethernet_size, in_frame ? in_frame->end : frame.size());
    const auto layout = layout_of(packet, 0, family);
    if (!layout) {
        // Behind IPv6 headers that make no sense may be a port, which is each translator's own.
        packet.resize(family == Family::ipv6 ? std::min(packet.size(), ipv6_size) : packet.size());
        return packet;
    }
    const auto protocol = layout->protocol;
    const auto transport = layout->transport;
    std::uint8_t sandbox = 255;
    if (!layout->fragment && has_ports(protocol) && packet.size() >= transport + (protocol == tcp_number ? 20 : 8)) {
        const auto sum = transport + checksum_offset(protocol);
        const bool unsummed = protocol == udp_number && get16(packet, sum) == 0;
        const auto wrong = protocol == sctp_number || unsummed ? 0U : residue(packet, *layout);
        if (protocol == sctp_number) {
            write_crc_residue(packet, transport);
        }
        if (protocol == icmp_number && is_icmp_error(family, packet[transport])) {
            write_quoted(packet, transport + 8, family, side, at_world);
        } else if (at_world && address_at(packet, layout->source(), family) == node_ip) {
            sandbox = write_port(packet, *layout, side);
        }
        if (protocol != sctp_number) {
            set16(packet, sum, unsummed ? 0xffff : wrong % 0xffff);
        }
    }
    write_ip_residue(packet, *layout);
    packet.push_back(sandbox);
    return packet;
}

Made made(Side& side, Crossed crossed, Flow* flow) {
    Made result;
    result.raw = std::move(crossed);
    const auto at_world = reassembled(result.raw.world, &result.incomplete);
    if (flow) {
        side.learn(*flow, at_world);
    }
    const auto add = [&](std::size_t place, const std::vector<Bytes>& frames) {
        std::vector<std::pair<Bytes, Bytes>> pairs;
        for (const auto& frame : frames) {
            pairs.emplace_back(like(frame, side, place == 0), frame);
        }
        std::ranges::sort(pairs);
        for (auto& [alike, frame] : pairs) {
            result.like.at(place).push_back(std::move(alike));
            result.datagrams.at(place).push_back(std::move(frame));
        }
    };
    add(0, at_world);
    for (std::size_t i = 0; i < result.raw.sandboxes.size(); ++i) {
        add(i + 1, reassembled(result.raw.sandboxes[i], &result.incomplete));
    }
    return result;
}

}  // namespace causeway::test
