// SPDX-License-Identifier: Apache-2.0
// Frames put on both sides of a translator, and all that came of them: nothing is waited for that may not come.
//
// The stacks in the sandboxes are made mute, so that only the test speaks for them; peers in the world are addresses
// that it has no stack for, behind world_address. After what a test sends, datagrams go out and back through
// the translator: when they have arrived, so has all that was before them, since everything runs on one CPU, in turn.
#pragma once

#include <string>
#include <vector>

#include "tests/support/family.hpp"
#include "tests/system/translator.hpp"
#include "tests/system/wire.hpp"

namespace causeway::test {

inline constexpr auto node_ip = "203.0.113.1"_ip, gateway_ip = "10.0.0.1"_ip;
inline constexpr auto peer_ip = "198.51.100.20"_ip, other_peer_ip = "198.51.100.21"_ip;  // spoken for by the test

// What came out: IP of the one family only, in order, at the world and at each sandbox.
struct Crossed {
    std::vector<Bytes> world;
    std::vector<std::vector<Bytes>> sandboxes;

    std::size_t size() const;
};
// In words, for a person.
std::string describe(const Crossed& crossed);

class Crossing {
public:
    // node: the namespace with up0. Keeps the calling thread on one CPU from then on.
    Crossing(const std::vector<Party>& parties, const std::string& world, const std::string& node);

    // The link header of what this sandbox sends to the gateway, and of what the world sends to the node.
    Ethernet from_sandbox(std::size_t number = 0) const { return links_.at(number); }
    Ethernet from_world() const { return world_link_; }
    Ip address(std::size_t number = 0) const { return addresses_.at(number); }
    // What is written as IPv4, of the family of the sandboxes' addresses.
    Family family() const { return family_; }
    Bytes bytes(const Frame& frame) const { return in_family(frame, family_).bytes(); }

    void send_from_sandbox(const Bytes& frame, std::size_t number = 0) { sandboxes_.at(number).send(frame); }
    void send_from_world(const Bytes& frame) { world_.send(frame); }
    // All that came out since the last time.
    Crossed settle();

    // The same with one frame; what is not bytes yet becomes so in the family of the addresses.
    Crossed out(const Bytes& frame, std::size_t number = 0);
    Crossed out(const Frame& frame, std::size_t number = 0) { return out(bytes(frame), number); }
    Crossed in(const Bytes& frame);
    Crossed in(const Frame& frame) { return in(bytes(frame)); }

private:
    void probe(std::size_t number, Crossed& crossed);

    std::vector<Tap> sandboxes_;
    std::vector<Ethernet> links_;
    std::vector<Ip> addresses_;
    Tap world_;
    Ethernet world_link_;
    std::uint32_t round_ = 0;
    Family family_ = Family::ipv4;
};

// What is left of a frame where two are to be alike: no link header, IP identification 0. A checksum that held holds.
Bytes without_link_and_id(const Bytes& frame);

// That one frame came out, at the place that `frames` is of, and is this one, in its family, in all but link header and
// identification.
testing::AssertionResult is_only(const std::vector<Bytes>& frames, const Frame& expected);

// The packet in a frame, cut after this much of its IP header's payload: what an ICMP error quotes.
Payload quoted(const Bytes& frame, std::size_t transport_bytes = SIZE_MAX);

// The fixture: a translator with the mute sandboxes blue (0) and red (1).
class Crossroads : public Translating {
protected:
    // Once in a test, before anything crosses. What is published is blue's.
    void build(const Terms& terms = {});

    Crossing& road() { return *road_; }

private:
    std::optional<Crossing> road_;
};

}  // namespace causeway::test
