// SPDX-License-Identifier: Apache-2.0
// Published ports, as the host itself reaches them: by each of its addresses and by 127.0.0.1 or ::1.
#include <gmock/gmock.h>
#include <netinet/in.h>

#include "tests/system/layout.hpp"
#include "tests/system/of_family.hpp"
#include "tests/system/programs.hpp"
#include "tests/system/snapshot.hpp"
#include "tests/system/wire.hpp"

namespace causeway::test::loopback_test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// Port 8080 of the node is port 80 of the sandbox.
Json publishing(const Json& patch = Json::object(), std::uint16_t host_port = 8080) {
    Json ports = Json::array();
    for (const auto* protocol : {"tcp", "udp"}) {
        Json one{{"hostPort", host_port}, {"containerPort", 80}, {"protocol", protocol}};
        one.merge_patch(patch);
        ports.push_back(one);
    }
    return configuration({{"capabilities", {{"portMappings", true}}}, {"runtimeConfig", {{"portMappings", ports}}}});
}

class LoopbackProgram : public EachProtocol {
protected:
    LoopbackProgram() : EachProtocol({Protocol::tcp, Protocol::udp}) {}

    std::string node() const { return here(node_address); }
    std::string gateway() const { return here("10.0.0.1"); }
    std::vector<std::string> addresses() const {
        std::vector<std::string> all{loopback(), node(), gateway()};
        if (family() == Family::ipv4) {
            all.emplace_back("127.0.0.77");
        }
        return all;
    }

    // The client as the server saw it, where the host's question to that address came to the sandbox and the answer
    // back.
    std::optional<End> seen_by(const Sandbox& server, Protocol protocol, const End& asked, const End& own = {}) const {
        const auto meeting = meet(protocol, {"", own}, {server.netns, any(80)}, asked);
        return meeting ? std::optional(meeting.seen) : std::nullopt;
    }
};

class Loopback : public LoopbackProgram {};

TEST_P(Loopback, LeadsTheHostToPublishedPortsByEachOfItsAddresses) {
    const auto blue = connect("blue", publishing());
    by_each_protocol([&] {
        for (const auto& address : addresses()) {
            for (int i = 0; i < 3; ++i) {
                const auto seen = seen_by(blue, protocol(), {address, 8080});
                ASSERT_TRUE(seen) << address;
                EXPECT_EQ(seen->address, gateway()) << "the sandbox can answer it";
            }
        }
        EXPECT_TRUE(seen_by(blue, protocol(), {loopback(), 8080}, {node(), 0})) << "from another address of its own";
    });
}

// Whatever the host thinks of addresses that come in from outside: these don't.
TEST_P(Loopback, LeadsTheHostThereUnderStrictFilters) {
    set_sysctl("net/ipv4/conf/all/rp_filter", "1");
    set_sysctl("net/ipv4/conf/default/rp_filter", "1");
    const auto blue = connect("blue", publishing());
    by_each_protocol([&] {
        for (const auto& address : {loopback(), node()}) {
            EXPECT_TRUE(seen_by(blue, protocol(), {address, 8080})) << address;
            EXPECT_EQ(sysctl("net/ipv4/conf/cw0/route_localnet"), "0");
            EXPECT_EQ(sysctl("net/ipv4/conf/lo/route_localnet"), "0");
        }
    });
}

TEST_P(Loopback, LeadsToOneAddressWhereItIsNamed) {
    const auto blue = connect("blue", publishing({{"hostIP", loopback()}}));
    by_each_protocol([&] {
        EXPECT_TRUE(seen_by(blue, protocol(), {loopback(), 8080}));
        EXPECT_FALSE(knock(protocol(), {""}, {blue.netns, any(80)}, {node(), 8080}));
    });
}

TEST_P(Loopback, IsTheHostsOwnOtherwise) {
    const auto blue = connect("blue", publishing());
    const End others[] = {{loopback(), 80}, {loopback(), 8081}, {loopback(), 8080 + 4096}, {node(), 9000}};
    by_each_protocol([&] {
        for (const auto& end : others) {
            EXPECT_TRUE(meet(protocol(), {""}, {"", end})) << end.address << ":" << end.port;
        }
    });
    disconnect(blue, publishing());
    by_each_protocol([&] { EXPECT_TRUE(meet(protocol(), {""}, {"", {loopback(), 8080}})); });
}

FOR_BOTH_FAMILIES(Loopback);

TEST_P(LoopbackProgram, CarriesStreamsBothWays) {
    const auto blue = connect("blue", publishing());
    for (const auto& address : {loopback(), node()}) {
        auto listener = Socket::listener(blue.netns, any(80));
        auto client = Socket::tcp("", any());
        ASSERT_EQ(client.connect({address, 8080}), 0) << address;
        auto server = listener.accept();
        ASSERT_TRUE(server);
        EXPECT_TRUE(carries(client, *server, 20 << 20)) << address;
        EXPECT_TRUE(carries(*server, client, 20 << 20)) << address;
    }
}

