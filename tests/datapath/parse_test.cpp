// SPDX-License-Identifier: Apache-2.0
// What can be read of a packet, and what is dropped because it can't: each boundary of each header.
#include "tests/datapath/datapath_fixture.hpp"

namespace causeway::test::parse_test {
namespace {

constexpr std::size_t ethernet_size = 14, ip_size = 20, tcp_size = 20, udp_size = 8, icmp_size = 8;

const IPv4 to_b{.source = ip_a, .destination = ip_b};
const IPv4 to_world{.source = ip_a, .destination = ip_server};
const IPv4 in_world{.source = ip_uplink, .destination = ip_server, .ttl = 63};

// A copy of the header with something changed.
template <typename Header, typename Change>
Header with(Header header, Change change) {
    change(header);
    return header;
}

Bytes no_operations(std::size_t size) {
    return Bytes(size, 1);
}

Row cut(const char* name, std::size_t size, const Frame& in, enum verdict verdict = VERDICT_DROP_TRUNCATED) {
    return {name, From::sandbox_a, in.cut(size), verdict};
}

const Row ip_rows[] = {
    // Frames that end before the IP header does are no input for BPF_PROG_TEST_RUN: see live_test.cpp.
    cut("DropsWhenTheFrameEndsAfterTheIpHeader", ethernet_size + ip_size, from_a / to_b / TCP{}),
    cut("DropsWhenTheFrameEndsInTheOptions", ethernet_size + ip_size + 2,
        from_a / with(to_b, [](IPv4& ip) { ip.options = no_operations(4); }) / TCP{}),
    cut("DropsWhenTheLastByteOfThePacketIsMissing", ethernet_size + ip_size + tcp_size + 4,
        from_a / to_b / TCP{} / Payload{"hello"}),
    {"DropsWhenTheTotalLengthIsBeyondTheFrame", From::sandbox_a,
     from_a / with(to_b, [](IPv4& ip) { ip.total_length = 41; }) / TCP{}, VERDICT_DROP_TRUNCATED},
    {"DropsWhenTheTotalLengthIsTheLargest", From::sandbox_a,
     from_a / with(to_b, [](IPv4& ip) { ip.total_length = 0xffff; }) / TCP{}, VERDICT_DROP_TRUNCATED},
    only_ipv4({"DropsWhenTheTotalLengthIsLessThanTheHeader", From::sandbox_a,
               from_a / with(to_b, [](IPv4& ip) { ip.total_length = 19; }) / TCP{}, VERDICT_DROP_BAD_HEADER}),
    only_ipv4({"DropsWhenTheTotalLengthEndsInTheOptions", From::sandbox_a,
               from_a /
                   with(to_b,
                        [](IPv4& ip) {
                            ip.options = no_operations(8);
                            ip.total_length = 27;
                        }) /
                   TCP{},
               VERDICT_DROP_BAD_HEADER}),
    only_ipv4({"DropsWhenTheTotalLengthIsZero", From::sandbox_a,
               from_a / with(to_b, [](IPv4& ip) { ip.total_length = 0; }) / TCP{}, VERDICT_DROP_BAD_HEADER}),
    {"DropsWhenTheVersionIsSix", From::sandbox_a, from_a / with(to_b, [](IPv4& ip) { ip.version = 6; }) / TCP{},
     VERDICT_DROP_BAD_HEADER},
    {"DropsWhenTheVersionIsZero", From::sandbox_a, from_a / with(to_b, [](IPv4& ip) { ip.version = 0; }) / TCP{},
     VERDICT_DROP_BAD_HEADER},
    only_ipv4({"DropsWhenTheHeaderIsShorterThanFiveWords", From::sandbox_a,
               from_a / with(to_b, [](IPv4& ip) { ip.header_words = 4; }) / TCP{}, VERDICT_DROP_BAD_HEADER}),
    only_ipv4({"DropsWhenTheHeaderHasNoWords", From::sandbox_a,
               from_a / with(to_b, [](IPv4& ip) { ip.header_words = 0; }) / TCP{}, VERDICT_DROP_BAD_HEADER}),
    only_ipv4({"DropsWhenTheHeaderIsLongerThanThePacket", From::sandbox_a,
               from_a / with(to_b, [](IPv4& ip) { ip.header_words = 15; }) / TCP{}, VERDICT_DROP_BAD_HEADER}),
    only_ipv4({"DropsWhenTheReservedFlagIsSet", From::sandbox_a,
               from_a / with(to_b, [](IPv4& ip) { ip.reserved_flag = true; }) / TCP{}, VERDICT_DROP_BAD_HEADER}),
    {"ReadsOnWhenTheHeaderIsAllThereIs", From::sandbox_a, from_a / with(to_b, [](IPv4& ip) { ip.protocol = 253; }),
     VERDICT_TO_SANDBOX, at_b / with(to_b, [](IPv4& ip) { ip.protocol = 253; })},
    {"ReadsOnWhenTheFrameIsPadded", From::sandbox_a, from_a / to_b / UDP{} / Payload{"hi"} / Padding{16},
     VERDICT_TO_SANDBOX, at_b / to_b / UDP{} / Payload{"hi"} / Padding{16}},
};

Row to_the_world(const char* name, const Frame& in, const Frame& out) {
    return {name, From::sandbox_a, in, VERDICT_TO_WORLD, out};
}

const Row transport_rows[] = {
    {"DropsWhenTheTcpHeaderIsShorterThanFiveWords", From::sandbox_a, from_a / to_world / TCP{.header_words = 4},
     VERDICT_DROP_BAD_HEADER},
    {"DropsWhenTheTcpHeaderHasNoWords", From::sandbox_a, from_a / to_world / TCP{.header_words = 0},
     VERDICT_DROP_BAD_HEADER},
    {"DropsWhenTheTcpHeaderIsLongerThanThePacket", From::sandbox_a, from_a / to_world / TCP{.header_words = 6},
     VERDICT_DROP_TRUNCATED},
    {"DropsWhenTheTcpHeaderIsCut", From::sandbox_a,
     (from_a / with(to_world, [](IPv4& ip) { ip.total_length = ip_size + tcp_size - 1; }) / TCP{})
         .cut(ethernet_size + ip_size + tcp_size - 1),
     VERDICT_DROP_TRUNCATED},
    {"DropsWhenOnlyThePortsOfTcpAreThere", From::sandbox_a,
     (from_a / with(to_world, [](IPv4& ip) { ip.total_length = ip_size + 4; }) / TCP{})
         .cut(ethernet_size + ip_size + 4),
     VERDICT_DROP_TRUNCATED},
    {"DropsWhenTheUdpHeaderIsCut", From::sandbox_a,
     (from_a / with(to_world, [](IPv4& ip) { ip.total_length = ip_size + udp_size - 1; }) / UDP{})
         .cut(ethernet_size + ip_size + udp_size - 1),
     VERDICT_DROP_TRUNCATED},
    {"DropsWhenTheIcmpHeaderIsCut", From::sandbox_a,
     (from_a / with(to_world, [](IPv4& ip) { ip.total_length = ip_size + icmp_size - 1; }) / ICMP{})
         .cut(ethernet_size + ip_size + icmp_size - 1),
     VERDICT_DROP_TRUNCATED},
    {"DropsWhenNothingFollowsTheIpHeader", From::sandbox_a,
     from_a / with(to_world, [](IPv4& ip) { ip.protocol = tcp_protocol; }), VERDICT_DROP_TRUNCATED},
    // Padding is no part of the packet: a header that lies in it is not there.
    {"DropsWhenTheTcpHeaderEndsInThePadding", From::sandbox_a,
     from_a / with(to_world, [](IPv4& ip) { ip.total_length = ip_size + tcp_size - 1; }) / TCP{},
     VERDICT_DROP_TRUNCATED},
    {"DropsWhenTheTcpHeaderIsPadding", From::sandbox_a,
     from_a / with(to_world, [](IPv4& ip) { ip.total_length = ip_size; }) / TCP{}, VERDICT_DROP_TRUNCATED},
    {"DropsWhenTheUdpHeaderIsPadding", From::sandbox_a,
     from_a / with(to_world, [](IPv4& ip) { ip.total_length = ip_size; }) / UDP{}, VERDICT_DROP_TRUNCATED},
    {"DropsWhenTheIcmpHeaderIsPadding", From::sandbox_a,
     from_a / with(to_world, [](IPv4& ip) { ip.total_length = ip_size; }) / ICMP{}, VERDICT_DROP_TRUNCATED},
    {"DropsWhenTheUdpLengthIsBeyondThePacket", From::sandbox_a, from_a / to_world / UDP{.length = 9},
     VERDICT_DROP_TRUNCATED},

    to_the_world("FindsTheTcpPortsWhenThereAreIpOptions",
                 from_a / with(to_world, [](IPv4& ip) { ip.options = no_operations(4); }) / TCP{},
                 from_a / with(in_world, [](IPv4& ip) { ip.options = no_operations(4); }) / TCP{}),
    to_the_world("FindsTheTcpPortsWhenThereAreFortyBytesOfIpOptions",
                 from_a / with(to_world, [](IPv4& ip) { ip.options = no_operations(40); }) / TCP{},
                 from_a / with(in_world, [](IPv4& ip) { ip.options = no_operations(40); }) / TCP{}),
    to_the_world("FindsTheUdpPortsWhenThereAreIpOptions",
                 from_a / with(to_world, [](IPv4& ip) { ip.options = no_operations(12); }) / UDP{} / Payload{"odd"},
                 from_a / with(in_world, [](IPv4& ip) { ip.options = no_operations(12); }) / UDP{} / Payload{"odd"}),
    to_the_world("FindsTheIcmpIdentifierWhenThereAreIpOptions",
                 from_a / with(to_world, [](IPv4& ip) { ip.options = no_operations(8); }) / ICMP{},
                 from_a / with(in_world, [](IPv4& ip) { ip.options = no_operations(8); }) / ICMP{}),
    to_the_world("KeepsTcpOptionsWhenItTranslates",
                 from_a / to_world / TCP{.options = {2, 4, 5, 180, 4, 2, 1, 1}} / Payload{"x"},
                 from_a / in_world / TCP{.options = {2, 4, 5, 180, 4, 2, 1, 1}} / Payload{"x"}),
    to_the_world("LeavesAUdpChecksumOfZeroWhenItTranslates", from_a / to_world / UDP{.checksum = 0} / Payload{"x"},
                 from_a / in_world / UDP{.checksum = 0} / Payload{"x"}),
    only_ipv4(to_the_world("LeavesAWrongChecksumWrongWhenItTranslates",
                           from_a / to_world / UDP{.checksum = 0x1234} / Payload{"x"},
                           from_a / in_world / UDP{.checksum = 0xe033} / Payload{"x"})),
    to_the_world("KeepsThePaddingWhenTheFrameIsPadded", from_a / to_world / UDP{} / Padding{18},
                 from_a / in_world / UDP{} / Padding{18}),
    to_the_world("ReadsOnWhenTheUdpPayloadIsEmpty", from_a / to_world / UDP{}, from_a / in_world / UDP{}),
    to_the_world("ReadsOnWhenTheChecksumCoversAnOddLength", from_a / to_world / TCP{} / Payload{"odd"},
                 from_a / in_world / TCP{} / Payload{"odd"}),
    to_the_world("ReadsOnWhenTheTypeOfServiceIsSet",
                 from_a / with(to_world, [](IPv4& ip) { ip.type_of_service = 0xb8; }) / TCP{},
                 from_a / with(in_world, [](IPv4& ip) { ip.type_of_service = 0xb8; }) / TCP{}),
    only_ipv4(to_the_world("ReadsOnWhenThePacketMayBeFragmented",
                           from_a / with(to_world, [](IPv4& ip) { ip.dont_fragment = false; }) / TCP{},
                           from_a /
                               with(in_world,
                                    [](IPv4& ip) {
                                        ip.dont_fragment = false;
                                        ip.identification = first_identification;
                                    }) /
                               TCP{})),

    to_the_world("ReadsOnWhenTheProtocolHasNoPorts",
                 from_a / with(to_world, [](IPv4& ip) { ip.protocol = gre_protocol; }) / Payload{"tunnel"},
                 from_a / with(in_world, [](IPv4& ip) { ip.protocol = gre_protocol; }) / Payload{"tunnel"}),
    to_the_world("ReadsOnWhenTheProtocolHasNoPortsAndNothingFollows",
                 from_a / with(to_world, [](IPv4& ip) { ip.protocol = gre_protocol; }),
                 from_a / with(in_world, [](IPv4& ip) { ip.protocol = gre_protocol; })),
    to_the_world("FindsThePortsWhenItIsSctp", from_a / to_world / SCTP{} / Payload{"odd"},
                 from_a / in_world / SCTP{} / Payload{"odd"}),
    // The checksum of DCCP is where that of UDP is (RFC 4340, section 5.1); ports there are none for causeway.
    only_ipv4(to_the_world("MendsTheChecksumWhenTheProtocolIsDccp",
                           from_a / with(to_world, [](IPv4& ip) { ip.protocol = 33; }) / UDP{.checksum = 0x1234},
                           from_a / with(in_world, [](IPv4& ip) { ip.protocol = 33; }) / UDP{.checksum = 0xe033})),
    to_the_world("FindsThePortsWhenItIsUdpLite", from_a / to_world / UdpLite{} / Payload{"odd"},
                 from_a / in_world / UdpLite{} / Payload{"odd"}),
    to_the_world("FindsThePortsWhenItIsUdpLiteAndOnlyTheHeaderIsCovered",
                 from_a / to_world / UdpLite{.coverage = 8} / Payload{"odd"},
                 from_a / in_world / UdpLite{.coverage = 8} / Payload{"odd"}),
    {"DropsWhenTheUdpLiteHeaderIsCut", From::sandbox_a,
     (from_a / with(to_world, [](IPv4& ip) { ip.total_length = ip_size + udp_size - 1; }) / UdpLite{})
         .cut(ethernet_size + ip_size + udp_size - 1),
     VERDICT_DROP_TRUNCATED},
    only_ipv4(to_the_world("TranslatesAnIcmpTimestampRequest",
                           from_a / to_world / ICMP{.type = icmp_timestamp_request} / Payload{"twelve bytes"},
                           from_a / in_world / ICMP{.type = icmp_timestamp_request} / Payload{"twelve bytes"})),
    only_ipv4(to_the_world("TranslatesAnIcmpInformationRequest",
                           from_a / to_world / ICMP{.type = icmp_information_request},
                           from_a / in_world / ICMP{.type = icmp_information_request})),
    only_ipv4(to_the_world("TranslatesAnIcmpMaskRequest",
                           from_a / to_world / ICMP{.type = icmp_mask_request} / Payload{"mask"},
                           from_a / in_world / ICMP{.type = icmp_mask_request} / Payload{"mask"})),
    only_ipv4({"DropsWhenTheIcmpTypeIsSourceQuench", From::sandbox_a,
               from_a / to_world / IcmpError{.type = 4} / to_b / UDP{}, VERDICT_DROP_PROTOCOL}),
    only_ipv4({"DropsWhenTheIcmpTypeIsARedirect", From::sandbox_a,
               from_a / to_world / IcmpError{.type = 5} / to_b / UDP{}, VERDICT_DROP_PROTOCOL}),
    only_ipv4({"DropsWhenTheIcmpTypeIsARouterAdvertisement", From::sandbox_a, from_a / to_world / ICMP{.type = 9},
               VERDICT_DROP_PROTOCOL}),
    {"DropsWhenTheIcmpTypeIsUnknown", From::sandbox_a, from_a / to_world / ICMP{.type = 200}, VERDICT_DROP_PROTOCOL},
    {"DropsWhenTheIcmpErrorQuotesNothing", From::sandbox_a, from_a / to_world / IcmpError{.code = 3},
     VERDICT_DROP_NO_FLOW},
};

IPv4 fragment(Ip destination, std::uint16_t offset, bool more) {
    return {.source = ip_a,
            .destination = destination,
            .protocol = udp_protocol,
            .dont_fragment = false,
            .more_fragments = more,
            .fragment_offset = offset};
}

Frame first_fragment(const Ethernet& ethernet, Ip destination) {
    return ethernet / fragment(destination, 0, true) / UDP{.length = 72} / Payload{std::string(16, 'a')};
}

Frame later_fragment(const Ethernet& ethernet, Ip destination, std::uint16_t offset, bool more) {
    return ethernet / fragment(destination, offset, more) / Payload{std::string(24, 'b')};
}

const Row fragment_rows[] = {
    {"ReachesASandboxWhenItIsTheFirst", From::sandbox_a, first_fragment(from_a, ip_b), VERDICT_TO_SANDBOX,
     first_fragment(at_b, ip_b)},
    {"ReachesASandboxWhenItIsInTheMiddle", From::sandbox_a, later_fragment(from_a, ip_b, 3, true), VERDICT_TO_SANDBOX,
     later_fragment(at_b, ip_b, 3, true)},
    {"ReachesASandboxWhenItIsTheLast", From::sandbox_a, later_fragment(from_a, ip_b, 6, false), VERDICT_TO_SANDBOX,
     later_fragment(at_b, ip_b, 6, false)},
    {"ReachesTheGatewayWhenItIsTheFirst", From::sandbox_a, first_fragment(from_a, ip_gateway), VERDICT_TO_HOST},
    {"ReachesTheGatewayWhenItIsTheLast", From::sandbox_a, later_fragment(from_a, ip_gateway, 6, false),
     VERDICT_TO_HOST},
    {"ReachesTheUplinksAddressWhenItIsTheFirst", From::sandbox_a, first_fragment(from_a, ip_uplink), VERDICT_TO_HOST},
    {"ReachesTheUplinksAddressWhenItIsInTheMiddle", From::sandbox_a, later_fragment(from_a, ip_uplink, 3, true),
     VERDICT_TO_HOST},
    {"IsHeldWhenItIsInTheMiddleToTheWorldAndTheFirstWasNotSeen", From::sandbox_a,
     later_fragment(from_a, ip_server, 3, true), VERDICT_FRAGMENT_HELD},
    {"IsHeldWhenItIsTheLastToTheWorldAndTheFirstWasNotSeen", From::sandbox_a,
     later_fragment(from_a, ip_server, 6, false), VERDICT_FRAGMENT_HELD},
    {"IsHeldWhenItsOffsetIsTheLargest", From::sandbox_a, later_fragment(from_a, ip_server, 0x1fff, false),
     VERDICT_FRAGMENT_HELD},
};

class ParseIp : public DatapathTable {};
class ParseTransport : public DatapathTable {};
class Fragment : public DatapathTable {};

TEST_P(ParseIp, Packet) {
    expect_this_row();
}
INSTANTIATE_TEST_SUITE_P(, ParseIp, testing::ValuesIn(in_each_family(ip_rows)), name_of_row);

TEST_P(ParseTransport, Packet) {
    expect_this_row();
}
INSTANTIATE_TEST_SUITE_P(, ParseTransport, testing::ValuesIn(in_each_family(transport_rows)), name_of_row);

TEST_P(Fragment, Packet) {
    expect_this_row();
}
INSTANTIATE_TEST_SUITE_P(, Fragment, testing::ValuesIn(in_each_family(fragment_rows)), name_of_row);

}  // namespace
}  // namespace causeway::test::parse_test
