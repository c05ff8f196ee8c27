// SPDX-License-Identifier: Apache-2.0
#include "bench/bars.hpp"

#include <algorithm>
#include <cstddef>
#include <stdexcept>

#include "bench/figure.hpp"
#include "bench/number.hpp"

namespace causeway::bench {
namespace {

using nlohmann::json;

// A bar that names no figure would never be missed.
std::string known_figure(const json& entry, const std::string& key) {
    std::string name = entry.at(key);
    if (!find_figure(name)) {
        throw std::runtime_error("the bar " + entry.dump() + " names no figure: " + name);
    }
    return name;
}

Bar bar_from(const json& entry) {
    const std::string column = entry.value("column", "causeway");
    const Results::Value of = {known_figure(entry, "figure"), column};
    const bool most = entry.contains("at_most"), least = entry.contains("at_least"),
               none = entry.value("none_failed", false);
    if (most + least + none != 1) {
        throw std::runtime_error("the bar " + entry.dump() + " needs one of at_most, at_least and none_failed");
    }
    if (none) {
        return {.sense = Bar::none_failed, .of = of};
    }
    const Results::Value to = {entry.contains("at") ? known_figure(entry, "at") : of.figure, entry.at("times")};
    if (to.figure == of.figure && to.column == of.column) {
        throw std::runtime_error("the bar " + entry.dump() + " compares a figure with itself");
    }
    return {.sense = most ? Bar::at_most : Bar::at_least,
            .of = of,
            .to = to,
            .limit = entry.at(most ? "at_most" : "at_least").get<double>()};
}

// "causeway6 ÷ wire6" of a quotient.
std::string text_of(const std::string& column) {
    const std::size_t slash = column.find('/');
    return slash == std::string::npos ? column : column.substr(0, slash) + " ÷ " + column.substr(slash + 1);
}

// "wire", or where the figures differ which one it is.
std::string text_of_one(const Bar& bar) {
    const bool same_figure = bar.to.figure == bar.of.figure, same_column = bar.to.column == bar.of.column;
    const std::string figure = same_figure ? "" : find_figure(bar.to.figure)->text;
    return (same_column ? "" : text_of(bar.to.column)) + (same_figure || same_column ? "" : ", ") + figure;
}

}  // namespace

std::vector<Bar> bars_from(const json& json) {
    std::vector<Bar> bars;
    try {
        for (const auto& entry : json.at("bars")) {
            bars.push_back(bar_from(entry));
        }
    } catch (const nlohmann::json::exception& error) {
        throw std::runtime_error("bar " + std::to_string(bars.size() + 1) + ": " + error.what());
    }
    return bars;
}

Judgement judge(const Bar& bar, const Results& results) {
    if (!results.summary(bar.of.figure, bar.of.column)) {
        return {Judgement::not_measured};
    }
    if (bar.sense == Bar::none_failed) {
        const long failed = results.failed(bar.of.figure, bar.of.column);
        return {failed == 0 ? Judgement::meets : Judgement::misses, static_cast<double>(failed)};
    }
    const auto found = results.ratio(bar.of, bar.to);
    if (!found) {
        return {Judgement::not_measured};
    }
    const double beyond = bar.sense == Bar::at_most ? found->median / bar.limit - 1 : 1 - found->median / bar.limit;
    return {.outcome = beyond <= 0 ? Judgement::meets : Judgement::misses,
            .found = found->median,
            .by = std::max(beyond, 0.0),
            .spread = found->spread,
            .rounds = found->rounds,
            .within_spread = found->smallest < bar.limit && bar.limit < found->largest,
            .failed = results.failed(bar.of.figure, bar.of.column) + results.failed(bar.to.figure, bar.to.column)};
}

std::string text_of(const Bar& bar) {
    if (bar.sense == Bar::none_failed) {
        return "none failed";
    }
    return (bar.sense == Bar::at_most ? "≤ " : "≥ ") + ratio_number(bar.limit) + " × " + text_of_one(bar);
}

std::string subject_of(const Bar& bar) {
    const std::string text = find_figure(bar.of.figure)->text;
    return bar.of.column == "causeway" ? text : text_of(bar.of.column) + ": " + text;
}

std::string text_of(const Bar& bar, const Judgement& judgement) {
    if (judgement.outcome == Judgement::not_measured) {
        return "not measured";
    }
    if (bar.sense == Bar::none_failed) {
        return number(*judgement.found, 0) + " failed";
    }
    std::string text = ratio_number(*judgement.found) + " ×" + spread_text(judgement.spread, judgement.rounds);
    if (judgement.outcome == Judgement::misses) {
        text += ", " + number(100 * judgement.by, judgement.by < 0.1 ? 1 : 0) + " % " +
                (bar.sense == Bar::at_most ? "above the bar" : "below the bar");
    }
    return text + (judgement.within_spread ? ", within the spread" : "") +
           (judgement.failed > 0 ? ", attempts failed" : "");
}

bool all_met(const std::vector<Bar>& bars, const Results& results) {
    return std::ranges::none_of(bars, [&](const Bar& bar) { return judge(bar, results).outcome == Judgement::misses; });
}

bool none_measured(const std::vector<Bar>& bars, const Results& results) {
    return std::ranges::all_of(bars,
                               [&](const Bar& bar) { return judge(bar, results).outcome == Judgement::not_measured; });
}

}  // namespace causeway::bench
