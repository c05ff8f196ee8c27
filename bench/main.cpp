// SPDX-License-Identifier: Apache-2.0
// causeway-bench: a wire, the usual ways to connect sandboxes, and causeway, measured in turn.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/against.hpp"
#include "bench/bars.hpp"
#include "bench/markdown.hpp"
#include "bench/others.hpp"
#include "bench/page.hpp"
#include "bench/plan.hpp"
#include "bench/race.hpp"
#include "bench/setting.hpp"
#include "bench/table.hpp"

namespace causeway::bench {
namespace {

enum ExitStatus { done = 0, failed = 1, bar_missed = 3, ratio_fell = 4 };

std::string default_plugin() {
    const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe");
    return (self.parent_path() / "../cni/causeway").lexically_normal();
}

struct Options {
    bool quick = false, full = false, check = false;
    int rounds = 0;
    std::vector<std::string> only, modes;
    std::string json, html, markdown, from, against, bars = CAUSEWAY_BARS, plugin = default_plugin();
};

void write(const std::string& path, const std::string& text) {
    if (path.empty()) {
        return;
    }
    // An interrupt must not leave half of it; what is no file (/dev/stdout) has no place beside it.
    const bool file = std::filesystem::is_regular_file(path);
    const std::string whole = file ? std::filesystem::canonical(path).string() : path,
                      to = whole + (file ? ".new" : "");
    if (!(std::ofstream(to) << text << std::flush)) {
        throw std::runtime_error("cannot write " + path);
    }
    if (file) {
        std::filesystem::rename(to, whole);
    }
}

void write_json(const Options& options, const Record& record) {
    write(options.json, record.to_json().dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

// Before the long wait, if it cannot be; leaves alone what is there.
void expect_writable(const std::string& path) {
    if (!path.empty() && !std::ofstream(path, std::ios::app)) {
        throw std::runtime_error("cannot write " + path);
    }
}

Record measured(const Options& options) {
    if (geteuid() != 0) {
        throw std::runtime_error("it makes network namespaces: run it as root");
    }
    Plan plan = plan_of(options.quick ? Extent::quick : options.full ? Extent::full : Extent::usual);
    plan.rounds = options.rounds ? options.rounds : plan.rounds;
    plan.only = options.only;
    plan.modes = options.modes;
    plan.plugin = std::filesystem::absolute(options.plugin);
    if (const std::string missing = missing_generators(others_steps(plan)); !missing.empty()) {
        throw std::runtime_error("it needs programs that are not there (./run bench --full installs them): " + missing);
    }
    Record record;
    record.conditions = {.date = now(),
                         .machine = machine(),
                         .kernel = kernel(),
                         .extent = plan.extent,
                         .rounds = plan.rounds,
                         .milliseconds = static_cast<long>(plan.time.count()),
                         .adds = plan.adds,
                         .setting = setting(plan.plugin)};
    record.complete = false;
    race(plan, record, [&] { write_json(options, record); });
    record.complete = true;
    return record;
}

nlohmann::json read_json(const std::string& path) {
    std::ifstream file(path);
    if (!file) {
        throw std::runtime_error("cannot read " + path);
    }
    return nlohmann::json::parse(file);
}

// What --check complains about; empty: nothing.
std::string complaints(const Record& record, const std::vector<Bar>& bars) {
    std::string lines;
    if (none_measured(bars, record.results)) {
        lines += "no bar could be judged: this run measured none of their figures\n";
    }
    if (!all_met(bars, record.results)) {
        lines += "a bar is missed\n";
    }
    for (const Failure& failure : failures_of(record)) {
        if (failure.column.ours) {
            lines += failure.column.key + ", " + failure.figure + ": " + std::to_string(failure.count) + " failed\n";
        }
    }
    return lines;
}

// Says what fell since the earlier run; returns whether anything did, or nothing could be compared.
bool has_fallen(const Record& earlier, const Record& record, const std::vector<Bar>& bars) {
    const std::vector<Change> changes = changes_since(earlier, record, bars);
    std::cout << "\nAgainst the run of " << earlier.conditions.date << ", " << earlier.conditions.machine << ", "
              << earlier.conditions.kernel << ":\n"
              << text_of(changes) << std::flush;
    if (changes.empty()) {
        std::cerr << "causeway-bench: --against: the earlier run has no ratio that this one has\n";
    }
    return changes.empty() || std::ranges::any_of(changes, &Change::fell);
}

int report(const Options& options) {
    const std::vector<Bar> bars = bars_from(read_json(options.bars));  // before the long wait, if it is wrong
    std::optional<Record> earlier;
    if (!options.against.empty()) {
        earlier = Record::from_json(read_json(options.against));
    }
    for (const std::string& path : {options.json, options.html, options.markdown}) {
        expect_writable(path);
    }
    const Record record = options.from.empty() ? measured(options) : Record::from_json(read_json(options.from));
    std::cout << table(record) << "\nWhat causeway ought to reach on a quiet machine:\n"
              << verdict_on(bars, record.results, options.check) << std::flush;
    for (const std::string& error : record.errors) {
        std::cerr << "causeway-bench: " << error << "\n";
    }
    write_json(options, record);
    write(options.html, page(record, bars));
    write(options.markdown, markdown(record, bars));
    const bool fell = earlier && has_fallen(*earlier, record, bars);
    const std::string wrong = options.check ? complaints(record, bars) : "";
    std::istringstream lines(wrong);
    for (std::string line; std::getline(lines, line);) {
        std::cerr << "causeway-bench: --check: " << line << "\n";
    }
    return !record.errors.empty() ? failed : !wrong.empty() ? bar_missed : fell ? ratio_fell : done;
}

int run(int argc, char** argv) {
    Options options;
    CLI::App app(
        "Measures a bare wire, the reference plugins bridge and ptp, a bridge made by hand, and causeway, in turn, in\n"
        "network namespaces of its own.",
        "causeway-bench");
    app.footer(
        "Exit status: 0 all could be measured; 1 something could not; 3 with --check, a bar is missed, an attempt of\n"
        "causeway's failed, or no bar could be judged; 4 with --against, a ratio fell, or there was none to compare. "
        "A\n"
        "figure that the run does not have misses no bar.");
    auto* quick =
        app.add_flag("--quick", options.quick, "Three short rounds, fewer sizes and modes: a look, in some minutes");
    app.add_flag("--full", options.full, "All sizes, and iperf3, sockperf and wrk too: up to an hour")->excludes(quick);
    app.add_flag("--check", options.check, "Fail where a ratio misses its bar, or an attempt of causeway's failed");
    app.add_option("--against", options.against,
                   "Fail where a ratio is worse than in this run, that --json has written")
        ->check(CLI::ExistingFile);
    app.add_option("--json", options.json, "Also write all samples to this file, after each round");
    app.add_option("--html", options.html, "Also write a report with charts to this file");
    app.add_option("--markdown", options.markdown,
                   "Also write the tables of README.md and docs/performance.md to this file");
    app.add_option("--from", options.from, "Measure nothing: report on what --json has written")
        ->check(CLI::ExistingFile);
    app.add_option("--rounds", options.rounds, "How often each is measured; 5, or 3 with --quick")
        ->check(CLI::Range(1, 1000));
    app.add_option("--only", options.only, "Measure nothing but these, e.g. --only tcp_world packets adds")
        ->check(CLI::IsMember(all_steps()));
    app.add_option("--modes", options.modes, "Only these, and all that they can do, e.g. --modes wire6 causeway6 tcx")
        ->check(CLI::IsMember(mode_names()));
    app.add_option("--bars", options.bars, "The bars")->capture_default_str();
    app.add_option("--plugin", options.plugin, "causeway's plugin")->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    return report(options);
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
