// SPDX-License-Identifier: Apache-2.0
#include "tests/system/fault.hpp"

#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <map>
#include <memory>
#include <ostream>
#include <stdexcept>

#include "tests/support/world.hpp"

namespace causeway::test {
namespace {

class Fd {
public:
    explicit Fd(int fd) : fd_(fd) {
        if (fd < 0) {
            fail("open what a faulted program needs");
        }
    }
    Fd(const Fd&) = delete;
    Fd& operator=(const Fd&) = delete;
    ~Fd() { close(fd_); }
    int get() const { return fd_; }

private:
    int fd_;
};

std::string text_in(const Fd& file) {
    struct stat status{};
    fstat(file.get(), &status);
    std::string text(static_cast<std::size_t>(status.st_size), '\0');
    if (pread(file.get(), text.data(), text.size(), 0) != status.st_size) {
        fail("read a program's output");
    }
    return text;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
    std::vector<char*> result;
    for (auto& text : texts) {
        result.push_back(text.data());
    }
    result.push_back(nullptr);
    return result;
}

std::vector<sock_filter> filter_for(const std::vector<int>& calls) {
    const sock_filter ask = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
    if (calls.empty()) {
        return {ask};
    }
    std::vector<sock_filter> filter{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
    auto asked = calls;
    asked.push_back(SYS_execve);  // so that nothing runs before there is a listener
    asked.push_back(SYS_read);    // of stdin: where counting begins
    for (const int call : asked) {
        filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(call), 0, 1));
        filter.push_back(ask);
    }
    filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    return filter;
}

// What becomes the faulted program: between clone and exec, in the parent's own memory, so that none may be allocated.
struct Becoming {
    char** argv;
    char** variables;
    std::array<int, 3> streams;
    int say;  // where the listener will be, before the first call is reported
    sock_fprog filter;
};

int become(void* argument) {
    const auto& becoming = *static_cast<const Becoming*>(argument);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setpgid(0, 0);
    for (int stream = 0; stream < 3; ++stream) {
        dup2(becoming.streams.at(static_cast<std::size_t>(stream)), stream);
    }
    const int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(next);
    if (write(becoming.say, &next, sizeof(next)) == sizeof(next) &&
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &becoming.filter) == next) {
        execve(becoming.argv[0], becoming.argv, becoming.variables);
    }
    _exit(127);
}

int listener_of(int pidfd, int hear) {
    int number = -1;
    if (read(hear, &number, sizeof(number)) != sizeof(number)) {
        fail("hear of a faulted program");
    }
    for (;;) {  // until the child has called seccomp(2): microseconds
        const auto fd = static_cast<int>(syscall(SYS_pidfd_getfd, pidfd, number, 0));
        if (fd >= 0 || errno != EBADF) {
            return fd;
        }
    }
}

// Answers what the kernel asks about the calls of one program, until nothing of it is left.
class Supervisor {
public:
    Supervisor(const Fault& fault, pid_t pid, int listener, Faulted& result)
        : fault_(fault), pid_(pid), listener_(listener), result_(result) {}

    void serve(std::chrono::milliseconds time) {
        const auto deadline = std::chrono::steady_clock::now() + time;
        for (;;) {
            pollfd waiting{.fd = listener_, .events = POLLIN, .revents = 0};
            const auto left =
                std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
            if (left.count() <= 0 || poll(&waiting, 1, static_cast<int>(left.count())) == 0) {
                ::kill(-pid_, SIGKILL);
                throw std::runtime_error("a faulted program did not end; hit: " + result_.call);
            }
            if ((waiting.revents & POLLIN) != 0) {
                serve_one();
            } else if ((waiting.revents & POLLHUP) != 0) {
                return;
            }
        }
    }

private:
    void serve_one() {
        alignas(seccomp_notif) std::array<char, 1024> room{};  // more than this kernel's or the next one's struct
        auto& request = *reinterpret_cast<seccomp_notif*>(room.data());
        if (ioctl(listener_, SECCOMP_IOCTL_NOTIF_RECV, &request) != 0) {
            return;  // whoever called has died meanwhile
        }
        alignas(seccomp_notif_resp) std::array<char, 1024> answer_room{};
        auto& answer = *reinterpret_cast<seccomp_notif_resp*>(answer_room.data());
        answer.id = request.id;
        answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
        const auto caller = static_cast<pid_t>(request.pid);
        if (is_hit(request)) {
            result_.number = request.data.nr;
            result_.argument = request.data.args[0];
            result_.call = std::to_string(result_.number) + "(" + std::to_string(result_.argument) + ", ...)";
            if (fault_.kind == Fault::Kind::kill) {
                ::kill(is_of_program(caller) ? pid_ : caller, SIGKILL);
                return;
            }
            if (fault_.kind == Fault::Kind::kill_group) {
                ::kill(-pid_, SIGKILL);
                return;
            }
            answer.flags = 0;
            answer.error = -fault_.error;
        }
        ioctl(listener_, SECCOMP_IOCTL_NOTIF_SEND, &answer);
    }

