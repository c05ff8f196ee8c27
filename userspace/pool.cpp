// SPDX-License-Identifier: Apache-2.0
#include "userspace/pool.hpp"

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <limits>
#include <set>

#include "userspace/attachment.hpp"

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

bool is_inside(const Range& range, const Address& address) {
    return address >= range.first && address <= range.last;
}

// What no range of the subnet gives out, as in "is the gateway's". Empty: it is none of that.
std::string why_never_given(const Range& range, const Address& address) {
    if (address == range.gateway) {
        return "is the gateway's";
    }
    if (address == range.subnet.first()) {
        return "is the own address of the subnet " + range.subnet.text();
    }
    const bool broadcast = address == range.subnet.last() && address.is_ipv4();
    return broadcast ? "is the broadcast address of the subnet " + range.subnet.text() : "";
}

// The last of the addresses from this one on that the range does not give out; nothing: it gives this one out.
std::optional<Address> withheld_until(const Range& range, const Address& address) {
    for (const auto& prefix : range.excluded) {
        if (prefix.contains(address)) {
            return prefix.last();
        }
    }
    return why_never_given(range, address).empty() ? std::nullopt : std::optional(address);
}

std::uint64_t saturated(std::uint64_t a, std::uint64_t b) {
    return a > std::numeric_limits<std::uint64_t>::max() - b ? std::numeric_limits<std::uint64_t>::max() : a + b;
}

Address after(const Range& range, const Address& address) {
    return address >= range.last || address < range.first ? range.first : address.plus(1);
}

std::expected<void, Error> insert_claim(const Datapath& datapath, const Address& address, const Claimant& claimant) {
    const endpoint entry{.claim = claimant.claim, .network = claimant.network, .kind = ENDPOINT_CLAIMED};
    return datapath.endpoints.insert(address.raw(), entry, "the address " + address.text());
}

// Addresses that were given back and whose time is not over. Open only where some may be.
class Resting {
public:
    static std::expected<Resting, Error> open() { return Resting(TRY(Datapath::open_resting()), Datapath::now()); }

    bool has(const Address& address) const {
        const auto entry = map_.find(address.raw());
        return entry && entry->until > now_;
    }
    std::expected<std::set<Address>, Error> all() const {
        std::set<Address> addresses;
        TRY(map_.for_each([&](const address& place, const rest& entry) {
            if (entry.until > now_) {
                addresses.insert(Address(place));
            }
        }));
        return addresses;
    }
    // Where the table is full, those whose time is over make room; an address then rests only if there is some.
    std::expected<void, Error> put(const Address& address, std::uint32_t seconds) const {
        const rest entry{now_ + seconds * ns_per_second};
        const std::string what = "the rest of " + address.text();
        auto result = map_.put(address.raw(), entry, what);
        if (!result && result.error().number == E2BIG) {
            TRY(forget_those_over());
            result = map_.put(address.raw(), entry, what);
        }
        return result || result.error().number == E2BIG ? std::expected<void, Error>{} : result;
    }

private:
    Resting(BpfMap<address, rest> map, std::uint64_t time) : map_(std::move(map)), now_(time) {}

    std::expected<void, Error> forget_those_over() const {
        std::vector<address> over;
        TRY(map_.for_each([&](const address& place, const rest& entry) {
            if (entry.until <= now_) {
                over.push_back(place);
            }
        }));
        for (const auto& place : over) {
            TRY(map_.erase(place, "the rest of " + Address(place).text()));
        }
        return {};
    }

    BpfMap<address, rest> map_;
    std::uint64_t now_;
};

// One search for an address; a walk through the maps only if the first attempts fail.
class Search {
public:
    Search(const Datapath& datapath, const std::optional<Resting>& resting, const Claimant& claimant)
        : datapath_(datapath), resting_(resting), claimant_(claimant) {}

