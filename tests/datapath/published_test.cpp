// SPDX-License-Identifier: Apache-2.0
// Published ports: the world, other sandboxes and the sandbox itself reach one by the host's address.
#include "tests/datapath/datapath_fixture.hpp"
#include "tests/datapath/host_socket.hpp"

namespace causeway::test::published_test {
namespace {

constexpr std::uint16_t own_port = 40000, host_port = 30080;

const IPv4 to_host{.source = ip_server, .destination = ip_uplink, .ttl = 50},
    to_a{.source = ip_server, .destination = ip_a, .ttl = 49};

class Published : public InEachFamily {
protected:
    // 203.0.113.1:30080 is A's port 80; UDP, too.
    void SetUp() override {
        InEachFamily::SetUp();
        publish(tcp_protocol, ip_uplink);
        publish(udp_protocol, ip_uplink);
    }

    void publish(std::uint8_t protocol, Ip at) {
        InEachFamily::publish(protocol, at, host_port);
        published_ = datapath_->flows().size();
    }
    // In place of on the uplink's address.
    void publish_on_all() {
        datapath_->remove_flow(published_key(tcp_protocol, ip_uplink, host_port));
        publish(tcp_protocol, Ip{});
    }

    std::size_t opened_entries() const { return datapath_->flows().size() - published_; }

    // The flows that were opened, but not the ports' own entries, become far older than any may be idle.
    void outlive_flows() {
        for (auto& [key, value] : datapath_->flows()) {
            if (key.source_port != 0) {
                value.last_seen = value.created = 1;
                datapath_->set_flow(key, value);
            }
        }
    }
    void expect_new_flows(std::size_t entries) const {
        EXPECT_EQ(opened_entries(), entries);
        for (const auto& [key, value] : datapath_->flows()) {
            EXPECT_TRUE(key.source_port == 0 || value.created > 1);
        }
    }

    static Frame syn_from(std::uint16_t port, Ip to = ip_uplink) {
        return from_world / IPv4{.source = ip_server, .destination = to, .ttl = 50} / TCP{port, host_port};
    }

