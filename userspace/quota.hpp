// SPDX-License-Identifier: Apache-2.0
// What one sandbox may take of the flows that all share: its own quota, or its network's. Layer 3.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>

#include "userspace/attachment.hpp"
#include "userspace/datapath.hpp"

namespace causeway {

struct Quota {
    std::optional<std::uint32_t> flows;             // at once, at least 1
    std::optional<std::uint32_t> flows_per_second;  // new ones; 0: any number

    bool empty() const { return !flows && !flows_per_second; }
};

// What it does not say stays as it is in the sandbox's identity; in a new one that is the network's.
void apply(const Quota& quota, sandbox& identity);

// What holds for the sandbox now.
Quota quota_of(const sandbox& identity, const network& network);

// Of a sandbox that is connected; the flows that it has stay. from_network: what the quota does not say is the
// network's again. Takes the lock. Code::unknown_container; Code::conflict as refuse_unseen says.
std::expected<void, Error> change_quota(const SandboxId& id, const Quota& quota, bool from_network);

}  // namespace causeway
