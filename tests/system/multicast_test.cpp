// SPDX-License-Identifier: Apache-2.0
// "multicast": sandboxes of one network hear what each says to all on its link, as far as the rate lets it.
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>

#include "tests/support/family.hpp"
#include "tests/system/host.hpp"
#include "tests/system/traffic.hpp"

namespace causeway::test::multicast_test {
namespace {

constexpr std::uint16_t mdns_port = 5353;

void require(int result, const char* what) {
    if (result != 0) {
        throw std::system_error(errno, std::generic_category(), what);
    }
}

unsigned interface_of(const Sandbox& sandbox) {
    const Visit there(sandbox.netns);
    return if_nametoindex("eth0");
}

class Multicast : public Host, public testing::WithParamInterface<Family> {
protected:
    static bool ipv6() { return GetParam() == Family::ipv6; }
    static std::string group() { return ipv6() ? "ff02::fb" : "224.0.0.251"; }
    static std::string anywhere() { return ipv6() ? "::" : "0.0.0.0"; }

    static Json quiet(const Json& patch = Json::object()) {
        return ipv6() ? ipv6_configuration(patch) : configuration(patch);
    }

    static Json loud(const Json& patch = Json::object()) {
        auto conf = quiet({{"multicast", true}});
        conf.merge_patch(patch);
        return conf;
    }

    // Of a second network, with multicast of its own.
    static Json elsewhere() {
        const Json ranges = {{{{"subnet", "fd00:2::/64"}}}};
        auto conf = second_configuration({{"multicast", true}});
        if (ipv6()) {
            conf["ipam"] = {{"type", "causeway"}, {"ranges", ranges}, {"routes", {{{"dst", "::/0"}}}}};
        }
        return conf;
    }

    // A program's socket on that port, that has joined the group.
    static Socket member(const Sandbox& sandbox) {
        auto socket = Socket::udp(sandbox.netns, {anywhere(), mdns_port});
        const int interface = static_cast<int>(interface_of(sandbox));
        if (ipv6()) {
            ipv6_mreq join{};
            require(inet_pton(AF_INET6, group().c_str(), &join.ipv6mr_multiaddr) - 1, "inet_pton");
            join.ipv6mr_interface = static_cast<unsigned>(interface);
            require(setsockopt(socket.fd(), IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &join, sizeof(join)), "join");
        } else {
            ip_mreqn join{};
            require(inet_pton(AF_INET, group().c_str(), &join.imr_multiaddr) - 1, "inet_pton");
            join.imr_ifindex = interface;
            require(setsockopt(socket.fd(), IPPROTO_IP, IP_ADD_MEMBERSHIP, &join, sizeof(join)), "join");
        }
        require(setsockopt(socket.fd(), SOL_SOCKET, SO_BINDTODEVICE, "eth0", 4), "bind to the interface");
        send_by(socket, interface);
        return socket;
    }

    // One that only speaks, under that address.
    static Socket speaker(const Sandbox& sandbox, const std::string& own) {
        auto socket = Socket::udp(sandbox.netns, {own, 0});
        send_by(socket, static_cast<int>(interface_of(sandbox)));
        return socket;
    }

    static bool say(Socket& socket, const std::string& text) { return socket.send_to({group(), mdns_port}, text); }

private:
    static void send_by(Socket& socket, int interface) {
        const ip_mreqn by{.imr_multiaddr = {}, .imr_address = {}, .imr_ifindex = interface};
        if (ipv6()) {
            socket.set(IPPROTO_IPV6, IPV6_MULTICAST_IF, interface);
        } else {
            require(setsockopt(socket.fd(), IPPROTO_IP, IP_MULTICAST_IF, &by, sizeof(by)), "choose the interface");
        }
    }
};

TEST_P(Multicast, IsHeardAndAnsweredByAProgramThatHasJoined) {
    const auto blue = connect("blue", loud()), red = connect("red", loud());
    auto service = member(red);
    auto client = speaker(blue, blue.address);
    ASSERT_TRUE(say(client, "who is there?"));
    const auto question = service.receive();
    ASSERT_TRUE(question);
    EXPECT_EQ(question->text, "who is there?");
    EXPECT_EQ(question->from, client.local());
    ASSERT_TRUE(service.send_to(question->from, "red"));
    const auto answer = client.receive();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->text, "red");
    EXPECT_EQ(answer->from, (End{red.address, mdns_port}));
}

TEST_P(Multicast, IsHeardByAllOfTheNetworkAndByNobodyElse) {
    const auto blue = connect("blue", loud()), red = connect("red", loud()), green = connect("green", loud()),
               other = connect("other", elsewhere());
    auto speaker = member(blue), first = member(red), second = member(green), stranger = member(other);
    ASSERT_TRUE(say(speaker, "hello"));
    EXPECT_TRUE(first.receive());
    EXPECT_TRUE(second.receive());
    EXPECT_TRUE(speaker.receive()) << "its own stack's copy";
    EXPECT_FALSE(stranger.receive(silence));
    for (auto* socket : {&speaker, &first, &second}) {
        EXPECT_FALSE(socket->receive(silence)) << "only once";
    }
}

TEST_P(Multicast, IsHeardWhenItComesInFragments) {
    const auto blue = connect("blue", loud()), red = connect("red", loud());
    auto service = member(red);
    auto client = speaker(blue, blue.address);
    ASSERT_TRUE(say(client, std::string(4000, 'x')));
    const auto heard = service.receive();
    ASSERT_TRUE(heard);
    EXPECT_EQ(heard->text.size(), 4000U);
}

TEST_P(Multicast, IsNoMoreThanTheRate) {
    constexpr int rate = 5, said = 200;
    const auto limited = loud({{"multicastRate", rate}});
    const auto blue = connect("blue", limited), red = connect("red", limited);
    auto service = member(red);
    auto client = speaker(blue, blue.address);
    const auto reports = count_of("drop-multicast");  // listener reports of the sandboxes' own
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < said; ++i) {
        ASSERT_TRUE(say(client, "me, me, me"));
    }
    const auto passed = count_of("to-group"), dropped = count_of("drop-multicast-rate");
    const auto seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    EXPECT_EQ(passed + dropped, said + 0U) << reports;
    EXPECT_GE(passed, rate + 0U) << "as many in a burst";
    EXPECT_LE(static_cast<double>(passed), rate + 1 + seconds * rate);
    std::uint64_t heard = 0;
    while (service.receive(silence)) {
        ++heard;
    }
    EXPECT_EQ(heard, passed);
}

