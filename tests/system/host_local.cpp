// SPDX-License-Identifier: Apache-2.0
#include "tests/system/host_local.hpp"

#include <filesystem>

namespace causeway::test {

Json host_local_configuration(const Json& patch) {
    Json conf = configuration({{"cniVersion", "1.0.0"}});
    conf["ipam"] = Json::parse(R"({"type": "host-local", "dataDir": "/run/leases", "routes": [{"dst": "0.0.0.0/0"}],
                                   "ranges": [[{"subnet": "10.0.0.0/24", "rangeStart": "10.0.0.20"}]]})");
    conf.merge_patch(patch);
    return conf;
}

std::vector<std::string> leases() {
    std::vector<std::string> addresses;
    std::error_code absent;
    for (const auto& file : std::filesystem::directory_iterator("/run/leases/sandboxes", absent)) {
        const std::string name = file.path().filename();
        if (name != "lock" && !name.starts_with("last_reserved_ip")) {
            addresses.push_back(name);
        }
    }
    return addresses;
}

}  // namespace causeway::test
