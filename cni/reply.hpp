// SPDX-License-Identifier: Apache-2.0
// What the plugin prints: results in the shape of the request's version, and errors. CNI 1.1.0, section 5.
#pragma once

#include <string>

#include "cni/net_conf.hpp"
#include "userspace/verify.hpp"

namespace causeway::cni {

// After the interfaces, addresses and routes of the chain's previous result, where there is one: causeway's own.
Json add_result(const NetConf& conf, const std::string& netns, const Connection& connection, const Dns& dns);

Json version_result(const std::string& asked_version);

Json error_result(const std::string& version, const Error& error);

// The devices of the host that a chain's previous result names, and whether it also names this interface in the
// sandbox: then it is there already. Code::invalid_configuration.
std::expected<GivenDevices, Error> given_in(const Json& previous_result, const std::string& interface,
                                            const std::string& netns);

// What a CHECK's previous result says of this interface; Code::invalid_configuration where it says nothing.
std::expected<Expected, Error> expected_from(const Json& previous_result, const std::string& interface,
                                             const std::string& netns);

}  // namespace causeway::cni
