// SPDX-License-Identifier: Apache-2.0
// A node whose translation table is filled with flows from its sandboxes.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "bench/load.hpp"
#include "bench/mode.hpp"

namespace causeway::bench {

class Flows {
public:
    // Has `mode`'s plugin connect the sandboxes from which they will come.
    // They go to addresses of `service`'s family.
    static Flows make(test::World& world, const Mode& mode, const std::string& service, int count);

    // Opens those that there aren't, and keeps the others from ageing: a datagram each to where nobody answers. Throws
    // if the table has fewer afterwards.
    void fill(int cpu) const;

    // The first fill(): bytes that the kernel uses more after some of them than before, for each; of several shares.
    std::vector<double> memory_of_one(int cpu) const;

private:
    int of_one_sandbox() const;
    void fill_from(std::size_t sandbox, int cpu) const;
    void expect_all() const;

    Flows(std::vector<std::string> sandboxes, std::string peers, int count, bool in_causeway)
        : sandboxes_(std::move(sandboxes)), peers_(std::move(peers)), count_(count), in_causeway_(in_causeway) {}

    std::vector<std::string> sandboxes_;  // paths
    std::string peers_;                   // how the addresses begin that they go to
    int count_;
    bool in_causeway_;  // else in the kernel's connection tracking
};

}  // namespace causeway::bench
