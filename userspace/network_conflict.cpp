// SPDX-License-Identifier: Apache-2.0
#include "userspace/network_conflict.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <ranges>
#include <set>
#include <span>

#include "userspace/network_record.hpp"
#include "userspace/sysctl.hpp"

namespace causeway {

namespace {

constexpr const char* unused_go =
    "a network goes when it has no sandbox any more and another one needs what it has; "
    "sandboxes that are gone, \"causewayctl gc\" removes";

std::expected<void, Error> refuse_overlap(const std::vector<Network>& others, const NetworkSpec& spec) {
    for (const auto& other : others) {
        if (spec.device == other.record.device) {
            continue;
        }
        for (const auto& subnet : other.record.subnets) {
            for (const auto& range : spec.ranges | std::views::join) {
                if (is_used(subnet) && prefix_of(subnet).overlaps(range.subnet)) {
                    return fail(Code::invalid_configuration,
                                "ipam.ranges: the subnet " + range.subnet.text() + " overlaps that of the network \"" +
                                    other.record.name + "\" on " + other.record.device,
                                unused_go);
                }
            }
        }
    }
    return {};
}

// What every host and every link has anew (RFC 1122, 3927, 4291).
bool is_local_to_host_or_link(const Address& address) {
    static const Prefix loopback{Address::of_ipv4(127U << 24), 8}, link{Address::of_ipv4(169U << 24 | 254U << 16), 16};
    return loopback.contains(address) || link.contains(address) || address.is_link_local() ||
           address == Address{}.plus(1);
}

std::expected<std::string, Error> name_of_device(Netlink& netlink, std::uint32_t ifindex) {
    const auto link = netlink.link_at(ifindex);
    if (!link && link.error().number != ENODEV) {
        return std::unexpected(link.error());
    }
    return link ? link->name : "a device that has gone since";
}

std::unexpected<Error> is_not_for_sandboxes(const Range& range, const std::string& what) {
    return fail(Code::invalid_configuration, "ipam.ranges: the subnet " + range.subnet.text() + " contains " + what,
                "give the network a subnet that no other device of the host has a part of");
}

// Before the host's own route by the gateway device, whose metric is the kernel's for an interface's subnet.
bool comes_first(const Route& route, const Prefix& subnet) {
    constexpr std::uint32_t ipv4_metric = 0, ipv6_metric = 256;  // IP6_RT_PRIO_ADDRCONF
    return route.in_main_table() &&
           (route.destination.length > subnet.length ||
            route.priority.value_or(0) <= (subnet.address.is_ipv4() ? ipv4_metric : ipv6_metric));
}

bool is_reached_on_link(const Route& route) {
    return route.in_main_table() && route.gateway.is_none() &&
           (!route.destination.address.is_ipv4() || route.on_link());
}

// An address of the host's own would be given to a sandbox, and what its other links lead to would be lost to it.
std::expected<void, Error> refuse_part_of_host(Netlink& netlink, const std::vector<Network>& networks,
                                               const Range& range) {
    const int family = range.gateway.is_ipv4() ? AF_INET : AF_INET6;
    const auto is_elsewhere = [&](std::uint32_t ifindex, const Prefix& part) {
        const auto is_gateway = [&](const Network& n) { return n.record.ifindex == ifindex; };
        return ifindex != 0 && std::ranges::none_of(networks, is_gateway) && part.length >= range.subnet.length &&
               range.subnet.contains(part.address) && !is_local_to_host_or_link(part.address);
    };
    for (const auto& [ifindex, address, global] : TRY(netlink.local_addresses(family))) {
        const bool is_to_be_given =
            gives_out(std::span(&range, 1), address.address) || address.address == range.gateway;
        if (is_to_be_given && is_elsewhere(ifindex, address)) {
            return is_not_for_sandboxes(range, "the host's own address " + address.address.text() + " on " +
                                                   TRY(name_of_device(netlink, ifindex)));
        }
    }
    for (const auto& route : TRY(netlink.routes(family))) {
        if (!is_elsewhere(route.ifindex, route.destination)) {
            continue;
        }
        if (is_reached_on_link(route)) {
            return is_not_for_sandboxes(range, route.destination.text() + ", which the host reaches on the link of " +
                                                   TRY(name_of_device(netlink, route.ifindex)));
        }
        if (!route.gateway.is_none() && comes_first(route, range.subnet)) {
            return is_not_for_sandboxes(range, route.destination.text() + ", which the host reaches by " +
                                                   route.gateway.text() + " on " +
                                                   TRY(name_of_device(netlink, route.ifindex)));
        }
    }
    return {};
}

// Of subnets that are new to the network: to those that it has, the host has a route by the gateway device already.
std::expected<void, Error> refuse_parts_of_host(Netlink& netlink, const std::vector<Network>& networks,
                                                const Network* present, const NetworkSpec& spec) {
    for (const auto& range : spec.ranges | std::views::join) {
        if (present == nullptr || !has_gateway(present->record, range)) {
            TRY(refuse_part_of_host(netlink, networks, range));
        }
    }
    return {};
}

// A port outside names a sandbox only if no other network draws from the same blocks.
std::expected<void, Error> refuse_shared_blocks(const std::vector<Network>& others, const NetworkSpec& spec) {
    for (const auto& other : others) {
        const auto& record = other.record;
        const bool blocks = spec.nat.port_block != 0 || record.port_block != 0;
        if (spec.device != record.device && blocks && spec.nat.port_min <= record.port_max &&
            record.port_min <= spec.nat.port_max) {
            return fail(Code::invalid_configuration,
                        "portRange: " + std::to_string(spec.nat.port_min) + "-" + std::to_string(spec.nat.port_max) +
                            " overlaps that of the network \"" + std::string(record.name) +
                            "\", and one of the two has a portBlock",
                        "give a network with portBlock a portRange of its own");
        }
    }
    return {};
}

// A device of that name which the networks map doesn't know was made by somebody else. own: the one that it knows.
std::expected<void, Error> refuse_foreign_device(Netlink& netlink, const std::string& device,
                                                 const std::optional<Link>& own) {
    for (const auto& name : {device, inner_end_of(device)}) {
        const auto link = netlink.link_named(name);
        if (link && own && link->ifindex == (name == device ? own->ifindex : own->peer)) {
            continue;
        }
        if (link) {
            return fail(Code::invalid_configuration, "device: \"" + name + "\" exists and is not causeway's",
                        "choose another name for the gateway device, or remove that device; one that causeway lost the "
                        "record of, \"causewayctl gc\" removes");
        }
        if (link.error().number != ENODEV) {
            return std::unexpected(link.error());
        }
    }
    return {};
}

}  // namespace

const Network* on_device(const std::vector<Network>& networks, const std::string& device) {
    const auto found = std::ranges::find_if(networks, [&](const Network& n) { return device == n.record.device; });
    return found == networks.end() ? nullptr : &*found;
}

std::expected<std::uint32_t, Error> free_slot(const std::vector<Network>& networks) {
    for (std::uint32_t id = 1; id < CAUSEWAY_NETWORKS_MAX; id++) {
        if (std::ranges::none_of(networks, [&](const Network& n) { return n.id == id; })) {
            return id;
        }
    }
    return fail(Code::exhausted,
                "make a network: this host has " + std::to_string(CAUSEWAY_NETWORKS_MAX - 1) + " already", unused_go);
}

std::expected<void, Error> refuse_other_name(const Network& present, const NetworkSpec& spec) {
    if (spec.name != present.record.name) {
        return fail(Code::invalid_configuration,
                    "device: \"" + spec.device + "\" is the gateway device of the network \"" +
                        std::string(present.record.name) + "\"",
                    "give each network a device of its own; " + std::string(unused_go));
    }
    return {};
}

namespace {

// Whether the spec can't have what it wants as long as that one is there.
bool is_in_the_way(const Network& other, const NetworkSpec& spec) {
    if (spec.device == other.record.device) {
        return !refuse_other_name(other, spec) || !wanted_record(spec, other.record, default_mtu);
    }
    const std::vector one{other};
    return !refuse_overlap(one, spec) || !refuse_shared_blocks(one, spec);
}

}  // namespace

// A network whose last sandbox is gone is there only because another network has some.
std::expected<Neighbours, Error> neighbours_of(const Datapath& datapath, const NetworkSpec& spec) {
    Neighbours neighbours{.all = TRY(list_networks(datapath))};
    const auto& all = neighbours.all;
    const bool no_place = on_device(all, spec.device) == nullptr && !free_slot(all);
    const auto in_the_way = [&](const Network& n) { return no_place || is_in_the_way(n, spec); };
    const bool any = std::ranges::any_of(all, in_the_way);
    const auto used = any ? TRY(networks_in_use(datapath, spec.asker)) : std::set<std::uint32_t>{};
    for (const auto& one : all) {
        auto& side = !in_the_way(one) || used.contains(one.id) ? neighbours.staying : neighbours.going;
        side.push_back(one);
    }
    return neighbours;
}

namespace {

bool is_block_of(const NatSpec& nat, std::uint32_t block, std::uint32_t size) {
    return size == nat.port_block && block >= nat.port_min && block + size - 1 <= nat.port_max &&
           (block - nat.port_min) % size == 0;
}

std::string blocks_text(std::uint32_t size, std::uint32_t min, std::uint32_t max) {
    return (size == 0 ? "no blocks" : "blocks of " + std::to_string(size)) + " in " + std::to_string(min) + "-" +
           std::to_string(max);
}

// A block is claimed by its first port: those of another size, or from another port on, would overlap it.
std::expected<void, Error> refuse_other_blocks(const Datapath& datapath, const Network& present,
                                               const NetworkSpec& spec) {
    const auto& record = present.record;
    const auto& nat = spec.nat;
    if (record.port_block == 0 ||
        (record.port_block == nat.port_block && record.port_min == nat.port_min && record.port_max == nat.port_max)) {
        return {};
    }
    std::size_t holders = 0;
    bool any_other = false;
    TRY(datapath.attachments.for_each([&](const attachment_key&, const attachment& one) {
        if (one.network == present.id && one.block != 0) {
            holders++;
            any_other = any_other || !is_block_of(nat, one.block, record.port_block);
        }
    }));
    if (!any_other) {
        return {};
    }
    return fail(Code::invalid_configuration,
                "portBlock: " + std::to_string(holders) + (holders == 1 ? " sandbox has " : " sandboxes have ") +
                    blocks_text(record.port_block, record.port_min, record.port_max) + ", with which " +
                    blocks_text(nat.port_block, nat.port_min, nat.port_max) + " don't agree",
                "DEL them first, or keep portBlock, and a portRange in which theirs are");
}

}  // namespace

std::expected<void, Error> refuse_conflicts(const Datapath* datapath, Netlink& netlink, const Neighbours& neighbours,
                                            const NetworkSpec& spec, const std::optional<Link>& own) {
    const auto& networks = neighbours.staying;
    const auto* const present = on_device(networks, spec.device);
    if (present != nullptr) {
        TRY(refuse_other_name(*present, spec));
        TRY(refuse_other_blocks(*datapath, *present, spec));
    }
    TRY(refuse_foreign_device(netlink, spec.device, own));
    TRY(refuse_overlap(networks, spec));
    TRY(refuse_parts_of_host(netlink, neighbours.all, present, spec));
    TRY(refuse_shared_blocks(networks, spec));
    if (!spec.ranges.empty() && spec.has(FAMILY_IPV6) && !has_ipv6()) {
        return fail(Code::invalid_configuration, "ipam.ranges: has IPv6, and this kernel runs without it",
                    "start the kernel without ipv6.disable=1");
    }
    return {};
}

}  // namespace causeway
