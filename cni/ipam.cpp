// SPDX-License-Identifier: Apache-2.0
#include "cni/ipam.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <limits>
#include <ranges>
#include <sstream>

#include "cni/route_conf.hpp"
#include "cni/shown.hpp"
#include "cni/stray.hpp"
#include "userspace/failures.hpp"
#include "userspace/network_spec.hpp"

namespace causeway::cni {

namespace {

// A file that the child reads its configuration from: unlike a pipe it takes any length at once.
std::expected<UniqueFd, Error> file_with(const std::string& text) {
    UniqueFd file(memfd_create("cni-configuration", MFD_CLOEXEC));
    if (!file || write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
        lseek(file.get(), 0, SEEK_SET) != 0) {
        return std::unexpected(errno_error("prepare the IPAM plugin's configuration"));
    }
    return file;
}

// Its own environment, but for what the request says otherwise: a GC asks of sandboxes that its caller has not named.
std::vector<std::string> environment_for(const char* command, const Request& request) {
    const std::array<std::pair<std::string, std::string>, 3> said{
        {{"CNI_COMMAND=", command}, {"CNI_CONTAINERID=", request.container_id}, {"CNI_IFNAME=", request.interface}}};
    std::vector<std::string> environment;
    for (const auto& [name, value] : said) {
        if (!value.empty()) {
            environment.push_back(name + value);
        }
    }
    for (char** variable = environ; *variable != nullptr; variable++) {
        const auto is_this = [&](const auto& one) { return std::string_view(*variable).starts_with(one.first); };
        if (std::ranges::none_of(said, is_this)) {
            environment.emplace_back(*variable);
        }
    }
    return environment;
}

struct Finished {
    int status = 0;  // of waitpid
    std::string output;
};

std::expected<Finished, Error> run_plugin(const std::string& path, const char* command, const Request& request,
                                          const std::string& input) {
    const std::string step = "run the IPAM plugin " + path;
    const auto stdin_file = TRY(file_with(input));
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) {
        return std::unexpected(errno_error(step));
    }
    const UniqueFd from_child(ends[0]);
    UniqueFd to_parent(ends[1]);
    const auto environment = environment_for(command, request);
    std::vector<char*> variables;
    for (const auto& variable : environment) {
        variables.push_back(const_cast<char*>(variable.c_str()));
    }
    variables.push_back(nullptr);
    std::array<char*, 2> arguments{const_cast<char*>(path.c_str()), nullptr};
    posix_spawn_file_actions_t actions{};
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, stdin_file.get(), STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, to_parent.get(), STDOUT_FILENO);
    pid_t child = 0;
    const int number = posix_spawn(&child, path.c_str(), &actions, nullptr, arguments.data(), variables.data());
    posix_spawn_file_actions_destroy(&actions);
    if (number != 0) {
        return std::unexpected(kernel_error(number, step));
    }
    to_parent = UniqueFd();
    Finished finished;
    std::array<char, 4096> buffer{};
    for (ssize_t got = 0; (got = read(from_child.get(), buffer.data(), buffer.size())) != 0;) {
        if (got > 0) {
            finished.output.append(buffer.data(), static_cast<std::size_t>(got));
        } else if (errno != EINTR) {
            break;
        }
    }
    while (waitpid(child, &finished.status, 0) < 0 && errno == EINTR) {
    }
    return finished;
}

// The plugin's own code and words where it gave any.
Error error_of(const std::string& type, const Finished& finished) {
    const auto json = parse_json(finished.output);
    const auto text = [&](const char* key, const char* otherwise) {
        return json.contains(key) && json[key].is_string() ? json[key].get<std::string>() : otherwise;
    };
    const auto code = json.is_object() ? json.value("code", Json()) : Json();
    if (code.is_number_unsigned() && code > 0 && code <= std::numeric_limits<int>::max()) {
        return {static_cast<Code>(code.get<int>()), "IPAM plugin \"" + type + "\": " + text("msg", "no message"),
                text("details", "")};
    }
    return {Code::io_failure, "IPAM plugin \"" + type + "\" failed and said: " +
                                  (finished.output.empty() ? "nothing" : shown(finished.output))};
}

std::expected<std::string, Error> output_of(const char* command, const std::string& path, const Request& request,
                                            const Delegate& delegate) {
    const auto finished = TRY(run_plugin(path, command, request, delegate.conf.dump()));
    if (!WIFEXITED(finished.status) || WEXITSTATUS(finished.status) != 0) {
        return std::unexpected(error_of(delegate.type, finished));
    }
    return finished.output;
}

std::unexpected<Error> unusable(const Delegate& delegate, const std::string& why, const std::string& remedy = {}) {
    return fail(Code::decode_failure, "the answer of the IPAM plugin \"" + delegate.type + "\" " + why, remedy);
}

// What plugins in Go leave unset comes as null too, and as "".
std::string text_or_none(const Json& object, const char* key) {
    const auto value = object.is_null() ? Json() : object.value(key, Json());
    return value.is_null() ? "" : value.get<std::string>();
}

std::vector<std::string> texts(const Json& object, const char* key) {
    std::vector<std::string> found;
    for (const auto& item : object.is_null() ? Json() : object.value(key, Json())) {
        found.push_back(item.get<std::string>());
    }
    return found;
}

// These throw what nlohmann throws at a value of the wrong type; the caller turns that into an Error.

