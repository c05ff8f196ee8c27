// SPDX-License-Identifier: Apache-2.0
// The benchmark's guard: which bars are met, and by how much one is missed.
#include <gmock/gmock.h>

#include <fstream>
#include <set>
#include <stdexcept>
#include <string>

#include "bench/bars.hpp"
#include "tests/unit/bench_record.hpp"

namespace causeway::bench::bench_bars_test {
namespace {

using nlohmann::json;
using testing::DoubleNear;
using testing::HasSubstr;
using testing::Optional;
using testing::ThrowsMessage;

std::vector<Bar> bars_of(const char* text) {
    return bars_from({{"bars", json::array({json::parse(text)})}});
}
Bar bar_of(const char* text) {
    return bars_of(text).front();
}

// causeway at `own` where the bridge is at 10.
Results at(double own, const std::string& figure = "tcp_world") {
    Results results;
    set(results, figure, "bridge", {10});
    set(results, figure, "causeway", {own});
    return results;
}

TEST(Bar, AtMostIsMetAtItsLimitAndMissedAboveIt) {
    const Bar bar = bar_of(R"({"figure": "tcp_world", "at_most": 0.8, "times": "bridge"})");
    EXPECT_EQ(judge(bar, at(8)).outcome, Judgement::meets);
    EXPECT_EQ(judge(bar, at(3)).outcome, Judgement::meets);
    const Judgement missed = judge(bar, at(10));
    EXPECT_EQ(missed.outcome, Judgement::misses);
    EXPECT_THAT(missed.found, Optional(DoubleNear(1.0, 1e-12)));
    EXPECT_NEAR(missed.by, 0.25, 1e-12);
    EXPECT_EQ(text_of(bar, missed), "1.00 ×, 25 % above the bar");
}

TEST(Bar, AtLeastIsMetAtItsLimitAndMissedBelowIt) {
    const Bar bar = bar_of(R"({"figure": "connections_world", "at_least": 1.25, "times": "bridge"})");
    EXPECT_EQ(judge(bar, at(12.5, "connections_world")).outcome, Judgement::meets);
    EXPECT_EQ(judge(bar, at(99, "connections_world")).outcome, Judgement::meets);
    const Judgement missed = judge(bar, at(12, "connections_world"));
    EXPECT_EQ(missed.outcome, Judgement::misses);
    EXPECT_NEAR(missed.by, 0.04, 1e-12);
    EXPECT_EQ(text_of(bar, missed), "1.20 ×, 4.0 % below the bar");
}

TEST(Bar, ComparesWithAnotherFigureOfItsOwn) {
    const Bar bar = bar_of(R"({"figure": "add_500", "at_most": 1.15, "times": "causeway", "at": "add_10"})");
    Results results;
    set(results, "add_10", "causeway", {2, 2, 2});
    set(results, "add_500", "causeway", {2, 3, 2.2});
    EXPECT_EQ(judge(bar, results).outcome, Judgement::meets);
    set(results, "add_500", "causeway", {2.4, 3, 2.2});
    EXPECT_EQ(judge(bar, results).outcome, Judgement::misses);
    EXPECT_EQ(text_of(bar), "≤ 1.15 × ADD, 10 sandboxes");
}

TEST(Bar, NoneFailedCountsWhatFailedInAnyRound) {
    const Bar bar = bar_of(R"({"figure": "connections_world", "none_failed": true})");
    Results results;
    set(results, "connections_world", "causeway", {5000, 5000});
    EXPECT_EQ(judge(bar, results).outcome, Judgement::meets);
    results.add("connections_world", "causeway", 3, {.samples = {5000}, .failed = 1});
    EXPECT_EQ(judge(bar, results).outcome, Judgement::misses);
    EXPECT_EQ(text_of(bar, judge(bar, results)), "1 failed");
}

TEST(Bar, IsNeitherMetNorMissedByWhatWasNotMeasured) {
    const Bar most = bar_of(R"({"figure": "tcp_world", "at_most": 0.8, "times": "wire"})");
    const Bar none = bar_of(R"({"figure": "connections_world", "none_failed": true})");
    EXPECT_EQ(judge(most, at(8)).outcome, Judgement::not_measured);
    EXPECT_EQ(judge(none, at(8)).outcome, Judgement::not_measured);
    EXPECT_TRUE(all_met({most, none}, at(8)));
}

TEST(Bar, IsWithinTheSpreadWhereSomeRoundsMeetItAndSomeMissIt) {
    const Bar bar = bar_of(R"({"figure": "tcp_world", "at_most": 0.8, "times": "bridge"})");
    Results results;
    set(results, "tcp_world", "bridge", {10, 10, 10});
    set(results, "tcp_world", "causeway", {7.9, 8.1, 8.2});
    EXPECT_EQ(text_of(bar, judge(bar, results)), "0.81 × ±2%, 1.2 % above the bar, within the spread");
    set(results, "tcp_world", "causeway", {8.2, 8.1, 8.2});
    EXPECT_FALSE(judge(bar, results).within_spread);
    set(results, "tcp_world", "causeway", {7.8, 7.9, 8.2});
    EXPECT_EQ(text_of(bar, judge(bar, results)), "0.79 × ±3%, within the spread");
}

TEST(Bar, SaysWhereAttemptsFailedOnEitherSide) {
    const Bar bar = bar_of(R"({"figure": "connections_world", "at_least": 1.25, "times": "bridge"})");
    Results results;
    set(results, "connections_world", "bridge", {100}, 3);
    set(results, "connections_world", "causeway", {200});
    EXPECT_EQ(text_of(bar, judge(bar, results)), "2.00 ×, attempts failed");
}

TEST(Bars, KnowWhetherAnyOfThemWasMeasured) {
    const Bar bar = bar_of(R"({"figure": "tcp_world", "at_most": 0.8, "times": "bridge"})");
    const Bar other = bar_of(R"({"figure": "tcp_host", "at_most": 0.8, "times": "bridge"})");
    EXPECT_FALSE(none_measured({bar, other}, at(8)));
    EXPECT_TRUE(none_measured({other}, at(8)));
}

TEST(Bars, AreMissedTogetherIfOneIs) {
    const Bar low = bar_of(R"({"figure": "tcp_world", "at_most": 0.8, "times": "bridge"})");
    const Bar high = bar_of(R"({"figure": "tcp_world", "at_most": 2, "times": "bridge"})");
    EXPECT_FALSE(all_met({high, low}, at(9)));
    EXPECT_TRUE(all_met({high, low}, at(7)));
}

TEST(Bars, RefuseWhatCouldNeverBeMissed) {
    const auto refusal = [](const char* text, const char* reason) {
        EXPECT_THAT([&] { bars_of(text); }, ThrowsMessage<std::runtime_error>(HasSubstr(reason))) << text;
    };
    refusal(R"({"figure": "tcp_wrold", "at_most": 1, "times": "wire"})", "names no figure: tcp_wrold");
    refusal(R"({"figure": "tcp_world", "at_most": 1, "times": "wire", "at": "x"})", "names no figure: x");
    refusal(R"({"figure": "tcp_world", "times": "wire"})", "needs one of");
    refusal(R"({"figure": "tcp_world", "at_most": 1, "at_least": 1, "times": "wire"})", "needs one of");
    refusal(R"({"figure": "tcp_world", "at_most": 1, "times": "causeway"})", "compares a figure with itself");
    refusal(R"({"figure": "tcp_world", "at_most": 1})", "bar 1: ");
    refusal(R"({"figure": "tcp_world", "at_most": "1", "times": "wire"})", "bar 1: ");
}

// IPv6 costs no more over its wire than IPv4 over its own.
TEST(Bar, ComparesARatioWithAnother) {
    const Bar bar =
        bar_of(R"({"figure": "tcp_world", "column": "causeway6/wire6", "at_most": 1.05, "times": "causeway/wire"})");
    Results results;
    set(results, "tcp_world", "wire", {10});
    set(results, "tcp_world", "causeway", {11});
    set(results, "tcp_world", "wire6", {20});
    EXPECT_EQ(judge(bar, results).outcome, Judgement::not_measured);
    set(results, "tcp_world", "causeway6", {23});
    EXPECT_EQ(judge(bar, results).outcome, Judgement::meets);
    set(results, "tcp_world", "causeway6", {24});
    const Judgement missed = judge(bar, results);
    EXPECT_EQ(missed.outcome, Judgement::misses);
    EXPECT_EQ(text_of(bar, missed), "1.09 ×, 3.9 % above the bar");
    EXPECT_EQ(subject_of(bar), "causeway6 ÷ wire6: TCP, sandbox → world (SNAT)");
    EXPECT_EQ(text_of(bar), "≤ 1.05 × causeway ÷ wire");
}

std::vector<Bar> bars_of_the_project() {
    std::ifstream file(CAUSEWAY_BARS);
    return bars_from(json::parse(file));
}

TEST(Bars, OfTheProjectAreAllUnderstood) {
    EXPECT_GE(bars_of_the_project().size(), 40u);
}

// One that no run measures would never be missed.
TEST(Bars, OfTheProjectAreOfColumnsThatThereAre) {
    const std::set<std::string> known = {
        "wire",    "bridge",        "causeway",        "causeway6",       "causeway46",
        "big-tcp", "causeway/wire", "causeway/bridge", "causeway6/wire6", "causeway6/bridge6"};
    for (const Bar& bar : bars_of_the_project()) {
        EXPECT_TRUE(known.contains(bar.of.column)) << bar.of.column;
        EXPECT_TRUE(bar.sense == Bar::none_failed || known.contains(bar.to.column)) << bar.to.column;
    }
}

// What holds for IPv4 has to hold for IPv6 too, within 5 %.
TEST(Bars, OfTheProjectHoldIPv6ToWhatIPv4Reaches) {
    std::set<std::string> ipv4, ipv6;
    for (const Bar& bar : bars_of_the_project()) {
        const bool across = bar.of.figure == bar.to.figure && bar.sense != Bar::none_failed;
        if (across && bar.of.column.contains('/')) {
            ipv6.insert(bar.of.figure + " " + bar.to.column.substr(bar.to.column.find('/') + 1));
        } else if (across) {
            ipv4.insert(bar.of.figure + " " + bar.to.column);
        }
    }
    EXPECT_EQ(ipv4, ipv6);
}

}  // namespace
}  // namespace causeway::bench::bench_bars_test
