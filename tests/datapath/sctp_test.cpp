// SPDX-License-Identifier: Apache-2.0
// SCTP, whose checksum is a CRC of the whole packet: it holds whatever port was put in, for any length, on every way.
// What is expected is made anew, its CRC over all of its bytes.
#include "tests/datapath/datapath_fixture.hpp"
#include "tests/datapath/fragments.hpp"
#include "tests/datapath/live_fixture.hpp"

namespace causeway::test::sctp_test {
namespace {

constexpr std::uint16_t inside = 1000, outside = 50000, peer = 9899, host_port = 30080, own_port = 40000;

const IPv4 asks{.source = ip_a, .destination = ip_server},
    asked{.source = ip_uplink, .destination = ip_server, .ttl = 63};
const IPv4 answers{.source = ip_server, .destination = ip_uplink, .ttl = 50},
    answered{.source = ip_server, .destination = ip_a, .ttl = 49};

// No two bytes that follow each other are alike.
Payload chunks(std::size_t size) {
    std::string text(size, '\0');
    for (std::size_t i = 0; i < size; ++i) {
        text[i] = static_cast<char>(i * 29 + (i >> 8));
    }
    return {text};
}

class Sctp : public InEachFamily {
protected:
    void only_port(std::uint16_t port) {
        configure([&](network& network) { network.port_min = network.port_max = port; });
    }

