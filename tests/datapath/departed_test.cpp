// SPDX-License-Identifier: Apache-2.0
// Flows of a sandbox that is gone: nobody's from its DEL on, whoever has its slot, and ended by the timer soon after.
#include <ctime>

#include "tests/datapath/datapath_fixture.hpp"

namespace causeway::test::departed_test {
namespace {

constexpr std::uint16_t port = 40000;

std::uint64_t now() {
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(time.tv_nsec);
}

const IPv4 answered{.source = ip_server, .destination = ip_uplink};

class Departed : public InEachFamily {
protected:
    void SetUp() override {
        InEachFamily::SetUp();
        expect_verdict(From::sandbox_a, asks, VERDICT_TO_WORLD);
        expect_verdict(From::uplink, answer, VERDICT_TO_SANDBOX);
    }

    // As DEL does it.
    void depart() {
        datapath_->remove_sandbox(host_a);
        datapath_->set_usage(host_a, {.since = CAUSEWAY_NOBODY_SINCE});
        datapath_->set_departures(1);
    }
    bool is_there(std::uint16_t own_port) const {
        return datapath_->flow_at(key_of(udp_protocol, ip_a, own_port, ip_server, 53, host_a)).has_value();
    }

    const Frame asks = from_a / IPv4{.source = ip_a, .destination = ip_server} / UDP{.source_port = port};
    const Frame answer = from_world / answered / UDP{53, port};
};

TEST_P(Departed, SandboxesGetNothingMoreFromTheWorld) {
    datapath_->remove_sandbox(host_a);
    datapath_->set_usage(host_a, {.since = CAUSEWAY_NOBODY_SINCE});  // and no timer has seen it yet
    expect_packet(From::uplink, answer, VERDICT_PASS_STACK, answer);
    const Frame error = from_world / IPv4{.source = ip_router, .destination = ip_uplink} / IcmpError{} /
                        IPv4{.source = ip_uplink, .destination = ip_server} / UDP{.source_port = port};
    expect_packet(From::uplink, error, VERDICT_PASS_STACK, error);
}

TEST_P(Departed, SandboxesFlowsAreEndedSoonAndOthersAreNot) {
    expect_verdict(From::sandbox_b, from_b / IPv4{.source = ip_b, .destination = ip_server} / UDP{.source_port = 7},
                   VERDICT_TO_WORLD);
    depart();
    wait_until([&] { return !is_there(port); });
    EXPECT_EQ(datapath_->flows().size(), 2U);
    EXPECT_EQ(datapath_->ageing_turns(), 1U);
    EXPECT_EQ(datapath_->usage_of(host_a).flows, 0U);
    EXPECT_EQ(datapath_->usage_of(host_b).flows, 1U);
}

TEST_P(Departed, SandboxesPortsAreAnothersWhenTheirFlowsHaveEnded) {
    configure([](network& network) { network.port_min = network.port_max = port; });
    const Frame b_asks = from_b / IPv4{.source = ip_b, .destination = ip_server} / UDP{.source_port = port};
    expect_verdict(From::sandbox_b, b_asks, VERDICT_DROP_NO_PORT);
    depart();
    wait_until([&] { return !is_there(port); });
    EXPECT_EQ(port_in_world(From::sandbox_b, b_asks), port);
}

// The slot has another holder before the timer has come round.
TEST_P(Departed, SandboxesFlowsAreNotInherited) {
    datapath_->set_usage(host_a, {.since = now()});
    expect_packet(From::uplink, answer, VERDICT_PASS_STACK, answer);
    expect_verdict(From::sandbox_a,
                   from_a / IPv4{.source = ip_a, .destination = ip_server} / UDP{.source_port = port + 1},
                   VERDICT_TO_WORLD);
    datapath_->set_departures(1);
    wait_until([&] { return !is_there(port); });
    EXPECT_TRUE(is_there(port + 1));
    EXPECT_EQ(datapath_->usage_of(host_a).flows, 1U) << "its own";
    expect_verdict(From::uplink, from_world / answered / UDP{53, port + 1}, VERDICT_TO_SANDBOX);
}

RUN_IN_EACH_FAMILY(Departed);

}  // namespace
}  // namespace causeway::test::departed_test
