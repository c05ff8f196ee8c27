// SPDX-License-Identifier: Apache-2.0
// ICMP errors about a sandbox's flows: who reads one finds its own packet quoted, and checksums that hold.
#include <algorithm>
#include <cstring>
#include <tuple>

#include "tests/datapath/datapath_fixture.hpp"

namespace causeway::test::icmp_error_test {
namespace {

// A's flow: from port (or identifier) 1000, which the world sees as 50000, the only one of the range.
constexpr std::uint16_t inside = 1000, outside = 50000;
constexpr std::size_t ip_size = 20;

enum class Kind { tcp, udp, udp_without_checksum, udp_lite, udp_lite_uncovered, ping, gre };

constexpr Kind kinds[] = {Kind::tcp,  Kind::udp, Kind::udp_without_checksum, Kind::udp_lite, Kind::udp_lite_uncovered,
                          Kind::ping, Kind::gre};

const char* name_of_kind(Kind kind) {
    switch (kind) {
        case Kind::tcp:
            return "Tcp";
        case Kind::udp:
            return "Udp";
        case Kind::udp_without_checksum:
            return "UdpWithoutChecksum";
        case Kind::udp_lite:
            return "UDPLite";
        case Kind::udp_lite_uncovered:
            return "UdpLiteWhosePayloadIsNotCovered";
        case Kind::ping:
            return "Ping";
        case Kind::gre:
            break;
    }
    return "Gre";
}

// What is between two ports: by the sandbox, or the world's answer to it.
Frame segment(const Frame& before, Kind kind, std::uint16_t source, std::uint16_t destination, const Payload& payload) {
    switch (kind) {
        case Kind::tcp:
            return before / TCP{source, destination, psh | ack} / payload;
        case Kind::udp:
            return before / UDP{source, destination} / payload;
        case Kind::udp_without_checksum:
            return before / UDP{.source_port = source, .destination_port = destination, .checksum = 0} / payload;
        case Kind::udp_lite:
            return before / UdpLite{source, destination} / payload;
        case Kind::udp_lite_uncovered:
            return before / UdpLite{source, destination, 8} / payload;
        case Kind::ping:
            return before / ICMP{.identifier = source} / payload;
        case Kind::gre:
            break;
    }
    return before / payload;
}

Frame sent(const Frame& before, Kind kind, std::uint16_t port, const Payload& payload) {
    return segment(before, kind, port, 53, payload);
}

Frame replied(const Frame& before, Kind kind, std::uint16_t port, const Payload& payload) {
    return segment(before, kind, 53, port, payload);
}

IPv4 of_kind(IPv4 ip, Kind kind) {
    if (kind == Kind::gre) {
        ip.protocol = gre_protocol;
    }
    return ip;
}

struct Code {
    std::uint8_t type, code;
    std::uint32_t rest = 0;
};

// RFC 792, RFC 1122, RFC 1812: all that are assigned. Of IPv6 also such as are not (RFC 4443, section 2.4 (a)).
std::vector<Code> all_codes(Family family) {
    std::vector<Code> codes;
    for (std::uint8_t code = 0; code <= 15; ++code) {
        codes.push_back({icmp_unreachable, code, code == 4 ? 1400U : 0U});
    }
    codes.insert(codes.end(), {{icmp_time_exceeded, 0},
                               {icmp_time_exceeded, 1},
                               {icmp_parameter_problem, 0, 0x14000000},
                               {icmp_parameter_problem, 1},
                               {icmp_parameter_problem, 2}});
    if (family == Family::ipv6) {
        codes.insert(codes.end(), {{0, 0}, {100, 0}, {127, 255}});
    }
    return codes;
}

// How much is quoted, and of which packet.
struct Quoting {
    std::size_t of_transport = SIZE_MAX;
    Bytes options = {};
    Payload payload{"an odd number of bytes."};
};

class IcmpErrorTest : public DatapathTest {
protected:
    void open(Kind kind) {
        configure([](network& network) { network.port_min = network.port_max = outside; });
        if (kind == Kind::ping) {  // an identifier is changed only where another has it
            expect_verdict(From::sandbox_b,
                           from_b / IPv4{.source = ip_b, .destination = ip_server} / ICMP{.identifier = inside},
                           VERDICT_TO_WORLD);
        }
        const IPv4 ip = of_kind({.source = ip_a, .destination = ip_server}, kind);
        expect_verdict(From::sandbox_a, sent(from_a / ip, kind, inside, {}), VERDICT_TO_WORLD);
    }

