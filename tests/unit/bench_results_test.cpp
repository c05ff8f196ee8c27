// SPDX-License-Identifier: Apache-2.0
// The benchmark's arithmetic: medians, spread, ratios, and their way through JSON.
#include <gmock/gmock.h>

#include <stdexcept>

#include "bench/median.hpp"
#include "bench/results.hpp"
#include "tests/unit/bench_record.hpp"

namespace causeway::bench::bench_results_test {
namespace {

using testing::DoubleEq;
using testing::DoubleNear;
using testing::Field;
using testing::Optional;

TEST(Median, IsTheMiddleOfAnOddNumberAndBetweenTheTwoInTheMiddleOfAnEven) {
    EXPECT_EQ(median(std::vector<int>{9, 1, 5}), 5);
    EXPECT_EQ(median(std::vector<int>{9, 1, 6, 7}), 6.5);
    EXPECT_EQ(median(std::vector<double>{1, 4}), 2.5);
    EXPECT_EQ(median(std::vector<int>{4}), 4);
}

TEST(Quantile, LeavesItsShareBelow) {
    std::vector<int> values;
    for (int i = 999; i >= 0; --i) {
        values.push_back(i);
    }
    EXPECT_EQ(quantile(values, 0.5), 500);
    EXPECT_EQ(quantile(values, 0.99), 990);
    EXPECT_EQ(quantile(values, 0.999), 999);
    EXPECT_EQ(quantile(values, 1.0), 999);
}

TEST(Spread, IsHalfTheRangeAsAShareOfTheMedian) {
    EXPECT_DOUBLE_EQ(spread({8, 10, 14}), 0.3);
    EXPECT_DOUBLE_EQ(spread({5}), 0);
    EXPECT_DOUBLE_EQ(spread({0, 0}), 0);
}

TEST(Results, SummariseTheRoundsByTheirMedians) {
    Results results;
    results.add("add_60", "bridge", 1, {.samples = {1, 2, 30}});
    results.add("add_60", "bridge", 2, {.samples = {4, 4, 4}});
    results.add("add_60", "bridge", 3, {.samples = {5, 6, 7}});
    const auto found = results.summary("add_60", "bridge");
    ASSERT_TRUE(found);
    EXPECT_EQ(found->median, 4);
    EXPECT_EQ(found->smallest, 2);
    EXPECT_EQ(found->largest, 6);
    EXPECT_DOUBLE_EQ(found->spread, 0.5);
}

TEST(Results, HaveNothingOfWhatWasNotMeasured) {
    Results results;
    set(results, "tcp_world", "wire", {7});
    EXPECT_FALSE(results.summary("tcp_world", "bridge"));
    EXPECT_FALSE(results.summary("tcp_host", "wire"));
    EXPECT_FALSE(results.ratio({"tcp_world", "wire"}, {"tcp_world", "bridge"}));
    EXPECT_EQ(results.failed("tcp_host", "wire"), 0);
}

// The machine gets slower from round to round; the ratio does not change.
TEST(Results, TakeRatiosWithinEachRound) {
    Results results;
    set(results, "tcp_world", "causeway", {8, 16, 80});
    set(results, "tcp_world", "bridge", {10, 20, 100});
    const auto found = results.ratio({"tcp_world", "causeway"}, {"tcp_world", "bridge"});
    EXPECT_THAT(found, Optional(Field(&Summary::median, DoubleEq(0.8))));
    EXPECT_EQ(found->rounds, 3);
}

TEST(Results, GiveARatioTheSpreadOfItsRounds) {
    Results results;
    set(results, "tcp_world", "causeway", {8, 9, 10});
    set(results, "tcp_world", "bridge", {10, 10, 10});
    const auto found = results.ratio({"tcp_world", "causeway"}, {"tcp_world", "bridge"});
    ASSERT_TRUE(found);
    EXPECT_DOUBLE_EQ(found->smallest, 0.8);
    EXPECT_DOUBLE_EQ(found->largest, 1);
    EXPECT_NEAR(found->spread, 0.1 / 0.9, 1e-12);
}

TEST(Results, CompareOnlyRoundsThatBothHave) {
    Results results;
    results.add("tcp_world", "causeway", 1, {.samples = {50}});
    results.add("tcp_world", "causeway", 3, {.samples = {9}});
    results.add("tcp_world", "bridge", 2, {.samples = {1}});
    results.add("tcp_world", "bridge", 3, {.samples = {10}});
    EXPECT_THAT(results.ratio({"tcp_world", "causeway"}, {"tcp_world", "bridge"}),
                Optional(Field(&Summary::median, DoubleNear(0.9, 1e-12))));
}

TEST(Results, DivideByNothingThatIsZero) {
    Results results;
    set(results, "cpu_packet", "causeway", {1});
    set(results, "cpu_packet", "wire", {0});
    EXPECT_FALSE(results.ratio({"cpu_packet", "causeway"}, {"cpu_packet", "wire"}));
}

TEST(Results, DivideTwoColumnsWithinEachRound) {
    Results results;
    set(results, "tcp_world", "causeway", {8, 16, 90});
    set(results, "tcp_world", "wire", {4, 8, 40});
    set(results, "tcp_world", "causeway6", {22, 42, 205});
    set(results, "tcp_world", "wire6", {10, 20, 100});
    const auto found = results.summary("tcp_world", "causeway6/wire6");
    ASSERT_TRUE(found);
    EXPECT_DOUBLE_EQ(found->median, 2.1);
    EXPECT_DOUBLE_EQ(found->largest, 2.2);
    EXPECT_THAT(results.ratio({"tcp_world", "causeway6/wire6"}, {"tcp_world", "causeway/wire"}),
                Optional(Field(&Summary::median, DoubleNear(1.05, 1e-9))));
    EXPECT_FALSE(results.summary("tcp_world", "causeway6/bridge6"));
}

TEST(Results, AddUpWhatFailedInAllRounds) {
    Results results;
    set(results, "connections_world", "causeway", {100, 100, 100}, 2);
    EXPECT_EQ(results.failed("connections_world", "causeway"), 6);
    set(results, "connections_world", "wire", {100}, 1);
    EXPECT_EQ(results.failed("connections_world", "causeway/wire"), 7) << "a ratio is of both";
}

TEST(Record, ComesBackFromItsJson) {
    Record record = record_of_three();
    record.errors = {"bridge, udp_world: not one reply in time"};
    record.results.add("add_60", "causeway", 2, {.samples = {3, 1, 2}, .failed = 4});
    const Record back = Record::from_json(nlohmann::json::parse(record.to_json().dump()));
    EXPECT_EQ(back.to_json(), record.to_json());
    EXPECT_EQ(back.columns.at(1).text, "reference plugin bridge");
    EXPECT_EQ(back.columns.at(2).against, (std::vector<std::string>{"wire", "bridge"}));
    EXPECT_EQ(back.errors, record.errors);
    EXPECT_EQ(back.results.failed("add_60", "causeway"), 4);
    EXPECT_TRUE(back.columns.at(2).ours);
    EXPECT_FALSE(back.columns.at(1).ours);
    EXPECT_EQ(back.results.rounds("add_60", "causeway"), (std::map<int, double>{{2, 2}}));
}

TEST(Record, ReadsWhatEarlierVersionsWroteAndRefusesWhatLaterOnesMay) {
    nlohmann::json old = record_of_three().to_json();
    for (const char* const since : {"schema", "setting", "complete", "ratios"}) {
        old.erase(since);
    }
    for (auto& column : old.at("columns")) {
        column.erase("ours");
    }
    const Record record = Record::from_json(old);
    EXPECT_TRUE(record.complete);
    EXPECT_TRUE(record.columns.at(2).ours);
    EXPECT_FALSE(record.columns.at(0).ours);
    old["schema"] = 1000;
    EXPECT_THROW(Record::from_json(old), std::runtime_error);
}

TEST(Record, HasItsRatiosInItsJson) {
    Record record = record_of_three();
    set(record.results, "tcp_world", "bridge", {10, 10});
    set(record.results, "tcp_world", "causeway", {8, 9});
    const nlohmann::json ratio = record.to_json().at("ratios").at("tcp_world").at("causeway/bridge");
    EXPECT_DOUBLE_EQ(ratio.at("median"), 0.85);
    EXPECT_DOUBLE_EQ(ratio.at("smallest"), 0.8);
    EXPECT_DOUBLE_EQ(ratio.at("largest"), 0.9);
}

}  // namespace
}  // namespace causeway::bench::bench_results_test
