// SPDX-License-Identifier: Apache-2.0
// What is connected, is it still as connect made it, and would another one work? Changes nothing. Layer 3.
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "userspace/sandbox.hpp"

namespace causeway {

// Everything that connect made, compared with what is there. Code::check_failed names what is missing or changed.
struct Expected {
    std::optional<Mac> mac;
    std::optional<std::uint32_t> mtu;
    std::optional<Prefix> address;
    std::vector<Route> routes;
};
std::expected<void, Error> verify(const SandboxId& id, const std::string& netns, const Expected& expected);

struct SandboxEntry {
    SandboxId id;
    std::string network, host_end, netns;
    std::uint32_t ifindex = 0;
    Address address;
    Mac mac;
    bool connected = false;
    traffic counters{};
};

// All sandboxes, ordered by address. No datapath: none.
std::expected<std::vector<SandboxEntry>, Error> list_sandboxes();

// Whether an ADD would work now, as far as that shows without making anything.
// Code::unavailable, Code::unavailable_limited (no address left).
std::expected<void, Error> ready(const NetworkSpec& network);

}  // namespace causeway
