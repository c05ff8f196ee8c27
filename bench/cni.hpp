// SPDX-License-Identifier: Apache-2.0
// A CNI plugin, called and timed as a container runtime calls it.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace causeway::bench {

// Throws std::runtime_error with what the plugin said if it fails.
class Plugin {
public:
    // `path` is the executable; `configuration` goes to its stdin.
    Plugin(std::string path, nlohmann::json configuration);

    struct Added {
        nlohmann::json result;
        double milliseconds;  // from before the fork to the end of the plugin
    };
    Added add(const std::string& container, const std::string& netns) const;

    // Undoes `added`; returns the milliseconds that it took.
    double del(const std::string& container, const std::string& netns, const Added& added) const;

private:
    struct Call {
        std::string reply;
        double milliseconds;
    };
    Call call(const std::string& command, const std::string& container, const std::string& netns,
              const nlohmann::json& configuration) const;

    std::string path_;
    nlohmann::json configuration_;
};

}  // namespace causeway::bench
