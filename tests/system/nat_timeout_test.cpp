// SPDX-License-Identifier: Apache-2.0
// How long a flow may be idle: to the moment, in every state (RFC 4787, REQ-5; RFC 5382, REQ-5; RFC 5508, REQ-2).
//
// A packet that must find its flow ended is sent after all of its time, counted from when the last packet had arrived.
// One that must find it there has come before, counted from when that was sent, or is tried again. To the millisecond,
// and for what comes from either side: Idle of the packet tests.
#include <gmock/gmock.h>

#include <algorithm>
#include <iterator>
#include <thread>

#include "tests/system/crossing.hpp"
#include "tests/system/mixed_flow.hpp"

namespace causeway::test::nat_timeout_test {
namespace {

using Clock = std::chrono::steady_clock;
using testing::IsEmpty;

constexpr auto idle_time = std::chrono::seconds(4), ageing_time = std::chrono::seconds(45);
constexpr auto coarse = std::chrono::milliseconds(200);  // by how much a clock in ticks may be behind on a busy machine
constexpr auto syn_ack = static_cast<std::uint8_t>(syn | ack), fin_ack = static_cast<std::uint8_t>(fin | ack);
constexpr std::uint16_t sandboxes_port = 40000;

// A flow in one state: what brings it there, and what the world may still say in it.
struct Idler {
    const char* state;
    std::string protocol;
    std::uint16_t peer_port;
    std::vector<std::pair<bool, std::uint8_t>> segments;  // of TCP: from the sandbox or to it, and flags
    std::uint8_t last_word;                               // of the world's: flags
    bool listed = true;                                   // by its protocol's name
};

const std::vector<Idler> idlers{
    {"udp", "udp", 5301, {}, 0},
    {"icmp", "icmp", 0, {}, 0},
    {"udp", "gre", 0, {}, 0, false},
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

    Bytes bytes(const Frame& frame) { return road().bytes(frame); }

    // How much longer than its time a flow may seem to live: conntrack's clock may be behind when it looks.
    Clock::duration lateness() const { return is_causeway() ? Clock::duration::zero() : coarse; }

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
        if (idler.protocol == "gre") {
            return (outward ? road().from_sandbox() : road().from_world()) /
                   IPv4{.source = ip.source, .destination = ip.destination, .protocol = gre_number} /
                   Payload{std::string("\0\0\x08\0a packet", 12)};
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
            EXPECT_EQ(road().out(bytes(packet(idler, true, 0))).world.size(), 1U) << idler.state;
            return before;
        }
        Clock::time_point before;
        for (const auto& [outward, flags] : idler.segments) {
            before = Clock::now();
            const auto frame = bytes(packet(idler, outward, flags));
            EXPECT_EQ((outward ? road().out(frame) : road().in(frame)).size(), 1U) << idler.state << " " << int{flags};
        }
        return before;
    }
};

TEST_P(IdleFlows, EndWhenTheirTimeIsUp) {
    for (const auto& idler : idlers) {
        const auto began = begin(idler);
        const auto state = idler.listed ? state_of_flow(idler.protocol, idler.peer_port) : idler.state;
        EXPECT_TRUE(state == idler.state || Clock::now() - began + coarse >= idle_time) << state << " " << idler.state;
    }
    std::this_thread::sleep_until(Clock::now() + idle_time + lateness());
    for (const auto& idler : idlers) {
        const auto late = road().in(bytes(packet(idler, false, idler.last_word)));
        EXPECT_THAT(late.sandboxes[0], IsEmpty()) << idler.state << describe(late);
    }
}

TEST_P(IdleFlows, AreForgottenAfterTheirTimeAndNotBefore) {
    std::vector<Clock::time_point> began;
    for (const auto& idler : idlers) {
        began.push_back(begin(idler));
    }
    std::vector<bool> ended(idlers.size());
    const auto all_ended = [&] {
        auto listed = listed_flows();
        std::ranges::move(listed_flows(), std::back_inserter(listed));  // what the first look lacked
        const auto is_held = [&](const Idler& idler) {
            return std::ranges::any_of(listed, [&](const Listed& flow) {
                return flow.protocol == idler.protocol && flow.peer_port == idler.peer_port;
            });
        };
        for (std::size_t i = 0; i < idlers.size(); ++i) {
            if (!ended[i] && (!idlers[i].listed || !is_held(idlers[i]))) {
                ended[i] = true;
                EXPECT_TRUE(!idlers[i].listed || Clock::now() - began[i] + coarse >= idle_time) << idlers[i].state;
            }
        }
        return std::ranges::find(ended, false) == ended.end();
    };
    EXPECT_TRUE(eventually(all_ended, ageing_time)) << testing::PrintToString(ended);
}

TEST_P(IdleFlows, ServeUntilTheirTimeIsUp) {
    constexpr auto before = std::chrono::milliseconds(500);
    std::vector<bool> served(idlers.size());
    for (int attempt = 0; attempt < 5 && std::ranges::find(served, false) != served.end(); ++attempt) {
        std::vector<Clock::time_point> began;
        for (const auto& idler : idlers) {
            began.push_back(begin(idler));
        }
        for (std::size_t i = 0; i < idlers.size(); ++i) {
            std::this_thread::sleep_until(began[i] + idle_time - before);
            const auto late_word = road().in(bytes(packet(idlers[i], false, idlers[i].last_word)));
            if (Clock::now() - began[i] + coarse < idle_time) {
                EXPECT_EQ(late_word.sandboxes[0].size(), 1U) << idlers[i].state << "\n" << counted();
                served[i] = true;
            }
        }
    }
    EXPECT_EQ(std::ranges::find(served, false), served.end()) << "this machine takes a third of a second for a packet";
}

FOR_BOTH_TRANSLATORS_AND_FAMILIES(IdleFlows);

// Of causeway's alone, as conntrack's list does not say how old a flow is.
class EndedFlows : public IdleFlows {};

TEST_P(EndedFlows, BeginAnewWhenTheirSandboxSpeaksAgain) {
    const auto& idler = idlers.front();
    begin(idler);
    std::this_thread::sleep_until(Clock::now() + idle_time);
    const auto again = Clock::now();
    EXPECT_EQ(road().out(bytes(packet(idler, true, 0))).world.size(), 1U);
    std::size_t flows = 0;
    for (const auto& flow : ctl_json({"flows"})) {
        const std::string destination = flow.at("destination");
        if (destination.ends_with(":" + std::to_string(idler.peer_port))) {
            ++flows;
            const auto since = std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - again);
            EXPECT_LE(flow.at("ageSeconds").get<std::int64_t>(), since.count());
        }
    }
    EXPECT_TRUE(flows == 1 || Clock::now() - again + coarse >= idle_time) << flows;
}

FOR_CAUSEWAY_AND_BOTH_FAMILIES(EndedFlows);

}  // namespace
}  // namespace causeway::test::nat_timeout_test
