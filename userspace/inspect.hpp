// SPDX-License-Identifier: Apache-2.0
// What is connected, and where? Changes nothing. Layer 3.
#pragma once

#include <expected>
#include <string>
#include <vector>

#include "userspace/sandbox.hpp"

namespace causeway {

struct SandboxEntry {
    enum class State {
        connecting,  // a connect is at work, or was killed
        connected,
        disconnecting,  // likewise
        leased,         // nothing is left but what an IPAM plugin has yet to take back
    };
    SandboxId id;
    std::string network, host_end, netns;
    std::uint32_t ifindex = 0;
    std::vector<Address> addresses;
    Mac mac;
    State state = State::connecting;
    PortRange ports;  // of its own towards the world; 0: the network's
    traffic counters{};
    std::uint32_t flows = 0;  // that it has now
    Quota quota;
};

// All sandboxes, ordered by their first address. No datapath: none.
std::expected<std::vector<SandboxEntry>, Error> list_sandboxes();

}  // namespace causeway
