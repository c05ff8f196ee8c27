// SPDX-License-Identifier: Apache-2.0
#include "userspace/datapath.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <malloc.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <functional>
#include <memory>
#include <thread>
#include <utility>

#include "datapath.skel.h"
#include "userspace/libbpf_log.hpp"

namespace causeway {

namespace {

const std::string bpffs = "/sys/fs/bpf";
const std::string home = bpffs + "/causeway";
const std::string loading = home + "/loading";  // becomes directory() when all is pinned
const std::string retiring = home + "/retiring";

std::expected<UniqueFd, Error> open_directory(const std::string& path) {
    UniqueFd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd) {
        return std::unexpected(errno_error("open " + path));
    }
    return fd;
}

std::expected<void, Error> lock_file(const UniqueFd& fd, int operation, const std::string& path = bpffs) {
    while (flock(fd.get(), operation) != 0) {
        if (errno != EINTR) {
            return std::unexpected(errno_error("lock " + path));
        }
    }
    return {};
}

bool is_bpffs(const UniqueFd& fd) {
    struct statfs status{};
    return fstatfs(fd.get(), &status) == 0 && status.f_type == BPF_FS_MAGIC;
}

// The directory below the mount is locked meanwhile, so that two who find it bare mount once.
std::expected<UniqueFd, Error> mounted_bpffs() {
    auto fd = TRY(open_directory(bpffs));
    if (is_bpffs(fd)) {
        return fd;
    }
    TRY(lock_file(fd, LOCK_EX));
    auto again = TRY(open_directory(bpffs));
    if (is_bpffs(again)) {
        return again;
    }
    if (mount("bpf", bpffs.c_str(), "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") != 0) {
        return std::unexpected(errno_error("mount bpffs on " + bpffs));
    }
    return open_directory(bpffs);
}

}  // namespace

std::expected<DatapathLock, Error> DatapathLock::take(Mode mode) {
    DatapathLock lock(TRY(mounted_bpffs()), mode);
    TRY(lock.change_to(mode));
    return lock;
}

std::expected<void, Error> DatapathLock::change_to(Mode mode) {
    TRY(lock_file(fd_, mode == Mode::exclusive ? LOCK_EX : mode == Mode::shared ? LOCK_SH : LOCK_UN));
    mode_ = mode;
    return {};
}

std::expected<void, Error> DatapathLock::change_to_exclusive_if_free() {
    if (flock(fd_.get(), LOCK_EX | LOCK_NB) != 0) {
        return change_to(Mode::shared);
    }
    mode_ = Mode::exclusive;
    return {};
}

std::expected<void, Error> DatapathLock::let_go_for(const std::function<void()>& call, Mode afterwards) {
    TRY(change_to(Mode::none));
    call();
    return change_to(afterwards);
}

std::expected<AskingLock, Error> AskingLock::take() {
    AskingLock lock(TRY(open_directory(home)));
    TRY(lock_file(lock.fd_, LOCK_SH, home));
    return lock;
}

std::expected<bool, Error> AskingLock::is_held() {
    const auto fd = TRY(open_directory(home));
    if (flock(fd.get(), LOCK_EX | LOCK_NB) == 0) {
        return false;
    }
    return errno == EWOULDBLOCK ? std::expected<bool, Error>(true) : std::unexpected(errno_error("lock " + home));
}

const std::string& Datapath::directory() {
    static const std::string path = home + "/v" + std::to_string(CAUSEWAY_ABI_VERSION);
    return path;
}

std::expected<PublishingLock, Error> PublishingLock::take() {
    PublishingLock lock(TRY(open_directory(Datapath::directory())));
    TRY(lock_file(lock.fd_, LOCK_EX, Datapath::directory()));
    return lock;
}

