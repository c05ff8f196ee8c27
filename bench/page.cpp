// SPDX-License-Identifier: Apache-2.0
#include "bench/page.hpp"

#include <algorithm>
#include <cstddef>
#include <optional>

#include "bench/chart.hpp"
#include "bench/figure.hpp"
#include "bench/markup.hpp"
#include "bench/number.hpp"
#include "bench/sets.hpp"

namespace causeway::bench {
namespace {

// Grey for the wire, warm for what causeway replaces, teal and on for causeway.
constexpr const char* style = R"(
:root {
  color-scheme: light dark;
  --paper: #f6f5f2; --card: #ffffff; --ink: #1b1e23; --faint: #565e6a; --grid: #dcdfe4; --edge: #e2e2de;
  --good: #0b6e4f; --bad: #b3261e;
  --c0: #8a93a0; --c1: #dd8a33; --c2: #bfa53a; --c3: #8576d6; --c4: #0d9080; --c5: #2f6fd6; --c6: #c2477f; --c7: #4c9a2a;
  --c8: #7d5a4a;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #121519; --card: #1b1f25; --ink: #e9ebee; --faint: #a7afba; --grid: #343b44; --edge: #2a3038;
    --good: #5fd3a8; --bad: #ff8a80;
    --c0: #88919d; --c1: #e39a4c; --c2: #cbb450; --c3: #9a8df0; --c4: #2dbba8; --c5: #6ea3f5; --c6: #e27bab; --c7: #7cc25a;
    --c8: #b89080;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 28px 16px 64px; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 4px; }
h2 { font-size: 1.2rem; margin: 40px 0 2px; }
h3 { font-size: .95rem; line-height: 1.3; margin: 0; }
p { margin: 4px 0 12px; max-width: 75ch; }
.faint, .unit { color: var(--faint); }
.unit { font-size: .82rem; margin: 0 0 8px; }
.facts { display: grid; grid-template-columns: auto 1fr; gap: 2px 14px; margin: 16px 0; }
.facts dt { color: var(--faint); } .facts dd { margin: 0; overflow-wrap: anywhere; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 14px 0 0; padding: 0; list-style: none; font-size: .9rem; }
.swatch { display: inline-block; width: 11px; height: 11px; border-radius: 2px; margin-right: 6px; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 340px), 1fr)); gap: 14px; }
.card { background: var(--card); border: 1px solid var(--edge); border-radius: 8px; padding: 14px; min-width: 0; }
.card p { margin: 8px 0 0; font-size: .85rem; } .card .unit { margin: 2px 0 10px; }
svg { display: block; width: 100%; height: auto; max-width: 460px; font-family: inherit; }
svg text { fill: var(--ink); font-size: 12px; }
svg .axis { fill: var(--faint); font-size: 11px; }
svg .value { font-variant-numeric: tabular-nums; }
svg .own { font-weight: 700; }
.grid { stroke: var(--grid); stroke-width: 1; }
.whisker { stroke: var(--ink); stroke-width: 1.3; }
.range { stroke-width: 1.3; opacity: .65; }
.stroke { fill: none; stroke-width: 2.2; stroke-linejoin: round; }
.fill { stroke: none; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .88rem; width: 100%; }
.scroll { overflow-x: auto; background: var(--card); border: 1px solid var(--edge); border-radius: 8px; padding: 6px 14px; }
th, td { text-align: right; padding: 5px 0 5px 16px; border-bottom: 1px solid var(--grid); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; white-space: normal; min-width: 11em; }
tr:last-child td { border-bottom: 0; }
thead th { color: var(--faint); font-weight: 600; }
tbody th { font-weight: 700; padding-top: 14px; }
.scroll + .scroll { margin-top: 14px; }
.lone { max-width: 760px; margin-top: 14px; }
.bars td:nth-child(3) { min-width: 7em; }
.meets { color: var(--good); font-weight: 600; } .misses { color: var(--bad); font-weight: 600; }
details { margin-top: 40px; } summary { cursor: pointer; font-size: 1.2rem; font-weight: 700; margin-bottom: 10px; }
@media (max-width: 600px) {
  .bars thead { display: none; } .bars tr { display: block; padding: 8px 0; border-bottom: 1px solid var(--grid); }
  .bars tr:last-child { border-bottom: 0; }
  .bars td, .bars td:first-child { display: block; text-align: left; padding: 0; border: 0; white-space: normal; }
}
)";

