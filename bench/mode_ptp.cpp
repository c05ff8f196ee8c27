// SPDX-License-Identifier: Apache-2.0
// Point to point: the reference plugin that routes each sandbox by a link of its own, without a bridge.
#include "bench/mode.hpp"

namespace causeway::bench {

Mode ptp() {
    const auto list = nlohmann::json::parse(R"({
        "cniVersion": "1.0.0", "name": "sandboxes", "plugins": [{
            "type": "ptp", "ipMasq": true,
            "ipam": {"type": "host-local", "dataDir": "/run/host-local",
                     "ranges": [[{"subnet": "10.0.0.0/20"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]})");
    auto publishing = list;
    publishing["plugins"].push_back({{"type", "portmap"}, {"capabilities", {{"portMappings", true}}}});
    Mode mode = mode_of_plugin({"ptp", "reference plugin ptp"}, Plugin("/usr/lib/cni", publishing),
                               {.publishes_ports = true, .has_programs = false});
    mode.plugin = Plugin("/usr/lib/cni", list);
    return mode;
}

}  // namespace causeway::bench
