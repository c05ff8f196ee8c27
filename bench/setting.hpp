// SPDX-License-Identifier: Apache-2.0
// With what and where a run is made, as far as its figures depend on it.
#pragma once

#include <map>
#include <string>

namespace causeway::bench {

std::string now();
std::string machine();
std::string kernel();

// The rest by name: versions, and how the machine is set. "unknown" is what cannot be found out.
std::map<std::string, std::string> setting(const std::string& plugin);

}  // namespace causeway::bench
