// SPDX-License-Identifier: Apache-2.0
// Sandboxes of an isolated network: for each other they are addresses that nobody has; all else is as ever.
#include "tests/datapath/datapath_fixture.hpp"

namespace causeway::test::isolated_test {
namespace {

class Isolated : public InEachFamily {
protected:
    void SetUp() override {
        InEachFamily::SetUp();
        isolate(ip_a, host_a, mac_a, network_id);
        isolate(ip_b, host_b, mac_b, network_id);
    }

    void isolate(Ip ip, std::uint32_t ifindex, const Mac& mac, std::uint32_t network) {
        auto identity = sandbox_at(ip, ifindex, mac);
        identity.link.flags = LINK_ISOLATED;
        identity.network = network;
        datapath_->set_sandbox(ifindex, identity);
    }

    static Frame asked_by_a(Ip address) {
        return Ethernet{.source = mac_a, .destination = mac_broadcast} /
               Arp{.sender_mac = mac_a, .sender = ip_a, .target = address};
    }
};

TEST_P(Isolated, SandboxesDoNotReachEachOther) {
    const IPv4 a_to_b{.source = ip_a, .destination = ip_b}, b_to_a{.source = ip_b, .destination = ip_a};
    expect_verdict(From::sandbox_a, from_a / a_to_b / TCP{40000, 80}, VERDICT_DROP_ISOLATED);
    expect_verdict(From::sandbox_a, from_a / a_to_b / TCP{40000, 80, syn | ack}, VERDICT_DROP_ISOLATED);
    expect_verdict(From::sandbox_b, from_b / b_to_a / UDP{53, 53} / Payload{"psst"}, VERDICT_DROP_ISOLATED);
    expect_verdict(From::sandbox_b, from_b / b_to_a / ICMP{}, VERDICT_DROP_ISOLATED);
    expect_verdict(From::sandbox_a,
                   from_a / IPv4{.source = ip_a, .destination = ip_b, .dont_fragment = false, .fragment_offset = 1480} /
                       Payload{"the rest of it"},
                   VERDICT_DROP_ISOLATED);
}

class IsolatedOfIPv6 : public Isolated {};

TEST_P(IsolatedOfIPv6, SandboxesDoNotFindEachOtherByNeighbourDiscovery) {
    const auto asked = [](Ip address) {
        const Ip6 target = ip6_of(address);
        return from_a / IPv6{.source = ip6_of(ip_a), .destination = target, .hop_limit = 255} /
               Neighbour{.target = target};
    };
    expect_verdict(From::sandbox_a, asked(ip_b), VERDICT_DROP_ISOLATED);
    expect_verdict(From::sandbox_a, asked(ip_gateway), VERDICT_ND_ANSWERED);
}

TEST_P(Isolated, SandboxesDoNotFindEachOtherByArp) {
    expect_verdict(From::sandbox_a, asked_by_a(ip_b), VERDICT_DROP_ISOLATED);
    expect_verdict(From::sandbox_a, asked_by_a(ip_gateway), VERDICT_ARP_ANSWERED);
}

TEST_P(Isolated, SandboxesReachTheGatewayAndTheWorld) {
    expect_verdict(From::sandbox_a, from_a / IPv4{.source = ip_a, .destination = ip_gateway} / TCP{}, VERDICT_TO_HOST);
    expect_verdict(From::sandbox_a, from_a / IPv4{.source = ip_a, .destination = ip_server} / TCP{40000, 80},
                   VERDICT_TO_WORLD);
    expect_verdict(From::host, from_the_host / IPv4{.source = ip_gateway, .destination = ip_a} / TCP{},
                   VERDICT_TO_SANDBOX);
}

TEST_P(Isolated, SandboxesAreReachedFromAnotherNetwork) {
    isolate(ip_b, host_b, mac_b, network_id + 1);
    expect_verdict(From::sandbox_b, from_b / IPv4{.source = ip_b, .destination = ip_a} / TCP{}, VERDICT_TO_SANDBOX);
}

RUN_IN_EACH_FAMILY(Isolated);
RUN_IN_IPV6(IsolatedOfIPv6);

}  // namespace
}  // namespace causeway::test::isolated_test
