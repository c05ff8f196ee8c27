// SPDX-License-Identifier: Apache-2.0
// Published ports, as the host itself reaches them: by each of its addresses and by 127.0.0.1.
#include <gmock/gmock.h>
#include <netinet/in.h>

#include "tests/support/family.hpp"
#include "tests/system/host.hpp"
#include "tests/system/programs.hpp"
#include "tests/system/snapshot.hpp"
#include "tests/system/traffic.hpp"
#include "tests/system/wire.hpp"

namespace causeway::test::loopback_test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// Port 8080 of the node is port 80 of the sandbox.
Json publishing(const Json& patch = Json::object(), std::uint16_t host_port = 8080, Family family = Family::ipv4) {
    Json ports = Json::array();
    for (const auto* protocol : {"tcp", "udp"}) {
        Json one{{"hostPort", host_port}, {"containerPort", 80}, {"protocol", protocol}};
        one.merge_patch(patch);
        ports.push_back(one);
    }
    const Json asked{{"capabilities", {{"portMappings", true}}}, {"runtimeConfig", {{"portMappings", ports}}}};
    return family == Family::ipv6 ? ipv6_configuration(asked) : configuration(asked);
}

class LoopbackBase : public Host {
protected:
    // The client as the server saw it, where the host's question to that address came to the sandbox and the answer
    // back.
    static std::optional<End> seen_by(const Sandbox& server, Protocol protocol, const End& asked, const End& own = {}) {
        const End service{asked.is_ipv6() ? "::" : "0.0.0.0", 80};
        const End client_end = own == End{} && asked.is_ipv6() ? End{"::", 0} : own;
        if (protocol == Protocol::tcp) {
            auto listener = Socket::listener(server.netns, service);
            auto client = Socket::tcp("", client_end);
            if (client.connect(asked, std::chrono::seconds(1)) != 0) {
                return std::nullopt;
            }
            auto accepted = listener.accept();
            const bool spoke = accepted && client.send("question") && accepted->receive() && accepted->send("answer") &&
                               client.receive();
            return spoke ? std::optional(accepted->peer()) : std::nullopt;
        }
        auto socket = Socket::udp(server.netns, service);
        auto client = Socket::udp("", client_end);
        if (client.connect(asked) != 0 || !client.send("question")) {
            return std::nullopt;
        }
        const auto question = socket.receive(std::chrono::seconds(1));
        const bool spoke = question && socket.send_to(question->from, "answer") && client.receive();
        return spoke ? std::optional(question->from) : std::nullopt;
    }
};

class Loopback : public LoopbackBase, public testing::WithParamInterface<std::tuple<Protocol, Family>> {
protected:
    static Protocol protocol() { return std::get<Protocol>(GetParam()); }
    static bool ipv6() { return std::get<Family>(GetParam()) == Family::ipv6; }
    static Json publishing(const Json& patch = Json::object()) {
        return loopback_test::publishing(patch, 8080, std::get<Family>(GetParam()));
    }
    static std::string loopback() { return ipv6() ? "::1" : "127.0.0.1"; }
    static std::string node() { return ipv6() ? node_ipv6 : node_address; }
    static std::string gateway() { return ipv6() ? "fd00:1::1" : "10.0.0.1"; }
    static std::vector<std::string> addresses() {
        std::vector<std::string> all{loopback(), node(), gateway()};
        if (!ipv6()) {
            all.emplace_back("127.0.0.77");
        }
        return all;
    }
};
class LoopbackProgram : public LoopbackBase {};

TEST_P(Loopback, LeadsTheHostToPublishedPortsByEachOfItsAddresses) {
    const auto blue = connect("blue", publishing());
    for (const auto& address : addresses()) {
        for (int i = 0; i < 3; ++i) {
            const auto seen = seen_by(blue, protocol(), {address, 8080});
            ASSERT_TRUE(seen) << address;
            EXPECT_EQ(seen->address, gateway()) << "the sandbox can answer it";
        }
    }
    EXPECT_TRUE(seen_by(blue, protocol(), {loopback(), 8080}, {node(), 0})) << "from another address of its own";
}

