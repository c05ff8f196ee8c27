// SPDX-License-Identifier: Apache-2.0
#include "userspace/network.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>

#include "userspace/fixed_text.hpp"
#include "userspace/rollback.hpp"

namespace causeway {

std::string inner_end_of(const std::string& device) {
    return device + "-in";
}

std::uint16_t with_isolation(std::uint16_t link_flags, const network& record) {
    const bool isolated = (record.flags & NETWORK_ISOLATED) != 0;
    return static_cast<std::uint16_t>(isolated ? link_flags | LINK_ISOLATED : link_flags & ~LINK_ISOLATED);
}

namespace {

constexpr std::uint32_t default_mtu = 1500;

bool is_used(const subnet& subnet) {
    return subnet.prefix_length != 0;
}

Prefix prefix_of(const subnet& subnet) {
    return {Address(subnet.gateway), static_cast<int>(subnet.prefix_length)};
}

prefix prefix_of(const Prefix& destination) {
    const address first = destination.first().raw(), last = destination.last().raw();
    prefix result{.first = first};
    for (std::size_t i = 0; i < std::size(first.word); i++) {
        result.mask.word[i] = ~(first.word[i] ^ last.word[i]);
    }
    return result;
}

bool has_gateway(const network& record, const Range& range) {
    return std::ranges::any_of(record.subnets, [&](const subnet& subnet) {
        return prefix_of(subnet) == Prefix{range.gateway, range.subnet.length};
    });
}

std::uint32_t flags_of(const NatSpec& nat) {
    const auto flag = [](bool set, network_flag one) { return set ? static_cast<std::uint32_t>(one) : 0U; };
    const bool mapped = nat.mapping == Mapping::endpoint_independent;
    return flag(nat.masquerade, NETWORK_MASQUERADE) | flag(mapped, NETWORK_ENDPOINT_INDEPENDENT) |
           flag(mapped && nat.filtering == Filtering::endpoint_independent, NETWORK_OPEN_TO_ALL) |
           flag(mapped && nat.filtering == Filtering::address_dependent, NETWORK_OPEN_TO_ADDRESS);
}

// The record that the spec asks for, on top of what the network has already (subnets are never taken away).
std::expected<network, Error> wanted_record(const NetworkSpec& spec, const network& present, std::uint32_t mtu) {
    network record = present;
    copy_text(record.name, spec.name);
    copy_text(record.device, spec.device);
    record.flags = flags_of(spec.nat) | (spec.isolated ? static_cast<std::uint32_t>(NETWORK_ISOLATED) : 0U);
    record.port_min = spec.nat.port_min;
    record.port_max = spec.nat.port_max;
    record.port_block = spec.nat.port_block;
    std::ranges::copy(spec.nat.timeouts, record.timeout);
    record.flows_max = spec.nat.flows_max;
    record.flows_per_second = spec.nat.flows_per_second;
    std::ranges::fill(record.unmasqueraded, prefix{});
    record.unmasqueraded_count = static_cast<std::uint32_t>(spec.nat.unmasqueraded.size());
    for (std::size_t i = 0; i < spec.nat.unmasqueraded.size(); i++) {
        const auto& destination = spec.nat.unmasqueraded[i];
        record.unmasqueraded[i] = prefix_of(destination);
    }
    if (record.mtu == 0) {
        record.mtu = mtu;
    }
    for (const auto& range : spec.ranges) {
        if (has_gateway(record, range)) {
            continue;
        }
        auto* const place = std::ranges::find_if(record.subnets, [](const subnet& s) { return !is_used(s); });
        if (place == std::end(record.subnets)) {
            return fail(Code::invalid_configuration, "ipam.ranges: the network \"" + spec.name + "\" has " +
                                                         std::to_string(CAUSEWAY_SUBNETS_MAX) + " subnets already");
        }
        *place = {range.gateway.raw(), static_cast<std::uint32_t>(range.subnet.length)};
    }
    if (present.name[0] == '\0') {
        const auto mac = Mac::of_address(Address(record.subnets[0].gateway));
        std::ranges::copy(mac.bytes, record.mac);
    }
    return record;
}

bool same_record(const network& a, const network& b) {
    return std::memcmp(&a, &b, sizeof(a)) == 0;
}

std::expected<void, Error> refuse_overlap(const std::vector<Network>& others, const NetworkSpec& spec) {
    for (const auto& other : others) {
        if (spec.device == other.record.device) {
            continue;
        }
        for (const auto& subnet : other.record.subnets) {
            for (const auto& range : spec.ranges) {
                if (is_used(subnet) && prefix_of(subnet).overlaps(range.subnet)) {
                    return fail(Code::invalid_configuration, "ipam.ranges: the subnet " + range.subnet.text() +
                                                                 " overlaps that of the network \"" +
                                                                 other.record.name + "\" on " + other.record.device);
                }
            }
        }
    }
    return {};
}

// A port outside names a sandbox only if no other network draws from the same blocks.
std::expected<void, Error> refuse_shared_blocks(const std::vector<Network>& others, const NetworkSpec& spec) {
    for (const auto& other : others) {
        const auto& record = other.record;
        const bool blocks = spec.nat.port_block != 0 || record.port_block != 0;
        if (spec.device != record.device && blocks && spec.nat.port_min <= record.port_max &&
            record.port_min <= spec.nat.port_max) {
            return fail(Code::invalid_configuration,
                        "portRange: " + std::to_string(spec.nat.port_min) + "-" + std::to_string(spec.nat.port_max) +
                            " overlaps that of the network \"" + std::string(record.name) +
                            "\", and one of the two has a portBlock",
                        "give a network with portBlock a portRange of its own");
        }
    }
    return {};
}

const Network* on_device(const std::vector<Network>& networks, const std::string& device) {
    const auto found = std::ranges::find_if(networks, [&](const Network& n) { return device == n.record.device; });
    return found == networks.end() ? nullptr : &*found;
}

std::expected<void, Error> refuse_other_name(const Network& present, const NetworkSpec& spec) {
    if (spec.name != present.record.name) {
        return fail(Code::invalid_configuration,
                    "device: \"" + spec.device + "\" is the gateway device of the network \"" +
                        std::string(present.record.name) + "\"",
                    "give each network a device of its own");
    }
    return {};
}

// --- uplinks ---

struct Uplink {
    Link link;
    Address address;  // IPv4; none where it has none
};

// The first that may be the source of what leaves by it.
std::expected<Address, Error> source_on(Netlink& netlink, std::uint32_t ifindex) {
    const auto addresses = TRY(netlink.addresses(AF_INET, ifindex));
    const auto found = std::ranges::find_if(addresses, &LinkAddress::global);
    return found == addresses.end() ? Address{} : found->prefix.address;
}

std::expected<std::vector<Uplink>, Error> named_uplinks(Netlink& netlink, const NetworkSpec& spec) {
    std::vector<Uplink> uplinks;
    for (const auto& name : spec.uplinks) {
        auto link = netlink.link_named(name);
        if (!link) {
            return fail(Code::invalid_configuration, "uplinks: " + link.error().message);
        }
        if (!link->ethernet) {
            return fail(Code::invalid_configuration, "uplinks: \"" + name + "\" is not an Ethernet device");
        }
        uplinks.push_back({*link, TRY(source_on(netlink, link->ifindex))});
    }
    return uplinks;
}

// One request, and two for each device that has an address and isn't causeway's: however many others there are.
std::expected<std::vector<Uplink>, Error> all_uplinks(Netlink& netlink, const std::vector<Network>& networks) {
    constexpr std::uint32_t loopback = 1;
    std::vector<Uplink> uplinks;
    std::set<std::uint32_t> seen{loopback};
    for (const auto& network : networks) {
        seen.insert(network.record.ifindex);
    }
    for (const auto& local : TRY(netlink.local_addresses())) {
        if (!seen.insert(local.ifindex).second) {
            continue;
        }
        const auto link = netlink.link_at(local.ifindex);
        if (!link && link.error().number != ENODEV) {  // gone since: then it is no uplink
            return std::unexpected(link.error());
        }
        if (!link || !link->ethernet || on_device(networks, link->name) != nullptr) {
            continue;
        }
        if (const auto source = TRY(source_on(netlink, link->ifindex)); !source.is_none()) {
            uplinks.push_back({*link, source});
        }
    }
    return uplinks;
}

std::expected<std::vector<Uplink>, Error> find_uplinks(Netlink& netlink, const NetworkSpec& spec,
                                                       const std::vector<Network>& networks) {
    return spec.uplinks.empty() ? all_uplinks(netlink, networks) : named_uplinks(netlink, spec);
}

// Direction and program, of each that an uplink gets.
std::array<std::pair<Direction, int>, 2> uplink_programs(const Datapath& datapath) {
    return {{{Direction::ingress, datapath.from_uplink.get()}, {Direction::egress, datapath.from_stack.get()}}};
}

// The record before the program, so that whoever removes the networks finds all that was attached.
std::expected<void, Error> attach_uplinks(const Datapath& datapath, const std::vector<Uplink>& uplinks) {
    for (const auto& [link, address] : uplinks) {
        const auto present = datapath.uplinks.find(link.ifindex);
        if (!present || Address(present->address) != address) {
            TRY(datapath.uplinks.put(link.ifindex, {address.raw()}, "the uplink " + link.name));
        }
        for (const auto& [direction, program] : uplink_programs(datapath)) {
            TRY(attach(datapath.uplink_hook, link.ifindex, direction, program, link.name));
        }
    }
    return {};
}

std::uint32_t mtu_for(const NetworkSpec& spec, const std::vector<Uplink>& uplinks) {
    if (spec.mtu) {
        return *spec.mtu;
    }
    const auto smallest = std::ranges::min_element(uplinks, {}, [](const Uplink& u) { return u.link.mtu; });
    return smallest == uplinks.end() ? default_mtu : smallest->link.mtu;
}

// --- the gateway device ---

std::expected<void, Error> put_gateways(const Datapath& datapath, const Network& network) {
    for (const auto& subnet : network.record.subnets) {
        if (!is_used(subnet)) {
            continue;
        }
        endpoint entry{.link = {.ifindex = network.record.ifindex}, .network = network.id, .kind = ENDPOINT_GATEWAY};
        std::ranges::copy(network.record.mac, entry.link.mac);
        std::ranges::copy(network.record.mac, entry.link.gateway_mac);
        const Address gateway(subnet.gateway);
        const auto present = datapath.endpoints.find(subnet.gateway);
        if (present && present->kind != ENDPOINT_GATEWAY) {
            return fail(Code::conflict, "take the gateway address " + gateway.text() + ": a sandbox has it");
        }
        TRY(datapath.endpoints.put(subnet.gateway, entry, "the gateway " + gateway.text()));
    }
    return {};
}

std::expected<void, Error> create_device(const Datapath& datapath, Netlink& netlink, network& record) {
    const std::string device = record.device, inner = inner_end_of(device);
    Mac mac;
    std::ranges::copy(record.mac, mac.bytes.begin());
    TRY(netlink.create_veth({device, mac, record.mtu},
                            {inner, Mac::of_address(Address(record.subnets[0].gateway).plus(1)), record.mtu}, nullptr));
    const auto outer_link = TRY(netlink.link_named(device));
    const auto inner_link = TRY(netlink.link_named(inner));
    TRY(attach(own_device_hook, outer_link.ifindex, Direction::egress, datapath.from_host.get(), device));
    Batch batch;
    batch.change_link(inner_link.ifindex, {.up = true, .no_ipv6_link_local = true}, "set up the device " + inner);
    batch.change_link(outer_link.ifindex,
                      {.up = true, .no_arp = true, .forward_ipv4 = true, .no_ipv6_link_local = true},
                      "set up the device " + device);
    for (const auto& subnet : record.subnets) {
        if (is_used(subnet)) {
            batch.add_address(outer_link.ifindex, prefix_of(subnet),
                              "add the gateway address " + prefix_of(subnet).text() + " to " + device);
        }
    }
    TRY(netlink.commit(batch));
    record.ifindex = outer_link.ifindex;
    return {};
}

bool has_address(const std::vector<LinkAddress>& addresses, std::uint32_t ifindex, const Prefix& prefix) {
    return std::ranges::any_of(addresses,
                               [&](const LinkAddress& a) { return a.ifindex == ifindex && a.prefix == prefix; });
}

// Subnets that the configuration has gained since the device was made, and whatever else of it somebody took away.
std::expected<void, Error> complete_device(const Datapath& datapath, Netlink& netlink, const network& record) {
    const std::string device = record.device;
    const auto addresses = TRY(netlink.addresses(AF_INET, record.ifindex));
    TRY(attach(own_device_hook, record.ifindex, Direction::egress, datapath.from_host.get(), device));
    Batch batch;
    batch.change_link(record.ifindex, {.up = true, .no_arp = true, .forward_ipv4 = true, .no_ipv6_link_local = true},
                      "set up the device " + device);
    for (const auto& subnet : record.subnets) {
        if (is_used(subnet) && !has_address(addresses, record.ifindex, prefix_of(subnet))) {
            batch.add_address(record.ifindex, prefix_of(subnet),
                              "add the gateway address " + prefix_of(subnet).text() + " to " + device);
        }
    }
    return netlink.commit(batch);
}

// What sandboxes that are there repeat of their network: the gateway device by its index, which is another one after
// the device was made again, and whether they are isolated, which the configuration may say anew.
std::expected<void, Error> update_sandboxes(const Datapath& datapath, const Network& network) {
    std::vector<std::pair<std::uint32_t, sandbox>> stale;
    TRY(datapath.sandboxes.for_each([&](const std::uint32_t& ifindex, sandbox entry) {
        const auto before = entry;
        entry.gateway_ifindex = network.record.ifindex;
        entry.link.flags = with_isolation(entry.link.flags, network.record);
        if (entry.network == network.id && std::memcmp(&entry, &before, sizeof(entry)) != 0) {
            stale.emplace_back(ifindex, entry);
        }
    }));
    for (const auto& [ifindex, entry] : stale) {
        TRY(datapath.sandboxes.put(ifindex, entry, "a sandbox"));
    }
    return {};
}

std::string entry_of(const network& record) {
    return "the network \"" + std::string(record.name) + "\"";
}

}  // namespace

std::expected<void, Error> remove_network(const Datapath& datapath, Netlink& netlink, const Network& network) {
    TRY(netlink.delete_link(network.record.device));
    for (const auto& subnet : network.record.subnets) {
        const auto entry = datapath.endpoints.find(subnet.gateway);
        if (is_used(subnet) && entry && entry->kind == ENDPOINT_GATEWAY && entry->network == network.id) {
            TRY(datapath.endpoints.erase(subnet.gateway, "a gateway"));
        }
    }
    return datapath.networks.put(network.id, {}, entry_of(network.record));
}

namespace {

std::expected<std::uint32_t, Error> free_slot(const std::vector<Network>& networks) {
    for (std::uint32_t id = 1; id < CAUSEWAY_NETWORKS_MAX; id++) {
        if (std::ranges::none_of(networks, [&](const Network& n) { return n.id == id; })) {
            return id;
        }
    }
    return fail(Code::exhausted,
                "make a network: this host has " + std::to_string(CAUSEWAY_NETWORKS_MAX - 1) + " already");
}

// A device of that name which the networks map doesn't know was made by somebody else.
std::expected<void, Error> refuse_foreign_device(Netlink& netlink, const std::string& device) {
    for (const auto& name : {device, inner_end_of(device)}) {
        const auto link = netlink.link_named(name);
        if (link) {
            return fail(Code::invalid_configuration, "device: \"" + name + "\" exists and is not causeway's",
                        "choose another name for the gateway device, or remove that device; one that causeway lost the "
                        "record of, "
                        "because its pins are gone, \"causewayctl gc\" removes");
        }
        if (link.error().number != ENODEV) {
            return std::unexpected(link.error());
        }
    }
    return {};
}

// What an ADD and STATUS refuse alike. present: the network on that device, if there is one.
std::expected<void, Error> refuse_conflicts(Netlink& netlink, const std::vector<Network>& networks,
                                            const Network* present, const NetworkSpec& spec) {
    if (present != nullptr) {
        TRY(refuse_other_name(*present, spec));
    } else {
        TRY(refuse_foreign_device(netlink, spec.device));
    }
    TRY(refuse_overlap(networks, spec));
    TRY(refuse_shared_blocks(networks, spec));
    return {};
}

std::expected<Network, Error> create_network(const Datapath& datapath, Netlink& netlink, Network network) {
    Rollback rollback;
    // The record first: it is what tells a device of causeway's from somebody else's, also after a kill.
    TRY(datapath.networks.put(network.id, network.record, entry_of(network.record)));
    rollback.on_failure([&] { return remove_network(datapath, netlink, network); });
    auto made = [&]() -> std::expected<void, Error> {
        TRY(netlink.delete_link(network.record.device));  // what a killed ADD left, or nothing
        TRY(create_device(datapath, netlink, network.record));
        TRY(put_gateways(datapath, network));
        TRY(update_sandboxes(datapath, network));
        return datapath.networks.put(network.id, network.record, entry_of(network.record));
    }();
    if (!made) {
        return std::unexpected(rollback.failed(made.error()));
    }
    rollback.commit();
    return network;
}

// Nothing where it is gone, or another one of that name is there.
std::optional<Link> device_of(Netlink& netlink, const network& record) {
    const auto link = netlink.link_named(record.device);
    return link && link->ifindex == record.ifindex ? std::optional(*link) : std::nullopt;
}

}  // namespace

std::expected<std::vector<Network>, Error> list_networks(const Datapath& datapath) {
    std::vector<Network> networks;
    TRY(datapath.networks.for_each([&](const std::uint32_t& id, const network& record) {
        if (record.name[0] != '\0') {
            networks.push_back({id, record, record.mtu, {}});
        }
    }));
    return networks;
}

std::expected<void, Error> verify_device(const Datapath& datapath, Netlink& netlink, const network& record) {
    const std::string device = record.device;
    const auto link = device_of(netlink, record);
    if (!link || !link->up) {
        return fail(Code::check_failed, "the gateway device " + device + " is gone or not up");
    }
    if (!TRY(attached(own_device_hook, record.ifindex, Direction::egress, datapath.from_host.get(), device))) {
        return fail(Code::check_failed, "the program from_host is not attached to " + device);
    }
    const auto addresses = TRY(netlink.addresses(AF_INET, record.ifindex));
    for (const auto& subnet : record.subnets) {
        if (is_used(subnet) && !has_address(addresses, record.ifindex, prefix_of(subnet))) {
            return fail(Code::check_failed,
                        "the gateway address " + prefix_of(subnet).text() + " of " + device + " is gone");
        }
    }
    return {};
}

std::expected<void, Error> verify_uplinks(const Datapath& datapath, Netlink& netlink) {
    std::vector<std::uint32_t> uplinks;
    TRY(datapath.uplinks.for_each([&](const std::uint32_t& ifindex, const uplink&) { uplinks.push_back(ifindex); }));
    for (const auto ifindex : uplinks) {
        const auto link = netlink.link_at(ifindex);
        if (!link) {
            continue;
        }
        for (const auto& [direction, program] : uplink_programs(datapath)) {
            if (!TRY(attached(datapath.uplink_hook, ifindex, direction, program, link->name))) {
                return fail(Code::check_failed, std::string("the program ") +
                                                    (direction == Direction::ingress ? "from_uplink" : "from_stack") +
                                                    " is not attached to the uplink " + link->name);
            }
        }
    }
    return {};
}

std::expected<std::vector<Link>, Error> check_network(const Datapath* datapath, Netlink& netlink,
                                                      const NetworkSpec& spec) {
    const auto networks = datapath != nullptr ? TRY(list_networks(*datapath)) : std::vector<Network>{};
    const auto* present = on_device(networks, spec.device);
    TRY(refuse_conflicts(netlink, networks, present, spec));
    TRY(wanted_record(spec, present != nullptr ? present->record : network{}, default_mtu));
    std::vector<Link> links;
    for (auto& uplink : TRY(find_uplinks(netlink, spec, networks))) {
        links.push_back(std::move(uplink.link));
    }
    return links;
}

std::expected<std::optional<Network>, Error> find_network(const Datapath& datapath, Netlink& netlink,
                                                          const NetworkSpec& spec) {
    const auto networks = TRY(list_networks(datapath));
    const auto* present = on_device(networks, spec.device);
    if (present == nullptr) {
        return std::nullopt;
    }
    TRY(refuse_other_name(*present, spec));
    const auto device = device_of(netlink, present->record);
    if (!device || !verify_device(datapath, netlink, present->record) ||
        !same_record(TRY(wanted_record(spec, present->record, present->record.mtu)), present->record)) {
        return std::nullopt;
    }
    const auto uplinks = TRY(find_uplinks(netlink, spec, networks));
    TRY(attach_uplinks(datapath, uplinks));
    Network network = *present;
    network.mtu = mtu_for(spec, uplinks);
    network.device = *device;
    return network;
}

std::expected<Network, Error> make_network(const Datapath& datapath, Netlink& netlink, const NetworkSpec& spec,
                                           bool* created) {
    const auto networks = TRY(list_networks(datapath));
    const auto* present = on_device(networks, spec.device);
    *created = present == nullptr;
    TRY(refuse_conflicts(netlink, networks, present, spec));
    const auto uplinks = TRY(find_uplinks(netlink, spec, networks));
    Network network;
    network.id = present != nullptr ? present->id : TRY(free_slot(networks));
    network.mtu = mtu_for(spec, uplinks);
    network.record = TRY(wanted_record(spec, present != nullptr ? present->record : ::network{}, network.mtu));
    if (present == nullptr || !device_of(netlink, present->record)) {
        network = TRY(create_network(datapath, netlink, network));
    } else {
        TRY(complete_device(datapath, netlink, network.record));
        TRY(put_gateways(datapath, network));
        TRY(update_sandboxes(datapath, network));
        TRY(datapath.networks.put(network.id, network.record, entry_of(network.record)));
    }
    if (spec.nat.mapping == Mapping::endpoint_independent) {
        TRY(datapath.publishing.put(0, 1, "that ports are open to the world"));
    }
    TRY(attach_uplinks(datapath, uplinks));
    network.device = TRY(netlink.link_named(spec.device));
    return network;
}

std::expected<void, Error> remove_networks(const Datapath& datapath, Netlink& netlink) {
    for (const auto& network : TRY(list_networks(datapath))) {
        TRY(remove_network(datapath, netlink, network));
    }
    std::vector<std::uint32_t> uplinks;
    TRY(datapath.uplinks.for_each([&](const std::uint32_t& ifindex, const uplink&) { uplinks.push_back(ifindex); }));
    for (const auto ifindex : uplinks) {
        for (const auto& [direction, program] : uplink_programs(datapath)) {
            TRY(detach(datapath.uplink_hook, ifindex, direction, program,
                       "the uplink with index " + std::to_string(ifindex)));
        }
        TRY(datapath.uplinks.erase(ifindex, "an uplink"));
    }
    return {};
}

}  // namespace causeway
