// SPDX-License-Identifier: Apache-2.0
#include "userspace/inspect.hpp"

#include <algorithm>
#include <cerrno>

namespace causeway {

namespace {

// A disconnect takes the identity first.
SandboxEntry::State state_of(const attachment& record, bool has_identity) {
    using enum SandboxEntry::State;
    switch (record.state) {
        case ATTACHMENT_CONNECTING:
            return connecting;
        case ATTACHMENT_CLEARED:
            return leased;
        default:
            return has_identity ? connected : disconnecting;
    }
}

}  // namespace

std::expected<std::vector<SandboxEntry>, Error> list_sandboxes() {
    const auto datapath = TRY(none_where(ENOENT, Datapath::open_of_any_netns()));
    std::vector<SandboxEntry> entries;
    if (!datapath) {
        return entries;
    }
    TRY(datapath->attachments.for_each([&](const attachment_key& key, const attachment& record) {
        SandboxEntry entry{.id = id_of(key),
                           .host_end = record.host_end,
                           .netns = record.netns,
                           .ifindex = record.ifindex,
                           .addresses = Attachment{key, record}.addresses()};
        const auto network = datapath->networks.find(record.network).value_or(::network{});
        entry.network = network.name;
        const auto identity = datapath->sandboxes.find(record.ifindex);
        entry.state = state_of(record, identity.has_value());
        if (identity) {
            std::ranges::copy(identity->link.mac, entry.mac.bytes.begin());
            entry.ports = {identity->port_min, identity->port_max};
            entry.quota = quota_of(*identity, network);
            const auto usage = datapath->usage_of.find(record.slot).value_or(::usage{});
            entry.flows = usage.flows - std::min(usage.flows, usage.ended);
        }
        entry.counters = datapath->traffic_of.sum(record.slot).value_or(traffic{});
        entries.push_back(entry);
    }));
    std::ranges::sort(entries, {}, &SandboxEntry::addresses);
    return entries;
}

}  // namespace causeway