// Whatever the host thinks of addresses that come in from outside: these don't.
TEST_P(Loopback, LeadsTheHostThereUnderStrictFilters) {
    set_sysctl("net/ipv4/conf/all/rp_filter", "1");
    set_sysctl("net/ipv4/conf/default/rp_filter", "1");
    const auto blue = connect("blue", publishing());
    for (const auto& address : {loopback(), node()}) {
        EXPECT_TRUE(seen_by(blue, protocol(), {address, 8080})) << address;
        EXPECT_EQ(sysctl("net/ipv4/conf/cw0/route_localnet"), "0");
        EXPECT_EQ(sysctl("net/ipv4/conf/lo/route_localnet"), "0");
    }
}

TEST_P(Loopback, LeadsToOneAddressWhereItIsNamed) {
    const auto blue = connect("blue", publishing({{"hostIP", loopback()}}));
    EXPECT_TRUE(seen_by(blue, protocol(), {loopback(), 8080}));
    EXPECT_FALSE(seen_by(blue, protocol(), {node(), 8080}));
}

TEST_P(Loopback, IsTheHostsOwnOtherwise) {
    const auto blue = connect("blue", publishing());
    const End others[] = {{loopback(), 80}, {loopback(), 8081}, {loopback(), 8080 + 4096}, {node(), 9000}};
    for (const auto& end : others) {
        EXPECT_TRUE(meet(protocol(), {""}, {"", end})) << end.address << ":" << end.port;
    }
    disconnect(blue, publishing());
    EXPECT_TRUE(meet(protocol(), {""}, {"", {loopback(), 8080}}));
}

INSTANTIATE_TEST_SUITE_P(Each, Loopback,
                         testing::Combine(testing::Values(Protocol::tcp, Protocol::udp),
                                          testing::Values(Family::ipv4, Family::ipv6)),
                         [](const auto& of) {
                             const bool ipv6 = std::get<Family>(of.param) == Family::ipv6;
                             return testing::PrintToString(std::get<Protocol>(of.param)) + (ipv6 ? "_IPv6" : "");
                         });

TEST_F(LoopbackProgram, CarriesStreamsBothWays) {
    const auto blue = connect("blue", publishing()),
               red = connect("red", publishing(Json::object(), 9090, Family::ipv6));
    for (const std::string address : {"127.0.0.1", node_address, "::1", node_ipv6}) {
        const End end{address, 0};
        auto listener =
            Socket::listener(end.is_ipv6() ? red.netns : blue.netns, {end.is_ipv6() ? "::" : "0.0.0.0", 80});
        auto client = Socket::tcp("", {end.is_ipv6() ? "::" : "0.0.0.0", 0});
        ASSERT_EQ(client.connect({address, static_cast<std::uint16_t>(end.is_ipv6() ? 9090 : 8080)}), 0) << address;
        auto server = listener.accept();
        ASSERT_TRUE(server);
        EXPECT_TRUE(carries(client, *server, 20 << 20)) << address;
        EXPECT_TRUE(carries(*server, client, 20 << 20)) << address;
    }
}

TEST_F(LoopbackProgram, SaysAtOnceThatNobodyListensInTheSandbox) {
    const auto blue = connect("blue", publishing()),
               red = connect("red", publishing(Json::object(), 9090, Family::ipv6));
    for (const std::string address : {"127.0.0.1", node_address}) {
        EXPECT_EQ(Socket::tcp("").connect({address, 8080}), ECONNREFUSED) << address;
    }
    for (const std::string address : {"::1", node_ipv6}) {
        EXPECT_EQ(Socket::tcp("", {"::", 0}).connect({address, 9090}), ECONNREFUSED) << address;
    }
}

