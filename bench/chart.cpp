// SPDX-License-Identifier: Apache-2.0
#include "bench/chart.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "bench/markup.hpp"
#include "bench/number.hpp"

namespace causeway::bench {
namespace {

constexpr double chart_width = 360;

// What a column has in a chart.
struct Mark {
    std::size_t column;
    double at;  // on the horizontal axis; bar charts have none
    Summary value;
};

std::string coordinate(double value) {
    std::string text = number(value, 1);
    std::erase(text, ',');
    return text;
}

std::string line_element(const std::string& css, double x1, double y1, double x2, double y2) {
    return "<line class=\"" + css + "\" x1=\"" + coordinate(x1) + "\" y1=\"" + coordinate(y1) + "\" x2=\"" +
           coordinate(x2) + "\" y2=\"" + coordinate(y2) + "\"/>";
}

std::string text_element(const std::string& css, double x, double y, const std::string& anchor,
                         const std::string& text) {
    return "<text class=\"" + css + "\" x=\"" + coordinate(x) + "\" y=\"" + coordinate(y) + "\" text-anchor=\"" +
           anchor + "\">" + escaped(text) + "</text>";
}

std::string svg(double height, const std::string& label, const std::string& content) {
    return "<svg viewBox=\"0 0 360 " + coordinate(height) + "\" role=\"img\" aria-label=\"" + escaped(label) + "\">" +
           content + "</svg>\n";
}

std::string series(std::size_t column) {
    return "series-" + std::to_string(column);
}

std::string told(const Column& column, const Summary& value, const std::string& unit, int digits) {
    return column.key + ": " + number(value.median, digits) + " " + unit + " (" + number(value.smallest, digits) +
           " to " + number(value.largest, digits) + ")";
}

std::vector<Mark> marks_of(const Record& record, const std::string& figure, double at) {
    std::vector<Mark> marks;
    for (std::size_t i = 0; i < record.columns.size(); ++i) {
        if (const auto found = record.results.summary(figure, record.columns[i].key)) {
            marks.push_back({i, at, *found});
        }
    }
    return marks;
}

// As much as the longest of the columns' names takes, in bold.
double name_width(const Record& record) {
    std::size_t letters = 0;
    for (const Column& column : record.columns) {
        letters = std::max(letters, column.key.size());
    }
    return 12 + 8 * static_cast<double>(letters);
}

std::string label_of(const Record& record, const std::vector<Mark>& marks, const Figure& figure) {
    std::string label = figure.text + ". ";
    for (const Mark& mark : marks) {
        label += told(record.columns[mark.column], mark.value, figure.unit, figure.digits) + ". ";
    }
    return label;
}

// 250000 is "250 k".
std::string short_number(int size) {
    return size >= 10'000 && size % 1'000 == 0 ? number(size / 1e3, 0) + " k" : number(size, 0);
}

// Where a line chart's values are on the paper.
class Plane {
public:
    Plane(std::vector<int> sizes, double largest) : sizes_(std::move(sizes)), ticks_(ticks(largest)) {}

    double x(double size) const {
        const double first = std::log(sizes_.front()), last = std::log(sizes_.back());
        return left + (last > first ? (std::log(size) - first) / (last - first) : 0.5) * (right - left);
    }
    double y(double value) const { return bottom - value / ticks_.back() * (bottom - top); }

    std::string axes(const std::string& name) const {
        const double step = ticks_[1];
        const int digits = std::clamp(static_cast<int>(std::ceil(-std::log10(step) - 1e-9)), 0, 3);
        std::string drawn;
        for (const double tick : ticks_) {
            drawn += line_element("grid", left, y(tick), right, y(tick));
            drawn += text_element("axis", left - 6, y(tick) + 4, "end", number(tick, digits));
        }
        return drawn + size_labels() + text_element("axis", (left + right) / 2, height - 4, "middle", name);
    }

    static constexpr double height = 236;

private:
    // From the last on, those that have the room.
    std::string size_labels() const {
        constexpr double letter = 6.4, gap = 5;
        std::string drawn;
        double free_until = chart_width + gap;
        for (auto size = sizes_.rbegin(); size != sizes_.rend(); ++size) {
            const std::string text = short_number(*size);
            const double half = static_cast<double>(text.size()) * letter / 2, middle = x(*size);
            drawn += line_element("grid", middle, bottom, middle, bottom + 4);
            if (middle + half + gap <= free_until) {
                drawn += text_element("axis", middle, bottom + 17, "middle", text);
                free_until = middle - half;
            }
        }
        return drawn;
    }

