// SPDX-License-Identifier: Apache-2.0
// A function that runs in a process of its own, pinned to a CPU.
#pragma once

#include <sys/types.h>

#include <functional>

#include "bench/load.hpp"

namespace causeway::bench {

// The child is killed and reaped at the end of scope, and dies with the thread that made it.
class Worker {
public:
    Worker(int cpu, const std::function<Sample()>& function);
    ~Worker();
    Worker(const Worker&) = delete;
    Worker& operator=(const Worker&) = delete;

    // What the function returned; throws what it threw, or that it took too long. Call it once.
    Sample result(Duration timeout);

private:
    pid_t pid_;
    int results_;  // reading end of a pipe
};

}  // namespace causeway::bench