    std::size_t published_ = 0;
};

TEST_P(Published, IsReachedFromTheWorldAndItsAnswersLeaveUnderTheHostsAddress) {
    expect_packet(From::uplink, from_world / to_host / TCP{5000, host_port}, VERDICT_TO_SANDBOX,
                  at_a / to_a / TCP{5000, service});
    expect_packet(
        From::sandbox_a, from_a / IPv4{.source = ip_a, .destination = ip_server} / TCP{service, 5000, syn | ack},
        VERDICT_TO_WORLD,
        from_a / IPv4{.source = ip_uplink, .destination = ip_server, .ttl = 63} / TCP{host_port, 5000, syn | ack});
    expect_packet(From::uplink, from_world / to_host / TCP{5000, host_port, ack} / Payload{"odd"}, VERDICT_TO_SANDBOX,
                  at_a / to_a / TCP{5000, service, ack} / Payload{"odd"});
    EXPECT_EQ(opened_entries(), 2U);
}

TEST_P(Published, IsReachedFromTheWorldByUdp) {
    expect_packet(From::uplink, from_world / to_host / UDP{5000, host_port} / Payload{"odd"}, VERDICT_TO_SANDBOX,
                  at_a / to_a / UDP{5000, service} / Payload{"odd"});
    expect_packet(
        From::sandbox_a, from_a / IPv4{.source = ip_a, .destination = ip_server} / UDP{service, 5000} / Payload{"me"},
        VERDICT_TO_WORLD,
        from_a / IPv4{.source = ip_uplink, .destination = ip_server, .ttl = 63} / UDP{host_port, 5000} / Payload{"me"});
}

TEST_P(Published, IsReachedByEachOfTheHostsAddressesWhenItIsPublishedOnAll) {
    publish_on_all();
    for (Ip address : {ip_uplink, "10.9.0.1"_ip}) {
        expect_packet(From::uplink, syn_from(5000, address), VERDICT_TO_SANDBOX, at_a / to_a / TCP{5000, service});
        datapath_->remove_flow(key_of(tcp_protocol, ip_a, service, ip_server, 5000, host_a));
    }
}

// A floating address that is routed to the host.
TEST_P(Published, IsReachedByAnAddressThatIsNoneOfTheHosts) {
    constexpr Ip floating = "198.18.0.9"_ip;
    publish(tcp_protocol, floating);
    expect_verdict(From::uplink, syn_from(5000, floating), VERDICT_TO_SANDBOX);
    for (const std::uint8_t flags : {std::uint8_t{syn | ack}, std::uint8_t{ack}}) {
        expect_packet(
            From::sandbox_a, from_a / IPv4{.source = ip_a, .destination = ip_server} / TCP{service, 5000, flags},
            VERDICT_TO_WORLD,
            from_a / IPv4{.source = floating, .destination = ip_server, .ttl = 63} / TCP{host_port, 5000, flags});
    }
}

TEST_P(Published, IsAFlowThatTheWorldHasOpened) {
    expect_verdict(From::uplink, syn_from(5000), VERDICT_TO_SANDBOX);
    const auto sent = datapath_->flow_at(key_of(tcp_protocol, ip_a, service, ip_server, 5000, host_a));
    const auto replied = datapath_->flow_at(key_of(tcp_protocol, ip_server, 5000, ip_uplink, host_port, 0));
    ASSERT_TRUE(sent && replied);
    EXPECT_EQ(sent->flags, FLOW_FROM_WORLD);
    EXPECT_EQ(replied->flags, FLOW_FROM_WORLD);
    EXPECT_EQ(sent->port, network_order(host_port));
    EXPECT_EQ(replied->port, network_order(service));
    EXPECT_EQ(replied->seen, SEEN_SYN);
    EXPECT_EQ(sent->seen, 0U);
    EXPECT_EQ(datapath_->usage_of(host_a).flows, 1U);
    EXPECT_EQ(datapath_->ageing_turns(), 1U);
}

TEST_P(Published, IsAFlowThatEndsWhenItIsIdleAndThePortStaysPublished) {
    configure([](network& network) { network.timeout[FLOW_TCP_OPENING] = 1; });
    expect_verdict(From::uplink, syn_from(5000), VERDICT_TO_SANDBOX);
    wait_until([&] { return opened_entries() == 0 && datapath_->usage_of(host_a).flows == 0; });
    expect_verdict(From::uplink, syn_from(5000), VERDICT_TO_SANDBOX);
}

TEST_P(Published, IsTheHostsWhenNobodyHasPublishedIt) {
    for (const Frame& frame :
         {from_world / to_host / TCP{5000, host_port + 1}, from_world / to_host / TCP{5000, service},
          from_world / to_host / ICMP{.identifier = host_port},
          from_world / IPv4{.source = ip_server, .destination = "10.9.0.1"_ip} / TCP{5000, host_port}}) {
        expect_packet(From::uplink, frame, VERDICT_PASS_STACK, frame);
    }
    expect_verdict(From::uplink, from_world / IPv4{.source = ip_server, .destination = ip_a} / TCP{5000, service},
                   VERDICT_DROP_UNSOLICITED);
    EXPECT_EQ(opened_entries(), 0U);
}

// The host would answer it, and so end what the client has just begun.
class PublishedOfIPv4 : public Published {};

TEST_P(PublishedOfIPv4, TakesNothingMalformedAndTheHostDoesNotAnswerItEither) {
    IPv4 reserved = to_host;
    reserved.reserved_flag = true;
    expect_verdict(From::uplink, from_world / reserved / TCP{5000, host_port}, VERDICT_DROP_BAD_HEADER);
    expect_verdict(From::uplink, from_world / reserved / UDP{5000, host_port}, VERDICT_DROP_BAD_HEADER);
    expect_verdict(From::uplink, from_world / reserved / UDP{5000, host_port + 1}, VERDICT_PASS_STACK);
    EXPECT_EQ(opened_entries(), 0U);
}

TEST_P(Published, IsNotOpenedByWhatOpensNoConnection) {
    for (std::uint8_t flags : {std::uint8_t{syn | ack}, rst, std::uint8_t{fin | ack}, std::uint8_t{0}}) {
        expect_verdict(From::uplink, from_world / to_host / TCP{5000, host_port, flags}, VERDICT_PASS_STACK);
    }
    EXPECT_EQ(opened_entries(), 0U);
    EXPECT_EQ(datapath_->usage_of(host_a).flows, 0U);
}

// A client that uses its port again: the connection is a new one, and not one that is closing.
TEST_P(Published, BeginsAnewWhenTheWorldHadClosedItAndOpensItAgain) {
    const IPv4 back{.source = ip_a, .destination = ip_server};
    expect_verdict(From::uplink, syn_from(5000), VERDICT_TO_SANDBOX);
    expect_verdict(From::sandbox_a, from_a / back / TCP{service, 5000, syn | ack}, VERDICT_TO_WORLD);
    expect_verdict(From::uplink, from_world / to_host / TCP{5000, host_port, fin | ack}, VERDICT_TO_SANDBOX);
    expect_verdict(From::sandbox_a, from_a / back / TCP{service, 5000, fin | ack}, VERDICT_TO_WORLD);
    expect_verdict(From::uplink, syn_from(5000), VERDICT_TO_SANDBOX);
    expect_verdict(From::sandbox_a, from_a / back / TCP{service, 5000, syn | ack}, VERDICT_TO_WORLD);
    const auto sent = datapath_->flow_at(key_of(tcp_protocol, ip_a, service, ip_server, 5000, host_a));
    const auto replied = datapath_->flow_at(key_of(tcp_protocol, ip_server, 5000, ip_uplink, host_port, 0));
    ASSERT_TRUE(sent && replied);
    EXPECT_EQ(replied->seen, SEEN_SYN);
    EXPECT_EQ(sent->seen, SEEN_SYN | SEEN_ACK);
}

// Inside, a source address is to be believed: nobody outside may speak as a sandbox or as the gateway.
// CVE-2020-8558: what is published on 127.0.0.1 is nobody's on the link.
TEST_P(PublishedOfIPv4, IsNotReachedFromElsewhereByALoopbackAddress) {
    publish(tcp_protocol, "127.0.0.1"_ip);
    expect_verdict(From::uplink, syn_from(5000, "127.0.0.1"_ip), VERDICT_PASS_STACK);
    expect_verdict(From::sandbox_b, from_b / IPv4{.source = ip_b, .destination = "127.0.0.1"_ip} / TCP{5000, host_port},
                   VERDICT_DROP_NO_ENDPOINT);
    EXPECT_EQ(opened_entries(), 0U);
}

TEST_P(Published, IsNotReachedFromTheWorldUnderASandboxsOrTheGatewaysAddress) {
    for (Ip claimed : {ip_b, ip_a, ip_gateway}) {
        const IPv4 ip{.source = claimed, .destination = ip_uplink};
        expect_verdict(From::uplink, from_world / ip / TCP{5000, host_port}, VERDICT_PASS_STACK);
        expect_verdict(From::uplink, from_world / ip / UDP{5000, host_port}, VERDICT_PASS_STACK);
    }
    EXPECT_EQ(opened_entries(), 0U);
}

TEST_P(Published, IsAnsweredFromTheAddressThatWasAskedWhenTheTtlIsUsedUp) {
    expect_verdict(From::uplink,
                   from_world / IPv4{.source = ip_server, .destination = ip_uplink, .ttl = 1} / TCP{5000, host_port},
                   VERDICT_DROP_TTL_EXPIRED);
}

TEST_P(Published, TakesOfTheSandboxsQuota) {
    configure([](network& network) { network.flows_max = 2; });
    expect_verdict(From::uplink, syn_from(5000), VERDICT_TO_SANDBOX);
    expect_verdict(From::uplink, syn_from(5001), VERDICT_TO_SANDBOX);
    expect_verdict(From::uplink, syn_from(5002), VERDICT_PASS_STACK);
    expect_verdict(From::uplink, syn_from(5000), VERDICT_TO_SANDBOX);
    expect_verdict(From::sandbox_a, from_a / IPv4{.source = ip_a, .destination = ip_server} / UDP{},
                   VERDICT_DROP_FLOW_QUOTA);
    EXPECT_EQ(datapath_->usage_of(host_a).flows, 2U);
}

class PublishedBesideOwnFlows : public Published {
protected:
    void expect_own(std::uint16_t port, enum verdict verdict) {
        expect_verdict(From::sandbox_a,
                       from_a / IPv4{.source = ip_a, .destination = ip_server} / UDP{.source_port = port}, verdict);
    }
};

// Or whoever forges addresses would cut a sandbox off.
TEST_P(PublishedBesideOwnFlows, LeavesTheSandboxAQuarterOfItsQuota) {
    configure([](network& network) { network.flows_max = 8; });
    for (std::uint16_t port = 5000; port < 5006; ++port) {
        expect_verdict(From::uplink, syn_from(port), VERDICT_TO_SANDBOX);
    }
    expect_verdict(From::uplink, syn_from(5006), VERDICT_PASS_STACK);
    expect_own(own_port, VERDICT_TO_WORLD);
    expect_own(own_port + 1, VERDICT_TO_WORLD);
    expect_own(own_port + 2, VERDICT_DROP_FLOW_QUOTA);
}

TEST_P(PublishedBesideOwnFlows, LeavesTheSandboxAQuarterOfItsShareOfWhatIsFree) {
    configure([](network& network) { network.flows_max = UINT32_MAX; });
    datapath_->set_usage(host_a, {.flows = CAUSEWAY_FLOWS_DEFAULT / 4 * 3 / 4});
    expect_verdict(From::uplink, syn_from(5000), VERDICT_PASS_STACK);
    expect_own(own_port, VERDICT_TO_WORLD);
}

TEST_P(PublishedBesideOwnFlows, HasTheRateOfNewFlowsForItself) {
    constexpr std::uint64_t used_up = ~0ULL >> 2;  // for the next hundred years
    configure([](network& network) { network.flows_per_second = 1000; });
    datapath_->set_usage(host_a, {.opening = used_up});
    expect_verdict(From::uplink, syn_from(5000), VERDICT_TO_SANDBOX);
    expect_own(own_port, VERDICT_DROP_FLOW_RATE);
    datapath_->set_usage(host_a, {.admitting = used_up});
    expect_verdict(From::uplink, syn_from(5001), VERDICT_PASS_STACK);
    expect_own(own_port, VERDICT_TO_WORLD);
}

TEST_P(Published, BeginsAnewWhenTheLastFlowsAreOver) {
    const Frame datagram = from_world / to_host / UDP{5000, host_port};
    const Frame segment = from_world / to_host / TCP{5000, host_port, ack};
    expect_verdict(From::uplink, datagram, VERDICT_TO_SANDBOX);
    expect_verdict(From::uplink, segment, VERDICT_TO_SANDBOX);
    outlive_flows();
    expect_verdict(From::uplink, datagram, VERDICT_TO_SANDBOX);
    expect_verdict(From::uplink, segment, VERDICT_TO_SANDBOX);
    expect_new_flows(4);
}

// The kernel gives out such ports, too, for what the host itself begins.
TEST_P(Published, LeavesTheHostWhatAnswersItsOwnSockets) {
    HostSocket connection(family(), SOCK_STREAM, ip_uplink, host_port), datagrams(family(), SOCK_DGRAM, {}, host_port);
    connection.connecting(ip_server, 5000);
    const auto segment_from = [](std::uint16_t port) { return from_world / to_host / TCP{port, host_port, ack}; };
    const auto datagram_from = [](std::uint16_t port) { return from_world / to_host / UDP{port, host_port}; };
    expect_packet(From::uplink, segment_from(5000), VERDICT_PASS_STACK, segment_from(5000));
    expect_verdict(From::uplink, segment_from(5001), VERDICT_TO_SANDBOX);
    expect_verdict(From::uplink, datagram_from(5000), VERDICT_TO_SANDBOX);  // it listens, but to whomever
    datagrams.connecting(ip_server, 5001);
    expect_packet(From::uplink, datagram_from(5001), VERDICT_PASS_STACK, datagram_from(5001));
    EXPECT_EQ(opened_entries(), 4U);
}

// Where the host is somebody's router.
TEST_P(Published, IsOfTheHostsAddressesAloneWhenItIsPublishedOnAll) {
    publish_on_all();
    expect_verdict(From::uplink, syn_from(5000, ip_server_2), VERDICT_PASS_STACK);
    expect_verdict(From::uplink, syn_from(5000), VERDICT_TO_SANDBOX);
}

TEST_P(Published, IsReachedFromNoGroup) {
    const IPv4 forged{.source = "224.0.0.9"_ip, .destination = ip_uplink};
    expect_verdict(From::uplink, from_world / forged / TCP{5000, host_port}, VERDICT_PASS_STACK);
}

TEST_P(Published, IsNotReachedFromPortZero) {
    expect_verdict(From::uplink, from_world / to_host / UDP{0, host_port}, VERDICT_PASS_STACK);
    EXPECT_EQ(opened_entries(), 0U);
}

TEST_P(Published, IsNoListenersOfTheHosts) {
    HostSocket listener(family(), SOCK_STREAM, {}, host_port);
    listener.listening();
    expect_verdict(From::uplink, syn_from(5000), VERDICT_TO_SANDBOX);
}

TEST_P(Published, IsNoPortForAnotherFlow) {
    EXPECT_NE(port_in_world(From::sandbox_b,
                            from_b / IPv4{.source = ip_b, .destination = ip_server} / TCP{.source_port = host_port}),
              host_port);
    EXPECT_NE(port_in_world(From::sandbox_a,
                            from_a / IPv4{.source = ip_a, .destination = ip_server} / UDP{.source_port = host_port}),
              host_port);
    configure([](network& network) { network.port_min = network.port_max = host_port; });  // nor found by a search
    expect_verdict(From::sandbox_b, from_b / IPv4{.source = ip_b, .destination = ip_server_2} / TCP{.source_port = 1},
                   VERDICT_DROP_NO_PORT);
}

TEST_P(Published, IsNoPortForAnotherFlowWhenItIsPublishedOnAllAddresses) {
    publish_on_all();
    EXPECT_NE(port_in_world(From::sandbox_b,
                            from_b / IPv4{.source = ip_b, .destination = ip_server} / TCP{.source_port = host_port}),
              host_port);
}

// A packet that goes out and in again in one step: both see the host's address.
class Hairpin : public Published {
protected:
    struct Peer {
        From from;
        Ethernet sends, receives;
        Ip ip;
    };
    static constexpr Peer a{From::sandbox_a, from_a, at_a, ip_a}, b{From::sandbox_b, from_b, at_b, ip_b};

