// SPDX-License-Identifier: Apache-2.0
// What a path says of itself: too small (RFC 1191) and too long (RFC 1812, section 5.3.1), heard by a sandbox.
//
//     node up0 ── dn0 world mid0 ── mid1 hop far0 ── eth0 far
//     203.0.113.1     .2   198.51.100.129   .130   .133   .134
#include <gmock/gmock.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>

#include <cerrno>

#include "tests/support/packet_bytes.hpp"
#include "tests/system/crossing.hpp"
#include "tests/system/datagram.hpp"
#include "tests/system/layout.hpp"

namespace causeway::test::nat_path_test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::uint16_t sandboxes_port = 40000, peers_port = 5300;
const std::string hop_address = "198.51.100.130", far_address = "198.51.100.134";

class Path : public Translating {
protected:
    void SetUp() override {
        hop_ = world_.add_namespace("hop");
        far_ = world_.add_namespace("far");
        link("mid0", "198.51.100.129/30", world_.world(), "mid1", "198.51.100.130/30", "hop");
        link("far0", "198.51.100.133/30", hop_, "eth0", "198.51.100.134/30", "far");
        ip_here({"route", "add", "198.51.100.132/30", "via", "198.51.100.130"}, world_.world());
        ip_here({"route", "add", "default", "via", "198.51.100.129"}, hop_);
        ip_here({"route", "add", "default", "via", "198.51.100.133"}, far_);
        for (const auto& router : {world_.world(), hop_}) {
            forward(router);
            let_errors_flow(router);
        }
        let_errors_flow(far_);
    }

    void narrow(const std::string& mtu) {
        ip({"link", "set", "mid0", "mtu", mtu}, world_.world());
        ip({"link", "set", "mid1", "mtu", mtu}, hop_);
    }

    // Who answers a packet of each TTL from 1 on, until one is there, or nobody answers.
    std::vector<std::string> traced(const Party& from, Protocol protocol) {
        std::vector<std::string> hops;
        auto errors = icmp_socket(from);
        const auto end = here(far_address);
        const End any{here("0.0.0.0"), 0};
        for (int ttl = 1; hops.empty() || (hops.back() != end && hops.back() != "*"); ++ttl) {
            auto probe = protocol == Protocol::udp   ? Socket::udp(from.netns, any)
                         : protocol == Protocol::tcp ? Socket::tcp(from.netns, any)
                                                     : icmp_socket(from);
            probe.set_hops(ttl);
            const auto to = static_cast<std::uint16_t>(33433 + ttl);
            if (protocol == Protocol::icmp) {
                const auto frame =
                    in_family(Ethernet{} / IPv4{} / ICMP{.identifier = to} / Payload{"trace"}, family()).bytes();
                const auto message = static_cast<std::ptrdiff_t>(layout_of_frame(frame).value().transport);
                probe.send_to({end, 0}, std::string(frame.begin() + message, frame.end()));
            } else if (probe.connect({end, to}) == ECONNREFUSED) {  // by a segment, not by an error
                hops.push_back(end);
                continue;
            } else if (protocol == Protocol::udp) {
                probe.send("trace");
            }
            const auto error = errors.receive();
            hops.push_back(error ? error->from.address : "*");
        }
        return hops;
    }

    std::string hop_, far_;

private:
    // Without what an IPv6 link says of its neighbours.
    Socket icmp_socket(const Party& in) const {
        auto socket = Socket::open(in.netns, SOCK_RAW, protocol_in(IPPROTO_ICMP, family()), family() == Family::ipv6);
        if (family() == Family::ipv6) {
            icmp6_filter filter{};
            ICMP6_FILTER_SETBLOCKALL(&filter);
            for (const int type : {ICMP6_DST_UNREACH, ICMP6_TIME_EXCEEDED, ICMP6_ECHO_REPLY}) {
                ICMP6_FILTER_SETPASS(type, &filter);
            }
            setsockopt(socket.fd(), IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof(filter));
        }
        return socket;
    }