    static IcmpError error(const Code& code, const Quoting& quoting) {
        const std::size_t most = quoting.of_transport;
        return {.type = code.type,
                .code = code.code,
                .rest = code.rest,
                .quoted = most == SIZE_MAX ? most : ip_size + quoting.options.size() + most};
    }

    // A router on the way about what the sandbox has sent; and as the sandbox is to see it.
    static Frame by_world(Kind kind, const Code& code, const Quoting& quoting = {}) {
        const IPv4 ip{.source = ip_router, .destination = ip_uplink, .ttl = 50, .type_of_service = 0xc0};
        const IPv4 quoted =
            of_kind({.source = ip_uplink, .destination = ip_server, .ttl = 1, .options = quoting.options}, kind);
        return sent(from_world / ip / error(code, quoting) / quoted, kind, outside, quoting.payload);
    }
    static Frame to_sandbox(Kind kind, const Code& code, const Quoting& quoting = {}) {
        const IPv4 ip{.source = ip_router, .destination = ip_a, .ttl = 49, .type_of_service = 0xc0};
        const IPv4 quoted =
            of_kind({.source = ip_a, .destination = ip_server, .ttl = 1, .options = quoting.options}, kind);
        return sent(at_a / ip / error(code, quoting) / quoted, kind, inside, quoting.payload);
    }

    // The sandbox about what the world has sent it; and as the world is to see it.
    static Frame by_sandbox(Kind kind, const Code& code, const Quoting& quoting = {}) {
        const IPv4 ip{.source = ip_a, .destination = ip_server, .type_of_service = 0xc0};
        const IPv4 quoted =
            of_kind({.source = ip_server, .destination = ip_a, .ttl = 49, .options = quoting.options}, kind);
        return replied(from_a / ip / error(code, quoting) / quoted, kind, inside, quoting.payload);
    }
    static Frame to_world(Kind kind, const Code& code, const Quoting& quoting = {}) {
        const IPv4 ip{.source = ip_uplink, .destination = ip_server, .ttl = 63, .type_of_service = 0xc0};
        const IPv4 quoted =
            of_kind({.source = ip_server, .destination = ip_uplink, .ttl = 49, .options = quoting.options}, kind);
        return replied(from_a / ip / error(code, quoting) / quoted, kind, outside, quoting.payload);
    }
};

using FamilyKind = std::tuple<Family, Kind>;

class EachKind : public IcmpErrorTest, public testing::WithParamInterface<FamilyKind> {
protected:
    Family family() const override { return std::get<Family>(GetParam()); }
    static Kind kind() { return std::get<Kind>(GetParam()); }

    void SetUp() override {
        IcmpErrorTest::SetUp();
        open(kind());
    }