// An error about a datagram of the host's own is not turned to whoever it is about, which is the sandbox itself.
TEST_F(LoopbackProgram, DropsTheErrorAboutADatagramThatNobodyListensFor) {
    const auto blue = connect("blue", publishing());
    Tap inside(blue.netns, "eth0");
    auto client = Socket::udp("");
    client.send_to({"127.0.0.1", 8080}, "is there anybody?");
    EXPECT_TRUE(eventually([] { return count_of("drop-no-flow") == 1; })) << ctl({"stats", "-i", "0"}).out;
    client.send_to({"127.0.0.1", 8080}, "and now?");
    const auto came_back = inside.next(
        [](const Seen& seen) { return !seen.outgoing && seen.frame.size() > 23 && seen.frame[23] == IPPROTO_ICMP; },
        silence);
    EXPECT_FALSE(came_back);
}

// From one port to two addresses of the host: to the sandbox the two must not look like one.
TEST_F(LoopbackProgram, KeepsConnectionsFromOnePortApart) {
    const auto blue = connect("blue", publishing());
    auto listener = Socket::listener(blue.netns, {"0.0.0.0", 80});
    auto one = Socket::tcp("", {node_address, 5000}), other = Socket::tcp("", {"127.0.0.1", 5000});
    ASSERT_EQ(one.connect({node_address, 8080}), 0);
    ASSERT_EQ(other.connect({"127.0.0.1", 8080}), 0);
    auto first = listener.accept(), second = listener.accept();
    ASSERT_TRUE(first && second);
    ASSERT_TRUE(first->send("first") && second->send("second"));
    EXPECT_EQ(one.receive()->text, "first");
    EXPECT_EQ(other.receive()->text, "second");
}

TEST_F(LoopbackProgram, DropsADatagramThatTheSandboxCouldNotTakeAndCountsIt) {
    const auto blue = connect("blue", publishing());
    auto service = Socket::udp(blue.netns, {"0.0.0.0", 80});
    auto client = Socket::udp("");
    client.send_to({"127.0.0.1", 8080}, std::string(20000, 'x'));
    EXPECT_TRUE(eventually([] { return count_of("drop-too-big") == 1; }));
    client.send_to({"127.0.0.1", 8080}, std::string(1400, 'x'));
    EXPECT_TRUE(service.receive());
}

TEST_F(LoopbackProgram, IsThereFromTheFirstPublishedPortToTheLast) {
    EXPECT_THAT(programs_on("lo", Direction::egress), IsEmpty());
    const auto keeper = connect("keeper"), blue = connect("blue", publishing()),
               red = connect("red", publishing(Json::object(), 9090));
    EXPECT_THAT(programs_on("lo", Direction::egress), ElementsAre("from_loopback"));
    disconnect(blue, publishing());
    EXPECT_THAT(programs_on("lo", Direction::egress), ElementsAre("from_loopback"));
    EXPECT_TRUE(seen_by(red, Protocol::tcp, {"127.0.0.1", 9090}));
    disconnect(red, publishing(Json::object(), 9090));
    EXPECT_THAT(programs_on("lo", Direction::egress), IsEmpty());
}

TEST_F(LoopbackProgram, GoesWithTheLastSandboxAndAFailedAdd) {
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
TEST_F(LoopbackProgram, IsMissedByCheckAndMadeAgainByTheNextAdd) {
    const auto blue = connect("blue", publishing());
    auto conf = publishing();
    conf["prevResult"] = blue.reply;
    const Call check{.command = "CHECK", .id = "blue", .netns = blue.netns, .conf = conf};
    EXPECT_TRUE(succeeded(answer_to(check)));
    detach("lo", Direction::egress, "from_loopback");
    EXPECT_TRUE(refused(answer_to(check), 103, {"from_loopback", "lo"}));
    connect("red", publishing(Json::object(), 9090));
    EXPECT_TRUE(succeeded(answer_to(check)));
    EXPECT_TRUE(seen_by(blue, Protocol::udp, {"127.0.0.1", 8080}));
}

}  // namespace
}  // namespace causeway::test::loopback_test
