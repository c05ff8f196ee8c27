// SPDX-License-Identifier: Apache-2.0
// The reference plugins, as they are commonly configured: with host-local, iptables, and portmap for published ports.
#include <utility>

#include "bench/mode.hpp"

namespace causeway::bench {
namespace {

constexpr const char* directory = "/usr/lib/cni";

// `plugin`: what is the plugin's own in the configuration; `more`: plugins behind it and portmap.
Mode reference_mode(Column column, nlohmann::json plugin, Family family, const nlohmann::json& more = {}) {
    const bool ipv6 = family == Family::ipv6;
    plugin["ipMasq"] = true;
    plugin["ipam"] = {{"type", "host-local"},
                      {"dataDir", "/run/host-local"},
                      {"ranges", {{{{"subnet", ipv6 ? "fd00:1::/112" : "10.0.0.0/20"}}}}},
                      {"routes", {{{"dst", ipv6 ? "::/0" : "0.0.0.0/0"}}}}};
    const nlohmann::json portmap = {{"type", "portmap"}, {"capabilities", {{"portMappings", true}}}};
    nlohmann::json list = {{"cniVersion", "1.0.0"}, {"name", "sandboxes"}, {"plugins", {plugin, portmap}}};
    list["plugins"].insert(list["plugins"].end(), more.begin(), more.end());
    Mode mode = mode_of_plugin(std::move(column), Plugin(directory, list), {});
    list["plugins"] = nlohmann::json::array({plugin});
    mode.plugin = Plugin(directory, list);  // who publishes nothing needs no portmap, and an ADD is faster without
    return mode;
}

nlohmann::json bridge_plugin() {
    return {{"type", "bridge"}, {"bridge", "br0"}, {"isGateway", true}, {"hairpinMode", true}};
}

}  // namespace

Mode bridge(Family family) {
    return family == Family::ipv6
               ? reference_mode({"bridge6", "reference plugin bridge, IPv6", ipv6_set}, bridge_plugin(), family)
               : reference_mode({"bridge", "reference plugin bridge", ipv4_set}, bridge_plugin(), family);
}

// Routes each sandbox by a link of its own, without a bridge.
Mode ptp() {
    return reference_mode({"ptp", "reference plugin ptp", ipv4_set}, {{"type", "ptp"}}, Family::ipv4);
}

// All sandboxes alike, by the configuration.
Mode limited_bridge() {
    nlohmann::json bandwidth = limits;
    bandwidth["type"] = "bandwidth";
    Mode mode = reference_mode({"limited-bridge", "reference plugins bridge and bandwidth, 100 Mbit/s", limited_set},
                               bridge_plugin(), Family::ipv4, nlohmann::json::array({bandwidth}));
    mode.is_limited = true;
    mode.steps = limited_steps;
    return mode;
}

}  // namespace causeway::bench
