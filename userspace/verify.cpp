// SPDX-License-Identifier: Apache-2.0
#include "userspace/verify.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <iterator>

#include "userspace/bandwidth.hpp"
#include "userspace/netns.hpp"
#include "userspace/network.hpp"
#include "userspace/orphan.hpp"
#include "userspace/publication.hpp"
#include "userspace/uplink.hpp"

namespace causeway {

namespace {

std::expected<void, Error> require(bool holds, const std::string& what) {
    return holds ? std::expected<void, Error>{} : fail(Code::check_failed, what);
}

Mac mac_of(const std::uint8_t (&bytes)[6]) {
    Mac mac;
    std::ranges::copy(bytes, mac.bytes.begin());
    return mac;
}

// ENODEV is an answer; another error is none.
std::expected<Link, Error> must_find(Netlink& netlink, const std::string& name, const std::string& what) {
    auto link = netlink.link_named(name);
    if (!link && link.error().number == ENODEV) {
        return fail(Code::check_failed, what + " is gone");
    }
    return link;
}

std::expected<void, Error> verify_told(const Link& link, const std::string& what, const Expected& expected) {
    for (const auto& [name, mac, mtu] : expected.host_devices) {
        if (name == link.name) {
            TRY(require(mac.empty() || Mac::parse(mac) == link.mac, "the MAC of " + what + " is " + link.mac.text()));
            TRY(require(!mtu || link.mtu == *mtu, "the MTU of " + what + " is " + std::to_string(link.mtu)));
        }
    }
    return {};
}

// Of each family the first one on record, or none.
bool has_first_of(const sandbox& identity, const std::vector<Address>& addresses) {
    return std::ranges::all_of(std::array{FAMILY_IPV4, FAMILY_IPV6}, [&](family family) {
        const auto first = std::ranges::find(addresses, family, &Address::family);
        return Address(identity.address[family]) == (first == addresses.end() ? Address{} : *first);
    });
}

struct FlagRow {
    std::uint16_t flag;
    const char* about;
};

constexpr std::array link_flags{
    FlagRow{LINK_ISOLATED, "it sees other sandboxes"},
    FlagRow{LINK_QUEUED, "what it is sent has to pass its host end's queue"},
    FlagRow{LINK_POLICED, "it has a rate that it may not exceed"},
    FlagRow{LINK_MULTICAST, "it hears multicast"},
    FlagRow{LINK_DHCP, "it is a DHCP client"},
};

// As connect makes them, and whoever changes the network since.
std::expected<std::uint16_t, Error> flags_of(const attachment& record, const network& network) {
    const auto queues = (record.flags & ATTACHMENT_SHAPED) != 0 ? TRY(queues_of(record.slot)) : Queues{};
    const bool queued = queues.host_end || (record.flags & ATTACHMENT_BARE) != 0;
    const bool asks = (record.flags & ATTACHMENT_ASKS) != 0;
    return with_neighbourhood(
        static_cast<std::uint16_t>((queued ? LINK_QUEUED : 0) | (queues.sandbox_end ? LINK_POLICED : 0) |
                                   (asks ? LINK_DHCP : 0)),
        network);
}

// The host's in a subnet of the network that the address is in.
bool is_gateway_of(const network& network, const Address& own, const Address& gateway) {
    return std::ranges::any_of(network.subnets, [&](const subnet& subnet) {
        return subnet.prefix_length != 0 && gateway == Address(subnet.gateway) &&
               Prefix{gateway, static_cast<int>(subnet.prefix_length)}.contains(own);
    });
}

// All but its quota, which may have been changed since.
std::expected<void, Error> verify_identity(const sandbox& identity, const attachment& record, const network& network) {
    const std::string host_end = record.host_end, what = "the identity of " + host_end;
    auto wanted = TRY(flags_of(record, network));
    if ((record.flags & ATTACHMENT_GIVEN) != 0) {  // an earlier plugin may have made a queue there before the ADD
        wanted |= identity.link.flags & LINK_QUEUED;
    }
    for (const auto& [flag, about] : link_flags) {
        TRY(require((identity.link.flags & flag) == (wanted & flag), what + " is wrong about whether " + about));
    }
    TRY(require(identity.gateway_ifindex == network.ifindex,
                what + " names another gateway device than " + network.device));
    TRY(require(mac_of(identity.link.gateway_mac) == mac_of(network.mac),
                what + " names another MAC of the gateway's than " + mac_of(network.mac).text()));
    for (const auto family : {FAMILY_IPV4, FAMILY_IPV6}) {
        const Address own(identity.address[family]), gateway(identity.gateway[family]);
        TRY(require(own.is_none() ? gateway.is_none() : is_gateway_of(network, own, gateway),
                    what + " names a gateway that its network does not have: " + gateway.text()));
    }
    TRY(require(identity.link.ifindex == record.ifindex && identity.link.slot == record.slot,
                what + " names another device, or another's counters"));
    const std::uint32_t first = record.block, last = first == 0 ? 0 : first + network.port_block - 1;
    return require(identity.port_min == first && identity.port_max == last,
                   what + " has the source ports " + std::to_string(identity.port_min) + "-" +
                       std::to_string(identity.port_max) + ", and not " + std::to_string(first) + "-" +
                       std::to_string(last));
}

// What of a link is of its network is in the identity alone.
bool is_same_way(sandbox_link one, const sandbox_link& other, const network& network) {
    one.flags = with_neighbourhood(one.flags, network);
    return std::memcmp(&one, &other, sizeof(one)) == 0;
}

std::expected<void, Error> verify_entries(const Datapath& datapath, const attachment& record,
                                          const std::vector<Address>& addresses, const network& network) {
    const std::string host_end = record.host_end;
    const auto identity = datapath.sandboxes.find(record.ifindex);
    TRY(require(identity && has_first_of(*identity, addresses) && identity->network == record.network,
                host_end + " has no identity in the datapath"));
    TRY(verify_identity(*identity, record, network));
    for (const auto& address : addresses) {
        const auto place = datapath.endpoints.find(address.raw());
        TRY(require(place && place->kind == ENDPOINT_SANDBOX && place->claim == record.claim &&
                        place->network == record.network && is_same_way(place->link, identity->link, network),
                    "the address " + address.text() + " does not lead to " + host_end));
    }
    TRY(require(record.block == 0 || datapath.port_blocks.find(record.block) == record.claim,
                "the port block from " + std::to_string(record.block) + " on is not " + host_end + "'s"));
    return require(datapath.slots.find(record.slot) == record.claim, host_end + " has no counters");
}

std::expected<void, Error> verify_publications(const Datapath& datapath, Netlink& netlink, const attachment& record) {
    if ((record.flags & ATTACHMENT_PUBLISHES) == 0) {
        return {};
    }
    const auto publishing = TRY(Datapath::open_publishing());
    for (const auto& mapping : TRY(publications_of(publishing, record.claim))) {
        TRY(verify_published(datapath, mapping, datapath.sandboxes.find(record.ifindex).value_or(sandbox{})));
    }
    TRY(verify_loopback(datapath));
    constexpr std::uint32_t loopback = 1;
    return verify_first(netlink, datapath.uplink_hook, loopback, Direction::egress, publishing.from_loopback.get(),
                        "lo");
}

// end: of which the netlink socket's namespace has the device with that index.
std::expected<void, Error> verify_queue(Netlink& netlink, const attachment& record, std::optional<Rate> Queues::* end,
                                        const std::string& what, std::optional<std::uint32_t> ifindex = std::nullopt) {
    const auto wanted = (record.flags & ATTACHMENT_SHAPED) != 0 ? TRY(queues_of(record.slot)).*end : std::nullopt;
    if (!wanted) {
        return {};
    }
    const auto queue = TRY(netlink.queue_at(ifindex.value_or(record.ifindex)));
    TRY(require(queue.has_value(), "the queue of " + what + ", by which it has its bandwidth, is gone"));
    TRY(require(queue->bytes_per_second == wanted->bytes_per_second,
                "the queue of " + what + " lets " + std::to_string(queue->bytes_per_second) +
                    " bytes a second pass, and not " + std::to_string(wanted->bytes_per_second)));
    // The kernel keeps a burst as the time that it takes, and tells that in 32 bits: longer ones can't be compared.
    constexpr std::uint64_t longest_told = 270;  // s
    if (wanted->burst / longest_told >= wanted->bytes_per_second) {
        return {};
    }
    constexpr std::uint64_t precise_to = 16, ticks_per_second = 10'000'000;  // a part; fewer than there are, for both
    const auto tolerated = wanted->burst / precise_to + wanted->bytes_per_second / ticks_per_second;
    const auto off = std::max(queue->burst, wanted->burst) - std::min(queue->burst, wanted->burst);
    return require(off <= tolerated, "the queue of " + what + " has a burst of " + std::to_string(queue->burst) +
                                         " bytes, and not " + std::to_string(wanted->burst));
}

std::expected<void, Error> verify_host_end(const Datapath& datapath, Netlink& netlink, const attachment& record,
                                           const network& network, const Expected& expected) {
    const std::string host_end = record.host_end, what = "the host end " + host_end;
    const auto link = TRY(must_find(netlink, host_end, what));
    TRY(require(link.ifindex == record.ifindex, what + " is another device than the one that was made"));
    TRY(require(link.up, what + " is not up"));
    const bool given = (record.flags & ATTACHMENT_GIVEN) != 0;
    TRY(require(given || link.mac == mac_of(network.mac), "the MAC of " + what + " is " + link.mac.text()));
    TRY(verify_told(link, what, expected));
    const auto identity = datapath.sandboxes.find(record.ifindex);
    TRY(require(given || !identity || link.mtu == identity->mtu,
                "the MTU of " + what + " is " + std::to_string(link.mtu) + ", and that of its identity " +
                    std::to_string(identity.value_or(sandbox{}).mtu)));
    const int program = datapath.from_sandbox.get();
    TRY(require(TRY(attached(own_device_hook, record.ifindex, Direction::ingress, program, host_end)),
                "the program from_sandbox is not attached to " + host_end + ", or is not the one that is loaded"));
    return verify_first(netlink, own_device_hook, record.ifindex, Direction::ingress, program, host_end);
}

// What verify_device leaves out, since only CHECK needs to know by name.
std::expected<void, Error> verify_gateway(const Datapath& datapath, Netlink& netlink, const network& network,
                                          const Expected& expected) {
    const std::string device = network.device, inner = inner_end_of(device);
    TRY(verify_device(datapath, netlink, network));
    TRY(verify_first(netlink, own_device_hook, network.ifindex, Direction::egress, datapath.from_host.get(), device));
    const auto link = TRY(must_find(netlink, device, "the gateway device " + device));
    TRY(verify_told(link, "the gateway device " + device, expected));
    TRY(require(TRY(must_find(netlink, inner, "the gateway device's inner end " + inner)).up,
                "the gateway device's inner end " + inner + " is not up"));
    for (const auto& subnet : network.subnets) {
        if (subnet.prefix_length == 0) {
            continue;
        }
        const auto entry = datapath.endpoints.find(subnet.gateway);
        TRY(require(entry && entry->kind == ENDPOINT_GATEWAY && entry->link.ifindex == network.ifindex,
                    "the gateway address " + Address(subnet.gateway).text() + " does not lead to " + device));
    }
    return verify_host_routes(netlink, network);
}

std::expected<std::vector<Route>, Error> routes_of(Netlink& netlink, bool ipv4, bool ipv6) {
    auto routes = ipv4 ? TRY(netlink.routes(AF_INET)) : std::vector<Route>{};
    if (ipv6) {
        std::ranges::move(TRY(netlink.routes(AF_INET6)), std::back_inserter(routes));
    }
    return routes;
}

// The kernel's for a priority that is 0.
std::uint32_t priority_of(const Route& route) {
    constexpr std::uint32_t ipv6_default = 1024;
    const auto priority = route.priority.value_or(0);
    return priority == 0 && !route.destination.address.is_ipv4() ? ipv6_default : priority;
}

// Whether it has the numbers that are wanted. Who names no table but the main one may find it in any; IPv6 has no
// scope.
bool has_numbers_of(const Route& route, const Route& wanted) {
    return (wanted.in_main_table() || route.table == wanted.table) &&
           (!wanted.priority || priority_of(route) == priority_of(wanted)) &&
           (!wanted.scope || !route.destination.address.is_ipv4() || route.scope == wanted.scope) &&
           (!wanted.mtu || route.mtu == wanted.mtu) && (!wanted.advmss || route.advmss == wanted.advmss);
}

// Who names no gateway, and does not say that there is none, leaves it to whoever makes the route.
bool goes_by(const Route& route, const Route& wanted) {
    return route.gateway == wanted.gateway || (wanted.gateway.is_none() && !wanted.on_link());
}

// ifindex: of the device that it has to be by; 0: any. What the route lacks, or none.
std::optional<std::string> fault_of_route(const std::vector<Route>& routes, const Route& wanted,
                                          std::uint32_t ifindex) {
    bool there = false;
    for (const auto& one : routes) {
        if (one.destination.first() == wanted.destination.first() &&
            one.destination.length == wanted.destination.length && goes_by(one, wanted) &&
            (ifindex == 0 || one.ifindex == ifindex)) {
            if (has_numbers_of(one, wanted)) {
                return std::nullopt;
            }
            there = true;
        }
    }
    return there ? "has another table, priority, scope, mtu or advmss" : "is gone";
}

std::expected<std::vector<LinkAddress>, Error> addresses_of(Netlink& netlink, bool ipv4, bool ipv6,
                                                            std::uint32_t ifindex) {
    auto addresses = ipv4 ? TRY(netlink.addresses(AF_INET, ifindex)) : std::vector<LinkAddress>{};
    if (ipv6) {
        std::ranges::move(TRY(netlink.addresses(AF_INET6, ifindex)), std::back_inserter(addresses));
    }
    return addresses;
}

// That to its subnet, which the kernel makes with an address; none where nobody else can be in it.
std::optional<Route> connected_route(const Prefix& own) {
    const Prefix subnet{own.first(), own.length};
    const int bits = own.address.is_ipv4() ? 32 : 128;
    return own.length < bits ? std::optional(Route{.destination = subnet}) : std::nullopt;
}

std::expected<void, Error> verify_routes(const std::vector<Route>& routes, const Link& link, const std::string& where,
                                         const std::vector<Route>& connected, const Expected& expected) {
    const auto verify_route = [&](const Route& wanted, std::uint32_t ifindex) {
        const auto fault = fault_of_route(routes, wanted, ifindex);
        return require(!fault, "the route to " + wanted.destination.text() + " by " +
                                   (wanted.gateway.is_none() ? link.name : wanted.gateway.text()) + where + " " +
                                   fault.value_or(""));
    };
    for (const auto& wanted : connected) {
        TRY(verify_route(wanted, link.ifindex));
    }
    for (const auto& wanted : expected.routes) {
        const auto reaches = [&](const Prefix& prefix) { return prefix.contains(wanted.gateway); };
        const bool on_link = wanted.gateway.is_none();
        const bool may_be_others = on_link ? !expected.alone : std::ranges::any_of(expected.of_others, reaches);
        if (on_link || std::ranges::any_of(expected.addresses, reaches)) {
            TRY(verify_route(wanted, may_be_others ? 0 : link.ifindex));
        }
    }
    return {};
}

std::expected<void, Error> verify_layer_three(Netlink& inside, const Link& link, const std::string& where,
                                              const std::vector<Address>& own, const Expected& expected) {
    const bool ipv4 = std::ranges::any_of(own, &Address::is_ipv4);
    const bool ipv6 = !std::ranges::all_of(own, &Address::is_ipv4);
    const auto is_of_the_other = [&](const Prefix& prefix) { return prefix.address.is_ipv4() ? !ipv4 : !ipv6; };
    const auto addresses = TRY(addresses_of(inside, ipv4, ipv6, link.ifindex));
    auto told = expected;
    std::ranges::copy_if(expected.untied, std::back_inserter(told.addresses),
                         [&](const Prefix& prefix) { return std::ranges::find(own, prefix.address) != own.end(); });
    std::erase_if(told.addresses, is_of_the_other);
    std::erase_if(told.routes, [&](const Route& route) { return is_of_the_other(route.destination); });
    for (const auto& wanted : told.addresses) {
        TRY(require(std::ranges::find(addresses, wanted, &LinkAddress::prefix) != addresses.end(),
                    "the address " + wanted.text() + " of " + link.name + where + " is gone"));
    }
    std::vector<Route> connected;
    for (const auto& address : own) {
        const auto found =
            std::ranges::find(addresses, address, [](const LinkAddress& one) { return one.prefix.address; });
        TRY(require(found != addresses.end(),
                    "the address " + address.text() + " of " + link.name + where + " is gone"));
        if (const auto route = connected_route(found->prefix)) {
            connected.push_back(*route);
        }
    }
    return verify_routes(TRY(routes_of(inside, ipv4, ipv6)), link, where, connected, told);
}

// The first gateway of each family, whose MAC ADD has told it. Where it has forgotten that (as when a later plugin sets
// the link down), it asks, and is answered.
std::expected<void, Error> verify_neighbours(Netlink& inside, const Link& link, const std::string& where,
                                             const sandbox& identity) {
    const auto mac = mac_of(identity.link.gateway_mac);
    for (const auto family : {FAMILY_IPV4, FAMILY_IPV6}) {
        const Address gateway(identity.gateway[family]);
        if (gateway.is_none()) {
            continue;
        }
        const auto known = TRY(inside.neighbours(family == FAMILY_IPV4 ? AF_INET : AF_INET6, link.ifindex));
        const auto found = std::ranges::find(known, gateway, &Neighbour::address);
        if (found != known.end()) {
            TRY(require(found->mac == mac, "the MAC of the neighbour " + gateway.text() + " of " + link.name + where +
                                               " is " + found->mac.text()));
        }
    }
    return {};
}

std::expected<void, Error> verify_inside(const SandboxId& id, const std::string& netns_path,
                                         const Attachment& attachment, const sandbox& identity,
                                         const Expected& expected) {
    auto inside = TRY(Netlink::open_in(TRY(Netns::open(netns_path)), TRY(Netns::current())));
    const std::string where = " in " + netns_path, what = "the interface " + id.interface + where;
    const auto link = TRY(must_find(inside, id.interface, what));
    TRY(require(link.peer == attachment.record.ifindex, what + " is another device than the one that was made"));
    TRY(require(link.up, what + " is not up"));
    TRY(require(!expected.mac || link.mac == *expected.mac, "the MAC of " + what + " is " + link.mac.text()));
    TRY(require(link.mac == mac_of(identity.link.mac), "the MAC of " + what + " is " + link.mac.text() + ", and only " +
                                                           mac_of(identity.link.mac).text() +
                                                           " may send: ask for a MAC at ADD"));
    TRY(require(link.mtu <= expected.mtu.value_or(identity.mtu),
                "the MTU of " + what + " is " + std::to_string(link.mtu)));
    TRY(require(TRY(must_find(inside, "lo", "lo" + where)).up, "lo" + where + " is not up"));
    TRY(verify_queue(inside, attachment.record, &Queues::sandbox_end, what, link.ifindex));
    TRY(verify_layer_three(inside, link, where, attachment.addresses(), expected));
    // Last: the kernel forgets them with the address of their subnet.
    return (attachment.record.flags & ATTACHMENT_GIVEN) != 0 ? std::expected<void, Error>{}
                                                             : verify_neighbours(inside, link, where, identity);
}

}  // namespace

std::expected<void, Error> verify(const SandboxId& id, const std::string& netns,
                                  const std::vector<std::string>& uplinks, const Expected& expected) {
    const auto lock = TRY(DatapathLock::take(DatapathLock::Mode::shared));
    auto netlink = TRY(Netlink::open());
    const auto datapath = TRY(none_where(ENOENT, Datapath::open()));
    if (!datapath) {
        TRY(refuse_unseen(netlink));
        return fail(Code::check_failed, name_of(id) + " is not connected: the datapath is not loaded");
    }
    const auto record = datapath->attachments.find(key_of(id));
    TRY(require(record && record->state == ATTACHMENT_CONNECTED, name_of(id) + " is not connected"));
    const auto network = datapath->networks.find(record->network);
    TRY(require(network && network->name[0] != '\0', "the network of " + name_of(id) + " is gone"));
    TRY(require(expected.network == network->name, name_of(id) + " is of the network \"" + std::string(network->name) +
                                                       "\", and not of \"" + expected.network + "\""));
    TRY(verify_host_end(*datapath, netlink, *record, *network, expected));
    const Attachment attachment{key_of(id), *record};
    TRY(verify_entries(*datapath, *record, attachment.addresses(), *network));
    TRY(verify_publications(*datapath, netlink, *record));
    TRY(verify_queue(netlink, *record, &Queues::host_end, std::string("the host end ") + record->host_end));
    TRY(verify_gateway(*datapath, netlink, *network, expected));
    for (const auto& address : attachment.addresses()) {
        TRY(verify_way(netlink, address, *network));
    }
    TRY(verify_uplinks(*datapath, netlink, uplinks, *network, NobodysUplinks::ignored));
    const auto identity = datapath->sandboxes.find(record->ifindex).value_or(sandbox{});
    if ((record->flags & ATTACHMENT_BARE) != 0) {
        return require(!expected.mac || *expected.mac == mac_of(identity.link.mac),
                       "only the MAC " + mac_of(identity.link.mac).text() + " may send by " + record->host_end);
    }
    return verify_inside(id, netns, attachment, identity, expected);
}

}  // namespace causeway
