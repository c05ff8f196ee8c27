// SPDX-License-Identifier: Apache-2.0
// The addresses of one sandbox: those that were asked for or given, else the next ones; and the routes by their
// gateways. Layer 3.
#pragma once

#include <expected>
#include <vector>

#include "userspace/sandbox.hpp"

namespace causeway {

// Claims one of each of the network's sets, those that are asked for among them; each is on record before, and what was
// claimed when it fails is for undo(). Code::invalid_configuration: an address that is asked for and that no set gives
// out, or more than CAUSEWAY_ADDRESSES_MAX.
std::expected<std::vector<Assignment>, Error> assign(const Datapath& datapath, Attachment& attachment,
                                                     const NetworkSpec& network, const std::vector<Address>& asked);

// The same of those that somebody else has assigned, CAUSEWAY_ADDRESSES_MAX at most.
std::expected<void, Error> claim(const Datapath& datapath, Attachment& attachment,
                                 const std::vector<Assignment>& assignments);

// The first of a family; null: it has none.
const Assignment* first_of(const std::vector<Assignment>& assignments, family family);

// Those without a gateway get that of the first address of their family, unless they are of the link.
// Code::invalid_configuration: there is none.
std::expected<std::vector<Route>, Error> complete_routes(std::vector<Route> routes,
                                                         const std::vector<Assignment>& assignments);

}  // namespace causeway
