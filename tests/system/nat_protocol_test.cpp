// SPDX-License-Identifier: Apache-2.0
// UDP in all its forms, and protocols of which translation knows addresses only.
#include <gmock/gmock.h>

#include "tests/support/packet_bytes.hpp"
#include "tests/system/crossing.hpp"
#include "tests/system/layout.hpp"

namespace causeway::test::nat_protocol_test {
namespace {

using testing::IsEmpty;

constexpr std::uint16_t sandboxes_port = 40000, peers_port = 5300;
constexpr std::uint8_t gre = 47, esp = 50, experimental = 253;  // RFC 3692

class Protocols : public Crossroads {
protected:
    void SetUp() override { build(); }

    // What stands in an IP packet between a sandbox and the peer, as sent and as it arrives.
    using Filled = std::function<Frame(Frame)>;
    testing::AssertionResult goes_out(const IPv4& more, const Filled& fill, std::size_t number = 0) {
        auto sent = more, seen = more;
        sent.source = road().address(number);
        seen.source = node_ip;
        sent.destination = seen.destination = peer_ip;
        seen.ttl = 63;
        const auto crossed = road().out(fill(road().from_sandbox(number) / sent), number);
        return with_counts(is_only(crossed.world, fill(road().from_world() / seen)));
    }
    testing::AssertionResult comes_in(const IPv4& more, const Filled& fill, std::size_t number = 0) {
        auto sent = more, seen = more;
        sent.source = seen.source = peer_ip;
        sent.destination = node_ip;
        seen.destination = road().address(number);
        seen.ttl = 63;
        const auto crossed = road().in(fill(road().from_world() / sent));
        return with_counts(is_only(crossed.sandboxes[number], fill(road().from_world() / seen)));
    }
    static Filled text(const std::string& text) {
        return [=](Frame frame) { return frame / Payload{text}; };
    }
};

TEST_P(Protocols, UdpKeepsAChecksumOfZeroBothWays) {  // RFC 768
    const auto fill = [](std::uint16_t from, std::uint16_t to) {
        return [=](Frame frame) {
            return frame / UDP{.source_port = from, .destination_port = to, .checksum = 0} / Payload{"unsummed"};
        };
    };
    EXPECT_TRUE(goes_out({}, fill(sandboxes_port, peers_port)));
    EXPECT_TRUE(comes_in({}, fill(peers_port, sandboxes_port)));
}

// Zero would say that there is none (RFC 768).
TEST_P(Protocols, UdpChecksumsThatSumToZeroAreSentAsOnes) {
    const auto with_word = [](Ip source, unsigned word) {
        return Ethernet{} / IPv4{.source = source, .destination = peer_ip} /
               UDP{.source_port = sandboxes_port, .destination_port = peers_port} /
               Payload{{static_cast<char>(word >> 8), static_cast<char>(word)}};
    };
    const auto checksum = [&](Ip source, unsigned word) {
        const auto bytes = road().bytes(with_word(source, word));
        return get16(bytes, layout_of_frame(bytes).value().transport + 6);
    };
    for (const auto source : {road().address(), node_ip}) {  // before translation, and after
        const auto word = checksum(source, 0);               // which adds what is missing to all ones
        ASSERT_EQ(checksum(source, word), 0xffff);
        EXPECT_TRUE(goes_out({}, [&](Frame frame) {
            return frame / UDP{.source_port = sandboxes_port, .destination_port = peers_port} /
                   Payload{{static_cast<char>(word >> 8), static_cast<char>(word)}};
        }));
    }
}

TEST_P(Protocols, UdpLiteCrossesBothWays) {  // RFC 3828; RFC 4787 by analogy
    for (const auto coverage : {std::uint16_t{0}, std::uint16_t{8}, std::uint16_t{12}}) {
        const auto fill = [coverage](std::uint16_t from, std::uint16_t to) {
            return [=](Frame frame) {
                return frame / UdpLite{.source_port = from, .destination_port = to, .coverage = coverage} /
                       Payload{"partly summed"};
            };
        };
        EXPECT_TRUE(goes_out({}, fill(sandboxes_port, peers_port))) << coverage;
        EXPECT_TRUE(comes_in({}, fill(peers_port, sandboxes_port))) << coverage;
    }
}

TEST_P(Protocols, UdpLiteOfTwoSandboxesIsToldApartByPort) {
    std::vector<std::uint16_t> ports;
    for (const std::size_t number : {0U, 1U}) {
        const auto crossed =
            road().out(road().from_sandbox(number) / IPv4{.source = road().address(number), .destination = peer_ip} /
                           UdpLite{.source_port = sandboxes_port, .destination_port = peers_port} / Payload{"hello"},
                       number);
        ASSERT_EQ(crossed.world.size(), 1U) << describe(crossed) << counted();
        const auto& seen = crossed.world[0];
        ports.push_back(static_cast<std::uint16_t>(get16(seen, layout_of_frame(seen).value().transport)));
        EXPECT_TRUE(is_only({seen}, road().from_world() / IPv4{.source = node_ip, .destination = peer_ip, .ttl = 63} /
                                        UdpLite{.source_port = ports.back(), .destination_port = peers_port} /
                                        Payload{"hello"}));
    }
    EXPECT_NE(ports[0], ports[1]);
    for (const std::size_t number : {0U, 1U}) {
        const auto back = road().in(road().from_world() / IPv4{.source = peer_ip, .destination = node_ip} /
                                    UdpLite{.source_port = peers_port, .destination_port = ports[number]});
        EXPECT_TRUE(
            is_only(back.sandboxes[number],
                    road().from_world() / IPv4{.source = peer_ip, .destination = road().address(number), .ttl = 63} /
                        UdpLite{.source_port = peers_port, .destination_port = sandboxes_port}));
    }
}

TEST_P(Protocols, SctpAssociationsCrossBothWays) {
    // RFC 9260, section 3.3: INIT, INIT ACK, COOKIE ECHO, COOKIE ACK, DATA
    const std::string words("\0\0\0\1\0\1\0\0\0\1\0\1\0\0\0\1", 16),
        init = std::string("\1\0\0\x14", 4) + words, init_ack = std::string("\2\0\0\x14", 4) + words,
        cookie_echo(
            "\x0a\0\0\x08"
            "cook",
            8),
        cookie_ack("\x0b\0\0\4", 4), data = std::string("\0\3\0\x14\0\0\0\1\0\0\0\0\0\0\0\0data", 20);
    const auto fill = [](bool asks, std::uint32_t tag, const std::string& chunk) {
        return [=](Frame frame) {
            return frame /
                   SCTP{.source_port = asks ? sandboxes_port : peers_port,
                        .destination_port = asks ? peers_port : sandboxes_port,
                        .tag = tag} /
                   Payload{chunk};
        };
    };
    EXPECT_TRUE(goes_out({}, fill(true, 0, init)));
    EXPECT_TRUE(comes_in({}, fill(false, 1, init_ack)));
    EXPECT_TRUE(goes_out({}, fill(true, 1, cookie_echo)));
    EXPECT_TRUE(comes_in({}, fill(false, 1, cookie_ack)));
    EXPECT_TRUE(goes_out({}, fill(true, 1, data)));
    EXPECT_TRUE(comes_in({}, fill(false, 1, data)));
}

TEST_P(Protocols, WithoutPortsCrossBothWays) {
    const std::string plain_gre("\0\0\x08\0some packet", 15);
    for (const auto& [number, payload] : {std::pair{gre, plain_gre},
                                          {esp, std::string("\1\2\3\4\0\0\0\1opaque", 14)},
                                          {experimental, std::string("?")}}) {
        const IPv4 header{.protocol = number};
        EXPECT_TRUE(goes_out(header, text(payload))) << int{number};
        EXPECT_TRUE(comes_in(header, text(payload))) << int{number};
    }
}

TEST_P(Protocols, WithoutPortsServeOneSandboxAndPeerAtATime) {
    const IPv4 header{.protocol = experimental};
    EXPECT_TRUE(goes_out(header, text("blue"), 0));
    const auto second = road().out(
        road().from_sandbox(1) / IPv4{.source = road().address(1), .destination = peer_ip, .protocol = experimental} /
            Payload{"red"},
        1);
    EXPECT_THAT(second.world, IsEmpty()) << describe(second);
    EXPECT_TRUE(comes_in(header, text("for blue"), 0)) << "and it still serves the first";
    const auto elsewhere = road().out(
        road().from_sandbox(1) /
            IPv4{.source = road().address(1), .destination = other_peer_ip, .protocol = experimental} / Payload{"red"},
        1);
    EXPECT_TRUE(is_only(elsewhere.world,
                        road().from_world() /
                            IPv4{.source = node_ip, .destination = other_peer_ip, .ttl = 63, .protocol = experimental} /
                            Payload{"red"}))
        << counted();
}

TEST_P(Protocols, WithoutPortsNobodyAskedForReachNoSandbox) {
    const auto crossed = road().in(
        road().from_world() / IPv4{.source = peer_ip, .destination = node_ip, .protocol = experimental} / Payload{"?"});
    EXPECT_THAT(crossed.sandboxes[0], IsEmpty());
    EXPECT_THAT(crossed.sandboxes[1], IsEmpty());
}

TEST_P(Protocols, CrossWithIpOptions) {
    const IPv4 header{.options = {1, 1, 1, 0}};
    EXPECT_TRUE(goes_out(header, [](Frame frame) {
        return frame / UDP{.source_port = sandboxes_port, .destination_port = peers_port} / Payload{"optional"};
    }));
    EXPECT_TRUE(comes_in(header, [](Frame frame) {
        return frame / UDP{.source_port = peers_port, .destination_port = sandboxes_port} / Payload{"optional"};
    }));
}

class ProtocolsOfIPv4 : public Protocols {};

// RFC 1812, section 5.2.2: a router verifies it, and must discard what fails.
TEST_P(ProtocolsOfIPv4, WithAWrongIpChecksumDoNotCross) {
    const auto out = road().out(road().from_sandbox() /
                                IPv4{.source = road().address(), .destination = peer_ip, .checksum = 0x1234} /
                                UDP{.source_port = sandboxes_port, .destination_port = peers_port});
    EXPECT_EQ(out.size(), 0U) << describe(out);
    const UDP udp{.source_port = sandboxes_port, .destination_port = peers_port};
    ASSERT_TRUE(goes_out({}, [&](Frame frame) { return frame / udp; }));
    const auto in =
        road().in(road().from_world() / IPv4{.source = peer_ip, .destination = node_ip, .checksum = 0x1234} /
                  UDP{.source_port = peers_port, .destination_port = sandboxes_port});
    EXPECT_EQ(in.size(), 0U) << describe(in);
}

FOR_BOTH_TRANSLATORS_AND_FAMILIES(Protocols);
FOR_BOTH_TRANSLATORS(ProtocolsOfIPv4);

}  // namespace
}  // namespace causeway::test::nat_protocol_test
