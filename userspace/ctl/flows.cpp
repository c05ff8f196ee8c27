// SPDX-License-Identifier: Apache-2.0
// causewayctl flows: the translation table, which connection goes out under which address and port.
#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <memory>

#include <causeway/flow_state.h>

#include "userspace/ctl/command.hpp"
#include "userspace/ctl/table.hpp"
#include "userspace/inspect.hpp"
#include "userspace/protocol.hpp"

namespace causeway::ctl {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint64_t nanoseconds = 1'000'000'000;

constexpr std::array<const char*, FLOW_STATE_COUNT> state_names{"opening", "established", "closing", "udp", "icmp"};

// Of TCP, a mapping lives as long as one of its connections is open, and as what is closing then.
constexpr const char* mapped = "mapped";

std::string end_of(const address& address, __be16 port) {
    const Address ip(address);
    const std::string host = ip.is_ipv4() ? ip.text() : "[" + ip.text() + "]";
    return host + ":" + std::to_string(__builtin_bswap16(port));
}

struct Pair {
    flow_key key;
    flow sent, replied;
};

// The sandbox's endpoint, which the key of what a mapping admits has not.
std::string source_of(const Pair& pair) {
    const auto& [key, sent, replied] = pair;
    return replied.created != 0 ? end_of(replied.address, replied.port) : end_of(key.source, key.source_port);
}

// An endpoint-independent mapping has no peer.
address peer_of(const flow_key& key) {
    return is_mapping(&key) ? address{} : key.destination;
}

std::string state_of(const Pair& pair) {
    const auto& [key, sent, replied] = pair;
    const auto state = flow_state_of(key.protocol, sent.seen, replied.seen);
    const bool is_mapping_of_tcp = key.protocol == IPPROTO_TCP && key.destination_port == 0;
    return is_mapping_of_tcp ? mapped : state_names.at(state);
}

std::string destination_of(const flow_key& key) {
    return is_mapping(&key) ? "any" : end_of(key.destination, key.destination_port);
}

// Null where only the host's stack knows.
Json sent_as(const flow& sent) {
    return (sent.flags & FLOW_FORWARDED) != 0 ? Json() : Json(end_of(sent.address, sent.port));
}

flow_key reply_key_of(const Pair& pair) {
    return {.source = peer_of(pair.key),
            .destination = pair.sent.address,
            .source_port = pair.key.destination_port,
            .destination_port = pair.sent.port,
            .scope = 0,
            .protocol = pair.key.protocol,
            .world_asks = pair.key.world_asks,
            .reserved = {}};
}

std::expected<std::vector<Pair>, Error> read_pairs(const Datapath& datapath) {
    std::vector<Pair> pairs;
    TRY(datapath.flows.for_each([&](const flow_key& key, const flow& entry) {
        if (key.scope != 0) {
            pairs.push_back({key, entry, {}});
        }
    }));
    for (auto& pair : pairs) {
        pair.replied = datapath.flows.find(reply_key_of(pair)).value_or(flow{});
    }
    std::ranges::sort(pairs, {}, [](const Pair& pair) { return pair.sent.created; });
    return pairs;
}

struct Filter {
    std::string container, protocol, state;
    std::optional<Address> peer;
    std::uint16_t port = 0;  // either end's, or the one that the world sees

