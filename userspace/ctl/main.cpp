// SPDX-License-Identifier: Apache-2.0
// causewayctl: what the operator asks of the datapath.
#include <CLI/CLI.hpp>

#include <cstdio>

#include "userspace/ctl/command.hpp"

int main(int argc, char** argv) {
    using namespace causeway;
    CLI::App app("Look into causeway's datapath, and connect sandboxes by hand.", "causewayctl");
    app.require_subcommand(1);
    app.footer(
        "Exit status: 0 done, 1 failed (the reason is on stderr), 2 wrong usage, 3 the datapath is not loaded.\n"
        "\"causewayctl COMMAND --help\" tells more of each. Needs root.");
    ctl::Action chosen;
    ctl::add_sandbox(app, chosen);
    ctl::add_endpoints(app, chosen);
    ctl::add_flows(app, chosen);
    ctl::add_stats(app, chosen);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? ctl::done : ctl::wrong_usage;
    }
    const auto result = chosen();
    if (!result) {
        std::fprintf(stderr, "causewayctl: %s\n", result.error().message.c_str());
        if (!result.error().details.empty()) {
            std::fprintf(stderr, "  %s\n", result.error().details.c_str());
        }
        return ctl::failed;
    }
    return *result;
}
