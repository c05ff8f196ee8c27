// SPDX-License-Identifier: Apache-2.0
// Under which address the world sees a flow: the host's own of today, or the sandbox's where the network says so.
#include <arpa/inet.h>

#include <algorithm>

#include "tests/datapath/datapath_fixture.hpp"

namespace causeway::test::source_test {
namespace {

constexpr std::uint16_t own_port = 40000;
constexpr Ip new_source = "203.0.113.7"_ip;

IPv4 a_to(Ip destination) {
    return {.source = ip_a, .destination = destination};
}

class StaleSource : public InEachFamily {
protected:
    // From then on the host uses another address towards 198.51.100.0/24, and with IPv6 no longer has the one it had.
    void renumber() {
        use_another();
        if (family() == Family::ipv6) {
            run_ip("address del 203.0.113.1/24 dev up0\n");
        }
    }

    void use_another() {
        run_ip(
            "address replace 203.0.113.7/24 dev up0\n"
            "route replace 198.51.100.0/24 via 203.0.113.254 src 203.0.113.7\n");
    }

    static Frame tcp(std::uint8_t flags) {
        return from_a / a_to(ip_server) / TCP{.flags = flags, .sequence = 0x12345678, .acknowledged = 0x9abcdef0} /
               Payload{"hello"};
    }

    void open(const Frame& frame) {
        expect_verdict(From::sandbox_a, frame, VERDICT_TO_WORLD);
        ASSERT_EQ(datapath_->flows().size(), 2U);
    }