    void link(const std::string& device, const std::string& address, const std::string& netns, const std::string& other,
              const std::string& others_address, const std::string& name) {
        ip({"link", "add", device, "type", "veth", "peer", "name", other, "netns", name}, netns);
        const auto up = [this](const std::string& which, const std::string& with, const std::string& where) {
            ip_here({"addr", "add", with, "dev", which, "nodad"}, where);
            ip({"link", "set", which, "up"}, where);
        };
        up(device, address, netns);
        up(other, others_address, world_.path(name));
    }
};

TEST_P(Path, IsTracedFromTheGatewayToTheServer) {
    const auto blue = join("blue");
    for (const auto protocol : {Protocol::udp, Protocol::icmp, Protocol::tcp}) {
        if (protocol == Protocol::tcp && family() == Family::ipv6) {
            continue;  // whose SYN is sent again, and is answered again
        }
        SCOPED_TRACE(testing::PrintToString(protocol));
        EXPECT_THAT(traced(blue, protocol),
                    ElementsAre(here(gateway_address), here(world_address), here(hop_address), here(far_address)))
            << counted();
    }
}

TEST_P(Path, WithASmallLinkCarriesATransfer) {
    narrow("1300");
    const auto blue = join("blue");
    auto line = open_line({blue.netns}, {far_, {here(far_address), 8080}});
    EXPECT_TRUE(carries(line.client, line.server, 4 << 20)) << "upload\n" << counted();
    EXPECT_TRUE(carries(line.server, line.client, 4 << 20)) << "download";
}

TEST_P(Path, WithASmallLinkTellsASocketItsMtu) {
    narrow("1300");
    const auto blue = join("blue");
    auto client = Socket::udp(blue.netns, {here("0.0.0.0"), 0});
    ASSERT_EQ(client.connect({here(far_address), peers_port}), 0);
    client.set_mtu_discovery(IP_PMTUDISC_DO);
    ASSERT_TRUE(client.send(std::string(1400, 'x')));
    EXPECT_FALSE(client.receive());
    EXPECT_EQ(errno, EMSGSIZE) << counted();
    EXPECT_EQ(client.path_mtu(), 1300);
}

// IPv6 has no router cut a packet up (RFC 8200, section 5).
class PathOfIPv4 : public Path {};

