// SPDX-License-Identifier: Apache-2.0
// "inbound": the world reaches sandboxes by their own addresses, where it has a route to them.
#include <gmock/gmock.h>

#include "tests/system/of_family.hpp"

namespace causeway::test::inbound_test {
namespace {

const Json routed{{"ipMasq", false}, {"inbound", true}};

class Inbound : public EachProtocol {
protected:
    void SetUp() override { ip_here({"route", "add", "10.0.0.0/24", "via", node_address}, world_.world()); }

    Place client() const { return {world_.world(), any()}; }
};

TEST_P(Inbound, ReachesASandboxByItsOwnAddress) {
    const auto blue = connect("blue", configuration(routed));
    by_each_protocol([&] {
        for (const auto& from : {world_address, service_address}) {
            const auto meeting = meet(protocol(), {world_.world(), {here(from), 0}}, {blue.netns, {blue.address, 80}});
            EXPECT_TRUE(meeting) << from;
            EXPECT_EQ(meeting.seen, meeting.client);
        }
        EXPECT_TRUE(meet(protocol(), {blue.netns}, server())) << "and the other way as ever";
    });
}

TEST_P(Inbound, IsOffUntilItIsAskedForAndOnFromTheNextAddOn) {
    const auto blue = connect("blue", configuration({{"ipMasq", false}}));
    const Place service{blue.netns, {blue.address, 80}};
    const auto expect_off = [&] {
        const auto before = count_of("drop-unsolicited");
        EXPECT_FALSE(knock(protocol(), client(), service));
        EXPECT_GT(count_of("drop-unsolicited"), before);
    };
    by_each_protocol(expect_off);
    connect("red", configuration(routed));
    by_each_protocol([&] { EXPECT_TRUE(meet(protocol(), client(), service)); });
    connect("green", configuration({{"ipMasq", false}}));
    by_each_protocol(expect_off);
}

TEST_P(Inbound, IsForThoseWhoSeeTheAddressOnly) {
    const auto blue = connect(
        "blue", configuration({{"nonMasqueradeCIDRs", {service_address + std::string("/32")}}, {"inbound", true}}));
    const Place service{blue.netns, {blue.address, 80}};
    by_each_protocol([&] {
        EXPECT_TRUE(meet(protocol(), {world_.world(), {here(service_address), 0}}, service));
        EXPECT_FALSE(knock(protocol(), {world_.world(), {here(world_address), 0}}, service));
    });
}

FOR_BOTH_FAMILIES(Inbound);

class InboundStory : public EachFamily {
protected:
    void SetUp() override { ip_here({"route", "add", "10.0.0.0/24", "via", node_address}, world_.world()); }
};

TEST_P(InboundStory, CarriesAStreamBothWays) {
    const auto blue = connect("blue", configuration(routed));
    auto line = open_line({world_.world(), any()}, {blue.netns, {blue.address, 80}});
    EXPECT_TRUE(carries(line.client, line.server, 20 << 20)) << "upload";
    EXPECT_TRUE(carries(line.server, line.client, 20 << 20)) << "download";
}

TEST_P(InboundStory, CarriesDatagramsInFragmentsBothWays) {
    const auto blue = connect("blue", configuration(routed));
    EXPECT_TRUE(carries_datagrams({world_.world()}, {blue.netns, {blue.address, 53}}, 4000, 8000));
}

TEST_P(InboundStory, TellsTheWorldThatNobodyListens) {
    const auto blue = connect("blue", configuration(routed));
    auto client = Socket::tcp(world_.world(), any());
    EXPECT_EQ(client.connect({blue.address, 81}), ECONNREFUSED);
    auto datagrams = Socket::udp(world_.world(), any());
    ASSERT_EQ(datagrams.connect({blue.address, 81}), 0);
    datagrams.send("anybody?");
    EXPECT_TRUE(eventually([&] { return !datagrams.send("still not?"); })) << "by the sandbox's ICMP error";
}

TEST_P(InboundStory, ShowsAsAFlowOfTheSandbox) {
    const auto blue = connect("blue", configuration(routed));
    auto line = open_line({world_.world(), any(4000)}, {blue.netns, {blue.address, 80}});
    const auto flows = ctl_json({"flows", "--sandbox", "blue"});
    ASSERT_EQ(flows.size(), 1U) << flows;
    EXPECT_THAT(flows[0].at("source").get<std::string>(), testing::EndsWith(":80"));
    EXPECT_THAT(flows[0].at("destination").get<std::string>(), testing::EndsWith(":4000"));
    EXPECT_EQ(flows[0].at("translated"), flows[0].at("source")) << "not translated";
    EXPECT_EQ(flows[0].at("state"), "established");
}

TEST_P(InboundStory, BeginsAnewWhenItsFlowsWereDeleted) {
    const auto blue = connect("blue", configuration(routed));
    for (const auto protocol : {Protocol::udp, Protocol::icmp}) {
        for (int i = 0; i < 2; ++i) {
            EXPECT_TRUE(meet(protocol, {world_.world(), any(4000)}, {blue.netns, {blue.address, 80}})) << i;
            EXPECT_EQ(ctl({"flows", "delete", "--sandbox", "blue"}).status, 0);
            EXPECT_EQ(ctl_json({"flows"}).size(), 0U);
        }
    }
}

FOR_BOTH_FAMILIES(InboundStory);

}  // namespace
}  // namespace causeway::test::inbound_test
