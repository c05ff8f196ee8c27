// SPDX-License-Identifier: Apache-2.0
// The routes of a sandbox: with all that CNI 1.1.0 says of a route, and beside those of another network.
#include "tests/system/of_family.hpp"
#include "tests/system/snapshot.hpp"

namespace causeway::test::route_test {
namespace {

Json with_routes(const std::string& routes, const Json& patch = Json::object()) {
    auto conf = configuration(patch);
    conf["ipam"]["routes"] = Json::parse(routes);
    return conf;
}

class RoutesOf : public EachFamily {
protected:
    // Those of a table to a destination, as `ip` has them.
    Json shown(const Sandbox& sandbox, const std::string& destination, const std::string& table = "main") const {
        return ip_json_here({"route", "show", destination, "table", table}, sandbox.netns);
    }

    Answer check(const Sandbox& sandbox, const Json& conf) const {
        auto with_result = conf;
        with_result["prevResult"] = sandbox.reply;
        return answer_to({.command = "CHECK",
                          .id = sandbox.id,
                          .netns = sandbox.netns,
                          .conf = with_result,
                          .interface = sandbox.interface});
    }
};
class SandboxRoutes : public RoutesOf {};

constexpr auto numbered = R"([{"dst": "0.0.0.0/0", "mtu": 1400, "advmss": 1300, "priority": 50}])";

TEST_P(SandboxRoutes, HaveTheNumbersOfTheConfiguration) {
    const auto before = Snapshot::take();
    const auto blue = connect("blue", with_routes(numbered));
    const auto route = shown(blue, "default");
    ASSERT_EQ(route.size(), 1U);
    EXPECT_EQ(route[0].at("metric"), 50);
    EXPECT_EQ(route[0].at("metrics")[0], Json::parse(R"({"mtu": 1400, "advmss": 1300})"));
    Json told{{"dst", here("0.0.0.0/0")}, {"gw", here("10.0.0.1")}};
    told.merge_patch({{"mtu", 1400}, {"advmss", 1300}, {"priority", 50}});
    EXPECT_EQ(blue.reply.at("routes"), Json::array({told}));
    EXPECT_TRUE(meet(Protocol::tcp, {blue.netns}, server(80)));
    EXPECT_TRUE(succeeded(check(blue, with_routes(numbered))));
    disconnect(blue, with_routes(numbered));
    world_.remove_namespace("blue");
    EXPECT_TRUE(before.holds());
}

TEST_P(SandboxRoutes, AreToldByDestinationAndGatewayBefore110) {
    const auto blue = connect("blue", with_routes(numbered, {{"cniVersion", "1.0.0"}}));
    const Json told{{"dst", here("0.0.0.0/0")}, {"gw", here("10.0.0.1")}};
    EXPECT_EQ(blue.reply.at("routes"), Json::array({told}));
    EXPECT_EQ(shown(blue, "default")[0].at("metric"), 50);
}

TEST_P(SandboxRoutes, ToOneDestinationDifferByTableAndPriority) {
    const auto conf = with_routes(R"([{"dst": "10.9.0.0/16", "priority": 10}, {"dst": "10.9.0.0/16", "priority": 20},
                                      {"dst": "10.9.0.0/16", "table": 1000}, {"dst": "10.9.0.0/16", "table": 100}])");
    const auto blue = connect("blue", conf);
    EXPECT_EQ(shown(blue, "10.9.0.0/16").size(), 2U);
    EXPECT_EQ(shown(blue, "10.9.0.0/16", "1000").size(), 1U);
    EXPECT_EQ(shown(blue, "10.9.0.0/16", "100").size(), 1U);
    EXPECT_TRUE(succeeded(check(blue, conf)));
    ip_here({"route", "del", "10.9.0.0/16", "metric", "20"}, blue.netns);
    EXPECT_TRUE(refused(check(blue, conf), 103, {"10.9.0.0/16", "priority"}));
}

TEST_P(SandboxRoutes, OfTheLinkHaveNoGateway) {
    const auto blue = connect("blue", with_routes(R"([{"dst": "10.0.1.0/24", "scope": 253}])"));
    EXPECT_FALSE(shown(blue, "10.0.1.0/24").at(0).contains("gateway"));
    EXPECT_FALSE(blue.reply.at("routes")[0].contains("gw"));
    const auto red = connect("red", second_configuration());
    EXPECT_TRUE(meet(Protocol::udp, {blue.netns}, {red.netns, {red.address, 53}}));
}

struct Altered {
    const char* name;
    std::string numbers;  // of the route, for `ip`
};
void PrintTo(const Altered& row, std::ostream* out) {
    *out << row.numbers;
}
class AlteredRoute : public OfFamily, public testing::WithParamInterface<std::tuple<Altered, Family>> {
protected:
    AlteredRoute() : OfFamily(std::get<Family>(GetParam())) {}
};

TEST_P(AlteredRoute, IsFoundByCheck) {
    auto conf = with_routes(R"([{"dst": "10.9.0.0/16", "mtu": 1400, "advmss": 1300, "priority": 50, "table": 100}])");
    const auto blue = connect("blue", conf);
    ip_here({"route", "flush", "table", "100"}, blue.netns);
    must_run({"ip", "-batch", "-"},
             {.stdin_text = here("route add 10.9.0.0/16 via 10.0.0.1 " + std::get<Altered>(GetParam()).numbers + "\n"),
              .netns = blue.netns});
    conf["prevResult"] = blue.reply;
    EXPECT_TRUE(refused(answer_to({.command = "CHECK", .id = "blue", .netns = blue.netns, .conf = conf}), 103,
                        {"10.9.0.0/16", "has another table, priority, scope, mtu or advmss"}));
}

INSTANTIATE_TEST_SUITE_P(, AlteredRoute,
                         testing::Combine(testing::Values(Altered{"Mtu", "mtu 1300 advmss 1300 metric 50 table 100"},
                                                          Altered{"Advmss", "mtu 1400 advmss 1200 metric 50 table 100"},
                                                          Altered{"Priority",
                                                                  "mtu 1400 advmss 1300 metric 51 table 100"},
                                                          Altered{"Table", "mtu 1400 advmss 1300 metric 50 table 101"}),
                                          testing::Values(Family::ipv4, Family::ipv6)),
                         [](const auto& of) {
                             return std::string(std::get<Altered>(of.param).name) +
                                    (std::get<Family>(of.param) == Family::ipv6 ? "_IPv6" : "");
                         });

// Of one container, with a default route each.
class TwoNetworks : public RoutesOf {
protected:
    static Json second() {
        return second_configuration({{"ipam", {{"routes", Json::parse(R"([{"dst": "0.0.0.0/0"}])")}}}});
    }

