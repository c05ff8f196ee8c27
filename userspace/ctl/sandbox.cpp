// SPDX-License-Identifier: Apache-2.0
// causewayctl sandbox: namespaces connected without a container runtime.
#include "userspace/sandbox.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>

#include "userspace/ctl/command.hpp"
#include "userspace/inspect.hpp"
#include "userspace/netns.hpp"
#include "userspace/rollback.hpp"

namespace causeway::ctl {

namespace {

constexpr const char* interface_name = "eth0";

struct SandboxOptions {
    std::string name, network = "sandboxes", device = "cw0";
    std::vector<std::string> subnets{"10.0.0.0/24"}, uplinks, command;
    std::uint32_t mtu = 0;
    bool routed = false;
    std::string interface = interface_name;
    Quota quota;
    bool from_network = false;
};

std::expected<void, Error> refuse_bad_name(const std::string& name) {
    if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos ||
        name.size() >= CAUSEWAY_CONTAINER_LEN) {
        return fail(Code::invalid_environment,
                    "\"" + name + "\" can't name a sandbox: it becomes a file in /run/netns");
    }
    return {};
}

std::expected<int, Error> add_one(const SandboxOptions& options) {
    TRY(refuse_bad_name(options.name));
    NetworkSpec network{.name = options.network,
                        .device = options.device,
                        .uplinks = options.uplinks,
                        .nat = {.masquerade = !options.routed}};
    SandboxSpec sandbox{
        .id = {options.name, interface_name}, .netns = named_netns_path(options.name), .quota = options.quota};
    for (const auto& text : options.subnets) {
        const auto subnet = TRY(Prefix::parse(text));
        network.ranges.push_back({TRY(Range::of_subnet(subnet))});
        const Route all{.destination = {Address::unspecified(subnet.address.family()), 0}};
        if (std::ranges::find(sandbox.routes, all.destination, &Route::destination) == sandbox.routes.end()) {
            sandbox.routes.push_back(all);
        }
    }
    if (options.mtu != 0) {
        network.mtu = options.mtu;
    }
    Rollback rollback;
    TRY(add_named_netns(options.name));
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
    const auto sandboxes = TRY(list_sandboxes());
    const SandboxId id{options.name, interface_name};
    const bool connected = std::ranges::any_of(sandboxes, [&](const SandboxEntry& one) { return one.id == id; });
    if (!connected && access(path.c_str(), F_OK) != 0) {
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
    add->add_option("--device", options->device, "its gateway device")->capture_default_str();
    add->add_option("--subnet", options->subnets,
                    "its subnet, IPv4 or IPv6; the gateway is the first address. Several: an address of each")
        ->allow_extra_args(false)
        ->capture_default_str();
    add->add_option("--uplink", options->uplinks,
                    "a device that leads to the world; default: all with a global address");
    add->add_option("--mtu", options->mtu, "default: the smallest of the uplinks'");
    add->add_flag("--routed", options->routed, "keep the sandbox's own source address towards the world");
    add_quota_options(*add, options->quota);
    add->footer("Example: causewayctl sandbox add one && causewayctl sandbox exec one ping -c1 10.0.0.1");
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
