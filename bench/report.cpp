// SPDX-License-Identifier: Apache-2.0
#include "bench/report.hpp"

#include <array>
#include <cstdio>
#include <optional>

#include "bench/figure.hpp"
#include "bench/median.hpp"

namespace causeway::bench {
namespace {

using nlohmann::json;

const std::vector<std::string> columns = {"wire", "bridge", "causeway"};

const std::vector<Measurement>& rounds_of(const Results& results, const std::string& figure,
                                          const std::string& column) {
    static const std::vector<Measurement> none;
    const auto by_column = results.find(figure);
    if (by_column == results.end()) {
        return none;
    }
    const auto rounds = by_column->second.find(column);
    return rounds == by_column->second.end() ? none : rounds->second;
}

// One value a round.
std::vector<double> values_of(const std::vector<Measurement>& rounds) {
    std::vector<double> values;
    values.reserve(rounds.size());
    for (const Measurement& measurement : rounds) {
        values.push_back(median(measurement.samples));
    }
    return values;
}

long failed_in(const std::vector<Measurement>& rounds) {
    long failed = 0;
    for (const Measurement& measurement : rounds) {
        failed += measurement.failed;
    }
    return failed;
}

std::optional<double> value_of(const Results& results, const std::string& figure, const std::string& column) {
    const auto& rounds = rounds_of(results, figure, column);
    return rounds.empty() ? std::nullopt : std::optional(median(values_of(rounds)));
}

std::optional<double> ratio(std::optional<double> value, std::optional<double> one) {
    return value && one ? std::optional(*value / *one) : std::nullopt;
}

std::optional<bool> meets(const Results& results, const Figure& figure, const Bar& bar) {
    const auto& rounds = rounds_of(results, figure.key, "causeway");
    if (rounds.empty()) {
        return std::nullopt;
    }
    if (bar.sense == Bar::none_failed) {
        return failed_in(rounds) == 0;
    }
    const auto found =
        ratio(value_of(results, figure.key, "causeway"), value_of(results, bar.of_figure, bar.of_column));
    if (!found) {
        return std::nullopt;
    }
    return bar.sense == Bar::at_most ? *found <= bar.limit : *found >= bar.limit;
}

// Columns on the screen: UTF-8 continuation bytes take none.
std::size_t width(const std::string& text) {
    std::size_t result = 0;
    for (const char c : text) {
        result += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
    }
    return result;
}

std::string spaces(const std::string& text, std::size_t columns_wanted) {
    return std::string(columns_wanted > width(text) ? columns_wanted - width(text) : 0, ' ');
}

std::string left(const std::string& text, std::size_t wide) {
    return text + spaces(text, wide);
}
std::string right(const std::string& text, std::size_t wide) {
    return spaces(text, wide) + text;
}

std::string number(double value, int digits) {
    std::array<char, 64> text{};
    std::snprintf(text.data(), text.size(), "%.*f", digits, value);
    return text.data();
}

std::string cell(const Results& results, const Figure& figure, const std::string& column) {
    const auto& rounds = rounds_of(results, figure.key, column);
    if (rounds.empty()) {
        return left(right("–", 7), 13);
    }
    const std::vector<double> values = values_of(rounds);
    return right(number(median(values), figure.digits), 7) + left(" ±" + number(100 * spread(values), 0) + "%", 6);
}

std::string ratio_cell(std::optional<double> value) {
    return right(value ? number(*value, 2) : "–", 9);
}

std::string row(const Results& results, const Figure& figure) {
    std::string line = left(figure.text + ", " + figure.unit, 45);
    for (const std::string& column : columns) {
        line += cell(results, figure, column);
    }
    const auto own = value_of(results, figure.key, "causeway");
    line += ratio_cell(ratio(own, value_of(results, figure.key, "wire")));
    return line + ratio_cell(ratio(own, value_of(results, figure.key, "bridge"))) + "\n";
}

std::string bar_lines(const Results& results) {
    std::string lines;
    for (const Figure& figure : figures()) {
        for (const Bar& bar : figure.bars) {
            const auto met = meets(results, figure, bar);
            lines += left(!met ? "not measured" : *met ? "meets" : "misses", 14) + figure.text + ": " + bar.text + "\n";
        }
    }
    return lines;
}

// A line for each figure with failed attempts in any column.
std::string failures(const Results& results) {
    std::string lines;
    for (const Figure& figure : figures()) {
        for (const std::string& column : columns) {
            if (const long failed = failed_in(rounds_of(results, figure.key, column))) {
                lines += figure.text + ", " + column + ": " + std::to_string(failed) + " failed\n";
            }
        }
    }
    return lines;
}

json dump_figure(const Results& results, const Figure& figure) {
    json result = {{"text", figure.text}, {"unit", figure.unit}};
    for (const std::string& column : columns) {
        const auto& rounds = rounds_of(results, figure.key, column);
        if (rounds.empty()) {
            continue;
        }
        json samples = json::array();
        for (const Measurement& measurement : rounds) {
            samples.push_back(measurement.samples);
        }
        const std::vector<double> values = values_of(rounds);
        result["columns"][column] = {{"median", median(values)},
                                     {"spread", spread(values)},
                                     {"failed", failed_in(rounds)},
                                     {"rounds", values},
                                     {"samples", samples}};
    }
    for (const Bar& bar : figure.bars) {
        const auto met = meets(results, figure, bar);
        result["bars"].push_back({{"text", bar.text}, {"meets", met ? json(*met) : json()}});
    }
    return result;
}

}  // namespace

std::string table(const Conditions& conditions, const Results& results) {
    std::string text = "causeway-bench, " + conditions.date + "\n" + conditions.machine + "\n" + conditions.kernel +
                       "\nmedian of " + std::to_string(conditions.rounds) +
                       (conditions.rounds == 1 ? " round of " : " rounds of ") +
                       number(static_cast<double>(conditions.milliseconds) / 1000, 1) + " s, or of " +
                       std::to_string(conditions.adds) +
                       " ADDs, each; ±: half the range of the rounds; both ends on one CPU unless noted\n\n";
    text += left("", 45);
    for (const std::string& column : columns) {
        text += left(right(column, 7), 13);
    }
    text += right("÷ wire", 9) + right("÷ bridge", 9) + "\n";
    for (const Figure& figure : figures()) {
        text += row(results, figure);
    }
    return text + "\nWhat causeway ought to reach on a quiet machine:\n" + bar_lines(results) + failures(results);
}

json dump(const Conditions& conditions, const Results& results) {
    json result = {{"date", conditions.date},     {"machine", conditions.machine},
                   {"kernel", conditions.kernel}, {"rounds", conditions.rounds},
                   {"adds", conditions.adds},     {"milliseconds", conditions.milliseconds}};
    for (const Figure& figure : figures()) {
        result["figures"][figure.key] = dump_figure(results, figure);
    }
    return result;
}

}  // namespace causeway::bench
