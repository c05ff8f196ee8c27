// SPDX-License-Identifier: Apache-2.0
// What a network's configuration asks of its translation: one port for all peers, published ports, blocks of ports,
// destinations without translation; and the node's own connections beside it.
#include <gmock/gmock.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <set>

#include "tests/system/of_family.hpp"

namespace causeway::test::nat_option_test {
namespace {

class WithOptions : public EachFamily {};

// The port under which each of the peers sees a datagram of one socket of the sandbox's.
std::set<std::uint16_t> ports_seen(const Socket& client, Socket& one, Socket& other) {
    auto& socket = const_cast<Socket&>(client);
    std::set<std::uint16_t> ports;
    for (auto* service : {&one, &other}) {
        socket.send_to(service->local(), "where am I?");
        const auto question = service->receive();
        ports.insert(question ? question->from.port : 0);
    }
    return ports;
}

class EndpointIndependent : public WithOptions {
protected:
    static Json with_filtering(const char* filtering) {
        return configuration(
            {{"mapping", "endpoint-independent"}, {"filtering", filtering}, {"portRange", "20000-29999"}});
    }

    // What reaches the sandbox of what each of three senders says to the port that the first of them has seen.
    std::set<std::string> heard_under(const char* filtering) {
        const auto blue = connect("blue", with_filtering(filtering));
        auto client = Socket::udp(blue.netns, any(4000));
        auto asked = Socket::udp(world_.world(), {here(world_address), 53});
        auto same_address = Socket::udp(world_.world(), {here(world_address), 54});
        auto stranger = Socket::udp(world_.world(), {here(service_address), 55});
        client.send_to({here(world_address), 53}, "here I am");
        const auto question = asked.receive();
        EXPECT_TRUE(question);
        const End where = question ? question->from : End{};
        stranger.send_to(where, "stranger");
        same_address.send_to(where, "same address");
        asked.send_to(where, "asked");
        std::set<std::string> heard;
        while (!heard.contains("asked")) {
            const auto datagram = client.receive();
            if (!datagram) {
                break;
            }
            heard.insert(datagram->text);
        }
        return heard;
    }
};

TEST_P(EndpointIndependent, MappingGivesOnePortTowardsAllPeers) {
    const auto blue = connect("blue", with_filtering("address-and-port-dependent"));
    const auto red = connect("red", with_filtering("address-and-port-dependent"));
    auto one = Socket::udp(world_.world(), {here(world_address), 53}),
         other = Socket::udp(world_.world(), {here(service_address), 54});
    const auto of_blue = ports_seen(Socket::udp(blue.netns, any(4000)), one, other);
    const auto of_red = ports_seen(Socket::udp(red.netns, any(4000)), one, other);
    EXPECT_EQ(of_blue.size(), 1U);
    EXPECT_EQ(of_red.size(), 1U);
    EXPECT_NE(of_blue, of_red) << "a port stands for one endpoint";
    EXPECT_EQ(of_blue.count(0), 0U);
}

TEST_P(EndpointIndependent, MappingServesTcpToo) {
    const auto blue = connect("blue", with_filtering("address-and-port-dependent"));
    const Place client{blue.netns, any(4000)};
    const auto one = meet(Protocol::tcp, client, server(8080)), other = meet(Protocol::tcp, client, server(8081));
    EXPECT_TRUE(one);
    EXPECT_TRUE(other);
    EXPECT_EQ(one.seen, other.seen);
    EXPECT_GE(one.seen.port, 20000);
}

// To red's first peer its own identifier would be free.
TEST_P(EndpointIndependent, MappingGivesPingsOneIdentifierTowardsAllPeers) {
    const auto blue = connect("blue", with_filtering("address-dependent"));
    const auto red = connect("red", with_filtering("address-dependent"));
    const Place one = server(), other{world_.world(), {here(service_address), 0}};
    const auto seen = [&](const Sandbox& sandbox, const Place& peer) {
        const auto meeting = meet(Protocol::icmp, {sandbox.netns, any(4000)}, peer);
        EXPECT_TRUE(meeting);
        return meeting.seen;
    };
    const End of_blue{here(node_address), 4000};
    EXPECT_EQ(seen(blue, one), of_blue);
    const auto of_red = seen(red, other);
    EXPECT_NE(of_red, of_blue);
    EXPECT_EQ(seen(red, one), of_red);
    EXPECT_EQ(seen(blue, other), of_blue);
    const auto flows = ctl_json({"flows", "--state", "icmp"});
    EXPECT_EQ(flows.size(), 6U);
    EXPECT_EQ(std::ranges::count_if(flows, [](const Json& flow) { return flow.at("destination") == "any"; }), 2)
        << flows;
}

TEST_P(EndpointIndependent, FilteringLetsInWhoeverWasAsked) {
    EXPECT_THAT(heard_under("address-and-port-dependent"), testing::ElementsAre("asked"));
}
TEST_P(EndpointIndependent, FilteringByAddressLetsInItsOtherPorts) {
    EXPECT_THAT(heard_under("address-dependent"), testing::ElementsAre("asked", "same address"));
}
TEST_P(EndpointIndependent, FilteringOfNothingLetsInStrangers) {
    EXPECT_THAT(heard_under("endpoint-independent"), testing::ElementsAre("asked", "same address", "stranger"));
}

TEST_P(WithOptions, FilteringNeedsAMappingToFilter) {
    const auto netns = world_.add_namespace("blue");
    EXPECT_TRUE(refused(add("blue", netns, configuration({{"filtering", "address-dependent"}})), 7, {"filtering"}));
}

class PublishedPorts : public EachProtocol {
protected:
    PublishedPorts() : EachProtocol({Protocol::tcp, Protocol::udp}) {}

