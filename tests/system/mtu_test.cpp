// SPDX-License-Identifier: Apache-2.0
// Uplinks and MTU: which devices lead to the world, and how large a packet may be.
#include <gmock/gmock.h>

#include <algorithm>
#include <functional>

#include "tests/system/of_family.hpp"
#include "tests/system/programs.hpp"
#include "tests/system/snapshot.hpp"

namespace causeway::test::mtu_test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// A second way to the world: up1 198.51.100.129/25, towards dn1 198.51.100.130.
class Uplinks : public EachFamily {
protected:
    void SetUp() override {
        ip({"link", "add", "up1", "type", "veth", "peer", "name", "dn1", "netns", "world"});
        ip_here({"addr", "add", "198.51.100.130/25", "dev", "dn1", "nodad"}, world_.world());
        ip({"link", "set", "dn1", "up"}, world_.world());
        set_up1();
    }

    // Until its carrier is there, and its routes with it.
    void set_up1() {
        ip_here({"addr", "add", "198.51.100.129/25", "dev", "up1", "nodad"});
        ip({"link", "set", "up1", "up"});
        ASSERT_TRUE(eventually([&] {
            return !ip_json_here({"route", "show", "table", "local", "198.51.100.129"}).empty() &&
                   ip_here({"route"}).find("linkdown") == std::string::npos;
        }));
    }

    static int mtu_of(const std::string& device, const std::string& netns = {}) {
        return ip_json({"link", "show", device}, netns).at(0).at("mtu");
    }
};

TEST_P(Uplinks, AreAllThatHaveAnAddressByDefault) {
    ip({"link", "add", "bare0", "type", "veth", "peer", "name", "bare1"});
    ip({"link", "set", "bare0", "up"});
    const auto blue = connect("blue");
    EXPECT_THAT(programs_on("up0", Direction::ingress), ElementsAre("from_uplink"));
    EXPECT_THAT(programs_on("up1", Direction::ingress), ElementsAre("from_uplink"));
    EXPECT_THAT(programs_on("bare0", Direction::ingress), IsEmpty());
    EXPECT_THAT(programs_on("cw0", Direction::ingress), IsEmpty());
    const auto over0 = meet(Protocol::tcp, {blue.netns}, server(80));
    const auto over1 = meet(Protocol::tcp, {blue.netns}, {world_.world(), {here("198.51.100.130"), 80}});
    EXPECT_TRUE(over0);
    EXPECT_TRUE(over1);
    EXPECT_EQ(over0.seen.address, here(node_address));
    EXPECT_EQ(over1.seen.address, here("198.51.100.129"));
}

TEST_P(Uplinks, AreThoseThatAreNamed) {
    const auto blue = connect("blue", configuration({{"uplinks", {"up0"}}}));
    EXPECT_THAT(programs_on("up0", Direction::ingress), ElementsAre("from_uplink"));
    EXPECT_THAT(programs_on("up1", Direction::ingress), IsEmpty());
    EXPECT_TRUE(meet(Protocol::udp, {blue.netns}, server(53)));
    EXPECT_FALSE(knock(Protocol::udp, {blue.netns}, {world_.world(), {here("198.51.100.130"), 53}}));
    EXPECT_GE(count_of("drop-no-uplink"), 1U);
}

TEST_P(Uplinks, ThatComeLaterServeFromTheNextAddOn) {
    ip({"link", "set", "up1", "down"});
    ip({"addr", "flush", "dev", "up1"});
    const auto blue = connect("blue");
    EXPECT_THAT(programs_on("up1", Direction::ingress), IsEmpty());
    set_up1();
    const auto red = connect("red");
    EXPECT_THAT(programs_on("up1", Direction::ingress), ElementsAre("from_uplink"));
    for (const auto& sandbox : {blue, red}) {
        EXPECT_TRUE(meet(Protocol::tcp, {sandbox.netns}, {world_.world(), {here("198.51.100.130"), 80}})) << sandbox.id;
    }
}

TEST_P(Uplinks, AreLeftByTheLastDel) {
    const auto before = Snapshot::take();
    const auto blue = connect("blue");
    disconnect(blue);
    world_.remove_namespace("blue");
    EXPECT_TRUE(before.holds());
}

TEST_P(Uplinks, ThatVanishDoNotKeepTheLastDelFromItsWork) {
    const auto blue = connect("blue");
    ip({"link", "del", "up1"});
    EXPECT_TRUE(succeeded(del("blue", blue.netns)));
    EXPECT_EQ(all_programs(), "");
    EXPECT_NE(run({"test", "-e", "/sys/fs/bpf/causeway"}).status, 0);
}

TEST_P(Uplinks, SetTheMtuByTheSmallest) {
    ip({"link", "set", "up1", "mtu", "1400"});
    const auto blue = connect("blue");
    EXPECT_EQ(mtu_of("eth0", blue.netns), 1400);
    EXPECT_EQ(mtu_of(blue.host_end), 1400);
    EXPECT_EQ(mtu_of("cw0"), 1400);
    EXPECT_EQ(blue.reply.at("interfaces")[2].at("mtu"), 1400);
}

TEST_P(Uplinks, ThatAreNotNamedDoNotSetTheMtu) {
    ip({"link", "set", "up1", "mtu", "1400"});
    const auto blue = connect("blue", configuration({{"uplinks", {"up0"}}}));
    EXPECT_EQ(mtu_of("eth0", blue.netns), 1500);
}

