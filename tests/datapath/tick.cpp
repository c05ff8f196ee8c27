// SPDX-License-Identifier: Apache-2.0
#include "tests/datapath/tick.hpp"

#include <chrono>
#include <ctime>
#include <thread>
#include <utility>

namespace causeway::test {
namespace {

// It goes on with each tick, and by no less.
long coarse_nanoseconds() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return now.tv_nsec;
}

}  // namespace

void Tick::await_after_change() {
    if (!std::exchange(changed_, false)) {
        return;
    }
    for (const long begun = coarse_nanoseconds(); coarse_nanoseconds() == begun;) {
        std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
}

}  // namespace causeway::test
