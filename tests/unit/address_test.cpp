// SPDX-License-Identifier: Apache-2.0
// IP addresses of both families: read, printed, compared, counted on.
#include "userspace/address.hpp"
#include "tests/unit/expectation.hpp"

namespace causeway::test::address_test {
namespace {

Address address_of(std::string_view text) {
    return Address::parse(text).value();
}

struct Text {
    const char* name;
    std::string_view text, printed;
};

void PrintTo(const Text& row, std::ostream* out) {
    *out << row.text;
}

class AddressText : public testing::TestWithParam<Text> {};

TEST_P(AddressText, IsReadAndPrintedWhenItIs) {
    const auto address = Address::parse(GetParam().text);
    ASSERT_TRUE(succeeds(address));
    EXPECT_EQ(address->text(), GetParam().printed);
    EXPECT_EQ(Address::parse(address->text()), *address);
}

INSTANTIATE_TEST_SUITE_P(, AddressText,
                         testing::Values(Text{"IPv4", "10.0.0.5", "10.0.0.5"},
                                         Text{"TheFirstIPv4Address", "0.0.0.0", "0.0.0.0"},
                                         Text{"TheLastIPv4Address", "255.255.255.255", "255.255.255.255"},
                                         Text{"ShortenedIPv6", "2001:db8::1", "2001:db8::1"},
                                         Text{"LongIPv6", "2001:0DB8:0:0:0:0:0:1", "2001:db8::1"},
                                         Text{"TheLastIPv6Address", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                                              "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
                                         Text{"MappedIPv4", "::ffff:10.0.0.5", "10.0.0.5"}),
                         name_of_row);

class AddressMalformed : public testing::TestWithParam<Text> {};

TEST_P(AddressMalformed, IsRefusedWithItsTextWhen) {
    EXPECT_TRUE(fails_with(Address::parse(GetParam().text), Code::invalid_configuration,
                           {"\"" + std::string(GetParam().text) + "\"", "is not an IP address"}));
}

using namespace std::string_view_literals;

INSTANTIATE_TEST_SUITE_P(, AddressMalformed,
                         testing::Values(Text{"Empty", ""}, Text{"AWord", "gateway"}, Text{"ThreeParts", "10.0.0"},
                                         Text{"FiveParts", "10.0.0.0.1"}, Text{"APartIsTooLarge", "10.0.0.256"},
                                         Text{"APartIsNegative", "10.0.0.-1"}, Text{"APartIsHex", "10.0.0.0x5"},
                                         Text{"ASpaceLeads", " 10.0.0.5"}, Text{"ASpaceFollows", "10.0.0.5 "},
                                         Text{"ALengthFollows", "10.0.0.5/24"}, Text{"ANulFollows", "10.0.0.5\0"sv},
                                         Text{"TextFollowsANul", "10.0.0.5\0/24"sv},
                                         Text{"TwoGapsInIPv6", "2001::db8::1"},
                                         Text{"NinePartsInIPv6", "1:2:3:4:5:6:7:8:9"},
                                         Text{"AZoneInIPv6", "fe80::1%eth0"}, Text{"BracketsInIPv6", "[::1]"}),
                         name_of_row);

TEST(Address, IsNoneWhenItIsMadeFromNothing) {
    EXPECT_TRUE(Address().is_none());
    EXPECT_EQ(Address(), address_of("::"));
    EXPECT_FALSE(address_of("0.0.0.0").is_none());  // which in IPv4 means any
}

TEST(Address, KnowsItsFamily) {
    const auto ipv4 = address_of("10.0.0.5"), ipv6 = address_of("2001:db8::1");
    EXPECT_TRUE(ipv4.is_ipv4());
    EXPECT_EQ(ipv4.bits(), 32);
    EXPECT_EQ(ipv4.size(), 4U);
    EXPECT_FALSE(ipv6.is_ipv4());
    EXPECT_EQ(ipv6.bits(), 128);
    EXPECT_EQ(ipv6.size(), 16U);
}

TEST(Address, IsTheSameWhenItComesFromANumberOrText) {
    EXPECT_EQ(Address::of_ipv4(0x0a000005), address_of("10.0.0.5"));
}

TEST(Address, IsTheSameWhenItWentThroughAMap) {
    for (const auto* const text : {"10.0.0.5", "2001:db8::1", "::"}) {
        EXPECT_EQ(Address(address_of(text).raw()), address_of(text));
    }
}

TEST(Address, IsMappedInNetworkOrderWhenAMapHoldsIPv4) {
    const auto raw = address_of("10.0.0.5").raw();
    const auto* const bytes = reinterpret_cast<const std::uint8_t*>(&raw);
    const std::array<std::uint8_t, 16> expected{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 5};
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), bytes));
}

