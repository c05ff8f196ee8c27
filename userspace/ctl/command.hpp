// SPDX-License-Identifier: Apache-2.0
// What every subcommand of causewayctl is: options on a CLI11 command, and a function that runs it.
#pragma once

#include <CLI/CLI.hpp>

#include <expected>
#include <functional>

#include "userspace/error.hpp"

namespace causeway::ctl {

enum ExitStatus { done = 0, failed = 1, wrong_usage = 2, not_loaded = 3 };

// An exit status, or an error for stderr.
using Action = std::function<std::expected<int, Error>()>;

// Says so on stderr, and returns not_loaded.
int tell_not_loaded();

// The same where a listing of nothing would not be the truth: devices of causeway's are here, so its records are
// elsewhere or lost. Else done: nothing is connected.
int tell_unseen();

// Each adds its subcommand and says through chosen what to run when it was given.
void add_sandbox(CLI::App& app, Action& chosen);
void add_endpoints(CLI::App& app, Action& chosen);
void add_flows(CLI::App& app, Action& chosen);
void add_gc(CLI::App& app, Action& chosen);
void add_stats(CLI::App& app, Action& chosen);

}  // namespace causeway::ctl
