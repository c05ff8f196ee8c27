// SPDX-License-Identifier: Apache-2.0
// Fragments through translation: only the first carries ports, and they may come in any order (RFC 4787, REQ-14).
#include <gmock/gmock.h>
#include <netinet/in.h>

#include <algorithm>

#include "tests/support/packet_bytes.hpp"
#include "tests/system/crossing.hpp"
#include "tests/system/datagram.hpp"
#include "tests/system/layout.hpp"

namespace causeway::test::nat_fragment_test {
namespace {

using testing::IsEmpty;

constexpr std::uint16_t sandboxes_port = 40000, peers_port = 5300;

std::pair<std::uint16_t, std::uint16_t> source_and_destination_port(const Bytes& datagram) {
    const auto ports = layout_of_frame(datagram).value().transport;
    return {static_cast<std::uint16_t>(get16(datagram, ports)), static_cast<std::uint16_t>(get16(datagram, ports + 2))};
}

std::string text_of(std::size_t size) {
    std::string text(size, ' ');
    for (std::size_t i = 0; i < size; ++i) {
        text[i] = static_cast<char>('a' + i / 8 % 26);
    }
    return text;
}

using Order = std::vector<std::size_t>;
const std::vector<Order> orders{{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 0, 3, 2}, {3, 0, 2, 1}, {2, 3, 1, 0}};

class Fragments : public Crossroads {
protected:
    void SetUp() override { build(); }