namespace {

std::expected<UniqueFd, Error> open_pin(const std::string& name) {
    const std::string path = Datapath::directory() + "/" + name;
    UniqueFd fd(bpf_obj_get(path.c_str()));
    if (!fd) {
        return std::unexpected(errno_error("open the pin " + path));
    }
    return fd;
}

std::expected<Datapath, Error> open_all_pins() {
    return Datapath{
        {TRY(open_pin("sandboxes")), "sandboxes", more_sandboxes},
        {TRY(open_pin("endpoints")), "endpoints", more_sandboxes},
        {TRY(open_pin("networks")), "networks"},
        {TRY(open_pin("uplinks")), "uplinks"},
        {TRY(open_pin("flows")), "flows", "\"tables.flows\" in the configuration gives it more"},
        TRY(Datapath::open_attachments()),
        {TRY(open_pin("cursors")), "cursors"},
        {TRY(open_pin("slots")), "slots", more_sandboxes},
        {TRY(open_pin("port_blocks")), "port_blocks"},
        {TRY(open_pin("usage")), "usage"},
        {TRY(open_pin("host_ports")), "host_ports"},
        {TRY(open_pin("publishing")), "publishing"},
        {TRY(open_pin("traffic")), "traffic"},
        {TRY(open_pin("verdicts")), "verdicts"},
        TRY(open_pin("from_sandbox")),
        TRY(open_pin("from_host")),
        TRY(open_pin("from_uplink")),
        TRY(open_pin("from_stack")),
        shared_device_hook(),
    };
}

// Of the thread's network namespace.
std::expected<std::string, Error> netns_cookie() {
    const UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    std::uint64_t cookie = 0;
    socklen_t size = sizeof(cookie);
    if (!socket || getsockopt(socket.get(), SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) != 0) {
        return std::unexpected(errno_error("ask for the cookie of this network namespace"));
    }
    return std::to_string(cookie);
}

std::string netns_link_in(const std::string& directory) {
    return directory + "/netns";
}

std::expected<void, Error> write_netns(const std::string& directory) {
    const std::string path = netns_link_in(directory);
    if (symlink(TRY(netns_cookie()).c_str(), path.c_str()) != 0) {
        return std::unexpected(errno_error("create " + path));
    }
    return {};
}

std::expected<void, Error> refuse_other_netns() {
    const std::string path = netns_link_in(Datapath::directory());
    std::array<char, 32> cookie{};
    if (readlink(path.c_str(), cookie.data(), cookie.size() - 1) < 0) {
        return std::unexpected(errno_error("read " + path));
    }
    if (const auto own = TRY(netns_cookie()); own != cookie.data()) {
        return fail(Code::conflict,
                    "the datapath in " + Datapath::directory() +
                        " is of another network namespace: it was loaded in the one with the cookie " + cookie.data() +
                        ", and this one's is " + own,
                    "call causeway in the namespace that it was first called in, the host's; where that one is gone, "
                    "remove " +
                        Datapath::directory());
    }
    return {};
}

bool is_absent(const std::string& path) {
    return access(path.c_str(), F_OK) != 0 && errno == ENOENT;
}

// Twice, since who holds no lock may have met an unload and the load after it. A lost pin is no unload: sandboxes may
// be on record, and what finds "not loaded" may remove what it thinks is nobody's.
std::expected<Datapath, Error> open_whole(const std::function<std::expected<void, Error>()>& is_fit) {
    for (const bool again : {false, true}) {
        auto datapath = open_all_pins();
        if (const auto fit = datapath ? is_fit() : std::expected<void, Error>{}; !fit) {
            datapath = std::unexpected(fit.error());
        }
        if (datapath || datapath.error().number != ENOENT || is_absent(Datapath::directory())) {
            return datapath;
        }
        if (again) {
            return fail(
                Code::conflict,
                "the pins in " + Datapath::directory() + " are not complete: " + datapath.error().message,
                "remove " + Datapath::directory() + " and then \"causewayctl gc --without-datapath\" what it had");
        }
    }
    std::unreachable();
}

}  // namespace

