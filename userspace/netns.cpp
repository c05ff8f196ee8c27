// SPDX-License-Identifier: Apache-2.0
#include "userspace/netns.hpp"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

namespace causeway {

namespace {

constexpr const char* named_directory = "/run/netns";

}  // namespace

std::expected<Netns, Error> Netns::open(const std::string& path) {
    UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));  // it may be a FIFO, which nobody writes to
    if (!fd) {
        Error error = errno_error("open the network namespace " + path);
        error.code = Code::invalid_namespace;
        return std::unexpected(error);
    }
    struct stat status{};
    if (ioctl(fd.get(), NS_GET_NSTYPE) != CLONE_NEWNET || fstat(fd.get(), &status) != 0) {
        return fail(Code::invalid_namespace, path + " is not a network namespace");
    }
    return Netns(std::move(fd), path, status.st_dev, status.st_ino);
}

std::expected<Netns, Error> Netns::current() {
    return open("/proc/thread-self/ns/net");
}

namespace {

constexpr ino_t hosts_pid_namespace = 0xEFFFFFFC;  // PROC_PID_INIT_INO of the kernel's

// Another PID namespace's /proc has nothing to resolve the name by, or this one's inode.
std::expected<void, Error> refuse_other_pid_namespace() {
    struct stat status{};
    if (stat("/proc/self/ns/pid", &status) != 0) {
        return std::unexpected(errno_error("read /proc/self/ns/pid"));
    }
    if (status.st_ino != hosts_pid_namespace) {
        return fail(Code::unavailable, "this is not the host's PID namespace");
    }
    return {};
}

bool has_ended(const Error& error) {
    return error.number == ENOENT || error.number == ESRCH;
}

}  // namespace

std::expected<std::vector<Netns>, Error> Netns::in_use() {
    TRY(refuse_other_pid_namespace());
    std::vector<Netns> found;
    bool shows_the_first = false;  // which /proc may hide, as others that one may not read
    std::error_code error;
    std::filesystem::directory_iterator entry("/proc", error);
    for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
        const std::string name = entry->path().filename();
        if (name.find_first_not_of("0123456789") != std::string::npos) {
            continue;
        }
        auto netns = open("/proc/" + name + "/ns/net");
        const bool first = name == "1";  // the host's own: in no sandbox, though it may have more rights than this one
        shows_the_first = shows_the_first || first;
        if (!netns && !first && !has_ended(netns.error())) {
            return std::unexpected(netns.error());
        }
        if (netns && std::ranges::none_of(found, [&](const Netns& other) { return netns->same_as(other); })) {
            found.push_back(std::move(*netns));
        }
    }
    if (error) {
        return std::unexpected(kernel_error(error.value(), "list /proc"));
    }
    if (!shows_the_first) {
        return fail(Code::unavailable, "/proc hides processes");
    }
    return found;
}

std::expected<void, Error> Netns::enter() const {
    if (setns(fd_.get(), CLONE_NEWNET) != 0) {
        return std::unexpected(errno_error("enter the network namespace " + path_));
    }
    return {};
}

std::string named_netns_path(const std::string& name) {
    return std::string(named_directory) + "/" + name;
}

namespace {

// The directory is a shared mount, so that names made in one mount namespace show in those that follow it.
std::expected<void, Error> prepare_named_directory() {
    if (mkdir(named_directory, 0755) != 0 && errno != EEXIST) {
        return std::unexpected(errno_error(std::string("create ") + named_directory));
    }
    if (mount("", named_directory, "none", MS_SHARED | MS_REC, nullptr) == 0) {
        return {};
    }
    if (errno != EINVAL) {
        return std::unexpected(errno_error(std::string("share the mount ") + named_directory));
    }
    if (mount(named_directory, named_directory, "none", MS_BIND | MS_REC, nullptr) != 0 ||
        mount("", named_directory, "none", MS_SHARED | MS_REC, nullptr) != 0) {
        return std::unexpected(errno_error(std::string("share the mount ") + named_directory));
    }
    return {};
}

// In a child, since a thread that unshares loses its own namespace. Returns an errno.
int mount_new_netns(const std::string& path) {
    const pid_t child = fork();
    if (child < 0) {
        return errno;
    }
    if (child == 0) {
        const bool made =
            unshare(CLONE_NEWNET) == 0 && mount("/proc/self/ns/net", path.c_str(), "none", MS_BIND, nullptr) == 0;
        _exit(made ? 0 : errno);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
}

}  // namespace

std::expected<void, Error> add_named_netns(const std::string& name) {
    TRY(prepare_named_directory());
    const std::string path = named_netns_path(name);
    const UniqueFd place(::open(path.c_str(), O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0));
    if (!place) {
        return std::unexpected(errno_error("create " + path));
    }
    if (const int number = mount_new_netns(path); number != 0) {
        unlink(path.c_str());
        return std::unexpected(kernel_error(number, "mount a new network namespace on " + path));
    }
    return {};
}

std::expected<void, Error> delete_named_netns(const std::string& name) {
    const std::string path = named_netns_path(name);
    if (umount2(path.c_str(), MNT_DETACH) != 0 && errno != EINVAL && errno != ENOENT) {
        return std::unexpected(errno_error("unmount " + path));
    }
    if (unlink(path.c_str()) != 0 && errno != ENOENT) {
        return std::unexpected(errno_error("remove " + path));
    }
    return {};
}

}  // namespace causeway
