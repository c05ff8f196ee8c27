// SPDX-License-Identifier: Apache-2.0
// The way to the world is the host's own: its routes, its rules, its source addresses, its MTU.
#include "tests/datapath/datapath_fixture.hpp"
#include "tests/datapath/fragments.hpp"

namespace causeway::test::route_test {
namespace {

constexpr std::uint8_t net_unreachable = 0, host_unreachable = 1, prohibited = 13;  // codes of ICMP "unreachable"

IPv4 a_to(Ip destination, std::uint8_t ttl = 64) {
    return {.source = ip_a, .destination = destination, .ttl = ttl};
}

Frame syn_to(Ip destination) {
    return from_a / a_to(destination) / TCP{};
}

// What leaves: a hop further, from another address.
Frame syn_from(Ip source, Ip destination) {
    return from_a / IPv4{.source = source, .destination = destination, .ttl = 63} / TCP{};
}

class Route : public InEachFamily {};

TEST_P(Route, LeadsToTheWorldWhenThereIsADefaultRoute) {
    expect_packet(From::sandbox_a, syn_to(ip_server), VERDICT_TO_WORLD, syn_from(ip_uplink, ip_server));
}

TEST_P(Route, LeadsToTheWorldWhenThePeerIsOnTheUplinksOwnLink) {
    expect_packet(From::sandbox_a, syn_to(ip_router), VERDICT_TO_WORLD, syn_from(ip_uplink, ip_router));
}

TEST_P(Route, NamesTheSourceWhenItHasOne) {
    run_ip(
        "address add 203.0.113.7/24 dev up0\n"
        "route add 198.51.100.0/24 via 203.0.113.254 src 203.0.113.7\n");
    expect_packet(From::sandbox_a, syn_to(ip_server), VERDICT_TO_WORLD, syn_from("203.0.113.7"_ip, ip_server));
}

TEST_P(Route, NamesTheSourceWhenItLeavesByAnotherUplink) {
    datapath_->set_uplink(lan_device, uplink_at("10.9.0.1"_ip));
    run_ip("route add 198.51.100.0/24 via 10.9.0.254\n");
    expect_packet(From::sandbox_a, syn_to(ip_server), VERDICT_TO_WORLD, syn_from("10.9.0.1"_ip, ip_server));
    expect_packet(From::sandbox_a, syn_to("203.0.113.77"_ip), VERDICT_TO_WORLD, syn_from(ip_uplink, "203.0.113.77"_ip));
}

TEST_P(Route, IsChosenByTheHostsRulesWhenTheyNameTheGatewayDevice) {
    run_ip(
        "rule add iif cw0 lookup 100\n"
        "route add blackhole default table 100\n");
    expect_verdict(From::sandbox_a, syn_to(ip_server), VERDICT_DROP_NO_ROUTE);
}

TEST_P(Route, IsChosenByTheHostsRulesWhenTheyNameTheSandboxsAddress) {
    run_ip(
        "rule add from 10.0.0.2 lookup 100\n"
        "route add prohibit default table 100\n");
    route_answer_.code = prohibited;
    expect_verdict(From::sandbox_a, syn_to(ip_server), VERDICT_DROP_NO_ROUTE);
    expect_verdict(From::sandbox_b, from_b / IPv4{.source = ip_b, .destination = ip_server} / TCP{}, VERDICT_TO_WORLD);
}

TEST_P(Route, IsChosenByTheHostsRulesWhenTheyNameAPort) {
    run_ip(
        "rule add ipproto tcp dport 25 lookup 100\n"
        "route add prohibit default table 100\n");
    route_answer_.code = prohibited;
    expect_verdict(From::sandbox_a, from_a / a_to(ip_server) / TCP{.destination_port = 25}, VERDICT_DROP_NO_ROUTE);
    expect_verdict(From::sandbox_a, syn_to(ip_server), VERDICT_TO_WORLD);
}

// A new flow's source is the one of its own way, whatever another flow to that destination was given a moment ago.
TEST_P(Route, NamesItsOwnSourceWhenARuleChoosesItByThePort) {
    run_ip(
        "address add 203.0.113.7/24 dev up0\n"
        "route replace default via 203.0.113.254 src 203.0.113.1\n"
        "rule add ipproto tcp dport 25 lookup 100\n"
        "route add default via 203.0.113.254 dev up0 src 203.0.113.7 table 100\n");
    expect_packet(From::sandbox_a, syn_to(ip_server), VERDICT_TO_WORLD, syn_from(ip_uplink, ip_server));
    const TCP mail{.destination_port = 25};
    expect_packet(From::sandbox_a, from_a / a_to(ip_server) / mail, VERDICT_TO_WORLD,
                  from_a / IPv4{.source = "203.0.113.7"_ip, .destination = ip_server, .ttl = 63} / mail);
}

// Fragments behind the first have no ports of their own to choose by.
TEST_P(Route, IsThatOfTheFirstFragmentForThoseBehindIt) {
    run_ip(
        "route del default\n"
        "rule add ipproto udp dport 53 lookup 100\n"
        "route add default via 203.0.113.254 dev up0 table 100\n");
    IPv4 ip = a_to(ip_server);
    ip.dont_fragment = false;
    const Frame whole = from_a / ip / UDP{1000, 53} / Payload{std::string(90, 'x')};
    for (const Frame& frame : fragments_of(whole, 32)) {
        expect_verdict(From::sandbox_a, frame, VERDICT_TO_WORLD);
    }
    for (const Frame& frame : fragments_of(whole, 32, 0x7777)) {  // as the host's stack cuts it up
        expect_verdict(From::forwarder, frame, VERDICT_PASS_TRANSLATED);
    }
    expect_verdict(From::sandbox_a, syn_to(ip_server), VERDICT_TO_HOST);  // which says that it has none
}

// CONFIG_IPV6_SUBTREES.
class RouteOfIPv6 : public Route {};

TEST_P(RouteOfIPv6, NamesItsOwnSourceWhenItIsForOneSandboxAlone) {
    run_ip(
        "address add 203.0.113.7/24 dev up0\n"
        "route replace default via 203.0.113.254 src 203.0.113.1\n"
        "route add 198.51.100.0/24 from 10.0.0.3/32 via 203.0.113.254 dev up0 src 203.0.113.7\n");
    expect_packet(From::sandbox_a, syn_to(ip_server), VERDICT_TO_WORLD, syn_from(ip_uplink, ip_server));
    expect_packet(From::sandbox_b, from_b / IPv4{.source = ip_b, .destination = ip_server} / TCP{}, VERDICT_TO_WORLD,
                  from_b / IPv4{.source = "203.0.113.7"_ip, .destination = ip_server, .ttl = 63} / TCP{});
}

TEST_P(Route, DropsWhenItIsABlackhole) {
    run_ip("route add blackhole 198.51.100.0/24\n");
    expect_verdict(From::sandbox_a, syn_to(ip_server), VERDICT_DROP_NO_ROUTE);
}

TEST_P(Route, DropsWhenItIsUnreachable) {
    run_ip("route add unreachable 198.51.100.0/24\n");
    route_answer_.code = family() == Family::ipv6 ? net_unreachable : host_unreachable;  // each as the kernel's
    expect_verdict(From::sandbox_a, syn_to(ip_server), VERDICT_DROP_NO_ROUTE);
}

TEST_P(Route, DropsWhenItIsProhibited) {
    run_ip("route add prohibit 198.51.100.0/24\n");
    route_answer_.code = prohibited;
    expect_verdict(From::sandbox_a, syn_to(ip_server), VERDICT_DROP_NO_ROUTE);
}

TEST_P(Route, DropsWhenTheGatewayDeviceDoesNotForward) {
    set_sysctl("ipv4/conf/cw0/forwarding", "0");
    expect_verdict(From::sandbox_a, syn_to(ip_server), VERDICT_DROP_NO_ROUTE);
}

// The host's own stack tells the sandbox so, by ICMP.
TEST_P(Route, LeadsToTheHostWhenThereIsNone) {
    run_ip("route del default\n");
    expect_packet(From::sandbox_a, syn_to(ip_server), VERDICT_TO_HOST, syn_to(ip_server));
}

// Nobody's published port is reached under the world's addresses, though the kernel tells neither from the host's own.
TEST_P(Route, LeadsToTheHostWhenThereIsNoneThoughThePortIsPublishedOnAllAddresses) {
    const Frame established = from_a / a_to(ip_server) / TCP{.flags = ack};
    expect_verdict(From::sandbox_a, syn_to(ip_server), VERDICT_TO_WORLD);
    publish(tcp_protocol, Ip{}, TCP{}.destination_port);
    run_ip("route del default\n");
    expect_packet(From::sandbox_a, established, VERDICT_TO_HOST, established);
    const Frame of_b = from_b / IPv4{.source = ip_b, .destination = ip_server} / TCP{};
    expect_packet(From::sandbox_b, of_b, VERDICT_TO_HOST, of_b);
    run_ip("route add default via 203.0.113.254\n");
    expect_verdict(From::sandbox_a, established, VERDICT_TO_WORLD);
}

TEST_P(Route, DropsWhenItLeavesByADeviceThatIsNoUplink) {
    expect_verdict(From::sandbox_a, syn_to("10.9.0.5"_ip), VERDICT_DROP_NO_UPLINK);
}

TEST_P(Route, DropsWhenTheDefaultRouteLeavesByADeviceThatIsNoUplink) {
    run_ip("route replace default via 10.9.0.254\n");
    expect_verdict(From::sandbox_a, syn_to(ip_server), VERDICT_DROP_NO_UPLINK);
}

TEST_P(Route, DropsWhenTheHostHasNoAddressToTranslateTo) {
    run_ip(
        "address flush dev cw0\n"
        "address flush dev lan0\n"
        "address flush dev up0\n"
        "route replace default dev up0\n");
    expect_verdict(From::sandbox_a, syn_to(ip_server), VERDICT_DROP_NO_SOURCE);
    EXPECT_TRUE(datapath_->flows().empty());
}

TEST_P(Route, LeadsToTheWorldWhenNothingIsToBeTranslatedAndTheHostHasNoAddress) {
    configure([](network& network) { network.flags = 0; });
    run_ip(
        "address flush dev cw0\n"
        "address flush dev lan0\n"
        "address flush dev up0\n"
        "route replace default dev up0\n");
    expect_packet(From::sandbox_a, syn_to(ip_server), VERDICT_TO_WORLD, syn_from(ip_a, ip_server));
}

TEST_P(Route, DropsWhenTheTtlIsUsedUp) {
    expect_verdict(From::sandbox_a, from_a / a_to(ip_server, 1) / TCP{}, VERDICT_DROP_TTL_EXPIRED);
    expect_verdict(From::sandbox_a, from_a / a_to(ip_server, 0) / TCP{}, VERDICT_DROP_TTL_EXPIRED);
    EXPECT_TRUE(datapath_->flows().empty());
}

TEST_P(Route, TakesOneFromTheTtlWhenItIsTwo) {
    expect_packet(From::sandbox_a, from_a / a_to(ip_server, 2) / UDP{}, VERDICT_TO_WORLD,
                  from_a / IPv4{.source = ip_uplink, .destination = ip_server, .ttl = 1} / UDP{});
}

// Every TTL, since the checksum is mended and not made: a carry at each end of each byte.
TEST_P(Route, KeepsTheChecksumRightWhateverTheTtl) {
    for (unsigned ttl = 2; ttl < 256; ++ttl) {
        const auto before = static_cast<std::uint8_t>(ttl), after = static_cast<std::uint8_t>(ttl - 1);
        expect_packet(From::sandbox_a, from_a / a_to(ip_server, before) / UDP{}, VERDICT_TO_WORLD,
                      from_a / IPv4{.source = ip_uplink, .destination = ip_server, .ttl = after} / UDP{});
    }
}

// What is known of a flow's way holds no longer than the kernel's routes do: what changes them counts for the next
// packet.
struct RouteChange {
    const char* name;
    const char* commands;  // of ip
    const char* sysctl;    // set to 0
    verdict next;
    RouteAnswer answer;
};

const RouteChange route_changes[] = {
    {"ARouteIsAdded", "route add blackhole 198.51.100.0/24\n", nullptr, VERDICT_DROP_NO_ROUTE, {}},
    {"ARouteIsReplaced", "route replace default via 10.9.0.254\n", nullptr, VERDICT_DROP_NO_UPLINK, {}},
    {"TheLastRouteGoes", "route del default\n", nullptr, VERDICT_TO_HOST, {}},
    {"ARouteSaysProhibit",
     "route add prohibit 198.51.100.0/24\n",
     nullptr,
     VERDICT_DROP_NO_ROUTE,
     {.code = prohibited}},
    {"ARuleIsAdded",
     "route add blackhole default table 100\n"
     "rule add iif cw0 lookup 100\n",
     nullptr,
     VERDICT_DROP_NO_ROUTE,
     {}},
    {"ARoutesMtuBecomesSmaller",
     "route replace default via 203.0.113.254 mtu lock 1300\n",
     nullptr,
     VERDICT_DROP_TOO_BIG,
     {.mtu = 1300}},
    {"TheUplinksMtuBecomesSmaller", "link set dev up0 mtu 1300\n", nullptr, VERDICT_DROP_TOO_BIG, {.mtu = 1300}},
    {"TheUplinkGoesDown", "link set dev up0 down\n", nullptr, VERDICT_TO_HOST, {}},
    {"ForwardingIsSwitchedOff", "", "ipv4/conf/cw0/forwarding", VERDICT_DROP_NO_ROUTE, {}},
};

using FamilyChange = std::tuple<Family, RouteChange>;

class ChangedRoute : public DatapathTest, public testing::WithParamInterface<FamilyChange> {
protected:
    Family family() const override { return std::get<Family>(GetParam()); }
};

TEST_P(ChangedRoute, CountsForTheNextPacketOfAFlow) {
    const auto& change = std::get<RouteChange>(GetParam());
    const Frame segment = from_a / a_to(ip_server) / TCP{.flags = ack} / Payload{std::string(1400, 'x')};
    expect_verdict(From::sandbox_a, syn_to(ip_server), VERDICT_TO_WORLD);
    expect_verdict(From::sandbox_a, segment, VERDICT_TO_WORLD);
    expect_verdict(From::sandbox_a, segment, VERDICT_TO_WORLD);
    run_ip(change.commands);
    if (change.sysctl != nullptr) {
        set_sysctl(change.sysctl, "0");
    }
    route_answer_ = change.answer;
    expect_verdict(From::sandbox_a, segment, change.next);
}
INSTANTIATE_TEST_SUITE_P(, ChangedRoute,
                         testing::Combine(testing::Values(Family::ipv4, Family::ipv6),
                                          testing::ValuesIn(route_changes)),
                         [](const auto& row) {
                             return std::string("When") + std::get<RouteChange>(row.param).name +
                                    (std::get<Family>(row.param) == Family::ipv6 ? "_IPv6" : "");
                         });

class Mtu : public InEachFamily {
protected:
    Frame of_size(std::size_t size, bool dont_fragment = true) const {  // of the IP packet
        return from_a / IPv4{.source = ip_a, .destination = ip_server, .dont_fragment = dont_fragment} / UDP{} /
               Payload{std::string(size - 28 - longer(), 'x')};
    }

