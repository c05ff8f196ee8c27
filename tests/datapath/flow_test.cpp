// SPDX-License-Identifier: Apache-2.0
// What is kept of a flow: its two entries, what each side has been seen to say, and what makes or refuses one.
#include <time.h>

#include <algorithm>
#include <cstring>

#include "tests/datapath/datapath_fixture.hpp"

namespace causeway::test::flow_test {
namespace {

constexpr std::uint16_t own_port = 40000;

std::uint64_t nanoseconds(const timespec& time) {
    return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000U + static_cast<std::uint64_t>(time.tv_nsec);
}

std::uint64_t now() {
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return nanoseconds(time);
}

// The clock of `last_seen`, which is behind by a tick at times, and by more where the CPU was idle.
std::uint64_t coarse_now() {
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
    return nanoseconds(time);
}

void await_tick() {
    timespec before{}, time{};
    clock_gettime(CLOCK_MONOTONIC_COARSE, &before);
    do {
        clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
    } while (nanoseconds(time) == nanoseconds(before));
}

bool same(const address& one, const address& other) {
    return std::memcmp(&one, &other, sizeof(one)) == 0;
}

bool same(const __u8 (&one)[6], const Mac& other) {
    return std::ranges::equal(one, other.bytes);
}

const IPv4 asked{.source = ip_a, .destination = ip_server}, answered{.source = ip_server, .destination = ip_uplink};

class Flow : public InEachFamily {
protected:
    void sends(std::uint8_t flags, std::uint16_t port = own_port) {
        expect_verdict(From::sandbox_a, from_a / asked / TCP{.source_port = port, .flags = flags}, VERDICT_TO_WORLD);
    }

    void is_answered(std::uint8_t flags, std::uint16_t port = own_port) {
        expect_verdict(From::uplink, from_world / answered / TCP{80, port, flags}, VERDICT_TO_SANDBOX);
    }

    void refuses(std::uint8_t flags) {
        expect_verdict(From::sandbox_a, from_a / asked / TCP{.flags = flags}, VERDICT_DROP_NO_FLOW);
        EXPECT_TRUE(datapath_->flows().empty());
    }

    std::optional<flow> sent(std::uint16_t port = own_port) const {
        return datapath_->flow_at(key_of(tcp_protocol, ip_a, port, ip_server, 80, host_a));
    }

    std::optional<flow> replied(std::uint16_t port = own_port) const {
        return datapath_->flow_at(key_of(tcp_protocol, ip_server, 80, ip_uplink, port, 0));
    }

