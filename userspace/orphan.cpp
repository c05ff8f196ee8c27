// SPDX-License-Identifier: Apache-2.0
#include "userspace/orphan.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "userspace/netns.hpp"
#include "userspace/network.hpp"

namespace causeway {

namespace {

using Links = std::map<std::string, Link>;

std::expected<Links, Error> links_by_name(Netlink& netlink) {
    Links links;
    for (auto& link : TRY(netlink.links())) {
        links.insert_or_assign(link.name, link);  // of two, the one that came later
    }
    return links;
}

// None: it is gone. That is asked of the kernel, since a list that was made while devices come and go may lack one.
std::expected<std::optional<Link>, Error> host_end_of(const Datapath& datapath, Netlink& netlink, const Links& links,
                                                      const attachment& record) {
    const auto named = links.find(record.host_end);
    if (named != links.end() && (record.ifindex == 0 || named->second.ifindex == record.ifindex)) {
        return named->second;
    }
    const auto link = TRY(recorded_device(netlink, record));
    return link && TRY(is_host_end_of(datapath, record, *link)) ? link : std::nullopt;
}

std::string why_without_host_end(const attachment& record) {
    const std::string host_end = record.host_end, netns = record.netns;
    return Netns::open(netns) ? "its host end " + host_end + " is gone" : "its namespace " + netns + " is gone";
}

std::string what_of(const Attachment& attachment) {
    std::string what = name_of(id_of(attachment.key));
    for (const auto& address : attachment.addresses()) {
        what += ", address " + address.text();
    }
    return what;
}

struct Records {
    std::vector<Attachment> all;
    std::set<std::uint64_t> claims;
    std::set<std::uint32_t> ifindexes;
    std::set<std::string> host_ends;
};

std::expected<Records, Error> read_records(const Datapath& datapath) {
    Records records;
    TRY(datapath.attachments.for_each([&](const attachment_key& key, const attachment& record) {
        records.all.push_back({key, record});
        records.claims.insert(record.claim);
        records.ifindexes.insert(record.ifindex);
        records.host_ends.insert(record.host_end);
    }));
    return records;
}

// Namespaces that a process is in, as this one numbers them; read when the first one asks, since that costs some time.
class Inhabited {
public:
    explicit Inhabited(Netlink& netlink) : netlink_(netlink) {}

    std::expected<bool, Error> has(std::int32_t number) {
        if (!numbers_) {
            numbers_ = read();
        }
        if (!*numbers_) {
            return std::unexpected(numbers_->error());
        }
        return (*numbers_)->contains(number);
    }

private:
    std::expected<std::set<std::int32_t>, Error> read() {
        std::set<std::int32_t> numbers;
        for (const auto& netns : TRY(Netns::in_use())) {
            if (const auto one = TRY(netlink_.number_of(netns))) {
                numbers.insert(*one);
            }
        }
        return numbers;
    }

