// SPDX-License-Identifier: Apache-2.0
#include "tests/system/traffic_mix.hpp"

#include <algorithm>
#include <numeric>

#include "tests/system/datagram.hpp"
#include "tests/system/layout.hpp"

namespace causeway::test {
namespace {

constexpr Ip peers[] = {"198.51.100.20"_ip, "198.51.100.21"_ip, "198.51.100.22"_ip, "198.51.100.23"_ip};
constexpr std::uint16_t ports[] = {53, 80, 443, 1023, 1024, 5060, 8080, 40000, 40001, 40002, 40003, 50000, 65535};
constexpr std::uint16_t peer_ports[] = {53, 80, 443, 5300};
constexpr auto router_ip = "198.51.100.77"_ip, stranger_ip = "198.51.100.99"_ip;
constexpr std::size_t flows_at_most = 300, ipv6_flows_at_most = 600;  // more of its packets part them

struct ErrorKind {
    std::uint8_t type, code;
    std::uint16_t first, second;
};
constexpr ErrorKind error_kinds[] = {
    {3, 0, 0, 0},  {3, 1, 0, 0},  {3, 2, 0, 0},  {3, 3, 0, 0}, {3, 4, 0, 1300}, {3, 5, 0, 0},  {3, 9, 0, 0},
    {3, 10, 0, 0}, {3, 13, 0, 0}, {3, 15, 0, 0}, {4, 0, 0, 0}, {11, 0, 0, 0},   {11, 1, 0, 0}, {12, 0, 0x1400, 0},
};

std::string text_of(std::uint8_t protocol) {
    switch (protocol) {
        case icmp_number:
            return "echo";
        case tcp_number:
            return "TCP";
        case udp_number:
            return "UDP";
        case udp_lite_number:
            return "UDP-Lite";
        case sctp_number:
            return "SCTP";
        case gre_number:
            return "GRE";
        default:
            return "protocol " + std::to_string(protocol);
    }
}

// Only one of them may be there, for nothing tells them apart in the world.
bool are_entangled(const Flow& one, const Flow& other) {
    return one.protocol == other.protocol && one.peer == other.peer && !has_ports(one.protocol);
}

// Of IPv6, in one: behind the headers that there are before the transport's.
Frame with_extensions(const Frame& frame, const std::vector<Extension>& extensions) {
    auto layers = frame.layers();
    auto place = layers.begin() + 2;
    auto* last = &std::get<IPv6>(layers[1]).next_header;
    if (auto* first = std::get_if<Extension>(&*place)) {
        last = &first->next_header;
        ++place;
    }
    auto within = extensions;
    if (!within.empty()) {
        within.back().next_header = std::exchange(*last, std::nullopt);
    }
    layers.insert(place, within.begin(), within.end());
    return frame.of(std::move(layers));
}

}  // namespace

std::uint8_t TrafficMix::some_protocol() {
    constexpr std::uint8_t protocols[] = {udp_number,      udp_number,  udp_number,          udp_number,
                                          tcp_number,      tcp_number,  tcp_number,          tcp_number,
                                          tcp_number,      icmp_number, icmp_number,         sctp_number,
                                          udp_lite_number, gre_number,  experimental_number, esp_number};
    return one_of(protocols);
}

// One that there was before or, until there are enough, a new one; never two with the same ends.
Flow& TrafficMix::some_flow(std::uint8_t protocol) {
    Flow wanted{.protocol = protocol, .sandbox = pick(2), .peer = one_of(peers), .port = one_of(ports)};
    wanted.peer_port = protocol == icmp_number ? std::uint16_t{0} : one_of(peer_ports);
    if (!has_ports(protocol)) {
        wanted.port = wanted.peer_port = 0;
    }
    const auto same = std::ranges::find_if(flows_, [&](const Flow& flow) {
        return flow.protocol == wanted.protocol && flow.sandbox == wanted.sandbox && flow.peer == wanted.peer &&
               flow.port == wanted.port && flow.peer_port == wanted.peer_port;
    });
    if (same != flows_.end() && !same->retired) {
        return *same;
    }
    const bool is_parted =
        std::ranges::any_of(flows_, [&](const Flow& flow) { return flow.retired && are_entangled(flow, wanted); });
    if (same == flows_.end() && !is_parted &&
        flows_.size() < (family_ == Family::ipv6 ? ipv6_flows_at_most : flows_at_most)) {
        return flows_.emplace_back(wanted);
    }
    for (std::size_t tries = 0; tries < 1000; ++tries) {
        auto& flow = *std::next(flows_.begin(), static_cast<std::ptrdiff_t>(pick(flows_.size())));
        if (!flow.retired && (!flow.published || flow.arrived)) {
            return flow;
        }
    }
    throw std::runtime_error("the translators agree on no flow any more");
}

// Of a client in the world with a port that no other flow speaks to.
Flow& TrafficMix::some_published_flow() {
    const auto& [protocol, host_port, port] = one_of(published_);
    Flow wanted{.protocol = protocol == "tcp" ? tcp_number : udp_number,
                .sandbox = 0,
                .peer = one_of(peers),
                .port = port,
                .peer_port = static_cast<std::uint16_t>(61000 + pick(30)),
                .external = {host_port, host_port},
                .published = true};
    const auto same = std::ranges::find_if(flows_, [&](const Flow& flow) {
        return flow.published && flow.protocol == wanted.protocol && flow.peer == wanted.peer &&
               flow.peer_port == wanted.peer_port;
    });
    if (same == flows_.end()) {
        return flows_.emplace_back(wanted);
    }
    return same->retired ? some_published_flow() : *same;
}

void TrafficMix::retire(Flow& flow) {
    for (auto& other : flows_) {
        other.retired |= are_entangled(other, flow) || &other == &flow;
    }
}

// Whether on one side alone another flow may have, in the world, the port of this one that is not open.
bool TrafficMix::may_be_mistaken(const Flow& flow) const {
    return !flow.open() && std::ranges::any_of(flows_, [&](const Flow& other) {
        const bool is_port = other.external[0] == flow.port || other.external[1] == flow.port;
        return &other != &flow && other.protocol == flow.protocol && other.peer == flow.peer &&
               other.peer_port == flow.peer_port &&
               ((other.retired && other.port == flow.port) ||
                (is_port && (other.retired || other.external[0] != other.external[1])));
    });
}

Flow* TrafficMix::open_flow() {
    for (std::size_t tries = 0; tries < 30 && !flows_.empty(); ++tries) {
        auto& flow = *std::next(flows_.begin(), static_cast<std::ptrdiff_t>(pick(flows_.size())));
        if (flow.open()) {
            return &flow;
        }
    }
    return nullptr;
}

std::string TrafficMix::some_text(std::size_t largest) {
    std::string text(pick(largest + 1), ' ');
    for (auto& letter : text) {
        letter = static_cast<char>(random_());
    }
    return text;
}

// RFC 9260, section 3.3.
std::string TrafficMix::some_chunk() {
    const std::string words("\0\0\0\1\0\1\0\0\0\1\0\1\0\0\0\1", 16);
    const std::string chunks[] = {std::string("\1\0\0\x14", 4) + words, std::string("\2\0\0\x14", 4) + words,
                                  std::string("\x0a\0\0\x08"
                                              "cook",
                                              8),
                                  std::string("\x0b\0\0\4", 4),
                                  std::string("\0\3\0\x14\0\0\0\1\0\0\0\0\0\0\0\0data", 20)};
    return one_of(chunks);
}

// A segment that belongs where the connection is, or one of no sense.
TrafficMix::Filled TrafficMix::tcp(Flow& flow, bool outward, std::string& words) {
    constexpr std::uint8_t syn_ack = syn | ack, fin_ack = fin | ack, psh_ack = psh | ack, rst_ack = rst | ack;
    constexpr std::uint8_t usual[] = {ack, psh_ack, psh_ack, psh_ack, psh_ack, psh_ack, psh_ack, fin_ack};
    constexpr std::uint8_t rare[] = {rst, rst_ack, 0,    fin,        syn | fin, syn | rst,
                                     psh, 0x3f,    0xff, ack | 0x20, syn,       syn_ack};
    auto flags = one_of(usual);
    if (chance(25)) {
        flags = one_of(rare);
    } else if (flow.stage < 2 && outward != flow.published) {
        flags = syn;
        flow.stage = 1;
    } else if (flow.stage < 3 && outward == flow.published) {
        flags = syn_ack;
        flow.stage = 2;
    } else if (flow.stage == 2) {
        flags = ack;
        flow.stage = 3;
    }
    const auto text = (flags & syn) != 0 ? std::string() : some_text(chance(10) ? 2500 : 200);
    auto& own = outward ? flow.sent : flow.received;
    const TCP header{.flags = flags,
                     .sequence = own,
                     .acknowledged = outward ? flow.received : flow.sent,
                     .window = static_cast<std::uint16_t>(random_()),
                     .options = chance(3) ? Bytes{2, 4, 5, 0xb4, 1, 1, 1, 0} : Bytes{}};
    own += static_cast<std::uint32_t>(text.size());
    flow.reset |= (flags & rst) != 0;
    words += " with flags " + std::to_string(flags);
    return [=](Frame frame, Ends ends) {
        auto segment = header;
        segment.source_port = ends.source;
        segment.destination_port = ends.destination;
        return frame / segment / Payload{text};
    };
}

TrafficMix::Filled TrafficMix::filled(Flow& flow, bool outward, std::string& words) {
    if (flow.protocol == tcp_number) {
        return tcp(flow, outward, words);
    }
    const auto text = some_text(chance(8) ? 2800 : 300);
    if (flow.protocol == udp_number) {
        const auto checksum = chance(10) ? std::optional<std::uint16_t>(0) : std::nullopt;
        words += checksum ? " without checksum" : "";
        return [=](Frame frame, Ends ends) {
            return frame / UDP{.source_port = ends.source, .destination_port = ends.destination, .checksum = checksum} /
                   Payload{text};
        };
    }
    if (flow.protocol == udp_lite_number) {
        const auto coverage = static_cast<std::uint16_t>(chance(2) ? 0 : 8 + pick(text.size() + 1));
        return [=](Frame frame, Ends ends) {
            return frame /
                   UdpLite{.source_port = ends.source, .destination_port = ends.destination, .coverage = coverage} /
                   Payload{text};
        };
    }
    if (flow.protocol == sctp_number) {
        const auto chunk = some_chunk();
        const std::uint32_t tag = chunk[0] == 1 ? 0 : 1;
        words += " with chunk " + std::to_string(chunk[0]);
        return [=](Frame frame, Ends ends) {
            return frame / SCTP{.source_port = ends.source, .destination_port = ends.destination, .tag = tag} /
                   Payload{chunk};
        };
    }
    if (flow.protocol == icmp_number) {
        const auto sequence = static_cast<std::uint16_t>(random_());
        return [=](Frame frame, Ends ends) {
            return frame /
                   ICMP{.type = outward ? icmp_echo_request : icmp_echo_reply,
                        .identifier = outward ? ends.source : ends.destination,
                        .sequence = sequence} /
                   Payload{text};
        };
    }
    const auto payload = flow.protocol == gre_number ? std::string("\0\0\x08\0a packet", 12) + text : text;
    return [=](Frame frame, Ends) { return frame / Payload{payload}; };
}

TrafficMix::Draft TrafficMix::packet_of(Flow& flow, bool outward) {
    Draft draft;
    draft.step.words = text_of(flow.protocol) + (outward ? " from sandbox " : " to sandbox ") +
                       std::to_string(flow.sandbox) + (flow.open() ? "" : ", the first");
    draft.step.outward = outward;
    draft.step.opens = outward && !flow.published;
    draft.step.sandbox = flow.sandbox;
    draft.step.flow = &flow;
    draft.ip.protocol = flow.protocol;
    draft.fill = [fill = filled(flow, outward, draft.step.words), &flow, outward](Frame frame, const Side& side) {
        return outward ? fill(std::move(frame), {flow.port, flow.peer_port})
                       : fill(std::move(frame), {flow.peer_port, side.port_in_the_world(flow)});
    };
    return draft;
}

// About a packet that went the other way: from the sandbox about what it got, or from a router about what it sent.
TrafficMix::Draft TrafficMix::error_about(Flow& flow, bool outward) {
    constexpr std::size_t cuts[] = {8, 8, 12, 20, 28, SIZE_MAX, SIZE_MAX, 4};
    auto kind = one_of(error_kinds);
    if (family_ == Family::ipv6 && kind.type == 4) {
        kind.type = 100;  // for private experiments: RFC 4443, section 2.1
    }
    const auto cut = one_of(cuts);
    const IPv4 inner{.ttl = 60,
                     .protocol = flow.protocol,
                     .options = chance(6) ? Bytes{1, 1, 1, 0} : Bytes{},
                     .checksum = chance(20) ? std::optional<std::uint16_t>(0x1234) : std::nullopt};
    Draft draft;
    draft.step.bad_quote = inner.checksum.has_value() && family_ == Family::ipv4;
    draft.step.words = "ICMP " + std::to_string(kind.type) + "/" + std::to_string(kind.code) +
                       (outward ? " from sandbox " : " to sandbox ") + std::to_string(flow.sandbox) + " about " +
                       (cut == SIZE_MAX ? "all" : std::to_string(cut) + " bytes") + " of " + text_of(flow.protocol) +
                       (flow.open() ? "" : " that was never sent") +
                       (draft.step.bad_quote ? ", whose IP checksum is wrong" : "");
    draft.step.outward = outward;
    draft.step.sandbox = flow.sandbox;
    draft.step.flow = &flow;
    draft.step.error = kind.type;
    draft.step.quotes = cut;
    draft.ip.protocol = icmp_number;
    const auto before = flow;
    const auto about = filled(flow, !outward, draft.step.words);
    flow = before;  // nobody has sent that packet
    draft.fill = [=, &flow](Frame frame, const Side& side) {
        auto ip = inner;
        ip.source = outward ? flow.peer : node_ip;
        ip.destination = outward ? side.road().address(flow.sandbox) : flow.peer;
        const auto ends =
            outward ? Ends{flow.peer_port, flow.port} : Ends{side.port_in_the_world(flow), flow.peer_port};
        const auto packet = side.road().bytes(about(Ethernet{} / ip, ends));
        return std::move(frame) /
               IcmpError{.type = kind.type, .code = kind.code, .rest = std::uint32_t{kind.first} << 16 | kind.second} /
               quoted(packet.size() > 1200 ? Bytes(packet.begin(), packet.begin() + 1200) : packet, cut);
    };
    return draft;
}

// From the world to nobody who asked: the node itself, from a port (or with what has none, a peer) that no flow has.
TrafficMix::Draft TrafficMix::unsolicited() {
    constexpr std::uint8_t protocols[] = {udp_number,      tcp_number, icmp_number,
                                          udp_lite_number, gre_number, sctp_number};
    constexpr std::uint8_t some_flags[] = {syn, syn | ack, ack, rst, fin | ack};
    const auto protocol = one_of(protocols);
    const auto flags = one_of(some_flags);
    const auto port = static_cast<std::uint16_t>(20000 + pick(1000));
    const auto type = one_of(std::array<std::uint8_t, 3>{icmp_echo_request, icmp_echo_reply, 14});
    const auto text = some_text(100);
    Draft draft;
    draft.step.words = text_of(protocol) + " from the world that nobody asked for";
    draft.step.outward = false;
    draft.ip.protocol = protocol;
    draft.fill = [=](Frame frame, const Side&) {
        switch (protocol) {
            case udp_number:
                return frame / UDP{.source_port = 54, .destination_port = port} / Payload{text};
            case tcp_number:
                return frame / TCP{.source_port = 81, .destination_port = port, .flags = flags, .acknowledged = 7};
            case icmp_number:
                return frame / ICMP{.type = type, .identifier = port} / Payload{text};
            case udp_lite_number:
                return frame / UdpLite{.source_port = 54, .destination_port = port} / Payload{text};
            case sctp_number:
                return frame / SCTP{.source_port = 54, .destination_port = port} / Payload{text};
            default:
                return frame / Payload{std::string("\0\0\x08\0a packet", 12) + text};
        }
    };
    return draft;
}

TrafficMix::Draft TrafficMix::for_the_gateway() {
    const auto sandbox = pick(2);
    const auto protocol = one_of(std::array<std::uint8_t, 3>{udp_number, tcp_number, icmp_number});
    const auto text = some_text(100);
    Draft draft;
    draft.step.words = text_of(protocol) + " from sandbox " + std::to_string(sandbox) + " for the gateway";
    draft.step.sandbox = sandbox;
    draft.ip.protocol = protocol;
    draft.ip.destination = gateway_ip;
    draft.fill = [=](Frame frame, const Side&) {
        return protocol == udp_number   ? frame / UDP{.destination_port = 5300} / Payload{text}
               : protocol == tcp_number ? frame / TCP{.destination_port = 8080, .flags = syn}
                                        : frame / ICMP{} / Payload{text};
    };
    return draft;
}

// What an IP header may say beside.
void TrafficMix::vary(Draft& draft) {
    draft.ip.identification = ++identification_;
    draft.ip.dont_fragment = chance(2);
    draft.ip.type_of_service = static_cast<std::uint8_t>(chance(4) ? random_() : 0);
    draft.ip.ttl = static_cast<std::uint8_t>(chance(25) ? 1 : 2 + pick(254));
    if (chance(12)) {  // with IPv6: see extend()
        constexpr std::size_t kinds = 4;
        const Bytes options[kinds] = {{1, 1, 1, 0}, {0x94, 4, 0, 0}, {1, 1, 1, 1, 1, 1, 1, 0}, Bytes(40, 1)};
        draft.ip.options = options[pick(kinds)];
        if (family_ == Family::ipv4) {
            draft.step.words += ", " + std::to_string(draft.ip.options.size()) + " bytes of IP options";
        }
    }
    if (draft.ip.ttl == 1) {
        draft.step.words += ", TTL 1";
    }
}

// IPv6's own headers: some that a sender may put there, and some that none does.
void TrafficMix::extend(Draft& draft) {
    if (family_ != Family::ipv6) {
        return;
    }
    draft.ip.options.clear();
    if (!chance(6)) {
        return;
    }
    const Extension options{}, longer{.body = Bytes(22)}, to_all{.kind = hop_by_hop, .body = {0x1e, 4, 0, 0, 0, 0}},
        obeyed{.kind = routing, .body = {4, 0, 0, 0, 0, 0}}, not_obeyed{.kind = routing, .body = {4, 1, 0, 0, 0, 0}};
    const std::vector<Extension> choices[] = {{options}, {longer},          {to_all},     {to_all, options},
                                              {obeyed},  {options, obeyed}, {not_obeyed}, std::vector(8, options)};
    const auto choice = pick(std::size(choices));
    draft.extensions = choices[choice];
    draft.step.odd_headers = choice >= 6;
    draft.step.words +=
        ", " + std::to_string(draft.extensions.size()) + " extension headers of sort " + std::to_string(choice);
}

Damage TrafficMix::some_damage() {
    return {.kind = static_cast<Damage::Kind>(pick(Damage::kinds)), .noise = static_cast<std::uint8_t>(1 + pick(254))};
}

Cut TrafficMix::some_cut() {
    constexpr std::size_t sizes[] = {24, 64, 256, 512, 1024};
    constexpr Cut::Fate fates[] = {Cut::Fate::whole, Cut::Fate::whole, Cut::Fate::whole, Cut::Fate::whole,
                                   Cut::Fate::whole, Cut::Fate::twice, Cut::Fate::lost,  Cut::Fate::overlap};
    return {.size = one_of(sizes), .fate = one_of(fates), .shuffled = chance(2), .seed = random_()};
}

Step TrafficMix::finished(const Draft& draft) {
    auto step = draft.step;
    const bool from_router = !step.outward && draft.ip.protocol == icmp_number && chance(2);
    const bool may_be_cut = draft.ip.options.empty() && draft.ip.ttl > 1;
    const auto cut = may_be_cut && chance(8) ? std::optional(some_cut()) : std::nullopt;
    const auto damage = !cut && chance(20) ? std::optional(some_damage()) : std::nullopt;
    step.words += (cut ? ", " + in_words(*cut) : "") + (damage ? ", " + in_words(*damage) : "");
    step.in_pieces = cut.has_value();
    step.two_for_one_place = cut && cut->fate == Cut::Fate::overlap;
    step.damaged = damage.has_value();
    const bool portless = draft.ip.protocol == gre_number || draft.ip.protocol == icmp_number;
    const auto peer = step.flow ? step.flow->peer : portless ? stranger_ip : one_of(peers);
    const bool has_destination = draft.ip.destination != Ip{};
    step.frames = [=, ip = draft.ip, extensions = draft.extensions, fill = draft.fill, outward = step.outward,
                   sandbox = step.sandbox](const Side& side) -> std::vector<Bytes> {
        auto header = ip;
        const auto& road = side.road();
        header.source = outward ? road.address(sandbox) : from_router ? router_ip : peer;
        header.destination = has_destination ? ip.destination : outward ? peer : node_ip;
        header.dont_fragment = ip.dont_fragment && !cut;
        auto layers =
            in_family(fill((outward ? road.from_sandbox(sandbox) : road.from_world()) / header, side), road.family());
        auto frame = (extensions.empty() ? layers : with_extensions(layers, extensions)).bytes();
        if (cut) {
            return pieces_of(frame, *cut);
        }
        if (damage) {
            spoil(frame, *damage);
        }
        const std::size_t most = outward ? 1514 : 1414;  // what the links take
        if (frame.size() > most && !layout_of_frame(frame)) {
            frame.resize(most);
        }
        return frame.size() <= most ? std::vector<Bytes>{frame} : pieces_of(frame, 1024);
    };
    return step;
}

Step TrafficMix::next() {
    Draft draft;
    const auto kind = pick(100);
    auto* live = open_flow();
    if (!published_.empty() && chance(8)) {
        draft = packet_of(some_published_flow(), false);
    } else if (kind < 40 || !live) {
        draft = packet_of(some_flow(some_protocol()), true);
    } else if (kind < 70) {
        draft = packet_of(*live, false);
    } else if (kind < 80) {
        draft = error_about(*live, false);
    } else if (kind < 87) {
        draft = error_about(*live, true);
    } else if (kind < 89) {
        auto* flow = &some_flow(some_protocol());
        while (may_be_mistaken(*flow)) {
            flow = &some_flow(some_protocol());
        }
        draft = error_about(*flow, chance(2));
    } else if (kind < 96) {
        draft = unsolicited();
    } else {
        draft = for_the_gateway();
    }
    vary(draft);
    extend(draft);
    return finished(draft);
}

}  // namespace causeway::test
