// SPDX-License-Identifier: Apache-2.0
// What BPF_PROG_TEST_RUN can't show: where a redirect leads, and frames that only a real link brings.
#include "tests/datapath/live_fixture.hpp"

namespace causeway::test::live_test {
namespace {

TEST_P(Live, ReachesAnotherSandboxsLinkWhenItIsForIt) {
    Wire a = far_end("a"), b = far_end("b"), router = far_end("router");
    const IPv4 ip{.source = ip_a, .destination = ip_b};
    expect_end(a, from_a / ip / UDP{} / Payload{"hello"}, VERDICT_TO_SANDBOX);
    EXPECT_EQ(difference(bytes_of(at_b / ip / UDP{} / Payload{"hello"}), b.receive()), "");
    EXPECT_TRUE(router.receive(50).empty());
    EXPECT_TRUE(a.receive(0).empty());
}

TEST_P(Live, ReachesTheAskersLinkWhenItIsAnArpAnswer) {
    Wire a = far_end("a"), b = far_end("b");
    expect_end(a,
               Ethernet{.source = mac_a, .destination = mac_broadcast} /
                   Arp{.sender_mac = mac_a, .sender = ip_a, .target = ip_b},
               VERDICT_ARP_ANSWERED);
    const Frame answer =
        Ethernet{.source = mac_gateway, .destination = mac_a} /
        Arp{.operation = arp_reply, .sender_mac = mac_gateway, .sender = ip_b, .target_mac = mac_a, .target = ip_a};
    EXPECT_EQ(difference(bytes_of(answer), a.receive()), "");
    EXPECT_TRUE(b.receive(50).empty());
}

TEST_P(Live, ReachesTheGatewayDeviceWhenItIsForTheHost) {
    Wire a = far_end("a"), gateway("cw0");
    for (Ip host : {ip_gateway, ip_uplink}) {  // a reset, since nobody answers that
        const Frame frame = from_a / IPv4{.source = ip_a, .destination = host} / TCP{.flags = rst};
        expect_end(a, frame, VERDICT_TO_HOST);
        EXPECT_EQ(difference(bytes_of(frame), gateway.receive()), "");
    }
}

TEST_P(Live, ReachesTheNextHopWhenItIsForTheWorldAndTheAnswerComesBack) {
    Wire a = far_end("a"), b = far_end("b"), router = far_end("router");
    expect_end(a, from_a / IPv4{.source = ip_a, .destination = ip_server} / UDP{} / Payload{"who?"}, VERDICT_TO_WORLD);
    const Frame asked = Ethernet{.source = mac_uplink, .destination = mac_router} /
                        IPv4{.source = ip_uplink, .destination = ip_server, .ttl = 63} / UDP{} / Payload{"who?"};
    EXPECT_EQ(difference(bytes_of(asked), router.receive()), "");

    const UDP answer{.source_port = 53, .destination_port = 40000};
    expect_end(router, from_world / IPv4{.source = ip_server, .destination = ip_uplink} / answer / Payload{"me"},
               VERDICT_TO_SANDBOX);
    const Frame answered = at_a / IPv4{.source = ip_server, .destination = ip_a, .ttl = 63} / answer / Payload{"me"};
    EXPECT_EQ(difference(bytes_of(answered), a.receive()), "");
    EXPECT_TRUE(b.receive(50).empty());
}

// As of a tunnel from a sandbox: the device is to make the checksum of the packet inside.
TEST_P(Live, HasARightChecksumWhenAnotherInsideIsStillToBeMade) {
    Wire a = far_end("a"), router = far_end("router");
    const Payload inside{std::string(64, 'i')};
    const IPv4 sent{.source = ip_a, .destination = ip_server},
        seen{.source = ip_uplink, .destination = ip_server, .ttl = 63};
    for (const UDP& tunnel : {UDP{.destination_port = 4789}, UDP{.destination_port = 4789, .checksum = 0}}) {
        const Bytes frame = bytes_of(from_a / sent / tunnel / inside);
        a.send_unfinished(frame, frame.size() - inside.text.size(), 16);
        EXPECT_EQ(
            difference(bytes_of(Ethernet{.source = mac_uplink, .destination = mac_router} / seen / tunnel / inside),
                       router.receive()),
            "");
    }
}

// What the device would write as a checksum would be the address or the port that others see.
TEST_P(Live, IsDroppedWhenItsChecksumIsToBeMadeWhereNoneIs) {
    Wire a = far_end("a"), b = far_end("b"), router = far_end("router");
    const Payload inside{std::string(64, 'i')};
    const Bytes frame = bytes_of(from_a / IPv4{.source = ip_a, .destination = ip_server} / UDP{.checksum = 0} / inside);
    const std::size_t transport = frame.size() - inside.text.size() - 8;
    const auto dropped = [&] { return datapath_->verdicts()[VERDICT_DROP_BAD_CHECKSUM]; };
    for (const std::size_t place : {transport - 2, transport, transport + 2, transport + 4}) {
        const auto before = dropped();
        a.send_unfinished(frame, place - 2, 2);
        wait_until([&] { return dropped() > before; });
    }
    EXPECT_TRUE(router.receive(50).empty());
}

// As GRE's own of a tunnel from a sandbox, whose packet inside has a right one.
TEST_P(Live, ReachesTheWorldWhenTheChecksumOfItsTunnelIsStillToBeMade) {
    Wire a = far_end("a"), router = far_end("router");
    const Payload tunnel{std::string(8, '\0') + std::string(64, 'i')};
    const Bytes frame =
        bytes_of(from_a / of_protocol({.source = ip_a, .destination = ip_server}, gre_protocol) / tunnel);
    a.send_unfinished(frame, frame.size() - tunnel.text.size(), 4);
    EXPECT_FALSE(router.receive().empty());
}

TEST_P(Live, ReachesTheSandboxsLinkWhenTheHostSends) {
    Wire a = far_end("a"), gateway("cw0");
    const IPv4 ip{.source = ip_gateway, .destination = ip_a};
    expect_end(gateway, from_the_host / ip / UDP{}, VERDICT_TO_SANDBOX);
    EXPECT_EQ(difference(bytes_of(at_a / ip / UDP{}), a.receive()), "");
}

TEST_P(Live, IsLeftToTheStackWhenTheWorldSpeaksToTheHost) {
    Wire router = far_end("router"), uplink("up0");
    const Frame frame = from_world / IPv4{.source = ip_server, .destination = ip_uplink} / UDP{} / Payload{"x"};
    expect_end(router, frame, VERDICT_PASS_STACK);
    EXPECT_EQ(difference(bytes_of(frame), uplink.receive()), "");
}

TEST_P(Live, GoesNoFurtherWhenItIsDropped) {
    Wire a = far_end("a"), b = far_end("b"), router = far_end("router"), gateway("cw0");
    expect_end(a, from_b / IPv4{.source = ip_a, .destination = ip_b} / UDP{}, VERDICT_DROP_SPOOFED_MAC);
    expect_end(a, from_a / IPv4{.source = ip_b, .destination = ip_server} / UDP{}, VERDICT_DROP_SPOOFED_ADDRESS);
    expect_end(a, from_a / IPv4{.source = ip_a, .destination = ip_server} / TCP{.flags = rst}, VERDICT_DROP_NO_FLOW);
    expect_end(router, from_world / IPv4{.source = ip_server, .destination = ip_a} / UDP{}, VERDICT_DROP_UNSOLICITED);
    for (Wire* wire : {&a, &b, &router, &gateway}) {
        EXPECT_TRUE(wire->receive(50).empty());
    }
}

TEST_P(Live, ReachesTheSendersLinkWhenItIsDroppedAndAnswered) {
    Wire a = far_end("a"), b = far_end("b"), gateway("cw0");
    const Frame frame = from_a / IPv4{.source = ip_a, .destination = ip_unused} / UDP{} / Payload{"anybody?"};
    expect_end(a, frame, VERDICT_DROP_NO_ENDPOINT);
    EXPECT_EQ(
        difference(*expected_answer(Program::from_sandbox, bytes_of(frame), VERDICT_DROP_NO_ENDPOINT, {}), a.receive()),
        "");
    EXPECT_TRUE(b.receive(50).empty());
    EXPECT_TRUE(gateway.receive(0).empty());
}

// The kernel takes the tag off before the program sees the frame; it must not leave by an uplink with it.
TEST_P(Live, IsDroppedWhenTheFrameHasATag) {
    Wire a = far_end("a"), b = far_end("b"), router = far_end("router");
    expect_end(a, from_a / Vlan{.tag = 7} / IPv4{.source = ip_a, .destination = ip_server} / UDP{},
               VERDICT_DROP_ETHERTYPE);
    expect_end(a, from_a / Vlan{.tag = 7} / IPv4{.source = ip_a, .destination = ip_b} / UDP{}, VERDICT_DROP_ETHERTYPE);
    expect_end(a, from_a / Vlan{.tag = 7} / Arp{.sender_mac = mac_a, .sender = ip_a, .target = ip_b},
               VERDICT_DROP_ETHERTYPE);
    EXPECT_TRUE(router.receive(50).empty());
    EXPECT_TRUE(b.receive(50).empty());
}

// It is another link's, whose address may be the same.
TEST_P(Live, IsLeftToTheStackWhenTheWorldsAnswerHasATag) {
    Wire a = far_end("a"), router = far_end("router");
    expect_end(a, from_a / IPv4{.source = ip_a, .destination = ip_server} / UDP{}, VERDICT_TO_WORLD);
    expect_end(router,
               from_world / Vlan{.tag = 7} / IPv4{.source = ip_server, .destination = ip_uplink} / UDP{53, 40000},
               VERDICT_PASS_STACK);
    EXPECT_TRUE(a.receive(50).empty());
}

// It says a priority, and no more.
TEST_P(Live, ReachesTheSandboxWhenTheWorldsAnswerHasATagOfVlanNought) {
    Wire a = far_end("a"), router = far_end("router");
    const Frame question = from_a / IPv4{.source = ip_a, .destination = ip_server} / UDP{};
    expect_end(a, question, VERDICT_TO_WORLD);
    const IPv4 answered{.source = ip_server, .destination = ip_uplink},
        arrived{.source = ip_server, .destination = ip_a, .ttl = 63};
    expect_end(router, from_world / Vlan{.tag = 0} / answered / UDP{53, 40000}, VERDICT_TO_SANDBOX);
    EXPECT_EQ(difference(bytes_of(at_a / arrived / UDP{53, 40000}), a.receive()), "");
}

TEST_P(Live, IsDroppedWhenTheFrameHasTwoTags) {
    Wire a = far_end("a");
    expect_end(a, from_a / Vlan{.tag = 7} / Vlan{.tag = 8} / IPv4{.source = ip_a, .destination = ip_b} / UDP{},
               VERDICT_DROP_ETHERTYPE);
}

TEST_P(Live, IsDroppedWhenItEndsWithinTheIpHeader) {
    Wire a = far_end("a");
    const Frame frame = from_a / IPv4{.source = ip_a, .destination = ip_b} / UDP{};
    for (std::size_t size : {14U, 15U, 33U}) {
        expect_end(a, frame.cut(size), VERDICT_DROP_TRUNCATED);
    }
}

RUN_IN_EACH_FAMILY(Live);

}  // namespace
}  // namespace causeway::test::live_test
