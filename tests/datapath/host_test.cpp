// SPDX-License-Identifier: Apache-2.0
// What the host itself sends, where a sandbox's flow has its port (or a ping's identifier) towards that peer already.
#include "tests/datapath/datapath_fixture.hpp"
#include "tests/datapath/fragments.hpp"

namespace causeway::test::host_test {
namespace {

constexpr std::uint16_t own = 40000, outside = 50000, peer = 53;

constexpr Ethernet at_router{.source = mac_uplink, .destination = mac_router};
constexpr IPv4 asks{.source = ip_uplink, .destination = ip_server},
    answers{.source = ip_server, .destination = ip_uplink, .ttl = 50};

using Speech = std::tuple<Family, std::uint8_t>;

class HostsOwn : public DatapathTest, public testing::WithParamInterface<Speech> {
protected:
    // A's flow towards the server has the port; what has to get another gets the only one of the range.
    void SetUp() override {
        DatapathTest::SetUp();
        EXPECT_EQ(port_in_world(From::sandbox_a, ask(from_a / IPv4{.source = ip_a, .destination = ip_server}, own)),
                  own);
        configure([](network& network) { network.port_min = network.port_max = outside; });
    }

    Family family() const override { return std::get<0>(GetParam()); }
    bool is_ping() const { return std::get<1>(GetParam()) == icmp_protocol; }

    Frame ask(const Frame& ip, std::uint16_t port) const {
        const Payload text{std::string(200, 'x')};
        if (is_ping()) {
            return ip / ICMP{.identifier = port} / text;
        }
        return std::get<1>(GetParam()) == tcp_protocol ? ip / TCP{port, peer} / text : ip / UDP{port, peer} / text;
    }

    Frame answer(const Frame& ip, std::uint16_t port) const {
        const Payload text{std::string(200, 'y')};
        if (is_ping()) {
            return ip / ICMP{.type = icmp_echo_reply, .identifier = port} / text;
        }
        return std::get<1>(GetParam()) == tcp_protocol
                   ? ip / TCP{.source_port = peer, .destination_port = port, .flags = syn | ack} / text
                   : ip / UDP{peer, port} / text;
    }

