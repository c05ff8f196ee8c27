// SPDX-License-Identifier: Apache-2.0
// ICMP errors through translation, both ways: whoever gets one finds in it the packet that it sent (RFC 5508, section
// 4).
#include <gmock/gmock.h>

#include "tests/support/packet_bytes.hpp"
#include "tests/system/crossing.hpp"
#include "tests/system/layout.hpp"

namespace causeway::test::nat_icmp_test {
namespace {

using testing::IsEmpty;

struct Error {
    const char* name;
    ICMP header;
};

constexpr int small_mtu = 1300;

// rest: the word before the quoted packet.
constexpr ICMP error_of(int type, int code, int rest = 0) {
    return {.type = static_cast<std::uint8_t>(type),
            .code = static_cast<std::uint8_t>(code),
            .identifier = static_cast<std::uint16_t>(rest >> 16),
            .sequence = static_cast<std::uint16_t>(rest),
            .checksum = {}};
}

std::vector<Error> all_errors() {
    std::vector<Error> errors;
    for (int code = 0; code <= 15; ++code) {
        errors.push_back({"unreachable", error_of(3, code, code == 4 ? small_mtu : 0)});
    }
    errors.push_back({"time exceeded", error_of(11, 0)});
    errors.push_back({"time exceeded", error_of(11, 1)});
    errors.push_back({"parameter problem", error_of(12, 0, 0x1400 << 16)});  // the byte that it points at
    return errors;
}

// A conversation whose packets errors are about: as the sandbox has it, and as the world has it.
class Conversation {
public:
    enum class Kind { udp, udp_without_checksum, tcp, echo };

    Conversation(Kind kind, Crossing& road, Bytes options = {})
        : kind_(kind), road_(road), options_(std::move(options)) {}

    // The sandbox's packet: as sent, or as the world sees it.
    Frame question(bool translated) const {
        const IPv4 ip{.source = translated ? node_ip : road_.address(),
                      .destination = peer_ip,
                      .ttl = static_cast<std::uint8_t>(translated ? 63 : 64),
                      .options = options_};
        return filled((translated ? road_.from_world() : road_.from_sandbox()) / ip, sandboxes_port, peers_port, true);
    }
    // The peer's answer: as sent, or as the sandbox sees it.
    Frame answer(bool translated) const {
        const IPv4 ip{.source = peer_ip,
                      .destination = translated ? road_.address() : node_ip,
                      .ttl = static_cast<std::uint8_t>(translated ? 63 : 64),
                      .options = options_};
        return filled(road_.from_world() / ip, peers_port, sandboxes_port, false);
    }
    // Throws where even that does not cross.
    void begin() {
        const auto out = road_.out(question(false)), in = road_.in(answer(false));
        if (!is_only(out.world, question(true)) || !is_only(in.sandboxes[0], answer(true))) {
            throw std::runtime_error("the conversation does not begin: " + describe(out) + describe(in));
        }
    }

private:
    static constexpr std::uint16_t sandboxes_port = 40000, peers_port = 5300;

    Frame filled(Frame frame, std::uint16_t from, std::uint16_t to, bool asks) const {
        const Payload text{"some thirty bytes of payload !"};
        switch (kind_) {
            case Kind::udp:
                return frame / UDP{.source_port = from, .destination_port = to} / text;
            case Kind::udp_without_checksum:
                return frame / UDP{.source_port = from, .destination_port = to, .checksum = 0} / text;
            case Kind::tcp:
                return frame /
                       TCP{.source_port = from,
                           .destination_port = to,
                           .flags = static_cast<std::uint8_t>(asks ? ack : ack | psh),
                           .acknowledged = 1} /
                       text;
            default:
                return frame / ICMP{.type = asks ? icmp_echo_request : icmp_echo_reply, .identifier = sandboxes_port} /
                       text;
        }
    }

    Kind kind_;
    Crossing& road_;
    Bytes options_;
};

using Kind = Conversation::Kind;
constexpr Kind all_kinds[] = {Kind::udp, Kind::udp_without_checksum, Kind::tcp, Kind::echo};
constexpr auto router_ip = "198.51.100.77"_ip;

class IcmpErrors : public Crossroads {
protected:
    void SetUp() override { build(); }

