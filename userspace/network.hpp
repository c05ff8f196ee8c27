// SPDX-License-Identifier: Apache-2.0
// A causeway network on this host: its gateway device, its uplinks, its record in the networks map. Layer 3.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "userspace/datapath.hpp"
#include "userspace/netlink.hpp"
#include "userspace/pool.hpp"

namespace causeway {

// RFC 4787, sections 4.1 and 5: whether an endpoint of a sandbox's has one port towards all peers, and who may send to
// it.
enum class Mapping { address_and_port_dependent, endpoint_independent };
enum class Filtering { address_and_port_dependent, address_dependent, endpoint_independent };

// How sandboxes reach the world.
struct NatSpec {
    bool masquerade = false;
    std::uint16_t port_min = 1024, port_max = 65535;
    Mapping mapping = Mapping::address_and_port_dependent;
    Filtering filtering = Filtering::address_and_port_dependent;
    std::uint16_t port_block = 0;                                                   // ports of each sandbox; 0: all
    std::array<std::uint32_t, FLOW_STATE_COUNT> timeouts{240, 7440, 240, 300, 60};  // RFC 5382, 4787, 5508
    std::vector<Prefix> unmasqueraded;       // destinations that see a sandbox's own address all the same
    bool inbound = false;                    // who sees it may open flows to it
    bool forwarded = false;                  // what the host's stack forwards to it is let in
    std::uint32_t flows_max = 32768;         // quota of each sandbox: flows at once
    std::uint32_t flows_per_second = 50000;  // quota of each sandbox: new flows; 0: any number
};

// What a configuration asks for.
struct NetworkSpec {
    std::string name;
    std::string device = "cw0";
    std::optional<std::uint32_t> mtu;  // none: the smallest of the uplinks'
    std::uint32_t gso_max_size = 0;    // of both ends of links that are made from now on: struct VethEnd
    std::vector<std::string> uplinks;  // empty: every Ethernet device with a global address that isn't causeway's
    std::vector<RangeSet> ranges;      // a sandbox has one address of each
    std::uint32_t rest = 0;            // seconds that an address is not given out again
    bool isolated = false;             // its sandboxes don't see each other
    bool multicast = false;            // they hear what each says to groups of the link; not beside isolated
    std::uint32_t multicast_per_second = 100;  // packets of each sandbox, and as many in a burst
    NatSpec nat;
    TableSpec tables;
    std::optional<Link> given{};  // the host end of the sandbox that is added now, of an earlier plugin: no uplink
    std::uint64_t asker = 0;      // claim of the sandbox that is added now, if it is on record: no user of it yet

    bool has(family family) const;  // whether its sandboxes have such addresses; before its ranges are known: yes
};

struct Network {
    std::uint32_t id = 0;  // index of the networks map
    network record{};
    std::uint32_t mtu = 0;  // for a sandbox that is added now
    Link device;            // as found by find_network and make_network
    std::uint32_t gso_max_size = 0;
};

// The longest device name that leaves room for the inner end's suffix.
inline constexpr std::size_t device_name_max = 12;
std::string inner_end_of(const std::string& device);

// A sandbox's link_flag, with what its network says of isolation and multicast.
std::uint16_t with_neighbourhood(std::uint16_t link_flags, const network& record);
// What a network's record has of a family, and the address that every gateway device of a network with IPv6 also has:
// made of its MAC, so that sandboxes can name it as their next hop whatever the subnet.
bool has_subnets(const network& record, family family);
Prefix link_local_gateway_of(const network& record);

// The network if it is there, as the spec has it and complete, else nothing; so is it where the spec can't be had.
// Nothing, too, where an uplink has come since, or has another address now. Attaches programs that are missing, and
// changes nothing else. Needs the lock, shared.
std::expected<std::optional<Network>, Error> find_network(const Datapath& datapath, Netlink& netlink,
                                                          const NetworkSpec& spec);

// What a connect has made or changed of a network.
struct NetworkChange {
    Network network;              // as it is now
    ::network former{};           // its record before; without a name: it is new on this host
    bool forwarded_ipv6 = false;  // its gateway device, before
};

// Makes what find_network found missing, or undoes what it made. A network that nobody uses and that has the device, a
// subnet, or the last place, goes first, and does not come back; so do this one's own subnets, where they have the last
// place for one. Needs the lock, exclusive.
// Code::invalid_configuration: the device is somebody else's, a subnet overlaps another network's or has
// an address of the host's, no such uplink.
std::expected<NetworkChange, Error> make_network(const Datapath& datapath, Netlink& netlink, const NetworkSpec& spec);

// Of one whose subnets are not known yet: its place alone, under its name and device, where make_network makes the
// rest. Those that nobody uses and that have the device, or the last place, go. Needs the lock, exclusive.
// Code::invalid_configuration: another one has the device. Code::exhausted.
std::expected<Network, Error> reserve_network(const Datapath& datapath, Netlink& netlink, const NetworkSpec& spec);

// The network as it was, but for what somebody had taken away of it: that stays whole, and uplinks stay attached while
// there is a network. No sandbox has used the change.
// Needs the lock, exclusive, and held since make_network.
std::expected<void, Error> undo_change(const Datapath& datapath, Netlink& netlink, const NetworkChange& change);

// The gateway device, with all that belongs to it but the routes. Code::check_failed names what is missing.
std::expected<Link, Error> verify_device(const Datapath& datapath, Netlink& netlink, const network& record);

// Whether what the host sends there leaves by the gateway device. Code::check_failed names what else it leaves by.
std::expected<void, Error> verify_way(Netlink& netlink, const Address& address, const network& record);

// The host's routes to its subnets by the gateway device, and that no others come before them. The kernel makes them;
// find_network does not ask, since each ADD makes again what is missing: with what it asks for anyway, so that it costs
// no request.
std::expected<void, Error> verify_host_routes(Netlink& netlink, const network& record);
void restore_host_routes(const network& record, Batch& batch);

// Whether make_network would take the spec; changes nothing. What would be its uplinks. datapath: null when none is
// loaded.
std::expected<std::vector<Link>, Error> check_network(const Datapath* datapath, Netlink& netlink,
                                                      const NetworkSpec& spec);

// One network: its device and gateways. No sandbox is in it any more. Needs the lock, exclusive.
std::expected<void, Error> remove_network(const Datapath& datapath, Netlink& netlink, const Network& network);

// All networks and what belongs to them: devices, gateways, programs on uplinks. Needs the lock, exclusive.
std::expected<void, Error> remove_networks(const Datapath& datapath, Netlink& netlink);

// By id; only those that exist.
std::expected<std::vector<Network>, Error> list_networks(const Datapath& datapath);

// Ids of those that have an attachment on record. Under the exclusive lock the others are nobody's: a connect has it on
// record before it lets go of the lock. Without that of one claim.
std::expected<std::set<std::uint32_t>, Error> networks_in_use(const Datapath& datapath, std::uint64_t without = 0);

}  // namespace causeway
