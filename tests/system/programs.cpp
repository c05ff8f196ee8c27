// SPDX-License-Identifier: Apache-2.0
#include "tests/system/programs.hpp"

#include <bpf/bpf.h>
#include <net/if.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace causeway::test {
namespace {

// enum bpf_attach_type of Linux 6.6: newer than the headers that this is built with.
bpf_attach_type hook_of(Direction direction) {
    return static_cast<bpf_attach_type>(direction == Direction::ingress ? 46 : 47);
}

std::vector<std::uint32_t> ids_on(unsigned ifindex, Direction direction) {
    std::array<std::uint32_t, 64> ids{};
    std::uint32_t count = ids.size();
    if (bpf_prog_query(static_cast<int>(ifindex), hook_of(direction), 0, nullptr, ids.data(), &count) != 0) {
        if (errno == ENODEV || errno == ENOENT) {
            return {};
        }
        throw std::runtime_error(std::string("query a TCX hook: ") + std::strerror(errno));
    }
    return {ids.begin(), ids.begin() + count};
}

// The program behind an id, open as long as this lives.
struct Program {
    explicit Program(std::uint32_t id) : fd(bpf_prog_get_fd_by_id(id)) {
        bpf_prog_info info{};
        std::uint32_t size = sizeof(info);
        if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &size) == 0) {
            name = info.name;
        }
    }
    Program(const Program&) = delete;
    Program& operator=(const Program&) = delete;
    ~Program() { close(fd); }

    int fd;
    std::string name;
};

}  // namespace

std::vector<std::string> programs_on(const std::string& device, Direction direction) {
    std::vector<std::string> names;
    for (const auto id : ids_on(if_nametoindex(device.c_str()), direction)) {
        names.push_back(Program(id).name);
    }
    return names;
}

void detach(const std::string& device, Direction direction, const std::string& program) {
    const auto ifindex = if_nametoindex(device.c_str());
    for (const auto id : ids_on(ifindex, direction)) {
        const Program one(id);
        if (one.name == program && bpf_prog_detach2(one.fd, static_cast<int>(ifindex), hook_of(direction)) == 0) {
            return;
        }
    }
    throw std::runtime_error("no program " + program + " to detach from " + device);
}

void attach_foreign(const std::string& device, Direction direction) {
    const std::array<bpf_insn, 2> next{{
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .src_reg = 0, .off = 0, .imm = -1},
        {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
    }};
    const int fd = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "foreign", "GPL", next.data(), next.size(), nullptr);
    const auto ifindex = static_cast<int>(if_nametoindex(device.c_str()));
    if (fd < 0 || bpf_prog_attach(fd, ifindex, hook_of(direction), 0) != 0) {
        throw std::runtime_error("attach a foreign program to " + device + ": " + std::strerror(errno));
    }
    close(fd);
}

std::string all_programs() {
    std::string lines;
    auto* const devices = if_nameindex();
    for (auto* device = devices; device->if_index != 0; ++device) {
        const std::string name = device->if_name;
        for (const auto direction : {Direction::ingress, Direction::egress}) {
            for (const auto& program : programs_on(name, direction)) {
                lines += name + (direction == Direction::ingress ? " ingress " : " egress ") + program + "\n";
            }
        }
    }
    if_freenameindex(devices);
    return lines;
}

}  // namespace causeway::test
