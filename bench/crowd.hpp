// SPDX-License-Identifier: Apache-2.0
// A node full of sandboxes, and what one more costs there.
#pragma once

#include <string>
#include <vector>

#include "bench/cni.hpp"
#include "tests/support/world.hpp"

namespace causeway::bench {

class Crowd {
public:
    // Has `plugin` connect `size` sandboxes, and makes `spares` empty namespaces for more.
    static Crowd make(test::World& world, Plugin plugin, int size, int spares);

    struct Times {
        std::vector<double> add, del;  // milliseconds, one per spare namespace
    };
    // Connects and disconnects each spare in turn, so that there are always `size` others.
    Times measure() const;

private:
    Crowd(Plugin plugin, std::vector<std::string> spares) : plugin_(std::move(plugin)), spares_(std::move(spares)) {}

    Plugin plugin_;
    std::vector<std::string> spares_;  // paths
};

}  // namespace causeway::bench
