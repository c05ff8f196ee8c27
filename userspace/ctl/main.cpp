// SPDX-License-Identifier: Apache-2.0
// causewayctl: what the operator asks of the datapath.
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "userspace/ctl/command.hpp"
#include "userspace/orphan.hpp"

namespace causeway::ctl {

int tell_not_loaded() {
    auto netlink = Netlink::open();
    const auto seen = netlink ? refuse_unseen(*netlink) : std::expected<void, Error>{};  // to say it needs no lock
    std::fprintf(stderr, "causewayctl: the datapath is not loaded: %s\n",
                 seen ? "no sandbox is connected" : seen.error().message.c_str());
    return not_loaded;
}

namespace {

// "sandbox exec NAME -- COMMAND": what follows is the command's all the same, so the separator goes.
std::vector<std::string> arguments_of(int argc, char** argv) {
    std::vector<std::string> arguments(argv + 1, argv + argc);
    if (arguments.size() > 3 && arguments[0] == "sandbox" && arguments[1] == "exec" && arguments[3] == "--") {
        arguments.erase(arguments.begin() + 3);
    }
    std::ranges::reverse(arguments);  // as CLI11 wants them
    return arguments;
}

int run(int argc, char** argv) {
    CLI::App app("Look into causeway's datapath, and connect sandboxes by hand.", "causewayctl");
    app.require_subcommand(1);
    app.footer(
        "Exit status: 0 done, 1 failed (the reason is on stderr), 2 wrong usage, 3 the datapath is not loaded.\n"
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
        std::fprintf(stderr, "causewayctl: %s\n", result.error().message.c_str());
        if (!result.error().details.empty()) {
            std::fprintf(stderr, "  %s\n", result.error().details.c_str());
        }
        return failed;
    }
    return *result;
}

}  // namespace

}  // namespace causeway::ctl

int main(int argc, char** argv) {
    try {
        return causeway::ctl::run(argc, argv);
    } catch (const std::exception& exception) {
        std::fputs("causewayctl: unexpected: ", stderr);
        std::fputs(exception.what(), stderr);
        std::fputs("\n", stderr);
        return causeway::ctl::failed;
    }
}
