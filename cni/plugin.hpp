// SPDX-License-Identifier: Apache-2.0
// The plugin: one request in, one answer out. All that it reads of the process is passed to it.
#pragma once

#include <string>
#include <string_view>

#include "cni/request.hpp"

namespace causeway::cni {

struct Answer {
    int exit_status = 0;
    std::string output;   // for stdout: JSON, or nothing
    std::string remarks;  // for stderr, which runtimes keep as a log: lines, or nothing
};

Answer answer(const Environment& environment, std::string_view input);

}  // namespace causeway::cni
