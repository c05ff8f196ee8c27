// SPDX-License-Identifier: Apache-2.0
#include "userspace/readiness.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>

#include "userspace/orphan.hpp"
#include "userspace/slot.hpp"
#include "userspace/sysctl.hpp"
#include "userspace/uplink.hpp"

namespace causeway {

namespace {

std::unexpected<Error> unavailable(const Error& error) {
    return fail(Code::unavailable, error.message, error.details);
}

// Only what loading needs, so that a datapath that runs is believed.
std::expected<void, Error> check_kernel() {
    if (is_kernel_before(6, 1)) {
        return fail(Code::unavailable, "Linux " + sysctl_value("kernel/osrelease").value_or("") + " is older than 6.1");
    }
    if (access("/sys/kernel/btf/vmlinux", R_OK) != 0) {
        return fail(Code::unavailable, "this kernel has no BTF: /sys/kernel/btf/vmlinux can't be read",
                    "CONFIG_DEBUG_INFO_BTF gives it");
    }
    return {};
}

std::expected<bool, Error> has_sandboxes(const Datapath& datapath, const std::string& network_name) {
    bool some = false;
    TRY(datapath.attachments.for_each([&](const attachment_key&, const attachment& record) {
        const auto network = datapath.networks.find(record.network);
        some = some || (network && network_name == network->name);
    }));
    return some;
}

std::string counted(std::size_t count, const std::string& one, const std::string& several) {
    return std::to_string(count) + " " + (count == 1 ? one : several);
}

// By device, and by destination: where a sandbox's packets would go and be dropped.
Remarks remarks_on_routes(const std::vector<Route>& routes, const std::vector<Link>& uplinks,
                          const std::vector<Network>& networks, Netlink& netlink) {
    constexpr std::uint32_t loopback = 1;
    Remarks remarks;
    std::map<std::uint32_t, std::expected<Link, Error>> links;  // of many routes most are by few devices
    for (const auto& route : routes) {
        const auto is_uplink = [&](const Link& link) { return link.ifindex == route.ifindex; };
        const auto is_gateway = [&](const Network& network) { return network.record.ifindex == route.ifindex; };
        if (!route.in_main_table() || route.destination.address.is_link_local() || route.ifindex == loopback ||
            std::ranges::any_of(uplinks, is_uplink) || std::ranges::any_of(networks, is_gateway)) {
            continue;
        }
        auto known = links.find(route.ifindex);
        if (known == links.end()) {
            known = links.emplace(route.ifindex, netlink.link_at(route.ifindex)).first;
        }
        const auto& link = known->second;
        if (!link) {
            continue;
        }
        remarks.push_back("the route to " + route.destination.text() + " leaves by " + link->name +
                          ", which is no uplink" + (link->ethernet ? "" : " (it has no Ethernet header)") +
                          ": what sandboxes send there is dropped (drop-no-uplink)");
    }
    return remarks;
}

// An uplink that forwards takes router advertisements only with accept_ra 2 (Linux,
// Documentation/networking/ip-sysctl.rst). causeway sets forwarding on its own devices alone; somebody else may have on
// all.
Remarks remarks_on_advertisements(const std::vector<Link>& uplinks) {
    Remarks remarks;
    for (const auto& link : uplinks) {
        const std::string settings = "net/ipv6/conf/" + link.name + "/";
        if (link.forwards_ipv6 && sysctl_value(settings + "accept_ra") == "1") {
            remarks.push_back("the uplink " + link.name +
                              " forwards IPv6, and so takes no router advertisements: set net.ipv6.conf." + link.name +
                              ".accept_ra to 2 if its addresses and routes come by them");
        }
    }
    return remarks;
}

// Of a network that lets in what the host forwards. Which devices are meant nobody says, but one that is an uplink is
// the likely one. With IPv6 all of them forward or none (Linux, Documentation/networking/ip-sysctl.rst, forwarding),
// but those that are forced to (6.17).
Remarks remarks_on_forwarding(const std::vector<Link>& uplinks, const NetworkSpec& spec) {
    Remarks remarks;
    const bool none_of_ipv6 = sysctl_value("net/ipv6/conf/all/forwarding") == "0";
    const auto remark = [&](const std::string& version, const std::string& device, const Link& uplink) {
        remarks.push_back("net." + version + ".conf." + device + ".forwarding is 0: the host forwards nothing that " +
                          "comes in by " + uplink.name + ", to sandboxes either (\"forwarded\")");
    };
    for (const auto& link : spec.nat.forwarded ? uplinks : std::vector<Link>{}) {
        if (spec.has(FAMILY_IPV4) && !link.forwards_ipv4) {
            remark("ipv4", link.name, link);
        }
        if (spec.has(FAMILY_IPV6) && none_of_ipv6 &&
            sysctl_value("net/ipv6/conf/" + link.name + "/force_forwarding").value_or("0") == "0") {
            remark("ipv6", "all", link);
        }
    }
    return remarks;
}

// What is found missing is worth a remark; what can't be asked is an error. remedy: where the finding has none.
template <typename Found>
std::expected<void, Error> remark_on(const std::expected<Found, Error>& found, const std::string& remedy,
                                     Remarks& remarks) {
    if (found) {
        return {};
    }
    if (found.error().code != Code::check_failed) {
        return std::unexpected(found.error());
    }
    remarks.push_back(found.error().message + "; " + (found.error().details.empty() ? remedy : found.error().details));
    return {};
}

std::expected<Remarks, Error> remarks_on_network(const Datapath& datapath, Netlink& netlink,
                                                 const std::vector<Network>& networks, const NetworkSpec& spec) {
    Remarks remarks;
    for (const auto& network : networks) {
        const auto& record = network.record;
        if (spec.device == record.device && record.ifindex != 0) {  // else its first ADD is at work, or was killed
            TRY(remark_on(verify_device(datapath, netlink, record), "the next ADD makes it whole", remarks));
            TRY(remark_on(verify_host_routes(netlink, record), "the next ADD adds it", remarks));
            TRY(remark_on(verify_uplinks(datapath, netlink, spec.uplinks, record, NobodysUplinks::told),
                          "the next ADD attaches it", remarks));
        }
    }
    return remarks;
}

void append(Remarks& remarks, Remarks more) {
    remarks.insert(remarks.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

std::string joined(const Remarks& remarks) {
    std::string text;
    for (const auto& remark : remarks) {
        text += (text.empty() ? "" : "; ") + remark;
    }
    return text;
}

std::expected<Remarks, Error> remarks_on_orphans(const DatapathLock& lock, Netlink& netlink) {
    auto [orphans, remarks] = TRY(find_orphans(lock, netlink));
    if (!orphans.empty()) {
        remarks.push_back(counted(orphans.size(), "thing is", "things are") + " left over, as " + orphans[0].what +
                          ": " + orphans[0].why + "; \"causewayctl gc\" removes them");
    }
    return remarks;
}

std::expected<Remarks, Error> ready_under(const DatapathLock& lock, Netlink& netlink, const NetworkSpec& spec) {
    const auto datapath = TRY(none_where(ENOENT, Datapath::open()));
    if (!datapath) {
        TRY(check_kernel());
        TRY(Datapath::check_rights());
        TRY(refuse_unseen(netlink));
    }
    if (datapath) {
        TRY(datapath->check_sizes(spec.tables));
    }
    const auto uplinks = check_network(datapath ? &*datapath : nullptr, netlink, spec);
    if (!uplinks) {
        return fail(
            datapath && TRY(has_sandboxes(*datapath, spec.name)) ? Code::unavailable_limited : Code::unavailable,
            uplinks.error().message, uplinks.error().details);
    }
    TRY(refuse_too_many(datapath ? &*datapath : nullptr, netlink, *uplinks));
    const auto networks = datapath ? TRY(list_networks(*datapath)) : std::vector<Network>{};
    Remarks remarks;
    if (spec.has(FAMILY_IPV4)) {
        remarks = remarks_on_routes(TRY(netlink.routes(AF_INET)), *uplinks, networks, netlink);
    }
    if (spec.has(FAMILY_IPV6)) {
        append(remarks, remarks_on_routes(TRY(netlink.routes(AF_INET6)), *uplinks, networks, netlink));
        append(remarks, remarks_on_advertisements(*uplinks));
    }
    append(remarks, remarks_on_forwarding(*uplinks, spec));
    if (uplinks->empty()) {
        remarks.emplace_back("there is no uplink: sandboxes can't reach the world");
    }
    if (datapath) {
        append(remarks, TRY(remarks_on_network(*datapath, netlink, networks, spec)));
        append(remarks, TRY(remarks_on_orphans(lock, netlink)));
        if (const auto room = refuse_when_full(*datapath, spec.nat); !room) {
            remarks.insert(remarks.begin(), room.error().details);
            return fail(Code::unavailable, room.error().message, joined(remarks));
        }
        for (const auto& set : spec.ranges) {
            const auto counts = TRY(vacancy(*datapath, set, spec.rest != 0));
            if (counts.left() == 0) {
                return fail(Code::unavailable, "no address is left in " + text_of(set) + " (" + counts.text() + ")",
                            joined(remarks));
            }
        }
    }
    return remarks;
}

}  // namespace

std::expected<Remarks, Error> ready(const NetworkSpec& spec) {
    auto lock = DatapathLock::take(DatapathLock::Mode::shared);
    if (!lock) {
        return unavailable(lock.error());
    }
    // Then nobody is adding or removing, and what is half made or half gone was left so by a kill.
    if (const auto changed = lock->change_to_exclusive_if_free(); !changed) {
        return unavailable(changed.error());
    }
    auto netlink = Netlink::open();
    if (!netlink) {
        return unavailable(netlink.error());
    }
    auto remarks = ready_under(*lock, *netlink, spec);
    if (!remarks && remarks.error().code != Code::unavailable_limited) {
        return unavailable(remarks.error());
    }
    return remarks;
}

}  // namespace causeway
