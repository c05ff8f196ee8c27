// SPDX-License-Identifier: Apache-2.0
#include "userspace/uplink.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>

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

// A device that is on record as an uplink is no sandbox's: make_network sees to that.
std::expected<bool, Error> is_host_end(const Datapath* datapath, const NetworkSpec& spec, const Uplink& device) {
    if (spec.given && spec.given->ifindex == device.link.ifindex) {
        return true;
    }
    return datapath != nullptr && !device.record && TRY(datapath->sandboxes.look_up(device.link.ifindex)).has_value();
}

// This network's, before it is there, and those of the others; and their inner ends.
bool is_gateway_device(const std::string& name, const NetworkSpec& spec, const std::vector<Network>& networks) {
    const auto is_of = [&](const std::string& device) { return name == device || name == inner_end_of(device); };
    return is_of(spec.device) ||
           std::ranges::any_of(networks, [&](const Network& n) { return is_of(n.record.device); });
}

std::expected<Uplink, Error> uplink_at(const Datapath* datapath, const Link& link) {
    return Uplink{.link = link,
                  .record = datapath != nullptr ? TRY(datapath->uplinks.look_up(link.ifindex)) : std::nullopt};
}

std::expected<std::vector<Uplink>, Error> named_uplinks(const Datapath* datapath, Netlink& netlink,
                                                        const NetworkSpec& spec, const std::vector<Network>& networks) {
    std::vector<Uplink> uplinks;
    for (const auto& name : spec.uplinks) {
        if (is_gateway_device(name, spec, networks)) {
            return fail(Code::invalid_configuration,
                        "uplinks: \"" + name + "\" is a gateway device of causeway's, and leads to no world");
        }
        auto link = netlink.link_named(name);
        if (!link) {
            return fail(Code::invalid_configuration, "uplinks: " + link.error().message);
        }
        if (!link->ethernet) {
            return fail(Code::invalid_configuration, "uplinks: \"" + name + "\" is not an Ethernet device");
        }
        auto& one = uplinks.emplace_back(TRY(uplink_at(datapath, *link)));
        if (TRY(is_host_end(datapath, spec, one))) {
            return fail(Code::invalid_configuration,
                        "uplinks: \"" + name + "\" is the host end of a sandbox, and leads to no world");
        }
        one.addresses = TRY(sources_on(netlink, link->ifindex, spec));
        one.temporary = spec.has(FAMILY_IPV6) && link->prefers_temporary_ipv6;
    }
    return uplinks;
}

// In the order in which the kernel lists them, each once.
std::expected<std::vector<std::uint32_t>, Error> devices_with_addresses(Netlink& netlink, const NetworkSpec& spec,
                                                                        const std::vector<Network>& networks) {
    constexpr std::uint32_t loopback = 1;
    std::set<std::uint32_t> seen{loopback};
    for (const auto& network : networks) {
        seen.insert(network.record.ifindex);
    }
    std::vector<std::uint32_t> devices;
    for (const auto family : families) {
        for (const auto& local :
             spec.has(family) ? TRY(netlink.local_addresses(number_of(family))) : std::vector<LinkAddress>{}) {
            if (!local.prefix.address.is_link_local() && seen.insert(local.ifindex).second) {
                devices.push_back(local.ifindex);
            }
        }
    }
    return devices;
}

// A request for each family, and one more and as many again for each device that has such an address and isn't
// causeway's: however many others there are.
std::expected<std::vector<Uplink>, Error> all_uplinks(const Datapath* datapath, Netlink& netlink,
                                                      const NetworkSpec& spec, const std::vector<Network>& networks) {
    std::vector<Uplink> uplinks;
    for (const auto ifindex : TRY(devices_with_addresses(netlink, spec, networks))) {
        const auto link = netlink.link_at(ifindex);
        if (!link && link.error().number != ENODEV) {  // gone since: then it is no uplink
            return std::unexpected(link.error());
        }
        if (!link || !link->ethernet ||
            std::ranges::any_of(networks, [&](const Network& n) { return link->name == n.record.device; })) {
            continue;
        }
        auto one = TRY(uplink_at(datapath, *link));
        if (TRY(is_host_end(datapath, spec, one))) {
            continue;
        }
        one.addresses = TRY(sources_on(netlink, ifindex, spec));
        one.temporary = spec.has(FAMILY_IPV6) && link->prefers_temporary_ipv6;
        if (!std::ranges::all_of(one.addresses, &Address::is_none)) {
            uplinks.push_back(std::move(one));
        }
    }
    return uplinks;
}

struct UplinkProgram {
    Direction direction;
    const char* name;
    int fd;
};

std::array<UplinkProgram, 2> uplink_programs(const Datapath& datapath) {
    return {{{Direction::ingress, "from_uplink", datapath.from_uplink.get()},
             {Direction::egress, "from_stack", datapath.from_stack.get()}}};
}

uplink wanted_record(const Uplink& one, const NetworkSpec& spec) {
    uplink entry = one.record.value_or(uplink{});
    for (const auto family : families) {
        if (spec.has(family)) {
            entry.address[family] = one.addresses[family].raw();
        }
    }
    if (spec.has(FAMILY_IPV6)) {
        entry.flags = one.temporary ? std::uint32_t{UPLINK_TEMPORARY} : 0U;
    }
    return entry;
}

