// SPDX-License-Identifier: Apache-2.0
// How many flows a sandbox may have and open: the same object for a network and for one sandbox. Layer 0.
#pragma once

#include <expected>

#include "cni/json_value.hpp"
#include "userspace/quota.hpp"

namespace causeway::cni {

// The object at "quota", if there is one: {"flows": 32768, "flowsPerSecond": 50000}. prefix: where object is, as in
// "args.cni.". Code::invalid_configuration names the key and the value.
std::expected<Quota, Error> read_quota(const Json& object, const std::string& prefix);

}  // namespace causeway::cni
