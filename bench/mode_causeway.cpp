// SPDX-License-Identifier: Apache-2.0
// causeway: the configuration that does the same as the bridge's, and what else it can be set to.
#include <filesystem>
#include <utility>

#include "bench/mode.hpp"

namespace causeway::bench {
namespace {

// A variant is what a user changes in the configuration of the defaults: a JSON merge patch (RFC 7396).
struct Variant {
    Column column;
    const char* patch;
    Abilities abilities;
};

const std::vector<Variant>& variants() {
    static const std::vector<Variant> all = {
        {{"causeway", "causeway"}, "{}", {.publishes_ports = true, .has_programs = true}},
    };
    return all;
}

}  // namespace

std::vector<Mode> causeway_variants(const std::string& plugin) {
    const std::filesystem::path path(plugin);
    std::vector<Mode> modes;
    for (const Variant& variant : variants()) {
        auto list = nlohmann::json::parse(R"({
            "cniVersion": "1.0.0", "name": "sandboxes", "plugins": [{
                "device": "cw0", "ipMasq": true, "capabilities": {"portMappings": true},
                "ipam": {"type": "causeway",
                         "ranges": [[{"subnet": "10.0.0.0/20"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]})");
        nlohmann::json& configuration = list["plugins"][0];
        configuration["type"] = path.filename().string();
        configuration.merge_patch(nlohmann::json::parse(variant.patch));
        modes.push_back(mode_of_plugin(variant.column, Plugin(path.parent_path().string() + ":/usr/lib/cni", list),
                                       variant.abilities));
    }
    return modes;
}

}  // namespace causeway::bench
