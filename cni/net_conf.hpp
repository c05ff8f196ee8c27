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

#include <nlohmann/json.hpp>

#include "userspace/network.hpp"
#include "userspace/sandbox.hpp"

namespace causeway::cni {

using Json = nlohmann::json;

struct Dns {
    std::vector<std::string> nameservers, search, options;
    std::string domain;

    bool empty() const { return nameservers.empty() && search.empty() && options.empty() && domain.empty(); }
};

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

// A discarded value where it is not JSON, or nests deeper than any configuration or result does: what copies or
// prints a value goes as deep as it nests, on the stack.
Json parse_json(std::string_view text);

// The versions that this plugin speaks, oldest first.
const std::vector<std::string>& supported_versions();

}  // namespace causeway::cni
