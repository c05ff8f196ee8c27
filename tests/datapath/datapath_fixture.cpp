// SPDX-License-Identifier: Apache-2.0
// Fills the maps as the control plane would, and judges how a packet ended.
#include "tests/datapath/datapath_fixture.hpp"

#include <linux/pkt_cls.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "tests/datapath/fragments.hpp"

namespace causeway::test {
namespace {

void copy(__u8 (&to)[6], const Mac& from) {
    std::ranges::copy(from.bytes, to);
}

network new_network() {
    network value{};
    std::strcpy(value.name, "sandboxes");
    std::strcpy(value.device, "cw0");
    value.subnets[0] = {address_of(ip_gateway), 24};
    value.subnets[1] = {address_of(ip6_of(ip_gateway)), 120};
    value.ifindex = gateway_device;
    value.flags = NETWORK_MASQUERADE;
    value.mtu = 1500;
    value.port_min = 30000;
    value.port_max = 60000;
    copy(value.mac, mac_gateway);
    std::ranges::fill(value.timeout, 600U);
    value.flows_max = 100'000;
    return value;
}

sandbox_link link_of(std::uint32_t ifindex, const Mac& mac) {
    sandbox_link value{.ifindex = ifindex,
                       .slot = static_cast<std::uint16_t>(ifindex)};  // a slot is any number of one's own
    copy(value.mac, mac);
    copy(value.gateway_mac, mac_gateway);
    return value;
}

endpoint endpoint_on(std::uint32_t ifindex, endpoint_kind kind, const Mac& mac) {
    endpoint value{};
    value.claim = kind == ENDPOINT_GATEWAY ? 0 : 0xc1a1 + ifindex;
    value.link = link_of(ifindex, mac);
    value.network = network_id;
    value.kind = kind;
    return value;
}

int action_of(enum verdict verdict) {
    switch (verdict) {
        case VERDICT_CONTINUE:
        case VERDICT_PASS_STACK:
        case VERDICT_PASS_TRANSLATED:
            return TC_ACT_UNSPEC;
        case VERDICT_FRAGMENT_HELD:
        case VERDICT_FRAGMENTS_REPLAYED:
        case VERDICT_TO_GROUP:
            return TC_ACT_SHOT;
        default:
            return verdict >= VERDICT_FIRST_DROP ? TC_ACT_SHOT : TC_ACT_REDIRECT;
    }
}

// Loading takes a third of a second: tests that load the same use it one after the other.
std::shared_ptr<LoadedDatapath> loaded(const LoadOptions& options) {
    if (options.apart) {
        return std::make_shared<LoadedDatapath>(options);
    }
    static std::map<std::pair<std::uint32_t, std::uint32_t>, std::shared_ptr<LoadedDatapath>> shared;
    std::shared_ptr<LoadedDatapath>& one = shared[{options.flow_entries, options.flows}];
    if (one) {
        one->clear();
    } else {
        one = std::make_shared<LoadedDatapath>(options);
    }
    return one;
}

Program program_of(From from) {
    switch (from) {
        case From::host:
            return Program::from_host;
        case From::uplink:
            return Program::from_uplink;
        case From::forwarder:
            return Program::from_stack;
        case From::itself:
            return Program::from_loopback;
        default:
            return Program::from_sandbox;
    }
}

unsigned device_of(From from) {
    switch (from) {
        case From::sandbox_a:
            return host_a;
        case From::sandbox_b:
            return host_b;
        case From::host:
            return gateway_device;
        case From::uplink:
        case From::forwarder:
            return uplink_device;
        case From::itself:
            return 1;  // lo, of every network namespace
        case From::unknown_link:
            break;
    }
    return lan_device;
}

// "VERDICT_TO_SANDBOX", or what else the counters say.
std::string counted_between(const VerdictCounts& before, const VerdictCounts& after) {
    std::string text;
    for (std::size_t i = 0; i < before.size(); ++i) {
        if (after[i] != before[i]) {
            text += (text.empty() ? "" : " and ") + name_of(static_cast<enum verdict>(i));
            if (after[i] != before[i] + 1) {
                text += " " + std::to_string(after[i] - before[i]) + " times";
            }
        }
    }
    return text.empty() ? "nothing" : text;
}

}  // namespace

void PrintTo(const Row& row, std::ostream* out) {
    *out << row.name;
}

std::string name_of_row(const testing::TestParamInfo<FamilyRow>& info) {
    return std::string(info.param.second.name) + (info.param.first == Family::ipv6 ? "_IPv6" : "");
}

std::string name_of_family(const testing::TestParamInfo<Family>& info) {
    return info.param == Family::ipv6 ? "IPv6" : "IPv4";
}

Row only_ipv4(Row row) {
    row.only = Family::ipv4;
    return row;
}

Row only_ipv6(Row row) {
    row.only = Family::ipv6;
    return row;
}

sandbox sandbox_at(Ip ip, std::uint32_t ifindex, const Mac& mac) {
    sandbox value{};
    value.address[FAMILY_IPV4] = address_of(ip);
    value.address[FAMILY_IPV6] = address_of(ip6_of(ip));
    value.network = network_id;
    value.gateway[FAMILY_IPV4] = address_of(ip_gateway);
    value.gateway[FAMILY_IPV6] = address_of(ip6_of(ip_gateway));
    value.gateway_ifindex = gateway_device;
    value.mtu = 1500;
    value.link = link_of(ifindex, mac);
    return value;
}

uplink uplink_at(Ip ip) {
    return {{address_of(ip), address_of(ip6_of(ip))}};
}

IPv4 of_protocol(IPv4 ip, std::uint8_t protocol) {
    ip.protocol = protocol;
    return ip;
}

address DatapathTest::address_of(Ip ip) const {
    return family() == Family::ipv6 ? test::address_of(ip6_of(ip)) : test::address_of(ip);
}

void DatapathTest::set_sysctl(const std::string& name, const std::string& value) const {
    test::set_sysctl(family() == Family::ipv6 ? "ipv6" + name.substr(name.find('/')) : name, value);
}

std::vector<Frame> DatapathTest::fragments_of(const Frame& whole, std::size_t size) const {
    return test::fragments_of(in_family(whole, family()), size);
}

std::vector<Frame> DatapathTest::fragments_of(const Frame& whole, std::size_t size,
                                              std::uint16_t identification) const {
    return test::fragments_of(in_family(whole, family()), size, identification);
}

flow_key DatapathTest::key_of(std::uint8_t protocol, Ip source, std::uint16_t source_port, Ip destination,
                              std::uint16_t destination_port, std::uint32_t scope) const {
    flow_key key{};
    key.source = address_of(source);
    key.destination = address_of(destination);
    key.source_port = network_order(source_port);
    key.destination_port = network_order(destination_port);
    key.scope = scope;
    key.protocol = protocol_in(protocol, family());
    return key;
}

flow_key DatapathTest::published_key(std::uint8_t protocol, Ip at, std::uint16_t port) const {
    flow_key key{};
    key.destination = address_of(at);
    key.destination_port = network_order(port);
    key.protocol = protocol;
    return key;
}

void DatapathTest::publish(std::uint8_t protocol, Ip at, std::uint16_t port) {
    flow value{};
    value.address = address_of(ip_a);
    value.port = network_order(service);
    value.link = sandbox_at(ip_a, host_a, mac_a).link;
    value.flags = FLOW_OPEN;
    value.network = network_id;
    datapath_->set_flow(published_key(protocol, at, port), value);
    datapath_->set_publishing(1);
}

void DatapathTest::set_endpoint(Ip ip, const endpoint& value) {
    datapath_->set_endpoint(test::address_of(ip), value);
    datapath_->set_endpoint(test::address_of(ip6_of(ip)), value);
}

void DatapathTest::load(const LoadOptions& options) {
    if (node_ == nullptr) {
        node_ = &Node::shared(family());
    }
    datapath_.reset();
    datapath_ = loaded(options);
    network_ = new_network();
    datapath_->set_network(network_id, network_);
    datapath_->set_sandbox(host_a, sandbox_at(ip_a, host_a, mac_a));
    datapath_->set_sandbox(host_b, sandbox_at(ip_b, host_b, mac_b));
    set_endpoint(ip_gateway, endpoint_on(gateway_device, ENDPOINT_GATEWAY, mac_gateway));
    set_endpoint(ip_a, endpoint_on(host_a, ENDPOINT_SANDBOX, mac_a));
    set_endpoint(ip_b, endpoint_on(host_b, ENDPOINT_SANDBOX, mac_b));
    set_endpoint(ip_claimed, endpoint_on(0, ENDPOINT_CLAIMED, Mac{}));
    datapath_->set_uplink(uplink_device, uplink_at(ip_uplink));
    datapath_->set_identification(first_identification);
}

void DatapathTest::give_address_of_a_to_b() {
    datapath_->set_usage(host_a, {.since = CAUSEWAY_NOBODY_SINCE});
    datapath_->set_sandbox(host_b, sandbox_at(ip_a, host_b, mac_b));
    set_endpoint(ip_a, endpoint_on(host_b, ENDPOINT_SANDBOX, mac_b));
}

Outcome DatapathTest::run(From from, const Bytes& packet, enum verdict verdict, Context context, std::string& faults) {
    if (context.ifindex == 0) {
        context.ifindex = device_of(from);
    }
    if (from == From::forwarder && !context.ingress_ifindex) {
        context.ingress_ifindex = gateway_device;
    }
    const std::optional<Bytes> answer = expected_answer(program_of(from), packet, verdict, route_answer_);
    context.summed = from == From::uplink && !answer;  // as by many a network card; of what is sent nobody reads it
    const int action = answer ? TC_ACT_REDIRECT : action_of(verdict);
    const VerdictCounts before = datapath_->verdicts();
    Outcome outcome = datapath_->run(program_of(from), packet, context);
    const std::string counted = counted_between(before, datapath_->verdicts());
    const std::string expected = verdict == VERDICT_CONTINUE ? "nothing" : name_of(verdict);
    if (counted != expected) {
        faults += "  counted: expected " + expected + ", got " + counted + "\n";
    }
    if (outcome.action != action) {
        faults += "  TC action: expected " + std::to_string(action) + ", got " + std::to_string(outcome.action) + "\n";
    }
    if (answer) {
        faults += difference(*answer, outcome.packet);
    }
    return outcome;
}

Outcome DatapathTest::expect_verdict(From from, const Frame& in, enum verdict verdict, const Context& context) {
    const Bytes packet = bytes_of(in);
    std::string faults;
    Outcome outcome = run(from, packet, verdict, context, faults);
    EXPECT_EQ(faults, "") << "packet in:\n" << describe(packet);
    return outcome;
}

void DatapathTest::expect_packet(From from, const Frame& in, enum verdict verdict, const Frame& out,
                                 const Context& context) {
    const Bytes packet = bytes_of(in);
    std::string faults;
    const Outcome outcome = run(from, packet, verdict, context, faults);
    if (!expected_answer(program_of(from), packet, verdict, route_answer_)) {
        faults += difference(bytes_of(out), outcome.packet);
    }
    if (wrong_checksums(packet).empty()) {
        faults += wrong_checksums(outcome.packet);
    }
    EXPECT_EQ(faults, "") << "packet in:\n" << describe(packet);
}

void DatapathTest::expect_row(const Row& row) {
    expect_packet(row.from, row.in, row.verdict, row.out.value_or(row.in), row.context);
}

std::uint16_t DatapathTest::port_in_world(From from, const Frame& in) {
    const Outcome outcome = expect_verdict(from, in, VERDICT_TO_WORLD);
    return source_port_of(outcome.packet).value_or(0);
}

}  // namespace causeway::test