// A mode has the same colour in every report, and by IPv6 that of IPv4, paler. Others have one by their place.
std::string series_style(const std::vector<Column>& columns) {
    static const std::vector<std::string> colours = {"wire",    "bridge", "by-hand", "ptp", "causeway",
                                                     "big-tcp", "tcx",    "no-peer", "bare"};
    std::string text;
    for (std::size_t i = 0; i < columns.size(); ++i) {
        const std::string& key = columns[i].key;
        const bool ipv6 = key.ends_with('6');
        const auto known = std::ranges::find(colours, ipv6 ? key.substr(0, key.size() - 1) : key);
        const std::size_t number = known == colours.end() ? i % colours.size() : known - colours.begin();
        const std::string place = std::to_string(i), paler = ipv6 ? " opacity: .55;" : "",
                          colour = "var(--c" + std::to_string(number) + ");" + paler;
        text += ".fill.series-" + place + " { fill: " + colour + " } .stroke.series-" + place + ", .range.series-" +
                place + " { stroke: " + colour + " } .swatch.series-" + place + " { background: " + colour + " }\n";
    }
    return text;
}

std::string element(const std::string& name, const std::string& content, const std::string& css = {}) {
    return "<" + name + (css.empty() ? "" : " class=\"" + css + "\"") + ">" + content + "</" + name + ">\n";
}

std::string fact(const std::string& name, const std::string& value) {
    return element("dt", escaped(name)) + element("dd", escaped(value));
}

std::string opening(const Record& record) {
    const Conditions& is = record.conditions;
    std::string legend, setting;
    for (const auto& [name, text] : is.setting) {
        setting += fact(name, text);
    }
    for (std::size_t i = 0; i < record.columns.size(); ++i) {
        const Column& column = record.columns[i];
        const std::string meaning = column.text == column.key ? "" : ": " + column.text;
        legend += element(
            "li", "<span class=\"swatch series-" + std::to_string(i) + "\"></span>" + escaped(column.key + meaning));
    }
    return element("h1", "causeway, measured") +
           element("p",
                   "A bare wire, the ways that sandboxes are usually connected, and causeway, in turn in every round "
                   "of one run. Ratios within the run mean something; absolute figures belong to the machine.",
                   "faint") +
           element(
               "dl",
               fact("date", is.date) + fact("machine", is.machine) + fact("kernel", is.kernel) + setting +
                   fact("run", is.extent + ": " + std::to_string(is.rounds) + (is.rounds == 1 ? " round" : " rounds") +
                                   " of " + number(static_cast<double>(is.milliseconds) / 1000, 1) + " s, or of " +
                                   std::to_string(is.adds) + " ADDs, each" +
                                   (record.complete ? "" : "; not over, or ended early")) +
                   fact("shown",
                        "medians; the thin line goes from the smallest round to the largest. A ratio is the median of "
                        "the rounds' "
                        "ratios, which need not be that of the medians"),
               "facts") +
           element("ul", legend, "legend");
}

// A line for each set in which it can be said.
std::string comparison(const Record& record, const Figure& figure) {
    std::string text;
    for (const Set& set : sets_of(record)) {
        if (const std::string said = sentence(record, figure, set); !said.empty()) {
            text += (text.empty() ? "" : "<br/>") + escaped(said);
        }
    }
    return text;
}

// "failed: bridge 3"; of a line: "failed at 10 sandboxes: bridge 3".
std::string failures(const Record& record, const std::string& figure, const std::string& where = {}) {
    std::string text;
    for (const Column& column : record.columns) {
        if (const long failed = record.results.failed(figure, column.key)) {
            text += (text.empty() ? "failed" + where + ": " : ", ") + column.key + " " + std::to_string(failed);
        }
    }
    return text.empty() ? "" : element("p", escaped(text), "misses");
}

