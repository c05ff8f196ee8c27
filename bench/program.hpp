// SPDX-License-Identifier: Apache-2.0
// How long causeway's programs take for a packet.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "bench/mode.hpp"

namespace causeway::bench {

// By BPF_PROG_TEST_RUN, in ns, by figure: program_sandbox, program_world, program_uplink. Throws unless each packet
// takes the way that the figure names.
std::map<std::string, double> program_times(const Network& network, int cpu);

// Nanoseconds that each run of a program takes while `load` is on, by the kernel's BPF statistics, which are on for so
// long. Only of programs that ran.
enum class Program : std::uint8_t { from_sandbox, from_host, from_uplink };
std::map<Program, double> program_times_under(const std::function<void()>& load);

}  // namespace causeway::bench