    template <typename Segment>
    void expect_both_ways(const Peer& client, Ip host, const Segment& asks, const Segment& asks_at_server,
                          const Segment& answers, const Segment& answers_at_client) {
        expect_packet(client.from, client.sends / IPv4{.source = client.ip, .destination = host} / asks,
                      VERDICT_TO_SANDBOX, at_a / IPv4{.source = host, .destination = ip_a, .ttl = 63} / asks_at_server);
        expect_packet(From::sandbox_a, from_a / IPv4{.source = ip_a, .destination = host} / answers, VERDICT_TO_SANDBOX,
                      client.receives / IPv4{.source = host, .destination = client.ip, .ttl = 63} / answers_at_client);
    }

    void expect_tcp(const Peer& client, Ip host) {
        const auto flags = [&](std::uint8_t asking, std::uint8_t answering) {
            expect_both_ways(client, host, TCP{own_port, host_port, asking}, TCP{own_port, service, asking},
                             TCP{service, own_port, answering}, TCP{host_port, own_port, answering});
        };
        flags(syn, syn | ack);
        flags(ack, ack);
        flags(fin | ack, fin | ack);
    }
};

TEST_P(Hairpin, ReachesAnotherSandboxByTheUplinksAddress) {
    expect_tcp(b, ip_uplink);
    EXPECT_EQ(opened_entries(), 4U);
    EXPECT_EQ(datapath_->usage_of(host_a).flows, 1U);
    EXPECT_EQ(datapath_->usage_of(host_b).flows, 1U);
}

TEST_P(Hairpin, ReachesTheSandboxItselfByTheUplinksAddress) {
    expect_tcp(a, ip_uplink);
}

TEST_P(Hairpin, ReachesAnotherSandboxByTheGatewaysAddress) {
    publish_on_all();
    expect_tcp(b, ip_gateway);
}

TEST_P(Hairpin, ReachesTheSandboxItselfByTheGatewaysAddress) {
    publish_on_all();
    expect_tcp(a, ip_gateway);
}

TEST_P(Hairpin, ReachesAnotherSandboxByUdp) {
    expect_both_ways(b, ip_uplink, UDP{own_port, host_port}, UDP{own_port, service}, UDP{service, own_port},
                     UDP{host_port, own_port});
}

TEST_P(Hairpin, BeginsAnewWhenItsFlowsAreOver) {
    const Frame asks = b.sends / IPv4{.source = ip_b, .destination = ip_uplink} / UDP{own_port, host_port};
    expect_verdict(From::sandbox_b, asks, VERDICT_TO_SANDBOX);
    outlive_flows();
    expect_verdict(From::sandbox_b, asks, VERDICT_TO_SANDBOX);
    expect_new_flows(4);
}

TEST_P(Hairpin, GivesTheClientAPortOfTheRangeWhenItsOwnIsNot) {
    const Frame in = from_b / IPv4{.source = ip_b, .destination = ip_uplink} / TCP{1000, host_port};
    const Outcome outcome = expect_verdict(From::sandbox_b, in, VERDICT_TO_SANDBOX);
    const std::uint16_t port = source_port_of(outcome.packet).value_or(0);
    EXPECT_GE(port, 30000);
    EXPECT_EQ(wrong_checksums(outcome.packet), "");
    expect_packet(From::sandbox_a,
                  from_a / IPv4{.source = ip_a, .destination = ip_uplink} / TCP{service, port, syn | ack},
                  VERDICT_TO_SANDBOX,
                  at_b / IPv4{.source = ip_uplink, .destination = ip_b, .ttl = 63} / TCP{host_port, 1000, syn | ack});
}

TEST_P(Hairpin, WorksWhereNothingElseIsMasqueraded) {
    configure([](network& network) { network.flags = 0; });
    expect_tcp(b, ip_uplink);
    datapath_->clear_flows();
    publish(tcp_protocol, ip_uplink);
    expect_tcp(a, ip_uplink);
}

TEST_P(Hairpin, WorksWhereTheHostsAddressIsNotMasqueraded) {
    configure([&](network& network) {
        network.unmasqueraded[0] = {address_of(ip_uplink), {{~0U, ~0U, ~0U, ~0U}}};
        network.unmasqueraded_count = 1;
    });
    expect_tcp(b, ip_uplink);
}

// As where the only address is that of one host alone, and the default route goes for a moment.
TEST_P(Hairpin, GoesOnWhenNothingNextToTheAddressIsRoutedAnyMore) {
    constexpr Ip alone = "198.18.0.9"_ip;
    run_ip("address add 198.18.0.9/32 dev lo\n");
    publish(udp_protocol, alone);
    const auto meet = [&] {
        expect_both_ways(b, alone, UDP{own_port, host_port}, UDP{own_port, service}, UDP{service, own_port},
                         UDP{host_port, own_port});
    };
    meet();
    run_ip("route del default\n");
    meet();
}

// Its stack says so at once.
TEST_P(Hairpin, LeadsToTheHostWhenTheServerMayHaveNoMoreFlows) {
    sandbox server = sandbox_at(ip_a, host_a, mac_a);
    server.flows_max = 1;
    datapath_->set_sandbox(host_a, server);
    expect_verdict(From::uplink, syn_from(5000), VERDICT_TO_SANDBOX);
    for (int again = 0; again < 2; ++again) {
        const IPv4 sent{.source = ip_b, .destination = ip_uplink},
            handed{.source = ip_b, .destination = ip_uplink, .ttl = 63};
        for (const std::uint16_t port : {own_port, std::uint16_t{1000}}) {
            expect_packet(From::sandbox_b, from_b / sent / TCP{port, host_port}, VERDICT_TO_HOST,
                          from_b / handed / TCP{port, host_port});
        }
    }
    EXPECT_EQ(opened_entries(), 6U) << "the world's, and the client's halves";
}

TEST_P(Hairpin, LeadsToTheHostWhenTheServerIsGone) {
    expect_tcp(b, ip_uplink);
    datapath_->remove_sandbox(host_a);
    datapath_->set_usage(host_a, {.since = CAUSEWAY_NOBODY_SINCE});
    datapath_->remove_flow(published_key(tcp_protocol, ip_uplink, host_port));
    const IPv4 sent{.source = ip_b, .destination = ip_uplink},
        handed{.source = ip_b, .destination = ip_uplink, .ttl = 63};
    expect_packet(From::sandbox_b, from_b / sent / TCP{own_port, host_port, ack}, VERDICT_TO_HOST,
                  from_b / handed / TCP{own_port, host_port, ack});
}

TEST_P(Hairpin, IsDroppedAndAnsweredWhenTheTtlIsUsedUp) {
    expect_verdict(From::sandbox_b,
                   from_b / IPv4{.source = ip_b, .destination = ip_uplink, .ttl = 1} / TCP{own_port, host_port},
                   VERDICT_DROP_TTL_EXPIRED);
}

TEST_P(Hairpin, IsDroppedAndAnsweredWhenTheClientHasNoFlowLeft) {
    configure([](network& network) { network.flows_max = 0; });
    expect_verdict(From::sandbox_b, from_b / IPv4{.source = ip_b, .destination = ip_uplink} / TCP{own_port, host_port},
                   VERDICT_DROP_FLOW_QUOTA);
}

TEST_P(Hairpin, LeadsToTheHostWhereASocketConversesWithThatSandbox) {
    HostSocket connection(family(), SOCK_STREAM, ip_uplink, host_port);
    connection.connecting(ip_b, 80);
    expect_verdict(From::sandbox_b,
                   from_b / IPv4{.source = ip_b, .destination = ip_uplink} / TCP{80, host_port, syn | ack},
                   VERDICT_TO_HOST);
}

TEST_P(Hairpin, LeadsToTheHostWhenThePortIsNotPublished) {
    const Frame frame = from_b / IPv4{.source = ip_b, .destination = ip_uplink} / TCP{own_port, 22};
    expect_packet(From::sandbox_b, frame, VERDICT_TO_HOST, frame);
    const Frame ping = from_b / IPv4{.source = ip_b, .destination = ip_uplink} / ICMP{.identifier = host_port};
    expect_packet(From::sandbox_b, ping, VERDICT_TO_HOST, ping);
    EXPECT_EQ(opened_entries(), 0U);
}

class HairpinOfIPv4 : public Hairpin {};

TEST_P(HairpinOfIPv4, GivesThePacketAnIdentificationOfTheHostsWhenItMayBeFragmented) {
    IPv4 in{.source = ip_b, .destination = ip_uplink, .dont_fragment = false};
    IPv4 out{.source = ip_uplink,
             .destination = ip_a,
             .ttl = 63,
             .identification = first_identification,
             .dont_fragment = false};
    expect_packet(From::sandbox_b, from_b / in / UDP{own_port, host_port}, VERDICT_TO_SANDBOX,
                  at_a / out / UDP{own_port, service});
}

RUN_IN_EACH_FAMILY(Published);
RUN_IN_EACH_FAMILY(PublishedBesideOwnFlows);
RUN_IN_IPV4(PublishedOfIPv4);
RUN_IN_EACH_FAMILY(Hairpin);
RUN_IN_IPV4(HairpinOfIPv4);

}  // namespace
}  // namespace causeway::test::published_test