std::expected<Datapath, Error> Datapath::open() {
    return open_whole(refuse_other_netns);
}

std::expected<Datapath, Error> Datapath::open_of_any_netns() {
    return open_whole([] { return std::expected<void, Error>{}; });
}

bool Datapath::is_pinned() {
    return !is_absent(directory());
}

std::uint64_t Datapath::now() {
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<std::uint64_t>(time.tv_sec) * ns_per_second + static_cast<std::uint64_t>(time.tv_nsec);
}

std::expected<BpfMap<address, rest>, Error> Datapath::open_resting() {
    return BpfMap<address, rest>{TRY(open_pin("resting")), "resting"};
}

std::expected<BpfMap<std::uint32_t, shaper>, Error> Datapath::open_shapers() {
    return BpfMap<std::uint32_t, shaper>{TRY(open_pin("shapers")), "shapers"};
}

std::expected<BpfMap<attachment_key, attachment>, Error> Datapath::open_attachments() {
    return BpfMap<attachment_key, attachment>{TRY(open_pin("attachments")), "attachments", more_sandboxes};
}

std::expected<Publishing, Error> Datapath::open_publishing() {
    return Publishing{
        {TRY(open_pin("publications")), "publications", "all sandboxes of the host together publish no more ports"},
        {TRY(open_pin("published_ports")), "published_ports"},
        {TRY(open_pin("loopback")), "loopback"},
        TRY(open_pin("from_loopback")),
    };
}

std::expected<BpfMap<std::uint32_t, std::uint32_t>, Error> Datapath::open_departures() {
    return BpfMap<std::uint32_t, std::uint32_t>{TRY(open_pin("departures")), "departures"};
}

namespace {

std::expected<void, Error> make_directory(const std::string& path) {
    if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
        return std::unexpected(errno_error("create " + path));
    }
    return {};
}

std::expected<void, Error> remove_tree(const std::string& path) {
    std::error_code error;
    std::filesystem::remove_all(path, error);
    if (error) {
        return std::unexpected(kernel_error(error.value(), "remove " + path));
    }
    return {};
}

using Skeleton = std::unique_ptr<datapath_skeleton, decltype(&datapath_skeleton::destroy)>;

std::expected<void, Error> pin_all(const datapath_skeleton& skeleton, const std::string& path) {
    bpf_map* map = nullptr;
    bpf_object__for_each_map(map, skeleton.obj) {
        if (bpf_map__is_internal(map)) {
            continue;
        }
        const std::string pin = path + "/" + bpf_map__name(map);
        if (const int result = bpf_map__pin(map, pin.c_str()); result != 0) {
            return std::unexpected(kernel_error(-result, "pin the map " + pin));
        }
    }
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, skeleton.obj) {
        const std::string pin = path + "/" + bpf_program__name(program);
        if (const int result = bpf_program__pin(program, pin.c_str()); result != 0) {
            return std::unexpected(kernel_error(-result, "pin the program " + pin));
        }
    }
    return {};
}

// The kernel wants a packet to run a program of this type; any will do.
std::expected<void, Error> start_ageing(const datapath_skeleton& skeleton) {
    std::array<char, 64> packet{};
    bpf_test_run_opts options{};
    options.sz = sizeof(options);
    options.data_in = packet.data();
    options.data_size_in = packet.size();
    constexpr int tries = 1000;  // the kernel takes a timer's memory from what is at hand just now, and waits for none;
    constexpr auto pause = std::chrono::milliseconds(1);  // others' allocations bring it more
    int number = ENOMEM;
    for (int i = 0; i < tries && number == ENOMEM; i++) {
        const int result = bpf_prog_test_run_opts(bpf_program__fd(skeleton.progs.start_ageing), &options);
        number = result != 0 ? -result : -static_cast<int>(options.retval);
        if (number == ENOMEM) {
            std::this_thread::sleep_for(pause);
        }
    }
    if (number != 0) {
        return std::unexpected(kernel_error(number, "start the timer that ages flows"));
    }
    return {};
}