    // Nothing: none is free.
    std::expected<std::optional<Address>, Error> in(const Range& range) {
        const auto cursor = datapath_.cursors.find(range.first.raw());
        const Address start = after(range, cursor ? Address(cursor->last) : range.last);
        auto found = TRY(between(range, start, range.last));
        if (!found && start != range.first) {
            found = TRY(between(range, range.first, start));
        }
        if (found) {
            const auto put = datapath_.cursors.put(range.first.raw(), {found->raw()}, "the last address of a range");
            if (!put &&
                put.error().number != E2BIG) {  // where there is no room, the range is searched from its start on
                return std::unexpected(put.error());
            }
        }
        return found;
    }

private:
    std::expected<std::optional<Address>, Error> between(const Range& range, Address candidate, const Address& last) {
        while (candidate <= last) {
            if (const auto until = withheld_until(range, candidate)) {
                candidate = *until;
            } else if (!TRY(is_known_taken(candidate)) && TRY(take(candidate))) {
                return candidate;
            }
            if (candidate == candidate.plus(1) || candidate >= last) {
                break;
            }
            candidate = candidate.plus(1);
        }
        return std::nullopt;
    }

    std::expected<bool, Error> is_known_taken(const Address& address) {
        constexpr int cheap_attempts = 4;
        if (!taken_ && attempts_ >= cheap_attempts) {
            taken_ = resting_ ? TRY(resting_->all()) : std::set<Address>{};
            TRY(datapath_.endpoints.for_each(
                [&](const ::address& place, const endpoint&) { taken_->insert(Address(place)); }));
        }
        return taken_ && taken_->contains(address);
    }

    // Asked for its rest again once it is had: it may have been given back in between.
    std::expected<bool, Error> take(const Address& address) {
        attempts_++;
        if (rests(address)) {
            return false;
        }
        TRY(claimant_.about_to(address));
        const auto claimed = insert_claim(datapath_, address, claimant_);
        if (!claimed && claimed.error().number != EEXIST) {
            return std::unexpected(claimed.error());
        }
        if (claimed && rests(address)) {
            TRY(datapath_.endpoints.erase(address.raw(), "the address " + address.text()));
            return false;
        }
        return claimed.has_value();
    }

    bool rests(const Address& address) const { return resting_ && resting_->has(address); }

    const Datapath& datapath_;
    const std::optional<Resting>& resting_;
    const Claimant& claimant_;
    int attempts_ = 0;
    std::optional<std::set<Address>> taken_;
};

// "container x, interface eth0", or who else has the address.
std::expected<std::string, Error> owner_of(const Datapath& datapath, const Address& address) {
    const auto entry = datapath.endpoints.find(address.raw());
    if (!entry) {
        return "nobody any more";
    }
    if (entry->kind == ENDPOINT_GATEWAY) {
        return "the gateway of a network";
    }
    std::string owner = "another sandbox";
    TRY(datapath.attachments.for_each([&](const attachment_key& key, const attachment& record) {
        if (record.claim == entry->claim) {
            owner = name_of(id_of(key));
        }
    }));
    return owner;
}

}  // namespace

std::string text_of(std::span<const Range> ranges) {
    constexpr std::uint64_t back_by_one = 0xffffffff;  // of IPv4, where it wraps
    std::string text;
    for (const auto& range : ranges) {
        Address first = range.first, last = range.last;
        while (first < last && !why_never_given(range, first).empty()) {
            first = first.plus(1);
        }
        while (first < last && last.is_ipv4() && !why_never_given(range, last).empty()) {
            last = last.plus(back_by_one);
        }
        text += text.empty() ? "" : ", ";
        text += first.text() + "-" + last.text();
    }
    return text;
}

std::string why_not_given_out(std::span<const Range> ranges, const Address& address) {
    if (gives_out(ranges, address)) {
        return "";
    }
    std::string why = "is outside of what is given out";
    for (const auto& range : ranges) {
        if (const auto never = why_never_given(range, address); !never.empty()) {
            return never;
        }
        why = is_inside(range, address) ? "is excluded (ipam.ranges.exclude)" : why;
    }
    return why;
}

