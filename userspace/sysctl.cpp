// SPDX-License-Identifier: Apache-2.0
#include "userspace/sysctl.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include "userspace/unique_fd.hpp"

namespace causeway {

namespace {

const std::string root = "/proc/sys/";

std::optional<std::string> value_in(const UniqueFd& file) {
    constexpr std::size_t usual = 1024, most = 1 << 20;
    std::string text(usual, '\0');
    auto got = file ? read(file.get(), text.data(), text.size()) : -1;
    while (got == static_cast<ssize_t>(text.size()) && text.size() < most) {  // all at once, or the rest is not told
        text.resize(2 * text.size());
        got = pread(file.get(), text.data(), text.size(), 0);
    }
    text.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    return got < 0 ? std::nullopt : std::optional(text.substr(0, text.find('\n')));
}

// directory: the setting's.
std::expected<void, Error> write_one(const UniqueFd& directory, const Sysctl& sysctl) {
    const auto name = sysctl.path.substr(sysctl.path.rfind('/') + 1);
    if (directory && value_in(UniqueFd(openat(directory.get(), name.c_str(), O_RDONLY | O_CLOEXEC))) == sysctl.value) {
        return {};
    }
    const UniqueFd file(directory ? openat(directory.get(), name.c_str(), O_WRONLY | O_CLOEXEC) : -1);
    if (!file || write(file.get(), sysctl.value.data(), sysctl.value.size()) < 0) {
        auto error = errno_error("write " + sysctl.value + " to " + root + sysctl.path);
        error.details = "IPv6 needs it: /proc/sys must be writable, and the kernel started without ipv6.disable=1";
        return std::unexpected(error);
    }
    return {};
}

}  // namespace

std::optional<std::string> sysctl_value(const std::string& path) {
    return value_in(UniqueFd(open((root + path).c_str(), O_RDONLY | O_CLOEXEC)));
}

// Of all namespaces' "net/ipv6" the kernel keeps the names in one list, so each path that begins so costs more the more
// of them have been gone: once for what is in one directory.
std::expected<void, Error> write_sysctls(std::span<const Sysctl> sysctls) {
    std::string opened;
    UniqueFd directory;
    for (const auto& sysctl : sysctls) {
        if (const auto wanted = sysctl.path.substr(0, sysctl.path.rfind('/')); wanted != opened) {
            directory = UniqueFd(open((root + wanted).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
            opened = wanted;
        }
        TRY(write_one(directory, sysctl));
    }
    return {};
}

std::expected<void, Error> write_sysctls_in(const Netns& netns, std::span<const Sysctl> sysctls) {
    std::expected<void, Error> written;
    const auto write_there = [&]() -> std::expected<void, Error> {
        TRY(netns.enter());
        return write_sysctls(sysctls);
    };
    try {
        std::thread([&] { written = write_there(); }).join();
    } catch (const std::system_error& error) {
        return std::unexpected(kernel_error(error.code().value(), "start a thread that enters " + netns.path()));
    }
    return written;
}

bool is_kernel_before(int major, int minor) {
    int its_major = 0, its_minor = 0;
    const auto release = sysctl_value("kernel/osrelease").value_or("");
    return std::sscanf(release.c_str(), "%d.%d", &its_major, &its_minor) == 2 &&
           std::pair(its_major, its_minor) < std::pair(major, minor);
}

bool has_ipv6() {
    return access((root + "net/ipv6").c_str(), F_OK) == 0;
}

}  // namespace causeway
