// SPDX-License-Identifier: Apache-2.0
// Text in HTML and SVG.
#pragma once

#include <string>
#include <string_view>

namespace causeway::bench {

// As content of an element, or of an attribute in either kind of quotes.
std::string escaped(std::string_view text);

}  // namespace causeway::bench
