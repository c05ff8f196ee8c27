// SPDX-License-Identifier: Apache-2.0
#include "tests/system/crossing.hpp"

#include <sched.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "tests/support/packet_bytes.hpp"
#include "tests/system/layout.hpp"
#include "tests/system/mixed_flow.hpp"

namespace causeway::test {
namespace {

constexpr auto probed_ip = "198.51.100.250"_ip;
constexpr std::uint16_t probed_port = 9, first_probing_port = 61000;

// What a link says by itself, about its groups and neighbours, is not what came of a test's frames.
bool is_of_the_link(const Bytes& frame, const Layout& layout) {
    constexpr std::uint8_t igmp = 2, listener_query = 130, redirect = 137;
    if (layout.family == Family::ipv4) {
        return layout.protocol == igmp;
    }
    const auto type = layout.transport < frame.size() ? frame[layout.transport] : 0;
    return layout.protocol == icmp_number && !layout.fragment &&
           ((type >= listener_query && type <= redirect) || type == icmpv6_listener_report);
}

bool is_ip(const Seen& seen, Family family) {
    if (seen.outgoing || seen.frame.size() < ethernet_size + 2 ||
        get16(seen.frame, 12) != (family == Family::ipv6 ? ethertype_ipv6 : ethertype_ipv4)) {
        return false;
    }
    const auto layout = layout_of_frame(seen.frame);
    return !layout || !is_of_the_link(seen.frame, *layout);
}

// As a device would send it that fills in checksums: the stack has left its own packets' to one.
Bytes completed(const Seen& seen) {
    auto frame = seen.frame;
    const auto layout = layout_of_frame(frame);
    if (!seen.checksum_pending || !layout || (layout->protocol != tcp_number && layout->protocol != udp_number)) {
        return frame;
    }
    const auto at = layout->transport + (layout->protocol == tcp_number ? 16 : 6);
    set16(frame, at, 0);
    const std::span<const std::uint8_t> bytes(frame);
    set16(
        frame, at,
        checksum_of(with_pseudo_header(bytes.subspan(layout->begin, layout->payload - layout->begin), layout->protocol,
                                       bytes.subspan(layout->transport, layout->end - layout->transport))));
    return frame;
}

// UDP between any port and the one that is probed.
bool is_probe(const Bytes& frame, bool outward) {
    const auto layout = layout_of_frame(frame);
    if (!layout || layout->protocol != 17 || frame.size() < layout->transport + 8) {
        return false;
    }
    const auto probed = outward ? layout->destination() : layout->source();
    return address_at(frame, probed, layout->family) == probed_ip &&
           get16(frame, layout->transport + (outward ? 2 : 0)) == probed_port;
}

void stay_on_one_cpu() {
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(sched_getcpu(), &cpus);
    if (sched_setaffinity(0, sizeof(cpus), &cpus) != 0) {
        throw std::runtime_error(std::string("stay on one CPU: ") + std::strerror(errno));
    }
}

std::string round_text(std::uint32_t round) {
    return "round " + std::to_string(1'000'000'000 + round);
}

}  // namespace

std::size_t Crossed::size() const {
    std::size_t all = world.size();
    for (const auto& frames : sandboxes) {
        all += frames.size();
    }
    return all;
}

std::string describe(const Crossed& crossed) {
    std::string text;
    const auto list = [&](const std::string& place, const std::vector<Bytes>& frames) {
        for (const auto& frame : frames) {
            text += " at " + place + ":\n" + describe(frame);
        }
    };
    list("the world", crossed.world);
    for (std::size_t i = 0; i < crossed.sandboxes.size(); ++i) {
        list("sandbox " + std::to_string(i), crossed.sandboxes[i]);
    }
    return text.empty() ? " nothing\n" : text;
}

Crossing::Crossing(const std::vector<Party>& parties, const std::string& world, const std::string& node)
    : world_(world, "dn0"),
      world_link_{.source = mac_of_device(world, "dn0"), .destination = mac_of_device(node, "up0"), .type = {}} {
    stay_on_one_cpu();
    for (const auto& party : parties) {
        ip({"addr", "flush", "dev", party.device}, party.netns);
        sandboxes_.emplace_back(party.netns, party.device);
        links_.push_back({.source = mac_of(party.mac), .destination = mac_of(party.gateway_mac), .type = {}});
        addresses_.push_back(ip_of(party.address));
        family_ = party.address.find(':') == std::string::npos ? Family::ipv4 : Family::ipv6;
    }
    if (family_ ==
        Family::ipv6) {  // which says that it has no route, where IPv4 is silent about what it does not forward
        ip({"-6", "route", "replace", "blackhole", "default"}, world);
    }
    settle();  // what links say when they begin, and the node's question for the world's MAC
    settle();
}

void Crossing::probe(std::size_t number, Crossed& crossed) {
    const auto text = round_text(++round_);
    const auto port = static_cast<std::uint16_t>(first_probing_port + number);
    const auto is_this_round = [&](const Bytes& frame) {
        return frame.size() >= text.size() && std::equal(text.rbegin(), text.rend(), frame.rbegin());
    };
    send_from_sandbox(bytes(from_sandbox(number) / IPv4{.source = address(number), .destination = probed_ip} /
                            UDP{.source_port = port, .destination_port = probed_port} / Payload{text}),
                      number);
    const auto arrived = world_.next([&](const Seen& seen) {
        if (!is_ip(seen, family_)) {
            return false;
        }
        if (!is_probe(seen.frame, true)) {
            crossed.world.push_back(completed(seen));
            return false;
        }
        return is_this_round(seen.frame);
    });
    if (!arrived) {
        throw std::runtime_error("a plain datagram from sandbox " + std::to_string(number) + " is not translated");
    }
    send_from_world(bytes(from_world() / IPv4{.source = probed_ip, .destination = node_ip} /
                          UDP{.source_port = probed_port, .destination_port = *source_port_of(arrived->frame)} /
                          Payload{text}));
    auto& frames = crossed.sandboxes.at(number);
    const auto answered = sandboxes_.at(number).next([&](const Seen& seen) {
        if (!is_ip(seen, family_)) {
            return false;
        }
        if (!is_probe(seen.frame, false)) {
            frames.push_back(completed(seen));
            return false;
        }
        return is_this_round(seen.frame);
    });
    if (!answered) {
        throw std::runtime_error("no answer to a plain datagram of sandbox " + std::to_string(number));
    }
}

Crossed Crossing::settle() {
    Crossed crossed;
    crossed.sandboxes.resize(sandboxes_.size());
    for (int round = 0; round < 2; ++round) {  // longer than the longest way that a packet may have taken
        for (std::size_t number = 0; number < sandboxes_.size(); ++number) {
            probe(number, crossed);
        }
    }
    return crossed;
}

Crossed Crossing::out(const Bytes& frame, std::size_t number) {
    send_from_sandbox(frame, number);
    return settle();
}

Crossed Crossing::in(const Bytes& frame) {
    send_from_world(frame);
    return settle();
}

Bytes without_link_and_id(const Bytes& frame) {
    Bytes packet = frame;
    std::memset(packet.data(), 0, 12);
    const auto layout = layout_of_frame(packet);
    if (!layout) {
        return packet;
    }
    if (layout->family == Family::ipv6) {
        if (layout->fragment) {
            set16(packet, layout->fragment_header + 4, 0);
            set16(packet, layout->fragment_header + 6, 0);
        }
        return packet;
    }
    const auto first = packet.begin() + ethernet_size,
               last = packet.begin() + static_cast<std::ptrdiff_t>(layout->transport);
    const bool held = checksum_of({first, last}) == 0;
    set16(packet, 18, 0);
    if (held) {
        set16(packet, 24, 0);
        set16(packet, 24, checksum_of({first, last}));
    }
    return packet;
}

testing::AssertionResult is_only(const std::vector<Bytes>& frames, const Frame& expected) {
    const auto family = frames.empty() ? Family::ipv4 : family_of(frames[0]);
    const auto wanted = without_link_and_id(in_family(expected, family).bytes());
    if (frames.size() != 1) {
        auto failure = testing::AssertionFailure();
        failure << frames.size() << " frames and not one:\n";
        for (const auto& frame : frames) {
            failure << describe(frame) << "\n";
        }
        return failure << "expected:\n" << describe(wanted);
    }
    const auto text = difference(wanted, without_link_and_id(frames[0]));
    return text.empty() ? testing::AssertionSuccess() : testing::AssertionFailure() << "it differs:\n" << text;
}

Payload quoted(const Bytes& frame, std::size_t transport_bytes) {
    const auto header = layout_of_frame(frame).value().transport - ethernet_size;
    const auto size =
        std::min(frame.size() - ethernet_size, transport_bytes > 65535 ? 65535 : header + transport_bytes);
    const auto first = frame.begin() + ethernet_size;
    return {std::string(first, first + static_cast<std::ptrdiff_t>(size))};
}

void Crossroads::build(const Terms& terms) {
    auto without = terms;
    without.published.clear();
    const auto blue = join("blue", terms), red = join("red", without);
    road_.emplace(std::vector{blue, red}, world_.world(), "");
}

}  // namespace causeway::test
