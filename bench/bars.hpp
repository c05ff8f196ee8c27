// SPDX-License-Identifier: Apache-2.0
// What causeway's figures ought to be as multiples of others in the same run (bars.json), and which of them are.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "bench/results.hpp"

namespace causeway::bench {

struct Bar {
    enum Sense : std::uint8_t { at_most, at_least, none_failed } sense;
    Results::Value of;
    Results::Value to{};  // what counts as 1; none_failed has none
    double limit = 0;
};

// {"bars": [{"figure": F, "at_most" or "at_least": LIMIT, "times": COLUMN, "at": FIGURE}, {"figure": F, "none_failed":
// true}]}; "at" is F itself if absent, "column" (of F) is causeway. A column may be a quotient of two, "A/B". Throws
// std::runtime_error with the bar that can't be one.
std::vector<Bar> bars_from(const nlohmann::json& json);

struct Judgement {
    enum Outcome : std::uint8_t { meets, misses, not_measured } outcome;
    std::optional<double> found{};  // the ratio, or how many failed
    double by = 0;                  // of what misses: how far beyond the limit, as a share of it; 0 for none_failed
    double spread = 0;              // of the ratio, over so many rounds
    int rounds = 1;
    bool within_spread = false;  // some rounds meet the bar and some miss it
    long failed = 0;             // attempts, on either side of the ratio
};
Judgement judge(const Bar& bar, const Results& results);

// "≤ 0.78 × bridge", "none failed"; and of a figure's name with it: "TCP, sandbox → world (SNAT)".
std::string text_of(const Bar& bar);
std::string subject_of(const Bar& bar);

// "0.93 × ±2%, 19 % above the bar", "12 failed", "not measured".
std::string text_of(const Bar& bar, const Judgement& judgement);

// What was not measured misses nothing.
bool all_met(const std::vector<Bar>& bars, const Results& results);
bool none_measured(const std::vector<Bar>& bars, const Results& results);

}  // namespace causeway::bench
