// SPDX-License-Identifier: Apache-2.0
#include "userspace/connecting.hpp"

#include <array>
#include <cerrno>
#include <string_view>
#include <utility>

#include "userspace/failures.hpp"

namespace causeway {

namespace {

bool is_still_there(const std::optional<attachment>& record, const Connecting& connecting) {
    return record && record->claim == connecting.attachment->record.claim && record->state == ATTACHMENT_CONNECTING;
}

std::expected<void, Error> give_lease_back(Connecting& connecting) {
    std::expected<void, Error> given_back;
    TRY(connecting.lock.let_go_for([&] { given_back = connecting.spec.lease->give_back(); },
                                   DatapathLock::Mode::shared));
    return given_back;
}

}  // namespace

std::expected<Lease::Given, Error> take_lease(Connecting& connecting) {
    std::expected<Lease::Given, Error> given;
    const auto take = [&] {
        given = connecting.spec.lease->take();
        connecting.has_lease = given.has_value();
    };
    TRY(connecting.lock.let_go_for(take, DatapathLock::Mode::shared));
    return given;
}

std::expected<std::optional<attachment>, Error> record_now(Connecting& connecting) {
    auto datapath = TRY(none_where(ENOENT, Datapath::open()));
    if (!datapath) {
        return std::nullopt;
    }
    connecting.prepared->datapath = std::move(*datapath);
    return connecting.prepared->datapath.attachments.look_up(connecting.attachment->key);
}

std::expected<void, Error> refuse_undone(const std::optional<attachment>& record, const Connecting& connecting) {
    if (!is_still_there(record, connecting)) {
        return fail(Code::try_again_later,
                    name_of(connecting.spec.id) + " was disconnected while its IPAM plugin was asked");
    }
    return {};
}

std::expected<void, Error> refuse_changed_network(Connecting& connecting) {
    auto& network = connecting.prepared->network;
    const auto record = TRY(connecting.prepared->datapath.networks.look_up(network.id));
    if (!record || std::string_view(record->name) != network.record.name || record->ifindex != network.record.ifindex) {
        return fail(Code::try_again_later,
                    "the network of " + name_of(connecting.spec.id) + " was changed while its IPAM plugin was asked");
    }
    network.record = *record;
    return {};
}

// What a later connect of the same sandbox has come by is not this one's to give back.
std::expected<void, Error> undo_begun(Connecting& connecting) {
    const auto& ours = *connecting.attachment;
    Failures failures;
    if (connecting.spec.lease) {
        auto record = TRY(record_now(connecting));
        connecting.has_lease = connecting.has_lease && (!record || record->claim == ours.record.claim);
        if (connecting.has_lease && connecting.spec.asks_by_link()) {
            failures.note(give_lease_back(connecting));
            connecting.has_lease = false;
            record = TRY(record_now(connecting));
        }
        if (!is_still_there(record, connecting)) {
            return failures.result();
        }
    }
    const auto& datapath = connecting.prepared->datapath;
    if (connecting.has_lease) {
        connecting.cleared = clear(datapath, connecting.netlink, std::array{ours}, failures);
    } else {
        failures.note(undo(datapath, connecting.netlink, std::array{ours}));
    }
    return failures.result();
}

// One whose place was reserved before the lock was let go may be others' too.
std::expected<void, Error> undo_network_at_once(Connecting& connecting) {
    if (!connecting.prepared) {
        return {};
    }
    auto& change = connecting.prepared->change;
    const bool is_new = change && change->former.name[0] == '\0';
    if (!change || connecting.lock.mode() != DatapathLock::Mode::exclusive || (is_new && connecting.asking)) {
        return {};
    }
    const auto undone = undo_change(connecting.prepared->datapath, connecting.netlink, *change);
    change.reset();
    return undone;
}

std::expected<void, Error> give_back_undone(Connecting& connecting) {
    if (!connecting.has_lease) {
        return {};
    }
    connecting.has_lease = false;
    return connecting.cleared.empty()
               ? give_lease_back(connecting)
               : give_back_cleared(connecting.lock, std::move(connecting.cleared),
                                   [&](const Attachment&) { return connecting.spec.lease->give_back(); });
}

std::expected<void, Error> remove_network_unless_used(Connecting& connecting) {
    if (!connecting.prepared) {
        return {};
    }
    const auto& change = connecting.prepared->change;
    if (!change || change->former.name[0] != '\0') {
        return {};
    }
    TRY(connecting.lock.change_to(DatapathLock::Mode::exclusive));
    const auto datapath = TRY(none_where(ENOENT, Datapath::open()));
    if (!datapath) {
        return {};
    }
    const auto now = TRY(datapath->networks.look_up(change->network.id));
    if (!now || std::string_view(now->name) != change->network.record.name ||
        TRY(networks_in_use(*datapath)).contains(change->network.id)) {
        return {};
    }
    return remove_network(*datapath, connecting.netlink, {.id = change->network.id, .record = *now});
}

std::expected<void, Error> unload_unless_used(Connecting& connecting) {
    const auto& prepared = connecting.prepared;
    const bool nothing_made = !prepared && connecting.lock.mode() == DatapathLock::Mode::shared;
    if (nothing_made || (prepared && connecting.spec.ports.empty() && !TRY(prepared->datapath.attachments.empty()))) {
        return {};
    }
    return unload_if_unused(connecting.lock, connecting.netlink);
}

}  // namespace causeway
