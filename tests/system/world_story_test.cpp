// SPDX-License-Identifier: Apache-2.0
// Stories of a sandbox and the world: out through the node under its address, and the answer back.
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <netinet/udp.h>

#include <set>

#include "tests/system/layout.hpp"
#include "tests/system/of_family.hpp"
#include "tests/system/wire.hpp"

namespace causeway::test::world_story_test {
namespace {

class Outside : public EachProtocol {
protected:
    void SetUp() override {
        for (const auto* device : {"all", "default", "up0"}) {
            set_sysctl(std::string("net/ipv4/conf/") + device + "/rp_filter", "1");
        }
    }
};
class Translation : public EachFamily {};

TEST_P(Outside, SeesTheNodesAddressAndTheSandboxesPort) {
    const auto blue = connect("blue");
    by_each_protocol([&] {
        const auto meeting = meet(protocol(), {blue.netns}, server());
        EXPECT_TRUE(meeting);
        EXPECT_EQ(meeting.seen.address, here(node_address));
        EXPECT_EQ(meeting.seen.port, meeting.client.port) << "the port was free, so it is kept";
        EXPECT_EQ(meeting.client.address, blue.address);
    });
}

TEST_P(Outside, MayBeFurtherThanTheNextHop) {
    const auto blue = connect("blue");
    by_each_protocol([&] {
        const auto meeting = meet(protocol(), {blue.netns}, {world_.world(), {here(service_address), 8080}});
        EXPECT_TRUE(meeting);
        EXPECT_EQ(meeting.seen.address, here(node_address));
    });
}

TEST_P(Outside, TakesPacketsWithIpOptions) {
    const auto blue = connect("blue");
    by_each_protocol([&] {
        for (const auto& options : {no_operations, record_route}) {
            const auto meeting = meet(protocol(), {blue.netns, {}, ip_options(options)}, server());
            EXPECT_TRUE(meeting);
            EXPECT_EQ(meeting.seen.address, here(node_address));
        }
    });
}

TEST_P(Outside, TakesPacketsWithAndWithoutDontFragment) {
    const auto blue = connect("blue");
    by_each_protocol([&] {
        for (const bool allowed : {true, false}) {
            EXPECT_TRUE(meet(protocol(), {blue.netns, {}, fragments(allowed)}, server()));
        }
    });
}

// From every combination of who fills in checksums to a receiver that looks at each of them.
TEST_P(Outside, GetsChecksumsThatHold) {
    const auto blue = connect("blue");
    must_run({"ethtool", "-K", "dn0", "rx", "off", "tx", "off"}, {.netns = world_.world()});
    must_run({"ethtool", "-K", "up0", "tx", "off", "rx", "off"});
    by_each_protocol([&] {
        Tap world_side(world_.world(), "dn0"), sandbox_side(blue.netns, "eth0");
        std::uint16_t port = 8080;
        for (const auto* offload : {"on", "off"}) {
            must_run({"ethtool", "-K", "eth0", "tx", offload, "rx", offload}, {.netns = blue.netns});
            const auto meeting = meet(protocol(), {blue.netns, any(4000)}, server(port++));
            EXPECT_TRUE(meeting) << "offload " << offload;
            const auto sent = world_side.next([&](const Seen& seen) {
                return is_packet(seen.frame, number(), here(node_address), here(world_address));
            });
            ASSERT_TRUE(sent);
            EXPECT_FALSE(sent->checksum_pending);
            EXPECT_EQ(wrong_checksums(sent->frame), "") << describe(sent->frame);
            const auto answered = sandbox_side.next(
                [&](const Seen& seen) { return is_packet(seen.frame, number(), here(world_address), blue.address); });
            ASSERT_TRUE(answered);
            EXPECT_EQ(wrong_checksums(answered->frame), "") << describe(answered->frame);
        }
    });
}

TEST_P(Outside, TellsTwoSandboxesWithTheSamePortApart) {
    const auto blue = connect("blue"), red = connect("red");
    by_each_protocol([&] {
        const End port = any(4000);
        const auto first = meet(protocol(), {blue.netns, port}, server());
        const auto second = meet(protocol(), {red.netns, port}, server());
        EXPECT_TRUE(first);
        EXPECT_TRUE(second);
        EXPECT_EQ(first.seen, (End{here(node_address), 4000}));
        EXPECT_EQ(second.seen.address, here(node_address));
        EXPECT_NE(second.seen.port, 4000);
        EXPECT_TRUE(meet(protocol(), {blue.netns, port}, server())) << "and still after the second came";
    });
}

TEST_P(Outside, KnowsASandboxByItsOwnAddressWhenItIsNotMasqueraded) {
    const auto blue = connect("blue", configuration({{"ipMasq", false}}));
    ip_here({"route", "add", "10.0.0.0/24", "via", node_address}, world_.world());
    by_each_protocol([&] {
        const auto meeting = meet(protocol(), {blue.netns}, server());
        EXPECT_TRUE(meeting);
        EXPECT_EQ(meeting.seen, meeting.client);
        EXPECT_EQ(meeting.seen.address, blue.address);
    });
}

FOR_BOTH_FAMILIES(Outside);

TEST_P(Translation, CarriesAStreamOfLargeSegmentsBothWays) {
    const auto blue = connect("blue");
    auto line = open_line({blue.netns}, server());
    EXPECT_EQ(line.seen.address, here(node_address));
    EXPECT_TRUE(carries(line.client, line.server, 20 << 20)) << "upload";
    EXPECT_TRUE(carries(line.server, line.client, 20 << 20)) << "download";
}

TEST_P(Translation, CarriesAStreamWhenNothingIsOffloaded) {
    const auto blue = connect("blue");
    must_run({"ethtool", "-K", "up0", "tx", "off", "rx", "off", "gso", "off", "tso", "off", "gro", "off"});
    must_run({"ethtool", "-K", "eth0", "tx", "off", "rx", "off"}, {.netns = blue.netns});
    must_run({"ethtool", "-K", "dn0", "tx", "off", "rx", "off"}, {.netns = world_.world()});
    auto line = open_line({blue.netns}, server());
    EXPECT_TRUE(carries(line.client, line.server, 4 << 20)) << "upload";
    EXPECT_TRUE(carries(line.server, line.client, 4 << 20)) << "download";
}

TEST_P(Translation, CarriesDatagramsThatAreSegmentedLate) {
    const auto blue = connect("blue");
    for (const auto* offload : {"on", "off"}) {
        must_run({"ethtool", "-K", "up0", "tx", offload, "tx-udp-segmentation", offload});
        auto service = Socket::udp(world_.world(), {here(world_address), 53});
        auto client = Socket::udp(blue.netns, any());
        client.set(SOL_UDP, UDP_SEGMENT, 1000);
        ASSERT_TRUE(client.send_to({here(world_address), 53}, std::string(10000, 'x')));
        for (int i = 0; i < 10; ++i) {
            const auto datagram = service.receive();
            ASSERT_TRUE(datagram) << i << " with offload " << offload;
            EXPECT_EQ(datagram->text.size(), 1000U);
            EXPECT_EQ(datagram->from.address, here(node_address));
        }
    }
}

// Which a stack of IPv6 takes for none at all (RFC 8200, section 8.1).
class TranslationOfIPv4 : public Translation {};

TEST_P(TranslationOfIPv4, LeavesAChecksumOfZeroAtZero) {
    const auto blue = connect("blue");
    auto client = Socket::udp(blue.netns, any());
    client.set(SOL_SOCKET, SO_NO_CHECK, 1);
    Tap tap(world_.world(), "dn0");
    auto service = Socket::udp(world_.world(), {here(world_address), 53});
    client.send_to({here(world_address), 53}, "no checksum");
    ASSERT_TRUE(service.receive());
    const auto seen = tap.next([&](const Seen& one) { return is_packet(one.frame, 17, here(node_address)); });
    ASSERT_TRUE(seen);
    EXPECT_EQ(seen->frame.at(40) << 8 | seen->frame.at(41), 0);
}

TEST_P(Translation, CostsOneHop) {
    const auto blue = connect("blue");
    auto service = Socket::udp(world_.world(), {here(world_address), 53});
    auto client = Socket::udp(blue.netns, any());
    client.set_hops(1);
    client.send_to({here(world_address), 53}, "too far");
    EXPECT_FALSE(service.receive(silence));
    EXPECT_EQ(count_of("drop-ttl-expired"), 1U);
    Tap tap(world_.world(), "dn0");
    client.set_hops(2);
    client.send_to({here(world_address), 53}, "just there");
    EXPECT_TRUE(service.receive());
    const auto seen = tap.next([&](const Seen& one) { return is_packet(one.frame, 17, here(node_address)); });
    ASSERT_TRUE(seen);
    EXPECT_EQ(seen->frame.at(layout_of_frame(seen->frame).value().ttl()), 1) << "TTL";
}

TEST_P(Translation, KeepsAwayFromThePortsOfTheNodesListeners) {
    const auto blue = connect("blue");
    auto tcp = Socket::listener("", any(4000));
    auto udp = Socket::udp("", {here(node_address), 4000});
    for (const auto protocol : {Protocol::tcp, Protocol::udp}) {
        const auto meeting = meet(protocol, {blue.netns, any(4000)}, server());
        EXPECT_TRUE(meeting);
        EXPECT_EQ(meeting.seen.address, here(node_address));
        EXPECT_NE(meeting.seen.port, 4000);
    }
}

TEST_P(Translation, KeepsAwayFromTheNodesOwnConnections) {
    const auto blue = connect("blue");
    auto listener = Socket::listener(world_.world(), {here(world_address), 8080});
    auto own = Socket::tcp("", {here(node_address), 4000});
    ASSERT_EQ(own.connect({here(world_address), 8080}), 0);
    auto own_server = listener.accept();
    auto sandboxes = Socket::tcp(blue.netns, {blue.address, 4000});
    ASSERT_EQ(sandboxes.connect({here(world_address), 8080}), 0);
    auto sandboxes_server = listener.accept();
    ASSERT_TRUE(own_server && sandboxes_server);
    EXPECT_EQ(own_server->peer(), (End{here(node_address), 4000}));
    EXPECT_NE(sandboxes_server->peer().port, 4000);
    Line ours{std::move(own), std::move(*own_server), {}};
    Line theirs{std::move(sandboxes), std::move(*sandboxes_server), {}};
    EXPECT_TRUE(alive(ours));
    EXPECT_TRUE(alive(theirs));
    EXPECT_TRUE(alive(ours));
}

TEST_P(Translation, KeepsToItsRangeOfPorts) {
    const auto blue = connect("blue", configuration({{"portRange", "5000-5003"}}));
    std::set<std::uint16_t> ports;
    for (std::uint16_t port = 4000; port < 4004; ++port) {
        auto service = Socket::udp(world_.world(), {here(world_address), 53});
        auto client = Socket::udp(blue.netns, any(port));
        client.send_to({here(world_address), 53}, "a question");
        const auto question = service.receive();
        ASSERT_TRUE(question);
        ports.insert(question->from.port);
    }
    EXPECT_THAT(ports, testing::ElementsAre(5000, 5001, 5002, 5003));
    EXPECT_FALSE(knock(Protocol::udp, {blue.netns, any(4004)}, server(53)));
    EXPECT_GE(count_of("drop-no-port"), 1U);
    EXPECT_TRUE(meet(Protocol::udp, {blue.netns, any(4004)}, server(54))) << "towards another peer";
}

TEST_P(Translation, CarriesThousandsOfShortConnections) {
    const auto blue = connect("blue");
    auto listener = Socket::listener(world_.world(), {here(world_address), 8080});
    for (int i = 0; i < 2000; ++i) {
        auto client = Socket::tcp(blue.netns, any());
        ASSERT_EQ(client.connect({here(world_address), 8080}), 0) << i;
        auto accepted = listener.accept();
        ASSERT_TRUE(accepted) << i;
        ASSERT_TRUE(client.send("a"));
        ASSERT_TRUE(accepted->receive()) << i;
    }
}

TEST_P(Translation, ReopensAFlowForTheSamePorts) {
    const auto blue = connect("blue");
    for (int i = 0; i < 3; ++i) {
        auto line = open_line({blue.netns, any(4000)}, server());
        EXPECT_EQ(line.seen, (End{here(node_address), 4000})) << i;
        EXPECT_TRUE(alive(line)) << i;
        line.client.reset();
    }
}

TEST_P(Translation, GivesAProtocolWithoutPortsToOneSandboxAtATime) {
    const auto blue = connect("blue"), red = connect("red");
    auto first = Socket::open(blue.netns, SOCK_RAW, 47, family() == Family::ipv6),
         second = Socket::open(red.netns, SOCK_RAW, 47, family() == Family::ipv6);  // GRE
    auto peer = Socket::open(world_.world(), SOCK_RAW, 47, family() == Family::ipv6);
    first.send_to({here(world_address), 0}, "a tunnel");
    const auto seen = peer.receive();
    ASSERT_TRUE(seen);
    EXPECT_EQ(seen->from.address, here(node_address));
    second.send_to({here(world_address), 0}, "another");
    EXPECT_TRUE(eventually([] { return count_of("drop-no-port") == 1; }));
}

TEST_P(Translation, CarriesDatagramsInFragmentsBothWays) {
    const auto blue = connect("blue");
    auto service = Socket::udp(world_.world(), {here(world_address), 53});
    auto client = Socket::udp(blue.netns, any());
    const std::string question(4000, 'q'), answer(8000, 'a');
    ASSERT_TRUE(client.send_to({here(world_address), 53}, question));
    const auto asked = service.receive();
    ASSERT_TRUE(asked);
    EXPECT_EQ(asked->from.address, here(node_address));
    EXPECT_EQ(asked->text, question);
    ASSERT_TRUE(service.send_to(asked->from, answer));
    const auto answered = client.receive();
    ASSERT_TRUE(answered);
    EXPECT_EQ(answered->text, answer);
}

FOR_BOTH_FAMILIES(Translation);
INSTANTIATE_TEST_SUITE_P(Of, TranslationOfIPv4, testing::Values(Family::ipv4), testing::PrintToStringParamName());

}  // namespace
}  // namespace causeway::test::world_story_test
