// SPDX-License-Identifier: Apache-2.0
// Sandboxes whose address a DHCP server on the host gives: what of their asking reaches the host, and which of them
// hears the answer.
#include <tuple>

#include "tests/datapath/live_fixture.hpp"

namespace causeway::test::dhcp_test {
namespace {

constexpr Ip ip_none = "0.0.0.0"_ip, ip_all = "255.255.255.255"_ip;
constexpr std::uint16_t server_port = 67, client_port = 68;
constexpr UDP asks{client_port, server_port}, answers{server_port, client_port};

// The head of a message, and some of its options: RFC 2131, section 2.
struct Message {
    Mac mac = mac_a;
    Ip client = ip_none, relay = ip_none;
    std::uint8_t operation = 1, hardware = 1, length = 6;
    bool broadcast = false;  // how it is to be answered

    Payload payload() const {
        std::string text(300, '\0');
        text[0] = static_cast<char>(operation);
        text[1] = static_cast<char>(hardware);
        text[2] = static_cast<char>(length);
        text[10] = static_cast<char>(broadcast ? 0x80 : 0);
        for (std::size_t i = 0; i < 4; i++) {
            text[12 + i] = static_cast<char>(client.value >> (24 - 8 * i));
            text[24 + i] = static_cast<char>(relay.value >> (24 - 8 * i));
        }
        std::copy(mac.bytes.begin(), mac.bytes.end(), text.begin() + 28);
        return {text};
    }
};

constexpr Ethernet to_all_from_a{.source = mac_a, .destination = mac_broadcast};

// As the server is to hear what is said to all.
const Message heard{.broadcast = true};

Frame asked(const Message& message = {}, Ip source = ip_none) {
    return to_all_from_a / IPv4{.source = source, .destination = ip_all} / asks / message.payload();
}

Frame answered(Ip destination, const Mac& mac, std::uint8_t operation = 2) {
    return from_the_host / IPv4{.source = ip_gateway, .destination = destination} / answers /
           Message{.mac = mac, .operation = operation}.payload();
}

// A has no address yet, and B has one of the server.
class Dhcp : public DatapathTest {
protected:
    void SetUp() override {
        DatapathTest::SetUp();
        serve(host_a, mac_a, {});
        serve(host_b, mac_b, ip_b);
    }

    void serve(std::uint32_t ifindex, const Mac& mac, std::optional<Ip> ip, std::uint16_t flags = LINK_DHCP) {
        auto identity = sandbox_at(ip.value_or(ip_a), ifindex, mac);
        identity.address[FAMILY_IPV6] = identity.gateway[FAMILY_IPV6] = {};
        if (!ip) {
            identity.address[FAMILY_IPV4] = identity.gateway[FAMILY_IPV4] = {};
        }
        identity.link.flags = flags;
        datapath_->set_sandbox(ifindex, identity);
    }

