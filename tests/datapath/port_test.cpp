// SPDX-License-Identifier: Apache-2.0
// Which port the world sees: the sandbox's own where nobody else has it, another of the range where somebody has.
#include <set>

#include "tests/datapath/datapath_fixture.hpp"
#include "tests/datapath/host_socket.hpp"

namespace causeway::test::port_test {
namespace {

constexpr std::uint16_t own_port = 40000, range_first = 30000, range_last = 60000;  // as the fixture configures it

Frame tcp_from_a(Ip destination = ip_server, std::uint16_t port = own_port) {
    return from_a / IPv4{.source = ip_a, .destination = destination} / TCP{.source_port = port};
}

Frame tcp_from_b(Ip destination = ip_server, std::uint16_t port = own_port) {
    return from_b / IPv4{.source = ip_b, .destination = destination} / TCP{.source_port = port};
}

Frame udp_from_a(Ip destination = ip_server, std::uint16_t port = own_port) {
    return from_a / IPv4{.source = ip_a, .destination = destination} / UDP{.source_port = port} / Payload{"odd"};
}

Frame icmp_from(const Ethernet& ethernet, Ip source, std::uint16_t identifier = own_port) {
    return ethernet / IPv4{.source = source, .destination = ip_server} / ICMP{.identifier = identifier};
}

class Port : public InEachFamily {
protected:
    void set_range(std::uint16_t first, std::uint16_t last) {
        configure([&](network& network) {
            network.port_min = first;
            network.port_max = last;
        });
    }

