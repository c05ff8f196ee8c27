// SPDX-License-Identifier: Apache-2.0
// Stories of two sandboxes: a question from one, its way through the node, and the answer.
#include <netinet/in.h>
#include <netinet/udp.h>

#include "tests/system/of_family.hpp"
#include "tests/system/wire.hpp"

namespace causeway::test::neighbour_story_test {
namespace {

class Neighbours : public EachProtocol {};
class Sandboxes : public EachFamily {};
class SandboxesOfBothFamilies : public Host {};

TEST_P(Neighbours, MeetUnderTheirOwnAddresses) {
    const auto blue = connect("blue"), red = connect("red");
    by_each_protocol([&] {
        for (const auto& [one, other] : {std::pair{blue, red}, std::pair{red, blue}}) {
            const auto meeting = meet(protocol(), {one.netns}, {other.netns, {other.address, 8080}});
            EXPECT_TRUE(meeting);
            EXPECT_EQ(meeting.seen, meeting.client);
            EXPECT_EQ(meeting.seen.address, one.address);
        }
    });
}

TEST_P(Neighbours, OfTwoNetworksMeet) {
    const auto blue = connect("blue"), red = connect("red", second_configuration());
    by_each_protocol([&] {
        const auto meeting = meet(protocol(), {blue.netns}, {red.netns, {red.address, 8080}});
        EXPECT_TRUE(meeting);
        EXPECT_EQ(meeting.seen.address, blue.address);
    });
}

TEST_P(Neighbours, MeetWithIpOptions) {
    const auto blue = connect("blue"), red = connect("red");
    by_each_protocol([&] {
        for (const auto& options : {no_operations, record_route}) {
            EXPECT_TRUE(meet(protocol(), {blue.netns, {}, ip_options(options)}, {red.netns, {red.address, 8080}}));
        }
    });
}

TEST_P(Neighbours, MeetWithAndWithoutDontFragment) {
    const auto blue = connect("blue"), red = connect("red");
    by_each_protocol([&] {
        for (const bool allowed : {true, false}) {
            EXPECT_TRUE(meet(protocol(), {blue.netns, {}, fragments(allowed)}, {red.netns, {red.address, 8080}}));
        }
    });
}

TEST_P(Neighbours, MeetWhenChecksumsAreNotOffloaded) {
    const auto blue = connect("blue"), red = connect("red");
    for (const auto& netns : {blue.netns, red.netns}) {
        must_run({"ethtool", "-K", "eth0", "tx", "off", "rx", "off"}, {.netns = netns});
    }
    by_each_protocol([&] { EXPECT_TRUE(meet(protocol(), {blue.netns}, {red.netns, {red.address, 8080}})); });
}

FOR_BOTH_FAMILIES(Neighbours);

TEST_P(Sandboxes, CarryAStreamOfLargeSegments) {
    const auto blue = connect("blue"), red = connect("red");
    auto line = open_line({blue.netns}, {red.netns, {red.address, 80}});
    EXPECT_TRUE(carries(line.client, line.server, 20 << 20));
    EXPECT_TRUE(carries(line.server, line.client, 20 << 20));
}

// Datagrams of one system call, cut into many on their way (UDP_SEGMENT, Linux 4.18).
TEST_P(Sandboxes, CarryDatagramsThatAreSegmentedLate) {
    const auto blue = connect("blue"), red = connect("red");
    auto service = Socket::udp(red.netns, {red.address, 53});
    auto client = Socket::udp(blue.netns, any());
    client.set(SOL_UDP, UDP_SEGMENT, 1000);
    ASSERT_TRUE(client.send_to({red.address, 53}, std::string(10000, 'x')));
    for (int i = 0; i < 10; ++i) {
        const auto datagram = service.receive();
        ASSERT_TRUE(datagram) << i;
        EXPECT_EQ(datagram->text.size(), 1000U);
    }
}

TEST_P(Sandboxes, CarryDatagramsThatAreFragmented) {
    const auto blue = connect("blue"), red = connect("red");
    auto service = Socket::udp(red.netns, {red.address, 53});
    auto client = Socket::udp(blue.netns, any());
    ASSERT_TRUE(client.send_to({red.address, 53}, std::string(20000, 'x')));
    const auto datagram = service.receive();
    ASSERT_TRUE(datagram);
    EXPECT_EQ(datagram->text.size(), 20000U);
}

TEST_P(Sandboxes, SeeNoHopOnTheWayToEachOther) {
    const auto blue = connect("blue"), red = connect("red");
    auto service = Socket::udp(red.netns, {red.address, 53});
    service.set(IPPROTO_IP, IP_RECVTTL, 1);
    auto client = Socket::udp(blue.netns, any());
    client.set_hops(1);
    client.send_to({red.address, 53}, "one hop is enough");
    EXPECT_TRUE(service.receive());
}

TEST_P(Sandboxes, SendNothingUnderAForeignAddress) {
    const auto blue = connect("blue"), red = connect("red");
    auto service = Socket::udp(red.netns, {red.address, 53});
    auto liar = Socket::open(blue.netns, SOCK_RAW, IPPROTO_RAW, family() == Family::ipv6);
    const auto packet_from = [&](const std::string& source) {
        const auto bytes = in_family(Ethernet{} / IPv4{.source = ip_of(source), .destination = ip_of(red.address)} /
                                         UDP{.source_port = 4000, .destination_port = 53} / Payload{"who am I?"},
                                     family())
                               .bytes();
        return std::string(bytes.begin() + 14, bytes.end());
    };
    ASSERT_TRUE(liar.send_to({red.address, 0}, packet_from(blue.address)));
    ASSERT_TRUE(service.receive()) << "the true address passes";
    for (const auto& source : {here("10.0.0.1"), here("10.0.0.200"), here("203.0.113.2"), here("127.0.0.1")}) {
        const auto before = count_of("drop-spoofed-address");
        ASSERT_TRUE(liar.send_to({red.address, 0}, packet_from(source)));
        EXPECT_TRUE(eventually([&] { return count_of("drop-spoofed-address") == before + 1; })) << source;
    }
    EXPECT_FALSE(service.receive(silence));
}

TEST_P(Sandboxes, SendNothingUnderAForeignMac) {
    const auto blue = connect("blue"), red = connect("red");
    auto service = Socket::udp(red.netns, {red.address, 53});
    ip({"link", "set", "eth0", "address", red.mac}, blue.netns);
    auto client = Socket::udp(blue.netns, any());
    client.send_to({red.address, 53}, "who am I?");
    EXPECT_FALSE(service.receive(silence));
    EXPECT_GE(count_of("drop-spoofed-mac") + count_of("drop-spoofed-arp"), 1U);
    ip({"link", "set", "eth0", "address", blue.mac}, blue.netns);
    EXPECT_TRUE(meet(Protocol::udp, {blue.netns}, {red.netns, {red.address, 5353}}));
}

// Asks who has an address, by a frame that the sandbox's stack has no part in.
class Asker {
public:
    explicit Asker(const Sandbox& sandbox) : sandbox_(sandbox), tap_(sandbox.netns, "eth0") {}

