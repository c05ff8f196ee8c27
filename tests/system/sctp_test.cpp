// SPDX-License-Identifier: Apache-2.0
// SCTP between sandboxes, their host and the world: with ports as any other protocol, and checksums that hold. The
// kernel need not speak it: the tests do, by raw frames and raw sockets.
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <set>

#include "tests/support/packet_bytes.hpp"
#include "tests/system/crossing.hpp"

namespace causeway::test::sctp_test {
namespace {

using testing::IsEmpty;

constexpr std::uint16_t sandboxes_port = 40000, peers_port = 5300, host_port = 30080, service = 80;

// RFC 9260, section 3.3. Tags are 1 but in the first chunk.
const std::string init("\1\0\0\x14\0\0\0\1\0\1\0\0\0\1\0\1\0\0\0\1", 20),
    init_ack("\2\0\0\x14\0\0\0\1\0\1\0\0\0\1\0\1\0\0\0\1", 20),
    cookie_echo(
        "\x0a\0\0\x08"
        "cook",
        8),
    cookie_ack("\x0b\0\0\4", 4);

std::string data(std::size_t size) {
    auto chunk = std::string("\0\3\0\0\0\0\0\1\0\0\0\0\0\0\0\0", 16) + std::string(size, 'd');
    chunk[2] = static_cast<char>(chunk.size() >> 8);
    chunk[3] = static_cast<char>(chunk.size());
    return chunk;
}

class SctpCrossing : public Crossroads {
protected:
    // What a sandbox, or the world, sends; and what is seen of that behind the translation.
    static Frame chunk(const Frame& before, std::uint16_t from, std::uint16_t to, const std::string& text) {
        return before / SCTP{.source_port = from, .destination_port = to, .tag = text[0] == 1 ? 0U : 1U} /
               Payload{text};
    }
    Bytes from_sandbox(std::size_t number, const std::string& text, std::uint16_t port = sandboxes_port,
                       std::uint16_t peer = peers_port) {
        return road().bytes(
            chunk(road().from_sandbox(number) / IPv4{.source = road().address(number), .destination = peer_ip}, port,
                  peer, text));
    }
    Bytes from_world(std::uint16_t port, const std::string& text, std::uint16_t peer = peers_port) {
        return road().bytes(
            chunk(road().from_world() / IPv4{.source = peer_ip, .destination = node_ip}, peer, port, text));
    }
    testing::AssertionResult is_seen(const std::vector<Bytes>& frames, const IPv4& ip, std::uint16_t from,
                                     std::uint16_t to, const std::string& text) {
        return with_counts(is_only(frames, in_family(chunk(road().from_world() / ip, from, to, text), family())));
    }
    IPv4 at_world() const { return {.source = node_ip, .destination = peer_ip, .ttl = 63}; }
    IPv4 at_sandbox(std::size_t number) {
        return {.source = peer_ip, .destination = road().address(number), .ttl = 63};
    }