TEST_P(LoopbackProgram, SaysAtOnceThatNobodyListensInTheSandbox) {
    const auto blue = connect("blue", publishing());
    for (const auto& address : {loopback(), node()}) {
        EXPECT_EQ(Socket::tcp("", any()).connect({address, 8080}), ECONNREFUSED) << address;
    }
}

// An error about a datagram of the host's own is not turned to whoever it is about, which is the sandbox itself.
TEST_P(LoopbackProgram, DropsTheErrorAboutADatagramThatNobodyListensFor) {
    const auto blue = connect("blue", publishing());
    Tap inside(blue.netns, "eth0");
    auto client = Socket::udp("", any());
    client.send_to({loopback(), 8080}, "is there anybody?");
    EXPECT_TRUE(eventually([] { return count_of("drop-no-flow") == 1; })) << ctl({"stats", "-i", "0"}).out;
    client.send_to({loopback(), 8080}, "and now?");
    const auto came_back = inside.next(
        [](const Seen& seen) {
            const auto layout = layout_of_frame(seen.frame);
            return !seen.outgoing && layout && layout->protocol == IPPROTO_ICMP &&
                   is_icmp_error(layout->family, seen.frame.at(layout->transport));
        },
        silence);
    EXPECT_FALSE(came_back);
}

// From one port to two addresses of the host: to the sandbox the two must not look like one.
TEST_P(LoopbackProgram, KeepsConnectionsFromOnePortApart) {
    const auto blue = connect("blue", publishing());
    auto listener = Socket::listener(blue.netns, any(80));
    auto one = Socket::tcp("", {node(), 5000}), other = Socket::tcp("", {loopback(), 5000});
    ASSERT_EQ(one.connect({node(), 8080}), 0);
    ASSERT_EQ(other.connect({loopback(), 8080}), 0);
    auto first = listener.accept(), second = listener.accept();
    ASSERT_TRUE(first && second);
    ASSERT_TRUE(first->send("first") && second->send("second"));
    EXPECT_EQ(one.receive()->text, "first");
    EXPECT_EQ(other.receive()->text, "second");
}

TEST_P(LoopbackProgram, DropsADatagramThatTheSandboxCouldNotTakeAndCountsIt) {
    const auto blue = connect("blue", publishing());
    auto service = Socket::udp(blue.netns, any(80));
    auto client = Socket::udp("", any());
    client.send_to({loopback(), 8080}, std::string(20000, 'x'));
    EXPECT_TRUE(eventually([] { return count_of("drop-too-big") == 1; }));
    client.send_to({loopback(), 8080}, std::string(1400, 'x'));
    EXPECT_TRUE(service.receive());
}

TEST_P(LoopbackProgram, IsThereFromTheFirstPublishedPortToTheLast) {
    EXPECT_THAT(programs_on("lo", Direction::egress), IsEmpty());
    const auto keeper = connect("keeper"), blue = connect("blue", publishing()),
               red = connect("red", publishing(Json::object(), 9090));
    EXPECT_THAT(programs_on("lo", Direction::egress), ElementsAre("from_loopback"));
    disconnect(blue, publishing());
    EXPECT_THAT(programs_on("lo", Direction::egress), ElementsAre("from_loopback"));
    EXPECT_TRUE(seen_by(red, Protocol::tcp, {loopback(), 9090}));
    disconnect(red, publishing(Json::object(), 9090));
    EXPECT_THAT(programs_on("lo", Direction::egress), IsEmpty());
}

TEST_P(LoopbackProgram, GoesWithTheLastSandboxAndAFailedAdd) {
    const auto netns = world_.add_namespace("red");
    const auto before = Snapshot::take();
    EXPECT_TRUE(succeeded(add("red", netns, publishing())));
    EXPECT_TRUE(succeeded(del("red", netns, publishing())));
    EXPECT_TRUE(before.holds());
    ip({"link", "add", "eth0", "type", "veth", "peer", "name", "eth1"}, netns);
    EXPECT_FALSE(add("red", netns, publishing()).ok());
    EXPECT_EQ(all_programs(), "");
    EXPECT_TRUE(before.holds());
}

// A runtime's CHECK, with what an operator has broken by accident.
TEST_P(LoopbackProgram, IsMissedByCheckAndMadeAgainByTheNextAdd) {
    const auto blue = connect("blue", publishing());
    auto conf = publishing();
    conf["prevResult"] = blue.reply;
    const Call check{.command = "CHECK", .id = "blue", .netns = blue.netns, .conf = conf};
    EXPECT_TRUE(succeeded(answer_to(check)));
    detach("lo", Direction::egress, "from_loopback");
    EXPECT_TRUE(refused(answer_to(check), 103, {"from_loopback", "lo"}));
    connect("red", publishing(Json::object(), 9090));
    EXPECT_TRUE(succeeded(answer_to(check)));
    EXPECT_TRUE(seen_by(blue, Protocol::udp, {loopback(), 8080}));
}

FOR_BOTH_FAMILIES(LoopbackProgram);

}  // namespace
}  // namespace causeway::test::loopback_test
