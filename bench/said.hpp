// SPDX-License-Identifier: Apache-2.0
// What others' load generators say of what they measured.
#pragma once

#include <string>

namespace causeway::bench {

// The number that follows `before` in `text`. Throws std::runtime_error if there is none.
double number_after(const std::string& text, const std::string& before);

// wrk's requests that came to nothing, or to another answer than 2xx or 3xx.
long failed_requests(const std::string& said);

}  // namespace causeway::bench
