// SPDX-License-Identifier: Apache-2.0
// What the runtime asks, from its environment variables. CNI 1.1.0, section 2, "Parameters".
#pragma once

#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "userspace/error.hpp"

namespace causeway::cni {

enum class Command { add, del, check, gc, status, version };

struct Request {
    Command command = Command::version;
    std::string container_id, netns, interface, path, arguments;  // empty where not given
};

using Environment = std::function<std::optional<std::string>(const std::string& name)>;

// Code::invalid_environment names the variable; which are needed depends on the command.
std::expected<Request, Error> read_request(const Environment& environment);

}  // namespace causeway::cni
