// SPDX-License-Identifier: Apache-2.0
// causeway: the configuration that does the same as the bridge's, and one that differs from it in one thing each.
#include <net/if.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <stdexcept>
#include <utility>

#include "bench/mode.hpp"
#include "bench/socket.hpp"
#include "userspace/attach.hpp"
#include "userspace/datapath.hpp"

namespace causeway::bench {
namespace {

// `patch`: what a user changes in the configuration of the defaults (a JSON merge patch, RFC 7396).
Mode variant(const std::string& plugin, Column column, const std::string& patch) {
    const std::filesystem::path path(plugin);
    auto list = nlohmann::json::parse(R"({
        "cniVersion": "1.0.0", "name": "sandboxes", "plugins": [{
            "device": "cw0", "ipMasq": true, "capabilities": {"portMappings": true},
            "ipam": {"type": "causeway",
                     "ranges": [[{"subnet": "10.0.0.0/20"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]})");
    nlohmann::json& configuration = list["plugins"][0];
    configuration["type"] = path.filename().string();
    column.ours = true;
    configuration.merge_patch(nlohmann::json::parse(patch));
    return mode_of_plugin(std::move(column), Plugin(path.parent_path().string() + ":/usr/lib/cni", list),
                          {.has_programs = true});
}

template <typename T>
T value_of(std::expected<T, Error> result) {
    if (!result) {
        throw std::runtime_error(result.error().message);
    }
    if constexpr (!std::is_void_v<T>) {
        return std::move(*result);
    }
}

std::string name_of(std::uint32_t ifindex) {
    std::array<char, IF_NAMESIZE> name{};
    if (!if_indextoname(ifindex, name.data())) {
        fail("find a host end");
    }
    return name.data();
}

// What the plugin has connected, changed afterwards.
void change_after_connecting(Mode& mode, void (*change)(const Datapath& datapath)) {
    mode.connect_two = [connect = mode.connect_two, change](test::World& world) {
        Network network = connect(world);
        change(value_of(Datapath::open()));
        return network;
    };
}

void attach_by_tcx(const Datapath& datapath) {
    value_of(datapath.sandboxes.for_each([&](const std::uint32_t& ifindex, const sandbox&) {
        const std::string device = name_of(ifindex);
        const int program = datapath.from_sandbox.get();
        value_of(attach(Hook::tcx, ifindex, Direction::ingress, program, device));
        value_of(detach(Hook::clsact, ifindex, Direction::ingress, program, device));
        test::must_run({"tc", "qdisc", "del", "dev", device, "ingress"});
    }));
}

// The flag that makes the programs do so is there for sandboxes with a bandwidth.
void redirect_out_of_host_ends(const Datapath& datapath) {
    value_of(datapath.sandboxes.for_each([&](const std::uint32_t& ifindex, sandbox one) {
        one.link.flags |= LINK_QUEUED;
        value_of(datapath.sandboxes.put(ifindex, one, "a sandbox"));
    }));
    value_of(datapath.endpoints.for_each([&](const address& key, endpoint one) {
        if (one.kind == ENDPOINT_SANDBOX) {
            one.link.flags |= LINK_QUEUED;
            value_of(datapath.endpoints.put(key, one, "an endpoint"));
        }
    }));
}

}  // namespace

Mode causeway(const std::string& plugin) {
    const Column column = {"causeway", "causeway", ipv4_set, {"wire", "bridge"}};
    Mode mode = variant(plugin, column, "{}");
    mode.with_room_for = [=](int flows) {
        const int room = std::max(CAUSEWAY_FLOWS_DEFAULT, 2 * flows);
        return variant(plugin, column, R"({"tables": {"flows": )" + std::to_string(room) + "}}");
    };
    return mode;
}

namespace {

constexpr const char* of_ipv6 = R"({"ipam": {"ranges": [[{"subnet": "fd00:1::/112"}]], "routes": [{"dst": "::/0"}]}})";

}

Mode causeway_ipv6(const std::string& plugin) {
    return variant(plugin, {"causeway6", "causeway, IPv6", ipv6_set, {"wire6", "bridge6"}}, of_ipv6);
}

Mode causeway_both(const std::string& plugin) {
    Mode mode = variant(plugin, {"causeway46", "causeway, IPv4 and IPv6", variants_set, {"causeway"}},
                        R"({"ipam": {"ranges": [[{"subnet": "10.0.0.0/20"}], [{"subnet": "fd00:1::/112"}]],
                                     "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}})");
    mode.steps = {"adds"};  // none of traffic: a packet is of one family
    return mode;
}

Mode causeway_limited(const std::string& plugin) {
    Mode mode = variant(plugin, {"limited", "causeway, 100 Mbit/s", limited_set, {"limited-bridge"}}, limits.dump());
    mode.is_limited = true;
    mode.steps = limited_steps;
    return mode;
}

Mode causeway_big_tcp(const std::string& plugin) {
    Mode mode = variant(plugin, {"big-tcp", "causeway with \"gsoMaxSize\": 524280", variants_set, {"causeway"}},
                        R"({"gsoMaxSize": 524280})");
    mode.steps = {"tcp_sandbox", "tcp_world",    "packets",  "stream",   "stream_4",
                  "stream_16",   "stream_world", "iperf3_1", "iperf3_4", "iperf3_16"};
    return mode;
}

Mode causeway_ipv6_big_tcp(const std::string& plugin) {
    auto patch = nlohmann::json::parse(of_ipv6);
    patch["gsoMaxSize"] = 524280;
    Mode mode = variant(
        plugin, {"big-tcp6", "causeway, IPv6, with \"gsoMaxSize\": 524280", variants_set, {"causeway6"}}, patch.dump());
    mode.steps = {"stream", "stream_4", "stream_16", "stream_world", "iperf3_1", "iperf3_4", "iperf3_16"};
    return mode;
}

Mode causeway_tcx(const std::string& plugin) {
    Mode mode = variant(
        plugin, {"tcx", "causeway, host ends attached by TCX in place of clsact", variants_set, {"causeway"}}, "{}");
    change_after_connecting(mode, attach_by_tcx);
    mode.steps = {"tcp_sandbox", "udp_sandbox", "tcp_world", "connections_sandbox", "packets", "stream"};
    return mode;
}

Mode causeway_no_peer(const std::string& plugin) {
    Mode mode = variant(
        plugin, {"no-peer", "causeway, a plain redirect in place of one to the peer", variants_set, {"causeway"}},
        "{}");
    change_after_connecting(mode, redirect_out_of_host_ends);
    mode.steps = {"tcp_sandbox", "udp_sandbox", "tcp_world", "connections_sandbox", "packets", "stream"};
    return mode;
}

}  // namespace causeway::bench
