// SPDX-License-Identifier: Apache-2.0
// MAC addresses: read, printed, derived from an address.
#include "tests/unit/expectation.hpp"
#include "userspace/address.hpp"

namespace causeway::test::mac_test {
namespace {

using namespace std::string_view_literals;

TEST(Mac, IsReadAndPrintedWhenItIsWellFormed) {
    const auto mac = Mac::parse("02:00:5e:10:00:ff");
    ASSERT_TRUE(succeeds(mac));
    EXPECT_EQ(*mac, (Mac{{0x02, 0x00, 0x5e, 0x10, 0x00, 0xff}}));
    EXPECT_EQ(mac->text(), "02:00:5e:10:00:ff");
}

TEST(Mac, IsPrintedInLowerCaseWhenItWasReadInUpperCase) {
    const auto mac = Mac::parse("0A:BC:DE:F0:12:34");
    ASSERT_TRUE(succeeds(mac));
    EXPECT_EQ(mac->text(), "0a:bc:de:f0:12:34");
}

struct Malformed {
    const char* name;
    std::string_view text;
};

void PrintTo(const Malformed& row, std::ostream* out) {
    *out << row.text;
}

class MacMalformed : public testing::TestWithParam<Malformed> {};

TEST_P(MacMalformed, IsRefusedWithItsTextWhen) {
    EXPECT_TRUE(fails_with(Mac::parse(GetParam().text), Code::invalid_configuration,
                           {"\"" + std::string(GetParam().text) + "\"", "MAC address"}));
}

INSTANTIATE_TEST_SUITE_P(
    , MacMalformed,
    testing::Values(Malformed{"Empty", ""}, Malformed{"FiveParts", "02:00:00:00:00"},
                    Malformed{"SevenParts", "02:00:00:00:00:01:02"}, Malformed{"AColonFollows", "02:00:00:00:00:01:"},
                    Malformed{"ThreeDigits", "02:000:00:00:00:01"},
                    Malformed{"ThreeDigitsAtTheEnd", "02:00:00:00:00:100"}, Malformed{"AnEmptyPart", "02::00:00:00:01"},
                    Malformed{"NoHexDigit", "02:00:00:00:00:0g"}, Malformed{"Dashes", "02-00-00-00-00-01"},
                    Malformed{"Dots", "0200.0000.0001"}, Malformed{"ASign", "02:00:00:00:00:-1"},
                    Malformed{"ASpace", "02:00:00:00:00:01 "}, Malformed{"ANul", "02:00:00:00:00:01\0"sv},
                    Malformed{"Multicast", "01:00:5e:00:00:01"}, Malformed{"Broadcast", "ff:ff:ff:ff:ff:ff"}),
    name_of_row);

TEST(Mac, IsLocalAndUnicastWhenItIsDerived) {
    const auto mac = Mac::of_address(Address::of_ipv4(0x0a000005));
    EXPECT_EQ(mac.bytes[0] & 0x03, 0x02);
    EXPECT_EQ(mac.text(), "0a:63:0a:00:00:05");
}

TEST(Mac, DiffersWhenTheAddressDiffersInOneByte) {
    const auto mac = Mac::of_address(Address::of_ipv4(0x0a000005));
    EXPECT_EQ(mac, Mac::of_address(Address::of_ipv4(0x0a000005)));
    for (const auto other : {0x0a000006U, 0x0a000105U, 0x0a010005U, 0x0b000005U}) {
        EXPECT_NE(mac, Mac::of_address(Address::of_ipv4(other)));
    }
}

TEST(Mac, DiffersWithinASubnetAndBetweenSubnetsWhenTheAddressIsIPv6) {
    const auto mac = [](const char* text) { return Mac::of_address(Address::parse(text).value()); };
    EXPECT_EQ(mac("2001:db8::1"), mac("2001:db8::1"));
    EXPECT_EQ(mac("2001:db8::1").bytes[0] & 0x03, 0x02);
    for (const auto* const other : {"2001:db8::2", "2001:db8::1:1", "2001:db8:0:1::1", "fd00::1", "0.0.0.1"}) {
        EXPECT_NE(mac("2001:db8::1"), mac(other)) << other;
    }
}

}  // namespace
}  // namespace causeway::test::mac_test