    void expect_seen(std::uint32_t seen_sent, std::uint32_t seen_replied) const {
        ASSERT_TRUE(sent().has_value());
        ASSERT_TRUE(replied().has_value());
        EXPECT_EQ(sent()->seen, seen_sent);
        EXPECT_EQ(replied()->seen, seen_replied);
    }
};

TEST_P(Flow, IsAPairOfEntriesWhenItOpens) {
    const std::uint64_t before = now(), coarse_before = coarse_now();
    const std::uint16_t port = port_in_world(From::sandbox_a, from_a / asked / TCP{.source_port = 1000});
    ASSERT_EQ(datapath_->flows().size(), 2U);

    const auto as_sent = sent(1000), as_replied = replied(port);
    ASSERT_TRUE(as_sent.has_value());
    ASSERT_TRUE(as_replied.has_value());
    EXPECT_TRUE(same(as_sent->address, address_of(ip_uplink)));
    EXPECT_EQ(as_sent->port, network_order(port));
    EXPECT_TRUE(same(as_replied->address, address_of(ip_a)));
    EXPECT_EQ(as_replied->port, network_order(1000));
    EXPECT_TRUE(same(as_replied->link.mac, mac_a));
    EXPECT_TRUE(same(as_replied->link.gateway_mac, mac_gateway));
    EXPECT_EQ(as_sent->seen, SEEN_SYN);
    EXPECT_EQ(as_replied->seen, 0U);
    for (const flow& entry : {*as_sent, *as_replied}) {
        EXPECT_EQ(entry.link.ifindex, host_a);
        EXPECT_EQ(entry.network, network_id);
        EXPECT_GE(entry.created, before);
        EXPECT_GE(entry.last_seen, coarse_before);
        EXPECT_LE(entry.last_seen, now());
    }
}

TEST_P(Flow, IsAPairOfEntriesWhenItIsUdp) {
    expect_verdict(From::sandbox_a, from_a / asked / UDP{}, VERDICT_TO_WORLD);
    EXPECT_EQ(datapath_->flows().size(), 2U);
    EXPECT_TRUE(datapath_->flow_at(key_of(udp_protocol, ip_a, own_port, ip_server, 53, host_a)));
    EXPECT_TRUE(datapath_->flow_at(key_of(udp_protocol, ip_server, 53, ip_uplink, own_port, 0)));
}

TEST_P(Flow, IsAPairOfEntriesUnderTheIdentifierWhenItIsAPing) {
    expect_verdict(From::sandbox_a, from_a / asked / ICMP{}, VERDICT_TO_WORLD);
    EXPECT_EQ(datapath_->flows().size(), 2U);
    EXPECT_TRUE(datapath_->flow_at(key_of(icmp_protocol, ip_a, own_port, ip_server, 0, host_a)));
    EXPECT_TRUE(datapath_->flow_at(key_of(icmp_protocol, ip_server, 0, ip_uplink, own_port, 0)));
}

TEST_P(Flow, IsAPairOfEntriesUnderTheSandboxsAddressWhenNothingIsTranslated) {
    configure([](network& network) { network.flags = 0; });
    sends(syn);
    const auto as_sent = sent();
    ASSERT_TRUE(as_sent.has_value());
    EXPECT_TRUE(same(as_sent->address, address_of(ip_a)));
    EXPECT_EQ(as_sent->port, network_order(own_port));
    EXPECT_TRUE(datapath_->flow_at(key_of(tcp_protocol, ip_server, 80, ip_a, own_port, 0)));
    EXPECT_EQ(datapath_->flows().size(), 2U);
}

TEST_P(Flow, IsTheSameWhenASegmentComesAgain) {
    sends(syn);
    const auto first = sent();
    await_tick();
    sends(syn);
    ASSERT_TRUE(first && sent());
    EXPECT_EQ(sent()->created, first->created);
    EXPECT_GT(sent()->last_seen, first->last_seen);
    EXPECT_EQ(datapath_->flows().size(), 2U);
}

TEST_P(Flow, IsNotMadeWhenThePacketStaysOnTheHost) {
    expect_verdict(From::sandbox_a, from_a / IPv4{.source = ip_a, .destination = ip_b} / TCP{}, VERDICT_TO_SANDBOX);
    expect_verdict(From::sandbox_a, from_a / IPv4{.source = ip_a, .destination = ip_gateway} / TCP{}, VERDICT_TO_HOST);
    expect_verdict(From::sandbox_a, from_a / IPv4{.source = ip_a, .destination = ip_uplink} / TCP{}, VERDICT_TO_HOST);
    EXPECT_TRUE(datapath_->flows().empty());
}

TEST_P(Flow, RemembersWhatEachSideSaidWhenAConnectionLivesAndEnds) {
    sends(syn);
    expect_seen(SEEN_SYN, 0);
    is_answered(syn | ack);
    expect_seen(SEEN_SYN, SEEN_SYN | SEEN_ACK);
    sends(ack);
    sends(psh | ack);
    expect_seen(SEEN_SYN | SEEN_ACK, SEEN_SYN | SEEN_ACK);
    is_answered(fin | ack);
    expect_seen(SEEN_SYN | SEEN_ACK, SEEN_SYN | SEEN_ACK | SEEN_FIN);
    sends(fin | ack);
    is_answered(ack);
    expect_seen(SEEN_SYN | SEEN_ACK | SEEN_FIN, SEEN_SYN | SEEN_ACK | SEEN_FIN);
}

TEST_P(Flow, RemembersAResetWhenTheSandboxSendsIt) {
    sends(syn);
    is_answered(syn | ack);
    sends(rst);
    expect_seen(SEEN_SYN | SEEN_RST, SEEN_SYN | SEEN_ACK);
}

TEST_P(Flow, RemembersAResetWhenTheWorldSendsIt) {
    sends(syn);
    is_answered(rst | ack);
    expect_seen(SEEN_SYN, SEEN_ACK | SEEN_RST);
}

TEST_P(Flow, RemembersWhenEachSideWasLastSeen) {
    sends(syn);
    const auto at_first = sent();
    await_tick();
    is_answered(syn | ack);
    ASSERT_TRUE(at_first && sent() && replied());
    EXPECT_EQ(sent()->last_seen, at_first->last_seen);
    EXPECT_GT(replied()->last_seen, at_first->last_seen);
}

TEST_P(Flow, BeginsAnewUnderTheSamePortWhenItWasClosedAndSynComes) {
    const std::uint16_t port = port_in_world(From::sandbox_a, from_a / asked / TCP{.source_port = 1000});
    is_answered(syn | ack, port);
    sends(fin | ack, 1000);
    is_answered(fin | ack, port);
    EXPECT_EQ(port_in_world(From::sandbox_a, from_a / asked / TCP{.source_port = 1000}), port);
    ASSERT_TRUE(sent(1000) && replied(port));
    EXPECT_EQ(sent(1000)->seen, SEEN_SYN);
    EXPECT_EQ(replied(port)->seen, 0U);
    EXPECT_EQ(datapath_->flows().size(), 2U);
}

// A refused connection that is tried again from the same port is a new one, and not one that is closing.
TEST_P(Flow, BeginsAnewWhenOnlyTheWorldHadResetItAndSynComes) {
    sends(syn);
    is_answered(rst | ack);
    sends(syn);
    expect_seen(SEEN_SYN, 0);
}

TEST_P(Flow, BeginsAnewWhenOnlyTheWorldHadClosedItAndSynComes) {
    sends(syn);
    is_answered(syn | ack);
    sends(ack);
    is_answered(fin | ack);
    sends(syn);
    expect_seen(SEEN_SYN, 0);
}

TEST_P(Flow, ForgetsNothingWhenSynComesAgainAndNothingWasClosed) {
    sends(syn);
    is_answered(syn | ack);
    sends(syn);
    expect_seen(SEEN_SYN, SEEN_SYN | SEEN_ACK);
}

TEST_P(Flow, OpensWhenTheSynHasOtherFlagsThatDoNotMatter) {
    sends(syn | 0xc0 | 0x20);
}  // ECE, CWR, URG

// From a connection that was there before the programs were.
TEST_P(Flow, OpensWhenASegmentFromTheMiddleComes) {
    sends(ack);
    sends(psh | ack);
    expect_seen(SEEN_ACK, 0);
}

TEST_P(Flow, DoesNotOpenWhenTheSegmentAnswersASyn) {
    refuses(syn | ack);
}
TEST_P(Flow, DoesNotOpenWhenTheSegmentResets) {
    refuses(rst);
}
TEST_P(Flow, DoesNotOpenWhenTheSegmentResetsAndAcknowledges) {
    refuses(rst | ack);
}
TEST_P(Flow, DoesNotOpenWhenTheSegmentOpensAndResets) {
    refuses(syn | rst);
}
TEST_P(Flow, DoesNotOpenWhenTheSegmentEnds) {
    refuses(fin | ack);
}
TEST_P(Flow, DoesNotOpenWhenTheSegmentEndsWithoutAcknowledging) {
    refuses(fin);
}
TEST_P(Flow, DoesNotOpenWhenTheSegmentHasNoFlags) {
    refuses(0);
}
TEST_P(Flow, DoesNotOpenWhenTheSegmentOpensAndEnds) {
    refuses(syn | fin);
}

TEST_P(Flow, DoesNotOpenWhenItIsAnAnswerToAPing) {
    expect_verdict(From::sandbox_a, from_a / asked / ICMP{.type = icmp_echo_reply}, VERDICT_DROP_NO_FLOW);
    EXPECT_TRUE(datapath_->flows().empty());
}

TEST_P(Flow, DoesNotOpenWhenTheSandboxsNetworkDoesNotExist) {
    sandbox lost = sandbox_at(ip_a, host_a, mac_a);
    lost.network = CAUSEWAY_NETWORKS_MAX;
    datapath_->set_sandbox(host_a, lost);
    expect_verdict(From::sandbox_a, from_a / asked / TCP{}, VERDICT_DROP_UNKNOWN_SANDBOX);
    EXPECT_TRUE(datapath_->flows().empty());
}

// Another's answer under the only name this flow could have: no port, whatever the table's size.
TEST_P(Flow, DoesNotOpenWhenNothingIsTranslatedAndItsAnswerIsTaken) {
    configure([](network& network) { network.flags = 0; });
    flow stale{};
    stale.address = address_of(ip_a);
    stale.port = network_order(own_port);
    stale.link.ifindex = host_b;
    stale.network = network_id;
    datapath_->set_flow(key_of(tcp_protocol, ip_server, 80, ip_a, own_port, 0), stale);
    expect_verdict(From::sandbox_a, from_a / asked / TCP{}, VERDICT_DROP_NO_PORT);
    EXPECT_EQ(datapath_->flows().size(), 1U);
}

class FlowTable : public InEachFamily {
protected:
    Frame asks_from(std::uint16_t port, Ip destination = ip_server) {
        return from_a / IPv4{.source = ip_a, .destination = destination} / UDP{.source_port = port};
    }
};

TEST_P(FlowTable, DropsAndKeepsNoHalfWhenItHasRoomForOneEntry) {
    load({.flow_entries = 1});
    expect_verdict(From::sandbox_a, asks_from(own_port), VERDICT_DROP_TABLE_FULL);
    EXPECT_TRUE(datapath_->flows().empty());
}

TEST_P(FlowTable, DropsTheSecondFlowWhenItHasRoomForOne) {
    load({.flow_entries = 2});
    expect_verdict(From::sandbox_a, asks_from(own_port), VERDICT_TO_WORLD);
    expect_verdict(From::sandbox_a, asks_from(own_port + 1), VERDICT_DROP_TABLE_FULL);
    expect_verdict(From::sandbox_a, asks_from(1), VERDICT_DROP_TABLE_FULL);  // outside the range: the search
    expect_verdict(From::sandbox_a, asks_from(own_port), VERDICT_TO_WORLD);  // the first lives on
    EXPECT_EQ(datapath_->flows().size(), 2U);
}

TEST_P(FlowTable, DropsTheSecondFlowAndKeepsNoHalfWhenItHasRoomForOneAndAHalf) {
    load({.flow_entries = 3});
    expect_verdict(From::sandbox_a, asks_from(own_port), VERDICT_TO_WORLD);
    expect_verdict(From::sandbox_a, asks_from(own_port + 1), VERDICT_DROP_TABLE_FULL);
    EXPECT_EQ(datapath_->flows().size(), 2U);
}

TEST_P(FlowTable, DropsTheSecondFlowWhenItIsFullAndNothingIsTranslated) {
    load({.flow_entries = 2});
    configure([](network& network) { network.flags = 0; });
    expect_verdict(From::sandbox_a, asks_from(own_port), VERDICT_TO_WORLD);
    expect_verdict(From::sandbox_a, asks_from(own_port + 1), VERDICT_DROP_TABLE_FULL);
    EXPECT_EQ(datapath_->flows().size(), 2U);
}

TEST_P(FlowTable, StillDeliversBetweenSandboxesWhenItIsFull) {
    load({.flow_entries = 1});
    expect_verdict(From::sandbox_a, asks_from(own_port, ip_b), VERDICT_TO_SANDBOX);
    expect_verdict(From::sandbox_a, asks_from(own_port, ip_gateway), VERDICT_TO_HOST);
}

TEST_P(FlowTable, TakesThousandsWhenTheyOpenAtOnce) {
    unsigned open = 0;
    for (std::uint16_t i = 0; i < 4000; ++i) {
        const Outcome outcome = datapath_->run(
            Program::from_sandbox, bytes_of(asks_from(static_cast<std::uint16_t>(own_port + i))), {.ifindex = host_a});
        open += outcome.action == 7 ? 1 : 0;
    }
    EXPECT_EQ(open, 4000U);
    EXPECT_EQ(datapath_->flows().size(), 8000U);
}

RUN_IN_EACH_FAMILY(Flow);
RUN_IN_EACH_FAMILY(FlowTable);

}  // namespace
}  // namespace causeway::test::flow_test
