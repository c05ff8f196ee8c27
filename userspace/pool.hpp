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
// network's own address, the broadcast address and what is excluded are never given out.
struct Range {
    Prefix subnet;
    Address first, last;
    Address gateway;
    std::vector<Prefix> excluded;

    // What host-local makes of a subnet alone: gateway its first address, the rest to give out.
    static std::expected<Range, Error> of_subnet(const Prefix& subnet);
};

// Alternatives, tried in order, all of one family. A sandbox takes one address of each set.
using RangeSet = std::vector<Range>;

// "10.0.0.2-10.0.0.254, …", for messages: without what is never given out at their ends, with what is excluded.
std::string text_of(std::span<const Range> ranges);

// How many addresses it gives out. The largest number where it is more.
std::uint64_t size_of(const Range& range);

// Whether one of them gives it out.
bool gives_out(std::span<const Range> ranges, const Address& address);

// Why none of them does, as in "is the gateway's". Empty: one does.
std::string why_not_given_out(std::span<const Range> ranges, const Address& address);

struct Assignment {
    Prefix address;  // with the subnet's length
    Address gateway;
};

// In whose name an address is taken. Before each attempt about_to is called: what it records is enough to find the
// address again if the process dies.
struct Claimant {
    std::uint64_t claim = 0;
    std::uint32_t network = 0;
    std::function<std::expected<void, Error>(const Address&)> about_to;
};

// Takes an address. The one after the last one given is tried first, so that an address rests for as long as it can;
// with mind_rest one whose time is not over is passed over. However full the ranges, it costs a few map operations and,
// where those don't find one, one walk through the map. Code::exhausted, with the ranges and the counts, when none of
// them has one left.
std::expected<Assignment, Error> claim_address(const Datapath& datapath, std::span<const Range> ranges,
                                               const Claimant& claimant, bool mind_rest);

// The one address that the runtime wants; whether it rests is not asked. Code::invalid_configuration where no range
// gives it out, Code::conflict with the owner's name when it is taken.
std::expected<Assignment, Error> claim_wanted_address(const Datapath& datapath, std::span<const Range> ranges,
                                                      const Address& address, const Claimant& claimant);

// The one address that another plugin has chosen, in a range or not. Code::conflict likewise.
std::expected<void, Error> claim_given_address(const Datapath& datapath, const Address& address,
                                               const Claimant& claimant);

struct Vacancy {
    std::uint64_t all = 0, taken = 0, resting = 0;

    std::uint64_t left() const { return all - taken - resting; }
    std::string text() const;  // "13 addresses: 12 taken, 1 resting"
};
std::expected<Vacancy, Error> vacancy(const Datapath& datapath, std::span<const Range> ranges, bool mind_rest);

// Gives it back if the claim holds it; else nothing happens. It is not given out again for that many seconds.
std::expected<void, Error> release_address(const Datapath& datapath, const Address& address, std::uint64_t claim,
                                           std::uint32_t rest_seconds);

}  // namespace causeway
