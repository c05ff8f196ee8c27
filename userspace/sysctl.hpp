// SPDX-License-Identifier: Apache-2.0
// Settings of the kernel's that netlink can't write: files in /proc/sys. Layer 1.
#pragma once

#include <expected>
#include <optional>
#include <span>
#include <string>

#include "userspace/error.hpp"
#include "userspace/netns.hpp"

namespace causeway {

struct Sysctl {
    std::string path;  // below /proc/sys: "net/ipv6/conf/eth0/accept_ra"
    std::string value;
};

// As the calling thread's namespace has it; nothing: there is no such setting.
std::optional<std::string> sysctl_value(const std::string& path);

// Those that have another value are written: in the calling thread's namespace, or in that one, by a thread that ends
// there. So nobody has to come back, and what fails leaves the caller where undoing it works.
std::expected<void, Error> write_sysctls(std::span<const Sysctl> sysctls);
std::expected<void, Error> write_sysctls_in(const Netns& netns, std::span<const Sysctl> sysctls);

// Whether the kernel that runs is older than that version; where it can't be told, it isn't.
bool is_kernel_before(int major, int minor);

// Whether the kernel has IPv6 at all: not where it was started with ipv6.disable=1.
bool has_ipv6();

}  // namespace causeway
