// SPDX-License-Identifier: Apache-2.0
#include "cni/request.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>

#include <causeway/abi.h>

#include "cni/shown.hpp"
#include "userspace/network_spec.hpp"

namespace causeway::cni {

namespace {

struct CommandRow {
    std::string_view name;
    Command command;
    bool container_and_interface, netns, path;
};

constexpr std::array commands{
    CommandRow{"ADD", Command::add, true, true, false},
    CommandRow{"DEL", Command::del, true, false, false},
    CommandRow{"CHECK", Command::check, true, true, false},
    CommandRow{"GC", Command::gc, false, false, true},
    CommandRow{"STATUS", Command::status, false, false, false},
    CommandRow{"VERSION", Command::version, false, false, false},
};

// What the kernel takes as a device name (dev_valid_name), and as it is: "eth%d" would become eth0.
bool valid_interface(const std::string& name) {
    const auto forbidden = [](char c) {
        return c == '/' || c == ':' || c == '%' || std::isspace(static_cast<unsigned char>(c));
    };
    static constexpr std::array<std::string_view, 4> reserved{".", "..", "all", "default"};  // the latter for sysctls
    return !name.empty() && name.size() < CAUSEWAY_DEVICE_LEN && std::ranges::find(reserved, name) == reserved.end() &&
           std::ranges::none_of(name, forbidden);
}

std::expected<void, Error> refuse_invalid(const Request& request, const CommandRow& row) {
    std::string missing;
    const auto require = [&](bool needed, const std::string& value, std::string_view name) {
        if (needed && value.empty()) {
            missing += (missing.empty() ? "" : ", ") + std::string(name);
        }
    };
    require(row.container_and_interface, request.container_id, "CNI_CONTAINERID");
    require(row.netns, request.netns, "CNI_NETNS");
    require(row.container_and_interface, request.interface, "CNI_IFNAME");
    require(row.path, request.path, "CNI_PATH");
    if (!missing.empty()) {
        return fail(Code::invalid_environment, "required for " + std::string(row.name) + " but not set: " + missing);
    }
    if (row.container_and_interface && !is_name(request.container_id)) {
        return fail(Code::invalid_environment, "CNI_CONTAINERID \"" + shown(request.container_id) +
                                                   "\" may only hold letters, digits, '_', '.' and '-', and must "
                                                   "begin with a letter or digit");
    }
    if (row.netns && request.netns.size() >= CAUSEWAY_NETNS_LEN) {
        return fail(Code::invalid_environment, "CNI_NETNS \"" + shown(request.netns) + "\" is longer than " +
                                                   std::to_string(CAUSEWAY_NETNS_LEN - 1) + " characters");
    }
    if (row.container_and_interface && !valid_interface(request.interface)) {
        return fail(
            Code::invalid_environment,
            "CNI_IFNAME \"" + shown(request.interface) +
                "\" is not a device name: 1 to 15 characters, no '/', ':', '%' or space, not \"all\" or \"default\"");
    }
    return {};
}

}  // namespace

std::expected<Request, Error> read_request(const Environment& environment) {
    const auto value = [&](const char* name) { return environment(name).value_or(""); };
    const std::string name = value("CNI_COMMAND");
    if (name.empty()) {
        return fail(Code::invalid_environment, "CNI_COMMAND is not set",
                    "causeway is a CNI plugin, to be called by a container runtime; for people there is causewayctl");
    }
    const auto* const row = std::ranges::find(commands, name, &CommandRow::name);
    if (row == commands.end()) {
        return fail(Code::invalid_environment,
                    "CNI_COMMAND \"" + shown(name) + "\" is none of ADD, DEL, CHECK, GC, STATUS, VERSION");
    }
    Request request{row->command,        value("CNI_CONTAINERID"), value("CNI_NETNS"),
                    value("CNI_IFNAME"), value("CNI_PATH"),        value("CNI_ARGS")};
    TRY(refuse_invalid(request, *row));
    return request;
}

}  // namespace causeway::cni
