// SPDX-License-Identifier: Apache-2.0
#include "userspace/ends.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "userspace/assignment.hpp"
#include "userspace/sysctl.hpp"

namespace causeway {

namespace {

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

}  // namespace

std::expected<void, Error> make_ends(Netlink& netlink, Netlink& inside, const Netns& netns, const SandboxSpec& spec,
                                     const Network& network, const Attachment& attachment, Connection& connection) {
    if (connection.bare) {
        connection.sandbox_end.mac = spec.mac ? *spec.mac : spec.given->mac.value_or(mac_for(connection, attachment));
    }
    if (connection.given) {
        return {};
    }
    const Mac mac = spec.mac.value_or(mac_for(connection, attachment));
    Mac gateway_mac;
    std::ranges::copy(network.record.mac, gateway_mac.bytes.begin());
    const std::string host_end = attachment.record.host_end;
    TRY(netlink.create_veth({host_end, gateway_mac, network.mtu, network.gso_max_size},
                            {spec.id.interface, mac, network.mtu, network.gso_max_size}, &netns));
    connection.host_end = TRY(netlink.link_named(host_end));
    connection.sandbox_end = TRY(inside.link_named(spec.id.interface));
    connection.sandbox_end.mac = mac;  // whatever somebody in the sandbox has made of it meanwhile
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
    const bool asking = assignments.empty(), up = spec.asks_by_link() && !asking;  // the latter since it has asked
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

}  // namespace causeway
