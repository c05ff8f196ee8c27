// SPDX-License-Identifier: Apache-2.0
// What is connected, and where? Changes nothing. Layer 3.
#pragma once

#include <expected>
#include <string>
#include <vector>

#include "userspace/sandbox.hpp"

namespace causeway {

struct SandboxEntry {
    SandboxId id;
    std::string network, host_end, netns;
    std::uint32_t ifindex = 0;
    std::vector<Address> addresses;
    Mac mac;
    bool connected = false;
    PortRange ports;  // of its own towards the world; 0: the network's
    traffic counters{};
    std::uint32_t flows = 0;  // that it has now
    Quota quota;
};

// All sandboxes, ordered by their first address. No datapath: none.
std::expected<std::vector<SandboxEntry>, Error> list_sandboxes();

}  // namespace causeway
