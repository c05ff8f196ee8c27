// SPDX-License-Identifier: Apache-2.0
// A tap on a device: sees every frame, and puts frames on it that no stack would send.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/packet.hpp"
#include "tests/system/socket.hpp"

namespace causeway::test {

// A text of six pairs of hexadecimal digits; throws where it is none.
Mac mac_of(const std::string& text);
Mac mac_of_device(const std::string& netns, const std::string& device);  // netns empty: the node
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

// IP of either family and of this protocol number (ICMP by IPv4's), from and to these addresses where given.
bool is_packet(const Bytes& frame, std::uint8_t protocol, const std::string& source = {},
               const std::string& destination = {});

// A datagram of IPv6 in two fragments, of which only the first has a header before the fragment header.
std::vector<Frame> pieces_with_other_headers(const Ethernet& link, const std::string& source,
                                             const std::string& destination, const UDP& udp);

// Who has that address, as a stack asks first (RFC 826; RFC 4861, section 4.3), and the answer of whoever it is. A
// sender of 0.0.0.0 or :: probes for a duplicate (RFC 5227, section 2.1.1; RFC 4862, section 5.4.2).
Frame neighbour_question(const Mac& own, const std::string& sender, const std::string& target);
bool is_neighbour_answer(const Bytes& frame);

}  // namespace causeway::test
