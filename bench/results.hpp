// SPDX-License-Identifier: Apache-2.0
// What a race measured, the arithmetic on it, and its JSON.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace causeway::bench {

// One measurement: its samples, of which the median counts, and how many attempts came to nothing.
struct Measurement {
    std::vector<double> samples;  // not empty
    long failed = 0;
};

// By figure: one step of a race may measure several.
using Measurements = std::map<std::string, Measurement>;

// Under what conditions it was measured.
struct Conditions {
    std::string date, machine, kernel, extent;  // extent: quick, usual or full
    int rounds = 0;
    long milliseconds = 0;                         // each measurement of traffic
    int adds = 0;                                  // ADDs and DELs of a round
    std::map<std::string, std::string> setting{};  // the rest, by name
};

// One way to connect sandboxes, as the report names it.
struct Column {
    std::string key, text;
    std::string set{};                   // what it is shown beside, by name
    std::vector<std::string> against{};  // the columns that it is compared with
    bool ours = false;                   // causeway, in any variant
};

// How a set of values is told in two numbers and its ends.
struct Summary {
    double median, spread, smallest, largest;
    int rounds;  // of one there is no spread
};

class Results {
public:
    void add(const std::string& figure, const std::string& column, int round, Measurement measurement);

    // A column may also be a quotient of two: "causeway/wire" is in each round the one divided by the other.

    // Of the rounds' medians.
    std::optional<Summary> summary(const std::string& figure, const std::string& column) const;
    long failed(const std::string& figure, const std::string& column) const;  // in all rounds
    bool has(const std::string& figure) const { return measured_.contains(figure); }

    // One value a round, by round.
    std::map<int, double> rounds(const std::string& figure, const std::string& column) const;

    // The first over the second: of the ratios within each round that has both, so that what disturbs a round disturbs
    // both. Nothing where there is no such round, or where what divides is 0.
    struct Value {
        std::string figure, column;
    };
    std::optional<Summary> ratio(const Value& of, const Value& to) const;

    nlohmann::json to_json() const;
    static Results from_json(const nlohmann::json& from);  // throws nlohmann::json::exception

private:
    std::map<int, double> rounds_of_one(const std::string& figure, const std::string& column) const;

    // By figure, then column, then round.
    std::map<std::string, std::map<std::string, std::map<int, Measurement>>> measured_;
};

// All that a report is made of.
struct Record {
    Conditions conditions;
    std::vector<Column> columns;
    Results results;
    std::vector<std::string> errors;  // what could not be measured, and why
    bool complete = true;             // else the run is not over, or was ended early

    // Its fields are in docs/performance.md. Reads what earlier versions wrote, too.
    nlohmann::json to_json() const;
    static Record from_json(const nlohmann::json& from);  // throws nlohmann::json::exception, std::runtime_error
};

// An attempt that came to nothing, in any round, of a figure and a column; in the report's order.
struct Failure {
    std::string figure;  // its text
    Column column;
    long count;
};
std::vector<Failure> failures_of(const Record& record);

nlohmann::json to_json(const Measurement& measurement);
Measurement measurement_from(const nlohmann::json& from);

}  // namespace causeway::bench
