// SPDX-License-Identifier: Apache-2.0
#include "userspace/network_record.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <ranges>

#include "userspace/fixed_text.hpp"

namespace causeway {

bool is_used(const subnet& subnet) {
    return subnet.prefix_length != 0;
}

Prefix prefix_of(const subnet& subnet) {
    return {Address(subnet.gateway), static_cast<int>(subnet.prefix_length)};
}

std::vector<Prefix> gateways_of(const network& record) {
    std::vector<Prefix> gateways;
    for (const auto& subnet : record.subnets) {
        if (is_used(subnet)) {
            gateways.push_back(prefix_of(subnet));
        }
    }
    if (has_subnets(record, FAMILY_IPV6)) {
        gateways.push_back(link_local_gateway_of(record));
    }
    return gateways;
}

bool has_gateway(const network& record, const Range& range) {
    return std::ranges::any_of(record.subnets, [&](const subnet& subnet) {
        return prefix_of(subnet) == Prefix{range.gateway, range.subnet.length};
    });
}

namespace {

prefix raw_of(const Prefix& destination) {
    const address first = destination.first().raw(), last = destination.last().raw();
    prefix result{.first = first};
    for (std::size_t i = 0; i < std::size(first.word); i++) {
        result.mask.word[i] = ~(first.word[i] ^ last.word[i]);
    }
    return result;
}

std::uint32_t flags_of(const NetworkSpec& spec) {
    const auto& nat = spec.nat;
    const auto flag = [](bool set, network_flag one) { return set ? static_cast<std::uint32_t>(one) : 0U; };
    const bool mapped = nat.mapping == Mapping::endpoint_independent;
    return flag(nat.masquerade, NETWORK_MASQUERADE) | flag(mapped, NETWORK_ENDPOINT_INDEPENDENT) |
           flag(mapped && nat.filtering == Filtering::endpoint_independent, NETWORK_OPEN_TO_ALL) |
           flag(mapped && nat.filtering == Filtering::address_dependent, NETWORK_OPEN_TO_ADDRESS) |
           flag(nat.inbound, NETWORK_INBOUND) | flag(nat.forwarded, NETWORK_FORWARDED) |
           flag(spec.isolated, NETWORK_ISOLATED) | flag(spec.multicast, NETWORK_MULTICAST);
}

// IPv4's where there is one: of those no two are alike.
Mac mac_for(const network& record) {
    const auto* const first = std::ranges::find_if(
        record.subnets, [](const subnet& s) { return is_used(s) && Address(s.gateway).is_ipv4(); });
    return Mac::of_address(Address(first != std::end(record.subnets) ? first->gateway : record.subnets[0].gateway));
}

// The kernel keeps one of them with IPv6, and with IPv4 both, whose subnets overlap.
std::expected<void, Error> refuse_other_length(const network& record, const Range& range) {
    for (const auto& subnet : record.subnets) {
        if (is_used(subnet) && Address(subnet.gateway) == range.gateway) {
            const auto present = prefix_of(subnet);
            return fail(Code::invalid_configuration,
                        "ipam.ranges: the subnet " + range.subnet.text() + " has the gateway " + range.gateway.text() +
                            ", which the network \"" + std::string(record.name) + "\" has in " +
                            Prefix{present.first(), present.length}.text(),
                        "a network's subnet gets another size when all of its sandboxes are gone; until then a subnet "
                        "beside it gives more room");
        }
    }
    return {};
}

}  // namespace

std::expected<network, Error> wanted_record(const NetworkSpec& spec, const network& present, std::uint32_t mtu) {
    network record = present;
    copy_text(record.name, spec.name);
    copy_text(record.device, spec.device);
    record.flags = flags_of(spec);
    record.port_min = spec.nat.port_min;
    record.port_max = spec.nat.port_max;
    record.port_block = spec.nat.port_block;
    std::ranges::copy(spec.nat.timeouts, record.timeout);
    record.flows_max = spec.nat.flows_max;
    record.flows_per_second = spec.nat.flows_per_second;
    record.multicast_per_second = spec.multicast_per_second;
    std::ranges::fill(record.unmasqueraded, prefix{});
    record.unmasqueraded_count = static_cast<std::uint32_t>(spec.nat.unmasqueraded.size());
    for (std::size_t i = 0; i < spec.nat.unmasqueraded.size(); i++) {
        const auto& destination = spec.nat.unmasqueraded[i];
        record.unmasqueraded[i] = raw_of(destination);
    }
    if (record.mtu == 0) {
        record.mtu = mtu;
    }
    for (const auto& range : spec.ranges | std::views::join) {
        if (has_gateway(record, range)) {
            continue;
        }
        TRY(refuse_other_length(present, range));
        auto* const place = std::ranges::find_if(record.subnets, [](const subnet& s) { return !is_used(s); });
        if (place == std::end(record.subnets)) {
            return fail(Code::invalid_configuration,
                        "ipam.ranges: the network \"" + spec.name + "\" has " + std::to_string(CAUSEWAY_SUBNETS_MAX) +
                            " subnets already, and sandboxes in all of them",
                        "DEL those that are in subnets that the configuration has no more");
        }
        *place = {range.gateway.raw(), static_cast<std::uint32_t>(range.subnet.length)};
    }
    if (std::ranges::none_of(present.subnets, is_used)) {
        std::ranges::copy(mac_for(record).bytes, record.mac);
    }
    return record;
}

bool same_record(const network& a, const network& b) {
    return std::memcmp(&a, &b, sizeof(a)) == 0;
}

std::expected<network, Error> make_room_for(const NetworkSpec& spec, const Datapath& datapath, const Network& present) {
    network record = present.record;
    if (wanted_record(spec, record, record.mtu)) {
        return record;
    }
    std::vector<Address> held;
    TRY(datapath.endpoints.for_each([&](const address& place, const endpoint& entry) {
        if (entry.kind != ENDPOINT_GATEWAY && entry.network == present.id) {
            held.emplace_back(place);
        }
    }));
    const auto is_idle = [&](const subnet& subnet) {
        const auto prefix = prefix_of(subnet);
        const auto names_it = [&](const Range& r) { return prefix == Prefix{r.gateway, r.subnet.length}; };
        const auto is_in_it = [&](const Address& address) { return prefix.contains(address); };
        return std::ranges::none_of(spec.ranges | std::views::join, names_it) && std::ranges::none_of(held, is_in_it) &&
               !std::ranges::equal(Mac::of_address(prefix.address).bytes, record.mac);
    };
    std::ranges::fill(std::ranges::remove_if(record.subnets, is_idle), subnet{});
    return record;
}

}  // namespace causeway
