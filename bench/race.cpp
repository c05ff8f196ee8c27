// SPDX-License-Identifier: Apache-2.0
#include "bench/race.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <functional>
#include <iostream>
#include <thread>
#include <utility>
#include <vector>

#include "bench/lane.hpp"
#include "bench/loads.hpp"
#include "bench/memory.hpp"
#include "bench/mode.hpp"
#include "bench/number.hpp"
#include "bench/others.hpp"
#include "bench/steps.hpp"

namespace causeway::bench {
namespace {

void say(const std::string& text) {
    if (isatty(STDERR_FILENO)) {
        std::cerr << "\r\033[K" << text << std::flush;
    }
}

using Steps = std::vector<std::string>;

Steps first_figures(const std::vector<Load>& loads) {
    Steps steps;
    for (const Load& load : loads) {
        steps.push_back(load.figures.front());
    }
    return steps;
}

void append(Steps& steps, const Steps& more) {
    steps.insert(steps.end(), more.begin(), more.end());
}

// What lanes that have ended had goes away in the background: it would disturb what comes now, and its memory would be
// missing from what that takes.
void settle() {
    constexpr double little = 1 << 20;
    for (int i = 0; i < 60; ++i) {
        const double before = kernel_memory();
        std::this_thread::sleep_for(std::chrono::milliseconds(500));
        if (before - kernel_memory() < little) {
            return;
        }
    }
}

// Each once.
std::vector<Filled> together(std::vector<Filled> nodes, const std::vector<Filled>& more) {
    for (const Filled& node : more) {
        if (std::ranges::find(nodes, node) == nodes.end()) {
            nodes.push_back(node);
        }
    }
    return nodes;
}

class Race {
public:
    Race(const Plan& plan, Record& record) : plan_(plan), record_(record), modes_(all_modes(plan.plugin)) {
        std::erase_if(modes_, [&](const Mode& mode) {
            const std::vector<std::string>& listed = plan.modes.empty() ? plan.absent : plan.modes;
            return (std::ranges::find(listed, mode.column.key) != listed.end()) == plan.modes.empty();
        });
        for (const Mode& mode : modes_) {
            record_.columns.push_back(mode.column);
        }
    }

    void traffic() {
        std::vector<std::string> steps = first_figures(loads());
        steps.emplace_back(programs_step);
        append(steps, plan_.others || !plan_.only.empty() ? first_figures(loads_of_others()) : Steps());
        std::erase_if(steps, [&](const std::string& step) { return !wanted(step); });
        for (const Mode& mode : modes_) {
            if (!steps.empty()) {
                enter(mode, "traffic", [&] { return traffic_lane(mode, plan_); });
            }
        }
        run(steps);
    }

    // One lane for each node that is filled.
    void filled(const std::vector<Filled>& nodes, const std::string& what, Steps steps,
                Lane::Ready (*set_up)(const Mode&, int, const Plan&)) {
        std::erase_if(steps, [&](const std::string& step) { return !wanted(step); });
        settle();
        for (const Filled& node : steps.empty() ? std::vector<Filled>() : nodes) {
            const auto mode =
                std::ranges::find(modes_, node.column, [](const Mode& candidate) { return candidate.column.key; });
            if (mode != modes_.end()) {
                enter(*mode, number(node.size, 0) + " " + what, [&] { return set_up(*mode, node.size, plan_); });
            }
        }
        run(steps);
    }

private:
    bool wanted(const std::string& step) const {
        return plan_.only.empty() || std::ranges::find(plan_.only, step) != plan_.only.end();
    }

    void enter(const Mode& mode, const std::string& what, const std::function<Lane::Ready()>& set_up) {
        say("setting up " + mode.column.key + ", " + what);
        try {
            lanes_.push_back(Lane::start(mode.column.key, set_up));
            keep(lanes_.back(), 1, lanes_.back().measured());
        } catch (const std::exception& error) {
            note(mode.column.key + ", setting up " + what + ": " + error.what());
        }
    }

    void run(const std::vector<std::string>& steps) {
        for (int round = 1; round <= plan_.rounds; ++round) {
            for (const std::string& step : steps) {
                say("round " + std::to_string(round) + " of " + std::to_string(plan_.rounds) + ": " + step);
                for (Lane& lane : lanes_) {
                    measure(lane, round, step);
                }
            }
        }
        say("");
        lanes_.clear();
    }

    void measure(Lane& lane, int round, const std::string& step) {
        try {
            keep(lane, round, lane.measure(step));
        } catch (const std::exception& error) {
            note(lane.column() + ", " + step + ": " + error.what());
        }
    }

    void keep(const Lane& lane, int round, const Measurements& measured) {
        for (const auto& [figure, measurement] : measured) {
            record_.results.add(figure, lane.column(), round, measurement);
        }
    }

    void note(const std::string& error) {
        if (std::ranges::find(record_.errors, error) == record_.errors.end()) {
            record_.errors.push_back(error);
        }
    }

    const Plan& plan_;
    Record& record_;
    std::vector<Mode> modes_;
    std::vector<Lane> lanes_;
};

}  // namespace

std::vector<std::string> all_steps() {
    Steps steps = first_figures(loads());
    append(steps, {programs_step, flows_step, beside_step, adds_step});
    append(steps, first_figures(loads_of_others()));
    return steps;
}

std::vector<std::string> mode_names() {
    std::vector<std::string> names;
    for (const Mode& mode : all_modes("causeway")) {
        names.push_back(mode.column.key);
    }
    return names;
}

void race(const Plan& plan, Record& record) {
    Race race(plan, record);
    race.traffic();
    race.filled(plan.flowing, "flows", {flows_step}, flowing_lane);
    race.filled(together(plan.beside, plan.adding), "sandboxes", {beside_step, adds_step}, crowded_lane);
}

}  // namespace causeway::bench
