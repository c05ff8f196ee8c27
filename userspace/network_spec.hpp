// SPDX-License-Identifier: Apache-2.0
// What may be asked of a network, and what one on record was asked for. Layer 3.
#pragma once

#include <string>

#include "userspace/network.hpp"

namespace causeway {

// Letters, digits, '_', '.' and '-', a letter or digit first: CNI 1.1 of a network's name (section 1) and of a
// container id (section 2).
bool is_name(const std::string& text);

// Why it can't be the network's name (CNI 1.1.0, section 1), a sandbox's, the network's gateway device or a subnet of
// it, as in "is longer than 63 characters". Empty: it can.
std::string why_no_network_name(const std::string& name);
std::string why_no_container_id(const std::string& id);  // section 2 of the same: of the same letters
std::string why_no_device_name(const std::string& name);
std::string why_no_subnet(const Prefix& subnet);

// Whether an interface may have its addresses: RFC 1122, section 3.2.1.3; RFC 4291, section 2.4. Not the unspecified
// and the loopback addresses, groups, IPv4's limited broadcast, IPv4's in IPv6's form, nor IPv6's link-local ones,
// which every link has.
bool can_be_given(const Prefix& subnet);

// Makes nothing of the record another. Its ranges are the subnets, whole, one set of each family: what a configuration
// leaves out of them is on no record, and neither are uplinks, tables and how long addresses rest.
NetworkSpec spec_of(const network& record);

}  // namespace causeway
