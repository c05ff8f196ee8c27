// SPDX-License-Identifier: Apache-2.0
// How much room the host has for flows and for sandboxes: as much as is configured, and what happens when it is full.
#include <gtest/gtest.h>

#include <causeway/abi.h>

#include "tests/system/entries.hpp"
#include "tests/system/snapshot.hpp"
#include "tests/system/translator.hpp"

namespace causeway::test::table_test {
namespace {

class Tables : public EachFamily {
protected:
    static Json with_tables(const Json& tables, const Json& patch = Json::object()) {
        auto conf = configuration(patch);
        conf["tables"] = tables;
        return conf;
    }
    Answer status(const Json& conf) const {
        return answer_to({.command = "STATUS", .id = "", .netns = "", .conf = conf, .interface = ""});
    }
};
class TablesOnce : public Tables {};  // what has no family

TEST_P(TablesOnce, AreAsLargeAsTheFirstAddSaysAndAnotherSizeIsRefused) {
    const auto blue = connect("blue", with_tables({{"flows", 1000}, {"sandboxes", 2}}));
    const auto netns = world_.add_namespace("red");
    const auto before = Snapshot::take({netns});
    EXPECT_TRUE(refused(add("red", netns, with_tables({{"flows", 2000}})), 7, {"tables.flows", "2000", "1000"}));
    EXPECT_TRUE(refused(add("red", netns, with_tables({{"sandboxes", 3}})), 7, {"tables.sandboxes", "3", "2"}));
    EXPECT_TRUE(refused(status(with_tables({{"flows", 2000}})), 50, {"tables.flows", "2000", "1000"}));
    EXPECT_TRUE(before.holds());
    EXPECT_TRUE(succeeded(add("red", netns, with_tables({{"flows", 1000}}))));
    EXPECT_TRUE(meet(Protocol::tcp, {netns}, server()));
    ASSERT_TRUE(succeeded(del("red", netns)));
    disconnect(blue);
    EXPECT_TRUE(succeeded(add("red", netns, with_tables({{"flows", 2000}})))) << "nobody uses the old ones any more";
}

TEST_P(TablesOnce, AreTakenAsTheyAreByWhoeverAsksForNoSize) {
    const auto blue = connect("blue", with_tables({{"flows", 1000}}));
    const auto red = connect("red", configuration(default_tables));
    EXPECT_TRUE(meet(Protocol::tcp, {red.netns}, server()));
}

TEST_P(TablesOnce, OfSandboxesThatAreFullRefuseAnotherAndSaySo) {
    const auto conf = with_tables({{"sandboxes", 2}});
    const auto blue = connect("blue", conf), red = connect("red", conf);
    const auto netns = world_.add_namespace("green");
    const auto before = Snapshot::take({netns});
    EXPECT_TRUE(refused(add("green", netns, conf), 101, {"this host has room for 2 interfaces", "all are taken"}));
    EXPECT_TRUE(refused(status(conf), 50, {"this host has room for 2 interfaces", "all are taken"}));
    EXPECT_TRUE(before.holds());
    disconnect(blue, conf);
    EXPECT_TRUE(succeeded(status(conf)));
    EXPECT_TRUE(succeeded(add("green", netns, conf)));
    EXPECT_TRUE(meet(Protocol::udp, {netns}, server()));
}

// Gateways are no sandboxes', and some sandboxes have more addresses than others.
TEST_P(Tables, OfAddressesHaveRoomForTheGatewaysAndSayWhenTheyAreFull) {
    const auto conf = dual_configuration({{"tables", {{"sandboxes", 1}}}});
    const auto blue = Host::connect("blue", conf);
    EXPECT_TRUE(test::ping(blue.netns, "10.0.0.1"));
    Host::disconnect(blue, conf);
    const auto two = with_tables({{"sandboxes", 2}});
    const auto red = connect("red", two);
    const auto netns = world_.add_namespace("green");
    const int room = 2 * 2 + CAUSEWAY_GATEWAYS_MAX;
    take_addresses(here("10.64.0.10"), room - static_cast<int>(keys_of("endpoints").size()));
    const auto answer = add("green", netns, two);
    EXPECT_TRUE(refused(answer, 101, {"the address 10.0.0.3", "room for " + std::to_string(room)}));
    EXPECT_EQ(answer.json.value("details", ""), "\"tables.sandboxes\" in the configuration gives it more");
}

// Sixteen flows: each sandbox takes all that it may, and then there are more sandboxes.
TEST_P(Tables, OfFlowsThatAreFullRefuseNewFlowsAtOnceAndTouchNoLiveOne) {
    constexpr std::size_t room = 16;
    const auto conf = with_tables({{"flows", room}}, {{"timeouts", {{"tcpClosing", 1}}}});
    let_errors_flow("");
    auto listener = Socket::listener(world_.world(), server().end);
    std::vector<Sandbox> sandboxes;
    std::vector<Line> lines;
    while (sandboxes.size() <= room && (sandboxes.empty() || count_of("drop-table-full") == 0)) {
        sandboxes.push_back(connect("sandbox" + std::to_string(sandboxes.size()), conf));
        for (bool refused = false; !refused;) {
            auto client = Socket::tcp(sandboxes.back().netns, any());
            const int refusal = client.connect(server().end);
            refused = refusal != 0;
            if (refused) {
                EXPECT_EQ(refusal, prohibited()) << "at once, and not a time-out";
                continue;
            }
            auto accepted = listener.accept();
            ASSERT_TRUE(accepted);
            lines.push_back({std::move(client), std::move(*accepted), {}});
        }
    }
    EXPECT_EQ(lines.size(), room) << ctl({"stats", "-i", "0"}).out;
    EXPECT_EQ(ctl_json({"flows"}).size(), room);
    EXPECT_GE(count_of("drop-table-full"), 1U);
    for (auto& line : lines) {
        EXPECT_TRUE(alive(line));
    }

    lines.erase(lines.begin());  // both ends close
    const auto late = connect("late", conf);
    EXPECT_TRUE(
        eventually([&] { return Socket::tcp(late.netns, any()).connect(server().end) == 0; }, std::chrono::seconds(15)))
        << "a flow that has ended leaves its place to another";
    for (auto& line : lines) {
        EXPECT_TRUE(alive(line));
    }
}

FOR_BOTH_FAMILIES(Tables);
INSTANTIATE_TEST_SUITE_P(Of, TablesOnce, testing::Values(Family::ipv4), testing::PrintToStringParamName());

}  // namespace
}  // namespace causeway::test::table_test
