// SPDX-License-Identifier: Apache-2.0
// A node full of sandboxes, and what one more, or eight more at once, cost there.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "bench/cni.hpp"
#include "tests/support/world.hpp"

namespace causeway::bench {

class Crowd {
public:
    // Has `plugin` connect `size` sandboxes, and makes `spares` (1 or more) empty namespaces for more.
    static Crowd make(test::World& world, Plugin plugin, int size, int spares);

    struct Times {
        std::vector<double> add{}, del{};                    // milliseconds, one per spare namespace
        std::vector<double> add_parallel{}, del_parallel{};  // milliseconds of eight, divided by eight: one
        std::vector<double> del_done{};                      // until the child that the plugin leaves has ended: one
    };
    // Connects and disconnects each spare in turn, then eight at once; so there are always `size` others.
    Times measure() const;

    // Bytes that the kernel used more after twenty sandboxes were connected than before, for each; of every twenty.
    const std::vector<double>& memory_of_one() const { return memory_of_one_; }

private:
    explicit Crowd(Plugin plugin) : plugin_(std::move(plugin)) {}
    void fill(const std::vector<std::string>& paths);
    void measure_parallel(Times& times) const;
    double del_until_done() const;

    Plugin plugin_;
    std::vector<double> memory_of_one_{};
    std::vector<std::string> spares_{}, parallel_{};  // paths
};

}  // namespace causeway::bench
