// SPDX-License-Identifier: Apache-2.0
// Stories of a sandbox and its node: both ask, both answer, and the node's stack decides as with any device.
#include <netinet/in.h>

#include <cerrno>

#include "tests/system/of_family.hpp"
#include "tests/system/wire.hpp"

namespace causeway::test::host_story_test {
namespace {

// Strict reverse-path filters everywhere, also on devices that are still to come (RFC 3704, section 2.2).
class Node : public EachProtocol {
protected:
    void SetUp() override {
        for (const auto* device : {"all", "default", "up0"}) {
            set_sysctl(std::string("net/ipv4/conf/") + device + "/rp_filter", "1");
        }
    }
};
class NodeStack : public EachFamily {};

TEST_P(Node, AnswersAtTheGatewayAddress) {
    const auto blue = connect("blue");
    by_each_protocol([&] {
        const auto meeting = meet(protocol(), {blue.netns}, {"", {here("10.0.0.1"), 8080}});
        EXPECT_TRUE(meeting);
        EXPECT_EQ(meeting.seen, meeting.client);
        EXPECT_EQ(meeting.seen.address, blue.address);
    });
}

TEST_P(Node, AnswersAtTheUplinksAddress) {
    const auto blue = connect("blue");
    by_each_protocol([&] {
        const auto meeting = meet(protocol(), {blue.netns}, {"", {here(node_address), 8080}});
        EXPECT_TRUE(meeting);
        EXPECT_EQ(meeting.seen.address, blue.address) << "the node knows its sandboxes by their own addresses";
    });
}

TEST_P(Node, AsksASandbox) {
    const auto blue = connect("blue");
    by_each_protocol([&] {
        const auto meeting = meet(protocol(), {""}, {blue.netns, {blue.address, 8080}});
        EXPECT_TRUE(meeting);
        EXPECT_EQ(meeting.seen.address, here("10.0.0.1"));
    });
}

TEST_P(Node, AsksASandboxFromItsUplinksAddress) {
    const auto blue = connect("blue");
    by_each_protocol([&] {
        const auto meeting = meet(protocol(), {"", {here(node_address), 0}}, {blue.netns, {blue.address, 8080}});
        EXPECT_TRUE(meeting);
        EXPECT_EQ(meeting.seen.address, here(node_address));
    });
}

TEST_P(Node, AnswersPacketsWithIpOptions) {
    const auto blue = connect("blue");
    by_each_protocol([&] {
        for (const auto& options : {no_operations, record_route}) {
            EXPECT_TRUE(meet(protocol(), {blue.netns, {}, ip_options(options)}, {"", {here("10.0.0.1"), 8080}}));
            EXPECT_TRUE(meet(protocol(), {"", {}, ip_options(options)}, {blue.netns, {blue.address, 8080}}));
        }
    });
}

TEST_P(Node, AnswersWhenChecksumsAreNotOffloaded) {
    const auto blue = connect("blue");
    must_run({"ethtool", "-K", "eth0", "tx", "off", "rx", "off"}, {.netns = blue.netns});
    must_run({"ethtool", "-K", "cw0", "tx", "off", "rx", "off"});
    by_each_protocol([&] {
        EXPECT_TRUE(meet(protocol(), {blue.netns}, {"", {here("10.0.0.1"), 8080}}));
        EXPECT_TRUE(meet(protocol(), {""}, {blue.netns, {blue.address, 8080}}));
    });
}

FOR_BOTH_FAMILIES(Node);

TEST_P(NodeStack, CarriesAStreamOfLargeSegmentsBothWays) {
    const auto blue = connect("blue");
    auto asked = open_line({blue.netns}, {"", {here("10.0.0.1"), 80}});
    EXPECT_TRUE(carries(asked.client, asked.server, 20 << 20));
    EXPECT_TRUE(carries(asked.server, asked.client, 20 << 20));
    auto asking = open_line({""}, {blue.netns, {blue.address, 80}});
    EXPECT_TRUE(carries(asking.client, asking.server, 20 << 20));
}

TEST_P(NodeStack, CarriesDatagramsThatAreFragmented) {
    const auto blue = connect("blue");
    EXPECT_TRUE(carries_datagrams({blue.netns}, {"", {here("10.0.0.1"), 53}}, 20000, 20000));
}

TEST_P(NodeStack, RefusesAConnectionToAPortThatIsClosed) {
    const auto blue = connect("blue");
    EXPECT_EQ(Socket::tcp(blue.netns, any()).connect({here("10.0.0.1"), 9}), ECONNREFUSED);
    EXPECT_EQ(Socket::tcp(blue.netns, any()).connect({here(node_address), 9}), ECONNREFUSED);
    EXPECT_EQ(Socket::tcp("", any()).connect({blue.address, 9}), ECONNREFUSED);
}

TEST_P(NodeStack, FiltersByTheGatewayDevice) {
    const auto blue = connect("blue");
    const auto rule = [&](const std::string& verb) {
        must_run({family() == Family::ipv6 ? "ip6tables" : "iptables", verb, "INPUT", "-i", "cw0", "-p", "tcp",
                  "--dport", "8080", "-j", "REJECT", "--reject-with", "tcp-reset"});
    };
    EXPECT_TRUE(meet(Protocol::tcp, {blue.netns}, {"", {here("10.0.0.1"), 8080}}));
    rule("-A");
    EXPECT_FALSE(knock(Protocol::tcp, {blue.netns}, {"", {here("10.0.0.1"), 8080}}));
    EXPECT_TRUE(meet(Protocol::tcp, {blue.netns}, {"", {here("10.0.0.1"), 8081}}));
    rule("-D");
    EXPECT_TRUE(meet(Protocol::tcp, {blue.netns}, {"", {here("10.0.0.1"), 8080}}));
}

TEST_P(NodeStack, SeesItsSandboxesOnTheGatewayDevice) {
    const auto blue = connect("blue");
    Tap tap("", "cw0");
    EXPECT_TRUE(ping(blue.netns, here("10.0.0.1")));
    EXPECT_TRUE(tap.next([&](const Seen& seen) { return is_packet(seen.frame, 1, blue.address, here("10.0.0.1")); }));
}

FOR_BOTH_FAMILIES(NodeStack);

}  // namespace
}  // namespace causeway::test::host_story_test
