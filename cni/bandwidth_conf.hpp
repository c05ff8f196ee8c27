// SPDX-License-Identifier: Apache-2.0
// The bandwidth of one sandbox: the configuration's, or the runtime's (CNI's CONVENTIONS.md, "bandwidth"). Layer 0.
#pragma once

#include <expected>

#include "cni/json_value.hpp"
#include "userspace/bandwidth.hpp"

namespace causeway::cni {

// ingressRate and ingressBurst: to the sandbox; egressRate and egressBurst: from it; in bits a second and bits, both or
// neither. What the configuration says holds, whatever the runtime asks for, as with the reference plugin. runtime: of
// runtimeConfig, keys matched whatever their case; null: none. Code::invalid_configuration names the key.
std::expected<Bandwidth, Error> read_bandwidth(const Json& conf, const Json& runtime);

}  // namespace causeway::cni