// The gateway of a subnet is that of the first address in it, where another one names none.
std::expected<void, Error> add_address(const Json& ip, const Delegate& delegate, IpamResult& result) {
    const auto address = Prefix::parse(ip.value("address", ""));
    if (!address) {
        return unusable(delegate, "has no address with a prefix length: " + ip.dump());
    }
    auto range = Range::of_subnet({address->first(), address->length});
    if (!can_be_given(*address)) {
        return unusable(delegate, "has an address that no interface may be given: " + address->text());
    }
    if (!range) {
        return unusable(delegate, "has an address without a subnet to be in: " + address->text());
    }
    const auto same =
        std::ranges::find_if(result.ranges, [&](const RangeSet& set) { return set.front().subnet == range->subnet; });
    if (same != result.ranges.end()) {
        range = same->front();
    }
    if (const auto told = text_or_none(ip, "gateway"); !told.empty()) {
        const auto gateway = Address::parse(told);
        if (!gateway || !range->subnet.contains(*gateway)) {
            return unusable(delegate, "has a gateway outside the address's subnet: " + ip.dump());
        }
        range->gateway = *gateway;
    }
    result.assignments.push_back({*address, range->gateway});
    result.ranges.push_back({*range});
    return {};
}

std::expected<void, Error> refuse_other_subnets(const IpamResult& result, const Delegate& delegate) {
    const std::string remedy = "its addresses and router have to be of ipam.subnet and ipam.gateway";
    for (const auto& [address, gateway] : result.assignments) {
        std::string subnets;
        const Range* own = nullptr;
        for (const auto& range : delegate.subnets | std::views::join) {
            subnets += (subnets.empty() ? "" : ", ") + range.subnet.text();
            own = range.subnet == Prefix{address.first(), address.length} ? &range : own;
        }
        if (!subnets.empty() && own == nullptr) {
            return unusable(delegate, "has the address " + address.text() + ", which is not in " + subnets, remedy);
        }
        if (own != nullptr && gateway != own->gateway) {
            return unusable(delegate,
                            "has the gateway " + gateway.text() + ", and that of " + own->subnet.text() + " is " +
                                own->gateway.text(),
                            remedy);
        }
    }
    return {};
}

std::expected<IpamResult, Error> result_in(const Json& json, const Delegate& delegate) {
    const auto ips = json.value("ips", Json::array());
    if (ips.empty() || ips.size() > CAUSEWAY_ADDRESSES_MAX) {
        return unusable(delegate, "has " + std::to_string(ips.size()) + " addresses; causeway takes 1 to " +
                                      std::to_string(CAUSEWAY_ADDRESSES_MAX));
    }
    IpamResult result;
    for (const auto& range : delegate.subnets | std::views::join) {
        result.ranges.push_back({range});
    }
    for (const auto& ip : ips) {
        TRY(add_address(ip, delegate, result));
    }
    TRY(refuse_other_subnets(result, delegate));
    for (const auto& item : json.value("routes", Json())) {
        const auto route = read_route(item, "routes");
        if (!route) {
            return unusable(delegate, "has a malformed route: " + route.error().message);
        }
        result.routes.push_back(*route);
    }
    const auto dns = json.value("dns", Json());
    result.dns = {texts(dns, "nameservers"), texts(dns, "search"), texts(dns, "options"), text_or_none(dns, "domain")};
    return result;
}

// Its ADD, and where that fails, its DEL.
std::expected<IpamResult, Error> try_add(const std::string& path, const Request& request, const Delegate& delegate) {
    const auto output = output_of("ADD", path, request, delegate);
    auto result = output ? read_ipam_result(*output, delegate) : std::unexpected(output.error());
    if (!result) {
        Error error = result.error();
        const auto add_detail = [&](const std::string& text) {
            error.details += (error.details.empty() ? "" : "; ") + text;
        };
        if (const auto released = output_of("DEL", path, request, delegate); !released) {
            add_detail("not undone: " + released.error().message);
        }
        return std::unexpected(error);
    }
    return result;
}

}  // namespace

std::expected<std::string, Error> find_delegate(const Request& request, const Delegate& delegate) {
    std::istringstream directories(request.path);
    for (std::string directory; std::getline(directories, directory, ':');) {
        std::string path = directory + "/" + delegate.type;
        std::error_code error;
        if (!directory.empty() && std::filesystem::is_regular_file(path, error) && access(path.c_str(), X_OK) == 0) {
            return path;
        }
    }
    return fail(Code::invalid_environment,
                "the IPAM plugin \"" + shown(delegate.type) + "\" is not in CNI_PATH \"" + request.path + "\"");
}

std::expected<IpamResult, Error> read_ipam_result(std::string_view output, const Delegate& delegate) {
    const auto json = parse_json(output);
    if (!json.is_object()) {
        return unusable(delegate, "is not a JSON object");
    }
    try {
        return result_in(json, delegate);
    } catch (const Json::exception& exception) {
        return unusable(delegate, std::string("can't be read: ") + exception.what());
    }
}

std::expected<IpamResult, Error> add_by_delegate(const Request& request, const Delegate& delegate) {
    const auto path = TRY(find_delegate(request, delegate));
    auto result = try_add(path, request, delegate);
    // It refuses whom it has on record, which a call that was killed may have left: the DEL has freed that.
    if (!result && delegate.type == "host-local") {
        result = try_add(path, request, delegate);
    }
    return result;
}

std::expected<void, Error> call_delegate(const char* command, const Request& request, const Delegate& delegate) {
    TRY(output_of(command, TRY(find_delegate(request, delegate)), request, delegate));
    return {};
}

std::expected<void, Error> delete_by_delegate(const Request& request, const Delegate& delegate, bool was_connected) {
    const auto path = TRY(find_delegate(request, delegate));
    Failures failures;
    if (!was_connected) {  // else its ADD has ended, and so has what that called
        failures.note(await_stray(path, request));
    }
    if (const auto deleted = output_of("DEL", path, request, delegate); !deleted) {
        failures.note(std::unexpected(deleted.error()));
    }
    return failures.result();
}

}  // namespace causeway::cni
