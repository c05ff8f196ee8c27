// SPDX-License-Identifier: Apache-2.0
#include "userspace/slot.hpp"

#include <cerrno>
#include <functional>
#include <string>

#include "userspace/network.hpp"

namespace causeway {

namespace {

// One of count numbers that nobody holds, from a random one on: claimed as an address is, by insertion; number is the
// part of the record that says which. False: all are held.
std::expected<bool, Error> claim_one(const Datapath& datapath, const BpfMap<std::uint32_t, std::uint64_t>& map,
                                     Attachment& attachment, std::uint32_t& number,
                                     const std::function<std::uint32_t(std::uint32_t)>& number_at,
                                     std::uint32_t count) {
    const auto start = static_cast<std::uint32_t>(attachment.record.claim >> 32);
    for (std::uint32_t step = 0; step < count; step++) {
        number = number_at((start + step) % count);
        if (map.find(number)) {
            continue;
        }
        TRY(save(datapath, attachment));
        const auto claimed = map.insert(number, attachment.record.claim, attachment.what());
        if (claimed || claimed.error().number != EEXIST) {
            return claimed ? std::expected<bool, Error>(true) : std::unexpected(claimed.error());
        }
    }
    return false;
}

Error no_room(std::uint32_t sandboxes) {
    return {Code::exhausted,
            "this host has room for " + std::to_string(sandboxes) + " interfaces of sandboxes, and all are taken",
            more_sandboxes};
}

std::unexpected<Error> no_block_left(const PortBlocks& blocks) {
    return fail(Code::exhausted,
                "portBlock: all " + std::to_string(blocks.count) + " blocks of " + std::to_string(blocks.size) +
                    " ports are taken",
                "a larger portRange or a smaller portBlock has room for more sandboxes");
}

std::uint32_t port_of(const PortBlocks& blocks, std::uint32_t number) {
    return blocks.first + number * blocks.size;
}

template <typename Key, typename Value>
std::expected<bool, Error> is_full(const BpfMap<Key, Value>& map) {
    std::uint32_t count = 0;
    TRY(map.for_each([&](const Key&, const Value&) { count++; }));
    return count >= TRY(map.capacity());
}

}  // namespace

std::unexpected<Error> no_room_for(const SandboxId& id, std::uint32_t sandboxes) {
    auto error = no_room(sandboxes);
    error.message = "connect " + name_of(id) + ": " + error.message;
    return std::unexpected(error);
}

std::expected<void, Error> claim_slot(const Datapath& datapath, Attachment& attachment) {
    const auto count = TRY(datapath.slots.capacity());
    const auto after_the_worlds = [](std::uint32_t number) { return CAUSEWAY_WORLD_SLOT + 1 + number; };
    if (!TRY(claim_one(datapath, datapath.slots, attachment, attachment.record.slot, after_the_worlds, count))) {
        return no_room_for(id_of(attachment.key), count);
    }
    return {};
}

PortBlocks blocks_of(const NatSpec& nat) {
    const std::uint32_t size = nat.port_block, ports = nat.port_max - nat.port_min + 1U;
    return {nat.port_min, size, size == 0 ? 0 : ports / size};
}

std::expected<void, Error> claim_port_block(const Datapath& datapath, Attachment& attachment,
                                            const PortBlocks& blocks) {
    const auto first_port = [&](std::uint32_t number) { return port_of(blocks, number); };
    if (!TRY(
            claim_one(datapath, datapath.port_blocks, attachment, attachment.record.block, first_port, blocks.count))) {
        return no_block_left(blocks);
    }
    return {};
}

std::expected<void, Error> refuse_when_full(const Datapath& datapath, const NatSpec& nat) {
    if (TRY(is_full(datapath.slots)) || TRY(is_full(datapath.attachments))) {
        return std::unexpected(no_room(TRY(datapath.slots.capacity())));
    }
    const auto blocks = blocks_of(nat);
    std::uint32_t taken = 0;
    while (taken < blocks.count && TRY(datapath.port_blocks.look_up(port_of(blocks, taken)))) {
        taken++;
    }
    return blocks.count != 0 && taken == blocks.count ? no_block_left(blocks) : std::expected<void, Error>{};
}

}  // namespace causeway
