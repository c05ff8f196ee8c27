// SPDX-License-Identifier: Apache-2.0
// What the runtime asks for this one sandbox: runtimeConfig, args and CNI_ARGS. CNI's CONVENTIONS.md. Layer 0.
//
// runtimeConfig comes before args, args before CNI_ARGS. Keys of runtimeConfig, at whatever depth, are matched whatever
// their case, as Go's JSON does it, and an empty text is none: containerd sends "HostPort" and "HostIP": "", podman
// "hostPort".
#pragma once

#include <expected>
#include <optional>
#include <string_view>
#include <vector>

#include "cni/ipam_conf.hpp"
#include "cni/json_value.hpp"
#include "userspace/address.hpp"
#include "userspace/sandbox.hpp"

namespace causeway::cni {

struct RuntimeConf {
    std::vector<Address> addresses;
    std::optional<Mac> mac;
    std::optional<Dns> dns;
    std::vector<PortMapping> ports;
    Quota quota;
    Bandwidth bandwidth;  // of the configuration too
};

// conf: the whole network configuration; arguments: CNI_ARGS. For ADD alone: nothing else depends on it, and DEL must
// not fail for it. Code::unsupported_field: a capability that causeway does not have, and that was declared for it.
// Code::invalid_configuration; Code::invalid_environment for CNI_ARGS.
std::expected<RuntimeConf, Error> read_runtime_conf(const Json& conf, std::string_view arguments);

// Of runtimeConfig, with the keys of "ipam" (CONVENTIONS.md, "ipRanges"). Null where there are none.
std::expected<Json, Error> runtime_ranges(const Json& conf);

}  // namespace causeway::cni
