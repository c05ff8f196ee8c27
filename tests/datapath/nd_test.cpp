// SPDX-License-Identifier: Apache-2.0
// Who has an IPv6 address: answered for those that exist, on the asker's own link, and for nobody who lies about
// itself.
#include "tests/datapath/datapath_fixture.hpp"

namespace causeway::test::nd_test {
namespace {

constexpr Ip6 gateway = "fd00::a00:1"_ip6, of_a = "fd00::a00:2"_ip6, of_b = "fd00::a00:3"_ip6,
              claimed = "fd00::a00:4"_ip6, unused = "fd00::a00:9"_ip6, server = "2001:db8::c633:6407"_ip6,
              gateway_link_local = "fe80::ff:fe00:1"_ip6, link_local_of_a = "fe80::ff:fe00:a"_ip6,
              all_nodes = "ff02::1"_ip6, all_routers = "ff02::2"_ip6, nobody = {};

// RFC 4291, section 2.7.1, and RFC 2464, section 7.
Ip6 group_of(const Ip6& target) {
    Ip6 group = "ff02::1:ff00:0"_ip6;
    std::copy_n(target.bytes.begin() + 13, 3, group.bytes.begin() + 13);
    return group;
}

Ethernet to_group(const Ip6& group, const Mac& source = mac_a) {
    return {.source = source,
            .destination = {{0x33, 0x33, group.bytes[12], group.bytes[13], group.bytes[14], group.bytes[15]}}};
}

IPv6 ip(const Ip6& source, const Ip6& destination, std::uint8_t hop_limit = 255) {
    return {.source = source, .destination = destination, .hop_limit = hop_limit};
}

// As a stack asks first.
Frame asks(const Ip6& target, const Ip6& source = of_a) {
    return to_group(group_of(target)) / ip(source, group_of(target)) /
           Neighbour{.target = target, .source_link = mac_a};
}

// As it asks again whether the neighbour is still there (RFC 4861, section 7.3.3).
Frame asks_by_unicast(const Ip6& target) {
    return from_a / ip(of_a, target) / Neighbour{.target = target};
}

// RFC 4862, section 5.4.2; options: as of RFC 7527.
Frame probes(const Ip6& target, const Bytes& options = {}) {
    return to_group(group_of(target)) / ip(nobody, group_of(target)) / Neighbour{.target = target, .options = options};
}

Frame answer(const Ip6& target, const Ip6& to = of_a, std::uint32_t router = 0) {
    return at_a / ip(target, to) /
           Neighbour{.type = neighbour_advertisement,
                     .flags = router | nd_solicited | nd_override,
                     .target = target,
                     .target_link = mac_gateway};
}

Frame answer_to_probe(const Ip6& target, std::uint32_t router = 0) {
    return to_group(all_nodes, mac_gateway) / ip(target, all_nodes) /
           Neighbour{.type = neighbour_advertisement,
                     .flags = router | nd_override,
                     .target = target,
                     .target_link = mac_gateway};
}

Row answered(const char* name, const Frame& in, const Frame& out) {
    return only_ipv6({name, From::sandbox_a, in, VERDICT_ND_ANSWERED, out});
}
Row silent(const char* name, const Frame& in) {
    return only_ipv6({name, From::sandbox_a, in, VERDICT_DROP_ND_NO_ANSWER});
}
Row bad(const char* name, const Frame& in) {
    return only_ipv6({name, From::sandbox_a, in, VERDICT_DROP_BAD_ND});
}

const Neighbour for_gateway{.target = gateway, .source_link = mac_a};

template <typename Change>
Neighbour with(Change change) {
    Neighbour neighbour = for_gateway;
    change(neighbour);
    return neighbour;
}

Frame to_gateways_group(const Neighbour& neighbour, const Ip6& source = of_a) {
    return to_group(group_of(gateway)) / ip(source, group_of(gateway)) / neighbour;
}

const Row nd_rows[] = {
    answered("AnswersWhenTheGatewayIsAsked", asks(gateway), answer(gateway, of_a, nd_router)),
    answered("AnswersWhenAnotherSandboxIsAsked", asks(of_b), answer(of_b)),
    answered("AnswersWhenTheGatewaysLinkLocalAddressIsAsked", asks(gateway_link_local),
             answer(gateway_link_local, of_a, nd_router)),
    answered("AnswersWhenTheAskerUsesItsLinkLocalAddress", asks(gateway, link_local_of_a),
             answer(gateway, link_local_of_a, nd_router)),
    answered("AnswersWhenAskedByUnicast", asks_by_unicast(gateway), answer(gateway, of_a, nd_router)),
    answered("AnswersWhenAskedByUnicastForAnotherSandbox", asks_by_unicast(of_b), answer(of_b)),
    answered("AnswersWhenThereIsNoSourceLinkLayerOption",
             to_gateways_group(with([](Neighbour& n) { n.source_link.reset(); })), answer(gateway, of_a, nd_router)),
    answered("AnswersWhenThereAreOptionsThatNobodyKnows", to_gateways_group(with([](Neighbour& n) {
                 n.options = {14, 1, 1, 2, 3, 4, 5, 6, 253, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
             })),
             answer(gateway, of_a, nd_router)),
    answered("AnswersWithoutThePaddingWhenTheFrameIsPadded", asks(gateway) / Padding{6},
             answer(gateway, of_a, nd_router)),
    answered("AnswersAllNodesWhenAProbeAsksForAnAddressInUse", probes(of_b), answer_to_probe(of_b)),
    answered("AnswersAllNodesWhenAProbeAsksForTheGateways", probes(gateway), answer_to_probe(gateway, nd_router)),
    answered("AnswersAllNodesWhenAProbeAsksForTheGatewaysLinkLocalAddress", probes(gateway_link_local),
             answer_to_probe(gateway_link_local, nd_router)),
    answered("AnswersAllNodesWhenAProbeHasANonce", probes(of_b, {14, 1, 1, 2, 3, 4, 5, 6}), answer_to_probe(of_b)),

    silent("IsSilentWhenNobodyHasTheAddress", asks(unused)),
    silent("IsSilentWhenNobodyHasTheAddressAndItIsAskedByUnicast", asks_by_unicast(unused)),
    silent("IsSilentWhenTheAddressIsClaimedButNotConnected", asks(claimed)),
    silent("IsSilentWhenTheAddressIsInTheWorld", asks(server)),
    silent("IsSilentWhenAProbeAsksForTheAskersOwnAddress", probes(of_a)),
    silent("IsSilentWhenAProbeAsksForTheAskersOwnAddressWithANonce", probes(of_a, {14, 1, 1, 2, 3, 4, 5, 6})),
    silent("IsSilentWhenAProbeAsksForTheAskersOwnLinkLocalAddress", probes(link_local_of_a)),
    silent("IsSilentWhenTheAskerAsksForItsOwnAddress", asks(of_a)),
    silent("IsSilentWhenARouterIsSolicited", to_group(all_routers) / ip(link_local_of_a, all_routers) /
                                                 ICMP{.type = router_solicitation, .identifier = 0, .sequence = 0}),
    silent("IsSilentWhenARouterIsSolicitedFromNoAddress",
           to_group(all_routers) / ip(nobody, all_routers) /
               ICMP{.type = router_solicitation, .identifier = 0, .sequence = 0}),

    bad("IsDroppedWhenTheHopLimitIsNot255",
        to_group(group_of(gateway)) / ip(of_a, group_of(gateway), 254) / for_gateway),
    bad("IsDroppedWhenTheHopLimitIs64", from_a / ip(of_a, gateway, 64) / for_gateway),
    bad("IsDroppedWhenTheChecksumIsWrong", to_gateways_group(with([](Neighbour& n) { n.checksum = 0x1234; }))),
    bad("IsDroppedWhenTheCodeIsNotZero", to_gateways_group(with([](Neighbour& n) { n.code = 1; }))),
    bad("IsDroppedWhenTheSourceIsAnotherSandboxs", to_gateways_group(for_gateway, of_b)),
    bad("IsDroppedWhenTheSourceIsTheGateways", asks(of_b, gateway)),
    bad("IsDroppedWhenTheSourceIsTheGatewaysLinkLocalAddress", asks(of_b, gateway_link_local)),
    bad("IsDroppedWhenTheSourceIsNobodys", asks(of_b, unused)),
    bad("IsDroppedWhenTheSourceIsAGroup", asks(of_b, all_nodes)),
    bad("IsDroppedWhenTheSourceLinkLayerOptionIsAnothers",
        to_gateways_group(with([](Neighbour& n) { n.source_link = mac_b; }))),
    bad("IsDroppedWhenTheSecondSourceLinkLayerOptionIsAnothers",
        to_gateways_group(with([](Neighbour& n) { n.options = {1, 1, 2, 0, 0, 0, 0, 0x0b}; }))),
    bad("IsDroppedWhenTheSourceLinkLayerOptionIsTooLong", to_gateways_group(with([](Neighbour& n) {
            n.source_link.reset();
            n.options = {1, 2, 2, 0, 0, 0, 0, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0};
        }))),
    bad("IsDroppedWhenAnOptionHasNoLength", to_gateways_group(with([](Neighbour& n) { n.options = Bytes(8); }))),
    bad("IsDroppedWhenAnOptionIsLongerThanTheMessage",
        to_gateways_group(with([](Neighbour& n) { n.options = {14, 2, 0, 0, 0, 0, 0, 0}; }))),
    bad("IsDroppedWhenHalfAnOptionFollows", to_gateways_group(with([](Neighbour& n) { n.options = {14, 1, 0, 0}; }))),
    bad("IsDroppedWhenThereAreMoreOptionsThanAreRead", to_gateways_group(with([](Neighbour& n) {
            for (int i = 0; i < 12; ++i) {
                n.options.insert(n.options.end(), {14, 1, 0, 0, 0, 0, 0, 0});
            }
        }))),
    bad("IsDroppedWhenAProbeHasASourceLinkLayerOption", to_gateways_group(for_gateway, nobody)),
    bad("IsDroppedWhenAProbeIsSentByUnicast", from_a / ip(nobody, gateway) / Neighbour{.target = gateway}),
    bad("IsDroppedWhenTheTargetIsAGroup", to_gateways_group(with([](Neighbour& n) { n.target = all_nodes; }))),
    bad("IsDroppedWhenTheGroupIsNotTheTargets", to_gateways_group(with([](Neighbour& n) { n.target = of_b; }))),
    bad("IsDroppedWhenItIsSentToAnotherThanTheTarget", from_a / ip(of_a, of_b) / for_gateway),
    bad("IsDroppedWhenItIsShorterThanItsTarget",
        (to_group(group_of(gateway)) /
         IPv6{.source = of_a, .destination = group_of(gateway), .hop_limit = 255, .payload_length = 16} / for_gateway)
            .cut(14 + 40 + 16)),
    bad("IsDroppedWhenThereIsAnExtensionHeader",
        to_group(group_of(gateway)) / ip(of_a, group_of(gateway)) / Extension{.kind = hop_by_hop} / for_gateway),
    bad("IsDroppedWhenItIsAFragment", to_group(group_of(gateway)) / ip(of_a, group_of(gateway)) /
                                          FragmentHeader{.more_fragments = true} / for_gateway),

    // Nobody plays router or neighbour for another.
    bad("IsDroppedWhenARouterIsAdvertised", to_group(all_nodes) / ip(link_local_of_a, all_nodes) /
                                                ICMP{.type = router_advertisement} / Payload{"12345678"}),
    bad("IsDroppedWhenARouterIsAdvertisedToASandbox",
        from_a / ip(link_local_of_a, of_b) / ICMP{.type = router_advertisement} / Payload{"12345678"}),
    bad("IsDroppedWhenItAdvertisesItsOwnAddress",
        to_group(all_nodes) / ip(of_a, all_nodes) /
            Neighbour{.type = neighbour_advertisement, .flags = nd_override, .target = of_a, .target_link = mac_a}),
    bad("IsDroppedWhenItAdvertisesAnothersAddress",
        from_a / ip(of_a, of_b) /
            Neighbour{.type = neighbour_advertisement, .flags = nd_override, .target = gateway, .target_link = mac_a}),
    bad("IsDroppedWhenItRedirects", from_a / ip(link_local_of_a, of_b) / Neighbour{.type = icmpv6_redirect}),

    only_ipv6({"IsDroppedWhenTheFrameHasAnothersMac", From::sandbox_a,
               to_group(group_of(gateway), mac_b) / ip(of_a, group_of(gateway)) / for_gateway,
               VERDICT_DROP_SPOOFED_MAC}),
    only_ipv6(
        {"IsDroppedWhenTheLinkBelongsToNoSandbox", From::unknown_link, asks(gateway), VERDICT_DROP_UNKNOWN_SANDBOX}),

    // The host's own neighbours are its own.
    only_ipv6({"IsTheHostsWhenItsRouterAsks", From::uplink,
               from_world / ip("2001:db8::cb00:71fe"_ip6, "2001:db8::cb00:7101"_ip6) /
                   Neighbour{.target = "2001:db8::cb00:7101"_ip6, .source_link = mac_router},
               VERDICT_PASS_STACK}),
    only_ipv6({"IsTheHostsWhenItsRouterAnswers", From::uplink,
               from_world / ip("2001:db8::cb00:71fe"_ip6, "2001:db8::cb00:7101"_ip6) /
                   Neighbour{.type = neighbour_advertisement,
                             .flags = nd_router | nd_solicited,
                             .target = "2001:db8::cb00:71fe"_ip6,
                             .target_link = mac_router},
               VERDICT_PASS_STACK}),
    only_ipv6({"IsTheHostsWhenARouterIsAdvertisedToIt", From::uplink,
               from_world / ip("fe80::1"_ip6, "2001:db8::cb00:7101"_ip6) / ICMP{.type = router_advertisement},
               VERDICT_PASS_STACK}),
    only_ipv6({"IsTheHostsWhenListenersAreQueried", From::uplink,
               from_world / ip("fe80::1"_ip6, "2001:db8::cb00:7101"_ip6, 1) / Extension{.kind = hop_by_hop} /
                   ICMP{.type = 130},
               VERDICT_PASS_STACK}),
};

class NeighbourDiscovery : public DatapathTable {};

TEST_P(NeighbourDiscovery, Packet) {
    expect_this_row();
}
INSTANTIATE_TEST_SUITE_P(, NeighbourDiscovery, testing::ValuesIn(in_each_family(nd_rows)), name_of_row);

// Each has an address of its own that the program answers for; a further one of the asker's own is not answered.
class FurtherAddress : public InEachFamily {};

TEST_P(FurtherAddress, IsItsSandboxsAsTheFirstIs) {
    endpoint further{};
    further.claim = 7;
    further.link = sandbox_at(ip_a, host_a, mac_a).link;
    further.network = network_id;
    further.kind = ENDPOINT_SANDBOX;
    datapath_->set_endpoint(address_of(ip_unused), further);
    const IPv4 from_further{.source = ip_unused, .destination = ip_b};
    expect_packet(From::sandbox_a, from_a / from_further / UDP{}, VERDICT_TO_SANDBOX, at_b / from_further / UDP{});
    expect_verdict(From::sandbox_b, from_b / from_further / UDP{}, VERDICT_DROP_SPOOFED_ADDRESS);
    expect_packet(From::sandbox_a, from_a / IPv4{.source = ip_unused, .destination = ip_server} / UDP{},
                  VERDICT_TO_WORLD, from_a / IPv4{.source = ip_uplink, .destination = ip_server, .ttl = 63} / UDP{});
    if (family() == Family::ipv6) {
        expect_verdict(From::sandbox_a, probes(unused), VERDICT_DROP_ND_NO_ANSWER);
        expect_verdict(From::sandbox_a, asks(gateway, unused), VERDICT_ND_ANSWERED);
    }
}
RUN_IN_EACH_FAMILY(FurtherAddress);

}  // namespace
}  // namespace causeway::test::nd_test