TEST_P(PathOfIPv4, WithASmallLinkCarriesLargeDatagrams) {
    narrow("1300");
    const auto blue = join("blue");
    auto service = Socket::udp(far_, {far_address, peers_port});
    auto client = Socket::udp(blue.netns);
    client.set(IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
    service.set(IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
    for (const std::size_t size : {1400U, 9000U}) {
        ASSERT_TRUE(client.send_to({far_address, peers_port}, std::string(size, 'x')));
        const auto question = service.receive();
        ASSERT_TRUE(question) << size << "\n" << counted();
        EXPECT_EQ(question->text.size(), size);
        ASSERT_TRUE(service.send_to(question->from, std::string(size, 'y')));
        const auto answer = client.receive();
        ASSERT_TRUE(answer) << size << "\n" << counted();
        EXPECT_EQ(answer->text, std::string(size, 'y'));
    }
}

FOR_BOTH_TRANSLATORS_AND_FAMILIES(Path);
FOR_BOTH_TRANSLATORS(PathOfIPv4);

// The node's own uplink is the smallest: the sandboxes' links have 1,500 bytes, and it has this much.
constexpr std::uint16_t uplinks_mtu = 1400;

class SmallUplink : public Translating {
protected:
    Party join_before_it_shrinks(const std::string& id) {
        const auto party = join(id, {.patch = {{"mtu", 1500}}});
        ip({"link", "set", "up0", "mtu", std::to_string(uplinks_mtu)});
        return party;
    }
};

TEST_P(SmallUplink, CarriesATransfer) {
    const auto blue = join_before_it_shrinks("blue");
    auto line = open_line({blue.netns}, server());
    EXPECT_TRUE(carries(line.client, line.server, 4 << 20)) << "upload\n" << counted();
    EXPECT_TRUE(carries(line.server, line.client, 4 << 20)) << "download";
}

TEST_P(SmallUplink, CarriesATransferOfUnsegmentedWork) {
    const auto blue = join_before_it_shrinks("blue");
    must_run({"ethtool", "-K", "eth0", "tso", "off", "gso", "off"}, {.netns = blue.netns});
    auto line = open_line({blue.netns}, server());
    EXPECT_TRUE(carries(line.client, line.server, 1 << 20)) << "upload\n" << counted();
}

TEST_P(SmallUplink, TellsASocketItsMtu) {
    const auto blue = join_before_it_shrinks("blue");
    auto client = Socket::udp(blue.netns, {here("0.0.0.0"), 0});
    ASSERT_EQ(client.connect({here(world_address), peers_port}), 0);
    client.set_mtu_discovery(IP_PMTUDISC_DO);
    ASSERT_TRUE(client.send(std::string(1440, 'x')));
    EXPECT_FALSE(client.receive());
    EXPECT_EQ(errno, EMSGSIZE) << counted();
    EXPECT_EQ(client.path_mtu(), uplinks_mtu);
}

FOR_BOTH_TRANSLATORS_AND_FAMILIES(SmallUplink);

class GatewaysErrors : public Crossroads {
protected:
    void SetUp() override { build({.patch = {{"mtu", 1500}}}); }

    Frame datagram(std::size_t size, bool dont_fragment, std::uint8_t ttl = 64, bool translated = false) {
        return (translated ? road().from_world() : road().from_sandbox()) /
               IPv4{.source = translated ? node_ip : road().address(),
                    .destination = peer_ip,
                    .ttl = static_cast<std::uint8_t>(translated ? ttl - 1 : ttl),
                    .dont_fragment = dont_fragment} /
               UDP{.source_port = sandboxes_port, .destination_port = peers_port} / Payload{std::string(size, 'x')};
    }

    // By both families' numbers.
    struct Error {
        std::uint8_t type, code, type_of_ipv6, code_of_ipv6;
    };
    static constexpr Error time_exceeded{11, 0, 3, 0}, too_big{3, 4, 2, 0}, no_route{3, 1, 1, 0};
    IcmpError said(const Error& error, std::uint32_t rest = 0) const {
        return family() == Family::ipv6
                   ? IcmpError{.type = error.type_of_ipv6, .code = error.code_of_ipv6, .rest = rest}
                   : IcmpError{.type = error.type, .code = error.code, .rest = rest};
    }
    // As much as a datagram may carry there.
    std::size_t room(std::size_t mtu) const {
        return mtu - udp_size - (family() == Family::ipv6 ? ipv6_size : ipv4_size);
    }

    // One ICMP error, from the gateway to blue, of this type and code and with this word before the quoted packet,
    // which is the one that blue sent, at least as far as its ports (RFC 1812, section 4.3.2.3).
    testing::AssertionResult is_gateways(const std::vector<Bytes>& frames, const IcmpError& expected,
                                         const Bytes& about) {
        const auto layout = frames.size() == 1 ? layout_of_frame(frames[0]) : std::nullopt;
        if (!layout || layout->protocol != protocol_icmp || layout->end < layout->transport + 8 ||
            address_at(frames[0], layout->source(), family()) != gateway_ip ||
            address_at(frames[0], layout->destination(), family()) != road().address()) {
            return testing::AssertionFailure() << frames.size() << " frames, or no ICMP from the gateway";
        }
        const auto& frame = frames[0];
        const auto error = layout->transport;
        if (frame[error] != expected.type || frame[error + 1] != expected.code ||
            get32(frame, error + 4) != expected.rest) {
            return testing::AssertionFailure() << "another error:\n" << describe(frame);
        }
        if (!wrong_checksums(frame).empty()) {
            return testing::AssertionFailure() << wrong_checksums(frame) << describe(frame);
        }
        const auto as_far_as_ports = [this](const Bytes& bytes, std::size_t begin) {
            const auto quoted = layout_of(bytes, begin, family()).value();
            Bytes headers(bytes.begin() + static_cast<std::ptrdiff_t>(begin),
                          bytes.begin() + static_cast<std::ptrdiff_t>(quoted.transport + udp_size));
            headers.at(quoted.ttl() - begin) = 0;  // the hop that it died at may have been taken from it
            if (family() == Family::ipv4) {
                set16(headers, 10, 0);
            }
            return headers;
        };
        return as_far_as_ports(frame, error + 8) == as_far_as_ports(about, ethernet_size)
                   ? testing::AssertionSuccess()
                   : testing::AssertionFailure() << "quotes another packet:\n"
                                                 << describe(frame);
    }
};

TEST_P(GatewaysErrors, SayThatATtlIsUsedUp) {
    for (const std::uint8_t ttl : {std::uint8_t{1}, std::uint8_t{0}}) {
        const auto sent = road().bytes(datagram(20, true, ttl));
        const auto crossed = road().out(sent);
        EXPECT_THAT(crossed.world, IsEmpty());
        EXPECT_TRUE(is_gateways(crossed.sandboxes[0], said(time_exceeded), sent)) << counted();
        EXPECT_THAT(crossed.sandboxes[1], IsEmpty());
    }
    EXPECT_FALSE(holds_flow("udp", peers_port)) << "it needs no port";
}

TEST_P(GatewaysErrors, SayHowLargeAPacketMayBe) {
    ip({"link", "set", "up0", "mtu", std::to_string(uplinks_mtu)});
    const auto fits = road().out(datagram(room(uplinks_mtu), true));
    EXPECT_TRUE(is_only(fits.world, datagram(room(uplinks_mtu), true, 64, true))) << counted();
    const auto sent = road().bytes(datagram(room(uplinks_mtu) + 1, true));
    const auto crossed = road().out(sent);
    EXPECT_THAT(crossed.world, IsEmpty());
    EXPECT_TRUE(is_gateways(crossed.sandboxes[0], said(too_big, uplinks_mtu), sent)) << counted();
}

TEST_P(GatewaysErrors, SayTheMtuOfTheRouteAndNotOfTheDevice) {
    ip_here({"route", "add", "198.51.100.20/32", "via", world_address, "mtu", "lock", "1350"});
    const auto sent = road().bytes(datagram(room(1350) + 1, true));
    const auto crossed = road().out(sent);
    EXPECT_THAT(crossed.world, IsEmpty());
    EXPECT_TRUE(is_gateways(crossed.sandboxes[0], said(too_big, 1350), sent)) << counted();
}

class GatewaysErrorsOfIPv4 : public GatewaysErrors {};

TEST_P(GatewaysErrorsOfIPv4, AreNotMadeOfWhatMayBeFragmented) {
    ip({"link", "set", "up0", "mtu", std::to_string(uplinks_mtu)});
    const auto crossed = road().out(datagram(room(uplinks_mtu) + 1, false));
    EXPECT_THAT(crossed.sandboxes[0], IsEmpty());
    EXPECT_EQ(crossed.world.size(), 2U);
    EXPECT_TRUE(is_only(reassembled(crossed.world), datagram(room(uplinks_mtu) + 1, false, 64, true)))
        << describe(crossed) << counted();
}

TEST_P(GatewaysErrors, AreNotMadeOfErrors) {  // RFC 1122, section 3.2.2
    const auto first = road().out(datagram(20, true));
    ASSERT_EQ(first.world.size(), 1U);
    const auto crossed =
        road().out(road().from_sandbox() / IPv4{.source = road().address(), .destination = peer_ip, .ttl = 1} /
                   ICMP{.type = icmp_unreachable, .code = 3, .identifier = 0, .sequence = 0} / quoted(first.world[0]));
    EXPECT_EQ(crossed.size(), 0U) << describe(crossed);
}

TEST_P(GatewaysErrors, SayThatThereIsNoRoute) {
    ip_here({"route", "add", "unreachable", "198.51.100.20/32"});
    const auto sent = road().bytes(datagram(20, true));
    const auto crossed = road().out(sent);
    EXPECT_THAT(crossed.world, IsEmpty());
    EXPECT_TRUE(is_gateways(crossed.sandboxes[0], said(no_route), sent)) << describe(crossed) << counted();
}

FOR_BOTH_TRANSLATORS_AND_FAMILIES(GatewaysErrors);
FOR_BOTH_TRANSLATORS(GatewaysErrorsOfIPv4);

}  // namespace
}  // namespace causeway::test::nat_path_test
