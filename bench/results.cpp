// SPDX-License-Identifier: Apache-2.0
#include "bench/results.hpp"

#include <algorithm>
#include <cstddef>
#include <stdexcept>
#include <utility>

#include "bench/figure.hpp"
#include "bench/median.hpp"

namespace causeway::bench {

using nlohmann::json;

namespace {

// 1 had no setting, ratios or complete, and did not say which columns are ours.
constexpr int schema = 2;

// Of the rounds that both have, and where what divides is not 0.
std::map<int, double> divided(const std::map<int, double>& these, const std::map<int, double>& by) {
    std::map<int, double> quotients;
    for (const auto& [round, value] : these) {
        if (const auto found = by.find(round); found != by.end() && found->second != 0) {
            quotients[round] = value / found->second;
        }
    }
    return quotients;
}

std::optional<Summary> summary_of(const std::map<int, double>& rounds) {
    std::vector<double> values;
    for (const auto& [round, value] : rounds) {
        values.push_back(value);
    }
    if (values.empty()) {
        return std::nullopt;
    }
    const auto [smallest, largest] = std::ranges::minmax(values);
    return Summary{median(values), spread(values), smallest, largest, static_cast<int>(values.size())};
}

json json_of(const Summary& summary) {
    return {{"median", summary.median},
            {"spread", summary.spread},
            {"smallest", summary.smallest},
            {"largest", summary.largest}};
}

// Of each column to those that it is compared with: {FIGURE: {"causeway/wire": ...}}.
json ratios_of(const Record& record) {
    json all = json::object();
    for (const Group& group : groups()) {
        for (const Figure& figure : group.figures) {
            for (const Column& column : record.columns) {
                for (const std::string& other : column.against) {
                    if (const auto found = record.results.ratio({figure.key, column.key}, {figure.key, other})) {
                        all[figure.key][column.key + "/" + other] = json_of(*found);
                    }
                }
            }
        }
    }
    return all;
}

// What earlier versions did not say.
bool has_been_ours(const std::string& key) {
    static const std::vector<std::string> known = {"causeway", "causeway6", "big-tcp", "tcx", "no-peer"};
    return std::ranges::find(known, key) != known.end();
}

}  // namespace

void Results::add(const std::string& figure, const std::string& column, int round, Measurement measurement) {
    measured_[figure][column][round] = std::move(measurement);
}

std::map<int, double> Results::rounds(const std::string& figure, const std::string& column) const {
    const std::size_t slash = column.find('/');
    if (slash == std::string::npos) {
        return rounds_of_one(figure, column);
    }
    return divided(rounds_of_one(figure, column.substr(0, slash)), rounds_of_one(figure, column.substr(slash + 1)));
}

std::map<int, double> Results::rounds_of_one(const std::string& figure, const std::string& column) const {
    std::map<int, double> values;
    if (const auto columns = measured_.find(figure); columns != measured_.end()) {
        if (const auto found = columns->second.find(column); found != columns->second.end()) {
            for (const auto& [round, measurement] : found->second) {
                values[round] = median(measurement.samples);
            }
        }
    }
    return values;
}

std::optional<Summary> Results::summary(const std::string& figure, const std::string& column) const {
    return summary_of(rounds(figure, column));
}

long Results::failed(const std::string& figure, const std::string& column) const {
    if (const std::size_t slash = column.find('/'); slash != std::string::npos) {
        return failed(figure, column.substr(0, slash)) + failed(figure, column.substr(slash + 1));
    }
    long sum = 0;
    if (const auto columns = measured_.find(figure); columns != measured_.end()) {
        if (const auto found = columns->second.find(column); found != columns->second.end()) {
            for (const auto& [round, measurement] : found->second) {
                sum += measurement.failed;
            }
        }
    }
    return sum;
}

std::optional<Summary> Results::ratio(const Value& of, const Value& to) const {
    return summary_of(divided(rounds(of.figure, of.column), rounds(to.figure, to.column)));
}

std::vector<Failure> failures_of(const Record& record) {
    std::vector<Failure> failures;
    for (const Group& group : groups()) {
        for (const Figure& figure : group.figures) {
            for (const Column& column : record.columns) {
                if (const long count = record.results.failed(figure.key, column.key)) {
                    failures.push_back({figure.text, column, count});
                }
            }
        }
    }
    return failures;
}

json to_json(const Measurement& measurement) {
    return {{"samples", measurement.samples}, {"failed", measurement.failed}};
}

Measurement measurement_from(const json& from) {
    return {from.at("samples").get<std::vector<double>>(), from.at("failed").get<long>()};
}

json Results::to_json() const {
    json all = json::object();
    for (const auto& [figure, columns] : measured_) {
        for (const auto& [column, measurements] : columns) {
            json& one = all[figure][column] = json_of(*summary(figure, column));
            one["failed"] = failed(figure, column);
            for (const auto& [round, measurement] : measurements) {
                one["rounds"][std::to_string(round)] = bench::to_json(measurement);
            }
        }
    }
    return all;
}

Results Results::from_json(const json& from) {
    Results results;
    for (const auto& [figure, columns] : from.items()) {
        for (const auto& [column, one] : columns.items()) {
            for (const auto& [round, measurement] : one.at("rounds").items()) {
                results.add(figure, column, std::stoi(round), measurement_from(measurement));
            }
        }
    }
    return results;
}

json Record::to_json() const {
    json named = json::array();
    for (const Column& column : columns) {
        named.push_back({{"key", column.key},
                         {"text", column.text},
                         {"set", column.set},
                         {"against", column.against},
                         {"ours", column.ours}});
    }
    return {{"schema", schema},
            {"complete", complete},
            {"setting", conditions.setting},
            {"date", conditions.date},
            {"machine", conditions.machine},
            {"kernel", conditions.kernel},
            {"extent", conditions.extent},
            {"rounds", conditions.rounds},
            {"milliseconds", conditions.milliseconds},
            {"adds", conditions.adds},
            {"columns", named},
            {"errors", errors},
            {"figures", results.to_json()},
            {"ratios", ratios_of(*this)}};
}

Record Record::from_json(const json& from) {
    if (const int written = from.value("schema", 1); written > schema) {
        throw std::runtime_error("a later causeway-bench has written that: its schema is " + std::to_string(written) +
                                 ", and this one knows those up to " + std::to_string(schema));
    }
    Record record;
    record.conditions = {.date = from.at("date"),
                         .machine = from.at("machine"),
                         .kernel = from.at("kernel"),
                         .extent = from.at("extent"),
                         .rounds = from.at("rounds"),
                         .milliseconds = from.at("milliseconds"),
                         .adds = from.at("adds"),
                         .setting = from.value("setting", std::map<std::string, std::string>())};
    record.complete = from.value("complete", true);
    for (const auto& column : from.at("columns")) {
        const std::string key = column.at("key");
        record.columns.push_back({key, column.at("text"), column.at("set"),
                                  column.at("against").get<std::vector<std::string>>(),
                                  column.value("ours", has_been_ours(key))});
    }
    record.errors = from.at("errors").get<std::vector<std::string>>();
    record.results = Results::from_json(from.at("figures"));
    return record;
}

}  // namespace causeway::bench
