// SPDX-License-Identifier: Apache-2.0
// What is on record of a sandbox's interface, and the undoing of it: one for a failed connect, a killed one and a
// finished one. Layer 3.
#pragma once

#include <compare>
#include <cstdint>
#include <expected>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "userspace/datapath.hpp"
#include "userspace/failures.hpp"
#include "userspace/netlink.hpp"

namespace causeway {

struct NatSpec;

struct SandboxId {
    std::string container;  // shorter than CAUSEWAY_CONTAINER_LEN
    std::string interface;  // its name in the sandbox

    auto operator<=>(const SandboxId&) const = default;
};

std::string name_of(const SandboxId& id);  // for messages
attachment_key key_of(const SandboxId& id);
SandboxId id_of(const attachment_key& key);

struct Attachment {
    attachment_key key{};
    attachment record{};

    std::vector<Address> addresses() const;  // claimed, or about to be
    std::string what() const { return "the record of " + name_of(id_of(key)); }
};

// Writes the record, in place of what was there.
std::expected<void, Error> save(const Datapath& datapath, const Attachment& attachment);

// Whether it is connected, and whole: no disconnect has begun to undo it, and its host end is there. What is left of
// one that does not stand is nobody's, and may be undone.
std::expected<bool, Error> stands(const Datapath& datapath, Netlink& netlink, const attachment& record);
std::unexpected<Error> connected_already(const SandboxId& id);
// Another call may be asking an IPAM plugin for it, or giving back to one: AskingLock is held, by whomever.
std::unexpected<Error> at_work(const SandboxId& id);

// A slot of the per-sandbox counters, claimed as an address is: by insertion, from a random one on. What is about to be
// claimed is on record. Code::exhausted, as whoever finds the records full says it too.
std::unexpected<Error> no_room_for(const SandboxId& id, std::uint32_t sandboxes);
std::expected<void, Error> claim_slot(const Datapath& datapath, Attachment& attachment);

// A block of source ports that no other sandbox has, likewise. Code::exhausted.
struct PortBlocks {
    std::uint32_t first = 0, size = 0, count = 0;  // port of the first block; ports of each; blocks
};
PortBlocks blocks_of(const NatSpec& nat);
std::expected<void, Error> claim_port_block(const Datapath& datapath, Attachment& attachment, const PortBlocks& blocks);

// Whether the next one would find a place and a block, where the network has them; changes nothing. Code::exhausted, in
// the words of those that claim.
std::expected<void, Error> refuse_when_full(const Datapath& datapath, const NatSpec& nat);

// What the host end of a claim is called: "cw" and 13 characters of 32. Names of devices end at 15.
std::string host_end_name(std::uint64_t claim);
bool is_host_end_name(const std::string& name);

// Whether the device that has the recorded index is its host end, whatever an operator calls it now, and not another
// that came by the index later: then it has the recorded name, or causeway's program and no other sandbox's identity.
std::expected<bool, Error> is_host_end_of(const Datapath& datapath, const attachment& record, const Link& link);

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
