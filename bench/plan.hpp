// SPDX-License-Identifier: Apache-2.0
// How much is measured: a look, the usual, or all.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/load.hpp"

namespace causeway::bench {

enum class Extent : std::uint8_t { quick, usual, full };

// A node with so many of something, that a mode fills.
struct Filled {
    std::string column;
    int size;

    bool operator==(const Filled&) const = default;
};

struct Plan {
    std::string extent;
    int rounds;
    Duration time;                      // of each measurement of traffic
    bool others;                        // others' load generators too
    Duration time_of_others;            // of each measurement by them
    int adds;                           // ADDs and DELs of a round
    std::vector<Filled> adding;         // nodes with so many sandboxes, for ADD and DEL
    std::vector<Filled> beside;         // and for traffic; two or more
    std::vector<Filled> flowing;        // nodes with so many flows
    std::vector<std::string> absent{};  // modes that take part only if they are asked for
    std::string plugin{};               // path of causeway's
    std::vector<std::string> only{};    // steps; empty: all
    std::vector<std::string> modes{};   // that take part, whatever they do by default; empty: all
};

Plan plan_of(Extent extent);

// Nodes of one size together, from the smallest size on.
std::vector<std::vector<Filled>> by_size(const std::vector<Filled>& nodes);

}  // namespace causeway::bench