    void SetUp() override {
        red_ = connect("red");
        green_ = connect("green", second());
        first_ = connect("blue");
    }

    Sandbox add_second() {
        auto other = first_;
        other.interface = "net1";
        const auto answer = add("blue", first_.netns, second(), "net1");
        EXPECT_TRUE(succeeded(answer));
        other.reply = answer.json;
        return other;
    }

    // To the world again and again, since the kernel may choose anew.
    void expect_well(const Sandbox& neighbour) {
        EXPECT_TRUE(meet(Protocol::tcp, {first_.netns}, {neighbour.netns, {neighbour.address, 80}}));
        for (std::uint16_t port = 8080; port < 8088; ++port) {
            EXPECT_TRUE(meet(Protocol::tcp, {first_.netns}, server(port)));
            EXPECT_TRUE(meet(Protocol::udp, {first_.netns}, server(port)));
        }
        EXPECT_TRUE(ping(first_.netns, world_address));
    }

    Sandbox red_, green_, first_;
};

TEST_P(TwoNetworks, HaveADefaultRouteEach) {
    const auto other = add_second();
    expect_well(red_);
    expect_well(green_);
    EXPECT_TRUE(succeeded(check(first_, configuration())));
    EXPECT_TRUE(succeeded(check(other, second())));
    const auto routes = shown(first_, "default");
    ASSERT_EQ(routes.size(), 2U);
    EXPECT_EQ(routes[0].at("dev"), "eth0") << "the older one first";
    EXPECT_EQ(routes[1].at("metric"), family() == Family::ipv4 ? 1 : 1025);
    EXPECT_EQ(other.reply.at("routes")[0].at("priority"), routes[1].at("metric"));
    ip_here({"route", "del", "default", "via", "10.0.0.1"}, first_.netns);
    EXPECT_TRUE(refused(check(first_, configuration()), 103, {"0.0.0.0/0", "10.0.0.1", "gone"}));
    EXPECT_TRUE(succeeded(check(other, second())));
    ip_here({"route", "add", "default", "via", "10.0.0.1", "proto", "static"}, first_.netns);
    EXPECT_TRUE(succeeded(del("blue", first_.netns, second(), "net1")));
    expect_well(red_);
    EXPECT_TRUE(succeeded(check(first_, configuration())));
}

TEST_P(TwoNetworks, WorkAloneWhenTheOtherHasGone) {
    const auto before = Snapshot::take({first_.netns, red_.netns, green_.netns});
    add_second();
    EXPECT_TRUE(succeeded(del("blue", first_.netns, second(), "net1")));
    EXPECT_TRUE(before.holds());
    expect_well(red_);
    const auto again = add_second();
    EXPECT_TRUE(succeeded(del("blue", first_.netns)));
    expect_well(green_);
    EXPECT_TRUE(succeeded(check(again, second())));
}

TEST_P(TwoNetworks, ComeInTheOrderOfTheirPriorities) {
    auto conf = second();
    conf["ipam"]["routes"] = Json::parse(R"([{"dst": "0.0.0.0/0", "priority": 2000}])");
    ASSERT_TRUE(succeeded(add("blue", first_.netns, conf, "net1")));
    EXPECT_EQ(shown(first_, "default")[1].at("metric"), 2000);
    expect_well(red_);
    EXPECT_TRUE(refused(add("blue", first_.netns, conf, "net2"), 100, {"0.0.0.0/0", "File exists"}))
        << "as it was asked";
}

// As the reference plugins add theirs, which IPv6 then has as one.
TEST_P(SandboxRoutes, AreFoundByCheckWhereAnotherOneSharesThem) {
    const auto blue = connect("blue");
    ip_here({"route", "append", "default", "via", "10.0.0.9", "dev", "eth0"}, blue.netns);
    EXPECT_TRUE(succeeded(check(blue, configuration())));
}

// Of somebody who is no plugin.
TEST_P(SandboxRoutes, AreAddedBesideAnothersByAnotherDevice) {
    const auto netns = world_.add_namespace("blue");
    must_run({"ip", "-batch", "-"},
             {.stdin_text = here("link set lo up\nlink add other0 type veth peer name other1\n"
                                 "addr add 10.8.0.240/24 dev other0 nodad\nlink set other1 up\nlink set other0 up\n"
                                 "route add default via 10.8.0.1 dev other0\n"),
              .netns = netns});
    const auto before = Snapshot::take({netns});
    ASSERT_TRUE(succeeded(add("blue", netns)));
    EXPECT_TRUE(ping(netns, "10.0.0.1"));
    EXPECT_TRUE(succeeded(del("blue", netns)));
    EXPECT_TRUE(before.comes_back());
}

FOR_BOTH_FAMILIES(SandboxRoutes);
FOR_BOTH_FAMILIES(TwoNetworks);

}  // namespace
}  // namespace causeway::test::route_test
