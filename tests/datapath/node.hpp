// SPDX-License-Identifier: Apache-2.0
// The host that the packets cross: its devices, addresses and routes, in namespaces of its own.
//
//   hostA ---- sandbox 10.0.0.2        cw0  10.0.0.1/24, the gateway device
//   hostB ---- sandbox 10.0.0.3        up0  203.0.113.1/24 ---- router 203.0.113.254, the default route
//                                      lan0 10.9.0.1/24, a device that is no uplink of causeway
//
// With IPv6 it has those addresses too, as tests/support/family.hpp translates them, and speaks of its own accord to
// nobody.
//
// What fails here throws: a test whose host cannot be built has failed.
#pragma once

#include <string>

#include "tests/support/family.hpp"
#include "tests/support/packet.hpp"
#include "userspace/unique_fd.hpp"

namespace causeway::test {

// Indexes of the devices, the same in every run.
inline constexpr unsigned host_a = 11, host_b = 12, gateway_device = 13, uplink_device = 14, lan_device = 15;

inline constexpr Ip ip_a = "10.0.0.2"_ip, ip_b = "10.0.0.3"_ip, ip_claimed = "10.0.0.4"_ip, ip_unused = "10.0.0.9"_ip,
                    ip_gateway = "10.0.0.1"_ip, ip_uplink = "203.0.113.1"_ip, ip_router = "203.0.113.254"_ip,
                    ip_server = "198.51.100.7"_ip, ip_server_2 = "198.51.100.8"_ip;

inline constexpr Mac mac_a = "02:00:00:00:00:0a"_mac, mac_b = "02:00:00:00:00:0b"_mac,
                     mac_gateway = "02:00:00:00:00:01"_mac, mac_uplink = "02:00:00:00:01:01"_mac,
                     mac_router = "02:00:00:00:01:fe"_mac, mac_stranger = "02:00:00:00:66:66"_mac,
                     mac_broadcast = "ff:ff:ff:ff:ff:ff"_mac;

// Commands for `ip -batch`, run where the calling thread is; written as IPv4.
void run_ip(const std::string& commands, Family family = Family::ipv4);

// Makes the host above and leaves the calling thread in it. It is gone once the last process and descriptor are.
class Node {
public:
    explicit Node(Family family);

    // One for test after test, since making it takes longer than most of them, until one has changed it.
    static const Node& shared(Family family);
    static void note_change();

    // The thread is at the devices' other ends (a, b, router, ...) while this lives.
    class Elsewhere {
    public:
        explicit Elsewhere(const Node& node);
        ~Elsewhere();
        Elsewhere(const Elsewhere&) = delete;
        Elsewhere& operator=(const Elsewhere&) = delete;

    private:
        const Node& node_;
    };

private:
    static inline bool changed_ = false;
    UniqueFd here_, elsewhere_;
};

// Writes a file under /proc/sys/net of the namespace that the thread is in.
void set_sysctl(const std::string& name, const std::string& value);

}  // namespace causeway::test
