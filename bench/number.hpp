// SPDX-License-Identifier: Apache-2.0
// Numbers as people read them.
#pragma once

#include <string>

namespace causeway::bench {

// 12345.678 with 1 digit after the point: "12,345.7".
std::string number(double value, int digits);

}  // namespace causeway::bench
