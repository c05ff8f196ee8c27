// SPDX-License-Identifier: Apache-2.0
// What a CHECK's previous result says of one interface.
#include <gmock/gmock.h>

#include "cni/reply.hpp"
#include "tests/unit/configuration.hpp"

namespace causeway::cni::test::expected_from_test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

Json previous() {
    return Json::parse(R"({
        "cniVersion": "1.1.0",
        "interfaces": [
            {"name": "cw0", "mac": "0a:63:0a:00:00:01", "mtu": 1500},
            {"name": "eth0", "mac": "0a:63:0a:00:00:09", "mtu": 1400, "sandbox": "/run/netns/other"},
            {"name": "eth0", "mac": "0a:63:0a:00:00:05", "mtu": 1450, "sandbox": "/run/netns/one"}],
        "ips": [{"interface": 1, "address": "10.0.0.9/24"}, {"interface": 2, "address": "10.0.0.5/24"}],
        "routes": [{"dst": "0.0.0.0/0", "gw": "10.0.0.1"}, {"dst": "192.168.0.0/16"}]})");
}

std::expected<Expected, Error> expected_in(const Json& previous_result) {
    return expected_from(previous_result, "eth0", "/run/netns/one");
}

Json previous_with(const std::string& pointer, Json value) {
    auto json = previous();
    json[Json::json_pointer(pointer)] = std::move(value);
    return json;
}

TEST(ExpectedFrom, HasWhatIsSaidOfTheInterfaceInItsSandbox) {
    const auto expected = expected_in(previous());
    ASSERT_TRUE(succeeds(expected));
    ASSERT_TRUE(expected->mac && expected->mtu);
    ASSERT_THAT(expected->addresses, SizeIs(1));
    EXPECT_EQ(expected->mac->text(), "0a:63:0a:00:00:05");
    EXPECT_EQ(*expected->mtu, 1450U);
    EXPECT_EQ(expected->addresses[0].text(), "10.0.0.5/24");
}

TEST(ExpectedFrom, HasTheDevicesOfTheHost) {
    const auto expected = expected_in(previous());
    ASSERT_TRUE(succeeds(expected));
    ASSERT_THAT(expected->host_devices, SizeIs(1));
    EXPECT_EQ(expected->host_devices[0].name, "cw0");
    EXPECT_EQ(expected->host_devices[0].mac, "0a:63:0a:00:00:01");
    EXPECT_EQ(expected->host_devices[0].mtu, 1500U);
}

// InfiniBand's have 20 bytes.
TEST(ExpectedFrom, TakesAMacOfAnyLengthOfADeviceOfTheHost) {
    const std::string infiniband = "80:00:02:08:fe:80:00:00:00:00:00:00:0c:42:a1:03:00:12:34:56";
    const auto expected = expected_in(previous_with("/interfaces/0/mac", infiniband));
    ASSERT_TRUE(succeeds(expected));
    EXPECT_EQ(expected->host_devices[0].mac, infiniband);
    EXPECT_TRUE(fails_with(expected_in(previous_with("/interfaces/2/mac", infiniband)), Code::invalid_configuration));
}

TEST(ExpectedFrom, HasEveryAddressOfTheInterface) {
    auto json = previous();
    json["ips"].push_back({{"interface", 2}, {"address", "10.0.0.6/24"}});
    const auto expected = expected_in(json);
    ASSERT_TRUE(succeeds(expected));
    EXPECT_THAT(expected->addresses, SizeIs(2));
}

TEST(ExpectedFrom, HasEveryRoute) {
    const auto expected = expected_in(previous());
    ASSERT_TRUE(succeeds(expected));
    ASSERT_THAT(expected->routes, SizeIs(2));
    EXPECT_EQ(expected->routes[0].destination.text(), "0.0.0.0/0");
    EXPECT_EQ(expected->routes[0].gateway.text(), "10.0.0.1");
    EXPECT_EQ(expected->routes[1].destination.text(), "192.168.0.0/16");
    EXPECT_TRUE(expected->routes[1].gateway.is_none());
    for (const auto& unset : {Json(), Json("")}) {
        EXPECT_TRUE(expected_in(previous_with("/routes/0/gw", unset)).value().routes[0].gateway.is_none());
    }
}

