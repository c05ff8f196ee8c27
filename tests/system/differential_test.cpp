// SPDX-License-Identifier: Apache-2.0
// The same traffic through causeway and through the kernel's masquerade: what comes out on each side is the same, up to
// chosen ports and IP identifications, but for the table of differences below.
//
// CAUSEWAY_TEST_SEED=N ./system-tests --gtest_filter='*DifferentialTraffic*' repeats a run.
#include <gmock/gmock.h>

#include <cstdlib>
#include <iostream>
#include <iterator>

#include "tests/system/datagram.hpp"
#include "tests/system/traffic_mix.hpp"

namespace causeway::test {
namespace {

constexpr std::uint64_t usual_seed = 1;
constexpr std::size_t packets_at_least = 20'000, described_at_most = 5, listed_at_most = 40;

struct Difference {
    const Step& step;
    const std::vector<Bytes>& sent;  // to causeway
    const Side& side;                // causeway's
    const Made &ours, &kernels;

    // Where the packet was to go: an index of Made::like.
    std::size_t target() const { return step.outward ? 0 : step.sandbox + 1; }
    std::size_t origin() const { return step.outward ? step.sandbox + 1 : 0; }
    bool is_of(std::uint8_t protocol) const { return step.flow && step.error < 0 && step.flow->protocol == protocol; }
};

constexpr std::size_t ipv4_size = 20;

// The only packet that came out, if it came out there.
const Bytes* only(const Made& made, std::size_t place) {
    const auto all = made.like[0].size() + made.like[1].size() + made.like[2].size();
    return all == 1 && made.like[place].size() == 1 ? &made.like[place][0] : nullptr;
}

bool has(const Bytes& packet, std::uint8_t protocol, std::uint8_t type, std::uint8_t code) {
    return packet.size() > ipv4_size + 8 && packet[9] == protocol && packet[20] == type && packet[21] == code;
}

// The packet that was sent, and nothing else, with the address and port that it is to have there and a hop less.
bool translated_plainly(const Difference& difference, const Made& made) {
    const auto* packet = only(made, difference.target());
    const auto whole = reassembled(difference.sent);
    if (!packet || whole.size() != 1 || !difference.step.flow) {
        return false;
    }
    const auto& flow = *difference.step.flow;
    auto expected = like(whole[0], difference.side, false);
    const auto address = difference.step.outward ? node_ip.value : difference.side.road().address(flow.sandbox).value;
    for (std::size_t i = 0; i < 4; ++i) {
        expected[(difference.step.outward ? 12 : 16) + i] = static_cast<std::uint8_t>(address >> (24 - 8 * i));
    }
    expected[8] = static_cast<std::uint8_t>(expected[8] - 1);
    const std::size_t header = std::size_t{expected[0]} % 16 * 4;
    if (!difference.step.outward && has_ports(flow.protocol)) {
        const auto where = header + (flow.protocol == icmp_number ? 4 : 2);
        expected[where] = static_cast<std::uint8_t>(flow.port >> 8);
        expected[where + 1] = static_cast<std::uint8_t>(flow.port);
    }
    expected.back() = packet->back();
    return expected == *packet && (packet->back() == 255 || packet->back() == flow.sandbox);
}

// An error of the node's own that says no less than eight bytes of the packet's transport (RFC 792), or all there are.
bool is_same_error_with_a_shorter_quote(const Difference& difference) {
    const auto *ours = only(difference.ours, difference.origin()),
               *kernels = only(difference.kernels, difference.origin());
    if (!ours || !kernels || ours->size() < 49 || kernels->size() < ours->size() || (*ours)[9] != icmp_number ||
        ((*ours)[20] != 3 && (*ours)[20] != 11 && (*ours)[20] != 12)) {
        return false;
    }
    const auto equal = [&](std::size_t begin, std::size_t end) {
        return std::equal(ours->begin() + static_cast<std::ptrdiff_t>(begin),
                          ours->begin() + static_cast<std::ptrdiff_t>(end),
                          kernels->begin() + static_cast<std::ptrdiff_t>(begin));
    };
    const auto quote = ours->size() - 1, needed = 28 + std::size_t{(*ours)[28]} % 16 * 4 + 8;
    return (*ours)[0] == 0x45 && equal(8, quote) && (quote >= needed || quote == kernels->size() - 1) &&
           (*ours)[1] >> 5 == 6;
}

// "Communication administratively prohibited" from the gateway, to who sent the packet.
bool is_refusal(const Difference& difference, const Made& made) {
    const auto* packet = only(made, difference.origin());
    return packet && difference.step.outward && has(*packet, icmp_number, 3, 13) &&
           std::equal(packet->begin() + 12, packet->begin() + 16, Bytes{10, 0, 0, 1}.begin());
}

// Nothing reached the target; at most the node's own stack answered, for the packet was nobody's to it.
bool kept_from_target(const Difference& difference, const Made& made) {
    return made.like[difference.target()].empty() && made.like[1].size() + made.like[2].size() == 0;
}

// That the packet's TTL is used up, from the node or its gateway.
bool says_time_exceeded(const Difference& difference, const Made& made) {
    const auto* packet = only(made, difference.origin());
    return packet && difference.sent[0][22] <= 1 && has(*packet, icmp_number, 11, 0);
}

// The kernel computes a CRC over what is quoted, as if that were the whole packet.
bool differ_in_a_quoted_crc(const Difference& difference) {
    const auto *ours = only(difference.ours, difference.target()),
               *kernels = only(difference.kernels, difference.target());
    if (!ours || !kernels || ours->size() != kernels->size()) {
        return false;
    }
    const auto quote = std::size_t{(*ours)[0]} % 16 * 4 + 8, crc = quote + std::size_t{(*ours)[quote]} % 16 * 4 + 8;
    auto without = *kernels;
    for (std::size_t i = crc; i < crc + 4 && i + 1 < without.size(); ++i) {
        without[i] = (*ours)[i];
    }
    return without == *ours;
}

bool has_impossible_coverage(const Bytes& frame) {
    const std::size_t transport = 14 + std::size_t{frame[14]} % 16 * 4;
    const auto coverage = std::size_t{frame.at(transport + 4)} << 8 | frame.at(transport + 5);
    return (coverage != 0 && coverage < 8) || coverage > frame.size() - transport;
}

bool are_same_errors_about_fragments(const Difference& difference) {
    const auto *ours = only(difference.ours, difference.origin()),
               *kernels = only(difference.kernels, difference.origin());
    return difference.sent.size() > 1 && ours && kernels && ours->size() > 28 && kernels->size() > 28 &&
           (*ours)[9] == icmp_number && std::equal(ours->begin() + 8, ours->begin() + 28, kernels->begin() + 8);
}

bool begins_with_part_of_a_tcp_header(const std::vector<Bytes>& pieces) {
    return std::ranges::any_of(pieces, [](const Bytes& frame) {
        const std::size_t transport = 14 + std::size_t{frame[14]} % 16 * 4, size = frame.size() - transport;
        const bool first = (frame[20] & 0x1f) == 0 && frame[21] == 0;
        return first && (size < 20 || size < std::size_t{frame[transport + 12]} / 16 * 4);
    });
}

struct Accepted {
    const char* reason;
    bool (*is_this)(const Difference&);
    bool parts_them = false;  // from then on one knows the flow and the other may not
};

// Every difference that there may be. What a row accepts is as narrow as its reason.
constexpr std::array accepted{
    Accepted{
        "an error of the node's own quotes less of the packet than the kernel's 548 bytes, with DF, and always with "
        "precedence 6: RFC 792 asks for 8 bytes, RFC 1812 4.3.2.5 for the precedence",
        is_same_error_with_a_shorter_quote},
    Accepted{"a TCP segment that conntrack's state machine calls invalid is translated: causeway knows of a connection "
             "only how long to keep it, its ends know which segments to take",
             [](const Difference& difference) {
                 return difference.is_of(tcp_number) && difference.step.flow->external[1] != 0 &&
                        kept_from_target(difference, difference.kernels) &&
                        translated_plainly(difference, difference.ours);
             },
             true},
    Accepted{
        "a packet whose TTL is used up is answered so, even if conntrack calls it invalid and is silent or has the "
        "node's stack answer it",
        [](const Difference& difference) {
            return kept_from_target(difference, difference.kernels) && says_time_exceeded(difference, difference.ours);
        }},
    Accepted{"a connection whose only answer was a RST is forgotten by the kernel at once, and by causeway after its "
             "closing time",
             [](const Difference& difference) {
                 return difference.step.flow && difference.step.flow->protocol == tcp_number &&
                        difference.step.flow->reset && kept_from_target(difference, difference.kernels) &&
                        only(difference.ours, difference.target()) != nullptr;
             },
             true},
    Accepted{"an error about a fragment quotes the fragment, and the kernel's the datagram that it has put together",
             are_same_errors_about_fragments},
    Accepted{"a first fragment that ends within its TCP header is dropped (RFC 3128)",
             [](const Difference& difference) {
                 return difference.is_of(tcp_number) && difference.ours.nothing() &&
                        begins_with_part_of_a_tcp_header(difference.sent);
             },
             true},
    Accepted{"of two fragments for one place, which the receiver takes depends on which is first there, and held ones "
             "are not sent on in the order in which they came",
             [](const Difference& difference) {
                 const auto *ours = only(difference.ours, difference.target()),
                            *kernels = only(difference.kernels, difference.target());
                 return difference.step.two_for_one_place && ours && kernels && ours->size() == kernels->size();
             }},
    Accepted{"an SCTP chunk that conntrack's state machine calls invalid is translated, for the same reason",
             [](const Difference& difference) {
                 return difference.is_of(sctp_number) && kept_from_target(difference, difference.kernels) &&
                        translated_plainly(difference, difference.ours);
             },
             true},
    Accepted{
        "SCTP has its addresses translated and not its ports, so a second sandbox is refused a peer that another has",
        [](const Difference& difference) {
            return difference.is_of(sctp_number) && is_refusal(difference, difference.ours);
        },
        true},
    Accepted{
        "for the same reason an error about a packet without ports reaches the sandbox that speaks that protocol to "
        "its peer, whichever of them sent it",
        [](const Difference& difference) {
            const auto protocol = difference.step.flow ? difference.step.flow->protocol : tcp_number;
            return difference.step.error >= 0 && (protocol == sctp_number || !has_ports(protocol)) &&
                   difference.kernels.nothing() &&
                   (only(difference.ours, 0) || only(difference.ours, 1) || only(difference.ours, 2));
        }},
    Accepted{"an SCTP checksum that is wrong stays wrong, and conntrack, told not to look at it, makes it right",
             [](const Difference& difference) {
                 return difference.is_of(sctp_number) && difference.step.damaged &&
                        translated_plainly(difference, difference.ours);
             }},
    Accepted{
        "a second sandbox that speaks a protocol without ports to another's peer is told so, where the kernel drops "
        "its packets without a word",
        [](const Difference& difference) {
            return difference.step.flow && !has_ports(difference.step.flow->protocol) &&
                   is_refusal(difference, difference.ours) && difference.kernels.nothing();
        }},
    Accepted{"the kernel writes a checksum of its own over the one of an SCTP packet that an error quotes; it can't be "
             "right, for the quote is not whole",
             [](const Difference& difference) {
                 return difference.step.error >= 0 && difference.step.flow->protocol == sctp_number &&
                        differ_in_a_quoted_crc(difference);
             }},
    Accepted{
        "UDP-Lite whose checksum coverage is impossible is left to its receiver, who must discard it (RFC 3828, 3.1)",
        [](const Difference& difference) {
            return difference.is_of(udp_lite_number) && difference.step.damaged && difference.kernels.nothing() &&
                   has_impossible_coverage(difference.sent[0]);
        }},
    Accepted{"a packet with the IP flag that must be zero (RFC 791, 3.1) is dropped",
             [](const Difference& difference) {
                 return difference.step.damaged && (difference.sent[0][20] & 0x80) != 0 && difference.ours.nothing();
             },
             true},
    Accepted{"an ICMP error in fragments is dropped: none is large enough to need them (RFC 1812, 4.3.2.3)",
             [](const Difference& difference) {
                 return difference.step.error >= 0 && difference.step.in_pieces && difference.ours.nothing();
             }},
    Accepted{"source quench is dropped: RFC 6633 has deprecated it",
             [](const Difference& difference) { return difference.step.error == 4 && difference.ours.nothing(); }},
    Accepted{"fragments of what never is whole go on as they come, and no receiver makes anything of them",
             [](const Difference& difference) {
                 return difference.step.in_pieces && difference.ours.like == difference.kernels.like &&
                        difference.kernels.incomplete.empty();
             }},
};

std::uint64_t seed() {
    const char* given = std::getenv("CAUSEWAY_TEST_SEED");
    return given ? std::strtoull(given, nullptr, 10) : usual_seed;
}

bool alike(const Made& one, const Made& other) {
    return one.like == other.like && one.incomplete.empty() == other.incomplete.empty();
}

std::string in_words(const Difference& difference, const std::vector<Bytes>& sent) {
    std::string text = "sent:\n";
    for (const auto& frame : sent) {
        text += describe(frame) + "\n";
    }
    text += "causeway made of it" + describe(difference.ours.raw);
    text += "the kernel made of it" + describe(difference.kernels.raw);
    for (std::size_t place = 0; place < difference.ours.like.size(); ++place) {
        const auto &ours = difference.ours.like[place], &kernels = difference.kernels.like[place];
        for (std::size_t i = 0; i < std::min(ours.size(), kernels.size()); ++i) {
            for (std::size_t at = 0; ours.size() == kernels.size() && at < std::min(ours[i].size(), kernels[i].size());
                 ++at) {
                if (ours[i][at] != kernels[i][at]) {
                    text += "byte " + std::to_string(at) +
                            " of the IP packet, ports and checksums apart: " + std::to_string(ours[i][at]) +
                            ", the kernel's " + std::to_string(kernels[i][at]) + "\n";
                }
            }
        }
    }
    return text;
}

// A node beside the program's own, with a world of its own, named alike but for these letters.
std::string second_node(World& world) {
    const auto node = world.add_namespace("oracle"), outside = world.add_namespace("oracle-world");
    ip({"link", "set", "lo", "up"}, node);
    ip({"link", "add", "up0", "address", "02:00:cb:00:71:01", "type", "veth", "peer", "name", "dn0", "address",
        "02:00:cb:00:71:02", "netns", "oracle-world"},
       node);
    ip({"addr", "add", "203.0.113.1/24", "dev", "up0"}, node);
    ip({"link", "set", "up0", "up"}, node);
    ip({"addr", "add", "203.0.113.2/24", "dev", "dn0"}, outside);
    ip({"link", "set", "dn0", "up"}, outside);
    ip({"route", "add", "default", "via", world_address}, node);
    let_errors_flow(node);
    let_errors_flow(outside);
    return node;
}

class DifferentialTraffic : public Translating {
protected:
    void SetUp() override {
        const Terms terms{.patch = {{"mtu", 1500}, {"quota", {{"flows", 100000}, {"flowsPerSecond", 1000000}}}}};
        const std::vector ours{join("blue", terms), join("red", terms)};
        const auto node = second_node(world_);
        Masquerade masquerade(world_, node, terms);
        const std::vector kernels{masquerade.connect("oracle-blue"), masquerade.connect("oracle-red")};
        for (const auto& where : {std::string(), node}) {  // so that some packets are too big for it
            ip({"link", "set", "up0", "mtu", "1400"}, where);
            set_sysctl("net/ipv4/ipfrag_time", "3600",
                       where);  // no complaints about a lost fragment, however slow this is
        }
        roads_.reserve(2);
        roads_.emplace_back(ours, world_.world(), "");
        roads_.emplace_back(kernels, world_.path("oracle-world"), node);
        sides_.emplace_back(0, roads_[0]);
        sides_.emplace_back(1, roads_[1]);
    }

