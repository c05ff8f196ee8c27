// SPDX-License-Identifier: Apache-2.0
#include "userspace/preparation.hpp"

#include <sys/random.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <utility>

#include "userspace/fixed_text.hpp"
#include "userspace/network_conflict.hpp"
#include "userspace/orphan.hpp"
#include "userspace/slot.hpp"

namespace causeway {

namespace {

std::expected<std::uint64_t, Error> random_number() {
    std::uint64_t number = 0;
    if (getrandom(&number, sizeof(number), 0) != sizeof(number)) {
        return std::unexpected(errno_error("get a random number"));
    }
    return number | 1;  // 0 stands for no claim
}

// Where it has to be loaded, the lock is exclusive afterwards.
std::expected<Datapath, Error> open_or_load(DatapathLock& lock, Netlink& netlink, const TableSpec& tables) {
    auto datapath = Datapath::open();
    if (!datapath && datapath.error().number == ENOENT) {
        TRY(lock.change_to(DatapathLock::Mode::exclusive));
        TRY(refuse_unseen(netlink));
        datapath = Datapath::open_or_load(lock, tables);  // another one may have loaded it meanwhile
    }
    if (datapath) {
        TRY(datapath->check_sizes(tables));
    }
    return datapath;
}

std::unexpected<Error> leased_otherwise(const SandboxId& id) {
    return fail(Code::conflict,
                name_of(id) + " is on record with addresses of an IPAM plugin that this configuration does not name",
                "DEL it with the configuration that names it; \"causewayctl gc\" forgets the lease");
}

// As one is on record that has not made anything yet.
std::expected<Attachment, Error> new_record(const SandboxSpec& spec, const Network& network,
                                            const Connection& connection) {
    Attachment attachment{key_of(spec.id), {}};
    attachment.record.claim = TRY(random_number());
    attachment.record.state = ATTACHMENT_CONNECTING;
    attachment.record.network = network.id;
    copy_text(attachment.record.host_end, host_end_name(attachment.record.claim));
    copy_text(attachment.record.netns, spec.netns);
    if (!spec.ports.empty()) {
        attachment.record.flags |= ATTACHMENT_PUBLISHES;
    }
    if (spec.bandwidth.any()) {
        attachment.record.flags |= ATTACHMENT_SHAPED;
    }
    if (spec.lease) {
        attachment.record.flags |=
            static_cast<std::uint16_t>(ATTACHMENT_LEASED | (spec.asks_by_link() ? ATTACHMENT_ASKS : 0));
    }
    if (connection.given) {
        attachment.record.flags |=
            static_cast<std::uint16_t>(ATTACHMENT_GIVEN | (connection.bare ? ATTACHMENT_BARE : 0));
        attachment.record.ifindex = connection.host_end.ifindex;
        copy_text(attachment.record.host_end, connection.host_end.name);
    }
    return attachment;
}

}  // namespace

std::expected<Prepared, Error> prepare(DatapathLock& lock, Netlink& netlink, const NetworkSpec& spec) {
    auto datapath = TRY(open_or_load(lock, netlink, spec.tables));
    if (auto network = TRY(find_network(datapath, netlink, spec))) {
        return Prepared{std::move(datapath), *network, std::nullopt};
    }
    if (lock.mode() != DatapathLock::Mode::exclusive) {
        TRY(lock.change_to(DatapathLock::Mode::exclusive));
        datapath = TRY(open_or_load(lock, netlink, spec.tables));  // another one may have unloaded it meanwhile
    }
    const auto change = TRY(make_network(datapath, netlink, spec));
    return Prepared{std::move(datapath), change.network, change};
}

std::expected<Prepared, Error> prepare_to_ask(DatapathLock& lock, Netlink& netlink, const NetworkSpec& spec) {
    auto datapath = TRY(open_or_load(lock, netlink, spec.tables));
    const auto networks = TRY(list_networks(datapath));
    const auto* const present = on_device(networks, spec.device);
    if (present != nullptr && refuse_other_name(*present, spec)) {
        return Prepared{std::move(datapath), *present, std::nullopt};
    }
    if (lock.mode() != DatapathLock::Mode::exclusive) {
        TRY(lock.change_to(DatapathLock::Mode::exclusive));
        return prepare_to_ask(lock, netlink, spec);  // another one may have come meanwhile, or gone
    }
    const auto network = TRY(reserve_network(datapath, netlink, spec));
    return Prepared{std::move(datapath), network, NetworkChange{.network = network}};
}

std::expected<std::optional<Attachment>, Error> put_on_record(const Datapath& datapath, Netlink& netlink,
                                                              DatapathLock::Mode mode, const SandboxSpec& spec,
                                                              const Network& network, const Connection& connection) {
    const auto attachment = TRY(new_record(spec, network, connection));
    auto inserted = datapath.attachments.insert(attachment.key, attachment.record, attachment.what());
    if (!inserted && inserted.error().number == EEXIST) {
        const auto present = TRY(datapath.attachments.look_up(attachment.key));
        if (present && TRY(stands(datapath, netlink, *present))) {
            return connected_already(spec.id);
        }
        if (mode != DatapathLock::Mode::exclusive) {
            return std::nullopt;
        }
        if (present && (present->flags & ATTACHMENT_LEASED) != 0) {
            return spec.lease || TRY(AskingLock::is_held()) ? at_work(spec.id) : leased_otherwise(spec.id);
        }
        if (present) {
            TRY(undo(datapath, netlink, std::array{Attachment{attachment.key, *present}}));
        }
        inserted = datapath.attachments.insert(attachment.key, attachment.record, attachment.what());
    }
    if (!inserted && inserted.error().number == E2BIG) {
        return no_room_for(spec.id, TRY(datapath.attachments.capacity()));
    }
    TRY(std::move(inserted));
    return attachment;
}

}  // namespace causeway
