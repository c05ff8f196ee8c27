// SPDX-License-Identifier: Apache-2.0
// What a path says of itself: too small (RFC 1191) and too long (RFC 1812, section 5.3.1), heard by a sandbox.
//
//     node up0 ── dn0 world mid0 ── mid1 hop far0 ── eth0 far
//     203.0.113.1     .2   198.51.100.129   .130   .133   .134
#include <gmock/gmock.h>
#include <netinet/in.h>

#include <cerrno>

#include "tests/system/crossing.hpp"
#include "tests/system/datagram.hpp"

namespace causeway::test {
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
        ip({"route", "add", "198.51.100.132/30", "via", "198.51.100.130"}, world_.world());
        ip({"route", "add", "default", "via", "198.51.100.129"}, hop_);
        ip({"route", "add", "default", "via", "198.51.100.133"}, far_);
        for (const auto& router : {world_.world(), hop_}) {
            set_sysctl("net/ipv4/ip_forward", "1", router);
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
        auto errors = Socket::open(from.netns, SOCK_RAW, IPPROTO_ICMP);
        for (int ttl = 1; hops.empty() || (hops.back() != far_address && hops.back() != "*"); ++ttl) {
            auto probe = protocol == Protocol::udp   ? Socket::udp(from.netns)
                         : protocol == Protocol::tcp ? Socket::tcp(from.netns)
                                                     : Socket::open(from.netns, SOCK_RAW, IPPROTO_ICMP);
            probe.set(IPPROTO_IP, IP_TTL, ttl);
            const auto to = static_cast<std::uint16_t>(33433 + ttl);
            if (protocol == Protocol::icmp) {
                const auto frame = (Ethernet{} / IPv4{} / ICMP{.identifier = to} / Payload{"trace"}).bytes();
                probe.send_to({far_address, 0}, std::string(frame.begin() + 34, frame.end()));
            } else if (probe.connect({far_address, to}) == ECONNREFUSED) {  // by a segment, not by an error
                hops.push_back(far_address);
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
    void link(const std::string& device, const std::string& address, const std::string& netns, const std::string& other,
              const std::string& others_address, const std::string& name) {
        ip({"link", "add", device, "type", "veth", "peer", "name", other, "netns", name}, netns);
        const auto up = [](const std::string& which, const std::string& with, const std::string& where) {
            ip({"addr", "add", with, "dev", which}, where);
            ip({"link", "set", which, "up"}, where);
        };
        up(device, address, netns);
        up(other, others_address, world_.path(name));
    }
};

TEST_P(Path, IsTracedFromTheGatewayToTheServer) {
    const auto blue = join("blue");
    for (const auto protocol : {Protocol::udp, Protocol::icmp, Protocol::tcp}) {
        SCOPED_TRACE(testing::PrintToString(protocol));
        EXPECT_THAT(traced(blue, protocol), ElementsAre(gateway_address, world_address, hop_address, far_address))
            << counted();
    }
}

TEST_P(Path, WithASmallLinkCarriesATransfer) {
    narrow("1300");
    const auto blue = join("blue");
    auto line = open_line({blue.netns}, {far_, {far_address, 8080}});
    EXPECT_TRUE(carries(line.client, line.server, 4 << 20)) << "upload\n" << counted();
    EXPECT_TRUE(carries(line.server, line.client, 4 << 20)) << "download";
}

TEST_P(Path, WithASmallLinkTellsASocketItsMtu) {
    narrow("1300");
    const auto blue = join("blue");
    auto client = Socket::udp(blue.netns);
    ASSERT_EQ(client.connect({far_address, peers_port}), 0);
    client.set(IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO);
    ASSERT_TRUE(client.send(std::string(1400, 'x')));
    EXPECT_FALSE(client.receive());
    EXPECT_EQ(errno, EMSGSIZE) << counted();
    int mtu = 0;
    socklen_t size = sizeof(mtu);
    ASSERT_EQ(getsockopt(client.fd(), IPPROTO_IP, IP_MTU, &mtu, &size), 0);
    EXPECT_EQ(mtu, 1300);
}

TEST_P(Path, WithASmallLinkCarriesLargeDatagrams) {
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

FOR_BOTH_TRANSLATORS(Path);

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
    auto client = Socket::udp(blue.netns);
    ASSERT_EQ(client.connect({world_address, peers_port}), 0);
    client.set(IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO);
    ASSERT_TRUE(client.send(std::string(1440, 'x')));
    EXPECT_FALSE(client.receive());
    EXPECT_EQ(errno, EMSGSIZE) << counted();
    int mtu = 0;
    socklen_t size = sizeof(mtu);
    ASSERT_EQ(getsockopt(client.fd(), IPPROTO_IP, IP_MTU, &mtu, &size), 0);
    EXPECT_EQ(mtu, uplinks_mtu);
}

FOR_BOTH_TRANSLATORS(SmallUplink);

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

    // One ICMP error, from the gateway to blue, of this type and code and with this word before the quoted packet,
    // which is the one that blue sent, at least as far as its ports (RFC 1812, section 4.3.2.3).
    testing::AssertionResult is_gateways(const std::vector<Bytes>& frames, std::uint8_t type, std::uint8_t code,
                                         std::uint16_t mtu, const Bytes& about) {
        if (frames.size() != 1 || !is_ipv4(frames[0], 1, gateway_address, "10.0.0.2") || frames[0].size() < 70) {
            return testing::AssertionFailure() << frames.size() << " frames, or no ICMP from the gateway";
        }
        const auto& frame = frames[0];
        if (frame[34] != type || frame[35] != code || (frame[40] << 8 | frame[41]) != mtu) {
            return testing::AssertionFailure() << "another error:\n" << describe(frame);
        }
        if (!wrong_checksums(frame).empty()) {
            return testing::AssertionFailure() << wrong_checksums(frame) << describe(frame);
        }
        auto quotes = Bytes(frame.begin() + 42, frame.begin() + 70),
             sent = Bytes(about.begin() + 14, about.begin() + 42);
        for (auto* header : {&quotes, &sent}) {  // the hop that it died at may have been taken from its TTL
            (*header)[8] = (*header)[10] = (*header)[11] = 0;
        }
        return quotes == sent ? testing::AssertionSuccess()
                              : testing::AssertionFailure() << "quotes another packet:\n"
                                                            << describe(frame);
    }
};

TEST_P(GatewaysErrors, SayThatATtlIsUsedUp) {
    for (const std::uint8_t ttl : {std::uint8_t{1}, std::uint8_t{0}}) {
        const auto sent = datagram(20, true, ttl).bytes();
        const auto crossed = road().out(sent);
        EXPECT_THAT(crossed.world, IsEmpty());
        EXPECT_TRUE(is_gateways(crossed.sandboxes[0], 11, 0, 0, sent)) << counted();
        EXPECT_THAT(crossed.sandboxes[1], IsEmpty());
    }
    EXPECT_FALSE(holds_flow("udp", peers_port)) << "it needs no port";
}

TEST_P(GatewaysErrors, SayHowLargeAPacketMayBe) {
    ip({"link", "set", "up0", "mtu", std::to_string(uplinks_mtu)});
    const auto fits = road().out(datagram(uplinks_mtu - 28, true).bytes());
    EXPECT_TRUE(is_only(fits.world, datagram(uplinks_mtu - 28, true, 64, true))) << counted();
    const auto sent = datagram(uplinks_mtu - 27, true).bytes();
    const auto crossed = road().out(sent);
    EXPECT_THAT(crossed.world, IsEmpty());
    EXPECT_TRUE(is_gateways(crossed.sandboxes[0], 3, 4, uplinks_mtu, sent)) << counted();
}

TEST_P(GatewaysErrors, SayTheMtuOfTheRouteAndNotOfTheDevice) {
    ip({"route", "add", "198.51.100.20/32", "via", world_address, "mtu", "lock", "1350"});
    const auto sent = datagram(1350 - 27, true).bytes();
    const auto crossed = road().out(sent);
    EXPECT_THAT(crossed.world, IsEmpty());
    EXPECT_TRUE(is_gateways(crossed.sandboxes[0], 3, 4, 1350, sent)) << counted();
}

TEST_P(GatewaysErrors, AreNotMadeOfWhatMayBeFragmented) {
    ip({"link", "set", "up0", "mtu", std::to_string(uplinks_mtu)});
    const auto crossed = road().out(datagram(uplinks_mtu - 27, false).bytes());
    EXPECT_THAT(crossed.sandboxes[0], IsEmpty());
    EXPECT_EQ(crossed.world.size(), 2U);
    EXPECT_TRUE(is_only(reassembled(crossed.world), datagram(uplinks_mtu - 27, false, 64, true)))
        << describe(crossed) << counted();
}

TEST_P(GatewaysErrors, AreNotMadeOfErrors) {  // RFC 1122, section 3.2.2
    const auto first = road().out(datagram(20, true).bytes());
    ASSERT_EQ(first.world.size(), 1U);
    const auto crossed =
        road().out((road().from_sandbox() / IPv4{.source = road().address(), .destination = peer_ip, .ttl = 1} /
                    ICMP{.type = icmp_unreachable, .code = 3, .identifier = 0, .sequence = 0} / quoted(first.world[0]))
                       .bytes());
    EXPECT_EQ(crossed.size(), 0U) << describe(crossed);
}

TEST_P(GatewaysErrors, SayThatThereIsNoRoute) {
    ip({"route", "add", "unreachable", "198.51.100.20/32"});
    const auto sent = datagram(20, true).bytes();
    const auto crossed = road().out(sent);
    EXPECT_THAT(crossed.world, IsEmpty());
    EXPECT_TRUE(is_gateways(crossed.sandboxes[0], 3, 1, 0, sent)) << describe(crossed) << counted();
}

FOR_BOTH_TRANSLATORS(GatewaysErrors);

}  // namespace
}  // namespace causeway::test