    static constexpr double left = 50, right = 340, top = 10, bottom = 190;
    std::vector<int> sizes_;
    std::vector<double> ticks_;
};

std::string polyline(const Record& record, const Plane& plane, const std::vector<Mark>& marks, const Line& line,
                     int digits) {
    std::string points, drawn;
    for (const Mark& mark : marks) {
        const double x = plane.x(mark.at), y = plane.y(mark.value.median);
        points += coordinate(x) + "," + coordinate(y) + " ";
        drawn += line_element("range " + series(mark.column), x, plane.y(mark.value.smallest), x,
                              plane.y(mark.value.largest));
        drawn += "<circle class=\"fill " + series(mark.column) + "\" cx=\"" + coordinate(x) + "\" cy=\"" +
                 coordinate(y) + "\" r=\"3.5\"><title>" +
                 escaped(told(record.columns[mark.column], mark.value, line.unit, digits)) + "</title></circle>";
    }
    return "<polyline class=\"stroke " + series(marks.front().column) + "\" points=\"" + points + "\"/>" + drawn;
}

}  // namespace

std::vector<double> ticks(double largest) {
    const double rough = largest / 5, magnitude = std::pow(10, std::floor(std::log10(rough)));
    double step = 10 * magnitude;
    for (const double nice : {1.0, 2.0, 5.0}) {
        if (nice * magnitude >= rough * (1 - 1e-9)) {
            step = nice * magnitude;
            break;
        }
    }
    std::vector<double> result;
    for (int i = 0; result.empty() || result.back() < largest * (1 - 1e-9); ++i) {
        result.push_back(i * step);
    }
    return result;
}

std::string bar_chart(const Record& record, const Figure& figure) {
    constexpr double row = 26, bar = 14, gap = 8, right = 288;
    const double left = name_width(record);
    const std::vector<Mark> marks = marks_of(record, figure.key, 0);
    double largest = 0, largest_median = 0;
    for (const Mark& mark : marks) {
        largest = std::max(largest, mark.value.largest);
        largest_median = std::max(largest_median, mark.value.median);
    }
    // One round that is far off must not make all the bars small.
    const double end = std::min(largest, 1.5 * largest_median);
    const auto x = [&](double value) {
        return left + (end > 0 ? std::clamp(value / end, 0.0, 1.0) : 0) * (right - left);
    };
    std::string drawn, set = marks.empty() ? "" : record.columns[marks.front().column].set;
    double y = 0;
    for (const Mark& mark : marks) {
        const Column& column = record.columns[mark.column];
        y += column.set == set ? 0 : gap;
        set = column.set;
        const double middle = y + row / 2;
        drawn += "<g><title>" + escaped(told(column, mark.value, figure.unit, figure.digits)) + "</title>";
        drawn += text_element(column.key == "causeway" ? "name own" : "name", left - 6, middle + 4, "end", column.key);
        drawn += "<rect class=\"fill " + series(mark.column) + "\" x=\"" + coordinate(left) + "\" y=\"" +
                 coordinate(middle - bar / 2) + "\" width=\"" + coordinate(x(mark.value.median) - left) +
                 "\" height=\"" + coordinate(bar) + "\" rx=\"2\"/>";
        drawn += line_element("whisker", x(mark.value.smallest), middle, x(mark.value.largest), middle);
        drawn += line_element("whisker", x(mark.value.smallest), middle - 4, x(mark.value.smallest), middle + 4);
        if (mark.value.largest <= end) {  // else it goes on beyond the paper
            drawn += line_element("whisker", x(mark.value.largest), middle - 4, x(mark.value.largest), middle + 4);
        }
        drawn += text_element(column.key == "causeway" ? "value own" : "value", chart_width - 2, middle + 4, "end",
                              number(mark.value.median, figure.digits));
        drawn += "</g>";
        y += row;
    }
    return svg(y, label_of(record, marks, figure), drawn);
}

std::string line_chart(const Record& record, const Line& line) {
    std::vector<int> sizes;
    std::vector<std::vector<Mark>> by_column(record.columns.size());
    double largest = 0;
    for (const Line::Point& point : line.points) {
        const std::vector<Mark> marks = marks_of(record, point.figure, point.size);
        if (!marks.empty()) {
            sizes.push_back(point.size);
        }
        for (const Mark& mark : marks) {
            by_column[mark.column].push_back(mark);
            largest = std::max(largest, mark.value.largest);
        }
    }
    if (sizes.empty() || largest <= 0) {
        return {};
    }
    const int digits = find_figure(line.points.front().figure)->digits;
    const Plane plane(sizes, largest);
    std::string drawn = plane.axes(line.axis), label = line.text + ", " + line.unit + ". ";
    for (const std::vector<Mark>& marks : by_column) {
        if (!marks.empty()) {
            drawn += polyline(record, plane, marks, line, digits);
        }
        for (const Mark& mark : marks) {
            label += "At " + number(mark.at, 0) + " " + line.axis + " " +
                     told(record.columns[mark.column], mark.value, line.unit, digits) + ". ";
        }
    }
    return svg(Plane::height, label, drawn);
}

}  // namespace causeway::bench
