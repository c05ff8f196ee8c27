// SPDX-License-Identifier: Apache-2.0
// What keeps a network from being made, or changed, as a configuration asks: other networks of causeway's, and what the
// host has already. Layer 3.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "userspace/network.hpp"

namespace causeway {

// The one on that gateway device, or null.
const Network* on_device(const std::vector<Network>& networks, const std::string& device);

// An index that none has. Code::exhausted: there are as many as can be.
std::expected<std::uint32_t, Error> free_slot(const std::vector<Network>& networks);

std::expected<void, Error> refuse_other_name(const Network& present, const NetworkSpec& spec);

// All that there are; those that an ADD has to mind, and those in its way that nobody uses.
struct Neighbours {
    std::vector<Network> all, staying, going;
};
std::expected<Neighbours, Error> neighbours_of(const Datapath& datapath, const NetworkSpec& spec);

// What an ADD and STATUS refuse alike. datapath: null when none is loaded. own: the gateway device that the network has
// already.
std::expected<void, Error> refuse_conflicts(const Datapath* datapath, Netlink& netlink, const Neighbours& neighbours,
                                            const NetworkSpec& spec, const std::optional<Link>& own);

}  // namespace causeway
