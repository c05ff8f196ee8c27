// SPDX-License-Identifier: Apache-2.0
// A tap on a device: sees every frame, and puts frames on it that no stack would send.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "tests/support/packet.hpp"
#include "tests/system/socket.hpp"

namespace causeway::test {

// A text of six pairs of hexadecimal digits; throws where it is none.
Mac mac_of(const std::string& text);
// Of an address of IPv6, the one of IPv4 that it stands for (tests/support/family.hpp).
Ip ip_of(const std::string& text);

struct Seen {
    Bytes frame;
    bool checksum_pending = false;  // left for a device to fill in, as veths do among themselves
    bool outgoing = false;
};

class Tap {
public:
    // netns empty: the node.
    Tap(const std::string& netns, const std::string& device);

    void send(const Bytes& frame);
    // The first frame that is wanted, of those since the tap began.
    std::optional<Seen> next(const std::function<bool(const Seen&)>& wanted, std::chrono::milliseconds time = patience);

private:
    Socket socket_;
};

// IPv4 of this protocol number, from and to these addresses where given.
bool is_ipv4(const Bytes& frame, std::uint8_t protocol, const std::string& source = {},
             const std::string& destination = {});
// The same of either family, by the frame's; ICMP by IPv4's number.
bool is_packet(const Bytes& frame, std::uint8_t protocol, const std::string& source = {},
               const std::string& destination = {});
bool is_arp_reply(const Bytes& frame);

}  // namespace causeway::test
