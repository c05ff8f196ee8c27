// SPDX-License-Identifier: Apache-2.0
// The name by which libFuzzer calls a target.
#include <cstddef>
#include <cstdint>

#include "tests/fuzz/fuzz_target.hpp"

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    causeway::fuzz::try_input({reinterpret_cast<const char*>(data), size});
    return 0;
}
