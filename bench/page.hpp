// SPDX-License-Identifier: Apache-2.0
// A record as one HTML file that needs nothing else: no network, no script, no font.
#pragma once

#include <string>
#include <vector>

#include "bench/bars.hpp"
#include "bench/results.hpp"

namespace causeway::bench {

std::string page(const Record& record, const std::vector<Bar>& bars);

}  // namespace causeway::bench
