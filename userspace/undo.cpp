// SPDX-License-Identifier: Apache-2.0
#include "userspace/undo.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <string>

#include "userspace/bandwidth.hpp"
#include "userspace/host_ports.hpp"
#include "userspace/netns.hpp"
#include "userspace/network.hpp"
#include "userspace/pool.hpp"
#include "userspace/publication.hpp"

namespace causeway {

namespace {

// One walk through the table.
std::expected<void, Error> forget_flows(const Datapath& datapath, std::uint32_t ifindex, std::uint32_t slot) {
    std::vector<flow_key> theirs;
    TRY(datapath.flows.for_each([&](const flow_key& key, const flow& entry) {
        if (entry.link.ifindex == ifindex && entry.link.slot == slot) {
            theirs.push_back(key);
        }
    }));
    Failures failures;
    for (const auto& key : theirs) {
        failures.note(datapath.flows.erase(key, "a flow"));
    }
    return failures.result();
}

// They are nobody's from now on, and the timer ends them soon: a DEL costs the same however many flows there are. But a
// host end that stays may be another sandbox's next, and what is sent from it must find none of them. How many there
// are stays written until the slot has its next holder, so that a DEL that was killed here is ended by the next.
std::expected<void, Error> leave_flows(const Datapath& datapath, const attachment& record, std::uint32_t ifindex,
                                       const std::string& who) {
    const auto taken = TRY(datapath.usage_of.look_up(record.slot));
    if (!taken || taken->flows == 0) {
        return {};
    }
    const usage nobodys{.since = CAUSEWAY_NOBODY_SINCE, .flows = taken->flows};
    TRY(datapath.usage_of.put(record.slot, nobodys, "the usage of " + who));
    if ((record.flags & ATTACHMENT_GIVEN) != 0) {
        TRY(forget_flows(datapath, ifindex, record.slot));
    }
    const auto departures = TRY(Datapath::open_departures());
    const auto before = TRY(departures.look_up(0));
    return departures.put(0, before.value_or(0) + 1, "that " + who + " has left flows");
}

// What is kept by the slot goes before another one may have it: the bandwidth, and the flows are nobody's.
std::expected<void, Error> release_slot(const Datapath& datapath, const attachment& record, std::uint32_t ifindex,
                                        const std::string& who) {
    if (TRY(datapath.slots.look_up(record.slot)) != record.claim) {
        return {};
    }
    if ((record.flags & ATTACHMENT_SHAPED) != 0) {
        TRY(forget_bandwidth(record.slot));
    }
    TRY(leave_flows(datapath, record, ifindex, who));
    return datapath.slots.erase(record.slot, "the slot of " + who);
}

std::expected<void, Error> release(const BpfMap<std::uint32_t, std::uint64_t>& map, std::uint32_t number,
                                   std::uint64_t claim, const std::string& what) {
    if (TRY(map.look_up(number)) != claim) {
        return {};
    }
    return map.erase(number, what);
}

// The queue that its bandwidth has at a device that stays.
std::expected<void, Error> take_queue_back(Netlink& netlink, const Link& link) {
    if (!TRY(netlink.queue_at(link.ifindex))) {
        return {};
    }
    Batch batch;
    batch.remove_queue(link.ifindex, "remove the queue of " + link.name);
    return netlink.commit(batch);
}

void remove_from(const Link& link, const Prefix& prefix, const std::vector<Route>& routes, const std::string& where,
                 Batch& batch) {
    for (const auto& route : routes) {
        if (route.ifindex == link.ifindex && prefix.contains(route.gateway)) {
            batch.remove_route(route, "remove the route to " + route.destination.text() + where);
        }
    }
    batch.remove_address(link.ifindex, prefix, "remove the address " + prefix.text() + " from " + link.name + where);
}

// The interface stays, with what others have given it; the routes by a gateway go before the address that reaches it.
std::expected<void, Error> take_addresses_back(const Attachment& attachment) {
    const auto& [key, record] = attachment;
    const auto netns = Netns::open(record.netns);
    if (!netns) {
        return {};  // gone, and the interface with it
    }
    auto inside = TRY(Netlink::open_in(*netns, TRY(Netns::current())));
    const auto link = TRY(none_where(ENODEV, inside.link_named(key.interface)));
    if (!link) {
        return {};
    }
    if ((record.flags & ATTACHMENT_SHAPED) != 0) {
        TRY(take_queue_back(inside, *link));
    }
    Batch batch;
    const auto ours = attachment.addresses();
    for (const int family : {AF_INET, AF_INET6}) {
        if (std::ranges::none_of(ours, [&](const Address& a) { return a.is_ipv4() == (family == AF_INET); })) {
            continue;
        }
        const auto routes = TRY(inside.routes(family));
        for (const auto& one : TRY(inside.addresses(family, link->ifindex))) {
            if (std::ranges::find(ours, one.prefix.address) != ours.end()) {
                remove_from(*link, one.prefix, routes, " in " + std::string(record.netns), batch);
            }
        }
    }
    return inside.commit(batch);
}

std::expected<void, Error> let_go(const Datapath& datapath, Netlink& netlink, const Attachment& attachment,
                                  const Link& link) {
    const auto flags = attachment.record.flags;
    Failures failures;
    failures.note(detach(own_device_hook, link.ifindex, Direction::ingress, datapath.from_sandbox.get(), link.name));
    if ((flags & ATTACHMENT_SHAPED) != 0) {
        failures.note(take_queue_back(netlink, link));
    }
    if ((flags & ATTACHMENT_BARE) == 0) {
        failures.note(take_addresses_back(attachment));
    }
    return failures.result();
}

// Whether another sandbox is on record for the device: its index may be another one's by now, and one that is given may
// be given to several.
std::expected<bool, Error> is_anothers(const Datapath& datapath, const attachment& record, std::uint32_t ifindex) {
    const auto identity = TRY(datapath.sandboxes.look_up(ifindex));
    return identity && identity->link.slot != record.slot;
}

std::expected<void, Error> cut(const Datapath& datapath, Netlink& netlink, const Attachment& attachment,
                               std::uint32_t& ifindex) {
    const auto& [key, record] = attachment;
    const std::string who = name_of(id_of(key));
    Failures failures;
    const auto link = recorded_device(netlink, record);
    if (!link) {
        failures.note(std::unexpected(link.error()));
    }
    ifindex = link && *link ? (*link)->ifindex : record.ifindex;
    const bool given = (record.flags & ATTACHMENT_GIVEN) != 0;
    const bool lost = link && *link && !TRY(is_host_end_of(datapath, record, **link));
    if ((lost || given) && TRY(is_anothers(datapath, record, ifindex))) {
        return failures.result();
    }
    failures.note(datapath.sandboxes.erase(ifindex, who));
    if (link && *link && !lost) {
        failures.note(given ? let_go(datapath, netlink, attachment, **link) : netlink.delete_link(**link));
    }
    return failures.result();
}

std::expected<void, Error> withdraw(const Datapath& datapath, std::uint64_t claim, std::uint32_t ifindex) {
    const auto publishing = TRY(Datapath::open_publishing());
    const auto ports = TRY(publications_of(publishing, claim));
    TRY(unpublish(datapath, ports, ifindex));
    return keep_publications(publishing, claim, {}, ports.size());
}

// All but the record.
std::expected<void, Error> clear_one(const Datapath& datapath, Netlink& netlink, const Attachment& attachment) {
    const auto& [key, record] = attachment;
    if (record.state == ATTACHMENT_CLEARED) {  // a device that it names may be another sandbox's by now
        return {};
    }
    const std::string who = name_of(id_of(key));
    std::uint32_t ifindex = 0;
    Failures failures;
    failures.note(cut(datapath, netlink, attachment, ifindex));
    if ((record.flags & ATTACHMENT_PUBLISHES) != 0) {
        failures.note(withdraw(datapath, record.claim, ifindex));
    }
    failures.note(release_slot(datapath, record, ifindex, who));
    if (record.block != 0) {
        failures.note(release(datapath.port_blocks, record.block, record.claim, "the port block of " + who));
    }
    for (const auto& address : attachment.addresses()) {
        failures.note(release_address(datapath, address, record.claim, record.rest));
    }
    return failures.result();
}

// Of which nothing but the record is left.
std::vector<Attachment> clear_all(const Datapath& datapath, Netlink& netlink, std::span<const Attachment> attachments,
                                  Failures& failures) {
    std::vector<Attachment> cleared;
    for (const auto& attachment : attachments) {
        const auto result = clear_one(datapath, netlink, attachment);
        failures.note(result);
        if (result) {
            cleared.push_back(attachment);
        }
    }
    return cleared;
}

std::expected<void, Error> note_cleared(const Datapath& datapath, Attachment attachment) {
    attachment.record.state = ATTACHMENT_CLEARED;
    attachment.record.ifindex = attachment.record.slot = attachment.record.block = 0;  // another's from now on
    return save(datapath, attachment);
}

// Unless another call has taken it away, or connected anew under its key.
std::expected<void, Error> forget_if_there(const Datapath& datapath, const Attachment& attachment) {
    const auto present = TRY(datapath.attachments.look_up(attachment.key));
    return present && present->claim == attachment.record.claim
               ? datapath.attachments.erase(attachment.key, name_of(id_of(attachment.key)))
               : std::expected<void, Error>{};
}

}  // namespace

std::expected<void, Error> undo(const Datapath& datapath, Netlink& netlink, std::span<const Attachment> attachments) {
    Failures failures;
    for (const auto& attachment : clear_all(datapath, netlink, attachments, failures)) {
        failures.note(forget_if_there(datapath, attachment));
    }
    return failures.result();
}

std::vector<Attachment> clear(const Datapath& datapath, Netlink& netlink, std::span<const Attachment> attachments,
                              Failures& failures) {
    auto cleared = clear_all(datapath, netlink, attachments, failures);
    for (const auto& attachment : cleared) {
        failures.note(note_cleared(datapath, attachment));
    }
    return cleared;
}

std::expected<void, Error> give_back_cleared(DatapathLock& lock, std::vector<Attachment> cleared,
                                             const GiveBack& give_back) {
    Failures failures;
    const auto keeps_record = [&](const Attachment& attachment) {
        const auto given_back = give_back(attachment);
        failures.note(given_back);
        return !given_back;
    };
    TRY(lock.let_go_for([&] { std::erase_if(cleared, keeps_record); }, DatapathLock::Mode::shared));
    const auto now = Datapath::open();
    if (!now && now.error().number != ENOENT) {
        failures.note(std::unexpected(now.error()));
    }
    for (const auto& attachment : now ? cleared : std::vector<Attachment>{}) {
        failures.note(forget_if_there(*now, attachment));
    }
    return failures.result();
}

std::expected<void, Error> unload_if_unused(DatapathLock& lock, Netlink& netlink) {
    TRY(lock.change_to(DatapathLock::Mode::exclusive));
    // Anew: it may have changed before the lock was had.
    const auto datapath = TRY(none_where(ENOENT, Datapath::open()));
    if (datapath) {
        TRY(close_loopback_if_unused(*datapath));
        if (!TRY(datapath->attachments.empty())) {
            return {};
        }
        TRY(remove_networks(*datapath, netlink));
    }
    return Datapath::unpin(lock);
}

}  // namespace causeway
