// SPDX-License-Identifier: Apache-2.0
// What is left on this host that no sandbox uses any more: found without anybody's list. Layer 3.
//
// Runtimes that never call GC, kills and operators' accidents leave such things. The namespace of a sandbox is gone
// when its host end is: the kernel removes both ends of a veth pair with the namespace that either is in. One whose
// path is gone is left alone as long as a process is in it, or may be: other namespaces than the host's see fewer.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "userspace/attachment.hpp"
#include "userspace/network.hpp"

namespace causeway {

struct Orphan {
    enum class Kind {
        attachment,  // a record, with all that it names
        host_end,    // a device that no record names
        gateway,     // a gateway device that no network names
        endpoint,    // an address that no record's claim holds
        identity,    // a sandbox's identity, of no host end on record
        slot,        // of the per-sandbox counters, that no record's claim holds
        program,     // on an uplink or lo, of a datapath whose pins can't be seen
        network,     // with its gateway device, beside networks that are used
        datapath,    // loaded, with its networks, and no record; or half loaded, or half unloaded
    };
    Kind kind = Kind::attachment;
    std::string what, why;  // for people
    Attachment attachment{};
    std::string device;
    address place{};
    std::uint32_t index = 0;  // key of the entry; of the device
    std::string program{};
    Direction direction = Direction::ingress;
    Network network{};
};

struct Leftovers {
    std::vector<Orphan> orphans;
    std::vector<std::string> remarks;  // for people: what may be left over, and why nobody can tell
};

// A host end or a gateway device of causeway's, and no pins: they are lost, or in a bpffs that is not
// mounted here, and then sandboxes may be at work on a record that nobody sees from here. So nothing is anybody's to
// remove or to make anew, until somebody says that the pins are lost. Code::conflict, with what there is and what to
// do: that, or pins of another version of causeway. Needs the lock, shared.
std::expected<void, Error> refuse_unseen(Netlink& netlink);

// Whether the records of sandboxes can be read, where there are any. Takes the lock, shared.
std::expected<void, Error> see_records();

// Nothing is changed. What is half made or half gone is among them only under the exclusive lock: else its connect or
// disconnect may be going on. Networks are not: one that nobody uses may be somebody's again at any time.
std::expected<Leftovers, Error> find_orphans(const DatapathLock& lock, Netlink& netlink);

}  // namespace causeway
