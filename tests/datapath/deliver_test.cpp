// SPDX-License-Identifier: Apache-2.0
// Packets that stay on this host: between sandboxes, to the host, from the host, and how they are counted.
#include "tests/datapath/datapath_fixture.hpp"

namespace causeway::test::deliver_test {
namespace {

const IPv4 a_to_b{.source = ip_a, .destination = ip_b}, b_to_a{.source = ip_b, .destination = ip_a},
    host_to_a{.source = ip_gateway, .destination = ip_a};

IPv4 a_to(Ip destination, std::uint8_t ttl = 64) {
    return {.source = ip_a, .destination = destination, .ttl = ttl};
}

Frame host_sends(Ip destination) {
    return from_the_host / IPv4{.source = ip_gateway, .destination = destination} / TCP{};
}

const Row local_rows[] = {
    {"ReachesAnotherSandboxWhenItIsTcp", From::sandbox_a, from_a / a_to_b / TCP{}, VERDICT_TO_SANDBOX,
     at_b / a_to_b / TCP{}},
    {"ReachesAnotherSandboxWhenItIsUdp", From::sandbox_b, from_b / b_to_a / UDP{} / Payload{"hello"},
     VERDICT_TO_SANDBOX, at_a / b_to_a / UDP{} / Payload{"hello"}},
    {"ReachesAnotherSandboxWhenItIsIcmp", From::sandbox_a, from_a / a_to_b / ICMP{} / Payload{"ping"},
     VERDICT_TO_SANDBOX, at_b / a_to_b / ICMP{} / Payload{"ping"}},
    {"ReachesAnotherSandboxWhenTheProtocolIsUnknown", From::sandbox_a,
     from_a / IPv4{.source = ip_a, .destination = ip_b, .protocol = 132} / Payload{"sctp"}, VERDICT_TO_SANDBOX,
     at_b / IPv4{.source = ip_a, .destination = ip_b, .protocol = 132} / Payload{"sctp"}},
    {"ReachesAnotherSandboxWhenTheTtlIsOne", From::sandbox_a, from_a / a_to(ip_b, 1) / TCP{}, VERDICT_TO_SANDBOX,
     at_b / a_to(ip_b, 1) / TCP{}},
    {"ReachesAnotherSandboxWhenNoConnectionIsKnown", From::sandbox_a, from_a / a_to_b / TCP{.flags = syn | ack},
     VERDICT_TO_SANDBOX, at_b / a_to_b / TCP{.flags = syn | ack}},
    {"ReachesAnotherSandboxWhenTheChecksumIsWrong", From::sandbox_a, from_a / a_to_b / TCP{.checksum = 0x1234},
     VERDICT_TO_SANDBOX, at_b / a_to_b / TCP{.checksum = 0x1234}},
    {"ReachesTheHostWhenItIsForTheGateway", From::sandbox_a, from_a / a_to(ip_gateway) / ICMP{}, VERDICT_TO_HOST},
    {"ReachesTheHostWhenItIsForTheUplinksAddress", From::sandbox_a, from_a / a_to(ip_uplink) / TCP{}, VERDICT_TO_HOST},
    {"ReachesTheHostWhenItIsForAnotherOfItsAddresses", From::sandbox_a, from_a / a_to("10.9.0.1"_ip) / UDP{},
     VERDICT_TO_HOST},
    {"ReachesTheHostWhenTheTtlIsOne", From::sandbox_a, from_a / a_to(ip_gateway, 1) / ICMP{}, VERDICT_TO_HOST},
    {"ReachesTheHostsUplinkAddressWhenTheTtlIsOne", From::sandbox_a, from_a / a_to(ip_uplink, 1) / ICMP{},
     VERDICT_TO_HOST},
    {"ReachesTheHostWhenTheProtocolCannotBeTranslated", From::sandbox_a,
     from_a / IPv4{.source = ip_a, .destination = ip_uplink, .protocol = 47} / Payload{"tunnel"}, VERDICT_TO_HOST},
    {"ReachesTheHostWhenItIsAnIcmpError", From::sandbox_a, from_a / a_to(ip_uplink) / ICMP{.type = icmp_unreachable},
     VERDICT_TO_HOST},
    {"IsDroppedWhenNobodyHasTheAddress", From::sandbox_a, from_a / a_to(ip_unused) / TCP{}, VERDICT_DROP_NO_ENDPOINT},
    {"IsDroppedWhenTheAddressIsClaimedButNotConnected", From::sandbox_a, from_a / a_to(ip_claimed) / TCP{},
     VERDICT_DROP_NO_ENDPOINT},

    {"ReachesASandboxWhenTheHostSendsTcp", From::host, from_the_host / host_to_a / TCP{}, VERDICT_TO_SANDBOX,
     at_a / host_to_a / TCP{}},
    {"ReachesASandboxWhenTheHostSendsUdp", From::host, from_the_host / host_to_a / UDP{} / Payload{"x"},
     VERDICT_TO_SANDBOX, at_a / host_to_a / UDP{} / Payload{"x"}},
    {"ReachesASandboxWhenTheHostSendsFromItsUplinkAddress", From::host,
     from_the_host / IPv4{.source = ip_uplink, .destination = ip_b, .ttl = 1} / ICMP{}, VERDICT_TO_SANDBOX,
     at_b / IPv4{.source = ip_uplink, .destination = ip_b, .ttl = 1} / ICMP{}},
    {"ReachesASandboxWhenTheHostSendsAFragment", From::host,
     from_the_host / IPv4{.source = ip_gateway, .destination = ip_a, .protocol = 17, .fragment_offset = 3} /
         Payload{"rest"},
     VERDICT_TO_SANDBOX,
     at_a / IPv4{.source = ip_gateway, .destination = ip_a, .protocol = 17, .fragment_offset = 3} / Payload{"rest"}},
    {"IsDroppedWhenTheHostSendsToNobody", From::host, host_sends(ip_unused), VERDICT_DROP_NO_ENDPOINT},
    {"IsDroppedWhenTheHostSendsToAClaimedAddress", From::host, host_sends(ip_claimed), VERDICT_DROP_NO_ENDPOINT},
    {"IsDroppedWhenTheHostSendsToTheGatewayItself", From::host, host_sends(ip_gateway), VERDICT_DROP_NO_ENDPOINT},
    {"IsDroppedWhenTheHostSendsOutsideTheNetwork", From::host, host_sends(ip_server), VERDICT_DROP_NO_ENDPOINT},
    {"IsDroppedWhenTheHostSendsMulticast", From::host,
     Ethernet{.source = mac_gateway, .destination = "01:00:5e:00:00:fb"_mac} /
         IPv4{.source = ip_gateway, .destination = "224.0.0.251"_ip, .ttl = 255} /
         UDP{.source_port = 5353, .destination_port = 5353},
     VERDICT_DROP_MULTICAST},
    {"IsDroppedWhenTheHostSendsToTheBroadcastAddress", From::host, host_sends("255.255.255.255"_ip),
     VERDICT_DROP_MULTICAST},
    {"IsDroppedWhenTheHostSendsToTheSubnetsBroadcastAddress", From::host, host_sends("10.0.0.255"_ip),
     VERDICT_DROP_NO_ENDPOINT},
    {"IsDroppedWhenTheHostSendsArp", From::host,
     Ethernet{.source = mac_gateway, .destination = mac_broadcast} /
         Arp{.sender_mac = mac_gateway, .sender = ip_gateway, .target = ip_a},
     VERDICT_DROP_ETHERTYPE},
    {"IsDroppedWhenTheHostSendsAnotherProtocol", From::host,
     Ethernet{.source = mac_gateway, .destination = mac_a, .type = 0x88cc} / Payload{std::string(40, '\x60')},
     VERDICT_DROP_ETHERTYPE},
    {"IsDroppedWhenTheHostSendsAMalformedHeader", From::host,
     from_the_host / IPv4{.source = ip_gateway, .destination = ip_a, .version = 5} / TCP{}, VERDICT_DROP_BAD_HEADER},
    {"IsDroppedWhenTheHostSendsATruncatedPacket", From::host, (from_the_host / host_to_a / TCP{}).cut(53),
     VERDICT_DROP_TRUNCATED},
    {"IsDroppedWhenTheHostForwardsWhatCameInByTheUplink",
     From::host,
     from_the_host / IPv4{.source = ip_server, .destination = ip_a} / TCP{},
     VERDICT_DROP_UNSOLICITED,
     std::nullopt,
     {.ingress_ifindex = uplink_device}},
    {"IsDroppedWhenTheHostForwardsWhatCameInByAnotherDevice",
     From::host,
     from_the_host / IPv4{.source = "10.9.0.5"_ip, .destination = ip_a} / TCP{},
     VERDICT_DROP_UNSOLICITED,
     std::nullopt,
     {.ingress_ifindex = lan_device}},
};

class Local : public DatapathTable {};

TEST_P(Local, Packet) {
    expect_this_row();
}
INSTANTIATE_TEST_SUITE_P(, Local, testing::ValuesIn(in_each_family(local_rows)), name_of_row);

class Traffic : public InEachFamily {
protected:
    // bytes: as IPv4, whose header is 20 bytes shorter.
    void expect_sent(unsigned ifindex, std::uint64_t packets, std::uint64_t bytes, std::uint64_t dropped,
                     std::uint64_t frames) {
        const traffic seen = datapath_->traffic_of(ifindex);
        EXPECT_EQ(seen.sent_packets, packets);
        EXPECT_EQ(seen.sent_bytes, bytes + frames * longer());
        EXPECT_EQ(seen.dropped_packets, dropped);
    }

