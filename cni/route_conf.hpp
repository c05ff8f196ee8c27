// SPDX-License-Identifier: Apache-2.0
// A route of a sandbox as configurations and results have it. CNI 1.1.0, section 5, "routes". Layer 0.
#pragma once

#include <expected>
#include <string>

#include "cni/json_value.hpp"
#include "userspace/netlink.hpp"

namespace causeway::cni {

// key: the list that it is of, as in "ipam.routes". Code::invalid_configuration.
std::expected<Route, Error> read_route(const Json& json, const std::string& key);

// As a result has it; without the numbers, dst and gw alone.
Json route_json(const Route& route, bool with_numbers);

}  // namespace causeway::cni
