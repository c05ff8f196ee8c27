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

#include "bench/figure.hpp"
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

bool has(const Steps& steps, const std::string& step) {
    return std::ranges::find(steps, step) != steps.end();
}

class Race {
public:
    Race(const Plan& plan, Record& record, const std::function<void()>& after_round)
        : plan_(plan), record_(record), after_round_(after_round), modes_(all_modes(plan.plugin)) {
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
        append(steps, others_steps(plan_));
        std::erase_if(steps, [&](const std::string& step) { return !wanted(step); });
        for (const Mode& mode : modes_) {
            if (std::ranges::any_of(steps, [&](const std::string& step) { return takes_part(mode, step, plan_); })) {
                enter(mode, "traffic", [&] { return traffic_lane(mode, plan_); });
            }
        }
        run(steps);
    }

    // One lane for each node that is filled.
    void filled(const std::vector<Filled>& nodes, const std::string& what, Steps steps,
                Lane::Ready (*set_up)(const Mode&, int, const Plan&)) {
        std::erase_if(steps, [&](const std::string& step) { return !wanted(step); });
        if (steps.empty()) {
            return;
        }
        settle();
        for (const Filled& node : nodes) {
            if (const Mode* const mode = find_mode(node.column)) {
                enter(*mode, number(node.size, 0) + " " + what, [&] { return set_up(*mode, node.size, plan_); });
            }
        }
        run(steps);
    }

    // To attach a program, the kernel walks a list of those of all namespaces, so another node would be in each ADD:
    // nodes with programs are there one at a time, anew in each round, so that all still take turns. The others stay.
    void adds() {
        if (!wanted(adds_step)) {
            return;
        }
        settle();
        const std::vector<std::vector<Filled>> phases = by_size(plan_.adding);
        std::vector<std::vector<Lane>> staying;
        for (const std::vector<Filled>& nodes : phases) {
            enter_adding(nodes, false, 1);
            staying.push_back(std::move(lanes_));
            lanes_.clear();
        }
        for (int round = 1; round <= plan_.rounds; ++round) {
            for (std::size_t i = 0; i < phases.size(); ++i) {
                say_round(round, sized(adds_step, phases[i].front().size));
                measure(staying[i], round, adds_step);
                for (const Filled& node : phases[i]) {
                    enter_adding({node}, true, round);
                    if (!lanes_.empty()) {
                        measure(lanes_, round, adds_step);
                        lanes_.clear();
                        settle();
                    }
                }
            }
            after_round_();
        }
        say("");
    }

private:
    bool wanted(const std::string& step) const { return plan_.only.empty() || has(plan_.only, step); }

    // nullptr if it does not take part.
    const Mode* find_mode(const std::string& key) const {
        const auto found = std::ranges::find(modes_, key, [](const Mode& mode) { return mode.column.key; });
        return found == modes_.end() ? nullptr : &*found;
    }

    void enter_adding(const std::vector<Filled>& nodes, bool with_programs, int round) {
        for (const auto& [column, size] : nodes) {
            const Mode* const mode = find_mode(column);
            if (mode && mode->has_programs == with_programs) {
                enter(*mode, number(size, 0) + " sandboxes", [&] { return adding_lane(*mode, size, plan_); }, round);
            }
        }
    }

    void enter(const Mode& mode, const std::string& what, const std::function<Lane::Ready()>& set_up, int round = 1) {
        say("setting up " + mode.column.key + ", " + what);
        try {
            lanes_.push_back(Lane::start(mode.column.key, set_up));
            keep(lanes_.back(), round, lanes_.back().measured());
        } catch (const std::exception& error) {
            note(mode.column.key + ", setting up " + what + ": " + error.what());
        }
    }

    void run(const std::vector<std::string>& steps) {
        for (int round = 1; round <= plan_.rounds; ++round) {
            for (const std::string& step : steps) {
                say_round(round, step);
                measure(lanes_, round, step);
            }
            after_round_();
        }
        say("");
        lanes_.clear();
    }

    void say_round(int round, const std::string& step) const {
        say("round " + std::to_string(round) + " of " + std::to_string(plan_.rounds) + ": " + step);
    }

    void measure(std::vector<Lane>& lanes, int round, const std::string& step) {
        for (Lane& lane : lanes) {
            try {
                keep(lane, round, lane.measure(step));
            } catch (const std::exception& error) {
                note(lane.column() + ", " + step + ": " + error.what());
            }
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
    const std::function<void()>& after_round_;
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

std::vector<std::string> others_steps(const Plan& plan) {
    Steps steps = first_figures(loads_of_others());
    std::erase_if(steps,
                  [&](const std::string& step) { return plan.only.empty() ? !plan.others : !has(plan.only, step); });
    return steps;
}

void race(const Plan& plan, Record& record, const std::function<void()>& after_round) {
    Race race(plan, record, after_round);
    race.traffic();
    race.filled(plan.flowing, "flows", {flows_step}, flowing_lane);
    race.adds();
    race.filled(plan.beside, "sandboxes", {beside_step}, beside_lane);
}

}  // namespace causeway::bench
