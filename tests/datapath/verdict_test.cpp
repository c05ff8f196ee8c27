// SPDX-License-Identifier: Apache-2.0
// One way, at least, for a packet to end in each verdict: a verdict with no case here is a failure.
#include <algorithm>
#include <map>

#include "tests/datapath/datapath_fixture.hpp"

namespace causeway::test::verdict_test {
namespace {

const Frame to_server = from_a / IPv4{.source = ip_a, .destination = ip_server} / TCP{};

// A later fragment of some packet of A's to the world.
Frame fragment(std::uint16_t offset) {
    return from_a /
           IPv4{.source = ip_a,
                .destination = ip_server,
                .protocol = udp_protocol,
                .dont_fragment = false,
                .more_fragments = true,
                .fragment_offset = offset} /
           Payload{"12345678"};
}

std::vector<Frame> as_many_fragments_as_are_held() {
    std::vector<Frame> frames;
    for (std::uint16_t i = 1; i <= CAUSEWAY_HELD_OF_ONE_MAX; ++i) {
        frames.push_back(fragment(i));
    }
    return frames;
}

Frame ping_server(std::uint16_t identifier) {
    return from_a / IPv4{.source = ip_a, .destination = ip_server} / ICMP{.identifier = identifier};
}

// By unicast.
Frame solicits(const Ip6& target, std::uint8_t hop_limit = 255) {
    return from_a / IPv6{.source = ip6_of(ip_a), .destination = target, .hop_limit = hop_limit} /
           Neighbour{.target = target, .source_link = mac_a};
}

const Frame to_all = Ethernet{.source = mac_a, .destination = mac_broadcast} /
                     IPv4{.source = ip_a, .destination = "255.255.255.255"_ip} / UDP{};

struct Case {
    enum verdict verdict;
    From from;
    Frame in;
    const char* routes = "";         // for `ip`, before all packets
    std::vector<Frame> before = {};  // that A has sent
    const char* later_routes = "";   // for `ip`, between those and the packet
    std::uint32_t flow_entries = 2 * CAUSEWAY_FLOWS_DEFAULT;
    void (*change)(network&) = [](network&) {};
    std::uint16_t link_flags = 0;  // of A
    ::shaper shaper{};             // likewise
};

const Case cases[] = {
    {VERDICT_PASS_STACK, From::uplink, from_world / IPv4{.source = ip_server, .destination = ip_uplink} / TCP{}},
    {VERDICT_TO_SANDBOX, From::sandbox_a, from_a / IPv4{.source = ip_a, .destination = ip_b} / TCP{}},
    {VERDICT_TO_HOST, From::sandbox_a, from_a / IPv4{.source = ip_a, .destination = ip_gateway} / TCP{}},
    {VERDICT_TO_WORLD, From::sandbox_a, to_server},
    {VERDICT_PASS_TRANSLATED, From::forwarder, to_server},
    {VERDICT_FRAGMENT_HELD, From::sandbox_a, fragment(1)},
    {VERDICT_FRAGMENTS_REPLAYED,
     From::sandbox_a,
     from_a / IPv4{.source = ip_a, .destination = ip_server, .dont_fragment = false, .more_fragments = true} / UDP{},
     "",
     {fragment(1)}},
    {VERDICT_ARP_ANSWERED, From::sandbox_a, from_a / Arp{.sender_mac = mac_a, .sender = ip_a, .target = ip_gateway}},
    {VERDICT_ND_ANSWERED, From::sandbox_a, solicits(ip6_of(ip_gateway))},
    {VERDICT_DROP_TRUNCATED, From::sandbox_a, to_server.cut(53)},
    {VERDICT_DROP_BAD_HEADER, From::sandbox_a,
     from_a / IPv4{.source = ip_a, .destination = ip_server, .version = 6} / TCP{}},
    {VERDICT_DROP_BAD_CHECKSUM,
     From::uplink,
     from_world / IPv4{.source = ip_router, .destination = ip_uplink} / IcmpError{.checksum = 1} /
         IPv4{.source = ip_uplink, .destination = ip_server} / TCP{},
     "",
     {to_server}},
    {VERDICT_DROP_EXTENSION_HEADER, From::sandbox_a,
     from_a / IPv6{.source = ip6_of(ip_a), .destination = ip6_of(ip_b)} / Extension{} / Extension{.kind = hop_by_hop} /
         UDP{}},
    {VERDICT_DROP_ETHERTYPE, From::sandbox_a,
     Ethernet{.source = mac_a, .destination = mac_gateway, .type = 0x88cc} / Payload{"x"}},
    {VERDICT_DROP_BAD_ARP, From::sandbox_a, from_a / Arp{.operation = arp_reply, .sender_mac = mac_a, .sender = ip_a}},
    {VERDICT_DROP_ARP_NO_ANSWER, From::sandbox_a,
     from_a / Arp{.sender_mac = mac_a, .sender = ip_a, .target = ip_unused}},
    {VERDICT_DROP_BAD_ND, From::sandbox_a, solicits(ip6_of(ip_gateway), 64)},
    {VERDICT_DROP_ND_NO_ANSWER, From::sandbox_a, solicits(ip6_of(ip_unused))},
    {VERDICT_DROP_UNKNOWN_SANDBOX, From::unknown_link, to_server},
    {VERDICT_DROP_SPOOFED_MAC, From::sandbox_a, from_b / IPv4{.source = ip_a, .destination = ip_server} / TCP{}},
    {VERDICT_DROP_SPOOFED_ADDRESS, From::sandbox_a, from_a / IPv4{.source = ip_b, .destination = ip_server} / TCP{}},
    {VERDICT_DROP_SPOOFED_ARP, From::sandbox_a, from_a / Arp{.sender_mac = mac_b, .sender = ip_a, .target = ip_b}},
    {VERDICT_DROP_NOT_GATEWAY_MAC, From::sandbox_a,
     Ethernet{.source = mac_a, .destination = mac_b} / IPv4{.source = ip_a, .destination = ip_b} / TCP{}},
    {VERDICT_DROP_MULTICAST, From::sandbox_a,
     Ethernet{.source = mac_a, .destination = mac_broadcast} / IPv4{.source = ip_a, .destination = ip_b} / TCP{}},
    {.verdict = VERDICT_TO_GROUP, .from = From::sandbox_a, .in = to_all, .link_flags = LINK_MULTICAST},
    {.verdict = VERDICT_DROP_BAD_DHCP,
     .from = From::sandbox_a,
     .in = from_a / IPv4{.source = ip_a, .destination = ip_gateway} / UDP{68, 67} / Payload{"in nobody's name"},
     .link_flags = LINK_DHCP},
    {.verdict = VERDICT_DROP_MULTICAST_RATE,
     .from = From::sandbox_a,
     .in = to_all,
     .before = {to_all, to_all},
     .change = [](network& network) { network.multicast_per_second = 1; },
     .link_flags = LINK_MULTICAST},
    {VERDICT_DROP_NO_ENDPOINT, From::host,
     from_the_host / IPv4{.source = ip_gateway, .destination = ip_unused} / TCP{}},
    {VERDICT_DROP_UNSOLICITED, From::uplink, from_world / IPv4{.source = ip_server, .destination = ip_a} / TCP{}},
    {VERDICT_DROP_TTL_EXPIRED, From::sandbox_a,
     from_a / IPv4{.source = ip_a, .destination = ip_server, .ttl = 1} / TCP{}},
    {VERDICT_DROP_NO_ROUTE, From::sandbox_a, to_server, "route add blackhole 198.51.100.0/24\n"},
    {VERDICT_DROP_NO_UPLINK, From::sandbox_a, to_server, "route add 198.51.100.0/24 via 10.9.0.9\n"},
    {VERDICT_DROP_NO_SOURCE, From::sandbox_a, to_server,
     "address flush dev cw0\naddress flush dev lan0\naddress flush dev up0\nroute add default dev up0\n"},
    {VERDICT_DROP_TOO_BIG, From::sandbox_a, to_server / Payload{std::string(1461, 'x')}},
    {VERDICT_DROP_FRAGMENT, From::sandbox_a, fragment(CAUSEWAY_HELD_OF_ONE_MAX + 1), "",
     as_many_fragments_as_are_held()},
    {VERDICT_DROP_PROTOCOL, From::sandbox_a,
     from_a / IPv4{.source = ip_a, .destination = ip_server} / ICMP{.type = 200}},
    {VERDICT_DROP_NO_FLOW, From::sandbox_a,
     from_a / IPv4{.source = ip_a, .destination = ip_server} / TCP{.flags = syn | ack}},
    {VERDICT_DROP_STALE_SOURCE,
     From::sandbox_a,
     to_server,
     "",
     {to_server},
     "address add 203.0.113.7/24 dev up0\nroute add 198.51.100.0/24 via 203.0.113.254 src 203.0.113.7\n"},
    {.verdict = VERDICT_DROP_FLOW_QUOTA,
     .from = From::sandbox_a,
     .in = to_server,
     .change = [](network& network) { network.flows_max = 0; }},
    {.verdict = VERDICT_DROP_FLOW_RATE,
     .from = From::sandbox_a,
     .in = to_server,
     .before = {ping_server(1), ping_server(2), ping_server(3)},
     .change = [](network& network) { network.flows_per_second = 1; }},
    {.verdict = VERDICT_DROP_NO_PORT,
     .from = From::sandbox_a,
     .in = to_server,
     .before = {from_a / IPv4{.source = ip_a, .destination = ip_server} / TCP{.source_port = 40001}},
     .change = [](network& network) { network.port_min = network.port_max = 40001; }},
    {.verdict = VERDICT_DROP_ISOLATED,
     .from = From::sandbox_a,
     .in = from_a / IPv4{.source = ip_a, .destination = ip_b} / TCP{},
     .link_flags = LINK_ISOLATED},
    {.verdict = VERDICT_DROP_SHAPED,
     .from = From::sandbox_a,
     .in = to_server,
     .before = {to_server},
     .link_flags = LINK_POLICED,
     .shaper = {.policed_rate = 1}},
    {.verdict = VERDICT_DROP_TABLE_FULL, .from = From::sandbox_a, .in = to_server, .flow_entries = 1},
};

// What no packet can end in, here or in a whole system, and why it is there nevertheless.
const std::map<enum verdict, const char*> out_of_reach = {
    {VERDICT_CONTINUE, "no end: a program that counted it would have forgotten to decide"},
    {VERDICT_DROP_REWRITE, "each place written was read before, so only a kernel out of memory refuses"},
    {VERDICT_DROP_REDIRECT, "the kernel refuses only flags and sizes that no program passes"},
};

class Verdict : public DatapathTest, public testing::WithParamInterface<Case> {};

TEST_P(Verdict, IsReached) {
    const Case& one = GetParam();
    load({.flow_entries = one.flow_entries});
    route_answer_.pointer = 48;  // the second header of the packet with too many
    run_ip(one.routes);
    configure(one.change);
    auto sandbox = sandbox_at(ip_a, host_a, mac_a);
    sandbox.link.flags = one.link_flags;
    datapath_->set_sandbox(host_a, sandbox);
    datapath_->set_shaper(sandbox.link.slot, one.shaper);
    for (const Frame& frame : one.before) {
        datapath_->run(Program::from_sandbox, frame.bytes(), {.ifindex = host_a});
    }
    run_ip(one.later_routes);
    expect_verdict(one.from, one.in, one.verdict);
}

INSTANTIATE_TEST_SUITE_P(, Verdict, testing::ValuesIn(cases), [](const auto& of) { return name_of(of.param.verdict); });

TEST(EveryVerdict, IsReachedOrHasAReasonWhyItIsNot) {
    for (unsigned i = 0; i < VERDICT_COUNT; ++i) {
        const auto verdict = static_cast<enum verdict>(i);
        const bool reached = std::ranges::count(cases, verdict, &Case::verdict) == 1;
        EXPECT_NE(reached, out_of_reach.contains(verdict)) << name_of(verdict);
    }
}

}  // namespace
}  // namespace causeway::test::verdict_test
