// SPDX-License-Identifier: Apache-2.0
// How long a flow lives: as long as its network says for what it is doing, and no process has a hand in it.
#include <algorithm>
#include <chrono>
#include <thread>

#include "tests/datapath/datapath_fixture.hpp"

namespace causeway::test::age_test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr std::uint16_t own_port = 40000;
constexpr std::uint32_t long_time = 600;
constexpr milliseconds slack{900};  // more than a timer is ever late

const IPv4 asked{.source = ip_a, .destination = ip_server}, answered{.source = ip_server, .destination = ip_uplink};

class Age : public InEachFamily {
protected:
    void SetUp() override {
        InEachFamily::SetUp();
        set_timeouts(long_time);
    }

    void set_timeout(flow_state state, std::uint32_t timeout) {
        configure([&](network& network) { network.timeout[state] = timeout; });
    }

    void sends(std::uint8_t flags) {
        expect_verdict(From::sandbox_a, from_a / asked / TCP{.flags = flags}, VERDICT_TO_WORLD);
    }

    void is_answered(std::uint8_t flags) {
        expect_verdict(From::uplink, from_world / answered / TCP{80, own_port, flags}, VERDICT_TO_SANDBOX);
    }

    void asks() { expect_verdict(From::sandbox_a, from_a / asked / UDP{}, VERDICT_TO_WORLD); }
    void is_told() { expect_verdict(From::uplink, from_world / answered / UDP{53, own_port}, VERDICT_TO_SANDBOX); }

    void set_timeouts(std::uint32_t timeout) {
        configure([&](network& network) { std::ranges::fill(network.timeout, timeout); });
    }

    // The entries of a pair end one after the other: a look between the two is no news.
    bool alive() const {
        std::size_t entries = datapath_->flows().size();
        for (int looks = 0; entries == 1 && looks < 50; ++looks) {
            std::this_thread::sleep_for(milliseconds(1));
            entries = datapath_->flows().size();
        }
        EXPECT_NE(entries, 1U) << "half a flow";
        return entries != 0;
    }

    // The flow is there until `least` from now and gone soon after `most`.
    void expect_end(milliseconds least, milliseconds most) {
        const auto start = steady_clock::now();
        while (!datapath_->flows().empty() && steady_clock::now() - start < most + slack) {
            std::this_thread::sleep_for(milliseconds(10));
        }
        EXPECT_FALSE(alive()) << "alive after more than " << most.count() << " ms";
        EXPECT_GE(steady_clock::now() - start, least) << "gone too early";
    }

    void expect_alive_for(milliseconds time) {
        const auto start = steady_clock::now();
        while (steady_clock::now() - start < time) {
            ASSERT_TRUE(alive());
            std::this_thread::sleep_for(milliseconds(10));
        }
    }
};

TEST_P(Age, EndsAConnectionWhenItNeverOpens) {
    set_timeout(FLOW_TCP_OPENING, 1);
    sends(syn);
    expect_end(milliseconds(900), seconds(1));
}

TEST_P(Age, EndsAConnectionWhenOnlyTheWorldsHalfWasSeen) {
    set_timeout(FLOW_TCP_OPENING, 1);
    sends(syn);
    is_answered(syn | ack);
    expect_end(milliseconds(900), seconds(1));
}

TEST_P(Age, KeepsAConnectionWhenItIsEstablished) {
    set_timeout(FLOW_TCP_OPENING, 1);
    sends(syn);
    is_answered(syn | ack);
    sends(ack);
    expect_alive_for(milliseconds(2500));
}

TEST_P(Age, EndsAnEstablishedConnectionWhenItIsIdle) {
    set_timeout(FLOW_TCP_OPENING, 1);
    set_timeout(FLOW_TCP_ESTABLISHED, 2);
    sends(syn);
    is_answered(syn | ack);
    sends(ack);
    expect_end(milliseconds(1800), seconds(2));
}

TEST_P(Age, EndsAConnectionWhenBothSidesHaveClosedIt) {
    set_timeout(FLOW_TCP_CLOSING, 1);
    sends(syn);
    is_answered(syn | ack);
    sends(ack);
    sends(fin | ack);
    is_answered(fin | ack);
    sends(ack);
    expect_end(milliseconds(900), seconds(1));
}

// RFC 5382, section 5: half closed is established for the side that may go on sending.
TEST_P(Age, KeepsAConnectionWhenOnlyTheSandboxHasClosedIt) {
    set_timeout(FLOW_TCP_CLOSING, 1);
    sends(syn);
    is_answered(syn | ack);
    sends(ack);
    sends(fin | ack);
    expect_alive_for(milliseconds(2500));
}

TEST_P(Age, KeepsAConnectionWhenOnlyTheWorldHasClosedIt) {
    set_timeout(FLOW_TCP_CLOSING, 1);
    sends(syn);
    is_answered(syn | ack);
    sends(ack);
    is_answered(fin | ack);
    expect_alive_for(milliseconds(2500));
}

