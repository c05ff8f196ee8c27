// SPDX-License-Identifier: Apache-2.0
#include "bench/cni.hpp"

#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <stdexcept>
#include <utility>

#include "tests/support/world.hpp"

namespace causeway::bench {

Plugin::Plugin(std::string path, nlohmann::json configuration)
    : path_(std::move(path)), configuration_(std::move(configuration)) {
    if (access(path_.c_str(), X_OK) != 0) {
        throw std::runtime_error("there is no plugin " + path_);
    }
}

Plugin::Call Plugin::call(const std::string& command, const std::string& container, const std::string& netns,
                          const nlohmann::json& configuration) const {
    const std::string directory = std::filesystem::path(path_).parent_path();
    const test::RunOptions options = {.stdin_text = configuration.dump(),
                                      .environment = {{"CNI_COMMAND", command},
                                                      {"CNI_CONTAINERID", container},
                                                      {"CNI_NETNS", netns},
                                                      {"CNI_IFNAME", "eth0"},
                                                      {"CNI_PATH", directory + ":/usr/lib/cni"}}};
    const auto begin = std::chrono::steady_clock::now();
    const test::Output output = test::run({path_}, options);
    const std::chrono::duration<double, std::milli> taken = std::chrono::steady_clock::now() - begin;
    if (!output.ok()) {
        throw std::runtime_error(path_ + " " + command + " of " + container + " ended with " +
                                 std::to_string(output.status) + " and said: " + output.out + output.err);
    }
    return {output.out, taken.count()};
}

Plugin::Added Plugin::add(const std::string& container, const std::string& netns) const {
    const Call made = call("ADD", container, netns, configuration_);
    return {nlohmann::json::parse(made.reply), made.milliseconds};
}

double Plugin::del(const std::string& container, const std::string& netns, const Added& added) const {
    nlohmann::json configuration = configuration_;
    configuration["prevResult"] = added.result;  // a runtime keeps it and hands it back
    return call("DEL", container, netns, configuration).milliseconds;
}

}  // namespace causeway::bench
