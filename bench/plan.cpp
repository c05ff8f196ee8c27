// SPDX-License-Identifier: Apache-2.0
#include "bench/plan.hpp"

#include <map>

#include "bench/figure.hpp"

namespace causeway::bench {
namespace {

// The sizes up to `largest` of each column.
std::vector<Filled> filled(const std::vector<int>& sizes, const std::vector<Filled>& largest) {
    std::vector<Filled> result;
    for (const Filled& one : largest) {
        for (const int size : sizes) {
            if (size <= one.size) {
                result.push_back({one.column, size});
            }
        }
    }
    return result;
}

}  // namespace

std::vector<std::vector<Filled>> by_size(const std::vector<Filled>& nodes) {
    std::map<int, std::vector<Filled>> sizes;
    for (const Filled& node : nodes) {
        sizes[node.size].push_back(node);
    }
    std::vector<std::vector<Filled>> result;
    for (const auto& [size, those] : sizes) {
        result.push_back(those);
    }
    return result;
}

// Setting up costs what it measures: a bridge with 1,000 sandboxes takes a minute or two, causeway's some seconds.
Plan plan_of(Extent extent) {
    if (extent == Extent::quick) {
        return {.extent = "quick",
                .rounds = 3,
                .time = Duration(300),
                .others = false,
                .time_of_others = Duration(1000),
                .adds = 3,
                .adding = filled(add_sizes, {{"bridge", 60}, {"ptp", 60}, {"causeway", 500}}),
                .beside = filled(beside_sizes, {{"causeway", 1000}}),
                .flowing = {{"causeway", 1'000}, {"causeway", 100'000}},
                .absent = {"tcx", "no-peer", "limited-bridge", "limited"}};
    }
    if (extent == Extent::usual) {
        return {.extent = "usual",
                .rounds = 5,
                .time = Duration(500),
                .others = false,
                .time_of_others = Duration(1000),
                .adds = 10,
                .adding = filled(add_sizes, {{"bridge", 100},
                                             {"ptp", 100},
                                             {"causeway", 500},
                                             {"bridge6", 60},
                                             {"causeway6", 60},
                                             {"causeway46", 60}}),
                .beside = filled(beside_sizes, {{"causeway", 1000}, {"causeway6", 1000}}),
                .flowing = filled(flow_sizes, {{"bridge", 10'000}, {"causeway", 100'000}})};
    }
    return {.extent = "full",
            .rounds = 5,
            .time = Duration(1000),
            .others = true,
            .time_of_others = Duration(2000),
            .adds = 10,
            .adding = filled(add_sizes, {{"bridge", 1000},
                                         {"ptp", 1000},
                                         {"causeway", 2000},
                                         {"bridge6", 60},
                                         {"causeway6", 1000},
                                         {"causeway46", 1000}}),
            .beside = filled(beside_sizes, {{"bridge", 1000}, {"causeway", 1000}, {"causeway6", 1000}}),
            .flowing = filled(flow_sizes, {{"bridge", 100'000}, {"causeway", 500'000}, {"causeway6", 100'000}})};
}

}  // namespace causeway::bench
