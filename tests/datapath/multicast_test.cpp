// SPDX-License-Identifier: Apache-2.0
// What sandboxes of a network with multicast say to all on their link: who hears it, and what nobody may say.
#include "tests/datapath/live_fixture.hpp"

namespace causeway::test::multicast_test {
namespace {

constexpr Mac mac_group = "01:00:5e:00:00:fb"_mac;
constexpr Ip ip_mdns = "224.0.0.251"_ip;
constexpr Ethernet to_group_a{.source = mac_a, .destination = mac_group};
constexpr UDP mdns{.source_port = 5353, .destination_port = 5353};

// The link-local address that a MAC makes: 02:00:00:00:00:0a, fe80::ff:fe00:a.
Ip6 link_local_of(const Mac& mac) {
    Ip6 ip = "fe80::ff:fe00:0"_ip6;
    ip.bytes[8] = mac.bytes[0] ^ 2;
    ip.bytes[9] = mac.bytes[1];
    ip.bytes[10] = mac.bytes[2];
    std::copy(mac.bytes.begin() + 3, mac.bytes.end(), ip.bytes.begin() + 13);
    return ip;
}

sandbox member_at(Ip ip, std::uint32_t ifindex, const Mac& mac, std::uint32_t network = network_id) {
    auto identity = sandbox_at(ip, ifindex, mac);
    identity.link.flags = LINK_MULTICAST;
    identity.network = network;
    return identity;
}

Row of_a(const char* name, const Frame& in, enum verdict verdict) {
    return {.name = name, .from = From::sandbox_a, .in = in, .verdict = verdict};
}

const IPv4 said_by_a{.source = ip_a, .destination = ip_mdns, .ttl = 255};
const IPv6 said_by_a_in_ipv6{.source = ip6_of(ip_a), .destination = "ff02::fb"_ip6, .hop_limit = 255};

IPv4 to(Ip destination) {
    return {.source = ip_a, .destination = destination};
}

IPv6 to(const Ip6& destination, const Ip6& source = ip6_of(ip_a)) {
    return {.source = source, .destination = destination};
}

const Row rows[] = {
    of_a("IsHeardWhenItIsADatagram", to_group_a / said_by_a / mdns / Payload{"who?"}, VERDICT_TO_GROUP),
    of_a("IsHeardWhenItIsAPing", to_group_a / to(ip_mdns) / ICMP{}, VERDICT_TO_GROUP),
    of_a("IsHeardWhenItIsAFirstFragment",
         to_group_a / IPv4{.source = ip_a, .destination = ip_mdns, .dont_fragment = false, .more_fragments = true} /
             mdns / Payload{"of many"},
         VERDICT_TO_GROUP),
    of_a("IsHeardWhenItIsALaterFragment",
         to_group_a /
             IPv4{.source = ip_a,
                  .destination = ip_mdns,
                  .protocol = udp_protocol,
                  .dont_fragment = false,
                  .fragment_offset = 100} /
             Payload{"and so on"},
         VERDICT_TO_GROUP),
    of_a("IsDroppedWhenItIsALaterFragmentOfAQuery",
         to_group_a /
             IPv4{.source = ip_a,
                  .destination = ip_mdns,
                  .protocol = icmp_protocol,
                  .dont_fragment = false,
                  .fragment_offset = 100} /
             Payload{"and so on"},
         VERDICT_DROP_MULTICAST),
    of_a("IsDroppedWhenItsAddressIsNot", to_group_a / IPv4{.source = ip_b, .destination = ip_mdns} / mdns,
         VERDICT_DROP_SPOOFED_ADDRESS),
    of_a("IsDroppedWhenItsMacIsNot", Ethernet{.source = mac_b, .destination = mac_group} / said_by_a / mdns,
         VERDICT_DROP_SPOOFED_MAC),
    of_a("IsDroppedWhenTheFrameIsForTheGateway", from_a / said_by_a / mdns, VERDICT_DROP_MULTICAST),
    of_a("IsDroppedWhenTheAddressIsOfOne", to_group_a / to(ip_b) / mdns, VERDICT_DROP_MULTICAST),
    of_a("IsDroppedWhenItIsAStream", to_group_a / said_by_a / TCP{}, VERDICT_DROP_MULTICAST),
    of_a("IsDroppedWhenItIsAnAnswerToAPing", to_group_a / said_by_a / ICMP{.type = 0}, VERDICT_DROP_MULTICAST),
    of_a("IsDroppedWhenItIsAnError", to_group_a / said_by_a / IcmpError{} / to(ip_b) / TCP{}, VERDICT_DROP_MULTICAST),
    of_a("IsDroppedWhenItIsARoutersProtocol",
         to_group_a / IPv4{.source = ip_a, .destination = ip_mdns, .protocol = 112} / Payload{"I am your gateway"},
         VERDICT_DROP_MULTICAST),
    of_a("IsDroppedWhenItIsCutShort", (to_group_a / said_by_a / mdns).cut(14 + 20 + 4), VERDICT_DROP_TRUNCATED),

    only_ipv4(of_a("IsHeardByTheBroadcastAddress",
                   Ethernet{.source = mac_a, .destination = mac_broadcast} / to("255.255.255.255"_ip) / UDP{},
                   VERDICT_TO_GROUP)),
    only_ipv4(of_a("IsHeardByTheBroadcastAddressOfTheSubnet",
                   Ethernet{.source = mac_a, .destination = mac_broadcast} / to("10.0.0.255"_ip) / UDP{},
                   VERDICT_TO_GROUP)),
    only_ipv4(of_a("IsDroppedByTheBroadcastAddressOfAnotherSubnet",
                   Ethernet{.source = mac_a, .destination = mac_broadcast} / to("10.0.1.255"_ip) / UDP{},
                   VERDICT_DROP_MULTICAST)),
    only_ipv4(of_a("IsHeardInTheLocalScope", to_group_a / to("239.255.255.250"_ip) / UDP{}, VERDICT_TO_GROUP)),
    only_ipv4(of_a("IsDroppedInAWiderScope", to_group_a / to("239.192.0.1"_ip) / UDP{}, VERDICT_DROP_MULTICAST)),
    only_ipv4(
        of_a("IsDroppedWhenRoutersWouldForwardIt", to_group_a / to("224.0.1.1"_ip) / UDP{}, VERDICT_DROP_MULTICAST)),
    only_ipv4(of_a(
        "IsDroppedWhenItIsAListenersReport",
        to_group_a / IPv4{.source = ip_a, .destination = "224.0.0.22"_ip, .ttl = 1, .protocol = 2} / Payload{"IGMP"},
        VERDICT_DROP_MULTICAST)),
    only_ipv4(of_a("IsDroppedWhenADhcpServerAnswers",
                   Ethernet{.source = mac_a, .destination = mac_broadcast} / to("255.255.255.255"_ip) / UDP{67, 68},
                   VERDICT_DROP_MULTICAST)),
    only_ipv4(of_a("IsDroppedWhenADhcpServerIsAsked",
                   Ethernet{.source = mac_a, .destination = mac_broadcast} / to("255.255.255.255"_ip) / UDP{68, 67},
                   VERDICT_DROP_MULTICAST)),

    only_ipv6(of_a("IsHeardUnderTheLinkLocalAddress", to_group_a / to("ff02::fb"_ip6, link_local_of(mac_a)) / mdns,
                   VERDICT_TO_GROUP)),
    only_ipv6(of_a("IsDroppedUnderAnothersLinkLocalAddress",
                   to_group_a / to("ff02::fb"_ip6, link_local_of(mac_b)) / mdns, VERDICT_DROP_SPOOFED_ADDRESS)),
    only_ipv6(of_a("IsDroppedUnderTheGatewaysLinkLocalAddress",
                   to_group_a / to("ff02::fb"_ip6, link_local_of(mac_gateway)) / mdns, VERDICT_DROP_SPOOFED_ADDRESS)),
    only_ipv6(
        of_a("IsDroppedUnderNoAddress", to_group_a / to("ff02::fb"_ip6, Ip6{}) / mdns, VERDICT_DROP_SPOOFED_ADDRESS)),
    only_ipv6(of_a("IsHeardInTransientGroupsOfTheLink", to_group_a / to("ff12::1234"_ip6) / mdns, VERDICT_TO_GROUP)),
    only_ipv6(of_a("IsHeardInTheRealm", to_group_a / to("ff03::fb"_ip6) / mdns, VERDICT_TO_GROUP)),
    only_ipv6(of_a("IsDroppedInTheScopeOfTheInterface", to_group_a / to("ff01::1"_ip6) / mdns, VERDICT_DROP_MULTICAST)),
    only_ipv6(of_a("IsDroppedInTheScopeOfTheSite", to_group_a / to("ff05::c"_ip6) / mdns, VERDICT_DROP_MULTICAST)),
    only_ipv6(of_a("IsDroppedBehindMoreHeadersThanAreRead",
                   to_group_a / said_by_a_in_ipv6 / Extension{} / Extension{} / Extension{} / Extension{} /
                       Extension{} / Extension{} / Extension{} / mdns,
                   VERDICT_DROP_MULTICAST)),
    only_ipv6(of_a("IsDroppedWhenADhcpServerAnswers", to_group_a / said_by_a_in_ipv6 / UDP{547, 546},
                   VERDICT_DROP_MULTICAST)),
    only_ipv6(of_a("IsDroppedWhenADhcpServerIsAsked", to_group_a / to("ff02::1:2"_ip6) / UDP{546, 547},
                   VERDICT_DROP_MULTICAST)),
    only_ipv6(
        of_a("IsDroppedWhenItIsAListenersReport",
             to_group_a / to("ff02::16"_ip6, link_local_of(mac_a)) / Extension{.kind = hop_by_hop} / ICMP{.type = 143},
             VERDICT_DROP_MULTICAST)),
    only_ipv6(
        of_a("IsDroppedWhenItIsAQuerier",
             to_group_a / to("ff02::1"_ip6, link_local_of(mac_a)) / Extension{.kind = hop_by_hop} / ICMP{.type = 130},
             VERDICT_DROP_MULTICAST)),
    only_ipv6(of_a("IsDroppedWhenItIsARoutersAdvertisement",
                   to_group_a / IPv6{.source = link_local_of(mac_a), .destination = "ff02::1"_ip6, .hop_limit = 255} /
                       ICMP{.type = 134},
                   VERDICT_DROP_BAD_ND)),
    only_ipv6(of_a("IsDroppedWhenItIsARoutersAdvertisementBehindAHeader",
                   to_group_a / IPv6{.source = link_local_of(mac_a), .destination = "ff02::1"_ip6, .hop_limit = 255} /
                       Extension{} / ICMP{.type = 134},
                   VERDICT_DROP_BAD_ND)),
    only_ipv6(of_a(
        "IsDroppedWhenItIsANeighboursAdvertisement",
        to_group_a / IPv6{.source = ip6_of(ip_a), .destination = "ff02::1"_ip6, .hop_limit = 255} / ICMP{.type = 136},
        VERDICT_DROP_BAD_ND)),
};

class MulticastTable : public DatapathTable {
protected:
    void SetUp() override {
        DatapathTable::SetUp();
        datapath_->set_sandbox(host_a, member_at(ip_a, host_a, mac_a));
        datapath_->set_sandbox(host_b, member_at(ip_b, host_b, mac_b));
    }
};

// What is copied keeps the MAC that the copies have: see below.
TEST_P(MulticastTable, Row) {
    const Row& row = GetParam().second;
    if (row.verdict == VERDICT_TO_GROUP) {
        expect_verdict(row.from, row.in, row.verdict);
    } else {
        expect_this_row();
    }
}

INSTANTIATE_TEST_SUITE_P(, MulticastTable, testing::ValuesIn(in_each_family(rows)), name_of_row);

class Multicast : public Live {
protected:
    void SetUp() override {
        Live::SetUp();
        datapath_->set_sandbox(host_a, member_at(ip_a, host_a, mac_a));
        datapath_->set_sandbox(host_b, member_at(ip_b, host_b, mac_b));
    }

