// SPDX-License-Identifier: Apache-2.0
#include "tests/system/mixed_flow.hpp"

#include <algorithm>

#include "tests/system/datagram.hpp"

namespace causeway::test {
namespace {

constexpr std::size_t ethernet_size = 14, ipv4_size = 20;

unsigned read16(const Bytes& bytes, std::size_t offset) {
    return static_cast<unsigned>(bytes.at(offset) << 8 | bytes.at(offset + 1));
}

std::uint32_t read32(const Bytes& bytes, std::size_t offset) {
    return read16(bytes, offset) << 16 | read16(bytes, offset + 2);
}

void write16(Bytes& bytes, std::size_t offset, unsigned value) {
    bytes.at(offset) = static_cast<std::uint8_t>(value >> 8);
    bytes.at(offset + 1) = static_cast<std::uint8_t>(value);
}

Bytes part(const Bytes& bytes, std::size_t begin, std::size_t end) {
    return {bytes.begin() + static_cast<std::ptrdiff_t>(begin), bytes.begin() + static_cast<std::ptrdiff_t>(end)};
}

bool is_error(std::uint8_t type) {
    return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

bool is_query(std::uint8_t type) {
    return type == icmp_echo_request || type == 13 || type == 15 || type == 17;
}

std::size_t checksum_offset(std::uint8_t protocol) {
    return protocol == tcp_number ? 16 : protocol == icmp_number ? 2 : 6;
}

// RFC 1071 over the segment with what the protocol adds to it: 0 if the checksum holds.
unsigned residue(const Bytes& packet, std::size_t header, std::uint8_t protocol) {
    auto segment = part(packet, header, packet.size());
    if (protocol == icmp_number) {
        return checksum_of(segment);
    }
    auto covered = segment.size();
    if (protocol == udp_lite_number && read16(segment, 4) != 0) {
        covered = std::min<std::size_t>(covered, read16(segment, 4));
    }
    if (protocol == udp_number && read16(segment, 4) >= 8) {  // bytes after its own length are nobody's
        covered = std::min<std::size_t>(covered, read16(segment, 4));
    }
    Bytes summed = part(packet, 12, 20);
    const auto length = protocol == udp_number ? covered : segment.size();
    summed.insert(summed.end(),
                  {0, protocol, static_cast<std::uint8_t>(length >> 8), static_cast<std::uint8_t>(length)});
    summed.insert(summed.end(), segment.begin(), segment.begin() + static_cast<std::ptrdiff_t>(covered));
    return checksum_of(summed);
}

// The one's complement sum without a word, and with another in its place; 0 and 0xffff are one number.
unsigned adjusted(unsigned checksum, unsigned gone, unsigned come) {
    const auto sum = checksum + gone + (0xffff - come) + 0xffff;
    return sum % 0xffff;
}

void write_ip_residue(Bytes& packet, std::size_t at, std::size_t header) {
    const auto sum = checksum_of(part(packet, at, at + header));
    write16(packet, at + 4, 0);  // the id, which is in the sum
    write16(packet, at + 10, sum);
}

// The packet that an error at the world quotes: sent to the sandbox, and so known there by another port.
void write_quoted(Bytes& packet, std::size_t at, const Side& side, bool at_world) {
    if (packet.size() < at + ipv4_size) {
        return;
    }
    const std::size_t header = std::size_t{packet[at]} % 16 * 4, transport = at + header;
    if (header < ipv4_size || packet.size() < transport) {
        return;
    }
    const auto protocol = packet[at + 9];
    write_ip_residue(packet, at, header);
    const auto where = transport + (protocol == icmp_number ? 4 : 2), sum = transport + checksum_offset(protocol);
    if (!has_ports(protocol) || packet.size() < where + 2) {
        return;
    }
    const auto port = read16(packet, where);
    auto known = port;
    if (at_world && read32(packet, at + 16) == node_ip.value) {
        const auto* flow =
            side.flow_behind(protocol, static_cast<std::uint16_t>(port), Ip{read32(packet, at + 12)},
                             static_cast<std::uint16_t>(protocol == icmp_number ? 0 : read16(packet, transport)));
        known = flow ? flow->port : port;
        write16(packet, where, known);
    }
    if (sum + 2 <= packet.size() && protocol != sctp_number && read16(packet, sum) != 0) {
        write16(packet, sum, adjusted(read16(packet, sum), port, known));
    }
}

// Returns the sandbox whose flow it is, or 255.
std::uint8_t write_port(Bytes& packet, std::size_t header, const Side& side) {
    const auto protocol = packet[9];
    const bool echo = protocol == icmp_number;
    if (echo && !is_query(packet[header])) {
        return 255;
    }
    const auto where = header + (echo ? 4 : 0);
    const auto* flow =
        side.flow_behind(protocol, static_cast<std::uint16_t>(read16(packet, where)), Ip{read32(packet, 16)},
                         static_cast<std::uint16_t>(echo ? 0 : read16(packet, header + 2)));
    if (!flow) {
        return 255;
    }
    write16(packet, where, flow->port);
    return static_cast<std::uint8_t>(flow->sandbox);
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
        const std::size_t transport = ethernet_size + std::size_t{frame.at(14)} % 16 * 4;
        if (frame.at(23) != flow.protocol || read32(frame, 26) != node_ip.value ||
            read32(frame, 30) != flow.peer.value || frame.size() < transport + 8) {
            continue;
        }
        const bool echo = flow.protocol == icmp_number;
        if (!has_ports(flow.protocol)) {
            flow.external.at(number_) = 1;  // it is there
        } else if (echo ? is_query(frame[transport]) : read16(frame, transport + 2) == flow.peer_port) {
            const auto port = static_cast<std::uint16_t>(read16(frame, transport + (echo ? 4 : 0)));
            flow.external.at(number_) = port;
            flows_[{flow.protocol, port, flow.peer.value, flow.peer_port}] = &flow;
        }
    }
}

Bytes like(const Bytes& frame, const Side& side, bool at_world) {
    const std::size_t total = std::min<std::size_t>(read16(frame, 16), frame.size() - ethernet_size);
    Bytes packet = part(frame, ethernet_size, ethernet_size + std::max(total, ipv4_size));
    const std::size_t header = std::size_t{packet[0]} % 16 * 4;
    if (header < ipv4_size || header > packet.size()) {
        return packet;
    }
    const auto protocol = packet[9];
    const bool fragment = (read16(packet, 6) & 0x3fff) != 0;
    std::uint8_t sandbox = 255;
    if (!fragment && has_ports(protocol) && packet.size() >= header + (protocol == tcp_number ? 20 : 8)) {
        const auto sum = header + checksum_offset(protocol);
        const bool unsummed = protocol == udp_number && read16(packet, sum) == 0;
        const auto wrong = protocol == sctp_number || unsummed ? 0 : residue(packet, header, protocol);
        const bool error = protocol == icmp_number && is_error(packet[header]);
        if (protocol == sctp_number) {  // a checksum that holds whatever the port is cannot be
            const auto bytes =
                (Ethernet{} / IPv4{} /
                 SCTP{.source_port = static_cast<std::uint16_t>(read16(packet, header)),
                      .destination_port = static_cast<std::uint16_t>(read16(packet, header + 2)),
                      .tag = read32(packet, header + 4)} /
                 Payload{std::string(packet.begin() + static_cast<std::ptrdiff_t>(header + 12), packet.end())})
                    .bytes();
            const bool holds = read32(bytes, 42) == read32(packet, header + 8);
            write16(packet, header + 8, 0);
            write16(packet, header + 10, holds ? 0 : 1);
        }
        if (error) {
            write_quoted(packet, header + 8, side, at_world);
        } else if (at_world && read32(packet, 12) == node_ip.value) {
            sandbox = write_port(packet, header, side);
        }
        if (protocol != sctp_number) {
            write16(packet, sum, unsummed ? 0xffff : wrong % 0xffff);
        }
    }
    write_ip_residue(packet, 0, header);
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
