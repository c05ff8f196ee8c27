// SPDX-License-Identifier: Apache-2.0
#include "userspace/network.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ranges>
#include <set>

#include "userspace/failures.hpp"
#include "userspace/fixed_text.hpp"
#include "userspace/network_conflict.hpp"
#include "userspace/network_record.hpp"
#include "userspace/rollback.hpp"
#include "userspace/sysctl.hpp"
#include "userspace/uplink.hpp"

namespace causeway {

std::string inner_end_of(const std::string& device) {
    return device + "-in";
}

std::uint16_t with_neighbourhood(std::uint16_t link_flags, const network& record) {
    const int isolated = (record.flags & NETWORK_ISOLATED) != 0 ? LINK_ISOLATED : 0;
    const int multicast = (record.flags & NETWORK_MULTICAST) != 0 ? LINK_MULTICAST : 0;
    return static_cast<std::uint16_t>((link_flags & ~(LINK_ISOLATED | LINK_MULTICAST)) | isolated | multicast);
}

bool has_subnets(const network& record, family family) {
    return std::ranges::any_of(record.subnets, [&](const subnet& subnet) {
        return subnet.prefix_length != 0 && Address(subnet.gateway).family() == family;
    });
}

Prefix link_local_gateway_of(const network& record) {
    Mac mac;
    std::ranges::copy(record.mac, mac.bytes.begin());
    return {Address::link_local_of(mac), 64};
}

bool NetworkSpec::has(family family) const {
    return ranges.empty() || std::ranges::any_of(ranges | std::views::join,
                                                 [&](const Range& range) { return range.gateway.family() == family; });
}

namespace {

constexpr std::uint32_t ipv6_mtu_min = 1280;  // RFC 8200, section 5

Mac mac_of(const network& record) {
    Mac mac;
    std::ranges::copy(record.mac, mac.bytes.begin());
    return mac;
}

std::expected<std::uint32_t, Error> mtu_for(const NetworkSpec& spec, const std::vector<Uplink>& uplinks) {
    const auto smallest = std::ranges::min_element(uplinks, {}, [](const Uplink& u) { return u.link.mtu; });
    const auto mtu = spec.mtu.value_or(smallest == uplinks.end() ? default_mtu : smallest->link.mtu);
    if (mtu < ipv6_mtu_min && !spec.ranges.empty() && spec.has(FAMILY_IPV6)) {
        return fail(Code::invalid_configuration, "mtu: " + std::to_string(mtu) +
                                                     (spec.mtu ? "" : " of the uplink " + smallest->link.name) +
                                                     " is less than the 1280 that IPv6 needs");
    }
    return mtu;
}

// --- the gateway device ---

std::expected<void, Error> put_gateways(const Datapath& datapath, const Network& network) {
    endpoint entry{.link = {.ifindex = network.record.ifindex}, .network = network.id, .kind = ENDPOINT_GATEWAY};
    std::ranges::copy(network.record.mac, entry.link.mac);
    std::ranges::copy(network.record.mac, entry.link.gateway_mac);
    for (const auto& [gateway, length] : gateways_of(network.record)) {
        const auto present = TRY(datapath.endpoints.look_up(gateway.raw()));
        if (present && present->kind != ENDPOINT_GATEWAY) {
            return fail(Code::conflict, "take the gateway address " + gateway.text() + ": a sandbox has it");
        }
        TRY(datapath.endpoints.put(gateway.raw(), entry, "the gateway " + gateway.text()));
    }
    return {};
}

// What the programs' look-up of a route asks of the device that a packet came by. Forwarding on this device alone:
// on all of them, uplinks would no longer take router advertisements.
std::expected<void, Error> enable_ipv6(const network& record) {
    if (!has_subnets(record, FAMILY_IPV6)) {
        return {};
    }
    const std::string settings = "net/ipv6/conf/" + std::string(record.device) + "/";
    return write_sysctls(std::array{Sysctl{settings + "disable_ipv6", "0"}, Sysctl{settings + "forwarding", "1"}});
}

std::expected<void, Error> create_device(const Datapath& datapath, Netlink& netlink, network& record,
                                         std::uint32_t gso_max_size) {
    const std::string device = record.device, inner = inner_end_of(device);
    const auto mac = mac_of(record);
    Mac inner_mac = mac;
    inner_mac.bytes.back() ^= 1;
    TRY(netlink.create_veth({device, mac, record.mtu, gso_max_size}, {inner, inner_mac, record.mtu, gso_max_size},
                            nullptr));
    TRY(enable_ipv6(record));
    const auto outer_link = TRY(netlink.link_named(device));
    const auto inner_link = TRY(netlink.link_named(inner));
    TRY(attach(own_device_hook, outer_link.ifindex, Direction::egress, datapath.from_host.get(), device));
    Batch batch;
    batch.change_link(inner_link.ifindex, {.up = true, .no_ipv6_link_local = true}, "set up the device " + inner);
    batch.change_link(outer_link.ifindex,
                      {.up = true, .no_arp = true, .forward_ipv4 = true, .no_ipv6_link_local = true},
                      "set up the device " + device);
    for (const auto& gateway : gateways_of(record)) {
        batch.add_address(outer_link.ifindex, gateway, "add the gateway address " + gateway.text() + " to " + device);
    }
    TRY(netlink.commit(batch));
    record.ifindex = outer_link.ifindex;
    return {};
}

bool has_address(const std::vector<LinkAddress>& addresses, std::uint32_t ifindex, const Prefix& prefix) {
    return std::ranges::any_of(addresses,
                               [&](const LinkAddress& a) { return a.ifindex == ifindex && a.prefix == prefix; });
}

std::expected<std::vector<LinkAddress>, Error> addresses_of(Netlink& netlink, const network& record) {
    std::vector<LinkAddress> addresses;
    for (const auto family : {FAMILY_IPV4, FAMILY_IPV6}) {
        if (has_subnets(record, family)) {
            std::ranges::move(TRY(netlink.addresses(family == FAMILY_IPV4 ? AF_INET : AF_INET6, record.ifindex)),
                              std::back_inserter(addresses));
        }
    }
    return addresses;
}

// Subnets that the configuration has gained since the device was made, and whatever else of it somebody took away.
// inner: index of its inner end.
std::expected<void, Error> complete_device(const Datapath& datapath, Netlink& netlink, const network& record,
                                           std::uint32_t inner) {
    const std::string device = record.device;
    const auto addresses = TRY(addresses_of(netlink, record));
    TRY(enable_ipv6(record));
    TRY(attach(own_device_hook, record.ifindex, Direction::egress, datapath.from_host.get(), device));
    Batch batch;
    batch.change_link(inner, {.up = true}, "set up the device " + inner_end_of(device));
    batch.change_link(
        record.ifindex,
        {.up = true, .no_arp = true, .forward_ipv4 = true, .no_ipv6_link_local = true, .mac = mac_of(record)},
        "set up the device " + device);
    for (const auto& gateway : gateways_of(record)) {
        if (!has_address(addresses, record.ifindex, gateway)) {
            batch.add_address(record.ifindex, gateway, "add the gateway address " + gateway.text() + " to " + device);
        }
    }
    return netlink.commit(batch);
}

// What sandboxes that are there repeat of their network: the gateway device by its index, which is another one
// after the device was made again, and who hears whom, which the configuration may say anew.
std::expected<void, Error> update_sandboxes(const Datapath& datapath, const Network& network) {
    std::vector<std::pair<std::uint32_t, sandbox>> stale;
    TRY(datapath.sandboxes.for_each([&](const std::uint32_t& ifindex, sandbox entry) {
        const auto before = entry;
        entry.gateway_ifindex = network.record.ifindex;
        entry.link.flags = with_neighbourhood(entry.link.flags, network.record);
        if (entry.network == network.id && std::memcmp(&entry, &before, sizeof(entry)) != 0) {
            stale.emplace_back(ifindex, entry);
        }
    }));
    for (const auto& [ifindex, entry] : stale) {
        TRY(datapath.sandboxes.put(ifindex, entry, "a sandbox"));
    }
    return {};
}

// The gateway device whatever an operator calls it now, and not another one that has come by its name; where a killed
// ADD could not record its index yet, by the name of its inner end. None: it is gone.
std::expected<std::optional<Link>, Error> own_device(const Datapath& datapath, Netlink& netlink,
                                                     const network& record) {
    const bool indexed = record.ifindex != 0;
    const auto link = indexed ? netlink.link_at(record.ifindex) : netlink.link_named(record.device);
    if (!link) {
        return link.error().number == ENODEV ? std::expected<std::optional<Link>, Error>(std::nullopt)
                                             : std::unexpected(link.error());
    }
    bool own = link->name == record.device;
    if (indexed && !own) {
        own = TRY(attached(own_device_hook, link->ifindex, Direction::egress, datapath.from_host.get(), link->name));
    } else if (!indexed) {
        const auto inner = netlink.link_named(inner_end_of(record.device));
        own = inner && inner->ifindex == link->peer;
    }
    return own ? std::optional(*link) : std::nullopt;
}

std::string entry_of(const network& record) {
    return "the network \"" + std::string(record.name) + "\"";
}

std::expected<void, Error> erase_gateway(const Datapath& datapath, const Network& network, const Address& gateway) {
    const auto entry = TRY(datapath.endpoints.look_up(gateway.raw()));
    const bool ours = entry && entry->kind == ENDPOINT_GATEWAY && entry->network == network.id;
    return ours ? datapath.endpoints.erase(gateway.raw(), "a gateway") : std::expected<void, Error>{};
}

}  // namespace

std::expected<void, Error> remove_network(const Datapath& datapath, Netlink& netlink, const Network& network) {
    if (const auto device = TRY(own_device(datapath, netlink, network.record))) {
        TRY(netlink.delete_link(*device));
    }
    for (const auto& [gateway, length] : gateways_of(network.record)) {
        TRY(erase_gateway(datapath, network, gateway));
    }
    return datapath.networks.put(network.id, {}, entry_of(network.record));
}

namespace {

std::expected<void, Error> create_network(const Datapath& datapath, Netlink& netlink, Network& network) {
    if (const auto left = TRY(own_device(datapath, netlink, network.record))) {  // a killed ADD's, or renamed
        TRY(netlink.delete_link(*left));
    }
    // The record first: it is what tells a device of causeway's from somebody else's, also after a kill.
    network.record.ifindex = 0;
    TRY(datapath.networks.put(network.id, network.record, entry_of(network.record)));
    TRY(create_device(datapath, netlink, network.record, network.gso_max_size));
    TRY(put_gateways(datapath, network));
    TRY(update_sandboxes(datapath, network));
    return datapath.networks.put(network.id, network.record, entry_of(network.record));
}

// The record before the device here too: a killed ADD's gateways are found by it. The sandboxes before the record,
// since who finds that as it should be looks no further.
std::expected<void, Error> complete_network(const Datapath& datapath, Netlink& netlink, const Network& network,
                                            std::uint32_t inner) {
    TRY(update_sandboxes(datapath, network));
    TRY(datapath.networks.put(network.id, network.record, entry_of(network.record)));
    TRY(complete_device(datapath, netlink, network.record, inner));
    return put_gateways(datapath, network);
}

// Those of the one that the other has not.
std::vector<Prefix> gateways_beyond(const network& one, const network& other) {
    auto gateways = gateways_of(one);
    const auto others = gateways_of(other);
    std::erase_if(gateways, [&](const Prefix& g) { return std::ranges::find(others, g) != others.end(); });
    return gateways;
}

// The kernel's routes by them go with them.
std::expected<void, Error> remove_gateways(const Datapath& datapath, Netlink& netlink, const Network& network,
                                           const std::vector<Prefix>& gateways) {
    const auto present = TRY(addresses_of(netlink, network.record));
    Batch batch;
    for (const auto& gateway : gateways) {
        if (has_address(present, network.record.ifindex, gateway)) {
            batch.remove_address(network.record.ifindex, gateway,
                                 "remove the gateway address " + gateway.text() + " from " + network.record.device);
        }
        TRY(erase_gateway(datapath, network, gateway.address));
    }
    return netlink.commit(batch);
}

// Nothing where it is gone, or another one of that name is there.
std::optional<Link> device_of(Netlink& netlink, const network& record) {
    const auto link = netlink.link_named(record.device);
    return link && link->ifindex == record.ifindex ? std::optional(*link) : std::nullopt;
}

// The record last: what a kill has left of them, it still names.
std::expected<void, Error> give_up_subnets(const Datapath& datapath, Netlink& netlink, const Network& network,
                                           const ::network& without) {
    const auto gateways = gateways_beyond(network.record, without);
    if (device_of(netlink, network.record)) {
        TRY(remove_gateways(datapath, netlink, network, gateways));
    } else {
        for (const auto& gateway : gateways) {
            TRY(erase_gateway(datapath, network, gateway.address));
        }
    }
    return datapath.networks.put(network.id, without, entry_of(without));
}

// That of the network on the spec's device, also of one that is to go.
std::expected<std::optional<Link>, Error> recorded_device(const Datapath& datapath, Netlink& netlink,
                                                          const Neighbours& neighbours, const NetworkSpec& spec) {
    const auto* const on_record = on_device(neighbours.all, spec.device);
    return on_record != nullptr ? own_device(datapath, netlink, on_record->record)
                                : std::expected<std::optional<Link>, Error>(std::nullopt);
}

}  // namespace

std::expected<std::vector<Network>, Error> list_networks(const Datapath& datapath) {
    constexpr std::uint32_t at_once = 32;  // of over 500 bytes: memory that every ADD touches for the first time
    std::vector<Network> networks;
    TRY(datapath.networks.for_each(
        [&](const std::uint32_t& id, const network& record) {
            if (record.name[0] != '\0') {
                networks.push_back({.id = id, .record = record, .mtu = record.mtu});
            }
        },
        at_once));
    return networks;
}

std::expected<std::set<std::uint32_t>, Error> networks_in_use(const Datapath& datapath, std::uint64_t without) {
    std::set<std::uint32_t> used;
    TRY(datapath.attachments.for_each([&](const attachment_key&, const attachment& record) {
        if (record.claim != without) {
            used.insert(record.network);
        }
    }));
    return used;
}

std::expected<Link, Error> verify_device(const Datapath& datapath, Netlink& netlink, const network& record) {
    const std::string device = record.device;
    const auto link = device_of(netlink, record);
    if (!link || !link->up) {
        return fail(Code::check_failed, "the gateway device " + device + " is gone or not up");
    }
    if (link->mac != mac_of(record)) {
        return fail(Code::check_failed, "the MAC of the gateway device " + device + " is " + link->mac.text());
    }
    if (!link->carrier) {
        return fail(Code::check_failed, "the gateway device's inner end " + inner_end_of(device) + " is not up");
    }
    if (!link->forwards_ipv4) {
        return fail(Code::check_failed, "net.ipv4.conf." + device + ".forwarding is 0");
    }
    if (!link->forwards_ipv6 && has_subnets(record, FAMILY_IPV6)) {
        return fail(Code::check_failed, "net.ipv6.conf." + device + ".forwarding is 0");
    }
    if (!TRY(attached(own_device_hook, record.ifindex, Direction::egress, datapath.from_host.get(), device))) {
        return fail(Code::check_failed, "the program from_host is not attached to " + device);
    }
    const auto addresses = TRY(addresses_of(netlink, record));
    for (const auto& gateway : gateways_of(record)) {
        if (!has_address(addresses, record.ifindex, gateway)) {
            return fail(Code::check_failed, "the gateway address " + gateway.text() + " of " + device + " is gone");
        }
    }
    return *link;
}

std::expected<void, Error> verify_way(Netlink& netlink, const Address& address, const network& record) {
    const auto way = netlink.way_to(address);
    if (way && *way == record.ifindex) {
        return {};
    }
    const auto other = way ? netlink.link_at(*way) : std::unexpected(way.error());
    return fail(Code::check_failed,
                "what the host sends to " + address.text() + " does not leave by " + record.device + " but " +
                    (other ? "by " + other->name : "not at all (" + other.error().message + ")"),
                "a route or rule of the host's own comes before that of " + std::string(record.device) +
                    ": \"ip route get " + address.text() + "\" shows it");
}

std::expected<void, Error> verify_host_routes(Netlink& netlink, const network& record) {
    std::vector<Route> routes;
    for (const auto family : {FAMILY_IPV4, FAMILY_IPV6}) {
        if (has_subnets(record, family)) {
            std::ranges::move(TRY(netlink.routes(family == FAMILY_IPV4 ? AF_INET : AF_INET6, record.ifindex)),
                              std::back_inserter(routes));
        }
    }
    const std::string device = record.device;
    for (const auto& gateway : gateways_of(record)) {
        const Prefix whole{gateway.first(), gateway.length};
        if (std::ranges::find(routes, whole, &Route::destination) == routes.end()) {
            return fail(Code::check_failed, "the host's route to " + whole.text() + " by " + device + " is gone");
        }
        // Whoever has taken all of the subnet, or half of it, has one of these.
        for (const auto& address : {gateway.address.plus(1), whole.last()}) {
            if (whole.contains(address) && address != gateway.address && !whole.address.is_link_local()) {
                TRY(verify_way(netlink, address, record));
            }
        }
    }
    return {};
}

void restore_host_routes(const network& record, Batch& batch) {
    for (const auto& gateway : gateways_of(record)) {
        batch.add_connected_route(record.ifindex, gateway,
                                  "add the host's route to " + Prefix{gateway.first(), gateway.length}.text() + " by " +
                                      std::string(record.device));
    }
}

std::expected<std::vector<Link>, Error> check_network(const Datapath* datapath, Netlink& netlink,
                                                      const NetworkSpec& spec) {
    const auto neighbours = datapath != nullptr ? TRY(neighbours_of(*datapath, spec)) : Neighbours{};
    const auto* present = on_device(neighbours.staying, spec.device);
    TRY(refuse_conflicts(
        datapath, netlink, neighbours, spec,
        datapath != nullptr ? TRY(recorded_device(*datapath, netlink, neighbours, spec)) : std::nullopt));
    if (present == nullptr) {
        TRY(free_slot(neighbours.staying));
    }
    network former{};
    if (datapath != nullptr && present != nullptr) {
        former = TRY(make_room_for(spec, *datapath, *present));
    }
    TRY(wanted_record(spec, former, default_mtu));
    const auto uplinks = TRY(find_uplinks(datapath, netlink, spec, neighbours.all));
    TRY(mtu_for(spec, uplinks));
    std::vector<Link> links;
    for (const auto& uplink : uplinks) {
        links.push_back(uplink.link);
    }
    return links;
}

std::expected<std::optional<Network>, Error> find_network(const Datapath& datapath, Netlink& netlink,
                                                          const NetworkSpec& spec) {
    const auto networks = TRY(list_networks(datapath));
    const auto* present = on_device(networks, spec.device);
    if (present == nullptr || !refuse_other_name(*present, spec)) {
        return std::nullopt;
    }
    const auto device = verify_device(datapath, netlink, present->record);
    const auto wanted = wanted_record(spec, present->record, present->record.mtu);
    if (!device || !wanted || !same_record(*wanted, present->record)) {
        return std::nullopt;
    }
    const auto uplinks = TRY(find_uplinks(&datapath, netlink, spec, networks));
    if (!are_recorded(uplinks, spec) || (spec.given && TRY(serves_as_uplink(datapath, *spec.given)))) {
        return std::nullopt;
    }
    TRY(attach_uplinks(datapath, netlink, uplinks, spec));
    Network network = *present;
    network.mtu = TRY(mtu_for(spec, uplinks));
    network.gso_max_size = spec.gso_max_size;
    network.device = *device;
    return network;
}

std::expected<NetworkChange, Error> make_network(const Datapath& datapath, Netlink& netlink, const NetworkSpec& spec) {
    const auto neighbours = TRY(neighbours_of(datapath, spec));
    const auto* present = on_device(neighbours.staying, spec.device);
    TRY(refuse_conflicts(&datapath, netlink, neighbours, spec,
                         TRY(recorded_device(datapath, netlink, neighbours, spec))));
    const auto uplinks = TRY(find_uplinks(&datapath, netlink, spec, neighbours.all));
    NetworkChange change;
    if (present != nullptr) {
        change.former = TRY(make_room_for(spec, datapath, *present));
    }
    auto& network = change.network;
    network.id = present != nullptr ? present->id : TRY(free_slot(neighbours.staying));
    network.mtu = TRY(mtu_for(spec, uplinks));
    network.gso_max_size = spec.gso_max_size;
    network.record = TRY(wanted_record(spec, change.former, network.mtu));
    for (const auto& idle : neighbours.going) {
        TRY(remove_network(datapath, netlink, idle));
    }
    if (present != nullptr && !same_record(change.former, present->record)) {
        TRY(give_up_subnets(datapath, netlink, *present, change.former));
    }
    auto device = device_of(netlink, change.former);
    if (device && device->peer_netns) {  // somebody has moved the inner end: both are made anew
        device.reset();
    }
    change.forwarded_ipv6 = device && device->forwards_ipv6;
    Rollback rollback;
    rollback.on_failure([&] { return undo_change(datapath, netlink, change); });
    const auto made = [&]() -> std::expected<void, Error> {
        TRY(device ? complete_network(datapath, netlink, network, device->peer)
                   : create_network(datapath, netlink, network));
        if (spec.nat.mapping == Mapping::endpoint_independent) {
            TRY(datapath.publishing.put(0, 1, "that ports are open to the world"));
        }
        if (spec.given) {
            TRY(forget_uplink(datapath, *spec.given));
        }
        TRY(attach_uplinks(datapath, netlink, uplinks, spec));
        network.device = TRY(netlink.link_named(spec.device));
        return {};
    }();
    if (!made) {
        return std::unexpected(rollback.failed(made.error()));
    }
    rollback.commit();
    return change;
}

std::expected<Network, Error> reserve_network(const Datapath& datapath, Netlink& netlink, const NetworkSpec& spec) {
    const auto neighbours = TRY(neighbours_of(datapath, spec));
    if (const auto* const present = on_device(neighbours.staying, spec.device)) {
        TRY(refuse_other_name(*present, spec));
    }
    Network network{.id = TRY(free_slot(neighbours.staying))};
    for (const auto& idle : neighbours.going) {
        TRY(remove_network(datapath, netlink, idle));
    }
    copy_text(network.record.name, spec.name);
    copy_text(network.record.device, spec.device);
    TRY(datapath.networks.put(network.id, network.record, entry_of(network.record)));
    return network;
}

std::expected<void, Error> undo_change(const Datapath& datapath, Netlink& netlink, const NetworkChange& change) {
    const auto& [now, former, forwarded_ipv6] = change;
    if (former.name[0] == '\0') {
        return remove_network(datapath, netlink, now);
    }
    Network before{.id = now.id, .record = former};
    Failures failures;
    if (device_of(netlink, now.record)) {
        before.record.ifindex = now.record.ifindex;
        failures.note(remove_gateways(datapath, netlink, now, gateways_beyond(now.record, former)));
        if (!has_subnets(former, FAMILY_IPV6) && has_subnets(now.record, FAMILY_IPV6) && !forwarded_ipv6) {
            failures.note(
                write_sysctls(std::array{Sysctl{"net/ipv6/conf/" + std::string(former.device) + "/forwarding", "0"}}));
        }
    } else {  // it was gone, and is only half made
        failures.note(remove_network(datapath, netlink, now));
        failures.note(put_gateways(datapath, before));
    }
    failures.note(update_sandboxes(datapath, before));
    failures.note(datapath.networks.put(before.id, before.record, entry_of(before.record)));
    return failures.result();
}

std::expected<void, Error> remove_networks(const Datapath& datapath, Netlink& netlink) {
    for (const auto& network : TRY(list_networks(datapath))) {
        TRY(remove_network(datapath, netlink, network));
    }
    return detach_uplinks(datapath);
}

}  // namespace causeway
