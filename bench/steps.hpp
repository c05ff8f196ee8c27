// SPDX-License-Identifier: Apache-2.0
// What the child of a lane sets up, and how it answers each step: one kind of lane a function.
#pragma once

#include "bench/lane.hpp"
#include "bench/mode.hpp"
#include "bench/plan.hpp"

namespace causeway::bench {

inline constexpr const char* programs_step = "programs";
inline constexpr const char* flows_step = "flows";
inline constexpr const char* beside_step = "beside";
inline constexpr const char* adds_step = "adds";

// Whether the mode takes part in that step of traffic, where no modes are asked for by name or this is one.
bool takes_part(const Mode& mode, const std::string& step, const Plan& plan);

// Traffic between two sandboxes. Steps: a figure of loads() or loads_of_others(), or programs_step.
Lane::Ready traffic_lane(const Mode& mode, const Plan& plan);

// A node with `size` sandboxes. Step: adds_step.
Lane::Ready adding_lane(const Mode& mode, int size, const Plan& plan);

// Traffic on a node with `size` sandboxes, two or more. Step: beside_step.
Lane::Ready beside_lane(const Mode& mode, int size, const Plan& plan);

// Traffic on a node with `size` flows. Step: flows_step.
Lane::Ready flowing_lane(const Mode& mode, int size, const Plan& plan);

}  // namespace causeway::bench
