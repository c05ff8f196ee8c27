// SPDX-License-Identifier: Apache-2.0
// How long a flow may be idle: not ended before its time, and ended after it, in every state (RFC 4787, REQ-5; RFC
// 5382, REQ-5; RFC 5508, REQ-2).
//
// Times are taken before the last packet is sent and after an end is seen, so a slow machine can't make a flow look too
// short-lived; where something must happen in time, the clock says whether it was, and it is tried again if not.
#include <gmock/gmock.h>

#include <thread>

#include "tests/system/crossing.hpp"

namespace causeway::test {
namespace {

using Clock = std::chrono::steady_clock;
using testing::IsEmpty;

constexpr auto idle_time = std::chrono::seconds(4), ageing_time = std::chrono::seconds(45);
constexpr auto syn_ack = static_cast<std::uint8_t>(syn | ack), fin_ack = static_cast<std::uint8_t>(fin | ack);
constexpr std::uint16_t sandboxes_port = 40000;

// A flow in one state: what brings it there, and what the world may still say in it.
struct Idler {
    const char* state;
    std::string protocol;
    std::uint16_t peer_port;
    std::vector<std::pair<bool, std::uint8_t>> segments;  // of TCP: from the sandbox or to it, and flags
    std::uint8_t last_word;                               // of the world's: flags
};

const std::vector<Idler> idlers{
    {"udp", "udp", 5301, {}, 0},
    {"icmp", "icmp", 0, {}, 0},
    {"opening", "tcp", 5303, {{true, syn}}, syn_ack},
    {"established", "tcp", 5304, {{true, syn}, {false, syn_ack}, {true, ack}}, ack},
    {"closing",
     "tcp",
     5305,
     {{true, syn}, {false, syn_ack}, {true, ack}, {true, fin_ack}, {false, fin_ack}, {true, ack}},
     fin_ack},
};

class IdleFlows : public Crossroads {
protected:
    void SetUp() override {
        std::map<std::string, unsigned> timeouts;
        for (const auto* name : {"tcpOpening", "tcpEstablished", "tcpClosing", "udp", "icmp"}) {
            timeouts[name] = static_cast<unsigned>(idle_time.count());
        }
        build({.timeouts = timeouts});
    }

    Frame packet(const Idler& idler, bool outward, std::uint8_t flags) {
        const auto own = sandboxes_port, theirs = idler.peer_port;
        const IPv4 ip{.source = outward ? road().address() : peer_ip, .destination = outward ? peer_ip : node_ip};
        const auto frame = (outward ? road().from_sandbox() : road().from_world()) / ip;
        if (idler.protocol == "udp") {
            return frame / UDP{.source_port = outward ? own : theirs, .destination_port = outward ? theirs : own};
        }
        if (idler.protocol == "icmp") {
            return frame / ICMP{.type = outward ? icmp_echo_request : icmp_echo_reply, .identifier = own};
        }
        const std::uint32_t closed = (flags & fin) != 0 || idler.segments.size() > 5 ? 1 : 0;
        return frame / TCP{.source_port = outward ? own : theirs,
                           .destination_port = outward ? theirs : own,
                           .flags = flags,
                           .sequence = outward ? 1001U : 5001U,
                           .acknowledged = (outward ? 5001U : 1001U) + closed};
    }

    // Returns a moment before the flow's last packet.
    Clock::time_point begin(const Idler& idler) {
        if (idler.segments.empty()) {
            const auto before = Clock::now();
            EXPECT_EQ(road().out(packet(idler, true, 0).bytes()).world.size(), 1U) << idler.state;
            return before;
        }
        Clock::time_point before;
        for (const auto& [outward, flags] : idler.segments) {
            before = Clock::now();
            const auto frame = packet(idler, outward, flags).bytes();
            EXPECT_EQ((outward ? road().out(frame) : road().in(frame)).size(), 1U) << idler.state << " " << int{flags};
        }
        return before;
    }
};

TEST_P(IdleFlows, EndAfterTheirTimeAndNotBefore) {
    std::vector<Clock::time_point> began;
    for (const auto& idler : idlers) {
        began.push_back(begin(idler));
        ASSERT_EQ(state_of_flow(idler.protocol, idler.peer_port), idler.state);
    }
    const auto tick = std::chrono::milliseconds(is_causeway() ? 0 : 10);  // the kernel's own clock, at its coarsest
    std::vector<bool> ended(idlers.size());
    const auto all_ended = [&] {
        for (std::size_t i = 0; i < idlers.size(); ++i) {
            if (!ended[i] && !holds_flow(idlers[i].protocol, idlers[i].peer_port)) {
                ended[i] = true;
                EXPECT_GE(Clock::now() - began[i] + tick, idle_time) << idlers[i].state;
            }
        }
        return std::ranges::find(ended, false) == ended.end();
    };
    EXPECT_TRUE(eventually(all_ended, ageing_time)) << testing::PrintToString(ended);
    for (const auto& idler : idlers) {
        const auto late = road().in(packet(idler, false, idler.last_word).bytes());
        EXPECT_THAT(late.sandboxes[0], IsEmpty()) << idler.state << describe(late);
    }
}

TEST_P(IdleFlows, ServeUntilTheirTimeIsUp) {
    std::vector<bool> served(idlers.size());
    for (int attempt = 0; attempt < 5 && std::ranges::find(served, false) != served.end(); ++attempt) {
        std::vector<Clock::time_point> began;
        for (const auto& idler : idlers) {
            began.push_back(begin(idler));
        }
        std::this_thread::sleep_until(began.back() + idle_time / 2);
        for (std::size_t i = 0; i < idlers.size(); ++i) {
            const auto late_word = road().in(packet(idlers[i], false, idlers[i].last_word).bytes());
            if (Clock::now() - began[i] < idle_time) {
                EXPECT_EQ(late_word.sandboxes[0].size(), 1U) << idlers[i].state << "\n" << counted();
                served[i] = true;
            }
        }
    }
    EXPECT_EQ(std::ranges::find(served, false), served.end()) << "this machine takes seconds to forward a packet";
}

FOR_BOTH_TRANSLATORS(IdleFlows);

}  // namespace
}  // namespace causeway::test
