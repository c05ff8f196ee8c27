// SPDX-License-Identifier: Apache-2.0
// Devices that lead to the world: found, recorded, and given their programs. Layer 3.
#pragma once

#include <array>
#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "userspace/network.hpp"

namespace causeway {

struct Uplink {
    Link link;
    std::array<Address, FAMILY_COUNT> addresses;  // of the network's families; none: it has none of that family
    bool temporary =
        false;  // the kernel prefers IPv6 addresses of it that last a day (RFC 8981), which no flow outlives
    std::optional<uplink> record{};  // as it is on record
};

// Those that the spec names, or every Ethernet device with a global address of one of the spec's families that is none
// of the networks' gateway devices and no sandbox's host end: what comes from a sandbox must not pass for the world's.
// Code::invalid_configuration: a name that is none of an Ethernet device, or is of such a host end or of a gateway
// device, this network's or another's. datapath: null when none is loaded.
std::expected<std::vector<Uplink>, Error> find_uplinks(const Datapath* datapath, Netlink& netlink,
                                                       const NetworkSpec& spec, const std::vector<Network>& networks);

// Whether they are all on record as they are, so that attach_uplinks would write nothing. Who writes has the exclusive
// lock: one record is of all networks, and a device that is on record is no sandbox's.
bool are_recorded(const std::vector<Uplink>& uplinks, const NetworkSpec& spec);

// Records them and attaches the programs. What is recorded of families that the spec does not have stays. Where there
// is no room, the records of devices that are gone make some. Code::exhausted: there is none for those that are left.
// One that has gone since it was found is none.
std::expected<void, Error> attach_uplinks(const Datapath& datapath, Netlink& netlink,
                                          const std::vector<Uplink>& uplinks, const NetworkSpec& spec);

// Whether a device is on record as an uplink, or has an uplink's programs, of whichever load.
std::expected<bool, Error> serves_as_uplink(const Datapath& datapath, const Link& link);

// Takes both away. Needs the exclusive lock.
std::expected<void, Error> forget_uplink(const Datapath& datapath, const Link& link);

// Whether attach_uplinks would find room for all of them; changes nothing. datapath: null when none is loaded.
std::expected<void, Error> refuse_too_many(const Datapath* datapath, Netlink& netlink,
                                           const std::vector<Link>& uplinks);

// Those that there are now for a network, by the names that its configuration has, as in NetworkSpec.
// Code::check_failed names the one without a record, or with another address than it has, or the program that is
// missing or has others before it, and where; details: what to do, if the next ADD doesn't. Nobody's: one that is
// in no configuration by name, has come since the last ADD, and leads nowhere by default, is no sandbox's loss.
enum class NobodysUplinks { ignored, told };
std::expected<void, Error> verify_uplinks(const Datapath& datapath, Netlink& netlink,
                                          const std::vector<std::string>& names, const network& record,
                                          NobodysUplinks nobodys);

// All of them, and their records.
std::expected<void, Error> detach_uplinks(const Datapath& datapath);

}  // namespace causeway
