// SPDX-License-Identifier: Apache-2.0
#include "tests/system/crossing.hpp"

#include <sched.h>
#include <sys/socket.h>

#include <cstring>
#include <stdexcept>

namespace causeway::test {
namespace {

constexpr auto probed_ip = "198.51.100.250"_ip;
constexpr std::uint16_t probed_port = 9, first_probing_port = 61000;
constexpr std::size_t ethernet_size = 14, ipv4_size = 20;

std::uint16_t read16(const Bytes& bytes, std::size_t offset) {
    return static_cast<std::uint16_t>(bytes.at(offset) << 8 | bytes.at(offset + 1));
}

std::uint32_t read32(const Bytes& bytes, std::size_t offset) {
    return static_cast<std::uint32_t>(read16(bytes, offset)) << 16 | read16(bytes, offset + 2);
}

// What a link says by itself, IGMP among it, is not what came of a test's frames.
bool is_ip(const Seen& seen) {
    constexpr std::uint8_t igmp = 2;
    return !seen.outgoing && seen.frame.size() >= ethernet_size + ipv4_size &&
           read16(seen.frame, 12) == ethertype_ipv4 && seen.frame[23] != igmp;
}

// UDP between any port and the one that is probed, at this offset of the addresses.
bool is_probe(const Bytes& frame, std::size_t probed_address, std::size_t probed) {
    return frame.size() >= 42 && frame[23] == 17 && read32(frame, probed_address) == probed_ip.value &&
           read16(frame, probed) == probed_port;
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

std::string mac_text(const std::string& netns, const std::string& device) {
    return ip_json({"link", "show", device}, netns).at(0).at("address");
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
      world_link_{.source = mac_of(mac_text(world, "dn0")), .destination = mac_of(mac_text(node, "up0")), .type = {}} {
    stay_on_one_cpu();
    for (const auto& party : parties) {
        ip({"addr", "flush", "dev", party.device}, party.netns);
        sandboxes_.emplace_back(party.netns, party.device);
        links_.push_back({.source = mac_of(party.mac), .destination = mac_of(party.gateway_mac), .type = {}});
        addresses_.push_back(ip_of(party.address));
    }
    settle();  // what links say when they begin, and the node's question for the world's MAC
    settle();
}

void Crossing::probe(std::size_t number, Crossed& crossed) {
    const auto text = round_text(++round_);
    const auto port = static_cast<std::uint16_t>(first_probing_port + number);
    const auto is_this_round = [&](const Bytes& frame) {
        return frame.size() == 42 + text.size() && std::memcmp(frame.data() + 42, text.data(), text.size()) == 0;
    };
    send_from_sandbox((from_sandbox(number) / IPv4{.source = address(number), .destination = probed_ip} /
                       UDP{.source_port = port, .destination_port = probed_port} / Payload{text})
                          .bytes(),
                      number);
    const auto arrived = world_.next([&](const Seen& seen) {
        if (!is_ip(seen)) {
            return false;
        }
        if (!is_probe(seen.frame, 30, 36)) {
            crossed.world.push_back(seen.frame);
            return false;
        }
        return is_this_round(seen.frame);
    });
    if (!arrived) {
        throw std::runtime_error("a plain datagram from sandbox " + std::to_string(number) + " is not translated");
    }
    send_from_world((from_world() / IPv4{.source = probed_ip, .destination = node_ip} /
                     UDP{.source_port = probed_port, .destination_port = read16(arrived->frame, 34)} / Payload{text})
                        .bytes());
    auto& frames = crossed.sandboxes.at(number);
    const auto answered = sandboxes_.at(number).next([&](const Seen& seen) {
        if (!is_ip(seen)) {
            return false;
        }
        if (!is_probe(seen.frame, 26, 34)) {
            frames.push_back(seen.frame);
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
    const std::size_t header = std::size_t{packet.at(ethernet_size)} % 16 * 4;
    if (packet.size() < ethernet_size + header || header < ipv4_size) {
        return packet;
    }
    const auto first = packet.begin() + ethernet_size;
    const bool held = checksum_of({first, first + static_cast<std::ptrdiff_t>(header)}) == 0;
    packet[18] = packet[19] = 0;
    if (held) {
        packet[24] = packet[25] = 0;
        const auto sum = checksum_of({first, first + static_cast<std::ptrdiff_t>(header)});
        packet[24] = static_cast<std::uint8_t>(sum >> 8);
        packet[25] = static_cast<std::uint8_t>(sum);
    }
    return packet;
}

testing::AssertionResult is_only(const std::vector<Bytes>& frames, const Frame& expected) {
    const auto wanted = without_link_and_id(expected.bytes());
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
    const std::size_t header = std::size_t{frame.at(ethernet_size)} % 16 * 4;
    const auto size =
        std::min(frame.size() - ethernet_size, transport_bytes > 65535 ? 65535 : header + transport_bytes);
    const auto first = frame.begin() + ethernet_size;
    return {std::string(first, first + static_cast<std::ptrdiff_t>(size))};
}

void Crossroads::build(const Terms& terms) {
    const auto blue = join("blue", terms), red = join("red", terms);
    road_.emplace(std::vector{blue, red}, world_.world(), "");
}

}  // namespace causeway::test
