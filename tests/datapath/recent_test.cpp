// SPDX-License-Identifier: Apache-2.0
// Packets that follow others like them in the same tick of the kernel's clock: what was decided for those holds for
// them too, and for none that differs, nor after a change.
#include "tests/datapath/datapath_fixture.hpp"

namespace causeway::test::recent_test {
namespace {

constexpr IPv4 a_to_b{.source = ip_a, .destination = ip_b}, a_to_server{.source = ip_a, .destination = ip_server},
    host_to_a{.source = ip_gateway, .destination = ip_a};
constexpr std::uint16_t own = 40000, service = 443;

class Recent : public InEachFamily {
protected:
    // Sends it until what is decided is known.
    void prime(From from, const Frame& frame, enum verdict verdict) {
        for (int i = 0; i < 3; ++i) {
            expect_verdict(from, frame, verdict);
        }
    }
};

// --- to another sandbox ---

class RecentPeer : public Recent {
protected:
    void SetUp() override {
        Recent::SetUp();
        prime(From::sandbox_a, segment, VERDICT_TO_SANDBOX);
    }

    const Frame segment = from_a / a_to_b / TCP{own, service, ack} / Payload{"again"};
};

TEST_P(RecentPeer, IsSentToAsBefore) {
    expect_packet(From::sandbox_a, segment, VERDICT_TO_SANDBOX,
                  at_b / a_to_b / TCP{own, service, ack} / Payload{"again"});
    expect_packet(From::sandbox_a, from_a / a_to_b / UDP{53, 53} / Payload{"another protocol"}, VERDICT_TO_SANDBOX,
                  at_b / a_to_b / UDP{53, 53} / Payload{"another protocol"});
}

TEST_P(RecentPeer, HasEachPacketCounted) {
    const auto sent = datapath_->traffic_of(host_a), received = datapath_->traffic_of(host_b);
    EXPECT_EQ(sent.sent_packets, 3U);
    EXPECT_EQ(sent.sent_bytes, 3 * bytes_of(segment).size());
    EXPECT_EQ(received.received_packets, 3U);
    EXPECT_EQ(received.received_bytes, 3 * bytes_of(segment).size());
}

TEST_P(RecentPeer, HearsNothingWithAMacThatIsNotTheSenders) {
    const Ethernet forged{.source = mac_b, .destination = mac_gateway};
    expect_verdict(From::sandbox_a, forged / a_to_b / TCP{}, VERDICT_DROP_SPOOFED_MAC);
}

TEST_P(RecentPeer, HearsNothingThatIsNotForTheGatewaysMac) {
    const Ethernet past_it{.source = mac_a, .destination = mac_b},
        to_all{.source = mac_a, .destination = mac_broadcast};
    expect_verdict(From::sandbox_a, past_it / a_to_b / TCP{}, VERDICT_DROP_NOT_GATEWAY_MAC);
    expect_verdict(From::sandbox_a, to_all / a_to_b / TCP{}, VERDICT_DROP_MULTICAST);
}

TEST_P(RecentPeer, HearsNothingFromAnAddressThatIsNotTheSenders) {
    expect_verdict(From::sandbox_a, from_a / IPv4{.source = ip_unused, .destination = ip_b} / TCP{},
                   VERDICT_DROP_SPOOFED_ADDRESS);
}

TEST_P(RecentPeer, HearsNothingOfTheSameFromAnothersLink) {
    expect_verdict(From::sandbox_b, segment, VERDICT_DROP_SPOOFED_MAC);
    expect_verdict(From::unknown_link, segment, VERDICT_DROP_UNKNOWN_SANDBOX);
}

TEST_P(RecentPeer, HearsNothingThatIsTaggedOrMalformed) {
    expect_verdict(From::sandbox_a, from_a / Vlan{} / a_to_b / TCP{}, VERDICT_DROP_ETHERTYPE);
    IPv4 longer = a_to_b;
    longer.total_length = 1400;
    expect_verdict(From::sandbox_a, from_a / longer / TCP{}, VERDICT_DROP_TRUNCATED);
    IPv4 of_another = a_to_b;
    of_another.version = 5;
    expect_verdict(From::sandbox_a, from_a / of_another / TCP{}, VERDICT_DROP_BAD_HEADER);
}

TEST_P(RecentPeer, IsNotReachedWhenItIsGone) {
    datapath_->set_endpoint(address_of(ip_b), {.kind = ENDPOINT_CLAIMED});
    const auto before = datapath_->traffic_of(host_b).received_packets;
    datapath_->run(Program::from_sandbox, bytes_of(segment), {.ifindex = host_a});
    EXPECT_EQ(datapath_->traffic_of(host_b).received_packets, before);
}

TEST_P(RecentPeer, IsNotReachedWhenItsNetworkIsIsolatedNow) {
    auto identity = sandbox_at(ip_a, host_a, mac_a);
    identity.link.flags = LINK_ISOLATED;
    datapath_->set_sandbox(host_a, identity);
    expect_verdict(From::sandbox_a, segment, VERDICT_DROP_ISOLATED);
}

TEST_P(RecentPeer, IsNotReachedByWhomTheControlPlaneHasRemoved) {
    datapath_->remove_sandbox(host_a);
    expect_verdict(From::sandbox_a, segment, VERDICT_DROP_UNKNOWN_SANDBOX);
}

// --- from the host ---

TEST_P(Recent, PeerOfTheHostsHearsNothingThatTheHostForwards) {
    const Frame datagram = from_the_host / host_to_a / UDP{53, own};
    prime(From::host, datagram, VERDICT_TO_SANDBOX);
    expect_packet(From::host, datagram, VERDICT_TO_SANDBOX, at_a / host_to_a / UDP{53, own});
    EXPECT_EQ(datapath_->traffic_of(host_a).received_packets, 4U);
    expect_verdict(From::host, datagram, VERDICT_DROP_UNSOLICITED, {.ingress_ifindex = uplink_device});
}

// --- to the world and back ---

class RecentFlow : public Recent {
protected:
    void SetUp() override {
        Recent::SetUp();
        prime(From::sandbox_a, segment, VERDICT_TO_WORLD);
        prime(From::uplink, reply, VERDICT_TO_SANDBOX);
    }