    // Both ways; of a ping the world's answer is worth no error.
    void expect_translated(const Code& code, const Quoting& quoting) {
        SCOPED_TRACE(testing::Message() << "type " << unsigned{code.type} << ", code " << unsigned{code.code});
        const Kind kind = this->kind();
        expect_packet(From::uplink, by_world(kind, code, quoting), VERDICT_TO_SANDBOX, to_sandbox(kind, code, quoting));
        if (kind != Kind::ping) {
            expect_packet(From::sandbox_a, by_sandbox(kind, code, quoting), VERDICT_TO_WORLD,
                          to_world(kind, code, quoting));
        }
    }
};

INSTANTIATE_TEST_SUITE_P(, EachKind,
                         testing::Combine(testing::Values(Family::ipv4, Family::ipv6), testing::ValuesIn(kinds)),
                         [](const auto& of) {
                             return std::string(name_of_kind(std::get<Kind>(of.param))) +
                                    (std::get<Family>(of.param) == Family::ipv6 ? "_IPv6" : "");
                         });

TEST_P(EachKind, IsTranslatedWhateverTheTypeAndCode) {
    for (const Code& code : all_codes(family())) {
        expect_translated(code, {});
    }
}

TEST_P(EachKind, IsTranslatedWhenEightBytesBehindTheQuotedHeaderAreQuoted) {
    for (const Code& code : all_codes(family())) {
        expect_translated(code, {.of_transport = 8});
    }
}

TEST_P(EachKind, IsTranslatedHoweverMuchIsQuoted) {
    for (std::size_t size = 8; size < 45; ++size) {
        if (kind() == Kind::tcp && size == 17) {
            continue;  // half of the checksum: that stays as it was
        }
        expect_translated({icmp_unreachable, 1}, {.of_transport = size});
    }
}

TEST_P(EachKind, IsTranslatedWhenTheQuotedHeaderHasOptions) {
    for (std::size_t size : {4U, 12U, 40U}) {
        expect_translated({icmp_time_exceeded, 0}, {.options = Bytes(size, 1)});
        expect_translated({icmp_time_exceeded, 0}, {.of_transport = 8, .options = Bytes(size, 1)});
    }
}

// Each end of each checksum: quoted IP, quoted L4, the error's.
TEST_P(EachKind, HasRightChecksumsWhateverIsQuoted) {
    for (unsigned i = 0; i < 256; ++i) {
        const Payload payload{{static_cast<char>(i * 131), static_cast<char>(i * 7), static_cast<char>(i)}};
        expect_translated({icmp_unreachable, 4, 1280 + i}, {.payload = payload});
    }
}

// RFC 5508, REQ-6: else a forged error would end a flow, or keep it.
TEST_P(EachKind, NeitherRefreshesNorClosesTheFlow) {
    const auto state = [&] {
        std::vector<std::pair<std::uint64_t, std::uint32_t>> all;
        for (const auto& [key, flow] : datapath_->flows()) {
            all.emplace_back(flow.last_seen, flow.seen);
        }
        std::ranges::sort(all);
        return all;
    };
    const auto before = state();
    for (const Code& code : all_codes(family())) {
        expect_translated(code, {});
    }
    EXPECT_EQ(state(), before);
}

// The frame's tail is no part of what is quoted.
TEST_P(EachKind, IsTranslatedWhenTheFrameIsPadded) {
    const Kind kind = this->kind();
    const Quoting quoting{.of_transport = 8};
    expect_packet(From::uplink, by_world(kind, {icmp_unreachable, 1}, quoting) / Padding{18}, VERDICT_TO_SANDBOX,
                  to_sandbox(kind, {icmp_unreachable, 1}, quoting) / Padding{18});
}

TEST_P(EachKind, IsTheHostsWhenItIsAboutAnotherPeer) {
    const IPv4 ip{.source = ip_router, .destination = ip_uplink};
    const IPv4 quoted = of_kind({.source = ip_uplink, .destination = ip_server_2}, kind());
    const Frame frame = sent(from_world / ip / IcmpError{} / quoted, kind(), outside, {"x"});
    expect_packet(From::uplink, frame, VERDICT_PASS_STACK, frame);
}

TEST_P(EachKind, IsDroppedWhenTheSandboxsIsAboutWhatNobodySent) {
    const IPv4 ip{.source = ip_a, .destination = ip_server};
    const IPv4 quoted = of_kind({.source = ip_server_2, .destination = ip_a}, kind());
    const Frame frame = replied(from_a / ip / IcmpError{} / quoted, kind(), inside, {"x"});
    expect_packet(From::sandbox_a, frame, VERDICT_DROP_NO_FLOW, frame);
}

// Who has not sent the packet has no use for the error, but as something to be believed.
TEST_P(EachKind, IsDroppedWhenItIsToldToSomebodyElse) {
    const IPv4 ip{.source = ip_a, .destination = ip_server_2};
    const IPv4 quoted = of_kind({.source = ip_server, .destination = ip_a}, kind());
    expect_verdict(From::sandbox_a, replied(from_a / ip / IcmpError{} / quoted, kind(), inside, {"x"}),
                   VERDICT_DROP_NO_FLOW);
}

// One sandbox may not speak of another's.
TEST_P(EachKind, IsDroppedWhenTheFlowIsAnotherSandboxs) {
    const IPv4 ip{.source = ip_b, .destination = ip_server};
    for (Ip quoted_destination : {ip_a, ip_b, ip_uplink}) {
        const IPv4 quoted = of_kind({.source = ip_server, .destination = quoted_destination}, kind());
        expect_verdict(From::sandbox_b, replied(from_b / ip / IcmpError{} / quoted, kind(), inside, {"x"}),
                       VERDICT_DROP_NO_FLOW);
    }
}

class AboutTcp : public IcmpErrorTest, public testing::WithParamInterface<Family> {
protected:
    Family family() const override { return GetParam(); }
};

TEST_P(AboutTcp, IsTheHostsWhenThePortIsAnother) {
    open(Kind::tcp);
    const IPv4 ip{.source = ip_router, .destination = ip_uplink}, quoted{.source = ip_uplink, .destination = ip_server};
    for (const TCP& tcp : {TCP{outside, 54}, TCP{outside + 1, 53}, TCP{inside, 53}, TCP{53, outside}}) {
        const Frame frame = from_world / ip / IcmpError{} / quoted / tcp;
        expect_packet(From::uplink, frame, VERDICT_PASS_STACK, frame);
    }
}

TEST_P(AboutTcp, IsTheHostsWhenTheQuoteIsNoPacket) {
    open(Kind::tcp);
    const IPv4 ip{.source = ip_router, .destination = ip_uplink};
    const IPv4 quoted{.source = ip_uplink, .destination = ip_server};
    const TCP tcp{outside, 53};
    IPv4 of_version_6 = quoted, short_header = quoted, later_fragment = quoted, long_header = quoted;
    of_version_6.version = 6;
    short_header.header_words = 4;
    long_header.header_words = 15;
    later_fragment.fragment_offset = 1;
    for (const IPv4& bad : {of_version_6, later_fragment, short_header, long_header}) {
        if (family() == Family::ipv6 && bad.header_words) {
            continue;  // its header has no length
        }
        const Frame frame = from_world / ip / IcmpError{} / bad / tcp;
        expect_packet(From::uplink, frame, VERDICT_PASS_STACK, frame);
    }
    for (std::size_t size : {0U, 1U, 19U, 20U, 23U}) {
        const Frame frame = from_world / ip / IcmpError{.quoted = size} / quoted / tcp;
        expect_packet(From::uplink, frame, VERDICT_PASS_STACK, frame);
    }
}

// What lies behind the packet's end is not quoted, however much it looks so.
TEST_P(AboutTcp, IsTheHostsWhenTheQuoteIsPadding) {
    open(Kind::tcp);
    IPv4 ip{.source = ip_router, .destination = ip_uplink};
    const IPv4 quoted{.source = ip_uplink, .destination = ip_server};
    for (std::size_t size : {8U, 20U, 28U}) {
        ip.total_length = static_cast<std::uint16_t>(ip_size + size);
        const Frame frame = from_world / ip / IcmpError{} / quoted / TCP{outside, 53};
        expect_packet(From::uplink, frame, VERDICT_PASS_STACK, frame);
    }
}

// Their first fragment is quoted with its ports.
TEST_P(AboutTcp, IsTranslatedWhenAFirstFragmentIsQuoted) {
    open(Kind::tcp);
    const IPv4 ip{.source = ip_router, .destination = ip_uplink, .ttl = 50};
    const IPv4 ip_inside{.source = ip_router, .destination = ip_a, .ttl = 49};
    const IPv4 quoted{.source = ip_uplink, .destination = ip_server, .more_fragments = true};
    const IPv4 quoted_inside{.source = ip_a, .destination = ip_server, .more_fragments = true};
    const IcmpError reassembly{.type = icmp_time_exceeded, .code = 1, .quoted = ip_size + 8};
    expect_packet(From::uplink, from_world / ip / reassembly / quoted / TCP{outside, 53}, VERDICT_TO_SANDBOX,
                  at_a / ip_inside / reassembly / quoted_inside / TCP{inside, 53});
}

TEST_P(AboutTcp, IsTheHostsWhenAnErrorIsQuoted) {
    open(Kind::tcp);
    const IPv4 ip{.source = ip_router, .destination = ip_uplink};
    const IPv4 quoted{.source = ip_uplink, .destination = ip_server};
    const Frame frame = from_world / ip / IcmpError{} / quoted / IcmpError{} / quoted / TCP{outside, 53};
    expect_packet(From::uplink, frame, VERDICT_PASS_STACK, frame);
}

TEST_P(AboutTcp, IsTheHostsWhenItIsARedirectOrASourceQuench) {
    open(Kind::tcp);
    for (std::uint8_t type : {std::uint8_t{4}, std::uint8_t{5}}) {
        const Frame frame = by_world(Kind::tcp, {type, 0});
        expect_packet(From::uplink, frame, VERDICT_PASS_STACK, frame);
    }
}

TEST_P(AboutTcp, IsDroppedWhenItIsSentToASandboxItself) {
    open(Kind::tcp);
    const IPv4 ip{.source = ip_router, .destination = ip_a}, quoted{.source = ip_a, .destination = ip_server};
    expect_verdict(From::uplink, from_world / ip / IcmpError{} / quoted / TCP{inside, 53}, VERDICT_DROP_UNSOLICITED);
}

TEST_P(AboutTcp, IsDroppedWhenItsTtlIsUsedUp) {
    open(Kind::tcp);
    const IPv4 quoted{.source = ip_uplink, .destination = ip_server};
    for (std::uint8_t ttl : {std::uint8_t{1}, std::uint8_t{0}}) {
        const IPv4 ip{.source = ip_router, .destination = ip_uplink, .ttl = ttl};
        const Frame frame = from_world / ip / IcmpError{} / quoted / TCP{outside, 53};
        expect_packet(From::uplink, frame, VERDICT_DROP_TTL_EXPIRED, frame);  // and nobody is told: RFC 1122, 3.2.2
    }
}

TEST_P(AboutTcp, IsDroppedUnansweredWhenTheSandboxsTtlIsUsedUp) {
    open(Kind::tcp);
    const IPv4 ip{.source = ip_a, .destination = ip_server, .ttl = 1}, quoted{.source = ip_server, .destination = ip_a};
    const Frame frame = from_a / ip / IcmpError{} / quoted / TCP{53, inside};
    expect_packet(From::sandbox_a, frame, VERDICT_DROP_TTL_EXPIRED, frame);
}

TEST_P(AboutTcp, KeepsTheSandboxsAddressWhenNothingIsTranslated) {
    configure([](network& network) { network.flags = 0; });
    expect_verdict(From::sandbox_a,
                   from_a / IPv4{.source = ip_a, .destination = ip_server} / TCP{.source_port = inside},
                   VERDICT_TO_WORLD);
    const IPv4 quoted{.source = ip_a, .destination = ip_server, .ttl = 1};
    const TCP tcp{.source_port = inside};
    expect_packet(From::uplink,
                  from_world / IPv4{.source = ip_router, .destination = ip_a} / IcmpError{} / quoted / tcp,
                  VERDICT_TO_SANDBOX,
                  at_a / IPv4{.source = ip_router, .destination = ip_a, .ttl = 63} / IcmpError{} / quoted / tcp);
}

// As any packet that may be cut up on its way under an address that many share.
TEST_P(AboutTcp, GetsAnIdentificationOfTheHostsWhenTheSandboxsMayBeFragmented) {
    open(Kind::tcp);
    IPv4 ip{.source = ip_a, .destination = ip_server, .dont_fragment = false};
    IPv4 ip_outside{.source = ip_uplink,
                    .destination = ip_server,
                    .ttl = 63,
                    .identification = first_identification,
                    .dont_fragment = false};
    const IPv4 quoted{.source = ip_server, .destination = ip_a};
    const IPv4 quoted_outside{.source = ip_server, .destination = ip_uplink};
    expect_packet(From::sandbox_a, from_a / ip / IcmpError{} / quoted / TCP{53, inside}, VERDICT_TO_WORLD,
                  from_a / ip_outside / IcmpError{} / quoted_outside / TCP{53, outside});
}

TEST_P(AboutTcp, IsTheHostsWhenTheSandboxSendsItToTheHost) {
    const IPv4 ip{.source = ip_a, .destination = ip_gateway}, quoted{.source = ip_gateway, .destination = ip_a};
    const Frame frame = from_a / ip / IcmpError{} / quoted / UDP{53, inside};
    expect_packet(From::sandbox_a, frame, VERDICT_TO_HOST, frame);
}

TEST_P(AboutTcp, ReachesAnotherSandboxAsItIsWhenItIsForIt) {
    const IPv4 ip{.source = ip_a, .destination = ip_b}, quoted{.source = ip_b, .destination = ip_a};
    expect_packet(From::sandbox_a, from_a / ip / IcmpError{} / quoted / UDP{53, inside}, VERDICT_TO_SANDBOX,
                  at_b / ip / IcmpError{} / quoted / UDP{53, inside});
}

// RFC 1122, section 3.2.2: no error about an error, whatever it is.
TEST_P(AboutTcp, IsNotAnsweredWhenItIsDropped) {
    const IPv4 ip{.source = ip_a, .destination = ip_unused}, quoted{.source = ip_unused, .destination = ip_a};
    const std::vector<int> types = family() == Family::ipv6 ? std::vector{3, 11, 12} : std::vector{3, 4, 5, 11, 12};
    for (const int type : types) {
        const Frame frame = from_a / ip / IcmpError{.type = static_cast<std::uint8_t>(type)} / quoted / UDP{53, inside};
        expect_packet(From::sandbox_a, frame, VERDICT_DROP_NO_ENDPOINT, frame);
    }
}

// Answers to the other queries than echo find the sandbox that asked.
TEST_F(DatapathTest, IcmpQueriesAreAnsweredUnderTheSandboxsIdentifierWhateverTheirType) {
    const std::pair<std::uint8_t, std::uint8_t> types[] = {{icmp_echo_request, icmp_echo_reply},
                                                           {icmp_timestamp_request, icmp_timestamp_reply},
                                                           {icmp_information_request, icmp_information_reply},
                                                           {icmp_mask_request, icmp_mask_reply}};
    std::uint16_t identifier = 7;
    for (const auto& [request, reply] : types) {
        SCOPED_TRACE(unsigned{request});
        ++identifier;
        const IPv4 asked_by_b{.source = ip_b, .destination = ip_server},
            asked{.source = ip_a, .destination = ip_server};
        const ICMP query{.type = request, .identifier = identifier};
        ASSERT_EQ(port_in_world(From::sandbox_b, from_b / asked_by_b / query), identifier);
        const std::uint16_t another = port_in_world(From::sandbox_a, from_a / asked / query);
        ASSERT_NE(another, identifier);
        const Payload times{"twelve bytes"};
        expect_packet(From::uplink,
                      from_world / IPv4{.source = ip_server, .destination = ip_uplink} /
                          ICMP{.type = reply, .identifier = another} / times,
                      VERDICT_TO_SANDBOX,
                      at_a / IPv4{.source = ip_server, .destination = ip_a, .ttl = 63} /
                          ICMP{.type = reply, .identifier = identifier} / times);
        expect_verdict(From::sandbox_a, from_a / asked / ICMP{.type = reply, .identifier = identifier},
                       VERDICT_DROP_NO_FLOW);
    }
}

RUN_IN_EACH_FAMILY(AboutTcp);

}  // namespace
}  // namespace causeway::test::icmp_error_test
