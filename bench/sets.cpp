// SPDX-License-Identifier: Apache-2.0
#include "bench/sets.hpp"

#include <algorithm>
#include <utility>

#include "bench/number.hpp"

namespace causeway::bench {
namespace {

bool contains(const std::vector<Column>& columns, const std::string& key) {
    return std::ranges::find(columns, key, &Column::key) != columns.end();
}

Set set_of(const Record& record, const std::string& name) {
    Set set = {name, {}, {}};
    std::vector<Column> own;
    for (const Column& column : record.columns) {
        if (column.set == name) {
            own.push_back(column);
        }
    }
    for (const Column& column : own) {
        for (const std::string& other : column.against) {
            const auto found = std::ranges::find(record.columns, other, &Column::key);
            if (found == record.columns.end()) {
                continue;
            }
            set.comparisons.push_back({column.key, other});
            if (!contains(own, other) && !contains(set.columns, other)) {
                set.columns.push_back(*found);
            }
        }
    }
    set.columns.insert(set.columns.end(), own.begin(), own.end());
    return set;
}

}  // namespace

bool Set::has(const Record& record, const Figure& figure) const {
    return std::ranges::any_of(columns, [&](const Column& column) {
        return column.set == text && record.results.summary(figure.key, column.key);
    });
}

std::vector<Set> sets_of(const Record& record) {
    std::vector<Set> sets;
    for (const Column& column : record.columns) {
        if (std::ranges::find(sets, column.set, &Set::text) == sets.end()) {
            sets.push_back(set_of(record, column.set));
        }
    }
    return sets;
}

std::string text_of(const Comparison& comparison, const Set& set) {
    const bool alone = std::ranges::all_of(
        set.comparisons, [&](const Comparison& other) { return other.of == set.comparisons.front().of; });
    return (alone ? "" : comparison.of + " ") + "÷ " + comparison.to;
}

std::string ratio_text(const Record& record, const Figure& figure, const Comparison& comparison) {
    const auto found = record.results.ratio({figure.key, comparison.of}, {figure.key, comparison.to});
    if (!found) {
        return "–";
    }
    const long failed =
        record.results.failed(figure.key, comparison.of) + record.results.failed(figure.key, comparison.to);
    return ratio_number(found->median) + spread_text(found->spread, found->rounds) + (failed > 0 ? "!" : "");
}

std::string sentence(const Record& record, const Figure& figure, const Set& set) {
    std::string text, subject;
    for (const Comparison& comparison : set.comparisons) {
        if (const std::string found = ratio_text(record, figure, comparison); found != "–") {
            const bool again = subject == comparison.of;
            text += (again || text.empty() ? "" : "; ") + (again ? ", " : comparison.of + " is ") + found + " × " +
                    comparison.to;
            subject = comparison.of;
        }
    }
    return text;
}

}  // namespace causeway::bench
