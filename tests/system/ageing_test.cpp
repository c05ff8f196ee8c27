// SPDX-License-Identifier: Apache-2.0
// Stories of flows that end: by their timeouts, with no program of causeway's alive, or with their sandbox.
#include <thread>

#include "tests/system/of_family.hpp"

namespace causeway::test::ageing_test {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto ageing_time = std::chrono::seconds(15);  // a timeout of one second, and the turn of a few flows

class Ageing : public EachFamily {
protected:
    // All timeouts but those of the patch are an hour.
    static Json with_timeouts(const Json& patch = Json::object()) {
        Json timeouts;
        for (const auto* key : {"tcpOpening", "tcpEstablished", "tcpClosing", "udp", "icmp"}) {
            timeouts[key] = patch.value(key, 3600);
        }
        return configuration({{"timeouts", timeouts}});
    }

    Json flow_of(const std::string& protocol) const {
        const auto name = protocol == "icmp" && family() == Family::ipv6 ? "icmpv6" : protocol;
        for (const auto& flow : ctl_json({"flows"})) {
            if (flow.at("protocol") == name) {
                return flow;
            }
        }
        return nullptr;
    }

    // Or it has ended already, which this machine may be slow enough for.
    testing::AssertionResult is(const char* state, const std::string& protocol, Clock::time_point began) const {
        const auto flow = flow_of(protocol);
        if (flow.is_null() ? Clock::now() - began >= std::chrono::seconds(1) : flow.at("state") == state) {
            return testing::AssertionSuccess();
        }
        return testing::AssertionFailure() << flow;
    }

    bool ends(const std::string& protocol) const {
        return eventually([&] { return flow_of(protocol).is_null(); }, ageing_time);
    }
};

TEST_P(Ageing, EndsAnIdleUdpFlow) {
    const auto blue = connect("blue", with_timeouts({{"udp", 1}}));
    const auto began = Clock::now();
    ASSERT_TRUE(meet(Protocol::udp, {blue.netns}, server()));
    ASSERT_TRUE(is("udp", "udp", began));
    EXPECT_TRUE(ends("udp"));
}

TEST_P(Ageing, EndsAnIdleIcmpFlow) {
    const auto blue = connect("blue", with_timeouts({{"icmp", 1}}));
    const auto began = Clock::now();
    ASSERT_TRUE(ping(blue.netns, world_address));
    ASSERT_TRUE(is("icmp", "icmp", began));
    EXPECT_TRUE(ends("icmp"));
}

TEST_P(Ageing, EndsAConnectionThatNobodyAnswers) {
    const auto blue = connect("blue", with_timeouts({{"tcpOpening", 1}}));
    ip_here({"route", "add", "blackhole", node_address}, world_.world());
    auto client = Socket::tcp(blue.netns, any());
    const auto began = Clock::now();
    client.connect(server(80).end, silence);
    ASSERT_TRUE(is("opening", "tcp", began));
    client.reset();
    EXPECT_TRUE(ends("tcp"));
}

TEST_P(Ageing, EndsAnEstablishedConnectionThatIsIdle) {
    const auto blue = connect("blue", with_timeouts({{"tcpEstablished", 1}}));
    auto line = open_line({blue.netns}, server());
    const auto began = Clock::now();
    ASSERT_TRUE(alive(line));
    ASSERT_TRUE(is("established", "tcp", began));
    EXPECT_TRUE(ends("tcp"));
}

TEST_P(Ageing, LeavesAnEstablishedConnectionWithinItsTime) {
    const auto blue = connect("blue", with_timeouts({{"tcpOpening", 1}, {"tcpClosing", 1}, {"udp", 1}}));
    auto line = open_line({blue.netns}, server());
    ASSERT_TRUE(alive(line));
    for (std::uint16_t round = 0; round < 2; ++round) {  // as long as others take to end, twice
        ASSERT_TRUE(meet(Protocol::udp, {blue.netns}, server(static_cast<std::uint16_t>(5300 + round))));
        ASSERT_TRUE(ends("udp"));
    }
    EXPECT_EQ(flow_of("tcp").at("state"), "established");
    EXPECT_TRUE(alive(line));
}

TEST_P(Ageing, EndsAConnectionSoonAfterItsFin) {
    const auto blue = connect("blue", with_timeouts({{"tcpClosing", 1}}));
    Clock::time_point began;
    {
        auto line = open_line({blue.netns}, server());
        ASSERT_TRUE(alive(line));
        began = Clock::now();
    }
    ASSERT_TRUE(is("closing", "tcp", began));
    EXPECT_TRUE(ends("tcp"));
}

TEST_P(Ageing, EndsAConnectionSoonAfterARst) {
    const auto blue = connect("blue", with_timeouts({{"tcpClosing", 1}}));
    auto line = open_line({blue.netns}, server());
    ASSERT_TRUE(alive(line));
    line.server.reset();
    ASSERT_TRUE(eventually([&] {
        const auto flow = flow_of("tcp");
        return flow.is_null() || flow.at("state") == "closing";
    }));
    EXPECT_TRUE(ends("tcp"));
}

TEST_P(Ageing, LeavesABusyFlow) {
    const auto blue = connect("blue", with_timeouts({{"udp", 2}}));
    auto service = Socket::udp(world_.world(), server(53).end);
    auto client = Socket::udp(blue.netns, any());
    std::uint64_t oldest = 0;
    for (int i = 0; i < 12; ++i) {  // six seconds, three times the timeout
        ASSERT_TRUE(client.send_to(server(53).end, "still here"));
        ASSERT_TRUE(service.receive());
        oldest = std::max(oldest, flow_of("udp").at("ageSeconds").get<std::uint64_t>());
        std::this_thread::sleep_for(std::chrono::milliseconds(500));
    }
    EXPECT_GE(oldest, 4U) << "one flow from the first to the last, and not several";
}

TEST_P(Ageing, FreesThePort) {
    auto conf = with_timeouts({{"udp", 1}});
    conf["portRange"] = "5000-5000";
    const auto blue = connect("blue", conf), red = connect("red", conf);
    EXPECT_TRUE(meet(Protocol::udp, {blue.netns}, server()));
    EXPECT_FALSE(knock(Protocol::udp, {red.netns}, server()));
    ASSERT_TRUE(ends("udp"));
    const auto meeting = meet(Protocol::udp, {red.netns}, server());
    EXPECT_TRUE(meeting);
    EXPECT_EQ(meeting.seen.port, 5000);
}

TEST_P(Ageing, IsNotNeededForASandboxThatIsGone) {
    const auto blue = connect("blue", with_timeouts()), red = connect("red", with_timeouts());
    EXPECT_TRUE(meet(Protocol::udp, {blue.netns}, server()));
    EXPECT_TRUE(meet(Protocol::tcp, {red.netns}, server()));
    disconnect(blue);
    EXPECT_TRUE(ends("udp")) << "though its timeout is an hour";
    EXPECT_EQ(ctl_json({"flows"}).size(), 1U);
}

FOR_BOTH_FAMILIES(Ageing);

}  // namespace
}  // namespace causeway::test::ageing_test
