// SPDX-License-Identifier: Apache-2.0
// The network configuration that the runtime passes on stdin. CNI 1.1.0, section 1; docs/configuration.md.
//
// Unknown keys are ignored (known_keys.hpp). A known key with a value that it can't have is
// Code::invalid_configuration, and the message names the key and the value.
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cni/ipam_conf.hpp"
#include "cni/json_value.hpp"
#include "userspace/network.hpp"
#include "userspace/sandbox.hpp"

namespace causeway::cni {

struct NetConf {
    std::string version;  // cniVersion; "0.1.0" where it is missing, by section 1
    NetworkSpec network;
    std::vector<Route> routes;  // of ipam
    std::optional<std::string> resolv_conf;
    Dns dns;
    std::optional<Delegate> delegate;
    std::optional<Json> previous_result;
    Json raw;  // as it came
};

// What DEL and GC need of it: an error elsewhere must not keep anything from being removed.
struct RemovalConf {
    std::string version, name;
    std::optional<Delegate> delegate;
    std::expected<std::vector<SandboxId>, Error> valid_attachments;  // for GC; Code::invalid_configuration
};

// Code::decode_failure, Code::incompatible_version, Code::invalid_configuration.
std::expected<NetConf, Error> read_net_conf(std::string_view text);
std::expected<RemovalConf, Error> read_removal_conf(std::string_view text);

// For the reply: of the file that the configuration names, else its own. Code::invalid_configuration.
std::expected<Dns, Error> dns_of(const NetConf& conf);

// The versions that this plugin speaks, oldest first.
const std::vector<std::string>& supported_versions();

}  // namespace causeway::cni
