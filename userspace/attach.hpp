// SPDX-License-Identifier: Apache-2.0
// Programs on a device's ingress and egress hooks. Layer 1.
//
// TCX where the kernel has it (Linux 6.6), clsact and cls_bpf where not. Either way the attachment lives as long as
// the device and needs no pin, and other tools' programs on the same hook stay: causeway's come after them.
#pragma once

#include <cstdint>
#include <expected>
#include <string>

#include "userspace/error.hpp"

namespace causeway {

enum class Direction { ingress, egress };
enum class Hook { tcx, clsact };

// The best that this kernel has.
Hook available_hook();

// Attached already: no error, nothing changes. device: its name, for the error.
std::expected<void, Error> attach(Hook hook, std::uint32_t ifindex, Direction direction, int program,
                                  const std::string& device);
// Not attached, or no such device: no error.
std::expected<void, Error> detach(Hook hook, std::uint32_t ifindex, Direction direction, int program,
                                  const std::string& device);
std::expected<bool, Error> attached(Hook hook, std::uint32_t ifindex, Direction direction, int program,
                                    const std::string& device);

}  // namespace causeway
