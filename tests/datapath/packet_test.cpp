// SPDX-License-Identifier: Apache-2.0
// The packets of these tests themselves, against bytes that a Linux stack has sent.
#include <gtest/gtest.h>

#include "tests/support/packet.hpp"
#include "tests/support/packet_bytes.hpp"

namespace causeway::test::packet_test {
namespace {

constexpr Ethernet a_to_b{.source = "02:00:00:00:00:0a"_mac, .destination = "02:00:00:00:00:0b"_mac};

IPv4 ip_with(std::uint16_t identification) {
    return {.source = "10.0.0.2"_ip, .destination = "10.0.0.3"_ip, .identification = identification};
}

Bytes from_hex(const std::string& text) {
    Bytes bytes;
    for (std::size_t i = 0; i < text.size(); i += 2) {
        bytes.push_back(static_cast<std::uint8_t>(std::stoul(text.substr(i, 2), nullptr, 16)));
    }
    return bytes;
}

void expect_bytes(const Frame& frame, const std::string& sent) {
    EXPECT_EQ(difference(from_hex(sent), frame.bytes()), "");
    EXPECT_EQ(wrong_checksums(from_hex(sent)), "");
}

TEST(Packet, IsAsTheStackSendsItWhenItIsUdp) {
    expect_bytes(a_to_b / ip_with(0x565a) / UDP{.source_port = 40000, .destination_port = 53} / Payload{"odd"},
                 "02000000000b02000000000a08004500001f565a40004011d06f0a0000020a0000039c400035000b7bf96f6464");
}

TEST(Packet, IsAsTheStackSendsItWhenItIsTcp) {
    expect_bytes(
        a_to_b / ip_with(0x46a4) /
            TCP{.source_port = 40001, .sequence = 0x8e35e952, .options = {2, 4, 5, 0xb4, 1, 1, 4, 2, 1, 3, 3, 10}},
        "02000000000b02000000000a08004500003446a440004006e01b0a0000020a0000039c4100508e35e952000000008002faf0"
        "4bff0000020405b4010104020103030a");
}

TEST(Packet, IsAsTheStackSendsItWhenItIsIcmp) {
    expect_bytes(a_to_b / ip_with(0x4bb0) / ICMP{.identifier = 0x5f3f} / Payload{std::string("\0\1\2\3\4\5\6\7\10", 9)},
                 "02000000000b02000000000a0800450000254bb040004001db230a0000020a000003080084af5f3f000100010203040506"
                 "0708");
}

IPv6 ip6_with(std::uint32_t flow_label) {
    return {.source = "fd00::2"_ip6, .destination = "fd00::3"_ip6, .flow_label = flow_label};
}

TEST(Packet, IsAsTheStackSendsItWhenItIsUdpWithinIPv6) {
    expect_bytes(
        a_to_b / ip6_with(0x61828) / UDP{.source_port = 40000, .destination_port = 53} / Payload{"odd"},
        "02000000000b02000000000a86dd60061828000b1140fd000000000000000000000000000002fd000000000000000000000000"
        "0000039c400035000b95f76f6464");
}

TEST(Packet, IsAsTheStackSendsItWhenItIsTcpWithinIPv6) {
    expect_bytes(
        a_to_b / ip6_with(0xbad0e) /
            TCP{.source_port = 40001,
                .sequence = 0x22148a06,
                .window = 0xfd20,
                .options = {2, 4, 5, 0xa0, 4, 2, 8, 10, 0x3d, 0xfa, 0xf2, 0xdf, 0, 0, 0, 0, 1, 3, 3, 10}},
        "02000000000b02000000000a86dd600bad0e00280640fd000000000000000000000000000002fd000000000000000000000000"
        "0000039c41005022148a0600000000a002fd20d7630000020405a00402080a3dfaf2df000000000103030a");
}

TEST(Packet, IsAsTheStackSendsItWhenItIsIcmpWithinIPv6) {
    expect_bytes(
        a_to_b / ip6_with(0x86933) / ICMP{.type = icmpv6_echo_request, .identifier = 0x5f3f} /
            Payload{std::string("\0\1\2\3\4\5\6\7\10", 9)},
        "02000000000b02000000000a86dd6008693300113a40fd000000000000000000000000000002fd000000000000000000000000"
        "0000038000125d5f3f0001000102030405060708");
}

TEST(Packet, IsAsTheStackSendsItWhenItIsANeighbourSolicitation) {
    expect_bytes(Ethernet{.source = "02:00:00:00:00:0a"_mac, .destination = "33:33:ff:00:00:09"_mac} /
                     IPv6{.source = "fd00::2"_ip6, .destination = "ff02::1:ff00:9"_ip6, .hop_limit = 255} /
                     Neighbour{.target = "fd00::9"_ip6, .source_link = "02:00:00:00:00:0a"_mac},
                 "3333ff00000902000000000a86dd6000000000203afffd000000000000000000000000000002ff020000000000000000000"
                 "1ff00000987007d7f00000000fd000000000000000000000000000009010102000000000a");
}

TEST(Packet, IsAsTheStackSendsItWhenItIsAFragmentOfIPv6) {
    IPv6 ip = ip6_with(0x61828);
    ip.payload_length = 0x5b0;
    const Bytes bytes = (a_to_b / ip / FragmentHeader{.more_fragments = true, .identification = 0x4e2284b0} /
                         UDP{.source_port = 40000, .destination_port = 53, .length = 0x7d8, .checksum = 0xd73f})
                            .bytes();
    const Bytes sent = from_hex(
        "02000000000b02000000000a86dd6006182805b02c40fd000000000000000000000000000002fd000000000000000000000000000003"
        "110000014e2284b09c40003507d8d73f");
    EXPECT_EQ(difference(sent, bytes), "");
}

TEST(Packet, HasEachExtensionHeaderNameTheNextWhenThereAreMany) {
    const Bytes bytes = (a_to_b / ip6_with(0) / Extension{.kind = hop_by_hop} / Extension{.kind = routing} /
                         Extension{.body = Bytes(14)} / UDP{})
                            .bytes();
    ASSERT_EQ(bytes.size(), 14U + 40 + 8 + 8 + 16 + 8);
    EXPECT_EQ(bytes[20], hop_by_hop);
    EXPECT_EQ(bytes[54], routing);
    EXPECT_EQ(bytes[62], destination_options);
    EXPECT_EQ(bytes[70], 17);
    EXPECT_EQ(bytes[71], 1);
    EXPECT_EQ(wrong_checksums(bytes), "");
    EXPECT_EQ(source_port_of(bytes), 40000);
}

TEST(Packet, TakesWhatATestGivesWhenItGivesIt) {
    const Bytes bytes = (a_to_b / IPv4{.version = 6, .header_words = 4, .total_length = 7, .checksum = 0x1234}).bytes();
    EXPECT_EQ(bytes[14], 0x64);
    EXPECT_EQ(bytes[17], 7);
    EXPECT_EQ(bytes[24] << 8 | bytes[25], 0x1234);
}

TEST(Packet, EndsWhereItIsCutWhenItIsCut) {
    EXPECT_EQ((a_to_b / ip_with(1) / TCP{}).cut(33).bytes().size(), 33U);
}

TEST(Packet, CountsNoPaddingWhenItIsPadded) {
    const Bytes bytes = (a_to_b / ip_with(1) / UDP{} / Padding{18}).bytes();
    EXPECT_EQ(bytes.size(), 60U);
    EXPECT_EQ(bytes[17], 28);
    EXPECT_EQ(wrong_checksums(bytes), "");
}

TEST(Difference, NamesTheFieldWhenOneDiffers) {
    const Bytes one = (a_to_b / ip_with(1) / TCP{.source_port = 1}).bytes();
    const Bytes other = (a_to_b / ip_with(1) / TCP{.source_port = 2, .checksum = 0}).bytes();
    EXPECT_NE(difference(one, other).find("TCP source port: expected 1, got 2"), std::string::npos);
    EXPECT_EQ(difference(one, other).find("IPv4"), std::string::npos);
}

TEST(WrongChecksums, AreNamedWhenTheyDoNotHold) {
    EXPECT_NE(wrong_checksums((a_to_b / IPv4{.checksum = 1} / TCP{}).bytes()), "");
    EXPECT_NE(wrong_checksums((a_to_b / ip_with(1) / TCP{.checksum = 1}).bytes()), "");
    EXPECT_NE(wrong_checksums((a_to_b / ip_with(1) / UDP{.checksum = 1}).bytes()), "");
    EXPECT_NE(wrong_checksums((a_to_b / ip_with(1) / ICMP{.checksum = 1}).bytes()), "");
    EXPECT_NE(wrong_checksums((a_to_b / ip_with(1) / SCTP{.checksum = 1}).bytes()), "");
}

// The check value of the catalogue of CRCs, CRC-32/ISCSI.
TEST(WrongChecksums, AreNoneWhenACrcIsRight) {
    const std::string digits = "123456789";
    EXPECT_EQ(crc32c(Bytes(digits.begin(), digits.end())), __builtin_bswap32(0xe3069283));
    EXPECT_EQ(wrong_checksums((a_to_b / ip_with(1) / SCTP{} / Payload{"odd"}).bytes()), "");
}

TEST(WrongChecksums, AreNamedWhenTheyDoNotHoldWithinIPv6) {
    EXPECT_NE(wrong_checksums((a_to_b / ip6_with(1) / TCP{.checksum = 1}).bytes()), "");
    EXPECT_NE(wrong_checksums((a_to_b / ip6_with(1) / UDP{.checksum = 1}).bytes()), "");
    EXPECT_NE(wrong_checksums((a_to_b / ip6_with(1) / ICMP{.type = 128, .checksum = 1}).bytes()), "");
    EXPECT_NE(wrong_checksums((a_to_b / ip6_with(1) / Extension{} / TCP{.checksum = 1}).bytes()), "");
}

TEST(WrongChecksums, AreNoneWhenUdpHasNone) {
    EXPECT_EQ(wrong_checksums((a_to_b / ip_with(1) / UDP{.checksum = 0}).bytes()), "");
}

}  // namespace
}  // namespace causeway::test::packet_test
