// SPDX-License-Identifier: Apache-2.0
// The identifier of a sandbox's queries where its network asks for endpoint-independent mapping: one towards all peers.
#include <algorithm>
#include <ctime>

#include <causeway/flow_state.h>

#include "tests/datapath/datapath_fixture.hpp"
#include "tests/datapath/host_socket.hpp"

namespace causeway::test::mapping_test {
namespace {

constexpr std::uint16_t own = 40000, range_first = 30000, range_last = 60000;  // as the fixture configures it

std::uint64_t now() {
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(time.tv_nsec);
}

constexpr std::uint64_t seconds_ago(std::uint64_t time, unsigned seconds) {
    return time - std::uint64_t{seconds} * 1'000'000'000;
}

IPv4 to(Ip peer, Ip source, std::uint8_t ttl = 64) {
    return {.source = source, .destination = peer, .ttl = ttl};
}

Frame a_asks(Ip peer, std::uint16_t identifier = own) {
    return from_a / to(peer, ip_a) / ICMP{.identifier = identifier};
}

Frame b_asks(Ip peer, std::uint16_t identifier = own) {
    return from_b / to(peer, ip_b) / ICMP{.identifier = identifier};
}

Frame answer_of(Ip peer, std::uint16_t identifier = own) {
    return from_world / to(ip_uplink, peer, 50) / ICMP{.type = icmp_echo_reply, .identifier = identifier};
}

class Identifier : public InEachFamily {
protected:
    void SetUp() override {
        InEachFamily::SetUp();
        map_endpoints();
    }

    void map_endpoints(std::uint32_t filtering = 0) {
        configure(
            [&](network& network) { network.flags = NETWORK_MASQUERADE | NETWORK_ENDPOINT_INDEPENDENT | filtering; });
        datapath_->set_publishing(1);  // as the control plane does for such a network
    }

    // B in a network of its own, without the option.
    void part_b() {
        auto other = configuration();
        other.flags = NETWORK_MASQUERADE;
        datapath_->set_network(network_id + 1, other);
        auto b = sandbox_at(ip_b, host_b, mac_b);
        b.network = network_id + 1;
        datapath_->set_sandbox(host_b, b);
    }

    std::uint16_t seen_of_a(Ip peer, std::uint16_t identifier = own) {
        return port_in_world(From::sandbox_a, a_asks(peer, identifier));
    }
    std::uint16_t seen_of_b(Ip peer, std::uint16_t identifier = own) {
        return port_in_world(From::sandbox_b, b_asks(peer, identifier));
    }

    // A's entry as sent; its other half has the identifier that the world sees, and no peer either.
    flow_key key_of_mapping(std::uint8_t protocol = icmp_protocol, Ip at = ip_uplink) const {
        flow_key key = key_of(protocol, ip_a, own, ip_server, 0, host_a);
        key.destination = address_of(at);
        key.scope |= CAUSEWAY_SCOPE_MAPPING;
        return key;
    }
    std::optional<flow> mapping() const { return datapath_->flow_at(key_of_mapping()); }

    // Neither half of any mapping has been used for so long.
    void grow_idle(unsigned seconds) {
        for (auto& [key, value] : datapath_->flows()) {
            const address none{};
            if (is_mapping(&key) || (key.scope == 0 && std::ranges::equal(key.source.word, none.word))) {
                value.last_seen = seconds_ago(now(), seconds);
                datapath_->set_flow(key, value);
            }
        }
    }

