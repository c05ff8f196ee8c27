// SPDX-License-Identifier: Apache-2.0
// Fragments on their way through a translation: the first one's ports count for all. In what order they come on a real
// link is seen in live_fragment_test.cpp.
#include <algorithm>

#include "tests/datapath/datapath_fixture.hpp"
#include "tests/datapath/fragments.hpp"

namespace causeway::test::fragment_test {
namespace {

constexpr std::uint16_t inside = 1000, outside = 50000;

const IPv4 asked{.source = ip_a, .destination = ip_server},
    in_world{.source = ip_uplink, .destination = ip_server, .ttl = 63};
const IPv4 answered{.source = ip_server, .destination = ip_uplink, .ttl = 50},
    delivered{.source = ip_server, .destination = ip_a, .ttl = 49};
const Payload text{std::string(90, 'x')};

class Fragments : public InEachFamily {
protected:
    void SetUp() override {
        InEachFamily::SetUp();
        configure([](network& network) { network.port_min = network.port_max = outside; });
    }

    // Each of one packet's fragments becomes the one of the other's.
    void expect_each(From from, const std::vector<Frame>& in, enum verdict verdict, const std::vector<Frame>& out) {
        ASSERT_EQ(in.size(), out.size());
        for (std::size_t i = 0; i < in.size(); ++i) {
            SCOPED_TRACE(testing::Message() << "fragment " << i);
            expect_packet(from, in[i], verdict, out[i]);
        }
    }

    void expect_nothing_left() {
        EXPECT_EQ(datapath_->trains(), 0U);
        EXPECT_EQ(datapath_->held_fragments(), 0U);
        for (std::uint32_t slot : {host_a, host_b, unsigned{CAUSEWAY_WORLD_SLOT}}) {
            EXPECT_EQ(datapath_->usage_of(slot).fragments, 0U);
        }
    }

    std::uint64_t count_of(enum verdict verdict) const { return datapath_->verdicts()[verdict]; }

