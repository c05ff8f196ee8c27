// SPDX-License-Identifier: Apache-2.0
// The bridge: the reference plugin's configuration.
#include "bench/mode.hpp"

namespace causeway::bench {

Mode bridge() {
    const auto list = nlohmann::json::parse(R"({
        "cniVersion": "1.0.0", "name": "sandboxes", "plugins": [{
            "type": "bridge", "bridge": "br0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
            "ipam": {"type": "host-local", "dataDir": "/run/host-local",
                     "ranges": [[{"subnet": "10.0.0.0/20"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]})");
    auto publishing = list;
    publishing["plugins"].push_back({{"type", "portmap"}, {"capabilities", {{"portMappings", true}}}});
    Mode mode = mode_of_plugin({"bridge", "reference plugin bridge"}, Plugin("/usr/lib/cni", publishing),
                               {.publishes_ports = true, .has_programs = false});
    mode.plugin = Plugin("/usr/lib/cni", list);  // who publishes nothing needs no portmap, and an ADD is faster without
    return mode;
}

}  // namespace causeway::bench