    static Made sent_through(Side& side, const Step& step, std::vector<Bytes>& frames) {
        frames = step.frames(side);
        for (const auto& frame : frames) {
            if (step.outward) {
                side.road().send_from_sandbox(frame, step.sandbox);
            } else {
                side.road().send_from_world(frame);
            }
        }
        return made(side, side.road().settle(), step.opens ? step.flow : nullptr);
    }

    std::vector<Crossing> roads_;
    std::vector<Side> sides_;
};

TEST_P(DifferentialTraffic, ComesOutTheSame) {
    TrafficMix mix(seed());
    std::size_t packets = 0, steps = 0, differences = 0;
    std::map<std::string, std::size_t> seen;  // by reason
    while (packets < packets_at_least) {
        const auto step = mix.next();
        std::vector<Bytes> sent, sent_to_kernel;
        const auto ours = sent_through(sides_[0], step, sent), kernels = sent_through(sides_[1], step, sent_to_kernel);
        packets += sent.size();
        ++steps;
        if (alike(ours, kernels)) {
            continue;
        }
        const Difference difference{step, sent, sides_[0], ours, kernels};
        const auto row = std::ranges::find_if(accepted, [&](const Accepted& one) { return one.is_this(difference); });
        if (step.flow && (row == accepted.end() ? step.error < 0 : row->parts_them)) {
            mix.retire(*step.flow);
        }
        if (row != accepted.end()) {
            ++seen[row->reason];
            continue;
        }
        if (++differences <= described_at_most) {
            ADD_FAILURE() << "seed " << seed() << ", step " << steps << ": " << step.words << "\n"
                          << in_words(difference, sent);
        } else if (differences <= listed_at_most) {
            ADD_FAILURE() << "seed " << seed() << ", step " << steps << ": " << step.words << "; causeway "
                          << ours.raw.size() << " frames, the kernel " << kernels.raw.size();
        }
    }
    EXPECT_EQ(differences, 0U) << "of " << steps << " steps, seed " << seed() << "\n" << counted();
    for (const auto& [reason, count] : seen) {
        std::cout << count << " times: " << reason << "\n";
    }
}

// The kernel with itself shows that the comparison finds nothing where there is nothing.
FOR_BOTH_TRANSLATORS(DifferentialTraffic);

}  // namespace
}  // namespace causeway::test
