// SPDX-License-Identifier: Apache-2.0
// causeway-bench: a wire, the reference bridge plugin and causeway, measured in turn.
#include <sys/utsname.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <chrono>
#include <ctime>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>
#include <thread>

#include "bench/race.hpp"
#include "bench/report.hpp"

namespace causeway::bench {
namespace {

std::string default_plugin() {
    const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe");
    return (self.parent_path() / "../cni/causeway").lexically_normal();
}

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

Conditions conditions(const Plan& plan) {
    return {now(), machine(), kernel(), plan.rounds, static_cast<long>(plan.time.count()), plan.adds};
}

int report(const Plan& plan, const std::string& json_path) {
    const Conditions found = conditions(plan);
    const Outcome outcome = race(plan);
    std::cout << table(found, outcome.results);
    for (const std::string& error : outcome.errors) {
        std::cerr << "causeway-bench: " << error << "\n";
    }
    if (!json_path.empty() && !(std::ofstream(json_path) << dump(found, outcome.results).dump(2) << "\n"
                                                         << std::flush)) {
        std::cerr << "causeway-bench: cannot write " << json_path << "\n";
        return 1;
    }
    return outcome.errors.empty() ? 0 : 1;
}

int run(int argc, char** argv) {
    CLI::App app(
        "Measures a bare wire, the reference bridge plugin and causeway in turn, in network namespaces of its own.\n"
        "Ends with 0 if all could be measured, whatever the figures; with 1 if not.",
        "causeway-bench");
    int rounds = 0;
    bool quick = false;
    std::string json_path, plugin = default_plugin();
    app.add_option("--rounds", rounds, "How often each is measured; 5, or 1 with --quick")->check(CLI::Range(1, 1000));
    app.add_flag("--quick", quick, "0.2 s a measurement in place of 1 s, 3 ADDs in place of 10: a look, no result");
    app.add_option("--json", json_path, "Also write all samples to this file");
    app.add_option("--plugin", plugin, "causeway's plugin")->capture_default_str();
    CLI11_PARSE(app, argc, argv);

    if (geteuid() != 0) {
        std::cerr << "causeway-bench: it makes network namespaces: run it as root\n";
        return 1;
    }
    const int usual_rounds = quick ? 1 : 5;
    return report({.rounds = rounds ? rounds : usual_rounds,
                   .time = Duration(quick ? 200 : 1000),
                   .adds = quick ? 3 : 10,
                   .plugin = plugin},
                  json_path);
}

}  // namespace
}  // namespace causeway::bench

int main(int argc, char** argv) {
    try {
        return causeway::bench::run(argc, argv);
    } catch (const std::exception& error) {
        std::cerr << "causeway-bench: " << error.what() << "\n";
        return 1;
    }
}
