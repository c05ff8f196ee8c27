// SPDX-License-Identifier: Apache-2.0
// A program, one of whose system calls fails, or is the last of whoever makes it: so every step of it can go wrong in
// its turn.
//
// The kernel reports each call before it is made (seccomp user notification), and does with it what it is told. So
// faults are the kernel's, as the program sees them, and no code is there for the test's sake.
#pragma once

#include <cstdint>
#include <functional>
#include <iosfwd>
#include <map>
#include <string>
#include <vector>

#include "tests/support/world.hpp"

namespace causeway::test {

struct Fault {
    enum class Kind { none, error, kill, kill_group };  // kill: of whom the calls are, and of nobody else
    enum class Callers { program, children, all };      // children: all that it forks, and they in their turn

    Kind kind = Kind::none;
    int nth = 0;                                // 1: the first of the calls that count
    int times = 1;                              // how many in a row
    int error = 0;                              // what it fails with
    std::vector<int> calls{};                   // by number, SYS_bpf for one; empty: all count
    std::vector<std::uint64_t> bpf_commands{};  // of SYS_bpf: BPF_OBJ_PIN for one; empty: all count
    Callers callers = Callers::program;         // whose calls count
    std::function<void()> before{};             // what happens on the host before each call that counts is made
    // Of a row of calls that make maps, or pin, open or unpin one thing after another, the first two of each kind
    // count: the others leave nothing else. Maps without a pin die with the program; a directory of pins is removed
    // whole, and has the name that others open only while it is whole. Empty, with some and full are the states that it
    // has, and the call after the row finds the last.
    bool few_of_alike = false;
};

// System calls that fail in the same way: a test's parameter.
struct Group {
    std::string name;
    std::vector<int> calls;
    int error;
};

struct Faulted {
    Output output;
    int counted = 0;             // calls that counted
    std::map<int, int> of_each;  // the same, by number
    std::string call;            // the call that was hit, as "321(2, ...)"; empty: there were fewer
    int number = -1;             // of it
    std::uint64_t argument = 0;  // its first: of SYS_bpf the command
};

// Counting begins when the program reads its stdin, since what comes before is the loader's. Returns when the program
// and all that it started have ended. argv[0] is a path.
Faulted run_with(const Fault& fault, const std::vector<std::string>& argv, const RunOptions& options);

void PrintTo(const Group& group, std::ostream* stream);

}  // namespace causeway::test
