// SPDX-License-Identifier: Apache-2.0
// Bytes of packets to lines that a person can compare.
#include <algorithm>
#include <cstdio>
#include <span>

#include "tests/support/packet.hpp"
#include "tests/support/packet_bytes.hpp"

namespace causeway::test {
namespace {

template <typename... Values>
std::string formatted(const char* format, Values... values) {
    const int size = std::snprintf(nullptr, 0, format, values...);
    std::string text(static_cast<std::size_t>(size) + 1, '\0');
    std::snprintf(text.data(), text.size(), format, values...);
    text.pop_back();
    return text;
}

std::string hex(std::span<const std::uint8_t> bytes) {
    std::string text = formatted("%zu bytes", bytes.size());
    for (std::uint8_t byte : bytes.first(std::min<std::size_t>(bytes.size(), 64))) {
        text += formatted(" %02x", byte);
    }
    return bytes.size() > 64 ? text + " ..." : text;
}

std::string mac_text(std::span<const std::uint8_t> b) {
    return formatted("%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4], b[5]);
}

std::string ip_text(std::span<const std::uint8_t> b) {
    return formatted("%u.%u.%u.%u", b[0], b[1], b[2], b[3]);
}

std::string ip6_text(std::span<const std::uint8_t> b) {
    std::string text = formatted("%x", get16(b, 0));
    for (std::size_t i = 2; i < 16; i += 2) {
        text += formatted(":%x", get16(b, i));
    }
    return text;
}

struct Field {
    std::string name, value;
};

// Where the parts of a frame are: as much as is there.
struct View {
    std::span<const std::uint8_t> ethernet, ip, transport, rest;  // empty: not there, or cut
    std::uint16_t type = 0;
    std::uint8_t protocol = 0;
    bool fragment = false;
    bool cut = false;  // quoted by an error, which may end before the packet does
};

std::size_t transport_header_size(std::uint8_t protocol) {
    return protocol == protocol_tcp    ? tcp_size
           : protocol == protocol_udp  ? udp_size
           : protocol == protocol_sctp ? sctp_size
                                       : icmp_size;
}

bool is_icmp(std::uint8_t protocol) {
    return protocol == protocol_icmp || protocol == protocol_icmpv6;
}

// Where the headers of an IP packet end and the packet does; both 0: it is none.
struct Extent {
    std::size_t headers = 0, total = 0;
};

Extent ipv4_extent(View& view, std::span<const std::uint8_t> packet) {
    if (packet.size() < ipv4_size) {
        return {};
    }
    view.protocol = packet[9];
    view.fragment = (get16(packet, 6) & 0x3fffU) != 0;
    const std::size_t headers = (packet[0] & 0xfU) * std::size_t{4};
    return {.headers = headers < ipv4_size ? 0 : headers, .total = get16(packet, 2)};
}

// With the extension headers that are there.
Extent ipv6_extent(View& view, std::span<const std::uint8_t> packet) {
    if (packet.size() < ipv6_size) {
        return {};
    }
    Extent extent{.headers = ipv6_size, .total = ipv6_size + get16(packet, 4)};
    view.protocol = packet[6];
    const std::uint8_t skipped[] = {hop_by_hop, routing, fragment_header, destination_options};
    while (std::ranges::find(skipped, view.protocol) != std::end(skipped) && extent.headers + 8 <= packet.size()) {
        const auto header = packet.subspan(extent.headers);
        const bool is_fragment = view.protocol == fragment_header;
        extent.headers += is_fragment ? fragment_header_size : (header[1] + std::size_t{1}) * 8;
        view.protocol = header[0];
        if (is_fragment && (get16(header, 2) & 0xfff9U) != 0) {
            view.fragment = true;
            break;  // what follows may be from the middle
        }
    }
    return extent;
}

View view_of(std::span<const std::uint8_t> frame, bool quoted = false) {
    View view;
    if (frame.size() < ethernet_size) {
        view.rest = frame;
        return view;
    }
    view.ethernet = frame.first(ethernet_size);
    view.type = get16(frame, 12);
    view.rest = frame.subspan(ethernet_size);
    if (view.type != ethertype_ipv4 && view.type != ethertype_ipv6) {
        return view;
    }
    auto [headers, total] = view.type == ethertype_ipv4 ? ipv4_extent(view, view.rest) : ipv6_extent(view, view.rest);
    if (quoted && total > view.rest.size()) {
        total = view.rest.size();
        view.cut = true;
    }
    if (headers == 0 || total < headers || total > view.rest.size()) {
        return view;
    }
    view.ip = view.rest.first(headers);
    const auto segment = view.rest.subspan(headers, total - headers);
    const bool known = view.protocol == protocol_tcp || view.protocol == protocol_udp ||
                       view.protocol == protocol_sctp || is_icmp(view.protocol);
    if (known && !view.fragment && segment.size() >= transport_header_size(view.protocol)) {
        view.transport = segment;
        view.rest = view.rest.subspan(total);
    } else {
        view.rest = view.rest.subspan(headers);
    }
    return view;
}

// The checksum as it is and, where that is another, as it should be.
std::string checksum_text(std::uint16_t found, std::uint16_t right) {
    return found == right ? formatted("0x%04x", found) : formatted("0x%04x (0x%04x would hold)", found, right);
}

std::uint16_t right_ip_checksum(const View& view) {
    Bytes header(view.ip.begin(), view.ip.end());
    set16(header, 10, 0);
    return checksum_of(header);
}

std::size_t transport_checksum_offset(std::uint8_t protocol) {
    return protocol == protocol_tcp ? 16 : protocol == protocol_udp ? 6 : 2;
}

std::uint16_t right_transport_checksum(const View& view) {
    Bytes segment(view.transport.begin(), view.transport.end());
    const std::size_t offset = transport_checksum_offset(view.protocol);
    if (view.protocol == protocol_udp && get16(segment, offset) == 0) {
        return 0;
    }
    set16(segment, offset, 0);
    if (view.protocol == protocol_icmp) {
        return checksum_of(segment);
    }
    const std::uint16_t sum = checksum_of(with_pseudo_header(view.ip, view.protocol, segment));
    return view.protocol == protocol_udp && sum == 0 ? 0xffff : sum;
}

constexpr std::size_t crc_offset = 8;  // RFC 9260, section 3.1

std::uint32_t right_crc(const View& view) {
    Bytes segment(view.transport.begin(), view.transport.end());
    set16(segment, crc_offset, 0);
    set16(segment, crc_offset + 2, 0);
    return crc32c(segment);
}

void list_arp(std::vector<Field>& fields, std::span<const std::uint8_t> arp) {
    fields.push_back({"ARP hardware, protocol", formatted("%u 0x%04x", get16(arp, 0), get16(arp, 2))});
    fields.push_back({"ARP lengths", formatted("%u %u", arp[4], arp[5])});
    fields.push_back({"ARP operation", formatted("%u", get16(arp, 6))});
    fields.push_back({"ARP sender", mac_text(arp.subspan(8)) + " " + ip_text(arp.subspan(14))});
    fields.push_back({"ARP target", mac_text(arp.subspan(18)) + " " + ip_text(arp.subspan(24))});
}

void list_ip(std::vector<Field>& fields, const View& view) {
    const auto ip = view.ip;
    fields.push_back({"IPv4 version, header words", formatted("%u %u", ip[0] >> 4U, ip[0] & 0xfU)});
    fields.push_back({"IPv4 type of service", formatted("0x%02x", ip[1])});
    fields.push_back({"IPv4 total length", formatted("%u", get16(ip, 2))});
    fields.push_back({"IPv4 identification", formatted("0x%04x", get16(ip, 4))});
    fields.push_back({"IPv4 flags and fragment", formatted("0x%04x", get16(ip, 6))});
    fields.push_back({"IPv4 ttl", formatted("%u", ip[8])});
    fields.push_back({"IPv4 protocol", formatted("%u", ip[9])});
    fields.push_back({"IPv4 checksum", checksum_text(get16(ip, 10), right_ip_checksum(view))});
    fields.push_back({"IPv4 source", ip_text(ip.subspan(12))});
    fields.push_back({"IPv4 destination", ip_text(ip.subspan(16))});
    fields.push_back({"IPv4 options", hex(ip.subspan(ipv4_size))});
}

void list_ipv6(std::vector<Field>& fields, std::span<const std::uint8_t> ip) {
    fields.push_back({"IPv6 version, class, label", formatted("0x%08x", get32(ip, 0))});
    fields.push_back({"IPv6 payload length", formatted("%u", get16(ip, 4))});
    fields.push_back({"IPv6 next header", formatted("%u", ip[6])});
    fields.push_back({"IPv6 hop limit", formatted("%u", ip[7])});
    fields.push_back({"IPv6 source", ip6_text(ip.subspan(8))});
    fields.push_back({"IPv6 destination", ip6_text(ip.subspan(24))});
    fields.push_back({"IPv6 extension headers", hex(ip.subspan(ipv6_size))});
}

std::vector<Field> fields_of(std::span<const std::uint8_t> frame, bool quoted = false);

bool is_error(std::uint8_t protocol, std::uint8_t icmp_type) {
    if (protocol == protocol_icmpv6) {
        return icmp_type < 128;  // RFC 4443, section 2.1
    }
    return icmp_type == 3 || icmp_type == 4 || icmp_type == 5 || icmp_type == 11 || icmp_type == 12;
}

// The packet that an ICMP error carries, as far as it does.
void list_quoted(std::vector<Field>& fields, std::span<const std::uint8_t> quoted) {
    Bytes frame(ethernet_size);
    set16(frame, 12, !quoted.empty() && quoted[0] >> 4U == 6 ? ethertype_ipv6 : ethertype_ipv4);
    put(frame, quoted);
    for (const Field& field : fields_of(frame, true)) {
        if (!field.name.starts_with("Ethernet")) {
            fields.push_back({"quoted " + field.name, field.value});
        }
    }
}

void list_sctp(std::vector<Field>& fields, const View& view) {
    const auto segment = view.transport;
    const auto found = get32(segment, crc_offset), right = view.cut ? found : right_crc(view);
    fields.push_back({"SCTP source port", formatted("%u", get16(segment, 0))});
    fields.push_back({"SCTP destination port", formatted("%u", get16(segment, 2))});
    fields.push_back({"SCTP tag", formatted("0x%08x", get32(segment, 4))});
    fields.push_back({"SCTP checksum", found == right ? formatted("0x%08x", found)
                                                      : formatted("0x%08x (0x%08x would hold)", found, right)});
    fields.push_back({"SCTP payload", hex(segment.subspan(sctp_size))});
}

void list_transport(std::vector<Field>& fields, const View& view) {
    const auto segment = view.transport;
    const std::string name = view.protocol == protocol_tcp ? "TCP" : view.protocol == protocol_udp ? "UDP" : "ICMP";
    const std::uint16_t found = get16(segment, transport_checksum_offset(view.protocol));
    std::size_t header_size = transport_header_size(view.protocol);
    if (view.protocol == protocol_tcp) {  // as far as it says, and is there
        header_size = std::clamp<std::size_t>((segment[12] >> 4U) * std::size_t{4}, header_size, segment.size());
    }
    if (is_icmp(view.protocol)) {
        fields.push_back({"ICMP type, code", formatted("%u %u", segment[0], segment[1])});
        fields.push_back({"ICMP identifier", formatted("%u", get16(segment, 4))});
        fields.push_back({"ICMP sequence", formatted("%u", get16(segment, 6))});
    } else {
        fields.push_back({name + " source port", formatted("%u", get16(segment, 0))});
        fields.push_back({name + " destination port", formatted("%u", get16(segment, 2))});
    }
    if (view.protocol == protocol_tcp) {
        fields.push_back({"TCP sequence", formatted("%u", get32(segment, 4))});
        fields.push_back({"TCP acknowledged", formatted("%u", get32(segment, 8))});
        fields.push_back({"TCP header words, flags", formatted("%u 0x%02x", segment[12] >> 4U, segment[13])});
        fields.push_back({"TCP window, urgent", formatted("%u %u", get16(segment, 14), get16(segment, 18))});
    } else if (view.protocol == protocol_udp) {
        fields.push_back({"UDP length", formatted("%u", get16(segment, 4))});
    }
    fields.push_back({name + " checksum", checksum_text(found, view.cut ? found : right_transport_checksum(view))});
    if (header_size > transport_header_size(view.protocol)) {
        fields.push_back({"TCP options", hex(segment.first(header_size).subspan(tcp_size))});
    }
    if (is_icmp(view.protocol) && is_error(view.protocol, segment[0])) {
        list_quoted(fields, segment.subspan(header_size));
    } else {
        fields.push_back({name + " payload", hex(segment.subspan(header_size))});
    }
}

std::vector<Field> fields_of(std::span<const std::uint8_t> frame, bool quoted) {
    const View view = view_of(frame, quoted);
    std::vector<Field> fields;
    if (!view.ethernet.empty()) {
        fields.push_back({"Ethernet destination", mac_text(view.ethernet)});
        fields.push_back({"Ethernet source", mac_text(view.ethernet.subspan(6))});
        fields.push_back({"Ethernet type", formatted("0x%04x", view.type)});
    }
    if (view.type == ethertype_arp && view.rest.size() >= arp_size) {
        list_arp(fields, view.rest);
    }
    if (!view.ip.empty() && view.type == ethertype_ipv6) {
        list_ipv6(fields, view.ip);
    } else if (!view.ip.empty()) {
        list_ip(fields, view);
    }
    if (!view.transport.empty() && view.protocol == protocol_sctp) {
        list_sctp(fields, view);
    } else if (!view.transport.empty()) {
        list_transport(fields, view);
    }
    fields.push_back({"rest", hex(view.rest)});
    return fields;
}

}  // namespace

std::string describe(const Bytes& frame) {
    std::string text;
    for (const Field& field : fields_of(frame)) {
        text += "  " + field.name + ": " + field.value + "\n";
    }
    return text;
}

std::string difference(const Bytes& expected, const Bytes& actual) {
    if (expected == actual) {
        return {};
    }
    const std::vector<Field> wanted = fields_of(expected), found = fields_of(actual);
    std::string text;
    for (std::size_t i = 0; i < std::max(wanted.size(), found.size()); ++i) {
        const Field want = i < wanted.size() ? wanted[i] : Field{"end", ""};
        const Field have = i < found.size() ? found[i] : Field{"end", ""};
        if (want.name != have.name) {
            return text + "  shape: expected\n" + describe(expected) + "  but got\n" + describe(actual);
        }
        if (want.value != have.value) {
            text += "  " + want.name + ": expected " + want.value + ", got " + have.value + "\n";
        }
    }
    return text.empty() ? "  bytes: expected " + hex(expected) + "\n  but got " + hex(actual) + "\n" : text;
}

std::string wrong_checksums(const Bytes& frame) {
    const View view = view_of(frame);
    std::string text;
    if (view.type == ethertype_ipv4 && !view.ip.empty() && get16(view.ip, 10) != right_ip_checksum(view)) {
        text += "  IPv4 checksum: " + checksum_text(get16(view.ip, 10), right_ip_checksum(view)) + "\n";
    }
    if (!view.transport.empty() && view.protocol == protocol_sctp) {
        const auto found = get32(view.transport, crc_offset), right = right_crc(view);
        text += found == right ? "" : formatted("  SCTP checksum: 0x%08x (0x%08x would hold)\n", found, right);
    } else if (!view.transport.empty()) {
        const std::uint16_t found = get16(view.transport, transport_checksum_offset(view.protocol));
        if (found != right_transport_checksum(view)) {
            text += "  transport checksum: " + checksum_text(found, right_transport_checksum(view)) + "\n";
        }
    }
    return text;
}

std::optional<std::uint16_t> source_port_of(const Bytes& frame) {
    const View view = view_of(frame);
    if (view.transport.empty()) {
        return std::nullopt;
    }
    return get16(view.transport, is_icmp(view.protocol) ? 4 : 0);
}

}  // namespace causeway::test
