// SPDX-License-Identifier: Apache-2.0
// Which ports of the host are not for flows: those that its administrator keeps for others, and those that sandboxes
// have published. Layer 3.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "userspace/address.hpp"
#include "userspace/datapath.hpp"

namespace causeway {

// A port of the host that leads to a sandbox.
struct PortMapping {
    std::uint8_t protocol = 0;  // IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP
    // The address it is published on; unspecified: every one of the host's of that family; none: every one of each
    // family that the sandbox has.
    std::optional<Address> host;
    std::uint16_t host_port = 0, sandbox_port = 0;

    bool operator==(const PortMapping&) const = default;
};

// net.ipv4.ip_local_reserved_ports (Linux, Documentation/networking/ip-sysctl.rst) as it is now.
std::expected<host_ports, Error> reserved_ports();

// Brings the datapath up to date with it, where it has changed.
std::expected<void, Error> refresh_reserved_ports(const Datapath& datapath);

struct Publisher {
    std::string container;
    sandbox identity;
    std::uint64_t created = 0;  // as of the sandbox's flows
};

// What is about to be published is on record. Returns what is this interface's now, in that order: runtimes ask every
// network of a container for the same ports, and each is the first one's. Code::conflict names the other sandbox that
// has the port already, on that address, on all, or where it is for all on one of them; of two that publish at once the
// second. Then nothing is published. Code::invalid_configuration: on an address of a family that the sandbox has none
// of.
std::expected<std::vector<PortMapping>, Error> publish(const Datapath& datapath, const Publishing& publishing,
                                                       const std::vector<PortMapping>& ports,
                                                       const Publisher& publisher);

// Takes back those whose entry leads to this host end. Flows that they have opened stay.
std::expected<void, Error> unpublish(const Datapath& datapath, const std::vector<PortMapping>& ports,
                                     std::uint32_t ifindex);

// Whether it leads through that host end. Code::check_failed.
std::expected<void, Error> verify_published(const Datapath& datapath, const PortMapping& mapping,
                                            const sandbox& identity);

}  // namespace causeway
