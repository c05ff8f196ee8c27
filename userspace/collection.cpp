// SPDX-License-Identifier: Apache-2.0
#include "userspace/collection.hpp"

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "userspace/failures.hpp"
#include "userspace/undo.hpp"

namespace causeway {

namespace {

std::expected<void, Error> remove_program(const Orphan& orphan) {
    const auto hook = shared_device_hook();
    Failures failures;
    for (const auto& program :
         TRY(programs_named(orphan.program, hook, orphan.index, orphan.direction, orphan.device))) {
        failures.note(detach(hook, orphan.index, orphan.direction, program.get(), orphan.device));
    }
    return failures.result();
}

std::expected<void, Error> remove_one(const Datapath* datapath, Netlink& netlink, const Orphan& orphan) {
    switch (orphan.kind) {
        case Orphan::Kind::host_end:
        case Orphan::Kind::gateway:
            return netlink.delete_link(orphan.device);
        case Orphan::Kind::endpoint:
            return datapath->endpoints.erase(orphan.place, orphan.what);
        case Orphan::Kind::identity:
            return datapath->sandboxes.erase(orphan.index, orphan.what);
        case Orphan::Kind::slot:
            return datapath->slots.erase(orphan.index, orphan.what);
        case Orphan::Kind::program:
            return remove_program(orphan);
        case Orphan::Kind::attachment:  // all of them at once
        case Orphan::Kind::network:     // after them
        case Orphan::Kind::datapath:    // last
            break;
    }
    return {};
}

// Those that have none but what is found already. Where nobody is left, all of them go with the datapath.
std::expected<void, Error> find_idle_networks(const Datapath& datapath, std::vector<Orphan>& found) {
    std::set<std::uint64_t> leaving;
    for (const auto& orphan : found) {
        leaving.insert(orphan.attachment.record.claim);
    }
    std::set<std::uint32_t> used;
    TRY(datapath.attachments.for_each([&](const attachment_key&, const attachment& record) {
        if (!leaving.contains(record.claim)) {
            used.insert(record.network);
        }
    }));
    for (const auto& network : used.empty() ? std::vector<Network>{} : TRY(list_networks(datapath))) {
        if (!used.contains(network.id)) {
            found.push_back({.kind = Orphan::Kind::network,
                             .what = "the network \"" + std::string(network.record.name) + "\" on " +
                                     std::string(network.record.device),
                             .why = "it has no sandbox any more",
                             .network = network});
        }
    }
    return {};
}

// But for one whose sandbox could not be removed.
std::expected<void, Error> remove_idle_networks(const Datapath& datapath, Netlink& netlink,
                                                const std::vector<Orphan>& orphans) {
    const auto used = TRY(networks_in_use(datapath));
    Failures failures;
    for (const auto& orphan : orphans) {
        if (orphan.kind == Orphan::Kind::network && !used.contains(orphan.network.id)) {
            failures.note(remove_network(datapath, netlink, orphan.network));
        }
    }
    return failures.result();
}

std::expected<void, Error> remove_all(const Datapath* datapath, Netlink& netlink, const std::vector<Orphan>& orphans) {
    Failures failures;
    std::vector<Attachment> attachments;
    for (const auto& orphan : orphans) {
        if (orphan.kind == Orphan::Kind::attachment) {
            attachments.push_back(orphan.attachment);
        } else {
            failures.note(remove_one(datapath, netlink, orphan));
        }
    }
    if (datapath != nullptr) {
        failures.note(undo(*datapath, netlink, attachments));
        failures.note(remove_idle_networks(*datapath, netlink, orphans));
    }
    return failures.result();
}

}  // namespace

std::expected<Leftovers, Error> collect_orphans(const Collection& collection) {
    auto lock = TRY(DatapathLock::take(DatapathLock::Mode::exclusive));
    auto netlink = TRY(Netlink::open());
    if (!collection.without_datapath) {
        TRY(refuse_unseen(netlink));
    }
    const auto datapath = Datapath::open();
    auto left = TRY(find_orphans(lock, netlink));
    if (!collection.records_too) {
        std::erase_if(left.orphans, [](const Orphan& orphan) { return orphan.kind == Orphan::Kind::attachment; });
    }
    if (datapath) {
        TRY(find_idle_networks(*datapath, left.orphans));
    }
    Failures failures;
    if (!collection.dry_run && !left.orphans.empty()) {
        failures.note(remove_all(datapath ? &*datapath : nullptr, netlink, left.orphans));
        failures.note(unload_if_unused(lock, netlink));
    }
    failures.note(Datapath::check_loadable());
    TRY(failures.result());
    return left;
}

}  // namespace causeway