    // From a sandbox's port, wherever it leads.
    static Frame asks_server(const Ethernet& link, Ip source, std::uint16_t port = own_port) {
        return link / IPv4{.source = source, .destination = ip_server} / SCTP{port, peer} / chunks(20);
    }
};

TEST_P(Sctp, KeepsItsPortWhereItIsFree) {
    expect_packet(From::sandbox_a, from_a / asks / SCTP{own_port, peer} / chunks(33), VERDICT_TO_WORLD,
                  from_a / asked / SCTP{own_port, peer} / chunks(33));
    expect_packet(From::uplink, from_world / answers / SCTP{peer, own_port, 7} / chunks(32), VERDICT_TO_SANDBOX,
                  at_a / answered / SCTP{peer, own_port, 7} / chunks(32));
}

TEST_P(Sctp, HoldsItsChecksumUnderAnotherPortWhateverItsLength) {
    only_port(outside);
    const std::size_t largest = family() == Family::ipv6 ? 1448 : 1468;
    for (std::size_t size = 0; size <= largest; size += size < 72 || size > largest - 9 ? 1 : 13) {
        SCOPED_TRACE(size);
        expect_packet(From::sandbox_a, from_a / asks / SCTP{inside, peer, 1} / chunks(size), VERDICT_TO_WORLD,
                      from_a / asked / SCTP{outside, peer, 1} / chunks(size));
        expect_packet(From::uplink, from_world / answers / SCTP{peer, outside, 2} / chunks(size), VERDICT_TO_SANDBOX,
                      at_a / answered / SCTP{peer, inside, 2} / chunks(size));
    }
}

TEST_P(Sctp, HoldsItsChecksumUnderAnyOtherPort) {
    for (std::uint16_t port : std::initializer_list<std::uint16_t>{30000, 30001, 32768, 40960, 51966, 60000}) {
        only_port(port);
        const auto own = static_cast<std::uint16_t>(port ^ 0xffff);
        expect_packet(From::sandbox_a, from_a / asks / SCTP{own, peer, 1} / chunks(21), VERDICT_TO_WORLD,
                      from_a / asked / SCTP{port, peer, 1} / chunks(21));
        datapath_->clear_flows();
    }
}

// What a link adds is in no length, and under no checksum.
TEST_P(Sctp, HoldsItsChecksumWhenTheFrameIsPadded) {
    only_port(outside);
    expect_packet(From::sandbox_a, from_a / asks / SCTP{inside, peer} / chunks(4) / Padding{10}, VERDICT_TO_WORLD,
                  from_a / asked / SCTP{outside, peer} / chunks(4) / Padding{10});
    expect_packet(From::uplink, from_world / answers / SCTP{peer, outside} / chunks(4) / Padding{10},
                  VERDICT_TO_SANDBOX, at_a / answered / SCTP{peer, inside} / chunks(4) / Padding{10});
}

TEST_P(Sctp, HoldsItsChecksumBehindOptions) {
    only_port(outside);
    auto in = asks, out = asked;
    in.options = out.options = Bytes(8, 1);
    expect_packet(From::sandbox_a, from_a / in / SCTP{inside, peer} / chunks(5), VERDICT_TO_WORLD,
                  from_a / out / SCTP{outside, peer} / chunks(5));
}

// By as much as it was: causeway judges none.
TEST_P(Sctp, HasAWrongChecksumStillWhenItHadAWrongOne) {
    only_port(outside);
    const auto crc_of = [&](const Frame& frame) {
        const Bytes bytes = bytes_of(frame);
        const std::size_t at = family() == Family::ipv6 ? 62 : 42;
        return std::uint32_t{bytes.at(at)} << 24 | std::uint32_t{bytes.at(at + 1)} << 16 |
               std::uint32_t{bytes.at(at + 2)} << 8 | bytes.at(at + 3);
    };
    constexpr std::uint32_t wrong = 0x10000001;
    const auto right_in = crc_of(from_a / asks / SCTP{inside, peer} / chunks(9)),
               right_out = crc_of(from_a / asked / SCTP{outside, peer} / chunks(9));
    expect_packet(From::sandbox_a, from_a / asks / SCTP{inside, peer, 0, right_in ^ wrong} / chunks(9),
                  VERDICT_TO_WORLD, from_a / asked / SCTP{outside, peer, 0, right_out ^ wrong} / chunks(9));
}

TEST_P(Sctp, IsDroppedWhenItsHeaderIsCut) {
    for (const std::size_t size : {4U, 8U, 11U}) {
        auto ip = asks;
        ip.protocol = sctp_protocol;
        expect_verdict(From::sandbox_a, from_a / ip / chunks(size), VERDICT_DROP_TRUNCATED);
    }
    EXPECT_TRUE(datapath_->flows().empty());
}

TEST_P(Sctp, OfTwoSandboxesIsToldApartByPort) {
    EXPECT_EQ(port_in_world(From::sandbox_a, asks_server(from_a, ip_a)), own_port);
    const auto other = port_in_world(From::sandbox_b, asks_server(from_b, ip_b));
    EXPECT_NE(other, own_port);
    EXPECT_GE(other, 30000);
    EXPECT_LE(other, 60000);
    expect_packet(From::uplink, from_world / answers / SCTP{peer, own_port} / chunks(16), VERDICT_TO_SANDBOX,
                  at_a / answered / SCTP{peer, own_port} / chunks(16));
    expect_packet(From::uplink, from_world / answers / SCTP{peer, other} / chunks(16), VERDICT_TO_SANDBOX,
                  at_b / IPv4{.source = ip_server, .destination = ip_b, .ttl = 49} / SCTP{peer, own_port} / chunks(16));
}

TEST_P(Sctp, OfTheWorldThatNobodyAskedForIsTheHosts) {
    expect_verdict(From::sandbox_a, asks_server(from_a, ip_a), VERDICT_TO_WORLD);
    for (const auto& header : {SCTP{peer, own_port + 1}, SCTP{peer + 1, own_port}}) {
        const Frame frame = from_world / answers / header / chunks(16);
        expect_packet(From::uplink, frame, VERDICT_PASS_STACK, frame);
    }
}

TEST_P(Sctp, TakesNoPortThatIsPublishedOrReserved) {
    publish(sctp_protocol, ip_uplink, host_port);
    EXPECT_NE(port_in_world(From::sandbox_b, asks_server(from_b, ip_b, host_port)), host_port);
    host_ports ports{};
    ports.reserved[own_port / 64] |= std::uint64_t{1} << own_port % 64;
    datapath_->set_host_ports(ports);
    EXPECT_NE(port_in_world(From::sandbox_b, asks_server(from_b, ip_b)), own_port);
    only_port(host_port);
    expect_verdict(From::sandbox_b, asks_server(from_b, ip_b, 1), VERDICT_DROP_NO_PORT);
    datapath_->set_host_ports({});
}

// A port is of one protocol.
TEST_P(Sctp, KeepsNoPortFromAnotherProtocolByPublishingIt) {
    publish(sctp_protocol, ip_uplink, host_port);
    EXPECT_EQ(port_in_world(From::sandbox_b, from_b / IPv4{.source = ip_b, .destination = ip_server} / UDP{host_port}),
              host_port);
}

TEST_P(Sctp, HasOnePortTowardsAllPeersWhereTheNetworkAsksForThat) {
    configure([](network& network) { network.flags |= NETWORK_ENDPOINT_INDEPENDENT; });
    const auto port = port_in_world(From::sandbox_a, asks_server(from_a, ip_a, inside));
    EXPECT_EQ(port_in_world(From::sandbox_a, from_a / IPv4{.source = ip_a, .destination = ip_server_2} /
                                                 SCTP{inside, peer + 1} / chunks(20)),
              port);
}

// Of a published port: from the world, from sandboxes, and from the host itself.

TEST_P(Sctp, ReachesAPublishedPortAndItsAnswersLeaveUnderIt) {
    publish(sctp_protocol, ip_uplink, host_port);
    for (const std::size_t size : {20U, 21U, 1000U}) {
        expect_packet(From::uplink, from_world / answers / SCTP{5000, host_port} / chunks(size), VERDICT_TO_SANDBOX,
                      at_a / answered / SCTP{5000, service} / chunks(size));
        expect_packet(From::sandbox_a, from_a / asks / SCTP{service, 5000, 3} / chunks(size), VERDICT_TO_WORLD,
                      from_a / asked / SCTP{host_port, 5000, 3} / chunks(size));
    }
}

TEST_P(Sctp, ReachesAPublishedPortFromSandboxes) {
    publish(sctp_protocol, ip_uplink, host_port);
    struct Client {
        From from;
        Ethernet sends, receives;
        Ip ip;
    };
    for (const auto& client :
         {Client{From::sandbox_b, from_b, at_b, ip_b}, Client{From::sandbox_a, from_a, at_a, ip_a}}) {
        datapath_->clear_flows();
        publish(sctp_protocol, ip_uplink, host_port);
        only_port(outside);
        expect_packet(
            client.from,
            client.sends / IPv4{.source = client.ip, .destination = ip_uplink} / SCTP{inside, host_port} / chunks(30),
            VERDICT_TO_SANDBOX,
            at_a / IPv4{.source = ip_uplink, .destination = ip_a, .ttl = 63} / SCTP{outside, service} / chunks(30));
        expect_packet(From::sandbox_a,
                      from_a / IPv4{.source = ip_a, .destination = ip_uplink} / SCTP{service, outside} / chunks(31),
                      VERDICT_TO_SANDBOX,
                      client.receives / IPv4{.source = ip_uplink, .destination = client.ip, .ttl = 63} /
                          SCTP{host_port, inside} / chunks(31));
    }
}

TEST_P(Sctp, ReachesAPublishedPortFromTheHostItself) {
    constexpr std::uint16_t seen = 61000;
    publish(sctp_protocol, Ip{}, host_port);
    datapath_->set_published_port(host_port, true);
    datapath_->set_loopback_ports({seen, seen});
    const IPv4 itself{.source = ip_uplink, .destination = ip_uplink};
    expect_packet(From::itself, Ethernet{} / itself / SCTP{5000, host_port} / chunks(25), VERDICT_TO_SANDBOX,
                  at_a / IPv4{.source = ip_gateway, .destination = ip_a} / SCTP{seen, service} / chunks(25));
    const SCTP on_lo{host_port, seen};
    const Frame answer =
        family() == Family::ipv6
            ? from_a / IPv6{.source = ip6_of(ip_uplink), .destination = "::1"_ip6, .hop_limit = 63} / on_lo / chunks(26)
            : from_a / IPv4{.source = ip_uplink, .destination = "127.0.0.1"_ip, .ttl = 63} / on_lo / chunks(26);
    expect_packet(From::sandbox_a,
                  from_a / IPv4{.source = ip_a, .destination = ip_gateway} / SCTP{service, seen} / chunks(26),
                  VERDICT_TO_HOST, answer);
    expect_packet(
        From::itself, answer, VERDICT_PASS_TRANSLATED,
        from_a / IPv4{.source = ip_uplink, .destination = ip_uplink, .ttl = 63} / SCTP{host_port, 5000} / chunks(26),
        {.ingress_ifindex = host_a});
    datapath_->set_published_port(host_port, false);
    datapath_->set_loopback_ports({});
}

// The host's own later association, from a port that a sandbox's flow has towards that peer.
TEST_P(Sctp, OfTheHostsOwnGetsAnotherPortWhereASandboxHasIt) {
    EXPECT_EQ(port_in_world(From::sandbox_a, asks_server(from_a, ip_a)), own_port);
    only_port(outside);
    constexpr Ethernet at_router{.source = mac_uplink, .destination = mac_router};
    const IPv4 ip{.source = ip_uplink, .destination = ip_server};
    const Outcome outcome = datapath_->run(
        Program::from_stack, bytes_of(at_router / ip / SCTP{own_port, peer} / chunks(40)), {.ifindex = uplink_device});
    EXPECT_EQ(difference(bytes_of(at_router / ip / SCTP{outside, peer} / chunks(40)), outcome.packet), "");
    expect_packet(From::uplink, from_world / answers / SCTP{peer, outside} / chunks(41), VERDICT_PASS_TRANSLATED,
                  from_world / answers / SCTP{peer, own_port} / chunks(41));
}

TEST_P(Sctp, OfTheHostsOwnInFragmentsIsLeftAlone) {
    EXPECT_EQ(port_in_world(From::sandbox_a, asks_server(from_a, ip_a)), own_port);
    only_port(outside);
    constexpr Ethernet at_router{.source = mac_uplink, .destination = mac_router};
    const IPv4 ip{.source = ip_uplink, .destination = ip_server};
    for (const Frame& piece : fragments_of(at_router / ip / SCTP{own_port, peer} / chunks(200), 80)) {
        const Outcome outcome = datapath_->run(Program::from_stack, bytes_of(piece), {.ifindex = uplink_device});
        EXPECT_EQ(outcome.action, -1);  // TC_ACT_UNSPEC
        EXPECT_EQ(difference(bytes_of(piece), outcome.packet), "");
    }
}

TEST_P(Sctp, HoldsItsChecksumWhenTheHostsStackHasForwardedIt) {
    only_port(outside);
    constexpr Ethernet at_router{.source = mac_uplink, .destination = mac_router};
    const IPv4 forwarded{.source = ip_a, .destination = ip_server, .ttl = 63};
    expect_packet(From::forwarder, at_router / forwarded / SCTP{inside, peer} / chunks(1001), VERDICT_PASS_TRANSLATED,
                  at_router / asked / SCTP{outside, peer} / chunks(1001));
}

// Fragments tell no length but of the last, so their CRC can't be mended.

TEST_P(Sctp, InFragmentsCrossesUnderItsOwnPort) {
    const auto in = fragments_of(from_a / asks / SCTP{own_port, peer} / chunks(200), 80),
               out = fragments_of(from_a / asked / SCTP{own_port, peer} / chunks(200), 80, first_identification);
    ASSERT_EQ(in.size(), 3U);
    for (std::size_t i = 0; i < in.size(); ++i) {
        expect_packet(From::sandbox_a, in[i], VERDICT_TO_WORLD, out[i]);
    }
    const auto back = fragments_of(from_world / answers / SCTP{peer, own_port} / chunks(200), 80),
               delivered = fragments_of(at_a / answered / SCTP{peer, own_port} / chunks(200), 80);
    for (std::size_t i = 0; i < back.size(); ++i) {
        expect_packet(From::uplink, back[i], VERDICT_TO_SANDBOX, delivered[i]);
    }
}

TEST_P(Sctp, InFragmentsIsDroppedUnderAnotherPort) {
    only_port(outside);
    for (const Frame& piece : fragments_of(from_a / asks / SCTP{inside, peer} / chunks(200), 80)) {
        expect_verdict(From::sandbox_a, piece, VERDICT_DROP_FRAGMENT);
    }
    for (const Frame& piece : fragments_of(from_world / answers / SCTP{peer, outside} / chunks(200), 80)) {
        expect_verdict(From::uplink, piece, VERDICT_DROP_FRAGMENT);
    }
    expect_packet(From::sandbox_a, from_a / asks / SCTP{inside, peer} / chunks(20), VERDICT_TO_WORLD,
                  from_a / asked / SCTP{outside, peer} / chunks(20));
}

// ICMP errors: what is quoted is never less than ports and tag. The checksum of what is not whole nobody can verify.

class SctpError : public Sctp {
protected:
    void SetUp() override {
        Sctp::SetUp();
        only_port(outside);
        expect_verdict(From::sandbox_a, from_a / asks / SCTP{inside, peer} / chunks(20), VERDICT_TO_WORLD);
    }

