// SPDX-License-Identifier: Apache-2.0
// What a subnet alone makes of a range of addresses to give out.
#include "tests/unit/expectation.hpp"
#include "userspace/pool.hpp"

namespace causeway::test {
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

}  // namespace
}  // namespace causeway::test