    static Frame later(std::uint16_t identification, std::uint16_t offset = 1, const Ethernet& ethernet = from_a,
                       Ip source = ip_a, std::uint8_t protocol = udp_protocol) {
        return ethernet /
               IPv4{.source = source,
                    .destination = ip_server,
                    .protocol = protocol,
                    .identification = identification,
                    .dont_fragment = false,
                    .more_fragments = true,
                    .fragment_offset = offset} /
               Payload{"12345678"};
    }
};

TEST_P(Fragments, GoToTheWorldUnderOneIdentificationWhenTheyAreUdp) {
    expect_each(From::sandbox_a, fragments_of(from_a / asked / UDP{inside, 53} / text, 32), VERDICT_TO_WORLD,
                fragments_of(from_a / in_world / UDP{outside, 53} / text, 32, first_identification));
    expect_nothing_left();
    EXPECT_EQ(datapath_->flows().size(), 2U);
}

TEST_P(Fragments, GoToTheWorldWhenTheyAreUdpWithoutChecksum) {
    const UDP in{.source_port = inside, .checksum = 0}, out{.source_port = outside, .checksum = 0};
    expect_each(From::sandbox_a, fragments_of(from_a / asked / in / text, 8), VERDICT_TO_WORLD,
                fragments_of(from_a / in_world / out / text, 8, first_identification));
    expect_nothing_left();
}

TEST_P(Fragments, GoToTheWorldWhenTheyAreTcp) {
    expect_each(From::sandbox_a, fragments_of(from_a / asked / TCP{inside, 80, ack} / text, 24), VERDICT_TO_WORLD,
                fragments_of(from_a / in_world / TCP{outside, 80, ack} / text, 24, first_identification));
    expect_nothing_left();
}

TEST_P(Fragments, GoToTheWorldWhenTheyAreAPing) {
    expect_each(From::sandbox_a, fragments_of(from_a / asked / ICMP{.identifier = inside} / text, 32), VERDICT_TO_WORLD,
                fragments_of(from_a / in_world / ICMP{.identifier = inside} / text, 32, first_identification));
    expect_nothing_left();
}

TEST_P(Fragments, GoToTheWorldWhenTheyHaveNoPorts) {
    expect_each(From::sandbox_a, fragments_of(from_a / of_protocol(asked, gre_protocol) / text, 32), VERDICT_TO_WORLD,
                fragments_of(from_a / of_protocol(in_world, gre_protocol) / text, 32, first_identification));
    expect_nothing_left();
}

TEST_P(Fragments, GoToTheWorldWhenTheLaterOnesComeInAnyOrder) {
    std::vector<Frame> in = fragments_of(from_a / asked / UDP{inside, 53} / text, 16);
    std::vector<Frame> out = fragments_of(from_a / in_world / UDP{outside, 53} / text, 16, first_identification);
    std::reverse(in.begin() + 1, in.end());
    std::reverse(out.begin() + 1, out.end());
    expect_each(From::sandbox_a, in, VERDICT_TO_WORLD, out);
    expect_nothing_left();
}

TEST_P(Fragments, HaveAnIdentificationOfTheirOwnWhenTheyAreOfAnotherPacket) {
    for (std::uint16_t i = 0; i < 5; ++i) {  // a sandbox that numbers all its packets alike
        const auto identification = static_cast<std::uint16_t>(first_identification + i);
        expect_each(From::sandbox_a, fragments_of(from_a / asked / UDP{inside, 53} / text, 32), VERDICT_TO_WORLD,
                    fragments_of(from_a / in_world / UDP{outside, 53} / text, 32, identification));
    }
    expect_nothing_left();
}

// Two sandboxes, one identification, one address in the world: there they must not be taken for one packet.
TEST_P(Fragments, AreNotMixedUpWhenTwoSandboxesSendAtOnce) {
    configure([](network& network) {
        network.port_min = 50000;
        network.port_max = 50001;
    });
    const auto of_a = fragments_of(from_a / asked / UDP{50000, 53} / text, 56);
    const auto of_b = fragments_of(from_b / IPv4{.source = ip_b, .destination = ip_server} / UDP{50001, 53} / text, 56);
    const auto a_out = fragments_of(from_a / in_world / UDP{50000, 53} / text, 56, first_identification);
    const auto b_out = fragments_of(from_b / in_world / UDP{50001, 53} / text, 56, first_identification + 1);
    ASSERT_EQ(of_a.size(), 2U);
    expect_packet(From::sandbox_a, of_a[0], VERDICT_TO_WORLD, a_out[0]);
    expect_packet(From::sandbox_b, of_b[0], VERDICT_TO_WORLD, b_out[0]);
    EXPECT_EQ(datapath_->trains(), 2U);
    expect_packet(From::sandbox_a, of_a[1], VERDICT_TO_WORLD, a_out[1]);
    expect_packet(From::sandbox_b, of_b[1], VERDICT_TO_WORLD, b_out[1]);
    expect_nothing_left();
}

TEST_P(Fragments, KeepTheWorldsIdentificationWhenTheyReachTheSandbox) {
    expect_verdict(From::sandbox_a, from_a / asked / UDP{inside, 53}, VERDICT_TO_WORLD);
    expect_each(From::uplink, fragments_of(from_world / answered / UDP{53, outside} / text, 32), VERDICT_TO_SANDBOX,
                fragments_of(at_a / delivered / UDP{53, inside} / text, 32));
    expect_nothing_left();
}

TEST_P(Fragments, ReachTheSandboxWhenTheyAreTcpFromTheWorld) {
    expect_verdict(From::sandbox_a, from_a / asked / TCP{inside, 80}, VERDICT_TO_WORLD);
    expect_each(From::uplink, fragments_of(from_world / answered / TCP{80, outside, ack} / text, 48),
                VERDICT_TO_SANDBOX, fragments_of(at_a / delivered / TCP{80, inside, ack} / text, 48));
    expect_nothing_left();
}

TEST_P(Fragments, ReachTheSandboxWhenTheyAnswerAPing) {
    expect_verdict(From::sandbox_a, from_a / asked / ICMP{.identifier = inside}, VERDICT_TO_WORLD);
    const ICMP reply{.type = icmp_echo_reply, .identifier = inside};
    expect_each(From::uplink, fragments_of(from_world / answered / reply / text, 32), VERDICT_TO_SANDBOX,
                fragments_of(at_a / delivered / reply / text, 32));
    expect_nothing_left();
}

TEST_P(Fragments, ReachTheSandboxWhenTheyHaveNoPorts) {
    expect_verdict(From::sandbox_a, from_a / of_protocol(asked, gre_protocol) / text, VERDICT_TO_WORLD);
    expect_each(From::uplink, fragments_of(from_world / of_protocol(answered, gre_protocol) / text, 32),
                VERDICT_TO_SANDBOX, fragments_of(at_a / of_protocol(delivered, gre_protocol) / text, 32));
    expect_nothing_left();
}

// Pieces of one length, since otherwise the kernel forgets what the device has summed.
TEST_P(Fragments, KeepTheDevicesSumRightWhenTheyAreSentThroughAgain) {
    expect_verdict(From::sandbox_a, from_a / asked / UDP{inside, 53}, VERDICT_TO_WORLD);
    const auto frames = fragments_of(from_world / answered / UDP{53, outside} / Payload{std::string(232, 'x')}, 80);
    ASSERT_EQ(frames.size(), 3U);
    for (std::size_t i = 2; i > 0; --i) {
        expect_verdict(From::uplink, frames[i], VERDICT_PASS_STACK);
    }
    expect_verdict(From::uplink, frames[0], VERDICT_FRAGMENTS_REPLAYED);
}

// What is reassembled at the host is the host's, whole: a copy is kept, in case it is not.
TEST_P(Fragments, AreTheHostsWhenTheFirstWasNotSeenAndTheyAreForIt) {
    const auto frames = fragments_of(from_world / answered / UDP{53, 55555} / text, 32);
    for (std::size_t i = frames.size() - 1; i > 0; --i) {
        expect_packet(From::uplink, frames[i], VERDICT_PASS_STACK, frames[i]);
    }
    EXPECT_EQ(datapath_->held_fragments(), frames.size() - 1);
    expect_packet(From::uplink, frames[0], VERDICT_PASS_STACK, frames[0]);
    EXPECT_EQ(datapath_->held_fragments(), 0U);
    EXPECT_EQ(datapath_->usage_of(CAUSEWAY_WORLD_SLOT).held, 0U);
}

TEST_P(Fragments, AreTheHostsWhenItIsTheirReceiver) {
    const auto frames = fragments_of(from_world / answered / UDP{53, 55555} / text, 32);
    for (const Frame& frame : frames) {
        expect_packet(From::uplink, frame, VERDICT_PASS_STACK, frame);
        EXPECT_EQ(datapath_->held_fragments(), 0U);
    }
    expect_nothing_left();
}

// Of an ICMP error in two: the first, and one behind it whose bytes are an error themselves, that quotes a packet of a
// flow.
class FragmentsOfAnError : public Fragments {
protected:
    struct Two {
        Frame first, behind;
    };
    Two cut(const Ethernet& ethernet, const IPv4& ip, const Frame& about_a_flow, const Frame& about_another) const {
        const Bytes whole = bytes_of(about_a_flow);
        const Frame first = fragments_of(about_another, 32)[0];
        const Bytes bytes = first.bytes();
        IPv4 later = ip;
        later.protocol = icmp_protocol;
        later.identification = static_cast<std::uint16_t>(bytes[18] << 8 | bytes[19]);
        later.dont_fragment = false;
        later.fragment_offset = 4;
        const std::string message(whole.begin() + 34, whole.end());  // behind the Ethernet and IP headers
        return {first, ethernet / later / Payload{message}};
    }
    const IcmpError error{.code = 3};
};

TEST_P(FragmentsOfAnError, AreNoErrorThemselvesBehindTheFirst) {
    expect_verdict(From::sandbox_a, from_a / asked / UDP{inside, 53}, VERDICT_TO_WORLD);
    const auto [first, behind] =
        cut(from_world, answered, from_world / answered / error / in_world / UDP{outside, 53} / text,
            from_world / answered / error / IPv4{.source = ip_uplink, .destination = ip_server_2} / UDP{1, 2});
    expect_packet(From::uplink, first, VERDICT_PASS_STACK, first);
    expect_packet(From::uplink, behind, VERDICT_PASS_STACK, behind);
}

TEST_P(FragmentsOfAnError, AreNoErrorThemselvesBehindTheFirstOfASandboxs) {
    publish(udp_protocol, ip_uplink, 8080);
    expect_verdict(From::uplink, from_world / answered / UDP{5000, 8080}, VERDICT_TO_SANDBOX);
    const IPv4 about{.source = ip_server, .destination = ip_a, .ttl = 49};
    const auto [first, behind] = cut(from_a, asked, from_a / asked / error / about / UDP{5000, service} / text,
                                     from_a / asked / error / IPv4{.source = ip_server_2, .destination = ip_a} / UDP{});
    datapath_->run(Program::from_sandbox, bytes_of(first), {.ifindex = host_a});
    expect_packet(From::sandbox_a, behind, VERDICT_DROP_BAD_CHECKSUM, behind);
}

// RFC 768: it need not have a port to be answered at.
TEST_P(Fragments, AreTheHostsWhenTheirSourcePortIsZero) {
    for (const Frame& frame : fragments_of(from_world / answered / UDP{0, 55555} / text, 32)) {
        expect_packet(From::uplink, frame, VERDICT_PASS_STACK, frame);
    }
    expect_nothing_left();
}

// Whoever sends the host as many as there is room for, be they forged, takes nothing of what answers need.
TEST_P(Fragments, ReachTheSandboxHoweverManyTheHostIsSent) {
    expect_verdict(From::sandbox_a, from_a / asked / UDP{inside, 53}, VERDICT_TO_WORLD);
    for (std::uint16_t i = 0; i < CAUSEWAY_TRAINS_MAX; ++i) {
        const Frame frame = i % 2 == 0 ? fragments_of(from_world / answered / UDP{53, 55555} / text, 32, i)[0]
                                       : fragments_of(from_world / answered / UDP{53, 55555} / text, 32, i)[1];
        datapath_->run(Program::from_uplink, bytes_of(frame), {.ifindex = uplink_device});
    }
    expect_each(From::uplink, fragments_of(from_world / answered / UDP{53, outside} / text, 32), VERDICT_TO_SANDBOX,
                fragments_of(at_a / delivered / UDP{53, inside} / text, 32));
}

// RFC 1858: one that begins in the TCP header could change the ports or flags of the first.
TEST_P(Fragments, AreDroppedWhenTheyBeginInTheTcpHeader) {
    for (std::uint16_t offset : {std::uint16_t{1}, std::uint16_t{2}}) {
        expect_verdict(From::sandbox_a, later(1, offset, from_a, ip_a, tcp_protocol), VERDICT_DROP_BAD_HEADER);
        const IPv4 ip{
            .source = ip_server, .destination = ip_uplink, .protocol = tcp_protocol, .fragment_offset = offset};
        expect_verdict(From::uplink, from_world / ip / Payload{"12345678"}, VERDICT_PASS_STACK);
    }
    expect_nothing_left();
    expect_verdict(From::sandbox_a, later(1, 3, from_a, ip_a, tcp_protocol), VERDICT_FRAGMENT_HELD);
    expect_verdict(From::sandbox_a, later(2, 1), VERDICT_FRAGMENT_HELD);  // UDP's header ends there
}

TEST_P(Fragments, AreDroppedWhenTheFirstEndsWithinItsTcpHeader) {
    IPv4 ip = of_protocol(asked, tcp_protocol);
    ip.dont_fragment = false;
    ip.more_fragments = true;
    expect_verdict(From::sandbox_a, from_a / ip / Payload{"16 bytes of many"}, VERDICT_DROP_TRUNCATED);
    expect_nothing_left();
}

TEST_P(Fragments, AreDroppedUnansweredWhenTheFlowMayNotOpen) {
    configure([](network& network) { network.flows_max = 0; });
    const auto frames = fragments_of(from_a / asked / UDP{inside, 53} / text, 32);
    expect_verdict(From::sandbox_a, frames[0], VERDICT_DROP_FLOW_QUOTA);  // is answered, as it says why
    for (std::size_t i = 1; i < frames.size(); ++i) {
        expect_packet(From::sandbox_a, frames[i], VERDICT_DROP_FLOW_QUOTA, frames[i]);
    }
}

TEST_P(Fragments, AreHeldUpToAsManyAsOnePacketHas) {
    for (std::uint16_t i = 1; i <= CAUSEWAY_HELD_OF_ONE_MAX; ++i) {
        expect_verdict(From::sandbox_a, later(1, i), VERDICT_FRAGMENT_HELD);
    }
    expect_verdict(From::sandbox_a, later(1, 100), VERDICT_DROP_FRAGMENT);
    EXPECT_EQ(datapath_->held_fragments(), std::size_t{CAUSEWAY_HELD_OF_ONE_MAX});
    EXPECT_EQ(datapath_->trains(), 1U);
}

TEST_P(Fragments, AreKnownOfAsManyPacketsAsASandboxMayAndAnothersAreToo) {
    const auto first = [this](std::uint16_t identification) {
        return fragments_of(from_a / asked / UDP{inside, 53} / text, 32, identification)[0];
    };
    for (std::uint16_t i = 0; i < CAUSEWAY_TRAINS_OF_ONE_MAX; ++i) {
        expect_verdict(From::sandbox_a, first(i), VERDICT_TO_WORLD);
    }
    expect_verdict(From::sandbox_a, first(CAUSEWAY_TRAINS_OF_ONE_MAX), VERDICT_DROP_FRAGMENT);
    expect_verdict(From::sandbox_a, later(CAUSEWAY_TRAINS_OF_ONE_MAX), VERDICT_DROP_FRAGMENT);
    EXPECT_EQ(datapath_->usage_of(host_a).fragments, std::uint32_t{CAUSEWAY_TRAINS_OF_ONE_MAX});
    expect_verdict(From::sandbox_b, later(1, 1, from_b, ip_b), VERDICT_FRAGMENT_HELD);
    EXPECT_EQ(datapath_->usage_of(host_b).fragments, 1U);
}

TEST_P(Fragments, AreHeldOfOneMoreSandboxWhenADozenTakeAllTheyCan) {
    std::uint16_t identification = 0;
    for (int others = 0; others < 12; ++others) {
        datapath_->set_usage(host_a, {});  // as another sandbox has the slot
        for (int i = 0; i < CAUSEWAY_HELD_OF_SANDBOX_MAX; ++i) {
            datapath_->run(Program::from_sandbox, bytes_of(later(++identification)), {.ifindex = host_a});
        }
    }
    for (std::uint16_t i = 1; i <= 10; ++i) {
        expect_verdict(From::sandbox_b, later(i, 1, from_b, ip_b), VERDICT_FRAGMENT_HELD);
    }
    datapath_->backdate_trains(CAUSEWAY_TRAIN_SECONDS);
    wait_until([&] { return datapath_->trains() == 0; });
    EXPECT_EQ(datapath_->held_fragments(), 0U);
    datapath_->set_usage(host_a, {});
    for (std::uint16_t i = 0; i < 100; ++i) {  // all that there was is free again
        expect_verdict(From::sandbox_a, later(i), VERDICT_FRAGMENT_HELD);
    }
}

// The room is for all: no sandbox may take what another, or the world's answers, would need.
TEST_P(Fragments, AreHeldOfAnotherSandboxAndOfTheWorldWhenOneHoldsAllItCan) {
    for (std::uint16_t i = 0; i < CAUSEWAY_HELD_MAX + 100; ++i) {
        const Frame frame = later(i / CAUSEWAY_HELD_OF_ONE_MAX, i % CAUSEWAY_HELD_OF_ONE_MAX + 1);
        datapath_->run(Program::from_sandbox, bytes_of(frame), {.ifindex = host_a});
    }
    expect_verdict(From::sandbox_b, later(1, 1, from_b, ip_b), VERDICT_FRAGMENT_HELD);
    const IPv4 to_sandbox{.source = ip_server, .destination = ip_a, .protocol = udp_protocol, .fragment_offset = 1};
    expect_verdict(From::uplink, from_world / to_sandbox / Payload{"12345678"}, VERDICT_FRAGMENT_HELD);
}

// The same bytes twice must not be kept twice for good.
TEST_P(Fragments, AreKeptOnceWhenOneComesAgain) {
    expect_verdict(From::sandbox_a, later(1), VERDICT_FRAGMENT_HELD);
    expect_verdict(From::sandbox_a, later(1), VERDICT_FRAGMENT_HELD);
    EXPECT_EQ(datapath_->held_fragments(), 1U);
}

TEST_P(Fragments, AreForgottenWhenTheFirstDoesNotComeInTime) {
    expect_verdict(From::sandbox_a, later(1, 1), VERDICT_FRAGMENT_HELD);
    expect_verdict(From::sandbox_a, later(1, 2), VERDICT_FRAGMENT_HELD);
    expect_verdict(From::sandbox_a, later(2, 1), VERDICT_FRAGMENT_HELD);
    const IPv4 from_server{.source = ip_server, .destination = ip_a, .protocol = udp_protocol, .fragment_offset = 1};
    expect_verdict(From::uplink, from_world / from_server / Payload{"12345678"}, VERDICT_FRAGMENT_HELD);
    datapath_->backdate_trains(CAUSEWAY_TRAIN_SECONDS - 1);
    EXPECT_EQ(datapath_->trains(), 3U);
    wait_until([&] { return datapath_->trains() == 0; });
    expect_nothing_left();
    expect_verdict(From::sandbox_a, later(1), VERDICT_FRAGMENT_HELD);  // as if there had been none
}

TEST_P(Fragments, AreForgottenWhenTheLastDoesNotComeInTime) {
    const auto frames = fragments_of(from_a / asked / UDP{inside, 53} / text, 32);
    expect_verdict(From::sandbox_a, frames[0], VERDICT_TO_WORLD);
    expect_verdict(From::sandbox_a, frames[1], VERDICT_TO_WORLD);
    EXPECT_EQ(datapath_->trains(), 1U);
    datapath_->backdate_trains(CAUSEWAY_TRAIN_SECONDS - 1);
    wait_until([&] { return datapath_->trains() == 0; });
    expect_nothing_left();
    expect_verdict(From::sandbox_a, frames[2], VERDICT_FRAGMENT_HELD);
}

RUN_IN_EACH_FAMILY(Fragments);
RUN_IN_IPV4(FragmentsOfAnError);

}  // namespace
}  // namespace causeway::test::fragment_test