    // Port 8080 of every address of the node is port 80 of the sandbox.
    static Json publishing_by(const std::vector<const char*>& protocols, const Json& mapping) {
        Json ports = Json::array();
        for (const auto* protocol : protocols) {
            ports.push_back({{"hostPort", 8080}, {"containerPort", 80}, {"protocol", protocol}});
            ports.back().merge_patch(mapping);
        }
        return configuration(
            {{"capabilities", {{"portMappings", true}}}, {"runtimeConfig", {{"portMappings", ports}}}});
    }
    static Json publishing(const Json& mapping = Json::object()) { return publishing_by({"tcp", "udp"}, mapping); }
    Json publishing_one(const Json& mapping = Json::object()) const {
        return publishing_by({protocol() == Protocol::tcp ? "tcp" : "udp"}, mapping);
    }

    // A question to port 8080 of that address, and the answer of the sandbox's server; the client as that saw it, or
    // nothing.
    std::optional<End> client_seen(const Place& client, const Sandbox& server, const std::string& address) const {
        const End published{address, 8080}, local = any(80), own = client.end == End{} ? any() : client.end;
        if (protocol() == Protocol::tcp) {
            auto listener = Socket::listener(server.netns, local);
            auto socket = Socket::tcp(client.netns, own);
            const int refusal = socket.connect(published);
            auto accepted = refusal == 0 ? listener.accept() : std::nullopt;
            if (!accepted || !socket.send("question") || !accepted->receive() || !accepted->send("answer") ||
                !socket.receive()) {
                return std::nullopt;
            }
            return accepted->peer();
        }
        auto service = Socket::udp(server.netns, local);
        auto socket = Socket::udp(client.netns, own);
        socket.send_to(published, "question");
        const auto question = service.receive();
        if (!question || !service.send_to(question->from, "answer")) {
            return std::nullopt;
        }
        const auto answer = socket.receive();
        return answer && answer->from == published ? std::optional(question->from) : std::nullopt;
    }
};

TEST_P(PublishedPorts, AreReachedFromTheWorldWithTheClientsOwnSource) {
    const auto blue = connect("blue", publishing());
    by_each_protocol([&] {
        EXPECT_EQ(client_seen({world_.world(), {here(world_address), 5000}}, blue, here(node_address)),
                  (End{here(world_address), 5000}));
    });
}

TEST_P(PublishedPorts, AreReachedFromSandboxesOfAnyNetworkAndFromIsolatedOnes) {
    const auto blue = connect("blue", publishing()), red = connect("red");
    const auto green = connect("green", second_configuration({{"ipam", {{"routes", {{{"dst", "0.0.0.0/0"}}}}}}}));
    const auto expect_reached = [&] {
        by_each_protocol([&] {
            for (const auto& address : {here(node_address), here("10.0.0.1"), here("10.0.1.1")}) {
                for (const auto& client : {red, blue, green}) {
                    const auto seen = client_seen({client.netns}, blue, address);
                    ASSERT_TRUE(seen) << client.id << " by " << address;
                    EXPECT_EQ(seen->address, address) << "the source is the node's, as from outside";
                }
            }
        });
    };
    expect_reached();
    connect("other", configuration({{"isolate", true}}));
    EXPECT_FALSE(knock(Protocol::tcp, {red.netns}, {blue.netns, {blue.address, 80}}));
    expect_reached();
}

// Too large for one packet, to the server and back.
TEST_P(PublishedPorts, TakeWhatComesInFragmentsFromSandboxes) {
    const auto blue = connect("blue", publishing()), red = connect("red");
    auto service = Socket::udp(blue.netns, any(80));
    for (const auto& address : {here(node_address), here("10.0.0.1")}) {
        auto client = Socket::udp(red.netns, any());
        const std::string question(5000, '?'), answer(6000, '!');
        ASSERT_TRUE(client.send_to({address, 8080}, question));
        const auto asked = service.receive();
        ASSERT_TRUE(asked) << ctl({"stats", "-i", "0"}).out;
        EXPECT_EQ(asked->text, question);
        ASSERT_TRUE(service.send_to(asked->from, answer));
        const auto answered = client.receive();
        ASSERT_TRUE(answered) << ctl({"stats", "-i", "0"}).out;
        EXPECT_EQ(answered->text, answer);
    }
}

TEST_P(PublishedPorts, ThatNobodyListensOnAreRefusedAtOnceToSandboxesToo) {
    const auto blue = connect("blue", publishing()), red = connect("red");
    by_each_protocol([&] {
        for (const auto& address : {here(node_address), here("10.0.0.1")}) {
            auto client = protocol() == Protocol::tcp ? Socket::tcp(red.netns, any()) : Socket::udp(red.netns, any());
            const int refusal = client.connect({address, 8080});
            if (protocol() == Protocol::tcp) {
                EXPECT_EQ(refusal, ECONNREFUSED);
                continue;
            }
            client.send("is there anybody?");
            EXPECT_TRUE(eventually([&] {
                int error = 0;
                socklen_t size = sizeof(error);
                getsockopt(client.fd(), SOL_SOCKET, SO_ERROR, &error, &size);
                return error == ECONNREFUSED;
            })) << "the error of blue's stack comes back through the node\n"
                << ctl({"stats", "-i", "0"}).out;
        }
    });
}

TEST_P(PublishedPorts, AreOfOneAddressWhereItIsNamed) {
    const auto blue = connect("blue", publishing({{"hostIP", here("10.0.0.1")}})), red = connect("red");
    by_each_protocol([&] {
        EXPECT_TRUE(client_seen({red.netns}, blue, here("10.0.0.1")));
        const auto flows = ctl_json({"flows", "--protocol", protocol() == Protocol::tcp ? "tcp" : "udp"});
        EXPECT_EQ(flows.size(), 2U) << "as from the client, and as to the server";
        EXPECT_FALSE(knock(protocol(), {world_.world()}, {blue.netns, any(80)}, {here(node_address), 8080}));
    });
}

// The kernel may give the node's own sockets such a port too.
TEST_P(PublishedPorts, LeaveTheNodeWhatItBeginsFromThem) {
    const auto blue = connect("blue", publishing()), red = connect("red");
    by_each_protocol([&] {
        EXPECT_TRUE(meet(protocol(), {"", {here(node_address), 8080}}, server(53)));
        EXPECT_TRUE(meet(protocol(), {"", {here("10.0.0.1"), 8080}}, {red.netns, {red.address, 53}}));
        EXPECT_TRUE(client_seen({world_.world()}, blue, here(node_address))) << "others reach the sandbox";
    });
}

TEST_P(PublishedPorts, BelongToOneSandboxAndTheSecondIsToldToWhich) {
    const auto keeper = connect("keeper");
    const auto netns = world_.add_namespace("red");
    by_each_protocol([&] {
        const auto conf = publishing_one();
        const auto blue = connect("blue", conf);
        EXPECT_TRUE(refused(add("red", netns, conf), 102, {"8080", "blue"}));
        EXPECT_TRUE(
            refused(add("red", netns, publishing_one({{"hostIP", here(node_address)}})), 102, {"8080", "blue"}));
        disconnect(blue, conf);
        EXPECT_TRUE(succeeded(add("red", netns, conf))) << "free after its DEL";
        EXPECT_TRUE(succeeded(del("red", netns, conf)));
        world_.remove_namespace("blue");
    });
}

// Whoever names an address is preferred there, and so would take a part of the port from who has it everywhere.
TEST_P(PublishedPorts, BelongToOneSandboxInWhicheverOrderTheyAreAskedFor) {
    const auto keeper = connect("keeper");
    const auto netns = world_.add_namespace("red");
    by_each_protocol([&] {
        const auto on_all = publishing_one(), on_one = publishing_one({{"hostIP", here(node_address)}}),
                   on_all_of_family = publishing_one({{"hostIP", here("0.0.0.0")}});
        for (const auto& [first, second] :
             {std::pair{on_one, on_all}, {on_one, on_all_of_family}, {on_all, on_one}, {on_all_of_family, on_one}}) {
            const auto blue = connect("blue", first);
            EXPECT_TRUE(refused(add("red", netns, second), 102, {"8080", "container blue"}));
            EXPECT_TRUE(client_seen({world_.world()}, blue, here(node_address))) << "and it is blue's as before";
            disconnect(blue, first);
            EXPECT_TRUE(succeeded(add("red", netns, second))) << "free after its DEL";
            EXPECT_TRUE(succeeded(del("red", netns, second)));
            world_.remove_namespace("blue");
        }
    });
    const auto blue = connect("blue", publishing({{"hostIP", here(node_address)}}));
    EXPECT_TRUE(succeeded(add("red", netns, publishing({{"hostIP", here("10.0.0.1")}})))) << "another address";
    EXPECT_TRUE(succeeded(add("green", world_.add_namespace("green"), publishing({{"hostPort", 8080 + 4096}}))))
        << "another port in the same place";
}

TEST_P(PublishedPorts, BelongToOneSandboxThoughTwoAskAtOnce) {
    const auto keeper = connect("keeper");
    const auto netns = std::array{world_.add_namespace("blue"), world_.add_namespace("red")};
    by_each_protocol([&] {
        for (int round = 0; round < 10; ++round) {
            const auto one = call_here({.command = "ADD",
                                        .id = "blue",
                                        .netns = netns[0],
                                        .conf = publishing_one({{"hostIP", here(node_address)}})}),
                       all = call_here({.command = "ADD", .id = "red", .netns = netns[1], .conf = publishing_one()});
            auto blue = start({plugin()}, one.options()), red = start({plugin()}, all.options());
            const int of_blue = blue.wait(), of_red = red.wait();
            EXPECT_NE(of_blue == 0, of_red == 0) << blue.out() << red.out();
            EXPECT_TRUE(succeeded(del("blue", netns[0], one.conf)));
            EXPECT_TRUE(succeeded(del("red", netns[1], all.conf)));
        }
    });
}

FOR_BOTH_FAMILIES(PublishedPorts);

TEST_P(WithOptions, PortBlocksAreOfOneSandboxEach) {
    const auto conf = configuration({{"portRange", "20000-20019"}, {"portBlock", 10}});
    const auto blue = connect("blue", conf), red = connect("red", conf);
    std::set<int> blocks;
    std::set<std::string> shown;
    for (const auto& sandbox : {blue, red}) {
        std::set<int> of_this;
        for (std::uint16_t port = 4000; port < 4010; ++port) {
            const auto meeting = meet(Protocol::udp, {sandbox.netns, any(port)}, server(53));
            EXPECT_TRUE(meeting);
            EXPECT_GE(meeting.seen.port, 20000);
            of_this.insert((meeting.seen.port - 20000) / 10);
        }
        EXPECT_EQ(of_this.size(), 1U) << "all of one block";
        const int first = 20000 + 10 * *of_this.begin();
        shown.insert(std::to_string(first) + "-" + std::to_string(first + 9));
        blocks.merge(of_this);
        EXPECT_FALSE(knock(Protocol::udp, {sandbox.netns, any(4010)}, server(53))) << "which is used up";
    }
    EXPECT_EQ(blocks.size(), 2U);
    for (const auto& row : ctl_json({"endpoints"})) {
        EXPECT_TRUE(shown.contains(row.at("ports").get<std::string>())) << row;
    }
    const auto netns = world_.add_namespace("green");
    const auto status = [&] {
        return answer_to({.command = "STATUS", .id = "", .netns = "", .conf = conf, .interface = ""});
    };
    EXPECT_TRUE(refused(add("green", netns, conf), 101, {"portBlock: all 2 blocks of 10 ports are taken"}));
    EXPECT_TRUE(refused(status(), 50, {"portBlock: all 2 blocks of 10 ports are taken"}));
    disconnect(blue, conf);
    EXPECT_TRUE(succeeded(status()));
    EXPECT_TRUE(succeeded(add("green", netns, conf)));
}

// Blocks of two sizes, or from two ports on, would overlap.
TEST_P(WithOptions, PortBlocksThatSandboxesHaveKeepTheirSizeAndPlace) {
    const auto with = [](const std::string& range, int block) {
        return configuration({{"portRange", range}, {"portBlock", block}});
    };
    const auto keeper = connect("keeper", second_configuration({{"portRange", "40000-49999"}}));
    const auto conf = with("20000-20039", 10);
    const auto blue = connect("blue", conf), red = connect("red", conf);
    const auto netns = world_.add_namespace("green");
    const std::vector<std::string> parts{"portBlock", "2 sandboxes", "blocks of 10 in 20000-20039"};
    for (const auto& other : {with("20000-20039", 20), with("20005-20044", 10), with("30000-30039", 10),
                              configuration({{"portRange", "20000-20039"}})}) {
        EXPECT_TRUE(refused(add("green", netns, other), 7, parts)) << other;
        EXPECT_TRUE(refused(answer_to({.command = "STATUS", .id = "", .netns = "", .conf = other, .interface = ""}), 51,
                            parts));
    }
    EXPECT_TRUE(succeeded(add("green", netns, with("19900-20139", 10)))) << "theirs are among them";
    EXPECT_TRUE(succeeded(del("green", netns)));
    disconnect(blue, conf);
    disconnect(red, conf);
    EXPECT_TRUE(succeeded(add("green", netns, with("20000-20039", 20))));
}

TEST_P(WithOptions, PortBlocksWantARangeThatNoOtherNetworkHas) {
    const auto blue = connect("blue", configuration({{"portRange", "20000-29999"}, {"portBlock", 100}}));
    const auto netns = world_.add_namespace("red");
    EXPECT_TRUE(refused(add("red", netns, second_configuration()), 7, {"portRange", "sandboxes", "portBlock"}));
    EXPECT_TRUE(succeeded(add("red", netns, second_configuration({{"portRange", "30000-39999"}}))));
}

TEST_P(WithOptions, DestinationsThatAreNotMasqueradedSeeTheSandboxsOwnAddress) {
    const auto blue = connect("blue", configuration({{"nonMasqueradeCIDRs", {here("203.0.113.0/24")}}}));
    ip_here({"route", "add", "10.0.0.0/24", "via", node_address}, world_.world());
    EXPECT_EQ(meet(Protocol::tcp, {blue.netns}, server()).seen.address, blue.address);
    EXPECT_EQ(meet(Protocol::tcp, {blue.netns}, {world_.world(), {here(service_address), 8080}}).seen.address,
              here(node_address));
}

TEST_P(WithOptions, ReservedPortsAreNotTaken) {
    set_sysctl("net/ipv4/ip_local_reserved_ports", "5000-5001,5003");
    const auto blue = connect("blue", configuration({{"portRange", "5000-5003"}}));
    EXPECT_EQ(meet(Protocol::udp, {blue.netns, any(5000)}, server(53)).seen.port, 5002);
}

class NodesOwn : public EachProtocol {};

// At the peer it could not be told from the sandbox's, so it is seen from another port there.
TEST_P(NodesOwn, LaterConnectionFromAPortThatASandboxHasWorksToo) {
    const auto blue = connect("blue");
    auto line = open_line({blue.netns, any(4000)}, server());
    ASSERT_EQ(line.seen, (End{here(node_address), 4000}));
    for (const auto one : {Protocol::udp, Protocol::icmp}) {
        ASSERT_EQ(meet(one, {blue.netns, any(4000)}, server()).seen, (End{here(node_address), 4000}));
    }
    by_each_protocol([&] {
        const auto own = meet(protocol(), {"", {here(node_address), 4000}}, server());
        EXPECT_TRUE(own);
        EXPECT_EQ(own.client.port, 4000);
        EXPECT_NE(own.seen.port, 4000);
        EXPECT_TRUE(alive(line));
    });
}

FOR_BOTH_FAMILIES(NodesOwn);

TEST_P(WithOptions, FlowsAreFilteredAndDeleted) {
    const auto blue = connect("blue"), red = connect("red");
    for (const auto& sandbox : {blue, red}) {
        EXPECT_TRUE(meet(Protocol::udp, {sandbox.netns}, server(53)));
        EXPECT_TRUE(meet(Protocol::icmp, {sandbox.netns}, server()));
    }
    EXPECT_EQ(ctl_json({"flows"}).size(), 4U);
    EXPECT_EQ(ctl_json({"flows", "--sandbox", "blue"}).size(), 2U);
    EXPECT_EQ(ctl_json({"flows", "--protocol", family() == Family::ipv6 ? "icmpv6" : "icmp"}).size(), 2U);
    EXPECT_EQ(ctl_json({"flows", "--port", "53", "--peer", here(world_address)}).size(), 2U);
    EXPECT_EQ(ctl_json({"flows", "--state", "established"}).size(), 0U);
    EXPECT_NE(ctl({"flows", "delete"}).status, 0) << "nothing was chosen";
    EXPECT_EQ(ctl({"flows", "delete", "--sandbox", "blue", "--protocol", "udp"}).out, "1 deleted\n");
    EXPECT_EQ(ctl_json({"flows"}).size(), 3U);
    EXPECT_EQ(ctl({"flows", "delete", "--all"}).status, 0);
    EXPECT_EQ(ctl_json({"flows"}), Json::array());
    EXPECT_TRUE(meet(Protocol::udp, {blue.netns}, server(53)));
}

FOR_BOTH_FAMILIES(WithOptions);
FOR_BOTH_FAMILIES(EndpointIndependent);

}  // namespace
}  // namespace causeway::test::nat_option_test
