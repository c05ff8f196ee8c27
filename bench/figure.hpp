// SPDX-License-Identifier: Apache-2.0
// What is measured: every figure by its name, and in what order and company a report shows them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace causeway::bench {

struct Figure {
    enum Better : std::uint8_t { lower, higher };

    std::string key, text, unit;
    int digits;  // after the point
    Better better = lower;
};

// The same figure at several sizes: a line a mode.
struct Line {
    std::string text, unit, axis;
    struct Point {
        int size;
        std::string figure;
    };
    std::vector<Point> points;
};

struct Group {
    std::string text, note;
    std::vector<Figure> figures;
    std::vector<Line> lines{};
};

// All, in the order of the report.
const std::vector<Group>& groups();

// nullptr if there is none of that name.
const Figure* find_figure(const std::string& key);

// At how many sandboxes a node's ADDs are timed; beside how many traffic is; at how many flows.
inline const std::vector<int> add_sizes = {1, 10, 60, 100, 500, 1000, 2000};
inline const std::vector<int> memory_sizes = {100, 500, 1000, 2000};  // of those, and beside
inline const std::vector<int> beside_sizes = {2, 1000};
inline const std::vector<int> flow_sizes = {1'000, 10'000, 100'000, 500'000};

// The traffic that is also measured beside others, by its figure.
inline const std::vector<std::string> traffic_beside = {
    "tcp_sandbox", "udp_sandbox", "connections_sandbox", "packets",      "stream",
    "tcp_world",   "tcp_host",    "connections_world",   "packets_world"};
inline const std::vector<std::string> traffic_beside_flows = {"tcp_world", "connections_world", "packets_world",
                                                              "packets_spread"};

// "add", 60: "add_60".
std::string sized(const std::string& figure, int size);

}  // namespace causeway::bench
