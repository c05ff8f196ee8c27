// SPDX-License-Identifier: Apache-2.0
// The results of a race, as a table for people and as JSON with every sample.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/lane.hpp"

namespace causeway::bench {

// By figure, then column: one measurement a round.
using Results = std::map<std::string, std::map<std::string, std::vector<Measurement>>>;

// Under what conditions they were measured.
struct Conditions {
    std::string date, machine, kernel;
    int rounds;
    long milliseconds;  // each measurement of traffic
    int adds;           // ADDs and DELs of a round
};

std::string table(const Conditions& conditions, const Results& results);
nlohmann::json dump(const Conditions& conditions, const Results& results);

}  // namespace causeway::bench
