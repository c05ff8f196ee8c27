// SPDX-License-Identifier: Apache-2.0
// What the world sends to a sandbox's own address: let in where the network says so, from peers that see that address.
#include <vector>

#include "tests/datapath/datapath_fixture.hpp"
#include "tests/datapath/fragments.hpp"

namespace causeway::test::inbound_test {
namespace {

constexpr std::uint16_t port = 5000;

const IPv4 to_a{.source = ip_server, .destination = ip_a, .ttl = 50},
    arrived{.source = ip_server, .destination = ip_a, .ttl = 49}, from_inside{.source = ip_a, .destination = ip_server},
    left{.source = ip_a, .destination = ip_server, .ttl = 63};

class Inbound : public InEachFamily {
protected:
    void SetUp() override {
        InEachFamily::SetUp();
        configure([](network& network) { network.flags = NETWORK_INBOUND; });
    }

    // A packet of the world's, and what the sandbox answers: neither is changed but for its TTL.
    template <typename Asked, typename Answered>
    void expect_both_ways(const Asked& asked, const Answered& answered, std::optional<std::uint8_t> protocol = {}) {
        const auto ip = [&](IPv4 header) { return protocol ? of_protocol(header, *protocol) : header; };
        expect_packet(From::uplink, from_world / ip(to_a) / asked, VERDICT_TO_SANDBOX, at_a / ip(arrived) / asked);
        expect_packet(From::sandbox_a, from_a / ip(from_inside) / answered, VERDICT_TO_WORLD,
                      from_a / ip(left) / answered);
    }

