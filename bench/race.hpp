// SPDX-License-Identifier: Apache-2.0
// The race: every mode measures every figure in turn, round after round, so that what disturbs one disturbs all.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "bench/plan.hpp"
#include "bench/results.hpp"

namespace causeway::bench {

// What can be measured by itself, by name: Plan::only.
std::vector<std::string> all_steps();

// The modes that there are, by the keys of their columns: Plan::modes.
std::vector<std::string> mode_names();

// The steps of the plan that need others' load generators.
std::vector<std::string> others_steps(const Plan& plan);

// Fills in all but the conditions, and calls `after_round` with each round in it. Says on stderr where it is, if that
// is a terminal.
void race(const Plan& plan, Record& record, const std::function<void()>& after_round);

}  // namespace causeway::bench
