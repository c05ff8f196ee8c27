// SPDX-License-Identifier: Apache-2.0
#include "bench/steps.hpp"

#include <algorithm>
#include <utility>

#include "bench/crowd.hpp"
#include "bench/figure.hpp"
#include "bench/flows.hpp"
#include "bench/loads.hpp"
#include "bench/others.hpp"
#include "bench/program.hpp"

namespace causeway::bench {
namespace {

// Fewer, and what else happens on the machine is as large as what is looked for.
constexpr int enough_sandboxes_for_memory = 90, enough_flows_for_memory = 100'000;

int busy_cpu() {
    return choose_cpus(false).client;
}

std::vector<double> kibibytes(std::vector<double> bytes) {
    for (double& value : bytes) {
        value /= 1024;
    }
    return bytes;
}

// The first figure of a load, under another name.
void add_renamed(Measurements& to, const std::string& load, const std::string& name, const Network& network,
                 Duration time) {
    to[name] = measure(load_of(load), network, time).at(load);
}

void add_program_times_under(Measurements& to, const std::string& load, const Network& network, Duration time,
                             const std::vector<std::pair<Program, std::string>>& figures) {
    const auto times = program_times_under([&] { measure(load_of(load), network, time); });
    for (const auto& [program, figure] : figures) {
        if (times.contains(program)) {
            to[figure] = {.samples = {times.at(program)}};
        }
    }
}

Measurements measure_programs(const Network& network, Duration time) {
    Measurements measured;
    for (const auto& [figure, nanoseconds] : program_times(network, busy_cpu())) {
        measured[figure] = {.samples = {nanoseconds}};
    }
    add_program_times_under(measured, "packets", network, time, {{Program::from_sandbox, "load_sandbox"}});
    add_program_times_under(measured, "tcp_world", network, time,
                            {{Program::from_sandbox, "load_world"}, {Program::from_uplink, "load_uplink"}});
    add_program_times_under(measured, "tcp_host", network, time, {{Program::from_host, "load_host"}});
    return measured;
}

Measurements measure_traffic(const std::string& step, const Mode& mode, const Network& network, const Plan& plan) {
    if (!takes_part(mode, step, plan)) {
        return {};
    }
    if (step == programs_step) {
        return mode.has_programs ? measure_programs(network, plan.time) : Measurements();
    }
    const auto names = [](const Load& load) { return load.figures.front(); };
    if (const auto load = std::ranges::find(loads_of_others(), step, names); load != loads_of_others().end()) {
        return measure(*load, network, plan.time_of_others);
    }
    const Load& load = load_of(step);
    return load.of_a_limit && !mode.is_limited ? Measurements() : measure(load, network, plan.time);
}

Measurements measure_adds(const Crowd& crowd, int size) {
    const Crowd::Times times = crowd.measure();
    return {{sized("add", size), {.samples = times.add}},
            {sized("del", size), {.samples = times.del}},
            {sized("del_done", size), {.samples = times.del_done}},
            {sized("add_parallel", size), {.samples = times.add_parallel}},
            {sized("del_parallel", size), {.samples = times.del_parallel}}};
}

// Of a sandbox, on a node of that size; nothing where there are too few.
Measurements memory_of(const Crowd& crowd, int size) {
    if (size < enough_sandboxes_for_memory) {
        return {};
    }
    return {{sized("memory_sandbox", size), {.samples = kibibytes(crowd.memory_of_one())}}};
}

// Where ADDs are measured on nodes that are large enough, there is memory of each round.
bool has_memory_elsewhere(const std::string& column, const Plan& plan) {
    return std::ranges::any_of(plan.adding, [&](const Filled& node) {
        return node.column == column && node.size >= enough_sandboxes_for_memory;
    });
}

Measurements measure_beside(const Network& network, const Mode& mode, int size, Duration time) {
    Measurements measured;
    for (const std::string& load : traffic_beside) {
        add_renamed(measured, load, sized(load + "_beside", size), network, time);
    }
    if (mode.has_programs) {
        const auto times = program_times(network, busy_cpu());
        for (const char* const figure : {"program_sandbox", "program_world"}) {
            measured[sized(std::string(figure) + "_beside", size)] = {.samples = {times.at(figure)}};
        }
    }
    return measured;
}

Measurements measure_flows(const Flows& flows, const Mode& mode, const Network& network, int size, Duration time) {
    flows.fill(busy_cpu());
    Measurements measured;
    for (const std::string& load : traffic_beside_flows) {
        add_renamed(measured, load, sized(load + "_flows", size), network, time);
    }
    if (mode.has_programs) {
        measured[sized("program_world_flows", size)] = {
            .samples = {program_times(network, busy_cpu()).at("program_world")}};
    }
    return measured;
}

}  // namespace

bool takes_part(const Mode& mode, const std::string& step, const Plan& plan) {
    return !plan.modes.empty() || mode.steps.empty() || std::ranges::find(mode.steps, step) != mode.steps.end();
}

Lane::Ready traffic_lane(const Mode& mode, const Plan& plan) {
    test::World world = test::World::enter();
    const Network network = mode.connect_two(world);
    return {.measure = [=](const std::string& step) { return measure_traffic(step, mode, network, plan); }};
}

Lane::Ready adding_lane(const Mode& mode, int size, const Plan& plan) {
    test::World world = test::World::enter();
    const Crowd crowd = Crowd::make(world, *mode.plugin, size, plan.adds);
    return {.measure = [=](const std::string&) { return measure_adds(crowd, size); },
            .measured = memory_of(crowd, size)};
}

// The two between which the traffic goes are of the number.
Lane::Ready beside_lane(const Mode& mode, int size, const Plan& plan) {
    test::World world = test::World::enter();
    const Network network = mode.connect_two(world);
    const Crowd crowd = Crowd::make(world, *mode.plugin, size - 2, 1);
    return {.measure = [=, time = plan.time](const std::string&) { return measure_beside(network, mode, size, time); },
            .measured = has_memory_elsewhere(mode.column.key, plan) ? Measurements() : memory_of(crowd, size)};
}

Lane::Ready flowing_lane(const Mode& usual, int size, const Plan& plan) {
    test::World world = test::World::enter();
    const Mode mode = usual.with_room_for ? usual.with_room_for(size) : usual;
    const Network network = mode.connect_two(world);
    const Flows flows = Flows::make(world, mode, network.sandbox_to_world.address, size);
    Lane::Ready ready = {.measure = [=, time = plan.time](const std::string&) {
        return measure_flows(flows, mode, network, size, time);
    }};
    if (size >= enough_flows_for_memory) {
        ready.measured["memory_flow"] = {.samples = flows.memory_of_one(busy_cpu())};
    }
    return ready;
}

}  // namespace causeway::bench
