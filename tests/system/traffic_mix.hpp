// SPDX-License-Identifier: Apache-2.0
// Packets of all sorts, good and bad, in an order that a seed decides: what sandboxes and the world may send.
#pragma once

#include <functional>
#include <list>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tests/system/damage.hpp"
#include "tests/system/mixed_flow.hpp"

namespace causeway::test {

// One packet, or the fragments of one, to be sent through each translator in its own terms.
struct Step {
    std::string words;    // what it is, for a person
    bool outward = true;  // from a sandbox; else from the world
    std::size_t sandbox = 0;
    Flow* flow = nullptr;  // whose packet it is, if any
    bool opens = false;    // a packet of the flow's own, from the sandbox: what comes out tells its port
    bool damaged = false, in_pieces = false, two_for_one_place = false;
    int error = -1;            // type of the ICMP error that it is
    bool bad_quote = false;    // which quotes an IP header with a wrong checksum
    std::size_t quotes = 0;    // bytes of the quoted transport that the error asks for
    bool odd_headers = false;  // more extension headers than any sender puts there, or a routing header to be obeyed
    std::function<std::vector<Bytes>(const Side&)> frames;
};

class TrafficMix {
public:
    explicit TrafficMix(std::uint64_t seed, Family family, std::vector<Published> published = {})
        : random_(seed), family_(family), published_(std::move(published)) {}

    Step next();
    // Sends no more packets of this flow, nor of those that have no port to be told apart from it by.
    void retire(Flow& flow);

private:
    struct Ends {
        std::uint16_t source, destination;
    };
    // The layers within an IP packet of a flow, for whoever sees it by these ports.
    using Filled = std::function<Frame(Frame, Ends)>;
    // What a packet is made of before it is spoilt, cut and shuffled.
    struct Draft {
        Step step;
        IPv4 ip;
        std::vector<Extension> extensions{};  // of IPv6, behind a hop-by-hop header
        std::function<Frame(Frame, const Side&)> fill;
    };

    std::size_t pick(std::size_t count) { return static_cast<std::size_t>(random_() % count); }
    bool chance(std::size_t one_in) { return pick(one_in) == 0; }
    template <typename Values>
    auto one_of(const Values& values) {
        return *(std::begin(values) + static_cast<std::ptrdiff_t>(pick(std::size(values))));
    }

    Flow& some_flow(std::uint8_t protocol);
    Flow& some_published_flow();
    bool may_be_mistaken(const Flow& flow) const;
    Flow* open_flow();
    std::uint8_t some_protocol();
    std::string some_text(std::size_t largest);
    std::string some_chunk();

    Draft packet_of(Flow& flow, bool outward);
    Draft error_about(Flow& flow, bool outward);
    Draft unsolicited();
    Draft for_the_gateway();
    Filled filled(Flow& flow, bool outward, std::string& words);
    Filled tcp(Flow& flow, bool outward, std::string& words);
    void vary(Draft& draft);
    void extend(Draft& draft);
    Step finished(const Draft& draft);
    Damage some_damage();
    Cut some_cut();

    std::mt19937_64 random_;
    Family family_;
    std::vector<Published> published_;
    std::list<Flow> flows_;  // pointers to them stay
    std::uint16_t identification_ = 0;
};

}  // namespace causeway::test
