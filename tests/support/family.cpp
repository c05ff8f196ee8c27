// SPDX-License-Identifier: Apache-2.0
#include "tests/support/family.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <array>
#include <ostream>
#include <regex>
#include <utility>
#include <variant>

#include "tests/support/packet_bytes.hpp"

namespace causeway::test {
namespace {

bool is_fragment(const IPv4& ip) {
    return ip.more_fragments || ip.fragment_offset != 0;
}

std::size_t hop_by_hop_size(const IPv4& ip) {
    return ip.options.empty() ? 0 : (ip.options.size() + 2 + 7) / 8 * 8;
}

// By how much the headers are longer.
std::size_t growth(const IPv4& ip) {
    return ipv6_size - ipv4_size + hop_by_hop_size(ip) - ip.options.size() +
           (is_fragment(ip) ? fragment_header_size : 0);
}

// Padding of N bytes is one option: RFC 8200, section 4.2.
Bytes padding_option(std::size_t size) {
    Bytes option(size);
    option[0] = 1;
    option[1] = static_cast<std::uint8_t>(size - 2);
    return option;
}

std::optional<std::uint8_t> protocol_of(const IPv4& ip) {
    return ip.protocol ? std::optional(protocol_in(*ip.protocol, Family::ipv6)) : std::nullopt;
}

void put_header(std::vector<Layer>& out, const IPv4& ip) {
    IPv6 header{.source = ip6_of(ip.source),
                .destination = ip6_of(ip.destination),
                .hop_limit = ip.ttl,
                .traffic_class = ip.type_of_service,
                .version = ip.version == 4   ? std::uint8_t{6}
                           : ip.version == 6 ? std::uint8_t{4}
                                             : ip.version};
    if (ip.total_length) {
        header.payload_length = static_cast<std::uint16_t>(*ip.total_length + growth(ip) - ipv6_size);
    }
    if (hop_by_hop_size(ip) == 0 && !is_fragment(ip)) {
        header.next_header = protocol_of(ip);
    }
    out.emplace_back(header);
    if (const std::size_t size = hop_by_hop_size(ip)) {
        Extension extension{.kind = hop_by_hop, .body = padding_option(size - 2)};
        if (!is_fragment(ip)) {
            extension.next_header = protocol_of(ip);
        }
        out.emplace_back(extension);
    }
    if (is_fragment(ip)) {
        out.emplace_back(FragmentHeader{.offset = ip.fragment_offset,
                                        .more_fragments = ip.more_fragments,
                                        .identification = ip.identification,
                                        .next_header = protocol_of(ip)});
    }
}

// RFC 792 and RFC 1812 to RFC 4443, section 3: every code of the latter is reached.
IcmpError in_icmpv6(IcmpError error) {
    constexpr std::array<std::uint8_t, 16> codes{0, 3, 2, 4, 0, 5, 6, 0, 1, 2, 3, 4, 5, 1, 6, 0};
    switch (error.type) {
        case icmp_unreachable:
            error.type = error.code == 4 ? icmpv6_too_big : icmpv6_unreachable;
            error.code = codes[error.code % codes.size()];
            break;
        case icmp_time_exceeded:
            error.type = icmpv6_time_exceeded;
            break;
        case icmp_parameter_problem:
            error.type = icmpv6_parameter_problem;
            break;
        case 4:
        case 5:
            error.type = icmpv6_redirect;
            break;
        default:
            break;
    }
    return error;
}

ICMP in_icmpv6(ICMP icmp) {
    if (icmp.type == icmp_echo_request) {
        icmp.type = icmpv6_echo_request;
    } else if (icmp.type == icmp_echo_reply) {
        icmp.type = icmpv6_echo_reply;
    } else {
        const auto error = in_icmpv6(IcmpError{.type = icmp.type, .code = icmp.code});
        icmp.type = error.type;
        icmp.code = error.code;
    }
    return icmp;
}

std::size_t growth_of_quoted(const std::vector<Layer>& layers, std::size_t place) {
    const auto* ip = place + 1 < layers.size() ? std::get_if<IPv4>(&layers[place + 1]) : nullptr;
    return ip ? growth(*ip) : 0;
}

std::string ip6_text(const Ip6& ip) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    inet_ntop(AF_INET6, ip.bytes.data(), text.data(), text.size());
    return text.data();
}

}  // namespace

std::uint8_t protocol_in(std::uint8_t protocol, Family family) {
    return family == Family::ipv6 && protocol == protocol_icmp ? protocol_icmpv6 : protocol;
}

Ip6 ip6_of(Ip ip) {
    Ip6 out = ip.value >> 24 == 10 ? "fd00::"_ip6 : ip.value >> 28 == 0xe ? "ff02::"_ip6 : "2001:db8::"_ip6;
    if (ip.value == 0) {
        return {};
    }
    if (ip.value == 0xffffffff) {
        return "ff02::1"_ip6;
    }
    for (std::size_t i = 0; i < 4; ++i) {
        out.bytes[12 + i] = static_cast<std::uint8_t>(ip.value >> (24 - 8 * i));
    }
    return out;
}

Frame in_family(const Frame& frame, Family family) {
    const std::vector<Layer>& layers = frame.layers();
    std::vector<Layer> out;
    std::size_t grown = 0;
    bool within_ipv4 = false;  // the nearest IP header was one
    if (family == Family::ipv4) {
        return frame;
    }
    for (std::size_t i = 0; i < layers.size(); ++i) {
        if (const auto* ip = std::get_if<IPv4>(&layers[i])) {
            put_header(out, *ip);
            grown += std::exchange(within_ipv4, true) ? 0 : growth(*ip);
        } else if (const auto* icmp = std::get_if<ICMP>(&layers[i]); icmp && within_ipv4) {
            out.emplace_back(in_icmpv6(*icmp));
        } else if (const auto* error = std::get_if<IcmpError>(&layers[i]); error && within_ipv4) {
            IcmpError changed = in_icmpv6(*error);
            changed.quoted += changed.quoted == SIZE_MAX ? 0 : growth_of_quoted(layers, i);
            out.emplace_back(changed);
        } else {
            out.push_back(layers[i]);
        }
    }
    const Frame whole = frame.of(std::move(out));
    return frame.most() == SIZE_MAX ? whole : whole.cut(frame.most() + grown);
}

std::string in_family(const std::string& text, Family family) {
    static const std::regex dotted(R"((\d+)\.(\d+)\.(\d+)\.(\d+)(/(\d+))?)");
    std::string out;
    auto rest = text.begin();
    if (family == Family::ipv4) {
        return text;
    }
    for (std::sregex_iterator match(text.begin(), text.end(), dotted), end; match != end; ++match) {
        std::uint32_t value = 0;
        for (std::size_t part = 1; part <= 4; ++part) {
            value = value << 8 | static_cast<std::uint32_t>(std::stoul((*match)[part].str()));
        }
        out.append(rest, (*match)[0].first);
        out += ip6_text(ip6_of(Ip{value}));
        if ((*match)[6].matched) {
            const auto length = std::stoul((*match)[6].str());
            out += "/" + std::to_string(length == 0 ? 0 : 96 + length);
        }
        rest = (*match)[0].second;
    }
    return out.append(rest, text.end());
}

void PrintTo(Family family, std::ostream* stream) {
    *stream << (family == Family::ipv6 ? "IPv6" : "IPv4");
}

}  // namespace causeway::test
