// SPDX-License-Identifier: Apache-2.0
// The programs as loaded into the kernel, and their maps as the control plane would fill them.
//
// What the kernel refuses throws: no test goes on from there.
#pragma once

#include <causeway/abi.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/packet.hpp"

struct bpf_map;
struct bpf_program;
struct datapath_skeleton;

namespace causeway::test {

struct LoadOptions {
    std::uint32_t flow_entries = 2 * CAUSEWAY_FLOWS_DEFAULT;
    std::uint32_t flows = CAUSEWAY_FLOWS_DEFAULT;
    bool apart = false;  // shared with no other test: for what attaches them to devices
};

enum class Program { from_sandbox, from_host, from_uplink, from_stack, from_loopback };

// What a packet brings besides its bytes.
struct Context {
    unsigned ifindex = 0;
    unsigned ingress_ifindex = 0;  // where a forwarded packet came in
    unsigned gso_size = 0, gso_segs = 0;
    unsigned priority = 0;  // SO_PRIORITY of its sender
    bool summed = false;    // by its device, all of it (CHECKSUM_COMPLETE): then the sum must be right afterwards too
};

struct Outcome {
    int action = 0;  // TC_ACT_*
    Bytes packet;
    unsigned priority = 0;
};

using VerdictCounts = std::array<std::uint64_t, VERDICT_COUNT>;
using FlowEntry = std::pair<flow_key, flow>;

class LoadedDatapath {
public:
    explicit LoadedDatapath(const LoadOptions& options);

    // As a filter on a device of the namespace that the thread is in; gone with the device.
    void attach(Program program, unsigned ifindex);

    // One packet through one program, by BPF_PROG_TEST_RUN.
    Outcome run(Program program, const Bytes& packet, const Context& context);

    void set_sandbox(std::uint32_t ifindex, const sandbox& value);
    void set_endpoint(const address& key, const endpoint& value);
    void set_network(std::uint32_t id, const network& value);
    void set_usage(std::uint32_t slot, const usage& value);
    void set_shaper(std::uint32_t slot, const shaper& value);
    usage usage_of(std::uint32_t slot) const;
    void set_uplink(std::uint32_t ifindex, const uplink& value);
    void set_flow(const flow_key& key, const flow& value);
    void set_host_ports(const host_ports& value);
    void set_publishing(std::uint32_t value);
    void set_published_port(std::uint16_t port, bool value);
    void set_loopback_ports(const loopback_ports& value);
    void set_departures(std::uint32_t value);
    void remove_sandbox(std::uint32_t ifindex);
    void set_identification(std::uint32_t next);  // of the next packet that may be cut up

    // As it was loaded, with the timer anew.
    void clear();

    VerdictCounts verdicts() const;                // summed over the CPUs
    traffic traffic_of(std::uint32_t slot) const;  // likewise
    std::optional<flow> flow_at(const flow_key& key) const;
    std::vector<FlowEntry> flows() const;
    std::size_t trains() const;                   // packets in fragments under way
    std::size_t held_fragments() const;           // that wait
    void backdate_trains(std::uint32_t seconds);  // as if they had begun so much earlier
    void remove_flow(const flow_key& key);
    void clear_flows();
    std::uint64_t ageing_turns() const;  // flows that are to be looked at

private:
    void start_ageing();
    int descriptor_of(Program program) const;
    static Outcome run(int program, const Bytes& packet, const Context& context);

    struct Unload {
        void operator()(datapath_skeleton* skeleton) const;
    };

    std::unique_ptr<datapath_skeleton, Unload> skeleton_;
};

address address_of(Ip ip);
address address_of(const Ip6& ip);
std::uint16_t network_order(std::uint16_t port);

std::string name_of(verdict value);  // "VERDICT_..."

}  // namespace causeway::test
