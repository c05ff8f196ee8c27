// SPDX-License-Identifier: Apache-2.0
#include "bench/table.hpp"

#include <algorithm>
#include <cstddef>

#include "bench/figure.hpp"
#include "bench/number.hpp"
#include "bench/sets.hpp"

namespace causeway::bench {
namespace {

constexpr std::size_t name_width = 60, value_width = 8, spread_width = 6;

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

// A column for ratios under such a heading.
std::size_t ratio_width(const std::string& text) {
    return std::max<std::size_t>(13, width(text) + 2);
}

std::string cell(const Record& record, const Figure& figure, const std::string& column) {
    const auto found = record.results.summary(figure.key, column);
    if (!found) {
        return left(right("–", value_width), value_width + spread_width);
    }
    return right(number(found->median, figure.digits), value_width) +
           left(spread_text(found->spread, found->rounds), spread_width);
}

std::string row(const Record& record, const Figure& figure, const Set& set) {
    std::string line = left("  " + figure.text + ", " + figure.unit, name_width);
    for (const Column& column : set.columns) {
        line += cell(record, figure, column.key);
    }
    for (const Comparison& comparison : set.comparisons) {
        line += right(ratio_text(record, figure, comparison), ratio_width(text_of(comparison, set)));
    }
    return line + "\n";
}

std::string heading(const Set& set) {
    std::string line = left(set.text, name_width);
    for (const Column& column : set.columns) {
        line += left(right(column.key, value_width), value_width + spread_width);
    }
    for (const Comparison& comparison : set.comparisons) {
        const std::string text = text_of(comparison, set);
        line += right(text, ratio_width(text));
    }
    return line + "\n";
}

std::string group_rows(const Record& record, const Group& group, const Set& set) {
    std::string lines;
    for (const Figure& figure : group.figures) {
        if (set.has(record, figure)) {
            lines += row(record, figure, set);
        }
    }
    return lines.empty() ? "" : group.text + "\n" + lines;
}

// Empty where nothing of it was measured.
std::string table_of(const Record& record, const Set& set) {
    std::string rows;
    for (const Group& group : groups()) {
        rows += group_rows(record, group, set);
    }
    return rows.empty() ? "" : "\n" + heading(set) + rows;
}

// What their names stand for.
std::string explained(const std::vector<Column>& columns) {
    std::string text;
    for (const Column& column : columns) {
        if (column.text != column.key) {
            text += left(column.key + ":", 12) + column.text + "\n";
        }
    }
    return text;
}

std::string failures(const Record& record) {
    std::string lines;
    for (const Failure& failure : failures_of(record)) {
        lines += failure.figure + ", " + failure.column.key + ": " + std::to_string(failure.count) + " failed\n";
    }
    return lines;
}

}  // namespace

std::string table(const Record& record) {
    const Conditions& is = record.conditions;
    std::string setting;
    for (const auto& [name, value] : is.setting) {
        setting += name + ": " + value + "\n";
    }
    std::string text = "causeway-bench (" + is.extent + "), " + is.date + "\n" + is.machine + "\n" + is.kernel + "\n" +
                       setting + (record.complete ? "" : "NOT COMPLETE: the run is not over, or was ended early\n") +
                       "median of " + std::to_string(is.rounds) + (is.rounds == 1 ? " round of " : " rounds of ") +
                       number(static_cast<double>(is.milliseconds) / 1000, 1) + " s, or of " + std::to_string(is.adds) +
                       " ADDs, each; ±: half the range of the rounds; !: attempts failed\n" +
                       "÷: median of the rounds' ratios, which need not be that of the medians beside it\n" +
                       "/s, kpps, Gbit/s: more is better; all else: less\n" + explained(record.columns);
    for (const Set& set : sets_of(record)) {
        text += table_of(record, set);
    }
    return text + failures(record);
}

std::string verdict_on(const std::vector<Bar>& bars, const Results& results, bool names_unmeasured) {
    std::string judged, unmeasured;
    int count = 0;
    for (const Bar& bar : bars) {
        const Judgement judgement = judge(bar, results);
        const std::string about = subject_of(bar) + ": " + text_of(bar);
        if (judgement.outcome == Judgement::not_measured) {
            unmeasured += left("absent", 8) + about + "\n";
            ++count;
        } else {
            judged += left(judgement.outcome == Judgement::meets ? "meets" : "MISSES", 8) + about + " (" +
                      text_of(bar, judgement) + ")\n";
        }
    }
    if (count == 0) {
        return judged;
    }
    return judged + (names_unmeasured ? "Not measured:\n" + unmeasured
                                      : "Not measured: what " + std::to_string(count) + " of the " +
                                            std::to_string(bars.size()) + " bars are about; --check names them\n");
}

}  // namespace causeway::bench