    // An INIT of each sandbox from one port to one peer; the ports under which the world sees them.
    std::vector<std::uint16_t> begin_both() {
        std::vector<std::uint16_t> ports;
        for (const std::size_t number : {0U, 1U}) {
            const auto crossed = road().out(from_sandbox(number, init), number);
            EXPECT_EQ(crossed.world.size(), 1U) << describe(crossed) << counted();
            const std::uint16_t port =
                crossed.world.size() == 1 ? source_port_of(crossed.world[0]).value_or(0) : std::uint16_t{0};
            EXPECT_TRUE(is_seen(crossed.world, at_world(), port, peers_port, init));
            ports.push_back(port);
        }
        return ports;
    }
};

TEST_P(SctpCrossing, OfTwoSandboxesAtOnceToOnePeerIsToldApartByPort) {
    build();
    const auto ports = begin_both();
    EXPECT_EQ(ports[0], sandboxes_port) << "it was free";
    EXPECT_NE(ports[0], ports[1]);
    for (const std::size_t number : {0U, 1U}) {
        const auto port = ports[number];
        const auto comes = [&](const std::string& text) {
            return is_seen(road().in(from_world(port, text)).sandboxes[number], at_sandbox(number), peers_port,
                           sandboxes_port, text);
        };
        const auto goes = [&](const std::string& text) {
            return is_seen(road().out(from_sandbox(number, text), number).world, at_world(), port, peers_port, text);
        };
        EXPECT_TRUE(comes(init_ack));
        EXPECT_TRUE(goes(cookie_echo));
        EXPECT_TRUE(comes(cookie_ack));
        for (const std::size_t size : {1U, 2U, 63U, 1000U, 1400U}) {
            EXPECT_TRUE(goes(data(size))) << size;
            EXPECT_TRUE(comes(data(size + 1))) << size;
        }
    }
}

TEST_P(SctpCrossing, ErrorsReachTheOneThatTheyAreAbout) {
    build();
    const auto ports = begin_both();
    for (const std::size_t number : {0U, 1U}) {
        const auto error = [&](const IPv4& ip, Ip source, std::uint16_t port) {
            const auto about = road().bytes(
                chunk(Ethernet{} / IPv4{.source = source, .destination = peer_ip, .ttl = 1}, port, peers_port, init));
            return in_family(road().from_world() / ip / IcmpError{.code = 3}, family()) / quoted(about, 8);
        };
        const auto crossed =
            road().in(error({.source = peer_ip, .destination = node_ip}, node_ip, ports[number]).bytes());
        EXPECT_TRUE(
            is_only(crossed.sandboxes[number], error(at_sandbox(number), road().address(number), sandboxes_port)))
            << counted();
        EXPECT_THAT(crossed.sandboxes[1 - number], IsEmpty());
    }
}

TEST_P(SctpCrossing, ReachesAPublishedPortAndIsAnsweredFromIt) {
    build({.published = {{"sctp", host_port, service}}});
    constexpr std::uint16_t client = 45000;
    const auto comes = [&](const std::string& text) {
        return is_seen(road().in(from_world(host_port, text, client)).sandboxes[0], at_sandbox(0), client, service,
                       text);
    };
    const auto goes = [&](const std::string& text) {
        return is_seen(road().out(from_sandbox(0, text, service, client)).world, at_world(), host_port, client, text);
    };
    EXPECT_TRUE(comes(init));
    EXPECT_TRUE(goes(init_ack));
    EXPECT_TRUE(comes(cookie_echo));
    EXPECT_TRUE(goes(cookie_ack));
    EXPECT_TRUE(comes(data(999)));
    EXPECT_TRUE(goes(data(1000)));
}

FOR_BOTH_TRANSLATORS_AND_FAMILIES(SctpCrossing);

// One end of SCTP in a namespace, at a port of its own.
class Speaker {
public:
    Speaker(const std::string& netns, const End& own)
        : socket_(Socket::open(netns, SOCK_RAW, IPPROTO_SCTP, own.is_ipv6())), port_(own.port) {
        socket_.bind({own.address, 0});
    }

    bool say(const End& to, const std::string& text) {
        const auto frame =
            (Ethernet{} / IPv4{} / SCTP{.source_port = port_, .destination_port = to.port, .tag = 1} / Payload{text})
                .bytes();
        return socket_.send_to({to.address, 0}, std::string(frame.begin() + ethernet_size + ipv4_size, frame.end()));
    }

