// SPDX-License-Identifier: Apache-2.0
#include "cni/stray.hpp"

#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <set>

#include "userspace/netns.hpp"

namespace causeway::cni {

namespace {

// As /proc has a process's arguments and its environment.
std::set<std::string> texts_in(const std::string& file) {
    std::ifstream stream(file);
    std::set<std::string> texts;
    for (std::string text; std::getline(stream, text, '\0');) {
        texts.insert(text);
    }
    return texts;
}

// directory: a process's in /proc. A script's path is its interpreter's argument.
bool is_stray(const std::string& directory, const std::string& path, const Request& request, const Netns& home) {
    struct stat status{};
    if (stat(directory.c_str(), &status) != 0 || status.st_uid != geteuid() ||
        !texts_in(directory + "/cmdline").contains(path)) {
        return false;
    }
    const auto variables = texts_in(directory + "/environ");
    const auto netns = Netns::open(directory + "/ns/net");
    return variables.contains("CNI_COMMAND=ADD") && variables.contains("CNI_CONTAINERID=" + request.container_id) &&
           variables.contains("CNI_IFNAME=" + request.interface) && netns && netns->same_as(home);
}

// 0: there is none.
pid_t find_stray(const std::string& path, const Request& request, const Netns& home) {
    std::error_code error;
    std::filesystem::directory_iterator entry("/proc", error);
    for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
        const std::string name = entry->path().filename();
        if (name.find_first_not_of("0123456789") == std::string::npos && is_stray(entry->path(), path, request, home)) {
            return static_cast<pid_t>(std::stol(name));
        }
    }
    return 0;
}

}  // namespace

std::expected<void, Error> await_stray(const std::string& path, const Request& request) {
    using std::chrono::milliseconds, std::chrono::steady_clock;
    const auto home = TRY(Netns::current());
    const auto deadline = steady_clock::now() + std::chrono::seconds(5);
    while (const pid_t stray = find_stray(path, request, home)) {
        const auto left = std::chrono::duration_cast<milliseconds>(deadline - steady_clock::now());
        if (left.count() <= 0) {
            return fail(Code::try_again_later,
                        path + ", which an ADD of container " + request.container_id +
                            " has called that was killed, still runs as process " + std::to_string(stray),
                        "what it does may not be undone: DEL again when it has ended");
        }
        const UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, stray, 0)));
        pollfd ended{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
        if (pidfd) {  // else it has ended meanwhile
            poll(&ended, 1, static_cast<int>(left.count()));
        }
    }
    return {};
}

}  // namespace causeway::cni
