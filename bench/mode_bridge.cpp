// SPDX-License-Identifier: Apache-2.0
// The bridge: the reference plugin's configuration.
#include "bench/mode.hpp"

namespace causeway::bench {

Plugin bridge_plugin() {
    return Plugin("/usr/lib/cni/bridge", nlohmann::json::parse(R"({
        "cniVersion": "1.0.0", "name": "sandboxes", "type": "bridge",
        "bridge": "br0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
        "ipam": {"type": "host-local", "dataDir": "/run/host-local",
                 "ranges": [[{"subnet": "10.0.0.0/20"}]], "routes": [{"dst": "0.0.0.0/0"}]}})"));
}

}  // namespace causeway::bench