    static Frame quoting(const Frame& before, std::size_t bytes, const IPv4& ip, const SCTP& sctp) {
        return before / IcmpError{.code = 2, .quoted = 20 + bytes} / ip / sctp / chunks(40);
    }
};

TEST_P(SctpError, ReachesWhoeverItIsAbout) {
    constexpr std::uint32_t crc = 0x12345678;
    for (const std::size_t bytes : {8U, 11U, 12U, 52U}) {
        SCOPED_TRACE(bytes);
        const IPv4 by_router{.source = ip_router, .destination = ip_uplink, .ttl = 50},
            to_a{.source = ip_router, .destination = ip_a, .ttl = 49}, by_a{.source = ip_a, .destination = ip_server},
            to_server{.source = ip_uplink, .destination = ip_server, .ttl = 63};
        expect_packet(From::uplink,
                      quoting(from_world / by_router, bytes, {.source = ip_uplink, .destination = ip_server},
                              {outside, peer, 9, crc}),
                      VERDICT_TO_SANDBOX,
                      quoting(at_a / to_a, bytes, {.source = ip_a, .destination = ip_server}, {inside, peer, 9, crc}));
        expect_packet(From::sandbox_a,
                      quoting(from_a / by_a, bytes, {.source = ip_server, .destination = ip_a}, {peer, inside, 9, crc}),
                      VERDICT_TO_WORLD,
                      quoting(from_a / to_server, bytes, {.source = ip_server, .destination = ip_uplink},
                              {peer, outside, 9, crc}));
    }
}

TEST_P(SctpError, IsTheHostsWhenItIsAboutAnotherPort) {
    const Frame frame = quoting(from_world / IPv4{.source = ip_router, .destination = ip_uplink, .ttl = 50}, 8,
                                {.source = ip_uplink, .destination = ip_server},
                                {.source_port = outside - 1, .destination_port = peer});
    expect_packet(From::uplink, frame, VERDICT_PASS_STACK, frame);
}

TEST_P(SctpError, IsAboutNoFlowWhenItQuotesLessThanPortsAndTag) {
    const Frame frame = quoting(from_world / IPv4{.source = ip_router, .destination = ip_uplink, .ttl = 50}, 7,
                                {.source = ip_uplink, .destination = ip_server}, {outside, peer});
    expect_packet(From::uplink, frame, VERDICT_PASS_STACK, frame);
}

// A device that makes CRCs does so later, of what is there then.
class LiveSctp : public Live {};

TEST_P(LiveSctp, LeavesAChecksumThatIsStillToBeMade) {
    configure([](network& network) { network.port_min = network.port_max = outside; });
    Wire a = far_end("a"), router = far_end("router");
    const std::size_t transport = family() == Family::ipv6 ? 54 : 34;
    const auto packet = [](const Ethernet& link, const IPv4& ip, std::uint16_t port, std::uint32_t crc) {
        return link / ip / SCTP{port, peer, 1, crc} / chunks(16);
    };
    constexpr Ethernet at_router{.source = mac_uplink, .destination = mac_router};
    a.send_unfinished(bytes_of(packet(from_a, asks, inside, 0)), transport, 8);
    EXPECT_EQ(difference(bytes_of(packet(at_router, asked, outside, 0)), router.receive()), "");
}

RUN_IN_EACH_FAMILY(Sctp);
RUN_IN_EACH_FAMILY(SctpError);
RUN_IN_EACH_FAMILY(LiveSctp);

}  // namespace
}  // namespace causeway::test::sctp_test
