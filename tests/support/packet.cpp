// SPDX-License-Identifier: Apache-2.0
// Packets to bytes, and bytes to lines that a person can compare.
#include "tests/support/packet.hpp"

#include <algorithm>
#include <cstdio>
#include <span>
#include <utility>

namespace causeway::test {
namespace {

constexpr std::uint8_t protocol_icmp = 1, protocol_tcp = 6, protocol_udp = 17, protocol_sctp = 132,
                       protocol_udp_lite = 136;
constexpr std::size_t ethernet_size = 14, ipv4_size = 20, tcp_size = 20, udp_size = 8, icmp_size = 8, arp_size = 28;

void put8(Bytes& out, unsigned value) {
    out.push_back(static_cast<std::uint8_t>(value));
}

void put16(Bytes& out, unsigned value) {
    put8(out, value >> 8 & 0xff);
    put8(out, value & 0xff);
}

void put32(Bytes& out, std::uint32_t value) {
    put16(out, value >> 16);
    put16(out, value & 0xffff);
}

template <typename Range>
void put(Bytes& out, const Range& bytes) {
    out.insert(out.end(), bytes.begin(), bytes.end());
}

void set16(Bytes& out, std::size_t offset, unsigned value) {
    out[offset] = static_cast<std::uint8_t>(value >> 8);
    out[offset + 1] = static_cast<std::uint8_t>(value);
}

std::uint16_t get16(std::span<const std::uint8_t> bytes, std::size_t offset) {
    return static_cast<std::uint16_t>(bytes[offset] << 8 | bytes[offset + 1]);
}

std::uint32_t get32(std::span<const std::uint8_t> bytes, std::size_t offset) {
    return static_cast<std::uint32_t>(get16(bytes, offset)) << 16 | get16(bytes, offset + 2);
}

// RFC 793, section 3.1 and RFC 768: what the checksum covers besides the segment.
Bytes with_pseudo_header(Ip source, Ip destination, std::uint8_t protocol, std::span<const std::uint8_t> segment) {
    Bytes out;
    put32(out, source.value);
    put32(out, destination.value);
    put16(out, protocol);
    put16(out, static_cast<unsigned>(segment.size()));
    put(out, segment);
    return out;
}

// RFC 9260, appendix A: CRC32c, its bytes in the order in which they are sent.
std::uint32_t crc32c(std::span<const std::uint8_t> bytes) {
    std::uint32_t crc = 0xffffffff;
    for (const auto byte : bytes) {
        crc ^= byte;
        for (int bit = 0; bit < 8; ++bit) {
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78U : 0U);
        }
    }
    return __builtin_bswap32(~crc);
}

// The bytes of layers[index] and all within it, without padding. ip: the nearest one around it, or nullptr.
class Writer {
public:
    explicit Writer(std::span<const Layer> layers) : layers_(layers) {}

