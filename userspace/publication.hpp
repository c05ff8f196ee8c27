// SPDX-License-Identifier: Apache-2.0
// What is on record of published ports, and the program on the host's `lo` by which the host itself reaches them.
// Layer 3.
//
// The program is attached with the first port that is published on this host, and taken off after the last.
#pragma once

#include <cstdint>
#include <expected>
#include <vector>

#include "userspace/datapath.hpp"
#include "userspace/host_ports.hpp"

namespace causeway {

// Before the ports themselves are taken, so that whatever a killed connect took is found. The attachment of the claim
// is on record as one that publishes. Needs the lock, shared.
std::expected<void, Error> record_publications(const Datapath& datapath, const Publishing& publishing,
                                               std::uint64_t claim, const std::vector<PortMapping>& ports);

// Of those on record, `count` of them, only these stay, which are some of them in their order.
std::expected<void, Error> keep_publications(const Publishing& publishing, std::uint64_t claim,
                                             const std::vector<PortMapping>& kept, std::size_t count);

// In the order in which they were recorded. No such claim: none.
std::expected<std::vector<PortMapping>, Error> publications_of(const Publishing& publishing, std::uint64_t claim);

// Takes the program off `lo` if nothing is published any more, or no sandbox is left. Needs the lock, exclusive.
std::expected<void, Error> close_loopback_if_unused(const Datapath& datapath);
std::expected<bool, Error> nothing_is_published();

// Code::check_failed: it is not there.
std::expected<void, Error> verify_loopback(const Datapath& datapath);

}  // namespace causeway
