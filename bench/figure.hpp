// SPDX-License-Identifier: Apache-2.0
// What is measured, and what it ought to be.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/load.hpp"
#include "bench/mode.hpp"

namespace causeway::bench {

// What causeway's value ought to be, as a multiple of another; none_failed looks at its failed attempts instead.
struct Bar {
    enum Sense : std::uint8_t { at_most, at_least, none_failed } sense;
    double limit = 0;
    std::string of_column{}, of_figure{};  // the value that is 1
    std::string text;                      // for people
};

struct Figure {
    std::string key, text, unit;
    int digits;  // after the point
    std::vector<Bar> bars{};
};

// All, in the order of the report.
const std::vector<Figure>& figures();

// How a figure of traffic is measured.
struct Load {
    std::string figure;
    Sample (*generate)(const Path&, Cpus, Duration);
    Path Network::* path;
    bool two_cpus;  // or both ends on one
};
const std::vector<Load>& loads();

// How many sandboxes there are when an ADD and a DEL are timed, and by whom.
struct CrowdSize {
    std::string column;
    int size;

    std::string add_figure() const { return "add_" + std::to_string(size); }
    std::string del_figure() const { return "del_" + std::to_string(size); }
};
const std::vector<CrowdSize>& crowd_sizes();

}  // namespace causeway::bench
