// SPDX-License-Identifier: Apache-2.0
// A record as a table for a terminal.
#pragma once

#include <string>
#include <vector>

#include "bench/bars.hpp"
#include "bench/results.hpp"

namespace causeway::bench {

// Only figures that were measured have a line.
std::string table(const Record& record);

// A line for each bar of what was measured: whether it is met, and if not by how much. The others are named or
// counted.
std::string verdict_on(const std::vector<Bar>& bars, const Results& results, bool names_unmeasured);

}  // namespace causeway::bench
