// SPDX-License-Identifier: Apache-2.0
#include "bench/crowd.hpp"

#include <sys/prctl.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <stdexcept>
#include <thread>

#include "bench/memory.hpp"

namespace causeway::bench {
namespace {

constexpr int at_once = 8;

std::vector<std::string> add_namespaces(test::World& world, const std::string& name, int count) {
    std::vector<std::string> paths;
    for (int i = 0; i < count; ++i) {
        paths.push_back(world.add_namespace(name + std::to_string(i)));
    }
    return paths;
}

void wait_for_children() {
    while (waitpid(-1, nullptr, __WALL) > 0) {
    }
}

// Calls `call` with 0, 1, ... in a thread each and waits for all; returns the milliseconds that it took, for each.
double milliseconds_in_parallel(const std::function<void(std::size_t)>& call) {
    std::vector<std::exception_ptr> errors(at_once);
    const auto begin = std::chrono::steady_clock::now();
    {
        std::vector<std::jthread> threads;
        for (std::size_t i = 0; i < at_once; ++i) {
            threads.emplace_back([&, i] {
                try {
                    call(i);
                } catch (...) {
                    errors[i] = std::current_exception();
                }
            });
        }
    }
    const std::chrono::duration<double, std::milli> taken = std::chrono::steady_clock::now() - begin;
    if (const auto failed = std::ranges::find_if(errors, [](const auto& error) { return error != nullptr; });
        failed != errors.end()) {
        std::rethrow_exception(*failed);
    }
    return taken.count() / at_once;
}

}  // namespace

Crowd Crowd::make(test::World& world, Plugin plugin, int size, int spares) {
    Crowd crowd(std::move(plugin));
    crowd.fill(add_namespaces(world, "sandbox", size));
    crowd.spares_ = add_namespaces(world, "spare", spares);
    crowd.parallel_ = add_namespaces(world, "parallel", at_once);
    return crowd;
}

void Crowd::fill(const std::vector<std::string>& paths) {
    constexpr std::size_t share = 20;
    double before = kernel_memory();
    for (std::size_t i = 0; i < paths.size(); ++i) {
        plugin_.add("sandbox" + std::to_string(i), paths[i]);
        if (i % share == share - 1) {
            const double now = kernel_memory();
            memory_of_one_.push_back((now - before) / share);
            before = now;
        }
    }
}

Crowd::Times Crowd::measure() const {
    Times times;
    for (const std::string& netns : spares_) {
        const Plugin::Added added = plugin_.add("one-more", netns);
        times.add.push_back(added.milliseconds);
        times.del.push_back(plugin_.del("one-more", netns, added));
    }
    times.del_done.push_back(del_until_done());
    measure_parallel(times);
    return times;
}

// This process becomes the parent of what a plugin leaves behind, and so can wait for it.
double Crowd::del_until_done() const {
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    const Plugin::Added added = plugin_.add("one-more", spares_.front());
    wait_for_children();
    const auto begin = std::chrono::steady_clock::now();
    plugin_.del("one-more", spares_.front(), added);
    wait_for_children();
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
}

void Crowd::measure_parallel(Times& times) const {
    const auto name = [](std::size_t i) { return "parallel-" + std::to_string(i); };
    std::vector<Plugin::Added> added(at_once);
    times.add_parallel.push_back(
        milliseconds_in_parallel([&](std::size_t i) { added[i] = plugin_.add(name(i), parallel_[i]); }));
    times.del_parallel.push_back(
        milliseconds_in_parallel([&](std::size_t i) { plugin_.del(name(i), parallel_[i], added[i]); }));
}

}  // namespace causeway::bench