    Netlink& netlink_;
    std::optional<std::expected<std::set<std::int32_t>, Error>> numbers_;
};

// What a record is held against.
struct Scene {
    const Datapath& datapath;
    Netlink& netlink;
    const Links& links;
    bool nobody_connects;
    Inhabited inhabited{netlink};
    std::vector<std::string> remarks{};
};

// The path is gone, so that no runtime can find the sandbox again, and no process is in it: what keeps its namespace is
// a descriptor that somebody has forgotten.
bool is_deserted(Scene& scene, const Attachment& attachment, const Link& host_end) {
    const auto& record = attachment.record;
    const bool given = (record.flags & ATTACHMENT_GIVEN) != 0;
    if (given || !host_end.peer_netns || access(record.netns, F_OK) == 0 || errno != ENOENT) {
        return false;
    }
    const auto inhabited = scene.inhabited.has(*host_end.peer_netns);
    if (!inhabited) {
        scene.remarks.push_back(
            name_of(id_of(attachment.key)) + ": its path " + record.netns +
            " is gone, but whether a process is in its namespace can't be told: " + inhabited.error().message);
    }
    return inhabited && !*inhabited;
}

// Whoever waits for an IPAM plugin holds the lock until the record is gone.
std::expected<bool, Error> waits_for_nobody(const Datapath& datapath, const Attachment& attachment) {
    if (TRY(AskingLock::is_held())) {
        return false;
    }
    const auto record = TRY(datapath.attachments.look_up(attachment.key));
    return record && record->claim == attachment.record.claim;
}

// Why nobody uses it any more; nothing: somebody does, or may.
std::expected<std::optional<std::string>, Error> why_stale(Scene& scene, const Attachment& attachment) {
    const auto& record = attachment.record;
    if (record.state == ATTACHMENT_CONNECTING) {
        const bool asking = (record.flags & ATTACHMENT_LEASED) != 0 && TRY(AskingLock::is_held());
        return scene.nobody_connects && !asking ? std::optional<std::string>("its ADD was killed") : std::nullopt;
    }
    if (record.state == ATTACHMENT_CLEARED) {
        return TRY(waits_for_nobody(scene.datapath, attachment))
                   ? std::optional<std::string>(
                         "its IPAM plugin has not taken its addresses back, which a DEL or a GC would ask it again")
                   : std::nullopt;
    }
    const auto host_end = TRY(host_end_of(scene.datapath, scene.netlink, scene.links, record));
    // After the host end, since a disconnect, which may be at work, takes the identity first.
    if (!TRY(scene.datapath.sandboxes.look_up(record.ifindex))) {
        return scene.nobody_connects
                   ? std::optional<std::string>("its DEL was killed, or failed and was not called again")
                   : std::nullopt;
    }
    if (!host_end) {
        return why_without_host_end(record);
    }
    if (is_deserted(scene, attachment, *host_end)) {
        return "its path " + std::string(record.netns) + " is gone, and no process is in its namespace";
    }
    return std::nullopt;
}

std::expected<void, Error> find_stale_records(Scene& scene, const Records& records, std::vector<Orphan>& found) {
    for (const auto& one : records.all) {
        if (const auto why = TRY(why_stale(scene, one))) {
            found.push_back({.kind = Orphan::Kind::attachment, .what = what_of(one), .why = *why, .attachment = one});
        }
    }
    return {};
}

void find_stray_host_ends(const Records& records, const Links& links, std::vector<Orphan>& found) {
    for (const auto& [name, link] : links) {  // no other tool makes a veth device of such a name
        const bool recorded = records.host_ends.contains(name) || records.ifindexes.contains(link.ifindex);
        if (link.kind == "veth" && is_host_end_name(name) && !recorded) {
            found.push_back({.kind = Orphan::Kind::host_end,
                             .what = "the host end " + name,
                             .why = "no sandbox on record has it",
                             .device = name});
        }
    }
}

// Known by its inner end and by a program of causeway's on it, of whichever load.
std::expected<void, Error> find_stray_gateways(const std::vector<Network>& networks, const Links& links,
                                               std::vector<Orphan>& found) {
    for (const auto& [name, link] : links) {
        const auto inner = links.find(inner_end_of(name));
        const bool named = std::ranges::any_of(networks, [&](const Network& n) { return name == n.record.device; });
        if (named || inner == links.end() || inner->second.ifindex != link.peer ||
            !TRY(has_filter(link.ifindex, Direction::egress, name))) {
            continue;
        }
        found.push_back({.kind = Orphan::Kind::gateway,
                         .what = "the gateway device " + name,
                         .why = "no network on record has it",
                         .device = name});
    }
    return {};
}

// They go on by maps that nobody reads or writes any more.
std::expected<void, Error> find_stray_programs(const Links& links, std::vector<Orphan>& found) {
    constexpr std::array<std::pair<const char*, Direction>, 3> shared{
        {{"from_uplink", Direction::ingress}, {"from_stack", Direction::egress}, {"from_loopback", Direction::egress}}};
    const auto hook = shared_device_hook();
    for (const auto& [name, link] : links) {
        for (const auto& [program, direction] : shared) {
            if (!TRY(programs_named(program, hook, link.ifindex, direction, name)).empty()) {
                found.push_back({.kind = Orphan::Kind::program,
                                 .what = std::string("the program ") + program + " on " + name,
                                 .why = "the pins of the datapath that it is of are lost",
                                 .device = name,
                                 .index = link.ifindex,
                                 .program = program,
                                 .direction = direction});
            }
        }
    }
    return {};
}

std::expected<void, Error> find_stray_entries(const Datapath& datapath, const Records& records,
                                              std::vector<Orphan>& found) {
    TRY(datapath.endpoints.for_each([&](const address& place, const endpoint& entry) {
        const bool of_a_sandbox = entry.kind == ENDPOINT_CLAIMED || entry.kind == ENDPOINT_SANDBOX;
        if (of_a_sandbox && !records.claims.contains(entry.claim)) {
            found.push_back({.kind = Orphan::Kind::endpoint,
                             .what = "the address " + Address(place).text(),
                             .why = "no sandbox on record has claimed it",
                             .place = place});
        }
    }));
    TRY(datapath.sandboxes.for_each([&](const std::uint32_t& ifindex, const sandbox&) {
        if (!records.ifindexes.contains(ifindex)) {
            found.push_back({.kind = Orphan::Kind::identity,
                             .what = "the identity of the device with index " + std::to_string(ifindex),
                             .why = "it is the host end of no sandbox on record",
                             .index = ifindex});
        }
    }));
    return datapath.slots.for_each([&](const std::uint32_t& slot, const std::uint64_t& claim) {
        if (!records.claims.contains(claim)) {
            found.push_back({.kind = Orphan::Kind::slot,
                             .what = "the slot " + std::to_string(slot),
                             .why = "no sandbox on record has claimed it",
                             .index = slot});
        }
    });
}

std::expected<void, Error> find_unused_datapath(bool loaded, const Records& records, std::vector<Orphan>& found) {
    Orphan orphan{.kind = Orphan::Kind::datapath, .what = "the datapath in " + Datapath::directory()};
    if (loaded && records.all.empty()) {
        orphan.why = "no sandbox is on record";
    } else if (!loaded && TRY(Datapath::is_half_loaded())) {
        orphan.why = "its load or unload was killed";
    }
    if (!orphan.why.empty()) {
        found.push_back(orphan);
    }
    return {};
}

std::expected<void, Error> find_stray_devices(const Records& records, const std::vector<Network>& networks,
                                              const Links& links, std::vector<Orphan>& found) {
    find_stray_host_ends(records, links, found);
    return find_stray_gateways(networks, links, found);
}

std::expected<std::vector<Orphan>, Error> find_without_datapath(const Links& links) {
    std::vector<Orphan> found;
    TRY(find_stray_devices({}, {}, links, found));
    TRY(find_stray_programs(links, found));
    return found;
}

std::string list_of(const std::vector<Orphan>& orphans) {
    constexpr std::size_t named = 3;
    std::string list;
    for (std::size_t i = 0; i < orphans.size() && i < named; i++) {
        list += (list.empty() ? "" : ", ") + orphans[i].what;
    }
    return list + (orphans.size() > named ? " and " + std::to_string(orphans.size() - named) + " more" : "");
}

}  // namespace

std::expected<void, Error> refuse_unseen(Netlink& netlink) {
    if (Datapath::is_pinned()) {
        return {};
    }
    TRY(Datapath::check_loadable());
    // Where sandboxes are, their devices are, too. Programs alone are of an uplink that was elsewhere for a while.
    std::vector<Orphan> found;
    TRY(find_stray_devices({}, {}, TRY(links_by_name(netlink)), found));
    if (found.empty()) {
        return {};
    }
    return fail(Code::conflict,
                list_of(found) + (found.size() == 1 ? " is" : " are") +
                    " in this network namespace, but no datapath is in " + Datapath::directory(),
                "where the host's bpffs is another one than is mounted here, call causeway there; where the pins are "
                "lost, \"causewayctl gc --without-datapath\" removes all that is left, with what sandboxes still use");
}

std::expected<void, Error> see_records() {
    const auto lock = TRY(DatapathLock::take(DatapathLock::Mode::shared));
    auto netlink = TRY(Netlink::open());
    const auto datapath = TRY(none_where(ENOENT, Datapath::open()));
    return refuse_unseen(netlink);
}

std::expected<Leftovers, Error> find_orphans(const DatapathLock& lock, Netlink& netlink) {
    const auto datapath = TRY(none_where(ENOENT, Datapath::open()));
    const auto records = datapath ? TRY(read_records(*datapath)) : Records{};
    const auto networks = datapath ? TRY(list_networks(*datapath)) : std::vector<Network>{};
    const auto links = TRY(links_by_name(netlink));
    const bool nobody_connects = lock.mode() == DatapathLock::Mode::exclusive;
    Leftovers left;
    auto& found = left.orphans;
    if (datapath) {
        Scene scene{*datapath, netlink, links, nobody_connects};
        TRY(find_stale_records(scene, records, found));
        left.remarks = std::move(scene.remarks);
    }
    if (nobody_connects &&
        TRY(Datapath::other_versions()).empty()) {  // else devices may be on another version's record
        if (datapath) {
            TRY(find_stray_devices(records, networks, links, found));
        } else {
            found = TRY(find_without_datapath(links));
        }
    }
    if (datapath && nobody_connects) {
        TRY(find_stray_entries(*datapath, records, found));
    }
    if (nobody_connects) {
        TRY(find_unused_datapath(datapath.has_value(), records, found));
    }
    return left;
}

}  // namespace causeway
