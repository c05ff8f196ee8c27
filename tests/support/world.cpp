// SPDX-License-Identifier: Apache-2.0
#include "tests/support/world.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <exception>
#include <fstream>
#include <stdexcept>
#include <string_view>

namespace causeway::test {
namespace {

constexpr int timed_out = 124, not_entered = 126, not_found = 127;

// A file in memory that only its descriptors name: a child's stdin or output, of any length, with no one to pump it.
int memory_file(const char* name, const std::string& text = {}) {
    const int fd = memfd_create(name, MFD_CLOEXEC);
    if (fd < 0) {
        fail("memfd_create");
    }
    if (pwrite(fd, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
        close(fd);
        fail("write a child's stdin");
    }
    return fd;
}

std::string contents(int fd) {
    struct stat file{};
    if (fstat(fd, &file) != 0) {
        fail("fstat a child's output");
    }
    std::string text(static_cast<std::size_t>(file.st_size), '\0');
    const ssize_t length = pread(fd, text.data(), text.size(), 0);
    text.resize(length < 0 ? 0 : static_cast<std::size_t>(length));
    return text;
}

std::vector<std::string> environment_of(const RunOptions& options) {
    std::vector<std::string> environment;
    const auto overridden = [&](std::string_view entry) {
        for (const auto& [name, value] : options.environment) {
            if (entry.starts_with(name) && entry.substr(name.size()).starts_with("=")) {
                return true;
            }
        }
        return false;
    };
    for (char** entry = environ; *entry && !options.clean_environment; ++entry) {
        if (!overridden(*entry)) {
            environment.emplace_back(*entry);
        }
    }
    for (const auto& [name, value] : options.environment) {
        environment.push_back(name + "=" + value);
    }
    return environment;
}

std::vector<char*> pointers(const std::vector<std::string>& strings) {
    std::vector<char*> result;
    result.reserve(strings.size() + 1);
    for (const std::string& string : strings) {
        result.push_back(const_cast<char*>(string.c_str()));
    }
    result.push_back(nullptr);
    return result;
}

// From here to child_fail: between vfork and exec, in the parent's own memory, so that none may be allocated.
void die_with(pid_t parent) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(timed_out);
    }
}

bool enter_namespace(const char* path) {
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    const bool entered = fd >= 0 && setns(fd, CLONE_NEWNET) == 0;
    if (fd >= 0) {
        const int reason = errno;
        close(fd);
        errno = reason;
    }
    return entered;
}

[[noreturn]] void child_fail(int status, const char* what, const char* name) {
    dprintf(STDERR_FILENO, "%s %s: %s\n", what, name, strerror(errno));
    _exit(status);
}

int status_of(int wait_status) {
    return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

void mount_new(const char* type, const char* target, const char* options) {
    if (mount(type, target, type, MS_NOSUID | MS_NODEV, options) != 0) {
        fail(std::string("mount a new ") + type + " on " + target);
    }
}

void make_directory(const char* path, mode_t mode) {
    if (mkdir(path, mode) != 0 || chmod(path, mode) != 0) {
        fail(std::string("mkdir ") + path);
    }
}

void make_private_mounts() {
    if (unshare(CLONE_NEWNS | CLONE_NEWNET) != 0) {
        fail("unshare the mount and network namespaces (needs root)");
    }
    if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
        fail("make all mounts private");
    }
    mount_new("tmpfs", "/run", "mode=755");
    make_directory("/run/netns", 0755);
    make_directory("/run/lock", 01777);
    mount_new("bpf", "/sys/fs/bpf", "mode=700");
}

// Gives the calling thread's network namespace a name, as `ip netns attach` does.
void name_namespace(const std::string& path) {
    const int fd = open(path.c_str(), O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    if (fd < 0) {
        fail("create " + path);
    }
    close(fd);
    if (mount("/proc/thread-self/ns/net", path.c_str(), nullptr, MS_BIND, nullptr) != 0) {
        fail("name a network namespace " + path);
    }
}

// Up before it has addresses: on a device that comes up later, the kernel lays the route for multicast when it gets
// round to it, and does not hear until then that somebody asks for its IPv6 address.
constexpr const char* node_commands =
    "link set lo up\n"
    "link add up0 address 02:00:cb:00:71:01 type veth peer name dn0 address 02:00:cb:00:71:02 netns world\n"
    "link set up0 up\n"
    "addr add 203.0.113.1/24 dev up0\n"
    "addr add 2001:db8:71::1/64 dev up0 nodad\n"
    "route add default via 203.0.113.2\n"
    "route add default via 2001:db8:71::2\n";

constexpr const char* world_commands =
    "link set lo up\n"
    "addr add 198.51.100.1/32 dev lo\n"
    "addr add 2001:db8:64::1/128 dev lo nodad\n"
    "link set dn0 up\n"
    "addr add 203.0.113.2/24 dev dn0\n"
    "addr add 2001:db8:71::2/64 dev dn0 nodad\n";

}  // namespace

void fail(const std::string& what) {
    throw std::runtime_error(what + ": " + std::strerror(errno));
}

void write_file(const std::string& path, const std::string& text) {
    if (!(std::ofstream(path) << text << std::flush)) {
        fail("write " + path);
    }
}

Child start(const std::vector<std::string>& argv, const RunOptions& options) {
    const std::vector<std::string> environment = environment_of(options);
    const std::vector<char*> arguments = pointers(argv), variables = pointers(environment);
    const int in = memory_file("stdin", options.stdin_text), out = memory_file("stdout"), err = memory_file("stderr");
    const pid_t parent = getpid();

    // A copy of this program's memory costs more than what most of the started ones do.
    // NOLINTNEXTLINE(bugprone-unsafe-functions,clang-analyzer-security.insecureAPI.vfork)
    const pid_t pid = vfork();
    if (pid < 0) {
        fail("vfork");
    }
    if (pid == 0) {
        die_with(parent);  // NOLINT(clang-analyzer-unix.Vfork): Linux allows more than POSIX
        setpgid(0, 0);
        if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0) {
            child_fail(not_found, "dup2 for", arguments[0]);
        }
        if (!options.netns.empty() && !enter_namespace(options.netns.c_str())) {
            child_fail(not_entered, "cannot enter", options.netns.c_str());
        }
        execvpe(arguments[0], arguments.data(), variables.data());
        child_fail(not_found, "cannot execute", arguments[0]);
    }
    setpgid(pid, pid);  // whoever comes first: kill() must find the group
    close(in);
    const auto pidfd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));  // glibc 2.36 has it for C only
    Child child(pid, pidfd, out, err);
    if (pidfd < 0) {
        fail("pidfd_open");
    }
    return child;
}

