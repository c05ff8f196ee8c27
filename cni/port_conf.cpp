// SPDX-License-Identifier: Apache-2.0
#include "cni/port_conf.hpp"

#include <algorithm>
#include <array>

#include "userspace/protocol.hpp"

namespace causeway::cni {

namespace {

const std::string port_mappings = "runtimeConfig.portMappings";

std::expected<std::uint8_t, Error> protocol_of(const Json& mapping) {
    const auto name = TRY(text_at(mapping, "protocol", port_mappings + ".")).value_or("tcp");
    if (const auto protocol = published_protocol(lower_case(name))) {
        return *protocol;
    }
    return invalid(port_mappings, mapping, "has a protocol that is none of tcp, udp, sctp");
}

std::expected<std::uint16_t, Error> port_of(const Json& mapping, const std::string& name) {
    const auto found = mapping.find(name);
    const auto port = found != mapping.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
    if (port < 1 || port > 65535) {
        return invalid(port_mappings, mapping, "has no " + name + " from 1 to 65535");
    }
    return static_cast<std::uint16_t>(port);
}

// One that is the host's at another time is not among them.
bool is_no_hosts(const Address& address) {
    constexpr std::array of_none{"0.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32", "ff00::/8"};
    return address != Address::unspecified(address.family()) && std::ranges::any_of(of_none, [&](const char* text) {
               return Prefix::parse(text).value().contains(address);
           });
}

std::expected<std::optional<Address>, Error> host_of(const Json& mapping) {
    const auto text = TRY(text_at(mapping, "hostIP", port_mappings + "."));
    if (!text) {
        return std::nullopt;
    }
    const auto address = Address::parse(*text);
    if (!address) {
        return invalid(port_mappings, mapping, "has a hostIP that is no IP address");
    }
    if (is_no_hosts(*address)) {
        return invalid(port_mappings, mapping, "has a hostIP that no host can have");
    }
    return *address;
}

// Where one of them is published on every address, it claims the other's too.
bool claim_one_address(const std::optional<Address>& a, const std::optional<Address>& b) {
    if (!a || !b || *a == *b) {
        return true;
    }
    const auto any = Address::unspecified(a->family());
    return a->family() == b->family() && (*a == any || *b == any);
}

bool claim_one_port(const PortMapping& a, const PortMapping& b) {
    return a.protocol == b.protocol && a.host_port == b.host_port && claim_one_address(a.host, b.host);
}

}  // namespace

std::expected<std::vector<PortMapping>, Error> read_port_mappings(const Json& list) {
    std::vector<PortMapping> ports;
    if (list.is_null()) {
        return ports;
    }
    if (!list.is_array()) {
        return invalid(port_mappings, list, "is not a list of port mappings");
    }
    for (const auto& mapping : list) {
        if (!mapping.is_object()) {
            return invalid(port_mappings, mapping, "is not an object with hostPort and containerPort");
        }
        const PortMapping port{TRY(protocol_of(mapping)), TRY(host_of(mapping)), TRY(port_of(mapping, "hostPort")),
                               TRY(port_of(mapping, "containerPort"))};
        const auto other = std::ranges::find_if(ports, [&](const auto& one) { return claim_one_port(one, port); });
        if (other != ports.end()) {
            return invalid(port_mappings, mapping,
                           "claims the same port as " + list[static_cast<std::size_t>(other - ports.begin())].dump());
        }
        ports.push_back(port);
    }
    return ports;
}

}  // namespace causeway::cni
