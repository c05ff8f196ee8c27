// SPDX-License-Identifier: Apache-2.0
// How a network's sandboxes reach the world: the keys of the configuration that are about translation. Layer 0.
// docs/configuration.md lists them.
#pragma once

#include <expected>

#include "cni/json_value.hpp"
#include "userspace/network.hpp"

namespace causeway::cni {

// conf: the whole network configuration. Code::invalid_configuration names the key and the value.
std::expected<NatSpec, Error> read_nat_conf(const Json& conf);

}  // namespace causeway::cni
