// SPDX-License-Identifier: Apache-2.0
#include "bench/program.hpp"

#include <bpf/bpf.h>
#include <linux/pkt_cls.h>
#include <net/if.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

#include "bench/median.hpp"
#include "bench/socket.hpp"
#include "bench/worker.hpp"
#include "tests/support/packet.hpp"
#include "userspace/address.hpp"
#include "userspace/datapath.hpp"

namespace causeway::bench {
namespace {

using test::Bytes;
using test::operator""_mac;

constexpr int repeats = 20'000, single_runs = 2'000;
constexpr std::uint16_t peer_port = 53, own_port = 40'000;

Datapath open_datapath() {
    auto datapath = Datapath::open();
    if (!datapath) {
        throw std::runtime_error(datapath.error().message);
    }
    return std::move(*datapath);
}

Address address_of(const std::string& text) {
    const auto parsed = Address::parse(text);
    if (!parsed) {
        throw std::runtime_error(parsed.error().message);
    }
    return *parsed;
}

test::Mac mac_of(const std::string& text) {
    const auto parsed = Mac::parse(text);
    if (!parsed) {
        throw std::runtime_error(parsed.error().message);
    }
    return {parsed->bytes};
}

// Nanoseconds of one run, as the kernel averages over all of them.
double run(int program, const Bytes& packet, std::uint32_t ifindex, int times) {
    __sk_buff context{};
    context.ifindex = ifindex;
    bpf_test_run_opts options{};
    options.sz = sizeof options;
    options.data_in = packet.data();
    options.data_size_in = static_cast<std::uint32_t>(packet.size());
    options.ctx_in = &context;
    options.ctx_size_in = sizeof context;
    options.repeat = times;
    if (bpf_prog_test_run_opts(program, &options) != 0) {
        fail("BPF_PROG_TEST_RUN");
    }
    if (static_cast<int>(options.retval) != TC_ACT_REDIRECT) {
        throw std::runtime_error("a test packet was not delivered: the program returned " +
                                 std::to_string(static_cast<int>(options.retval)));
    }
    return options.duration;
}

// A packet that a program changes is another one in the next run, so these come one by one.
double run_singly(int program, const Bytes& packet, std::uint32_t ifindex) {
    std::vector<double> nanoseconds;
    for (int i = 0; i < single_runs; ++i) {
        nanoseconds.push_back(run(program, packet, ifindex, 1));
    }
    return median(std::move(nanoseconds));
}

// A sandbox's link, as the kernel shows it.
struct Link {
    std::uint32_t ifindex;  // of its host end
    test::Mac own, gateway;
};

// What `ip` says of a device.
nlohmann::json device(const std::string& netns, const std::vector<std::string>& which) {
    std::vector<std::string> command = {"ip", "-json", "link", "show"};
    command.insert(command.end(), which.begin(), which.end());
    return nlohmann::json::parse(test::must_run(command, {.netns = netns})).at(0);
}

Link link_of(const std::string& netns) {
    const nlohmann::json inside = device(netns, {"dev", "eth0"});
    const std::uint32_t ifindex = inside.at("link_index");
    std::array<char, IF_NAMESIZE> name{};
    if (!if_indextoname(ifindex, name.data())) {
        fail("find the host end of a sandbox's link");
    }
    const nlohmann::json host_end = device("", {"dev", name.data()});  // it has the gateway's MAC
    return {ifindex, mac_of(inside.at("address")), mac_of(host_end.at("address"))};
}

test::Layer ip_header(const Address& source, const Address& destination) {
    if (source.is_ipv4()) {
        test::IPv4 header;
        for (std::size_t i = 0; i < source.size(); ++i) {
            header.source.value = header.source.value << 8 | source.bytes()[i];
            header.destination.value = header.destination.value << 8 | destination.bytes()[i];
        }
        return header;
    }
    test::IPv6 header;
    std::copy_n(source.bytes(), source.size(), header.source.bytes.begin());
    std::copy_n(destination.bytes(), destination.size(), header.destination.bytes.begin());
    return header;
}

Bytes udp_packet(const test::Ethernet& link, const std::string& source, const std::string& destination,
                 test::UDP ports) {
    const std::string payload(sizeof(Message), 'x');
    return (link / ip_header(address_of(source), address_of(destination)) / ports / test::Payload{payload}).bytes();
}

// Changes each `from` in the bytes of an entry, wherever it is; throws if it is nowhere.
void change_mac(endpoint& entry, const test::Mac& from, const test::Mac& to) {
    auto* const begin = reinterpret_cast<std::uint8_t*>(&entry);
    auto* const end = begin + sizeof entry;
    auto* at = std::search(begin, end, from.bytes.begin(), from.bytes.end());
    if (at == end) {
        throw std::runtime_error("the second sandbox's entry does not have its link's MACs");
    }
    for (; at != end; at = std::search(at + from.bytes.size(), end, from.bytes.begin(), from.bytes.end())) {
        std::ranges::copy(to.bytes, at);
    }
}

// So that a packet is after a run what it was before: an address that lives in the second sandbox, behind a link on
// which the sender's own MAC is the gateway's, and the gateway's the receiver's.
double time_to_sandbox(const Datapath& datapath, const Path& path, const Link& sender) {
    const std::string mirror = path.address.contains(':') ? "fd00:1::fffa" : "10.0.15.250";  // the subnet's far end
    auto entry = datapath.endpoints.find(address_of(path.address).raw());
    if (!entry) {
        throw std::runtime_error("the second sandbox is in no map");
    }
    constexpr test::Mac placeholder = "06:06:06:06:06:06"_mac;
    change_mac(*entry, sender.gateway, placeholder);
    change_mac(*entry, link_of(path.server).own, sender.gateway);
    change_mac(*entry, placeholder, sender.own);
    if (const auto put = datapath.endpoints.put(address_of(mirror).raw(), *entry, "a test endpoint"); !put) {
        throw std::runtime_error(put.error().message);
    }
    const Bytes packet = udp_packet({.source = sender.own, .destination = sender.gateway}, path.seen_as, mirror,
                                    {.source_port = own_port, .destination_port = peer_port});
    return run(datapath.from_sandbox.get(), packet, sender.ifindex, repeats);
}

std::array<double, 4> measure(const Network& network) {
    const Datapath datapath = open_datapath();
    const Path& path = network.sandbox_to_sandbox;
    const Link sender = link_of(path.client);
    const Path& outwards = network.sandbox_to_world;

    const Bytes request = udp_packet({.source = sender.own, .destination = sender.gateway}, path.seen_as,
                                     outwards.address, {.source_port = own_port, .destination_port = peer_port});
    const Bytes reply =
        udp_packet({.source = "02:00:cb:00:71:02"_mac, .destination = "02:00:cb:00:71:01"_mac}, outwards.address,
                   outwards.seen_as, {.source_port = peer_port, .destination_port = own_port});
    return {time_to_sandbox(datapath, path, sender), run_singly(datapath.from_sandbox.get(), request, sender.ifindex),
            run_singly(datapath.from_uplink.get(), reply, if_nametoindex("up0"))};
}

struct Count {
    std::uint64_t nanoseconds, runs;
};

Count count_of(int program) {
    bpf_prog_info info{};
    std::uint32_t length = sizeof info;
    if (bpf_obj_get_info_by_fd(program, &info, &length) != 0) {
        fail("read a program's statistics");
    }
    return {info.run_time_ns, info.run_cnt};
}

}  // namespace

std::map<std::string, double> program_times(const Network& network, int cpu) {
    Worker worker(cpu, [&] { return Sample{.values = measure(network)}; });
    const Sample sample = worker.result(10 * patience);
    return {{"program_sandbox", sample.values[0]},
            {"program_world", sample.values[1]},
            {"program_uplink", sample.values[2]}};
}

std::map<Program, double> program_times_under(const std::function<void()>& load) {
    const Datapath datapath = open_datapath();
    const std::map<Program, int> programs = {{Program::from_sandbox, datapath.from_sandbox.get()},
                                             {Program::from_host, datapath.from_host.get()},
                                             {Program::from_uplink, datapath.from_uplink.get()}};
    const UniqueFd statistics(bpf_enable_stats(BPF_STATS_RUN_TIME));  // on until it is closed
    if (!statistics) {
        fail("enable the kernel's BPF statistics");
    }
    std::map<Program, Count> before;
    for (const auto& [program, fd] : programs) {
        before[program] = count_of(fd);
    }
    load();
    std::map<Program, double> times;
    for (const auto& [program, fd] : programs) {
        const Count after = count_of(fd);
        if (const std::uint64_t runs = after.runs - before[program].runs) {
            times[program] =
                static_cast<double>(after.nanoseconds - before[program].nanoseconds) / static_cast<double>(runs);
        }
    }
    return times;
}

}  // namespace causeway::bench
