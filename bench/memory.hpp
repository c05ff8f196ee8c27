// SPDX-License-Identifier: Apache-2.0
// How much memory the kernel itself has in use.
#pragma once

namespace causeway::bench {

// Bytes: slabs with their large allocations, memory per CPU, and vmalloc.
double kernel_memory();

}  // namespace causeway::bench
