// SPDX-License-Identifier: Apache-2.0
// Load generators of others: iperf3, sockperf, and wrk against nginx. What they find, beside our own.
#pragma once

#include <string>
#include <vector>

#include "bench/loads.hpp"

namespace causeway::bench {

// What is missing of the programs that these steps need, for people; empty: all are there.
std::string missing_generators(const std::vector<std::string>& steps);

// Like loads(), and measured the same way.
const std::vector<Load>& loads_of_others();

}  // namespace causeway::bench
