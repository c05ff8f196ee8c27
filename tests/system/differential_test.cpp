// SPDX-License-Identifier: Apache-2.0
// The same traffic through causeway and through the kernel's masquerade: what comes out on each side is the same, up to
// chosen ports and IP identifications, but for the table of differences below.
//
// CAUSEWAY_TEST_SEED=N ./system-tests --gtest_filter='*DifferentialTraffic*' repeats a run.
#include <gmock/gmock.h>

#include <cstdlib>
#include <iostream>
#include <iterator>
#include <map>
#include <set>

#include "tests/support/packet_bytes.hpp"
#include "tests/system/datagram.hpp"
#include "tests/system/layout.hpp"
#include "tests/system/traffic_mix.hpp"

namespace causeway::test::differential_test {
namespace {

constexpr std::uint64_t usual_seed = 1;
constexpr std::size_t described_at_most = 5, listed_at_most = 40;

struct Difference {
    const Step& step;
    const std::vector<Bytes>& sent;  // to causeway
    const Side& side;                // causeway's
    const Made &ours, &kernels;

    // Where the packet was to go: an index of Made::like.
    std::size_t target() const { return step.outward ? 0 : step.sandbox + 1; }
    std::size_t origin() const { return step.outward ? step.sandbox + 1 : 0; }
    // More than one packet of the step was there to be sent, or one was too large for its link.
    bool in_pieces() const { return step.in_pieces || sent.size() > 1; }
    bool is_of(std::uint8_t protocol) const { return step.flow && step.error < 0 && step.flow->protocol == protocol; }
};

// The only packet that came out, if it came out there.
const Bytes* only(const Made& made, std::size_t place) {
    const auto all = made.like[0].size() + made.like[1].size() + made.like[2].size();
    return all == 1 && made.like[place].size() == 1 ? &made.like[place][0] : nullptr;
}

// Of a packet such as `like` makes it, without what it adds behind.
std::optional<Layout> layout_of_like(const Bytes& packet) {
    return layout_of(packet, 0, packet.empty() || packet[0] >> 4 == 6 ? Family::ipv6 : Family::ipv4);
}

// An ICMP message, by IPv4's number or IPv6's.
struct Message {
    std::uint8_t type, code;
};
bool is_message(const Bytes& packet, Message ipv4, Message ipv6) {
    const auto layout = layout_of_like(packet);
    if (!layout || layout->protocol != icmp_number || packet.size() <= layout->transport + 8) {
        return false;
    }
    const auto wanted = layout->family == Family::ipv6 ? ipv6 : ipv4;
    return packet[layout->transport] == wanted.type && packet[layout->transport + 1] == wanted.code;
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
    const auto layout = layout_of_like(expected);
    if (!layout) {
        return false;
    }
    const bool outward = difference.step.outward;
    put_address(expected, outward ? layout->source() : layout->destination(), layout->family,
                outward ? node_ip : difference.side.road().address(flow.sandbox));
    expected[layout->ttl()] = static_cast<std::uint8_t>(expected[layout->ttl()] - 1);
    if (!outward && has_ports(flow.protocol)) {
        set16(expected, layout->transport + (flow.protocol == icmp_number ? 4 : 2), flow.port);
    }
    expected.back() = packet->back();
    return expected == *packet && (packet->back() == 255 || packet->back() == flow.sandbox);
}

// An error of the node's own that says no less than eight bytes of the packet's transport (RFC 792), or all there are.
bool is_same_error_with_a_shorter_quote(const Difference& difference) {
    const auto *ours = only(difference.ours, difference.origin()),
               *kernels = only(difference.kernels, difference.origin());
    if (!ours || !kernels || ours->size() < 49 || kernels->size() < ours->size() || (*ours)[0] != 0x45 ||
        (*ours)[9] != icmp_number || ((*ours)[20] != 3 && (*ours)[20] != 11 && (*ours)[20] != 12)) {
        return false;
    }
    const auto equal = [&](std::size_t begin, std::size_t end) {
        return std::equal(ours->begin() + static_cast<std::ptrdiff_t>(begin),
                          ours->begin() + static_cast<std::ptrdiff_t>(end),
                          kernels->begin() + static_cast<std::ptrdiff_t>(begin));
    };
    const auto quote = ours->size() - 1, needed = 28 + std::size_t{(*ours)[28]} % 16 * 4 + 8;
    return equal(8, quote) && (quote >= needed || quote == kernels->size() - 1) && (*ours)[1] >> 5 == 6;
}

// "Communication administratively prohibited" from the gateway, to who sent the packet: once, or each time that its
// first fragment came.
bool is_refusal(const Difference& difference, const Made& made) {
    const auto& told = made.like[difference.origin()];
    return difference.step.outward && !told.empty() && made.like[0].empty() &&
           made.like[3 - difference.origin()].empty() && std::ranges::all_of(told, [](const Bytes& packet) {
               const auto layout = layout_of_like(packet);
               return layout && is_message(packet, {3, 13}, {1, 1}) &&
                      address_at(packet, layout->source(), layout->family) == gateway_ip;
           });
}

// Nothing reached the target; at most the node's own stack answered, for the packet was nobody's to it.
bool kept_from_target(const Difference& difference, const Made& made) {
    return made.like[difference.target()].empty() && made.like[1].size() + made.like[2].size() == 0;
}

// That the packet's TTL is used up, from the node or its gateway.
bool says_time_exceeded(const Difference& difference, const Made& made) {
    const auto* packet = only(made, difference.origin());
    const auto sent = layout_of_frame(difference.sent[0]);
    return packet && sent && difference.sent[0][sent->ttl()] <= 1 && is_message(*packet, {11, 0}, {3, 0});
}

// The kernel computes a CRC over what is quoted, as if that were the whole packet.
bool differ_in_a_quoted_crc(const Difference& difference) {
    const auto *ours = only(difference.ours, difference.target()),
               *kernels = only(difference.kernels, difference.target());
    const auto layout = ours ? layout_of_like(*ours) : std::nullopt;
    const auto quoted = layout ? layout_of(*ours, layout->transport + 8, layout->family) : std::nullopt;
    if (!quoted || !kernels || ours->size() != kernels->size()) {
        return false;
    }
    const auto crc = quoted->transport + 8;
    auto without = *kernels;
    for (std::size_t i = crc; i < crc + 4 && i + 1 < without.size(); ++i) {
        without[i] = (*ours)[i];
    }
    return without == *ours;
}

bool has_impossible_coverage(const Bytes& frame) {
    const auto layout = layout_of_frame(frame);
    if (!layout || frame.size() < layout->transport + 6) {
        return false;
    }
    const std::size_t coverage = get16(frame, layout->transport + 4);
    return (coverage != 0 && coverage < 8) || coverage > frame.size() - layout->transport;
}

bool are_same_errors_about_fragments(const Difference& difference) {
    const auto *ours = only(difference.ours, difference.origin()),
               *kernels = only(difference.kernels, difference.origin());
    const auto layout = ours ? layout_of_like(*ours) : std::nullopt;
    if (!layout || !kernels || difference.sent.size() < 2 || ours->size() <= layout->transport + 8 ||
        kernels->size() <= layout->transport + 8 || layout->protocol != icmp_number) {
        return false;
    }
    const auto first = static_cast<std::ptrdiff_t>(layout->ttl()),
               last = static_cast<std::ptrdiff_t>(layout->transport + 8);
    return std::equal(ours->begin() + first, ours->begin() + last, kernels->begin() + first);
}

bool begins_with_part_of_a_tcp_header(const std::vector<Bytes>& pieces) {
    return std::ranges::any_of(pieces, [](const Bytes& frame) {
        const auto layout = layout_of_frame(frame);
        if (!layout || layout->fragment_offset != 0) {
            return false;
        }
        const auto size = frame.size() - layout->transport;
        return size < 20 || size < std::size_t{frame[layout->transport + 12]} / 16 * 4;
    });
}

// The server of a published port says SYN on a connection that has ended.
bool begins_anew_from_published_port(const Difference& difference) {
    const auto* ours = only(difference.ours, 0);
    const auto* flow = difference.step.flow;
    const auto& frame = difference.sent.front();
    const auto layout = layout_of_frame(frame);
    return flow && flow->published && difference.is_of(tcp_number) && difference.step.outward && layout &&
           frame.size() > layout->transport + 13 && frame[layout->transport + 13] == syn && ours &&
           ours->back() == flow->sandbox && only(difference.kernels, 0);
}

// A SYN that goes no further, with which the kernel has begun the connection anew before it looked at the TTL.
bool is_syn_that_expires(const Step& step, const Bytes& frame) {
    const auto layout = layout_of_frame(frame);
    return step.flow && step.error < 0 && layout && layout->protocol == tcp_number && frame[layout->ttl()] <= 1 &&
           frame.size() > layout->transport + 13 && frame[layout->transport + 13] == syn;
}

// The 12 bytes of RFC 9260, section 3.1.
bool ends_within_sctp_header(const Bytes& frame) {
    const auto layout = layout_of_frame(frame);
    return layout && layout->protocol == sctp_number && !layout->fragment && frame.size() < layout->transport + 12;
}

bool is_ipv6(const Difference& difference) {
    return family_of(difference.sent[0]) == Family::ipv6;
}

// RFC 7112, section 5: no ports, or not all of the transport's header.
bool begins_with_part_of_its_headers(const std::vector<Bytes>& pieces) {
    return std::ranges::any_of(pieces, [](const Bytes& frame) {
        const auto layout = layout_of_frame(frame);
        if (layout && layout->fragment_offset != 0) {
            return false;
        }
        return !layout || frame.size() < layout->transport + (layout->protocol == tcp_number ? 20U : 8U);
    });
}

// Nothing at the target, and at most parameter problems said to a sandbox that sent it; what the world sends so is
// nobody's but the node's.
bool are_headers_refused(const Difference& difference) {
    if (!difference.step.outward) {
        return kept_from_target(difference, difference.ours);
    }
    const auto& told = difference.ours.like[difference.origin()];
    return difference.ours.like[0].empty() && difference.ours.like[3 - difference.origin()].empty() &&
           std::ranges::all_of(told, [](const Bytes& packet) {
               const auto layout = layout_of_like(packet);
               return layout && layout->protocol == icmp_number &&
                      packet[layout->transport] == icmpv6_parameter_problem;
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
    Accepted{"an SCTP packet in fragments keeps its port or is dropped: how its CRC changes with a port depends on how "
             "long it is, and the kernel puts it together first",
             [](const Difference& difference) {
                 return difference.is_of(sctp_number) && difference.in_pieces() && difference.ours.nothing() &&
                        difference.step.flow->external[0] != difference.step.flow->port;
             },
             true},
    Accepted{
        "an error about a packet without ports reaches the sandbox that speaks that protocol to its peer, whichever of "
        "them sent it",
        [](const Difference& difference) {
            const auto protocol = difference.step.flow ? difference.step.flow->protocol : tcp_number;
            return difference.step.error >= 0 && !has_ports(protocol) && difference.kernels.nothing() &&
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
    Accepted{"an SCTP packet from the world that ends within its header is dropped, and the kernel leaves it to the "
             "node's stack, which says that it doesn't speak SCTP",
             [](const Difference& difference) {
                 return difference.step.damaged && !difference.step.outward && difference.ours.nothing() &&
                        kept_from_target(difference, difference.kernels) && ends_within_sctp_header(difference.sent[0]);
             }},
    Accepted{
        "UDP-Lite whose checksum coverage is impossible is left to its receiver, who must discard it (RFC 3828, 3.1)",
        [](const Difference& difference) {
            return difference.is_of(udp_lite_number) && difference.step.damaged && difference.kernels.nothing() &&
                   has_impossible_coverage(difference.sent[0]);
        }},
    Accepted{"a packet with the IP flag that must be zero (RFC 791, 3.1) is dropped",
             [](const Difference& difference) {
                 return difference.step.damaged && family_of(difference.sent[0]) == Family::ipv4 &&
                        (difference.sent[0][20] & 0x80) != 0 && difference.ours.nothing();
             },
             true},
    Accepted{"an ICMP error in fragments is dropped: none is large enough to need them (RFC 1812, 4.3.2.3)",
             [](const Difference& difference) {
                 return difference.step.error >= 0 && difference.in_pieces() && difference.ours.nothing();
             }},
    Accepted{"a connection that a published port's server begins anew keeps the published port, as one that its client "
             "begins anew does; the kernel takes it for any other of the sandbox's",
             begins_anew_from_published_port, true},
    Accepted{"an ICMP error that quotes an IP header with a wrong checksum is dropped (RFC 5508, REQ-3a)",
             [](const Difference& difference) { return difference.step.bad_quote && difference.ours.nothing(); }},
    Accepted{"source quench is dropped: RFC 6633 has deprecated it",
             [](const Difference& difference) {
                 return difference.step.error == 4 && family_of(difference.sent[0]) == Family::ipv4 &&
                        difference.ours.nothing();
             }},
    Accepted{
        "IPv6: more extension headers than six, or a routing header that is not done with, are dropped, and who sent "
        "them is told (RFC 8883, RFC 5095)",
        [](const Difference& difference) {
            return difference.step.odd_headers && is_ipv6(difference) && are_headers_refused(difference);
        },
        true},
    Accepted{"IPv6: a packet that ends within its extension headers is dropped",
             [](const Difference& difference) {
                 return difference.step.damaged && is_ipv6(difference) && !layout_of_frame(difference.sent[0]) &&
                        difference.ours.nothing();
             }},
    Accepted{"IPv6: a first fragment without all headers is dropped (RFC 7112)",
             [](const Difference& difference) {
                 return difference.in_pieces() && is_ipv6(difference) && difference.ours.nothing() &&
                        begins_with_part_of_its_headers(difference.sent);
             },
             true},
    Accepted{"a first fragment opens a flow, also of what never is whole",
             [](const Difference& difference) {
                 return difference.in_pieces() && difference.step.flow && !difference.step.flow->open() &&
                        difference.step.error < 0 && difference.ours.like == difference.kernels.like &&
                        difference.kernels.incomplete.empty();
             },
             true},
    Accepted{"fragments of what never is whole go on as they come, and no receiver makes anything of them",
             [](const Difference& difference) {
                 return difference.in_pieces() && difference.ours.like == difference.kernels.like &&
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
std::string second_node(World& world, Family family) {
    const auto node = world.add_namespace("oracle"), outside = world.add_namespace("oracle-world");
    const auto prefixed = [&](const char* address) { return in_family(std::string(address) + "/24", family); };
    ip({"link", "set", "lo", "up"}, node);
    ip({"link", "add", "up0", "address", "02:00:cb:00:71:01", "type", "veth", "peer", "name", "dn0", "address",
        "02:00:cb:00:71:02", "netns", "oracle-world"},
       node);
    ip({"addr", "add", prefixed(node_address), "dev", "up0", "nodad"}, node);
    ip({"link", "set", "up0", "up"}, node);
    ip({"addr", "add", prefixed(world_address), "dev", "dn0", "nodad"}, outside);
    ip({"link", "set", "dn0", "up"}, outside);
    ip({"route", "add", "default", "via", in_family(world_address, family), "dev", "up0"}, node);
    let_errors_flow(node);
    let_errors_flow(outside);
    return node;
}

// No fragment is given up, nor complained about, however long this takes and however many are lost; the stacks' own
// packets are alike; and what an error says of a path's MTU to the node itself is forgotten at once, for the two hear
// of different ones.
const std::map<std::string, std::string> of_slow_machines{
    {"net/ipv4/ipfrag_time", "3600"},  {"net/ipv4/ipfrag_high_thresh", "100000000"},
    {"net/ipv6/ip6frag_time", "3600"}, {"net/ipv6/ip6frag_high_thresh", "100000000"},
    {"net/ipv6/auto_flowlabels", "0"}, {"net/ipv6/route/mtu_expires", "-1"},
};
const std::map<std::string, std::string> of_conntracks_fragments{
    {"net/netfilter/nf_conntrack_frag6_timeout", "3600"},
    {"net/netfilter/nf_conntrack_frag6_high_thresh", "100000000"},
};

class DifferentialTraffic : public Translating {
protected:
    // patch: of the network's configuration; published: blue's ports.
    void build(const Json& patch = Json::object(), const std::vector<Published>& published = {}) {
        Terms terms{.patch = {{"mtu", 1500}, {"quota", {{"flows", 100000}, {"flowsPerSecond", 1000000}}}}};
        terms.patch.update(patch);
        const auto others = terms;
        terms.published = published;
        const std::vector ours{join("blue", terms), join("red", others)};
        const auto node = second_node(world_, family());
        Masquerade masquerade(world_, node, terms, family());
        const std::vector kernels{masquerade.connect("oracle-blue"), masquerade.connect("oracle-red")};
        for (const auto& where : {std::string(), node}) {
            ip({"link", "set", "up0", "mtu", "1400"}, where);  // so that some packets are too big for it
            for (const auto& [setting, value] : of_slow_machines) {
                set_sysctl(setting, value, where);
            }
            for (const auto& [setting, value] : of_conntracks_fragments) {
                if (!where.empty() || !is_causeway()) {
                    set_sysctl(setting, value, where);
                }
            }
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

    // variant: the packets that another run sends too, under other options; fewer of them do.
    void expect_alike(TrafficMix mix, bool variant = true);
    std::size_t packets_at_least(bool variant) const;

    std::vector<Crossing> roads_;
    std::vector<Side> sides_;
};

std::size_t DifferentialTraffic::packets_at_least(bool variant) const {
    if (!is_causeway()) {
        return 2'000;  // of the comparison, which finds nothing in the kernel beside itself
    }
    if (family() == Family::ipv6) {
        return variant ? 2'000 : 10'000;
    }
    return variant ? 10'000 : 20'000;
}

void DifferentialTraffic::expect_alike(TrafficMix mix, bool variant) {
    std::size_t packets = 0, steps = 0, differences = 0;
    std::map<std::string, std::size_t> seen;  // by reason
    while (packets < packets_at_least(variant)) {
        const auto step = mix.next();
        std::vector<Bytes> sent, sent_to_kernel;
        if (step.flow && step.flow->published) {
            sides_[0].know(*step.flow);
            sides_[1].know(*step.flow);
        }
        const auto ours = sent_through(sides_[0], step, sent), kernels = sent_through(sides_[1], step, sent_to_kernel);
        packets += sent.size();
        ++steps;
        if (is_syn_that_expires(step, sent[0])) {
            mix.retire(*step.flow);
        }
        if (alike(ours, kernels)) {
            if (step.flow && step.flow->published && !step.outward && step.error < 0) {
                step.flow->arrived |= !ours.like[step.sandbox + 1].empty();
            }
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

TEST_P(DifferentialTraffic, ComesOutTheSame) {
    build();
    expect_alike(TrafficMix(seed(), family()), false);
}

// What the kernel has no options for, and so would show with itself nothing that is not shown without.
class DifferentialOptions : public DifferentialTraffic {
protected:
    // Of "tcp 10.0.0.2:80"; of ICMP they are identifiers.
    std::map<std::string, std::set<int>> ports_by_endpoint() const {
        std::map<std::string, std::set<int>> ports;
        for (const auto& flow : ctl_json({"flows"})) {
            const std::string protocol = flow.at("protocol"), source = flow.at("source"), seen = flow.at("translated");
            if (protocol == "tcp" || protocol == "udp" || protocol == "sctp" || protocol.starts_with("icmp")) {
                ports[protocol + " " + source].insert(std::stoi(seen.substr(seen.rfind(':') + 1)));
            }
        }
        EXPECT_FALSE(ports.empty());
        return ports;
    }
};

// One port towards all peers, where the kernel's are as they come.
TEST_P(DifferentialOptions, ComesOutTheSameWithEndpointIndependentMappings) {
    build({{"mapping", "endpoint-independent"}});
    expect_alike(TrafficMix(seed(), family()));
    for (const auto& [endpoint, seen] : ports_by_endpoint()) {
        EXPECT_EQ(seen.size(), 1U) << endpoint << " has one port towards all";
    }
}

TEST_P(DifferentialOptions, ComesOutTheSameWithBlocksOfPorts) {
    build({{"portBlock", 1000}});
    expect_alike(TrafficMix(seed(), family()));
    std::map<std::string, std::set<int>> blocks;  // by address
    for (const auto& [endpoint, seen] : ports_by_endpoint()) {
        for (const int port : endpoint.starts_with("icmp") ? std::set<int>{} : seen) {  // identifiers are any
            blocks[endpoint.substr(endpoint.find(' '), endpoint.rfind(':') - endpoint.find(' '))].insert((port - 1024) /
                                                                                                         1000);
        }
    }
    for (const auto& [address, numbers] : blocks) {
        EXPECT_EQ(numbers.size(), 1U) << address << " has ports of one block";
    }
}

// Connections that the world opens, beside those of the sandboxes: the kernel has a rule of destination translation for
// each.
TEST_P(DifferentialTraffic, ComesOutTheSameWithPublishedPorts) {
    const std::vector<Published> published{{"tcp", 30080, 7777}, {"udp", 30080, 7777}, {"udp", 30053, 7778}};
    build(Json::object(), published);
    expect_alike(TrafficMix(seed(), family(), published));
}

// The kernel with itself shows that the comparison finds nothing where there is nothing.
FOR_BOTH_TRANSLATORS_AND_FAMILIES(DifferentialTraffic);
FOR_CAUSEWAY_AND_BOTH_FAMILIES(DifferentialOptions);

}  // namespace
}  // namespace causeway::test::differential_test
