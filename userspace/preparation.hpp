// SPDX-License-Identifier: Apache-2.0
// What each connect begins with: the datapath, its network, and its record. Layer 3.
#pragma once

#include <expected>
#include <optional>

#include "userspace/sandbox.hpp"

namespace causeway {

struct Prepared {
    Datapath datapath;
    Network network;
    std::optional<NetworkChange> change;  // made under the exclusive lock, which is held from then on
};

// Fast when all is there, under the shared lock; else everything that is missing, under the exclusive one, which is
// then kept to the end so that nobody unloads what nobody uses yet.
std::expected<Prepared, Error> prepare(DatapathLock& lock, Netlink& netlink, const NetworkSpec& spec);

// The same for whose addresses another program is asked first: its network's place is enough, by which its record tells
// whose it is.
std::expected<Prepared, Error> prepare_to_ask(DatapathLock& lock, Netlink& netlink, const NetworkSpec& spec);

// The record of one that begins. What a connect or a disconnect that was killed has left, or one whose sandbox has
// gone, is undone; one that stands is an error, and so is one with a lease, which disconnect_leftover would have undone
// if it were one that was killed. None: whether it was killed, or is at work, only who has the exclusive lock can tell.
std::expected<std::optional<Attachment>, Error> put_on_record(const Datapath& datapath, Netlink& netlink,
                                                              DatapathLock::Mode mode, const SandboxSpec& spec,
                                                              const Network& network, const Connection& connection);

}  // namespace causeway
