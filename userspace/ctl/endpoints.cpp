// SPDX-License-Identifier: Apache-2.0
// causewayctl endpoints: the forwarding table, which address leads where.
#include <algorithm>
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

std::expected<int, Error> list_endpoints(bool as_json) {
    Table table({{"ADDRESS", "address"},
                 {"MAC", "mac"},
                 {"HOST END", "hostEnd"},
                 {"CONTAINER", "container"},
                 {"INTERFACE", "interface"},
                 {"NETWORK", "network"},
                 {"SENT PKTS", "sentPackets", true},
                 {"SENT BYTES", "sentBytes", true},
                 {"RECV PKTS", "receivedPackets", true},
                 {"RECV BYTES", "receivedBytes", true},
                 {"DROPPED", "droppedPackets", true},
                 {"FLOWS", "flows", true},
                 {"AT MOST", "flowsAtMost", true},
                 {"A SECOND", "flowsPerSecond", true},
                 {"PORTS", "ports"},
                 {"NAMESPACE", "namespace"}});
    const auto sandboxes = TRY(list_sandboxes());
    if (const auto status = sandboxes.empty() ? tell_unseen() : done; status != done) {
        return status;
    }
    for (const auto& one : sandboxes) {
        const auto& count = one.counters;
        std::vector<nlohmann::ordered_json> counts{count.sent_packets,   count.sent_bytes,      count.received_packets,
                                                   count.received_bytes, count.dropped_packets, one.flows};
        std::vector<nlohmann::ordered_json> addresses;
        std::ranges::transform(one.addresses, std::back_inserter(addresses), &Address::text);
        if (addresses.empty()) {  // an ADD that was killed, or has just begun
            addresses.emplace_back(nullptr);
        }
        for (const auto& address : addresses) {
            table.add({address, one.mac.text(), one.host_end, one.id.container, one.id.interface, one.network,
                       counts[0], counts[1], counts[2], counts[3], counts[4], counts[5], one.quota.flows.value_or(0),
                       one.quota.flows_per_second.value_or(0), text_of(one.ports), one.netns});
            std::ranges::fill(counts, nullptr);  // a sandbox's packets are counted once
        }
    }
    table.print(as_json);
    return done;
}

}  // namespace

void add_endpoints(CLI::App& app, Action& chosen) {
    auto* command = app.add_subcommand("endpoints", "The forwarding table: each sandbox's address and where it leads");
    command->footer(
        "Packets and bytes are the sandbox's: sent is what came out of it, received what was delivered\n"
        "to it, dropped what it sent and the datapath refused; they stand at the first of its addresses.\n"
        "\"causewayctl stats\" says why. FLOWS are those to the world that the sandbox has, AT MOST and A SECOND its\n"
        "quota (0 a second: any number). PORTS are the source ports that it has for itself, where its network has a\n"
        "portBlock.");
    auto as_json = std::make_shared<bool>(false);
    add_output_option(*command, *as_json);
    command->callback([&chosen, as_json] { chosen = [as_json] { return list_endpoints(*as_json); }; });
}

}  // namespace causeway::ctl