    // The world sees another port than the sandbox's, of the range, and a packet whose checksums hold.
    void expect_another_port(From from, const Frame& in) {
        const Outcome outcome = expect_verdict(from, in, VERDICT_TO_WORLD);
        const std::uint16_t port = source_port_of(outcome.packet).value_or(0);
        EXPECT_NE(port, own_port);
        EXPECT_GE(port, range_first);
        EXPECT_LE(port, range_last);
        EXPECT_EQ(wrong_checksums(outcome.packet), "");
    }
};

TEST_P(Port, IsKeptWhenItIsFree) {
    EXPECT_EQ(port_in_world(From::sandbox_a, tcp_from_a()), own_port);
    EXPECT_EQ(port_in_world(From::sandbox_a, udp_from_a()), own_port);
    EXPECT_EQ(port_in_world(From::sandbox_a, icmp_from(from_a, ip_a)), own_port);
}

TEST_P(Port, IsKeptWhenItIsTheFirstOrLastOfTheRange) {
    EXPECT_EQ(port_in_world(From::sandbox_a, tcp_from_a(ip_server, range_first)), range_first);
    EXPECT_EQ(port_in_world(From::sandbox_a, tcp_from_a(ip_server, range_last)), range_last);
}

TEST_P(Port, IsOfTheRangeWhenTheSandboxsOwnIsNot) {
    for (std::uint16_t port : std::initializer_list<std::uint16_t>{range_first - 1, range_last + 1, 1, 0, 65535}) {
        expect_another_port(From::sandbox_a, tcp_from_a(ip_server, port));
        expect_another_port(From::sandbox_a, udp_from_a(ip_server, port));
    }
}

// An identifier is no port: no socket of the host's has it.
TEST_P(Port, IsTheSandboxsOwnIdentifierWhenItIsNotOfTheRange) {
    for (std::uint16_t identifier : {std::uint16_t{0}, std::uint16_t{1}, std::uint16_t{65535}}) {
        EXPECT_EQ(port_in_world(From::sandbox_a, icmp_from(from_a, ip_a, identifier)), identifier);
        expect_another_port(From::sandbox_b, icmp_from(from_b, ip_b, identifier));
    }
}

// Its entry would be one that every port of the peer's may use.
TEST_P(Port, IsNoneTowardsPortZero) {
    const IPv4 ip{.source = ip_a, .destination = ip_server};
    expect_verdict(From::sandbox_a, from_a / ip / UDP{own_port, 0}, VERDICT_DROP_BAD_HEADER);
    expect_verdict(From::sandbox_a, from_a / ip / TCP{own_port, 0}, VERDICT_DROP_BAD_HEADER);
    EXPECT_TRUE(datapath_->flows().empty());
}

TEST_P(Port, StaysTheSameWhenMorePacketsOfTheFlowFollow) {
    const Frame first = tcp_from_a(ip_server, 1000),
                next = from_a / IPv4{.source = ip_a, .destination = ip_server} / TCP{.source_port = 1000, .flags = ack};
    const std::uint16_t port = port_in_world(From::sandbox_a, first);
    EXPECT_EQ(port_in_world(From::sandbox_a, first), port);
    EXPECT_EQ(port_in_world(From::sandbox_a, next), port);
    EXPECT_EQ(datapath_->flows().size(), 2U);
}

TEST_P(Port, IsAnotherWhenAnotherSandboxHasItTowardsThatPeer) {
    EXPECT_EQ(port_in_world(From::sandbox_a, tcp_from_a()), own_port);
    expect_another_port(From::sandbox_b, tcp_from_b());
    EXPECT_EQ(port_in_world(From::sandbox_a, icmp_from(from_a, ip_a)), own_port);
    expect_another_port(From::sandbox_b, icmp_from(from_b, ip_b));
}

TEST_P(Port, IsKeptWhenAnotherSandboxHasItTowardsAnotherPeer) {
    EXPECT_EQ(port_in_world(From::sandbox_a, tcp_from_a()), own_port);
    EXPECT_EQ(port_in_world(From::sandbox_b, tcp_from_b(ip_server_2)), own_port);
    EXPECT_EQ(port_in_world(From::sandbox_b, from_b / IPv4{.source = ip_b, .destination = ip_server} /
                                                 TCP{.source_port = own_port, .destination_port = 443}),
              own_port);
}

TEST_P(Port, IsKeptWhenAnotherSandboxHasItForAnotherProtocol) {
    EXPECT_EQ(port_in_world(From::sandbox_a, udp_from_a()), own_port);
    EXPECT_EQ(port_in_world(From::sandbox_b, from_b / IPv4{.source = ip_b, .destination = ip_server} /
                                                 TCP{.source_port = own_port, .destination_port = 53}),
              own_port);
}

TEST_P(Port, IsAnotherWhenTheHostListensOnIt) {
    HostSocket(family(), SOCK_STREAM, {}, own_port + 1).listening();  // closed again: free
    HostSocket socket(family(), SOCK_STREAM, {}, own_port);
    socket.listening();
    expect_another_port(From::sandbox_a, tcp_from_a());
    EXPECT_EQ(port_in_world(From::sandbox_a, tcp_from_a(ip_server, own_port + 1)), own_port + 1);
}

TEST_P(Port, IsAnotherWhenTheHostListensOnItAtTheUplinksAddress) {
    HostSocket socket(family(), SOCK_STREAM, ip_uplink, own_port);
    socket.listening();
    expect_another_port(From::sandbox_a, tcp_from_a());
}

TEST_P(Port, IsKeptWhenTheHostListensOnItAtAnotherAddress) {
    HostSocket socket(family(), SOCK_STREAM, ip_gateway, own_port);
    socket.listening();
    EXPECT_EQ(port_in_world(From::sandbox_a, tcp_from_a()), own_port);
}

TEST_P(Port, IsAnotherWhenTheHostConnectsToThatPeerFromIt) {
    HostSocket socket(family(), SOCK_STREAM, ip_uplink, own_port);
    socket.connecting(ip_server, 80);
    expect_another_port(From::sandbox_a, tcp_from_a());
    EXPECT_EQ(port_in_world(From::sandbox_a, tcp_from_a(ip_server_2)), own_port);
}

TEST_P(Port, IsAnotherWhenAHostsUdpSocketHasIt) {
    HostSocket socket(family(), SOCK_DGRAM, {}, own_port);
    expect_another_port(From::sandbox_a, udp_from_a());
    EXPECT_EQ(port_in_world(From::sandbox_a, tcp_from_a()), own_port);
}

TEST_P(Port, IsAnotherWhenAHostsUdpSocketIsConnectedToThatPeerFromIt) {
    HostSocket socket(family(), SOCK_DGRAM, ip_uplink, own_port);
    socket.connecting(ip_server, 53);
    expect_another_port(From::sandbox_a, udp_from_a());
    EXPECT_EQ(port_in_world(From::sandbox_a, udp_from_a(ip_server_2)), own_port);
}

// A search for a port must pass over the host's sockets too, not only the first attempt.
TEST_P(Port, IsTheOnlyFreeOneWhenTheHostAndAnotherSandboxHaveTheRest) {
    set_range(own_port, own_port + 2);
    HostSocket socket(family(), SOCK_STREAM, {}, own_port + 1);
    socket.listening();
    EXPECT_EQ(port_in_world(From::sandbox_b, tcp_from_b()), own_port);
    EXPECT_EQ(port_in_world(From::sandbox_a, tcp_from_a()), own_port + 2);
}

TEST_P(Port, RunsOutWhenEveryOneOfTheRangeIsTaken) {
    set_range(own_port, own_port + 1);
    const std::uint16_t port_of_a = port_in_world(From::sandbox_a, tcp_from_a(ip_server, 1001));
    const std::uint16_t port_of_b = port_in_world(From::sandbox_b, tcp_from_b(ip_server, 1001));
    EXPECT_EQ((std::set{port_of_a, port_of_b}), (std::set<std::uint16_t>{own_port, own_port + 1}));
    expect_verdict(From::sandbox_a, tcp_from_a(ip_server, 1002), VERDICT_DROP_NO_PORT);
    EXPECT_EQ(datapath_->flows().size(), 4U);
    EXPECT_EQ(port_in_world(From::sandbox_a, tcp_from_a(ip_server, 1001)), port_of_a);  // those that have one keep it
    EXPECT_EQ(port_in_world(From::sandbox_b, tcp_from_b(ip_server, 1001)), port_of_b);
}

TEST_P(Port, DoesNotRunOutTowardsAnotherPeerWhenItDidTowardsOne) {
    set_range(own_port, own_port);
    EXPECT_EQ(port_in_world(From::sandbox_a, tcp_from_a()), own_port);
    expect_verdict(From::sandbox_b, tcp_from_b(), VERDICT_DROP_NO_PORT);
    EXPECT_EQ(port_in_world(From::sandbox_b, tcp_from_b(ip_server_2)), own_port);
}

TEST_P(Port, RunsOutWhenTheHostHasTheOnlyOne) {
    set_range(own_port, own_port);
    HostSocket socket(family(), SOCK_DGRAM, {}, own_port);
    expect_verdict(From::sandbox_a, udp_from_a(), VERDICT_DROP_NO_PORT);
    EXPECT_TRUE(datapath_->flows().empty());
}

TEST_P(Port, IsOneOfManyWhenManyFlowsWantTheSame) {
    set_range(own_port, own_port + 255);
    std::set<std::uint16_t> ports;
    for (std::uint16_t i = 0; i < 256; ++i) {
        ports.insert(port_in_world(From::sandbox_a, tcp_from_a(ip_server, static_cast<std::uint16_t>(1 + i))));
    }
    EXPECT_EQ(ports.size(), 256U);
    EXPECT_EQ(*ports.begin(), own_port);
    EXPECT_EQ(*ports.rbegin(), own_port + 255);
}

TEST_P(Port, IsKeptWhenNothingIsToBeTranslated) {
    configure([](network& network) { network.flags = 0; });
    HostSocket socket(family(), SOCK_STREAM, {}, own_port);
    socket.listening();
    EXPECT_EQ(port_in_world(From::sandbox_a, tcp_from_a()), own_port);
    EXPECT_EQ(port_in_world(From::sandbox_b, tcp_from_b()), own_port);
    EXPECT_EQ(port_in_world(From::sandbox_a, tcp_from_a(ip_server, 22)), 22);
}

RUN_IN_EACH_FAMILY(Port);

}  // namespace
}  // namespace causeway::test::port_test
