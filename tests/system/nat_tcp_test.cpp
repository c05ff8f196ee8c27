// SPDX-License-Identifier: Apache-2.0
// TCP connections through translation, from every way to begin to every way to end (RFC 5382, RFC 7857).
#include <gmock/gmock.h>
#include <sys/socket.h>

#include <cerrno>

#include "tests/system/crossing.hpp"
#include "tests/system/datagram.hpp"

namespace causeway::test::nat_tcp_test {
namespace {

using testing::IsEmpty;

constexpr std::uint16_t sandboxes_port = 40000, peers_port = 8080;
constexpr std::uint32_t sandboxes_sequence = 1000, peers_sequence = 5000;
constexpr auto syn_ack = static_cast<std::uint8_t>(syn | ack), fin_ack = static_cast<std::uint8_t>(fin | ack),
               psh_ack = static_cast<std::uint8_t>(psh | ack), rst_ack = static_cast<std::uint8_t>(rst | ack);
constexpr auto ageing_time = std::chrono::seconds(45);  // for a timeout of a second or so, and causeway's 32 on top

class TcpSegments : public Crossroads {
protected:
    Frame frame_out(std::uint8_t flags, std::uint32_t sequence, std::uint32_t acknowledged, const std::string& text,
                    bool translated) {
        const auto number = std::size_t{0};
        return (translated ? road().from_world() : road().from_sandbox(number)) /
               IPv4{.source = translated ? node_ip : road().address(number),
                    .destination = peer_ip,
                    .ttl = static_cast<std::uint8_t>(translated ? 63 : 64)} /
               TCP{.source_port = sandboxes_port,
                   .destination_port = peers_port,
                   .flags = flags,
                   .sequence = sequence,
                   .acknowledged = acknowledged} /
               Payload{text};
    }
    Frame frame_in(std::uint8_t flags, std::uint32_t sequence, std::uint32_t acknowledged, const std::string& text,
                   bool translated) {
        return road().from_world() /
               IPv4{.source = peer_ip,
                    .destination = translated ? road().address() : node_ip,
                    .ttl = static_cast<std::uint8_t>(translated ? 63 : 64)} /
               TCP{.source_port = peers_port,
                   .destination_port = sandboxes_port,
                   .flags = flags,
                   .sequence = sequence,
                   .acknowledged = acknowledged} /
               Payload{text};
    }
    // Of the connection's sequence numbers plus these.
    testing::AssertionResult goes_out(std::uint8_t flags, std::uint32_t sent = 0, std::uint32_t got = 0,
                                      const std::string& text = {}) {
        const auto acknowledged = (flags & ack) != 0 ? peers_sequence + got : 0;
        const auto crossed = road().out(frame_out(flags, sandboxes_sequence + sent, acknowledged, text, false));
        if (!crossed.sandboxes[0].empty()) {
            return testing::AssertionFailure() << "answered:" << describe(crossed);
        }
        return is_only(crossed.world, frame_out(flags, sandboxes_sequence + sent, acknowledged, text, true));
    }
    testing::AssertionResult comes_in(std::uint8_t flags, std::uint32_t sent = 0, std::uint32_t got = 0,
                                      const std::string& text = {}) {
        const auto acknowledged = (flags & ack) != 0 ? sandboxes_sequence + got : 0;
        const auto crossed = road().in(frame_in(flags, peers_sequence + sent, acknowledged, text, false));
        if (!crossed.world.empty()) {
            return testing::AssertionFailure() << "answered:" << describe(crossed);
        }
        return is_only(crossed.sandboxes[0], frame_in(flags, peers_sequence + sent, acknowledged, text, true));
    }
    void shake_hands() {
        EXPECT_TRUE(goes_out(syn));
        EXPECT_TRUE(comes_in(syn_ack, 0, 1));
        EXPECT_TRUE(goes_out(ack, 1, 1));
        EXPECT_EQ(state_of_flow("tcp", peers_port), "established");
    }
    void say_goodbye() {
        EXPECT_TRUE(goes_out(fin_ack, 1, 1));
        EXPECT_EQ(state_of_flow("tcp", peers_port), "established") << "half closed";
        EXPECT_TRUE(comes_in(ack, 1, 2));
        EXPECT_TRUE(comes_in(fin_ack, 1, 2));
        EXPECT_TRUE(goes_out(ack, 2, 2));
        EXPECT_EQ(state_of_flow("tcp", peers_port), "closing");
    }
    bool ends() {
        return eventually([&] { return !holds_flow("tcp", peers_port); }, ageing_time);
    }
};

TEST_P(TcpSegments, OfAConnectionAndItsEndCross) {
    build();
    shake_hands();
    EXPECT_TRUE(goes_out(psh_ack, 1, 1, ""));
    say_goodbye();
}

TEST_P(TcpSegments, ThatAreNotAnsweredEstablishNothing) {
    build();
    EXPECT_TRUE(goes_out(syn));
    EXPECT_EQ(state_of_flow("tcp", peers_port), "opening");
    EXPECT_TRUE(comes_in(syn_ack, 0, 1));
    EXPECT_EQ(state_of_flow("tcp", peers_port), "opening") << "before its third segment";
}

TEST_P(TcpSegments, MayOpenFromBothSidesAtOnce) {  // RFC 5382, REQ-2
    build();
    EXPECT_TRUE(goes_out(syn));
    EXPECT_TRUE(comes_in(syn));
    EXPECT_TRUE(goes_out(syn_ack, 0, 1));
    EXPECT_TRUE(comes_in(syn_ack, 0, 1));
    EXPECT_TRUE(goes_out(psh_ack, 1, 1, "hello"));
    EXPECT_TRUE(comes_in(psh_ack, 1, 6, "hello"));
    EXPECT_EQ(state_of_flow("tcp", peers_port), "established");
}

TEST_P(TcpSegments, MayCloseFromBothSidesAtOnce) {
    build();
    shake_hands();
    EXPECT_TRUE(goes_out(fin_ack, 1, 1));
    EXPECT_TRUE(comes_in(fin_ack, 1, 1));
    EXPECT_TRUE(goes_out(ack, 2, 2));
    EXPECT_TRUE(comes_in(ack, 2, 2));
    EXPECT_EQ(state_of_flow("tcp", peers_port), "closing");
}

TEST_P(TcpSegments, StillComeAfterTheSandboxSaidItsLast) {
    build();
    shake_hands();
    EXPECT_TRUE(goes_out(fin_ack, 1, 1));
    for (std::uint32_t sent = 0; sent < 50; sent += 10) {
        EXPECT_TRUE(comes_in(psh_ack, 1 + sent, 2, "more to say"));
        EXPECT_TRUE(goes_out(ack, 2, 1 + sent + 10));
    }
    EXPECT_EQ(state_of_flow("tcp", peers_port), "established");
}

TEST_P(TcpSegments, StillGoAfterThePeerSaidItsLast) {
    build();
    shake_hands();
    EXPECT_TRUE(comes_in(fin_ack, 1, 1));
    for (std::uint32_t sent = 0; sent < 50; sent += 10) {
        EXPECT_TRUE(goes_out(psh_ack, 1 + sent, 2, "more to say"));
        EXPECT_TRUE(comes_in(ack, 2, 1 + sent + 10));
    }
    EXPECT_EQ(state_of_flow("tcp", peers_port), "established");
}

class TcpSegmentsAndTime : public TcpSegments {};

TEST_P(TcpSegmentsAndTime, ThatResetEndAConnection) {
    build({.timeouts = {{"tcpClosing", 1}}});
    shake_hands();
    EXPECT_TRUE(comes_in(rst_ack, 1, 1));
    EXPECT_TRUE(ends());
    shake_hands();
    EXPECT_TRUE(goes_out(rst_ack, 1, 1));
    EXPECT_TRUE(ends());
}

TEST_P(TcpSegmentsAndTime, ThatRefuseAConnectionComeIn) {
    build({.timeouts = {{"tcpClosing", 1}}});
    EXPECT_TRUE(goes_out(syn));
    EXPECT_TRUE(comes_in(rst_ack, 0, 1));
    EXPECT_TRUE(ends());
}

TEST_P(TcpSegments, BeginAnewFromAPortThatTheLastConnectionHad) {  // TIME-WAIT assassination aside: RFC 9293, 3.6.1
    build();
    shake_hands();
    say_goodbye();
    shake_hands();
    EXPECT_TRUE(goes_out(psh_ack, 1, 1, "hello"));
    EXPECT_TRUE(comes_in(psh_ack, 1, 6, "hello"));
    EXPECT_TRUE(comes_in(rst_ack, 1, 1));
    shake_hands();
}

TEST_P(TcpSegmentsAndTime, OfAFlowThatWasForgottenCrossAgainWhenTheSandboxSpeaks) {
    build({.timeouts = {{"tcpEstablished", 1}}});
    shake_hands();
    ASSERT_TRUE(ends());
    const auto unasked = road().in(frame_in(psh_ack, peers_sequence + 1, sandboxes_sequence + 1, "hm", false));
    EXPECT_THAT(unasked.sandboxes[0], IsEmpty()) << "the world may not wake it up";
    EXPECT_TRUE(goes_out(psh_ack, 1, 1, "hello"));
    EXPECT_TRUE(comes_in(psh_ack, 1, 6, "hello"));
}

TEST_P(TcpSegments, ThatBeginNothingDoNotPassWithoutAFlow) {
    build();
    for (const auto flags : {syn_ack, fin_ack, rst, rst_ack}) {
        const auto out = road().out(frame_out(flags, sandboxes_sequence, peers_sequence, "", false));
        EXPECT_THAT(out.world, IsEmpty()) << "flags " << int{flags} << describe(out);
        EXPECT_FALSE(holds_flow("tcp", peers_port)) << "flags " << int{flags};
    }
    for (const auto flags : {syn, syn_ack, fin_ack, psh_ack, rst}) {
        const auto in = road().in(frame_in(flags, peers_sequence, sandboxes_sequence, "", false));
        EXPECT_THAT(in.sandboxes[0], IsEmpty()) << "flags " << int{flags};
    }
}

TEST_P(TcpSegments, FromAnotherPeerDoNotComeIn) {  // RFC 5382, REQ-3: address and port dependent filtering
    build();
    shake_hands();
    for (const auto& [source, port] : {std::pair{other_peer_ip, peers_port}, {peer_ip, std::uint16_t{8081}}}) {
        for (const auto flags : {syn, psh_ack, rst}) {
            const auto in = road().in(road().from_world() / IPv4{.source = source, .destination = node_ip} /
                                      TCP{.source_port = port, .destination_port = sandboxes_port, .flags = flags});
            EXPECT_THAT(in.sandboxes[0], IsEmpty());
        }
    }
}

// The node's stack knows nothing of a sandbox's connection, and would end it with a RST.
TEST_P(TcpSegments, ThatAreMalformedAreNotAnsweredByTheNode) {
    build();
    shake_hands();
    const TCP header{.source_port = peers_port,
                     .destination_port = sandboxes_port,
                     .flags = psh_ack,
                     .sequence = peers_sequence + 1,
                     .acknowledged = sandboxes_sequence + 1,
                     .options = {1, 1, 1, 1, 1, 1, 1, 0}};
    const auto from = road().from_world() / IPv4{.source = peer_ip, .destination = node_ip, .dont_fragment = false};
    const auto whole = road().bytes(from / header / Payload{std::string(100, 'x')});
    for (const auto& piece : pieces_of(whole, 24)) {  // the first ends within the header
        road().send_from_world(piece);
    }
    EXPECT_THAT(road().settle().world, IsEmpty()) << "fragments";
    const auto flagged = road().in(road().from_world() /
                                   IPv4{.source = peer_ip, .destination = node_ip, .reserved_flag = true} / header);
    EXPECT_THAT(flagged.world, IsEmpty()) << "a reserved flag";
    EXPECT_TRUE(comes_in(psh_ack, 1, 1, "still there?"));
}

FOR_BOTH_TRANSLATORS_AND_FAMILIES(TcpSegments);
FOR_BOTH_TRANSLATORS_AND_FAMILIES(TcpSegmentsAndTime);

class Connections : public Translating {
protected:
    // Reachable only for those who are answered by this route of the world's.
    void answer_with(const std::string& kind, const std::string& address) {
        forward(world_.world());
        ip_here({"route", "add", kind, address}, world_.world());
    }
};

class IdleConnections : public Connections {};

TEST_P(IdleConnections, ThatAreHalfClosedMayIdle) {
    const Terms terms{.timeouts = {{"tcpOpening", 1}, {"tcpClosing", 1}, {"udp", 1}}};
    const auto blue = join("blue", terms);
    auto half_closed = open_line({blue.netns}, server());
    ASSERT_TRUE(alive(half_closed));
    ASSERT_EQ(shutdown(half_closed.client.fd(), SHUT_WR), 0);
    ASSERT_EQ(half_closed.server.receive().value().text, "");
    for (std::uint16_t port = 5300; port < 5303; ++port) {  // it outlives what was begun after it, three times
        ASSERT_TRUE(meet(Protocol::tcp, {blue.netns}, server(port)));
        ASSERT_TRUE(eventually([&] { return !holds_flow("tcp", port); }, ageing_time));
    }
    EXPECT_EQ(state_of_flow("tcp", 8080), "established");
    ASSERT_TRUE(half_closed.server.send("the answer took its time"));
    const auto answer = half_closed.client.receive();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->text, "the answer took its time");
}

TEST_P(Connections, ThatAreRefusedFailAtOnce) {
    const auto blue = join("blue");
    EXPECT_EQ(Socket::tcp(blue.netns, any()).connect({here(world_address), 8080}), ECONNREFUSED);
    auto client = Socket::udp(blue.netns, any());
    ASSERT_EQ(client.connect({here(world_address), 5300}), 0);
    ASSERT_TRUE(client.send("anybody?"));
    EXPECT_FALSE(client.receive());
    EXPECT_EQ(errno, ECONNREFUSED) << "of the port unreachable";
}

TEST_P(Connections, ToPlacesThatCannotBeReachedFailAtOnce) {
    const auto blue = join("blue");
    const int unreachable = family() == Family::ipv6 ? ENETUNREACH : EHOSTUNREACH;  // by the kernel's code
    answer_with("unreachable", "198.51.100.9");
    answer_with("prohibit", "198.51.100.10");
    EXPECT_EQ(Socket::tcp(blue.netns, any()).connect({here("198.51.100.9"), 8080}), unreachable) << counted();
    EXPECT_EQ(Socket::tcp(blue.netns, any()).connect({here("198.51.100.10"), 8080}), prohibited()) << counted();
}

FOR_BOTH_TRANSLATORS_AND_FAMILIES(Connections);
FOR_BOTH_TRANSLATORS_AND_FAMILIES(IdleConnections);

}  // namespace
}  // namespace causeway::test::nat_tcp_test
