// SPDX-License-Identifier: Apache-2.0
// Would an ADD work now, and what should the operator know? Changes nothing, but that bpffs is mounted. Layer 3.
#pragma once

#include <expected>
#include <string>
#include <vector>

#include "userspace/network.hpp"

namespace causeway {

// What would not fail an ADD but somebody should look at, a sentence each.
using Remarks = std::vector<std::string>;

// CNI 1.1.0, section 2, "STATUS". Code::unavailable: an ADD would fail; Code::unavailable_limited: and sandboxes that
// are connected suffer too. A network whose addresses another plugin gives has no ranges.
std::expected<Remarks, Error> ready(const NetworkSpec& network);

}  // namespace causeway