    void expect_of_range(std::uint16_t identifier) {
        EXPECT_NE(identifier, own);
        EXPECT_GE(identifier, range_first);
        EXPECT_LE(identifier, range_last);
    }
};

TEST_P(Identifier, IsKeptTowardsAllPeersWhenItIsFree) {
    for (const Ip peer : {ip_server, ip_server_2}) {
        EXPECT_EQ(seen_of_a(peer), own);
        EXPECT_EQ(seen_of_a(peer, 1), 1);
        EXPECT_EQ(seen_of_a(peer, 0), 0);
    }
}

// Towards the first one it would be free.
TEST_P(Identifier, IsAnotherOneTowardsAllPeersWhenAnotherSandboxHasIt) {
    EXPECT_EQ(seen_of_a(ip_server), own);
    const auto seen = seen_of_b(ip_server_2);
    expect_of_range(seen);
    EXPECT_EQ(seen_of_b(ip_server), seen);
    EXPECT_EQ(seen_of_a(ip_server_2), own);
}

TEST_P(Identifier, IsTheSameInAnswersOfAllPeersAndTheSandboxsOwnBehindThem) {
    EXPECT_EQ(seen_of_a(ip_server), own);
    const auto seen = seen_of_b(ip_server_2);
    EXPECT_EQ(seen_of_b(ip_server), seen);
    for (const Ip peer : {ip_server, ip_server_2}) {
        expect_packet(From::uplink, answer_of(peer, seen), VERDICT_TO_SANDBOX,
                      at_b / to(ip_b, peer, 49) / ICMP{.type = icmp_echo_reply, .identifier = own});
    }
    expect_packet(From::uplink, answer_of(ip_server), VERDICT_TO_SANDBOX,
                  at_a / to(ip_a, ip_server, 49) / ICMP{.type = icmp_echo_reply, .identifier = own});
}

TEST_P(Identifier, IsOfEachPeersFlowAloneWithoutTheOption) {
    configure([](network& network) { network.flags = NETWORK_MASQUERADE; });
    EXPECT_EQ(seen_of_a(ip_server), own);
    EXPECT_EQ(seen_of_b(ip_server_2), own);
    expect_of_range(seen_of_b(ip_server));
    EXPECT_EQ(datapath_->flows().size(), 6U) << "two entries a flow, and nothing beside";
}

TEST_P(Identifier, IsKeptWhenNothingIsTranslated) {
    configure([](network& network) { network.flags = NETWORK_ENDPOINT_INDEPENDENT; });
    EXPECT_EQ(seen_of_a(ip_server), own);
    EXPECT_EQ(seen_of_b(ip_server), own);
    EXPECT_EQ(datapath_->flows().size(), 4U);
}

TEST_P(Identifier, IsOfNoPortsMapping) {
    EXPECT_EQ(port_in_world(From::sandbox_b, from_b / to(ip_server, ip_b) / UDP{.source_port = own}), own);
    EXPECT_EQ(seen_of_a(ip_server_2), own);
}

// Ranges keep the ports of two networks apart; identifiers they do not.
TEST_P(Identifier, IsAnotherTowardsAPeerThatAnotherNetworksSandboxAsksUnderIt) {
    part_b();
    EXPECT_EQ(seen_of_b(ip_server), own);
    EXPECT_EQ(seen_of_a(ip_server_2), own);
    const auto seen = seen_of_a(ip_server);
    expect_of_range(seen);
    EXPECT_EQ(seen_of_a(ip_server), seen);
    expect_packet(From::uplink, answer_of(ip_server, seen), VERDICT_TO_SANDBOX,
                  at_a / to(ip_a, ip_server, 49) / ICMP{.type = icmp_echo_reply, .identifier = own});
}

// A port likewise, whether it is that sandbox or the host itself that speaks to the peer from it.
class MappedPort : public Identifier {
protected:
    std::uint16_t seen_of(From from, const Ethernet& ethernet, Ip source, Ip peer) {
        return port_in_world(from, ethernet / to(peer, source) / UDP{.source_port = own, .destination_port = 53});
    }
    std::uint16_t seen_of_a(Ip peer) { return seen_of(From::sandbox_a, from_a, ip_a, peer); }
    flow_key key_of_mapping_of_b(Ip at) const {
        flow_key key = key_of(udp_protocol, ip_b, own, at, 0, host_b);
        key.scope |= CAUSEWAY_SCOPE_MAPPING;
        return key;
    }
    void expect_another_towards_the_server_alone() {
        EXPECT_EQ(seen_of_a(ip_server_2), own);
        const auto seen = seen_of_a(ip_server);
        expect_of_range(seen);
        EXPECT_EQ(seen_of_a(ip_server), seen);
        expect_packet(From::uplink, from_world / to(ip_uplink, ip_server, 50) / UDP{53, seen}, VERDICT_TO_SANDBOX,
                      at_a / to(ip_a, ip_server, 49) / UDP{53, own});
    }
};

TEST_P(MappedPort, IsAnotherTowardsAPeerThatAnotherNetworksSandboxSpeaksToFromIt) {
    part_b();
    EXPECT_EQ(seen_of(From::sandbox_b, from_b, ip_b, ip_server), own);
    expect_another_towards_the_server_alone();
}

TEST_P(MappedPort, IsAnotherTowardsAPeerThatTheHostSpeaksToFromIt) {
    HostSocket socket(family(), SOCK_DGRAM, ip_uplink, own);
    socket.connecting(ip_server, 53);
    expect_another_towards_the_server_alone();
}

// What comes for it then may be for either; the host's own is not to suffer from what a sandbox has mapped.
TEST_P(MappedPort, ThatIsOpenToAllIsTheHostsWhereItListensLater) {
    map_endpoints(NETWORK_OPEN_TO_ALL);
    EXPECT_EQ(seen_of_a(ip_server), own);
    const Frame unasked = from_world / to(ip_uplink, ip_server_2, 50) / UDP{1000, own};
    {
        const HostSocket socket(family(), SOCK_DGRAM, {}, own);
        expect_verdict(From::uplink, unasked, VERDICT_PASS_STACK);
    }
    expect_verdict(From::uplink, unasked, VERDICT_TO_SANDBOX);
}

// Another uplink's, or as here the gateway's. What each address stands for is apart from the others.
TEST_P(MappedPort, IsTheSameTowardsAllPeersWhateverOtherAddressTheEndpointIsSentFrom) {
    publish(udp_protocol, {}, 8080);  // of A
    EXPECT_EQ(seen_of_a(ip_server), own);
    const auto seen = seen_of(From::sandbox_b, from_b, ip_b, ip_server);
    expect_of_range(seen);
    expect_verdict(From::sandbox_b, from_b / to(ip_gateway, ip_b) / UDP{own, 8080}, VERDICT_TO_SANDBOX);
    EXPECT_EQ(seen_of(From::sandbox_b, from_b, ip_b, ip_server_2), seen);
    for (const Ip at : {ip_uplink, ip_gateway}) {
        const auto mapped = datapath_->flow_at(key_of_mapping_of_b(at));
        ASSERT_TRUE(mapped);
        EXPECT_TRUE(std::ranges::equal(mapped->address.word, address_of(at).word));
    }
}

// Each has its own turns, and ends both its halves.
TEST_P(MappedPort, IsFreeAgainAtEachAddressWhenNothingWasSentForItsTime) {
    map_endpoints(NETWORK_OPEN_TO_ADDRESS);
    configure([](network& network) { network.timeout[FLOW_UDP] = 500; });
    publish(udp_protocol, {}, 8080);
    seen_of(From::sandbox_b, from_b, ip_b, ip_server);
    expect_verdict(From::sandbox_b, from_b / to(ip_gateway, ip_b) / UDP{own, 8080}, VERDICT_TO_SANDBOX);
    for (auto& [key, value] : datapath_->flows()) {
        if (!(value.flags == FLOW_OPEN)) {  // the published port
            value.last_seen = seconds_ago(now(), 501);
            datapath_->set_flow(key, value);
        }
    }
    wait_until([&] { return datapath_->flows().size() == 1; });
    EXPECT_EQ(datapath_->ageing_turns(), 0U);
}

// RFC 4787, REQ-8: the peer was sent to from there.
TEST_P(MappedPort, LetsInOtherPortsOfAPeerWhenTheHostHasAnotherAddress) {
    map_endpoints(NETWORK_OPEN_TO_ADDRESS);
    const auto from_other_port = [&](Ip at, std::uint16_t port) {
        return Frame(from_world / to(at, ip_server, 50) / UDP{port, own});
    };
    EXPECT_EQ(seen_of_a(ip_server), own);
    expect_verdict(From::uplink, from_other_port(ip_uplink, 1000), VERDICT_TO_SANDBOX);
    const Ip renumbered = "203.0.113.7"_ip;
    run_ip(
        "address replace 203.0.113.7/24 dev up0\n"
        "route replace 198.51.100.0/24 via 203.0.113.254 src 203.0.113.7\n");
    if (family() == Family::ipv6) {
        run_ip("address del 203.0.113.1/24 dev up0\n");
    }
    expect_verdict(From::sandbox_a, from_a / to(ip_server, ip_a) / UDP{own, 53}, VERDICT_DROP_STALE_SOURCE);
    EXPECT_EQ(seen_of_a(ip_server), own);
    expect_verdict(From::uplink, from_other_port(renumbered, 1001), VERDICT_TO_SANDBOX);
}

// Its mapping has ended, and the turn of what that let in is to come.
TEST_P(MappedPort, LetsInOtherPortsOfAPeerToWhoeverHasIt) {
    map_endpoints(NETWORK_OPEN_TO_ADDRESS);
    EXPECT_EQ(seen_of_a(ip_server), own);
    for (const auto& [key, value] : datapath_->flows()) {
        if (is_mapping(&key) || (value.flags & FLOW_OPEN) == 0) {
            datapath_->remove_flow(key);
        }
    }
    EXPECT_EQ(seen_of(From::sandbox_b, from_b, ip_b, ip_server), own);
    expect_packet(From::uplink, from_world / to(ip_uplink, ip_server, 50) / UDP{1000, own}, VERDICT_TO_SANDBOX,
                  at_b / to(ip_b, ip_server, 49) / UDP{1000, own});
}

// Of a connection: its port is that of its endpoint for as long as one of the endpoint's is open.
class MappedConnection : public Identifier {
protected:
    void SetUp() override {
        Identifier::SetUp();
        map_endpoints(NETWORK_OPEN_TO_ADDRESS);
        configure([](network& network) {
            std::ranges::fill(network.timeout, 7000U);
            network.timeout[FLOW_TCP_CLOSING] = 1;
        });
    }

