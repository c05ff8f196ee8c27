// SPDX-License-Identifier: Apache-2.0
// A sandbox sends as itself, and to the gateway's MAC; all else ends on its own link.
#include "tests/datapath/datapath_fixture.hpp"

namespace causeway::test::guard_test {
namespace {

Row drop(const char* name, const Ethernet& ethernet, Ip source, Ip destination, enum verdict verdict) {
    return {name, From::sandbox_a, ethernet / IPv4{.source = source, .destination = destination} / TCP{}, verdict};
}

const Row guard_rows[] = {
    drop("DropsWhenTheSourceMacIsAnotherSandboxs", {.source = mac_b, .destination = mac_gateway}, ip_a, ip_b,
         VERDICT_DROP_SPOOFED_MAC),
    drop("DropsWhenTheSourceMacIsTheGateways", {.source = mac_gateway, .destination = mac_gateway}, ip_a, ip_b,
         VERDICT_DROP_SPOOFED_MAC),
    drop("DropsWhenOneBitOfTheSourceMacIsOff", {.source = "02:00:00:00:00:0e"_mac, .destination = mac_gateway}, ip_a,
         ip_b, VERDICT_DROP_SPOOFED_MAC),
    drop("DropsWhenTheFirstByteOfTheSourceMacIsOff", {.source = "06:00:00:00:00:0a"_mac, .destination = mac_gateway},
         ip_a, ip_b, VERDICT_DROP_SPOOFED_MAC),
    drop("DropsWhenTheSourceAddressIsAnotherSandboxs", from_a, ip_b, ip_gateway, VERDICT_DROP_SPOOFED_ADDRESS),
    drop("DropsWhenTheSourceAddressIsTheGateways", from_a, ip_gateway, ip_b, VERDICT_DROP_SPOOFED_ADDRESS),
    drop("DropsWhenTheSourceAddressIsTheHosts", from_a, ip_uplink, ip_server, VERDICT_DROP_SPOOFED_ADDRESS),
    drop("DropsWhenTheSourceAddressIsNobodys", from_a, ip_unused, ip_server, VERDICT_DROP_SPOOFED_ADDRESS),
    drop("DropsWhenTheSourceAddressIsZero", from_a, "0.0.0.0"_ip, ip_server, VERDICT_DROP_SPOOFED_ADDRESS),
    drop("DropsWhenTheSourceAddressIsBroadcast", from_a, "255.255.255.255"_ip, ip_server, VERDICT_DROP_SPOOFED_ADDRESS),
    drop("DropsWhenTheFrameGoesToAnotherSandboxsMac", {.source = mac_a, .destination = mac_b}, ip_a, ip_b,
         VERDICT_DROP_NOT_GATEWAY_MAC),
    drop("DropsWhenTheFrameGoesToAStrangersMac", {.source = mac_a, .destination = mac_stranger}, ip_a, ip_server,
         VERDICT_DROP_NOT_GATEWAY_MAC),
    drop("DropsWhenTheFrameGoesToItsOwnMac", {.source = mac_a, .destination = mac_a}, ip_a, ip_gateway,
         VERDICT_DROP_NOT_GATEWAY_MAC),
    drop("DropsWhenTheFrameIsBroadcast", {.source = mac_a, .destination = mac_broadcast}, ip_a, "10.0.0.255"_ip,
         VERDICT_DROP_MULTICAST),
    drop("DropsWhenTheFrameIsMulticast", {.source = mac_a, .destination = "01:00:5e:00:00:fb"_mac}, ip_a,
         "224.0.0.251"_ip, VERDICT_DROP_MULTICAST),
    drop("DropsWhenUnicastTrafficComesInABroadcastFrame", {.source = mac_a, .destination = mac_broadcast}, ip_a, ip_b,
         VERDICT_DROP_MULTICAST),
    // No router forwards these to where a unicast route points (RFC 1812, sections 4.2.2.11 and 5.2.1.2).
    drop("DropsWhenAMulticastAddressIsInAUnicastFrame", from_a, ip_a, "224.0.0.251"_ip, VERDICT_DROP_MULTICAST),
    drop("DropsWhenARoutedMulticastAddressIsInAUnicastFrame", from_a, ip_a, "239.1.2.3"_ip, VERDICT_DROP_MULTICAST),
    drop("DropsWhenTheBroadcastAddressIsInAUnicastFrame", from_a, ip_a, "255.255.255.255"_ip, VERDICT_DROP_MULTICAST),

    only_ipv4({"DropsWhenABootRequestIsBroadcast", From::sandbox_a,
               Ethernet{.source = mac_a, .destination = mac_broadcast} / IPv4{.destination = "255.255.255.255"_ip} /
                   UDP{.source_port = 68, .destination_port = 67},
               VERDICT_DROP_SPOOFED_ADDRESS}),
    {"DropsWhenTheEthertypeAndTheVersionDiffer", From::sandbox_a,
     Ethernet{.source = mac_a, .destination = mac_gateway, .type = ethertype_ipv6} / Payload{std::string(40, '\x45')},
     VERDICT_DROP_BAD_HEADER},
    {"DropsWhenTheEthertypeIsUnknown", From::sandbox_a,
     Ethernet{.source = mac_a, .destination = mac_gateway, .type = 0x88cc} / Payload{"neighbour, discover me"},
     VERDICT_DROP_ETHERTYPE},
    {"DropsWhenTheFrameHasALengthAndNoEthertype", From::sandbox_a,
     Ethernet{.source = mac_a, .destination = mac_gateway, .type = 38} / Payload{std::string(38, '\x42')},
     VERDICT_DROP_ETHERTYPE},
    {"DropsWhenTheFrameHasATag", From::sandbox_a, from_a / Vlan{} / IPv4{.source = ip_a, .destination = ip_b} / TCP{},
     VERDICT_DROP_ETHERTYPE},
    {"DropsWhenAnUnknownEthertypeHasASpoofedMac", From::sandbox_a,
     Ethernet{.source = mac_b, .destination = mac_gateway, .type = 0x88cc} / Payload{"x"}, VERDICT_DROP_SPOOFED_MAC},
    {"DropsWhenTheLinkBelongsToNoSandbox", From::unknown_link,
     from_a / IPv4{.source = ip_a, .destination = ip_b} / TCP{}, VERDICT_DROP_UNKNOWN_SANDBOX},
    {"DropsWhenTheMacAndAddressAreRightButOnAnotherSandboxsLink", From::sandbox_b,
     from_a / IPv4{.source = ip_a, .destination = ip_server} / TCP{}, VERDICT_DROP_SPOOFED_MAC},
    {"DropsWhenTheAddressBelongsToAnotherLink", From::sandbox_b,
     from_b / IPv4{.source = ip_a, .destination = ip_server} / TCP{}, VERDICT_DROP_SPOOFED_ADDRESS},
};

class Guard : public DatapathTable {};

TEST_P(Guard, Packet) {
    expect_this_row();
}
INSTANTIATE_TEST_SUITE_P(, Guard, testing::ValuesIn(in_each_family(guard_rows)), name_of_row);

}  // namespace
}  // namespace causeway::test::guard_test