    // Who said what there is first for this port, if its checksum holds.
    std::optional<Datagram> hear(std::chrono::milliseconds time = patience) {
        for (;;) {
            const auto packet = socket_.receive(time);
            if (!packet) {
                return std::nullopt;
            }
            auto text = packet->text;
            if (!packet->from.is_ipv6()) {
                text = text.substr((text.at(0) & 0xfU) * std::size_t{4});
            }
            const auto frame =
                (Ethernet{} / IPv4{.protocol = protocol_sctp} / Payload{text}).bytes();  // in which it can be looked at
            const Bytes segment(text.begin(), text.end());
            if (segment.size() < sctp_size || get16(segment, 2) != port_) {
                continue;
            }
            EXPECT_EQ(wrong_checksums(frame), "");
            return Datagram{{packet->from.address, get16(segment, 0)}, text.substr(sctp_size)};
        }
    }

private:
    Socket socket_;
    std::uint16_t port_;
};

// A question to that end, and the answer from there; the client as the server saw it.
std::optional<End> spoken(Speaker& client, const End& asked, Speaker& server) {
    const std::string odd = data(31), even = data(62);
    client.say(asked, odd);
    const auto question = server.hear();
    if (!question || question->text != odd || !server.say(question->from, even)) {
        return std::nullopt;
    }
    const auto answer = client.hear();
    return answer && answer->from == asked && answer->text == even ? std::optional(question->from) : std::nullopt;
}

class SctpPorts : public Host, public testing::WithParamInterface<Family> {
protected:
    static bool ipv6() { return GetParam() == Family::ipv6; }
    static std::string node() { return ipv6() ? node_ipv6 : node_address; }
    static std::string outside() { return ipv6() ? world_ipv6 : world_address; }
    static std::string loopback() { return ipv6() ? "::1" : "127.0.0.1"; }
    static std::string gateway() { return ipv6() ? "fd00:1::1" : "10.0.0.1"; }
    static std::string any() { return ipv6() ? "::" : "0.0.0.0"; }

