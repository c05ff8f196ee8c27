// SPDX-License-Identifier: Apache-2.0
#include "tests/system/host.hpp"

#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <stdexcept>
#include <thread>

namespace causeway::test {

Json configuration(const Json& patch) {
    Json conf = Json::parse(R"({
        "cniVersion": "1.1.0", "name": "sandboxes", "type": "causeway", "ipMasq": true, "tables": {"flows": 16384, "sandboxes": 1024},
        "ipam": {"type": "causeway", "ranges": [[{"subnet": "10.0.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}})");
    conf.merge_patch(patch);
    return conf;
}

Json second_configuration(const Json& patch) {
    Json conf = configuration(Json::parse(R"({"name": "others", "device": "cw1", "ipam": {
        "ranges": [[{"subnet": "10.0.1.0/24"}]], "routes": [{"dst": "10.0.0.0/8"}]}})"));
    conf.merge_patch(patch);
    return conf;
}

Json ipv6_configuration(const Json& patch) {
    Json conf = configuration(Json::parse(R"({"ipam": {
        "ranges": [[{"subnet": "fd00:1::/64"}]], "routes": [{"dst": "::/0"}]}})"));
    conf.merge_patch(patch);
    return conf;
}

Json dual_configuration(const Json& patch) {
    Json conf = configuration(Json::parse(R"({"ipam": {
        "ranges": [[{"subnet": "10.0.0.0/24"}], [{"subnet": "fd00:1::/64"}]],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}})"));
    conf.merge_patch(patch);
    return conf;
}

RunOptions Call::options() const {
    RunOptions options{.stdin_text = conf.dump(), .clean_environment = true};
    const auto put = [&](const char* name, const std::string& value) {
        if (!value.empty()) {
            options.environment.emplace_back(name, value);
        }
    };
    put("CNI_COMMAND", command);
    put("CNI_CONTAINERID", id);
    put("CNI_NETNS", netns);
    put("CNI_IFNAME", interface);
    put("CNI_PATH", path);
    return options;
}

std::string plugin() {
    return CAUSEWAY_PLUGIN;
}

Answer answer_of(const Output& output) {
    Answer answer{.status = output.status, .json = nullptr, .text = output.out + output.err};
    if (!output.out.empty()) {
        answer.json = Json::parse(output.out, nullptr, false);
    }
    return answer;
}

Answer answer_to(const Call& call) {
    return answer_of(run({plugin()}, call.options()));
}

Answer add(const std::string& id, const std::string& netns, const Json& conf, const std::string& interface) {
    return answer_to({.command = "ADD", .id = id, .netns = netns, .conf = conf, .interface = interface});
}

Answer del(const std::string& id, const std::string& netns, const Json& conf, const std::string& interface) {
    return answer_to({.command = "DEL", .id = id, .netns = netns, .conf = conf, .interface = interface});
}

testing::AssertionResult succeeded(const Answer& answer) {
    if (answer.ok() && !answer.json.is_discarded()) {
        return testing::AssertionSuccess();
    }
    return testing::AssertionFailure() << "status " << answer.status << ": " << answer.text;
}

testing::AssertionResult refused(const Answer& answer, int code, const std::vector<std::string>& parts) {
    const auto failure = [&](const std::string& why) {
        return testing::AssertionFailure() << why << "; status " << answer.status << ": " << answer.text;
    };
    if (answer.ok()) {
        return failure("not refused");
    }
    if (!answer.json.is_object() || !answer.json.contains("cniVersion")) {
        return failure("stdout is not an error result");
    }
    if (answer.code() != code) {
        return failure("not code " + std::to_string(code));
    }
    for (const auto& part : parts) {
        if (answer.message().find(part) == std::string::npos) {
            return failure("\"msg\" does not have \"" + part + "\"");
        }
    }
    return testing::AssertionSuccess();
}

std::string ctl_program() {
    return CAUSEWAY_CTL;
}

Output ctl(const std::vector<std::string>& arguments) {
    std::vector<std::string> argv{ctl_program()};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    return run(argv);
}

Json ctl_json(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"-o", "json"});
    const auto output = ctl(arguments);
    if (!output.ok()) {
        throw std::runtime_error("causewayctl " + arguments[0] + ": " + output.err);
    }
    return Json::parse(output.out);
}