bool is_recorded(const Uplink& one, const NetworkSpec& spec) {
    const auto entry = wanted_record(one, spec);
    return one.record && std::memcmp(&entry, &*one.record, sizeof(entry)) == 0;
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
    NetworkSpec spec{.device = record.device, .uplinks = names};
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

std::expected<std::vector<Uplink>, Error> find_uplinks(const Datapath* datapath, Netlink& netlink,
                                                       const NetworkSpec& spec, const std::vector<Network>& networks) {
    return spec.uplinks.empty() ? all_uplinks(datapath, netlink, spec, networks)
                                : named_uplinks(datapath, netlink, spec, networks);
}

bool are_recorded(const std::vector<Uplink>& uplinks, const NetworkSpec& spec) {
    return std::ranges::all_of(uplinks, [&](const Uplink& one) { return is_recorded(one, spec); });
}

namespace {

// ENODEV: it is gone, and was none.
std::expected<void, Error> attach_programs(const Datapath& datapath, const Link& link) {
    for (const auto& [direction, name, program] : uplink_programs(datapath)) {
        TRY(attach(datapath.uplink_hook, link.ifindex, direction, program, link.name));
    }
    return {};
}

}  // namespace

// The record before the program, so that whoever removes the networks finds all that was attached.
std::expected<void, Error> attach_uplinks(const Datapath& datapath, Netlink& netlink,
                                          const std::vector<Uplink>& uplinks, const NetworkSpec& spec) {
    for (const auto& one : uplinks) {
        if (!is_recorded(one, spec)) {
            TRY(record_uplink(datapath, netlink, one.link, wanted_record(one, spec)));
        }
        const auto attached = attach_programs(datapath, one.link);
        if (!attached && attached.error().number != ENODEV) {
            return attached;
        }
        if (!attached) {
            TRY(datapath.uplinks.erase(one.link.ifindex, "an uplink that is gone"));
        }
    }
    return {};
}

std::expected<bool, Error> serves_as_uplink(const Datapath& datapath, const Link& link) {
    for (const auto& [direction, name, program] : uplink_programs(datapath)) {
        if (!TRY(programs_named(name, datapath.uplink_hook, link.ifindex, direction, link.name)).empty()) {
            return true;
        }
    }
    return TRY(datapath.uplinks.look_up(link.ifindex)).has_value();
}

std::expected<void, Error> forget_uplink(const Datapath& datapath, const Link& link) {
    for (const auto& [direction, name, program] : uplink_programs(datapath)) {
        for (const auto& one : TRY(programs_named(name, datapath.uplink_hook, link.ifindex, direction, link.name))) {
            TRY(detach(datapath.uplink_hook, link.ifindex, direction, one.get(), link.name));
        }
    }
    return datapath.uplinks.erase(link.ifindex, "the uplink " + link.name);
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

// The recorded address is the source of what leaves where the kernel names none, or one of IPv6 that lasts a day.
std::expected<void, Error> verify_record(Netlink& netlink, const Uplink& one, const NetworkSpec& spec) {
    const auto& link = one.link;
    const bool temporary = (one.record->flags & UPLINK_TEMPORARY) != 0;
    if (spec.has(FAMILY_IPV6) && temporary != one.temporary) {
        return fail(Code::check_failed, "net.ipv6.conf." + link.name + ".use_tempaddr of the uplink " + link.name +
                                            " has been changed since the last ADD");
    }
    static const bool names_sources = !is_kernel_before(6, 7);
    for (const auto family : families) {
        const bool serves = !names_sources || (family == FAMILY_IPV6 && temporary);
        const Address recorded(one.record->address[family]);
        if (!serves || !spec.has(family) || recorded == one.addresses[family]) {
            continue;
        }
        const auto present = TRY(netlink.addresses(number_of(family), link.ifindex));
        const auto is_that = [&](const LinkAddress& address) { return address.prefix.address == recorded; };
        if (std::ranges::none_of(present, is_that)) {
            return fail(Code::check_failed, "the uplink " + link.name + " has another address than at the last ADD" +
                                                (recorded.is_none() ? "" : ", and " + recorded.text() + " no longer"));
        }
    }
    return {};
}

std::expected<void, Error> verify_programs(const Datapath& datapath, Netlink& netlink, const Link& link) {
    for (const auto& [direction, name, program] : uplink_programs(datapath)) {
        const auto there = attached(datapath.uplink_hook, link.ifindex, direction, program, link.name);
        if (!there && there.error().number == ENODEV) {  // gone since: then it is no uplink
            return {};
        }
        if (!TRY(there)) {
            return fail(Code::check_failed,
                        std::string("the program ") + name + " is not attached to the uplink " + link.name);
        }
        TRY(verify_first(netlink, datapath.uplink_hook, link.ifindex, direction, program, link.name));
    }
    return {};
}

}  // namespace

std::expected<void, Error> verify_uplinks(const Datapath& datapath, Netlink& netlink,
                                          const std::vector<std::string>& names, const network& record,
                                          NobodysUplinks nobodys) {
    const auto networks = TRY(list_networks(datapath));
    const auto spec = as_recorded(record, names);
    for (const auto& one : TRY(find_uplinks(&datapath, netlink, spec, networks))) {
        if (!one.record) {
            if (names.empty() && nobodys == NobodysUplinks::ignored &&
                !TRY(is_default_way(netlink, one.link.ifindex))) {
                continue;
            }
            return fail(Code::check_failed, "the uplink " + one.link.name +
                                                " has come since the last ADD: it has no record and no programs");
        }
        TRY(verify_record(netlink, one, spec));
        TRY(verify_programs(datapath, netlink, one.link));
    }
    return {};
}

std::expected<void, Error> detach_uplinks(const Datapath& datapath) {
    for (const auto ifindex : TRY(recorded(datapath))) {
        for (const auto& [direction, name, program] : uplink_programs(datapath)) {
            TRY(detach(datapath.uplink_hook, ifindex, direction, program,
                       "the uplink with index " + std::to_string(ifindex)));
        }
        TRY(datapath.uplinks.erase(ifindex, "an uplink"));
    }
    return {};
}

}  // namespace causeway
