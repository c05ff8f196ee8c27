// SPDX-License-Identifier: Apache-2.0
// The benchmark's guard against an earlier run: what fell, and what is only noise or none of causeway's doing.
#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "bench/against.hpp"
#include "tests/unit/bench_record.hpp"

namespace causeway::bench::bench_against_test {
namespace {

// A run with causeway at `own` where the bridge is at 10.
Record run_with(const std::vector<double>& own, const std::string& figure = "tcp_world") {
    Record record = record_of_six();
    set(record.results, figure, "bridge", std::vector<double>(own.size(), 10));
    set(record.results, figure, "causeway", own);
    return record;
}

TEST(Against, SaysWhatFellAndByHowMuch) {
    const auto changes = changes_since(run_with({8, 8, 8}), run_with({9, 9, 9}), {});
    EXPECT_EQ(text_of(changes),
              "FELL    TCP, sandbox → world (SNAT), causeway ÷ bridge: 0.80 → 0.90, 12 % worse (5.0 % would be "
              "tolerated)\n1 of 1 ratios that both runs have fell\n");
}

TEST(Against, KnowsWhereMoreIsBetter) {
    const std::string figure = "connections_world";
    EXPECT_TRUE(changes_since(run_with({12}, figure), run_with({11}, figure), {}).at(0).fell());
    EXPECT_FALSE(changes_since(run_with({11}, figure), run_with({12}, figure), {}).at(0).fell());
}

// Twice as slow a machine has the same ratios.
TEST(Against, ComparesNoAbsoluteFigures) {
    Record slow = run_with({16, 16});
    set(slow.results, "tcp_world", "bridge", {20, 20});
    EXPECT_FALSE(changes_since(run_with({8, 8}), slow, {}).at(0).fell());
}

TEST(Against, ToleratesFivePercentOrTheSpreadOfEitherRun) {
    EXPECT_FALSE(changes_since(run_with({8, 8, 8}), run_with({8.39, 8.39, 8.39}), {}).at(0).fell());
    EXPECT_TRUE(changes_since(run_with({8, 8, 8}), run_with({8.41, 8.41, 8.41}), {}).at(0).fell());
    EXPECT_FALSE(changes_since(run_with({7, 8, 9}), run_with({8.9, 8.9, 8.9}), {}).at(0).fell());
    EXPECT_FALSE(changes_since(run_with({8, 8, 8}), run_with({8, 8.8, 9.9}), {}).at(0).fell());
}

TEST(Against, MeasuresAVariantAgainstWhatIsNotCauseway) {
    Record before = run_with({8}), now = run_with({6});
    set(before.results, "tcp_world", "big-tcp", {8});
    set(now.results, "tcp_world", "big-tcp", {8});
    for (const Change& change : changes_since(before, now, {})) {
        EXPECT_FALSE(change.fell()) << change.text;
    }
    set(now.results, "tcp_world", "big-tcp", {9});
    const auto changes = changes_since(before, now, {});
    ASSERT_EQ(changes.size(), 2u);
    EXPECT_TRUE(changes.at(1).fell()) << changes.at(1).text;
}

TEST(Against, MeasuresALargerSizeAgainstASmallerWhereABarDoes) {
    const std::vector<Bar> bars =
        bars_from({{"bars", {{{"figure", "add_500"}, {"at_most", 1.15}, {"times", "causeway"}, {"at", "add_10"}}}}});
    Record before = record_of_three(), now = record_of_three();
    set(before.results, "add_10", "causeway", {2});
    set(before.results, "add_500", "causeway", {2});
    set(now.results, "add_10", "causeway", {4});
    set(now.results, "add_500", "causeway", {4.4});
    EXPECT_EQ(text_of(changes_since(before, now, bars)),
              "FELL    ADD, 500 sandboxes ÷ ADD, 10 sandboxes: 1.00 → 1.10, 10 % worse (5.0 % would be tolerated)\n"
              "1 of 1 ratios that both runs have fell\n");
}

TEST(Against, ComparesNothingThatOnlyOneRunHas) {
    EXPECT_TRUE(changes_since(run_with({8}), run_with({9}, "tcp_host"), {}).empty());
}

}  // namespace
}  // namespace causeway::bench::bench_against_test
