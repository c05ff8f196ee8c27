// SPDX-License-Identifier: Apache-2.0
// What a test that is written as IPv4 means where it runs as IPv6.
#include "tests/support/family.hpp"

#include <gtest/gtest.h>

namespace causeway::test::family_test {
namespace {

constexpr Ethernet link{.source = "02:00:00:00:00:0a"_mac, .destination = "02:00:00:00:00:0b"_mac};
constexpr Ip inside = "10.0.0.2"_ip, outside = "198.51.100.7"_ip;
constexpr Ip6 inside6 = "fd00::a00:2"_ip6, outside6 = "2001:db8::c633:6407"_ip6;

void expect_same(const Frame& in, const Frame& expected) {
    EXPECT_EQ(difference(expected.bytes(), in_family(in, Family::ipv6).bytes()), "");
    EXPECT_EQ(difference(in.bytes(), in_family(in, Family::ipv4).bytes()), "");
}

TEST(InFamily, MakesAnIPv6HeaderOfAnIPv4Header) {
    expect_same(link / IPv4{.source = inside, .destination = outside, .ttl = 3, .type_of_service = 0xb8} / TCP{},
                link / IPv6{.source = inside6, .destination = outside6, .hop_limit = 3, .traffic_class = 0xb8} / TCP{});
}

TEST(InFamily, MakesIcmpv6OfIcmp) {
    expect_same(
        link / IPv4{.source = inside, .destination = outside} / ICMP{} / Payload{"odd"},
        link / IPv6{.source = inside6, .destination = outside6} / ICMP{.type = icmpv6_echo_request} / Payload{"odd"});
}

TEST(InFamily, MakesTheErrorThatMeansTheSameAndQuotesAsMuchOfTheTransport) {
    const IPv4 ip{.source = outside, .destination = inside}, quoted{.source = inside, .destination = outside};
    const IPv6 ip6{.source = outside6, .destination = inside6}, quoted6{.source = inside6, .destination = outside6};
    expect_same(link / ip / IcmpError{.code = 4, .rest = 1400, .quoted = 28} / quoted / TCP{},
                link / ip6 / IcmpError{.type = icmpv6_too_big, .rest = 1400, .quoted = 48} / quoted6 / TCP{});
    expect_same(link / ip / IcmpError{.code = 3} / quoted / UDP{},
                link / ip6 / IcmpError{.type = icmpv6_unreachable, .code = 4} / quoted6 / UDP{});
}

TEST(InFamily, MakesAFragmentHeaderOfAFragment) {
    expect_same(link /
                    IPv4{.source = inside,
                         .destination = outside,
                         .protocol = 17,
                         .identification = 7,
                         .dont_fragment = false,
                         .more_fragments = true,
                         .fragment_offset = 5} /
                    Payload{"12345678"},
                link / IPv6{.source = inside6, .destination = outside6} /
                    FragmentHeader{.offset = 5, .more_fragments = true, .identification = 7, .next_header = 17} /
                    Payload{"12345678"});
}

TEST(InFamily, MakesAHopByHopHeaderOfOptions) {
    const IPv4 ip{.source = inside, .destination = outside, .options = Bytes(12, 1)};
    expect_same(link / ip / UDP{},
                link / IPv6{.source = inside6, .destination = outside6} /
                    Extension{.kind = hop_by_hop, .body = {1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}} / UDP{});
}

TEST(InFamily, CutsAndCountsWhereTheTransportIsCut) {
    const IPv4 ip{.source = inside, .destination = outside, .total_length = 39};
    const Frame cut = in_family((link / ip / TCP{}).cut(53), Family::ipv6);
    EXPECT_EQ(cut.bytes().size(), 73U);
    EXPECT_EQ(cut.bytes()[19], 19);
}

TEST(InFamily, LeavesIPv6AsItIs) {
    const Frame frame = link / IPv6{.source = inside6, .destination = outside6} / ICMP{.type = 3} / Payload{"x"};
    EXPECT_EQ(in_family(frame, Family::ipv6).bytes(), frame.bytes());
}

TEST(InFamily, ReplacesTheAddressesOfCommands) {
    EXPECT_EQ(in_family("route add 198.51.100.0/24 via 203.0.113.254 mtu lock 1400\n", Family::ipv6),
              "route add 2001:db8::c633:6400/120 via 2001:db8::cb00:71fe mtu lock 1400\n");
    EXPECT_EQ(in_family("route add 10.0.0.2 dev cw0", Family::ipv4), "route add 10.0.0.2 dev cw0");
}

}  // namespace
}  // namespace causeway::test::family_test