TEST(ExpectedFrom, HasWhetherTheInterfaceIsTheOnlyOneOfItsSandbox) {
    EXPECT_TRUE(expected_in(previous()).value().alone);
    auto json = previous();
    json["interfaces"].push_back({{"name", "lo"}, {"sandbox", "/run/netns/one"}});
    EXPECT_TRUE(expected_in(json).value().alone);
    json["interfaces"].push_back({{"name", "eth1"}, {"sandbox", "/run/netns/one"}});
    EXPECT_FALSE(expected_in(json).value().alone);
}

TEST(ExpectedFrom, HasTheNumbersOfARoute) {
    const auto expected = expected_in(previous_with(
        "/routes/0", {{"dst", "0.0.0.0/0"}, {"gw", "10.0.0.1"}, {"mtu", 1400U}, {"priority", 5U}, {"table", 100U}}));
    ASSERT_TRUE(succeeds(expected));
    ASSERT_THAT(expected->routes, SizeIs(2));
    EXPECT_EQ(expected->routes[0].mtu, 1400U);
    EXPECT_EQ(expected->routes[0].priority, 5U);
    EXPECT_EQ(expected->routes[0].table, 100U);
}

TEST(ExpectedFrom, HasNothingToCompareWhenNothingIsSaid) {
    const auto expected =
        expected_in({{"interfaces", Json::array({{{"name", "eth0"}, {"sandbox", "/run/netns/one"}}})}});
    ASSERT_TRUE(succeeds(expected));
    EXPECT_FALSE(expected->mac || expected->mtu);
    EXPECT_THAT(expected->addresses, IsEmpty());
    EXPECT_THAT(expected->routes, IsEmpty());
}

// CNI 1.1.0, section 5, "Success": the index is the interface that an address is of.
TEST(ExpectedFrom, HasAddressesByWhoseInterfaceTheyAreOf) {
    auto json = previous();
    json["interfaces"].push_back({{"name", "lo"}, {"sandbox", "/run/netns/one"}});
    json["interfaces"].push_back({{"name", "eth1"}, {"sandbox", "/run/netns/one"}});
    const auto add = [&](const char* address, const Json& place) {
        json["ips"].push_back({{"address", address}, {"interface", place}});
    };
    add("127.0.0.1/8", 3);
    add("10.0.0.6/24", 4);
    add("10.0.0.7/24", nullptr);
    add("10.0.0.1/24", 0);
    add("10.0.0.8/24", 5);
    add("10.0.0.10/24", -1);
    json["ips"].push_back({{"address", "10.0.0.11/24"}});
    const auto expected = expected_in(json);
    ASSERT_TRUE(succeeds(expected));
    const auto texts = [](const std::vector<Prefix>& prefixes) {
        std::vector<std::string> all;
        std::ranges::transform(prefixes, std::back_inserter(all), &Prefix::text);
        return all;
    };
    EXPECT_THAT(texts(expected->addresses), ElementsAre("10.0.0.5/24"));
    EXPECT_THAT(texts(expected->of_others), ElementsAre("10.0.0.6/24"));
    EXPECT_THAT(texts(expected->untied), ElementsAre("10.0.0.7/24", "10.0.0.11/24"));
}

// As others' results have it, and as the types of Go's library write it.
TEST(ExpectedFrom, HasNothingToCompareWhereAValueIsEmptyOrNull) {
    auto json = previous();
    json["interfaces"] = Json::array({{{"name", "eth0"}, {"sandbox", "/run/netns/one"}, {"mac", ""}, {"mtu", 0}},
                                      {{"name", "cw0"}, {"sandbox", nullptr}, {"mac", nullptr}, {"mtu", nullptr}},
                                      {{"name", "cwabc"}, {"sandbox", ""}, {"mac", ""}, {"mtu", 1400U}}});
    json["ips"] = Json::array({{{"address", "10.0.0.5/24"}, {"interface", nullptr}}});
    const auto expected = expected_in(json);
    ASSERT_TRUE(succeeds(expected));
    EXPECT_FALSE(expected->mac || expected->mtu);
    EXPECT_THAT(expected->untied, SizeIs(1));
    ASSERT_THAT(expected->host_devices, SizeIs(2));
    EXPECT_EQ(expected->host_devices[0].mac, "");
    EXPECT_FALSE(expected->host_devices[0].mtu);
    EXPECT_EQ(expected->host_devices[1].mtu, 1400U);
}

