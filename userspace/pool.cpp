// SPDX-License-Identifier: Apache-2.0
#include "userspace/pool.hpp"

#include <algorithm>
#include <cerrno>

namespace causeway {

std::expected<Range, Error> Range::of_subnet(const Prefix& subnet) {
    if (subnet.address.bits() - subnet.length < 2) {
        return fail(Code::invalid_configuration,
                    "the subnet " + subnet.text() + " has no room for a gateway and a sandbox");
    }
    Range range{.subnet = {subnet.first(), subnet.length}};
    range.gateway = range.subnet.first().plus(1);
    range.first = range.gateway;
    range.last = range.subnet.last();
    return range;
}

namespace {

// Whether the range gives this address out at all.
bool gives(const Range& range, const Address& address) {
    return address != range.gateway && address != range.subnet.first() &&
           (address != range.subnet.last() || !address.is_ipv4());
}

Address after(const Range& range, const Address& address) {
    return address >= range.last || address < range.first ? range.first : address.plus(1);
}

std::expected<void, Error> insert_claim(const Datapath& datapath, const Address& address, std::uint64_t claim,
                                        std::uint32_t network) {
    const endpoint entry{.claim = claim, .network = network, .kind = ENDPOINT_CLAIMED};
    return datapath.endpoints.insert(address.raw(), entry, "the address " + address.text());
}

// Nothing: none is free.
std::expected<std::optional<Address>, Error> claim_in(
    const Datapath& datapath, const Range& range, std::uint64_t claim, std::uint32_t network,
    const std::function<std::expected<void, Error>(const Address&)>& about_to) {
    const auto cursor = datapath.cursors.find(range.first.raw());
    const Address start = after(range, cursor ? Address(cursor->last) : range.last);
    Address candidate = start;
    do {
        if (gives(range, candidate)) {
            TRY(about_to(candidate));
            const auto claimed = insert_claim(datapath, candidate, claim, network);
            if (claimed) {
                TRY(datapath.cursors.put(range.first.raw(), {candidate.raw()}, "the last address of a range"));
                return candidate;
            }
            if (claimed.error().number != EEXIST) {
                return std::unexpected(claimed.error());
            }
        }
        candidate = after(range, candidate);
    } while (candidate != start);
    return std::nullopt;
}

}  // namespace

std::string text_of(std::span<const Range> ranges) {
    std::string text;
    for (const auto& range : ranges) {
        text += (text.empty() ? "" : ", ") + range.first.text() + "-" + range.last.text();
    }
    return text;
}

std::expected<Assignment, Error> claim_address(
    const Datapath& datapath, std::span<const Range> ranges, std::uint64_t claim, std::uint32_t network,
    const std::function<std::expected<void, Error>(const Address&)>& about_to) {
    for (const auto& range : ranges) {
        const auto address = TRY(claim_in(datapath, range, claim, network, about_to));
        if (address) {
            return Assignment{{*address, range.subnet.length}, range.gateway};
        }
    }
    return fail(Code::exhausted, "allocate an address: all of " + text_of(ranges) + " are taken",
                "remove sandboxes that are no longer needed, or configure a larger range");
}

bool has_free_address(const Datapath& datapath, std::span<const Range> ranges) {
    return std::ranges::any_of(ranges, [&](const Range& range) {
        for (Address candidate = range.first;; candidate = candidate.plus(1)) {
            if (gives(range, candidate) && !datapath.endpoints.find(candidate.raw())) {
                return true;
            }
            if (candidate == range.last) {
                return false;
            }
        }
    });
}

std::expected<void, Error> claim_given_address(const Datapath& datapath, const Address& address, std::uint64_t claim,
                                               std::uint32_t network) {
    auto claimed = insert_claim(datapath, address, claim, network);
    if (!claimed && claimed.error().number == EEXIST) {
        return fail(Code::conflict, "take the address " + address.text() + ": another sandbox or gateway has it",
                    "\"causewayctl endpoints\" shows who");
    }
    return claimed;
}

std::expected<void, Error> release_address(const Datapath& datapath, const Address& address, std::uint64_t claim) {
    const auto entry = datapath.endpoints.find(address.raw());
    if (!entry || entry->claim != claim) {
        return {};
    }
    return datapath.endpoints.erase(address.raw(), "the address " + address.text());
}

}  // namespace causeway
