// SPDX-License-Identifier: Apache-2.0
// The reference plugin host-local, which gives addresses: who uses it, and what it has given.
#pragma once

#include <string>
#include <vector>

#include "tests/system/host.hpp"

namespace causeway::test {

// The first network with addresses of host-local's, from 10.0.0.20 on. Debian 12's speaks CNI 1.0.0. Its leases are
// files in the world's own /run.
Json host_local_configuration(const Json& patch = Json::object());

// The addresses that somebody has of it; none before its first call.
std::vector<std::string> leases();

}  // namespace causeway::test