TEST_P(Age, EndsAHalfClosedConnectionWhenItIsIdleAsLongAsAnEstablishedOne) {
    set_timeout(FLOW_TCP_ESTABLISHED, 2);
    sends(syn);
    is_answered(syn | ack);
    sends(fin | ack);
    expect_end(milliseconds(1800), seconds(2));
}

TEST_P(Age, EndsAConnectionWhenTheSandboxResetsIt) {
    set_timeout(FLOW_TCP_CLOSING, 1);
    sends(syn);
    sends(rst);
    expect_end(milliseconds(900), seconds(1));
}

TEST_P(Age, EndsAConnectionWhenTheWorldResetsIt) {
    set_timeout(FLOW_TCP_CLOSING, 1);
    sends(syn);
    is_answered(rst | ack);
    expect_end(milliseconds(900), seconds(1));
}

TEST_P(Age, KeepsAClosingConnectionWhenItIsStillUsed) {
    set_timeout(FLOW_TCP_CLOSING, 2);
    sends(syn);
    is_answered(syn | ack);
    sends(fin | ack);
    is_answered(fin | ack);
    for (int i = 0; i < 8; ++i) {
        std::this_thread::sleep_for(milliseconds(400));
        is_answered(psh | ack);
    }
    EXPECT_TRUE(alive());
    expect_end(milliseconds(1800), seconds(2));
}

// RFC 6146, section 3.5.2.2: whoever may have forged it.
TEST_P(Age, KeepsAConnectionWhenItGoesOnBehindAReset) {
    set_timeout(FLOW_TCP_CLOSING, 1);
    sends(syn);
    is_answered(syn | ack);
    sends(ack);
    is_answered(rst);
    is_answered(psh | ack);
    sends(rst | ack);
    sends(ack);
    expect_alive_for(milliseconds(2500));
}

TEST_P(Age, EndsAConnectionThatWasResetWhenOnlyTheOtherSideGoesOn) {
    set_timeout(FLOW_TCP_CLOSING, 1);
    sends(syn);
    is_answered(syn | ack);
    sends(ack);
    is_answered(rst);
    sends(psh | ack);
    expect_end(milliseconds(900), seconds(1));
}

TEST_P(Age, KeepsAConnectionWhenItWasClosedAndBeginsAnew) {
    set_timeout(FLOW_TCP_CLOSING, 1);
    sends(syn);
    is_answered(syn | ack);
    sends(fin | ack);
    is_answered(fin | ack);
    sends(syn);
    is_answered(syn | ack);
    sends(ack);
    expect_alive_for(milliseconds(2500));
}

TEST_P(Age, KeepsAConnectionWhenItWasRefusedAndBeginsAnew) {
    set_timeout(FLOW_TCP_CLOSING, 1);
    sends(syn);
    is_answered(rst | ack);
    sends(syn);
    is_answered(syn | ack);
    sends(ack);
    expect_alive_for(milliseconds(2500));
}

TEST_P(Age, EndsAUdpFlowWhenItIsIdle) {
    set_timeout(FLOW_TCP_OPENING, 1);
    set_timeout(FLOW_UDP, 1);
    asks();
    is_told();
    expect_end(milliseconds(900), seconds(1));
}

TEST_P(Age, EndsAUdpFlowWhenItIsIdleWhateverTheOtherTimeouts) {
    set_timeout(FLOW_UDP, 1);
    asks();
    expect_end(milliseconds(900), seconds(1));
}

TEST_P(Age, KeepsAUdpFlowForItsOwnTimeWhenOthersAreShorter) {
    set_timeouts(1);
    set_timeout(FLOW_UDP, 3);
    asks();
    expect_end(milliseconds(2800), seconds(3));
}

TEST_P(Age, EndsAPingWhenItIsIdle) {
    set_timeout(FLOW_TCP_OPENING, 1);
    set_timeout(FLOW_ICMP, 1);
    expect_verdict(From::sandbox_a, from_a / asked / ICMP{}, VERDICT_TO_WORLD);
    expect_end(milliseconds(900), seconds(1));
}

TEST_P(Age, EndsAPingWhenItIsIdleWhateverTheOtherTimeouts) {
    set_timeout(FLOW_ICMP, 1);
    expect_verdict(From::sandbox_a, from_a / asked / ICMP{}, VERDICT_TO_WORLD);
    expect_end(milliseconds(900), seconds(1));
}

TEST_P(Age, KeepsAFlowWhenTheSandboxGoesOnSending) {
    set_timeouts(2);
    for (int i = 0; i < 8; ++i) {
        asks();
        expect_alive_for(milliseconds(400));
    }
    asks();
    expect_end(milliseconds(1800), seconds(2));
}

