// SPDX-License-Identifier: Apache-2.0
// BPF programs on devices, asked of the kernel itself and not of causeway.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace causeway::test {

enum class Direction { ingress, egress };

// Names of the programs on a device of the caller's namespace, in the order in which they run: TCX, then clsact.
std::vector<std::string> programs_on(const std::string& device, Direction direction);

// Takes one of them off, as an operator would by accident; throws where there is none of that name.
void detach(const std::string& device, Direction direction, const std::string& program);

// Every one of the namespace, a line each; empty where there is none. Behind them, what tc says to more questions.
std::string all_programs(const std::string& more_questions = {});

// What another tool's program makes of each packet, and where it wants to be. By tc, its place is what tc gives it, or
// the very one that causeway's own filters have.
struct Foreign {
    bool accepts = false;  // so that nobody behind it on the hook sees the packet; else it is left to the next
    bool first = false;    // whoever is there
    const char* name = "foreign";
};

// Another tool's program: counts packets. It stays when this goes.
class ForeignProgram {
public:
    enum class Hook { tcx, clsact };

    ForeignProgram(const std::string& device, Direction direction, Hook hook, const Foreign& foreign = {});
    ForeignProgram(const ForeignProgram&) = delete;
    ForeignProgram& operator=(const ForeignProgram&) = delete;
    ~ForeignProgram();

    std::uint64_t packets() const;

private:
    int map_ = -1, program_ = -1;
};

}  // namespace causeway::test
