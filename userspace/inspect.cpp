// SPDX-License-Identifier: Apache-2.0
#include "userspace/inspect.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace causeway {

namespace {

std::expected<void, Error> require(bool holds, const std::string& what) {
    return holds ? std::expected<void, Error>{} : fail(Code::check_failed, what);
}

std::expected<void, Error> verify_host_side(const Datapath& datapath, Netlink& netlink, const attachment& record) {
    const std::string host_end = record.host_end;
    const auto link = netlink.link_named(host_end);
    TRY(require(link.has_value(), "the host end " + host_end + " is gone"));
    TRY(require(link->ifindex == record.ifindex && link->up, "the host end " + host_end + " is not up"));
    TRY(require(
        TRY(attached(own_device_hook, record.ifindex, Direction::ingress, datapath.from_sandbox.get(), host_end)),
        "the program from_sandbox is not attached to " + host_end));
    const Address address(record.address);
    const auto place = datapath.endpoints.find(record.address);
    TRY(require(place && place->claim == record.claim && place->link.ifindex == record.ifindex,
                "the address " + address.text() + " does not lead to " + host_end));
    const auto identity = datapath.sandboxes.find(record.ifindex);
    TRY(require(identity && Address(identity->address) == address, host_end + " has no identity in the datapath"));
    const auto network = datapath.networks.find(record.network);
    TRY(require(network && network->name[0] != '\0', "the network is gone"));
    TRY(verify_device(datapath, netlink, *network));
    return verify_uplinks(datapath, netlink);
}

std::expected<void, Error> verify_inside(const std::string& interface, const std::string& netns_path,
                                         const Expected& expected) {
    auto inside = TRY(Netlink::open_in(TRY(Netns::open(netns_path))));
    const std::string where = " in " + netns_path;
    const auto link = inside.link_named(interface);
    TRY(require(link.has_value(), "the interface " + interface + where + " is gone"));
    TRY(require(link->up, "the interface " + interface + where + " is not up"));
    TRY(require(!expected.mac || link->mac == *expected.mac,
                "the MAC of " + interface + where + " is " + link->mac.text()));
    TRY(require(!expected.mtu || link->mtu == *expected.mtu,
                "the MTU of " + interface + where + " is " + std::to_string(link->mtu)));
    if (expected.address) {
        const auto addresses = TRY(inside.addresses(AF_INET));
        const bool there = std::ranges::any_of(addresses, [&](const LinkAddress& a) {
            return a.ifindex == link->ifindex && a.prefix == *expected.address;
        });
        TRY(require(there, "the address " + expected.address->text() + " of " + interface + where + " is gone"));
    }
    const auto routes = TRY(inside.routes(AF_INET));
    for (const auto& wanted : expected.routes) {
        const bool there = std::ranges::any_of(routes, [&](const Route& r) {
            return r.destination.first() == wanted.destination.first() &&
                   r.destination.length == wanted.destination.length && r.gateway == wanted.gateway;
        });
        TRY(require(there,
                    "the route to " + wanted.destination.text() + " by " + wanted.gateway.text() + where + " is gone"));
    }
    return {};
}

}  // namespace

std::expected<void, Error> verify(const SandboxId& id, const std::string& netns, const Expected& expected) {
    const auto lock = TRY(DatapathLock::take(DatapathLock::Mode::shared));
    auto netlink = TRY(Netlink::open());
    const auto datapath = TRY(Datapath::open());
    const auto record = datapath.attachments.find(key_of(id));
    TRY(require(record && record->state == ATTACHMENT_CONNECTED, name_of(id) + " is not connected"));
    TRY(verify_host_side(datapath, netlink, *record));
    return verify_inside(id.interface, netns, expected);
}

std::expected<std::vector<SandboxEntry>, Error> list_sandboxes() {
    const auto datapath = Datapath::open();
    std::vector<SandboxEntry> entries;
    if (!datapath) {
        return datapath.error().number == ENOENT
                   ? entries
                   : std::expected<std::vector<SandboxEntry>, Error>(std::unexpected(datapath.error()));
    }
    TRY(datapath->attachments.for_each([&](const attachment_key& key, const attachment& record) {
        SandboxEntry entry{.id = id_of(key),
                           .host_end = record.host_end,
                           .netns = record.netns,
                           .ifindex = record.ifindex,
                           .address = Address(record.address),
                           .connected = record.state == ATTACHMENT_CONNECTED};
        if (const auto network = datapath->networks.find(record.network)) {
            entry.network = network->name;
        }
        if (const auto identity = datapath->sandboxes.find(record.ifindex)) {
            std::ranges::copy(identity->link.mac, entry.mac.bytes.begin());
        }
        entry.counters = datapath->traffic_of.sum(record.slot).value_or(traffic{});
        entries.push_back(entry);
    }));
    std::ranges::sort(entries, {}, &SandboxEntry::address);
    return entries;
}

std::expected<void, Error> ready(const NetworkSpec& spec) {
    const auto lock = DatapathLock::take(DatapathLock::Mode::shared);
    if (!lock) {
        return fail(Code::unavailable, lock.error().message, lock.error().details);
    }
    auto netlink = TRY(Netlink::open());
    const auto datapath = Datapath::open();
    if (!datapath && datapath.error().number != ENOENT) {
        return fail(Code::unavailable, datapath.error().message);
    }
    if (const auto uplinks = uplinks_exist(netlink, spec); !uplinks) {
        return fail(Code::unavailable, uplinks.error().message, uplinks.error().details);
    }
    if (!datapath) {  // ADD will load it
        return {};
    }
    const auto network = find_network(*datapath, netlink, spec);
    if (!network) {
        return fail(Code::unavailable, network.error().message, network.error().details);
    }
    if (!spec.ranges.empty() && !has_free_address(*datapath, spec.ranges)) {
        return fail(Code::unavailable_limited, "no address is left in " + text_of(spec.ranges));
    }
    return {};
}

}  // namespace causeway
