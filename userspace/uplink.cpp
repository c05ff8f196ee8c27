// SPDX-License-Identifier: Apache-2.0
#include "userspace/uplink.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>

#include "userspace/sysctl.hpp"

namespace causeway {

namespace {

constexpr std::array families{FAMILY_IPV4, FAMILY_IPV6};

int number_of(family family) {
    return family == FAMILY_IPV4 ? AF_INET : AF_INET6;
}

// The first that may be the source of what leaves by it, of each family that the network has.
std::expected<std::array<Address, FAMILY_COUNT>, Error> sources_on(Netlink& netlink, std::uint32_t ifindex,
                                                                   const NetworkSpec& spec) {
    std::array<Address, FAMILY_COUNT> sources;
    for (const auto family : families) {
        if (spec.has(family)) {
            const auto addresses = TRY(netlink.addresses(number_of(family), ifindex));
            const auto found = std::ranges::find_if(addresses, &LinkAddress::global);
            sources[family] = found == addresses.end() ? Address{} : found->prefix.address;
        }
    }
    return sources;
}

// Linux, Documentation/networking/ip-sysctl.rst, use_tempaddr.
bool prefers_temporary(const Link& link, const NetworkSpec& spec) {
    return spec.has(FAMILY_IPV6) && sysctl_value("net/ipv6/conf/" + link.name + "/use_tempaddr") == "2";
}

std::expected<std::vector<Uplink>, Error> named_uplinks(Netlink& netlink, const NetworkSpec& spec) {
    std::vector<Uplink> uplinks;
    for (const auto& name : spec.uplinks) {
        auto link = netlink.link_named(name);
        if (!link) {
            return fail(Code::invalid_configuration, "uplinks: " + link.error().message);
        }
        if (!link->ethernet) {
            return fail(Code::invalid_configuration, "uplinks: \"" + name + "\" is not an Ethernet device");
        }
        uplinks.push_back({*link, TRY(sources_on(netlink, link->ifindex, spec)), prefers_temporary(*link, spec)});
    }
    return uplinks;
}

// A request for each family, and one more and as many again for each device that has such an address and isn't
// causeway's: however many others there are.
std::expected<std::vector<Uplink>, Error> all_uplinks(Netlink& netlink, const NetworkSpec& spec,
                                                      const std::vector<Network>& networks) {
    constexpr std::uint32_t loopback = 1;
    std::set<std::uint32_t> seen{loopback};
    for (const auto& network : networks) {
        seen.insert(network.record.ifindex);
    }
    std::vector<std::uint32_t> candidates;
    for (const auto family : families) {
        for (const auto& local :
             spec.has(family) ? TRY(netlink.local_addresses(number_of(family))) : std::vector<LinkAddress>{}) {
            if (!local.prefix.address.is_link_local() && seen.insert(local.ifindex).second) {
                candidates.push_back(local.ifindex);
            }
        }
    }
    std::vector<Uplink> uplinks;
    for (const auto ifindex : candidates) {
        const auto link = netlink.link_at(ifindex);
        if (!link && link.error().number != ENODEV) {  // gone since: then it is no uplink
            return std::unexpected(link.error());
        }
        if (!link || !link->ethernet ||
            std::ranges::any_of(networks, [&](const Network& n) { return link->name == n.record.device; })) {
            continue;
        }
        const auto sources = TRY(sources_on(netlink, ifindex, spec));
        if (!std::ranges::all_of(sources, &Address::is_none)) {
            uplinks.push_back({*link, sources, prefers_temporary(*link, spec)});
        }
    }
    return uplinks;
}

// Direction and program, of each that an uplink gets.
std::array<std::pair<Direction, int>, 2> uplink_programs(const Datapath& datapath) {
    return {{{Direction::ingress, datapath.from_uplink.get()}, {Direction::egress, datapath.from_stack.get()}}};
}

std::expected<std::vector<std::uint32_t>, Error> recorded(const Datapath& datapath) {
    std::vector<std::uint32_t> uplinks;
    TRY(datapath.uplinks.for_each([&](const std::uint32_t& ifindex, const uplink&) { uplinks.push_back(ifindex); }));
    return uplinks;
}

std::expected<std::vector<std::uint32_t>, Error> recorded_of_devices_gone(const Datapath& datapath, Netlink& netlink) {
    std::vector<std::uint32_t> gone;
    for (const auto ifindex : TRY(recorded(datapath))) {
        const auto link = netlink.link_at(ifindex);
        if (!link && link.error().number != ENODEV) {
            return std::unexpected(link.error());
        }
        if (!link) {
            gone.push_back(ifindex);
        }
    }
    return gone;
}

// Its families are those that the network has: a configuration whose addresses another plugin gives names none.
NetworkSpec as_recorded(const network& record, const std::vector<std::string>& names) {
    NetworkSpec spec{.uplinks = names};
    for (const auto& subnet : record.subnets) {
        if (subnet.prefix_length != 0) {
            spec.ranges.push_back({Range{.gateway = Address(subnet.gateway)}});
        }
    }
    return spec;
}

std::unexpected<Error> no_room_for_uplink(const Link& link) {
    return fail(Code::exhausted,
                "record the uplink " + link.name + ": there is room for " + std::to_string(CAUSEWAY_UPLINKS_MAX) +
                    " devices that lead to the world, and all is taken",
                "\"uplinks\" in the configuration names those that are meant; what is recorded is forgotten when the "
                "device goes, or with the last sandbox of the host");
}

// Programs went with their devices, so that only records are left of them.
std::expected<void, Error> record_uplink(const Datapath& datapath, Netlink& netlink, const Link& link,
                                         const uplink& entry) {
    const std::string what = "the uplink " + link.name;
    auto put = datapath.uplinks.put(link.ifindex, entry, what);
    if (put || put.error().number != E2BIG) {
        return put;
    }
    for (const auto ifindex : TRY(recorded_of_devices_gone(datapath, netlink))) {
        TRY(datapath.uplinks.erase(ifindex, "an uplink that is gone"));
    }
    put = datapath.uplinks.put(link.ifindex, entry, what);
    return !put && put.error().number == E2BIG ? no_room_for_uplink(link) : put;
}

}  // namespace

std::expected<std::vector<Uplink>, Error> find_uplinks(Netlink& netlink, const NetworkSpec& spec,
                                                       const std::vector<Network>& networks) {
    return spec.uplinks.empty() ? all_uplinks(netlink, spec, networks) : named_uplinks(netlink, spec);
}

// The record before the program, so that whoever removes the networks finds all that was attached.
std::expected<void, Error> attach_uplinks(const Datapath& datapath, Netlink& netlink,
                                          const std::vector<Uplink>& uplinks, const NetworkSpec& spec) {
    for (const auto& [link, addresses, temporary] : uplinks) {
        const auto present = datapath.uplinks.find(link.ifindex);
        uplink entry = present.value_or(uplink{});
        for (const auto family : families) {
            if (spec.has(family)) {
                entry.address[family] = addresses[family].raw();
            }
        }
        if (spec.has(FAMILY_IPV6)) {
            entry.flags = temporary ? std::uint32_t{UPLINK_TEMPORARY} : 0U;
        }
        if (!present || std::memcmp(&entry, &*present, sizeof(entry)) != 0) {
            TRY(record_uplink(datapath, netlink, link, entry));
        }
        for (const auto& [direction, program] : uplink_programs(datapath)) {
            TRY(attach(datapath.uplink_hook, link.ifindex, direction, program, link.name));
        }
    }
    return {};
}

std::expected<void, Error> refuse_too_many(const Datapath* datapath, Netlink& netlink,
                                           const std::vector<Link>& uplinks) {
    const auto known = datapath != nullptr ? TRY(recorded(*datapath)) : std::vector<std::uint32_t>{};
    std::vector<Link> fresh;
    for (const auto& link : uplinks) {
        if (std::ranges::find(known, link.ifindex) == known.end()) {
            fresh.push_back(link);
        }
    }
    std::size_t room = CAUSEWAY_UPLINKS_MAX - known.size();
    if (fresh.size() > room && datapath != nullptr) {
        room += TRY(recorded_of_devices_gone(*datapath, netlink)).size();
    }
    return fresh.size() > room ? no_room_for_uplink(fresh[room]) : std::expected<void, Error>{};
}

namespace {

std::expected<bool, Error> is_default_way(Netlink& netlink, std::uint32_t ifindex) {
    for (const int family : {AF_INET, AF_INET6}) {
        const auto is_that = [&](const Route& route) {
            return route.in_main_table() && route.destination.length == 0 && route.ifindex == ifindex;
        };
        if (std::ranges::any_of(TRY(netlink.routes(family)), is_that)) {
            return true;
        }
    }
    return false;
}

}  // namespace

std::expected<void, Error> verify_uplinks(const Datapath& datapath, Netlink& netlink,
                                          const std::vector<std::string>& names, const network& record,
                                          NobodysUplinks nobodys) {
    const auto networks = TRY(list_networks(datapath));
    for (const auto& [link, addresses, temporary] : TRY(find_uplinks(netlink, as_recorded(record, names), networks))) {
        if (!TRY(datapath.uplinks.look_up(link.ifindex))) {
            if (names.empty() && nobodys == NobodysUplinks::ignored && !TRY(is_default_way(netlink, link.ifindex))) {
                continue;
            }
            return fail(Code::check_failed,
                        "the uplink " + link.name + " has come since the last ADD: it has no record and no programs");
        }
        for (const auto& [direction, program] : uplink_programs(datapath)) {
            if (!TRY(attached(datapath.uplink_hook, link.ifindex, direction, program, link.name))) {
                return fail(Code::check_failed, std::string("the program ") +
                                                    (direction == Direction::ingress ? "from_uplink" : "from_stack") +
                                                    " is not attached to the uplink " + link.name);
            }
        }
    }
    return {};
}

std::expected<void, Error> detach_uplinks(const Datapath& datapath) {
    for (const auto ifindex : TRY(recorded(datapath))) {
        for (const auto& [direction, program] : uplink_programs(datapath)) {
            TRY(detach(datapath.uplink_hook, ifindex, direction, program,
                       "the uplink with index " + std::to_string(ifindex)));
        }
        TRY(datapath.uplinks.erase(ifindex, "an uplink"));
    }
    return {};
}

}  // namespace causeway
