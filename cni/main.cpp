// SPDX-License-Identifier: Apache-2.0
// The CNI plugin's process: environment and stdin in, JSON on stdout and an exit status out.
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>

#include "cni/plugin.hpp"

namespace {

std::string read_all(int fd) {
    std::string text;
    std::array<char, 4096> buffer{};
    for (;;) {
        const auto got = read(fd, buffer.data(), buffer.size());
        if (got > 0) {
            text.append(buffer.data(), static_cast<std::size_t>(got));
        } else if (got == 0 || errno != EINTR) {
            return text;
        }
    }
}

bool write_all(int fd, std::string_view text) {
    while (!text.empty()) {
        const auto put = write(fd, text.data(), text.size());
        if (put > 0) {
            text.remove_prefix(static_cast<std::size_t>(put));
        } else if (errno != EINTR) {
            return false;
        }
    }
    return true;
}

std::optional<std::string> variable(const std::string& name) {
    const char* value = std::getenv(name.c_str());
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

// What undoing needs when memory has run out; never touched before, so it costs an address range.
constexpr std::size_t reserve_size = 1 << 18;
std::unique_ptr<char[]> reserve;

void release_reserve() {
    reserve.reset();
    std::set_new_handler(nullptr);
    throw std::bad_alloc();
}

}  // namespace

int main() {
    reserve.reset(new (std::nothrow) char[reserve_size]);
    std::set_new_handler(release_reserve);
    const bool asked = std::getenv("CNI_COMMAND") != nullptr;  // else a person started it: don't wait for input
    const auto answer = causeway::cni::answer(variable, asked ? read_all(STDIN_FILENO) : "");
    const bool answered = write_all(STDOUT_FILENO, answer.output);
    std::signal(SIGPIPE, SIG_IGN);  // whoever doesn't read the remarks has its answer
    write_all(STDERR_FILENO, answer.remarks);
    return answered ? answer.exit_status : 1;
}