    // Of four pieces, as sent by a sandbox, and as the world sees it.
    Frame question(std::uint16_t id, bool translated = false, std::size_t number = 0,
                   std::uint16_t seen_port = sandboxes_port, std::size_t size = 3000) {
        const IPv4 header{.source = translated ? node_ip : road().address(number),
                          .destination = peer_ip,
                          .ttl = static_cast<std::uint8_t>(translated ? 63 : 64),
                          .identification = id,
                          .dont_fragment = false};
        return (translated ? road().from_world() : road().from_sandbox(number)) / header /
               UDP{.source_port = translated ? seen_port : sandboxes_port, .destination_port = peers_port} /
               Payload{text_of(size)};
    }
    // As sent by the peer, and as the sandbox sees it.
    Frame answer(std::uint16_t id, bool translated = false, std::uint16_t from = peers_port) {
        const IPv4 header{.source = peer_ip,
                          .destination = translated ? road().address() : node_ip,
                          .ttl = static_cast<std::uint8_t>(translated ? 63 : 64),
                          .identification = id,
                          .dont_fragment = false};
        return road().from_world() / header / UDP{.source_port = from, .destination_port = sandboxes_port} /
               Payload{text_of(3000)};
    }
    void open_flow() {
        const auto crossed = road().out(question(1, false, 0, sandboxes_port, 10));
        ASSERT_TRUE(is_only(crossed.world, question(1, true, 0, sandboxes_port, 10)));
    }
    Crossed out_in(const std::vector<Bytes>& pieces, const Order& order, std::size_t number = 0) {
        for (const auto piece : order) {
            road().send_from_sandbox(pieces.at(piece), number);
        }
        return road().settle();
    }
    Crossed in_in(const std::vector<Bytes>& pieces, const Order& order) {
        for (const auto piece : order) {
            road().send_from_world(pieces.at(piece));
        }
        return road().settle();
    }
};

TEST_P(Fragments, GoOutInAnyOrder) {
    std::uint16_t id = 100;
    for (const auto& order : orders) {
        SCOPED_TRACE(testing::PrintToString(order));
        const auto crossed = out_in(pieces_of(road().bytes(question(++id))), order);
        EXPECT_TRUE(is_only(reassembled(crossed.world), question(id, true))) << describe(crossed) << counted();
    }
}

TEST_P(Fragments, ComeInInAnyOrder) {
    open_flow();
    std::uint16_t id = 200;
    for (const auto& order : orders) {
        SCOPED_TRACE(testing::PrintToString(order));
        const auto crossed = in_in(pieces_of(road().bytes(answer(++id))), order);
        EXPECT_TRUE(is_only(reassembled(crossed.sandboxes[0]), answer(id, true))) << describe(crossed) << counted();
        EXPECT_THAT(crossed.sandboxes[1], IsEmpty());
        EXPECT_THAT(crossed.world, IsEmpty());
    }
}

TEST_P(Fragments, OfSeveralDatagramsMayBeMixed) {
    open_flow();
    std::vector<std::vector<Bytes>> outward, inward;
    for (std::uint16_t id = 300; id < 308; ++id) {
        outward.push_back(pieces_of(road().bytes(question(id)), piece_size, id));
        inward.push_back(pieces_of(road().bytes(answer(id)), piece_size, id));
    }
    for (const std::size_t piece : {2U, 0U, 3U, 1U}) {
        for (std::size_t i = 0; i < outward.size(); ++i) {
            road().send_from_sandbox(outward[i].at(piece));
            road().send_from_world(inward[i].at(piece));
        }
    }
    const auto crossed = road().settle();
    const auto at_world = reassembled(crossed.world), at_sandbox = reassembled(crossed.sandboxes[0]);
    ASSERT_EQ(at_world.size(), outward.size()) << counted();
    ASSERT_EQ(at_sandbox.size(), inward.size()) << counted();
    for (std::size_t i = 0; i < at_world.size(); ++i) {
        EXPECT_TRUE(is_only({at_world[i]}, question(0, true)));
        EXPECT_TRUE(is_only({at_sandbox[i]}, answer(0, true)));
    }
}

TEST_P(Fragments, MayComeTwice) {
    const auto crossed = out_in(pieces_of(road().bytes(question(400))), {3, 3, 1, 0, 0, 1, 2});
    EXPECT_TRUE(is_only(reassembled(crossed.world), question(400, true))) << describe(crossed) << counted();
    open_flow();
    const auto back = in_in(pieces_of(road().bytes(answer(401))), {2, 0, 2, 0, 1, 3});
    EXPECT_TRUE(is_only(reassembled(back.sandboxes[0]), answer(401, true))) << describe(back) << counted();
}

// RFC 5722's reason holds for IPv4 too: an overlap is an attempt to say two things to two listeners.
TEST_P(Fragments, ThatOverlapMakeNoOtherDatagram) {
    const auto right = pieces_of(road().bytes(question(500)));
    auto forged = right;
    forged[1] = pieces_of(road().bytes(question(500)), piece_size - 8)[1];  // begins within the first
    std::fill(forged[1].begin() + static_cast<std::ptrdiff_t>(layout_of_frame(forged[1]).value().transport),
              forged[1].end(), std::uint8_t{'!'});
    const auto crossed = out_in({right[0], forged[1], right[1], right[2], right[3]}, {0, 1, 2, 3, 4});
    for (const auto& datagram : reassembled(crossed.world)) {
        EXPECT_TRUE(is_only({datagram}, question(500, true)));
    }
}

// RFC 1858, 3128: a "second" fragment that would lay other ports over those that were looked at.
TEST_P(Fragments, CannotReplaceTheFirstOnesPorts) {
    auto first = pieces_of(road().bytes(question(510)), 8, 510);
    auto forged = pieces_of(
        road().bytes(
            road().from_sandbox() /
            IPv4{.source = road().address(), .destination = peer_ip, .identification = 510, .dont_fragment = false} /
            UDP{.source_port = 53, .destination_port = 22} / Payload{text_of(3000)}),
        piece_size, 510);
    road().send_from_sandbox(first[0]);
    for (const auto& piece : forged) {
        road().send_from_sandbox(piece);
    }
    for (const auto& datagram : reassembled(road().settle().world)) {
        EXPECT_NE(source_and_destination_port(datagram).second, 22) << describe(datagram);
    }
}

TEST_P(Fragments, OfTwoSandboxesWithOneIdentificationAreNotMixedUp) {
    const auto blue = pieces_of(road().bytes(question(600)), piece_size, 600),
               red = pieces_of(road().bytes(question(600, false, 1)), piece_size, 600);
    for (const std::size_t piece : {0U, 2U, 1U, 3U}) {
        road().send_from_sandbox(blue.at(piece), 0);
        road().send_from_sandbox(red.at(piece), 1);
    }
    const auto crossed = road().settle();
    const auto whole = reassembled(crossed.world);
    ASSERT_EQ(whole.size(), 2U) << describe(crossed) << counted();
    const auto ports = std::minmax(source_port_of(whole[0]), source_port_of(whole[1]));
    EXPECT_NE(ports.first, ports.second);
    for (const auto& datagram : whole) {
        EXPECT_EQ(wrong_checksums(datagram), "") << describe(datagram);
        EXPECT_TRUE(is_only({datagram}, question(0, true, 0, source_port_of(datagram).value())));
    }
}

TEST_P(Fragments, NobodyAskedForReachNoSandbox) {
    open_flow();
    for (const auto& order : {Order{0, 1, 2, 3}, Order{3, 2, 1, 0}, Order{1, 2, 3}}) {
        auto pieces = pieces_of(road().bytes(answer(700, false, 5301)));  // of a port that was not asked
        const auto crossed = in_in(pieces, order);
        EXPECT_THAT(crossed.sandboxes[0], IsEmpty()) << describe(crossed);
        EXPECT_THAT(crossed.sandboxes[1], IsEmpty());
    }
}

TEST_P(Fragments, OfAnEchoCrossBothWays) {
    const auto echo = [&](bool asks, bool translated, std::uint16_t id) {
        const Ip sandbox = translated == asks ? node_ip : road().address();
        return (asks && !translated ? road().from_sandbox() : road().from_world()) /
               IPv4{.source = asks ? sandbox : peer_ip,
                    .destination = asks ? peer_ip : sandbox,
                    .ttl = static_cast<std::uint8_t>(translated ? 63 : 64),
                    .identification = id,
                    .dont_fragment = false} /
               ICMP{.type = asks ? icmp_echo_request : icmp_echo_reply, .identifier = sandboxes_port} /
               Payload{text_of(3000)};
    };
    std::uint16_t id = 800;
    for (const auto& order : orders) {
        SCOPED_TRACE(testing::PrintToString(order));
        const auto out = out_in(pieces_of(road().bytes(echo(true, false, ++id))), order);
        EXPECT_TRUE(is_only(reassembled(out.world), echo(true, true, id))) << counted();
        const auto in = in_in(pieces_of(road().bytes(echo(false, false, id))), order);
        EXPECT_TRUE(is_only(reassembled(in.sandboxes[0]), echo(false, true, id))) << counted();
    }
}

FOR_BOTH_TRANSLATORS_AND_FAMILIES(Fragments);

// With the stacks' own fragments, as users have them.
class LargeDatagrams : public Translating {};

TEST_P(LargeDatagrams, CrossBothWays) {
    const auto blue = join("blue");
    auto service = Socket::udp(world_.world(), {here(world_address), 5300});
    auto client = Socket::udp(blue.netns, {here("0.0.0.0"), 0});
    ASSERT_EQ(client.connect({here(world_address), 5300}), 0);
    client.set_mtu_discovery(IP_PMTUDISC_DONT);
    service.set_mtu_discovery(IP_PMTUDISC_DONT);
    for (const std::size_t size : {1473U, 4000U, 20000U, 65000U}) {
        ASSERT_TRUE(client.send(text_of(size)));
        const auto question = service.receive();
        ASSERT_TRUE(question) << size << " bytes out\n" << counted();
        EXPECT_EQ(question->text, text_of(size));
        ASSERT_TRUE(service.send_to(question->from, text_of(size)));
        const auto answer = client.receive();
        ASSERT_TRUE(answer) << size << " bytes in\n" << counted();
        EXPECT_EQ(answer->text, text_of(size));
    }
}

TEST_P(LargeDatagrams, OfTwoSandboxesCrossAtOnce) {
    const Party sandboxes[] = {join("blue"), join("red")};
    auto service = Socket::udp(world_.world(), {here(world_address), 5300});
    std::vector<Socket> clients;
    for (const auto& sandbox : sandboxes) {
        clients.push_back(Socket::udp(sandbox.netns, {here("0.0.0.0"), 4000}));
        ASSERT_EQ(clients.back().connect({here(world_address), 5300}), 0);
        clients.back().set_mtu_discovery(IP_PMTUDISC_DONT);
        ASSERT_TRUE(clients.back().send("one after the other: the kernel may give two at once the same port"));
        ASSERT_TRUE(service.receive()) << counted();
    }
    for (int round = 0; round < 200; ++round) {  // their stacks count identifications on their own
        for (std::size_t i = 0; i < clients.size(); ++i) {
            ASSERT_TRUE(clients[i].send(std::string(4000, i == 0 ? 'b' : 'r')));
        }
        for (std::size_t i = 0; i < clients.size(); ++i) {
            const auto question = service.receive();
            ASSERT_TRUE(question) << "round " << round << "\n" << counted();
            EXPECT_EQ(question->text, std::string(4000, question->text.at(0)));
            ASSERT_TRUE(service.send_to(question->from, question->text));
        }
        EXPECT_EQ(clients[0].receive().value_or(Datagram{}).text, std::string(4000, 'b'));
        EXPECT_EQ(clients[1].receive().value_or(Datagram{}).text, std::string(4000, 'r'));
    }
}

FOR_BOTH_TRANSLATORS_AND_FAMILIES(LargeDatagrams);

}  // namespace
}  // namespace causeway::test::nat_fragment_test
