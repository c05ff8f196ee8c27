// SPDX-License-Identifier: Apache-2.0
// What the world sends: answers find the sandbox that asked, all else is the host's or nobody's.
#include "tests/datapath/datapath_fixture.hpp"

namespace causeway::test::translate_test {
namespace {

constexpr std::uint16_t own_port = 40000;

const IPv4 asked{.source = ip_a, .destination = ip_server};
const IPv4 answered{.source = ip_server, .destination = ip_uplink, .ttl = 50};  // as it comes in
const IPv4 delivered{.source = ip_server, .destination = ip_a, .ttl = 49};      // as A is to see it

const TCP syn_ack{.source_port = 80, .destination_port = own_port, .flags = syn | ack};
const UDP dns_answer{.source_port = 53, .destination_port = own_port};
const ICMP echo_reply{.type = icmp_echo_reply, .identifier = own_port};

IPv4 to(Ip destination) {
    return {.source = ip_server, .destination = destination};
}

IPv4 with_options(IPv4 ip, std::size_t size) {
    ip.options = Bytes(size, 1);
    return ip;
}

IPv4 with_ttl(IPv4 ip, std::uint8_t ttl) {
    ip.ttl = ttl;
    return ip;
}

Row drop(const char* name, const Frame& in, enum verdict verdict) {
    return {name, From::uplink, in, verdict};
}
Row pass(const char* name, const Frame& in) {
    return {name, From::uplink, in, VERDICT_PASS_STACK};
}
Row deliver(const char* name, const Frame& in, const Frame& out) {
    return {name, From::uplink, in, VERDICT_TO_SANDBOX, out};
}

// A has asked 198.51.100.7 from port (or identifier) 40000: TCP port 80, UDP port 53, ICMP echo.
const Row rows[] = {
    deliver("ReachesTheSandboxWhenItAnswersTcp", from_world / answered / syn_ack, at_a / delivered / syn_ack),
    deliver("ReachesTheSandboxWhenItAnswersUdp", from_world / answered / dns_answer / Payload{"odd"},
            at_a / delivered / dns_answer / Payload{"odd"}),
    deliver("ReachesTheSandboxWhenItAnswersAPing", from_world / answered / echo_reply / Payload{"odd"},
            at_a / delivered / echo_reply / Payload{"odd"}),
    deliver("ReachesTheSandboxWhenTheTcpPortIsUnreachable", from_world / answered / TCP{80, own_port, rst | ack},
            at_a / delivered / TCP{80, own_port, rst | ack}),
    deliver("ReachesTheSandboxWhenItHasIpOptions", from_world / with_options(answered, 12) / syn_ack,
            at_a / with_options(delivered, 12) / syn_ack),
    deliver("ReachesTheSandboxWhenItHasFortyBytesOfIpOptions", from_world / with_options(answered, 40) / dns_answer,
            at_a / with_options(delivered, 40) / dns_answer),
    deliver("ReachesTheSandboxWhenItIsPadded", from_world / answered / dns_answer / Padding{18},
            at_a / delivered / dns_answer / Padding{18}),
    deliver("ReachesTheSandboxWithNoUdpChecksumWhenItHasNone",
            from_world / answered / UDP{.source_port = 53, .destination_port = own_port, .checksum = 0},
            at_a / delivered / UDP{.source_port = 53, .destination_port = own_port, .checksum = 0}),
    deliver("ReachesTheSandboxWithTtlOneWhenItIsTwo", from_world / with_ttl(answered, 2) / syn_ack,
            at_a / with_ttl(delivered, 1) / syn_ack),
    drop("IsDroppedWhenItsTtlIsOne", from_world / with_ttl(answered, 1) / syn_ack, VERDICT_DROP_TTL_EXPIRED),
    drop("IsDroppedWhenItsTtlIsZero", from_world / with_ttl(answered, 0) / syn_ack, VERDICT_DROP_TTL_EXPIRED),

    pass("IsTheHostsWhenItComesFromAnotherPeer",
         from_world / IPv4{.source = ip_server_2, .destination = ip_uplink} / syn_ack),
    pass("IsTheHostsWhenItComesFromAnotherPort", from_world / answered / TCP{81, own_port, syn | ack}),
    pass("IsTheHostsWhenItGoesToAnotherPort", from_world / answered / TCP{80, own_port + 1, syn | ack}),
    pass("IsTheHostsWhenItIsOfAnotherProtocol", from_world / answered / UDP{80, own_port}),
    pass("IsTheHostsWhenThePingIsAnothers",
         from_world / answered / ICMP{.type = icmp_echo_reply, .identifier = own_port + 1}),
    pass("IsTheHostsWhenItIsAPing", from_world / answered / ICMP{.identifier = own_port}),
    pass("IsTheHostsWhenItIsAnIcmpErrorAboutTheHost", from_world / answered / ICMP{.type = icmp_unreachable}),
    pass("IsTheHostsWhenItOpensAConnectionToTheHost", from_world / answered / TCP{55555, 22}),
    pass("IsTheHostsWhenItsTtlIsOneAndNoSandboxAsked", from_world / with_ttl(answered, 1) / TCP{55555, 22}),
    pass("IsTheHostsWhenItIsOfAProtocolWithoutPorts",
         from_world / IPv4{.source = ip_server, .destination = ip_uplink, .protocol = 50} / Payload{"sealed"}),
    pass("IsTheHostsWhenItIsAFirstFragmentThatNobodyAskedFor",
         from_world / IPv4{.source = ip_server_2, .destination = ip_uplink, .more_fragments = true} / dns_answer /
             Payload{std::string(16, 'x')}),
    pass("IsTheHostsWhenItIsALastFragment",
         from_world / IPv4{.source = ip_server, .destination = ip_uplink, .protocol = 17, .fragment_offset = 3} /
             Payload{"rest"}),
    pass("IsTheHostsWhenItGoesToTheGatewaysAddress", from_world / to(ip_gateway) / TCP{55555, 22}),
    pass("IsTheHostsWhenItGoesToAnAddressThatNobodyHas", from_world / to(ip_unused) / TCP{55555, 22}),
    pass("IsTheHostsWhenItGoesToAClaimedAddress", from_world / to(ip_claimed) / TCP{55555, 22}),
    pass("IsTheHostsWhenItGoesToAnotherHost", from_world / to("203.0.113.9"_ip) / TCP{55555, 22}),
    pass("IsTheHostsWhenTheFrameIsForAnotherMac",
         Ethernet{.source = mac_router, .destination = mac_stranger} / answered / syn_ack),
    pass("IsTheHostsWhenTheFrameIsBroadcast",
         Ethernet{.source = mac_router, .destination = mac_broadcast} / answered / syn_ack),
    pass("IsTheHostsWhenItIsArp", Ethernet{.source = mac_router, .destination = mac_broadcast} /
                                      Arp{.sender_mac = mac_router, .sender = ip_router, .target = ip_uplink}),
    pass("IsTheHostsWhenItIsIPv6OfNoVersion",
         Ethernet{.source = mac_router, .destination = mac_uplink, .type = ethertype_ipv6} /
             Payload{std::string(40, '\x40')}),
    pass("IsTheHostsWhenItsHeaderIsMalformed",
         from_world / IPv4{.source = ip_server, .destination = ip_uplink, .version = 5} / syn_ack),
    pass("IsTheHostsWhenItIsTruncated", (from_world / answered / syn_ack).cut(53)),
    drop("IsDroppedWhenItsTcpHeaderIsMalformed",
         from_world / answered /
             TCP{.source_port = 80, .destination_port = own_port, .flags = syn | ack, .header_words = 4},
         VERDICT_DROP_BAD_HEADER),
    pass("IsTheHostsWhenItsTcpHeaderIsMalformedAndItAnswersNobody",
         from_world / answered /
             TCP{.source_port = 80, .destination_port = own_port + 1, .flags = syn | ack, .header_words = 4}),

    drop("IsDroppedWhenItOpensAConnectionToASandbox", from_world / to(ip_a) / TCP{55555, 80}, VERDICT_DROP_UNSOLICITED),
    drop("IsDroppedWhenItSendsUdpToASandbox", from_world / to(ip_b) / UDP{53, own_port}, VERDICT_DROP_UNSOLICITED),
    drop("IsDroppedWhenItPingsASandbox", from_world / to(ip_a) / ICMP{}, VERDICT_DROP_UNSOLICITED),
    drop("IsDroppedWhenItAnswersTheSandboxsOwnAddress", from_world / to(ip_a) / syn_ack, VERDICT_DROP_UNSOLICITED),
    drop("IsDroppedWhenItSendsASandboxAnUnknownProtocol",
         from_world / IPv4{.source = ip_server, .destination = ip_a, .protocol = 47} / Payload{"tunnel"},
         VERDICT_DROP_UNSOLICITED),
    drop("IsHeldWhenItSendsASandboxALaterFragment",
         from_world / IPv4{.source = ip_server, .destination = ip_a, .protocol = 17, .fragment_offset = 3} /
             Payload{"rest"},
         VERDICT_FRAGMENT_HELD),
    drop("IsDroppedWhenItSendsASandboxAFirstFragment",
         from_world / IPv4{.source = ip_server, .destination = ip_a, .more_fragments = true} / dns_answer /
             Payload{std::string(16, 'x')},
         VERDICT_DROP_UNSOLICITED),
    drop("IsDroppedWhenItClaimsToBeAnotherSandbox",
         from_world / IPv4{.source = ip_b, .destination = ip_a} / TCP{55555, 80}, VERDICT_DROP_UNSOLICITED),
};

class FromWorld : public DatapathTable {
protected:
    void SetUp() override {
        DatapathTable::SetUp();
        ASSERT_EQ(port_in_world(From::sandbox_a, from_a / asked / TCP{}), own_port);
        ASSERT_EQ(port_in_world(From::sandbox_a, from_a / asked / UDP{}), own_port);
        ASSERT_EQ(port_in_world(From::sandbox_a, from_a / asked / ICMP{}), own_port);
    }
};

TEST_P(FromWorld, Packet) {
    expect_this_row();
}
INSTANTIATE_TEST_SUITE_P(, FromWorld, testing::ValuesIn(in_each_family(rows)), name_of_row);

class Answer : public InEachFamily {};

TEST_P(Answer, GetsTheSandboxsOwnPortBackWhenItWasChanged) {
    const std::uint16_t port = port_in_world(From::sandbox_a, from_a / asked / TCP{.source_port = 1000});
    ASSERT_NE(port, 1000);
    expect_packet(From::uplink, from_world / answered / TCP{80, port, syn | ack}, VERDICT_TO_SANDBOX,
                  at_a / delivered / TCP{80, 1000, syn | ack});
}

TEST_P(Answer, GetsTheSandboxsOwnIdentifierBackWhenItWasChanged) {
    const Frame of_b = from_b / IPv4{.source = ip_b, .destination = ip_server} / ICMP{.identifier = 7};
    ASSERT_EQ(port_in_world(From::sandbox_b, of_b), 7);
    const std::uint16_t identifier = port_in_world(From::sandbox_a, from_a / asked / ICMP{.identifier = 7});
    ASSERT_NE(identifier, 7);
    expect_packet(
        From::uplink, from_world / answered / ICMP{.type = icmp_echo_reply, .identifier = identifier} / Payload{"odd"},
        VERDICT_TO_SANDBOX, at_a / delivered / ICMP{.type = icmp_echo_reply, .identifier = 7} / Payload{"odd"});
}

TEST_P(Answer, GetsTheSandboxsOwnPortBackWithNoChecksumWhenThereIsNone) {
    const std::uint16_t port = port_in_world(From::sandbox_a, from_a / asked / UDP{.source_port = 1000, .checksum = 0});
    ASSERT_NE(port, 1000);
    expect_packet(From::uplink, from_world / answered / UDP{.source_port = 53, .destination_port = port, .checksum = 0},
                  VERDICT_TO_SANDBOX,
                  at_a / delivered / UDP{.source_port = 53, .destination_port = 1000, .checksum = 0});
}

TEST_P(Answer, ReachesTheSandboxThatAskedWhenTwoUseTheSamePort) {
    const std::uint16_t port_of_a = port_in_world(From::sandbox_a, from_a / asked / UDP{});
    const std::uint16_t port_of_b =
        port_in_world(From::sandbox_b, from_b / IPv4{.source = ip_b, .destination = ip_server} / UDP{});
    ASSERT_NE(port_of_a, port_of_b);
    expect_packet(From::uplink, from_world / answered / UDP{53, port_of_b} / Payload{"for B"}, VERDICT_TO_SANDBOX,
                  at_b / IPv4{.source = ip_server, .destination = ip_b, .ttl = 49} / dns_answer / Payload{"for B"});
    expect_packet(From::uplink, from_world / answered / UDP{53, port_of_a} / Payload{"for A"}, VERDICT_TO_SANDBOX,
                  at_a / delivered / dns_answer / Payload{"for A"});
    EXPECT_EQ(datapath_->traffic_of(host_a).received_packets, 1U);
    EXPECT_EQ(datapath_->traffic_of(host_b).received_packets, 1U);
}

// Who sends is told by the link: even two sandboxes with one address have flows of their own.
TEST_P(Answer, ReachesTheSandboxThatAskedWhenTwoHaveTheSameAddress) {
    datapath_->set_sandbox(host_b, sandbox_at(ip_a, host_b, mac_b));

    const std::uint16_t port_of_a = port_in_world(From::sandbox_a, from_a / asked / UDP{});
    const std::uint16_t port_of_twin = port_in_world(From::sandbox_b, from_b / asked / UDP{});
    ASSERT_NE(port_of_a, port_of_twin);
    EXPECT_EQ(datapath_->flows().size(), 4U);
    expect_packet(From::uplink, from_world / answered / UDP{53, port_of_a}, VERDICT_TO_SANDBOX,
                  at_a / delivered / dns_answer);
    expect_packet(From::uplink, from_world / answered / UDP{53, port_of_twin}, VERDICT_TO_SANDBOX,
                  at_b / delivered / dns_answer);
}

TEST_P(Answer, ReachesTheSandboxUnderItsOwnAddressWhenNothingIsTranslated) {
    configure([](network& network) { network.flags = 0; });
    expect_packet(From::sandbox_a, from_a / asked / TCP{}, VERDICT_TO_WORLD, from_a / with_ttl(asked, 63) / TCP{});
    expect_packet(From::uplink, from_world / with_ttl(to(ip_a), 50) / syn_ack, VERDICT_TO_SANDBOX,
                  at_a / delivered / syn_ack);
    expect_verdict(From::uplink, from_world / to(ip_a) / TCP{80, own_port + 1, syn | ack}, VERDICT_DROP_UNSOLICITED);
    expect_verdict(From::uplink, from_world / answered / syn_ack, VERDICT_PASS_STACK);
}

// A ping is no answer, whatever identifier it has: not even 0, which stands for "no port" in a flow's key.
TEST_P(Answer, IsNoPingWhenTheSandboxPingedWithIdentifierZero) {
    expect_verdict(From::sandbox_a, from_a / asked / ICMP{.identifier = 0}, VERDICT_TO_WORLD);
    expect_verdict(From::uplink, from_world / answered / ICMP{.identifier = 0}, VERDICT_PASS_STACK);
}

TEST_P(Answer, IsNoPingWhenTheSandboxPingedUnderItsOwnAddressWithIdentifierZero) {
    configure([](network& network) { network.flags = 0; });
    expect_verdict(From::sandbox_a, from_a / asked / ICMP{.identifier = 0}, VERDICT_TO_WORLD);
    expect_verdict(From::uplink, from_world / to(ip_a) / ICMP{.identifier = 0}, VERDICT_DROP_UNSOLICITED);
}

TEST_P(Answer, ReachesTheSandboxWhenItComesInByAnotherUplink) {
    datapath_->set_uplink(lan_device, uplink_at("10.9.0.1"_ip));
    run_ip("link set dev lan0 address 02:00:00:00:01:01\n");
    expect_verdict(From::sandbox_a, from_a / asked / UDP{}, VERDICT_TO_WORLD);
    expect_packet(From::uplink, from_world / answered / dns_answer, VERDICT_TO_SANDBOX, at_a / delivered / dns_answer,
                  {.ifindex = lan_device});
}

// Each pair of bytes that a checksum can be off by: mended both ways, it must come out as made anew.
TEST_P(Answer, HasARightChecksumWhateverThePayload) {
    for (unsigned i = 0; i < 512; ++i) {
        const std::string text{static_cast<char>(i * 131), static_cast<char>(i * 7), static_cast<char>(i)};
        const Payload payload{text};
        expect_packet(From::sandbox_a, from_a / asked / UDP{} / payload, VERDICT_TO_WORLD,
                      from_a / IPv4{.source = ip_uplink, .destination = ip_server, .ttl = 63} / UDP{} / payload);
        expect_packet(From::uplink, from_world / answered / dns_answer / payload, VERDICT_TO_SANDBOX,
                      at_a / delivered / dns_answer / payload);
    }
}

// To UDP-Lite 0 is no checksum at all (RFC 3828, section 3.1).
TEST_P(Answer, KeepsAUdpLiteChecksumWhenItComesOutAsZero) {
    for (unsigned word = 0; word < 0x10000; word += 1) {
        const Payload payload{{static_cast<char>(word >> 8), static_cast<char>(word)}};
        const Frame out = from_a / IPv4{.source = ip_uplink, .destination = ip_server, .ttl = 63} / UdpLite{} / payload;
        const Bytes bytes = bytes_of(out);
        const std::size_t checksum = family() == Family::ipv6 ? 60 : 40;
        if (bytes[checksum] == 0xff && bytes[checksum + 1] == 0xff) {
            expect_packet(From::sandbox_a, from_a / asked / UdpLite{} / payload, VERDICT_TO_WORLD, out);
            return;
        }
    }
    FAIL() << "no payload makes the sum 0";
}

// Here the sum comes out as 0, which UDP writes as 0xffff (RFC 768).
TEST_P(Answer, KeepsAUdpChecksumWhenItComesOutAsZero) {
    for (unsigned word = 0; word < 0x10000; word += 1) {
        const Payload payload{{static_cast<char>(word >> 8), static_cast<char>(word)}};
        const Frame out = from_a / IPv4{.source = ip_uplink, .destination = ip_server, .ttl = 63} / UDP{} / payload;
        const Bytes bytes = bytes_of(out);
        const std::size_t checksum = family() == Family::ipv6 ? 60 : 40;
        if (bytes[checksum] == 0xff && bytes[checksum + 1] == 0xff) {
            expect_packet(From::sandbox_a, from_a / asked / UDP{} / payload, VERDICT_TO_WORLD, out);
            return;
        }
    }
    FAIL() << "no payload makes the sum 0";
}

RUN_IN_EACH_FAMILY(Answer);

}  // namespace
}  // namespace causeway::test::translate_test
