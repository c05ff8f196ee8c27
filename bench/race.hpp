// SPDX-License-Identifier: Apache-2.0
// The race: every mode measures every figure in turn, round after round, so that what disturbs one disturbs all.
#pragma once

#include <string>
#include <vector>

#include "bench/load.hpp"
#include "bench/report.hpp"

namespace causeway::bench {

struct Plan {
    int rounds;
    Duration time;       // of each measurement of traffic
    int adds;            // ADDs and DELs of a round
    std::string plugin;  // path of causeway's
};

struct Outcome {
    Results results;
    std::vector<std::string> errors;  // what could not be measured, and why; each once
};

// Says on stderr where it is, if that is a terminal.
Outcome race(const Plan& plan);

}  // namespace causeway::bench