std::uint64_t count_of(const std::string& verdict) {
    for (const auto& row : ctl_json({"stats", "-i", "0"})) {
        if (row.at("verdict") == verdict) {
            return row.at("packets").get<std::uint64_t>();
        }
    }
    throw std::runtime_error("causewayctl stats has no verdict " + verdict);
}

std::string ip(const std::vector<std::string>& arguments, const std::string& netns) {
    std::vector<std::string> argv{"ip"};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    return must_run(argv, {.netns = netns});
}

Json ip_json(std::vector<std::string> arguments, const std::string& netns) {
    arguments.insert(arguments.begin(), {"-j", "-d"});
    const auto text = ip(arguments, netns);
    return text.empty() ? Json::array() : Json::parse(text);
}

namespace {

std::string sysctl_path(const std::string& name) {
    return "/proc/sys/" + name;
}

}  // namespace

void set_sysctl(const std::string& name, const std::string& value, const std::string& netns) {
    const Visit visit(netns);
    write_file(sysctl_path(name), value);
}

std::string sysctl(const std::string& name, const std::string& netns) {
    const Visit visit(netns);
    std::string line;
    if (!std::getline(std::ifstream(sysctl_path(name)), line)) {
        fail("read " + sysctl_path(name));
    }
    return line;
}

bool eventually(const std::function<bool()>& holds, std::chrono::milliseconds time) {
    using Clock = std::chrono::steady_clock;
    constexpr Clock::duration shortest = std::chrono::milliseconds(10), longest = std::chrono::milliseconds(100);
    const auto deadline = Clock::now() + time;
    for (;;) {
        const auto began = Clock::now();
        if (holds()) {
            return true;
        }
        if (began > deadline) {  // however long a look takes, the last one begins behind it
            return false;
        }
        std::this_thread::sleep_for(std::clamp(4 * (Clock::now() - began), shortest, longest));
    }
}

namespace {

bool has_carrier(const std::string& device) {
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ifreq request{};
    device.copy(request.ifr_name, sizeof(request.ifr_name) - 1);
    const bool told = ioctl(fd, SIOCGIFFLAGS, &request) == 0;
    close(fd);
    return told && (request.ifr_flags & IFF_RUNNING) != 0;
}

bool has_ipv6_route(const std::string& destination) {  // as the kernel writes it: 32 digits
    std::ifstream routes("/proc/net/ipv6_route");
    for (std::string line; std::getline(routes, line);) {
        if (line.starts_with(destination)) {
            return true;
        }
    }
    return false;
}

}  // namespace

// IPv6 makes its routes of an address only once the link has a carrier, and a little after.
Host::Host() : world_(World::enter()) {
    const auto settled =
        eventually([] { return has_carrier("up0") && has_ipv6_route("20010db8007100000000000000000001 80"); });
    if (!settled) {
        throw std::runtime_error("the uplink has no carrier");
    }
}

Sandbox Host::connect(const std::string& id, const Json& conf) {
    Sandbox sandbox{.id = id, .netns = world_.add_namespace(id), .interface = "eth0"};
    const auto answer = add(id, sandbox.netns, conf);
    if (!answer.ok()) {
        throw std::runtime_error("ADD " + id + ": " + answer.text);
    }
    sandbox.reply = answer.json;
    const std::string prefix = answer.json.at("ips").at(0).at("address");
    sandbox.address = prefix.substr(0, prefix.find('/'));
    sandbox.host_end = answer.json.at("interfaces").at(1).at("name");
    sandbox.mac = answer.json.at("interfaces").at(2).at("mac");
    return sandbox;
}

void Host::disconnect(const Sandbox& sandbox, const Json& conf) {
    const auto answer = del(sandbox.id, sandbox.netns, conf, sandbox.interface);
    if (!answer.ok()) {
        throw std::runtime_error("DEL " + sandbox.id + ": " + answer.text);
    }
}

}  // namespace causeway::test