    flow sent() const {
        return datapath_->flow_at(key_of(tcp_protocol, ip_a, own, ip_server, service, host_a)).value_or(flow{});
    }

    static Frame to_server(const IPv4& ip, const TCP& tcp = {own, service, ack}) { return from_a / ip / tcp; }

    const Frame segment = to_server(a_to_server);
    const Frame reply = from_world / IPv4{.source = ip_server, .destination = ip_uplink, .ttl = 50} /
                        TCP{service, own, ack} / Payload{"yes"};
};

TEST_P(RecentFlow, IsTranslatedAsBefore) {
    const IPv4 seen{.source = ip_uplink, .destination = ip_server, .ttl = 63};
    expect_packet(From::sandbox_a, from_a / a_to_server / TCP{own, service, ack} / Payload{"and more"},
                  VERDICT_TO_WORLD, from_a / seen / TCP{own, service, ack} / Payload{"and more"});
    expect_packet(
        From::uplink, reply, VERDICT_TO_SANDBOX,
        at_a / IPv4{.source = ip_server, .destination = ip_a, .ttl = 49} / TCP{service, own, ack} / Payload{"yes"});
}

TEST_P(RecentFlow, HasEachPacketCounted) {
    const auto traffic = datapath_->traffic_of(host_a);
    EXPECT_EQ(traffic.sent_packets, 3U);
    EXPECT_EQ(traffic.sent_bytes, 3 * bytes_of(segment).size());
    EXPECT_EQ(traffic.received_packets, 3U);
}

TEST_P(RecentFlow, IsNotAnothersWhoForgesItsMacOrAddress) {
    const Ethernet forged{.source = mac_b, .destination = mac_gateway};
    expect_verdict(From::sandbox_a, forged / a_to_server / TCP{own, service, ack}, VERDICT_DROP_SPOOFED_MAC);
    expect_verdict(From::sandbox_b, segment, VERDICT_DROP_SPOOFED_MAC);
    expect_verdict(From::sandbox_b, from_b / a_to_server / TCP{own, service, ack}, VERDICT_DROP_SPOOFED_ADDRESS);
}

TEST_P(RecentFlow, EndsWhereTheTtlDoes) {
    IPv4 last = a_to_server;
    last.ttl = 1;
    expect_verdict(From::sandbox_a, to_server(last), VERDICT_DROP_TTL_EXPIRED);
}

TEST_P(RecentFlow, CarriesNothingThatIsTooBig) {
    const Payload large{std::string(1500, 'x')};
    expect_verdict(From::sandbox_a, to_server(a_to_server) / large, VERDICT_DROP_TOO_BIG);
}

TEST_P(RecentFlow, SeesWhatBeginsAndEndsAConnection) {
    EXPECT_EQ(sent().seen, SEEN_ACK);
    expect_verdict(From::sandbox_a, to_server(a_to_server, {own, service, fin | ack}), VERDICT_TO_WORLD);
    EXPECT_EQ(sent().seen, SEEN_ACK | SEEN_FIN);
    expect_verdict(From::sandbox_a, to_server(a_to_server, {own, service, rst | ack}), VERDICT_TO_WORLD);
    EXPECT_EQ(sent().seen, SEEN_ACK | SEEN_FIN | SEEN_RST);
}

TEST_P(RecentFlow, IsSeenToBeInUseAsLongAsItIs) {
    const auto begun = sent().last_seen;
    for (int i = 0; i < 60; ++i) {
        expect_verdict(From::sandbox_a, segment, VERDICT_TO_WORLD);
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    EXPECT_GE(sent().last_seen, begun + 40'000'000);  // a tick is no longer than 10 ms
}

TEST_P(RecentFlow, IsGoneWhenItIsRemoved) {
    datapath_->clear_flows();
    expect_verdict(From::uplink, reply, VERDICT_PASS_STACK);
}

// Of what may be cut up on its way, each packet has an identification of its own.
class RecentFlowOfIPv4 : public Recent {};

TEST_P(RecentFlowOfIPv4, GivesEachPacketItsOwnIdentification) {
    IPv4 ip = a_to_server;
    ip.dont_fragment = false;
    const Frame datagram = from_a / ip / UDP{own, 53};
    const auto identification = [&] {
        const Bytes seen = expect_verdict(From::sandbox_a, datagram, VERDICT_TO_WORLD).packet;
        return seen[18] << 8 | seen[19];
    };
    const int first = identification();
    for (int i = 1; i < 5; ++i) {
        EXPECT_EQ(identification(), first + i);
    }
}

TEST_P(RecentFlowOfIPv4, CarriesNothingWithAWrongHeaderChecksum) {
    const Frame datagram = from_a / a_to_server / UDP{own, 53};
    prime(From::sandbox_a, datagram, VERDICT_TO_WORLD);
    IPv4 wrong = a_to_server;
    wrong.checksum = 0x1234;
    expect_verdict(From::sandbox_a, from_a / wrong / UDP{own, 53}, VERDICT_DROP_BAD_HEADER);
}

RUN_IN_EACH_FAMILY(Recent);
RUN_IN_EACH_FAMILY(RecentPeer);
RUN_IN_EACH_FAMILY(RecentFlow);
RUN_IN_IPV4(RecentFlowOfIPv4);

}  // namespace
}  // namespace causeway::test::recent_test
