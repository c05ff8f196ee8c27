// SPDX-License-Identifier: Apache-2.0
#include "bench/setting.hpp"

#include <sys/utsname.h>

#include <array>
#include <chrono>
#include <commit.hpp>
#include <ctime>
#include <exception>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>

#include "bench/loads.hpp"
#include "tests/support/world.hpp"

namespace causeway::bench {
namespace {

std::string first_line(const std::string& text) {
    return text.substr(0, text.find('\n'));
}

// Empty if there is no such file.
std::string first_line_of(const std::string& path) {
    std::string line;
    std::ifstream file(path);
    std::getline(file, line);
    return line;
}

std::string or_unknown(const std::string& text) {
    return text.empty() ? "unknown" : text;
}

std::string said_by(const std::vector<std::string>& command) {
    const test::Output output = test::run(command);
    return output.ok() ? or_unknown(first_line(output.out)) : "unknown";
}

// Debian builds them without a version, so it is the package's.
std::string reference_plugins() {
    const std::string about = first_line(test::run({"/usr/lib/cni/bridge"}).err);
    const std::string package =
        said_by({"dpkg-query", "-W", "-f", "${Package} ${Version}\n", "containernetworking-plugins"});
    return about.contains("unknown") || about.empty() ? package : about + " (" + package + ")";
}

// "0,2-3"
std::set<int> cpus_of(const std::string& list) {
    std::set<int> cpus;
    std::istringstream parts(list);
    for (std::string part; std::getline(parts, part, ',');) {
        const std::size_t dash = part.find('-');
        const int first = std::stoi(part), last = dash == std::string::npos ? first : std::stoi(part.substr(dash + 1));
        for (int cpu = first; cpu <= last; ++cpu) {
            cpus.insert(cpu);
        }
    }
    return cpus;
}

std::string of_cpu(int cpu, const std::string& file) {
    return first_line_of("/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/" + file);
}

std::string pinned_to() {
    const int one = choose_cpus(false).client;
    const std::string both_ends = "both ends on " + std::to_string(one);
    try {
        const Cpus two = choose_cpus(true);
        const std::string siblings = of_cpu(two.client, "topology/thread_siblings_list");
        return both_ends + ", or one each on " + std::to_string(two.client) + " and " + std::to_string(two.server) +
               (siblings.empty()                         ? ""
                : cpus_of(siblings).contains(two.server) ? ", which are threads of one core"
                                                         : ", which are not threads of one core");
    } catch (const std::exception&) {
        return both_ends + ", and there is no other";
    }
}

// New namespaces begin with the kernel's default, which is 1.
std::string bridge_netfilter() {
    return std::filesystem::exists("/proc/sys/net/bridge/bridge-nf-call-iptables")
               ? "loaded: what a bridge forwards goes through iptables too"
               : "not loaded";
}

}  // namespace

std::string now() {
    const std::time_t seconds = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
    std::tm parts{};
    gmtime_r(&seconds, &parts);
    std::array<char, 64> text{};
    std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M UTC", &parts);
    return text.data();
}

std::string machine() {
    std::ifstream file("/proc/cpuinfo");
    std::string model = "unknown processor";
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with("model name")) {
            model = line.substr(line.find(':') + 2);
            break;
        }
    }
    return std::to_string(std::thread::hardware_concurrency()) + " CPUs, " + model;
}

std::string kernel() {
    utsname name{};
    uname(&name);
    return std::string(name.sysname) + " " + name.release + " " + name.machine;
}

std::map<std::string, std::string> setting(const std::string& plugin) {
    const std::string governor = of_cpu(choose_cpus(false).client, "cpufreq/scaling_governor");
    return {{"causeway", std::string(CAUSEWAY_VERSION) + ", commit " + CAUSEWAY_COMMIT},
            {"plugin", plugin},
            {"reference plugins", reference_plugins()},
            {"iptables", said_by({"iptables", "--version"})},
            {"br_netfilter", bridge_netfilter()},
            {"cpufreq governor", governor.empty() ? "none" : governor},
            {"CPUs", pinned_to()},
            {"load average before", or_unknown(first_line_of("/proc/loadavg"))}};
}

}  // namespace causeway::bench
