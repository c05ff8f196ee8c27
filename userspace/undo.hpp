// SPDX-License-Identifier: Apache-2.0
// The undoing of what is on record of a sandbox's interface: one for a failed connect, a killed one and a finished one.
// Layer 3.
#pragma once

#include <expected>
#include <functional>
#include <span>
#include <vector>

#include "userspace/attachment.hpp"
#include "userspace/failures.hpp"

namespace causeway {

// Identities first: from then on nothing that the sandboxes send is taken. A record last, and only if all else of it
// is gone; else a later undo tries that again. Goes on after a failure and reports all. Needs the lock.
std::expected<void, Error> undo(const Datapath& datapath, Netlink& netlink, std::span<const Attachment> attachments);

// Gives back what an attachment has of somebody else's: its addresses, where it is ATTACHMENT_LEASED. Nothing of the
// attachment but its record, as ATTACHMENT_CLEARED, is left then.
using GiveBack = std::function<std::expected<void, Error>(const Attachment&)>;

// The first half of an undo: what is left of those that it returns is their records, as ATTACHMENT_CLEARED.
std::vector<Attachment> clear(const Datapath& datapath, Netlink& netlink, std::span<const Attachment> attachments,
                              Failures& failures);

// The second: each record goes once that is given back. Another program may take its time, or hang: the lock is let go
// meanwhile, and shared afterwards.
std::expected<void, Error> give_back_cleared(DatapathLock& lock, std::vector<Attachment> cleared,
                                             const GiveBack& give_back);

// After the last record networks and datapath go too: the host is then as before the first. After the last published
// port the program on `lo` goes. Takes the lock exclusively.
std::expected<void, Error> unload_if_unused(DatapathLock& lock, Netlink& netlink);

}  // namespace causeway
