// SPDX-License-Identifier: Apache-2.0
#include "userspace/libbpf_log.hpp"

#include <bpf/libbpf.h>

#include <array>
#include <cstdarg>
#include <cstdio>

namespace causeway {

namespace {

constexpr std::size_t shown = 2048;

std::string& kept() {
    static std::string text;
    return text;
}

int keep(libbpf_print_level level, const char* format, va_list arguments) {
    if (level == LIBBPF_DEBUG) {
        return 0;
    }
    std::array<char, shown> line{};
    const int length = std::vsnprintf(line.data(), line.size(), format, arguments);
    auto& text = kept();
    text += line.data();
    if (text.size() > 4 * shown) {
        text.erase(0, text.size() - 2 * shown);
    }
    return length;
}

// Before anybody can call libbpf, so that no caller has to think of it.
[[maybe_unused]] const libbpf_print_fn_t printed_before = libbpf_set_print(keep);

}  // namespace

void forget_libbpf_log() {
    kept().clear();
}

std::string libbpf_log() {
    const auto& text = kept();
    return text.size() > shown ? text.substr(text.size() - shown) : text;
}

}  // namespace causeway
