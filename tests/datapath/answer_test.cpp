// SPDX-License-Identifier: Apache-2.0
// How many ICMP errors the datapath tells: at a rate for each sandbox, and one for the world.
#include <linux/pkt_cls.h>

#include "tests/datapath/datapath_fixture.hpp"

namespace causeway::test::answer_test {
namespace {

constexpr std::uint16_t own_port = 40000;

class Answers : public InEachFamily {
protected:
    static constexpr std::uint64_t rate_is_used_up = ~0ULL >> 2;  // for the next hundred years

    void use_up(std::uint32_t slot) { datapath_->set_usage(slot, {.answering = rate_is_used_up}); }

    static Frame without_ttl(std::uint8_t flags = syn) {
        return from_a / IPv4{.source = ip_a, .destination = ip_server, .ttl = 1} /
               TCP{.source_port = own_port, .flags = flags};
    }
    static Frame without_ttl_from_world() {
        return from_world / IPv4{.source = ip_server, .destination = ip_uplink, .ttl = 1} / TCP{80, own_port, ack};
    }
    void open_flow() {
        expect_verdict(From::sandbox_a,
                       from_a / IPv4{.source = ip_a, .destination = ip_server} / TCP{.source_port = own_port},
                       VERDICT_TO_WORLD);
    }

    // Dropped for its TTL, and nothing is said.
    void expect_silence(Program program, const Frame& frame, std::uint32_t ifindex) {
        const auto before = datapath_->verdicts()[VERDICT_DROP_TTL_EXPIRED];
        EXPECT_EQ(datapath_->run(program, bytes_of(frame), {.ifindex = ifindex}).action, TC_ACT_SHOT);
        EXPECT_EQ(datapath_->verdicts()[VERDICT_DROP_TTL_EXPIRED], before + 1);
    }
};

TEST_P(Answers, EndWhereASandboxsRateIsUsedUp) {
    use_up(host_a);
    expect_silence(Program::from_sandbox, without_ttl(), host_a);
    expect_verdict(From::sandbox_b,
                   from_b / IPv4{.source = ip_b, .destination = ip_server, .ttl = 1} / UDP{.source_port = own_port},
                   VERDICT_DROP_TTL_EXPIRED);
    datapath_->set_usage(host_a, {});
    expect_verdict(From::sandbox_a, without_ttl(), VERDICT_DROP_TTL_EXPIRED);
}

TEST_P(Answers, ToTheWorldHaveARateApart) {
    open_flow();
    use_up(CAUSEWAY_WORLD_SLOT);
    expect_silence(Program::from_uplink, without_ttl_from_world(), uplink_device);
    expect_verdict(From::sandbox_a, without_ttl(), VERDICT_DROP_TTL_EXPIRED);
    datapath_->set_usage(CAUSEWAY_WORLD_SLOT, {});
    use_up(host_a);
    expect_verdict(From::uplink, without_ttl_from_world(), VERDICT_DROP_TTL_EXPIRED);
}

// A millisecond each, so a thousand a second; of the world's each one or two, at random.
TEST_P(Answers, EachTakeOfTheRate) {
    constexpr std::uint64_t each = 1'000'000;
    open_flow();
    for (const auto& [slot, from, frame] : {std::tuple{std::uint32_t{host_a}, From::sandbox_a, without_ttl()},
                                            {CAUSEWAY_WORLD_SLOT, From::uplink, without_ttl_from_world()}}) {
        expect_verdict(from, frame, VERDICT_DROP_TTL_EXPIRED);
        const auto one = datapath_->usage_of(slot).answering;
        expect_verdict(from, frame, VERDICT_DROP_TTL_EXPIRED);
        EXPECT_GE(datapath_->usage_of(slot).answering, one + each);
    }
}

TEST_P(Answers, ThatAreNotGivenTakeNothingOfTheRate) {
    expect_verdict(From::sandbox_a, from_a / IPv4{.source = ip_b, .destination = ip_server} / UDP{},
                   VERDICT_DROP_SPOOFED_ADDRESS);
    expect_verdict(From::sandbox_a,
                   from_a / IPv4{.source = ip_a, .destination = ip_server} / TCP{.source_port = own_port, .flags = ack},
                   VERDICT_TO_WORLD);
    EXPECT_EQ(datapath_->usage_of(host_a).answering, 0U);
}

RUN_IN_EACH_FAMILY(Answers);

}  // namespace
}  // namespace causeway::test::answer_test
