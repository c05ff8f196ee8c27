// SPDX-License-Identifier: Apache-2.0
// What the networks map has of a network, and what a configuration asks it to have. Pure. Layer 3.
#pragma once

#include <cstdint>
#include <expected>
#include <vector>

#include "userspace/network.hpp"

namespace causeway {

inline constexpr std::uint32_t default_mtu = 1500;

bool is_used(const subnet& subnet);
Prefix prefix_of(const subnet& subnet);
bool has_gateway(const network& record, const Range& range);
// What the gateway device has.
std::vector<Prefix> gateways_of(const network& record);

// The record that the spec asks for, on top of what the network has already (subnets are never taken away).
// Code::invalid_configuration: there is no room for another subnet, or a gateway is in one of another size.
std::expected<network, Error> wanted_record(const NetworkSpec& spec, const network& present, std::uint32_t mtu);
bool same_record(const network& a, const network& b);

}  // namespace causeway
