// SPDX-License-Identifier: Apache-2.0
// Ports that the runtime publishes for one sandbox: runtimeConfig.portMappings. CNI's CONVENTIONS.md. Layer 0.
#pragma once

#include <expected>
#include <vector>

#include "cni/json_value.hpp"
#include "userspace/sandbox.hpp"

namespace causeway::cni {

// list: the value, whose objects' keys are matched whatever their case; null: none. Code::invalid_configuration names
// the mapping and what is wrong with it, or the two that claim one port.
std::expected<std::vector<PortMapping>, Error> read_port_mappings(const Json& list);

}  // namespace causeway::cni
