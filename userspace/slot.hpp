// SPDX-License-Identifier: Apache-2.0
// What a sandbox has by number, of a few that there are: a slot, and a block of source ports. Layer 3.
#pragma once

#include <cstdint>
#include <expected>

#include "userspace/attachment.hpp"

namespace causeway {

struct NatSpec;

// A slot of the per-sandbox counters, claimed as an address is: by insertion, from a random one on. What is about to be
// claimed is on record. Code::exhausted; whoever finds the records full says the same.
std::expected<void, Error> claim_slot(const Datapath& datapath, Attachment& attachment);
std::unexpected<Error> no_room_for(const SandboxId& id, std::uint32_t sandboxes);

// A block of source ports that no other sandbox has, likewise. Code::exhausted.
struct PortBlocks {
    std::uint32_t first = 0, size = 0, count = 0;  // port of the first block; ports of each; blocks
};
PortBlocks blocks_of(const NatSpec& nat);
std::expected<void, Error> claim_port_block(const Datapath& datapath, Attachment& attachment, const PortBlocks& blocks);

// Whether the next one would find a place and a block, where the network has them; changes nothing. Code::exhausted, in
// the words of those that claim.
std::expected<void, Error> refuse_when_full(const Datapath& datapath, const NatSpec& nat);

}  // namespace causeway