// libbpf refuses only what is loaded already.
void size_tables(datapath_skeleton& skeleton, const TableSpec& tables) {
    const auto flows = tables.flows.value_or(CAUSEWAY_FLOWS_DEFAULT);
    const auto sandboxes = tables.sandboxes.value_or(CAUSEWAY_SANDBOXES_DEFAULT);
    skeleton.rodata->table_sizes = {.flows = flows, .sandboxes = sandboxes};
    const auto& maps = skeleton.maps;
    bpf_map__set_max_entries(maps.flows, 2 * flows);
    bpf_map__set_max_entries(maps.ageing_turns, flows);
    for (bpf_map* map : {maps.usage, maps.traffic}) {  // arrays by slot: 0 is no sandbox's
        bpf_map__set_max_entries(map, sandboxes + 1);
    }
    bpf_map__set_max_entries(maps.endpoints, 2 * sandboxes + CAUSEWAY_GATEWAYS_MAX);
    for (bpf_map* map : {maps.sandboxes, maps.slots, maps.attachments, maps.resting}) {
        bpf_map__set_max_entries(map, bpf_map__max_entries(map) / CAUSEWAY_SANDBOXES_DEFAULT * sandboxes);
    }
}

// libbpf reads all types of the kernel, some 5 MB, and copies them. That much of the heap is to be of huge pages: some
// 3,000 faults of small ones are a quarter of the load where a hypervisor keeps the page tables. Where it can't be, the
// load takes longer and no more.
void prefer_huge_pages() {
    constexpr std::size_t page = 2UL << 20, room = 8 * page;
    mallopt(M_MMAP_THRESHOLD, 2 * room);  // from the heap, and kept there when they are freed
    mallopt(M_TRIM_THRESHOLD, 4 * room);
    void* const memory = std::aligned_alloc(page, room);
    if (memory != nullptr) {
        madvise(memory, room, MADV_HUGEPAGE);
    }
    std::free(memory);
}

std::expected<void, Error> load_and_pin(const TableSpec& tables) {
    forget_libbpf_log();
    prefer_huge_pages();
    Skeleton skeleton(datapath_skeleton::open(), &datapath_skeleton::destroy);
    const int opened = skeleton ? 0 : errno;
    if (skeleton) {
        size_tables(*skeleton, tables);
    }
    const int loaded = skeleton ? -datapath_skeleton::load(skeleton.get()) : 0;
    if (opened != 0 || loaded != 0) {
        return std::unexpected(kernel_error(opened != 0 ? opened : loaded, "load the BPF programs", libbpf_log()));
    }
    TRY(start_ageing(*skeleton));
    TRY(make_directory(home));
    TRY(remove_tree(loading));
    TRY(make_directory(loading));
    TRY(pin_all(*skeleton, loading));
    TRY(write_netns(loading));
    if (rename(loading.c_str(), Datapath::directory().c_str()) != 0) {
        return std::unexpected(errno_error("rename " + loading + " to " + Datapath::directory()));
    }
    return {};
}

// The directory vanishes under its name first, so that no one opens half of it.
std::expected<void, Error> remove_pins() {
    TRY(remove_tree(retiring));
    if (rename(Datapath::directory().c_str(), retiring.c_str()) != 0 && errno != ENOENT) {
        return std::unexpected(errno_error("rename " + Datapath::directory() + " to " + retiring));
    }
    TRY(remove_tree(retiring));
    TRY(remove_tree(loading));
    if (rmdir(home.c_str()) != 0 && errno != ENOENT && errno != ENOTEMPTY) {  // another ABI's pins stay
        return std::unexpected(errno_error("remove " + home));
    }
    return {};
}

