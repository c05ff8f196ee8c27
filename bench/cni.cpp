// SPDX-License-Identifier: Apache-2.0
#include "bench/cni.hpp"

#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "tests/support/world.hpp"

namespace causeway::bench {
namespace {

using nlohmann::json;

std::string find_in(const std::string& directories, const std::string& type) {
    std::istringstream rest(directories);
    for (std::string directory; std::getline(rest, directory, ':');) {
        std::string path = directory + "/" + type;
        if (access(path.c_str(), X_OK) == 0) {
            return path;
        }
    }
    throw std::runtime_error("there is no plugin " + type + " in " + directories);
}

template <typename Function>
double milliseconds_of(Function function) {
    const auto begin = std::chrono::steady_clock::now();
    function();
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

std::string Plugin::call(const std::string& command, const std::string& container, const std::string& netns,
                         std::size_t index, const json& runtime, const json& previous) const {
    json configuration = list_.at("plugins").at(index);
    configuration["name"] = list_.at("name");
    configuration["cniVersion"] = list_.at("cniVersion");
    if (!runtime.is_null()) {
        configuration["runtimeConfig"] = runtime;
    }
    if (!previous.is_null()) {
        configuration["prevResult"] = previous;
    }
    const std::string path = find_in(directories_, configuration.at("type"));
    const test::Output output = test::run({path}, {.stdin_text = configuration.dump(),
                                                   .environment = {{"CNI_COMMAND", command},
                                                                   {"CNI_CONTAINERID", container},
                                                                   {"CNI_NETNS", netns},
                                                                   {"CNI_IFNAME", "eth0"},
                                                                   {"CNI_PATH", directories_}}});
    if (!output.ok()) {
        throw std::runtime_error(path + " " + command + " of " + container + " ended with " +
                                 std::to_string(output.status) + " and said: " + output.out + output.err);
    }
    return output.out;
}

Plugin::Added Plugin::add(const std::string& container, const std::string& netns, const json& runtime) const {
    std::string reply;
    json result;
    const double taken = milliseconds_of([&] {
        for (std::size_t i = 0; i < list_.at("plugins").size(); ++i) {
            result = reply.empty() ? json() : json::parse(reply);
            reply = call("ADD", container, netns, i, runtime, result);
        }
    });
    return {json::parse(reply), taken};
}

// A runtime keeps the result and hands it back.
double Plugin::del(const std::string& container, const std::string& netns, const Added& added) const {
    return milliseconds_of([&] {
        for (std::size_t i = list_.at("plugins").size(); i > 0; --i) {
            call("DEL", container, netns, i - 1, {}, added.result);
        }
    });
}

}  // namespace causeway::bench
