// SPDX-License-Identifier: Apache-2.0
#include "userspace/bandwidth.hpp"

#include <algorithm>
#include <string>

namespace causeway {

namespace {

// The queue takes nothing that is larger than its burst.
Rate with_room_for(std::uint32_t mtu, Rate rate) {
    constexpr std::uint32_t link_header = 18;  // Ethernet, with a tag
    rate.burst = std::max<std::uint64_t>(rate.burst, mtu + link_header);
    return rate;
}

// What the programs let pass is a 32nd more than the queue does, and as early as a queue and a busy CPU make of it: a
// sandbox that waits its turn never hears of it.
void police(shaper& record) {
    constexpr std::uint64_t unpunctual = ns_per_second / 50, largest_packet = 65536;
    record.policed_rate = record.from_rate + record.from_rate / 32 + 1;
    record.tolerance = (record.from_burst + largest_packet) * ns_per_second / record.policed_rate + unpunctual;
}

std::optional<Rate> rate_of(std::uint64_t rate, std::uint64_t burst) {
    return rate != 0 ? std::optional(Rate{rate, burst}) : std::nullopt;
}

}  // namespace

std::expected<void, Error> record_bandwidth(const Datapath& datapath, const Attachment& attachment,
                                            const Bandwidth& bandwidth, std::uint32_t mtu) {
    const auto shapers = TRY(Datapath::open_shapers());
    shaper record{};
    if (bandwidth.to_sandbox) {
        const auto rate = with_room_for(mtu, *bandwidth.to_sandbox);
        record.to_rate = rate.bytes_per_second;
        record.to_burst = rate.burst;
    }
    if (bandwidth.from_sandbox) {
        const auto rate = with_room_for(mtu, *bandwidth.from_sandbox);
        record.from_rate = rate.bytes_per_second;
        record.from_burst = rate.burst;
        police(record);
    }
    if (datapath.slots.find(attachment.record.slot) != attachment.record.claim) {
        return fail(Code::conflict, attachment.what() + " does not hold its slot");
    }
    return shapers.put(attachment.record.slot, record, "the bandwidth of " + name_of(id_of(attachment.key)));
}

std::expected<void, Error> forget_bandwidth(std::uint32_t slot) {
    return TRY(Datapath::open_shapers()).erase(slot, "a bandwidth");
}

std::expected<Queues, Error> queues_of(std::uint32_t slot) {
    const auto record = TRY(Datapath::open_shapers()).find(slot);
    if (!record) {
        return fail(Code::check_failed, "the record of the sandbox's bandwidth is gone");
    }
    return Queues{rate_of(record->to_rate, record->to_burst), rate_of(record->from_rate, record->from_burst)};
}

}  // namespace causeway