std::string card(const std::string& text, const std::string& unit, Figure::Better better, const std::string& content) {
    const std::string sense = better == Figure::lower ? " · less is better" : " · more is better";
    return element("div", element("h3", escaped(text)) + element("p", escaped(unit) + sense, "unit") + content, "card");
}

std::string card(const Record& record, const Figure& figure) {
    const std::string compared = comparison(record, figure);
    return card(
        figure.text, figure.unit, figure.better,
        bar_chart(record, figure) + (compared.empty() ? "" : element("p", compared)) + failures(record, figure.key));
}

// Of those columns only that have a point.
std::string legend_of(const Record& record, const Line& line) {
    std::string legend;
    for (std::size_t i = 0; i < record.columns.size(); ++i) {
        const auto measured = [&](const Line::Point& point) {
            return record.results.summary(point.figure, record.columns[i].key).has_value();
        };
        if (std::ranges::any_of(line.points, measured)) {
            legend += element("li", "<span class=\"swatch series-" + std::to_string(i) + "\"></span>" +
                                        escaped(record.columns[i].key));
        }
    }
    return element("ul", legend, "legend");
}

std::string card(const Record& record, const Line& line) {
    std::string failed;
    for (const Line::Point& point : line.points) {
        failed += failures(record, point.figure, " at " + number(point.size, 0) + " " + line.axis);
    }
    return card(line.text + ", by the number of " + line.axis, line.unit,
                find_figure(line.points.front().figure)->better,
                line_chart(record, line) + legend_of(record, line) + failed);
}

bool is_on_a_line(const Group& group, const std::string& figure) {
    return std::ranges::any_of(group.lines, [&](const Line& line) {
        return std::ranges::any_of(line.points, [&](const Line::Point& point) { return point.figure == figure; });
    });
}

// The only column that has the figure; nothing if there are others or none.
std::optional<Column> only_column(const Record& record, const Figure& figure) {
    std::vector<Column> having;
    for (const Column& column : record.columns) {
        if (record.results.summary(figure.key, column.key)) {
            having.push_back(column);
        }
    }
    return having.size() == 1 ? std::optional(having.front()) : std::nullopt;
}

// A median with its spread, and how many attempts failed.
std::string table_cell(const Record& record, const Figure& figure, const std::string& column) {
    const auto found = record.results.summary(figure.key, column);
    if (!found) {
        return element("td", "–");
    }
    const long failed = record.results.failed(figure.key, column);
    const std::string spread = spread_text(found->spread, found->rounds);
    return element("td",
                   number(found->median, figure.digits) +
                       (spread.empty() ? "" : " <span class=\"faint\">" + spread.substr(1) + "</span>") +
                       (failed > 0 ? " <span class=\"misses\">" + std::to_string(failed) + " failed</span>" : ""));
}

// One bar alone compares nothing: such figures share a table.
std::string table_of(const Record& record, const std::vector<Figure>& figures) {
    std::string rows;
    for (const Figure& figure : figures) {
        const Column column = *only_column(record, figure);
        const std::string whose = column.key == "causeway" ? "" : ", " + column.key;
        rows += element("tr", element("td", escaped(figure.text + whose)) + element("td", escaped(figure.unit)) +
                                  table_cell(record, figure, column.key));
    }
    return rows.empty() ? "" : element("div", element("table", element("tbody", rows)), "scroll lone");
}

std::string section(const Record& record, const Group& group) {
    std::string cards;
    std::vector<Figure> alone;
    for (const Figure& figure : group.figures) {
        if (!record.results.has(figure.key) || is_on_a_line(group, figure.key)) {
            continue;
        }
        if (only_column(record, figure)) {
            alone.push_back(figure);
        } else {
            cards += card(record, figure);
        }
    }
    for (const Line& line : group.lines) {
        const auto measured = [&](const Line::Point& point) { return record.results.has(point.figure); };
        if (std::ranges::any_of(line.points, measured)) {
            cards += card(record, line);
        }
    }
    if (cards.empty() && alone.empty()) {
        return {};
    }
    return element("section", element("h2", escaped(group.text)) + element("p", escaped(group.note), "faint") +
                                  (cards.empty() ? "" : element("div", cards, "cards")) + table_of(record, alone));
}

