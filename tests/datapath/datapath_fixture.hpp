// SPDX-License-Identifier: Apache-2.0
// What every datapath test starts from: the host, the loaded programs, two connected sandboxes and one uplink.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <thread>
#include <vector>

#include "tests/datapath/expected_answer.hpp"
#include "tests/datapath/loaded_datapath.hpp"
#include "tests/datapath/node.hpp"
#include "tests/support/family.hpp"
#include "tests/support/packet.hpp"

// For GoogleTest, which looks in the type's own namespace.
inline void PrintTo(enum verdict value, std::ostream* out) {
    *out << causeway::test::name_of(value);
}

namespace causeway::test {

// Who sends a packet: so which program sees it, and on which device.
// forwarder: the host's stack, which sends out of the uplink what came in by the gateway device. itself: the host, to
// an address of its own.
enum class From { sandbox_a, sandbox_b, host, uplink, forwarder, itself, unknown_link };

// The frames that each of them sends begin so.
inline constexpr Ethernet from_a{.source = mac_a, .destination = mac_gateway},
    from_b{.source = mac_b, .destination = mac_gateway},
    from_the_host{.source = mac_gateway, .destination = mac_gateway},
    from_world{.source = mac_router, .destination = mac_uplink};

// And so do those that arrive at a sandbox.
inline constexpr Ethernet at_a{.source = mac_gateway, .destination = mac_a},
    at_b{.source = mac_gateway, .destination = mac_b};

inline constexpr std::uint32_t network_id = 1;

// What the first packet without "don't fragment" is given by the host; those that follow get the next.
inline constexpr std::uint16_t first_identification = 0x7000;

// One line of a table: in goes the packet, and it ends so. No packet out: it has become the answer that its sender is
// due, or is left as it was.
struct Row {
    const char* name;
    From from;
    Frame in;
    enum verdict verdict;
    std::optional<Frame> out = std::nullopt;
    Context context = {};
    std::optional<Family> only = std::nullopt;  // has no like in the other
};

// A row, and the family in which it runs: packets are written as IPv4, and become what means the same.
using FamilyRow = std::pair<Family, Row>;

// Each row in each family, but for those that have no like.
template <std::size_t Count>
std::vector<FamilyRow> in_each_family(const Row (&rows)[Count]) {
    std::vector<FamilyRow> all;
    for (const Family family : {Family::ipv4, Family::ipv6}) {
        for (const Row& row : rows) {
            if (row.only.value_or(family) == family) {
                all.emplace_back(family, row);
            }
        }
    }
    return all;
}

Row only_ipv4(Row row);
Row only_ipv6(Row row);

void PrintTo(const Row& row, std::ostream* out);
std::string name_of_row(const testing::TestParamInfo<FamilyRow>& info);
std::string name_of_family(const testing::TestParamInfo<Family>& info);

// A sandbox of that address (and that of IPv6), host end and MAC, as the control plane writes it.
sandbox sandbox_at(Ip ip, std::uint32_t ifindex, const Mac& mac);
uplink uplink_at(Ip ip);

IPv4 of_protocol(IPv4 ip, std::uint8_t protocol);

inline constexpr std::uint8_t tcp_protocol = 6, udp_protocol = 17, icmp_protocol = 1, gre_protocol = 47,
                              sctp_protocol = 132, udp_lite_protocol = 136;

// Packets, addresses and commands are written as IPv4; in the other family each becomes what means the same.
class DatapathTest : public testing::Test {
protected:
    void SetUp() override { load({}); }

    virtual Family family() const { return Family::ipv4; }

    // On its node, with programs that no other test uses now and maps that are filled. Flows and counters begin empty.
    void load(const LoadOptions& options);

    // Changes the network's configuration: change(network&).
    template <typename Change>
    void configure(Change change) {
        change(network_);
        datapath_->set_network(network_id, network_);
    }

    const network& configuration() const { return network_; }

    void run_ip(const std::string& commands) const { test::run_ip(commands, family()); }
    void set_sysctl(const std::string& name, const std::string& value) const;  // name: "ipv4/..."
    Bytes bytes_of(const Frame& frame) const { return in_family(frame, family()).bytes(); }
    std::vector<Frame> fragments_of(const Frame& whole, std::size_t size) const;
    std::vector<Frame> fragments_of(const Frame& whole, std::size_t size, std::uint16_t identification) const;
    address address_of(Ip ip) const;

    // A is gone, with its flows left to the timer, and its address is B's.
    void give_address_of_a_to_b();

    // That port of an address of the host's, or with 0.0.0.0 of all, is port 80 of A's: as the control plane keeps it.
    static constexpr std::uint16_t service = 80;
    flow_key published_key(std::uint8_t protocol, Ip at, std::uint16_t port) const;
    void publish(std::uint8_t protocol, Ip at, std::uint16_t port);

    // "10.0.0.2:40000 asks 198.51.100.7:80": the keys under which causeway keeps it.
    flow_key key_of(std::uint8_t protocol, Ip source, std::uint16_t source_port, Ip destination,
                    std::uint16_t destination_port, std::uint32_t scope) const;

    // Runs the packet and finds its verdict in the counters; exactly one must have gone up, by one, and the
    // program's answer to the kernel must be that verdict's. CONTINUE: none has, and the packet goes on. What the
    // sender of a dropped packet is told must be right to the byte.
    Outcome expect_verdict(From from, const Frame& in, enum verdict verdict, const Context& context = {});

    // The same, and the packet out (if it was not answered) is that one to the byte, with checksums that hold.
    void expect_packet(From from, const Frame& in, enum verdict verdict, const Frame& out, const Context& context = {});

    void expect_row(const Row& row);

    // The port (or ICMP identifier) under which the world sees this packet of a sandbox.
    std::uint16_t port_in_world(From from, const Frame& in);

    // Until the timer has done it; fails after far more time than it needs.
    template <typename Condition>
    void wait_until(Condition condition) {
        for (int looks = 0; looks < 1000; ++looks) {
            if (condition()) {
                return;
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
        }
        ADD_FAILURE() << "not even after ten seconds";
    }

    const Node* node_ = nullptr;
    std::shared_ptr<LoadedDatapath> datapath_;
    RouteAnswer route_answer_;

private:
    void set_endpoint(Ip ip, const endpoint& value);

    // faults: gets a line for whatever was not as expected. The action is REDIRECT for a packet that was answered.
    Outcome run(From from, const Bytes& packet, enum verdict verdict, Context context, std::string& faults);

    network network_{};
};

class DatapathTable : public DatapathTest, public testing::WithParamInterface<FamilyRow> {
protected:
    Family family() const override { return GetParam().first; }
    void expect_this_row() { expect_row(GetParam().second); }
};

// Every test of such a class runs in each family.
class InEachFamily : public DatapathTest, public testing::WithParamInterface<Family> {
protected:
    Family family() const override { return GetParam(); }
};

#define RUN_IN_EACH_FAMILY(suite) \
    INSTANTIATE_TEST_SUITE_P(, suite, testing::Values(Family::ipv4, Family::ipv6), name_of_family)
#define RUN_IN_IPV4(suite) INSTANTIATE_TEST_SUITE_P(, suite, testing::Values(Family::ipv4), name_of_family)
#define RUN_IN_IPV6(suite) INSTANTIATE_TEST_SUITE_P(, suite, testing::Values(Family::ipv6), name_of_family)

}  // namespace causeway::test
