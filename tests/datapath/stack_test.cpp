// SPDX-License-Identifier: Apache-2.0
// What the host's stack sends out of an uplink: a sandbox's is translated or goes no further, all else is left alone.
#include "tests/datapath/datapath_fixture.hpp"
#include "tests/datapath/fragments.hpp"

namespace causeway::test::stack_test {
namespace {

constexpr std::uint16_t own_port = 40000, inside = 1000, outside = 50000;

constexpr Ethernet at_router{.source = mac_uplink, .destination = mac_router};

// As the stack forwards it: a hop further already.
const IPv4 forwarded{.source = ip_a, .destination = ip_server, .ttl = 63},
    translated{.source = ip_uplink, .destination = ip_server, .ttl = 63};

const Row rows[] = {
    {"IsTranslatedWhenItIsTcp", From::forwarder, at_router / forwarded / TCP{}, VERDICT_PASS_TRANSLATED,
     at_router / translated / TCP{}},
    {"IsTranslatedWhenItIsUdp", From::forwarder, at_router / forwarded / UDP{} / Payload{"odd"},
     VERDICT_PASS_TRANSLATED, at_router / translated / UDP{} / Payload{"odd"}},
    {"IsTranslatedWhenItIsAPing", From::forwarder, at_router / forwarded / ICMP{}, VERDICT_PASS_TRANSLATED,
     at_router / translated / ICMP{}},
    {"IsTranslatedWhenItIsUdpLite", From::forwarder, at_router / forwarded / UdpLite{} / Payload{"odd"},
     VERDICT_PASS_TRANSLATED, at_router / translated / UdpLite{} / Payload{"odd"}},
    {"IsTranslatedWhateverItsTtl", From::forwarder,
     at_router / IPv4{.source = ip_a, .destination = ip_server, .ttl = 1} / UDP{}, VERDICT_PASS_TRANSLATED,
     at_router / IPv4{.source = ip_uplink, .destination = ip_server, .ttl = 1} / UDP{}},
    {"IsTranslatedWhenItIsLargerThanTheLinkForTheStackHasSeenToThat", From::forwarder,
     at_router / forwarded / UDP{} / Payload{std::string(1473, 'x')}, VERDICT_PASS_TRANSLATED,
     at_router / translated / UDP{} / Payload{std::string(1473, 'x')}},

    {"GoesNoFurtherWhenItIsAnAnswerToAPing", From::forwarder, at_router / forwarded / ICMP{.type = icmp_echo_reply},
     VERDICT_DROP_NO_FLOW},
    {"GoesNoFurtherWhenItIsASegmentOfNoConnection", From::forwarder, at_router / forwarded / TCP{.flags = rst},
     VERDICT_DROP_NO_FLOW},
    {"GoesNoFurtherWhenItsIcmpTypeCannotBeTranslated", From::forwarder, at_router / forwarded / ICMP{.type = 200},
     VERDICT_DROP_PROTOCOL},
    {"GoesNoFurtherWhenItIsAnErrorAboutNothing", From::forwarder,
     at_router / forwarded / IcmpError{} / IPv4{.source = ip_server, .destination = ip_a} / UDP{53, 40000},
     VERDICT_DROP_NO_FLOW},
    {"GoesNoFurtherWhenItsTcpHeaderIsMalformed", From::forwarder, at_router / forwarded / TCP{.header_words = 4},
     VERDICT_DROP_BAD_HEADER},

    {"IsLeftAloneWhenItIsTheHostsOwnAddress", From::forwarder,
     at_router / IPv4{.source = ip_uplink, .destination = ip_server} / UDP{}, VERDICT_PASS_STACK},
    {"IsLeftAloneWhenItIsAnotherHosts", From::forwarder,
     at_router / IPv4{.source = "10.9.0.5"_ip, .destination = ip_server} / UDP{}, VERDICT_PASS_STACK},
    {"IsLeftAloneWhenItIsTheGateways", From::forwarder,
     at_router / IPv4{.source = ip_gateway, .destination = ip_server} / UDP{}, VERDICT_PASS_STACK},
    {"IsLeftAloneWhenItsHeaderIsMalformed", From::forwarder,
     at_router / IPv4{.source = ip_a, .destination = ip_server, .version = 6} / UDP{}, VERDICT_PASS_STACK},
    {"IsLeftAloneUncountedWhenItIsArp", From::forwarder,
     at_router / Arp{.sender_mac = mac_uplink, .sender = ip_uplink, .target = ip_router}, VERDICT_CONTINUE},
};

class FromStack : public DatapathTable {};

TEST_P(FromStack, Packet) {
    expect_this_row();
}
INSTANTIATE_TEST_SUITE_P(, FromStack, testing::ValuesIn(in_each_family(rows)), name_of_row);

class Forwarded : public InEachFamily {};

TEST_P(Forwarded, IsOfTheSameFlowAsWhatTheSandboxSendsStraight) {
    configure([](network& network) { network.port_min = network.port_max = outside; });
    const IPv4 ip{.source = ip_a, .destination = ip_server};
    expect_verdict(From::sandbox_a, from_a / ip / UDP{inside, 53}, VERDICT_TO_WORLD);
    expect_packet(From::forwarder, at_router / forwarded / UDP{inside, 53}, VERDICT_PASS_TRANSLATED,
                  at_router / translated / UDP{outside, 53});
    EXPECT_EQ(datapath_->flows().size(), 2U);
    expect_packet(From::uplink, from_world / IPv4{.source = ip_server, .destination = ip_uplink} / UDP{53, outside},
                  VERDICT_TO_SANDBOX,
                  at_a / IPv4{.source = ip_server, .destination = ip_a, .ttl = 63} / UDP{53, inside});
}

TEST_P(Forwarded, IsTranslatedFragmentByFragment) {
    configure([](network& network) { network.port_min = network.port_max = outside; });
    const Payload text{std::string(200, 'x')};
    const auto in = fragments_of(at_router / forwarded / UDP{inside, 53} / text, 80);
    const auto out = fragments_of(at_router / translated / UDP{outside, 53} / text, 80, first_identification);
    ASSERT_EQ(in.size(), 3U);
    for (std::size_t i = 0; i < in.size(); ++i) {
        expect_packet(From::forwarder, in[i], VERDICT_PASS_TRANSLATED, out[i]);
    }
    EXPECT_EQ(datapath_->trains(), 0U);
}

TEST_P(Forwarded, GoesNoFurtherWhenTheSandboxMayOpenNoFlow) {
    configure([](network& network) { network.flows_max = 0; });
    expect_packet(From::forwarder, at_router / forwarded / UDP{}, VERDICT_DROP_FLOW_QUOTA,
                  at_router / forwarded / UDP{});
}

TEST_P(Forwarded, GoesNoFurtherWhenTheWayHasChanged) {
    run_ip("route add blackhole 198.51.100.0/24\n");
    expect_verdict(From::forwarder, at_router / forwarded / UDP{}, VERDICT_DROP_NO_ROUTE);
}

TEST_P(Forwarded, KeepsTheSandboxsAddressWhenNothingIsTranslated) {
    configure([](network& network) { network.flags = 0; });
    expect_packet(From::forwarder, at_router / forwarded / UDP{own_port, 53}, VERDICT_PASS_TRANSLATED,
                  at_router / forwarded / UDP{own_port, 53});
}

// What the host itself sends brings no device that it came in by.
TEST_P(Forwarded, IsNotWhatTheHostItselfSends) {
    const Bytes packet = bytes_of(at_router / forwarded / TCP{.flags = rst});
    const VerdictCounts before = datapath_->verdicts();
    const Outcome outcome = datapath_->run(Program::from_stack, packet, {.ifindex = uplink_device});
    EXPECT_EQ(outcome.action, -1);  // TC_ACT_UNSPEC
    EXPECT_EQ(difference(packet, outcome.packet), "");
    EXPECT_EQ(datapath_->verdicts(), before);
}

RUN_IN_EACH_FAMILY(Forwarded);

}  // namespace
}  // namespace causeway::test::stack_test
