// SPDX-License-Identifier: Apache-2.0
// What libbpf would print: kept, since stderr is the caller's, and for the error that it explains. Layer 1.
#pragma once

#include <string>

namespace causeway {

// From the first byte of the process on nothing of it is printed. Forgets what was said so far.
void forget_libbpf_log();

// What was said since: the end of it, where it is long. The kernel's own words for a refusal are in it.
std::string libbpf_log();

}  // namespace causeway
