// SPDX-License-Identifier: Apache-2.0
// What the host's stack forwards to a sandbox by rules of its own: let in where the network says so, and the answers go
// back through the stack.
#include <vector>

#include "tests/datapath/datapath_fixture.hpp"
#include "tests/datapath/fragments.hpp"

namespace causeway::test::forwarded_test {
namespace {

constexpr std::uint16_t port = 5000;
constexpr Ip ip_of_lan = "10.9.0.5"_ip;  // a neighbour by a device that is no uplink

const IPv4 to_a{.source = ip_server, .destination = ip_a}, from_inside{.source = ip_a, .destination = ip_server};
const Context by_lan{.ingress_ifindex = lan_device};

class ForwardedIn : public InEachFamily {
protected:
    void SetUp() override {
        InEachFamily::SetUp();
        configure([](network& network) { network.flags = NETWORK_FORWARDED | NETWORK_MASQUERADE; });
    }

    // The stack has counted the hop already, and counts the answer's.
    template <typename... Layers>
    void expect_in(const IPv4& ip, const Layers&... layers) {
        expect_packet(From::host, (from_the_host / ip / ... / layers), VERDICT_TO_SANDBOX, (at_a / ip / ... / layers),
                      by_lan);
    }
    template <typename... Layers>
    void expect_back(const IPv4& ip, const Layers&... layers) {
        const Frame answer = (from_a / ip / ... / layers);
        expect_packet(From::sandbox_a, answer, VERDICT_TO_HOST, answer);
    }
    template <typename Asked, typename Answered>
    void expect_both_ways(const Asked& asked, const Answered& answered, std::optional<std::uint8_t> protocol = {}) {
        const auto ip = [&](IPv4 header) { return protocol ? of_protocol(header, *protocol) : header; };
        expect_in(ip(to_a), asked);
        expect_back(ip(from_inside), answered);
    }

