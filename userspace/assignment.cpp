// SPDX-License-Identifier: Apache-2.0
#include "userspace/assignment.hpp"

#include <algorithm>
#include <optional>

namespace causeway {

namespace {

// Which address is asked for of each set; none: any. What no set gives out is an error before anything is claimed.
std::expected<std::vector<std::optional<Address>>, Error> asked_of(const std::vector<RangeSet>& sets,
                                                                   const std::vector<Address>& addresses) {
    std::vector<std::optional<Address>> asked(sets.size());
    for (const auto& address : addresses) {
        std::size_t i = 0;
        while (i < sets.size() && (asked[i] || !gives_out(sets[i], address))) {
            i++;
        }
        if (i == sets.size()) {
            RangeSet all;
            for (const auto& set : sets) {
                all.insert(all.end(), set.begin(), set.end());
            }
            const auto why = why_not_given_out(all, address);
            return fail(Code::invalid_configuration,
                        "take the address " + address.text() + " that the runtime asks for: it " +
                            (why.empty() ? "is the second of one set of ranges, of which a sandbox has one" : why) +
                            "; given out is " + text_of(all));
        }
        asked[i] = address;
    }
    return asked;
}

// Who is about to claim the one of that number.
Claimant claimant_of(const Datapath& datapath, Attachment& attachment, std::size_t number) {
    auto& record = attachment.record;
    return {record.claim, record.network,
            [&datapath, &attachment, number](const Address& address) -> std::expected<void, Error> {
                attachment.record.addresses[number] = address.raw();
                return save(datapath, attachment);
            }};
}

}  // namespace

std::expected<std::vector<Assignment>, Error> assign(const Datapath& datapath, Attachment& attachment,
                                                     const NetworkSpec& network, const std::vector<Address>& asked) {
    if (network.ranges.size() > CAUSEWAY_ADDRESSES_MAX) {
        return fail(Code::invalid_configuration,
                    "ipam.ranges: more than " + std::to_string(CAUSEWAY_ADDRESSES_MAX) + " addresses a sandbox");
    }
    const auto wanted = TRY(asked_of(network.ranges, asked));
    std::vector<Assignment> assignments;
    for (std::size_t i = 0; i < wanted.size(); i++) {
        const auto& set = network.ranges[i];
        const auto claimant = claimant_of(datapath, attachment, i);
        assignments.push_back(TRY(wanted[i] ? claim_wanted_address(datapath, set, *wanted[i], claimant)
                                            : claim_address(datapath, set, claimant, network.rest != 0)));
    }
    return assignments;
}

std::expected<void, Error> claim(const Datapath& datapath, Attachment& attachment,
                                 const std::vector<Assignment>& assignments) {
    for (std::size_t i = 0; i < assignments.size(); i++) {
        TRY(claim_given_address(datapath, assignments[i].address.address, claimant_of(datapath, attachment, i)));
    }
    return {};
}

const Assignment* first_of(const std::vector<Assignment>& assignments, family family) {
    const auto found =
        std::ranges::find_if(assignments, [&](const Assignment& a) { return a.address.address.family() == family; });
    return found == assignments.end() ? nullptr : &*found;
}

std::expected<std::vector<Route>, Error> complete_routes(std::vector<Route> routes,
                                                         const std::vector<Assignment>& assignments) {
    for (auto& route : routes) {
        const auto family = route.destination.address.family();
        const auto* const own = first_of(assignments, family);
        if (route.gateway.is_none() && own == nullptr) {
            return fail(Code::invalid_configuration, "ipam.routes: " + route.destination.text() +
                                                         " has no gateway: the sandbox has no " + name_of(family) +
                                                         " address");
        }
        if (route.gateway.is_none() && !route.on_link()) {
            route.gateway = own->gateway;
        }
    }
    return routes;
}

}  // namespace causeway
