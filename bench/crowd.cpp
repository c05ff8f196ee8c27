// SPDX-License-Identifier: Apache-2.0
#include "bench/crowd.hpp"

#include <cstddef>
#include <utility>

namespace causeway::bench {

Crowd Crowd::make(test::World& world, Plugin plugin, int size, int spares) {
    for (int i = 0; i < size; ++i) {
        const std::string name = "sandbox" + std::to_string(i);
        plugin.add(name, world.add_namespace(name));
    }
    std::vector<std::string> paths;
    paths.reserve(static_cast<std::size_t>(spares));
    for (int i = 0; i < spares; ++i) {
        paths.push_back(world.add_namespace("spare" + std::to_string(i)));
    }
    return Crowd(std::move(plugin), std::move(paths));
}

Crowd::Times Crowd::measure() const {
    Times times;
    for (const std::string& netns : spares_) {
        const Plugin::Added added = plugin_.add("one-more", netns);
        times.add.push_back(added.milliseconds);
        times.del.push_back(plugin_.del("one-more", netns, added));
    }
    return times;
}

}  // namespace causeway::bench