TEST_P(Multicast, IsDroppedByDefault) {
    const auto blue = connect("blue", quiet()), red = connect("red", quiet());
    auto service = member(red);
    auto client = speaker(blue, blue.address);
    const auto before = count_of("drop-multicast");
    ASSERT_TRUE(say(client, "hello"));
    EXPECT_TRUE(eventually([&] { return count_of("drop-multicast") > before; }));
    EXPECT_FALSE(service.receive(silence));
    EXPECT_EQ(count_of("to-group"), 0U);
}

TEST_P(Multicast, BeginsAndEndsForSandboxesThatAreThereWithTheNextAdd) {
    const auto blue = connect("blue", quiet()), red = connect("red", quiet());
    auto service = member(red);
    auto client = speaker(blue, blue.address);
    connect("third", loud());
    ASSERT_TRUE(say(client, "hello"));
    EXPECT_TRUE(service.receive());
    connect("fourth", quiet());
    ASSERT_TRUE(say(client, "hello"));
    EXPECT_FALSE(service.receive(silence));
}

TEST_P(Multicast, IsRefusedBesideIsolation) {
    EXPECT_TRUE(
        refused(add("red", world_.add_namespace("red"), loud({{"isolate", true}})), 7, {"multicast", "isolate"}));
    EXPECT_EQ(ctl({"endpoints", "-o", "json"}).out.find("10.0.0."), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(, Multicast, testing::Values(Family::ipv4, Family::ipv6),
                         [](const auto& of) { return of.param == Family::ipv6 ? "IPv6" : "IPv4"; });

class MulticastOfIPv6 : public Multicast {};

// As most programs do it, which leave the choice of their address to the kernel.
TEST_P(MulticastOfIPv6, IsHeardAndAnsweredUnderTheAddressesOfTheLink) {
    const auto blue = connect("blue", loud()), red = connect("red", loud());
    auto service = member(red), client = member(blue);
    ASSERT_TRUE(say(client, "hello"));
    const auto heard = service.receive();
    ASSERT_TRUE(heard);
    EXPECT_EQ(heard->from.address.substr(0, 6), "fe80::");
    EXPECT_TRUE(client.receive()) << "its own stack's copy";
    ASSERT_TRUE(service.send_to(heard->from, "red"));
    const auto answer = client.receive();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->text, "red");
    EXPECT_EQ(answer->from.address.substr(0, 6), "fe80::");
}

TEST_P(MulticastOfIPv6, IsAPingThatAllAnswer) {
    const auto blue = connect("blue", loud()), red = connect("red", loud()), green = connect("green", loud());
    const auto said = run({"ping", "-6", "-c2", "-W5", "ff02::1%eth0"}, {.netns = blue.netns});
    EXPECT_NE(said.out.find("duplicates"), std::string::npos) << said.out << said.err;
}

INSTANTIATE_TEST_SUITE_P(, MulticastOfIPv6, testing::Values(Family::ipv6), [](const auto&) { return "IPv6"; });

class Broadcast : public Host {};

TEST_F(Broadcast, IsHeardByTheOtherSandboxes) {
    const auto loud = configuration({{"multicast", true}});
    const auto blue = connect("blue", loud), red = connect("red", loud);
    auto service = Socket::udp(red.netns, {"0.0.0.0", 9});
    auto client = Socket::udp(blue.netns, {blue.address, 0});
    client.set(SOL_SOCKET, SO_BROADCAST, 1);
    for (const std::string everybody : {"255.255.255.255", "10.0.0.255"}) {
        ASSERT_TRUE(client.send_to({everybody, 9}, "wake up"));
        const auto heard = service.receive();
        ASSERT_TRUE(heard) << everybody;
        EXPECT_EQ(heard->from.address, blue.address);
    }
}

}  // namespace
}  // namespace causeway::test::multicast_test
