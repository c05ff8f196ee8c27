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

// Another plugin that gives the addresses, and the network configuration that it is called with: as it came.
struct Delegate {
    std::string type;
    Json conf;
    std::vector<RangeSet> subnets{};  // that its addresses have to be in, with those gateways; none: any

    // Whether it asks for them by the sandbox's own interface, which has to be up for that. Where an earlier plugin of
    // the chain has made that, it is.
    bool asks_by_link() const;
};

struct IpamConf {
    std::optional<Delegate> delegate;  // then ranges and routes are its business, but for dhcp's: see below
    std::vector<RangeSet> ranges;      // none: the runtime gives them at ADD
    std::uint32_t rest = 0;            // seconds
    std::vector<Route> routes;
    std::optional<std::string> resolv_conf;  // path of a file that has the DNS, in place of the configuration's own
    Dns dns;
};

// conf: the whole network configuration. What dhcp gives is in the subnets that the configuration names, since the
// gateway device, by which it is asked for, has its addresses first. Code::invalid_configuration.
std::expected<IpamConf, Error> read_ipam_conf(const Json& conf);

// Of that alone, whether another plugin gives the addresses. Code::invalid_configuration.
std::expected<std::optional<Delegate>, Error> read_delegate(const Json& conf);

// resolv.conf(5). A file that is missing is Code::invalid_configuration, since the sandbox would start without names.
std::expected<Dns, Error> read_resolv_conf(const std::string& path);

}  // namespace causeway::cni
