// SPDX-License-Identifier: Apache-2.0
// A sandbox's published port, as the host itself reaches it: taken off `lo`, and its answer brought back there.
#include "tests/datapath/datapath_fixture.hpp"
#include "tests/datapath/host_socket.hpp"

namespace causeway::test::loopback_test {
namespace {

constexpr std::uint16_t own_port = 5000, host_port = 30080, seen_port = 61000;
constexpr Ethernet on_lo{};

class LoopbackPacket : public InEachFamily {
protected:
    // Port 30080 of every address of the host's is A's port 80; the host has one port for all that it asks.
    void SetUp() override {
        InEachFamily::SetUp();
        for (const auto protocol : {tcp_protocol, udp_protocol}) {
            publish(protocol, Ip{}, host_port);
        }
        datapath_->set_published_port(host_port, true);
        datapath_->set_loopback_ports({seen_port, seen_port});
        published_ = datapath_->flows().size();
    }

    void TearDown() override {
        datapath_->set_published_port(host_port, false);
        datapath_->set_loopback_ports({});
    }

    // The host to itself, by an address that it has.
    template <typename Layer>
    static Frame asked(const Layer& transport) {
        return on_lo / IPv4{.source = ip_uplink, .destination = ip_uplink} / transport;
    }

    // What A's answer is under way on lo: for the address that every lo has.
    template <typename Layer>
    Frame answer_on_lo(const Layer& transport, std::uint8_t ttl = 63) const {
        if (family() == Family::ipv6) {
            return from_a / IPv6{.source = ip6_of(ip_uplink), .destination = "::1"_ip6, .hop_limit = ttl} / transport;
        }
        return from_a / IPv4{.source = ip_uplink, .destination = "127.0.0.1"_ip, .ttl = ttl} / transport;
    }

    std::size_t opened_entries() const { return datapath_->flows().size() - published_; }

    std::size_t published_ = 0;
};

TEST_P(LoopbackPacket, ReachesTheSandboxUnderTheGatewaysAddressAndComesBack) {
    expect_packet(From::itself, asked(TCP{own_port, host_port}), VERDICT_TO_SANDBOX,
                  at_a / IPv4{.source = ip_gateway, .destination = ip_a} / TCP{seen_port, service});
    const TCP accepted{host_port, seen_port, syn | ack};
    expect_packet(From::sandbox_a,
                  from_a / IPv4{.source = ip_a, .destination = ip_gateway} / TCP{service, seen_port, syn | ack},
                  VERDICT_TO_HOST, answer_on_lo(accepted));
    expect_packet(
        From::itself, answer_on_lo(accepted), VERDICT_PASS_TRANSLATED,
        from_a / IPv4{.source = ip_uplink, .destination = ip_uplink, .ttl = 63} / TCP{host_port, own_port, syn | ack},
        {.ingress_ifindex = host_a});
    expect_packet(From::itself, asked(TCP{own_port, host_port, ack}), VERDICT_TO_SANDBOX,
                  at_a / IPv4{.source = ip_gateway, .destination = ip_a} / TCP{seen_port, service, ack});
}

TEST_P(LoopbackPacket, CarriesDatagramsLikewise) {
    expect_packet(From::itself, asked(UDP{own_port, host_port}), VERDICT_TO_SANDBOX,
                  at_a / IPv4{.source = ip_gateway, .destination = ip_a} / UDP{seen_port, service});
    expect_packet(From::sandbox_a, from_a / IPv4{.source = ip_a, .destination = ip_gateway} / UDP{service, seen_port},
                  VERDICT_TO_HOST, answer_on_lo(UDP{host_port, seen_port}));
}

TEST_P(LoopbackPacket, IsTheHostsOwnOtherwise) {
    expect_verdict(From::itself, asked(TCP{own_port, host_port + 1}), VERDICT_CONTINUE);
    expect_verdict(From::itself, asked(TCP{own_port, host_port + CAUSEWAY_PUBLISHED_PLACES}), VERDICT_CONTINUE);
    expect_verdict(From::itself, asked(ICMP{}), VERDICT_CONTINUE);
    expect_verdict(From::itself, asked(TCP{own_port, host_port, ack}), VERDICT_CONTINUE);
    for (const Frame& fragment : fragments_of(asked(UDP{own_port, host_port}) / Payload{std::string(800, 'x')}, 400)) {
        expect_verdict(From::itself, fragment, VERDICT_CONTINUE);
    }
    EXPECT_EQ(opened_entries(), 0U);
}

// It may speak to itself from a port that a sandbox has published.
TEST_P(LoopbackPacket, IsTheHostsOwnWhenASocketConversesFromThatPort) {
    HostSocket client(family(), SOCK_DGRAM, ip_uplink, host_port);
    expect_verdict(From::itself, asked(UDP{own_port + 1, host_port}), VERDICT_TO_SANDBOX);
    client.connecting(ip_uplink, own_port);
    expect_verdict(From::itself, asked(UDP{own_port, host_port}), VERDICT_CONTINUE);
}

TEST_P(LoopbackPacket, IsDroppedWhenTheSandboxCouldNotTakeIt) {
    expect_verdict(From::itself, asked(UDP{own_port, host_port}) / Payload{std::string(1473, 'x')},
                   VERDICT_DROP_TOO_BIG);
}

TEST_P(LoopbackPacket, IsTheHostsOwnWhenTheSandboxIsGone) {
    expect_verdict(From::itself, asked(TCP{own_port, host_port}), VERDICT_TO_SANDBOX);
    datapath_->remove_sandbox(host_a);
    datapath_->set_usage(host_a, {.since = CAUSEWAY_NOBODY_SINCE});
    expect_verdict(From::itself, asked(TCP{own_port, host_port, ack}), VERDICT_CONTINUE);
}

TEST_P(LoopbackPacket, IsDroppedWhenNoPortIsLeft) {
    expect_verdict(From::itself, asked(TCP{own_port, host_port}), VERDICT_TO_SANDBOX);
    expect_verdict(From::itself, asked(TCP{own_port + 1, host_port}), VERDICT_DROP_NO_PORT);
    EXPECT_EQ(opened_entries(), 4U) << "of two flows, one for each end that is translated";
}

// Whose answers the sandbox could not tell from those to what comes off lo.
TEST_P(LoopbackPacket, TakesNoPortFromWhichTheHostSpeaksToThatSandbox) {
    {
        HostSocket connection(family(), SOCK_STREAM, ip_gateway, seen_port);
        HostSocket datagrams(family(), SOCK_DGRAM, ip_gateway, seen_port);
        connection.connecting(ip_a, service);
        datagrams.connecting(ip_a, service);
        expect_verdict(From::itself, asked(TCP{own_port, host_port}), VERDICT_DROP_NO_PORT);
        expect_verdict(From::itself, asked(UDP{own_port, host_port}), VERDICT_DROP_NO_PORT);
        EXPECT_EQ(opened_entries(), 0U);
    }
    expect_verdict(From::itself, asked(TCP{own_port, host_port}), VERDICT_TO_SANDBOX);
    expect_verdict(From::itself, asked(UDP{own_port, host_port}), VERDICT_TO_SANDBOX);
}

TEST_P(LoopbackPacket, IsDroppedWhenASandboxBringsBackWhatNobodyAskedFor) {
    expect_verdict(From::itself, answer_on_lo(TCP{host_port, seen_port, syn | ack}), VERDICT_DROP_NO_FLOW,
                   {.ingress_ifindex = host_a});
}

RUN_IN_EACH_FAMILY(LoopbackPacket);

}  // namespace
}  // namespace causeway::test::loopback_test