    bool answered(const std::string& target, const std::string& sender, std::chrono::milliseconds time) {
        tap_.send(neighbour_question(mac_of(sandbox_.mac), sender, target).bytes());
        return tap_.next([](const Seen& seen) { return is_neighbour_answer(seen.frame); }, time).has_value();
    }

private:
    const Sandbox& sandbox_;
    Tap tap_;
};

TEST_P(Sandboxes, KnowTheirGatewayWithoutAsking) {
    const auto blue = connect("blue");
    const auto known = ip_json_here({"neigh", "show", here("10.0.0.1"), "dev", "eth0"}, blue.netns);
    ASSERT_EQ(known.size(), 1U);
    EXPECT_EQ(known[0].at("state"), Json({"PERMANENT"})) << "it is not one of the thousand that a host may have";
    EXPECT_TRUE(ping(blue.netns, here("10.0.0.1")));
    EXPECT_TRUE(meet(Protocol::udp, {blue.netns}, server()));
    EXPECT_EQ(count_of(family() == Family::ipv6 ? "nd-answered" : "arp-answered"), 0U);
    ip_here({"neigh", "flush", "dev", "eth0", "nud", "permanent"}, blue.netns);
    EXPECT_TRUE(ping(blue.netns, here("10.0.0.1"))) << "who forgets it may ask";
}

TEST_P(Sandboxes, FindTheirOwnAddressFree) {
    const auto blue = connect("blue"), red = connect("red");
    Asker asker(blue);
    EXPECT_FALSE(asker.answered(blue.address, any().address, silence));
    EXPECT_FALSE(asker.answered(blue.address, blue.address, silence)) << "an announcement";
    EXPECT_TRUE(asker.answered(red.address, any().address, patience)) << "a neighbour's is taken";
    EXPECT_TRUE(asker.answered(here("10.0.0.1"), any().address, patience)) << "the gateway's too";
}

TEST_P(Sandboxes, GetNoAnswerForAnAddressThatNobodyHas) {
    const auto blue = connect("blue");
    Asker asker(blue);
    EXPECT_TRUE(asker.answered(here("10.0.0.1"), blue.address, patience));
    for (const auto& nobody : all_here({"10.0.0.99", "203.0.113.2", "0.0.0.0"})) {
        EXPECT_FALSE(asker.answered(nobody, blue.address, silence)) << nobody;
    }
    EXPECT_EQ(count_of(family() == Family::ipv6 ? "drop-nd-no-answer" : "drop-arp-no-answer"), 3U);
}

TEST_P(Sandboxes, GetNoAnswerUnderAForeignAddress) {
    const auto blue = connect("blue"), red = connect("red");
    Asker asker(blue);
    EXPECT_FALSE(asker.answered(here("10.0.0.1"), red.address, silence));
    EXPECT_EQ(count_of(family() == Family::ipv6 ? "drop-bad-nd" : "drop-spoofed-arp"), 1U);
}

TEST_P(Sandboxes, AreGoneForTheirNeighboursAfterDel) {
    const auto blue = connect("blue"), red = connect("red");
    EXPECT_TRUE(ping(blue.netns, red.address));
    disconnect(red);
    EXPECT_FALSE(ping(blue.netns, red.address, silence));
    EXPECT_GE(count_of("drop-no-endpoint"), 1U);
}

// As a person tries it who has read "fe80::..." on the gateway device: the kernel sends from its own such address.
TEST_F(SandboxesOfBothFamilies, ReachTheGatewayByItsLinkLocalAddress) {
    const auto blue = connect("blue", dual_configuration());
    int asked = 0;
    const auto shown = ip_json({"-6", "addr", "show", "dev", "cw0"});
    for (const auto& address : shown.at(0).at("addr_info")) {
        if (address.at("scope") != "link") {
            continue;
        }
        ++asked;
        const std::string gateway = std::string(address.at("local")) + "%eth0";
        const auto said = run({"ping", "-6", "-c1", "-W5", gateway}, {.netns = blue.netns});
        EXPECT_TRUE(said.ok()) << said.out << said.err;
    }
    EXPECT_GE(asked, 1);
    EXPECT_EQ(count_of("drop-spoofed-address"), 0U);
}

FOR_BOTH_FAMILIES(Sandboxes);
}  // namespace
}  // namespace causeway::test::neighbour_story_test
