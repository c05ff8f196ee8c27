// SPDX-License-Identifier: Apache-2.0
#include "userspace/sandbox.hpp"

#include <utility>

#include "userspace/assignment.hpp"
#include "userspace/connecting.hpp"
#include "userspace/ends.hpp"
#include "userspace/given_device.hpp"
#include "userspace/identity.hpp"
#include "userspace/network_record.hpp"
#include "userspace/preparation.hpp"
#include "userspace/rollback.hpp"

namespace causeway {

namespace {

std::expected<void, Error> refuse_bad_spec(const SandboxSpec& spec, const Netns& netns, const Netns& home) {
    if (spec.id.container.size() >= CAUSEWAY_CONTAINER_LEN) {
        return fail(Code::invalid_environment,
                    "CNI_CONTAINERID is longer than " + std::to_string(CAUSEWAY_CONTAINER_LEN - 1) + " characters");
    }
    if (spec.netns.size() >= CAUSEWAY_NETNS_LEN) {
        return fail(Code::invalid_environment,
                    "CNI_NETNS is longer than " + std::to_string(CAUSEWAY_NETNS_LEN - 1) + " characters");
    }
    if (netns.same_as(home)) {
        return fail(Code::invalid_namespace, "CNI_NETNS " + spec.netns + " is the host's own network namespace");
    }
    return {};
}

// Its places, both ends of its link, and who it is, before either end is up.
std::expected<sandbox, Error> wire(Connecting& connecting) {
    auto& connection = connecting.connection;
    auto& attachment = *connecting.attachment;
    const auto& spec = connecting.spec;
    const auto& [datapath, network, change] = *connecting.prepared;
    TRY(claim_slot_and_ports(datapath, connecting.network_spec.nat, attachment, connection));
    TRY(make_ends(connecting.netlink, connecting.inside, connecting.netns, spec, network, attachment, connection));
    return identify(datapath, spec, network, attachment, connection);
}

// The addresses and routes of its lease.
std::expected<void, Error> take_over(Connecting& connecting, Lease::Given lease) {
    auto& connection = connecting.connection;
    TRY(claim(connecting.prepared->datapath, *connecting.attachment, lease.assignments));
    connection.assignments = std::move(lease.assignments);
    connection.routes = TRY(complete_routes(std::move(lease.routes), connection.assignments));
    return {};
}

// Its link first, by which its addresses are asked for; then all else.
std::expected<void, Error> connect_by_lease(Connecting& connecting) {
    auto& [network_spec, spec, netns, inside, netlink, lock, asking, has_lease, cleared, prepared, attachment,
           connection] = connecting;
    const auto& [datapath, network, change] = *prepared;
    auto identity = TRY(wire(connecting));
    TRY(refuse_taken_mac(datapath, identity));
    TRY(set_up_outside(datapath, netlink, network.record, connection));
    TRY(set_up_inside(netlink, inside, netns, spec, connection));

    auto lease = TRY(take_lease(connecting));
    TRY(refuse_undone(TRY(record_now(connecting)), connecting));
    TRY(refuse_changed_network(connecting));
    TRY(take_over(connecting, std::move(lease)));
    TRY(identify_anew(datapath, spec, network, connection, identity));
    TRY(make_reachable(datapath, spec, identity, *attachment, connection));
    return set_up_inside(netlink, inside, netns, spec, connection);
}

// Whose addresses and routes are known before its link is.
std::expected<void, Error> wire_up(Connecting& connecting) {
    auto& [network_spec, spec, netns, inside, netlink, lock, asking, has_lease, cleared, prepared, attachment,
           connection] = connecting;
    const auto& [datapath, network, change] = *prepared;
    const auto identity = TRY(wire(connecting));
    TRY(make_reachable(datapath, spec, identity, *attachment, connection));
    if (network_spec.rest != 0 && !spec.lease) {  // what a sandbox could not have used need not rest
        attachment->record.rest = network_spec.rest;
        TRY(save(datapath, *attachment));
    }
    TRY(set_up_outside(datapath, netlink, network.record, connection));
    return set_up_inside(netlink, inside, netns, spec, connection);
}

// Its addresses by another program, then its network, which may only come to be by their subnets.
std::expected<void, Error> connect_with_lease(Connecting& connecting) {
    auto& [network_spec, spec, netns, inside, netlink, lock, asking, has_lease, cleared, prepared, attachment,
           connection] = connecting;
    auto lease = TRY(take_lease(connecting));
    TRY(refuse_undone(TRY(TRY(Datapath::open_attachments()).look_up(attachment->key)), connecting));
    auto with_ranges = network_spec;
    with_ranges.ranges = std::move(lease.ranges);
    with_ranges.asker = attachment->record.claim;
    const auto reserved = prepared->change;
    auto& [datapath, network, change] = *prepared;
    *prepared = TRY(prepare(lock, netlink, with_ranges));
    if (reserved && (!change || gateways_of(change->former).empty())) {
        change = reserved;  // nobody else has made the rest of it meanwhile, or all of it
    }
    // In the moment in which the lock became exclusive.
    TRY(refuse_undone(TRY(datapath.attachments.look_up(attachment->key)), connecting));
    attachment->record.network = network.id;
    TRY(save(datapath, *attachment));
    if (spec.given) {  // others may have come by the device meanwhile
        TRY(find_given(netlink, inside, spec, connection));
        TRY(refuse_device_in_use(datapath, netlink, spec, connection.host_end));
    }
    TRY(take_over(connecting, std::move(lease)));
    return wire_up(connecting);
}

std::expected<void, Error> connect_with_addresses(Connecting& connecting) {
    auto& [datapath, network, change] = *connecting.prepared;
    auto& connection = connecting.connection;
    const auto& spec = connecting.spec;
    connection.assignments = TRY(assign(datapath, *connecting.attachment, connecting.network_spec, spec.addresses));
    connection.routes = TRY(complete_routes(spec.routes, connection.assignments));
    return wire_up(connecting);
}

}  // namespace

std::expected<Connection, Error> connect(const NetworkSpec& network_spec, const SandboxSpec& spec) {
    const auto netns = TRY(Netns::open(spec.netns));
    const auto home = TRY(Netns::current());
    TRY(refuse_bad_spec(spec, netns, home));
    auto inside = TRY(Netlink::open_in(netns, home));
    auto netlink = TRY(Netlink::open());
    auto lock = TRY(DatapathLock::take(DatapathLock::Mode::shared));
    NetworkSpec wanted = network_spec;
    // Before the rollback that may need it, so that it outlives it whichever way this function is left.
    Connecting connecting{
        .network_spec = wanted, .spec = spec, .netns = netns, .inside = inside, .netlink = netlink, .lock = lock};
    auto& prepared = connecting.prepared;
    auto& attachment = connecting.attachment;
    auto& connection = connecting.connection;
    if (spec.given) {
        TRY(find_given(netlink, inside, spec, connection));
        wanted.given = connection.given ? std::optional(connection.host_end) : std::nullopt;
    }
    const bool asks_first = spec.lease && !spec.asks_by_link();
    Rollback rollback;
    rollback.on_failure([&] { return unload_unless_used(connecting); });
    rollback.on_failure([&] { return remove_network_unless_used(connecting); });
    rollback.on_failure([&] { return give_back_undone(connecting); });
    rollback.on_failure([&] { return undo_network_at_once(connecting); });
    const auto undone = [&](const Error& error) { return std::unexpected(rollback.failed(error)); };

    const auto prepare_and_begin = [&]() -> std::expected<std::optional<Attachment>, Error> {
        prepared = asks_first ? TRY(prepare_to_ask(lock, netlink, wanted)) : TRY(prepare(lock, netlink, wanted));
        const auto& [datapath, network, change] = *prepared;
        if (spec.given) {
            TRY(refuse_device_in_use(datapath, netlink, spec, connection.host_end));
        }
        if (spec.lease) {  // before the record is there, which others hold against it
            connecting.asking = TRY(AskingLock::take());
        }
        return put_on_record(datapath, netlink, lock.mode(), spec, network, connection);
    };
    auto begun = prepare_and_begin();
    if (begun && !*begun) {
        const auto alone = lock.change_to(DatapathLock::Mode::exclusive);
        begun = alone ? prepare_and_begin() : std::unexpected(alone.error());
    }
    if (!begun) {
        return undone(begun.error());
    }
    attachment = *begun;
    rollback.on_failure([&] { return undo_begun(connecting); });

    auto connected = [&]() -> std::expected<void, Error> {
        TRY(refresh_reserved_ports(prepared->datapath));
        TRY(asks_first   ? connect_with_lease(connecting)
            : spec.lease ? connect_by_lease(connecting)
                         : connect_with_addresses(connecting));
        connection.gateway_device = prepared->network.device;
        attachment->record.state = ATTACHMENT_CONNECTED;
        return save(prepared->datapath, *attachment);
    }();
    if (!connected) {
        return undone(connected.error());
    }
    rollback.commit();
    return connection;
}

}  // namespace causeway
