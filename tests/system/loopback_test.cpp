// SPDX-License-Identifier: Apache-2.0
// Published ports, as the host itself reaches them: by each of its addresses and by 127.0.0.1.
#include <gmock/gmock.h>

#include "tests/system/host.hpp"
#include "tests/system/programs.hpp"
#include "tests/system/snapshot.hpp"
#include "tests/system/traffic.hpp"

namespace causeway::test {
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

class LoopbackBase : public Host {
protected:
    // The client as the server saw it, where the host's question to that address came to the sandbox and the answer
    // back.
    static std::optional<End> seen_by(const Sandbox& server, Protocol protocol, const End& asked, const End& own = {}) {
        const End service{"0.0.0.0", 80};
        if (protocol == Protocol::tcp) {
            auto listener = Socket::listener(server.netns, service);
            auto client = Socket::tcp("", own);
            if (client.connect(asked, std::chrono::seconds(1)) != 0) {
                return std::nullopt;
            }
            auto accepted = listener.accept();
            const bool spoke = accepted && client.send("question") && accepted->receive() && accepted->send("answer") &&
                               client.receive();
            return spoke ? std::optional(accepted->peer()) : std::nullopt;
        }
        auto socket = Socket::udp(server.netns, service);
        auto client = Socket::udp("", own);
        if (client.connect(asked) != 0 || !client.send("question")) {
            return std::nullopt;
        }
        const auto question = socket.receive(std::chrono::seconds(1));
        const bool spoke = question && socket.send_to(question->from, "answer") && client.receive();
        return spoke ? std::optional(question->from) : std::nullopt;
    }
};

class Loopback : public LoopbackBase, public testing::WithParamInterface<Protocol> {};
class LoopbackProgram : public LoopbackBase {};

TEST_P(Loopback, LeadsTheHostToPublishedPortsByEachOfItsAddresses) {
    const auto blue = connect("blue", publishing());
    for (const std::string address : {"127.0.0.1", "127.0.0.77", node_address, "10.0.0.1"}) {
        for (int i = 0; i < 3; ++i) {
            const auto seen = seen_by(blue, GetParam(), {address, 8080});
            ASSERT_TRUE(seen) << address;
            EXPECT_EQ(seen->address, "10.0.0.1") << "the gateway's: the sandbox can answer it";
        }
    }
    EXPECT_TRUE(seen_by(blue, GetParam(), {"127.0.0.1", 8080}, {node_address, 0})) << "from another address of its own";
}

// Whatever the host thinks of addresses that come in from outside: these don't.
TEST_P(Loopback, LeadsTheHostThereUnderStrictFilters) {
    set_sysctl("net/ipv4/conf/all/rp_filter", "1");
    set_sysctl("net/ipv4/conf/default/rp_filter", "1");
    const auto blue = connect("blue", publishing());
    for (const std::string address : {"127.0.0.1", node_address}) {
        EXPECT_TRUE(seen_by(blue, GetParam(), {address, 8080})) << address;
        EXPECT_EQ(sysctl("net/ipv4/conf/cw0/route_localnet"), "0");
        EXPECT_EQ(sysctl("net/ipv4/conf/lo/route_localnet"), "0");
    }
}

TEST_P(Loopback, LeadsToOneAddressWhereItIsNamed) {
    const auto blue = connect("blue", publishing({{"hostIP", "127.0.0.1"}}));
    EXPECT_TRUE(seen_by(blue, GetParam(), {"127.0.0.1", 8080}));
    EXPECT_FALSE(seen_by(blue, GetParam(), {node_address, 8080}));
}

TEST_P(Loopback, IsTheHostsOwnOtherwise) {
    const auto blue = connect("blue", publishing());
    const End others[] = {{"127.0.0.1", 80}, {"127.0.0.1", 8081}, {"127.0.0.1", 8080 + 4096}, {node_address, 9000}};
    for (const auto& end : others) {
        EXPECT_TRUE(meet(GetParam(), {""}, {"", end})) << end.address << ":" << end.port;
    }
    disconnect(blue, publishing());
    EXPECT_TRUE(meet(GetParam(), {""}, {"", {"127.0.0.1", 8080}}));
}

INSTANTIATE_TEST_SUITE_P(Each, Loopback, testing::Values(Protocol::tcp, Protocol::udp),
                         testing::PrintToStringParamName());

TEST_F(LoopbackProgram, CarriesStreamsBothWays) {
    const auto blue = connect("blue", publishing());
    for (const std::string address : {"127.0.0.1", node_address}) {
        auto listener = Socket::listener(blue.netns, {"0.0.0.0", 80});
        auto client = Socket::tcp("");
        ASSERT_EQ(client.connect({address, 8080}), 0);
        auto server = listener.accept();
        ASSERT_TRUE(server);
        EXPECT_TRUE(carries(client, *server, 20 << 20)) << address;
        EXPECT_TRUE(carries(*server, client, 20 << 20)) << address;
    }
}

TEST_F(LoopbackProgram, SaysAtOnceThatNobodyListensInTheSandbox) {
    const auto blue = connect("blue", publishing());
    EXPECT_EQ(Socket::tcp("").connect({"127.0.0.1", 8080}), ECONNREFUSED);
    EXPECT_EQ(Socket::tcp("").connect({node_address, 8080}), ECONNREFUSED);
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
}  // namespace causeway::test
