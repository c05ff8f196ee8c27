// SPDX-License-Identifier: Apache-2.0
// A lane of the race: one mode, set up once in a process and a world of its own, that measures when it is told to.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <utility>

#include "bench/results.hpp"

namespace causeway::bench {

class Lane {
public:
    using Measure = std::function<Measurements(const std::string& step)>;

    // What setting up comes to: what answers the steps, and what was measured on the way.
    struct Ready {
        Measure measure;
        Measurements measured{};
    };

    // Forks; `set_up` enters a world in the child. Throws what it throws.
    static Lane start(std::string column, const std::function<Ready()>& set_up);

    Lane(Lane&& other) noexcept;
    Lane& operator=(Lane&&) = delete;
    ~Lane();  // ends the child, and so its world

    // Where its results belong.
    const std::string& column() const { return column_; }

    // On the way, by set_up.
    const Measurements& measured() const { return measured_; }

    // Throws what the measurement throws; the lane can go on.
    Measurements measure(const std::string& step);

private:
    Lane(std::string column, pid_t pid, int socket) : column_(std::move(column)), pid_(pid), socket_(socket) {}
    std::string receive();

    std::string column_;
    pid_t pid_;
    int socket_;
    Measurements measured_{};
};

}  // namespace causeway::bench
