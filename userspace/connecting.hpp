// SPDX-License-Identifier: Apache-2.0
// One connect at work: what it has made so far, whether that is still its own once another program was asked, and how
// it is undone where the connect fails. Layer 3.
#pragma once

#include <expected>
#include <optional>
#include <vector>

#include "userspace/preparation.hpp"
#include "userspace/sandbox.hpp"

namespace causeway {

struct Connecting {
    const NetworkSpec& network_spec;
    const SandboxSpec& spec;
    const Netns& netns;
    Netlink &inside, &netlink;
    DatapathLock& lock;
    std::optional<AskingLock> asking{};  // of one with a lease, for whose sake the lock is let go
    bool has_lease = false;              // that is to be given back on failure
    std::vector<Attachment> cleared{};   // the own record, on failure
    std::optional<Prepared> prepared{};
    std::optional<Attachment> attachment{};
    Connection connection{};
};

// Asks another program, which may take its time, or hang: the lock is let go meanwhile, and shared afterwards. What
// others may have done meanwhile, the next three say.
std::expected<Lease::Given, Error> take_lease(Connecting& connecting);

// The record under its key, in the datapath as it is now: whoever had the lock may have undone it, and even unloaded
// the datapath.
std::expected<std::optional<attachment>, Error> record_now(Connecting& connecting);

// Code::try_again_later: that is not the record of this connect any more; the network is another one, or gone.
std::expected<void, Error> refuse_undone(const std::optional<attachment>& record, const Connecting& connecting);
std::expected<void, Error> refuse_changed_network(Connecting& connecting);

// The undoing, in this order. What is on record: its link is there until the lease is given back by it; else the lease
// is given back when all else is gone, as a disconnect does it.
std::expected<void, Error> undo_begun(Connecting& connecting);
// What has become of the network, as long as the lock has been exclusive since.
std::expected<void, Error> undo_network_at_once(Connecting& connecting);
std::expected<void, Error> give_back_undone(Connecting& connecting);
// The network that is new by it, unless others have come to use it while the lock was let go: then it is theirs.
std::expected<void, Error> remove_network_unless_used(Connecting& connecting);
// Where others are on record there is nothing to unload, and nobody has to wait for the exclusive lock. As with a
// disconnect, of two at once the later one finds that nobody is left.
std::expected<void, Error> unload_unless_used(Connecting& connecting);

}  // namespace causeway
