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

FOR_BOTH_FAMILIES(SandboxRoutes);

}  // namespace
}  // namespace causeway::test::route_test
