// SPDX-License-Identifier: Apache-2.0
// Any environment and any input to the whole plugin: the answer is JSON, and its exit status says what it is.
//
// The input is lines of VARIABLE=value, an empty line, and then what comes on stdin. Requests that are right in
// every way would be carried out: they are left out.
#include <map>
#include <optional>
#include <string>

#include "cni/net_conf.hpp"
#include "cni/plugin.hpp"
#include "tests/fuzz/fuzz_target.hpp"

namespace causeway::fuzz {

namespace {

bool would_touch_the_host(const cni::Environment& environment, std::string_view input) {
    const auto request = cni::read_request(environment);
    if (!request || request->command == cni::Command::version) {
        return false;
    }
    const auto conf = cni::read_net_conf(input);
    return conf || (request->command == cni::Command::del && conf.error().code == Code::invalid_configuration);
}

}  // namespace

void try_input(std::string_view input) {
    if (input.contains("resolvConf")) {
        return;  // would read whatever file it names
    }
    std::map<std::string, std::string> variables;
    while (!input.empty() && input[0] != '\n') {
        const auto line = input.substr(0, input.find('\n'));
        const auto sign = line.find('=');
        if (sign != std::string_view::npos) {
            variables.insert_or_assign(std::string(line.substr(0, sign)), std::string(line.substr(sign + 1)));
        }
        input.remove_prefix(std::min(line.size() + 1, input.size()));
    }
    input.remove_prefix(input.empty() ? 0 : 1);
    const cni::Environment environment = [&](const std::string& name) -> std::optional<std::string> {
        const auto found = variables.find(name);
        return found == variables.end() ? std::nullopt : std::optional(found->second);
    };
    if (would_touch_the_host(environment, input)) {
        return;
    }
    const auto answer = cni::answer(environment, input);
    const auto json = cni::Json::parse(answer.output, nullptr, false);
    require(json.is_object() && json.contains("cniVersion") && json["cniVersion"].is_string(), "an answer is JSON");
    require(json.contains("code") == (answer.exit_status != 0), "an error has a code and an exit status");
    require(json.contains("supportedVersions") == (answer.exit_status == 0), "an answer to VERSION has versions");
    require(!json.contains("msg") || !json["msg"].get<std::string>().starts_with("unexpected"), "nothing is thrown");
}

}  // namespace causeway::fuzz
