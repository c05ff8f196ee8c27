// SPDX-License-Identifier: Apache-2.0
// The race: every mode measures every figure in turn, round after round, so that what disturbs one disturbs all.
#pragma once

#include <string>
#include <vector>

#include "bench/plan.hpp"
#include "bench/results.hpp"

namespace causeway::bench {

// What can be measured by itself, by name: Plan::only.
std::vector<std::string> all_steps();

// The modes that there are, by the keys of their columns: Plan::modes.
std::vector<std::string> mode_names();

// Fills in all but the conditions. Says on stderr where it is, if that is a terminal.
void race(const Plan& plan, Record& record);

}  // namespace causeway::bench
