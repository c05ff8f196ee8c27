// SPDX-License-Identifier: Apache-2.0
// Who has an address: answered for those that exist, on the asker's own link, and for nobody who lies about itself.
#include "tests/datapath/datapath_fixture.hpp"

namespace causeway::test::arp_test {
namespace {

constexpr Ethernet broadcast_from_a{.source = mac_a, .destination = mac_broadcast};

Frame asks(const Arp& arp) {
    return broadcast_from_a / arp;
}

Frame answer(Ip address) {
    return Ethernet{.source = mac_gateway, .destination = mac_a} / Arp{.operation = arp_reply,
                                                                       .sender_mac = mac_gateway,
                                                                       .sender = address,
                                                                       .target_mac = mac_a,
                                                                       .target = ip_a};
}

const Row arp_rows[] = {
    {"AnswersWhenTheGatewayIsAsked", From::sandbox_a, asks({.sender_mac = mac_a, .sender = ip_a, .target = ip_gateway}),
     VERDICT_ARP_ANSWERED, answer(ip_gateway)},
    {"AnswersWhenAnotherSandboxIsAsked", From::sandbox_a, asks({.sender_mac = mac_a, .sender = ip_a, .target = ip_b}),
     VERDICT_ARP_ANSWERED, answer(ip_b)},
    {"AnswersWhenAskedByUnicast", From::sandbox_a,
     from_a / Arp{.sender_mac = mac_a, .sender = ip_a, .target_mac = mac_gateway, .target = ip_gateway},
     VERDICT_ARP_ANSWERED, answer(ip_gateway)},
    {"AnswersWithThePaddingWhenTheFrameIsPadded", From::sandbox_a,
     asks({.sender_mac = mac_a, .sender = ip_a, .target = ip_gateway}) / Padding{18}, VERDICT_ARP_ANSWERED,
     answer(ip_gateway) / Padding{18}},
    {"AnswersWhenAProbeAsksForAnAddressInUse", From::sandbox_a, asks({.sender_mac = mac_a, .target = ip_b}),
     VERDICT_ARP_ANSWERED,
     Ethernet{.source = mac_gateway, .destination = mac_a} /
         Arp{.operation = arp_reply, .sender_mac = mac_gateway, .sender = ip_b, .target_mac = mac_a}},

    {"IsSilentWhenNobodyHasTheAddress", From::sandbox_a,
     asks({.sender_mac = mac_a, .sender = ip_a, .target = ip_unused}), VERDICT_DROP_ARP_NO_ANSWER},
    {"IsSilentWhenTheAddressIsClaimedButNotConnected", From::sandbox_a,
     asks({.sender_mac = mac_a, .sender = ip_a, .target = ip_claimed}), VERDICT_DROP_ARP_NO_ANSWER},
    {"IsSilentWhenTheAddressIsInTheWorld", From::sandbox_a,
     asks({.sender_mac = mac_a, .sender = ip_a, .target = ip_server}), VERDICT_DROP_ARP_NO_ANSWER},
    {"IsSilentWhenAProbeAsksForTheAskersOwnAddress", From::sandbox_a, asks({.sender_mac = mac_a, .target = ip_a}),
     VERDICT_DROP_ARP_NO_ANSWER},
    {"IsSilentWhenTheAskerAnnouncesItsAddress", From::sandbox_a,
     asks({.sender_mac = mac_a, .sender = ip_a, .target = ip_a}), VERDICT_DROP_ARP_NO_ANSWER},

    {"IsDroppedWhenTheSenderMacIsAnothers", From::sandbox_a,
     asks({.sender_mac = mac_b, .sender = ip_a, .target = ip_gateway}), VERDICT_DROP_SPOOFED_ARP},
    {"IsDroppedWhenTheSenderAddressIsAnothers", From::sandbox_a,
     asks({.sender_mac = mac_a, .sender = ip_b, .target = ip_gateway}), VERDICT_DROP_SPOOFED_ARP},
    {"IsDroppedWhenItAnnouncesAnothersAddress", From::sandbox_a,
     asks({.sender_mac = mac_a, .sender = ip_b, .target = ip_b}), VERDICT_DROP_SPOOFED_ARP},
    {"IsDroppedWhenItAnnouncesTheGatewaysAddress", From::sandbox_a,
     asks({.sender_mac = mac_a, .sender = ip_gateway, .target = ip_gateway}), VERDICT_DROP_SPOOFED_ARP},
    {"IsDroppedWhenAProbeHasAnothersMac", From::sandbox_a, asks({.sender_mac = mac_b, .target = ip_unused}),
     VERDICT_DROP_SPOOFED_ARP},
    {"IsDroppedWhenTheFrameHasAnothersMac", From::sandbox_a,
     Ethernet{.source = mac_b, .destination = mac_broadcast} /
         Arp{.sender_mac = mac_a, .sender = ip_a, .target = ip_gateway},
     VERDICT_DROP_SPOOFED_MAC},

    {"IsDroppedWhenItIsAReply", From::sandbox_a,
     from_a / Arp{.operation = arp_reply,
                  .sender_mac = mac_a,
                  .sender = ip_a,
                  .target_mac = mac_gateway,
                  .target = ip_gateway},
     VERDICT_DROP_BAD_ARP},
    {"IsDroppedWhenTheOperationIsUnknown", From::sandbox_a,
     asks({.operation = 8, .sender_mac = mac_a, .sender = ip_a, .target = ip_gateway}), VERDICT_DROP_BAD_ARP},
    {"IsDroppedWhenTheHardwareIsNotEthernet", From::sandbox_a,
     asks({.sender_mac = mac_a, .sender = ip_a, .target = ip_gateway, .hardware = 6}), VERDICT_DROP_BAD_ARP},
    {"IsDroppedWhenTheProtocolIsNotIPv4", From::sandbox_a,
     asks({.sender_mac = mac_a, .sender = ip_a, .target = ip_gateway, .protocol = ethertype_ipv6}),
     VERDICT_DROP_BAD_ARP},
    {"IsDroppedWhenTheHardwareLengthIsNotSix", From::sandbox_a,
     asks({.sender_mac = mac_a, .sender = ip_a, .target = ip_gateway, .hardware_length = 8}), VERDICT_DROP_BAD_ARP},
    {"IsDroppedWhenTheProtocolLengthIsNotFour", From::sandbox_a,
     asks({.sender_mac = mac_a, .sender = ip_a, .target = ip_gateway, .protocol_length = 16}), VERDICT_DROP_BAD_ARP},
    {"IsDroppedWhenItEndsAfterTheEthernetHeader", From::sandbox_a,
     asks({.sender_mac = mac_a, .sender = ip_a, .target = ip_gateway}).cut(14), VERDICT_DROP_TRUNCATED},
    {"IsDroppedWhenItsLastByteIsMissing", From::sandbox_a,
     asks({.sender_mac = mac_a, .sender = ip_a, .target = ip_gateway}).cut(41), VERDICT_DROP_TRUNCATED},
    {"IsDroppedWhenTheLinkBelongsToNoSandbox", From::unknown_link,
     asks({.sender_mac = mac_a, .sender = ip_a, .target = ip_gateway}), VERDICT_DROP_UNKNOWN_SANDBOX},
};

class ArpRequest : public DatapathTable {};

TEST_P(ArpRequest, Packet) {
    expect_this_row();
}
INSTANTIATE_TEST_SUITE_P(, ArpRequest, testing::ValuesIn(in_each_family(arp_rows)), name_of_row);

class ArpOfASecondAddress : public InEachFamily {};

TEST_P(ArpOfASecondAddress, IsAnsweredLikeThatOfTheFirst) {
    constexpr Ip second = "10.5.0.2"_ip;
    datapath_->set_endpoint(
        address_of(second),
        {.link = sandbox_at(ip_a, host_a, mac_a).link, .network = network_id, .kind = ENDPOINT_SANDBOX});
    expect_verdict(From::sandbox_a, asks({.sender_mac = mac_a, .sender = second, .target = ip_b}),
                   VERDICT_ARP_ANSWERED);
    expect_verdict(From::sandbox_b,
                   Ethernet{.source = mac_b, .destination = mac_broadcast} /
                       Arp{.sender_mac = mac_b, .sender = second, .target = ip_a},
                   VERDICT_DROP_SPOOFED_ARP);
}

RUN_IN_IPV4(ArpOfASecondAddress);

}  // namespace
}  // namespace causeway::test::arp_test