TEST_P(Uplinks, GiveWayToAConfiguredMtu) {
    ip({"link", "set", "up1", "mtu", "1400"});
    const auto blue = connect("blue", configuration({{"mtu", 1280}}));
    EXPECT_EQ(mtu_of("eth0", blue.netns), 1280);
    EXPECT_EQ(mtu_of(blue.host_end), 1280);
}

TEST_P(Uplinks, OfAnMtuThatNeedsJumboFramesCarryThem) {
    for (const auto* device : {"up0", "up1"}) {
        ip({"link", "set", device, "mtu", "9000"});
    }
    ip({"link", "set", "dn0", "mtu", "9000"}, world_.world());
    const auto blue = connect("blue"), red = connect("red");
    EXPECT_EQ(mtu_of("eth0", blue.netns), 9000);
    auto near = open_line({blue.netns}, {red.netns, {red.address, 80}});
    EXPECT_TRUE(carries(near.client, near.server, 1 << 20));
    auto far = open_line({blue.netns}, server(80));
    EXPECT_TRUE(carries(far.client, far.server, 1 << 20));
}

TEST_P(Uplinks, GiveWayToTheLargestMtuThatAVethHas) {
    const auto blue = connect("blue", configuration({{"mtu", 65535}})), red = connect("red");
    EXPECT_EQ(mtu_of("eth0", blue.netns), 65535);
    EXPECT_EQ(mtu_of("eth0", red.netns), 1500) << "each ADD has its own";
    auto line = open_line({blue.netns}, {red.netns, {red.address, 80}});
    EXPECT_TRUE(carries(line.client, line.server, 1 << 20));
}

FOR_BOTH_FAMILIES(Uplinks);

// A device of an MTU below 1280 has no IPv6 at all (RFC 8200, section 5).
class OfIPv4Alone : public Uplinks {};

TEST_P(OfIPv4Alone, AnMtuMayBeLessThanIPv6Needs) {
    for (const int mtu : {68, 1279, 1280}) {
        const auto conf = configuration({{"mtu", mtu}});
        const auto blue = connect("blue", conf), red = connect("red", conf);
        EXPECT_EQ(mtu_of("eth0", blue.netns), mtu);
        EXPECT_TRUE(meet(Protocol::tcp, {blue.netns}, server(80))) << mtu;
        EXPECT_TRUE(meet(Protocol::tcp, {blue.netns}, {red.netns, {red.address, 80}})) << mtu;
        disconnect(blue, conf);
        disconnect(red, conf);
        world_.remove_namespace("blue");
        world_.remove_namespace("red");
    }
}

INSTANTIATE_TEST_SUITE_P(Of, OfIPv4Alone, testing::Values(Family::ipv4), testing::PrintToStringParamName());

// Beyond what a packet's length field can say, which "gsoMaxSize" is about. The uplink takes no more than 64 KiB at
// once.
class LargeSegments : public EachFamily {
protected:
    static constexpr std::size_t size = 64U << 20;

    // Bytes of a packet that the sandbox sends meanwhile, as it leaves before it is segmented; the mean.
    static double size_while(const std::string& netns, const std::function<void()>& sends) {
        const auto sent = [&] {
            return Json::parse(
                must_run({"ip", "-s", "-j", "link", "show", "eth0"}, {.netns = netns}))[0]["stats64"]["tx"];
        };
        const auto before = sent();
        sends();
        const auto after = sent();
        return (after.at("bytes").get<double>() - before.at("bytes").get<double>()) /
               (after.at("packets").get<double>() - before.at("packets").get<double>());
    }

    // The mean, of the transfer of ten where it was largest: that depends on how soon acknowledgements come.
    static double largest_size(Line& line, const std::string& netns) {
        double largest = 0;
        for (int i = 0; i < 10 && largest <= 65536; ++i) {
            largest =
                std::max(largest, size_while(netns, [&] { EXPECT_TRUE(carries(line.client, line.server, size)); }));
        }
        return largest;
    }

    Json conf_ = configuration({{"gsoMaxSize", 524280}});
};

TEST_P(LargeSegments, CrossBetweenSandboxes) {
    const auto blue = connect("blue", conf_), red = connect("red", conf_);
    auto line = open_line({blue.netns}, {red.netns, {red.address, 80}});
    EXPECT_GT(largest_size(line, blue.netns), 65536);
}

TEST_P(LargeSegments, ReachAWorldWhoseUplinkCannotTakeThem) {
    const auto blue = connect("blue", conf_);
    auto line = open_line({blue.netns}, server(80));
    EXPECT_GT(largest_size(line, blue.netns), 65536);
    EXPECT_EQ(count_of("drop-too-big"), 0U) << "what they are cut into fits";
}

TEST_P(LargeSegments, AreNoneUnlessTheyAreAskedFor) {
    const auto blue = connect("blue"), red = connect("red");
    auto line = open_line({blue.netns}, {red.netns, {red.address, 80}});
    EXPECT_LE(size_while(blue.netns, [&] { EXPECT_TRUE(carries(line.client, line.server, size)); }), 65536 + 14);
}

FOR_BOTH_FAMILIES(LargeSegments);

}  // namespace
}  // namespace causeway::test::mtu_test
