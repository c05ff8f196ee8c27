// SPDX-License-Identifier: Apache-2.0
// causewayctl: what the operator asks of the datapath.
#include <CLI/CLI.hpp>

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "userspace/ctl/command.hpp"
#include "userspace/orphan.hpp"

namespace causeway::ctl {

namespace {

std::expected<void, Error> see() {
    auto netlink = TRY(Netlink::open());
    return refuse_unseen(netlink);  // to say it needs no lock
}

void tell(const std::string& step, const Error& error) {
    std::fprintf(stderr, "causewayctl: %s%s\n", step.c_str(), error.message.c_str());
    if (!error.details.empty()) {
        std::fprintf(stderr, "  %s\n", error.details.c_str());
    }
    if ((error.number == EPERM || error.number == EACCES) && geteuid() != 0) {
        std::fputs("  run it as root\n", stderr);
    }
}

}  // namespace

int tell_unseen() {
    const auto seen = see();
    if (seen) {
        return done;
    }
    tell("the datapath is not loaded: ", seen.error());
    return not_loaded;
}

int tell_not_loaded() {
    if (tell_unseen() == done) {
        std::fputs("causewayctl: the datapath is not loaded: no sandbox is connected\n", stderr);
    }
    return not_loaded;
}

namespace {

// "sandbox exec -- NAME -- COMMAND": what follows is the command's all the same, so the separators go.
std::vector<std::string> arguments_of(int argc, char** argv) {
    std::vector<std::string> arguments(argv + 1, argv + argc);
    for (const std::size_t place : {2, 3}) {
        if (arguments.size() > place && arguments[0] == "sandbox" && arguments[1] == "exec" &&
            arguments[place] == "--") {
            arguments.erase(arguments.begin() + static_cast<std::ptrdiff_t>(place));
        }
    }
    std::ranges::reverse(arguments);  // as CLI11 wants them
    return arguments;
}

// CLI11 says what is missing, though it is a word that nobody knows which should have been that.
std::string usage_error(const CLI::App* app, const CLI::Error& error) {
    const auto unknown = app->remaining(true);
    const bool is_named = unknown.empty() || error.get_name() == "ExtrasError";
    return (is_named ? "" : "\"" + unknown.front() + "\" is no command\n") + CLI::FailureMessage::simple(app, error);
}

int run(int argc, char** argv) {
    CLI::App app("Look into causeway's datapath, and connect sandboxes by hand.", "causewayctl");
    app.failure_message(usage_error);
    app.set_version_flag("--version",
                         "causewayctl " CAUSEWAY_VERSION ", datapath ABI " + std::to_string(CAUSEWAY_ABI_VERSION));
    app.require_subcommand(1);
    app.footer(
        "Exit status: 0 done, 1 failed (the reason is on stderr), 2 wrong usage, 3 the datapath is not loaded.\n"
        "Where nothing is connected, endpoints and flows are empty, which is no failure; they have 3 where devices of\n"
        "causeway's show that its records are elsewhere or lost.\n"
        "\"causewayctl COMMAND --help\" tells more of each. Needs root.");
    Action chosen;
    add_sandbox(app, chosen);
    add_endpoints(app, chosen);
    add_flows(app, chosen);
    add_stats(app, chosen);
    add_gc(app, chosen);
    try {
        app.parse(arguments_of(argc, argv));
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? done : wrong_usage;
    }
    const auto result = chosen();
    if (!result) {
        tell("", result.error());
        return failed;
    }
    return *result;
}

// What was not written has not been said: a full disk is a failure too.
int finish(int status) {
    errno = 0;
    if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) {
        return status;
    }
    tell("", errno_error("write the answer"));
    return failed;
}

}  // namespace

}  // namespace causeway::ctl

int main(int argc, char** argv) {
    try {
        return causeway::ctl::finish(causeway::ctl::run(argc, argv));
    } catch (const std::exception& exception) {
        std::fputs("causewayctl: unexpected: ", stderr);
        std::fputs(exception.what(), stderr);
        std::fputs("\n", stderr);
        return causeway::ctl::failed;
    }
}
