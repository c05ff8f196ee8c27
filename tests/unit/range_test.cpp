// SPDX-License-Identifier: Apache-2.0
// What a subnet alone makes of a range of addresses to give out.
#include "tests/unit/expectation.hpp"
#include "userspace/pool.hpp"

namespace causeway::test::range_test {
namespace {

struct Subnet {
    const char* name;
    std::string_view text, gateway, last;
};

void PrintTo(const Subnet& row, std::ostream* out) {
    *out << row.text;
}

class RangeOfSubnet : public testing::TestWithParam<Subnet> {};

TEST_P(RangeOfSubnet, BeginsWithTheGatewayWhenTheSubnetIs) {
    const auto& [name, text, gateway, last] = GetParam();
    const auto range = Range::of_subnet(Prefix::parse(text).value());
    ASSERT_TRUE(succeeds(range));
    EXPECT_EQ(range->subnet.address, range->subnet.first());
    EXPECT_EQ(range->gateway.text(), gateway);
    EXPECT_EQ(range->first.text(), gateway);
    EXPECT_EQ(range->last.text(), last);
}

INSTANTIATE_TEST_SUITE_P(, RangeOfSubnet,
                         testing::Values(Subnet{"OfTheUsualSize", "10.0.0.0/24", "10.0.0.1", "10.0.0.255"},
                                         Subnet{"Large", "10.0.0.0/8", "10.0.0.1", "10.255.255.255"},
                                         Subnet{"TheSmallest", "10.0.0.4/30", "10.0.0.5", "10.0.0.7"},
                                         Subnet{"GivenByAnAddressInIt", "10.0.0.77/24", "10.0.0.1", "10.0.0.255"},
                                         Subnet{"IPv6", "2001:db8::/64", "2001:db8::1",
                                                "2001:db8::ffff:ffff:ffff:ffff"}),
                         name_of_row);

class RangeOfSmallSubnet : public testing::TestWithParam<Subnet> {};

TEST_P(RangeOfSmallSubnet, IsRefusedWhenTheSubnetHas) {
    EXPECT_TRUE(fails_with(Range::of_subnet(Prefix::parse(GetParam().text).value()), Code::invalid_configuration,
                           {GetParam().text, "no room"}));
}

INSTANTIATE_TEST_SUITE_P(, RangeOfSmallSubnet,
                         testing::Values(Subnet{"TwoAddresses", "10.0.0.2/31"}, Subnet{"OneAddress", "10.0.0.2/32"},
                                         Subnet{"TwoIPv6Addresses", "2001:db8::/127"},
                                         Subnet{"OneIPv6Address", "2001:db8::/128"}),
                         name_of_row);

struct Part {
    const char* name;
    std::string_view subnet, first, last;
    std::vector<std::string_view> excluded;
    std::uint64_t size;
};

void PrintTo(const Part& row, std::ostream* out) {
    *out << row.subnet;
}

class RangeSize : public testing::TestWithParam<Part> {};

TEST_P(RangeSize, CountsWhatIsGivenOut) {
    const auto& [name, subnet, first, last, excluded, size] = GetParam();
    auto range = Range::of_subnet(Prefix::parse(subnet).value()).value();
    range.first = first.empty() ? range.first : Address::parse(first).value();
    range.last = last.empty() ? range.last : Address::parse(last).value();
    for (const auto text : excluded) {
        range.excluded.push_back(Prefix::parse(text).value());
    }
    EXPECT_EQ(size_of(range), size);
}

INSTANTIATE_TEST_SUITE_P(
    , RangeSize,
    testing::Values(Part{"OfTheUsualSize", "10.0.0.0/24", "", "", {}, 253},
                    Part{"TheSmallest", "10.0.0.4/30", "", "", {}, 1},
                    Part{"TheSmallestOfIPv6", "fd00::/126", "", "", {}, 2},
                    Part{"WithoutASubnetOfIPv6", "fd00::/120", "", "", {"fd00::80/121"}, 126},
                    Part{"AllOfALinksSubnet", "fd00::/64", "", "", {}, ~std::uint64_t{0} - 1},
                    Part{"MoreThanCanBeCounted", "fd00::/48", "", "", {"fd00::/64"}, ~std::uint64_t{0}},
                    Part{"Large", "10.0.0.0/8", "", "", {}, (1U << 24) - 3},
                    Part{"FromTheSubnetsOwnAddress", "10.0.0.0/24", "10.0.0.0", "", {}, 253},
                    Part{"BeyondTheGateway", "10.0.0.0/24", "10.0.0.10", "10.0.0.12", {}, 3},
                    Part{"OfTheGatewayAlone", "10.0.0.0/24", "10.0.0.1", "10.0.0.1", {}, 0},
                    Part{"WithoutASubnetInIt", "10.0.0.0/24", "", "", {"10.0.0.64/26"}, 253 - 64},
                    Part{"WithoutSubnetsInEachOther",
                         "10.0.0.0/24",
                         "",
                         "",
                         {"10.0.0.64/26", "10.0.0.70/32", "10.0.0.96/27"},
                         253 - 64},
                    Part{"WithoutItsBeginning", "10.0.0.0/24", "", "", {"10.0.0.0/25"}, 127},
                    Part{"WithoutItsEnd", "10.0.0.0/24", "", "", {"10.0.0.128/25"}, 126},
                    Part{"WithoutAll", "10.0.0.0/24", "", "", {"10.0.0.0/24"}, 0},
                    Part{"WithoutWhatIsNotInIt", "10.0.0.0/24", "10.0.0.10", "10.0.0.12", {"10.0.0.64/26"}, 3},
                    Part{"WithoutWhatReachesOverItsEnds",
                         "10.0.0.0/24",
                         "10.0.0.10",
                         "10.0.0.70",
                         {"10.0.0.0/29", "10.0.0.64/26"},
                         54}),
    name_of_row);

// Two parts of one subnet and one of another, which give out 10.0.0.2-10.0.0.20 and so on.
std::vector<Range> parts() {
    auto low = Range::of_subnet(Prefix::parse("10.0.0.0/24").value()).value(), high = low;
    low.last = Address::parse("10.0.0.20").value();
    low.excluded.push_back(Prefix::parse("10.0.0.8/30").value());
    high.first = Address::parse("10.0.0.100").value();
    return {low, high, Range::of_subnet(Prefix::parse("fd00::/120").value()).value()};
}

TEST(Ranges, AreToldByWhatTheyGiveOut) {
    EXPECT_EQ(text_of(parts()), "10.0.0.2-10.0.0.20, 10.0.0.100-10.0.0.254, fd00::2-fd00::ff");
    auto behind = Range::of_subnet(Prefix::parse("10.0.0.0/24").value()).value();
    behind.gateway = Address::parse("10.0.0.254").value();
    EXPECT_EQ(text_of({&behind, 1}), "10.0.0.1-10.0.0.253");
}

struct Wish {
    const char* name;
    std::string_view address, why;
};

void PrintTo(const Wish& row, std::ostream* out) {
    *out << row.address;
}

class AddressInRanges : public testing::TestWithParam<Wish> {};

TEST_P(AddressInRanges, IsGivenOutOrNotBecauseIt) {
    const auto address = Address::parse(GetParam().address).value();
    EXPECT_EQ(why_not_given_out(parts(), address), GetParam().why);
    EXPECT_EQ(gives_out(parts(), address), GetParam().why.empty());
}

INSTANTIATE_TEST_SUITE_P(
    , AddressInRanges,
    testing::Values(Wish{"IsInTheFirst", "10.0.0.2", ""}, Wish{"IsInTheSecond", "10.0.0.100", ""},
                    Wish{"IsTheLastOfIPv6", "fd00::ff", ""}, Wish{"IsTheGateway", "10.0.0.1", "is the gateway's"},
                    Wish{"IsTheGatewayOfIPv6", "fd00::1", "is the gateway's"},
                    Wish{"IsTheNetwork", "10.0.0.0", "is the own address of the subnet 10.0.0.0/24"},
                    Wish{"IsForAll", "10.0.0.255", "is the broadcast address of the subnet 10.0.0.0/24"},
                    Wish{"IsExcluded", "10.0.0.9", "is excluded (ipam.ranges.exclude)"},
                    Wish{"IsBetween", "10.0.0.21", "is outside of what is given out"},
                    Wish{"IsElsewhere", "10.0.1.2", "is outside of what is given out"}),
    name_of_row);

}  // namespace
}  // namespace causeway::test::range_test
