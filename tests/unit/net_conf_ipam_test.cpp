// SPDX-License-Identifier: Apache-2.0
// The keys of address management: ranges, routes, another plugin's type.
#include <gmock/gmock.h>

#include "tests/unit/configuration.hpp"

namespace causeway::cni::test::net_conf_ipam_test {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

const std::string first_range = "/ipam/ranges/0/0";

// A range whose companions are these.
Json range(const std::string& subnet, Json companions = Json::object()) {
    companions["subnet"] = subnet;
    return companions;
}

Json one_set(const Json& first, const Json& second) {
    return Json::array({Json::array({first, second})});
}

// So many, each of one subnet.
Json sets(int count) {
    Json all = Json::array();
    for (int i = 0; i < count; ++i) {
        all.push_back(Json::array({range("fd00:" + std::to_string(i) + "::/64")}));
    }
    return all;
}

class NetConfIpam : public testing::TestWithParam<Refused> {};

TEST_P(NetConfIpam, IsRefusedWhen) {
    expect_refused(GetParam());
}

INSTANTIATE_TEST_SUITE_P(
    Shape, NetConfIpam,
    testing::Values(Refused{"ItIsText", "/ipam", "causeway", "ipam"},
                    Refused{"ItIsAList", "/ipam", Json::array(), "ipam"},
                    Refused{"TypeIsANumber", "/ipam/type", 5, "ipam.type"},
                    Refused{"TypeIsEmpty", "/ipam/type", "", "ipam.type"},
                    Refused{"TypeIsAPath", "/ipam/type", "../host-local", "ipam.type"},
                    Refused{"RangesAreAnObject", "/ipam/ranges", range("10.0.0.0/24"), "ipam.ranges"},
                    Refused{"RangesAreText", "/ipam/ranges", "10.0.0.0/24", "ipam.ranges"},
                    Refused{"RangesHaveNoSets", "/ipam/ranges", Json::array({range("10.0.0.0/24")}), "ipam.ranges",
                            R"({"subnet":"10.0.0.0/24"})"},
                    Refused{"ASetIsEmpty", "/ipam/ranges", Json::array({Json::array()}), "ipam.ranges", "[]"},
                    Refused{"ARangeIsText", "/ipam/ranges", Json::array({Json::array({"10.0.0.0/24"})}), "ipam.ranges",
                            "\"10.0.0.0/24\""},
                    Refused{"ARangeHasNoSubnet", first_range, {{"gateway", "10.0.0.1"}}, "ipam.ranges"},
                    Refused{"ThereAreNineSets", "/ipam/ranges", sets(9), "ipam.ranges"},
                    Refused{"ASetHasBothFamilies", "/ipam/ranges", one_set(range("10.0.0.0/24"), range("fd00::/64")),
                            "ipam.ranges", "of one family"},
                    Refused{"TwoSetsOverlap", "/ipam/ranges",
                            Json::array({Json::array({range("fd00::/48")}), Json::array({range("fd00:0:0:5::/64")})}),
                            "ipam.ranges.subnet", "\"fd00:0:0:5::/64\""},
                    Refused{"ResolvConfIsANumber", "/ipam/resolvConf", 5, "ipam.resolvConf"}),
    name_of_row);

INSTANTIATE_TEST_SUITE_P(
    Subnet, NetConfIpam,
    testing::Values(Refused{"SubnetIsANumber", first_range + "/subnet", 10, "ipam.ranges.subnet"},
                    Refused{"SubnetIsEmpty", first_range + "/subnet", "", "ipam.ranges.subnet"},
                    Refused{"SubnetHasNoLength", first_range + "/subnet", "10.0.0.0", "ipam.ranges.subnet"},
                    Refused{"SubnetsLengthIsTooLarge", first_range + "/subnet", "10.0.0.0/33", "ipam.ranges.subnet"},
                    Refused{"SubnetsAddressIsMalformed", first_range + "/subnet", "10.0.0/24", "ipam.ranges.subnet"},
                    Refused{"SubnetHasHostBits", first_range + "/subnet", "10.0.0.5/24", "ipam.ranges.subnet"},
                    Refused{"SubnetHasTwoAddresses", first_range + "/subnet", "10.0.0.0/31", "ipam.ranges.subnet"},
                    Refused{"SubnetHasOneAddress", first_range + "/subnet", "10.0.0.7/32", "ipam.ranges.subnet"},
                    Refused{"SubnetIsEveryAddress", first_range + "/subnet", "0.0.0.0/0", "ipam.ranges.subnet"},
                    Refused{"SubnetIsEveryIPv6Address", first_range + "/subnet", "::/0", "ipam.ranges.subnet"},
                    Refused{"SubnetIsIPv4InIPv6", first_range + "/subnet", "::ffff:10.0.0.0/120", "ipam.ranges.subnet"},
                    Refused{"SubnetHasTwoIPv6Addresses", first_range + "/subnet", "fd00::/127", "ipam.ranges.subnet"},
                    Refused{"SubnetIsMappedIPv4", first_range + "/subnet", "::ffff:10.0.0.0/24", "ipam.ranges.subnet"},
                    Refused{"TwoSubnetsAreTheSame", "/ipam/ranges", one_set(range("10.0.0.0/24"), range("10.0.0.0/24")),
                            "ipam.ranges", "\"10.0.0.2-10.0.0.254\" overlaps 10.0.0.2-10.0.0.254"},
                    Refused{"TwoPartsMeet", "/ipam/ranges",
                            one_set(range("10.0.0.0/24", {{"rangeStart", "10.0.0.20"}}),
                                    range("10.0.0.0/24", {{"rangeEnd", "10.0.0.20"}})),
                            "ipam.ranges", "\"10.0.0.2-10.0.0.20\" overlaps 10.0.0.20-10.0.0.254"},
                    Refused{"TwoPartsHaveTwoGateways", "/ipam/ranges",
                            one_set(range("10.0.0.0/24", {{"rangeEnd", "10.0.0.20"}}),
                                    range("10.0.0.0/24", {{"rangeStart", "10.0.0.30"}, {"gateway", "10.0.0.2"}})),
                            "ipam.ranges.gateway", "10.0.0.1"},
                    Refused{"TwoPartsAreOfTwoSets", "/ipam/ranges",
                            Json::array({Json::array({range("10.0.0.0/24", {{"rangeEnd", "10.0.0.20"}})}),
                                         Json::array({range("10.0.0.0/24", {{"rangeStart", "10.0.0.30"}})})}),
                            "ipam.ranges.subnet", "\"10.0.0.0/24\" overlaps 10.0.0.0/24"},
                    Refused{"ASubnetIsInAnother", "/ipam/ranges", one_set(range("10.0.0.0/16"), range("10.0.3.0/24")),
                            "ipam.ranges.subnet", "\"10.0.3.0/24\" overlaps 10.0.0.0/16"},
                    Refused{"ASubnetIsAroundAnother", "/ipam/ranges",
                            one_set(range("10.0.3.0/24"), range("10.0.0.0/16")), "ipam.ranges.subnet",
                            "\"10.0.0.0/16\" overlaps 10.0.3.0/24"}),
    name_of_row);

INSTANTIATE_TEST_SUITE_P(Exclude, NetConfIpam,
                         testing::Values(Refused{"ExcludeIsText", first_range + "/exclude", "10.0.0.5",
                                                 "ipam.ranges.exclude"},
                                         Refused{"ExcludeIsMalformed", first_range + "/exclude", Json::array({"some"}),
                                                 "ipam.ranges.exclude", "some"},
                                         Refused{"ExcludeIsOutside", first_range + "/exclude",
                                                 Json::array({"10.0.1.5"}), "ipam.ranges.exclude", "10.0.1.5"},
                                         Refused{"ExcludeIsLarger", first_range + "/exclude",
                                                 Json::array({"10.0.0.0/23"}), "ipam.ranges.exclude", "10.0.0.0/23"},
                                         Refused{"ExcludeIsAll", first_range + "/exclude", Json::array({"10.0.0.0/24"}),
                                                 "ipam.ranges", "no address at all"},
                                         Refused{"RestIsText", "/ipam/rest", "long", "ipam.rest"},
                                         Refused{"RestIsNegative", "/ipam/rest", -1, "ipam.rest"},
                                         Refused{"RestIsAMonth", "/ipam/rest", 2592000, "ipam.rest"}),
                         name_of_row);

INSTANTIATE_TEST_SUITE_P(
    Gateway, NetConfIpam,
    testing::Values(
        Refused{"GatewayIsANumber", first_range + "/gateway", 1, "ipam.ranges.gateway"},
        Refused{"GatewayIsMalformed", first_range + "/gateway", "10.0.0.256", "ipam.ranges.gateway"},
        Refused{"GatewayHasALength", first_range + "/gateway", "10.0.0.1/24", "ipam.ranges.gateway"},
        Refused{"GatewayIsOutsideTheSubnet", first_range + "/gateway", "10.0.1.1", "ipam.ranges.gateway"},
        Refused{"GatewayIsIPv6", first_range + "/gateway", "2001:db8::1", "ipam.ranges.gateway"},
        Refused{"GatewayIsTheSubnetsOwnAddress", first_range + "/gateway", "10.0.0.0", "ipam.ranges.gateway"},
        Refused{"GatewayIsTheBroadcastAddress", first_range + "/gateway", "10.0.0.255", "ipam.ranges.gateway"},
        Refused{"RangeStartIsANumber", first_range + "/rangeStart", 10, "ipam.ranges.rangeStart"},
        Refused{"RangeStartIsMalformed", first_range + "/rangeStart", "first", "ipam.ranges.rangeStart"},
        Refused{"RangeStartIsOutsideTheSubnet", first_range + "/rangeStart", "10.0.1.0", "ipam.ranges.rangeStart"},
        Refused{"RangeEndIsMalformed", first_range + "/rangeEnd", "", "ipam.ranges.rangeEnd"},
        Refused{"RangeEndIsOutsideTheSubnet", first_range + "/rangeEnd", "9.255.255.255", "ipam.ranges.rangeEnd"},
        Refused{"RangeEndIsBeforeRangeStart", first_range,
                range("10.0.0.0/24", {{"rangeStart", "10.0.0.20"}, {"rangeEnd", "10.0.0.19"}}), "ipam.ranges.rangeEnd",
                "\"10.0.0.19\" is before rangeStart 10.0.0.20"}),
    name_of_row);

INSTANTIATE_TEST_SUITE_P(
    Routes, NetConfIpam,
    testing::Values(Refused{"RoutesAreAnObject", "/ipam/routes", {{"dst", "0.0.0.0/0"}}, "ipam.routes"},
                    Refused{"ARouteIsText", "/ipam/routes", Json::array({"0.0.0.0/0"}), "ipam.routes", "\"0.0.0.0/0\""},
                    Refused{"ARouteHasNoDst", "/ipam/routes", Json::array({{{"gw", "10.0.0.1"}}}), "ipam.routes",
                            R"({"gw":"10.0.0.1"})"},
                    Refused{"DstIsANumber", "/ipam/routes/0/dst", 0, "ipam.routes.dst"},
                    Refused{"DstIsAWord", "/ipam/routes/0/dst", "default", "ipam.routes.dst"},
                    Refused{"DstHasNoLength", "/ipam/routes/0/dst", "10.1.0.0", "ipam.routes.dst"},
                    Refused{"GwIsANumber", "/ipam/routes/0/gw", 1, "ipam.routes.gw"},
                    Refused{"GwIsMalformed", "/ipam/routes/0/gw", "10.0.0", "ipam.routes.gw"},
                    Refused{"GwIsOfTheOtherFamily", "/ipam/routes/0/gw", "2001:db8::1", "ipam.routes.gw"},
                    Refused{"TheMtuIsText", "/ipam/routes/0/mtu", "1400", "ipam.routes.mtu"},
                    Refused{"TheMtuIsMoreThanTheKernelTakes", "/ipam/routes/0/mtu", 65521, "ipam.routes.mtu"},
                    Refused{"TheAdvmssIsNegative", "/ipam/routes/0/advmss", -1, "ipam.routes.advmss"},
                    Refused{"TheAdvmssIsMoreThanTheKernelTakes", "/ipam/routes/0/advmss", 65496, "ipam.routes.advmss"},
                    Refused{"ThePriorityIsAFraction", "/ipam/routes/0/priority", 1.5, "ipam.routes.priority"},
                    Refused{"TheTableIsOf33Bits", "/ipam/routes/0/table", 4294967296U, "ipam.routes.table"},
                    Refused{"TheTableIsAName", "/ipam/routes/0/table", "main", "ipam.routes.table"},
                    Refused{"TheScopeIsTheHosts", "/ipam/routes/0/scope", 254, "ipam.routes.scope"},
                    Refused{"TheScopeIsTheLinksAndThereIsAGateway",
                            "/ipam/routes/0",
                            {{"dst", "0.0.0.0/0"}, {"gw", "10.0.0.7"}, {"scope", 253U}},
                            "ipam.routes.scope",
                            "253"}),
    name_of_row);

// Beside 10.0.0.0/24, by its gateway 10.0.0.1.
INSTANTIATE_TEST_SUITE_P(RoutesThatNoSandboxCanHave, NetConfIpam,
                         testing::Values(Refused{"OneIsOfAFamilyWithoutAddresses",
                                                 "/ipam/routes",
                                                 {{{"dst", "0.0.0.0/0"}}, {{"dst", "::/0"}}},
                                                 "ipam.routes.dst",
                                                 R"("::/0" has no gateway: the sandbox has no IPv6 address)"},
                                         Refused{"AGatewayIsInNoSubnet",
                                                 "/ipam/routes",
                                                 {{{"dst", "0.0.0.0/0"}, {"gw", "10.0.1.1"}}},
                                                 "ipam.routes.gw",
                                                 "10.0.1.1"},
                                         Refused{"AGatewayIsBehindAnotherGateway",
                                                 "/ipam/routes",
                                                 {{{"dst", "10.0.1.0/24"}}, {{"dst", "0.0.0.0/0"}, {"gw", "10.0.1.1"}}},
                                                 "ipam.routes.gw",
                                                 "10.0.1.1"},
                                         Refused{"AGatewayComesBeforeItsLink",
                                                 "/ipam/routes",
                                                 {{{"dst", "0.0.0.0/0"}, {"gw", "10.0.1.1"}},
                                                  {{"dst", "10.0.1.0/24"}, {"scope", 253U}}},
                                                 "ipam.routes.gw",
                                                 "10.0.1.1"},
                                         Refused{"AGatewayIsOnTheLinkInAnotherTable",
                                                 "/ipam/routes",
                                                 {{{"dst", "10.0.1.0/24"}, {"scope", 253U}, {"table", 100U}},
                                                  {{"dst", "0.0.0.0/0"}, {"gw", "10.0.1.1"}}},
                                                 "ipam.routes.gw",
                                                 "10.0.1.1"},
                                         Refused{"OneIsThereTwice",
                                                 "/ipam/routes",
                                                 {{{"dst", "0.0.0.0/0"}}, {{"dst", "0.0.0.0/0"}, {"mtu", 1400U}}},
                                                 "ipam.routes",
                                                 "same"},
                                         Refused{"OneIsThereTwiceWithTheGatewaysNameOnce",
                                                 "/ipam/routes",
                                                 {{{"dst", "0.0.0.0/0"}}, {{"dst", "0.0.0.0/0"}, {"gw", "10.0.0.1"}}},
                                                 "ipam.routes",
                                                 "same"},
                                         Refused{"TwoHaveOnePriority",
                                                 "/ipam/routes",
                                                 {{{"dst", "0.0.0.0/0"}, {"priority", 5U}},
                                                  {{"dst", "0.0.0.0/0"}, {"gw", "10.0.0.7"}, {"priority", 5U}}},
                                                 "ipam.routes",
                                                 "same"}),
                         name_of_row);

TEST(NetConfIpam, TakesRoutesThatASandboxCanHave) {
    for (const auto* const routes :
         {R"([{"dst": "10.0.1.0/24", "scope": 253}, {"dst": "0.0.0.0/0", "gw": "10.0.1.1"}])",
          R"([{"dst": "10.0.1.0/24", "scope": 253}, {"dst": "0.0.0.0/0", "gw": "10.0.1.1", "table": 100}])",
          R"([{"dst": "10.0.1.0/24", "scope": 253, "table": 9}, {"dst": "10.2.0.0/16", "gw": "10.0.1.1", "table": 9}])",
          R"([{"dst": "0.0.0.0/0"}, {"dst": "0.0.0.0/0", "gw": "10.0.0.7"}])",
          R"([{"dst": "0.0.0.0/0"}, {"dst": "0.0.0.0/0", "priority": 7}])",
          R"([{"dst": "0.0.0.0/0"}, {"dst": "0.0.0.0/0", "table": 100}])",
          R"([{"dst": "0.0.0.0/0"}, {"dst": "0.0.0.0/0", "scope": 253}])", R"([{"dst": "::/0", "gw": "fe80::1"}])"}) {
        EXPECT_TRUE(succeeds(read(example_with("/ipam/routes", Json::parse(routes))))) << routes;
    }
}

// It says at ADD what is still missing, and what the interface has already.
TEST(NetConfIpam, LeavesRoutesToWhoMayMakeThemRight) {
    const auto routes = Json::parse(R"([{"dst": "::/0"}, {"dst": "10.9.0.0/16", "gw": "10.0.1.1"}])");
    auto json = example_with("/ipam/routes", routes);
    json["capabilities"] = {{"ipRanges", true}};
    EXPECT_TRUE(succeeds(read(json))) << "the runtime";
    json = example_with("/ipam/routes", Json::array({routes[1]}));
    json["prevResult"] = Json::object();
    EXPECT_TRUE(succeeds(read(json))) << "an earlier plugin of the chain";
}

TEST(NetConfIpam, TellsTheSubnetThatWasMeantWhenHostBitsAreSet) {
    EXPECT_TRUE(fails_with(read(example_with(first_range + "/subnet", "10.0.0.5/24")), Code::invalid_configuration,
                           {"host bits", "10.0.0.0/24"}));
}

TEST(NetConfIpam, TakesIPv6AsItTakesIPv4) {
    const auto conf = read(example_with(
        "/ipam",
        range("fd00::/64", {{"rangeStart", "fd00::100"}, {"rangeEnd", "fd00::1ff"}, {"exclude", {"fd00::180/121"}}})));
    ASSERT_TRUE(succeeds(conf));
    const auto& read_range = conf->network.ranges.at(0).at(0);
    EXPECT_EQ(read_range.gateway.text(), "fd00::1");
    EXPECT_EQ(read_range.first.text(), "fd00::100");
    EXPECT_EQ(read_range.last.text(), "fd00::1ff");
    EXPECT_EQ(size_of(read_range), 128U);
    EXPECT_TRUE(conf->network.has(FAMILY_IPV6));
    EXPECT_FALSE(conf->network.has(FAMILY_IPV4));
}

TEST(NetConfIpam, TakesTheLastAddressOfAnIPv6SubnetForAGatewayWhichIsNoBroadcastAddressThere) {
    EXPECT_TRUE(succeeds(read(example_with("/ipam", range("fd00::/126", {{"gateway", "fd00::3"}})))));
}

TEST(NetConfIpam, TakesSetsInTheirOrderAnAddressOfEach) {
    auto json = example_with("/ipam/ranges", sets(7));
    json["ipam"]["ranges"].push_back(Json::array({range("10.1.0.0/24"), range("10.0.0.0/24")}));
    const auto conf = read(json);
    ASSERT_TRUE(succeeds(conf));
    ASSERT_THAT(conf->network.ranges, SizeIs(8));
    EXPECT_EQ(conf->network.ranges[6][0].subnet.text(), "fd00:6::/64");
    ASSERT_THAT(conf->network.ranges[7], SizeIs(2));
    EXPECT_TRUE(conf->network.has(FAMILY_IPV4) && conf->network.has(FAMILY_IPV6));
}

TEST(NetConfIpam, TellsWhatNoInterfaceMayBeGiven) {
    for (const auto* const subnet :
         {"fe80::/64", "fe80:0:0:1::/64", "ff02::/64", "::/64", "::/120", "fe00::/7", "8000::/1", "0.0.0.0/8",
          "0.0.0.0/30", "127.0.0.0/24", "127.0.0.0/8", "126.0.0.0/7", "224.0.0.0/24", "239.255.255.252/30",
          "255.255.255.0/24", "240.0.0.0/4", "128.0.0.0/1"}) {
        EXPECT_TRUE(fails_with(read(example_with(first_range + "/subnet", subnet)), Code::invalid_configuration,
                               {"ipam.ranges.subnet", subnet, "no interface"}))
            << subnet;
    }
}

TEST(NetConfIpam, TakesWhatIsNextToThat) {
    for (const auto* const subnet : {"1.0.0.0/8", "126.0.0.0/8", "128.0.0.0/8", "223.255.255.0/24", "240.0.0.0/24",
                                     "255.255.254.0/24", "169.254.0.0/16"}) {
        EXPECT_TRUE(succeeds(read(example_with(first_range + "/subnet", subnet)))) << subnet;
    }
}

TEST(NetConfIpam, TakesARangeAsItIsGiven) {
    const auto conf = read(example_with(
        first_range,
        range("10.0.0.0/24", {{"gateway", "10.0.0.254"}, {"rangeStart", "10.0.0.16"}, {"rangeEnd", "10.0.0.31"}})));
    ASSERT_TRUE(succeeds(conf));
    const auto& read_range = conf->network.ranges.at(0).at(0);
    EXPECT_EQ(read_range.gateway.text(), "10.0.0.254");
    EXPECT_EQ(read_range.first.text(), "10.0.0.16");
    EXPECT_EQ(read_range.last.text(), "10.0.0.31");
}

TEST(NetConfIpam, TakesARangeOfOneAddress) {
    const auto conf =
        read(example_with(first_range, range("10.0.0.0/24", {{"rangeStart", "10.0.0.9"}, {"rangeEnd", "10.0.0.9"}})));
    EXPECT_TRUE(succeeds(conf));
}

TEST(NetConfIpam, TakesAlternativesInTheirOrder) {
    const auto conf = read(example_with("/ipam/ranges", one_set(range("10.1.0.0/24"), range("10.0.0.0/24"))));
    ASSERT_TRUE(succeeds(conf));
    ASSERT_THAT(conf->network.ranges, SizeIs(1));
    ASSERT_THAT(conf->network.ranges[0], SizeIs(2));
    EXPECT_EQ(conf->network.ranges[0][0].subnet.text(), "10.1.0.0/24");
    EXPECT_EQ(conf->network.ranges[0][1].subnet.text(), "10.0.0.0/24");
}

TEST(NetConfIpam, TakesTheShortFormOfOneRange) {
    const auto conf = read(example_with("/ipam", range("10.3.0.0/16", {{"gateway", "10.3.0.9"}})));
    ASSERT_TRUE(succeeds(conf));
    ASSERT_THAT(conf->network.ranges, SizeIs(1));
    EXPECT_EQ(conf->network.ranges[0][0].subnet.text(), "10.3.0.0/16");
    EXPECT_EQ(conf->network.ranges[0][0].gateway.text(), "10.3.0.9");
}

TEST(NetConfIpam, TakesTheShortFormBesideRanges) {
    auto json = example();
    json["ipam"]["subnet"] = "10.3.0.0/16";
    const auto conf = read(json);
    ASSERT_TRUE(succeeds(conf));
    ASSERT_THAT(conf->network.ranges, SizeIs(2)) << "a set of its own, as host-local has it";
    EXPECT_EQ(conf->network.ranges[0][0].subnet.text(), "10.3.0.0/16");
}

TEST(NetConfIpam, TakesTheNetworksSubnetWhenItIsMissing) {
    auto json = example_without("/ipam");
    json["subnet"] = "10.4.0.0/24";
    const auto conf = read(json);
    ASSERT_TRUE(succeeds(conf));
    ASSERT_THAT(conf->network.ranges, SizeIs(1));
    EXPECT_EQ(conf->network.ranges[0][0].subnet.text(), "10.4.0.0/24");
}

TEST(NetConfIpam, TakesItsOwnSubnetWhenTheNetworkHasOneToo) {
    auto json = example_with("/ipam", {{"subnet", "10.5.0.0/24"}});
    json["subnet"] = "10.4.0.0/24";
    const auto conf = read(json);
    ASSERT_TRUE(succeeds(conf));
    ASSERT_THAT(conf->network.ranges, SizeIs(1));
    EXPECT_EQ(conf->network.ranges[0][0].subnet.text(), "10.5.0.0/24");
}

TEST(NetConfIpam, IsRefusedWhenThereIsNoSubnetAnywhere) {
    for (const auto& json : {example_without("/ipam"), example_without("/ipam/ranges"),
                             example_with("/ipam", Json::object()), example_with("/ipam/ranges", Json::array())}) {
        EXPECT_TRUE(fails_with(read(json), Code::invalid_configuration, {"ipam.ranges: missing"}));
    }
}

TEST(NetConfIpam, LeavesAllToAnotherPluginWhenTheTypeIsAnothers) {
    for (const auto* const type : {"host-local", "static"}) {
        auto json = example_with("/ipam", {{"type", type}, {"ranges", "its own affair"}, {"routes", 5}});
        const auto conf = read(json);
        ASSERT_TRUE(succeeds(conf));
        EXPECT_EQ(conf->delegate.value().type, type);
        EXPECT_THAT(conf->network.ranges, IsEmpty());
        EXPECT_THAT(conf->routes, IsEmpty());
        EXPECT_EQ(conf->raw, json);
    }
}

// For the gateway device, by which the plugin dhcp is asked for; where another plugin has made the interface, it is
// not.
TEST(NetConfIpam, HasTheSubnetOfDhcp) {
    auto json = example_with("/ipam", {{"type", "dhcp"}, {"subnet", "10.5.0.0/24"}, {"gateway", "10.5.0.9"}});
    const auto conf = read(json);
    ASSERT_TRUE(succeeds(conf));
    EXPECT_TRUE(conf->delegate.value().asks_by_link());
    ASSERT_THAT(conf->network.ranges, SizeIs(1));
    EXPECT_EQ(conf->network.ranges[0][0].subnet.text(), "10.5.0.0/24");
    EXPECT_EQ(conf->network.ranges[0][0].gateway.text(), "10.5.0.9");
    EXPECT_THAT(conf->delegate->subnets, SizeIs(1));
    json["ipam"]["subnet"] = "fd00:1::/64";
    json["ipam"].erase("gateway");
    EXPECT_TRUE(fails_with(read(json), Code::invalid_configuration, {"ipam.ranges.subnet", "fd00:1::/64", "IPv4"}));
    json["prevResult"] = {{"interfaces", {{{"name", "eth0"}, {"sandbox", "/run/netns/one"}}}}};
    const auto chained = read(json);
    ASSERT_TRUE(succeeds(chained));
    EXPECT_FALSE(chained->delegate.value().asks_by_link());
    EXPECT_THAT(chained->network.ranges, IsEmpty());
}

// The plugin loopback, for one.
TEST(NetConfIpam, AsksDhcpByTheLinkWhereEarlierPluginsHaveMadeNone) {
    auto json = example_with("/ipam", {{"type", "dhcp"}, {"subnet", "10.5.0.0/24"}});
    const Json loopback{{"name", "lo"}, {"sandbox", "/run/netns/one"}};
    for (const auto& earlier : {Json::object(), Json{{"interfaces", {loopback}}}}) {
        json["prevResult"] = earlier;
        const auto conf = read(json);
        ASSERT_TRUE(succeeds(conf));
        EXPECT_TRUE(conf->delegate.value().asks_by_link()) << earlier;
    }
}

TEST(NetConfIpam, HasRoutesWithAndWithoutAGateway) {
    const auto conf = read(example_with(
        "/ipam/routes", Json::array({{{"dst", "0.0.0.0/0"}}, {{"dst", "192.168.0.0/16"}, {"gw", "10.0.0.7"}}})));
    ASSERT_TRUE(succeeds(conf));
    ASSERT_THAT(conf->routes, SizeIs(2));
    EXPECT_TRUE(conf->routes[0].gateway.is_none());
    EXPECT_EQ(conf->routes[1].destination.text(), "192.168.0.0/16");
    EXPECT_EQ(conf->routes[1].gateway.text(), "10.0.0.7");
}

TEST(NetConfIpam, HasAllThatIsSaidOfARoute) {
    const auto conf = read(example_with("/ipam/routes", Json::parse(R"([
        {"dst": "0.0.0.0/0", "mtu": 65520, "advmss": 65495, "priority": 4294967295, "table": 4294967295, "scope": 0},
        {"dst": "10.9.0.0/16", "mtu": 0, "advmss": 0, "priority": 0, "table": 0, "scope": 253},
        {"dst": "10.9.0.0/16", "mtu": null}])")));
    ASSERT_TRUE(succeeds(conf));
    ASSERT_THAT(conf->routes, SizeIs(3));
    EXPECT_EQ(conf->routes[0].mtu, 65520U);
    EXPECT_EQ(conf->routes[0].advmss, 65495U);
    EXPECT_EQ(conf->routes[0].priority, 4294967295U);
    EXPECT_EQ(conf->routes[0].table, 4294967295U);
    EXPECT_EQ(conf->routes[0].scope, 0U);
    for (const auto i : {1, 2}) {
        const auto& route = conf->routes[i];
        EXPECT_FALSE(route.mtu || route.advmss || route.priority || route.table) << "as Go writes what is not set";
    }
    EXPECT_TRUE(conf->routes[1].on_link());
}

TEST(NetConfIpam, HasNoRoutesWhenNoneAreGiven) {
    const auto conf = read(example_without("/ipam/routes"));
    ASSERT_TRUE(succeeds(conf));
    EXPECT_THAT(conf->routes, IsEmpty());
}

}  // namespace
}  // namespace causeway::cni::test::net_conf_ipam_test
