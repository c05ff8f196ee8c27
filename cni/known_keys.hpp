// SPDX-License-Identifier: Apache-2.0
// Which keys a configuration may have, and which capabilities there are. Other keys are ignored, and may be a known
// one's that is mistyped. Layer 0.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "cni/json_value.hpp"

namespace causeway::cni {

// Those of the configuration that nobody reads: neither causeway nor, by the specification or its conventions, a
// runtime. With dots, as in "ipam.rangestart". What is another plugin's (another ipam.type) or is refused where it is
// unknown (runtimeConfig) is not looked at.
std::vector<std::string> unknown_keys(const Json& conf);

// What causeway has, or takes as information that asks for nothing: the keys of runtimeConfig.
std::span<const char* const> capabilities();

}  // namespace causeway::cni