std::expected<void, Error> needs_exclusive(const DatapathLock& lock, const std::string& step) {
    if (lock.mode() != DatapathLock::Mode::exclusive) {
        return std::unexpected(kernel_error(EPERM, step + " without its exclusive lock"));
    }
    return {};
}

}  // namespace

std::expected<std::vector<std::string>, Error> Datapath::other_versions() {
    std::vector<std::string> others;
    std::error_code error;
    std::filesystem::directory_iterator entry(home, error);
    for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
        const std::string path = entry->path();
        if (entry->path().filename().string().starts_with("v") && path != directory()) {
            others.push_back(path);
        }
    }
    if (error && error != std::errc::no_such_file_or_directory) {
        return std::unexpected(kernel_error(error.value(), "list " + home));
    }
    return others;
}

// Two versions side by side would both translate, and each take ports that the other has given out.
std::expected<void, Error> Datapath::check_loadable() {
    if (const auto others = TRY(other_versions()); !others.empty()) {
        return fail(Code::conflict,
                    "another version of causeway has sandboxes on this host: its pins are in " + others[0],
                    "DEL them with that version, or remove " + others[0] +
                        " and then \"causewayctl gc --without-datapath\" their devices");
    }
    return {};
}

std::expected<void, Error> Datapath::check_rights() {
    const std::array<bpf_insn, 2> nothing{bpf_insn{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
                                          bpf_insn{.code = BPF_JMP | BPF_EXIT}};
    const UniqueFd program(
        bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, nullptr, "GPL", nothing.data(), nothing.size(), nullptr));
    if (!program) {
        return std::unexpected(errno_error("load a BPF program"));
    }
    if (is_bpffs(TRY(open_directory(bpffs))) && access(bpffs.c_str(), W_OK) != 0) {
        return std::unexpected(errno_error("write to " + bpffs));
    }
    return {};
}

std::expected<Datapath, Error> Datapath::open_or_load(const DatapathLock& lock, const TableSpec& tables) {
    TRY(needs_exclusive(lock, "load the datapath"));
    auto datapath = open();
    if (datapath || datapath.error().number != ENOENT) {
        return datapath;
    }
    TRY(check_loadable());
    if (const auto loaded = load_and_pin(tables); !loaded) {
        Error error = loaded.error();
        if (const auto removed = remove_pins(); !removed) {
            error.details += "; not undone: " + removed.error().message;
        }
        return std::unexpected(error);
    }
    return open();
}

std::expected<table_sizes, Error> Datapath::sizes() const {
    return table_sizes{.flows = TRY(flows.capacity()) / 2, .sandboxes = TRY(slots.capacity())};
}

std::expected<void, Error> Datapath::check_sizes(const TableSpec& tables) const {
    if (!tables.flows && !tables.sandboxes) {
        return {};
    }
    const auto loaded = TRY(sizes());
    const auto check = [](const std::string& key, const std::optional<std::uint32_t>& wanted,
                          std::uint32_t present) -> std::expected<void, Error> {
        if (!wanted || *wanted == present) {
            return {};
        }
        return fail(Code::invalid_configuration,
                    "tables." + key + ": " + std::to_string(*wanted) +
                        ", but the datapath on this host was loaded with room for " + std::to_string(present),
                    "all networks of a host share its tables: say the same everywhere, or leave it out; other sizes "
                    "are taken by the first ADD after the last DEL");
    };
    TRY(check("flows", tables.flows, loaded.flows));
    return check("sandboxes", tables.sandboxes, loaded.sandboxes);
}

std::expected<bool, Error> Datapath::is_half_loaded() {
    for (const auto& path : {loading, retiring}) {
        if (access(path.c_str(), F_OK) == 0) {
            return true;
        }
        if (errno != ENOENT) {
            return std::unexpected(errno_error("look for " + path));
        }
    }
    return false;
}

std::expected<void, Error> Datapath::unpin(const DatapathLock& lock) {
    TRY(needs_exclusive(lock, "unload the datapath"));
    return remove_pins();
}

}  // namespace causeway
