// SPDX-License-Identifier: Apache-2.0
#include "userspace/attach.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>

#include "userspace/libbpf_log.hpp"

namespace causeway {

namespace {

// enum bpf_attach_type of Linux 6.6: newer than the headers that this is built with.
constexpr auto tcx_ingress = static_cast<bpf_attach_type>(46);
constexpr auto tcx_egress = static_cast<bpf_attach_type>(47);
constexpr unsigned before_all = 1U << 3;  // BPF_F_BEFORE, likewise, where it names no other program

bpf_attach_type tcx_type(Direction direction) {
    return direction == Direction::ingress ? tcx_ingress : tcx_egress;
}

std::string step_of(const char* verb, Direction direction, const std::string& device) {
    return std::string(verb) + (direction == Direction::ingress ? " the ingress" : " the egress") + " hook of " +
           device;
}

bpf_tc_hook clsact_hook(std::uint32_t ifindex, Direction direction) {
    bpf_tc_hook hook{};
    hook.sz = sizeof(hook);
    hook.ifindex = static_cast<int>(ifindex);
    hook.attach_point = direction == Direction::ingress ? BPF_TC_INGRESS : BPF_TC_EGRESS;
    return hook;
}

bpf_tc_opts filter() {
    bpf_tc_opts options{};
    options.sz = sizeof(options);
    options.handle = own_filter.number;
    options.priority = own_filter.priority;
    return options;
}

std::uint32_t program_id(int program) {
    bpf_prog_info info{};
    std::uint32_t size = sizeof(info);
    return bpf_obj_get_info_by_fd(program, &info, &size) == 0 ? info.id : 0;
}

int attach_clsact(std::uint32_t ifindex, Direction direction, int program) {
    forget_libbpf_log();
    auto hook = clsact_hook(ifindex, direction);
    const int created = bpf_tc_hook_create(&hook);
    if (created != 0 && created != -EEXIST) {
        return created;
    }
    forget_libbpf_log();  // that the qdisc is there is no complaint
    auto options = filter();
    options.prog_fd = program;
    options.flags = BPF_TC_F_REPLACE;  // the handle is causeway's own, so only its own program is replaced
    return bpf_tc_attach(&hook, &options);
}

// The kernel wants all filters of one priority to be of one kind and protocol, and says so by EINVAL.
std::string why_no_filter(int number, Direction direction, const std::string& device) {
    if (number != EINVAL) {
        return libbpf_log();
    }
    return "causeway's program has to be the first, and a filter of another kind or protocol may have its priority, 1: "
           "\"tc filter show dev " +
           device + (direction == Direction::ingress ? " ingress" : " egress") +
           "\" shows it; if it is the reference plugin bandwidth's, use causeway's own bandwidth. " + libbpf_log();
}

std::string name_of_program(int program) {
    bpf_prog_info info{};
    std::uint32_t size = sizeof(info);
    return bpf_obj_get_info_by_fd(program, &info, &size) == 0 ? info.name : "";
}

using ProgramIds = std::array<std::uint32_t, 64>;

// How many there are; an errno below 0.
int programs_of(std::uint32_t ifindex, Direction direction, ProgramIds& ids) {
    auto count = static_cast<std::uint32_t>(ids.size());
    const int result = bpf_prog_query(static_cast<int>(ifindex), tcx_type(direction), 0, nullptr, ids.data(), &count);
    return result == 0 ? static_cast<int>(count) : -errno;
}

// A program of the same name is of a load whose pins are lost: it would go on by maps that nobody writes any more.
void detach_predecessors(std::uint32_t ifindex, Direction direction, int program) {
    ProgramIds ids{};
    const auto own = program_id(program);
    const auto own_name = name_of_program(program);
    if (own == 0 || own_name.empty()) {  // who can't tell his own from others' takes none away
        return;
    }
    for (int i = 0, count = programs_of(ifindex, direction, ids); i < count; i++) {
        const UniqueFd other(ids.at(static_cast<std::size_t>(i)) != own
                                 ? bpf_prog_get_fd_by_id(ids.at(static_cast<std::size_t>(i)))
                                 : -1);
        if (other && name_of_program(other.get()) == own_name) {
            bpf_prog_detach2(other.get(), static_cast<int>(ifindex), tcx_type(direction));
        }
    }
}

}  // namespace

// Asked with a device that can't be (index 0): a kernel with TCX looks for the device, one without refuses the type.
Hook shared_device_hook() {
    std::array<std::uint32_t, 1> ids{};
    std::uint32_t count = ids.size();
    const int result = bpf_prog_query(0, tcx_ingress, 0, nullptr, ids.data(), &count);
    return result != 0 && errno == EINVAL ? Hook::clsact : Hook::tcx;
}

std::expected<void, Error> attach(Hook hook, std::uint32_t ifindex, Direction direction, int program,
                                  const std::string& device) {
    int result = 0;
    if (hook == Hook::tcx) {
        result = bpf_prog_attach(program, static_cast<int>(ifindex), tcx_type(direction), before_all) == 0 ? 0 : -errno;
        if (result == 0) {
            detach_predecessors(ifindex, direction, program);
        }
    } else {
        result = attach_clsact(ifindex, direction, program);
    }
    if (result != 0 && result != -EEXIST) {
        return std::unexpected(
            kernel_error(-result, step_of("attach to", direction, device),
                         hook == Hook::clsact ? why_no_filter(-result, direction, device) : std::string()));
    }
    return {};
}

std::expected<void, Error> detach(Hook hook, std::uint32_t ifindex, Direction direction, int program,
                                  const std::string& device) {
    int result = 0;
    if (hook == Hook::tcx) {
        result = bpf_prog_detach2(program, static_cast<int>(ifindex), tcx_type(direction)) == 0 ? 0 : -errno;
    } else {
        const auto point = clsact_hook(ifindex, direction);
        auto options = filter();
        result = bpf_tc_detach(&point, &options);
    }
    if (result != 0 && result != -ENOENT && result != -ENODEV && result != -EINVAL) {
        return std::unexpected(kernel_error(-result, step_of("detach from", direction, device)));
    }
    return {};
}

namespace {

// The id of causeway's program there, by clsact; 0: none.
std::expected<std::uint32_t, Error> clsact_program(std::uint32_t ifindex, Direction direction,
                                                   const std::string& device) {
    const auto point = clsact_hook(ifindex, direction);
    auto options = filter();
    const int result = bpf_tc_query(&point, &options);
    if (result != 0 && result != -ENOENT && result != -EINVAL) {
        return std::unexpected(kernel_error(-result, step_of("query", direction, device)));
    }
    return result == 0 ? options.prog_id : 0;
}

}  // namespace

std::expected<bool, Error> has_filter(std::uint32_t ifindex, Direction direction, const std::string& device) {
    const auto program = clsact_program(ifindex, direction, device);
    return !program && program.error().number == ENODEV ? false : TRY(program) != 0;
}

std::expected<std::vector<UniqueFd>, Error> programs_named(const std::string& name, Hook hook, std::uint32_t ifindex,
                                                           Direction direction, const std::string& device) {
    ProgramIds ids{};
    int count = 1;
    if (hook == Hook::clsact) {
        const auto program = clsact_program(ifindex, direction, device);
        ids[0] = !program && program.error().number == ENODEV ? 0 : TRY(program);
    } else {
        count = programs_of(ifindex, direction, ids);
    }
    if (count < 0 && count != -ENODEV) {
        return std::unexpected(kernel_error(-count, step_of("query", direction, device)));
    }
    std::vector<UniqueFd> found;
    for (int i = 0; i < count; i++) {
        const auto id = ids.at(static_cast<std::size_t>(i));
        UniqueFd program(id != 0 ? bpf_prog_get_fd_by_id(id) : -1);
        if (program && name_of_program(program.get()) == name) {
            found.push_back(std::move(program));
        }
    }
    return found;
}

std::expected<bool, Error> attached(Hook hook, std::uint32_t ifindex, Direction direction, int program,
                                    const std::string& device) {
    const auto wanted = program_id(program);
    if (hook == Hook::clsact) {
        return TRY(clsact_program(ifindex, direction, device)) == wanted;
    }
    ProgramIds ids{};
    const int count = programs_of(ifindex, direction, ids);
    if (count < 0) {
        return std::unexpected(kernel_error(-count, step_of("query", direction, device)));
    }
    return std::find(ids.begin(), ids.begin() + count, wanted) != ids.begin() + count;
}

namespace {

std::string text_of_program(std::uint32_t id) {
    const UniqueFd program(bpf_prog_get_fd_by_id(id));
    const auto name = program ? name_of_program(program.get()) : "";
    return (name.empty() ? "a program" : name) + " (id " + std::to_string(id) + ")";
}

std::string text_of_filter(const Filter& filter) {
    return filter.program != 0 ? text_of_program(filter.program)
                               : "a " + filter.kind + " filter of priority " + std::to_string(filter.priority);
}

void append(std::vector<std::string>& texts, const std::string& text) {
    if (std::ranges::find(texts, text) == texts.end()) {  // a filter may be listed in parts
        texts.push_back(text);
    }
}

std::expected<std::vector<std::string>, Error> texts_of_those_before(Netlink& netlink, Hook hook, std::uint32_t ifindex,
                                                                     Direction direction, std::uint32_t own) {
    std::vector<std::string> texts;
    ProgramIds ids{};
    for (int i = 0, count = programs_of(ifindex, direction, ids); i < count; i++) {
        const auto id = ids.at(static_cast<std::size_t>(i));
        if (hook == Hook::tcx && id == own) {
            return texts;
        }
        append(texts, text_of_program(id));
    }
    for (const auto& filter : TRY(netlink.filters(ifindex, direction == Direction::ingress))) {
        if (filter.program == own) {
            break;
        }
        append(texts, text_of_filter(filter));
    }
    return texts;
}

}  // namespace

std::expected<void, Error> verify_first(Netlink& netlink, Hook hook, std::uint32_t ifindex, Direction direction,
                                        int program, const std::string& device) {
    const auto texts = TRY(texts_of_those_before(netlink, hook, ifindex, direction, program_id(program)));
    if (texts.empty()) {
        return {};
    }
    std::string all;
    for (const auto& text : texts) {
        all += (all.empty() ? "" : ", ") + text;
    }
    return fail(Code::check_failed,
                all + (texts.size() == 1 ? " runs" : " run") + " before " + name_of_program(program) + " on the " +
                    (direction == Direction::ingress ? "ingress" : "egress") + " hook of " + device +
                    ", which sees only what is left to it",
                "attach it behind causeway's program, or leave it out");
}

}  // namespace causeway
