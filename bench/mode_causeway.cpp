// SPDX-License-Identifier: Apache-2.0
// causeway: the configuration that does the same as the bridge's.
#include "bench/mode.hpp"

namespace causeway::bench {

Plugin causeway_plugin(const std::string& path) {
    return Plugin(path, nlohmann::json::parse(R"({
        "cniVersion": "1.0.0", "name": "sandboxes", "type": "causeway",
        "device": "cw0", "ipMasq": true,
        "ipam": {"type": "causeway",
                 "ranges": [[{"subnet": "10.0.0.0/20"}]], "routes": [{"dst": "0.0.0.0/0"}]}})"));
}

}  // namespace causeway::bench
