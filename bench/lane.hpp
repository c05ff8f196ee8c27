// SPDX-License-Identifier: Apache-2.0
// A lane of the race: one mode, set up once in a process and a world of its own, that measures when it is told to.
#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace causeway::bench {

// One measurement: its samples, of which the median counts, and how many attempts came to nothing.
struct Measurement {
    std::vector<double> samples;
    long failed = 0;
};

// By figure: one step of a race may measure several.
using Measurements = std::map<std::string, Measurement>;

class Lane {
public:
    using Measure = std::function<Measurements(const std::string& step)>;

    // Forks; `set_up` enters a world in the child and returns what answers the steps. Throws what it throws.
    static Lane start(std::string column, const std::function<Measure()>& set_up);

    Lane(Lane&& other) noexcept;
    Lane& operator=(Lane&&) = delete;
    ~Lane();  // ends the child, and so its world

    // Where its results belong: wire, bridge or causeway.
    const std::string& column() const { return column_; }

    // Throws what the measurement throws; the lane can go on.
    Measurements measure(const std::string& step);

private:
    Lane(std::string column, pid_t pid, int socket) : column_(std::move(column)), pid_(pid), socket_(socket) {}
    std::string receive();

    std::string column_;
    pid_t pid_;
    int socket_;
};

}  // namespace causeway::bench
