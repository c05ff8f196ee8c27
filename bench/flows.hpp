// SPDX-License-Identifier: Apache-2.0
// A node whose translation table is filled with flows from its sandboxes.
#pragma once

#include <string>
#include <vector>

#include "bench/load.hpp"
#include "bench/mode.hpp"

namespace causeway::bench {

class Flows {
public:
    // Has `mode`'s plugin connect the sandboxes from which they will come.
    static Flows make(test::World& world, const Mode& mode, int count);

    // Opens those that there aren't, and keeps the others from ageing: a datagram each to where nobody answers. Throws
    // if the table has fewer afterwards.
    void fill(int cpu) const;

    // Bytes that the kernel uses more after a first fill() than before, for each.
    double memory_of_one(int cpu) const;

private:
    Flows(std::vector<std::string> sandboxes, int count, bool in_causeway)
        : sandboxes_(std::move(sandboxes)), count_(count), in_causeway_(in_causeway) {}

    std::vector<std::string> sandboxes_;  // paths
    int count_;
    bool in_causeway_;  // else in the kernel's connection tracking
};

}  // namespace causeway::bench