    bool any() const {
        return !container.empty() || !protocol.empty() || !state.empty() || peer.has_value() || port != 0;
    }
};

struct Listed {
    Pair pair;
    std::string container, protocol, state;
    std::uint64_t ends = 0;  // ns
};

bool matches(const Filter& filter, const Listed& flow) {
    const auto& [key, sent, replied] = flow.pair;
    const auto is_port = [&](__be16 port) { return __builtin_bswap16(port) == filter.port; };
    return (filter.container.empty() || filter.container == flow.container) &&
           (filter.protocol.empty() || filter.protocol == flow.protocol) &&
           (filter.state.empty() || filter.state == flow.state) &&
           (!filter.peer || *filter.peer == Address(peer_of(key))) &&
           (filter.port == 0 || is_port(key.source_port) || is_port(key.destination_port) || is_port(sent.port));
}

std::expected<std::vector<Listed>, Error> find_flows(const Datapath& datapath, const Filter& filter) {
    std::map<std::uint32_t, std::string> containers{{0, "(host)"}};
    const auto container_of = [&](std::uint32_t ifindex) {
        return containers.contains(ifindex) ? containers[ifindex] : "(gone)";  // until the timer has ended its flows
    };
    for (const auto& sandbox : TRY(list_sandboxes())) {
        if (sandbox.ifindex != 0) {  // a host end that is yet to be made, or gone
            containers[sandbox.ifindex] = sandbox.id.container;
        }
    }
    std::vector<Listed> found;
    for (const auto& pair : TRY(read_pairs(datapath))) {
        const auto state = flow_state_of(pair.key.protocol, pair.sent.seen, pair.replied.seen);
        const auto network = datapath.networks.find(pair.sent.network).value_or(::network{});
        const auto last_seen = std::max(pair.sent.last_seen, pair.replied.last_seen);
        Listed flow{pair, container_of(pair.sent.link.ifindex), name_of_protocol(pair.key.protocol), state_of(pair),
                    last_seen + network.timeout[state] * nanoseconds};
        if (matches(filter, flow)) {
            found.push_back(std::move(flow));
        }
    }
    return found;
}

std::expected<int, Error> list_flows(const Filter& filter, bool as_json) {
    Table table({{"CONTAINER", "container"},
                 {"PROTO", "protocol"},
                 {"SOURCE", "source"},
                 {"DESTINATION", "destination"},
                 {"SENT AS", "translated"},
                 {"STATE", "state"},
                 {"AGE s", "ageSeconds", true},
                 {"LEFT s", "secondsLeft", true}});
    const auto datapath = TRY(none_where(ENOENT, Datapath::open_of_any_netns()));
    if (const auto status = datapath ? done : tell_unseen(); status != done) {
        return status;
    }
    const auto time = Datapath::now();
    for (const auto& flow : datapath ? TRY(find_flows(*datapath, filter)) : std::vector<Listed>{}) {
        const auto& [key, sent, replied] = flow.pair;
        table.add({flow.container, flow.protocol, source_of(flow.pair), destination_of(key), sent_as(sent), flow.state,
                   (time - std::min<std::uint64_t>(time, sent.created)) / nanoseconds,
                   flow.ends > time ? (flow.ends - time) / nanoseconds : 0});
    }
    table.print(as_json);
    return done;
}

// The half that the world's packets find first, so that nothing more comes in.
std::expected<int, Error> delete_flows(const Filter& filter) {
    const auto datapath = TRY(none_where(ENOENT, Datapath::open()));
    if (!datapath) {
        return tell_not_loaded();
    }
    std::size_t deleted = 0;
    for (const auto& flow : TRY(find_flows(*datapath, filter))) {
        TRY(datapath->flows.erase(reply_key_of(flow.pair), "a flow"));
        TRY(datapath->flows.erase(flow.pair.key, "a flow"));
        deleted++;
    }
    std::printf("%zu deleted\n", deleted);
    return done;
}

struct FlowOptions {
    Filter filter;
    std::string peer;
    bool as_json = false, all = false;

    bool any() const { return filter.any() || !peer.empty(); }
};

std::expected<Filter, Error> filter_of(const FlowOptions& options) {
    Filter filter = options.filter;
    if (!options.peer.empty()) {
        filter.peer = TRY(Address::parse(options.peer));
    }
    return filter;
}

void add_filter_options(CLI::App& command, FlowOptions& options) {
    add_sandbox_option(command, options.filter.container);
    command
        .add_option("--protocol", options.filter.protocol,
                    "only of this protocol: tcp, udp, sctp, icmp, icmpv6 or the number of another")
        ->check([](const std::string& name) {
            return is_protocol_name(name) ? "" : "\"" + name + "\" is no protocol's name or number";
        });
    command.add_option("--peer", options.peer, "only towards this address")->check([](const std::string& text) {
        const auto address = Address::parse(text);
        return address ? "" : address.error().message;
    });
    command.add_option("--port", options.filter.port, "only with this port, at either end or as the world sees it")
        ->check(CLI::Range(1, 65535));
    std::vector<std::string> states(state_names.begin(), state_names.end());
    states.emplace_back(mapped);
    command.add_option("--state", options.filter.state, "only in this state")->check(CLI::IsMember(states));
}

}  // namespace

void add_flows(CLI::App& app, Action& chosen) {
    auto* command = app.add_subcommand("flows", "The translation table: each connection to the world, and its state");
    command->footer(
        "Ports of icmp are the identifiers of queries. A flow to any is the mapping of an endpoint, where its\n"
        "network has endpoint-independent ones. LEFT is how long the flow lives if nothing more is seen of it.");
    auto options = std::make_shared<FlowOptions>();
    add_filter_options(*command, *options);
    add_output_option(*command, options->as_json);
    command->callback([&chosen, options, command] {
        if (command->get_subcommands().empty()) {
            chosen = [options]() -> std::expected<int, Error> {
                return list_flows(TRY(filter_of(*options)), options->as_json);
            };
        }
    });
    command->require_subcommand(0, 1);

    auto* removal = command->add_subcommand("delete", "Forget flows: what comes for them later finds none");
    removal->footer("A TCP connection in use begins a new flow with its next segment, perhaps from another port.");
    auto chosen_ones = std::make_shared<FlowOptions>();
    add_filter_options(*removal, *chosen_ones);
    removal->add_flag("--all", chosen_ones->all, "all of them, where no other option chooses");
    removal->callback([&chosen, chosen_ones, options] {
        chosen = [chosen_ones, options]() -> std::expected<int, Error> {
            if (options->any()) {  // of the listing, which is not asked for
                std::fprintf(stderr, "causewayctl flows delete: what chooses flows comes after \"delete\"\n");
                return wrong_usage;
            }
            const auto filter = TRY(filter_of(*chosen_ones));
            if (!filter.any() && !chosen_ones->all) {
                std::fprintf(stderr, "causewayctl flows delete: choose flows, or --all\n");
                return wrong_usage;
            }
            return delete_flows(filter);
        };
    });
}

}  // namespace causeway::ctl
