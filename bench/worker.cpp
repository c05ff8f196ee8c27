// SPDX-License-Identifier: Apache-2.0
#include "bench/worker.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>

namespace causeway::bench {
namespace {

// What goes through the pipe, in one write: smaller than PIPE_BUF.
struct Message {
    Sample sample{};
    std::array<char, 256> error{};
};

void pin(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<unsigned>(cpu), &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0) {
        throw std::runtime_error("pin to CPU " + std::to_string(cpu) + ": " + std::strerror(errno));
    }
}

Message message_of(int cpu, const std::function<Sample()>& function) {
    Message message;
    try {
        pin(cpu);
        message.sample = function();
    } catch (const std::exception& error) {
        std::strncpy(message.error.data(), error.what(), message.error.size() - 1);
    }
    return message;
}

}  // namespace

Worker::Worker(int cpu, const std::function<Sample()>& function) {
    std::array<int, 2> ends{};
    const pid_t parent = getpid();
    const int piped = pipe2(ends.data(), O_CLOEXEC);
    pid_ = piped == 0 ? fork() : -1;
    if (pid_ < 0) {
        throw std::runtime_error(std::string("start a load generator: ") + std::strerror(errno));
    }
    if (pid_ == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() == parent) {
            const Message message = message_of(cpu, function);
            [[maybe_unused]] const ssize_t length = write(ends[1], &message, sizeof message);
        }
        _exit(0);
    }
    close(ends[1]);
    results_ = ends[0];
}

Worker::~Worker() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    close(results_);
}

Sample Worker::result(Duration timeout) {
    pollfd readable = {.fd = results_, .events = POLLIN, .revents = 0};
    Message message;
    if (poll(&readable, 1, static_cast<int>(timeout.count())) != 1) {
        throw std::runtime_error("a load generator did not end in time");
    }
    if (read(results_, &message, sizeof message) != sizeof message) {
        throw std::runtime_error("a load generator died");
    }
    if (message.error[0]) {
        throw std::runtime_error(message.error.data());
    }
    return message.sample;
}

}  // namespace causeway::bench
