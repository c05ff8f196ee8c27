// SPDX-License-Identifier: Apache-2.0
// Which sandboxes are to go, and what goes with the last of them; attachment.cpp knows how each is undone.
#include <algorithm>
#include <cerrno>
#include <functional>
#include <iterator>
#include <map>
#include <set>

#include "userspace/failures.hpp"
#include "userspace/network.hpp"
#include "userspace/orphan.hpp"
#include "userspace/publication.hpp"
#include "userspace/sandbox.hpp"

namespace causeway {

namespace {

bool belongs_to(const Datapath& datapath, const attachment& record, const std::string& network_name) {
    if (network_name.empty()) {
        return true;
    }
    const auto network = datapath.networks.find(record.network);
    return !network || network_name == network->name || network->name[0] == '\0';
}

std::expected<bool, Error> is_on_record(const Datapath& datapath, const std::string& network_name) {
    return std::ranges::any_of(TRY(list_networks(datapath)),
                               [&](const Network& n) { return network_name == n.record.name; });
}

// Whether nobody is left who needs the datapath, or the program on lo. Others may have unloaded it while the lock was
// let go: then its maps are empty, and who unloads looks anew.
std::expected<bool, Error> nobody_is_left(const Datapath& datapath, const std::vector<Attachment>& disconnected) {
    if (TRY(datapath.attachments.empty())) {
        return true;
    }
    // Where there was nothing to disconnect, a disconnect that was killed may have left its program on lo.
    const auto publishes = [](const Attachment& a) { return (a.record.flags & ATTACHMENT_PUBLISHES) != 0; };
    const bool published =
        disconnected.empty() ? verify_loopback(datapath).has_value() : std::ranges::any_of(disconnected, publishes);
    return published ? nothing_is_published() : false;
}

using Choice = std::function<std::expected<std::vector<Attachment>, Error>(const Datapath&)>;
using Results = std::map<std::uint64_t, std::expected<void, Error>>;  // by claim

// What was asked for by links that are still there is given back by them, before anything is undone; likewise without
// the lock, which is not had afterwards.
std::expected<Results, Error> give_back_by_links(DatapathLock& lock, const std::vector<Attachment>& chosen,
                                                 const GiveBack& give_back) {
    Results results;
    for (const auto& one : chosen) {
        if (give_back && (one.record.flags & ATTACHMENT_ASKS) != 0 && one.record.state != ATTACHMENT_CLEARED) {
            TRY(lock.change_to(DatapathLock::Mode::none));
            results.emplace(one.record.claim, give_back(one));
        }
    }
    return results;
}

// One or all: what to disconnect is chosen from the records, under the lock.
std::expected<void, Error> disconnect_chosen(DatapathLock::Mode mode, const Choice& choose,
                                             const GiveBack& give_back = {}) {
    auto lock = TRY(DatapathLock::take(mode));
    auto netlink = TRY(Netlink::open());
    auto datapath = Datapath::open();
    auto chosen = datapath ? TRY(choose(*datapath)) : std::vector<Attachment>{};
    const auto is_leased = [](const Attachment& a) { return (a.record.flags & ATTACHMENT_LEASED) != 0; };
    const bool asks = give_back && std::ranges::any_of(chosen, is_leased);
    const auto asking = asks ? std::optional(TRY(AskingLock::take())) : std::nullopt;
    const auto results = TRY(give_back_by_links(lock, chosen, give_back));
    if (!results.empty()) {  // the same ones, if they are still there
        std::set<std::uint64_t> before;
        std::ranges::transform(chosen, std::inserter(before, before.end()),
                               [](const Attachment& a) { return a.record.claim; });
        TRY(lock.change_to(mode));
        datapath = Datapath::open();
        chosen = datapath ? TRY(choose(*datapath)) : std::vector<Attachment>{};
        std::erase_if(chosen, [&](const Attachment& a) { return !before.contains(a.record.claim); });
    }
    if (!datapath && datapath.error().number != ENOENT) {
        return std::unexpected(datapath.error());
    }
    Failures failures;
    std::expected<bool, Error> last = true;
    if (datapath) {
        const auto once = [&](const Attachment& a) {
            const auto result = results.find(a.record.claim);
            return result != results.end() ? result->second : give_back(a);
        };
        failures.note(asks ? undo(lock, *datapath, netlink, chosen, once) : undo(*datapath, netlink, chosen));
        last = nobody_is_left(*datapath, chosen);
    }
    if (!last) {
        failures.note(std::unexpected(last.error()));
    } else if (*last) {
        failures.note(unload_if_unused(lock, netlink));
    }
    return failures.result();
}

// To say that it is gone would leave it for ever: its record may be in maps that this version does not read, or in a
// bpffs that is not mounted here.
std::expected<void, Error> refuse_when_elsewhere(const SandboxId& id) {
    auto seen = Datapath::check_loadable();
    if (seen && !Datapath::is_pinned()) {
        seen = see_records();
    }
    if (!seen) {
        seen.error().message = name_of(id) + " may be on record elsewhere: " + seen.error().message;
    }
    return seen;
}

// Longer names connect refuses.
bool can_be_on_record(const SandboxId& id) {
    return id.container.size() < CAUSEWAY_CONTAINER_LEN && id.interface.size() < CAUSEWAY_DEVICE_LEN;
}

}  // namespace

std::expected<bool, Error> is_connected(const SandboxId& id) {
    if (!can_be_on_record(id)) {
        return false;
    }
    const auto datapath = Datapath::open();
    if (!datapath && datapath.error().number != ENOENT) {
        return std::unexpected(datapath.error());
    }
    if (!datapath) {
        TRY(refuse_when_elsewhere(id));
        return false;
    }
    auto netlink = TRY(Netlink::open());
    const auto record = TRY(datapath->attachments.look_up(key_of(id)));
    return record && TRY(stands(*datapath, netlink, *record));
}

std::expected<bool, Error> has_lease_left(const SandboxId& id) {
    if (!can_be_on_record(id)) {
        return false;
    }
    const auto attachments = Datapath::open_attachments();
    if (!attachments) {
        return attachments.error().number == ENOENT ? std::expected<bool, Error>(false)
                                                    : std::unexpected(attachments.error());
    }
    const auto record = TRY(attachments->look_up(key_of(id)));
    if (!record || (record->flags & ATTACHMENT_LEASED) == 0) {
        return false;
    }
    const auto datapath = TRY(Datapath::open());
    auto netlink = TRY(Netlink::open());
    if (TRY(stands(datapath, netlink, *record))) {
        return false;
    }
    return TRY(AskingLock::is_held()) ? at_work(id) : std::expected<bool, Error>(true);
}

std::expected<void, Error> disconnect(const SandboxId& id, const std::string& network_name, const GiveBack& give_back) {
    if (!can_be_on_record(id)) {
        return {};
    }
    bool on_record = false;
    const auto choose = [&](const Datapath& datapath) -> std::expected<std::vector<Attachment>, Error> {
        const auto key = key_of(id);
        const auto record = TRY(datapath.attachments.look_up(key));
        on_record = record.has_value();
        if (!record || !belongs_to(datapath, *record, network_name)) {
            return {};
        }
        return std::vector{Attachment{key, *record}};
    };
    TRY(disconnect_chosen(DatapathLock::Mode::shared, choose, give_back));
    if (!on_record) {
        return refuse_when_elsewhere(id);
    }
    return {};
}

// Exclusively, so that no connect is half done meanwhile; but for those that have let go of the lock to ask for a
// lease. Of one that was killed when it asked, and whose network was not made yet, the network is 0.
std::expected<void, Error> disconnect_all_but(const std::string& network_name, const std::vector<SandboxId>& kept,
                                              const GiveBack& give_back) {
    const std::set<SandboxId> keep(kept.begin(), kept.end());
    std::optional<bool> others_ask;  // at first: later on this one may itself
    const auto choose = [&](const Datapath& datapath) -> std::expected<std::vector<Attachment>, Error> {
        if (!others_ask) {
            others_ask = TRY(AskingLock::is_held());
        }
        const bool is_new = !TRY(is_on_record(datapath, network_name));
        std::vector<Attachment> chosen;
        TRY(datapath.attachments.for_each([&](const attachment_key& key, const attachment& record) {
            const bool leased = (record.flags & ATTACHMENT_LEASED) != 0;
            const bool asks = *others_ask && leased && record.state == ATTACHMENT_CONNECTING;
            const bool ours = record.network == 0 ? is_new : belongs_to(datapath, record, network_name);
            if (ours && !asks && !keep.contains(id_of(key))) {
                chosen.push_back({key, record});
            }
        }));
        return chosen;
    };
    return disconnect_chosen(DatapathLock::Mode::exclusive, choose, give_back);
}

}  // namespace causeway
