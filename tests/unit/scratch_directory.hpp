// SPDX-License-Identifier: Apache-2.0
// A directory of one test's own, gone when the test is.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace causeway::test {

class ScratchDirectory {
public:
    ScratchDirectory() : path_(testing::TempDir() + "causeway-unit-XXXXXX") {
        EXPECT_NE(mkdtemp(path_.data()), nullptr) << path_;
    }
    ScratchDirectory(const ScratchDirectory&) = delete;
    ScratchDirectory& operator=(const ScratchDirectory&) = delete;
    ~ScratchDirectory() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }

    const std::string& path() const { return path_; }

    std::string write(const std::string& name, std::string_view text) const {
        const std::string file = path_ + "/" + name;
        std::ofstream(file) << text;
        return file;
    }

    std::string read(const std::string& name) const {
        std::ostringstream text;
        text << std::ifstream(path_ + "/" + name).rdbuf();
        return text.str();
    }

private:
    std::string path_;
};

}  // namespace causeway::test