    template <typename Segment>
    void expect_new_source(const Segment& segment) {
        expect_packet(From::sandbox_a, from_a / a_to(ip_server) / segment, VERDICT_TO_WORLD,
                      from_a / IPv4{.source = new_source, .destination = ip_server, .ttl = 63} / segment);
    }
};

// The reset is in sequence, as only that is believed: the fixture knows it to the byte.
TEST_P(StaleSource, EndsAConnectionByAResetAndTheNextHasTheNewSource) {
    open(tcp(syn));
    renumber();
    expect_verdict(From::sandbox_a, tcp(psh | ack), VERDICT_DROP_STALE_SOURCE);
    EXPECT_TRUE(datapath_->flows().empty());
    expect_new_source(TCP{.source_port = own_port + 1});
    expect_new_source(TCP{});
}

TEST_P(StaleSource, EndsAConnectionByAResetWhenTheSegmentEndsIt) {
    open(tcp(syn));
    renumber();
    expect_verdict(From::sandbox_a, tcp(fin | ack), VERDICT_DROP_STALE_SOURCE);
}

TEST_P(StaleSource, EndsAConnectionSilentlyWhenTheSegmentAcknowledgesNothingOrResets) {
    for (std::uint8_t flags : {syn, rst, std::uint8_t{rst | ack}}) {
        run_ip(
            "address replace 203.0.113.1/24 dev up0\n"
            "route add 198.51.100.0/24 via 203.0.113.254 src 203.0.113.1\n");
        open(tcp(syn));
        renumber();
        expect_packet(From::sandbox_a, tcp(flags), VERDICT_DROP_STALE_SOURCE, tcp(flags));
        EXPECT_TRUE(datapath_->flows().empty());
        run_ip("route del 198.51.100.0/24 via 203.0.113.254 src 203.0.113.7\n");
    }
}

TEST_P(StaleSource, EndsAConnectionSilentlyWhenTheSegmentHasIpOptions) {
    open(tcp(syn));
    renumber();
    IPv4 ip = a_to(ip_server);
    ip.options = Bytes(4, 1);
    const Frame frame = from_a / ip / TCP{.flags = ack};
    expect_packet(From::sandbox_a, frame, VERDICT_DROP_STALE_SOURCE, frame);
}

TEST_P(StaleSource, EndsAConnectionByAResetWhenTheSegmentHasTcpOptions) {
    open(tcp(syn));
    renumber();
    expect_verdict(
        From::sandbox_a,
        from_a / a_to(ip_server) / TCP{.flags = ack, .acknowledged = 5000, .options = Bytes(12, 1)} / Payload{"odd"},
        VERDICT_DROP_STALE_SOURCE);
}

TEST_P(StaleSource, EndsAConnectionByAResetWhenSegmentsComeAsOne) {
    open(tcp(syn));
    renumber();
    expect_verdict(From::sandbox_a,
                   from_a / a_to(ip_server) / TCP{.flags = ack, .acknowledged = 5000} / Payload{std::string(3000, 'x')},
                   VERDICT_DROP_STALE_SOURCE, {.gso_size = 1000, .gso_segs = 3});
}

TEST_P(StaleSource, EndsAUdpFlowByAnErrorAndTheNextHasTheNewSource) {
    open(from_a / a_to(ip_server) / UDP{});
    renumber();
    expect_verdict(From::sandbox_a, from_a / a_to(ip_server) / UDP{} / Payload{"again"}, VERDICT_DROP_STALE_SOURCE);
    EXPECT_TRUE(datapath_->flows().empty());
    expect_new_source(UDP{});
}

TEST_P(StaleSource, EndsAPingByAnErrorAndTheNextHasTheNewSource) {
    open(from_a / a_to(ip_server) / ICMP{});
    renumber();
    expect_verdict(From::sandbox_a, from_a / a_to(ip_server) / ICMP{}, VERDICT_DROP_STALE_SOURCE);
    expect_new_source(ICMP{});
}

TEST_P(StaleSource, GivesTheFlowBackToTheQuota) {
    open(tcp(syn));
    renumber();
    expect_verdict(From::sandbox_a, tcp(ack), VERDICT_DROP_STALE_SOURCE);
    wait_until([&] { return datapath_->usage_of(host_a).flows == 0; });
    EXPECT_EQ(datapath_->ageing_turns(), 0U);
}

TEST_P(StaleSource, IsNoneOfAFlowTowardsAnotherPeer) {
    const Frame other = from_a / a_to("192.0.2.9"_ip) / TCP{.flags = ack};
    expect_verdict(From::sandbox_a, other, VERDICT_TO_WORLD);
    use_another();
    expect_verdict(From::sandbox_a, other, VERDICT_TO_WORLD);
}

// What the kernel chooses among several addresses may change from one day to the next, as with temporary ones; its own
// connections stay with theirs. New flows take the new one.
class StaleSourceOfIPv6 : public StaleSource {};

TEST_P(StaleSourceOfIPv6, IsNoneWhileTheHostHasTheAddress) {
    open(tcp(syn));
    use_another();
    const TCP segment{.flags = ack};
    expect_packet(From::sandbox_a, from_a / a_to(ip_server) / segment, VERDICT_TO_WORLD,
                  from_a / IPv4{.source = ip_uplink, .destination = ip_server, .ttl = 63} / segment);
    expect_new_source(TCP{.source_port = own_port + 1});
    run_ip("address del 203.0.113.1/24 dev up0\n");
    expect_verdict(From::sandbox_a, tcp(ack), VERDICT_DROP_STALE_SOURCE);
}

// use_tempaddr 2: the recorded address serves in place of what the kernel names, which only an ADD makes another.
TEST_P(StaleSourceOfIPv6, IsNoneOfANewFlowWhenTheRecordedOneServes) {
    uplink recorded = uplink_at(ip_uplink);
    recorded.flags = UPLINK_TEMPORARY;
    datapath_->set_uplink(uplink_device, recorded);
    use_another();
    expect_packet(From::sandbox_a, from_a / a_to(ip_server) / UDP{}, VERDICT_TO_WORLD,
                  from_a / IPv4{.source = ip_uplink, .destination = ip_server, .ttl = 63} / UDP{});
    run_ip("address del 203.0.113.1/24 dev up0\n");
    expect_new_source(UDP{.source_port = own_port + 1});
    expect_verdict(From::sandbox_a, from_a / a_to(ip_server) / UDP{}, VERDICT_DROP_STALE_SOURCE);
}

// RFC 6724, section 5, rule 3.
TEST_P(StaleSourceOfIPv6, IsADeprecatedAddressForNoNewFlow) {
    run_ip("address add 203.0.113.7/24 dev up0 preferred_lft 0\n");
    expect_packet(From::sandbox_a, from_a / a_to(ip_server) / UDP{}, VERDICT_TO_WORLD,
                  from_a / IPv4{.source = ip_uplink, .destination = ip_server, .ttl = 63} / UDP{});
    run_ip(
        "address replace 203.0.113.7/24 dev up0 preferred_lft forever\n"
        "address change 203.0.113.1/24 dev up0 preferred_lft 0 valid_lft 1000\n");
    expect_new_source(UDP{.source_port = own_port + 1});
}

TEST_P(StaleSource, IsNoneWhenNothingIsTranslated) {
    configure([](network& network) { network.flags = 0; });
    open(tcp(syn));
    renumber();
    expect_verdict(From::sandbox_a, tcp(ack), VERDICT_TO_WORLD);
}

// It is the address that the world has asked.
TEST_P(StaleSource, IsNoneOfAFlowThatTheWorldHasOpened) {
    publish(tcp_protocol, ip_uplink, 8080);
    expect_verdict(From::uplink, from_world / IPv4{.source = ip_server, .destination = ip_uplink} / TCP{5000, 8080},
                   VERDICT_TO_SANDBOX);
    use_another();
    expect_packet(From::sandbox_a, from_a / a_to(ip_server) / TCP{80, 5000, syn | ack}, VERDICT_TO_WORLD,
                  from_a / IPv4{.source = ip_uplink, .destination = ip_server, .ttl = 63} / TCP{8080, 5000, syn | ack});
}

TEST_P(StaleSource, IsOneThatTheWorldHasAskedAndTheHostNoLongerHas) {
    publish(tcp_protocol, Ip{}, 8080);
    expect_verdict(From::uplink, from_world / IPv4{.source = ip_server, .destination = ip_uplink} / TCP{5000, 8080},
                   VERDICT_TO_SANDBOX);
    run_ip(
        "address del 203.0.113.1/24 dev up0\n"
        "address add 203.0.113.7/24 dev up0\n"
        "route replace default via 203.0.113.254\n");
    expect_verdict(From::sandbox_a,
                   from_a / a_to(ip_server) / TCP{.source_port = 80, .destination_port = 5000, .flags = psh | ack} /
                       Payload{"hello"},
                   VERDICT_DROP_STALE_SOURCE);
}

// Prefixes that are reached under the sandbox's own address.
class Unmasqueraded : public InEachFamily {
protected:
    void spare(std::size_t place, Ip first, std::uint32_t length) {
        configure([&](network& network) {
            network.unmasqueraded[place] = {address_of(first), {{~0U, ~0U, ~0U, htonl(~0U << (32 - length))}}};
            network.unmasqueraded_count = static_cast<std::uint32_t>(place + 1);
        });
    }