TEST(Address, GivesOnlyItsFamilysBytes) {
    const auto address = address_of("10.0.0.5");
    EXPECT_EQ(std::vector<int>(address.bytes(), address.bytes() + address.size()), (std::vector<int>{10, 0, 0, 5}));
}

// RFC 4291, appendix A: the MAC with ff:fe in its middle, and the bit of its first byte that says "local" turned over.
TEST(Address, IsLinkLocalWhenItIsMadeOfAMac) {
    const auto address = Address::link_local_of(Mac{{0x0a, 'c', 10, 0, 0, 1}});
    EXPECT_EQ(address.text(), "fe80::863:aff:fe00:1");
    EXPECT_TRUE(address.is_link_local());
    EXPECT_TRUE(Address::parse("febf::1")->is_link_local());
    for (const auto* const other : {"fec0::1", "fd00::1", "ff02::1", "169.254.0.1"}) {
        EXPECT_FALSE(Address::parse(other)->is_link_local()) << other;
    }
}

TEST(Address, IsUnspecifiedInItsFamily) {
    EXPECT_EQ(Address::unspecified(FAMILY_IPV4).text(), "0.0.0.0");
    EXPECT_EQ(Address::unspecified(FAMILY_IPV6).text(), "::");
}

TEST(Address, IsOrderedByValue) {
    EXPECT_LT(address_of("10.0.0.2"), address_of("10.0.0.10"));
    EXPECT_LT(address_of("10.0.0.255"), address_of("10.0.1.0"));
    EXPECT_LT(address_of("127.255.255.255"), address_of("128.0.0.0"));
    EXPECT_LT(address_of("2001:db8::ff"), address_of("2001:db8::100"));
}

struct Sum {
    const char* name;
    std::string_view from;
    std::uint64_t offset;
    std::string_view to;
};

void PrintTo(const Sum& row, std::ostream* out) {
    *out << row.from << " + " << row.offset;
}

class AddressPlus : public testing::TestWithParam<Sum> {};

TEST_P(AddressPlus, GoesOn) {
    const auto& [name, from, offset, to] = GetParam();
    EXPECT_EQ(address_of(from).plus(offset).text(), to);
}

INSTANTIATE_TEST_SUITE_P(, AddressPlus,
                         testing::Values(Sum{"NowhereWhenTheOffsetIsZero", "10.0.0.5", 0, "10.0.0.5"},
                                         Sum{"ByOne", "10.0.0.5", 1, "10.0.0.6"},
                                         Sum{"ByThousands", "10.0.0.0", 65536 + 256 + 1, "10.1.1.1"},
                                         Sum{"WithACarryWhenAByteIsFull", "10.0.0.255", 1, "10.0.1.0"},
                                         Sum{"WithThreeCarriesWhenThreeBytesAreFull", "10.255.255.255", 1, "11.0.0.0"},
                                         Sum{"FromTheStartWhenIPv4IsAtItsEnd", "255.255.255.255", 1, "0.0.0.0"},
                                         Sum{"OnceRoundWhenTheOffsetIsAllOfIPv4", "10.0.0.5", 1ULL << 32, "10.0.0.5"},
                                         Sum{"AllTheWayWhenTheOffsetIsTheLargest", "10.0.0.5", ~0ULL, "10.0.0.4"},
                                         Sum{"WithACarryInIPv6", "2001:db8::ffff:ffff:ffff:ffff", 1, "2001:db8:0:1::"},
                                         Sum{"ByTheLargestOffsetInIPv6", "2001:db8::1", ~0ULL, "2001:db8:0:1::"},
                                         Sum{"FromTheStartWhenIPv6IsAtItsEnd",
                                             "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 2, "::1"}),
                         name_of_row);

TEST(Address, IsAsFarFromAnotherAsThereAreStepsBetween) {
    const auto distance = [](const char* from, const char* to) { return address_of(from).distance_to(address_of(to)); };
    EXPECT_EQ(distance("10.0.0.5", "10.0.0.5"), 0U);
    EXPECT_EQ(distance("10.0.0.255", "10.0.1.0"), 1U);
    EXPECT_EQ(distance("10.0.0.0", "10.255.255.255"), (1U << 24) - 1);
    EXPECT_EQ(distance("0.0.0.0", "255.255.255.255"), ~std::uint32_t{0});
    EXPECT_EQ(distance("2001:db8::", "2001:db8::1:0:0:0"), 1ULL << 48);
    EXPECT_EQ(distance("2001:db8::", "2001:db9::"), ~std::uint64_t{0}) << "more than can be said";
}

}  // namespace
}  // namespace causeway::test::address_test
