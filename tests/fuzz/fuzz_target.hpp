// SPDX-License-Identifier: Apache-2.0
// What a fuzz target is: one function, called with one input after another by libFuzzer or by the replay of the corpus.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace causeway::fuzz {

// Ends the program where something that holds for every input does not hold for this one.
void try_input(std::string_view input);

inline void require(bool holds, const char* what) {
    if (!holds) {
        std::fprintf(stderr, "does not hold: %s\n", what);
        std::abort();
    }
}

}  // namespace causeway::fuzz
