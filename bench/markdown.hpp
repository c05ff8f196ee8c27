// SPDX-License-Identifier: Apache-2.0
// A record as the tables of README.md and docs/performance.md.
#pragma once

#include <string>
#include <vector>

#include "bench/bars.hpp"
#include "bench/results.hpp"

namespace causeway::bench {

// Each table under a heading that says where it belongs. Only what was measured has a line.
std::string markdown(const Record& record, const std::vector<Bar>& bars);

}  // namespace causeway::bench
