// SPDX-License-Identifier: Apache-2.0
#include "bench/figure.hpp"

namespace causeway::bench {

const std::vector<Figure>& figures() {
    static const std::vector<Figure> all = {
        {"tcp_sandbox",
         "sandbox → sandbox, TCP half round trip",
         "µs",
         2,
         {{Bar::at_most, 1.06, "wire", "tcp_sandbox", "≤ 1.06 × wire"}}},
        {"udp_sandbox", "sandbox → sandbox, UDP half round trip", "µs", 2},
        {"tcp_world",
         "sandbox → world, TCP half round trip",
         "µs",
         2,
         {{Bar::at_most, 0.85, "bridge", "tcp_world", "≤ 0.85 × bridge"}}},
        {"tcp_host", "host → sandbox, TCP half round trip", "µs", 2},
        {"connections_sandbox",
         "sandbox → sandbox, connections",
         "/s",
         0,
         {{Bar::at_least, 1.25, "bridge", "connections_sandbox", "≥ 1.25 × bridge"}}},
        {"connections_world",
         "sandbox → world, connections",
         "/s",
         0,
         {{Bar::at_least, 1.2, "bridge", "connections_world", "≥ 1.2 × bridge"},
          {Bar::none_failed, 0, {}, {}, "none failed"}}},
        {"packets", "sandbox → sandbox, 64-byte UDP, 2 CPUs", "kpps", 0},
        {"stream", "sandbox → sandbox, TCP stream, 2 CPUs", "Gbit/s", 1},
        {"add_60", "ADD beside 60 sandboxes", "ms", 2, {{Bar::at_most, 1.0 / 6, "bridge", "add_60", "≤ 1/6 × bridge"}}},
        {"del_60", "DEL beside 60 sandboxes", "ms", 2, {{Bar::at_most, 0.1, "bridge", "del_60", "≤ 1/10 × bridge"}}},
        {"add_10", "ADD beside 10 sandboxes", "ms", 2},
        {"add_500",
         "ADD beside 500 sandboxes",
         "ms",
         2,
         {{Bar::at_most, 1.15, "causeway", "add_10", "≤ 1.15 × beside 10"}}},
    };
    return all;
}

const std::vector<Load>& loads() {
    static const std::vector<Load> all = {
        {"tcp_sandbox", tcp_half_round_trip, &Network::sandbox_to_sandbox, false},
        {"udp_sandbox", udp_half_round_trip, &Network::sandbox_to_sandbox, false},
        {"tcp_world", tcp_half_round_trip, &Network::sandbox_to_world, false},
        {"tcp_host", tcp_half_round_trip, &Network::host_to_sandbox, false},
        {"connections_sandbox", connections, &Network::sandbox_to_sandbox, false},
        {"connections_world", connections, &Network::sandbox_to_world, false},
        {"packets", packets_received, &Network::sandbox_to_sandbox, true},
        {"stream", stream, &Network::sandbox_to_sandbox, true},
    };
    return all;
}

const std::vector<CrowdSize>& crowd_sizes() {
    static const std::vector<CrowdSize> all = {{"bridge", 60}, {"causeway", 60}, {"causeway", 10}, {"causeway", 500}};
    return all;
}

}  // namespace causeway::bench
