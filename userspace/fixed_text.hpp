// SPDX-License-Identifier: Apache-2.0
// Texts in the fixed-size fields of the ABI. Layer 0.
#pragma once

#include <algorithm>
#include <cstring>
#include <string_view>

namespace causeway {

// All of the field is written, so that equal texts make equal keys; what does not fit is cut.
template <std::size_t Size>
void copy_text(char (&to)[Size], std::string_view from) {
    std::memset(to, 0, Size);
    std::memcpy(to, from.data(), std::min(from.size(), Size - 1));
}

}  // namespace causeway