    void sends(std::uint16_t to_port, std::uint8_t flags) {
        expect_verdict(From::sandbox_a, from_a / to(ip_server, ip_a) / TCP{own, to_port, flags}, VERDICT_TO_WORLD);
    }
    void is_told(std::uint16_t by_port, std::uint8_t flags) {
        expect_verdict(From::uplink, from_world / to(ip_uplink, ip_server, 50) / TCP{by_port, own, flags},
                       VERDICT_TO_SANDBOX);
    }
    void opens(std::uint16_t port) {
        sends(port, syn);
        is_told(port, syn | ack);
        sends(port, ack);
    }
    void closes(std::uint16_t port) {
        sends(port, fin | ack);
        is_told(port, fin | ack);
        sends(port, ack);
    }
    bool is_mapped() const { return datapath_->flow_at(key_of_mapping(tcp_protocol)).has_value(); }
    bool is_admitted() const {
        return datapath_->flow_at(key_of(tcp_protocol, ip_uplink, own, ip_server, 0, host_a)).has_value();
    }

    // As when the last open one's turn was as long ago as it may be.
    void use_up_hold() {
        for (auto& [key, value] : datapath_->flows()) {
            if (value.last_seen > now()) {
                value.last_seen = now();
                datapath_->set_flow(key, value);
            }
        }
    }
};

TEST_P(MappedConnection, IsTheEndOfItsMappingAndOfWhatThatAdmitsSoonAfterBothSidesHaveClosedIt) {
    opens(80);
    EXPECT_TRUE(is_mapped() && is_admitted());
    closes(80);
    use_up_hold();
    wait_until([&] { return datapath_->flows().empty(); });
    EXPECT_EQ(datapath_->usage_of(host_a).flows, 0U);
}

TEST_P(MappedConnection, IsTheEndOfItsMappingWhenItIsReset) {
    opens(80);
    is_told(80, rst);
    use_up_hold();
    wait_until([&] { return datapath_->flows().empty(); });
}

TEST_P(MappedConnection, HoldsItsMappingWhileItIsIdleThoughAnotherHasClosed) {
    opens(80);
    opens(81);
    closes(81);
    use_up_hold();
    wait_until([&] { return datapath_->flows().size() == 6; });  // the closed one is gone
    std::this_thread::sleep_for(std::chrono::milliseconds(1500));
    EXPECT_TRUE(is_mapped());
    EXPECT_TRUE(is_admitted());
    closes(80);
    use_up_hold();
    wait_until([&] { return datapath_->flows().empty(); });
}

// The mapping's own flows go on: they have entries of their own.
TEST_P(MappedPort, IsThePublishedOneToStrangersWhenItIsPublishedOnAllAddressesLater) {
    for (const std::uint32_t filtering :
         {0U, std::uint32_t{NETWORK_OPEN_TO_ADDRESS}, std::uint32_t{NETWORK_OPEN_TO_ALL}}) {
        SCOPED_TRACE(filtering);
        datapath_->clear_flows();
        map_endpoints(filtering);
        EXPECT_EQ(seen_of(From::sandbox_b, from_b, ip_b, ip_server), own);
        publish(udp_protocol, {}, own);  // of A
        expect_packet(From::uplink, from_world / to(ip_uplink, ip_server_2, 50) / UDP{1000, own}, VERDICT_TO_SANDBOX,
                      at_a / to(ip_a, ip_server_2, 49) / UDP{1000, service});
        expect_packet(From::uplink, from_world / to(ip_uplink, ip_server, 50) / UDP{53, own}, VERDICT_TO_SANDBOX,
                      at_b / to(ip_b, ip_server, 49) / UDP{53, own});
    }
}

TEST_P(Identifier, OfAMappingIsNotGivenToAnotherNetworksSandbox) {
    part_b();
    EXPECT_EQ(seen_of_a(ip_server), own);
    expect_of_range(seen_of_b(ip_server_2));
}

TEST_P(Identifier, IsOfTheSandboxsBlockWhenItsOwnIsTaken) {
    auto b = sandbox_at(ip_b, host_b, mac_b);
    b.port_min = 31000;
    b.port_max = 31000;
    datapath_->set_sandbox(host_b, b);
    EXPECT_EQ(seen_of_a(ip_server), own);
    EXPECT_EQ(seen_of_b(ip_server_2), 31000);
    EXPECT_EQ(seen_of_b(ip_server), 31000);
    EXPECT_EQ(seen_of_a(ip_server, own + 1), own + 1);
    expect_verdict(From::sandbox_b, b_asks(ip_server_2, own + 1), VERDICT_DROP_NO_PORT);
}

TEST_P(Identifier, IsOfAMappingThatIsOneFlowMore) {
    configure([](network& network) { network.flows_max = 3; });
    seen_of_a(ip_server);
    EXPECT_EQ(datapath_->usage_of(host_a).flows, 2U);
    seen_of_a(ip_server_2);
    EXPECT_EQ(datapath_->usage_of(host_a).flows, 3U);
    seen_of_a(ip_server);
    EXPECT_EQ(datapath_->usage_of(host_a).flows, 3U);
    EXPECT_EQ(datapath_->flows().size(), 6U);
    expect_verdict(From::sandbox_a, a_asks(ip_server_2, own + 1), VERDICT_DROP_FLOW_QUOTA);
    EXPECT_EQ(datapath_->usage_of(host_a).flows, 3U);
    EXPECT_EQ(datapath_->flows().size(), 6U);
}

TEST_P(Identifier, IsTheSandboxsOwnInErrorsAboutItsQueries) {
    EXPECT_EQ(seen_of_a(ip_server), own);
    const auto seen = seen_of_b(ip_server_2);
    expect_packet(From::uplink,
                  from_world / to(ip_uplink, "198.51.100.200"_ip, 50) / IcmpError{.code = 1} /
                      to(ip_server_2, ip_uplink, 40) / ICMP{.identifier = seen},
                  VERDICT_TO_SANDBOX,
                  at_b / to(ip_b, "198.51.100.200"_ip, 49) / IcmpError{.code = 1} / to(ip_server_2, ip_b, 40) /
                      ICMP{.identifier = own});
}

TEST_P(Identifier, IsHeldWhileQueriesAreSent) {
    seen_of_a(ip_server);
    grow_idle(500);
    const auto idle_since = mapping() ? mapping()->last_seen : 0;
    expect_verdict(From::uplink, answer_of(ip_server), VERDICT_TO_SANDBOX);
    ASSERT_TRUE(mapping());
    EXPECT_EQ(mapping()->last_seen, idle_since) << "what comes in keeps a flow, but no mapping";
    seen_of_a(ip_server);
    ASSERT_TRUE(mapping());
    EXPECT_GT(mapping()->last_seen, seconds_ago(now(), 100));
}

TEST_P(Identifier, IsFreeAgainWhenNoQueryWasSentForTheirTime) {
    configure([](network& network) { network.timeout[FLOW_ICMP] = 500; });
    EXPECT_EQ(seen_of_a(ip_server), own);
    grow_idle(501);
    wait_until([&] { return datapath_->flows().size() == 2 && datapath_->usage_of(host_a).flows == 1; });
    EXPECT_FALSE(mapping());
    EXPECT_EQ(seen_of_b(ip_server_2), own);
}

TEST_P(Identifier, IsHeldForTheTimeOfQueriesWhateverTheOtherTimeouts) {
    configure([](network& network) {
        std::ranges::fill(network.timeout, 300U);
        network.timeout[FLOW_ICMP] = 500;
    });
    seen_of_a(ip_server);
    expect_verdict(From::sandbox_a, from_a / to(ip_server, ip_a) / UDP{.source_port = own}, VERDICT_TO_WORLD);
    grow_idle(400);
    wait_until([&] { return !datapath_->flow_at(key_of_mapping(udp_protocol)); });  // whose turn comes later
    EXPECT_TRUE(mapping());
}

// Whatever the filtering lets in, of a query's identifier only answers are understood.
TEST_P(Identifier, LetsInWhoWasAskedAlone) {
    for (const std::uint32_t filtering :
         {0U, std::uint32_t{NETWORK_OPEN_TO_ADDRESS}, std::uint32_t{NETWORK_OPEN_TO_ALL}}) {
        SCOPED_TRACE(filtering);
        datapath_->clear_flows();
        map_endpoints(filtering);
        EXPECT_EQ(seen_of_a(ip_server), own);
        for (const Frame& frame : {answer_of(ip_server_2), answer_of(ip_server, own + 1),
                                   Frame(from_world / to(ip_uplink, ip_server, 50) / ICMP{.identifier = own}),
                                   Frame(from_world / to(ip_uplink, ip_server_2, 50) / ICMP{.identifier = own})}) {
            expect_packet(From::uplink, frame, VERDICT_PASS_STACK, frame);
        }
        EXPECT_EQ(datapath_->flows().size(), 4U) << "the flow and the mapping";
        const auto asked = datapath_->flow_at(key_of(icmp_protocol, ip_a, own, ip_server, 0, host_a));
        ASSERT_TRUE(asked);
        EXPECT_EQ(asked->flags, FLOW_MAPPED) << "a flow, and nothing that admits its peer";
        expect_verdict(From::uplink, answer_of(ip_server), VERDICT_TO_SANDBOX);
    }
}

// No port that other sandboxes might mean: their queries have port 0, and their answers whatever identifier they got.
TEST_P(Identifier, TakesNothingThatOtherSandboxesSendToTheHost) {
    EXPECT_EQ(seen_of_a(ip_server, 0), 0);
    EXPECT_EQ(seen_of_a(ip_server), own);
    const Frame query = from_b / to(ip_uplink, ip_b) / ICMP{},
                answer = from_b / to(ip_uplink, ip_b) / ICMP{.type = icmp_echo_reply, .identifier = own};
    expect_packet(From::sandbox_b, query, VERDICT_TO_HOST, query);
    expect_packet(From::sandbox_b, answer, VERDICT_TO_HOST, answer);
}

class IdentifierOfIPv6 : public Identifier {};

// A mapping's entries have no peer either, and IPv6's "no address" is all zero, too.
TEST_P(IdentifierOfIPv6, IsNotReachedByWhatHasNoSender) {
    EXPECT_EQ(seen_of_a(ip_server), own);
    expect_packet(From::uplink, answer_of(Ip{}), VERDICT_PASS_STACK, answer_of(Ip{}));
}

class MappedPortOfIPv6 : public Identifier {};

TEST_P(MappedPortOfIPv6, IsNotReachedByWhatHasNoSender) {
    const IPv4 from_nobody = to(ip_uplink, Ip{}, 50);
    for (const std::uint32_t filtering : {0U, std::uint32_t{NETWORK_OPEN_TO_ALL}}) {
        SCOPED_TRACE(filtering);
        datapath_->clear_flows();
        map_endpoints(filtering);
        expect_verdict(From::sandbox_a, from_a / to(ip_server, ip_a) / UDP{.source_port = own}, VERDICT_TO_WORLD);
        expect_verdict(From::sandbox_a, from_a / to(ip_server, ip_a) / TCP{.source_port = own}, VERDICT_TO_WORLD);
        for (const Frame& frame : {from_world / from_nobody / UDP{0, own}, from_world / from_nobody / TCP{0, own, ack},
                                   from_world / from_nobody / TCP{0, own, syn}}) {
            expect_packet(From::uplink, frame, VERDICT_PASS_STACK, frame);
        }
    }
}

class IdentifierOfIPv4 : public Identifier {};

// RFC 792: each kind has its identifier in one place, and a sandbox that uses one for two kinds means one endpoint.
TEST_P(IdentifierOfIPv4, IsOneForAllKindsOfQueries) {
    EXPECT_EQ(seen_of_a(ip_server), own);
    const auto of_echo = seen_of_b(ip_server_2);
    for (const std::uint8_t type : {icmp_timestamp_request, icmp_information_request, icmp_mask_request}) {
        const Frame query = from_b / to(ip_server, ip_b) / ICMP{.type = type, .identifier = own};
        EXPECT_EQ(port_in_world(From::sandbox_b, query), of_echo);
        const auto reply = static_cast<std::uint8_t>(type + 1);
        expect_packet(From::uplink,
                      from_world / to(ip_uplink, ip_server, 50) / ICMP{.type = reply, .identifier = of_echo},
                      VERDICT_TO_SANDBOX, at_b / to(ip_b, ip_server, 49) / ICMP{.type = reply, .identifier = own});
    }
}

// The host would answer a query, however it came.
TEST_P(IdentifierOfIPv4, LeavesMalformedQueriesToTheHost) {
    EXPECT_EQ(seen_of_a(ip_server, 0), 0);
    IPv4 reserved = to(ip_uplink, ip_server_2, 50);
    reserved.reserved_flag = true;
    expect_verdict(From::uplink, from_world / reserved / ICMP{.identifier = 0}, VERDICT_PASS_STACK);
}

RUN_IN_EACH_FAMILY(Identifier);
RUN_IN_EACH_FAMILY(MappedPort);
RUN_IN_EACH_FAMILY(MappedConnection);
RUN_IN_IPV6(IdentifierOfIPv6);
RUN_IN_IPV6(MappedPortOfIPv6);
RUN_IN_IPV4(IdentifierOfIPv4);

}  // namespace
}  // namespace causeway::test::mapping_test