    std::uint32_t longer() const { return family() == Family::ipv6 ? 20 : 0; }

    static Frame segments(std::size_t payload) {
        return from_a / a_to(ip_server) / TCP{.flags = ack, .options = Bytes(12, 1)} /
               Payload{std::string(payload, 'x')};
    }
};

TEST_P(Mtu, LetsThroughWhenThePacketJustFitsTheRoute) {
    run_ip("route add 198.51.100.0/24 via 203.0.113.254 mtu lock 1400\n");
    expect_verdict(From::sandbox_a, of_size(1400), VERDICT_TO_WORLD);
}

TEST_P(Mtu, DropsAndTellsTheRoutesWhenThePacketIsOneByteLargerThanTheRoute) {
    run_ip("route add 198.51.100.0/24 via 203.0.113.254 mtu lock 1400\n");
    route_answer_.mtu = 1400;
    expect_verdict(From::sandbox_a, of_size(1401), VERDICT_DROP_TOO_BIG);
    EXPECT_TRUE(datapath_->flows().empty());
}

// No router cuts IPv6 up.
class MtuOfIPv4 : public Mtu {};

// The host's stack cuts it up: it gets the packet as it is.
TEST_P(MtuOfIPv4, LeadsToTheHostWhenThePacketIsTooLargeAndMayBeFragmented) {
    run_ip("route add 198.51.100.0/24 via 203.0.113.254 mtu lock 1400\n");
    expect_packet(From::sandbox_a, of_size(1401, false), VERDICT_TO_HOST, of_size(1401, false));
    expect_verdict(From::sandbox_a, of_size(1400, false), VERDICT_TO_WORLD);
}

// Fragments of one packet go one way, whatever the size of each: that of the largest that the sandbox may send.
TEST_P(MtuOfIPv4, LeadsToTheHostWhenAFragmentIsSmallAndTheRoutesIsBelowTheSandboxs) {
    run_ip("route add 198.51.100.0/24 via 203.0.113.254 mtu lock 1400\n");
    const IPv4 first{.source = ip_a, .destination = ip_server, .dont_fragment = false, .more_fragments = true};
    const IPv4 later{.source = ip_a,
                     .destination = ip_server,
                     .protocol = udp_protocol,
                     .dont_fragment = false,
                     .fragment_offset = 2};
    for (const Frame& frame :
         {from_a / first / UDP{.length = 24} / Payload{"12345678"}, from_a / later / Payload{"12345678"}}) {
        expect_packet(From::sandbox_a, frame, VERDICT_TO_HOST, frame);
    }
    EXPECT_EQ(datapath_->trains(), 0U);
}

// RFC 1812, section 4.3.2.7: who says that it sent it may not have.
TEST_P(MtuOfIPv4, IsToldToNobodyWhenTheIpChecksumIsWrong) {
    run_ip(
        "route add 198.51.100.0/24 via 203.0.113.254 mtu lock 1400\n"
        "route add unreachable 198.51.101.0/24\n");
    const auto wrong = [](Ip destination) {
        return from_a / IPv4{.source = ip_a, .destination = destination, .checksum = 0x1234} / UDP{} /
               Payload{std::string(1400, 'x')};
    };
    for (const auto& [destination, verdict] :
         {std::pair(ip_server, VERDICT_DROP_TOO_BIG), std::pair("198.51.101.1"_ip, VERDICT_DROP_NO_ROUTE),
          std::pair(ip_unused, VERDICT_DROP_NO_ENDPOINT)}) {
        expect_packet(From::sandbox_a, wrong(destination), verdict, wrong(destination));
    }
}

// The host's stack would cut it up, and send it on from the sandbox's own address.
TEST_P(Mtu, IsNotWhatCountsWhenTheDeviceIsNoUplink) {
    run_ip("link set lan0 mtu 1400\n");
    const auto to_lan = [](const IPv4& like, std::size_t size) {
        IPv4 ip = like;
        ip.destination = "10.9.0.5"_ip;
        return from_a / ip / UDP{} / Payload{std::string(size, 'x')};
    };
    const IPv4 whole{.source = ip_a, .dont_fragment = false};
    expect_verdict(From::sandbox_a, to_lan(whole, 1420), VERDICT_DROP_NO_UPLINK);
    expect_verdict(From::sandbox_a, to_lan(IPv4{.source = ip_a}, 1420), VERDICT_DROP_NO_UPLINK);
    IPv4 first = whole;
    first.more_fragments = true;
    expect_verdict(From::sandbox_a, to_lan(first, 64), VERDICT_DROP_NO_UPLINK);
}

TEST_P(Mtu, DropsWhenThePacketIsLargerThanTheUplink) {
    run_ip("link set dev up0 mtu 1300\n");
    route_answer_.mtu = 1300;
    expect_verdict(From::sandbox_a, of_size(1300), VERDICT_TO_WORLD);
    expect_verdict(From::sandbox_a, of_size(1301), VERDICT_DROP_TOO_BIG);
}

TEST_P(Mtu, IsComparedWithThePacketAndNotTheFrameWhenItIsPadded) {
    run_ip("route add 198.51.100.0/24 via 203.0.113.254 mtu lock 1400\n");
    expect_verdict(From::sandbox_a, of_size(1400) / Padding{10}, VERDICT_TO_WORLD);
}

TEST_P(Mtu, LetsThroughWhenEachSegmentFits) {
    run_ip("route add 198.51.100.0/24 via 203.0.113.254 mtu lock 1400\n");
    expect_verdict(From::sandbox_a, segments(3000), VERDICT_TO_WORLD,
                   {.gso_size = 1400 - 52 - longer(), .gso_segs = 3});
}

TEST_P(Mtu, DropsWhenEachSegmentIsTooBig) {
    run_ip("route add 198.51.100.0/24 via 203.0.113.254 mtu lock 1400\n");
    route_answer_.mtu = 1400;
    expect_verdict(From::sandbox_a, segments(3000), VERDICT_DROP_TOO_BIG,
                   {.gso_size = 1400 - 51 - longer(), .gso_segs = 3});
}

// Those of SCTP are of no one size; the packet says 0xffff (GSO_BY_FRAGS).
TEST_P(Mtu, IsComparedWithTheAverageSegmentWhenTheyAreOfNoOneSize) {
    run_ip("route add 198.51.100.0/24 via 203.0.113.254 mtu lock 1400\n");
    route_answer_.mtu = 1400;
    const auto segments_of_sctp = [&](std::size_t size) {
        const std::size_t headers = 20 + longer() + 12;
        return Frame(from_a / a_to(ip_server) / SCTP{1000, 53} / Payload{std::string(2 * (size - headers), 'x')});
    };
    expect_verdict(From::sandbox_a, segments_of_sctp(1400), VERDICT_TO_WORLD, {.gso_size = 0xffff, .gso_segs = 2});
    expect_verdict(From::sandbox_a, segments_of_sctp(1401), VERDICT_DROP_TOO_BIG, {.gso_size = 0xffff, .gso_segs = 2});
}

TEST_P(Mtu, DoesNotMatterWhenThePacketStaysOnTheHost) {
    run_ip("link set dev up0 mtu 1300\n");
    expect_verdict(From::sandbox_a, from_a / a_to(ip_uplink) / UDP{} / Payload{std::string(1472, 'x')},
                   VERDICT_TO_HOST);
    expect_verdict(From::sandbox_a, from_a / a_to(ip_b) / UDP{} / Payload{std::string(1472, 'x')}, VERDICT_TO_SANDBOX);
}

RUN_IN_EACH_FAMILY(Route);
RUN_IN_IPV6(RouteOfIPv6);
RUN_IN_EACH_FAMILY(Mtu);
RUN_IN_IPV4(MtuOfIPv4);

}  // namespace
}  // namespace causeway::test::route_test
