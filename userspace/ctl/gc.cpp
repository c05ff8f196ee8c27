// SPDX-License-Identifier: Apache-2.0
// causewayctl gc: what no sandbox uses any more, found and removed.
#include <cstdio>
#include <memory>

#include "userspace/collection.hpp"
#include "userspace/ctl/command.hpp"
#include "userspace/ctl/table.hpp"

namespace causeway::ctl {

namespace {

std::expected<int, Error> collect(const Collection& collection, bool as_json) {
    Table table({{collection.dry_run ? "WOULD BE REMOVED" : "REMOVED", "what"}, {"BECAUSE", "why"}});
    const auto [orphans, remarks] = TRY(collect_orphans(collection));
    for (const auto& remark : remarks) {
        std::fprintf(stderr, "causewayctl: %s\n", remark.c_str());
    }
    for (const auto& orphan : orphans) {
        table.add({orphan.what, orphan.why});
    }
    if (as_json || !orphans.empty()) {
        table.print(as_json);
    } else {
        std::printf("nothing is left over\n");
    }
    return done;
}

}  // namespace

void add_gc(CLI::App& app, Action& chosen) {
    auto* command = app.add_subcommand("gc", "Remove what no sandbox uses any more, after kills and forgotten DELs");
    command->footer(
        "It finds by itself what is left over: sandboxes whose namespace or host end is gone, half-made ones of\n"
        "killed ADDs, half-removed ones of killed DELs, host ends, gateway devices and entries that are on no record,\n"
        "networks whose last sandbox is gone while others have some, and the datapath where there is no sandbox.\n"
        "A sandbox that works is never touched. Where devices or programs of causeway's are here and no datapath is\n"
        "seen, that can't be told: it names them and changes nothing, unless --without-datapath says that the pins\n"
        "are lost. Leases of another IPAM plugin are that plugin's: a runtime's DEL or GC frees them.");
    struct Options {
        Collection collection;
        bool as_json = false;
    };
    auto options = std::make_shared<Options>();
    command->add_flag("-n,--dry-run", options->collection.dry_run, "say what would be removed, and change nothing");
    command->add_flag("--without-datapath", options->collection.without_datapath,
                      "the pins of the datapath are lost for good: remove all devices and programs that it had here,\n"
                      "also those of sandboxes that run");
    add_output_option(*command, options->as_json);
    command->callback(
        [&chosen, options] { chosen = [options] { return collect(options->collection, options->as_json); }; });
}

}  // namespace causeway::ctl
