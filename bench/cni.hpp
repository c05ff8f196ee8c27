// SPDX-License-Identifier: Apache-2.0
// A network of CNI plugins, called and timed as a container runtime calls it.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <utility>

namespace causeway::bench {

// Throws std::runtime_error with what a plugin said if it fails.
class Plugin {
public:
    // A network list ("name", "cniVersion", "plugins"); `directories` is where their executables are, as in CNI_PATH.
    Plugin(std::string directories, nlohmann::json list)
        : directories_(std::move(directories)), list_(std::move(list)) {}

    struct Added {
        nlohmann::json result;
        double milliseconds;  // from before the first fork to the end of the last plugin
    };
    // `runtime` becomes runtimeConfig.
    Added add(const std::string& container, const std::string& netns, const nlohmann::json& runtime = {}) const;

    // Undoes `added`; returns the milliseconds that it took.
    double del(const std::string& container, const std::string& netns, const Added& added) const;

private:
    std::string call(const std::string& command, const std::string& container, const std::string& netns,
                     std::size_t index, const nlohmann::json& runtime, const nlohmann::json& previous) const;

    std::string directories_;
    nlohmann::json list_;
};

}  // namespace causeway::bench
