// SPDX-License-Identifier: Apache-2.0
// Which addresses does a network give out, and to whom? Allocation is an insertion into the endpoints map. Layer 3.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "userspace/address.hpp"
#include "userspace/datapath.hpp"

namespace causeway {

// One subnet and the part of it that is given out. first <= last, both inside the subnet; the gateway, the
// network's own address and the broadcast address are never given out.
struct Range {
    Prefix subnet;
    Address first, last;
    Address gateway;

    // What host-local makes of a subnet alone: gateway its first address, the rest to give out.
    static std::expected<Range, Error> of_subnet(const Prefix& subnet);
};

// "10.0.0.2-10.0.0.254, …", for messages.
std::string text_of(std::span<const Range> ranges);

struct Assignment {
    Prefix address;  // with the subnet's length
    Address gateway;
};

// Takes an address in the name of a claim. Before each attempt about_to(address) is called: what it records is
// enough to find the address again if the process dies. The address after the last one given is tried first, so that
// an address rests for as long as it can. Code::exhausted when none of the ranges has one left.
std::expected<Assignment, Error> claim_address(
    const Datapath& datapath, std::span<const Range> ranges, std::uint64_t claim, std::uint32_t network,
    const std::function<std::expected<void, Error>(const Address&)>& about_to);

// The same for the one address that someone else has chosen. Code::conflict when it is taken.
std::expected<void, Error> claim_given_address(const Datapath& datapath, const Address& address, std::uint64_t claim,
                                               std::uint32_t network);

// Whether claim_address would find one now.
bool has_free_address(const Datapath& datapath, std::span<const Range> ranges);

// Gives it back if the claim holds it; else nothing happens.
std::expected<void, Error> release_address(const Datapath& datapath, const Address& address, std::uint64_t claim);

}  // namespace causeway
