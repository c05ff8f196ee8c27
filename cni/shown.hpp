// SPDX-License-Identifier: Apache-2.0
// A value as it stands in a message: whole, or one too long for any reader without its middle. Layer 0.
#pragma once

#include <string>

namespace causeway::cni {

inline std::string shown(const std::string& value) {
    constexpr std::size_t longest = 512, kept = 120;
    if (value.size() <= longest) {
        return value;
    }
    return value.substr(0, kept) + " ... (" + std::to_string(value.size()) + " bytes) ... " +
           value.substr(value.size() - kept);
}

}  // namespace causeway::cni
