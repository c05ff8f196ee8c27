// SPDX-License-Identifier: Apache-2.0
// What two translators made of one packet, in a form in which it can be compared: up to chosen ports and IP ids.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "tests/system/crossing.hpp"

namespace causeway::test {

inline constexpr std::uint8_t icmp_number = 1, tcp_number = 6, udp_number = 17, gre_number = 47, esp_number = 50,
                              sctp_number = 132, udp_lite_number = 136, experimental_number = 253;

bool has_ports(std::uint8_t protocol);  // an echo's identifier is one

// A conversation of one of the sandboxes with a peer in the world.
struct Flow {
    std::uint8_t protocol = udp_number;
    std::size_t sandbox = 0;
    Ip peer;
    std::uint16_t port = 0, peer_port = 0;       // 0 for protocols without; an echo has its identifier in the first
    std::uint32_t sent = 1000, received = 5000;  // sequence numbers of TCP
    std::array<std::uint16_t, 2> external{};     // by translator: the port that the world knows it by; 0: none yet
    int stage = 0;                               // of TCP's beginning: SYN, SYN and ACK, ACK
    bool reset = false;                          // a RST was sent, by either end
    bool retired = false;                        // its translators are no longer of one mind
    bool published = false;                      // the world opens it, by a port that the sandbox has published
    bool arrived = false;                        // of such a flow: a first packet has

    bool open() const { return !retired && external[0] != 0 && external[1] != 0 && (!published || arrived); }
};

// One of the two translators with its road.
class Side {
public:
    Side(std::size_t number, Crossing& road) : number_(number), road_(road) {}

    Crossing& road() const { return road_; }
    std::uint16_t port_in_the_world(const Flow& flow) const;
    // A flow whose port is no secret: it is published.
    void know(const Flow& flow);
    // Notes the port that this flow was given, from what came out in the world.
    void learn(Flow& flow, const std::vector<Bytes>& at_world);
    // The flow behind a port of the node's, towards this peer; nullptr: none.
    const Flow* flow_behind(std::uint8_t protocol, std::uint16_t port, Ip peer, std::uint16_t peer_port) const;

private:
    std::size_t number_;
    Crossing& road_;
    std::map<std::tuple<std::uint8_t, std::uint16_t, std::uint32_t, std::uint16_t>, const Flow*> flows_;
};

// What came out of one translator, whole datagrams first put together: `like` can be compared, `raw` be shown.
struct Made {
    Crossed raw;
    std::vector<Bytes> incomplete;                 // fragments of nothing whole, at the world and at the sandboxes
    std::vector<std::vector<Bytes>> like{3};       // at the world, at sandbox 0, at sandbox 1: each sorted
    std::vector<std::vector<Bytes>> datagrams{3};  // the frames that `like` was made of, in its order

    bool nothing() const { return like[0].empty() && like[1].empty() && like[2].empty(); }
};

// flow: whose packet was sent, and so whose port is seen; may be nullptr.
Made made(Side& side, Crossed crossed, Flow* flow);

// Without link header and padding, with ports as the sandbox knows them. Where there was a checksum, there is by how
// much it is wrong: 0 if it holds.
Bytes like(const Bytes& frame, const Side& side, bool at_world);

}  // namespace causeway::test
