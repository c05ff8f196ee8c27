// SPDX-License-Identifier: Apache-2.0
// The loaded datapath: its maps and programs, pinned in bpffs. The only user of the skeleton. Layer 2.
//
// Pins: /sys/fs/bpf/causeway/v<ABI version>/<map or program>. They appear all at once, when all are there. Beside them
// the symbolic link "netns" says whose devices they are of: the cookie of the network namespace, no other's as long as
// the kernel runs.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <causeway/abi.h>

#include "userspace/attach.hpp"
#include "userspace/bpf_map.hpp"
#include "userspace/error.hpp"
#include "userspace/unique_fd.hpp"

namespace causeway {

inline constexpr std::uint64_t ns_per_second = 1'000'000'000;

// Keeps the datapath from being loaded, changed or unloaded under someone's feet. Held by whoever adds or removes;
// the kernel drops it when the process ends, however it ends. It is the bpffs mount that is locked, so that it needs
// no file of its own.
class DatapathLock {
public:
    enum class Mode { none, shared, exclusive };

    // Mounts bpffs where it is absent.
    static std::expected<DatapathLock, Error> take(Mode mode);

    // Waits, but for none. Others may have held it exclusively in between, so what was opened under it has to be opened
    // anew.
    std::expected<void, Error> change_to(Mode mode);
    // The same to exclusive, if nobody else holds it now; else it stays shared, though it was given up in between.
    std::expected<void, Error> change_to_exclusive_if_free();
    // For a call of another program, which may take its time, or hang: the lock is let go meanwhile.
    std::expected<void, Error> let_go_for(const std::function<void()>& call, Mode afterwards);
    Mode mode() const { return mode_; }

private:
    DatapathLock(UniqueFd fd, Mode mode) : fd_(std::move(fd)), mode_(mode) {}

    UniqueFd fd_;
    Mode mode_;
};

// Held by whoever lets go of DatapathLock to ask another program: by a connect for addresses, from before it is on
// record, and by a disconnect that has them taken back. So one can tell what is on record as begun, or as cleared, from
// what a killed call has left. The kernel drops it likewise. It is of causeway's directory in bpffs, which stays as
// long as anything is on record.
class AskingLock {
public:
    static std::expected<AskingLock, Error> take();
    static std::expected<bool, Error> is_held();  // by anybody

private:
    explicit AskingLock(UniqueFd fd) : fd_(std::move(fd)) {}

    UniqueFd fd_;
};

// Held by one at a time who looks whether ports are free and publishes them: those who connect share DatapathLock, and
// a port on all addresses and the same on one of them are different entries, of which no insertion refuses the second.
class PublishingLock {
public:
    static std::expected<PublishingLock, Error> take();

private:
    explicit PublishingLock(UniqueFd fd) : fd_(std::move(fd)) {}

    UniqueFd fd_;
};

// What only those need who publish ports, or have published some.
struct Publishing {
    BpfMap<publication_key, publication> publications;
    BpfMap<std::uint32_t, std::uint32_t> places;  // of published_ports
    BpfMap<std::uint32_t, loopback_ports> loopback;
    UniqueFd from_loopback;
};

inline constexpr const char* more_sandboxes = "\"tables.sandboxes\" in the configuration gives it more";

// The room that a configuration asks for. What it does not say is the default where the datapath is loaded for it, and
// whatever it is where that is loaded already.
struct TableSpec {
    std::optional<std::uint32_t> flows, sandboxes;
};

struct Datapath {
    BpfMap<std::uint32_t, sandbox> sandboxes;
    BpfMap<address, endpoint> endpoints;
    BpfMap<std::uint32_t, network> networks;
    BpfMap<std::uint32_t, uplink> uplinks;
    BpfMap<flow_key, flow> flows;
    BpfMap<attachment_key, attachment> attachments;
    BpfMap<address, cursor> cursors;
    BpfMap<std::uint32_t, std::uint64_t> slots, port_blocks;
    BpfMap<std::uint32_t, usage> usage_of;
    BpfMap<std::uint32_t, host_ports> ports;
    BpfMap<std::uint32_t, std::uint32_t> publishing;
    PerCpuCounters<std::uint32_t, traffic> traffic_of;
    PerCpuCounters<std::uint32_t, std::uint64_t> verdicts;
    UniqueFd from_sandbox, from_host, from_uplink, from_stack;
    Hook uplink_hook;

    // Through the pins. number ENOENT where the datapath isn't loaded: their directory is absent. Code::conflict where
    // it is there and a pin is not, and where it was loaded in another network namespace than the thread's: devices
    // that it names are others here, or none.
    static std::expected<Datapath, Error> open();
    // The same for those who only look at what is in the maps, wherever it was loaded.
    static std::expected<Datapath, Error> open_of_any_netns();

    // Whether there is a directory of pins; whether they can be opened, open() says.
    static bool is_pinned();

    // Opened by those alone who need them: addresses that rest; DELs that have left flows; ports that are published.
    static std::expected<BpfMap<address, rest>, Error> open_resting();
    static std::expected<BpfMap<std::uint32_t, std::uint32_t>, Error> open_departures();
    static std::expected<Publishing, Error> open_publishing();

    // Opened by those alone whose sandbox has a bandwidth.
    static std::expected<BpfMap<std::uint32_t, shaper>, Error> open_shapers();

    // Where all that is asked is whether something is on record.
    static std::expected<BpfMap<attachment_key, attachment>, Error> open_attachments();

    // Whether open_or_load could load one: no other version's is there.
    static std::expected<void, Error> check_loadable();

    // Whether the kernel lets this process load programs, and pin them: one of no use is loaded for it.
    static std::expected<void, Error> check_rights();

    // Loads and pins where open() finds nothing, or only what a killed process left. The lock is exclusive.
    static std::expected<Datapath, Error> open_or_load(const DatapathLock& lock, const TableSpec& tables);

    std::expected<table_sizes, Error> sizes() const;

    // Code::invalid_configuration, with both numbers: it was loaded with others than those asked for, and keeps them.
    std::expected<void, Error> check_sizes(const TableSpec& tables) const;

    // Whether a load or an unload that was killed has left something; under the exclusive lock, else one may be going
    // on.
    static std::expected<bool, Error> is_half_loaded();

    // Removes the pins; programs and maps live on only where they are attached or open. The lock is exclusive.
    static std::expected<void, Error> unpin(const DatapathLock& lock);

    static const std::string& directory();

    // In ns: the clock of the programs, bpf_ktime_get_ns().
    static std::uint64_t now();

    // Where other versions of causeway keep theirs: their sandboxes are not in this one's maps.
    static std::expected<std::vector<std::string>, Error> other_versions();
};

}  // namespace causeway