    // The host sends it: it leaves so.
    void expect_sent(const Frame& in, const Frame& out) {
        const Outcome outcome = datapath_->run(Program::from_stack, bytes_of(in), {.ifindex = uplink_device});
        EXPECT_EQ(difference(bytes_of(out), outcome.packet), "");
        EXPECT_EQ(outcome.action, -1);  // TC_ACT_UNSPEC
    }
};

TEST_P(HostsOwn, GetsAnotherPortOnItsWayOutAndItsOwnBack) {
    expect_sent(ask(at_router / asks, own), ask(at_router / asks, outside));
    expect_packet(From::uplink, answer(from_world / answers, outside), VERDICT_PASS_TRANSLATED,
                  answer(from_world / answers, own));
    expect_packet(From::uplink, answer(from_world / answers, own), VERDICT_TO_SANDBOX,
                  answer(at_a / IPv4{.source = ip_server, .destination = ip_a, .ttl = 49}, own));
}

TEST_P(HostsOwn, GoesOnWhenTheNetworkIsGoneWhoseRangeItsPortIsOf) {
    expect_sent(ask(at_router / asks, own), ask(at_router / asks, outside));
    datapath_->set_network(network_id, {});
    for (auto& [key, value] : datapath_->flows()) {
        value.last_seen -= 10'000'000'000;
        datapath_->set_flow(key, value);
    }
    expect_packet(From::uplink, answer(from_world / answers, outside), VERDICT_PASS_TRANSLATED,
                  answer(from_world / answers, own));
}

TEST_P(HostsOwn, IsLeftAloneWhenTheSandboxesFlowHasAnotherPortOrPeer) {
    const Frame elsewhere = ask(at_router / IPv4{.source = ip_uplink, .destination = ip_server_2}, own);
    expect_sent(elsewhere, elsewhere);
    expect_sent(ask(at_router / asks, own + 1), ask(at_router / asks, own + 1));
    EXPECT_EQ(datapath_->flows().size(), 2U);
}

// The first of the fragments has what the checksum of all covers.
TEST_P(HostsOwn, GetsItInFragmentsToo) {
    const auto sent = fragments_of(ask(at_router / asks, own), 80),
               seen = fragments_of(ask(at_router / asks, outside), 80);
    const auto back = fragments_of(answer(from_world / answers, outside), 80),
               heard = fragments_of(answer(from_world / answers, own), 80);
    for (std::size_t i = 0; i < sent.size(); ++i) {
        expect_sent(sent[i], seen[i]);
    }
    for (std::size_t i = 0; i < back.size(); ++i) {
        expect_packet(From::uplink, back[i], VERDICT_PASS_TRANSLATED, heard[i]);
    }
}

TEST_P(HostsOwn, IsQuotedInErrorsAsTheHostHasSentIt) {
    expect_sent(ask(at_router / asks, own), ask(at_router / asks, outside));
    const IPv4 from_router{.source = ip_router, .destination = ip_uplink};
    expect_packet(From::uplink, ask(from_world / from_router / IcmpError{} / asks, outside), VERDICT_PASS_TRANSLATED,
                  ask(from_world / from_router / IcmpError{} / asks, own));
    const IPv4 from_neighbour{.source = ip_router, .destination = ip_uplink, .ttl = 1};  // and no hop further
    expect_packet(From::uplink, ask(from_world / from_neighbour / IcmpError{} / asks, outside), VERDICT_PASS_TRANSLATED,
                  ask(from_world / from_neighbour / IcmpError{} / asks, own));
}

// One that either side has ended, and that the host begins anew from the same port.
class HostsConnection : public InEachFamily {};

TEST_P(HostsConnection, HasNoneOfItsPastWhenItBeginsAnew) {
    expect_verdict(From::sandbox_a, from_a / IPv4{.source = ip_a, .destination = ip_server} / TCP{own, peer},
                   VERDICT_TO_WORLD);
    configure([](network& network) { network.port_min = network.port_max = outside; });
    const auto sends = [&](std::uint8_t flags) {
        datapath_->run(Program::from_stack, bytes_of(at_router / asks / TCP{own, peer, flags}),
                       {.ifindex = uplink_device});
    };
    const auto hears = [&](std::uint8_t flags) {
        expect_verdict(From::uplink, from_world / answers / TCP{peer, outside, flags}, VERDICT_PASS_TRANSLATED);
    };
    const auto seen = [&](std::uint32_t scope) {
        const auto key = scope != 0 ? key_of(tcp_protocol, ip_uplink, own, ip_server, peer, scope)
                                    : key_of(tcp_protocol, ip_server, peer, ip_uplink, outside, 0);
        return datapath_->flow_at(key).value_or(flow{}).seen;
    };
    constexpr std::uint32_t of_host = 0xffffffff;
    sends(syn);
    hears(syn | ack);
    sends(fin | ack);
    hears(fin | ack);
    EXPECT_EQ(seen(of_host) & seen(0) & SEEN_FIN, SEEN_FIN);
    sends(syn);
    EXPECT_EQ(seen(of_host), SEEN_SYN);
    EXPECT_EQ(seen(0), 0U);
}

RUN_IN_EACH_FAMILY(HostsConnection);

// Of a protocol without ports there is but one flow with each peer.
class HostsTunnel : public InEachFamily {};

TEST_P(HostsTunnel, TakesThePlaceOfASandboxes) {
    const auto of_gre = [](const Frame& link, IPv4 ip) {
        return link / of_protocol(ip, gre_protocol) / Payload{"tunnelled"};
    };
    const Frame sandboxes = of_gre(from_a, {.source = ip_a, .destination = ip_server}), hosts = of_gre(at_router, asks),
                answer = of_gre(from_world, answers);
    expect_verdict(From::sandbox_a, sandboxes, VERDICT_TO_WORLD);
    expect_verdict(From::uplink, answer, VERDICT_TO_SANDBOX);
    for (int i = 0; i < 2; ++i) {
        const auto sent = datapath_->run(Program::from_stack, bytes_of(hosts), {.ifindex = uplink_device});
        EXPECT_EQ(difference(bytes_of(hosts), sent.packet), "");
        EXPECT_EQ(sent.action, -1);  // TC_ACT_UNSPEC
        expect_packet(From::uplink, answer, VERDICT_PASS_TRANSLATED, answer);
        expect_verdict(From::sandbox_a, sandboxes, VERDICT_DROP_NO_PORT);
    }
    EXPECT_EQ(datapath_->usage_of(host_a).ended, 1U);
}

RUN_IN_EACH_FAMILY(HostsTunnel);

INSTANTIATE_TEST_SUITE_P(, HostsOwn,
                         testing::Combine(testing::Values(Family::ipv4, Family::ipv6),
                                          testing::Values(tcp_protocol, udp_protocol, icmp_protocol)),
                         [](const auto& of) {
                             const std::uint8_t protocol = std::get<1>(of.param);
                             return (std::get<0>(of.param) == Family::ipv6 ? "IPv6_" : "IPv4_") +
                                    std::string(protocol == tcp_protocol   ? "tcp"
                                                : protocol == udp_protocol ? "udp"
                                                                           : "icmp");
                         });

class HostsOwnMessage : public InEachFamily {};

// An identifier of 0 is as good as any, and what has none looks like it.
TEST_P(HostsOwnMessage, IsLeftAloneWhenItIsNoQuery) {
    expect_verdict(From::sandbox_a, from_a / IPv4{.source = ip_a, .destination = ip_server} / ICMP{.identifier = 0},
                   VERDICT_TO_WORLD);
    for (const Frame& frame : {Frame(at_router / asks / ICMP{.type = icmp_echo_reply, .identifier = 0}),
                               Frame(at_router / asks / IcmpError{} / answers / UDP{peer, own})}) {
        const Outcome outcome = datapath_->run(Program::from_stack, bytes_of(frame), {.ifindex = uplink_device});
        EXPECT_EQ(difference(bytes_of(frame), outcome.packet), "");
        EXPECT_EQ(datapath_->flows().size(), 2U);
    }
}

RUN_IN_EACH_FAMILY(HostsOwnMessage);

}  // namespace
}  // namespace causeway::test::host_test
