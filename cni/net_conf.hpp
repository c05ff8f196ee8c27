// SPDX-License-Identifier: Apache-2.0
// The network configuration that the runtime passes on stdin. CNI 1.1.0, section 1; docs/configuration.md.
//
// Unknown keys are ignored. A known key with a value that it can't have is Code::invalid_configuration, and the
// message names the key and the value.
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
    Dns dns;
    std::optional<std::string> delegated_ipam;  // a type other than causeway's own
    std::optional<Json> previous_result;
    std::vector<SandboxId> valid_attachments;  // for GC
    Json raw;                                  // as it came, for a delegated plugin
};

// Code::decode_failure, Code::incompatible_version, Code::invalid_configuration.
std::expected<NetConf, Error> read_net_conf(std::string_view text);

// The versions that this plugin speaks, oldest first.
const std::vector<std::string>& supported_versions();

}  // namespace causeway::cni
