// SPDX-License-Identifier: Apache-2.0
// What is not whole packets of a conversation, and turns all the same: fragments, and ICMP errors, between two
// sandboxes of which one reaches the other's published port by the host's address.
#include "tests/datapath/datapath_fixture.hpp"
#include "tests/datapath/fragments.hpp"

namespace causeway::test::hairpin_test {
namespace {

constexpr std::uint16_t clients_port = 40000, host_port = 30080;

// B is the client of A's port 80, which is port 30080 of the host.
class Turned : public InEachFamily {
protected:
    void SetUp() override {
        InEachFamily::SetUp();
        publish(udp_protocol, ip_uplink, host_port);
    }

    void open() {
        expect_packet(From::sandbox_b, from_b / b_to_host / UDP{clients_port, host_port}, VERDICT_TO_SANDBOX,
                      at_a / host_to_a / UDP{clients_port, service});
    }

    static constexpr IPv4 of(Ip source, Ip destination, std::uint8_t ttl = 64) {
        return {.source = source, .destination = destination, .ttl = ttl};
    }

    const IPv4 b_to_host = of(ip_b, ip_uplink), host_to_a = of(ip_uplink, ip_a, 63);
    const IPv4 a_to_host = of(ip_a, ip_uplink), host_to_b = of(ip_uplink, ip_b, 63);
};

class TurnedErrors : public Turned {
protected:
    void SetUp() override {
        Turned::SetUp();
        open();
    }

    // A about what B has sent, and as B is to see it: about what it has sent itself, to the host.
    static Frame by_server(const IPv4& ip, const IcmpError& error = {}) {
        return from_a / ip / error / of(ip_uplink, ip_a, 63) / UDP{clients_port, service} / Payload{"odd"};
    }
    static Frame at_client(const IPv4& ip, const IcmpError& error = {}) {
        return at_b / ip / error / of(ip_b, ip_uplink, 63) / UDP{clients_port, host_port} / Payload{"odd"};
    }
};

TEST_P(TurnedErrors, OfTheServerReachTheClient) {
    for (const std::uint8_t code : std::initializer_list<std::uint8_t>{0, 1, 3, 4, 13}) {
        const IcmpError error{.code = code, .rest = code == 4 ? 1300U : 0U};
        expect_packet(From::sandbox_a, by_server(a_to_host, error), VERDICT_TO_SANDBOX, at_client(host_to_b, error));
    }
    const IcmpError expired{.type = icmp_time_exceeded};
    expect_packet(From::sandbox_a, by_server(a_to_host, expired), VERDICT_TO_SANDBOX, at_client(host_to_b, expired));
}

TEST_P(TurnedErrors, OfTheClientReachTheServer) {
    const Frame in = from_b / b_to_host / IcmpError{} / of(ip_uplink, ip_b, 63) / UDP{host_port, clients_port};
    const Frame out = at_a / host_to_a / IcmpError{} / of(ip_a, ip_uplink, 63) / UDP{service, clients_port};
    expect_packet(From::sandbox_b, in, VERDICT_TO_SANDBOX, out);
}

TEST_P(TurnedErrors, HaveOneHopBehindThem) {
    IPv4 in = a_to_host, out = host_to_b;
    in.ttl = 2;
    out.ttl = 1;
    expect_packet(From::sandbox_a, by_server(in), VERDICT_TO_SANDBOX, at_client(out));
    in.ttl = 1;
    expect_verdict(From::sandbox_a, by_server(in), VERDICT_DROP_TTL_EXPIRED);
}

TEST_P(TurnedErrors, HaveRightChecksumsOrEnd) {
    expect_verdict(From::sandbox_a, by_server(a_to_host, {.checksum = 1}), VERDICT_DROP_BAD_CHECKSUM);
}

TEST_P(TurnedErrors, AreTheHostsWhenTheyAreAboutWhatItHasSent) {
    const Frame about_the_host =
        from_a / a_to_host / IcmpError{} / of(ip_uplink, ip_a) / UDP{clients_port + 1, service} / Payload{"odd"};
    expect_packet(From::sandbox_a, about_the_host, VERDICT_TO_HOST, about_the_host);
}

class TurnedFragments : public Turned {
protected:
    static IPv4 cut(IPv4 ip) {
        ip.dont_fragment = false;
        return ip;
    }
    void expect_nothing_left() {
        EXPECT_EQ(datapath_->trains(), 0U);
        EXPECT_EQ(datapath_->usage_of(host_a).fragments, 0U);
        EXPECT_EQ(datapath_->usage_of(host_b).fragments, 0U);
    }
    // All of them turn, under one identification.
    void expect_turned(From from, const Frame& in, const Frame& out, std::uint16_t identification) {
        const auto sent = fragments_of(in, 1480), received = fragments_of(out, 1480, identification);
        for (std::size_t i = 0; i < sent.size(); ++i) {
            expect_packet(from, sent[i], VERDICT_TO_SANDBOX, received[i]);
        }
        expect_nothing_left();
    }
    const Payload text{std::string(4000, 'x')};
};

TEST_P(TurnedFragments, ReachTheServerAndItsAnswersTheClient) {
    expect_turned(From::sandbox_b, from_b / cut(b_to_host) / UDP{clients_port, host_port} / text,
                  at_a / cut(host_to_a) / UDP{clients_port, service} / text, first_identification);
    expect_turned(From::sandbox_a, from_a / cut(a_to_host) / UDP{service, clients_port} / text,
                  at_b / cut(host_to_b) / UDP{host_port, clients_port} / text, first_identification + 1);
}

TEST_P(TurnedFragments, AreHeldUntilTheFirstOneTellsWhereTheyGo) {
    const auto fragments = fragments_of(from_b / cut(b_to_host) / UDP{clients_port, host_port} / text, 1480);
    expect_verdict(From::sandbox_b, fragments[1], VERDICT_FRAGMENT_HELD);
    EXPECT_EQ(datapath_->held_fragments(), 1U);
}

TEST_P(TurnedFragments, AreTheHostsWhenTheirPortIsNotPublished) {
    for (const Frame& frame : fragments_of(from_b / cut(b_to_host) / UDP{clients_port, 53} / text, 1480)) {
        expect_packet(From::sandbox_b, frame, VERDICT_TO_HOST, frame);
    }
    expect_nothing_left();
}

// Its stack may have room for what the datapath has none for.
TEST_P(TurnedFragments, AreTheHostsWhenThereIsNoRoomToRememberThem) {
    datapath_->set_usage(host_b, {.fragments = CAUSEWAY_TRAINS_OF_ONE_MAX});
    const auto fragments = fragments_of(from_b / cut(b_to_host) / UDP{clients_port, 53} / text, 1480);
    for (const Frame& frame : fragments) {
        expect_packet(From::sandbox_b, frame, VERDICT_TO_HOST, frame);
    }
}

RUN_IN_EACH_FAMILY(TurnedErrors);
RUN_IN_EACH_FAMILY(TurnedFragments);

}  // namespace
}  // namespace causeway::test::hairpin_test
