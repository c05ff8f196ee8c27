// SPDX-License-Identifier: Apache-2.0
// ICMP errors whose checksum, or that of the IP header that they quote, does not hold: dropped, not mended (RFC 5508,
// REQ-3 and REQ-3a).
#include "tests/datapath/datapath_fixture.hpp"

namespace causeway::test::icmp_checksum_test {
namespace {

constexpr std::uint16_t inside = 1000, outside = 50000;

// What is wrong with an error, or different in it.
struct Fault {
    std::optional<std::uint16_t> icmp{}, quoted_ip{}, quoted_udp{};
    Bytes options{};  // of the quoted header
    std::size_t payload = 30;
};

class IcmpChecksum : public InEachFamily {
protected:
    void SetUp() override {
        InEachFamily::SetUp();
        configure([](network& network) { network.port_min = network.port_max = outside; });
        expect_verdict(From::sandbox_a,
                       from_a / IPv4{.source = ip_a, .destination = ip_server} / UDP{.source_port = inside},
                       VERDICT_TO_WORLD);
    }

    static Frame quoting(const Frame& before, const Fault& fault, IPv4 ip, UDP udp) {
        ip.options = fault.options;
        ip.checksum = fault.quoted_ip;
        udp.checksum = fault.quoted_udp;
        return before / IcmpError{.checksum = fault.icmp} / ip / udp / Payload{std::string(fault.payload, 'x')};
    }
    // A router about what the sandbox has sent, as the world knows it, and as the sandbox does.
    static Frame by_world(const Fault& fault) {
        return quoting(from_world / IPv4{.source = ip_router, .destination = ip_uplink}, fault,
                       {.source = ip_uplink, .destination = ip_server}, {.source_port = outside});
    }
    static Frame to_sandbox(const Fault& fault) {
        return quoting(at_a / IPv4{.source = ip_router, .destination = ip_a, .ttl = 63}, fault,
                       {.source = ip_a, .destination = ip_server}, {.source_port = inside});
    }
    // The sandbox about what the world has sent.
    static Frame by_sandbox(const Fault& fault) {
        return quoting(from_a / IPv4{.source = ip_a, .destination = ip_server}, fault,
                       {.source = ip_server, .destination = ip_a}, {.source_port = 53, .destination_port = inside});
    }
};

TEST_P(IcmpChecksum, OfAnErrorMustHold) {
    expect_packet(From::uplink, by_world({}), VERDICT_TO_SANDBOX, to_sandbox({}));
    expect_verdict(From::uplink, by_world({.icmp = 0x1234}), VERDICT_DROP_BAD_CHECKSUM);
    expect_verdict(From::sandbox_a, by_sandbox({.icmp = 0x1234}), VERDICT_DROP_BAD_CHECKSUM);
}

// IPv6 has none there.
class IcmpChecksumOfIPv4 : public IcmpChecksum {};

TEST_P(IcmpChecksumOfIPv4, OfTheQuotedIpHeaderMustHold) {
    for (const auto& options : {Bytes{}, Bytes(4, 1), Bytes(40, 1)}) {
        expect_packet(From::uplink, by_world({.options = options}), VERDICT_TO_SANDBOX,
                      to_sandbox({.options = options}));
        expect_verdict(From::uplink, by_world({.quoted_ip = 0x1234, .options = options}), VERDICT_DROP_BAD_CHECKSUM);
        expect_verdict(From::sandbox_a, by_sandbox({.quoted_ip = 0x1234, .options = options}),
                       VERDICT_DROP_BAD_CHECKSUM);
    }
}

// RFC 5508, REQ-3c: a router may quote too little of the packet to tell.
TEST_P(IcmpChecksum, OfTheQuotedTransportIsNotJudged) {
    expect_verdict(From::uplink, by_world({.quoted_udp = 0x1234}), VERDICT_TO_SANDBOX);
}

// It is added up piece by piece: each length, odd ones too, about the ends of pieces.
TEST_P(IcmpChecksum, IsOfTheWholeErrorHoweverLongItIs) {
    constexpr std::size_t headers = 8 + 20 + 8, piece = 512;
    for (const auto size : {piece - headers - 1, piece - headers, piece - headers + 1, 2 * piece - headers - 1,
                            2 * piece - headers, 2 * piece - headers + 3, std::size_t{1436}}) {
        const auto frame = by_world({.payload = size});
        expect_packet(From::uplink, frame, VERDICT_TO_SANDBOX, to_sandbox({.payload = size}));
        const auto bytes = bytes_of(frame);
        const std::size_t at = family() == Family::ipv6 ? 56 : 36;
        const auto sum = static_cast<std::uint16_t>(bytes.at(at) << 8 | bytes.at(at + 1));
        expect_verdict(From::uplink, by_world({.icmp = static_cast<std::uint16_t>(sum ^ 1), .payload = size}),
                       VERDICT_DROP_BAD_CHECKSUM);
    }
}

TEST_P(IcmpChecksum, IsTheHostsToJudgeWhereTheErrorIsAboutNoFlow) {
    const auto frame = quoting(from_world / IPv4{.source = ip_router, .destination = ip_uplink}, {.icmp = 0x1234},
                               {.source = ip_uplink, .destination = ip_server}, {.source_port = outside - 1});
    expect_packet(From::uplink, frame, VERDICT_PASS_STACK, frame);
}

TEST_P(IcmpChecksum, LeavesNoPaddingToBeTakenForAPart) {
    expect_packet(From::uplink, by_world({.payload = 0}) / Padding{18}, VERDICT_TO_SANDBOX,
                  to_sandbox({.payload = 0}) / Padding{18});
}

RUN_IN_EACH_FAMILY(IcmpChecksum);
RUN_IN_IPV4(IcmpChecksumOfIPv4);

}  // namespace
}  // namespace causeway::test::icmp_checksum_test
