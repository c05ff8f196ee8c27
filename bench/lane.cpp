// SPDX-License-Identifier: Apache-2.0
// Question and answer are one datagram each: the step's name, and JSON.
#include "bench/lane.hpp"

#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <exception>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

namespace causeway::bench {
namespace {

using nlohmann::json;

constexpr int patience = 1'800'000;  // ms, for one step; setting up 1,000 sandboxes with a bridge takes the longest
constexpr std::size_t longest_datagram = 64 << 10;

json dump(const Measurements& measurements) {
    json result = json::object();
    for (const auto& [figure, measurement] : measurements) {
        result[figure] = bench::to_json(measurement);
    }
    return result;
}

Measurements parse(const json& answer) {
    Measurements result;
    for (const auto& [figure, measurement] : answer.items()) {
        result[figure] = measurement_from(measurement);
    }
    return result;
}

void tell(int socket, const json& answer) {
    const std::string text = answer.dump(-1, ' ', false, json::error_handler_t::replace);
    if (send(socket, text.data(), text.size(), MSG_NOSIGNAL) < 0) {
        _exit(1);
    }
}

// Calls `answer` and tells its result, or the error in its place; returns whether there was none.
bool tell_result(int socket, const std::function<json()>& answer) {
    try {
        tell(socket, answer());
        return true;
    } catch (const std::exception& error) {
        tell(socket, {{"error", std::string(error.what()).substr(0, longest_datagram / 8)}});
        return false;
    }
}

void answer_steps(int socket, const std::function<Lane::Ready()>& set_up) {
    Lane::Measure measure;
    const bool ready = tell_result(socket, [&] {
        Lane::Ready made = set_up();
        measure = std::move(made.measure);
        return dump(made.measured);
    });
    std::array<char, 256> step{};
    ssize_t length = 0;
    while (ready && (length = recv(socket, step.data(), step.size(), 0)) > 0) {
        const std::string name(step.data(), static_cast<std::size_t>(length));
        tell_result(socket, [&] { return dump(measure(name)); });
    }
}

}  // namespace

Lane Lane::start(std::string column, const std::function<Ready()>& set_up) {
    std::array<int, 2> ends{};
    const pid_t parent = getpid();
    const int paired = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data());
    const pid_t pid = paired == 0 ? fork() : -1;
    if (pid < 0) {
        throw std::runtime_error("start " + column + ": " + std::strerror(errno));
    }
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(ends[0]);
        if (getppid() == parent) {
            answer_steps(ends[1], set_up);
        }
        _exit(0);
    }
    close(ends[1]);
    Lane lane(std::move(column), pid, ends[0]);
    lane.measured_ = parse(json::parse(lane.receive()));
    return lane;
}

Lane::Lane(Lane&& other) noexcept
    : column_(std::move(other.column_)),
      pid_(std::exchange(other.pid_, -1)),
      socket_(std::exchange(other.socket_, -1)),
      measured_(std::move(other.measured_)) {}

Lane::~Lane() {
    if (pid_ > 0) {
        kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
        close(socket_);
    }
}

Measurements Lane::measure(const std::string& step) {
    if (send(socket_, step.data(), step.size(), MSG_NOSIGNAL) < 0) {
        throw std::runtime_error("it is gone");
    }
    return parse(json::parse(receive()));
}

std::string Lane::receive() {
    pollfd readable = {.fd = socket_, .events = POLLIN, .revents = 0};
    if (poll(&readable, 1, patience) != 1) {
        kill(pid_, SIGKILL);  // what it would say later answers another question
        throw std::runtime_error("no answer in time");
    }
    std::string text(longest_datagram, '\0');
    const ssize_t length = recv(socket_, text.data(), text.size(), 0);
    if (length <= 0) {
        throw std::runtime_error("it died");
    }
    text.resize(static_cast<std::size_t>(length));
    const json answer = json::parse(text);
    if (answer.contains("error")) {
        throw std::runtime_error(answer.at("error").get<std::string>());
    }
    return text;
}

}  // namespace causeway::bench
