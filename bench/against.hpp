// SPDX-License-Identifier: Apache-2.0
// Which of causeway's ratios an earlier run had better: a guard for a machine that misses some bars anyway.
#pragma once

#include <string>
#include <vector>

#include "bench/bars.hpp"
#include "bench/results.hpp"

namespace causeway::bench {

// A ratio that both runs have.
struct Change {
    std::string text;  // "TCP, sandbox → world (SNAT), causeway ÷ bridge"
    double before, now;
    double worse;      // by this share of what it was; negative: better
    double tolerance;  // 5 %, or the larger of both runs' spreads if that is more

    bool fell() const { return worse > tolerance; }
};

// Of causeway's modes to what is not causeway, and of the bars that compare causeway with itself at another size.
std::vector<Change> changes_since(const Record& earlier, const Record& now, const std::vector<Bar>& bars);

// A line for each that fell, and how many there were.
std::string text_of(const std::vector<Change>& changes);

}  // namespace causeway::bench
