// SPDX-License-Identifier: Apache-2.0
// Numbers as people read them.
#pragma once

#include <string>

namespace causeway::bench {

// 12345.678 with 1 digit after the point: "12,345.7".
std::string number(double value, int digits);

// A ratio, with three digits after the point where two would say little: "0.80", "0.085".
std::string ratio_number(double value);

// " ±12%" of a share of 0.12; nothing of one round, which has no spread.
std::string spread_text(double share, int rounds);

}  // namespace causeway::bench