    // From a router of the world about what the sandbox sent: the sandbox gets it about what it sent.
    void comes_in(const Conversation& talk, const ICMP& error, std::size_t transport_bytes = SIZE_MAX) {
        const auto crossed = road().in(road().from_world() / IPv4{.source = router_ip, .destination = node_ip} / error /
                                       quoted(road().bytes(talk.question(true)), transport_bytes));
        EXPECT_TRUE(
            is_only(crossed.sandboxes[0], road().from_world() /
                                              IPv4{.source = router_ip, .destination = road().address(), .ttl = 63} /
                                              error / quoted(as_sent_hops_later(talk), transport_bytes)))
            << counted();
        EXPECT_THAT(crossed.world, IsEmpty());
        EXPECT_THAT(crossed.sandboxes[1], IsEmpty());
    }
    // From the sandbox about what the world sent.
    void goes_out(const Conversation& talk, const ICMP& error, std::size_t transport_bytes = SIZE_MAX) {
        const auto crossed =
            road().out(road().from_sandbox() / IPv4{.source = road().address(), .destination = peer_ip} / error /
                       quoted(road().bytes(talk.answer(true)), transport_bytes));
        EXPECT_TRUE(is_only(crossed.world, road().from_world() /
                                               IPv4{.source = node_ip, .destination = peer_ip, .ttl = 63} / error /
                                               quoted(as_answered_hops_later(talk), transport_bytes)))
            << counted();
        EXPECT_THAT(crossed.sandboxes[0], IsEmpty());
    }

private:
    // The quoted packet is as it was when the error arose, but for what translation changes: its TTL stays.
    Bytes with_ttl_63(const Frame& frame) {
        auto bytes = road().bytes(frame);
        const auto layout = layout_of_frame(bytes).value();
        bytes.at(layout.ttl()) = 63;
        if (layout.family == Family::ipv4) {
            const auto header = bytes.begin() + static_cast<std::ptrdiff_t>(layout.begin);
            set16(bytes, layout.begin + 10, 0);
            set16(bytes, layout.begin + 10,
                  checksum_of({header, bytes.begin() + static_cast<std::ptrdiff_t>(layout.payload)}));
        }
        return bytes;
    }
    Bytes as_sent_hops_later(const Conversation& talk) { return with_ttl_63(talk.question(false)); }
    Bytes as_answered_hops_later(const Conversation& talk) { return with_ttl_63(talk.answer(false)); }
};

TEST_P(IcmpErrors, OfEveryTypeAndCodeComeIn) {
    for (const auto kind : all_kinds) {
        Conversation talk(kind, road());
        talk.begin();
        for (const auto& error : all_errors()) {
            SCOPED_TRACE(std::string(error.name) + " " + std::to_string(error.header.code) + " about kind " +
                         std::to_string(static_cast<int>(kind)));
            comes_in(talk, error.header);
        }
    }
}

TEST_P(IcmpErrors, OfEveryTypeAndCodeGoOut) {
    for (const auto kind : {Kind::udp, Kind::udp_without_checksum, Kind::tcp, Kind::echo}) {
        Conversation talk(kind, road());
        talk.begin();
        for (const auto& error : all_errors()) {
            SCOPED_TRACE(std::string(error.name) + " " + std::to_string(error.header.code) + " about kind " +
                         std::to_string(static_cast<int>(kind)));
            goes_out(talk, error.header);
        }
    }
}

TEST_P(IcmpErrors, NeedNoMoreThanEightBytesOfTheQuotedTransport) {
    for (const auto kind : all_kinds) {
        Conversation talk(kind, road());
        talk.begin();
        SCOPED_TRACE(static_cast<int>(kind));
        comes_in(talk, error_of(3, 3), 8);
        comes_in(talk, error_of(11, 0), 9);
        goes_out(talk, error_of(3, 3), 8);
    }
}

TEST_P(IcmpErrors, MayQuotePacketsWithIpOptions) {
    const Bytes four_bytes{1, 1, 1, 0}, forty_bytes(40, 1);
    // the kernel takes no more than 7 bytes of padding in IPv6
    for (const auto& options : {four_bytes, family() == Family::ipv6 ? four_bytes : forty_bytes}) {
        for (const auto kind : all_kinds) {
            Conversation talk(kind, road(), options);
            talk.begin();
            SCOPED_TRACE(static_cast<int>(kind));
            for (const std::size_t bytes : {std::size_t{8}, SIZE_MAX}) {
                comes_in(talk, error_of(3, 1), bytes);
                goes_out(talk, error_of(3, 3), bytes);
            }
        }
    }
}

TEST_P(IcmpErrors, AboutAFlowThatDoesNotExistReachNoSandbox) {
    Conversation talk(Kind::udp, road());
    const auto about = road().bytes(talk.question(true));  // nobody sent it
    const auto in = road().in(road().from_world() / IPv4{.source = router_ip, .destination = node_ip} / error_of(3, 1) /
                              quoted(about));
    EXPECT_EQ(in.size(), 0U) << describe(in);
    const auto out = road().out(road().from_sandbox() / IPv4{.source = road().address(), .destination = peer_ip} /
                                error_of(3, 3) / quoted(road().bytes(talk.answer(true))));
    EXPECT_EQ(out.size(), 0U) << describe(out);
}

TEST_P(IcmpErrors, ThatQuoteLessThanPortsDoNotPass) {
    Conversation talk(Kind::udp, road());
    talk.begin();
    for (const std::size_t bytes : {0U, 3U}) {
        const auto in = road().in(road().from_world() / IPv4{.source = router_ip, .destination = node_ip} /
                                  error_of(3, 1) / quoted(road().bytes(talk.question(true)), bytes));
        EXPECT_EQ(in.size(), 0U) << bytes << " bytes: " << describe(in);
    }
}

TEST_P(IcmpErrors, FindTheSandboxWhosePortWasChanged) {
    std::vector<std::uint16_t> ports;
    for (const std::size_t number : {0U, 1U}) {  // the same port towards the same peer
        const auto crossed =
            road().out(road().from_sandbox(number) / IPv4{.source = road().address(number), .destination = peer_ip} /
                           UDP{.source_port = 40000, .destination_port = 5300} / Payload{"hello"},
                       number);
        ASSERT_EQ(crossed.world.size(), 1U) << describe(crossed);
        ports.push_back(source_port_of(crossed.world[0]).value());
    }
    EXPECT_NE(ports[0], ports[1]);
    for (const std::size_t number : {0U, 1U}) {
        const auto about = [&](Ip source, std::uint16_t port) {
            return quoted(road().bytes(road().from_world() / IPv4{.source = source, .destination = peer_ip, .ttl = 63} /
                                       UDP{.source_port = port, .destination_port = 5300} / Payload{"hello"}));
        };
        const auto error = error_of(3, 1);
        const auto crossed = road().in(road().from_world() / IPv4{.source = router_ip, .destination = node_ip} / error /
                                       about(node_ip, ports[number]));
        EXPECT_TRUE(is_only(crossed.sandboxes[number],
                            road().from_world() /
                                IPv4{.source = router_ip, .destination = road().address(number), .ttl = 63} / error /
                                about(road().address(number), 40000)));
        EXPECT_THAT(crossed.sandboxes[1 - number], IsEmpty());
    }
}

TEST_P(IcmpErrors, EndNoConnection) {
    Conversation talk(Kind::tcp, road());
    talk.begin();
    for (const auto& error : all_errors()) {
        comes_in(talk, error.header);
        goes_out(talk, error.header);
    }
    EXPECT_TRUE(holds_flow("tcp", 5300));
    talk.begin();
}

TEST_P(IcmpErrors, WhoseTtlIsUsedUpDoNotComeIn) {
    Conversation talk(Kind::udp, road());
    talk.begin();
    for (const std::uint8_t ttl : {std::uint8_t{0}, std::uint8_t{1}}) {
        const auto crossed =
            road().in(road().from_world() / IPv4{.source = router_ip, .destination = node_ip, .ttl = ttl} /
                      error_of(3, 1) / quoted(road().bytes(talk.question(true))));
        EXPECT_EQ(crossed.size(), 0U) << "TTL " << int{ttl} << describe(crossed);  // nor is an error made of it
    }
}

// What a link adds to a short frame is no part of the quoted packet, whose checksum would be there.
TEST_P(IcmpErrors, AreNotSpoiltByLinkPadding) {
    Conversation talk(Kind::tcp, road());
    talk.begin();
    for (const std::size_t bytes : {8U, 12U, 17U}) {
        auto sent = road().bytes(road().from_world() / IPv4{.source = router_ip, .destination = node_ip} /
                                 error_of(3, 1) / quoted(road().bytes(talk.question(true)), bytes));
        sent.resize(sent.size() + 46);
        const auto crossed = road().in(sent);
        ASSERT_EQ(crossed.sandboxes[0].size(), 1U) << counted();
        EXPECT_EQ(wrong_checksums(crossed.sandboxes[0][0]), "") << describe(crossed);
    }
}

FOR_BOTH_TRANSLATORS_AND_FAMILIES(IcmpErrors);

// The kernel takes any sender's word for any flow; one sandbox must not spoil another's.
class IcmpErrorsFromAStranger : public IcmpErrors {};

TEST_P(IcmpErrorsFromAStranger, DoNotPass) {
    Conversation talk(Kind::udp, road());
    talk.begin();
    // red complains of an answer that blue got
    const auto out = road().out(road().from_sandbox(1) / IPv4{.source = road().address(1), .destination = peer_ip} /
                                    error_of(3, 3) / quoted(road().bytes(talk.answer(true))),
                                1);
    EXPECT_EQ(out.size(), 0U) << describe(out);
}

FOR_CAUSEWAY_AND_BOTH_FAMILIES(IcmpErrorsFromAStranger);

// RFC 5508, REQ-6: "MUST NOT refresh or delete".
class IcmpErrorsAboutAnIdleFlow : public Crossroads {};

TEST_P(IcmpErrorsAboutAnIdleFlow, DoNotKeepIt) {
    build({.timeouts = {{"udp", 4}}});
    Conversation talk(Kind::udp, road());
    talk.begin();
    const auto error = road().bytes(road().from_world() / IPv4{.source = router_ip, .destination = node_ip} /
                                    error_of(3, 1) / quoted(road().bytes(talk.question(true))));
    std::size_t errors = 0;
    EXPECT_TRUE(eventually(
        [&] {
            errors += road().in(error).sandboxes[0].size();  // several in each second until it is gone
            return !holds_flow("udp", 5300);
        },
        std::chrono::seconds(45)));
    EXPECT_GT(errors, 0U);
}

FOR_BOTH_TRANSLATORS_AND_FAMILIES(IcmpErrorsAboutAnIdleFlow);

}  // namespace
}  // namespace causeway::test::nat_icmp_test
