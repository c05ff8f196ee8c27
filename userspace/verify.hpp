// SPDX-License-Identifier: Apache-2.0
// Is a sandbox's connection still as connect made it? Changes nothing. Layer 3.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "userspace/attachment.hpp"

namespace causeway {

// What the runtime was told: by connect, and by what came after it in the chain.
struct Expected {
    struct Device {
        std::string name, mac;  // as it was told: others' may be of another length than Ethernet's; empty: nothing
        std::optional<std::uint32_t> mtu;
    };
    std::string network;  // name
    std::optional<Mac> mac;
    std::optional<std::uint32_t> mtu;
    std::vector<Prefix> addresses;
    std::vector<Prefix> untied;        // of no interface that is told of: its own, or others'
    std::vector<Prefix> of_others;     // of other interfaces of its sandbox
    bool alone = true;                 // there is none of those
    std::vector<Route> routes;         // others' too
    std::vector<Device> host_devices;  // others' too
};

// Everything that connect made and everything that is expected, compared with what is there, on the host, in the
// datapath and in the sandbox. Code::check_failed names what is missing or changed. Routes count wherever they are,
// since a later plugin of the chain may have moved them to a table of its own; of others' routes and devices nothing
// is said. A route is the interface's where its gateway is in a subnet of that alone; in one of another interface too,
// or without a gateway where there is another interface, it may be by any. The sandbox's MTU may be less than it was
// told to be: later plugins lower it and do not tell. uplinks: those that the configuration names; none: all that there
// are.
std::expected<void, Error> verify(const SandboxId& id, const std::string& netns,
                                  const std::vector<std::string>& uplinks, const Expected& expected);

}  // namespace causeway
