// SPDX-License-Identifier: Apache-2.0
// A directory of CNI plugins that are shell scripts, which note how they are called.
#pragma once

#include <filesystem>
#include <string>

#include "tests/unit/scratch_directory.hpp"

namespace causeway::test {

class PluginDirectory {
public:
    // The body reads no stdin: that is noted before it runs.
    void add(const std::string& name, const std::string& body) const {
        const auto& place = scratch_.path();
        const auto file = scratch_.write(
            name, "#!/bin/sh\ncat >" + place + "/input\necho $CNI_COMMAND >>" + place + "/calls\n" + body + "\n");
        std::filesystem::permissions(file, std::filesystem::perms::owner_all);
    }

    const std::string& path() const { return scratch_.path(); }

    std::string calls() const { return scratch_.read("calls"); }  // a command a line
    std::string last_input() const { return scratch_.read("input"); }

private:
    ScratchDirectory scratch_;
};

}  // namespace causeway::test