    void expect(enum verdict verdict, const Frame& frame) { expect_packet(From::sandbox_a, frame, verdict, frame); }
};

TEST_F(Dhcp, ClientIsHeardByTheHostBeforeItHasAnAddress) {
    expect_packet(From::sandbox_a, asked(), VERDICT_TO_HOST, asked(heard));
    expect(VERDICT_TO_HOST, asked(heard));
    const Frame without_checksum =
        to_all_from_a / IPv4{.source = ip_none, .destination = ip_all} / UDP{client_port, server_port, {}, 0};
    expect_packet(From::sandbox_a, without_checksum / Message{}.payload(), VERDICT_TO_HOST,
                  without_checksum / heard.payload());
    EXPECT_EQ(datapath_->traffic_of(host_a).sent_packets, 3U);
    EXPECT_EQ(datapath_->traffic_of(host_a).dropped_packets, 0U);
}

TEST_F(Dhcp, ClientIsHeardUnderItsOwnAddressToo) {
    serve(host_a, mac_a, ip_b);  // an address of its own
    serve(host_b, mac_b, ip_unused);
    for (const Ip source : {ip_b, ip_none}) {
        expect_packet(From::sandbox_a, asked({.client = ip_b}, source), VERDICT_TO_HOST,
                      asked({.client = ip_b, .broadcast = true}, source));
    }
    const Frame to_gateway = from_a / IPv4{.source = ip_b, .destination = ip_gateway} / asks;
    expect_packet(From::sandbox_a, to_gateway / Message{.client = ip_b}.payload(), VERDICT_TO_HOST,
                  to_gateway / Message{.client = ip_b, .broadcast = true}.payload());
}

TEST_F(Dhcp, ClientMayGiveBackWhatItHasNotTakenYet) {
    expect(VERDICT_TO_HOST, asked({.client = ip_unused, .broadcast = true}));
}

TEST_F(Dhcp, ClientSpeaksInItsOwnNameAlone) {
    expect(VERDICT_DROP_BAD_DHCP, asked({.mac = mac_b}));
    expect(VERDICT_DROP_BAD_DHCP, asked({.client = ip_b}));
    expect(VERDICT_DROP_BAD_DHCP, asked({.client = ip_gateway}));
    expect(VERDICT_DROP_SPOOFED_ADDRESS, asked({}, ip_b));
    expect(VERDICT_DROP_SPOOFED_MAC, Ethernet{.source = mac_b, .destination = mac_broadcast} /
                                         IPv4{.source = ip_none, .destination = ip_all} / asks /
                                         Message{.mac = mac_b}.payload());
    EXPECT_EQ(datapath_->traffic_of(host_a).dropped_packets, 5U);
}

TEST_F(Dhcp, ClientIsNoServerAndNoRelay) {
    expect(VERDICT_DROP_BAD_DHCP, asked({.relay = ip_gateway}));
    expect(VERDICT_DROP_BAD_DHCP, asked({.operation = 2}));
    expect(VERDICT_DROP_SPOOFED_ADDRESS, to_all_from_a / IPv4{.source = ip_none, .destination = ip_all} / answers /
                                             Message{.operation = 2}.payload());
}

// Nor does what else it may look like reach the host, or anybody.
TEST_F(Dhcp, AllElseThatItSaysToAllIsDroppedAsEver) {
    const Frame to_all = to_all_from_a / IPv4{.source = ip_none, .destination = ip_all};
    expect(VERDICT_DROP_SPOOFED_ADDRESS, to_all / UDP{client_port, 69} / Message{}.payload());
    expect(VERDICT_DROP_SPOOFED_ADDRESS, to_all / UDP{69, server_port} / Message{}.payload());
    expect(VERDICT_DROP_SPOOFED_ADDRESS, to_all / asks / Payload{"short"});
    expect(VERDICT_DROP_SPOOFED_ADDRESS, asked({.hardware = 6}));
    expect(VERDICT_DROP_SPOOFED_ADDRESS, asked({.length = 16}));
    expect(VERDICT_DROP_SPOOFED_ADDRESS,
           to_all_from_a /
               IPv4{.source = ip_none, .destination = ip_all, .dont_fragment = false, .more_fragments = true} / asks /
               Message{}.payload());
    expect(VERDICT_DROP_SPOOFED_ADDRESS,
           to_all_from_a / IPv4{.source = ip_none, .destination = "10.0.0.255"_ip} / asks / Message{}.payload());
    serve(host_a, mac_a, ip_b);
    expect(VERDICT_DROP_MULTICAST,
           to_all_from_a / IPv4{.source = ip_b, .destination = ip_all} / UDP{5000, 5000} / Payload{"hello"});
}

TEST_F(Dhcp, ServerIsNotToldInAnothersNameByUnicastEither) {
    serve(host_a, mac_a, ip_b);
    serve(host_b, mac_b, ip_unused);
    const Frame to_gateway = from_a / IPv4{.source = ip_b, .destination = ip_gateway};
    expect(VERDICT_DROP_BAD_DHCP, to_gateway / asks / Message{.mac = mac_b}.payload());
    expect(VERDICT_DROP_BAD_DHCP, to_gateway / UDP{40000, server_port} / Message{.mac = mac_b}.payload());
    expect(VERDICT_DROP_BAD_DHCP, to_gateway / asks / Message{.relay = ip_b}.payload());
    expect(VERDICT_DROP_BAD_DHCP, to_gateway / asks / Payload{"x"});
    expect(VERDICT_DROP_BAD_DHCP,
           from_a / IPv4{.source = ip_b, .destination = ip_gateway, .dont_fragment = false, .more_fragments = true} /
               asks / Payload{std::string(296, 'x')});
    expect(VERDICT_DROP_BAD_DHCP,
           from_a / IPv4{.source = ip_b, .destination = ip_server} / asks / Message{.mac = mac_b}.payload());
    expect(VERDICT_TO_HOST, to_gateway / UDP{40000, 53} / Payload{"x"});
}

// The kernel cuts it up behind the programs, at the server's socket: all but the first message they would not have
// seen.
TEST_F(Dhcp, MessagesThatAreStillToBeCutUpReachNobody) {
    serve(host_a, mac_a, ip_b);
    const std::string both = Message{.client = ip_b}.payload().text + Message{.mac = mac_b}.payload().text;
    expect_verdict(From::sandbox_a, from_a / IPv4{.source = ip_b, .destination = ip_gateway} / asks / Payload{both},
                   VERDICT_DROP_BAD_DHCP, {.gso_size = 300, .gso_segs = 2});
    expect_verdict(From::sandbox_a,
                   to_all_from_a / IPv4{.source = ip_none, .destination = ip_all} / asks / Payload{both},
                   VERDICT_DROP_SPOOFED_ADDRESS, {.gso_size = 300, .gso_segs = 2});
}

TEST_F(Dhcp, OfOtherSandboxesIsDroppedAsEver) {
    serve(host_a, mac_a, {}, 0);
    expect(VERDICT_DROP_SPOOFED_ADDRESS, asked());
    serve(host_a, mac_a, ip_b, 0);
    expect(VERDICT_DROP_MULTICAST, asked({}, ip_b));
    expect(VERDICT_TO_HOST,
           from_a / IPv4{.source = ip_b, .destination = ip_gateway} / asks / Message{.mac = mac_b}.payload());
    expect_verdict(From::host, answered(ip_all, mac_a), VERDICT_DROP_MULTICAST);
    expect_verdict(From::host, answered(ip_unused, mac_a), VERDICT_DROP_NO_ENDPOINT);
}

// So low that no second packet could come by it while the test runs.
TEST_F(Dhcp, ClientIsHeardNoMoreOftenThanItMayTalkToAll) {
    configure([](network& network) { network.multicast_per_second = 3; });
    usage taken{};
    taken.grouping = ~0ULL >> 2;  // as if it had sent for long
    datapath_->set_usage(host_a, taken);
    expect(VERDICT_DROP_MULTICAST_RATE, asked());
    serve(host_a, mac_a, ip_b);
    expect(VERDICT_DROP_MULTICAST_RATE,
           from_a / IPv4{.source = ip_b, .destination = ip_gateway} / asks / Message{.client = ip_b}.payload());
}

TEST_F(Dhcp, AnswerIsForTheClientThatItNames) {
    for (const Ip destination : {ip_all, ip_unused}) {
        for (const auto& [mac, at] : {std::pair(mac_a, at_a), std::pair(mac_b, at_b)}) {
            expect_packet(From::host, answered(destination, mac), VERDICT_TO_SANDBOX,
                          at / IPv4{.source = ip_gateway, .destination = destination} / answers /
                              Message{.mac = mac, .operation = 2}.payload());
        }
    }
    EXPECT_EQ(datapath_->traffic_of(host_a).received_packets, 2U);
    EXPECT_EQ(datapath_->traffic_of(host_b).received_packets, 2U);
}

TEST_F(Dhcp, AnswerToNobodyIsDroppedAsEver) {
    expect_verdict(From::host, answered(ip_all, mac_stranger), VERDICT_DROP_MULTICAST);
    expect_verdict(From::host, answered(ip_unused, mac_stranger), VERDICT_DROP_NO_ENDPOINT);
    expect_verdict(From::host, answered(ip_all, mac_a, 1), VERDICT_DROP_MULTICAST);
    expect_verdict(From::host,
                   from_the_host / IPv4{.source = ip_gateway, .destination = ip_all} / UDP{server_port, 69} /
                       Message{.operation = 2}.payload(),
                   VERDICT_DROP_MULTICAST);
    expect_verdict(From::host, answered(ip_all, mac_a), VERDICT_DROP_UNSOLICITED, {.ingress_ifindex = uplink_device});
}

TEST_F(Dhcp, AnswerIsOfTheNetworkItself) {
    auto elsewhere = sandbox_at(ip_a, host_a, mac_a);
    elsewhere.link.flags = LINK_DHCP;
    elsewhere.gateway_ifindex = lan_device;
    datapath_->set_sandbox(host_a, elsewhere);
    expect_verdict(From::host, answered(ip_all, mac_a), VERDICT_DROP_MULTICAST);
}

// From a sandbox, a server's answer is nobody's, also where they hear each other's groups.
TEST_F(Dhcp, AnswerOfASandboxIsDropped) {
    serve(host_a, mac_a, ip_b, LINK_DHCP | LINK_MULTICAST);
    serve(host_b, mac_b, ip_unused, LINK_DHCP | LINK_MULTICAST);
    expect(VERDICT_DROP_MULTICAST, to_all_from_a / IPv4{.source = ip_b, .destination = ip_all} / answers /
                                       Message{.mac = mac_b, .operation = 2}.payload());
}

// On real devices: the gateway device's own sockets hear it, and the sandbox that it is for.
class LiveDhcp : public Live {
protected:
    void SetUp() override {
        Live::SetUp();
        for (const auto& [ip, ifindex, mac] : {std::tuple(ip_a, host_a, mac_a), std::tuple(ip_b, host_b, mac_b)}) {
            auto identity = sandbox_at(ip, ifindex, mac);
            identity.link.flags = LINK_DHCP | LINK_MULTICAST;
            datapath_->set_sandbox(ifindex, identity);
        }
    }
};

TEST_P(LiveDhcp, IsBetweenTheClientAndTheGatewayDeviceAlone) {
    Wire a = far_end("a"), b = far_end("b"), router = far_end("router"), gateway("cw0");
    expect_end(a, asked(), VERDICT_TO_HOST);
    EXPECT_EQ(difference(bytes_of(asked(heard)), gateway.receive()), "");
    EXPECT_TRUE(b.receive(50).empty());
    EXPECT_TRUE(router.receive(0).empty());
    expect_end(gateway, answered(ip_all, mac_a), VERDICT_TO_SANDBOX);
    const Frame answer =
        at_a / IPv4{.source = ip_gateway, .destination = ip_all} / answers / Message{.operation = 2}.payload();
    EXPECT_EQ(difference(bytes_of(answer), a.receive()), "");
    EXPECT_TRUE(b.receive(50).empty());
}

RUN_IN_IPV4(LiveDhcp);

}  // namespace
}  // namespace causeway::test::dhcp_test
