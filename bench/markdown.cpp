// SPDX-License-Identifier: Apache-2.0
#include "bench/markdown.hpp"

#include <algorithm>
#include <cstddef>

#include "bench/figure.hpp"
#include "bench/number.hpp"
#include "bench/sets.hpp"

namespace causeway::bench {
namespace {

using Cells = std::vector<std::string>;

std::string line_of(const Cells& cells) {
    std::string line = "|";
    for (const std::string& cell : cells) {
        line += " " + cell + " |";
    }
    return line + "\n";
}

// Empty without rows.
std::string table_of(const std::string& heading, const Cells& columns, const std::string& rows) {
    if (rows.empty()) {
        return {};
    }
    std::string rule = "|";
    for (std::size_t i = 0; i < columns.size(); ++i) {
        rule += "---|";
    }
    return "## " + heading + "\n\n" + line_of(columns) + rule + "\n" + rows + "\n";
}

std::string value(const Record& record, const Figure& figure, const std::string& column) {
    const auto found = record.results.summary(figure.key, column);
    const long failed = record.results.failed(figure.key, column);
    return !found       ? "–"
           : failed > 0 ? number(found->median, figure.digits) + ", " + std::to_string(failed) + " failed"
                        : number(found->median, figure.digits);
}

// What the README shows, in its words.
struct Row {
    std::string figure, text;
    std::string own = "causeway";  // the column that takes causeway's place
};

std::string readme(const Record& record) {
    static const std::vector<Row> shown = {
        {"tcp_sandbox", "sandbox → sandbox, TCP half round trip, µs"},
        {"udp_sandbox", "sandbox → sandbox, UDP half round trip, µs"},
        {"tcp_world", "sandbox → world (SNAT), TCP half round trip, µs"},
        {"tcp_published", "world → published port, TCP half round trip, µs"},
        {"tcp_host", "host → sandbox, TCP half round trip, µs"},
        {"connections_sandbox", "sandbox → sandbox, connections a second"},
        {"connections_world", "sandbox → world, connections a second"},
        {"packets", "sandbox → sandbox, 64-byte UDP, two CPUs, kpps"},
        {"packets_world", "sandbox → world (SNAT), 64-byte UDP, two CPUs, kpps"},
        {"stream", "sandbox → sandbox, one TCP stream, two CPUs, Gbit/s"},
        {"stream", "the same with `\"gsoMaxSize\": 524280`", "big-tcp"},
        {"add_60", "ADD beside 60 sandboxes, ms"},
        {"del_60", "DEL beside 60 sandboxes, ms (1)"},
        {"add_10", "ADD beside 10 sandboxes, ms"},
        {"add_500", "ADD beside 500 sandboxes, ms"},
    };
    std::string rows;
    for (const Row& row : shown) {
        const Figure& figure = *find_figure(row.figure);
        if (!record.results.summary(row.figure, row.own)) {
            continue;
        }
        Cells cells = {row.text};
        for (const std::string& column : {std::string("wire"), std::string("bridge"), std::string("ptp"), row.own}) {
            cells.push_back(value(record, figure, column));
        }
        for (const char* const other : {"wire", "bridge"}) {
            cells.push_back(ratio_text(record, figure, {row.own, other}));
        }
        rows += line_of(cells);
    }
    return table_of("README.md, What it costs",
                    {"", "wire", "bridge + iptables", "ptp + iptables", "causeway", "÷ wire", "÷ bridge"}, rows);
}

bool is_on_a_line(const Group& group, const Figure& figure) {
    return std::ranges::any_of(group.lines, [&](const Line& line) {
        return std::ranges::any_of(line.points, [&](const Line::Point& point) { return point.figure == figure.key; });
    });
}

// What is not measured at several sizes.
std::string table_of(const Record& record, const Set& set) {
    Cells heading = {""};
    for (const Column& column : set.columns) {
        heading.push_back(column.key);
    }
    for (const Comparison& comparison : set.comparisons) {
        heading.push_back(text_of(comparison, set));
    }
    std::string rows;
    for (const Group& group : groups()) {
        for (const Figure& figure : group.figures) {
            if (is_on_a_line(group, figure) || !set.has(record, figure)) {
                continue;
            }
            Cells cells = {figure.text + ", " + figure.unit};
            for (const Column& column : set.columns) {
                cells.push_back(value(record, figure, column.key));
            }
            for (const Comparison& comparison : set.comparisons) {
                cells.push_back(ratio_text(record, figure, comparison));
            }
            rows += line_of(cells);
        }
    }
    return table_of("docs/performance.md, " + set.text, heading, rows);
}

// A row for each column that has the figure at any of the sizes.
std::string rows_of(const Record& record, const Line& line) {
    std::string rows;
    for (const Column& column : record.columns) {
        Cells cells = {line.text + ", " + line.unit, column.key};
        for (const Line::Point& point : line.points) {
            cells.push_back(value(record, *find_figure(point.figure), column.key));
        }
        if (std::ranges::any_of(cells.begin() + 2, cells.end(), [](const std::string& cell) { return cell != "–"; })) {
            rows += line_of(cells);
        }
    }
    return rows;
}

bool same_sizes(const Line& one, const Line& other) {
    return one.axis == other.axis &&
           std::ranges::equal(one.points, other.points, {}, &Line::Point::size, &Line::Point::size);
}

// A table for all lines of a group that have the same sizes.
std::string by_size(const Record& record, const Group& group) {
    std::string text;
    for (auto first = group.lines.begin(); first != group.lines.end();) {
        const auto last =
            std::find_if(first, group.lines.end(), [&](const Line& line) { return !same_sizes(*first, line); });
        Cells heading = {first->axis, ""};
        for (const Line::Point& point : first->points) {
            heading.push_back(number(point.size, 0));
        }
        std::string rows;
        for (auto line = first; line != last; ++line) {
            rows += rows_of(record, *line);
        }
        text += table_of("docs/performance.md, " + group.text + ", by " + first->axis, heading, rows);
        first = last;
    }
    return text;
}

std::string missed(const Record& record, const std::vector<Bar>& bars) {
    std::string rows;
    for (const Bar& bar : bars) {
        const Judgement judgement = judge(bar, record.results);
        if (judgement.outcome == Judgement::misses) {
            rows += line_of({subject_of(bar), text_of(bar), text_of(bar, judgement)});
        }
    }
    return table_of("docs/performance.md, Against the bars", {"figure", "bar", "measured"}, rows);
}

}  // namespace

std::string markdown(const Record& record, const std::vector<Bar>& bars) {
    const auto version = record.conditions.setting.find("causeway");
    const std::string what = version == record.conditions.setting.end() ? "" : "causeway " + version->second + "; ";
    std::string text = "<!-- " + what + record.conditions.date + "; " + record.conditions.machine + "; " +
                       record.conditions.kernel + "; " + record.conditions.extent + ", medians of " +
                       number(record.conditions.rounds, 0) + " rounds -->\n\n" + readme(record) + missed(record, bars);
    for (const Set& set : sets_of(record)) {
        text += table_of(record, set);
    }
    for (const Group& group : groups()) {
        text += by_size(record, group);
    }
    return text;
}

}  // namespace causeway::bench
