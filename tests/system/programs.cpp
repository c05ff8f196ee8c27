// SPDX-License-Identifier: Apache-2.0
#include "tests/system/programs.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <net/if.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "tests/system/host.hpp"

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

const char* word_for(Direction direction) {
    return direction == Direction::ingress ? "ingress" : "egress";
}

// Without the id that tc adds: "from_host:[42]".
std::string program_of(const Json& filter) {
    const auto name = filter.contains("options") ? filter["options"].value("bpf_name", "") : "";
    return name.substr(0, name.find(":["));
}

Json filters_on(const std::string& device, Direction direction) {
    const auto text = must_run({"tc", "-j", "filter", "show", "dev", device, word_for(direction)});
    return text.empty() ? Json::array() : Json::parse(text);
}

constexpr int leave = -1, accept = 0;     // TC_ACT_UNSPEC, which is TCX_NEXT, and TC_ACT_OK, which is TCX_PASS
constexpr unsigned before_all = 1U << 3;  // BPF_F_BEFORE, likewise

// *map[0] += 1; return action.
std::array<bpf_insn, 12> counting(int map, int action) {
    const auto insn = [](int code, std::uint8_t to, std::uint8_t from, int off, int imm) {
        bpf_insn one{};
        one.code = static_cast<std::uint8_t>(code);
        one.dst_reg = to & 0xf;
        one.src_reg = from & 0xf;
        one.off = static_cast<std::int16_t>(off);
        one.imm = imm;
        return one;
    };
    return {insn(BPF_ST | BPF_MEM | BPF_W, BPF_REG_10, 0, -4, 0),
            insn(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_2, BPF_REG_10, 0, 0),
            insn(BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_2, 0, 0, -4),
            insn(BPF_LD | BPF_IMM | BPF_DW, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, map),
            insn(0, 0, 0, 0, 0),
            insn(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_map_lookup_elem),
            insn(BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_0, 0, 3, 0),
            insn(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_1, 0, 0, 1),
            insn(BPF_STX | BPF_ATOMIC | BPF_DW, BPF_REG_0, BPF_REG_1, 0, BPF_ADD),
            insn(BPF_JMP | BPF_JA, 0, 0, 0, 0),
            insn(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, action),
            insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)};
}

int attach_by_clsact(int program, int ifindex, Direction direction, bool first) {
    bpf_tc_hook hook{};
    hook.sz = sizeof(hook);
    hook.ifindex = ifindex;
    hook.attach_point = direction == Direction::ingress ? BPF_TC_INGRESS : BPF_TC_EGRESS;
    bpf_tc_opts options{};
    options.sz = sizeof(options);
    options.prog_fd = program;
    if (first) {
        options.handle = 0x6377;  // causeway's, by which it knows its own
        options.priority = 1;
    }
    bpf_tc_hook_create(&hook);
    return bpf_tc_attach(&hook, &options);
}

}  // namespace

std::vector<std::string> programs_on(const std::string& device, Direction direction) {
    std::vector<std::string> names;
    for (const auto id : ids_on(if_nametoindex(device.c_str()), direction)) {
        names.push_back(Program(id).name);
    }
    for (const auto& filter : filters_on(device, direction)) {
        if (filter.contains("options")) {
            names.push_back(program_of(filter));
        }
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
    for (const auto& filter : filters_on(device, direction)) {
        if (program_of(filter) == program) {
            const auto preference = std::to_string(filter.at("pref").get<unsigned>());
            must_run({"tc", "filter", "del", "dev", device, word_for(direction), "pref", preference});
            return;
        }
    }
    throw std::runtime_error("no program " + program + " to detach from " + device);
}

std::string all_programs(const std::string& more_questions) {
    std::string lines, questions;
    auto* const devices = if_nameindex();
    for (auto* device = devices; device->if_index != 0; ++device) {
        const std::string name = device->if_name;
        for (const auto direction : {Direction::ingress, Direction::egress}) {
            for (const auto id : ids_on(device->if_index, direction)) {
                lines += name + " " + word_for(direction) + " " + Program(id).name + "\n";
            }
            questions += "filter show dev " + name + " " + word_for(direction) + "\n";
        }
    }
    if_freenameindex(devices);
    return lines + must_run({"tc", "-batch", "-"}, {.stdin_text = questions + more_questions});
}

ForeignProgram::ForeignProgram(const std::string& device, Direction direction, Hook hook, const Foreign& foreign)
    : map_(bpf_map_create(BPF_MAP_TYPE_ARRAY, "foreign", sizeof(std::uint32_t), sizeof(std::uint64_t), 1, nullptr)) {
    const auto code = counting(map_, foreign.accepts ? accept : leave);
    program_ = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, foreign.name, "GPL", code.data(), code.size(), nullptr);
    const auto ifindex = static_cast<int>(if_nametoindex(device.c_str()));
    const int result = program_ < 0 ? -errno
                       : hook == Hook::clsact
                           ? attach_by_clsact(program_, ifindex, direction, foreign.first)
                           : bpf_prog_attach(program_, ifindex, hook_of(direction), foreign.first ? before_all : 0);
    if (result != 0) {
        throw std::runtime_error("attach a foreign program to " + device + ": " + std::strerror(errno));
    }
}

ForeignProgram::~ForeignProgram() {
    close(program_);
    close(map_);
}

std::uint64_t ForeignProgram::packets() const {
    const std::uint32_t key = 0;
    std::uint64_t count = 0;
    bpf_map_lookup_elem(map_, &key, &count);
    return count;
}

}  // namespace causeway::test
