// SPDX-License-Identifier: Apache-2.0
// A sandbox's connection to its network: made and unmade. sandbox.cpp is the only file that knows the order of the
// steps. Layer 3.
//
// Before anything that outlives the process is made, its name is recorded in the attachments map. So the undoing of a
// failed connect, of a killed one and of a finished one is the same disconnect.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "userspace/bandwidth.hpp"
#include "userspace/host_ports.hpp"
#include "userspace/network.hpp"
#include "userspace/quota.hpp"
#include "userspace/undo.hpp"

namespace causeway {

// What another plugin of the chain says that it has made: one end of a veth pair in the sandbox, and the other end on
// the host; or a tap on the host, and behind it what has no end in any namespace. Nothing is made then, and disconnect
// leaves it all.
struct GivenDevices {
    std::vector<std::string> on_host;  // among others, the host end
    bool in_sandbox = false;           // the interface is in the sandbox's namespace
    std::optional<Mac> mac;            // of what is behind a tap
};

// Another program that gives the addresses. It may take its time, or hang: it is called without the lock, once the
// sandbox is on record, so that of two connects of one sandbox only one calls it. give_back is called when the connect
// fails afterwards.
struct Lease {
    struct Given {
        std::vector<RangeSet> ranges;         // the subnet that each is in, for the gateway device
        std::vector<Assignment> assignments;  // 1 to CAUSEWAY_ADDRESSES_MAX
        std::vector<Route> routes;
    };
    bool by_link = false;  // it asks by the sandbox's own interface, which is up then, and still there at give_back;
                           // the network has its ranges before. Not beside GivenDevices
    std::function<std::expected<Given, Error>()> take;
    std::function<std::expected<void, Error>()> give_back;
};

struct SandboxSpec {
    SandboxId id;
    std::string netns;               // path, shorter than CAUSEWAY_NETNS_LEN
    std::optional<Mac> mac;          // none: derived from an address, or random where there is none yet
    std::vector<Address> addresses;  // of the network's ranges; of a set of which it has none: any of that
    std::vector<Route> routes;       // in the sandbox; without a gateway: through the network's of that family
    std::vector<PortMapping> ports;  // no two of them claim one port of one address
    Quota quota;                     // what it does not say is the network's
    Bandwidth bandwidth;
    std::optional<GivenDevices> given;  // none: the pair is to be made
    std::optional<Lease> lease;         // in place of addresses and routes

    bool asks_by_link() const { return lease && lease->by_link; }
};

struct PortRange {
    std::uint16_t first = 0, last = 0;  // inclusive
};

struct Connection {
    Link gateway_device, host_end, sandbox_end;
    bool given = false;  // both ends
    bool bare = false;   // given, and the sandbox's end is in no namespace: only its name and MAC are known
    std::vector<Assignment> assignments;  // at least one
    std::vector<Route> routes;            // gateways filled in
    PortRange ports;                      // of its own towards the world; 0: the network's
    Queues queues;                        // by its bandwidth
};

// Loads the datapath and makes the network where they are missing. On failure all is as before.
std::expected<Connection, Error> connect(const NetworkSpec& network, const SandboxSpec& sandbox);

// Whether a connect would be refused because it is connected already. What a killed connect or disconnect has left is
// not. Code::conflict where its record may be where it can't be seen (refuse_unseen). Where there is a datapath it
// takes no lock: nobody calls two at once for one sandbox (CNI 1.1.0, section 3, "Lifecycle & Ordering").
std::expected<bool, Error> is_connected(const SandboxId& id);

// What a call that was killed, or a disconnect that failed, has left of it with a lease, which has to be given back
// before another one is taken; else nothing is done. Code::try_again_later: such a call may be at work.
// Code::conflict: it is another network's, whose plugin is another one.
std::expected<void, Error> disconnect_leftover(const SandboxId& id, const std::string& network_name,
                                               const GiveBack& give_back);

// Idempotent; never connected: no error, unless its record may be where it can't be seen. Goes on after a failure and
// reports all; what could not be undone is still recorded, so that a later call can. The last sandbox takes the
// networks and the datapath with it: the host is then as it was before the first. Another network's sandbox (not empty,
// and not its name): left alone, and the name of its network returned. give_back is called if the sandbox is on record
// with a lease, before anything is undone where that was taken by its link; what it can't give back stays on record,
// and keeps networks and datapath.
std::expected<std::optional<std::string>, Error> disconnect(const SandboxId& id, const std::string& network_name,
                                                            const GiveBack& give_back = {});

// Disconnects every sandbox of the network that is not kept, likewise.
std::expected<void, Error> disconnect_all_but(const std::string& network_name, const std::vector<SandboxId>& kept,
                                              const GiveBack& give_back = {});

}  // namespace causeway