    Bytes write(std::size_t index, const IPv4* ip) const {
        if (index == layers_.size()) {
            return {};
        }
        const Layer& layer = layers_[index];
        if (const auto* inner = std::get_if<IPv4>(&layer)) {
            ip = inner;
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
        return followed_by<Arp>(index) ? ethertype_arp : followed_by<Vlan>(index) ? ethertype_vlan : ethertype_ipv4;
    }

    std::uint8_t protocol_after(std::size_t index) const {
        return followed_by<ICMP>(index)      ? protocol_icmp
               : followed_by<UDP>(index)     ? protocol_udp
               : followed_by<UdpLite>(index) ? protocol_udp_lite
               : followed_by<SCTP>(index)    ? protocol_sctp
                                             : protocol_tcp;
    }

    Bytes bytes_of(const Ethernet& ethernet, std::size_t index, const Bytes& rest, const IPv4*) const {
        Bytes out;
        put(out, ethernet.destination.bytes);
        put(out, ethernet.source.bytes);
        put16(out, ethernet.type.value_or(type_after(index)));
        put(out, rest);
        return out;
    }

    Bytes bytes_of(const Vlan& vlan, std::size_t index, const Bytes& rest, const IPv4*) const {
        Bytes out;
        put16(out, vlan.tag);
        put16(out, vlan.type.value_or(type_after(index)));
        put(out, rest);
        return out;
    }

    static Bytes bytes_of(const Arp& arp, std::size_t, const Bytes& rest, const IPv4*) {
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

    Bytes bytes_of(const IPv4& ip, std::size_t index, const Bytes& rest, const IPv4*) const {
        const std::size_t header_size = ipv4_size + ip.options.size();
        Bytes out;
        put8(out, static_cast<unsigned>(ip.version << 4 | ip.header_words.value_or(header_size / 4)));
        put8(out, ip.type_of_service);
        put16(out, ip.total_length.value_or(static_cast<std::uint16_t>(header_size + rest.size())));
        put16(out, ip.identification);
        put16(out, (ip.reserved_flag ? 0x8000U : 0U) | (ip.dont_fragment ? 0x4000U : 0U) |
                       (ip.more_fragments ? 0x2000U : 0U) | ip.fragment_offset);
        put8(out, ip.ttl);
        put8(out, ip.protocol.value_or(protocol_after(index)));
        put16(out, 0);
        put32(out, ip.source.value);
        put32(out, ip.destination.value);
        put(out, ip.options);
        set16(out, 10, ip.checksum.value_or(checksum_of(out)));
        put(out, rest);
        return out;
    }

    static Bytes bytes_of(const TCP& tcp, std::size_t, const Bytes& rest, const IPv4* ip) {
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

    static Bytes bytes_of(const UDP& udp, std::size_t, const Bytes& rest, const IPv4* ip) {
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

    static Bytes bytes_of(const UdpLite& udp, std::size_t, const Bytes& rest, const IPv4* ip) {
        Bytes out;
        put16(out, udp.source_port);
        put16(out, udp.destination_port);
        put16(out, udp.coverage);
        put16(out, 0);
        put(out, rest);
        const std::size_t covered = udp.coverage ? std::min<std::size_t>(udp.coverage, out.size()) : out.size();
        Bytes summed = with_pseudo_header(ip ? ip->source : Ip{}, ip ? ip->destination : Ip{}, protocol_udp_lite, out);
        summed.resize(summed.size() - out.size() + covered);
        const std::uint16_t computed = checksum_of(summed);
        set16(out, 6, udp.checksum.value_or(computed ? computed : 0xffff));
        return out;
    }

    static Bytes bytes_of(const SCTP& sctp, std::size_t, const Bytes& rest, const IPv4*) {
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

    static Bytes bytes_of(const ICMP& icmp, std::size_t, const Bytes& rest, const IPv4*) {
        Bytes out;
        put8(out, icmp.type);
        put8(out, icmp.code);
        put16(out, 0);
        put16(out, icmp.identifier);
        put16(out, icmp.sequence);
        put(out, rest);
        set16(out, 2, icmp.checksum.value_or(checksum_of(out)));
        return out;
    }

    static Bytes bytes_of(const Payload& payload, std::size_t, const Bytes& rest, const IPv4*) {
        Bytes out(payload.text.begin(), payload.text.end());
        put(out, rest);
        return out;
    }

    static Bytes bytes_of(const Padding&, std::size_t, const Bytes& rest, const IPv4*) { return rest; }

    static std::uint16_t transport_checksum(const IPv4* ip, std::uint8_t protocol, const Bytes& segment) {
        return ip ? checksum_of(with_pseudo_header(ip->source, ip->destination, protocol, segment)) : std::uint16_t{0};
    }

    std::span<const Layer> layers_;
};

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
    return protocol == protocol_tcp ? tcp_size : protocol == protocol_udp ? udp_size : icmp_size;
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
    if (view.type != ethertype_ipv4 || view.rest.size() < ipv4_size) {
        return view;
    }
    const std::size_t header_size = (view.rest[0] & 0xfU) * std::size_t{4};
    std::size_t total = get16(view.rest, 2);
    if (quoted && total > view.rest.size()) {
        total = view.rest.size();
        view.cut = true;
    }
    if (header_size < ipv4_size || total < header_size || total > view.rest.size()) {
        return view;
    }
    view.ip = view.rest.first(header_size);
    view.protocol = view.ip[9];
    view.fragment = (get16(view.ip, 6) & 0x3fffU) != 0;
    const auto segment = view.rest.subspan(header_size, total - header_size);
    const bool known = view.protocol == protocol_tcp || view.protocol == protocol_udp || view.protocol == protocol_icmp;
    if (known && !view.fragment && segment.size() >= transport_header_size(view.protocol)) {
        view.transport = segment;
        view.rest = view.rest.subspan(total);
    } else {
        view.rest = view.rest.subspan(header_size);
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
    const std::uint16_t sum =
        checksum_of(with_pseudo_header(Ip{get32(view.ip, 12)}, Ip{get32(view.ip, 16)}, view.protocol, segment));
    return view.protocol == protocol_udp && sum == 0 ? 0xffff : sum;
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

std::vector<Field> fields_of(std::span<const std::uint8_t> frame, bool quoted = false);

bool is_error(std::uint8_t icmp_type) {
    return icmp_type == 3 || icmp_type == 4 || icmp_type == 5 || icmp_type == 11 || icmp_type == 12;
}

// The packet that an ICMP error carries, as far as it does.
void list_quoted(std::vector<Field>& fields, std::span<const std::uint8_t> quoted) {
    Bytes frame(ethernet_size);
    set16(frame, 12, ethertype_ipv4);
    put(frame, quoted);
    for (const Field& field : fields_of(frame, true)) {
        if (!field.name.starts_with("Ethernet")) {
            fields.push_back({"quoted " + field.name, field.value});
        }
    }
}

void list_transport(std::vector<Field>& fields, const View& view) {
    const auto segment = view.transport;
    const std::string name = view.protocol == protocol_tcp ? "TCP" : view.protocol == protocol_udp ? "UDP" : "ICMP";
    const std::uint16_t found = get16(segment, transport_checksum_offset(view.protocol));
    std::size_t header_size = transport_header_size(view.protocol);
    if (view.protocol == protocol_tcp) {  // as far as it says, and is there
        header_size = std::clamp<std::size_t>((segment[12] >> 4U) * std::size_t{4}, header_size, segment.size());
    }
    if (view.protocol == protocol_icmp) {
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
    if (view.protocol == protocol_icmp && is_error(segment[0])) {
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
    if (!view.ip.empty()) {
        list_ip(fields, view);
    }
    if (!view.transport.empty()) {
        list_transport(fields, view);
    }
    fields.push_back({"rest", hex(view.rest)});
    return fields;
}

}  // namespace

Frame Frame::cut(std::size_t size) const {
    Frame shorter = *this;
    shorter.size_ = size;
    return shorter;
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
    if (!view.ip.empty() && get16(view.ip, 10) != right_ip_checksum(view)) {
        text += "  IPv4 checksum: " + checksum_text(get16(view.ip, 10), right_ip_checksum(view)) + "\n";
    }
    if (!view.transport.empty()) {
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
    return get16(view.transport, view.protocol == protocol_icmp ? 4 : 0);
}

}  // namespace causeway::test
