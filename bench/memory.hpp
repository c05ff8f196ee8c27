// SPDX-License-Identifier: Apache-2.0
// How much memory the machine has in use, beyond what it would give back when asked.
#pragma once

namespace causeway::bench {

// Bytes: all that is neither free, nor page cache, nor buffers. Other programs' memory is in it as well.
double memory_in_use();

}  // namespace causeway::bench