std::uint64_t size_of(const Range& range) {
    std::vector<std::pair<Address, Address>> withheld{{range.gateway, range.gateway},
                                                      {range.subnet.first(), range.subnet.first()}};
    if (range.subnet.address.is_ipv4()) {
        withheld.emplace_back(range.subnet.last(), range.subnet.last());
    }
    for (const auto& prefix : range.excluded) {
        withheld.emplace_back(prefix.first(), prefix.last());
    }
    std::ranges::sort(withheld);
    std::uint64_t size = 0;
    Address next = range.first;
    for (const auto& [from, to] : withheld) {
        if (to < next || from > range.last) {
            continue;
        }
        size = saturated(size, from > next ? next.distance_to(from) : 0);
        if (to >= range.last) {
            return size;
        }
        next = to.plus(1);
    }
    return saturated(saturated(size, next.distance_to(range.last)), 1);
}

bool gives_out(std::span<const Range> ranges, const Address& address) {
    return std::ranges::any_of(
        ranges, [&](const Range& range) { return is_inside(range, address) && !withheld_until(range, address); });
}

std::string Vacancy::text() const {
    return std::to_string(all) + " addresses: " + std::to_string(taken) + " taken, " + std::to_string(resting) +
           " resting";
}

std::expected<Vacancy, Error> vacancy(const Datapath& datapath, std::span<const Range> ranges, bool mind_rest) {
    Vacancy vacancy;
    const auto gives = [&](const Address& address) { return gives_out(ranges, address); };
    for (const auto& range : ranges) {
        vacancy.all = saturated(vacancy.all, size_of(range));
    }
    std::set<Address> taken;
    TRY(datapath.endpoints.for_each([&](const address& place, const endpoint&) {
        if (gives(Address(place))) {
            taken.insert(Address(place));
        }
    }));
    vacancy.taken = taken.size();
    for (const auto& address : mind_rest ? TRY(TRY(Resting::open()).all()) : std::set<Address>{}) {
        vacancy.resting += gives(address) && !taken.contains(address) ? 1 : 0;
    }
    return vacancy;
}

std::expected<Assignment, Error> claim_address(const Datapath& datapath, std::span<const Range> ranges,
                                               const Claimant& claimant, bool mind_rest) {
    std::optional<Resting> resting;
    if (mind_rest) {
        resting = TRY(Resting::open());
    }
    Search search(datapath, resting, claimant);
    for (const auto& range : ranges) {
        if (const auto address = TRY(search.in(range))) {
            return Assignment{{*address, range.subnet.length}, range.gateway};
        }
    }
    const auto counts = TRY(vacancy(datapath, ranges, mind_rest));
    return fail(Code::exhausted, "allocate an address: none is left in " + text_of(ranges) + " (" + counts.text() + ")",
                "remove sandboxes that are no longer needed (\"causewayctl gc\" those that are gone), or configure a "
                "larger range");
}

std::expected<Assignment, Error> claim_wanted_address(const Datapath& datapath, std::span<const Range> ranges,
                                                      const Address& address, const Claimant& claimant) {
    const auto range = std::ranges::find_if(ranges, [&](const Range& r) { return is_inside(r, address); });
    if (range == ranges.end() || withheld_until(*range, address)) {
        return fail(Code::invalid_configuration, "take the address " + address.text() +
                                                     " that the runtime asks for: it " +
                                                     why_not_given_out(ranges, address));
    }
    TRY(claim_given_address(datapath, address, claimant));
    return Assignment{{address, range->subnet.length}, range->gateway};
}

std::expected<void, Error> claim_given_address(const Datapath& datapath, const Address& address,
                                               const Claimant& claimant) {
    TRY(claimant.about_to(address));
    auto claimed = insert_claim(datapath, address, claimant);
    if (!claimed && claimed.error().number == EEXIST) {
        return fail(Code::conflict,
                    "take the address " + address.text() + ": " + TRY(owner_of(datapath, address)) + " has it",
                    "\"causewayctl endpoints\" shows them all");
    }
    return claimed;
}

std::expected<void, Error> release_address(const Datapath& datapath, const Address& address, std::uint64_t claim,
                                           std::uint32_t rest_seconds) {
    const auto entry = TRY(datapath.endpoints.look_up(address.raw()));
    if (!entry || entry->claim != claim) {
        return {};
    }
    if (rest_seconds != 0) {  // before it is free, so that nobody takes it in between
        TRY(TRY(Resting::open()).put(address, rest_seconds));
    }
    return datapath.endpoints.erase(address.raw(), "the address " + address.text());
}

}  // namespace causeway
