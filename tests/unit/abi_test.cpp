// SPDX-License-Identifier: Apache-2.0
// What both sides of the kernel boundary read: names and sizes, and what a flow is doing.
#include <causeway/abi.h>
#include <causeway/flow_state.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <type_traits>

#include "tests/unit/expectation.hpp"

namespace causeway::test::abi_test {
namespace {

const std::vector<std::pair<std::string, std::string>> verdicts{
#define X(name, text) {#name, text},
    CAUSEWAY_VERDICTS(X)
#undef X
};

TEST(Verdict, HasANameAndATextOfItsOwn) {
    std::set<std::string> names, texts;
    for (const auto& [name, text] : verdicts) {
        EXPECT_FALSE(text.empty()) << name;
        EXPECT_TRUE(names.insert(name).second) << name;
        EXPECT_TRUE(texts.insert(text).second) << text;
    }
    EXPECT_EQ(names.size(), static_cast<std::size_t>(VERDICT_COUNT));
}

TEST(Verdict, IsNumberedInTheOrderOfTheTable) {
    EXPECT_EQ(VERDICT_CONTINUE, 0);  // a zeroed result means no decision yet
    EXPECT_EQ(verdicts[0].first, "CONTINUE");
    EXPECT_EQ(verdicts[VERDICT_FIRST_DROP].first, "DROP_TRUNCATED");
}

TEST(Verdict, IsNamedADropWhenItIsOne) {
    for (std::size_t i = 0; i < verdicts.size(); i++) {
        EXPECT_EQ(verdicts[i].first.starts_with("DROP_"), i >= VERDICT_FIRST_DROP) << verdicts[i].first;
    }
}

template <typename Key>
class MapKey : public testing::Test {};
using MapKeys = testing::Types<address, flow_key, fragment_key, held_key, attachment_key>;
TYPED_TEST_SUITE(MapKey, MapKeys);

TYPED_TEST(MapKey, HasNoPaddingThatAHashWouldRead) {
    EXPECT_TRUE(std::has_unique_object_representations_v<TypeParam>);
    EXPECT_TRUE(std::is_trivially_copyable_v<TypeParam>);
}

TEST(Abi, HasTheKernelsLengthOfADeviceName) {
    EXPECT_EQ(CAUSEWAY_DEVICE_LEN, 16);
    EXPECT_EQ(sizeof(attachment_key::interface), std::size_t{CAUSEWAY_DEVICE_LEN});
    EXPECT_EQ(sizeof(network::device), std::size_t{CAUSEWAY_DEVICE_LEN});
}

TEST(Abi, HasRoomForBothEntriesOfAFlowOfEachPort) {
    EXPECT_GE(CAUSEWAY_FLOWS_DEFAULT, 65535);
}

// What is held waits for one packet at the most: the fragments of 64 KiB in frames of 1500.
TEST(Abi, HoldsAsManyFragmentsAsAPacketHas) {
    constexpr int payload = (1500 - 20) / 8 * 8;
    EXPECT_GE(CAUSEWAY_HELD_OF_ONE_MAX + 1, (65535 - 20 + payload - 1) / payload);
    EXPECT_LT(CAUSEWAY_TRAINS_OF_ONE_MAX, CAUSEWAY_TRAINS_MAX / 2);
}

TEST(Abi, HasATimeoutForEachFlowState) {
    EXPECT_EQ(std::extent_v<decltype(network::timeout)>, static_cast<std::size_t>(FLOW_STATE_COUNT));
}

struct Seen {
    const char* name;
    std::uint8_t protocol;
    std::uint32_t sent, replied;
    flow_state state;
};

void PrintTo(const Seen& row, std::ostream* out) {
    *out << row.name;
}

class FlowState : public testing::TestWithParam<Seen> {};

TEST_P(FlowState, Is) {
    const auto& [name, protocol, sent, replied, state] = GetParam();
    EXPECT_EQ(flow_state_of(protocol, sent, replied), state);
}

constexpr std::uint32_t syn = SEEN_SYN, ack = SEEN_ACK, fin = SEEN_FIN, rst = SEEN_RST;

INSTANTIATE_TEST_SUITE_P(
    , FlowState,
    testing::Values(
        Seen{"IcmpWhenItIsIcmp", IPPROTO_ICMP, 0, 0, FLOW_ICMP},
        Seen{"IcmpWhateverFlagsWereSeen", IPPROTO_ICMP, ack | fin, ack | rst, FLOW_ICMP},
        Seen{"UdpWhenItIsUdp", IPPROTO_UDP, 0, 0, FLOW_UDP},
        Seen{"UdpWhateverFlagsWereSeen", IPPROTO_UDP, ack, ack, FLOW_UDP},
        Seen{"UdpWhenTheProtocolIsUnknown", IPPROTO_SCTP, 0, 0, FLOW_UDP},
        Seen{"OpeningWhenASynWasSent", IPPROTO_TCP, syn, 0, FLOW_TCP_OPENING},
        Seen{"OpeningWhenASynWasAnswered", IPPROTO_TCP, syn, syn | ack, FLOW_TCP_OPENING},
        Seen{"OpeningWhenOnlyTheSenderAcknowledged", IPPROTO_TCP, syn | ack, syn, FLOW_TCP_OPENING},
        Seen{"OpeningWhenNothingWasSeen", IPPROTO_TCP, 0, 0, FLOW_TCP_OPENING},
        Seen{"EstablishedWhenBothAcknowledged", IPPROTO_TCP, syn | ack, syn | ack, FLOW_TCP_ESTABLISHED},
        Seen{"EstablishedWhenItIsPickedUpInTheMiddle", IPPROTO_TCP, ack, ack, FLOW_TCP_ESTABLISHED},
        Seen{"EstablishedWhenOnlyTheSenderSaysFin", IPPROTO_TCP, syn | ack | fin, syn | ack, FLOW_TCP_ESTABLISHED},
        Seen{"EstablishedWhenOnlyThePeerSaysFin", IPPROTO_TCP, syn | ack, syn | ack | fin, FLOW_TCP_ESTABLISHED},
        Seen{"ClosingWhenBothSayFin", IPPROTO_TCP, syn | ack | fin, syn | ack | fin, FLOW_TCP_CLOSING},
        Seen{"UdpWhenTheProtocolHasNoPorts", IPPROTO_GRE, 0, 0, FLOW_UDP},
        Seen{"ClosingWhenTheSenderResets", IPPROTO_TCP, syn | rst, 0, FLOW_TCP_CLOSING},
        Seen{"ClosingWhenThePeerRefuses", IPPROTO_TCP, syn, rst | ack, FLOW_TCP_CLOSING}),
    name_of_row);

}  // namespace
}  // namespace causeway::test::abi_test
