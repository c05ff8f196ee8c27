// SPDX-License-Identifier: Apache-2.0
// How each figure of traffic is measured.
#pragma once

#include <string>
#include <vector>

#include "bench/load.hpp"
#include "bench/mode.hpp"

namespace causeway::bench {

struct Load {
    std::vector<std::string> figures;  // one for each value of the sample; the first names the step
    Sample (*generate)(const Path&, Cpus, Duration);
    Path Network::* path;
    bool two_cpus;  // or both ends on one
    bool ipv4_only = false;
    bool of_a_limit = false;  // means something only between sandboxes that have a bandwidth
};
const std::vector<Load>& loads();

// The load that measures `figure` first.
const Load& load_of(const std::string& figure);

// One CPU for both ends, or one each: the last ones, since devices tend to interrupt the first.
Cpus choose_cpus(bool two);

// Nothing where the network has no such path, or one that the load can't take.
Measurements measure(const Load& load, const Network& network, Duration time);

}  // namespace causeway::bench
