// SPDX-License-Identifier: Apache-2.0
#include "userspace/sandbox.hpp"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "userspace/assignment.hpp"
#include "userspace/failures.hpp"
#include "userspace/fixed_text.hpp"
#include "userspace/network_conflict.hpp"
#include "userspace/network_record.hpp"
#include "userspace/orphan.hpp"
#include "userspace/publication.hpp"
#include "userspace/rollback.hpp"
#include "userspace/sysctl.hpp"

namespace causeway {

namespace {

std::expected<std::uint64_t, Error> random_number() {
    std::uint64_t number = 0;
    if (getrandom(&number, sizeof(number), 0) != sizeof(number)) {
        return std::unexpected(errno_error("get a random number"));
    }
    return number | 1;  // 0 stands for no claim
}

std::expected<void, Error> refuse_bad_spec(const SandboxSpec& spec, const Netns& netns, const Netns& home) {
    if (spec.id.container.size() >= CAUSEWAY_CONTAINER_LEN) {
        return fail(Code::invalid_environment,
                    "CNI_CONTAINERID is longer than " + std::to_string(CAUSEWAY_CONTAINER_LEN - 1) + " characters");
    }
    if (spec.netns.size() >= CAUSEWAY_NETNS_LEN) {
        return fail(Code::invalid_environment,
                    "CNI_NETNS is longer than " + std::to_string(CAUSEWAY_NETNS_LEN - 1) + " characters");
    }
    if (netns.same_as(home)) {
        return fail(Code::invalid_namespace, "CNI_NETNS " + spec.netns + " is the host's own network namespace");
    }
    return {};
}

struct Prepared {
    Datapath datapath;
    Network network;
    std::optional<NetworkChange> change;  // made under the exclusive lock, which is held from then on
};

// Where it has to be loaded, the lock is exclusive afterwards.
std::expected<Datapath, Error> open_or_load(DatapathLock& lock, Netlink& netlink, const TableSpec& tables) {
    auto datapath = Datapath::open();
    if (!datapath && datapath.error().number == ENOENT) {
        TRY(lock.change_to(DatapathLock::Mode::exclusive));
        TRY(refuse_unseen(netlink));
        datapath = Datapath::open_or_load(lock, tables);  // another one may have loaded it meanwhile
    }
    if (datapath) {
        TRY(datapath->check_sizes(tables));
    }
    return datapath;
}

// Fast when all is there, under the shared lock; else everything that is missing, under the exclusive one, which is
// then kept to the end so that nobody unloads what nobody uses yet.
std::expected<Prepared, Error> prepare(DatapathLock& lock, Netlink& netlink, const NetworkSpec& spec) {
    auto datapath = TRY(open_or_load(lock, netlink, spec.tables));
    if (auto network = TRY(find_network(datapath, netlink, spec))) {
        return Prepared{std::move(datapath), *network, std::nullopt};
    }
    if (lock.mode() != DatapathLock::Mode::exclusive) {
        TRY(lock.change_to(DatapathLock::Mode::exclusive));
        datapath = TRY(open_or_load(lock, netlink, spec.tables));  // another one may have unloaded it meanwhile
    }
    const auto change = TRY(make_network(datapath, netlink, spec));
    return Prepared{std::move(datapath), change.network, change};
}

// For whose addresses another program is asked first: its network's place is enough, by which its record tells whose it
// is.
std::expected<Prepared, Error> prepare_to_ask(DatapathLock& lock, Netlink& netlink, const NetworkSpec& spec) {
    auto datapath = TRY(open_or_load(lock, netlink, spec.tables));
    const auto networks = TRY(list_networks(datapath));
    const auto* const present = on_device(networks, spec.device);
    if (present != nullptr && refuse_other_name(*present, spec)) {
        return Prepared{std::move(datapath), *present, std::nullopt};
    }
    if (lock.mode() != DatapathLock::Mode::exclusive) {
        TRY(lock.change_to(DatapathLock::Mode::exclusive));
        return prepare_to_ask(lock, netlink, spec);  // another one may have come meanwhile, or gone
    }
    const auto network = TRY(reserve_network(datapath, netlink, spec));
    return Prepared{std::move(datapath), network, NetworkChange{.network = network}};
}

// The pair whose one end the sandbox has already.
std::expected<void, Error> find_given_pair(Netlink& netlink, Netlink& inside, const SandboxSpec& spec,
                                           Connection& connection) {
    const std::string where = spec.id.interface + " in " + spec.netns;
    connection.given = true;
    connection.sandbox_end = TRY(inside.link_named(spec.id.interface));
    const auto& inner = connection.sandbox_end;
    const auto host_end = netlink.link_at(inner.kind == "veth" ? inner.peer : 0);
    if (!host_end || host_end->kind != "veth" ||
        std::ranges::find(spec.given->on_host, host_end->name) == spec.given->on_host.end()) {
        return fail(
            Code::invalid_configuration,
            "prevResult.interfaces: " + where + " is not one end of a veth pair whose other end it names on the host");
    }
    if (spec.mac && *spec.mac != inner.mac) {
        return fail(Code::invalid_configuration, "the MAC " + spec.mac->text() + " is asked for, but " + where +
                                                     " has " + inner.mac.text() + " and is another plugin's");
    }
    connection.host_end = *host_end;
    return {};
}

// The tap among the devices, if there is one: its sandbox (a VM) is no namespace's.
std::expected<void, Error> find_given_tap(Netlink& netlink, const SandboxSpec& spec, Connection& connection) {
    for (const auto& name : spec.given->on_host) {
        const auto link = netlink.link_named(name);
        if (link && link->kind == "tun" && link->ethernet) {
            connection.given = connection.bare = true;
            connection.host_end = *link;
            connection.sandbox_end.name = spec.id.interface;
            connection.sandbox_end.mtu = link->mtu;
            return {};
        }
        if (!link && link.error().number != ENODEV) {
            return std::unexpected(link.error());
        }
    }
    return {};
}

// A device that is a sandbox's already: its DEL would leave this one's unguarded. What is left of one that is gone is
// no obstacle; of the same one, the record says.
std::expected<void, Error> refuse_device_in_use(const Datapath& datapath, Netlink& netlink, const SandboxSpec& spec,
                                                const Link& device) {
    const auto identity = TRY(datapath.sandboxes.look_up(device.ifindex));
    if (!identity) {
        return {};
    }
    std::optional<Attachment> holder;
    TRY(datapath.attachments.for_each([&](const attachment_key& key, const attachment& record) {
        if (record.ifindex == device.ifindex && record.slot == identity->link.slot) {
            holder = Attachment{key, record};
        }
    }));
    if (holder && id_of(holder->key) == spec.id) {
        return {};
    }
    if (holder && (holder->record.state == ATTACHMENT_CONNECTING || TRY(stands(datapath, netlink, holder->record)))) {
        return fail(Code::conflict,
                    "prevResult.interfaces: " + device.name + " is the host end of " + name_of(id_of(holder->key)),
                    "DEL that first; one device is one sandbox's");
    }
    return datapath.sandboxes.erase(device.ifindex, "the identity of " + device.name);
}

std::expected<void, Error> find_given(Netlink& netlink, Netlink& inside, const SandboxSpec& spec,
                                      Connection& connection) {
    return spec.given->in_sandbox ? find_given_pair(netlink, inside, spec, connection)
                                  : find_given_tap(netlink, spec, connection);
}

bool asks_by_link(const SandboxSpec& spec) {
    return spec.lease && spec.lease->by_link;
}

std::unexpected<Error> leased_otherwise(const SandboxId& id) {
    return fail(Code::conflict,
                name_of(id) + " is on record with addresses of an IPAM plugin that this configuration does not name",
                "DEL it with the configuration that names it; \"causewayctl gc\" forgets the lease");
}

// What a connect or a disconnect that was killed has left, or one whose sandbox has gone, is undone; one that stands is
// an error, and so is one with a lease, which disconnect_leftover would have undone if it were one that was killed.
// None: whether it was killed, or is at work, only who has the exclusive lock can tell.
std::expected<std::optional<Attachment>, Error> begin(const Datapath& datapath, Netlink& netlink,
                                                      DatapathLock::Mode mode, const SandboxSpec& spec,
                                                      const Network& network, const Connection& connection) {
    Attachment attachment{key_of(spec.id), {}};
    attachment.record.claim = TRY(random_number());
    attachment.record.state = ATTACHMENT_CONNECTING;
    attachment.record.network = network.id;
    copy_text(attachment.record.host_end, host_end_name(attachment.record.claim));
    copy_text(attachment.record.netns, spec.netns);
    if (!spec.ports.empty()) {
        attachment.record.flags |= ATTACHMENT_PUBLISHES;
    }
    if (spec.bandwidth.any()) {
        attachment.record.flags |= ATTACHMENT_SHAPED;
    }
    if (spec.lease) {
        attachment.record.flags |=
            static_cast<std::uint16_t>(ATTACHMENT_LEASED | (asks_by_link(spec) ? ATTACHMENT_ASKS : 0));
    }
    if (connection.given) {
        attachment.record.flags |=
            static_cast<std::uint16_t>(ATTACHMENT_GIVEN | (connection.bare ? ATTACHMENT_BARE : 0));
        attachment.record.ifindex = connection.host_end.ifindex;
        copy_text(attachment.record.host_end, connection.host_end.name);
    }
    auto inserted = datapath.attachments.insert(attachment.key, attachment.record, attachment.what());
    if (!inserted && inserted.error().number == EEXIST) {
        const auto present = TRY(datapath.attachments.look_up(attachment.key));
        if (present && TRY(stands(datapath, netlink, *present))) {
            return connected_already(spec.id);
        }
        if (mode != DatapathLock::Mode::exclusive) {
            return std::nullopt;
        }
        if (present && (present->flags & ATTACHMENT_LEASED) != 0) {
            return spec.lease || TRY(AskingLock::is_held()) ? at_work(spec.id) : leased_otherwise(spec.id);
        }
        if (present) {
            TRY(undo(datapath, netlink, std::array{Attachment{attachment.key, *present}}));
        }
        inserted = datapath.attachments.insert(attachment.key, attachment.record, attachment.what());
    }
    if (!inserted && inserted.error().number == E2BIG) {
        return no_room_for(spec.id, TRY(datapath.attachments.capacity()));
    }
    TRY(std::move(inserted));
    return attachment;
}

// Of the sandbox's link: one that is given keeps its own.
std::uint32_t mtu_of(const Connection& connection, const Network& network) {
    return connection.given ? connection.sandbox_end.mtu : network.mtu;
}

void give_addresses(sandbox& identity, const std::vector<Assignment>& assignments) {
    for (const auto family : {FAMILY_IPV4, FAMILY_IPV6}) {
        if (const auto* const own = first_of(assignments, family)) {
            identity.address[family] = own->address.address.raw();
            identity.gateway[family] = own->gateway.raw();
        }
    }
}

sandbox identity_of(const Connection& connection, const sandbox_link& link, const Network& network) {
    sandbox identity{.link = link,
                     .network = network.id,
                     .gateway_ifindex = network.record.ifindex,
                     .mtu = mtu_of(connection, network),
                     .port_min = connection.ports.first,
                     .port_max = connection.ports.last};
    give_addresses(identity, connection.assignments);
    return identity;
}

// What is held up at the host end, if by an earlier plugin's queue, must pass it, and so must what has no peer; what is
// held up at the sandbox's, the programs watch.
std::uint16_t flags_of(const SandboxSpec& spec, const Connection& connection) {
    const bool held_up = spec.bandwidth.to_sandbox || connection.host_end.queued;
    const unsigned queued = held_up || connection.bare ? LINK_QUEUED : 0,
                   policed = spec.bandwidth.from_sandbox ? LINK_POLICED : 0, dhcp = asks_by_link(spec) ? LINK_DHCP : 0;
    return static_cast<std::uint16_t>(queued | policed | dhcp);
}

// Where none is asked for: of its address, or as random as its claim where it has none yet.
Mac mac_for(const Connection& connection, const Attachment& attachment) {
    const auto& assignments = connection.assignments;
    if (assignments.empty()) {
        Mac mac;
        std::memcpy(mac.bytes.data(), &attachment.record.claim, mac.bytes.size());
        constexpr std::uint8_t group = 1, local = 2;  // IEEE 802, section 8.2
        mac.bytes[0] = static_cast<std::uint8_t>((mac.bytes[0] & ~group) | local);
        return mac;
    }
    const auto* const ipv4 = first_of(assignments, FAMILY_IPV4);
    return Mac::of_address((ipv4 != nullptr ? *ipv4 : assignments.front()).address.address);
}

// A slot, and a block of ports where the network has them.
std::expected<void, Error> claim_places(const Datapath& datapath, const NatSpec& nat, Attachment& attachment,
                                        Connection& connection) {
    TRY(claim_slot(datapath, attachment));
    if (nat.port_block != 0) {
        TRY(claim_port_block(datapath, attachment, blocks_of(nat)));
        connection.ports = PortRange{static_cast<std::uint16_t>(attachment.record.block),
                                     static_cast<std::uint16_t>(attachment.record.block + nat.port_block - 1)};
    }
    return {};
}

// Both ends, and who the sandbox is, before either end is up.
std::expected<sandbox, Error> wire(const Datapath& datapath, Netlink& netlink, Netlink& inside, const Netns& netns,
                                   const SandboxSpec& spec, const Network& network, Attachment& attachment,
                                   Connection& connection) {
    const auto& record = network.record;
    Mac gateway_mac;
    std::ranges::copy(record.mac, gateway_mac.bytes.begin());
    if (connection.bare) {
        connection.sandbox_end.mac = spec.mac ? *spec.mac : spec.given->mac.value_or(mac_for(connection, attachment));
    }
    const Mac mac = connection.given ? connection.sandbox_end.mac : spec.mac.value_or(mac_for(connection, attachment));
    const std::string host_end = attachment.record.host_end;
    if (!connection.given) {
        TRY(netlink.create_veth({host_end, gateway_mac, network.mtu, network.gso_max_size},
                                {spec.id.interface, mac, network.mtu, network.gso_max_size}, &netns));
        connection.host_end = TRY(netlink.link_named(host_end));
        connection.sandbox_end = TRY(inside.link_named(spec.id.interface));
    }
    const auto ifindex = connection.host_end.ifindex;
    attachment.record.ifindex = ifindex;
    TRY(save(datapath, attachment));

    sandbox_link link{.ifindex = ifindex,
                      .slot = static_cast<std::uint16_t>(attachment.record.slot),
                      .flags = with_neighbourhood(flags_of(spec, connection), record)};
    std::ranges::copy(mac.bytes, link.mac);
    std::ranges::copy(record.mac, link.gateway_mac);
    TRY(datapath.traffic_of.reset(link.slot, "the counters of " + name_of(spec.id)));
    // What the slot's flows were before is of somebody who is gone.
    TRY(datapath.usage_of.put(link.slot, {.since = Datapath::now()}, "the usage of " + name_of(spec.id)));
    auto identity = identity_of(connection, link, network);
    apply(spec.quota, identity);
    // A device that is given may be given to another one at the same time.
    TRY(connection.given ? datapath.sandboxes.insert(ifindex, identity, name_of(spec.id))
                         : datapath.sandboxes.put(ifindex, identity, name_of(spec.id)));
    if (spec.bandwidth.any()) {
        TRY(record_bandwidth(datapath, attachment, spec.bandwidth, mtu_of(connection, network)));
        connection.queues = TRY(queues_of(link.slot));
    }
    return identity;
}

// What leads to it: published ports, and its addresses.
std::expected<void, Error> give_places(const Datapath& datapath, const SandboxSpec& spec, const sandbox& identity,
                                       Attachment& attachment, const Connection& connection) {
    const endpoint place{
        .claim = attachment.record.claim, .link = identity.link, .network = identity.network, .kind = ENDPOINT_SANDBOX};
    if (!spec.ports.empty()) {
        const auto publishing = TRY(Datapath::open_publishing());
        TRY(record_publications(datapath, publishing, attachment.record.claim, spec.ports));
        const auto own = TRY(publish(datapath, publishing, spec.ports, {spec.id.container, identity, Datapath::now()}));
        if (own != spec.ports) {
            TRY(keep_publications(publishing, attachment.record.claim, own, spec.ports.size()));
        }
        if (own.empty()) {  // as the record says from its next save on
            attachment.record.flags &= static_cast<std::uint16_t>(~ATTACHMENT_PUBLISHES);
        }
    }
    for (const auto& [prefix, gateway] : connection.assignments) {
        TRY(datapath.endpoints.put(prefix.address.raw(), place, "the address " + prefix.address.text()));
    }
    return {};
}

// Before the interface is up: its addresses are causeway's to give and to know, so that nothing waits for the detection
// of duplicates, and nobody else of the network tells it what its routers are.
std::expected<void, Error> enable_ipv6(const Netns& netns, const std::string& interface) {
    const std::string settings = "net/ipv6/conf/" + interface + "/";
    return write_sysctls_in(netns,
                            std::array{Sysctl{settings + "disable_ipv6", "0"}, Sysctl{settings + "accept_dad", "0"},
                                       Sysctl{settings + "accept_ra", "0"}});
}

// The kernel's own IPv6 has no business on a host end, and for each device that has it the kernel walks the IPv6
// routes of all others whenever one comes up or goes. Where sysctls can't be written, at least it gets no address.
void disable_ipv6(const std::string& device, Batch& batch, std::uint32_t ifindex) {
    const std::string path = "/proc/sys/net/ipv6/conf/" + device + "/disable_ipv6";
    const UniqueFd file(open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!file || write(file.get(), "1", 1) != 1) {
        batch.change_link(ifindex, {.no_ipv6_link_local = true}, "keep IPv6 off the device " + device);
    }
}

// So that the first packet to the sandbox, and of it, arrives. A link that was set up before its peer drops until the
// kernel has noticed the carrier, and has none of IPv6's own routes and addresses; asking for the link makes it notice
// now (newer kernels, 6.18 among them).
std::expected<void, Error> let_settle(Netlink& netlink, Netlink& inside, const Connection& connection) {
    TRY(netlink.link_named(connection.host_end.name));
    if (first_of(connection.assignments, FAMILY_IPV6) != nullptr) {
        TRY(inside.link_named(connection.sandbox_end.name));
    }
    return {};
}

std::expected<void, Error> set_up_outside(const Datapath& datapath, Netlink& netlink, const network& record,
                                          const Connection& connection) {
    const auto& host_end = connection.host_end;
    Batch batch;
    if (connection.given) {  // others may have something on its hook
        TRY(attach(own_device_hook, host_end.ifindex, Direction::ingress, datapath.from_sandbox.get(), host_end.name));
    } else {
        batch.attach_ingress(host_end.ifindex, datapath.from_sandbox.get(), own_filter,
                             "attach to the ingress hook of " + host_end.name);
        disable_ipv6(host_end.name, batch, host_end.ifindex);
    }
    if (connection.queues.host_end) {
        batch.add_queue(host_end.ifindex, *connection.queues.host_end, host_end.gso_max_size,
                        "add a queue to " + host_end.name);
    }
    batch.change_link(host_end.ifindex, {.up = true}, "set up the device " + host_end.name);
    restore_host_routes(record, batch);
    return netlink.commit(batch);
}

std::string step_of(const Route& route, const std::string& interface, const std::string& where) {
    return "add the route to " + route.destination.text() + " by " +
           (route.gateway.is_none() ? interface : route.gateway.text()) + where;
}

// Where another network's route to its destination is there already, or somebody else's, it comes after that, by the
// next priority. Of two of one priority the kernel would take either: IPv4 by turns where a gateway's MAC is known for
// good (fib_select_default), IPv6 by a hash; and so send what has the one's address by the other.
std::expected<void, Error> add_behind_others(Netlink& inside, Route& route, const std::string& step,
                                             const Error& refusal) {
    std::uint32_t behind = 0;
    for (const auto& other : TRY(inside.routes(route.destination.address.is_ipv4() ? AF_INET : AF_INET6))) {
        if (other.destination.first() != route.destination.first() ||
            other.destination.length != route.destination.length ||
            other.table != route.table.value_or(Route::main_table)) {
            continue;
        }
        if (other.gateway == route.gateway && other.ifindex == route.ifindex) {
            return std::unexpected(refusal);
        }
        behind = std::max(behind, other.priority.value_or(0));
    }
    route.priority = behind + 1;
    Batch batch;
    batch.add_route(route, step);
    return inside.commit(batch);
}

// The batch, with the routes at its end.
std::expected<void, Error> add_with_routes(Netlink& inside, Batch& batch, const std::string& where,
                                           Connection& connection) {
    auto& routes = connection.routes;
    const auto before = batch.size();
    for (auto& route : routes) {
        route.ifindex = connection.sandbox_end.ifindex;
        batch.add_route(route, step_of(route, connection.sandbox_end.name, where));
    }
    for (const auto& [place, error] : TRY(inside.try_all(batch))) {
        if (place < before || error.number != EEXIST || routes[place - before].priority) {
            return std::unexpected(error);
        }
        auto& route = routes[place - before];
        TRY(add_behind_others(inside, route, step_of(route, connection.sandbox_end.name, where), error));
    }
    return {};
}

std::expected<void, Error> set_up_inside(Netlink& netlink, Netlink& inside, const Netns& netns, const SandboxSpec& spec,
                                         Connection& connection) {
    constexpr std::uint32_t loopback = 1;  // the first device of every network namespace
    const auto& [gateway_device, host_end, sandbox_end, given, bare, assignments, routes, ports, queues] = connection;
    const std::string where = " in " + spec.netns;
    if (bare) {  // whoever is behind it sets itself up
        return {};
    }
    if (first_of(assignments, FAMILY_IPV6) != nullptr) {
        TRY(enable_ipv6(netns, sandbox_end.name));
    }
    const bool asking = assignments.empty(), up = asks_by_link(spec) && !asking;  // the latter since it has asked
    Batch batch;
    if (!asking) {
        batch.change_link(loopback, {.up = true}, "set up lo" + where);
    }
    for (const auto& [prefix, gateway] : assignments) {
        batch.add_address(sandbox_end.ifindex, prefix,
                          "add the address " + prefix.text() + " to " + sandbox_end.name + where);
    }
    if (queues.sandbox_end && !up) {
        batch.add_queue(sandbox_end.ifindex, *queues.sandbox_end, sandbox_end.gso_max_size,
                        "add a queue to " + sandbox_end.name + where);
    }
    if (!up) {
        batch.change_link(sandbox_end.ifindex, {.up = true}, "set up the device " + sandbox_end.name + where);
    }
    if (!given) {
        for (const auto& [prefix, gateway] : assignments) {
            batch.add_neighbour(sandbox_end.ifindex, gateway, host_end.mac,
                                "add the neighbour " + gateway.text() + " to " + sandbox_end.name + where);
        }
    }
    TRY(add_with_routes(inside, batch, where, connection));
    return let_settle(netlink, inside, connection);
}

// A DHCP server's answers find their sandbox by it.
std::expected<void, Error> refuse_taken_mac(const Datapath& datapath, const sandbox& identity) {
    std::optional<sandbox> other;
    TRY(datapath.sandboxes.for_each([&](const std::uint32_t& ifindex, const sandbox& one) {
        if (one.network == identity.network && (one.link.flags & LINK_DHCP) != 0 && ifindex != identity.link.ifindex &&
            std::ranges::equal(one.link.mac, identity.link.mac)) {
            other = one;
        }
    }));
    if (!other) {
        return {};
    }
    std::string holder = "another sandbox";
    TRY(datapath.attachments.for_each([&](const attachment_key& key, const attachment& record) {
        if (record.slot == other->link.slot && record.ifindex == other->link.ifindex) {
            holder = name_of(id_of(key));
        }
    }));
    Mac mac;
    std::ranges::copy(identity.link.mac, mac.bytes.begin());
    return fail(Code::conflict, "the MAC " + mac.text() + " is asked for, but " + holder + " has it in this network",
                "to a DHCP server, who has one MAC is one client");
}

// One connect: what it is made by, and what it has made so far.
struct Connecting {
    const NetworkSpec& network_spec;
    const SandboxSpec& spec;
    const Netns& netns;
    Netlink &inside, &netlink;
    DatapathLock& lock;
    std::optional<AskingLock> asking;  // of one with a lease, for whose sake the lock is let go
    bool has_lease = false;            // that is to be given back on failure
    std::vector<Attachment> cleared;   // the own record, on failure
    std::optional<Prepared> prepared;
    std::optional<Attachment> attachment;
    Connection connection;
};

// The record under its key; whoever had the lock meanwhile may have undone it, and even unloaded the datapath.
std::expected<std::optional<attachment>, Error> record_now(Connecting& connecting) {
    auto datapath = Datapath::open();
    if (!datapath) {
        return datapath.error().number == ENOENT ? std::expected<std::optional<attachment>, Error>(std::nullopt)
                                                 : std::unexpected(datapath.error());
    }
    connecting.prepared->datapath = std::move(*datapath);
    return connecting.prepared->datapath.attachments.look_up(connecting.attachment->key);
}

bool is_still_there(const std::optional<attachment>& record, const Connecting& connecting) {
    return record && record->claim == connecting.attachment->record.claim && record->state == ATTACHMENT_CONNECTING;
}

std::expected<void, Error> refuse_undone(const std::optional<attachment>& record, const Connecting& connecting) {
    if (!is_still_there(record, connecting)) {
        return fail(Code::try_again_later,
                    name_of(connecting.spec.id) + " was disconnected while its IPAM plugin was asked");
    }
    return {};
}

std::expected<void, Error> give_lease_back(Connecting& connecting) {
    TRY(connecting.lock.change_to(DatapathLock::Mode::none));
    const auto given_back = connecting.spec.lease->give_back();
    TRY(connecting.lock.change_to(DatapathLock::Mode::shared));
    return given_back;
}

// Its link is there until the lease is given back by it; else the lease is given back when all else is gone, as a
// disconnect does it. What a later connect of the same sandbox has come by is not this one's to give back.
std::expected<void, Error> undo_begun(Connecting& connecting) {
    const auto& ours = *connecting.attachment;
    Failures failures;
    if (connecting.spec.lease) {
        auto record = TRY(record_now(connecting));
        connecting.has_lease = connecting.has_lease && (!record || record->claim == ours.record.claim);
        if (connecting.has_lease && asks_by_link(connecting.spec)) {
            failures.note(give_lease_back(connecting));
            connecting.has_lease = false;
            record = TRY(record_now(connecting));
        }
        if (!is_still_there(record, connecting)) {
            return failures.result();
        }
    }
    const auto& datapath = connecting.prepared->datapath;
    if (connecting.has_lease) {
        connecting.cleared = clear(datapath, connecting.netlink, std::array{ours}, failures);
    } else {
        failures.note(undo(datapath, connecting.netlink, std::array{ours}));
    }
    return failures.result();
}

std::expected<void, Error> give_back_undone(Connecting& connecting) {
    if (!connecting.has_lease) {
        return {};
    }
    connecting.has_lease = false;
    return connecting.cleared.empty()
               ? give_lease_back(connecting)
               : give_back_cleared(connecting.lock, std::move(connecting.cleared),
                                   [&](const Attachment&) { return connecting.spec.lease->give_back(); });
}

// As long as the lock has been exclusive since the change. One whose place was reserved before the lock was let go may
// be others' too.
std::expected<void, Error> undo_network_at_once(Connecting& connecting) {
    auto& change = connecting.prepared->change;
    const bool is_new = change && change->former.name[0] == '\0';
    if (!change || connecting.lock.mode() != DatapathLock::Mode::exclusive || (is_new && connecting.asking)) {
        return {};
    }
    const auto undone = undo_change(connecting.prepared->datapath, connecting.netlink, *change);
    change.reset();
    return undone;
}

// Others may have come to use it while the lock was let go: then it is theirs.
std::expected<void, Error> remove_network_unless_used(Connecting& connecting) {
    const auto& change = connecting.prepared->change;
    if (!change || change->former.name[0] != '\0') {
        return {};
    }
    TRY(connecting.lock.change_to(DatapathLock::Mode::exclusive));
    const auto datapath = Datapath::open();
    if (!datapath) {
        return datapath.error().number == ENOENT ? std::expected<void, Error>{} : std::unexpected(datapath.error());
    }
    const auto now = TRY(datapath->networks.look_up(change->network.id));
    if (!now || std::string_view(now->name) != change->network.record.name ||
        TRY(networks_in_use(*datapath)).contains(change->network.id)) {
        return {};
    }
    return remove_network(*datapath, connecting.netlink, {.id = change->network.id, .record = *now});
}

// Asks another program, which may take its time, or hang: the lock is let go meanwhile, and shared afterwards.
std::expected<Lease::Given, Error> take_lease(Connecting& connecting) {
    auto& lock = connecting.lock;
    TRY(lock.change_to(DatapathLock::Mode::none));
    auto given = connecting.spec.lease->take();
    connecting.has_lease = given.has_value();
    TRY(lock.change_to(DatapathLock::Mode::shared));
    return given;
}

std::expected<void, Error> refuse_changed_network(Connecting& connecting) {
    auto& network = connecting.prepared->network;
    const auto record = TRY(connecting.prepared->datapath.networks.look_up(network.id));
    if (!record || std::string_view(record->name) != network.record.name || record->ifindex != network.record.ifindex) {
        return fail(Code::try_again_later,
                    "the network of " + name_of(connecting.spec.id) + " was changed while its IPAM plugin was asked");
    }
    network.record = *record;
    return {};
}

// Its link first, by which its addresses are asked for; then all else.
std::expected<void, Error> connect_by_lease(Connecting& connecting) {
    auto& [network_spec, spec, netns, inside, netlink, lock, asking, has_lease, cleared, prepared, attachment,
           connection] = connecting;
    const auto& [datapath, network, change] = *prepared;
    TRY(claim_places(datapath, network_spec.nat, *attachment, connection));
    auto identity = TRY(wire(datapath, netlink, inside, netns, spec, network, *attachment, connection));
    TRY(refuse_taken_mac(datapath, identity));
    TRY(set_up_outside(datapath, netlink, network.record, connection));
    TRY(set_up_inside(netlink, inside, netns, spec, connection));

    auto lease = TRY(take_lease(connecting));
    TRY(refuse_undone(TRY(record_now(connecting)), connecting));
    TRY(refuse_changed_network(connecting));
    TRY(claim(datapath, *attachment, lease.assignments));
    connection.assignments = std::move(lease.assignments);
    connection.routes = TRY(complete_routes(std::move(lease.routes), connection.assignments));
    give_addresses(identity, connection.assignments);
    // As all that they repeat of their network, which others may have changed meanwhile.
    identity.link.flags = with_neighbourhood(identity.link.flags, network.record);
    TRY(datapath.sandboxes.put(identity.link.ifindex, identity, name_of(spec.id)));
    TRY(give_places(datapath, spec, identity, *attachment, connection));
    return set_up_inside(netlink, inside, netns, spec, connection);
}

// Whose addresses and routes are known before its link is.
std::expected<void, Error> wire_up(Connecting& connecting) {
    auto& [network_spec, spec, netns, inside, netlink, lock, asking, has_lease, cleared, prepared, attachment,
           connection] = connecting;
    const auto& [datapath, network, change] = *prepared;
    TRY(claim_places(datapath, network_spec.nat, *attachment, connection));
    const auto identity = TRY(wire(datapath, netlink, inside, netns, spec, network, *attachment, connection));
    TRY(give_places(datapath, spec, identity, *attachment, connection));
    if (network_spec.rest != 0 && !spec.lease) {  // what a sandbox could not have used need not rest
        attachment->record.rest = network_spec.rest;
        TRY(save(datapath, *attachment));
    }
    TRY(set_up_outside(datapath, netlink, network.record, connection));
    return set_up_inside(netlink, inside, netns, spec, connection);
}

// Its addresses by another program, then its network, which may only come to be by their subnets.
std::expected<void, Error> connect_with_lease(Connecting& connecting) {
    auto& [network_spec, spec, netns, inside, netlink, lock, asking, has_lease, cleared, prepared, attachment,
           connection] = connecting;
    auto lease = TRY(take_lease(connecting));
    TRY(refuse_undone(TRY(TRY(Datapath::open_attachments()).look_up(attachment->key)), connecting));
    auto with_ranges = network_spec;
    with_ranges.ranges = std::move(lease.ranges);
    with_ranges.asker = attachment->record.claim;
    const auto reserved = prepared->change;
    auto& [datapath, network, change] = *prepared;
    *prepared = TRY(prepare(lock, netlink, with_ranges));
    if (reserved && (!change || gateways_of(change->former).empty())) {
        change = reserved;  // nobody else has made the rest of it meanwhile, or all of it
    }
    // In the moment in which the lock became exclusive.
    TRY(refuse_undone(TRY(datapath.attachments.look_up(attachment->key)), connecting));
    attachment->record.network = network.id;
    TRY(save(datapath, *attachment));
    if (spec.given) {  // others may have come by the device meanwhile
        TRY(find_given(netlink, inside, spec, connection));
        TRY(refuse_device_in_use(datapath, netlink, spec, connection.host_end));
    }
    TRY(claim(datapath, *attachment, lease.assignments));
    connection.gateway_device = network.device;
    connection.assignments = std::move(lease.assignments);
    connection.routes = TRY(complete_routes(std::move(lease.routes), connection.assignments));
    return wire_up(connecting);
}

std::expected<void, Error> connect_with_addresses(Connecting& connecting) {
    auto& [datapath, network, change] = *connecting.prepared;
    auto& connection = connecting.connection;
    const auto& spec = connecting.spec;
    connection.assignments = TRY(assign(datapath, *connecting.attachment, connecting.network_spec, spec.addresses));
    connection.routes = TRY(complete_routes(spec.routes, connection.assignments));
    return wire_up(connecting);
}

// After a connect that failed: where others are on record there is nothing to unload, and nobody has to wait for the
// exclusive lock. As with a disconnect, of two at once the later one finds that nobody is left.
std::expected<void, Error> unload_unless_used(DatapathLock& lock, Netlink& netlink, const Datapath* datapath,
                                              const SandboxSpec& spec) {
    const bool nothing_made = datapath == nullptr && lock.mode() == DatapathLock::Mode::shared;
    if (nothing_made || (datapath != nullptr && spec.ports.empty() && !TRY(datapath->attachments.empty()))) {
        return {};
    }
    return unload_if_unused(lock, netlink);
}

}  // namespace

std::expected<Connection, Error> connect(const NetworkSpec& network_spec, const SandboxSpec& spec) {
    const auto netns = TRY(Netns::open(spec.netns));
    const auto home = TRY(Netns::current());
    TRY(refuse_bad_spec(spec, netns, home));
    auto inside = TRY(Netlink::open_in(netns, home));
    auto netlink = TRY(Netlink::open());
    auto lock = TRY(DatapathLock::take(DatapathLock::Mode::shared));
    NetworkSpec wanted = network_spec;
    // Before the rollback that may need it, so that it outlives it whichever way this function is left.
    Connecting connecting{.network_spec = wanted,
                          .spec = spec,
                          .netns = netns,
                          .inside = inside,
                          .netlink = netlink,
                          .lock = lock,
                          .asking = {},
                          .has_lease = false,
                          .cleared = {},
                          .prepared = {},
                          .attachment = {},
                          .connection = {}};
    auto& prepared = connecting.prepared;
    auto& attachment = connecting.attachment;
    auto& connection = connecting.connection;
    if (spec.given) {
        TRY(find_given(netlink, inside, spec, connection));
        wanted.given = connection.given ? std::optional(connection.host_end) : std::nullopt;
    }
    const bool asks_first = spec.lease && !asks_by_link(spec);
    Rollback rollback;
    rollback.on_failure(
        [&] { return unload_unless_used(lock, netlink, prepared ? &prepared->datapath : nullptr, spec); });
    const auto undone = [&](const Error& error) { return std::unexpected(rollback.failed(error)); };

    const auto prepare_and_begin = [&]() -> std::expected<std::optional<Attachment>, Error> {
        prepared = asks_first ? TRY(prepare_to_ask(lock, netlink, wanted)) : TRY(prepare(lock, netlink, wanted));
        const auto& [datapath, network, change] = *prepared;
        if (spec.given) {
            TRY(refuse_device_in_use(datapath, netlink, spec, connection.host_end));
        }
        if (spec.lease) {  // before the record is there, which others hold against it
            connecting.asking = TRY(AskingLock::take());
        }
        return begin(datapath, netlink, lock.mode(), spec, network, connection);
    };
    rollback.on_failure(
        [&] { return prepared ? remove_network_unless_used(connecting) : std::expected<void, Error>{}; });
    rollback.on_failure([&] { return give_back_undone(connecting); });
    rollback.on_failure([&] { return prepared ? undo_network_at_once(connecting) : std::expected<void, Error>{}; });
    auto begun = prepare_and_begin();
    if (begun && !*begun) {
        const auto alone = lock.change_to(DatapathLock::Mode::exclusive);
        begun = alone ? prepare_and_begin() : std::unexpected(alone.error());
    }
    if (!begun) {
        return undone(begun.error());
    }
    attachment = *begun;
    rollback.on_failure([&] { return undo_begun(connecting); });

    auto connected = [&]() -> std::expected<void, Error> {
        TRY(refresh_reserved_ports(prepared->datapath));
        connection.gateway_device = prepared->network.device;
        TRY(asks_first   ? connect_with_lease(connecting)
            : spec.lease ? connect_by_lease(connecting)
                         : connect_with_addresses(connecting));
        attachment->record.state = ATTACHMENT_CONNECTED;
        return save(prepared->datapath, *attachment);
    }();
    if (!connected) {
        return undone(connected.error());
    }
    rollback.commit();
    return connection;
}

}  // namespace causeway
