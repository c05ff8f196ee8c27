// SPDX-License-Identifier: Apache-2.0
// Loads the skeleton, runs its programs, reads and writes its maps.
#include "tests/datapath/loaded_datapath.hpp"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <system_error>
#include <thread>

#include "datapath.skel.h"
#include "tests/datapath/node.hpp"
#include "tests/datapath/tick.hpp"

namespace causeway::test {
namespace {

constexpr std::uint32_t slots_in_use = 64;          // no test has a sandbox in a later one
constexpr std::uint32_t test_run_summed = 1U << 2;  // BPF_F_TEST_SKB_CHECKSUM_COMPLETE, from Linux 6.16 on

void require(int result, const char* what) {
    if (result < 0) {
        throw std::system_error(-result, std::generic_category(), what);
    }
}

template <typename Key, typename Value>
void put(const bpf_map* map, const Key& key, const Value& value) {
    Tick::note_change();
    require(bpf_map_update_elem(bpf_map__fd(map), &key, &value, BPF_ANY), bpf_map__name(map));
}

template <typename Value>
std::vector<Value> values_per_cpu(const bpf_map* map, std::uint32_t key) {
    static_assert(sizeof(Value) % 8 == 0);  // the kernel rounds each up to that
    std::vector<Value> values(static_cast<std::size_t>(libbpf_num_possible_cpus()));
    require(bpf_map_lookup_elem(bpf_map__fd(map), &key, values.data()), bpf_map__name(map));
    return values;
}

std::vector<Bytes> keys_of(const bpf_map* map) {
    std::vector<Bytes> keys;
    Bytes key(bpf_map__key_size(map));
    const void* previous = nullptr;
    while (bpf_map_get_next_key(bpf_map__fd(map), previous, key.data()) == 0) {
        keys.push_back(key);
        previous = keys.back().data();
    }
    return keys;
}

void remove_all(const bpf_map* map) {
    Tick::note_change();
    for (const Bytes& key : keys_of(map)) {
        const int result = bpf_map_delete_elem(bpf_map__fd(map), key.data());
        require(result == -ENOENT ? 0 : result, bpf_map__name(map));
    }
}

void remove(const bpf_map* map, const void* key) {
    Tick::note_change();
    require(bpf_map_delete_elem(bpf_map__fd(map), key), bpf_map__name(map));
}

void zero(const bpf_map* map, std::uint32_t first, std::uint32_t end) {
    const std::size_t cpus =
        bpf_map__type(map) == BPF_MAP_TYPE_PERCPU_ARRAY ? static_cast<std::size_t>(libbpf_num_possible_cpus()) : 1;
    const Bytes nothing((bpf_map__value_size(map) + 7) / 8 * 8 * cpus);
    for (std::uint32_t key = first; key < end; ++key) {
        require(bpf_map_update_elem(bpf_map__fd(map), &key, nothing.data(), BPF_ANY), bpf_map__name(map));
    }
}

// The verifier's log is for people; it goes out only when loading fails.
int print_warnings(libbpf_print_level level, const char* format, va_list arguments) {
    return level == LIBBPF_WARN ? std::vfprintf(stderr, format, arguments) : 0;
}

}  // namespace

LoadedDatapath::LoadedDatapath(const LoadOptions& options) {
    libbpf_set_print(print_warnings);
    skeleton_.reset(datapath_skeleton__open());
    if (!skeleton_) {
        throw std::system_error(errno, std::generic_category(), "open the skeleton");
    }
    require(bpf_map__set_max_entries(skeleton_->maps.flows, options.flow_entries), "size the flow table");
    skeleton_->rodata->table_sizes.flows = options.flows;
    require(datapath_skeleton__load(skeleton_.get()), "load the skeleton");
    start_ageing();
}

// The kernel takes the timer's memory from what it has at hand, without waiting (6.18: kmalloc_nolock), and so may have
// none at that moment.
void LoadedDatapath::start_ageing() {
    int result = -ENOMEM;
    for (int attempt = 0; attempt < 1000 && result == -ENOMEM; ++attempt) {
        result = run(bpf_program__fd(skeleton_->progs.start_ageing), Bytes(64), {}).action;
        if (result == -ENOMEM) {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
    }
    require(result, "start ageing");
}

void LoadedDatapath::Unload::operator()(datapath_skeleton* skeleton) const {
    datapath_skeleton__destroy(skeleton);
}

int LoadedDatapath::descriptor_of(Program program) const {
    switch (program) {
        case Program::from_sandbox:
            return bpf_program__fd(skeleton_->progs.from_sandbox);
        case Program::from_host:
            return bpf_program__fd(skeleton_->progs.from_host);
        case Program::from_uplink:
            return bpf_program__fd(skeleton_->progs.from_uplink);
        case Program::from_loopback:
            return bpf_program__fd(skeleton_->progs.from_loopback);
        case Program::from_stack:
            break;
    }
    return bpf_program__fd(skeleton_->progs.from_stack);
}

void LoadedDatapath::attach(Program program, unsigned ifindex) {
    Node::note_change();
    bpf_tc_hook hook{};
    hook.sz = sizeof(hook);
    hook.ifindex = static_cast<int>(ifindex);
    const bool egress = program == Program::from_host || program == Program::from_stack;
    hook.attach_point = egress ? BPF_TC_EGRESS : BPF_TC_INGRESS;
    const int made = bpf_tc_hook_create(&hook);
    require(made == -EEXIST ? 0 : made, "make the device's filter hook");  // one for both directions
    bpf_tc_opts options{};
    options.sz = sizeof(options);
    options.prog_fd = descriptor_of(program);
    require(bpf_tc_attach(&hook, &options), "attach the program");
}

Outcome LoadedDatapath::run(Program program, const Bytes& packet, const Context& context) {
    return run(descriptor_of(program), packet, context);
}

Outcome LoadedDatapath::run(int program, const Bytes& packet, const Context& context) {
    Tick::await_after_change();
    __sk_buff skb{};
    skb.ifindex = context.ifindex;
    skb.ingress_ifindex = context.ingress_ifindex;
    skb.gso_size = context.gso_size;
    skb.gso_segs = context.gso_segs;
    skb.priority = context.priority;
    Bytes out(packet.size() + 256);
    bpf_test_run_opts options{};
    options.sz = sizeof(options);
    options.data_in = packet.data();
    options.data_size_in = static_cast<std::uint32_t>(packet.size());
    options.data_out = out.data();
    options.data_size_out = static_cast<std::uint32_t>(out.size());
    options.ctx_in = &skb;
    options.ctx_size_in = sizeof(skb);
    options.ctx_out = &skb;
    options.ctx_size_out = sizeof(skb);
    options.flags = context.summed ? test_run_summed : 0;
    int result = bpf_prog_test_run_opts(program, &options);
    if (result == -EINVAL && options.flags != 0) {
        options.flags = 0;
        result = bpf_prog_test_run_opts(program, &options);
    }
    require(result, result == -EBADMSG ? "keep the sum of the whole packet right" : "run the program");
    out.resize(options.data_size_out);
    return {static_cast<int>(options.retval), std::move(out), skb.priority};
}

void LoadedDatapath::set_sandbox(std::uint32_t ifindex, const sandbox& value) {
    put(skeleton_->maps.sandboxes, ifindex, value);
}

void LoadedDatapath::set_endpoint(const address& key, const endpoint& value) {
    put(skeleton_->maps.endpoints, key, value);
}

void LoadedDatapath::set_network(std::uint32_t id, const network& value) {
    put(skeleton_->maps.networks, id, value);
}

void LoadedDatapath::set_uplink(std::uint32_t ifindex, const uplink& value) {
    put(skeleton_->maps.uplinks, ifindex, value);
}

void LoadedDatapath::set_usage(std::uint32_t slot, const usage& value) {
    put(skeleton_->maps.usage, slot, value);
}

void LoadedDatapath::set_shaper(std::uint32_t slot, const shaper& value) {
    put(skeleton_->maps.shapers, slot, value);
}

usage LoadedDatapath::usage_of(std::uint32_t slot) const {
    usage value{};
    require(bpf_map_lookup_elem(bpf_map__fd(skeleton_->maps.usage), &slot, &value), "usage");
    return value;
}

void LoadedDatapath::set_flow(const flow_key& key, const flow& value) {
    put(skeleton_->maps.flows, key, value);
}

void LoadedDatapath::set_publishing(std::uint32_t value) {
    put(skeleton_->maps.publishing, std::uint32_t{0}, value);
}

void LoadedDatapath::set_published_port(std::uint16_t port, bool value) {
    put(skeleton_->maps.published_ports, std::uint32_t{port} % CAUSEWAY_PUBLISHED_PLACES, std::uint32_t{value});
}

void LoadedDatapath::set_loopback_ports(const loopback_ports& value) {
    put(skeleton_->maps.loopback, std::uint32_t{0}, value);
}

void LoadedDatapath::set_departures(std::uint32_t value) {
    put(skeleton_->maps.departures, std::uint32_t{0}, value);
}

void LoadedDatapath::remove_sandbox(std::uint32_t ifindex) {
    remove(skeleton_->maps.sandboxes, &ifindex);
}

void LoadedDatapath::set_host_ports(const host_ports& value) {
    put(skeleton_->maps.host_ports, std::uint32_t{0}, value);
}

void LoadedDatapath::set_identification(std::uint32_t next) {
    put(skeleton_->maps.identifications, std::uint32_t{0}, next);
}

void LoadedDatapath::clear() {
    const auto& maps = skeleton_->maps;
    zero(maps.ageing, 0, 1);  // stops the timer, so that nobody else changes what follows
    ageing_turn turn{};
    while (bpf_map_lookup_and_delete_elem(bpf_map__fd(maps.ageing_turns), nullptr, &turn) == 0) {
    }
    for (const bpf_map* map : {maps.flows, maps.trains, maps.held_fragments, maps.exhausted, maps.sandboxes,
                               maps.endpoints, maps.uplinks, maps.shapers}) {
        remove_all(map);
    }
    for (const bpf_map* map : {maps.usage, maps.traffic}) {
        zero(map, 0, slots_in_use);
    }
    zero(maps.networks, 0, CAUSEWAY_NETWORKS_MAX);
    zero(maps.verdicts, 0, VERDICT_COUNT);
    zero(maps.host_ports, 0, 1);
    zero(maps.publishing, 0, 1);
    zero(maps.departures, 0, 1);
    zero(maps.identifications, 0, 1);
    zero(maps.fragments_of_sandboxes, 0, bpf_map__max_entries(maps.fragments_of_sandboxes));
    start_ageing();
}

VerdictCounts LoadedDatapath::verdicts() const {
    VerdictCounts counts{};
    for (std::uint32_t verdict = 0; verdict < VERDICT_COUNT; ++verdict) {
        for (std::uint64_t count : values_per_cpu<std::uint64_t>(skeleton_->maps.verdicts, verdict)) {
            counts[verdict] += count;
        }
    }
    return counts;
}

traffic LoadedDatapath::traffic_of(std::uint32_t slot) const {
    traffic sum{};
    for (const traffic& one : values_per_cpu<traffic>(skeleton_->maps.traffic, slot)) {
        sum.sent_packets += one.sent_packets;
        sum.sent_bytes += one.sent_bytes;
        sum.received_packets += one.received_packets;
        sum.received_bytes += one.received_bytes;
        sum.dropped_packets += one.dropped_packets;
    }
    return sum;
}

std::optional<flow> LoadedDatapath::flow_at(const flow_key& key) const {
    flow value{};
    const int result = bpf_map_lookup_elem(bpf_map__fd(skeleton_->maps.flows), &key, &value);
    if (result == -ENOENT) {
        return std::nullopt;
    }
    require(result, "flows");
    return value;
}

void LoadedDatapath::remove_flow(const flow_key& key) {
    remove(skeleton_->maps.flows, &key);
}

void LoadedDatapath::clear_flows() {
    remove_all(skeleton_->maps.flows);
}

std::uint64_t LoadedDatapath::ageing_turns() const {
    const std::uint32_t key = 0;
    ageing value{};
    require(bpf_map_lookup_elem(bpf_map__fd(skeleton_->maps.ageing), &key, &value), "ageing");
    return value.turns;
}

std::vector<FlowEntry> LoadedDatapath::flows() const {
    std::vector<FlowEntry> entries;
    for (const Bytes& bytes : keys_of(skeleton_->maps.flows)) {
        flow_key key{};
        std::memcpy(&key, bytes.data(), sizeof(key));
        if (const auto value = flow_at(key)) {
            entries.emplace_back(key, *value);
        }
    }
    return entries;
}

std::size_t LoadedDatapath::trains() const {
    return keys_of(skeleton_->maps.trains).size();
}

std::size_t LoadedDatapath::held_fragments() const {
    return keys_of(skeleton_->maps.held_fragments).size();
}

void LoadedDatapath::backdate_trains(std::uint32_t seconds) {
    const bpf_map* map = skeleton_->maps.trains;
    for (const Bytes& key : keys_of(map)) {
        fragment_train train{};
        require(bpf_map_lookup_elem(bpf_map__fd(map), key.data(), &train), "trains");
        train.begun -= std::uint64_t{seconds} * 1'000'000'000;
        require(bpf_map_update_elem(bpf_map__fd(map), key.data(), &train, BPF_EXIST), "trains");
    }
}

address address_of(Ip ip) {
    return {{0, 0, htonl(0xffff), htonl(ip.value)}};
}

address address_of(const Ip6& ip) {
    address value{};
    static_assert(sizeof(value) == sizeof(ip.bytes));
    std::memcpy(&value, ip.bytes.data(), sizeof(value));
    return value;
}

std::uint16_t network_order(std::uint16_t port) {
    return htons(port);
}

std::string name_of(verdict value) {
    switch (value) {
#define X(name, text)    \
    case VERDICT_##name: \
        return "VERDICT_" #name;
        CAUSEWAY_VERDICTS(X)
#undef X
        default:
            return "no verdict: " + std::to_string(static_cast<unsigned>(value));
    }
}

}  // namespace causeway::test
