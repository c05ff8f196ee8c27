// SPDX-License-Identifier: Apache-2.0
// BPF programs on devices, asked of the kernel itself and not of causeway.
#pragma once

#include <string>
#include <vector>

namespace causeway::test {

enum class Direction { ingress, egress };

// Names of the TCX programs on a device of the caller's namespace, in the order in which they run.
std::vector<std::string> programs_on(const std::string& device, Direction direction);

// Takes one of them off, as an operator would by accident; throws where there is none of that name.
void detach(const std::string& device, Direction direction, const std::string& program);

// Puts a program named "foreign" there, which leaves every packet to the next.
void attach_foreign(const std::string& device, Direction direction);

// Every one of the namespace, a line each: "up0 ingress from_uplink".
std::string all_programs();

}  // namespace causeway::test
