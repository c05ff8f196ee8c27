// SPDX-License-Identifier: Apache-2.0
// Subnets of both families: read, printed, what is first, last and inside, which of them overlap.
#include "tests/unit/expectation.hpp"
#include "userspace/address.hpp"

namespace causeway::test::prefix_test {
namespace {

using namespace std::string_view_literals;

Prefix prefix_of(std::string_view text) {
    return Prefix::parse(text).value();
}

struct Bounds {
    const char* name;
    std::string_view text, first, last;
};

void PrintTo(const Bounds& row, std::ostream* out) {
    *out << row.text;
}

class PrefixBounds : public testing::TestWithParam<Bounds> {};

TEST_P(PrefixBounds, AreFoundFor) {
    const auto& [name, text, first, last] = GetParam();
    const auto prefix = Prefix::parse(text);
    ASSERT_TRUE(succeeds(prefix));
    EXPECT_EQ(prefix->text(), text);
    EXPECT_EQ(prefix->first().text(), first);
    EXPECT_EQ(prefix->last().text(), last);
    EXPECT_TRUE(prefix->contains(prefix->address));
    EXPECT_TRUE(prefix->contains(prefix->first()));
    EXPECT_TRUE(prefix->contains(prefix->last()));
}

INSTANTIATE_TEST_SUITE_P(
    , PrefixBounds,
    testing::Values(Bounds{"AWholeByte", "10.0.0.0/24", "10.0.0.0", "10.0.0.255"},
                    Bounds{"AnAddressInIt", "10.0.0.5/24", "10.0.0.0", "10.0.0.255"},
                    Bounds{"PartOfAByte", "10.0.0.77/27", "10.0.0.64", "10.0.0.95"},
                    Bounds{"OneBit", "192.0.2.1/1", "128.0.0.0", "255.255.255.255"},
                    Bounds{"TwoAddresses", "10.0.0.3/31", "10.0.0.2", "10.0.0.3"},
                    Bounds{"OneAddress", "10.0.0.3/32", "10.0.0.3", "10.0.0.3"},
                    Bounds{"AllOfIPv4", "10.0.0.3/0", "0.0.0.0", "255.255.255.255"},
                    Bounds{"AnIPv6Subnet", "2001:db8::5/64", "2001:db8::", "2001:db8::ffff:ffff:ffff:ffff"},
                    Bounds{"PartOfAnIPv6Byte", "2001:db8::5/61", "2001:db8::", "2001:db8:0:7:ffff:ffff:ffff:ffff"},
                    Bounds{"OneIPv6Address", "2001:db8::5/128", "2001:db8::5", "2001:db8::5"},
                    Bounds{"AllOfIPv6", "2001:db8::5/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}),
    name_of_row);

struct Malformed {
    const char* name;
    std::string_view text;
};

void PrintTo(const Malformed& row, std::ostream* out) {
    *out << row.text;
}

class PrefixMalformed : public testing::TestWithParam<Malformed> {};

TEST_P(PrefixMalformed, IsRefusedWhen) {
    EXPECT_TRUE(fails_with(Prefix::parse(GetParam().text), Code::invalid_configuration, {"is not a"}));
}

INSTANTIATE_TEST_SUITE_P(
    , PrefixMalformed,
    testing::Values(
        Malformed{"Empty", ""}, Malformed{"TheLengthIsMissing", "10.0.0.0"}, Malformed{"TheLengthIsEmpty", "10.0.0.0/"},
        Malformed{"TheAddressIsEmpty", "/24"}, Malformed{"TheLengthIsTooLargeForIPv4", "10.0.0.0/33"},
        Malformed{"TheLengthIsTooLargeForIPv6", "2001:db8::/129"}, Malformed{"TheLengthIsNegative", "10.0.0.0/-1"},
        Malformed{"TheLengthIsMinusZero", "10.0.0.0/-0"}, Malformed{"TheLengthHasASign", "10.0.0.0/+24"},
        Malformed{"TheLengthIsAMask", "10.0.0.0/255.255.255.0"}, Malformed{"TheLengthOverflows", "10.0.0.0/4294967320"},
        Malformed{"ASpaceFollows", "10.0.0.0/24 "}, Malformed{"ASpaceIsInside", "10.0.0.0/ 24"},
        Malformed{"ANulFollows", "10.0.0.0/24\0"sv}, Malformed{"ANulIsInside", "10.0.0.0\0/24"sv},
        Malformed{"TwoLengths", "10.0.0.0/24/24"}, Malformed{"MappedIPv4", "::ffff:10.0.0.0/24"},
        Malformed{"MappedIPv4InIPv6Bits", "::ffff:10.0.0.0/120"}, Malformed{"AWord", "default"}),
    name_of_row);

TEST(Prefix, ContainsWhatIsBetweenItsBounds) {
    const auto subnet = prefix_of("10.0.0.64/26");
    EXPECT_TRUE(subnet.contains(Address::of_ipv4(0x0a000064)));
    EXPECT_FALSE(subnet.contains(Address::of_ipv4(0x0a00003f)));
    EXPECT_FALSE(subnet.contains(Address::of_ipv4(0x0a000080)));
}

TEST(Prefix, ContainsNothingOfTheOtherFamily) {
    EXPECT_FALSE(prefix_of("::/0").contains(Address::of_ipv4(0x0a000001)));
    EXPECT_FALSE(prefix_of("0.0.0.0/0").contains(Address::parse("2001:db8::1").value()));
    EXPECT_FALSE(prefix_of("0.0.0.0/0").contains(Address()));
}

struct Pair {
    const char* name;
    std::string_view one, other;
    bool overlap;
};

void PrintTo(const Pair& row, std::ostream* out) {
    *out << row.one << " and " << row.other;
}

class PrefixOverlaps : public testing::TestWithParam<Pair> {};

TEST_P(PrefixOverlaps, BothWaysOrNot) {
    const auto one = prefix_of(GetParam().one), other = prefix_of(GetParam().other);
    EXPECT_EQ(one.overlaps(other), GetParam().overlap);
    EXPECT_EQ(other.overlaps(one), GetParam().overlap);
}

INSTANTIATE_TEST_SUITE_P(, PrefixOverlaps,
                         testing::Values(Pair{"Itself", "10.0.0.0/24", "10.0.0.0/24", true},
                                         Pair{"Inside", "10.0.0.0/16", "10.0.3.0/24", true},
                                         Pair{"InsideAtTheEnd", "10.0.0.0/24", "10.0.0.255/32", true},
                                         Pair{"InsideByHostBits", "10.0.0.200/24", "10.0.0.7/28", true},
                                         Pair{"All", "0.0.0.0/0", "10.0.0.0/24", true},
                                         Pair{"TheNext", "10.0.0.0/24", "10.0.1.0/24", false},
                                         Pair{"TheHalves", "10.0.0.0/25", "10.0.0.128/25", false},
                                         Pair{"IPv6", "2001:db8::/32", "2001:db8:1::/48", true},
                                         Pair{"TheNextInIPv6", "2001:db8::/48", "2001:db8:1::/48", false},
                                         Pair{"TheFamilies", "0.0.0.0/0", "::/0", false}),
                         name_of_row);

}  // namespace
}  // namespace causeway::test::prefix_test
