// SPDX-License-Identifier: Apache-2.0
// Fragments on real links, in any order: each leaves once, translated, the first one first.
#include <algorithm>

#include "tests/datapath/fragments.hpp"
#include "tests/datapath/live_fixture.hpp"

namespace causeway::test::live_fragment_test {
namespace {

constexpr std::uint16_t inside = 1000, outside = 50000;

const IPv4 asked{.source = ip_a, .destination = ip_server},
    in_world{.source = ip_uplink, .destination = ip_server, .ttl = 63};
constexpr Ethernet at_router{.source = mac_uplink, .destination = mac_router};

class LiveFragments : public Live {
protected:
    void SetUp() override {
        Live::SetUp();
        configure([](network& network) { network.port_min = network.port_max = outside; });
    }

    static std::vector<Bytes> bytes_of_all(const std::vector<Frame>& frames) {
        std::vector<Bytes> all;
        for (const Frame& frame : frames) {
            all.push_back(frame.bytes());
        }
        return all;
    }

    // The first one first, then the others in any order; and nothing more.
    static void expect_received(Wire& wire, const std::vector<Frame>& frames) {
        std::vector<Bytes> received, expected = bytes_of_all(frames);
        for (std::size_t i = 0; i < frames.size(); ++i) {
            received.push_back(wire.receive());
        }
        EXPECT_EQ(difference(expected[0], received[0]), "");
        std::ranges::sort(received);
        std::ranges::sort(expected);
        for (std::size_t i = 0; i < frames.size(); ++i) {
            EXPECT_EQ(difference(expected[i], received[i]), "");
        }
        EXPECT_TRUE(wire.receive(50).empty());
    }

    void expect_nothing_left() {
        EXPECT_EQ(datapath_->trains(), 0U);
        EXPECT_EQ(datapath_->held_fragments(), 0U);
        EXPECT_EQ(datapath_->usage_of(host_a).fragments, 0U);
        EXPECT_EQ(datapath_->usage_of(CAUSEWAY_WORLD_SLOT).fragments, 0U);
    }

    // As much as fits behind the headers of a frame.
    std::size_t piece() const { return family() == Family::ipv6 ? 1448 : 1480; }
    std::size_t headers() const { return family() == Family::ipv6 ? 14 + 40 + 8 : 14 + 20; }

