// SPDX-License-Identifier: Apache-2.0
// Any bytes as another plugin's result: refused with the plugin's name, or an address in a subnet with its gateway.
#include "cni/ipam.hpp"
#include "tests/fuzz/fuzz_target.hpp"

namespace causeway::fuzz {

void try_input(std::string_view input) {
    const auto result = cni::read_ipam_result(input, {"leases", {}});
    if (!result) {
        require(result.error().code == Code::decode_failure, "a refusal is of what could not be read");
        require(result.error().message.contains("\"leases\""), "a refusal names the plugin");
        return;
    }
    const auto& [assignments, ranges, routes, dns] = *result;
    require(!assignments.empty() && assignments.size() <= CAUSEWAY_ADDRESSES_MAX, "there are addresses, and room");
    require(assignments.size() == ranges.size(), "each address has a subnet");
    for (std::size_t i = 0; i < assignments.size(); i++) {
        const auto& assignment = assignments[i];
        const auto& range = ranges[i].at(0);
        require(range.subnet.contains(assignment.address.address), "the address is in its subnet");
        require(range.subnet.contains(assignment.gateway), "the gateway is in the subnet");
        require(range.subnet.length == assignment.address.length, "the address has its subnet's length");
        require(range.gateway == assignment.gateway, "there is one gateway");
    }
}

}  // namespace causeway::fuzz