TEST_P(Age, KeepsAFlowWhenOnlyTheWorldGoesOnSending) {
    set_timeouts(2);
    asks();
    for (int i = 0; i < 8; ++i) {
        is_told();
        expect_alive_for(milliseconds(400));
    }
    is_told();
    expect_end(milliseconds(1800), seconds(2));
}

TEST_P(Age, EndsOneFlowAndKeepsAnotherWhenOnlyThatIsUsed) {
    set_timeouts(2);
    expect_verdict(From::sandbox_a, from_a / asked / UDP{.source_port = own_port + 1}, VERDICT_TO_WORLD);
    for (int i = 0; i < 8; ++i) {
        asks();
        std::this_thread::sleep_for(milliseconds(400));
    }
    EXPECT_EQ(datapath_->flows().size(), 2U);
    EXPECT_TRUE(datapath_->flow_at(key_of(udp_protocol, ip_a, own_port, ip_server, 53, host_a)));
}

TEST_P(Age, EndsHundredsOfFlowsWhenTheyAreIdle) {
    set_timeouts(1);
    for (std::uint16_t i = 0; i < 500; ++i) {
        const auto port = static_cast<std::uint16_t>(own_port + i);
        expect_verdict(From::sandbox_a, from_a / asked / UDP{.source_port = port}, VERDICT_TO_WORLD);
    }
    EXPECT_EQ(datapath_->flows().size(), 1000U);
    EXPECT_EQ(datapath_->ageing_turns(), 500U);
    expect_end(milliseconds(900), seconds(6));  // not all in one tick
    EXPECT_EQ(datapath_->ageing_turns(), 0U);
}

TEST_P(Age, LooksNoMoreAtAFlowWhenTheControlPlaneHasRemovedIt) {
    asks();
    EXPECT_EQ(datapath_->ageing_turns(), 1U);
    datapath_->remove_flow(key_of(udp_protocol, ip_a, own_port, ip_server, 53, host_a));
    datapath_->remove_flow(key_of(udp_protocol, ip_server, 53, ip_uplink, own_port, 0));
    asks();  // and so begins another under the same key
    std::this_thread::sleep_for(2 * milliseconds(CAUSEWAY_AGEING_TICK_MS) + slack);
    EXPECT_TRUE(alive());
    EXPECT_EQ(datapath_->ageing_turns(), 1U);
}

TEST_P(Age, EndsTheOtherHalfWhenTheControlPlaneHasRemovedOne) {
    asks();
    datapath_->remove_flow(key_of(udp_protocol, ip_server, 53, ip_uplink, own_port, 0));
    std::this_thread::sleep_for(2 * milliseconds(CAUSEWAY_AGEING_TICK_MS) + slack);
    EXPECT_TRUE(datapath_->flows().empty());
    EXPECT_EQ(datapath_->ageing_turns(), 0U);
}

// As two CPUs may leave it: one ends the flow and begins another, the other takes half of that away.
TEST_P(Age, EndsTheHalfThatIsLeftThoughAnotherFlowHasItsKey) {
    const flow_key left = key_of(udp_protocol, ip_server, 53, ip_uplink, own_port, 0);
    asks();
    datapath_->remove_flow(key_of(udp_protocol, ip_a, own_port, ip_server, 53, host_a));
    asks();  // and gets another port
    EXPECT_EQ(datapath_->flows().size(), 3U);
    std::this_thread::sleep_for(2 * milliseconds(CAUSEWAY_AGEING_TICK_MS) + slack);
    EXPECT_FALSE(datapath_->flow_at(left));
    EXPECT_EQ(datapath_->flows().size(), 2U);
    EXPECT_EQ(datapath_->ageing_turns(), 1U);
}

TEST_P(Age, FreesThePortWhenItEndsAFlow) {
    configure([](network& network) {
        std::ranges::fill(network.timeout, 1U);
        network.port_min = network.port_max = own_port;
    });
    const Frame of_b = from_b / IPv4{.source = ip_b, .destination = ip_server} / UDP{};
    asks();
    expect_verdict(From::sandbox_b, of_b, VERDICT_DROP_NO_PORT);
    expect_end(milliseconds(900), seconds(1));
    EXPECT_EQ(port_in_world(From::sandbox_b, of_b), own_port);
}

TEST_P(Age, LeavesTheAnswerUnsolicitedWhenItComesTooLate) {
    configure([](network& network) {
        std::ranges::fill(network.timeout, 1U);
        network.flags = 0;
    });
    const Frame answer = from_world / IPv4{.source = ip_server, .destination = ip_a} /
                         UDP{.source_port = 53, .destination_port = own_port};
    asks();
    expect_verdict(From::uplink, answer, VERDICT_TO_SANDBOX);
    expect_end(milliseconds(900), seconds(1));
    expect_verdict(From::uplink, answer, VERDICT_DROP_UNSOLICITED);
}

RUN_IN_EACH_FAMILY(Age);

}  // namespace
}  // namespace causeway::test::age_test
