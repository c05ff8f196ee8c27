// SPDX-License-Identifier: Apache-2.0
// causewayctl stats: how packets ended, by verdict.
#include <array>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <memory>
#include <thread>

#include "userspace/ctl/command.hpp"
#include "userspace/ctl/table.hpp"
#include "userspace/datapath.hpp"

namespace causeway::ctl {

namespace {

struct Verdict {
    std::string name;
    const char* text;
};

// DROP_NO_ROUTE in the datapath is drop-no-route to people.
std::string name_for_people(std::string name) {
    for (auto& letter : name) {
        letter = letter == '_' ? '-' : static_cast<char>(std::tolower(letter));
    }
    return name;
}

std::vector<Verdict> all_verdicts() {
    return {
#define X(name, text) {name_for_people(#name), text},
        CAUSEWAY_VERDICTS(X)
#undef X
    };
}

std::array<std::uint64_t, VERDICT_COUNT> read_totals(const Datapath& datapath) {
    std::array<std::uint64_t, VERDICT_COUNT> totals{};
    for (std::uint32_t verdict = 0; verdict < VERDICT_COUNT; verdict++) {
        totals.at(verdict) = datapath.verdicts.sum(verdict).value_or(0);
    }
    return totals;
}

std::expected<int, Error> show_stats(double interval, bool all, bool as_json) {
    const auto datapath = TRY(none_where(ENOENT, Datapath::open_of_any_netns()));
    if (!datapath) {
        return tell_not_loaded();
    }
    const auto before = read_totals(*datapath);
    std::this_thread::sleep_for(std::chrono::duration<double>(interval));
    const auto after = read_totals(*datapath);
    const auto verdicts = all_verdicts();
    Table table({{"VERDICT", "verdict"},
                 {"PACKETS", "packets", true},
                 {"PER SECOND", "perSecond", true},
                 {"MEANING", "meaning"}});
    for (std::size_t i = VERDICT_CONTINUE + 1; i < verdicts.size(); i++) {
        if (after.at(i) == 0 && !all && !as_json) {
            continue;
        }
        nlohmann::ordered_json rate;
        if (interval > 0) {
            rate = std::llround(static_cast<double>(after.at(i) - before.at(i)) / interval);
        }
        table.add({verdicts[i].name, after.at(i), rate, verdicts[i].text});
    }
    table.print(as_json);
    return done;
}

}  // namespace

void add_stats(CLI::App& app, Action& chosen) {
    auto* command = app.add_subcommand("stats", "How packets ended: every verdict by name, total and rate");
    struct Options {
        double interval = 1;
        bool all = false, as_json = false;
    };
    auto options = std::make_shared<Options>();
    command->add_option("-i,--interval", options->interval, "seconds over which the rate is taken; 0: no rate, no wait")
        ->check(CLI::Range(0.0, 3600.0))
        ->capture_default_str();
    command->add_flag("-a,--all", options->all, "also verdicts that no packet had");
    add_output_option(*command, options->as_json);
    command->footer("Exit status 3: nothing is loaded, so there is nothing to count.");
    command->callback([&chosen, options] {
        chosen = [options] { return show_stats(options->interval, options->all, options->as_json); };
    });
}

}  // namespace causeway::ctl
