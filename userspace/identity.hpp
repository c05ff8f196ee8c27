// SPDX-License-Identifier: Apache-2.0
// Who a sandbox is to the programs, and what leads to it: its entries in the maps. Layer 3.
#pragma once

#include <expected>

#include "userspace/sandbox.hpp"

namespace causeway {

// A slot, and a block of ports where the network has them; what is about to be claimed is on record.
std::expected<void, Error> claim_slot_and_ports(const Datapath& datapath, const NatSpec& nat, Attachment& attachment,
                                                Connection& connection);

// Who sends from its host end, before either end is up; the host end is on record then. With the addresses that it has.
std::expected<sandbox, Error> identify(const Datapath& datapath, const SandboxSpec& spec, const Network& network,
                                       Attachment& attachment, Connection& connection);

// The same of one that is identified already, since it has its addresses now.
std::expected<void, Error> identify_anew(const Datapath& datapath, const SandboxSpec& spec, const Network& network,
                                         const Connection& connection, sandbox& identity);

// A DHCP server's answers find their sandbox by its MAC. Code::conflict: another one of the network has it.
std::expected<void, Error> refuse_taken_mac(const Datapath& datapath, const sandbox& identity);

// What leads to it: published ports, and its addresses.
std::expected<void, Error> make_reachable(const Datapath& datapath, const SandboxSpec& spec, const sandbox& identity,
                                          Attachment& attachment, const Connection& connection);

}  // namespace causeway
