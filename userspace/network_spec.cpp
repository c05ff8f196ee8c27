// SPDX-License-Identifier: Apache-2.0
#include "userspace/network_spec.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cctype>

namespace causeway {

bool is_name(const std::string& text) {
    const auto allowed = [](unsigned char c) { return std::isalnum(c) != 0 || c == '_' || c == '.' || c == '-'; };
    return !text.empty() && std::isalnum(static_cast<unsigned char>(text[0])) != 0 &&
           std::ranges::all_of(text, allowed);
}

namespace {

std::string why_no_name(const std::string& name, std::size_t room) {
    if (!is_name(name)) {
        return "may only hold letters, digits, '_', '.' and '-', and must begin with a letter or digit";
    }
    return name.size() < room ? "" : "is longer than " + std::to_string(room - 1) + " characters";
}

}  // namespace

std::string why_no_network_name(const std::string& name) {
    return why_no_name(name, CAUSEWAY_NAME_LEN);
}

std::string why_no_container_id(const std::string& id) {
    return why_no_name(id, CAUSEWAY_CONTAINER_LEN);
}

std::string why_no_device_name(const std::string& name) {
    const auto refused = [](unsigned char c) { return c == '/' || c == ':' || c == '%' || c <= ' '; };
    if (name.empty() || name == "." || name == ".." || std::ranges::any_of(name, refused)) {
        return "is not a device name";
    }
    if (name == "all" || name == "default") {  // the kernel's sysctl_dev_name_is_allowed
        return "stands for devices in net.ipv4.conf, and so can't be the name of one";
    }
    return name.size() <= device_name_max ? "" : "is longer than " + std::to_string(device_name_max) + " characters";
}

std::string why_no_subnet(const Prefix& subnet) {
    if (subnet.length == 0) {
        return "is every address there is, and not a sandbox network's";
    }
    if (subnet.address != subnet.first()) {
        return "has host bits set; meant is perhaps " + Prefix{subnet.first(), subnet.length}.text();
    }
    return can_be_given(subnet) ? "" : "has addresses that no interface may be given";
}

bool can_be_given(const Prefix& subnet) {
    constexpr std::array of_none{"0.0.0.0/8", "127.0.0.0/8",   "224.0.0.0/4", "255.255.255.255/32",
                                 "::/127",    "::fffe:0:0/95", "fe80::/10",   "ff00::/8"};
    return std::ranges::none_of(of_none,
                                [&](const char* text) { return subnet.overlaps(Prefix::parse(text).value()); });
}

namespace {

Prefix recorded_destination(const prefix& recorded) {
    constexpr int before_ipv4 = 96;  // bits of a mapped address
    const Address first(recorded.first);
    int length = 0;
    for (const auto word : recorded.mask.word) {
        length += std::popcount(static_cast<std::uint32_t>(word));
    }
    return {first, first.is_ipv4() ? length - before_ipv4 : length};
}

NatSpec recorded_nat(const network& record) {
    const auto has = [&](network_flag flag) { return (record.flags & flag) != 0; };
    NatSpec nat{.masquerade = has(NETWORK_MASQUERADE),
                .port_min = record.port_min,
                .port_max = record.port_max,
                .port_block = record.port_block,
                .inbound = has(NETWORK_INBOUND),
                .forwarded = has(NETWORK_FORWARDED),
                .flows_max = record.flows_max,
                .flows_per_second = record.flows_per_second};
    nat.mapping =
        has(NETWORK_ENDPOINT_INDEPENDENT) ? Mapping::endpoint_independent : Mapping::address_and_port_dependent;
    nat.filtering = has(NETWORK_OPEN_TO_ALL)       ? Filtering::endpoint_independent
                    : has(NETWORK_OPEN_TO_ADDRESS) ? Filtering::address_dependent
                                                   : Filtering::address_and_port_dependent;
    std::ranges::copy(record.timeout, nat.timeouts.begin());
    for (std::uint32_t i = 0; i < record.unmasqueraded_count; i++) {
        nat.unmasqueraded.push_back(recorded_destination(record.unmasqueraded[i]));
    }
    return nat;
}

}  // namespace

NetworkSpec spec_of(const network& record) {
    NetworkSpec spec{.name = record.name,
                     .device = record.device,
                     .isolated = (record.flags & NETWORK_ISOLATED) != 0,
                     .multicast = (record.flags & NETWORK_MULTICAST) != 0,
                     .multicast_per_second = record.multicast_per_second,
                     .nat = recorded_nat(record)};
    if (record.mtu != 0) {
        spec.mtu = record.mtu;
    }
    for (const auto family : {FAMILY_IPV4, FAMILY_IPV6}) {
        RangeSet set;
        for (const auto& subnet : record.subnets) {
            const Address gateway(subnet.gateway);
            const bool has_it = subnet.prefix_length != 0 && gateway.family() == family;
            auto range = Range::of_subnet({gateway, static_cast<int>(subnet.prefix_length)});
            if (has_it && range) {
                range->gateway = gateway;
                set.push_back(*range);
            }
        }
        if (!set.empty()) {
            spec.ranges.push_back(set);
        }
    }
    return spec;
}

}  // namespace causeway
