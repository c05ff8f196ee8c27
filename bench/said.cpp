// SPDX-License-Identifier: Apache-2.0
#include "bench/said.hpp"

#include <cstddef>
#include <cstdlib>
#include <stdexcept>

namespace causeway::bench {

double number_after(const std::string& text, const std::string& before) {
    const std::size_t at = text.find(before);
    if (at == std::string::npos) {
        throw std::runtime_error("no \"" + before + "\" in: " + text);
    }
    const char* const begin = text.c_str() + at + before.size();
    char* end = nullptr;
    const double number = std::strtod(begin, &end);
    if (end == begin) {
        throw std::runtime_error("no number behind \"" + before + "\" in: " + text);
    }
    return number;
}

// Its other lines have some of the same words: "Thread Stats".
long failed_requests(const std::string& said) {
    double failed = 0;
    if (const std::size_t errors = said.find("Socket errors:"); errors != std::string::npos) {
        for (const char* const kind : {"connect ", "read ", "write ", "timeout "}) {
            failed += number_after(said.substr(errors), kind);
        }
    }
    if (const std::string other = "Non-2xx or 3xx responses:"; said.contains(other)) {
        failed += number_after(said, other);
    }
    return static_cast<long>(failed);
}

}  // namespace causeway::bench
