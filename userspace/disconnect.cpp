// SPDX-License-Identifier: Apache-2.0
// Which sandboxes are to go, and what goes with the last of them; undo.cpp knows how each is undone.
#include <algorithm>
#include <cerrno>
#include <functional>
#include <iterator>
#include <map>
#include <optional>
#include <set>

#include "userspace/failures.hpp"
#include "userspace/orphan.hpp"
#include "userspace/publication.hpp"
#include "userspace/sandbox.hpp"

namespace causeway {

namespace {

// The name of its network, where that is another one. One that is gone is nobody's.
std::expected<std::optional<std::string>, Error> other_network_of(const Datapath& datapath, const attachment& record,
                                                                  const std::string& network_name) {
    const std::string name = TRY(datapath.networks.look_up(record.network)).value_or(network{}).name;
    return network_name.empty() || name.empty() || name == network_name ? std::nullopt : std::optional(name);
}

// Whether others than this call ask an IPAM plugin, or give back to one: as it was before this one did.
class Others {
public:
    std::expected<bool, Error> ask() {
        if (!ask_) {
            ask_ = TRY(AskingLock::is_held());
        }
        return *ask_;
    }

private:
    std::optional<bool> ask_;
};

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
// the lock.
std::expected<Results, Error> give_back_by_links(DatapathLock& lock, std::vector<Attachment> chosen,
                                                 const GiveBack& give_back) {
    std::erase_if(chosen, [](const Attachment& a) {
        return (a.record.flags & ATTACHMENT_ASKS) == 0 || a.record.state == ATTACHMENT_CLEARED;
    });
    Results results;
    const auto give_all_back = [&] {
        for (const auto& one : chosen) {
            results.emplace(one.record.claim, give_back(one));
        }
    };
    if (give_back && !chosen.empty()) {
        TRY(lock.let_go_for(give_all_back, lock.mode()));
    }
    return results;
}

// One or all: what to disconnect is chosen from the records, under the lock.
std::expected<void, Error> disconnect_chosen(DatapathLock::Mode mode, const Choice& choose,
                                             const GiveBack& give_back = {}) {
    auto lock = TRY(DatapathLock::take(mode));
    auto netlink = TRY(Netlink::open());
    auto datapath = TRY(none_where(ENOENT, Datapath::open()));
    auto chosen = datapath ? TRY(choose(*datapath)) : std::vector<Attachment>{};
    const auto is_leased = [](const Attachment& a) { return (a.record.flags & ATTACHMENT_LEASED) != 0; };
    const bool gives_back = give_back && std::ranges::any_of(chosen, is_leased);
    std::optional<std::expected<AskingLock, Error>> asking;
    if (gives_back) {  // who can't have it disconnects all the same, and is taken for left over at worst
        asking = AskingLock::take();
    }
    const auto results = TRY(give_back_by_links(lock, chosen, give_back));
    if (!results.empty()) {  // the same ones, if they are still there
        std::set<std::uint64_t> before;
        std::ranges::transform(chosen, std::inserter(before, before.end()),
                               [](const Attachment& a) { return a.record.claim; });
        datapath = TRY(none_where(ENOENT, Datapath::open()));
        chosen = datapath ? TRY(choose(*datapath)) : std::vector<Attachment>{};
        std::erase_if(chosen, [&](const Attachment& a) { return !before.contains(a.record.claim); });
    }
    Failures failures;
    std::expected<bool, Error> last = true;
    if (datapath) {
        const auto once = [&](const Attachment& a) {
            const auto result = results.find(a.record.claim);
            return result != results.end() ? result->second : give_back(a);
        };
        if (gives_back) {
            auto cleared = clear(*datapath, netlink, chosen, failures);
            failures.note(give_back_cleared(lock, std::move(cleared), once));
        } else {
            failures.note(undo(*datapath, netlink, chosen));
        }
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
    const auto datapath = TRY(none_where(ENOENT, Datapath::open()));
    if (!datapath) {
        TRY(refuse_when_elsewhere(id));
        return false;
    }
    auto netlink = TRY(Netlink::open());
    const auto record = TRY(datapath->attachments.look_up(key_of(id)));
    return record && TRY(stands(*datapath, netlink, *record));
}

// Most have nothing left, which two calls of the kernel tell. Who has is looked at under the exclusive lock: of two
// connects one finds the other's record, or that of the other's disconnect.
std::expected<void, Error> disconnect_leftover(const SandboxId& id, const std::string& network_name,
                                               const GiveBack& give_back) {
    if (!can_be_on_record(id)) {
        return {};
    }
    const auto key = key_of(id);
    const auto attachments = TRY(none_where(ENOENT, Datapath::open_attachments()));
    const auto is_leased = [](const std::optional<attachment>& record) {
        return record && (record->flags & ATTACHMENT_LEASED) != 0;
    };
    if (!attachments || !is_leased(TRY(attachments->look_up(key)))) {
        return {};
    }
    auto netlink = TRY(Netlink::open());
    Others others;
    const auto choose = [&](const Datapath& datapath) -> std::expected<std::vector<Attachment>, Error> {
        const auto record = TRY(datapath.attachments.look_up(key));
        if (!is_leased(record) || TRY(stands(datapath, netlink, *record))) {
            return {};
        }
        if (record->state != ATTACHMENT_CONNECTED && TRY(others.ask())) {
            return at_work(id);
        }
        if (const auto other = TRY(other_network_of(datapath, *record, network_name))) {
            return fail(Code::conflict,
                        name_of(id) + " is on record with addresses that an IPAM plugin gave it in the network \"" +
                            *other + "\"",
                        "DEL it with that network's configuration, which names the plugin");
        }
        return std::vector{Attachment{key, *record}};
    };
    return disconnect_chosen(DatapathLock::Mode::exclusive, choose, give_back);
}

std::expected<std::optional<std::string>, Error> disconnect(const SandboxId& id, const std::string& network_name,
                                                            const GiveBack& give_back) {
    std::optional<std::string> other;
    if (!can_be_on_record(id)) {
        return other;
    }
    bool on_record = false;
    const auto choose = [&](const Datapath& datapath) -> std::expected<std::vector<Attachment>, Error> {
        const auto key = key_of(id);
        const auto record = TRY(datapath.attachments.look_up(key));
        on_record = record.has_value();
        other = record ? TRY(other_network_of(datapath, *record, network_name)) : std::nullopt;
        return record && !other ? std::vector{Attachment{key, *record}} : std::vector<Attachment>{};
    };
    TRY(disconnect_chosen(DatapathLock::Mode::shared, choose, give_back));
    if (!on_record) {
        TRY(refuse_when_elsewhere(id));
    }
    return other;
}

// Exclusively, so that no connect is half done meanwhile; but for those that have let go of the lock to ask for a
// lease.
std::expected<void, Error> disconnect_all_but(const std::string& network_name, const std::vector<SandboxId>& kept,
                                              const GiveBack& give_back) {
    const std::set<SandboxId> keep(kept.begin(), kept.end());
    Others others;
    const auto choose = [&](const Datapath& datapath) -> std::expected<std::vector<Attachment>, Error> {
        const bool others_ask = TRY(others.ask());
        std::vector<Attachment> unlisted, chosen;
        TRY(datapath.attachments.for_each([&](const attachment_key& key, const attachment& record) {
            const bool leased = (record.flags & ATTACHMENT_LEASED) != 0;
            const bool at_work = others_ask && leased && record.state == ATTACHMENT_CONNECTING;
            if (!at_work && !keep.contains(id_of(key))) {
                unlisted.push_back({key, record});
            }
        }));
        for (const auto& one : unlisted) {
            if (!TRY(other_network_of(datapath, one.record, network_name))) {
                chosen.push_back(one);
            }
        }
        return chosen;
    };
    return disconnect_chosen(DatapathLock::Mode::exclusive, choose, give_back);
}

}  // namespace causeway
