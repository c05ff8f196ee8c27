// SPDX-License-Identifier: Apache-2.0
// Attaches every program where the control plane would, and waits for what the counters say.
#include "tests/datapath/live_fixture.hpp"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <numeric>
#include <span>
#include <system_error>
#include <thread>

namespace causeway::test {
namespace {

constexpr std::uint16_t all_ethertypes = 3;  // ETH_P_ALL

void require(bool held, const char* what) {
    if (!held) {
        throw std::system_error(errno, std::generic_category(), what);
    }
}

// struct virtio_net_hdr of linux/virtio_net.h, which is C only (virtio 1.2, section 5.1.6).
struct VirtioHeader {
    std::uint8_t flags, gso_type;
    std::uint16_t header_length, gso_size, checksum_start, checksum_offset;
};
constexpr std::uint8_t needs_checksum = 1;

std::uint64_t sum(const VerdictCounts& counts) {
    return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
}

// What a kernel with IPv6 says of itself, when it likes: MLDv2 (RFC 3810, section 5.2.14), to ff02::16.
bool is_multicast_report(std::span<const std::uint8_t> frame) {
    constexpr std::array<std::uint8_t, 6> all_mldv2_routers{0x33, 0x33, 0, 0, 0, 0x16};
    return std::ranges::equal(frame.first(all_mldv2_routers.size()), all_mldv2_routers);
}

}  // namespace

Wire::Wire(const char* device) : fd_(socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(all_ethertypes);
    address.sll_ifindex = static_cast<int>(if_nametoindex(device));
    require(address.sll_ifindex != 0, "find the device");
    require(bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0, "bind");
}

void Wire::send(const Bytes& frame) {
    require(::send(fd_.get(), frame.data(), frame.size(), 0) == static_cast<ssize_t>(frame.size()), "send");
}

void Wire::send_unfinished(const Bytes& frame, std::size_t start, std::uint16_t offset) {
    const auto announce = [&](int on) {
        require(setsockopt(fd_.get(), SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) == 0, "announce a header");
    };
    const VirtioHeader header{
        .flags = needs_checksum, .checksum_start = static_cast<std::uint16_t>(start), .checksum_offset = offset};
    const auto* const first = reinterpret_cast<const std::uint8_t*>(&header);
    Bytes bytes(first, first + sizeof(header));
    bytes.insert(bytes.end(), frame.begin(), frame.end());
    announce(1);
    send(bytes);
    announce(0);
}

Bytes Wire::receive(int milliseconds) {
    std::array<std::uint8_t, 16384> buffer{};
    pollfd wait{.fd = fd_.get(), .events = POLLIN, .revents = 0};
    while (poll(&wait, 1, milliseconds) > 0) {
        sockaddr_ll from{};
        socklen_t size = sizeof(from);
        const ssize_t length =
            recvfrom(fd_.get(), buffer.data(), buffer.size(), 0, reinterpret_cast<sockaddr*>(&from), &size);
        require(length >= 0, "receive");
        if (from.sll_pkttype != PACKET_OUTGOING && !is_multicast_report(buffer)) {
            return {buffer.begin(), buffer.begin() + length};
        }
    }
    return {};
}

void Live::SetUp() {
    load({.apart = true});
    run_ip(
        "neighbour add 203.0.113.254 lladdr 02:00:00:00:01:fe dev up0 nud permanent\n"
        "neighbour add 10.0.0.2 lladdr 02:00:00:00:00:0a dev cw0 nud permanent\n");
    datapath_->attach(Program::from_sandbox, host_a);
    datapath_->attach(Program::from_sandbox, host_b);
    datapath_->attach(Program::from_host, gateway_device);
    datapath_->attach(Program::from_uplink, uplink_device);
    datapath_->attach(Program::from_stack, uplink_device);
}

Wire Live::far_end(const char* device) {
    const Node::Elsewhere there(*node_);
    return Wire(device);
}

void Live::expect_ends(Wire& wire, const Frame& frame, const std::vector<enum verdict>& verdicts) {
    const VerdictCounts before = datapath_->verdicts();
    VerdictCounts expected = before;
    for (const enum verdict verdict : verdicts) {
        ++expected[verdict];
    }
    wire.send(bytes_of(frame));
    VerdictCounts after = datapath_->verdicts();
    for (int looks = 0; looks < 200 && sum(after) < sum(expected); ++looks) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
        after = datapath_->verdicts();
    }
    for (std::size_t i = 0; i < after.size(); ++i) {
        EXPECT_EQ(after[i] - before[i], expected[i] - before[i]) << name_of(static_cast<enum verdict>(i)) << " for\n"
                                                                 << describe(frame.bytes());
    }
}

}  // namespace causeway::test
