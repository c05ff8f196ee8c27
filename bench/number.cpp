// SPDX-License-Identifier: Apache-2.0
#include "bench/number.hpp"

#include <array>
#include <cctype>
#include <cstdio>

namespace causeway::bench {

std::string number(double value, int digits) {
    std::array<char, 64> written{};
    std::snprintf(written.data(), written.size(), "%.*f", digits, value);
    std::string text = written.data();
    std::size_t end = text.find('.');
    end = end == std::string::npos ? text.size() : end;
    while (end > 3 && std::isdigit(static_cast<unsigned char>(text[end - 4]))) {
        end -= 3;
        text.insert(end, 1, ',');
    }
    return text;
}

std::string ratio_number(double value) {
    return number(value, value < 0.1 ? 3 : 2);
}

std::string spread_text(double share, int rounds) {
    return rounds > 1 ? " ±" + number(100 * share, 0) + "%" : "";
}

}  // namespace causeway::bench