std::string verdict(const Record& record, const std::vector<Bar>& bars) {
    std::string rows;
    for (const Bar& bar : bars) {
        const Judgement judgement = judge(bar, record.results);
        const bool meets = judgement.outcome == Judgement::meets, misses = judgement.outcome == Judgement::misses;
        const std::string word = meets ? "meets" : misses ? "misses" : "faint";
        rows += element("tr", element("td", escaped(subject_of(bar))) + element("td", escaped(text_of(bar))) +
                                  element("td",
                                          (meets    ? "✓ "
                                           : misses ? "✗ "
                                                    : "") +
                                              escaped(text_of(bar, judgement)),
                                          word));
    }
    if (rows.empty()) {
        return {};
    }
    return element("h2", "What causeway ought to reach") +
           element("p", "Ratios of this run, against the bars that the project sets itself for a quiet machine.",
                   "faint") +
           element("div",
                   element("table",
                           element("thead", element("tr", element("th", "figure") + element("th", "bar") +
                                                              element("th", "found"))) +
                               element("tbody", rows),
                           "bars"),
                   "scroll");
}

std::string details_row(const Record& record, const Figure& figure, const Set& set) {
    std::string cells = element("td", escaped(figure.text + ", " + figure.unit));
    for (const Column& column : set.columns) {
        cells += table_cell(record, figure, column.key);
    }
    for (const Comparison& comparison : set.comparisons) {
        cells += element("td", ratio_text(record, figure, comparison));
    }
    return element("tr", cells);
}

std::string rows_of(const Record& record, const Set& set) {
    std::string rows;
    for (const Group& group : groups()) {
        std::string of_group;
        for (const Figure& figure : group.figures) {
            if (set.has(record, figure)) {
                of_group += details_row(record, figure, set);
            }
        }
        if (!of_group.empty()) {
            const std::size_t width = 1 + set.columns.size() + set.comparisons.size();
            rows += element("tr", "<th colspan=\"" + std::to_string(width) + "\">" + escaped(group.text) + "</th>") +
                    of_group;
        }
    }
    return rows;
}

// Empty where nothing of it was measured.
std::string details_of(const Record& record, const Set& set) {
    std::string heads = element("th", escaped(set.text));
    for (const Column& column : set.columns) {
        heads += element("th", escaped(column.key));
    }
    for (const Comparison& comparison : set.comparisons) {
        heads += element("th", escaped(text_of(comparison, set)));
    }
    const std::string rows = rows_of(record, set);
    return rows.empty()
               ? ""
               : element("div", element("table", element("thead", element("tr", heads)) + element("tbody", rows)),
                         "scroll");
}

std::string all_figures(const Record& record) {
    std::string tables;
    for (const Set& set : sets_of(record)) {
        tables += details_of(record, set);
    }
    return element(
        "details",
        element("summary", "All figures") +
            element("p",
                    "±: half the range of the rounds. ÷: the median of the rounds' ratios. !: attempts failed on one "
                    "of its sides.",
                    "faint") +
            tables);
}

std::string errors(const Record& record) {
    std::string items;
    for (const std::string& error : record.errors) {
        items += element("li", escaped(error));
    }
    return items.empty() ? "" : element("h2", "Could not be measured") + element("ul", items);
}

}  // namespace

std::string page(const Record& record, const std::vector<Bar>& bars) {
    std::string content = opening(record) + errors(record);
    for (const Group& group : groups()) {
        content += section(record, group);
    }
    content += verdict(record, bars) + all_figures(record);
    return "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
           "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
           "<title>causeway, measured: " +
           escaped(record.conditions.date) + "</title>\n<style>" + style + series_style(record.columns) +
           "</style>\n</head>\n<body>\n" + element("main", content) + "</body>\n</html>\n";
}

}  // namespace causeway::bench
