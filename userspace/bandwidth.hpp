// SPDX-License-Identifier: Apache-2.0
// How fast a sandbox may be sent to, and send: queues that make it wait, and the programs' word for who has taken his
// away. Layer 3.
//
// Towards the sandbox a queue at the host end, from it one at its own end: senders are held up where they are, and no
// device more is needed. Where the sandbox's end is not within reach (a tap) only the programs see to the latter.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>

#include "userspace/attachment.hpp"
#include "userspace/datapath.hpp"
#include "userspace/netlink.hpp"

namespace causeway {

struct Bandwidth {
    std::optional<Rate> to_sandbox, from_sandbox;

    bool any() const { return to_sandbox || from_sandbox; }
    bool operator==(const Bandwidth&) const = default;
};

// The entry that the programs and CHECK go by; the slot is claimed, and the attachment on record as one that is shaped.
// mtu: of the interface: no burst can be less than one packet.
std::expected<void, Error> record_bandwidth(const Datapath& datapath, const Attachment& attachment,
                                            const Bandwidth& bandwidth, std::uint32_t mtu);

// No error where there is none.
std::expected<void, Error> forget_bandwidth(std::uint32_t slot);

// What the record asks of either end's queue.
struct Queues {
    std::optional<Rate> host_end, sandbox_end;
};
std::expected<Queues, Error> queues_of(std::uint32_t slot);

}  // namespace causeway
