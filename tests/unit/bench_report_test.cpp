// SPDX-License-Identifier: Apache-2.0
// The benchmark's reports: what a reader finds in the table and on the page, and that it is safe and whole.
#include <gmock/gmock.h>

#include <algorithm>
#include <cstddef>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "bench/chart.hpp"
#include "bench/figure.hpp"
#include "bench/markdown.hpp"
#include "bench/markup.hpp"
#include "bench/number.hpp"
#include "bench/page.hpp"
#include "bench/table.hpp"
#include "tests/unit/bench_record.hpp"

namespace causeway::bench::bench_report_test {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// A record with a figure of each kind.
Record measured() {
    Record record = record_of_three();
    set(record.results, "tcp_world", "wire", {6, 6.2, 6.4});
    set(record.results, "tcp_world", "bridge", {10, 10, 10});
    set(record.results, "tcp_world", "causeway", {8, 7, 9});
    set(record.results, "connections_world", "bridge", {12'000}, 3);
    set(record.results, "connections_world", "causeway", {15'000});
    set(record.results, "program_world", "causeway", {570});
    for (const int size : {1, 10, 60}) {
        set(record.results, sized("add", size), "bridge", {20.0 + size});
        set(record.results, sized("add", size), "causeway", {2.0});
    }
    return record;
}

// The end tags that are missing or in the wrong place; of HTML and SVG as they are written here.
std::string unbalanced(const std::string& html) {
    static const std::set<std::string> empty = {"meta", "!DOCTYPE"};
    std::vector<std::string> open;
    for (std::size_t at = html.find('<'); at != std::string::npos; at = html.find('<', at + 1)) {
        const std::size_t end = html.find('>', at);
        const bool closing = html[at + 1] == '/';
        const std::size_t begin = at + 1 + closing;
        const std::string name = html.substr(begin, html.find_first_of(" >/\n", begin) - begin);
        if (html[end - 1] == '/' || empty.contains(name)) {
            continue;
        }
        if (!closing) {
            open.push_back(name);
        } else if (open.empty() || open.back() != name) {
            return "</" + name + "> at " + html.substr(at > 80 ? at - 80 : 0, 160);
        } else {
            open.pop_back();
        }
    }
    return open.empty() ? "" : "<" + open.back() + "> is never closed";
}

TEST(Number, HasCommasBetweenThousands) {
    EXPECT_EQ(number(0, 0), "0");
    EXPECT_EQ(number(999.994, 2), "999.99");
    EXPECT_EQ(number(1000, 0), "1,000");
    EXPECT_EQ(number(-1234567.25, 1), "-1,234,567.2");
    EXPECT_EQ(number(-100, 0), "-100");
}

TEST(Markup, LeavesNothingThatCouldBeATagOrEndAnAttribute) {
    EXPECT_EQ(escaped("<script>a && \"b\" 'c'</script>"),
              "&lt;script&gt;a &amp;&amp; &quot;b&quot; &#39;c&#39;&lt;/script&gt;");
    EXPECT_EQ(escaped("µs → 1"), "µs → 1");
}

TEST(Ticks, AreRoundEvenAndReachTheLargest) {
    EXPECT_THAT(ticks(23), ElementsAre(0, 5, 10, 15, 20, 25));
    EXPECT_THAT(ticks(10.4), ElementsAre(0, 5, 10, 15)) << "2.5 would be labelled as 2 or 3";
    EXPECT_THAT(ticks(100), ElementsAre(0, 20, 40, 60, 80, 100));
    EXPECT_THAT(ticks(1),
                ElementsAre(0, 0.2, testing::DoubleEq(0.4), testing::DoubleEq(0.6), testing::DoubleEq(0.8), 1));
    for (const double largest : {0.0123, 0.9, 1.1, 3.0, 7.0, 49.0, 51.0, 999.0, 123'456.0}) {
        EXPECT_GE(ticks(largest).back(), largest * (1 - 1e-9));
        EXPECT_LE(ticks(largest).size(), 7u) << largest;
        EXPECT_GE(ticks(largest).size(), 3u) << largest;
    }
}

TEST(Figures, HaveEachANameOfTheirOwn) {
    std::set<std::string> keys, texts;
    for (const Group& group : groups()) {
        for (const Figure& figure : group.figures) {
            EXPECT_TRUE(keys.insert(figure.key).second) << figure.key;
            EXPECT_EQ(find_figure(figure.key)->text, figure.text);
        }
        for (const Line& line : group.lines) {
            for (const Line::Point& point : line.points) {
                EXPECT_TRUE(find_figure(point.figure)) << point.figure;
            }
        }
    }
    EXPECT_EQ(find_figure("add_1")->text, "ADD, 1 sandbox");
    EXPECT_EQ(find_figure("add_1000")->text, "ADD, 1,000 sandboxes");
}

TEST(Table, HasMediansSpreadAndRatiosOfWhatWasMeasured) {
    const std::string text = table(measured());
    EXPECT_THAT(text,
                AllOf(HasSubstr("2 CPUs, some processor"), HasSubstr("Linux 6.1"), HasSubstr("median of 3 rounds"),
                      HasSubstr("iptables: v1 <legacy>\n"), Not(HasSubstr("NOT COMPLETE"))));
    const std::size_t line = text.find("  TCP, sandbox → world (SNAT)");
    ASSERT_NE(line, std::string::npos);
    EXPECT_THAT(text.substr(line, text.find('\n', line) - line),
                AllOf(HasSubstr("6.20 ±3%"), HasSubstr("10.00 ±0%"), HasSubstr("8.00 ±12%"),
                      HasSubstr("1.33 ±10%    0.80 ±13%")));
    EXPECT_THAT(text, HasSubstr("connections, sandbox → world (SNAT), bridge: 3 failed"));
    EXPECT_THAT(text, Not(HasSubstr("iperf3")));
}

TEST(Table, SaysThatARunIsNotComplete) {
    Record record = measured();
    record.complete = false;
    EXPECT_THAT(table(record), HasSubstr("NOT COMPLETE"));
    EXPECT_THAT(page(record, {}), HasSubstr("not over, or ended early"));
}

// A record with columns of all three sets.
Record measured_in_sets() {
    Record record = record_of_six();
    const std::vector<std::pair<const char*, double>> values = {{"wire", 50},  {"bridge", 40},    {"causeway", 48},
                                                                {"wire6", 44}, {"causeway6", 33}, {"big-tcp", 72}};
    for (const auto& [column, value] : values) {
        set(record.results, "stream", column, {value});
    }
    set(record.results, "udp_sandbox", "causeway", {6});
    set(record.results, "program_world_flows_1000", "causeway", {310});
    set(record.results, "program_world_flows_100000", "causeway", {320});
    return record;
}

std::string line_with(const std::string& text, const std::string& beginning, std::size_t from = 0) {
    const std::size_t line = text.find(beginning, from);
    return line == std::string::npos ? "" : text.substr(line, text.find('\n', line) - line);
}

TEST(Table, HasEachSetByItself) {
    const std::string text = table(measured_in_sets());
    const std::size_t ipv6 = text.find("\nIPv6"), variants = text.find("\nVariants");
    ASSERT_LT(ipv6, variants);
    EXPECT_THAT(line_with(text, "IPv6", ipv6),
                AllOf(HasSubstr("wire6"), HasSubstr("÷ wire6"), Not(HasSubstr("bridge"))));
    EXPECT_THAT(line_with(text, "  1 TCP stream", ipv6),
                AllOf(HasSubstr(" 44.0  "), HasSubstr("33.0"), HasSubstr("0.75"), Not(HasSubstr("±"))));
    EXPECT_THAT(line_with(text, "Variants", variants), AllOf(HasSubstr("causeway"), HasSubstr("÷ causeway")));
    EXPECT_THAT(line_with(text, "  1 TCP stream", variants),
                AllOf(HasSubstr("48.0"), HasSubstr("72.0"), HasSubstr("1.50")));
    EXPECT_EQ(text.find("UDP, sandbox", ipv6), std::string::npos) << "only causeway has measured that";
}

TEST(Markdown, HasTheTablesOfTheDocuments) {
    const Bar missed = {.sense = Bar::at_least, .of = {"stream", "causeway"}, .to = {"stream", "wire"}, .limit = 1.1};
    const Bar met = {.sense = Bar::at_least, .of = {"stream", "big-tcp"}, .to = {"stream", "wire"}, .limit = 1.1};
    const std::string text = markdown(measured_in_sets(), {missed, met});
    EXPECT_THAT(
        text,
        HasSubstr("| sandbox → sandbox, one TCP stream, two CPUs, Gbit/s | 50.0 | 40.0 | – | 48.0 | 0.96 | 1.20 |"));
    EXPECT_THAT(text, HasSubstr("| the same with `\"gsoMaxSize\": 524280` | 50.0 | 40.0 | – | 72.0 | 1.44 | 1.80 |"));
    EXPECT_THAT(text, HasSubstr("| 1 TCP stream, sandbox → sandbox, Gbit/s | 44.0 | 33.0 | 0.75 |"));
    EXPECT_THAT(text, HasSubstr("| test run, from_sandbox → world (SNAT), ns | causeway | 310 | – | 320 | – |"));
    EXPECT_THAT(text, HasSubstr("| 1 TCP stream, sandbox → sandbox | ≥ 1.10 × wire | 0.96 ×, 13 % below the bar |"));
    EXPECT_THAT(text, Not(HasSubstr("| big-tcp: "))) << "it meets its bar";
}

// Else what a document says beside the table would be about something else.
TEST(Markdown, HasAsManyCellsInEachRowOfATable) {
    std::istringstream lines(markdown(measured_in_sets(), {}));
    long cells = 0;
    for (std::string line; std::getline(lines, line);) {
        const long here = std::ranges::count(line, '|');
        EXPECT_TRUE(cells == 0 || here == 0 || here == cells) << line;
        cells = here;
    }
}

TEST(Verdict, SaysWhatFellAndByHowMuch) {
    const Bar missed = {
        .sense = Bar::at_most, .of = {"tcp_world", "causeway"}, .to = {"tcp_world", "bridge"}, .limit = 0.5};
    const Bar met = {
        .sense = Bar::at_most, .of = {"tcp_world", "causeway"}, .to = {"tcp_world", "bridge"}, .limit = 0.85};
    const Bar absent = {.sense = Bar::at_most, .of = {"tcp_host", "causeway"}, .to = {"tcp_host", "wire"}, .limit = 1};
    EXPECT_THAT(verdict_on({missed, met, absent}, measured().results, false),
                testing::EndsWith("Not measured: what 1 of the 3 bars are about; --check names them\n"));
    EXPECT_EQ(verdict_on({missed, met, absent}, measured().results, true),
              "MISSES  TCP, sandbox → world (SNAT): ≤ 0.50 × bridge (0.80 × ±13%, 60 % above the bar)\n"
              "meets   TCP, sandbox → world (SNAT): ≤ 0.85 × bridge (0.80 × ±13%, within the spread)\n"
              "Not measured:\n"
              "absent  TCP, host → sandbox: ≤ 1.00 × wire\n");
}

TEST(Page, NeedsNothingElse) {
    const std::string html = page(measured(), {});
    for (const char* const reference : {"http:", "https:", "src=", "href=", "<link", "<script", "url(", "@import"}) {
        EXPECT_THAT(html, Not(HasSubstr(reference)));
    }
    EXPECT_THAT(html, AllOf(HasSubstr("prefers-color-scheme: dark"), HasSubstr("width=device-width")));
}

TEST(Page, IsWellFormed) {
    Record record = measured();
    record.errors = {"bridge: <b>"};
    const Bar bar = {.sense = Bar::none_failed, .of = {"connections_world", "causeway"}};
    EXPECT_EQ(unbalanced(page(record, {bar})), "");
    EXPECT_EQ(unbalanced(page(record_of_three(), {})), "");
}

TEST(Page, ShowsWhatOthersSaidAsText) {
    Record record = measured();
    record.errors = {"plugin said: <img src=x onerror=alert(1)>"};
    record.conditions.machine = "<i>\"CPU\"</i>";
    record.columns[1] = {"bridge", "a <b> & c"};
    const std::string html = page(record, {});
    EXPECT_THAT(html, HasSubstr("<dd>v1 &lt;legacy&gt;</dd>"));
    EXPECT_THAT(html, AllOf(HasSubstr("&lt;img src=x onerror=alert(1)&gt;"),
                            HasSubstr("&lt;i&gt;&quot;CPU&quot;&lt;/i&gt;"), HasSubstr("bridge: a &lt;b&gt; &amp; c")));
    EXPECT_THAT(html, AllOf(Not(HasSubstr("<img")), Not(HasSubstr("<i>")), Not(HasSubstr("<b>"))));
}

TEST(Page, ComparesAndCountsWhatFailed) {
    const std::string html = page(measured(), {});
    EXPECT_THAT(html, AllOf(HasSubstr("causeway is 1.33 ±10% × wire, 0.80 ±13% × bridge"),
                            HasSubstr("failed: bridge 3"), HasSubstr("causeway is 1.25! × bridge")));
}

// In a chart of one figure, in one of several sizes, in a table of figures that only one column has, and in the last.
TEST(Page, CountsWhatFailedWhereverItIsShown) {
    Record record = record_of_three();
    set(record.results, "connections_world_flows_1000", "causeway", {9'000}, 5);
    set(record.results, "wrk_connections", "causeway", {9'000}, 7);
    const std::string html = page(record, {});
    EXPECT_THAT(html, HasSubstr("failed at 1,000 flows: causeway 5"));
    const std::size_t details = html.find("<details");
    for (const char* const failed : {"5 failed", "7 failed"}) {
        EXPECT_THAT(html.substr(details), HasSubstr(failed));
    }
    EXPECT_THAT(html.substr(0, details), HasSubstr("7 failed"));
    EXPECT_EQ(unbalanced(html), "");
}

TEST(Markdown, CountsWhatFailed) {
    EXPECT_THAT(markdown(measured(), {}),
                HasSubstr("| sandbox → world, connections a second | – | 12,000, 3 failed | – | 15,000 | – | 1.25! |"));
}

// The colour that the page gives to a column's swatch.
std::string colour_of(const std::string& html, std::size_t place) {
    const std::string rule = ".swatch.series-" + std::to_string(place) + " { background: ";
    const std::size_t at = html.find(rule) + rule.size();
    return html.substr(at, html.find('}', at) - at);
}

TEST(Page, GivesEachModeAColourOfItsOwn) {
    Record record;
    std::set<std::string> colours;
    const std::vector<std::string> keys = {"wire",    "bridge",    "by-hand", "ptp",     "causeway", "wire6",
                                           "bridge6", "causeway6", "bare",    "big-tcp", "no-peer",  "tcx"};
    for (const std::string& key : keys) {
        record.columns.push_back({key, key});
    }
    const std::string html = page(record, {});
    for (std::size_t i = 0; i < keys.size(); ++i) {
        EXPECT_TRUE(colours.insert(colour_of(html, i)).second) << keys[i] << ": " << colour_of(html, i);
    }
}

// How long the bar of a column is, in the chart's units.
double bar_length(const std::string& svg, const std::string& series) {
    const std::size_t bar = svg.find("<rect class=\"fill " + series + "\""), width = svg.find(" width=\"", bar);
    return bar == std::string::npos ? -1 : std::stod(svg.substr(width + 8));
}

TEST(Page, ComparesEachSetWithItsOwn) {
    const std::string html = page(measured_in_sets(), {});
    EXPECT_THAT(html, HasSubstr("causeway is 0.96 × wire, 1.20 × bridge<br/>causeway6 is 0.75 × wire6<br/>big-tcp is "
                                "1.50 × causeway"));
    EXPECT_EQ(unbalanced(html), "");
}

TEST(BarChart, HasBarsAsLongAsTheirMedians) {
    const Record record = measured();
    const std::string svg = bar_chart(record, *find_figure("tcp_world"));
    EXPECT_NEAR(bar_length(svg, "series-0") / bar_length(svg, "series-1"), 0.62, 0.01);
    EXPECT_NEAR(bar_length(svg, "series-2") / bar_length(svg, "series-1"), 0.80, 0.01);
    EXPECT_THAT(svg, HasSubstr("causeway: 8.00 µs (7.00 to 9.00)"));
}

TEST(BarChart, StaysReadableWhenOneRoundIsFarOff) {
    Record record = record_of_three();
    set(record.results, "latency_p999", "wire", {36, 36, 4000});
    set(record.results, "latency_p999", "causeway", {40, 40, 40});
    const std::string svg = bar_chart(record, *find_figure("latency_p999"));
    EXPECT_GT(bar_length(svg, "series-2"), 100);
    EXPECT_LE(bar_length(svg, "series-2"), 288);
}

TEST(LineChart, HasALineForEachColumnThatWasMeasured) {
    const Record record = measured();
    const Line& adds = find_if(groups().begin(), groups().end(), [](const Group& group) {
                           return group.text == "ADD and DEL";
                       })->lines.front();
    const std::string svg = line_chart(record, adds);
    EXPECT_THAT(svg, AllOf(HasSubstr("stroke series-1"), HasSubstr("stroke series-2"), Not(HasSubstr("series-0"))));
    EXPECT_THAT(svg, AllOf(HasSubstr(">1</text>"), HasSubstr(">10</text>"), HasSubstr(">60</text>")));
    EXPECT_THAT(line_chart(record_of_three(), adds), IsEmpty());
}

}  // namespace
}  // namespace causeway::bench::bench_report_test