    void expect_nothing_opened() const {
        EXPECT_TRUE(datapath_->flows().empty());
        EXPECT_EQ(datapath_->usage_of(host_a).flows, 0U);
    }
};

TEST_P(ForwardedIn, IsLetInAndAnsweredThroughTheStack) {
    for (int i = 0; i < 2; ++i) {  // and again by the same port
        expect_both_ways(TCP{port, service}, TCP{service, port, syn | ack});
        expect_both_ways(TCP{port, service, ack}, TCP{service, port, ack});
        expect_back(from_inside, TCP{service, port, ack}, Payload{"more in the same moment"});
        expect_both_ways(TCP{port, service, fin | ack}, TCP{service, port, fin | ack});
    }
    const auto sent = datapath_->flow_at(key_of(tcp_protocol, ip_a, service, ip_server, port, host_a));
    const auto replied = datapath_->flow_at(key_of(tcp_protocol, ip_server, port, ip_a, service, 0));
    ASSERT_TRUE(sent && replied);
    EXPECT_EQ(sent->seen, SEEN_SYN | SEEN_ACK | SEEN_FIN);
    EXPECT_EQ(replied->seen, SEEN_SYN | SEEN_ACK | SEEN_FIN);
    EXPECT_EQ(sent->flags, FLOW_FROM_WORLD | FLOW_FORWARDED);
    EXPECT_EQ(replied->flags, FLOW_FROM_WORLD | FLOW_FORWARDED);
    EXPECT_EQ(datapath_->flows().size(), 2U);
    EXPECT_EQ(datapath_->usage_of(host_a).flows, 1U);
    EXPECT_EQ(datapath_->ageing_turns(), 1U);
}

// A client that uses its port again.
TEST_P(ForwardedIn, BeginsAnewWhenTheConnectionIsOver) {
    expect_both_ways(TCP{port, service}, TCP{service, port, syn | ack});
    expect_both_ways(TCP{port, service, fin | ack}, TCP{service, port, fin | ack});
    expect_in(to_a, TCP{port, service});
    EXPECT_EQ(datapath_->flow_at(key_of(tcp_protocol, ip_server, port, ip_a, service, 0)).value_or(flow{}).seen,
              SEEN_SYN);
}

// Without translation what the stack sends on is seen once more, with the way that it takes.
TEST_P(ForwardedIn, StaysWithTheStackWhereItsAnswersLeaveByAnUplink) {
    configure([](network& network) { network.flags = NETWORK_FORWARDED; });
    const Frame answer = from_a / from_inside / UDP{service, port};
    expect_both_ways(UDP{port, service}, UDP{service, port});
    expect_packet(From::forwarder, answer, VERDICT_PASS_TRANSLATED, answer);
    expect_packet(From::sandbox_a, answer, VERDICT_TO_HOST, answer);
}

TEST_P(ForwardedIn, CarriesWhatHasPortsAndWhatHasNone) {
    expect_both_ways(UDP{port, service}, UDP{service, port});
    expect_both_ways(UdpLite{port, service}, UdpLite{service, port});
    expect_both_ways(SCTP{port, service}, SCTP{service, port});
    expect_both_ways(Payload{"a tunnel"}, Payload{"and back"}, gre_protocol);
    expect_both_ways(ICMP{.identifier = 7}, ICMP{.type = icmp_echo_reply, .identifier = 7});
}

TEST_P(ForwardedIn, IsNotLetInUnlessTheNetworkSaysSo) {
    configure([](network& network) { network.flags = NETWORK_INBOUND; });
    for (const Context& from : {by_lan, Context{.ingress_ifindex = uplink_device}}) {
        expect_verdict(From::host, from_the_host / to_a / TCP{port, service}, VERDICT_DROP_UNSOLICITED, from);
        expect_verdict(From::host, from_the_host / to_a / ICMP{}, VERDICT_DROP_UNSOLICITED, from);
    }
    expect_nothing_opened();
}

TEST_P(ForwardedIn, IsForNobodyButSandboxes) {
    for (const Ip other : {ip_unused, ip_claimed, ip_gateway, ip_server_2}) {
        expect_verdict(From::host, from_the_host / IPv4{.source = ip_server, .destination = other} / UDP{port, service},
                       VERDICT_DROP_UNSOLICITED, by_lan);
    }
    expect_verdict(From::host,
                   Ethernet{.source = mac_gateway, .destination = "01:00:5e:00:00:fb"_mac} /
                       IPv4{.source = ip_server, .destination = "224.0.0.251"_ip} / UDP{port, service},
                   VERDICT_DROP_UNSOLICITED, by_lan);
    expect_nothing_opened();
}

// By a device that is no uplink, where a sandbox's own flow would find no way.
TEST_P(ForwardedIn, IsAnsweredWhereNoUplinkLeads) {
    const IPv4 back{.source = ip_a, .destination = ip_of_lan};
    expect_verdict(From::sandbox_a, from_a / back / UDP{service, port + 1}, VERDICT_DROP_NO_UPLINK);
    expect_in({.source = ip_of_lan, .destination = ip_a}, UDP{port, service});
    expect_back(back, UDP{service, port});
}

TEST_P(ForwardedIn, LeavesWhatTheSandboxBeginsAsItIs) {
    for (const __u32 mapped : {0, int{NETWORK_ENDPOINT_INDEPENDENT}}) {
        configure([&](network& network) { network.flags = NETWORK_FORWARDED | NETWORK_MASQUERADE | mapped; });
        expect_both_ways(UDP{port, service}, UDP{service, port});
        expect_verdict(From::sandbox_a, from_a / from_inside / UDP{service + 1, port}, VERDICT_TO_WORLD);
        expect_verdict(From::sandbox_a, from_a / from_inside / UDP{service, port + 1}, VERDICT_TO_WORLD);
        expect_verdict(From::sandbox_a, from_a / from_inside / ICMP{}, VERDICT_TO_WORLD);
    }
}

// Who guesses a flow's addresses and ports is let in by the stack's rules or not at all.
TEST_P(ForwardedIn, IsNoWayInForWhatComesStraightFromTheWorld) {
    for (const __u32 flags : {NETWORK_FORWARDED | NETWORK_MASQUERADE, NETWORK_FORWARDED | NETWORK_INBOUND}) {
        configure([&](network& network) { network.flags = flags; });
        expect_both_ways(UDP{port, service}, UDP{service, port});
        expect_both_ways(TCP{port, service}, TCP{service, port, syn | ack});
        for (const Frame& frame : {from_world / to_a / UDP{port, service}, from_world / to_a / TCP{port, service, ack},
                                   from_world / to_a / TCP{port, service, rst},
                                   from_world / to_a / IcmpError{.code = 3} / from_inside / UDP{service, port}}) {
            expect_packet(From::uplink, frame, VERDICT_DROP_UNSOLICITED, frame);
        }
    }
}

TEST_P(ForwardedIn, HearsOfErrorsOnEitherSide) {
    expect_both_ways(UDP{port, service}, UDP{service, port});
    expect_back(from_inside, IcmpError{.code = 3}, to_a, UDP{port, service});
    expect_in({.source = ip_router, .destination = ip_a}, IcmpError{.code = 4, .rest = 1300}, from_inside,
              UDP{service, port});
}

TEST_P(ForwardedIn, IsAnsweredInFragmentsThroughTheStack) {
    IPv4 in = to_a, out = from_inside;
    in.dont_fragment = out.dont_fragment = false;
    const Payload text{std::string(90, 'x')};
    const auto asked = fragments_of(from_the_host / in / UDP{port, service} / text, 40),
               arrived = fragments_of(at_a / in / UDP{port, service} / text, 40),
               answered = fragments_of(from_a / out / UDP{service, port} / text, 40),
               late = fragments_of(from_a / out / UDP{service, port} / text, 40, 0x7777);
    ASSERT_EQ(asked.size(), arrived.size());
    for (std::size_t i = 0; i < asked.size(); ++i) {
        expect_packet(From::host, asked[i], VERDICT_TO_SANDBOX, arrived[i], by_lan);
    }
    for (const Frame& fragment : answered) {
        expect_packet(From::sandbox_a, fragment, VERDICT_TO_HOST, fragment);
    }
    EXPECT_EQ(datapath_->usage_of(host_a).fragments, 0U) << "all of the packet has gone";
    expect_verdict(From::sandbox_a, late[1], VERDICT_FRAGMENT_HELD);
    expect_verdict(From::sandbox_a, late[0], VERDICT_FRAGMENTS_REPLAYED);
    expect_packet(From::sandbox_a, late[1], VERDICT_TO_HOST, late[1]);
}

// As a port of the stack's does for a sandbox of the same network: whatever port that gets is not another sandbox's.
TEST_P(ForwardedIn, IsAnsweredThroughTheStackUnderTheHostsAddressToo) {
    publish(udp_protocol, Ip{}, port);  // A's
    for (const Ip address : {ip_gateway, ip_uplink}) {
        const IPv4 in{.source = address, .destination = ip_b}, back{.source = ip_b, .destination = address};
        expect_packet(From::host, from_the_host / in / UDP{port, service}, VERDICT_TO_SANDBOX,
                      at_b / in / UDP{port, service}, by_lan);
        const Frame answer = from_b / back / UDP{service, port};
        expect_packet(From::sandbox_b, answer, VERDICT_TO_HOST, answer);
    }
}

// While nothing is published, all that is sent to the gateway is the stack's anyway.
TEST_P(ForwardedIn, NeedsNoFlowUnderTheGatewaysAddress) {
    expect_in({.source = ip_gateway, .destination = ip_a}, TCP{port, service});
    expect_back({.source = ip_a, .destination = ip_gateway}, TCP{service, port, syn | ack});
    expect_nothing_opened();
}

// The server has spoken first, when the stack had forgotten the client.
TEST_P(ForwardedIn, EndsWhatTheSandboxHasBegunWithTheSamePeer) {
    const Frame own = from_a / from_inside / UDP{service, port};
    expect_verdict(From::sandbox_a, own, VERDICT_TO_WORLD);
    expect_both_ways(UDP{port, service}, UDP{service, port});
    EXPECT_EQ(datapath_->flows().size(), 2U);
}

// Who forges the peer's address ends no connection of the sandbox's with it.
TEST_P(ForwardedIn, EndsNothingThatThePeerHasAnswered) {
    const std::uint16_t seen_as = port_in_world(From::sandbox_a, from_a / from_inside / TCP{service, port});
    const IPv4 to_host{.source = ip_server, .destination = ip_uplink};
    expect_verdict(From::uplink, from_world / to_host / TCP{port, seen_as, syn | ack}, VERDICT_TO_SANDBOX);
    for (const std::uint8_t flags : {syn, ack}) {
        expect_verdict(From::host, from_the_host / to_a / TCP{port, service, flags}, VERDICT_DROP_NO_PORT, by_lan);
    }
    expect_verdict(From::sandbox_a, from_a / from_inside / TCP{service, port, ack}, VERDICT_TO_WORLD);
    expect_verdict(From::uplink, from_world / to_host / TCP{port, seen_as, rst}, VERDICT_TO_SANDBOX);
    expect_both_ways(TCP{port, service}, TCP{service, port, syn | ack});
}

// What a sandbox has asked of a port that leads on from the host.
TEST_P(ForwardedIn, IsLetInWithoutAFlowWhereTheHostAnswers) {
    configure([](network& network) { network.flows_max = 1; });
    expect_in({.source = ip_uplink, .destination = ip_a}, TCP{service, port, syn | ack});
    expect_nothing_opened();
    expect_in(to_a, UDP{port, service});
    expect_in({.source = ip_uplink, .destination = ip_a}, UDP{service, port}, Payload{"no room for another"});
    EXPECT_EQ(datapath_->usage_of(host_a).flows, 1U);
}

// It has been idle for longer than the stack remembers. Under the sandbox's own address nothing leaves.
TEST_P(ForwardedIn, BecomesTheWorldsWhereTheStackHasForgottenIt) {
    const Frame answer = from_a / from_inside / UDP{service, port};
    expect_both_ways(UDP{port, service}, UDP{service, port});
    const Frame error = from_a / from_inside / IcmpError{.code = 3} / to_a / UDP{port, service};
    expect_verdict(From::forwarder, error, VERDICT_DROP_NO_FLOW);
    expect_verdict(From::forwarder, answer, VERDICT_DROP_STALE_SOURCE);
    EXPECT_TRUE(datapath_->flows().empty());
    expect_verdict(From::sandbox_a, answer, VERDICT_TO_WORLD);
    expect_verdict(From::forwarder, answer, VERDICT_PASS_TRANSLATED);
}

TEST_P(ForwardedIn, IsToldOfByErrorsToItsSenderAlone) {
    expect_in({.source = ip_of_lan, .destination = ip_a}, UDP{port, service});
    const IPv4 quoted{.source = ip_of_lan, .destination = ip_a},
        elsewhere{.source = ip_a, .destination = "10.9.0.6"_ip};
    expect_verdict(From::sandbox_a, from_a / elsewhere / IcmpError{.code = 3} / quoted / UDP{port, service},
                   VERDICT_DROP_NO_UPLINK);
    expect_back({.source = ip_a, .destination = ip_of_lan}, IcmpError{.code = 3}, quoted, UDP{port, service});
}

// One port of a client's, by both ways: each answer would have to go by the other's.
TEST_P(ForwardedIn, IsAnotherFlowThanWhatComesStraight) {
    configure([](network& network) { network.flags = NETWORK_FORWARDED | NETWORK_INBOUND; });
    const Frame straight = from_world / to_a / UDP{port, service}, later = from_world / to_a / UDP{port + 1, service};
    expect_verdict(From::uplink, straight, VERDICT_TO_SANDBOX);
    expect_verdict(From::host, from_the_host / to_a / UDP{port, service}, VERDICT_DROP_NO_PORT, by_lan);
    expect_verdict(From::sandbox_a, from_a / from_inside / UDP{service, port}, VERDICT_TO_WORLD);
    expect_both_ways(UDP{port + 1, service}, UDP{service, port + 1});
    expect_packet(From::uplink, later, VERDICT_DROP_UNSOLICITED, later);
}

// It would be answered straight, from an address that it has not asked.
TEST_P(ForwardedIn, IsNotLetInUnderTheAddressOfASandbox) {
    for (const Ip inside : {ip_b, ip_a}) {
        expect_verdict(From::host, from_the_host / IPv4{.source = inside, .destination = ip_a} / UDP{port, service},
                       VERDICT_DROP_UNSOLICITED, {.ingress_ifindex = gateway_device});
    }
    expect_nothing_opened();
}

TEST_P(ForwardedIn, IsOverWhenItIsIdle) {
    configure([](network& network) { network.timeout[FLOW_UDP] = 1; });
    expect_both_ways(UDP{port, service}, UDP{service, port});
    wait_until([&] { return datapath_->flows().empty() && datapath_->usage_of(host_a).flows == 0; });
    expect_verdict(From::sandbox_a, from_a / from_inside / UDP{service, port}, VERDICT_TO_WORLD);
}

TEST_P(ForwardedIn, TakesOfTheSandboxsQuota) {
    configure([](network& network) { network.flows_max = 1; });
    expect_in(to_a, UDP{port, service});
    expect_verdict(From::host, from_the_host / to_a / UDP{port + 1, service}, VERDICT_DROP_FLOW_QUOTA, by_lan);
    expect_both_ways(UDP{port, service}, UDP{service, port});
    EXPECT_EQ(datapath_->usage_of(host_a).flows, 1U);
}

// The address has another holder while its client goes on.
TEST_P(ForwardedIn, ReachesWhoHasTheAddressNow) {
    expect_both_ways(UDP{port, service}, UDP{service, port});
    give_address_of_a_to_b();
    expect_packet(From::host, from_the_host / to_a / UDP{port, service}, VERDICT_TO_SANDBOX,
                  at_b / to_a / UDP{port, service}, by_lan);
    const Frame answer = from_b / from_inside / UDP{service, port};
    expect_packet(From::sandbox_b, answer, VERDICT_TO_HOST, answer);
    EXPECT_EQ(datapath_->usage_of(host_b).flows, 1U);
}

TEST_P(ForwardedIn, IsNotLetInByPortNought) {
    expect_verdict(From::host, from_the_host / to_a / UDP{0, service}, VERDICT_DROP_UNSOLICITED, by_lan);
    expect_nothing_opened();
}

RUN_IN_EACH_FAMILY(ForwardedIn);

}  // namespace
}  // namespace causeway::test::forwarded_test
