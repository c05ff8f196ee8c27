// SPDX-License-Identifier: Apache-2.0
#include "bench/against.hpp"

#include <algorithm>
#include <optional>

#include "bench/figure.hpp"
#include "bench/number.hpp"

namespace causeway::bench {
namespace {

constexpr double least_tolerance = 0.05;

const Column* find_column(const Record& record, const std::string& key) {
    const auto found = std::ranges::find(record.columns, key, &Column::key);
    return found == record.columns.end() ? nullptr : &*found;
}

// A variant is compared with causeway, and that with others: if causeway gets better, its variants have not fallen.
std::vector<std::string> others_of(const Record& record, const Column& column) {
    std::vector<std::string> others;
    for (const std::string& key : column.against) {
        const Column* const other = find_column(record, key);
        if (other && other->ours) {
            others.insert(others.end(), other->against.begin(), other->against.end());
        } else {
            others.push_back(key);
        }
    }
    return others;
}

std::optional<Change> change_of(const std::string& text, const std::optional<Summary>& before,
                                const std::optional<Summary>& now, Figure::Better better) {
    if (!before || !now || before->median <= 0) {
        return std::nullopt;
    }
    const double times = now->median / before->median;
    return Change{.text = text,
                  .before = before->median,
                  .now = now->median,
                  .worse = better == Figure::lower ? times - 1 : 1 - times,
                  .tolerance = std::max({least_tolerance, before->spread, now->spread})};
}

}  // namespace

std::vector<Change> changes_since(const Record& earlier, const Record& now, const std::vector<Bar>& bars) {
    std::vector<Change> changes;
    const auto compare = [&](const std::string& text, const Results::Value& of, const Results::Value& to) {
        if (const auto change = change_of(text, earlier.results.ratio(of, to), now.results.ratio(of, to),
                                          find_figure(of.figure)->better)) {
            changes.push_back(*change);
        }
    };
    for (const Group& group : groups()) {
        for (const Figure& figure : group.figures) {
            for (const Column& column : now.columns) {
                for (const std::string& other : column.ours ? others_of(now, column) : std::vector<std::string>()) {
                    compare(figure.text + ", " + column.key + " ÷ " + other, {figure.key, column.key},
                            {figure.key, other});
                }
            }
        }
    }
    for (const Bar& bar : bars) {
        if (bar.sense != Bar::none_failed && bar.of.figure != bar.to.figure) {
            compare(subject_of(bar) + " ÷ " + find_figure(bar.to.figure)->text, bar.of, bar.to);
        }
    }
    return changes;
}

std::string text_of(const std::vector<Change>& changes) {
    std::string lines;
    const auto percent = [](double share) { return number(100 * share, share < 0.1 ? 1 : 0) + " %"; };
    for (const Change& change : changes) {
        if (change.fell()) {
            lines += "FELL    " + change.text + ": " + ratio_number(change.before) + " → " + ratio_number(change.now) +
                     ", " + percent(change.worse) + " worse (" + percent(change.tolerance) + " would be tolerated)\n";
        }
    }
    const auto fallen = std::ranges::count_if(changes, &Change::fell);
    return lines + number(static_cast<double>(fallen), 0) + " of " + number(static_cast<double>(changes.size()), 0) +
           " ratios that both runs have fell\n";
}

}  // namespace causeway::bench