Output run(const std::vector<std::string>& argv, const RunOptions& options) {
    Child child = start(argv, options);
    const int status = child.wait(options.timeout);
    return {status, child.out(), child.err()};
}

std::string must_run(const std::vector<std::string>& argv, const RunOptions& options) {
    const Output output = run(argv, options);
    if (!output.ok()) {
        std::string line;
        for (const std::string& argument : argv) {
            line += argument + " ";
        }
        throw std::runtime_error(line + "ended with " + std::to_string(output.status) + ": " + output.err + output.out);
    }
    return output.out;
}

Child::Child(Child&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      pidfd_(std::exchange(other.pidfd_, -1)),
      out_(std::exchange(other.out_, -1)),
      err_(std::exchange(other.err_, -1)),
      status_(other.status_) {}

Child& Child::operator=(Child&& other) noexcept {
    if (this != &other) {
        end();
        pid_ = std::exchange(other.pid_, -1);
        pidfd_ = std::exchange(other.pidfd_, -1);
        out_ = std::exchange(other.out_, -1);
        err_ = std::exchange(other.err_, -1);
        status_ = other.status_;
    }
    return *this;
}

Child::~Child() {
    end();
}

void Child::end() noexcept {
    if (pid_ < 0) {
        return;
    }
    kill();
    reap(std::chrono::milliseconds(-1));
    for (const int fd : {pidfd_, out_, err_}) {
        close(fd);
    }
    pid_ = -1;
}

bool Child::running() {
    return !reap(std::chrono::milliseconds(0));
}

int Child::wait(std::chrono::milliseconds timeout) {
    if (reap(timeout)) {
        return status_;
    }
    kill();
    reap(std::chrono::milliseconds(-1));
    return status_ = timed_out;
}

void Child::kill(int signal) {
    if (status_ < 0) {
        ::kill(-pid_, signal);
    }
}

// True once the child has ended and its status is known; waits at most `timeout`, for ever if that is negative.
bool Child::reap(std::chrono::milliseconds timeout) {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    pollfd ended = {.fd = pidfd_, .events = POLLIN, .revents = 0};
    auto left = timeout;
    while (status_ < 0 && poll(&ended, 1, static_cast<int>(left.count())) < 0 && errno == EINTR) {
        if (timeout.count() >= 0) {
            const auto rest = deadline - std::chrono::steady_clock::now();
            left = std::max(std::chrono::milliseconds(0), std::chrono::duration_cast<std::chrono::milliseconds>(rest));
        }
    }
    int wait_status = 0;
    if (status_ < 0 && waitpid(pid_, &wait_status, ended.revents ? 0 : WNOHANG) == pid_) {
        status_ = status_of(wait_status);
    }
    return status_ >= 0;
}

std::string Child::out() const {
    return contents(out_);
}
std::string Child::err() const {
    return contents(err_);
}

Visit::Visit(const std::string& path) {
    if (path.empty()) {
        return;
    }
    home_ = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    const int there = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (home_ < 0 || there < 0 || setns(there, CLONE_NEWNET) != 0) {
        fail("enter " + path);
    }
    close(there);
}

Visit::~Visit() {
    if (home_ >= 0 && setns(home_, CLONE_NEWNET) != 0) {
        std::terminate();  // all that follows would be in the wrong place
    }
    close(home_);
}

World World::enter() {
    static std::atomic<bool> entered = false;
    if (entered.exchange(true)) {
        throw std::runtime_error("World::enter: this program has a world already");
    }
    make_private_mounts();
    World world;
    name_namespace(world.node());
    world.add_namespace("world");
    write_file("/proc/sys/net/ipv4/ip_forward", "0");  // a new namespace may inherit the machine's setting
    must_run({"ip", "-batch", "-"}, {.stdin_text = node_commands});
    must_run({"ip", "-batch", "-"}, {.stdin_text = world_commands, .netns = world.world()});
    return world;
}

std::string World::add_namespace(const std::string& name) {
    const std::string made = path(name);
    const Visit visit(node());
    if (unshare(CLONE_NEWNET) != 0) {
        fail("unshare the network namespace");
    }
    name_namespace(made);
    return made;
}

void World::remove_namespace(const std::string& name) {
    if (umount2(path(name).c_str(), MNT_DETACH) != 0 || unlink(path(name).c_str()) != 0) {
        fail("remove the network namespace " + path(name));
    }
}

}  // namespace causeway::test
