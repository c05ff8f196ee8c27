// SPDX-License-Identifier: Apache-2.0
// What the child of a lane sets up, and how it answers each step: one kind of lane a function.
#pragma once

#include "bench/lane.hpp"
#include "bench/mode.hpp"
#include "bench/plan.hpp"

namespace causeway::bench {

// Traffic between two sandboxes. Steps: a figure of loads() or loads_of_others(), or "programs".
Lane::Ready traffic_lane(const Mode& mode, const Plan& plan);

// A node with `size` sandboxes. Step: "ADD and DEL".
Lane::Ready adding_lane(const Mode& mode, int size, const Plan& plan);

// Traffic on a node with `size` sandboxes. Step: "beside".
Lane::Ready beside_lane(const Mode& mode, int size, const Plan& plan);

// Traffic on a node with `size` flows. Step: "flows".
Lane::Ready flowing_lane(const Mode& mode, int size, const Plan& plan);

}  // namespace causeway::bench
