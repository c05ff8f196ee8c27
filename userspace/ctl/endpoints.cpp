// SPDX-License-Identifier: Apache-2.0
// causewayctl endpoints: the forwarding table, which address leads where.
#include <algorithm>
#include <array>
#include <iterator>
#include <memory>
#include <vector>

#include "userspace/ctl/command.hpp"
#include "userspace/ctl/table.hpp"
#include "userspace/inspect.hpp"

namespace causeway::ctl {

namespace {

std::string text_of(const PortRange& ports) {
    return ports.first == 0 ? "" : std::to_string(ports.first) + "-" + std::to_string(ports.last);
}

constexpr std::array<const char*, 4> sandbox_states{"connecting", "connected", "disconnecting", "leased"};

struct EndpointOptions {
    std::string container;
    bool as_json = false, wide = false;
};

// For people the container comes last of what is not wide: runtimes' names of 64 digits move no column then.
std::expected<int, Error> list_endpoints(const EndpointOptions& options) {
    Table table({{"ADDRESS", "address"},
                 {"NETWORK", "network"},
                 {"STATE", "state"},
                 {"HOST END", "hostEnd"},
                 {"SENT BYTES", "sentBytes", true},
                 {"RECV BYTES", "receivedBytes", true},
                 {"DROPPED", "droppedPackets", true},
                 {"FLOWS", "flows", true},
                 {"INTERFACE", "interface"},
                 {"CONTAINER", "container"},
                 {"MAC", "mac", false, true},
                 {"SENT PKTS", "sentPackets", true, true},
                 {"RECV PKTS", "receivedPackets", true, true},
                 {"AT MOST", "flowsAtMost", true, true},
                 {"A SECOND", "flowsPerSecond", true, true},
                 {"PORTS", "ports", false, true},
                 {"NAMESPACE", "namespace", false, true}});
    auto sandboxes = TRY(list_sandboxes());
    if (const auto status = sandboxes.empty() ? tell_unseen() : done; status != done) {
        return status;
    }
    std::erase_if(sandboxes, [&](const SandboxEntry& one) {
        return !options.container.empty() && one.id.container != options.container;
    });
    for (const auto& one : sandboxes) {
        const auto& count = one.counters;
        std::vector<nlohmann::ordered_json> counts{count.sent_bytes, count.received_bytes, count.dropped_packets,
                                                   one.flows,        count.sent_packets,   count.received_packets};
        std::vector<nlohmann::ordered_json> addresses;
        std::ranges::transform(one.addresses, std::back_inserter(addresses), &Address::text);
        if (addresses.empty()) {  // an ADD that was killed, or has just begun
            addresses.emplace_back(nullptr);
        }
        for (const auto& address : addresses) {
            table.add({address, one.network, sandbox_states.at(static_cast<std::size_t>(one.state)), one.host_end,
                       counts[0], counts[1], counts[2], counts[3], one.id.interface, one.id.container, one.mac.text(),
                       counts[4], counts[5], one.quota.flows.value_or(0), one.quota.flows_per_second.value_or(0),
                       text_of(one.ports), one.netns});
            std::ranges::fill(counts, nullptr);  // a sandbox's packets are counted once
        }
    }
    table.print(options.as_json, options.wide);
    return done;
}

}  // namespace

void add_endpoints(CLI::App& app, Action& chosen) {
    auto* command = app.add_subcommand("endpoints", "The forwarding table: each sandbox's address and where it leads");
    command->footer(
        "STATE is connected; connecting or disconnecting while an ADD or a DEL is at work, or was killed; leased\n"
        "where an IPAM plugin has yet to take the address back, and nothing else is left. Bytes and packets are the\n"
        "sandbox's: sent is what came out of it, received what was delivered to it, dropped what it sent and the\n"
        "datapath refused (\"causewayctl stats\" says why); they stand at the first of its addresses. FLOWS are those "
        "to\n"
        "the world that it has. --wide: AT MOST and A SECOND are its quota of them (0 a second: any number), PORTS "
        "the\n"
        "source ports that it has for itself, where its network has a portBlock.");
    auto options = std::make_shared<EndpointOptions>();
    add_sandbox_option(*command, options->container);
    command->add_flag("--wide", options->wide, "a table of all that json has");
    add_output_option(*command, options->as_json);
    command->callback([&chosen, options] { chosen = [options] { return list_endpoints(*options); }; });
}

}  // namespace causeway::ctl
