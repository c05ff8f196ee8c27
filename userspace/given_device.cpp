// SPDX-License-Identifier: Apache-2.0
#include "userspace/given_device.hpp"

#include <algorithm>
#include <cerrno>
#include <optional>
#include <string>

namespace causeway {

namespace {

// The pair whose one end the sandbox has already.
std::expected<void, Error> find_given_pair(Netlink& netlink, Netlink& inside, const SandboxSpec& spec,
                                           Connection& connection) {
    const std::string where = spec.id.interface + " in " + spec.netns;
    connection.given = true;
    connection.sandbox_end = TRY(inside.link_named(spec.id.interface));
    const auto& inner = connection.sandbox_end;
    const auto host_end = netlink.link_at(inner.kind == "veth" ? inner.peer : 0);
    if (!host_end || host_end->kind != "veth" ||
        std::ranges::find(spec.given->on_host, host_end->name) == spec.given->on_host.end()) {
        return fail(
            Code::invalid_configuration,
            "prevResult.interfaces: " + where + " is not one end of a veth pair whose other end it names on the host");
    }
    if (spec.mac && *spec.mac != inner.mac) {
        return fail(Code::invalid_configuration, "the MAC " + spec.mac->text() + " is asked for, but " + where +
                                                     " has " + inner.mac.text() + " and is another plugin's");
    }
    connection.host_end = *host_end;
    return {};
}

// The tap among the devices, if there is one: its sandbox (a VM) is no namespace's.
std::expected<void, Error> find_given_tap(Netlink& netlink, const SandboxSpec& spec, Connection& connection) {
    for (const auto& name : spec.given->on_host) {
        const auto link = TRY(none_where(ENODEV, netlink.link_named(name)));
        if (link && link->kind == "tun" && link->ethernet) {
            connection.given = connection.bare = true;
            connection.host_end = *link;
            connection.sandbox_end.name = spec.id.interface;
            connection.sandbox_end.mtu = link->mtu;
            return {};
        }
    }
    return {};
}

}  // namespace

std::expected<void, Error> find_given(Netlink& netlink, Netlink& inside, const SandboxSpec& spec,
                                      Connection& connection) {
    return spec.given->in_sandbox ? find_given_pair(netlink, inside, spec, connection)
                                  : find_given_tap(netlink, spec, connection);
}

std::expected<void, Error> refuse_device_in_use(const Datapath& datapath, Netlink& netlink, const SandboxSpec& spec,
                                                const Link& device) {
    const auto identity = TRY(datapath.sandboxes.look_up(device.ifindex));
    if (!identity) {
        return {};
    }
    std::optional<Attachment> holder;
    TRY(datapath.attachments.for_each([&](const attachment_key& key, const attachment& record) {
        if (record.ifindex == device.ifindex && record.slot == identity->link.slot) {
            holder = Attachment{key, record};
        }
    }));
    if (holder && id_of(holder->key) == spec.id) {
        return {};
    }
    if (holder && (holder->record.state == ATTACHMENT_CONNECTING || TRY(stands(datapath, netlink, holder->record)))) {
        return fail(Code::conflict,
                    "prevResult.interfaces: " + device.name + " is the host end of " + name_of(id_of(holder->key)),
                    "DEL that first; one device is one sandbox's");
    }
    return datapath.sandboxes.erase(device.ifindex, "the identity of " + device.name);
}

}  // namespace causeway
