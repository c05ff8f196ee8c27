// SPDX-License-Identifier: Apache-2.0
// A flow is over at the moment: its last packet comes just below its timeout, and the first that has none just above.
//
// Nobody waits: flows are made older. The timer has no part in it, as it leaves alone what is not of the age that it
// was told of.
#include <ctime>

#include "tests/datapath/datapath_fixture.hpp"

namespace causeway::test::idle_test {
namespace {

constexpr std::uint16_t own_port = 40000;
constexpr std::uint64_t second = 1'000'000'000, just_above = 1'000'000, just_below = second / 2;

std::uint64_t now() {
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<std::uint64_t>(time.tv_sec) * second + static_cast<std::uint64_t>(time.tv_nsec);
}

struct Idler {
    const char* name;
    std::uint8_t protocol;
    flow_state state;
    std::vector<std::pair<bool, std::uint8_t>> segments;  // of TCP: from the sandbox or to it, and flags
    std::uint8_t own_word, worlds_word;                   // and flags of those that come late
};

const std::vector<Idler> idlers{
    {"Opening", tcp_protocol, FLOW_TCP_OPENING, {{true, syn}}, syn, syn | ack},
    {"Established", tcp_protocol, FLOW_TCP_ESTABLISHED, {{true, syn}, {false, syn | ack}, {true, ack}}, ack, ack},
    {"Closing",
     tcp_protocol,
     FLOW_TCP_CLOSING,
     {{true, syn}, {false, syn | ack}, {true, ack}, {true, fin | ack}, {false, fin | ack}},
     ack,
     ack},
    {"Udp", udp_protocol, FLOW_UDP, {}, 0, 0},
    {"Ping", icmp_protocol, FLOW_ICMP, {}, 0, 0},
    {"OtherProtocol", gre_protocol, FLOW_UDP, {}, 0, 0},
};

using Case = std::tuple<Family, Idler, bool>;  // the last: whether the late packet is the sandbox's

class Idle : public DatapathTest, public testing::WithParamInterface<Case> {
protected:
    Family family() const override { return std::get<0>(GetParam()); }
    static const Idler& idler() { return std::get<1>(GetParam()); }
    static bool outward() { return std::get<2>(GetParam()); }

    void SetUp() override {
        DatapathTest::SetUp();
        configure([](network& network) {
            for (std::uint32_t state = 0; state < FLOW_STATE_COUNT; ++state) {
                network.timeout[state] = 3 + 2 * state;  // a second more or less is no other's
            }
        });
    }

    std::uint64_t timeout() const { return configuration().timeout[idler().state] * second; }

    static Frame packet(bool outward, std::uint8_t flags) {
        const auto protocol = idler().protocol;
        const auto source = outward ? ip_a : ip_server, destination = outward ? ip_server : ip_uplink;
        const Frame frame = (outward ? from_a : from_world) / IPv4{.source = source, .destination = destination};
        if (protocol == udp_protocol) {
            return outward ? frame / UDP{} : frame / UDP{53, own_port};
        }
        if (protocol == icmp_protocol) {
            return frame / ICMP{.type = outward ? icmp_echo_request : icmp_echo_reply};
        }
        if (protocol == gre_protocol) {
            return (outward ? from_a : from_world) /
                   IPv4{.source = source, .destination = destination, .protocol = gre_protocol} /
                   Payload{std::string("\0\0\x08\0a packet", 12)};
        }
        return outward ? frame / TCP{.flags = flags} : frame / TCP{80, own_port, flags};
    }

    void begin() {
        if (idler().segments.empty()) {
            expect_verdict(From::sandbox_a, packet(true, 0), VERDICT_TO_WORLD);
        }
        for (const auto& [outward, flags] : idler().segments) {
            expect_verdict(outward ? From::sandbox_a : From::uplink, packet(outward, flags),
                           outward ? VERDICT_TO_WORLD : VERDICT_TO_SANDBOX);
        }
    }

    static bool is_half_of(bool outward, const flow_key& key) { return outward == (key.scope == host_a); }

    // Neither half has sent for so long; or only this one, the other now.
    std::uint64_t grow_idle(std::uint64_t time, std::optional<bool> only = {}) {
        const auto last = now() - time;
        for (auto& [key, value] : datapath_->flows()) {
            value.last_seen = only && !is_half_of(*only, key) ? now() : last;
            value.created = last - 1;
            datapath_->set_flow(key, value);
        }
        return last;
    }

    void send_late() {
        const Bytes late = bytes_of(packet(outward(), outward() ? idler().own_word : idler().worlds_word));
        datapath_->run(outward() ? Program::from_sandbox : Program::from_uplink, late,
                       {.ifindex = outward() ? host_a : uplink_device});
    }

    // The late packet was one of the flow that was made older.
    void expect_old_flow(std::uint64_t last) const {
        const auto flows = datapath_->flows();
        EXPECT_EQ(flows.size(), 2U);
        for (const auto& [key, value] : flows) {
            EXPECT_EQ(value.created, last - 1);
            if (is_half_of(outward(), key)) {
                EXPECT_GT(value.last_seen, last);
            }
        }
    }
};

TEST_P(Idle, IsNotOverJustBelowItsTimeout) {
    for (int attempt = 0; attempt < 20; ++attempt) {
        begin();
        const auto last = grow_idle(timeout() - just_below);
        send_late();
        if (now() < last + timeout()) {
            expect_old_flow(last);
            return;
        }
        datapath_->clear_flows();
    }
    FAIL() << "this machine takes half a second for a packet";
}

TEST_P(Idle, IsOverJustAboveItsTimeout) {
    begin();
    const auto last = grow_idle(timeout() + just_above);
    if (!outward()) {
        expect_verdict(From::uplink, packet(false, idler().worlds_word), VERDICT_PASS_STACK);
        EXPECT_TRUE(datapath_->flows().empty());
        return;
    }
    expect_verdict(From::sandbox_a, packet(true, idler().own_word), VERDICT_TO_WORLD);
    EXPECT_EQ(datapath_->flows().size(), 2U);
    for (const auto& [key, value] : datapath_->flows()) {
        EXPECT_GT(value.created, last) << "not a new flow";
        EXPECT_EQ(value.seen & ~(SEEN_SYN | SEEN_ACK), 0U);
    }
}

TEST_P(Idle, IsNotOverWhileTheOtherSideSends) {
    for (int attempt = 0; attempt < 20; ++attempt) {
        begin();
        const auto last = grow_idle(timeout() + just_above, outward());
        send_late();
        if (now() < last + just_above + 2 * timeout()) {
            expect_old_flow(last);
            return;
        }
        datapath_->clear_flows();
    }
    FAIL() << "this machine takes seconds for a packet";
}

std::string name_of_case(const testing::TestParamInfo<Case>& info) {
    const auto& [family, idler, outward] = info.param;
    return std::string(idler.name) + (outward ? "Outward" : "Inward") + (family == Family::ipv6 ? "IPv6" : "IPv4");
}

INSTANTIATE_TEST_SUITE_P(, Idle,
                         testing::Combine(testing::Values(Family::ipv4, Family::ipv6), testing::ValuesIn(idlers),
                                          testing::Bool()),
                         name_of_case);

}  // namespace
}  // namespace causeway::test::idle_test
