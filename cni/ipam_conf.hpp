// SPDX-License-Identifier: Apache-2.0
// Who gives the addresses, and which: "ipam" of the network configuration, and the DNS that goes with it. Layer 0.
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "cni/json_value.hpp"
#include "userspace/pool.hpp"
#include "userspace/sandbox.hpp"

namespace causeway::cni {

struct Dns {
    std::vector<std::string> nameservers, search, options;
    std::string domain;

    bool empty() const { return nameservers.empty() && search.empty() && options.empty() && domain.empty(); }
};

struct IpamConf {
    std::optional<std::string> delegated;  // a type other than causeway's own: then ranges and routes are its business
    std::vector<RangeSet> ranges;          // none: the runtime gives them at ADD
    std::uint32_t rest = 0;                // seconds
    std::vector<Route> routes;
    Dns dns;  // of resolvConf, else the configuration's own
};

// Whether an interface may have its addresses: RFC 4291, section 2.4. Not the unspecified and the loopback address,
// IPv4's in IPv6's form, link-local ones, which every link has, nor groups.
bool can_be_given(const Prefix& subnet);

// conf: the whole network configuration. Code::invalid_configuration.
std::expected<IpamConf, Error> read_ipam_conf(const Json& conf);

}  // namespace causeway::cni
