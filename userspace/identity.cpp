// SPDX-License-Identifier: Apache-2.0
#include "userspace/identity.hpp"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "userspace/assignment.hpp"
#include "userspace/publication.hpp"
#include "userspace/slot.hpp"

namespace causeway {

namespace {

// Of the sandbox's link: one that is given keeps its own.
std::uint32_t mtu_of(const Connection& connection, const Network& network) {
    return connection.given ? connection.sandbox_end.mtu : network.mtu;
}

void give_addresses(sandbox& identity, const std::vector<Assignment>& assignments) {
    for (const auto family : {FAMILY_IPV4, FAMILY_IPV6}) {
        if (const auto* const own = first_of(assignments, family)) {
            identity.address[family] = own->address.address.raw();
            identity.gateway[family] = own->gateway.raw();
        }
    }
}

sandbox identity_of(const Connection& connection, const sandbox_link& link, const Network& network) {
    sandbox identity{.link = link,
                     .network = network.id,
                     .gateway_ifindex = network.record.ifindex,
                     .mtu = mtu_of(connection, network),
                     .port_min = connection.ports.first,
                     .port_max = connection.ports.last};
    give_addresses(identity, connection.assignments);
    return identity;
}

// What is held up at the host end, if by an earlier plugin's queue, must pass it, and so must what has no peer; what is
// held up at the sandbox's, the programs watch.
std::uint16_t flags_of(const SandboxSpec& spec, const Connection& connection) {
    const bool held_up = spec.bandwidth.to_sandbox || connection.host_end.queued;
    const unsigned queued = held_up || connection.bare ? LINK_QUEUED : 0,
                   policed = spec.bandwidth.from_sandbox ? LINK_POLICED : 0, dhcp = spec.asks_by_link() ? LINK_DHCP : 0;
    return static_cast<std::uint16_t>(queued | policed | dhcp);
}

}  // namespace

std::expected<void, Error> claim_slot_and_ports(const Datapath& datapath, const NatSpec& nat, Attachment& attachment,
                                                Connection& connection) {
    TRY(claim_slot(datapath, attachment));
    if (nat.port_block != 0) {
        TRY(claim_port_block(datapath, attachment, blocks_of(nat)));
        connection.ports = PortRange{static_cast<std::uint16_t>(attachment.record.block),
                                     static_cast<std::uint16_t>(attachment.record.block + nat.port_block - 1)};
    }
    return {};
}

std::expected<sandbox, Error> identify(const Datapath& datapath, const SandboxSpec& spec, const Network& network,
                                       Attachment& attachment, Connection& connection) {
    const auto ifindex = connection.host_end.ifindex;
    attachment.record.ifindex = ifindex;
    TRY(save(datapath, attachment));

    sandbox_link link{.ifindex = ifindex,
                      .slot = static_cast<std::uint16_t>(attachment.record.slot),
                      .flags = with_neighbourhood(flags_of(spec, connection), network.record)};
    std::ranges::copy(connection.sandbox_end.mac.bytes, link.mac);
    std::ranges::copy(network.record.mac, link.gateway_mac);
    TRY(datapath.traffic_of.reset(link.slot, "the counters of " + name_of(spec.id)));
    // What the slot's flows were before is of somebody who is gone.
    TRY(datapath.usage_of.put(link.slot, {.since = Datapath::now()}, "the usage of " + name_of(spec.id)));
    auto identity = identity_of(connection, link, network);
    apply(spec.quota, identity);
    // A device that is given may be given to another one at the same time.
    TRY(connection.given ? datapath.sandboxes.insert(ifindex, identity, name_of(spec.id))
                         : datapath.sandboxes.put(ifindex, identity, name_of(spec.id)));
    if (spec.bandwidth.any()) {
        TRY(record_bandwidth(datapath, attachment, spec.bandwidth, mtu_of(connection, network)));
        connection.queues = TRY(queues_of(link.slot));
    }
    return identity;
}

std::expected<void, Error> identify_anew(const Datapath& datapath, const SandboxSpec& spec, const Network& network,
                                         const Connection& connection, sandbox& identity) {
    give_addresses(identity, connection.assignments);
    // As all that they repeat of their network, which others may have changed meanwhile.
    identity.link.flags = with_neighbourhood(identity.link.flags, network.record);
    return datapath.sandboxes.put(identity.link.ifindex, identity, name_of(spec.id));
}

std::expected<void, Error> refuse_taken_mac(const Datapath& datapath, const sandbox& identity) {
    std::optional<sandbox> other;
    TRY(datapath.sandboxes.for_each([&](const std::uint32_t& ifindex, const sandbox& one) {
        if (one.network == identity.network && (one.link.flags & LINK_DHCP) != 0 && ifindex != identity.link.ifindex &&
            std::ranges::equal(one.link.mac, identity.link.mac)) {
            other = one;
        }
    }));
    if (!other) {
        return {};
    }
    std::string holder = "another sandbox";
    TRY(datapath.attachments.for_each([&](const attachment_key& key, const attachment& record) {
        if (record.slot == other->link.slot && record.ifindex == other->link.ifindex) {
            holder = name_of(id_of(key));
        }
    }));
    Mac mac;
    std::ranges::copy(identity.link.mac, mac.bytes.begin());
    return fail(Code::conflict, "the MAC " + mac.text() + " is asked for, but " + holder + " has it in this network",
                "to a DHCP server, who has one MAC is one client");
}

std::expected<void, Error> make_reachable(const Datapath& datapath, const SandboxSpec& spec, const sandbox& identity,
                                          Attachment& attachment, const Connection& connection) {
    const endpoint place{
        .claim = attachment.record.claim, .link = identity.link, .network = identity.network, .kind = ENDPOINT_SANDBOX};
    if (!spec.ports.empty()) {
        const auto publishing = TRY(Datapath::open_publishing());
        TRY(record_publications(datapath, publishing, attachment.record.claim, spec.ports));
        const auto own = TRY(publish(datapath, publishing, spec.ports, {spec.id.container, identity, Datapath::now()}));
        if (own != spec.ports) {
            TRY(keep_publications(publishing, attachment.record.claim, own, spec.ports.size()));
        }
        if (own.empty()) {  // as the record says from its next save on
            attachment.record.flags &= static_cast<std::uint16_t>(~ATTACHMENT_PUBLISHES);
        }
    }
    for (const auto& [prefix, gateway] : connection.assignments) {
        TRY(datapath.endpoints.put(prefix.address.raw(), place, "the address " + prefix.address.text()));
    }
    return {};
}

}  // namespace causeway