    static Frame syn_to(Ip to, Ip peer = ip_server) {
        return from_world / IPv4{.source = peer, .destination = to} / TCP{port, service};
    }
    void expect_nothing_opened() const {
        EXPECT_TRUE(datapath_->flows().empty());
        EXPECT_EQ(datapath_->usage_of(host_a).flows, 0U);
    }
};

TEST_P(Inbound, OpensAConnectionToTheSandboxsOwnAddress) {
    expect_both_ways(TCP{port, service}, TCP{service, port, syn | ack});
    expect_both_ways(TCP{port, service, ack}, TCP{service, port, ack});
    expect_both_ways(TCP{port, service, fin | ack}, TCP{service, port, fin | ack});
    const auto sent = datapath_->flow_at(key_of(tcp_protocol, ip_a, service, ip_server, port, host_a));
    const auto replied = datapath_->flow_at(key_of(tcp_protocol, ip_server, port, ip_a, service, 0));
    ASSERT_TRUE(sent && replied);
    EXPECT_EQ(sent->flags, FLOW_FROM_WORLD);
    EXPECT_EQ(replied->flags, FLOW_FROM_WORLD);
    EXPECT_EQ(datapath_->flows().size(), 2U);
    EXPECT_EQ(datapath_->usage_of(host_a).flows, 1U);
    EXPECT_EQ(datapath_->ageing_turns(), 1U);
}

TEST_P(Inbound, CarriesWhatHasPortsAndWhatHasNone) {
    expect_both_ways(UDP{port, service}, UDP{service, port});
    expect_both_ways(UdpLite{port, service}, UdpLite{service, port});
    expect_both_ways(SCTP{port, service}, SCTP{service, port});
    expect_both_ways(Payload{"a tunnel"}, Payload{"and back"}, gre_protocol);
}

TEST_P(Inbound, AnswersQueries) {
    for (const std::uint16_t identifier : {std::uint16_t{7}, std::uint16_t{0}}) {
        expect_both_ways(ICMP{.identifier = identifier}, ICMP{.type = icmp_echo_reply, .identifier = identifier});
    }
    expect_verdict(From::sandbox_a, from_a / from_inside / ICMP{.type = icmp_echo_reply, .identifier = 8},
                   VERDICT_DROP_NO_FLOW);
}

// Both ends ask by one identifier: two flows, or with 0 one for both.
TEST_P(Inbound, MayBeAskedByWhomItAsks) {
    for (const std::uint16_t identifier : {std::uint16_t{7}, std::uint16_t{0}}) {
        const ICMP request{.identifier = identifier}, reply{.type = icmp_echo_reply, .identifier = identifier};
        expect_packet(From::sandbox_a, from_a / from_inside / request, VERDICT_TO_WORLD, from_a / left / request);
        expect_both_ways(request, reply);
        expect_packet(From::uplink, from_world / to_a / reply, VERDICT_TO_SANDBOX, at_a / arrived / reply);
    }
}

TEST_P(Inbound, TakesFragmentsAndHoldsThoseThatComeBeforeTheFirst) {
    IPv4 in = to_a, out = arrived;
    in.dont_fragment = out.dont_fragment = false;
    const Payload text{std::string(90, 'x')};
    const auto sent = fragments_of(from_world / in / UDP{port, service} / text, 40),
               delivered = fragments_of(at_a / out / UDP{port, service} / text, 40);
    ASSERT_EQ(sent.size(), delivered.size());
    for (std::size_t i = 0; i < sent.size(); ++i) {
        expect_packet(From::uplink, sent[i], VERDICT_TO_SANDBOX, delivered[i]);
    }
    const auto late = fragments_of(from_world / in / UDP{port, service} / text, 40, 0x7777);
    expect_verdict(From::uplink, late[1], VERDICT_FRAGMENT_HELD);
}

TEST_P(Inbound, HearsOfErrorsOnEitherSide) {
    expect_both_ways(UDP{port, service}, UDP{service, port});
    const Frame refused = from_a / from_inside / IcmpError{.code = 3} / to_a / UDP{port, service};
    expect_packet(From::sandbox_a, refused, VERDICT_TO_WORLD,
                  from_a / left / IcmpError{.code = 3} / to_a / UDP{port, service});
    const IPv4 from_router{.source = ip_router, .destination = ip_a},
        at_sandbox{.source = ip_router, .destination = ip_a, .ttl = 63};
    const IcmpError too_big{.code = 4, .rest = 1300};
    expect_packet(From::uplink, from_world / from_router / too_big / left / UDP{service, port}, VERDICT_TO_SANDBOX,
                  at_a / at_sandbox / too_big / left / UDP{service, port});
}

TEST_P(Inbound, HearsOfErrorsAboutQueriesAndTheirReplies) {
    const ICMP request{.identifier = 7}, reply{.type = icmp_echo_reply, .identifier = 7};
    const IcmpError error{.code = 1};
    expect_both_ways(request, reply);
    expect_packet(From::sandbox_a, from_a / from_inside / error / to_a / request, VERDICT_TO_WORLD,
                  from_a / left / error / to_a / request);
    expect_packet(From::uplink, from_world / to_a / error / left / reply, VERDICT_TO_SANDBOX,
                  at_a / arrived / error / left / reply);
}

TEST_P(Inbound, EndsWhenItIsIdle) {
    configure([](network& network) { network.timeout[FLOW_ICMP] = network.timeout[FLOW_UDP] = 1; });
    expect_both_ways(ICMP{.identifier = 7}, ICMP{.type = icmp_echo_reply, .identifier = 7});
    expect_both_ways(UDP{port, service}, UDP{service, port});
    wait_until([&] { return datapath_->flows().empty() && datapath_->usage_of(host_a).flows == 0; });
}

TEST_P(Inbound, IsNotLetInUnlessTheNetworkSaysSo) {
    configure([](network& network) { network.flags = 0; });
    for (const Frame& frame : {syn_to(ip_a), from_world / to_a / UDP{port, service}, from_world / to_a / ICMP{},
                               from_world / of_protocol(to_a, gre_protocol) / Payload{"odd"}}) {
        expect_packet(From::uplink, frame, VERDICT_DROP_UNSOLICITED, frame);
    }
    expect_nothing_opened();
}

TEST_P(Inbound, IsForPeersThatSeeTheAddressOnly) {
    configure([&](network& network) {
        network.flags = NETWORK_INBOUND | NETWORK_MASQUERADE;
        network.unmasqueraded[0] = {address_of(ip_server_2), {{~0U, ~0U, ~0U, ~0U}}};
        network.unmasqueraded_count = 1;
    });
    expect_verdict(From::uplink, syn_to(ip_a, ip_server), VERDICT_DROP_UNSOLICITED);
    expect_nothing_opened();
    expect_verdict(From::uplink, syn_to(ip_a, ip_server_2), VERDICT_TO_SANDBOX);
}

// Inside, a source address is to be believed; and what is the host's or a group's sends nothing from outside.
TEST_P(Inbound, IsForNobodyWhoClaimsAnAddressOfInsideOrOneThatNobodyHas) {
    for (const Ip claimed : {ip_a, ip_b, ip_gateway, ip_uplink, "10.9.0.1"_ip, "224.0.0.9"_ip}) {
        for (const std::uint8_t ttl : {std::uint8_t{50}, std::uint8_t{1}}) {  // nor is it told anything
            const IPv4 ip{.source = claimed, .destination = ip_a, .ttl = ttl};
            expect_verdict(From::uplink, from_world / ip / UDP{port, service}, VERDICT_DROP_UNSOLICITED);
        }
    }
    expect_nothing_opened();
}

// A port that is published on all of the host's addresses is on none of a sandbox's.
TEST_P(Inbound, ReachesTheSandboxWhateverAnotherHasPublished) {
    publish(tcp_protocol, Ip{}, service);  // A's
    expect_packet(From::uplink, syn_to(ip_b), VERDICT_TO_SANDBOX,
                  at_b / IPv4{.source = ip_server, .destination = ip_b, .ttl = 63} / TCP{port, service});
    configure([](network& network) { network.flags = 0; });
    expect_verdict(From::uplink, from_world / IPv4{.source = ip_server_2, .destination = ip_b} / TCP{port, service},
                   VERDICT_DROP_UNSOLICITED);
}

TEST_P(Inbound, IsNotLetInWithAPortThatHasThePublishedOneOfTheSame) {
    publish(tcp_protocol, ip_uplink, 8080);
    expect_verdict(From::uplink, from_world / IPv4{.source = ip_server, .destination = ip_uplink} / TCP{port, 8080},
                   VERDICT_TO_SANDBOX);
    expect_verdict(From::uplink, syn_to(ip_a), VERDICT_DROP_NO_PORT);
    EXPECT_EQ(datapath_->usage_of(host_a).flows, 1U);
}

TEST_P(Inbound, ReachesNoAddressButASandboxs) {
    for (const Ip other : {ip_gateway, ip_claimed, ip_unused}) {
        expect_packet(From::uplink, syn_to(other), VERDICT_PASS_STACK, syn_to(other));
    }
    expect_nothing_opened();
}

TEST_P(Inbound, IsNotOpenedByWhatOpensNoConnection) {
    for (const std::uint8_t flags : {std::uint8_t{syn | ack}, rst, std::uint8_t{fin | ack}, std::uint8_t{0}}) {
        expect_verdict(From::uplink, from_world / to_a / TCP{port, service, flags}, VERDICT_DROP_UNSOLICITED);
    }
    expect_verdict(From::uplink, from_world / to_a / ICMP{.type = icmp_echo_reply}, VERDICT_DROP_UNSOLICITED);
    expect_nothing_opened();
}

// As traceroute sees it: the gateway, and then the sandbox.
TEST_P(Inbound, IsAnsweredByTheGatewayWhenTheTtlIsUsedUp) {
    IPv4 last_hop = to_a;
    last_hop.ttl = 1;
    expect_verdict(From::uplink, from_world / last_hop / UDP{port, service}, VERDICT_DROP_TTL_EXPIRED);
    expect_nothing_opened();
    expect_verdict(From::uplink, from_world / to_a / UDP{port, service}, VERDICT_TO_SANDBOX);
    expect_verdict(From::uplink, from_world / last_hop / UDP{port, service}, VERDICT_DROP_TTL_EXPIRED);
}

TEST_P(Inbound, TakesOfTheSandboxsQuota) {
    configure([](network& network) { network.flows_max = 1; });
    expect_verdict(From::uplink, from_world / to_a / UDP{port, service}, VERDICT_TO_SANDBOX);
    expect_verdict(From::uplink, from_world / to_a / UDP{port + 1, service}, VERDICT_DROP_FLOW_QUOTA);
    expect_verdict(From::uplink, from_world / to_a / UDP{port, service}, VERDICT_TO_SANDBOX);
    EXPECT_EQ(datapath_->usage_of(host_a).flows, 1U);
}

// A client that uses its port again.
TEST_P(Inbound, BeginsAnewWhenTheConnectionIsOver) {
    for (int i = 0; i < 2; ++i) {
        expect_both_ways(TCP{port, service}, TCP{service, port, syn | ack});
        expect_both_ways(TCP{port, service, fin | ack}, TCP{service, port, fin | ack});
    }
    expect_verdict(From::uplink, syn_to(ip_a), VERDICT_TO_SANDBOX);
    EXPECT_EQ(datapath_->flow_at(key_of(tcp_protocol, ip_server, port, ip_a, service, 0)).value_or(flow{}).seen,
              SEEN_SYN);
}

// The address has another holder, and the timer has not seen the last one's flows yet.
TEST_P(Inbound, ReachesWhoHasTheAddressNow) {
    expect_verdict(From::uplink, syn_to(ip_a), VERDICT_TO_SANDBOX);
    give_address_of_a_to_b();
    const IPv4 last{.source = ip_server, .destination = ip_a, .ttl = 63};
    expect_packet(From::uplink, syn_to(ip_a), VERDICT_TO_SANDBOX, at_b / last / TCP{port, service});
    EXPECT_EQ(datapath_->usage_of(host_b).flows, 1U);
}

// An identifier of 0 stands for "no port" too.
class Replies : public InEachFamily {};

TEST_P(Replies, AreNotLetOutByAQueryOfTheSandboxsOwn) {
    ASSERT_EQ(port_in_world(From::sandbox_a, from_a / from_inside / ICMP{.identifier = 0}), 0);
    expect_verdict(From::sandbox_a, from_a / from_inside / ICMP{.type = icmp_echo_reply, .identifier = 0},
                   VERDICT_DROP_NO_FLOW);
}

RUN_IN_EACH_FAMILY(Inbound);
RUN_IN_EACH_FAMILY(Replies);

}  // namespace
}  // namespace causeway::test::inbound_test