    void say(const Frame& frame, enum verdict verdict = VERDICT_TO_GROUP) {
        expect_verdict(From::sandbox_a, frame, verdict);
    }
};

const Frame question = to_group_a / said_by_a / mdns / Payload{"who?"};
const Frame question_at_b =
    Ethernet{.source = mac_gateway, .destination = mac_group} / said_by_a / mdns / Payload{"who?"};

TEST_P(Multicast, ReachesTheOtherSandboxUnderTheGatewaysMacAndNobodyElse) {
    Wire a = far_end("a"), b = far_end("b"), router = far_end("router"), gateway("cw0");
    expect_end(a, question, VERDICT_TO_GROUP);
    EXPECT_EQ(difference(bytes_of(question_at_b), b.receive()), "");
    EXPECT_TRUE(a.receive(50).empty());
    EXPECT_TRUE(b.receive(0).empty()) << "once";
    EXPECT_TRUE(router.receive(0).empty());
    EXPECT_TRUE(gateway.receive(0).empty());
    EXPECT_EQ(datapath_->traffic_of(host_a).sent_packets, 1U);
    EXPECT_EQ(datapath_->traffic_of(host_a).dropped_packets, 0U);
    EXPECT_EQ(datapath_->traffic_of(host_b).received_packets, 1U);
    EXPECT_EQ(datapath_->traffic_of(host_b).received_bytes, bytes_of(question).size());
    EXPECT_EQ(datapath_->traffic_of(host_a).received_packets, 0U);
}

TEST_P(Multicast, DoesNotReachAnotherNetwork) {
    Wire b = far_end("b");
    datapath_->set_sandbox(host_b, member_at(ip_b, host_b, mac_b, network_id + 1));
    say(question);
    EXPECT_TRUE(b.receive(50).empty());
}

TEST_P(Multicast, DoesNotReachASandboxWithoutAnAddressOfThatFamily) {
    Wire b = far_end("b");
    auto identity = member_at(ip_b, host_b, mac_b);
    identity.address[family() == Family::ipv6 ? FAMILY_IPV6 : FAMILY_IPV4] = {};
    datapath_->set_sandbox(host_b, identity);
    say(question);
    EXPECT_TRUE(b.receive(50).empty());
}

TEST_P(Multicast, ReachesNobodyWhereItIsNotConfigured) {
    Wire b = far_end("b");
    datapath_->set_sandbox(host_a, sandbox_at(ip_a, host_a, mac_a));
    say(question, VERDICT_DROP_MULTICAST);
    EXPECT_TRUE(b.receive(50).empty());
}

// The rate is so low that no second packet could come by it while the test runs.
TEST_P(Multicast, IsDroppedBeyondTheRate) {
    configure([](network& network) { network.multicast_per_second = 3; });
    usage taken{};
    taken.grouping = ~0ULL >> 2;  // as if it had sent for long
    datapath_->set_usage(host_a, taken);
    Wire b = far_end("b");
    say(question, VERDICT_DROP_MULTICAST_RATE);
    EXPECT_TRUE(b.receive(50).empty());
    datapath_->set_usage(host_a, {});
    say(question);
    EXPECT_EQ(difference(bytes_of(question_at_b), b.receive()), "");
    EXPECT_EQ(datapath_->traffic_of(host_a).dropped_packets, 1U);
}

// One packet takes a second and so the whole burst, whatever the time between the two.
TEST_P(Multicast, CountsEachDatagramThatWillBeCutOff) {
    configure([](network& network) { network.multicast_per_second = 1000; });
    const Frame train = to_group_a / said_by_a / mdns / Payload{std::string(1400, 'x')};
    expect_verdict(From::sandbox_a, train, VERDICT_TO_GROUP, {.gso_size = 10, .gso_segs = 60'000});
    say(question, VERDICT_DROP_MULTICAST_RATE);
}

// As a tap's guest has it: how long each is, and not how many.
TEST_P(Multicast, CountsEachDatagramThatWillBeCutOffWithoutBeingToldHowMany) {
    configure([](network& network) { network.multicast_per_second = 10; });
    const Frame train = to_group_a / said_by_a / mdns / Payload{std::string(1400, 'x')};
    expect_verdict(From::sandbox_a, train, VERDICT_TO_GROUP, {.gso_size = 10});
    say(question, VERDICT_DROP_MULTICAST_RATE);
}

RUN_IN_EACH_FAMILY(Multicast);

// Who hears the others' groups is answered under its link-local address.
class MulticastLink : public Multicast {
protected:
    static Frame from_a_to(const Ip6& destination) { return from_a / to(destination, link_local_of(mac_a)) / mdns; }

    static Frame asked_for(const Ip6& target) {
        return from_a / IPv6{.source = ip6_of(ip_a), .destination = target, .hop_limit = 255} /
               Neighbour{.target = target};
    }
};

TEST_P(MulticastLink, LeadsFromOneLinkLocalAddressToTheOther) {
    expect_packet(From::sandbox_a, from_a_to(link_local_of(mac_b)), VERDICT_TO_SANDBOX,
                  at_b / to(link_local_of(mac_b), link_local_of(mac_a)) / mdns);
    expect_verdict(From::sandbox_a, from_a_to(link_local_of(mac_stranger)), VERDICT_DROP_NO_ENDPOINT);
    expect_verdict(From::sandbox_a, from_a_to(ip6_of(ip_b)), VERDICT_DROP_SPOOFED_ADDRESS);
    expect_verdict(From::sandbox_a, from_b / to(link_local_of(mac_b), link_local_of(mac_a)) / mdns,
                   VERDICT_DROP_SPOOFED_MAC);
    expect_verdict(From::sandbox_a, from_a / to(link_local_of(mac_b), link_local_of(mac_stranger)) / mdns,
                   VERDICT_DROP_SPOOFED_ADDRESS);
    expect_verdict(
        From::sandbox_a,
        Ethernet{.source = mac_a, .destination = mac_b} / to(link_local_of(mac_b), link_local_of(mac_a)) / mdns,
        VERDICT_DROP_NOT_GATEWAY_MAC);
}

TEST_P(MulticastLink, IsTheNetworksOwn) {
    auto elsewhere = member_at(ip_b, host_b, mac_b, network_id + 1);
    elsewhere.gateway_ifindex = lan_device;
    datapath_->set_sandbox(host_b, elsewhere);
    expect_verdict(From::sandbox_a, from_a_to(link_local_of(mac_b)), VERDICT_DROP_NO_ENDPOINT);
    expect_verdict(From::sandbox_a, asked_for(link_local_of(mac_b)), VERDICT_DROP_ND_NO_ANSWER);
}

TEST_P(MulticastLink, IsFoundByNeighbourDiscovery) {
    expect_verdict(From::sandbox_a, asked_for(link_local_of(mac_b)), VERDICT_ND_ANSWERED);
    expect_verdict(From::sandbox_a, asked_for(link_local_of(mac_a)), VERDICT_DROP_ND_NO_ANSWER);
    expect_verdict(From::sandbox_a, asked_for(link_local_of(mac_stranger)), VERDICT_DROP_ND_NO_ANSWER);
    datapath_->set_sandbox(host_a, sandbox_at(ip_a, host_a, mac_a));
    expect_verdict(From::sandbox_a, asked_for(link_local_of(mac_b)), VERDICT_DROP_ND_NO_ANSWER);
}

TEST_P(MulticastLink, IsBoundByTheRate) {
    configure([](network& network) { network.multicast_per_second = 1; });
    usage taken{};
    taken.grouping = ~0ULL >> 2;
    datapath_->set_usage(host_a, taken);
    expect_verdict(From::sandbox_a, from_a_to(link_local_of(mac_b)), VERDICT_DROP_MULTICAST_RATE);
    expect_verdict(From::sandbox_a, from_a_to(link_local_of(mac_gateway)), VERDICT_DROP_MULTICAST_RATE);
    expect_verdict(From::sandbox_a, asked_for(link_local_of(mac_b)), VERDICT_DROP_MULTICAST_RATE);
    expect_verdict(From::sandbox_a, asked_for(link_local_of(mac_gateway)), VERDICT_ND_ANSWERED);
}

RUN_IN_IPV6(MulticastLink);

}  // namespace
}  // namespace causeway::test::multicast_test
