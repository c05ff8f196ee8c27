// SPDX-License-Identifier: Apache-2.0
// Programs on a device's ingress and egress hooks. Layer 1.
//
// By TCX (from Linux 6.6 on) or by clsact and cls_bpf. Either way the attachment lives as long as the device and needs
// no pin, and other tools' programs on the same hook stay. Causeway's comes before those that are there: one that ends
// a packet's way through the hook, if only by TC_ACT_OK, keeps it from all behind it.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "userspace/error.hpp"
#include "userspace/netlink.hpp"
#include "userspace/unique_fd.hpp"

namespace causeway {

enum class Direction { ingress, egress };
enum class Hook { tcx, clsact };

// For devices that other tools use too: TCX where the kernel has it, since there nobody removes it by accident.
Hook shared_device_hook();

// For devices of causeway's own, which come and go by the thousand: TCX waits for an RCU grace period at attachment and
// again when the device goes, 6 to 15 ms each; clsact takes 0.3 ms and none.
inline constexpr Hook own_device_hook = Hook::clsact;

// Of cls_bpf filters of causeway's: a number that other tools seldom take, and the priority before which there is none,
// so that tc puts filters without a priority of their own behind it. Of one priority the latest comes first.
inline constexpr FilterPlace own_filter{.number = 0x6377, .priority = 1};

// Attached already: no error, nothing changes. One that an earlier load of causeway has left there goes. device: its
// name, for the error.
std::expected<void, Error> attach(Hook hook, std::uint32_t ifindex, Direction direction, int program,
                                  const std::string& device);
// Not attached, or no such device: no error.
std::expected<void, Error> detach(Hook hook, std::uint32_t ifindex, Direction direction, int program,
                                  const std::string& device);
std::expected<bool, Error> attached(Hook hook, std::uint32_t ifindex, Direction direction, int program,
                                    const std::string& device);

// Code::check_failed names what runs before the program, which has to be attached, on that hook: others' programs and
// filters, and of the device's TCX programs all where it is by clsact, since those come first.
std::expected<void, Error> verify_first(Netlink& netlink, Hook hook, std::uint32_t ifindex, Direction direction,
                                        int program, const std::string& device);

// Those of that name, of whichever load: by clsact only causeway's own, by its filter's handle.
std::expected<std::vector<UniqueFd>, Error> programs_named(const std::string& name, Hook hook, std::uint32_t ifindex,
                                                           Direction direction, const std::string& device);

// Whether a program of causeway's is there by clsact, of whichever load: it is known by its filter's handle.
std::expected<bool, Error> has_filter(std::uint32_t ifindex, Direction direction, const std::string& device);

}  // namespace causeway
