// SPDX-License-Identifier: Apache-2.0
// Gives every file of a directory to a fuzz target, and each cut short, too: the corpus as a test, with any compiler.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz_target.hpp"

int main(int count, char** arguments) {
    if (count != 2 || !std::filesystem::is_directory(arguments[1])) {
        std::fprintf(stderr, "usage: %s DIRECTORY\n", arguments[0]);
        return 2;
    }
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(arguments[1])) {
        files.push_back(entry.path());
    }
    std::ranges::sort(files);
    std::size_t inputs = 0;
    for (const auto& file : files) {
        std::ostringstream stream;
        stream << std::ifstream(file, std::ios::binary).rdbuf();
        const std::string text = stream.str();
        std::printf("%s: %zu bytes\n", file.filename().c_str(), text.size());
        std::fflush(stdout);  // so that the last line names what ended the program
        const std::size_t step = text.size() / 256 + 1;
        for (std::size_t size = 0; size < text.size(); size += step) {
            causeway::fuzz::try_input(std::string_view(text).substr(0, size));
            inputs++;
        }
        causeway::fuzz::try_input(text);
        inputs++;
    }
    std::printf("%zu inputs from %zu files\n", inputs, files.size());
    return files.empty() ? 1 : 0;
}
