// SPDX-License-Identifier: Apache-2.0
// "forwarded": what the host's stack sends to a sandbox by rules of its own, as a port that iptables publishes, or from
// a device that is no uplink.
#include <gmock/gmock.h>

#include <chrono>
#include <optional>
#include <stdexcept>
#include <thread>

#include "tests/system/of_family.hpp"
#include "tests/system/wire.hpp"

namespace causeway::test::forwarded_test {
namespace {

const Json forwarded{{"forwarded", true}};

// The rules that portmap makes, in the node: a port of its address (and its pings) is the sandbox's.
class PortOfTheStack : public EachProtocol {
protected:
    void SetUp() override { forward(""); }

    void rule(const std::vector<std::string>& words) const {
        std::vector<std::string> command{family() == Family::ipv6 ? "ip6tables" : "iptables", "-t", "nat", "-A"};
        command.insert(command.end(), words.begin(), words.end());
        must_run(command);
    }

    void publish(const std::string& address) const {
        const auto to = family() == Family::ipv6 ? "[" + address + "]" : address;
        for (const auto* chain : {"PREROUTING", "OUTPUT"}) {
            for (const auto* protocol : {"tcp", "udp"}) {
                rule({chain, "-d", asked().address, "-p", protocol, "--dport", "8080", "-j", "DNAT", "--to-destination",
                      to + ":80"});
            }
            rule({chain, "-d", asked().address, "-p", family() == Family::ipv6 ? "icmpv6" : "icmp",
                  family() == Family::ipv6 ? "--icmpv6-type" : "--icmp-type", "echo-request", "-j", "DNAT",
                  "--to-destination", address});
        }
        rule({"POSTROUTING", "-s", here("10.0.0.0/24"), "-d", here("10.0.0.0/24"), "-j", "MASQUERADE"});
    }

    End asked() const { return {here(node_address), 8080}; }
    static Place service(const Sandbox& sandbox) { return {sandbox.netns, {sandbox.address, 80}}; }
};

TEST_P(PortOfTheStack, LeadsToTheSandboxWhoeverAsks) {
    const auto blue = connect("blue", configuration(forwarded)), red = connect("red", configuration(forwarded));
    publish(blue.address);
    by_each_protocol([&] {
        const auto meeting = meet(protocol(), {world_.world()}, service(blue), asked());
        EXPECT_TRUE(meeting) << "from the world";
        EXPECT_EQ(meeting.seen, meeting.client) << "its address is preserved";
        EXPECT_TRUE(meet(protocol(), {""}, service(blue), asked())) << "from the node itself";
        EXPECT_TRUE(meet(protocol(), {red.netns}, service(blue), asked())) << "from another sandbox";
        EXPECT_TRUE(meet(protocol(), {blue.netns}, service(blue), asked())) << "from itself";
        EXPECT_TRUE(meet(protocol(), {blue.netns}, server())) << "and the world is reached as ever";
    });
}

TEST_P(PortOfTheStack, LeadsNowhereUnlessTheNetworkSaysSo) {
    const auto blue = connect("blue");
    publish(blue.address);
    const auto expect_closed = [&] {
        const auto before = count_of("drop-unsolicited");
        EXPECT_FALSE(knock(protocol(), {world_.world()}, service(blue), asked()));
        EXPECT_GT(count_of("drop-unsolicited"), before);
    };
    by_each_protocol(expect_closed);
    connect("red", configuration(forwarded));
    by_each_protocol([&] { EXPECT_TRUE(meet(protocol(), {world_.world()}, service(blue), asked())); });
    connect("green");
    by_each_protocol(expect_closed);
}

// Who has a way to the sandboxes' subnet is no further in by that.
TEST_P(PortOfTheStack, LetsNobodyInWhoComesByAnUplinkToTheSandboxItself) {
    ip_here({"route", "add", "10.0.0.0/24", "via", node_address}, world_.world());
    const auto blue = connect("blue", configuration(forwarded));
    by_each_protocol([&] { EXPECT_FALSE(knock(protocol(), {world_.world()}, service(blue))); });
}

FOR_BOTH_FAMILIES(PortOfTheStack);

class StreamThroughTheStack : public PortOfTheStack {};

TEST_P(StreamThroughTheStack, IsCarriedBothWays) {
    const auto blue = connect("blue", configuration(forwarded));
    publish(blue.address);
    auto line = open_line({world_.world()}, service(blue), asked());
    EXPECT_TRUE(carries(line.client, line.server, 20 << 20)) << "upload";
    EXPECT_TRUE(carries(line.server, line.client, 20 << 20)) << "download";
}

TEST_P(StreamThroughTheStack, MayBeDatagramsInFragments) {
    const auto blue = connect("blue", configuration(forwarded));
    publish(blue.address);
    EXPECT_TRUE(carries_datagrams({world_.world()}, service(blue), 4000, 8000, asked()));
}

TEST_P(StreamThroughTheStack, ShowsAsAFlowOfTheSandbox) {
    const auto blue = connect("blue", configuration(forwarded));
    publish(blue.address);
    auto line = open_line({world_.world()}, service(blue), asked());
    const auto flows = ctl_json({"flows", "--sandbox", "blue"});
    ASSERT_EQ(flows.size(), 1U) << flows;
    EXPECT_THAT(flows[0].at("source").get<std::string>(), testing::EndsWith(":80"));
    EXPECT_TRUE(flows[0].at("translated").is_null()) << "the stack knows";
    EXPECT_EQ(flows[0].at("state"), "established");
}

TEST_P(StreamThroughTheStack, IsRefusedWhereNobodyListens) {
    const auto blue = connect("blue", configuration(forwarded));
    publish(blue.address);
    EXPECT_EQ(Socket::tcp(world_.world(), any()).connect(asked()), ECONNREFUSED);
    auto datagrams = Socket::udp(world_.world(), any());
    ASSERT_EQ(datagrams.connect(asked()), 0);
    datagrams.send("anybody?");
    EXPECT_TRUE(eventually([&] { return !datagrams.send("still not?"); })) << "by the sandbox's ICMP error";
}

FOR_BOTH_FAMILIES(StreamThroughTheStack);

// Asked once, when the stack has long forgotten by whom.
class Forgotten : public PortOfTheStack {
protected:
    struct Asked {
        Sandbox blue;
        Socket service, client;
        End from;
    };
    Asked asked_and_forgotten() {
        const auto blue = connect("blue", configuration(forwarded));
        publish(blue.address);
        set_sysctl("net/netfilter/nf_conntrack_udp_timeout", "1");
        auto service = Socket::udp(blue.netns, {blue.address, 80});
        auto client = Socket::udp(world_.world(), any());
        client.send_to(asked(), "a question");
        const auto question = service.receive();
        if (!question) {
            throw std::runtime_error("the question did not arrive");
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(1500));
        set_sysctl("net/netfilter/nf_conntrack_udp_timeout", "30");
        return {blue, std::move(service), std::move(client), question->from};
    }

