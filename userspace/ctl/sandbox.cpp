// SPDX-License-Identifier: Apache-2.0
// causewayctl sandbox: namespaces connected without a container runtime.
#include "userspace/sandbox.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <ranges>

#include "userspace/ctl/command.hpp"
#include "userspace/netns.hpp"
#include "userspace/network_spec.hpp"
#include "userspace/orphan.hpp"
#include "userspace/rollback.hpp"

namespace causeway::ctl {

namespace {

constexpr const char* interface_name = "eth0";
constexpr const char* default_device = "cw0";
constexpr const char* default_subnet = "10.0.0.0/24";

struct SandboxOptions {
    std::string name, network = "sandboxes";
    std::optional<std::string> device;  // what is not given is as the network has it, or default_device
    std::vector<std::string> subnets;   // likewise; default_subnet
    std::vector<std::string> uplinks, command;
    std::optional<std::uint32_t> mtu;
    bool routed = false;
    std::string interface = interface_name;
    Quota quota;
    bool from_network = false;
};

// It becomes a container id, and a file in /run/netns.
std::expected<void, Error> refuse_bad_name(const std::string& name) {
    const auto why = why_no_container_id(name);
    return why.empty() ? std::expected<void, Error>{}
                       : fail(Code::invalid_environment, "\"" + name + "\" can't name a sandbox: it " + why);
}

std::unexpected<Error> refused(const std::string& option, const std::string& value, const std::string& why) {
    return fail(Code::invalid_configuration, option + ": \"" + value + "\" " + why);
}

std::expected<std::vector<Prefix>, Error> subnets_of(const SandboxOptions& options) {
    std::vector<Prefix> subnets;
    for (const auto& text : options.subnets) {
        const auto subnet = TRY(Prefix::parse(text));
        if (const auto why = why_no_subnet(subnet); !why.empty()) {
            return refused("--subnet", text, why);
        }
        const auto other = std::ranges::find_if(subnets, [&](const Prefix& one) { return one.overlaps(subnet); });
        if (other != subnets.end()) {
            return refused("--subnet", text, "overlaps " + other->text());
        }
        subnets.push_back(subnet);
    }
    return subnets;
}

std::expected<NetworkSpec, Error> new_network(const SandboxOptions& options, std::vector<Prefix> subnets) {
    if (subnets.empty()) {
        subnets.push_back(TRY(Prefix::parse(default_subnet)));
    }
    NetworkSpec network{.name = options.network,
                        .device = options.device.value_or(default_device),
                        .mtu = options.mtu,
                        .uplinks = options.uplinks,
                        .nat = {.masquerade = !options.routed}};
    for (const auto& subnet : subnets) {
        network.ranges.push_back({TRY(Range::of_subnet(subnet))});
    }
    return network;
}

// Of all networks: those that there are.
std::expected<std::vector<std::string>, Error> recorded_uplinks(const Datapath& datapath) {
    auto netlink = TRY(Netlink::open());
    std::vector<std::string> names;
    TRY(datapath.uplinks.for_each([&](const std::uint32_t& ifindex, const uplink&) {
        if (const auto link = netlink.link_at(ifindex)) {
            names.push_back(link->name);
        }
    }));
    return names;
}

// A sandbox by hand changes nothing for the others of its network.
std::expected<NetworkSpec, Error> recorded_network(const Datapath& datapath, const network& record,
                                                   const SandboxOptions& options, const std::vector<Prefix>& subnets) {
    auto network = spec_of(record);
    const auto contradicts = [&](const std::string& option, const std::string& present) {
        return fail(Code::invalid_configuration,
                    option + ": the network \"" + network.name + "\" is there and has " + present,
                    "leave the option out, or give the sandbox another --network, with a --device of its own");
    };
    if (options.device && *options.device != network.device) {
        return contradicts("--device " + *options.device, network.device);
    }
    if (options.mtu && network.mtu && *options.mtu != *network.mtu) {
        return contradicts("--mtu " + std::to_string(*options.mtu), std::to_string(*network.mtu));
    }
    if (options.routed && network.nat.masquerade) {
        return contradicts("--routed", "masquerading");
    }
    if (!subnets.empty()) {
        std::vector<RangeSet> asked;
        std::string all;
        for (const auto& range : network.ranges | std::views::join) {
            all += (all.empty() ? "" : ", ") + range.subnet.text();
            if (std::ranges::find(subnets, range.subnet) != subnets.end()) {
                asked.push_back({range});
            }
        }
        if (asked.size() != subnets.size()) {
            return contradicts("--subnet", all);
        }
        network.ranges = asked;
    }
    network.uplinks = options.uplinks.empty() ? TRY(recorded_uplinks(datapath)) : options.uplinks;
    return network;
}

std::expected<NetworkSpec, Error> network_of(const SandboxOptions& options) {
    if (const auto why = why_no_network_name(options.network); !why.empty()) {
        return refused("--network", options.network, why);
    }
    if (const auto why = options.device ? why_no_device_name(*options.device) : ""; !why.empty()) {
        return refused("--device", *options.device, why);
    }
    auto subnets = TRY(subnets_of(options));
    const auto datapath = TRY(none_where(ENOENT, Datapath::open()));
    for (const auto& present : datapath ? TRY(list_networks(*datapath)) : std::vector<Network>{}) {
        if (options.network == present.record.name) {
            return recorded_network(*datapath, present.record, options, subnets);
        }
    }
    return new_network(options, std::move(subnets));
}

// The sandbox that "sandbox add" has made of the namespace.
std::expected<bool, Error> is_made_by_hand(const Datapath& datapath, const std::string& name) {
    const auto record = TRY(datapath.attachments.look_up(key_of({name, interface_name})));
    return record && named_netns_path(name) == record->netns;
}

// Whoever else's they are, by whatever path: "net1 of container 4f6f...".
std::expected<std::string, Error> connected_in(const Datapath& datapath, const std::string& netns) {
    std::string list;
    TRY(datapath.attachments.for_each([&](const attachment_key& key, const attachment& record) {
        std::error_code unreadable;
        if (std::filesystem::equivalent(netns, record.netns, unreadable)) {
            const auto id = id_of(key);
            list += (list.empty() ? "" : ", ") + id.interface + " of container " + id.container;
        }
    }));
    return list;
}

std::expected<int, Error> add_one(const SandboxOptions& options) {
    TRY(refuse_bad_name(options.name));
    const auto network = TRY(network_of(options));
    SandboxSpec sandbox{
        .id = {options.name, interface_name}, .netns = named_netns_path(options.name), .quota = options.quota};
    for (const auto& set : network.ranges) {
        const Route all{.destination = {Address::unspecified(set.front().gateway.family()), 0}};
        if (std::ranges::find(sandbox.routes, all.destination, &Route::destination) == sandbox.routes.end()) {
            sandbox.routes.push_back(all);
        }
    }
    Rollback rollback;
    if (auto added = add_named_netns(options.name); !added) {
        const auto datapath = Datapath::open();
        if (added.error().number == EEXIST && datapath && is_made_by_hand(*datapath, options.name).value_or(false)) {
            added.error().details = "\"causewayctl sandbox del " + options.name + "\" removes the sandbox of that name";
        }
        return std::unexpected(added.error());
    }
    rollback.on_failure([&] { return delete_named_netns(options.name); });
    const auto connection = connect(network, sandbox);
    if (!connection) {
        return std::unexpected(rollback.failed(connection.error()));
    }
    rollback.commit();
    for (const auto& [address, gateway] : connection->assignments) {
        std::printf("%s: %s is %s, gateway %s on %s\n", options.name.c_str(), interface_name, address.text().c_str(),
                    gateway.text().c_str(), connection->gateway_device.name.c_str());
    }
    return done;
}

std::expected<int, Error> delete_one(const SandboxOptions& options) {
    TRY(refuse_bad_name(options.name));
    const std::string path = named_netns_path(options.name);
    const SandboxId id{options.name, interface_name};
    const auto datapath = TRY(none_where(ENOENT, Datapath::open()));
    const bool connected = datapath && TRY(is_made_by_hand(*datapath, options.name));
    if (!connected) {
        TRY(see_records());
    }
    if (const auto others = !connected && datapath ? TRY(connected_in(*datapath, path)) : ""; !others.empty()) {
        return fail(Code::unknown_container, "the namespace " + path + " is not of \"sandbox add\": in it is " + others,
                    "whoever has connected it disconnects it: the runtime, by a DEL");
    }
    if (!connected && access(path.c_str(), F_OK) == 0) {
        return fail(Code::unknown_container, "the namespace " + path + " is no sandbox's that causeway has connected",
                    "\"ip netns del " + options.name + "\" removes it");
    }
    if (!connected) {
        return fail(Code::unknown_container, "there is no sandbox \"" + options.name + "\"",
                    "\"causewayctl endpoints\" lists them");
    }
    TRY(disconnect(id, ""));
    TRY(delete_named_netns(options.name));
    return done;
}

std::expected<int, Error> set_quota(const SandboxOptions& options) {
    TRY(change_quota({options.name, options.interface}, options.quota, options.from_network));
    return done;
}

std::expected<int, Error> run_inside(const SandboxOptions& options) {
    TRY(refuse_bad_name(options.name));
    TRY(TRY(Netns::open(named_netns_path(options.name))).enter());
    std::vector<char*> arguments;
    for (const auto& argument : options.command) {
        arguments.push_back(const_cast<char*>(argument.c_str()));
    }
    arguments.push_back(nullptr);
    execvp(arguments[0], arguments.data());
    return std::unexpected(errno_error("run " + options.command[0]));
}

void add_quota_options(CLI::App& command, Quota& quota) {
    command.add_option("--flows", quota.flows, "that it may have at once")
        ->check(CLI::Range(std::uint32_t{1}, std::uint32_t{CAUSEWAY_FLOWS_MAX}));
    command.add_option("--flows-per-second", quota.flows_per_second, "that it may open; 0: any number")
        ->check(CLI::Range(0, 1'000'000));
}

}  // namespace

void add_sandbox(CLI::App& app, Action& chosen) {
    auto* group = app.add_subcommand("sandbox", "Network namespaces connected without a container runtime");
    group->require_subcommand(1);
    auto options = std::make_shared<SandboxOptions>();

    auto* add = group->add_subcommand("add", "Make the namespace NAME with lo and eth0, connected to the network");
    add->add_option("NAME", options->name, "shows as /run/netns/NAME and in \"ip netns\"")->required();
    add->add_option("--network", options->network, "name of the network")->capture_default_str();
    add->add_option("--device", options->device, "its gateway device")->default_str(default_device);
    add->add_option("--subnet", options->subnets,
                    "its subnet, IPv4 or IPv6; the gateway is the first address. Several: an address of each")
        ->allow_extra_args(false)
        ->default_str(default_subnet);
    add->add_option("--uplink", options->uplinks,
                    "a device that leads to the world; default: all with a global address");
    add->add_option("--mtu", options->mtu, "default: the smallest of the uplinks'")->check(CLI::Range(68, 65535));
    add->add_flag("--routed", options->routed, "keep the sandbox's own source address towards the world");
    add_quota_options(*add, options->quota);
    add->footer(
        "A network that is there stays as it is: what is not given is taken from it, what contradicts it is refused.\n"
        "But its addresses are those of its whole subnets: rangeStart, rangeEnd, exclude and rest of a configuration\n"
        "are not on record.\n"
        "Example: causewayctl sandbox add one && causewayctl sandbox exec one ping -c1 10.0.0.1");
    add->callback([&chosen, options] { chosen = [options] { return add_one(*options); }; });

    auto* remove = group->add_subcommand("del", "Disconnect the sandbox NAME and remove its namespace");
    remove->add_option("NAME", options->name, "")->required();
    remove->callback([&chosen, options] { chosen = [options] { return delete_one(*options); }; });

    auto* quota = group->add_subcommand("quota", "Change how many flows to the world a connected sandbox may have");
    quota->add_option("NAME", options->name, "its container id, as \"causewayctl endpoints\" shows it")->required();
    quota->add_option("--interface", options->interface, "of the sandbox")->capture_default_str();
    add_quota_options(*quota, options->quota);
    quota->add_flag("--reset", options->from_network, "what is not given here is the network's quota again");
    quota->footer(
        "Of any sandbox, whoever has connected it; it lasts until its DEL. Flows that there are stay, also beyond\n"
        "the new quota: it is new ones that are refused.");
    quota->callback([&chosen, options] {
        if (options->quota.empty() && !options->from_network) {
            throw CLI::RequiredError("--flows, --flows-per-second or --reset");
        }
        chosen = [options] { return set_quota(*options); };
    });

    auto* exec = group->add_subcommand("exec", "Run COMMAND [ARGUMENT...] in the sandbox NAME");
    exec->add_option("NAME", options->name, "")->required();
    exec->prefix_command();  // what follows is the command's, its options too
    exec->footer(
        "Only the network is the sandbox's; files and processes are the host's. The exit status is the\n"
        "command's.");
    exec->callback([&chosen, options, exec] {
        options->command = exec->remaining();
        if (options->command.empty()) {
            throw CLI::RequiredError("COMMAND");
        }
        chosen = [options] { return run_inside(*options); };
    });
}

}  // namespace causeway::ctl
