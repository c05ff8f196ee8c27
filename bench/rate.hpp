// SPDX-License-Identifier: Apache-2.0
// How fast something happens, and how busy CPUs are with it, once it is going.
#pragma once

#include <unistd.h>

#include <chrono>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>

#include "bench/socket.hpp"

namespace causeway::bench {

// Seconds that a CPU has been idle since it started, in steps of 10 ms.
inline double idle_seconds(int cpu) {
    std::ifstream file("/proc/stat");
    const std::string wanted = "cpu" + std::to_string(cpu) + " ";
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with(wanted)) {
            std::istringstream fields(line.substr(wanted.size()));
            double user = 0, nice = 0, system = 0, idle = 0, io = 0, interrupt = 0, soft_interrupt = 0, stolen = 0;
            fields >> user >> nice >> system >> idle >> io >> interrupt >> soft_interrupt >> stolen;
            return (idle + io + stolen) / static_cast<double>(sysconf(_SC_CLK_TCK));
        }
    }
    throw std::runtime_error("/proc/stat has no line " + wanted);
}

struct Rate {
    double count = 0;
    double seconds = 0;
    double busy_seconds = 0;  // of both CPUs

    double per_second() const { return count / seconds; }
};

// Calls `step` until the time is up and adds what it returns; the first tenth of the time counts for nothing. At least
// one call counts, even where one before it took all of the time.
template <typename Step>
Rate rate(Cpus cpus, Duration time, Step step) {
    const auto idle = [&] { return idle_seconds(cpus.client) + idle_seconds(cpus.server); };
    const auto begin = Clock::now(), counted_from = begin + time / 10, deadline = begin + time;
    for (auto now = begin; now < counted_from; now = Clock::now()) {
        step();
    }
    const double idle_before = idle();
    const auto first = Clock::now();
    Rate result;
    auto last = first;
    do {
        result.count += step();
        last = Clock::now();
    } while (last < deadline);
    result.seconds = std::chrono::duration<double>(last - first).count();
    result.busy_seconds = 2 * result.seconds - (idle() - idle_before);
    return result;
}

}  // namespace causeway::bench
