// SPDX-License-Identifier: Apache-2.0
// What only IPv6 has: extension headers, addresses of a link, a sum over every ICMP message.
#include "tests/datapath/datapath_fixture.hpp"
#include "tests/datapath/fragments.hpp"

namespace causeway::test::ipv6_test {
namespace {

constexpr Ip6 of_a = "fd00::a00:2"_ip6, of_b = "fd00::a00:3"_ip6, uplink_address = "2001:db8::cb00:7101"_ip6,
              router = "2001:db8::cb00:71fe"_ip6, server = "2001:db8::c633:6407"_ip6,
              gateway_link_local = "fe80::ff:fe00:1"_ip6, link_local_of_a = "fe80::ff:fe00:a"_ip6;
constexpr std::uint16_t own_port = 40000;

const IPv6 to_b{.source = of_a, .destination = of_b}, to_world{.source = of_a, .destination = server},
    in_world{.source = uplink_address, .destination = server, .hop_limit = 63};

Row local(const char* name, const Frame& in, const Frame& out) {
    return only_ipv6({name, From::sandbox_a, in, VERDICT_TO_SANDBOX, out});
}
Row translated(const char* name, const Frame& in, const Frame& out) {
    return only_ipv6({name, From::sandbox_a, in, VERDICT_TO_WORLD, out});
}
Row drop(const char* name, const Frame& in, enum verdict verdict) {
    return only_ipv6({name, From::sandbox_a, in, verdict});
}

Frame with_extensions(Frame frame, int count) {
    for (int i = 0; i < count; ++i) {
        frame = frame / Extension{};
    }
    return frame;
}

const Extension spent_routing{.kind = routing, .body = {4, 0, 0, 0, 0, 0}};

const Row ipv6_rows[] = {
    local("SkipsEachKindOfExtensionHeader",
          from_a / to_b / Extension{.kind = hop_by_hop} / Extension{} / spent_routing / Extension{} / TCP{},
          at_b / to_b / Extension{.kind = hop_by_hop} / Extension{} / spent_routing / Extension{} / TCP{}),
    local("SkipsAsManyExtensionHeadersAsItMay", with_extensions(from_a / to_b, 6) / TCP{},
          with_extensions(at_b / to_b, 6) / TCP{}),
    local("SkipsAsManyBytesOfExtensionHeadersAsItMay", from_a / to_b / Extension{.body = Bytes(254)} / TCP{},
          at_b / to_b / Extension{.body = Bytes(254)} / TCP{}),
    local("TakesWhatHasNoNextHeaderAsAProtocol", from_a / IPv6{.source = of_a, .destination = of_b, .next_header = 59},
          at_b / IPv6{.source = of_a, .destination = of_b, .next_header = 59}),
    local("TakesAuthenticationAsAProtocol",
          from_a / IPv6{.source = of_a, .destination = of_b, .next_header = 51} / Payload{std::string(24, 'a')},
          at_b / IPv6{.source = of_a, .destination = of_b, .next_header = 51} / Payload{std::string(24, 'a')}),
    local("ReadsOnWhenThereAreAClassAndALabel",
          from_a / IPv6{.source = of_a, .destination = of_b, .traffic_class = 0xb8, .flow_label = 0xfffff} / UDP{},
          at_b / IPv6{.source = of_a, .destination = of_b, .traffic_class = 0xb8, .flow_label = 0xfffff} / UDP{}),

    translated("FindsTheTcpPortsBehindExtensionHeaders",
               from_a / to_world / Extension{.kind = hop_by_hop} / Extension{} / TCP{},
               from_a / in_world / Extension{.kind = hop_by_hop} / Extension{} / TCP{}),
    translated("FindsTheUdpPortsBehindExtensionHeaders", from_a / to_world / Extension{.body = Bytes(30)} / UDP{},
               from_a / in_world / Extension{.body = Bytes(30)} / UDP{}),
    translated("FindsTheIdentifierBehindExtensionHeaders",
               from_a / to_world / spent_routing / ICMP{.type = icmpv6_echo_request},
               from_a / in_world / spent_routing / ICMP{.type = icmpv6_echo_request}),
    translated(
        "KeepsTheClassAndTheLabel",
        from_a / IPv6{.source = of_a, .destination = server, .traffic_class = 0xb8, .flow_label = 0x12345} / UDP{},
        from_a /
            IPv6{.source = uplink_address,
                 .destination = server,
                 .hop_limit = 63,
                 .traffic_class = 0xb8,
                 .flow_label = 0x12345} /
            UDP{}),
    // RFC 6946: a fragment that is a whole packet is none.
    translated("TakesAnAtomicFragmentForAWholePacket", from_a / to_world / FragmentHeader{} / UDP{} / Payload{"odd"},
               from_a / in_world / FragmentHeader{} / UDP{} / Payload{"odd"}),

    drop("DropsWhenTheVersionIsFour", from_a / IPv6{.source = of_a, .destination = of_b, .version = 4} / TCP{},
         VERDICT_DROP_BAD_HEADER),
    drop("DropsWhenTheSourceIsAnIPv4Address", from_a / IPv6{.source = "::ffff:a00:2"_ip6, .destination = of_b} / TCP{},
         VERDICT_DROP_BAD_HEADER),
    drop("DropsWhenTheDestinationIsAnIPv4Address",
         from_a / IPv6{.source = of_a, .destination = "::ffff:a00:3"_ip6} / TCP{}, VERDICT_DROP_BAD_HEADER),
    drop("DropsWhenTheSourceIsUnspecified", from_a / IPv6{.destination = of_b} / TCP{}, VERDICT_DROP_SPOOFED_ADDRESS),
    drop("DropsWhenTheSourceIsLoopback", from_a / IPv6{.source = "::1"_ip6, .destination = of_b} / TCP{},
         VERDICT_DROP_SPOOFED_ADDRESS),
    drop("DropsWhenTheSourceIsItsLinkLocalAddress",
         from_a / IPv6{.source = link_local_of_a, .destination = of_b} / UDP{}, VERDICT_DROP_SPOOFED_ADDRESS),
    drop("DropsWhenAnExtensionHeaderEndsBeyondThePacket", from_a / to_b / Extension{.length = 5} / TCP{},
         VERDICT_DROP_TRUNCATED),
    drop("DropsWhenAnExtensionHeaderIsCut", (from_a / to_b / Extension{}).cut(14 + 40 + 7), VERDICT_DROP_TRUNCATED),
    drop("DropsWhenTheExtensionHeaderThatIsNamedIsNotThere",
         from_a / IPv6{.source = of_a, .destination = of_b, .next_header = destination_options},
         VERDICT_DROP_TRUNCATED),
    drop("DropsWhenTheProtocolIsIcmpOfIPv4",
         from_a / IPv6{.source = of_a, .destination = server, .next_header = 1} / Payload{std::string(8, '\x08')},
         VERDICT_DROP_PROTOCOL),
    drop("DropsWhenTheIcmpTypeIsUnknown", from_a / to_world / ICMP{.type = 200}, VERDICT_DROP_PROTOCOL),
    drop("DropsAnErrorOfAnUnknownTypeAboutNoPacket", from_a / to_world / ICMP{.type = 100}, VERDICT_DROP_NO_FLOW),
    drop("DropsWhenListenersAreReported",
         Ethernet{.source = mac_a, .destination = "33:33:00:00:00:16"_mac} /
             IPv6{.source = link_local_of_a, .destination = "ff02::16"_ip6, .hop_limit = 1} /
             Extension{.kind = hop_by_hop, .body = {5, 2, 0, 0, 1, 0}} / ICMP{.type = icmpv6_listener_report},
         VERDICT_DROP_MULTICAST),
    drop("DropsWhenListenersAreReportedFromNoAddress",
         Ethernet{.source = mac_a, .destination = "33:33:00:00:00:16"_mac} /
             IPv6{.destination = "ff02::16"_ip6, .hop_limit = 1} / Extension{.kind = hop_by_hop} /
             ICMP{.type = icmpv6_listener_report},
         VERDICT_DROP_MULTICAST),
    drop("DropsWhenAGroupIsInAUnicastFrame", from_a / IPv6{.source = of_a, .destination = "ff0e::1"_ip6} / UDP{},
         VERDICT_DROP_MULTICAST),
    drop("DropsWhenTheDestinationIsALinkLocalAddressThatNobodyHas",
         from_a / IPv6{.source = of_a, .destination = "fe80::9"_ip6} / UDP{}, VERDICT_DROP_NO_ENDPOINT),
    only_ipv6({"ReachesTheHostByTheGatewaysLinkLocalAddress", From::sandbox_a,
               from_a / IPv6{.source = of_a, .destination = gateway_link_local} / ICMP{.type = icmpv6_echo_request},
               VERDICT_TO_HOST}),
    only_ipv6({"ReachesTheHostFromItsOwnLinkLocalAddressToTheGateways", From::sandbox_a,
               from_a / IPv6{.source = link_local_of_a, .destination = gateway_link_local} /
                   ICMP{.type = icmpv6_echo_request},
               VERDICT_TO_HOST}),
    only_ipv6(
        {"ReachesASandboxsLinkLocalAddressWhenTheHostAnswers", From::host,
         from_the_host / IPv6{.source = gateway_link_local, .destination = link_local_of_a} /
             ICMP{.type = icmpv6_echo_reply},
         VERDICT_TO_SANDBOX,
         at_a / IPv6{.source = gateway_link_local, .destination = link_local_of_a} / ICMP{.type = icmpv6_echo_reply}}),
    only_ipv6({"IsDroppedWhenTheHostMeansALinkLocalAddressThatNobodyHas", From::host,
               from_the_host / IPv6{.source = gateway_link_local, .destination = "fe80::9"_ip6} / UDP{},
               VERDICT_DROP_NO_ENDPOINT}),
    drop("DropsWhenTheSourceIsAnothersLinkLocalAddress",
         from_a / IPv6{.source = "fe80::ff:fe00:b"_ip6, .destination = gateway_link_local} / UDP{},
         VERDICT_DROP_SPOOFED_ADDRESS),
    drop("DropsWhenTheSourceIsTheGatewaysLinkLocalAddress",
         from_a / IPv6{.source = gateway_link_local, .destination = gateway_link_local} / UDP{},
         VERDICT_DROP_SPOOFED_ADDRESS),
    drop("DropsWhenTheSourceIsALinkLocalAddressThatNoMacMakes",
         from_a / IPv6{.source = "fe80::a"_ip6, .destination = gateway_link_local} / UDP{},
         VERDICT_DROP_SPOOFED_ADDRESS),
    drop("DropsWhenALinkLocalAddressSpeaksToTheGatewaysOther",
         from_a / IPv6{.source = link_local_of_a, .destination = ip6_of(ip_gateway)} / UDP{},
         VERDICT_DROP_SPOOFED_ADDRESS),
    drop("DropsWhenOneLinkLocalAddressSpeaksToAnotherSandboxs",
         from_a / IPv6{.source = link_local_of_a, .destination = "fe80::ff:fe00:b"_ip6} / UDP{},
         VERDICT_DROP_SPOOFED_ADDRESS),

    // What comes from a link goes no further, whatever it claims to answer.
    only_ipv6({"IsTheHostsWhenTheWorldsSourceIsOfTheLink", From::uplink,
               from_world / IPv6{.source = "fe80::1"_ip6, .destination = uplink_address} / UDP{53, own_port},
               VERDICT_PASS_STACK}),
    only_ipv6({"IsTheHostsWhenTheWorldsHeadersAreTooMany", From::uplink,
               with_extensions(from_world / IPv6{.source = server, .destination = uplink_address}, 7) / UDP{},
               VERDICT_PASS_STACK}),
    only_ipv6({"IsDroppedWhenTheWorldsHeadersAreTooManyForASandbox", From::uplink,
               with_extensions(from_world / IPv6{.source = server, .destination = of_a}, 7) / UDP{},
               VERDICT_DROP_UNSOLICITED}),
};

class OnlyIPv6 : public DatapathTable {};

TEST_P(OnlyIPv6, Packet) {
    expect_this_row();
}
INSTANTIATE_TEST_SUITE_P(, OnlyIPv6, testing::ValuesIn(in_each_family(ipv6_rows)), name_of_row);

// The sender hears which header it was (RFC 8883), unless it is not who it says.
class ExtensionHeaders : public InEachFamily {
protected:
    void expect_refused(const Frame& frame, std::uint8_t problem, std::uint32_t pointer) {
        route_answer_.problem = problem;
        route_answer_.pointer = pointer;
        expect_verdict(From::sandbox_a, frame, VERDICT_DROP_EXTENSION_HEADER);
    }
};

TEST_P(ExtensionHeaders, AreRefusedWhenThereAreTooMany) {
    expect_refused(with_extensions(from_a / to_world, 7) / TCP{}, 8, 40 + 48);
    expect_refused(with_extensions(from_a / to_b, 7) / TCP{}, 8, 40 + 48);
}

TEST_P(ExtensionHeaders, AreRefusedWhenTheyAreTooLong) {
    expect_refused(from_a / to_world / Extension{.body = Bytes(262)} / TCP{}, 7, 40 + 264);
}

TEST_P(ExtensionHeaders, AreRefusedWhenHopByHopOptionsDoNotComeFirst) {
    expect_refused(from_a / to_world / Extension{} / Extension{.kind = hop_by_hop} / TCP{}, 0, 40 + 8);
}

// RFC 5095: or the packet would go where its first header does not say.
TEST_P(ExtensionHeaders, AreRefusedWhenThePacketIsRoutedOn) {
    expect_refused(from_a / to_world / Extension{.kind = routing, .body = {0, 1, 0, 0, 0, 0}} / TCP{}, 0, 40);
}

TEST_P(ExtensionHeaders, AreRefusedWhenAFragmentIsFragmented) {
    expect_refused(from_a / to_world / FragmentHeader{} / FragmentHeader{} / TCP{}, 0, 40 + 8);
}

// RFC 4443, section 2.4 (e): nor where that can't be seen.
TEST_P(ExtensionHeaders, AreRefusedSilentlyInFrontOfAnError) {
    const IcmpError error{.type = icmpv6_unreachable};
    const Extension on_its_way{.kind = routing, .body = {0, 1, 0, 0, 0, 0}};
    const IPv6 quoted{.source = server, .destination = of_a};
    for (const int count : {7, 12, 21, 22, 40}) {
        expect_verdict(From::sandbox_a, with_extensions(from_a / to_world, count) / error / quoted / UDP{},
                       VERDICT_DROP_EXTENSION_HEADER);
    }
    expect_verdict(From::sandbox_a, from_a / to_world / on_its_way / error / quoted / UDP{},
                   VERDICT_DROP_EXTENSION_HEADER);
    expect_verdict(From::sandbox_a, with_extensions(from_a / to_world, 7) / ICMP{.type = icmpv6_redirect},
                   VERDICT_DROP_EXTENSION_HEADER);
    expect_refused(with_extensions(from_a / to_world, 21) / ICMP{.type = icmpv6_echo_request}, 8, 40 + 48);
}

TEST_P(ExtensionHeaders, AreRefusedSilentlyWhenTheSenderIsAnother) {
    const IPv6 spoofed{.source = of_b, .destination = server};
    expect_verdict(From::sandbox_a, with_extensions(from_a / spoofed, 7) / TCP{}, VERDICT_DROP_SPOOFED_ADDRESS);
    const IPv6 to_all{.source = of_a, .destination = "ff02::1"_ip6};
    expect_verdict(From::sandbox_a, with_extensions(from_a / to_all, 7) / TCP{}, VERDICT_DROP_MULTICAST);
}
RUN_IN_IPV6(ExtensionHeaders);

class FragmentsOfIPv6 : public InEachFamily {
protected:
    static IPv6 in_fragments(const IPv6& ip) { return ip; }
};

// Headers that each fragment has come before its own header, all others are of the first one only.
TEST_P(FragmentsOfIPv6, GoToTheWorldWhenHeadersAreBeforeAndBehindTheFragmentHeader) {
    const auto first = [](const IPv6& ip, std::uint32_t identification) {
        return from_a / ip / Extension{.kind = hop_by_hop} /
               FragmentHeader{.more_fragments = true, .identification = identification} / Extension{} /
               UDP{.length = 40, .checksum = 0x1111} / Payload{std::string(8, 'a')};
    };
    const auto second = [](const IPv6& ip, std::uint32_t identification) {
        return from_a / ip / Extension{.kind = hop_by_hop} /
               FragmentHeader{.offset = 3, .identification = identification, .next_header = destination_options} /
               Payload{std::string(24, 'b')};
    };
    const Outcome outcome = expect_verdict(From::sandbox_a, first(to_world, 7), VERDICT_TO_WORLD);
    ASSERT_GT(outcome.packet.size(), 70U);
    EXPECT_EQ((Bytes(outcome.packet.begin() + 22, outcome.packet.begin() + 38)),
              Bytes(uplink_address.bytes.begin(), uplink_address.bytes.end()));
    expect_packet(From::sandbox_a, second(to_world, 7), VERDICT_TO_WORLD, second(in_world, first_identification));
    EXPECT_EQ(datapath_->trains(), 0U);
}

TEST_P(FragmentsOfIPv6, AreToldApartByAllOfTheirIdentification) {
    const auto fragment = [](std::uint32_t identification) {
        return from_a / to_world / FragmentHeader{.offset = 3, .identification = identification, .next_header = 17} /
               Payload{"12345678"};
    };
    expect_verdict(From::sandbox_a, fragment(0x10007), VERDICT_FRAGMENT_HELD);
    expect_verdict(From::sandbox_a, fragment(0x20007), VERDICT_FRAGMENT_HELD);
    EXPECT_EQ(datapath_->trains(), 2U);
}

// RFC 8200, section 4.5: only the first says what protocol it is.
TEST_P(FragmentsOfIPv6, AreOfOnePacketWhateverTheNextHeaderOfLaterOnes) {
    const FragmentHeader first{.more_fragments = true, .identification = 9};
    expect_verdict(From::sandbox_a, from_a / to_world / first / UDP{.length = 32} / Payload{std::string(16, 'x')},
                   VERDICT_TO_WORLD);
    expect_verdict(
        From::sandbox_a,
        from_a / to_world / FragmentHeader{.offset = 3, .identification = 9, .next_header = 253} / Payload{"12345678"},
        VERDICT_TO_WORLD);
    EXPECT_EQ(datapath_->trains(), 0U);
}

// RFC 7112, section 5: whose receiver would discard it, and wait for no other.
TEST_P(FragmentsOfIPv6, AreDroppedWhenTheFirstHasHeadersAndNothingBehindThem) {
    constexpr std::uint8_t experimental = 253;
    const FragmentHeader first{.more_fragments = true, .identification = 9};
    const Extension last{.next_header = experimental};
    expect_verdict(From::sandbox_a, from_a / to_world / first / last, VERDICT_DROP_TRUNCATED);
    EXPECT_EQ(datapath_->trains(), 0U);
    expect_verdict(From::sandbox_a, from_a / to_world / first / last / Payload{"12345678"}, VERDICT_TO_WORLD);
}
RUN_IN_IPV6(FragmentsOfIPv6);

// RFC 4443, section 2.4 (c): as much as fits into the least that a link carries.
class Quote : public InEachFamily {};

TEST_P(Quote, IsAllOfThePacketUpToTheLeastMtu) {
    for (std::size_t size : {0U, 1U, 2U, 3U, 255U, 256U, 257U, 1183U, 1184U, 1185U, 1400U}) {
        expect_verdict(From::sandbox_a,
                       from_a / IPv6{.source = of_a, .destination = server, .hop_limit = 1} / UDP{} /
                           Payload{std::string(size, 'q')},
                       VERDICT_DROP_TTL_EXPIRED);
    }
}
RUN_IN_IPV6(Quote);

// What is told of a path: the sandbox may send no more than that from then on.
class PacketTooBig : public InEachFamily {};

TEST_P(PacketTooBig, ReachesTheSandboxWithItsOwnPacketQuoted) {
    expect_verdict(From::sandbox_a, from_a / to_world / TCP{}, VERDICT_TO_WORLD);
    const IcmpError error{.type = icmpv6_too_big, .rest = 1280};
    const IPv6 quoted{.source = uplink_address, .destination = server, .hop_limit = 3};
    const IPv6 quoted_inside{.source = of_a, .destination = server, .hop_limit = 3};
    const TCP segment{.flags = ack};
    expect_packet(From::uplink,
                  from_world / IPv6{.source = router, .destination = uplink_address} / error / quoted / Extension{} /
                      segment / Payload{std::string(999, 'x')},
                  VERDICT_TO_SANDBOX,
                  at_a / IPv6{.source = router, .destination = of_a, .hop_limit = 63} / error / quoted_inside /
                      Extension{} / segment / Payload{std::string(999, 'x')});
}

TEST_P(PacketTooBig, IsTheHostsWhenTheQuotedHeadersAreTooMany) {
    expect_verdict(From::sandbox_a, from_a / to_world / TCP{}, VERDICT_TO_WORLD);
    const IPv6 quoted{.source = uplink_address, .destination = server};
    const Frame frame = with_extensions(from_world / IPv6{.source = router, .destination = uplink_address} /
                                            IcmpError{.type = icmpv6_too_big, .rest = 1280} / quoted,
                                        7) /
                        TCP{};
    expect_packet(From::uplink, frame, VERDICT_PASS_STACK, frame);
}
RUN_IN_IPV6(PacketTooBig);

}  // namespace
}  // namespace causeway::test::ipv6_test
