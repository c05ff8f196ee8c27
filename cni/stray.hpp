// SPDX-License-Identifier: Apache-2.0
// A plugin that another one has called, and that goes on since its caller was killed: found, and waited for.
#pragma once

#include <expected>
#include <string>

#include "cni/request.hpp"
#include "userspace/error.hpp"

namespace causeway::cni {

// Returns when no process carries out an ADD of the plugin at path for the request's container and interface.
// Code::try_again_later, with its number, where one still does after five seconds. Only a process of the caller's own
// user, in the caller's own network namespace: nobody else can keep the caller waiting, a sandbox neither.
std::expected<void, Error> await_stray(const std::string& path, const Request& request);

}  // namespace causeway::cni
