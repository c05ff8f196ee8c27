// SPDX-License-Identifier: Apache-2.0
// causewayctl flows: the translation table, which connection goes out under which address and port.
#include <linux/in.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <map>
#include <memory>

#include <causeway/flow_state.h>

#include "userspace/ctl/command.hpp"
#include "userspace/ctl/table.hpp"
#include "userspace/inspect.hpp"

namespace causeway::ctl {

namespace {

constexpr std::uint64_t nanoseconds = 1'000'000'000;

// The clock of the datapath's bpf_ktime_get_ns().
std::uint64_t now() {
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<std::uint64_t>(time.tv_sec) * nanoseconds + static_cast<std::uint64_t>(time.tv_nsec);
}

std::string protocol_name(std::uint8_t protocol) {
    switch (protocol) {
        case IPPROTO_TCP:
            return "tcp";
        case IPPROTO_UDP:
            return "udp";
        case IPPROTO_ICMP:
            return "icmp";
        default:
            return std::to_string(protocol);
    }
}

const char* state_name(flow_state state) {
    constexpr std::array<const char*, FLOW_STATE_COUNT> names{"opening", "established", "closing", "udp", "icmp"};
    return names.at(state);
}

std::string end_of(const address& address, __be16 port) {
    return Address(address).text() + ":" + std::to_string(__builtin_bswap16(port));
}

struct Pair {
    flow_key key;
    flow sent, replied;
};

std::expected<std::vector<Pair>, Error> read_pairs(const Datapath& datapath) {
    std::vector<Pair> pairs;
    TRY(datapath.flows.for_each([&](const flow_key& key, const flow& entry) {
        if (key.scope != 0) {
            pairs.push_back({key, entry, {}});
        }
    }));
    for (auto& pair : pairs) {
        const flow_key reply{pair.key.destination,
                             pair.sent.address,
                             pair.key.destination_port,
                             pair.sent.port,
                             0,
                             pair.key.protocol,
                             {}};
        pair.replied = datapath.flows.find(reply).value_or(flow{});
    }
    std::ranges::sort(pairs, {}, [](const Pair& pair) { return pair.sent.created; });
    return pairs;
}

std::expected<int, Error> list_flows(bool as_json) {
    Table table({{"CONTAINER", "container"},
                 {"PROTO", "protocol"},
                 {"SOURCE", "source"},
                 {"DESTINATION", "destination"},
                 {"SENT AS", "translated"},
                 {"STATE", "state"},
                 {"AGE s", "ageSeconds", true},
                 {"LEFT s", "secondsLeft", true}});
    const auto datapath = Datapath::open();
    if (!datapath && datapath.error().number != ENOENT) {
        return std::unexpected(datapath.error());
    }
    std::map<std::uint32_t, std::string> containers;
    for (const auto& sandbox : TRY(list_sandboxes())) {
        containers[sandbox.ifindex] = sandbox.id.container;
    }
    const auto time = now();
    for (const auto& [key, sent, replied] : datapath ? TRY(read_pairs(*datapath)) : std::vector<Pair>{}) {
        const auto state = flow_state_of(key.protocol, sent.seen, replied.seen);
        const auto network = datapath->networks.find(sent.network).value_or(::network{});
        const auto last_seen = std::max(sent.last_seen, replied.last_seen);
        const auto ends = last_seen + network.timeout[state] * nanoseconds;
        table.add({containers[sent.link.ifindex], protocol_name(key.protocol), end_of(key.source, key.source_port),
                   end_of(key.destination, key.destination_port), end_of(sent.address, sent.port), state_name(state),
                   (time - sent.created) / nanoseconds, ends > time ? (ends - time) / nanoseconds : 0});
    }
    table.print(as_json);
    return done;
}

}  // namespace

void add_flows(CLI::App& app, Action& chosen) {
    auto* command = app.add_subcommand("flows", "The translation table: each connection to the world, and its state");
    command->footer(
        "Ports of icmp are the identifiers of echo requests. LEFT is how long the flow lives if nothing\n"
        "more is seen of it.");
    auto as_json = std::make_shared<bool>(false);
    add_output_option(*command, *as_json);
    command->callback([&chosen, as_json] { chosen = [as_json] { return list_flows(*as_json); }; });
}

}  // namespace causeway::ctl
