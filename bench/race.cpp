// SPDX-License-Identifier: Apache-2.0
#include "bench/race.hpp"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <functional>
#include <iostream>
#include <iterator>
#include <stdexcept>
#include <utility>

#include "bench/crowd.hpp"
#include "bench/figure.hpp"
#include "bench/lane.hpp"
#include "bench/mode.hpp"

namespace causeway::bench {
namespace {

void say(const std::string& text) {
    if (isatty(STDERR_FILENO)) {
        std::cerr << "\r\033[K" << text << std::flush;
    }
}

// One CPU for both ends, or one each: the last ones, since devices tend to interrupt the first.
Cpus choose_cpus(bool two) {
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    sched_getaffinity(0, sizeof allowed, &allowed);
    std::vector<int> list;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (CPU_ISSET(static_cast<unsigned>(cpu), &allowed)) {
            list.push_back(cpu);
        }
    }
    if (two && list.size() < 2) {
        throw std::runtime_error("needs two CPUs");
    }
    return {.client = list.back(), .server = two ? *std::prev(list.end(), 2) : list.back()};
}

Plugin plugin_of(const std::string& column, const Plan& plan) {
    return column == "bridge" ? bridge_plugin() : causeway_plugin(plan.plugin);
}

Measurements measure_load(const Network& network, const std::string& figure, Duration time) {
    const Load& load = *std::ranges::find(loads(), figure, &Load::figure);
    const Sample sample = load.generate(network.*load.path, choose_cpus(load.two_cpus), time);
    return {{figure, {.samples = {sample.value}, .failed = sample.failed}}};
}

Measurements measure_crowd(const Crowd& crowd, const CrowdSize& size) {
    const Crowd::Times times = crowd.measure();
    return {{size.add_figure(), {.samples = times.add}}, {size.del_figure(), {.samples = times.del}}};
}

// What a lane's child does with its life.
Lane::Measure set_up_traffic(const std::string& column, const Plan& plan) {
    test::World world = test::World::enter();
    const Network network = column == "wire" ? make_wire(world) : make_network(world, plugin_of(column, plan));
    return [network, time = plan.time](const std::string& step) { return measure_load(network, step, time); };
}

Lane::Measure set_up_crowd(const CrowdSize& size, const Plan& plan) {
    test::World world = test::World::enter();
    const Crowd crowd = Crowd::make(world, plugin_of(size.column, plan), size.size, plan.adds);
    return [crowd, size](const std::string&) { return measure_crowd(crowd, size); };
}

class Race {
public:
    explicit Race(const Plan& plan) : plan_(plan) {}

    void traffic() {
        for (const std::string column : {"wire", "bridge", "causeway"}) {
            enter(column, "traffic", [&] { return set_up_traffic(column, plan_); });
        }
        std::vector<std::string> steps;
        for (const Load& load : loads()) {
            steps.push_back(load.figure);
        }
        run(steps);
    }

    void plugins() {
        for (const CrowdSize& size : crowd_sizes()) {
            const std::string sandboxes = std::to_string(size.size) + " sandboxes";
            enter(size.column, sandboxes, [&] { return set_up_crowd(size, plan_); });
        }
        run({"ADD and DEL"});
    }

    Outcome outcome() { return std::move(outcome_); }

private:
    void enter(const std::string& column, const std::string& what, const std::function<Lane::Measure()>& set_up) {
        say("setting up " + column + ", " + what);
        try {
            lanes_.push_back(Lane::start(column, set_up));
        } catch (const std::exception& error) {
            note(column + ", setting up " + what + ": " + error.what());
        }
    }

    void run(const std::vector<std::string>& steps) {
        for (int round = 1; round <= plan_.rounds; ++round) {
            for (const std::string& step : steps) {
                say("round " + std::to_string(round) + " of " + std::to_string(plan_.rounds) + ": " + step);
                for (Lane& lane : lanes_) {
                    measure(lane, step);
                }
            }
        }
        say("");
        lanes_.clear();
    }

    void measure(Lane& lane, const std::string& step) {
        try {
            for (auto& [figure, measurement] : lane.measure(step)) {
                outcome_.results[figure][lane.column()].push_back(std::move(measurement));
            }
        } catch (const std::exception& error) {
            note(lane.column() + ", " + step + ": " + error.what());
        }
    }

    void note(const std::string& error) {
        if (std::ranges::find(outcome_.errors, error) == outcome_.errors.end()) {
            outcome_.errors.push_back(error);
        }
    }

    const Plan& plan_;
    std::vector<Lane> lanes_;
    Outcome outcome_;
};

}  // namespace

Outcome race(const Plan& plan) {
    Race race(plan);
    race.traffic();
    race.plugins();
    return race.outcome();
}

}  // namespace causeway::bench
