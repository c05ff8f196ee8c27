// SPDX-License-Identifier: Apache-2.0
// What the networks map has of a network, and what a configuration asks it to have. Changes nothing. Layer 3.
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

// The record that the spec asks for, on top of what the network has already; no subnet is taken away.
// Code::invalid_configuration: there is no room for another subnet, or a gateway is in one of another size.
std::expected<network, Error> wanted_record(const NetworkSpec& spec, const network& present, std::uint32_t mtu);
bool same_record(const network& a, const network& b);

// The network's record, without the subnets that the spec does not name and in which no sandbox has an address, where
// the spec can't be had beside them; else as it is. That which its MAC is made of stays: whoever had it next would have
// the same MAC.
std::expected<network, Error> make_room_for(const NetworkSpec& spec, const Datapath& datapath, const Network& present);

}  // namespace causeway