    void expect_nothing_of(const Sandbox& blue, Tap& world) const {
        EXPECT_FALSE(world.next([&](const Seen& seen) { return is_packet(seen.frame, 17, blue.address); }, silence));
    }
};

// As the world's, under the node's address; and the client's next question is heard, by the same flow or by another.
TEST_P(Forgotten, GoesOnAsASandboxsOwn) {
    auto [blue, service, client, asker] = asked_and_forgotten();
    Tap tap(world_.world(), "dn0");
    const auto heard_from = [&, to = asker](std::chrono::milliseconds time) -> std::optional<End> {
        service.send_to(to, "are you there?");
        const auto datagram = client.receive(time);
        return datagram ? std::optional(datagram->from) : std::nullopt;
    };
    heard_from(silence);  // finds out
    const auto from = heard_from(patience);
    ASSERT_TRUE(from);
    EXPECT_EQ(from->address, here(node_address));
    expect_nothing_of(blue, tap);
    for (int i = 0; i < 2; ++i) {
        ASSERT_TRUE(client.send_to(asked(), "I am"));
        const auto question = service.receive();
        ASSERT_TRUE(question) << i;
        service.send_to(question->from, "good");
        EXPECT_TRUE(client.receive()) << i;
    }
}

FOR_BOTH_FAMILIES(Forgotten);

class ForgottenInPieces : public Forgotten {};

TEST_P(ForgottenInPieces, LeavesUnderNoAddressOfTheSandboxs) {
    auto [blue, service, client, asker] = asked_and_forgotten();
    Tap tap(world_.world(), "dn0"), sandbox(blue.netns, "eth0");
    const Ethernet link{.source = mac_of(blue.mac), .destination = mac_of_device("", "cw0"), .type = {}};
    const auto dropped = count_of("drop-stale-source");
    for (const Frame& piece : pieces_with_other_headers(link, blue.address, asker.address, {80, asker.port})) {
        sandbox.send(piece.bytes());
    }
    expect_nothing_of(blue, tap);
    EXPECT_GT(count_of("drop-stale-source"), dropped);
    EXPECT_THAT(ctl_json({"flows", "--sandbox", "(host)"}), testing::IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Of, ForgottenInPieces, testing::Values(Family::ipv6), testing::PrintToStringParamName());

// A VPN's device, or another bridge: no uplink, and no rule but the routes.
class Neighbour : public PortOfTheStack {
protected:
    void SetUp() override {
        PortOfTheStack::SetUp();
        neighbour_ = add_neighbour();
    }

    Place neighbour(std::uint16_t port = 0) const { return {neighbour_, {here("10.7.0.2"), port}}; }
    static Json beside_it() { return configuration({{"forwarded", true}, {"uplinks", {"up0"}}}); }

private:
    std::string neighbour_;
};

TEST_P(Neighbour, ReachesSandboxesThatAnswerIt) {
    const auto blue = connect("blue", beside_it());
    by_each_protocol([&] {
        const auto meeting = meet(protocol(), neighbour(), service(blue));
        EXPECT_TRUE(meeting);
        EXPECT_EQ(meeting.seen, meeting.client);
        EXPECT_FALSE(knock(protocol(), {blue.netns}, neighbour(80))) << "it is no uplink";
    });
}

// As a port that Docker publishes: the neighbour is the container.
TEST_P(Neighbour, AnswersSandboxesThatAskForAPortOfTheStack) {
    publish(here("10.7.0.2"));
    const auto blue = connect("blue", beside_it());
    by_each_protocol([&] { EXPECT_TRUE(meet(protocol(), {blue.netns}, neighbour(80), asked())); });
}

FOR_BOTH_FAMILIES(Neighbour);

}  // namespace
}  // namespace causeway::test::forwarded_test
