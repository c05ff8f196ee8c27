// SPDX-License-Identifier: Apache-2.0
// How many flows a sandbox may have, and how fast it may open them: what one takes never reaches what another needs.
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <ctime>

#include "tests/datapath/datapath_fixture.hpp"

namespace causeway::test::quota_test {
namespace {

using std::chrono::steady_clock;

constexpr std::uint16_t own_port = 40000;
constexpr std::uint32_t flows_of_all = CAUSEWAY_FLOWS_DEFAULT;

class Quota : public InEachFamily {
protected:
    static Frame asks(std::uint16_t port, std::uint8_t flags = syn) {
        return from_a / IPv4{.source = ip_a, .destination = ip_server} / TCP{.source_port = port, .flags = flags};
    }
    static std::uint64_t now() {
        timespec time{};
        clock_gettime(CLOCK_MONOTONIC, &time);
        return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(time.tv_nsec);
    }
    static Frame b_asks(std::uint16_t port) {
        return from_b / IPv4{.source = ip_b, .destination = ip_server} / UDP{.source_port = port};
    }

    void expect_flows(std::uint32_t of_a, std::uint32_t of_b) {
        EXPECT_EQ(datapath_->usage_of(host_a).flows, of_a);
        EXPECT_EQ(datapath_->usage_of(host_b).flows, of_b);
        EXPECT_EQ(datapath_->flows().size(), std::size_t{2} * (of_a + of_b));
    }
};

TEST_P(Quota, IsAsManyFlowsAsTheNetworkSays) {
    configure([](network& network) { network.flows_max = 3; });
    for (std::uint16_t i = 0; i < 3; ++i) {
        expect_verdict(From::sandbox_a, asks(static_cast<std::uint16_t>(own_port + i)), VERDICT_TO_WORLD);
    }
    expect_verdict(From::sandbox_a, asks(own_port + 3), VERDICT_DROP_FLOW_QUOTA);
    expect_verdict(From::sandbox_a, from_a / IPv4{.source = ip_a, .destination = ip_server} / UDP{},
                   VERDICT_DROP_FLOW_QUOTA);
    expect_verdict(From::sandbox_a, from_a / IPv4{.source = ip_a, .destination = ip_server} / ICMP{},
                   VERDICT_DROP_FLOW_QUOTA);
    expect_verdict(From::sandbox_a, asks(own_port), VERDICT_TO_WORLD);  // those that it has go on
    expect_verdict(From::sandbox_b, b_asks(own_port), VERDICT_TO_WORLD);
    expect_flows(3, 1);
}

TEST_P(Quota, IsTheSandboxsOwnWhereItHasOne) {
    configure([](network& network) {
        network.flows_max = 1;
        network.flows_per_second = 1;
    });
    sandbox a = sandbox_at(ip_a, host_a, mac_a);
    a.flows_max = 3;
    a.flows_per_second = CAUSEWAY_ANY_RATE;
    datapath_->set_sandbox(host_a, a);
    for (std::uint16_t i = 0; i < 3; ++i) {
        expect_verdict(From::sandbox_a, asks(static_cast<std::uint16_t>(own_port + i)), VERDICT_TO_WORLD);
    }
    expect_verdict(From::sandbox_a, asks(own_port + 3), VERDICT_DROP_FLOW_QUOTA);
    expect_verdict(From::sandbox_b, b_asks(own_port), VERDICT_TO_WORLD);
    expect_verdict(From::sandbox_b, b_asks(own_port + 1), VERDICT_DROP_FLOW_QUOTA);
    a.flows_max = 5;
    a.flows_per_second = 1;
    datapath_->set_sandbox(host_a, a);
    expect_verdict(From::sandbox_a, asks(own_port + 3), VERDICT_TO_WORLD);
    expect_verdict(From::sandbox_a, asks(own_port + 4), VERDICT_DROP_FLOW_RATE);
    expect_flows(4, 1);
}

TEST_P(Quota, DoesNotCountWhatStaysOnTheHost) {
    configure([](network& network) { network.flows_max = 0; });
    expect_verdict(From::sandbox_a, from_a / IPv4{.source = ip_a, .destination = ip_b} / UDP{}, VERDICT_TO_SANDBOX);
    expect_verdict(From::sandbox_a, from_a / IPv4{.source = ip_a, .destination = ip_gateway} / UDP{}, VERDICT_TO_HOST);
    expect_verdict(From::sandbox_a, asks(own_port), VERDICT_DROP_FLOW_QUOTA);
    expect_flows(0, 0);
}

TEST_P(Quota, IsGivenBackWhenFlowsEnd) {
    configure([](network& network) {
        network.flows_max = 2;
        network.timeout[FLOW_TCP_OPENING] = 1;
    });
    expect_verdict(From::sandbox_a, asks(own_port), VERDICT_TO_WORLD);
    expect_verdict(From::sandbox_a, asks(own_port + 1), VERDICT_TO_WORLD);
    expect_verdict(From::sandbox_a, asks(own_port + 2), VERDICT_DROP_FLOW_QUOTA);
    wait_until([&] { return datapath_->usage_of(host_a).flows == 0; });
    expect_verdict(From::sandbox_a, asks(own_port + 2), VERDICT_TO_WORLD);
    expect_flows(1, 0);
}

// Whoever's packet finds that it is over. What it has of the table is given back at its turn.
TEST_P(Quota, IsGivenBackAtOnceWhenAPacketEndsAFlow) {
    configure([](network& network) {
        network.flows_max = 1;
        network.timeout[FLOW_TCP_OPENING] = 20;
    });
    const auto grow_old = [&] {  // the timer leaves alone what is not of the age that it was told of
        for (auto& [key, value] : datapath_->flows()) {
            value.last_seen = value.created = now() - 21'000'000'000;
            datapath_->set_flow(key, value);
        }
    };
    const Frame late = from_world / IPv4{.source = ip_server, .destination = ip_uplink} / TCP{80, own_port, ack};
    expect_verdict(From::sandbox_a, asks(own_port), VERDICT_TO_WORLD);
    expect_verdict(From::sandbox_a, asks(own_port + 1), VERDICT_DROP_FLOW_QUOTA);
    grow_old();
    expect_verdict(From::uplink, late, VERDICT_PASS_STACK);
    expect_verdict(From::sandbox_a, asks(own_port + 1), VERDICT_TO_WORLD);
    expect_verdict(From::sandbox_a, asks(own_port), VERDICT_DROP_FLOW_QUOTA);
    grow_old();
    expect_verdict(From::sandbox_a, asks(own_port + 1, fin), VERDICT_DROP_NO_FLOW);
    expect_verdict(From::sandbox_a, asks(own_port), VERDICT_TO_WORLD);
    wait_until([&] { return datapath_->usage_of(host_a).flows == 1; });
    EXPECT_EQ(datapath_->usage_of(host_a).ended, 0U);
    expect_verdict(From::sandbox_a, asks(own_port + 1), VERDICT_DROP_FLOW_QUOTA);
}

// Or a sandbox whose flows soon end would fill the table with what waits for its turn.
TEST_P(Quota, IsNotGivenBackOfTheTableBeforeAFlowsTurn) {
    configure([](network& network) { network.flows_max = UINT32_MAX; });
    datapath_->set_usage(host_a, {.flows = flows_of_all / 4, .ended = flows_of_all / 4});
    expect_verdict(From::sandbox_a, asks(own_port), VERDICT_DROP_FLOW_QUOTA);
}

// Its slot may have another holder by then, who has taken none of that.
TEST_P(Quota, IsNotGivenBackToAnotherHolderOfTheSlot) {
    configure([](network& network) { network.timeout[FLOW_TCP_OPENING] = 1; });
    expect_verdict(From::sandbox_a, asks(own_port), VERDICT_TO_WORLD);
    datapath_->set_usage(host_a, {.since = now(), .flows = 5});
    wait_until([&] { return datapath_->ageing_turns() == 0; });
    EXPECT_EQ(datapath_->usage_of(host_a).flows, 5U);
}

TEST_P(Quota, IsNotTakenWhenTheFlowFindsNoPort) {
    configure([](network& network) { network.port_min = network.port_max = own_port; });
    expect_verdict(From::sandbox_a, asks(own_port), VERDICT_TO_WORLD);
    for (std::uint16_t i = 1; i < 5; ++i) {
        expect_verdict(From::sandbox_a, asks(static_cast<std::uint16_t>(own_port + i)), VERDICT_DROP_NO_PORT);
    }
    expect_flows(1, 0);
}

TEST_P(Quota, IsNotTakenWhenTheTableIsFull) {
    load({.flow_entries = 3});
    expect_verdict(From::sandbox_a, asks(own_port), VERDICT_TO_WORLD);
    for (std::uint16_t i = 1; i < 5; ++i) {
        expect_verdict(From::sandbox_a, asks(static_cast<std::uint16_t>(own_port + i)), VERDICT_DROP_TABLE_FULL);
    }
    expect_flows(1, 0);
}

// However generous the network is: so that there is always something left for another.
TEST_P(Quota, IsAQuarterOfWhatIsFreeAtTheMost) {
    configure([](network& network) { network.flows_max = UINT32_MAX; });
    datapath_->set_usage(host_a, {.flows = flows_of_all / 4});
    expect_verdict(From::sandbox_a, asks(own_port), VERDICT_DROP_FLOW_QUOTA);
    datapath_->set_usage(host_a, {.flows = flows_of_all / 4 - 1});
    expect_verdict(From::sandbox_a, asks(own_port), VERDICT_TO_WORLD);
    expect_verdict(From::sandbox_a, asks(own_port + 1), VERDICT_DROP_FLOW_QUOTA);
    expect_verdict(From::sandbox_b, b_asks(own_port), VERDICT_TO_WORLD);
}

// So many sandboxes that nothing is left for one who has nothing yet: that is no quota of its own.
TEST_P(Quota, IsNotWhatEndsAFlowThatATableHasNoRoomFor) {
    constexpr std::uint16_t room = 16;
    load({.flows = room});
    for (std::uint16_t i = 0; i < room; ++i) {
        expect_verdict(From::sandbox_a, asks(static_cast<std::uint16_t>(own_port + i)), VERDICT_TO_WORLD);
        datapath_->set_usage(host_a, {});
    }
    expect_verdict(From::sandbox_a, asks(own_port + room), VERDICT_DROP_TABLE_FULL);
    expect_verdict(From::sandbox_b, b_asks(own_port), VERDICT_DROP_TABLE_FULL);
    expect_verdict(From::sandbox_a, asks(own_port), VERDICT_TO_WORLD);  // those that are there go on
    EXPECT_EQ(datapath_->flows().size(), 2U * room);
}

// A network's rate: so many at once, and then as they come free.
TEST_P(Quota, IsARateOfNewFlows) {
    configure([](network& network) { network.flows_per_second = 10; });
    const auto start = steady_clock::now();
    unsigned open = 0;
    for (std::uint16_t i = 0; i < 100; ++i) {
        const auto port = static_cast<std::uint16_t>(own_port + i);
        open += datapath_->run(Program::from_sandbox, bytes_of(asks(port)), {.ifindex = host_a}).action == 7 &&
                datapath_->flow_at(key_of(tcp_protocol, ip_a, port, ip_server, 80, host_a));
    }
    const std::chrono::duration<double> passed = steady_clock::now() - start;
    EXPECT_GE(open, 10U);
    EXPECT_LE(open, 10U + static_cast<unsigned>(passed.count() * 10));
    EXPECT_EQ(datapath_->verdicts()[VERDICT_DROP_FLOW_RATE], 100 - open);
    expect_flows(open, 0);
    expect_verdict(From::sandbox_a, asks(own_port), VERDICT_TO_WORLD);  // one that is open
    expect_verdict(From::sandbox_b, b_asks(own_port), VERDICT_TO_WORLD);
}

TEST_P(Quota, IsARateThatRecovers) {
    configure([](network& network) { network.flows_per_second = 10; });
    std::uint16_t port = own_port;
    const auto opens = [&] {
        const Frame frame = asks(++port);
        datapath_->run(Program::from_sandbox, bytes_of(frame), {.ifindex = host_a});
        return datapath_->flow_at(key_of(tcp_protocol, ip_a, port, ip_server, 80, host_a)).has_value();
    };
    while (opens()) {
    }
    wait_until(opens);
}

TEST_P(Quota, IsNoRateWhenTheNetworkSaysNone) {
    for (std::uint16_t i = 0; i < 300; ++i) {
        datapath_->run(Program::from_sandbox, bytes_of(asks(static_cast<std::uint16_t>(own_port + i))),
                       {.ifindex = host_a});
    }
    expect_flows(300, 0);
}

// Protocols without ports: one sandbox at a time towards each peer.
class WithoutPorts : public InEachFamily {
protected:
    static IPv4 of(std::uint8_t protocol, Ip source, Ip destination, std::uint8_t ttl = 64) {
        return {.source = source, .destination = destination, .ttl = ttl, .protocol = protocol};
    }
};

TEST_P(WithoutPorts, ReachTheWorldAndTheAnswersComeBack) {
    const Payload text{"whatever it may be"};
    for (std::uint8_t protocol : {gre_protocol, std::uint8_t{50}, std::uint8_t{94}, std::uint8_t{253}}) {
        expect_packet(From::sandbox_a, from_a / of(protocol, ip_a, ip_server) / text, VERDICT_TO_WORLD,
                      from_a / of(protocol, ip_uplink, ip_server, 63) / text);
        expect_packet(From::uplink, from_world / of(protocol, ip_server, ip_uplink) / text, VERDICT_TO_SANDBOX,
                      at_a / of(protocol, ip_server, ip_a, 63) / text);
    }
    EXPECT_EQ(datapath_->flows().size(), 8U);
}

TEST_P(WithoutPorts, AreOneSandboxsTowardsAPeer) {
    expect_verdict(From::sandbox_a, from_a / of(gre_protocol, ip_a, ip_server) / Payload{"a"}, VERDICT_TO_WORLD);
    expect_verdict(From::sandbox_b, from_b / of(gre_protocol, ip_b, ip_server) / Payload{"b"}, VERDICT_DROP_NO_PORT);
    expect_verdict(From::sandbox_a, from_a / of(gre_protocol, ip_a, ip_server) / Payload{"a"}, VERDICT_TO_WORLD);
    expect_verdict(From::sandbox_b, from_b / of(gre_protocol, ip_b, ip_server_2) / Payload{"b"}, VERDICT_TO_WORLD);
    expect_verdict(From::sandbox_b, from_b / of(std::uint8_t{50}, ip_b, ip_server) / Payload{"b"}, VERDICT_TO_WORLD);
}

TEST_P(WithoutPorts, AreAnothersWhenTheOnesFlowHasEnded) {
    configure([](network& network) { network.timeout[FLOW_UDP] = 1; });
    expect_verdict(From::sandbox_a, from_a / of(gre_protocol, ip_a, ip_server) / Payload{"a"}, VERDICT_TO_WORLD);
    expect_verdict(From::sandbox_b, from_b / of(gre_protocol, ip_b, ip_server) / Payload{"b"}, VERDICT_DROP_NO_PORT);
    wait_until([&] { return datapath_->flows().empty(); });
    expect_verdict(From::sandbox_b, from_b / of(gre_protocol, ip_b, ip_server) / Payload{"b"}, VERDICT_TO_WORLD);
}

TEST_P(WithoutPorts, AreTheHostsWhenNobodyAsked) {
    const Frame frame = from_world / of(gre_protocol, ip_server, ip_uplink) / Payload{"x"};
    expect_packet(From::uplink, frame, VERDICT_PASS_STACK, frame);
}

// A search in vain is remembered, so that whoever has filled the range can't burn the CPU.
class Exhausted : public InEachFamily {
protected:
    void SetUp() override {
        InEachFamily::SetUp();
        configure([](network& network) { network.port_min = network.port_max = own_port; });
    }
    static Frame asks(Ip destination = ip_server) {
        return from_b / IPv4{.source = ip_b, .destination = destination} / UDP{.source_port = 1000};
    }
};

TEST_P(Exhausted, IsNotLookedForAgainAtOnceButSoon) {
    const bool ipv6 = family() == Family::ipv6;
    const int fd = socket(ipv6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_in6 address{};
    address.sin6_family = ipv6 ? AF_INET6 : AF_INET;
    address.sin6_port = htons(own_port);  // where sockaddr_in has it, too; and that is the rest of it
    ASSERT_EQ(bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    expect_verdict(From::sandbox_b, asks(), VERDICT_DROP_NO_PORT);
    expect_verdict(From::sandbox_b, asks(), VERDICT_DROP_NO_PORT);  // from now on it would be noted that one came free
    close(fd);
    wait_until([&] {
        datapath_->run(Program::from_sandbox, bytes_of(asks()), {.ifindex = host_b});
        return !datapath_->flows().empty();
    });
    EXPECT_GT(datapath_->verdicts()[VERDICT_DROP_NO_PORT], 2U);  // not the moment it was free
}

TEST_P(Exhausted, IsLookedForTowardsAnotherPeer) {
    expect_verdict(From::sandbox_a, from_a / IPv4{.source = ip_a, .destination = ip_server} / UDP{}, VERDICT_TO_WORLD);
    expect_verdict(From::sandbox_b, asks(), VERDICT_DROP_NO_PORT);
    EXPECT_EQ(port_in_world(From::sandbox_b, asks(ip_server_2)), own_port);
}

// Their ranges are their own: what one network has used up says nothing of another's.
TEST_P(Exhausted, IsLookedForInAnotherNetworkWhenOneHasNoneLeft) {
    network other = this->configuration();
    other.port_min = other.port_max = own_port + 1;
    datapath_->set_network(network_id + 1, other);
    sandbox b = sandbox_at(ip_b, host_b, mac_b);
    b.network = network_id + 1;
    datapath_->set_sandbox(host_b, b);
    const IPv4 ip{.source = ip_a, .destination = ip_server};
    expect_verdict(From::sandbox_a, from_a / ip / UDP{.source_port = 1000}, VERDICT_TO_WORLD);
    expect_verdict(From::sandbox_a, from_a / ip / UDP{.source_port = 1001}, VERDICT_DROP_NO_PORT);
    EXPECT_EQ(port_in_world(From::sandbox_b, asks()), own_port + 1);
}

TEST_P(Exhausted, IsForgottenWhenAFlowTowardsThatPeerEnds) {
    expect_verdict(From::sandbox_a, from_a / IPv4{.source = ip_a, .destination = ip_server} / UDP{}, VERDICT_TO_WORLD);
    expect_verdict(From::sandbox_b, asks(), VERDICT_DROP_NO_PORT);
    configure([](network& network) { network.timeout[FLOW_UDP] = 0; });
    wait_until([&] { return datapath_->flows().empty(); });
    configure([](network& network) { network.timeout[FLOW_UDP] = 600; });
    EXPECT_EQ(port_in_world(From::sandbox_b, asks()), own_port);
}

// Ports that the host's administrator keeps for others.
class Reserved : public InEachFamily {
protected:
    void reserve(std::uint16_t first, std::uint16_t last) {
        for (unsigned port = first; port <= last; ++port) {
            ports_.reserved[port / 64] |= std::uint64_t{1} << port % 64;
        }
        datapath_->set_host_ports(ports_);
    }
    static Frame tcp(std::uint16_t port) {
        return from_a / IPv4{.source = ip_a, .destination = ip_server} / TCP{.source_port = port};
    }

    host_ports ports_{};
};

TEST_P(Reserved, AreNeverChosen) {
    reserve(own_port, own_port + 99);
    configure([](network& network) {
        network.port_min = own_port;
        network.port_max = own_port + 100;
    });
    EXPECT_EQ(port_in_world(From::sandbox_a, tcp(own_port + 100)), own_port + 100);
    expect_verdict(From::sandbox_a, tcp(own_port), VERDICT_DROP_NO_PORT);
}

// However wide the range is, all of its ports are tried: 65,521 of them, a prime, once had but one step.
TEST_P(Reserved, LeaveTheLastPortOfAWideRange) {
    reserve(15, 65534);
    configure([](network& network) {
        network.port_min = 15;
        network.port_max = 65535;
    });
    EXPECT_EQ(port_in_world(From::sandbox_a, tcp(own_port)), 65535);
}

TEST_P(Reserved, AreNoOthersThanThose) {
    reserve(own_port, own_port);
    EXPECT_NE(port_in_world(From::sandbox_a, tcp(own_port)), own_port);
    for (const int near : {own_port - 1, own_port + 1, own_port + 64, own_port - 64}) {
        const auto port = static_cast<std::uint16_t>(near);
        EXPECT_EQ(port_in_world(From::sandbox_a, tcp(port)), port);
    }
}

TEST_P(Reserved, AreNoIdentifiers) {
    reserve(own_port, own_port);
    const Frame ping = from_a / IPv4{.source = ip_a, .destination = ip_server} / ICMP{.identifier = own_port};
    EXPECT_EQ(port_in_world(From::sandbox_a, ping), own_port);
}

TEST_P(Reserved, AreKeptByTheSandboxWhenNothingIsTranslated) {
    reserve(own_port, own_port);
    configure([](network& network) { network.flags = 0; });
    EXPECT_EQ(port_in_world(From::sandbox_a, tcp(own_port)), own_port);
}

RUN_IN_EACH_FAMILY(Quota);
RUN_IN_EACH_FAMILY(WithoutPorts);
RUN_IN_EACH_FAMILY(Exhausted);
RUN_IN_EACH_FAMILY(Reserved);

}  // namespace
}  // namespace causeway::test::quota_test