    // All but the first are held; with it, all end in that verdict.
    void send_backwards(Wire& wire, std::vector<Frame> frames, enum verdict verdict) {
        std::vector<enum verdict> at_last(frames.size(), verdict);
        at_last.push_back(VERDICT_FRAGMENTS_REPLAYED);
        std::ranges::reverse(frames);
        for (std::size_t i = 0; i + 1 < frames.size(); ++i) {
            expect_end(wire, frames[i], VERDICT_FRAGMENT_HELD);
        }
        expect_ends(wire, frames.back(), at_last);
    }
};

TEST_P(LiveFragments, ReachTheWorldWhenTheyComeInOrder) {
    Wire a = far_end("a"), router = far_end("router");
    const Payload text{std::string(2000, 'x')};
    for (const Frame& frame : fragments_of(from_a / asked / UDP{inside, 53} / text, piece())) {
        expect_end(a, frame, VERDICT_TO_WORLD);
    }
    expect_received(router,
                    fragments_of(at_router / in_world / UDP{outside, 53} / text, piece(), first_identification));
    expect_nothing_left();
}

TEST_P(LiveFragments, ReachTheWorldWhenTheFirstComesLast) {
    Wire a = far_end("a"), router = far_end("router");
    const Payload text{std::string(5000, 'x')};
    send_backwards(a, fragments_of(from_a / asked / UDP{inside, 53} / text, piece()), VERDICT_TO_WORLD);
    expect_received(router,
                    fragments_of(at_router / in_world / UDP{outside, 53} / text, piece(), first_identification));
    expect_nothing_left();
    const traffic seen = datapath_->traffic_of(host_a);
    EXPECT_EQ(seen.sent_packets, 4U);  // each once, though all came through twice
    EXPECT_EQ(seen.sent_bytes, 4 * headers() + 5008);
    EXPECT_EQ(seen.dropped_packets, 0U);
}

// The four take 600 ms at that rate, of which 500 may be ahead.
TEST_P(LiveFragments, CountOnceForTheSandboxsBandwidthWhenTheFirstComesLast) {
    auto sandbox = sandbox_at(ip_a, host_a, mac_a);
    sandbox.link.flags |= LINK_POLICED;
    datapath_->set_sandbox(host_a, sandbox);
    datapath_->set_shaper(host_a, {.policed_rate = 10'000, .tolerance = 500'000'000});
    Wire a = far_end("a"), router = far_end("router");
    const Payload text{std::string(5000, 'x')};
    const auto frames = fragments_of(from_a / asked / UDP{inside, 53} / text, piece());
    ASSERT_EQ(frames.size(), 4U);
    send_backwards(a, frames, VERDICT_TO_WORLD);
    expect_end(a, from_a / asked / UDP{inside, 53}, VERDICT_DROP_SHAPED);
}

TEST_P(LiveFragments, ReachTheWorldWhenTheFirstComesInTheMiddle) {
    Wire a = far_end("a"), router = far_end("router");
    const Payload text{std::string(300, 'x')};
    const auto frames = fragments_of(from_a / asked / UDP{inside, 53} / text, 80);
    ASSERT_EQ(frames.size(), 4U);
    expect_end(a, frames[3], VERDICT_FRAGMENT_HELD);
    expect_end(a, frames[1], VERDICT_FRAGMENT_HELD);
    expect_ends(a, frames[0], {VERDICT_FRAGMENTS_REPLAYED, VERDICT_TO_WORLD, VERDICT_TO_WORLD, VERDICT_TO_WORLD});
    expect_end(a, frames[2], VERDICT_TO_WORLD);
    expect_received(router, fragments_of(at_router / in_world / UDP{outside, 53} / text, 80, first_identification));
    expect_nothing_left();
}

TEST_P(LiveFragments, ReachTheWorldWhenTheyAreTcpAndTheFirstComesLast) {
    Wire a = far_end("a"), router = far_end("router");
    const Payload text{std::string(3000, 'x')};
    send_backwards(a, fragments_of(from_a / asked / TCP{inside, 80, ack} / text, piece()), VERDICT_TO_WORLD);
    expect_received(router,
                    fragments_of(at_router / in_world / TCP{outside, 80, ack} / text, piece(), first_identification));
    expect_nothing_left();
}

TEST_P(LiveFragments, ReachTheSandboxWhenTheWorldsFirstComesLast) {
    Wire a = far_end("a"), router = far_end("router"), uplink("up0");
    expect_end(a, from_a / IPv4{.source = ip_a, .destination = ip_server} / UDP{inside, 53}, VERDICT_TO_WORLD);
    const Payload text{std::string(3000, 'x')};
    const IPv4 answered{.source = ip_server, .destination = ip_uplink, .ttl = 50};
    const IPv4 delivered{.source = ip_server, .destination = ip_a, .ttl = 49};
    const auto frames = fragments_of(from_world / answered / UDP{53, outside} / text, piece());
    ASSERT_EQ(frames.size(), 3U);
    expect_end(router, frames[2], VERDICT_PASS_STACK);  // it might be the host's: a copy waits
    expect_end(router, frames[1], VERDICT_PASS_STACK);
    EXPECT_EQ(datapath_->held_fragments(), 2U);
    expect_ends(router, frames[0],
                {VERDICT_FRAGMENTS_REPLAYED, VERDICT_TO_SANDBOX, VERDICT_TO_SANDBOX, VERDICT_TO_SANDBOX});
    expect_received(a, fragments_of(at_a / delivered / UDP{53, inside} / text, piece()));
    expect_nothing_left();
}

// As many as fit, each of the largest size.
TEST_P(LiveFragments, ReachTheWorldWhenThePacketIsTheLargestAndTheFirstComesLast) {
    Wire a = far_end("a"), router = far_end("router");
    const Payload text{std::string(65507, 'x')};
    const auto frames = fragments_of(from_a / asked / UDP{inside, 53} / text, piece());
    ASSERT_GE(frames.size(), std::size_t{CAUSEWAY_HELD_OF_ONE_MAX});
    send_backwards(a, frames, VERDICT_TO_WORLD);
    expect_received(router,
                    fragments_of(at_router / in_world / UDP{outside, 53} / text, piece(), first_identification));
    expect_nothing_left();
}

class LiveFragmentsOfIPv4 : public LiveFragments {};

// The host's stack cuts up what is too big for the way, under the sandbox's address; the uplink's egress translates it.
TEST_P(LiveFragmentsOfIPv4, ReachTheWorldTranslatedWhenTheHostCutsUpWhatIsTooBig) {
    run_ip("route add 198.51.100.0/24 via 203.0.113.254 mtu lock 1000\n");
    Wire a = far_end("a"), router = far_end("router");
    const Payload text{std::string(1400, 'x')};
    IPv4 ip = asked;
    ip.dont_fragment = false;
    expect_ends(a, from_a / ip / UDP{inside, 53} / text,
                {VERDICT_TO_HOST, VERDICT_PASS_TRANSLATED, VERDICT_PASS_TRANSLATED});
    expect_received(router, fragments_of(at_router / in_world / UDP{outside, 53} / text, 976, first_identification));
    expect_nothing_left();
}

// A packet that is cut up by the host, out of fragments that the sandbox has made: of one packet, so all go that way.
TEST_P(LiveFragmentsOfIPv4, ReachTheWorldTranslatedWhenTheHostCutsUpFragmentsFurther) {
    run_ip("route add 198.51.100.0/24 via 203.0.113.254 mtu lock 1000\n");
    Wire a = far_end("a"), router = far_end("router");
    const Payload text{std::string(1800, 'x')};
    const auto frames = fragments_of(from_a / asked / UDP{inside, 53} / text, piece());
    ASSERT_EQ(frames.size(), 2U);
    expect_ends(a, frames[0], {VERDICT_TO_HOST, VERDICT_PASS_TRANSLATED, VERDICT_PASS_TRANSLATED});
    expect_ends(a, frames[1], {VERDICT_TO_HOST, VERDICT_PASS_TRANSLATED});
    std::size_t bytes = 0;
    for (int i = 0; i < 3; ++i) {
        const Bytes frame = router.receive();
        ASSERT_GE(frame.size(), 34U);
        EXPECT_EQ(wrong_checksums(frame), "");
        EXPECT_EQ((Bytes(frame.begin() + 26, frame.begin() + 30)), (Bytes{203, 0, 113, 1}));
        EXPECT_EQ(frame[18] << 8 | frame[19], first_identification);
        bytes += frame.size() - 34;
    }
    EXPECT_EQ(bytes, 1808U);
    expect_nothing_left();
}

TEST_P(LiveFragments, LeaveTheHostsOwnPacketsAloneAtTheUplink) {
    Wire router = far_end("router");
    const VerdictCounts before = datapath_->verdicts();
    run_ip("neighbour add 203.0.113.77 lladdr 02:00:00:00:01:fe dev up0 nud permanent\n");
    Wire uplink("up0");
    const Frame frame =
        at_router / IPv4{.source = ip_a, .destination = ip_server} / UDP{};  // the host may say anything
    uplink.send(bytes_of(frame));
    EXPECT_EQ(difference(bytes_of(frame), router.receive()), "");
    EXPECT_EQ(datapath_->verdicts(), before);
}

RUN_IN_EACH_FAMILY(LiveFragments);
RUN_IN_IPV4(LiveFragmentsOfIPv4);

}  // namespace
}  // namespace causeway::test::live_fragment_test
