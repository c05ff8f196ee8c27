// SPDX-License-Identifier: Apache-2.0
// The devices of a sandbox that an earlier plugin of the chain has made: found, and no other sandbox's. Layer 3.
#pragma once

#include <expected>

#include "userspace/sandbox.hpp"

namespace causeway {

// Into connection, of spec.given: the pair whose one end the sandbox has, or the tap. Where there is neither, nothing
// is given, and the pair is to be made. Code::invalid_configuration: what is there is no such pair, or has another MAC
// than is asked for.
std::expected<void, Error> find_given(Netlink& netlink, Netlink& inside, const SandboxSpec& spec,
                                      Connection& connection);

// A device that is a sandbox's already: its DEL would leave this one's unguarded. What is left of one that is gone is
// no obstacle, and is removed; of the same one, the record says. Code::conflict. Needs the lock.
std::expected<void, Error> refuse_device_in_use(const Datapath& datapath, Netlink& netlink, const SandboxSpec& spec,
                                                const Link& device);

}  // namespace causeway