    bool is_hit(const seccomp_notif& request) {
        const bool own = is_of_program(static_cast<pid_t>(request.pid));
        counting_ = counting_ || (own && request.data.nr == SYS_read && request.data.args[0] == STDIN_FILENO);
        const auto others = own ? Fault::Callers::children : Fault::Callers::program;
        const bool counts =
            counting_ && fault_.callers != others && counts_at_all(request.data) && !is_one_more_of_alike(request.data);
        if (counts) {
            result_.counted++;
            result_.of_each[request.data.nr]++;
        }
        if (counts && fault_.before) {
            fault_.before();
        }
        return counts && fault_.kind != Fault::Kind::none && result_.counted >= fault_.nth &&
               result_.counted < fault_.nth + fault_.times;
    }

    bool counts_at_all(const seccomp_data& call) const {
        const auto is_listed = [](const auto& list, auto one) {
            return list.empty() || std::ranges::find(list, one) != list.end();
        };
        return is_listed(fault_.calls, call.nr) && (call.nr != SYS_bpf || is_listed(fault_.bpf_commands, call.args[0]));
    }

    bool is_one_more_of_alike(const seccomp_data& call) {
        constexpr std::array of_bpf{BPF_MAP_CREATE, BPF_OBJ_PIN, BPF_OBJ_GET};
        constexpr std::array others{SYS_mkdir, SYS_statfs, SYS_unlinkat};  // the first two as libbpf makes each pin
        const bool alike = call.nr == SYS_bpf ? std::ranges::find(of_bpf, call.args[0]) != of_bpf.end()
                                              : std::ranges::find(others, call.nr) != others.end();
        if (!fault_.few_of_alike || !alike) {
            row_.clear();
            return false;
        }
        return ++row_[{call.nr, call.nr == SYS_bpf ? call.args[0] : 0}] > 2;
    }

    // The kernel tells which thread asks.
    bool is_of_program(pid_t thread) const {
        return thread == pid_ ||
               access(("/proc/" + std::to_string(pid_) + "/task/" + std::to_string(thread)).c_str(), F_OK) == 0;
    }

    const Fault& fault_;
    pid_t pid_;
    int listener_;
    Faulted& result_;
    bool counting_ = false;
    std::map<std::pair<int, std::uint64_t>, int> row_{};  // how many of each call, since the last that is not alike
};

}  // namespace

void PrintTo(const Group& group, std::ostream* stream) {
    *stream << group.name;
}

Faulted run_with(const Fault& fault, const std::vector<std::string>& argv, const RunOptions& options) {
    const Fd in(memfd_create("stdin", MFD_CLOEXEC)), out(memfd_create("stdout", MFD_CLOEXEC)),
        err(memfd_create("stderr", MFD_CLOEXEC));
    if (pwrite(in.get(), options.stdin_text.data(), options.stdin_text.size(), 0) !=
        static_cast<ssize_t>(options.stdin_text.size())) {
        fail("write a program's stdin");
    }
    auto texts = argv;
    std::vector<std::string> environment;
    for (const auto& [name, value] : options.environment) {
        environment.push_back(name + "=" + value);
    }
    const auto arguments = pointers(texts), variables = pointers(environment);
    auto filter = filter_for(fault.calls);
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) {
        fail("make a pipe");
    }
    const Fd hear(ends[0]), say(ends[1]);

    Faulted result;
    Becoming becoming{.argv = const_cast<char**>(arguments.data()),
                      .variables = const_cast<char**>(variables.data()),
                      .streams = {in.get(), out.get(), err.get()},
                      .say = say.get(),
                      .filter = {.len = static_cast<unsigned short>(filter.size()), .filter = filter.data()}};
    // As with vfork, but this program goes on meanwhile: the execve is a call to be answered, too.
    constexpr std::size_t stack_size = 64 << 10;
    const auto stack = std::make_unique_for_overwrite<char[]>(stack_size);
    const pid_t pid = clone(become, stack.get() + stack_size, CLONE_VM | SIGCHLD, &becoming);
    if (pid < 0) {
        fail("clone");
    }
    const Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
    const Fd listener(listener_of(pidfd.get(), hear.get()));
    Supervisor(fault, pid, listener.get(), result).serve(options.timeout);
    int status = 0;
    if (waitpid(pid, &status, 0) != pid) {
        fail("wait for a faulted program");
    }
    result.output = {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), text_in(out), text_in(err)};
    return result;
}

}  // namespace causeway::test