    void expect_source(Ip source, Ip destination) {
        SCOPED_TRACE(destination.value);
        expect_packet(From::sandbox_a, from_a / a_to(destination) / UDP{}, VERDICT_TO_WORLD,
                      from_a / IPv4{.source = source, .destination = destination, .ttl = 63} / UDP{});
    }
};

TEST_P(Unmasqueraded, KeepsTheSandboxsAddressAndFindsTheAnswer) {
    spare(0, "198.51.100.0"_ip, 24);
    expect_source(ip_a, ip_server);
    expect_packet(From::uplink, from_world / IPv4{.source = ip_server, .destination = ip_a} / UDP{53, own_port},
                  VERDICT_TO_SANDBOX,
                  at_a / IPv4{.source = ip_server, .destination = ip_a, .ttl = 63} / UDP{53, own_port});
    expect_source(ip_uplink, "198.51.101.7"_ip);
}

TEST_P(Unmasqueraded, EndsWhereThePrefixEnds) {
    for (std::uint32_t length = 1; length <= 32; ++length) {
        SCOPED_TRACE(length);
        const std::uint32_t mask = ~0U << (32 - length);
        const Ip first{ip_server.value & mask}, last{ip_server.value | ~mask};
        spare(0, first, length);
        expect_source(ip_a, ip_server);
        for (const Ip beyond : {Ip{first.value - 1}, Ip{last.value + 1}}) {
            const bool routed = length >= 16;  // others are not all addresses of the world
            if (routed) {
                expect_source(ip_uplink, beyond);
            }
        }
        datapath_->clear_flows();
    }
}

TEST_P(Unmasqueraded, IsEachOfThePrefixes) {
    for (std::uint32_t i = 0; i < CAUSEWAY_UNMASQUERADED_MAX; ++i) {
        spare(i, Ip{("192.0.2.0"_ip).value + 2 * i}, 32);
    }
    for (std::uint32_t i = 0; i < CAUSEWAY_UNMASQUERADED_MAX; ++i) {
        expect_source(ip_a, Ip{("192.0.2.0"_ip).value + 2 * i});
        expect_source(ip_uplink, Ip{("192.0.2.0"_ip).value + 2 * i + 1});
    }
}

// Nothing of it is the host's: neither the port's range nor the identification.
TEST_P(Unmasqueraded, KeepsPortAndIdentification) {
    spare(0, ip_server, 32);
    IPv4 in = a_to(ip_server), out = in;
    in.dont_fragment = out.dont_fragment = false;
    out.ttl = 63;
    expect_packet(From::sandbox_a, from_a / in / UDP{.source_port = 1}, VERDICT_TO_WORLD,
                  from_a / out / UDP{.source_port = 1});
}

// What may be cut up: numbered by the host, since many share its address.
class Identification : public InEachFamily {};

TEST_P(Identification, IsTheNextOfASequenceWithARightChecksum) {
    for (std::uint32_t start : {0U, 0xfffdU, 0x1fffeU}) {
        datapath_->set_identification(start);
        for (std::uint32_t i = 0; i < 5; ++i) {
            IPv4 in = a_to(ip_server);
            in.dont_fragment = false;
            in.identification = static_cast<std::uint16_t>(0xffff - i);
            const IPv4 out{.source = ip_uplink,
                           .destination = ip_server,
                           .ttl = 63,
                           .identification = static_cast<std::uint16_t>(start + i),
                           .dont_fragment = false};
            expect_packet(From::sandbox_a, from_a / in / UDP{}, VERDICT_TO_WORLD, from_a / out / UDP{});
        }
    }
}

TEST_P(Identification, IsKeptWhenThePacketMayNotBeFragmented) {
    const IPv4 out{.source = ip_uplink, .destination = ip_server, .ttl = 63};
    expect_packet(From::sandbox_a, from_a / a_to(ip_server) / UDP{}, VERDICT_TO_WORLD, from_a / out / UDP{});
}

TEST_P(Identification, IsKeptInWhatTheWorldSends) {
    expect_verdict(From::sandbox_a, from_a / a_to(ip_server) / UDP{}, VERDICT_TO_WORLD);
    const IPv4 in{.source = ip_server, .destination = ip_uplink, .identification = 7, .dont_fragment = false};
    const IPv4 out{.source = ip_server, .destination = ip_a, .ttl = 63, .identification = 7, .dont_fragment = false};
    expect_packet(From::uplink, from_world / in / UDP{53, own_port}, VERDICT_TO_SANDBOX,
                  at_a / out / UDP{53, own_port});
}

// Each segment of those that come as one takes one: the kernel counts on from the first.
TEST_P(Identification, IsTakenForEachSegmentWhenTheyComeAsOne) {
    IPv4 in = a_to(ip_server);
    in.dont_fragment = false;
    IPv4 out{.source = ip_uplink,
             .destination = ip_server,
             .ttl = 63,
             .identification = first_identification,
             .dont_fragment = false};
    const Payload text{std::string(2500, 'x')};
    expect_packet(From::sandbox_a, from_a / in / TCP{.flags = ack} / text, VERDICT_TO_WORLD,
                  from_a / out / TCP{.flags = ack} / text, {.gso_size = 1000, .gso_segs = 3});
    out.identification = first_identification + 3;
    expect_packet(From::sandbox_a, from_a / in / TCP{.flags = ack}, VERDICT_TO_WORLD, from_a / out / TCP{.flags = ack});
}

RUN_IN_EACH_FAMILY(StaleSource);
RUN_IN_IPV6(StaleSourceOfIPv6);
RUN_IN_EACH_FAMILY(Unmasqueraded);
RUN_IN_IPV4(Identification);

}  // namespace
}  // namespace causeway::test::source_test
