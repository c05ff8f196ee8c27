// SPDX-License-Identifier: Apache-2.0
// A race that was never run: what a test of the report says was measured.
#pragma once

#include <string>
#include <vector>

#include "bench/results.hpp"

namespace causeway::bench {

// One value a round.
inline void set(Results& results, const std::string& figure, const std::string& column,
                const std::vector<double>& values, long failed = 0) {
    int round = 0;
    for (const double value : values) {
        results.add(figure, column, ++round, {.samples = {value}, .failed = failed});
    }
}

inline Record record_of_three() {
    Record record;
    record.conditions = {.date = "2001-02-03 04:05 UTC",
                         .machine = "2 CPUs, some processor",
                         .kernel = "Linux 6.1",
                         .extent = "quick",
                         .rounds = 3,
                         .milliseconds = 300,
                         .adds = 3,
                         .setting = {{"iptables", "v1 <legacy>"}}};
    record.columns = {{"wire", "one veth pair", "IPv4"},
                      {"bridge", "reference plugin bridge", "IPv4"},
                      {"causeway", "causeway", "IPv4", {"wire", "bridge"}, true}};
    return record;
}

// And three more: by IPv6, and a variant.
inline Record record_of_six() {
    Record record = record_of_three();
    record.columns.push_back({"wire6", "one veth pair, IPv6", "IPv6"});
    record.columns.push_back({"causeway6", "causeway, IPv6", "IPv6", {"wire6"}, true});
    record.columns.push_back({"big-tcp", "causeway, BIG TCP", "Variants", {"causeway"}, true});
    return record;
}

}  // namespace causeway::bench