TEST(ExpectedFrom, FailsByNameWhenTheInterfaceIsNotInTheSandbox) {
    EXPECT_TRUE(fails_with(expected_from(previous(), "eth1", "/run/netns/one"), Code::invalid_configuration,
                           {"prevResult", "eth1", "/run/netns/one"}));
    EXPECT_TRUE(fails_with(expected_from(previous(), "eth0", "/run/netns/two"), Code::invalid_configuration,
                           {"prevResult", "eth0", "/run/netns/two"}));
    EXPECT_TRUE(fails_with(expected_from(previous(), "cw0", "/run/netns/one"), Code::invalid_configuration, {"cw0"}));
}

struct Unreadable {
    const char* name;
    Json previous_result;
};

void PrintTo(const Unreadable& row, std::ostream* out) {
    *out << row.previous_result;
}

class ExpectedFromUnreadable : public testing::TestWithParam<Unreadable> {};

TEST_P(ExpectedFromUnreadable, FailsWhen) {
    EXPECT_TRUE(fails_with(expected_in(GetParam().previous_result), Code::invalid_configuration));
}

INSTANTIATE_TEST_SUITE_P(
    , ExpectedFromUnreadable,
    testing::Values(Unreadable{"ItIsEmpty", Json::object()}, Unreadable{"ItIsAList", Json::array()},
                    Unreadable{"InterfacesAreText", previous_with("/interfaces", "eth0")},
                    Unreadable{"InterfacesAreNull", previous_with("/interfaces", nullptr)},
                    Unreadable{"AnInterfaceIsANumber", previous_with("/interfaces/0", 5)},
                    Unreadable{"ANameIsANumber", previous_with("/interfaces/0/name", 5)},
                    Unreadable{"TheMacIsMalformed", previous_with("/interfaces/2/mac", "5")},
                    Unreadable{"TheMacIsANumber", previous_with("/interfaces/2/mac", 5)},
                    Unreadable{"TheMtuIsText", previous_with("/interfaces/2/mtu", "1450")},
                    Unreadable{"TheMtuIsNegative", previous_with("/interfaces/2/mtu", -1450)},
                    Unreadable{"TheMtuIsAFraction", previous_with("/interfaces/2/mtu", 1e300)},
                    Unreadable{"TheMtuIsHuge", previous_with("/interfaces/2/mtu", 4294968746ULL)},
                    Unreadable{"TheAddressIsMalformed", previous_with("/ips/1/address", "10.0.0.5")},
                    Unreadable{"TheAddressIsANumber", previous_with("/ips/1/address", 10)},
                    Unreadable{"TheAddressesInterfaceIsText", previous_with("/ips/1/interface", "eth0")},
                    Unreadable{"TheAddressesInterfaceIsAFraction", previous_with("/ips/1/interface", 1e300)},
                    Unreadable{"IpsAreText", previous_with("/ips", "10.0.0.5/24")},
                    Unreadable{"ADestinationIsMalformed", previous_with("/routes/0/dst", "default")},
                    Unreadable{"AGatewayIsMalformed", previous_with("/routes/0/gw", "10.0.0")}),
    name_of_row);

TEST(ExpectedFrom, ReadsWhatAddResultWrote) {
    NetConf conf;
    for (const auto& version : supported_versions()) {
        conf.version = version;
        const Connection connection{
            .gateway_device = {.name = "cw0"},
            .host_end = {.name = "cwabc"},
            .sandbox_end = {.name = "eth0", .mac = {{0x0a, 'c', 10, 0, 0, 5}}, .mtu = 1450},
            .assignments = {{Prefix::parse("10.0.0.5/24").value(), Address::parse("10.0.0.1").value()}},
            .routes = {{Prefix::parse("0.0.0.0/0").value(), Address::parse("10.0.0.1").value()}}};
        const auto expected = expected_in(add_result(conf, "/run/netns/one", connection, {}));
        ASSERT_TRUE(succeeds(expected));
        EXPECT_EQ(expected->mac, connection.sandbox_end.mac);
        EXPECT_THAT(expected->addresses, ElementsAre(connection.assignments[0].address));
        EXPECT_EQ(expected->mtu.has_value(), version == "1.1.0");
        EXPECT_THAT(expected->routes, SizeIs(1));
    }
}

}  // namespace
}  // namespace causeway::cni::test::expected_from_test