    static Json plain(const Json& patch = Json::object()) {
        return ipv6() ? ipv6_configuration(patch) : configuration(patch);
    }
    // Port 8080 of the node is port 80 of the sandbox.
    static Json publishing(const Json& patch = Json::object()) {
        Json one{{"hostPort", 8080}, {"containerPort", service}, {"protocol", "sctp"}};
        one.merge_patch(patch);
        return plain(
            {{"capabilities", {{"portMappings", true}}}, {"runtimeConfig", {{"portMappings", Json::array({one})}}}});
    }
    // The kernel's own work makes the route by which a sandbox takes an address of IPv6 for its own, maybe only after
    // the ADD; a question that comes before nobody repeats.
    Sandbox settled(const std::string& id, const Json& conf) {
        auto sandbox = connect(id, conf);
        const auto is_its_own = [&] {
            return ip({"-6", "route", "show", "table", "local", sandbox.address}, sandbox.netns).starts_with("local");
        };
        EXPECT_TRUE(!ipv6() || eventually(is_its_own));
        return sandbox;
    }
    static Speaker of(const Sandbox& sandbox, std::uint16_t port) { return {sandbox.netns, {sandbox.address, port}}; }
    Speaker of_world(std::uint16_t port) const { return {world_.world(), {outside(), port}}; }
};

TEST_P(SctpPorts, ArePublishedToTheWorldWithTheClientsOwnSource) {
    const auto blue = settled("blue", publishing());
    auto server = of(blue, service), client = of_world(5000);
    EXPECT_EQ(spoken(client, {node(), 8080}, server), (End{outside(), 5000}));
}

TEST_P(SctpPorts, ArePublishedToSandboxes) {
    const auto blue = settled("blue", publishing()), red = settled("red", plain());
    auto server = of(blue, service);
    for (const auto& address : {node(), gateway()}) {
        for (const auto& sandbox : {red, blue}) {
            auto client = of(sandbox, 5000);
            const auto seen = spoken(client, {address, 8080}, server);
            ASSERT_TRUE(seen) << sandbox.id << " by " << address << ctl({"stats", "-i", "0"}).out;
            EXPECT_EQ(seen->address, address);
        }
    }
}

TEST_P(SctpPorts, ArePublishedToTheHostItself) {
    const auto blue = settled("blue", publishing());
    auto server = of(blue, service);
    for (const auto& address : {node(), loopback(), gateway()}) {
        Speaker client("", {any(), 5000});
        const auto seen = spoken(client, {address, 8080}, server);
        ASSERT_TRUE(seen) << address << ctl({"stats", "-i", "0"}).out;
        EXPECT_EQ(seen->address, gateway());
    }
}

TEST_P(SctpPorts, BelongToOneSandboxAndTheSecondIsToldToWhich) {
    const auto green = settled("green", plain());  // so that it is not by the last DEL that ports come free
    const auto blue = settled("blue", publishing());
    const auto netns = world_.add_namespace("red");
    EXPECT_TRUE(refused(add("red", netns, publishing()), 102, {"8080/sctp", "blue"}));
    EXPECT_TRUE(refused(add("red", netns, publishing({{"hostIP", node()}})), 102, {"8080/sctp", node(), "blue"}));
    for (const auto* other : {"tcp", "udp"}) {
        const auto conf = publishing({{"protocol", other}});
        disconnect(connect(other, conf), conf);
    }
    disconnect(blue, publishing());
    ASSERT_TRUE(succeeded(add("red", netns, publishing()))) << "free after its DEL";
}

TEST_P(SctpPorts, LeadToTheHostAgainOnceTheSandboxIsGone) {
    const auto blue = settled("blue", publishing()), red = settled("red", publishing({{"hostPort", 8081}}));
    auto of_blue = of(blue, service), of_red = of(red, service), client = of_world(5000);
    EXPECT_TRUE(spoken(client, {node(), 8080}, of_blue));
    EXPECT_TRUE(spoken(client, {node(), 8081}, of_red));
    disconnect(blue, publishing());
    Speaker host("", {node(), 8080});
    auto other = of_world(5001);
    EXPECT_TRUE(spoken(other, {node(), 8080}, host)) << "it is the host's again";
    EXPECT_TRUE(spoken(client, {node(), 8081}, of_red));
}

TEST_P(SctpPorts, AreGivenToNoFlowWhenTheyArePublishedOrReserved) {
    set_sysctl("net/ipv4/ip_local_reserved_ports", "8081");
    const auto blue = settled("blue", publishing()), red = settled("red", plain());
    auto server = of_world(9899);
    for (const auto port : {std::uint16_t{8080}, std::uint16_t{8081}}) {
        auto client = of(red, port);
        const auto seen = spoken(client, {outside(), 9899}, server);
        ASSERT_TRUE(seen) << ctl({"stats", "-i", "0"}).out;
        EXPECT_EQ(seen->address, node());
        EXPECT_NE(seen->port, port);
    }
}

TEST_P(SctpPorts, OfSeveralSandboxesLeadToOnePeerAtOnce) {
    const auto blue = settled("blue", plain()), red = settled("red", plain());
    auto server = of_world(9899), of_blue = of(blue, 4000), of_red = of(red, 4000);
    std::set<std::uint16_t> ports;
    for (auto* client : {&of_blue, &of_red, &of_blue, &of_red}) {
        const auto seen = spoken(*client, {outside(), 9899}, server);
        ASSERT_TRUE(seen) << ctl({"stats", "-i", "0"}).out;
        ports.insert(seen->port);
    }
    EXPECT_EQ(ports.size(), 2U);
    EXPECT_TRUE(ports.contains(4000));
    const auto flows = ctl_json({"flows", "--protocol", "sctp", "--port", "9899"});
    ASSERT_EQ(flows.size(), 2U);
    EXPECT_EQ(flows[0].at("protocol"), "sctp");
    EXPECT_EQ(ctl_json({"flows", "--protocol", "udp"}).size(), 0U);
}

INSTANTIATE_TEST_SUITE_P(Of, SctpPorts, testing::Values(Family::ipv4, Family::ipv6),
                         [](const auto& of) { return of.param == Family::ipv6 ? "IPv6" : "IPv4"; });

}  // namespace
}  // namespace causeway::test::sctp_test