    void expect_received(unsigned ifindex, std::uint64_t packets, std::uint64_t bytes, std::uint64_t frames) {
        const traffic seen = datapath_->traffic_of(ifindex);
        EXPECT_EQ(seen.received_packets, packets);
        EXPECT_EQ(seen.received_bytes, bytes + frames * longer());
    }

    std::uint64_t longer() const { return family() == Family::ipv6 ? 20 : 0; }
};

TEST_P(Traffic, IsCountedOnBothEndsWhenASandboxSendsToAnother) {
    const Frame frame = from_a / a_to_b / UDP{} / Payload{std::string(100, 'x')};
    expect_verdict(From::sandbox_a, frame, VERDICT_TO_SANDBOX);
    expect_verdict(From::sandbox_a, frame, VERDICT_TO_SANDBOX);
    expect_sent(host_a, 2, 2 * 142, 0, 2);
    expect_received(host_a, 0, 0, 0);
    expect_sent(host_b, 0, 0, 0, 0);
    expect_received(host_b, 2, 2 * 142, 2);
}

TEST_P(Traffic, IsCountedAsDroppedWhenTheSandboxsPacketIsDropped) {
    expect_verdict(From::sandbox_a, from_b / a_to_b / UDP{}, VERDICT_DROP_SPOOFED_MAC);
    expect_verdict(From::sandbox_a, from_a / a_to(ip_unused) / UDP{}, VERDICT_DROP_NO_ENDPOINT);
    expect_verdict(From::sandbox_a, from_a / a_to_b / UDP{}, VERDICT_TO_SANDBOX);
    expect_sent(host_a, 3, 3 * 42, 2, 3);
    expect_received(host_b, 1, 42, 1);
}

TEST_P(Traffic, IsCountedAsSentWhenTheSandboxAsksByArp) {
    expect_verdict(From::sandbox_a, from_a / Arp{.sender_mac = mac_a, .sender = ip_a, .target = ip_gateway},
                   VERDICT_ARP_ANSWERED);
    expect_sent(host_a, 1, 42, 0, 0);
}

TEST_P(Traffic, IsCountedAsReceivedWhenTheHostSends) {
    expect_verdict(From::host, from_the_host / host_to_a / UDP{}, VERDICT_TO_SANDBOX);
    expect_received(host_a, 1, 42, 1);
    expect_received(host_b, 0, 0, 0);
}

TEST_P(Traffic, IsNotCountedAsReceivedWhenTheHostsPacketIsDropped) {
    expect_verdict(From::host, from_the_host / host_to_a / UDP{}, VERDICT_DROP_UNSOLICITED,
                   {.ingress_ifindex = uplink_device});
    expect_received(host_a, 0, 0, 0);
}

TEST_P(Traffic, IsCountedBothWaysWhenTheWorldAnswers) {
    const Frame question = from_a / a_to(ip_server) / UDP{} / Payload{"question"};
    const std::uint16_t port = port_in_world(From::sandbox_a, question);
    expect_verdict(From::uplink,
                   from_world / IPv4{.source = ip_server, .destination = ip_uplink} /
                       UDP{.source_port = 53, .destination_port = port} / Payload{"the answer"},
                   VERDICT_TO_SANDBOX);
    expect_sent(host_a, 1, 50, 0, 1);
    expect_received(host_a, 1, 52, 1);
}

TEST_P(Traffic, CountsEachSegmentWhenTheyComeAsOne) {
    const Frame frame = from_a / a_to_b / TCP{.flags = ack} / Payload{std::string(3000, 'x')};
    expect_verdict(From::sandbox_a, frame, VERDICT_TO_SANDBOX, {.gso_size = 1000, .gso_segs = 3});
    expect_sent(host_a, 3, 3054, 0, 1);
    expect_received(host_b, 3, 3054, 1);
}

TEST_P(Traffic, CountsEachSegmentAsDroppedWhenTheyComeAsOne) {
    const Frame frame = from_a / a_to(ip_unused) / TCP{.flags = ack} / Payload{std::string(3000, 'x')};
    expect_verdict(From::sandbox_a, frame, VERDICT_DROP_NO_ENDPOINT, {.gso_size = 1000, .gso_segs = 3});
    expect_sent(host_a, 3, 3054, 3, 1);
}

TEST_P(Traffic, IsCountedUnderItsVerdictWhenTheSandboxHasNoCounter) {
    const Context context{.ifindex = lan_device};  // nobody's link: no entry in `traffic`
    expect_verdict(From::unknown_link, from_a / a_to_b / UDP{}, VERDICT_DROP_UNKNOWN_SANDBOX, context);
}

class Priority : public InEachFamily {};

// By it a sandbox would choose its place in the queues of an uplink.
TEST_P(Priority, IsNotTheSandboxsToChoose) {
    for (const Ip destination : {ip_server, ip_b, ip_gateway}) {
        const Frame frame = from_a / IPv4{.source = ip_a, .destination = destination} / UDP{};
        const auto sent =
            datapath_->run(Program::from_sandbox, bytes_of(frame), {.ifindex = host_a, .priority = 0x10007});
        EXPECT_EQ(sent.priority, 0U);
    }
}

RUN_IN_EACH_FAMILY(Priority);

RUN_IN_EACH_FAMILY(Traffic);

}  // namespace
}  // namespace causeway::test::deliver_test
