// SPDX-License-Identifier: Apache-2.0
// Both ends of a sandbox's link, on the host and in the sandbox: made where they are not given, and set up. Layer 3.
#pragma once

#include <expected>

#include "userspace/sandbox.hpp"

namespace causeway {

// The pair, under the name that is on record, or nothing where it is given; neither end is up. The MACs of both are in
// connection then: where none is asked for, the sandbox's is of its address, or random where it has none yet.
std::expected<void, Error> make_ends(Netlink& netlink, Netlink& inside, const Netns& netns, const SandboxSpec& spec,
                                     const Network& network, const Attachment& attachment, Connection& connection);

// The host end, with the program that asks who is sending: that has to be known before.
std::expected<void, Error> set_up_outside(const Datapath& datapath, Netlink& netlink, const network& record,
                                          const Connection& connection);

// The sandbox's end, with its addresses, gateways and routes, whose priorities are filled in where others have such a
// route already. Who asks by its link is set up twice: without addresses, and with them.
std::expected<void, Error> set_up_inside(Netlink& netlink, Netlink& inside, const Netns& netns, const SandboxSpec& spec,
                                         Connection& connection);

}  // namespace causeway
