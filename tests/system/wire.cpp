// SPDX-License-Identifier: Apache-2.0
#include "tests/system/wire.hpp"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <stdexcept>

#include "tests/support/world.hpp"
#include "tests/system/host.hpp"
#include "tests/system/layout.hpp"

namespace causeway::test {
namespace {

Socket packet_socket(const std::string& netns, const std::string& device) {
    const Visit visit(netns);
    Socket socket(::socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, htons(ETH_P_ALL)));
    sockaddr_ll name{};
    name.sll_family = AF_PACKET;
    name.sll_protocol = htons(ETH_P_ALL);
    name.sll_ifindex = static_cast<int>(if_nametoindex(device.c_str()));
    if (socket.fd() < 0 || name.sll_ifindex == 0 ||
        bind(socket.fd(), reinterpret_cast<const sockaddr*>(&name), sizeof(name)) != 0) {
        fail("tap " + device);
    }
    socket.set(SOL_PACKET, PACKET_AUXDATA, 1);
    return socket;
}

// One frame that is there already.
std::optional<Seen> read_frame(int fd) {
    static thread_local Bytes largest(262144);  // made once: clearing it takes longer than all else
    Seen seen;
    sockaddr_ll name{};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(tpacket_auxdata))];
    iovec place{.iov_base = largest.data(), .iov_len = largest.size()};
    msghdr message{};
    message.msg_name = &name;
    message.msg_namelen = sizeof(name);
    message.msg_iov = &place;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    const auto size = recvmsg(fd, &message, 0);
    if (size < 0) {
        return std::nullopt;
    }
    seen.frame.assign(largest.begin(), largest.begin() + size);
    seen.outgoing = name.sll_pkttype == PACKET_OUTGOING;
    for (auto* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
        tpacket_auxdata data{};
        std::memcpy(&data, CMSG_DATA(part), sizeof(data));
        seen.checksum_pending = (data.tp_status & TP_STATUS_CSUMNOTREADY) != 0;
    }
    return seen;
}

}  // namespace

Mac mac_of(const std::string& text) {
    Mac mac;
    auto& b = mac.bytes;
    if (std::sscanf(text.c_str(), "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5]) != 6) {
        throw std::runtime_error("\"" + text + "\" is no MAC");
    }
    return mac;
}

Mac mac_of_device(const std::string& netns, const std::string& device) {
    return mac_of(ip_json({"link", "show", device}, netns).at(0).at("address"));
}

Ip ip_of(const std::string& text) {
    in_addr address{};
    in6_addr longer{};
    if (inet_pton(AF_INET6, text.c_str(), &longer) == 1) {
        std::memcpy(&address, &longer.s6_addr[12], sizeof(address));
    } else if (inet_pton(AF_INET, text.c_str(), &address) != 1) {
        throw std::runtime_error("\"" + text + "\" is no IP address");
    }
    return Ip{ntohl(address.s_addr)};
}

Tap::Tap(const std::string& netns, const std::string& device) : socket_(packet_socket(netns, device)) {}

void Tap::send(const Bytes& frame) {
    if (::send(socket_.fd(), frame.data(), frame.size(), 0) != static_cast<ssize_t>(frame.size())) {
        fail("send a frame");
    }
}

std::optional<Seen> Tap::next(const std::function<bool(const Seen&)>& wanted, std::chrono::milliseconds time) {
    const auto deadline = std::chrono::steady_clock::now() + time;
    for (;;) {
        while (auto seen = read_frame(socket_.fd())) {
            if (wanted(*seen)) {
                return seen;
            }
        }
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
        pollfd waiting{.fd = socket_.fd(), .events = POLLIN, .revents = 0};
        if (left.count() <= 0 || poll(&waiting, 1, static_cast<int>(left.count())) == 0) {
            return std::nullopt;
        }
    }
}

bool is_packet(const Bytes& frame, std::uint8_t protocol, const std::string& source, const std::string& destination) {
    const auto layout = layout_of_frame(frame);
    if (!layout || layout->protocol != protocol) {
        return false;
    }
    const auto has = [&](std::size_t offset, const std::string& address) {
        in6_addr wanted{};
        const int family = layout->family == Family::ipv6 ? AF_INET6 : AF_INET;
        return address.empty() || (inet_pton(family, address.c_str(), &wanted) == 1 &&
                                   std::memcmp(&frame[offset], &wanted, layout->address_size()) == 0);
    };
    return has(layout->source(), source) && has(layout->destination(), destination);
}

std::vector<Frame> pieces_with_other_headers(const Ethernet& link, const std::string& source,
                                             const std::string& destination, const UDP& udp) {
    constexpr std::uint16_t first_length = 1200;
    const IPv6 ip{.source = ip6_of(ip_of(source)), .destination = ip6_of(ip_of(destination))};
    Bytes padding(62);
    padding[0] = 1;  // PadN
    padding[1] = static_cast<std::uint8_t>(padding.size() - 2);
    return {link / ip / Extension{.body = padding} / FragmentHeader{.more_fragments = true} / udp /
                Payload{std::string(first_length - 8, 'x')},
            link / ip / FragmentHeader{.offset = first_length / 8, .next_header = 17} / Payload{std::string(600, 'y')}};
}

Frame neighbour_question(const Mac& own, const std::string& sender, const std::string& target) {
    Ip6 from, to, group = "ff02::1:ff00:0"_ip6;  // RFC 4291, section 2.7.1
    if (inet_pton(AF_INET6, target.c_str(), to.bytes.data()) != 1) {
        return Ethernet{.source = own, .destination = "ff:ff:ff:ff:ff:ff"_mac} /
               Arp{.sender_mac = own, .sender = ip_of(sender), .target = ip_of(target)};
    }
    if (inet_pton(AF_INET6, sender.c_str(), from.bytes.data()) != 1) {
        fail("ask as " + sender);
    }
    std::copy_n(to.bytes.begin() + 13, 3, group.bytes.begin() + 13);
    Mac multicast{{0x33, 0x33}};  // RFC 2464, section 7
    std::copy_n(group.bytes.begin() + 12, 4, multicast.bytes.begin() + 2);
    const Neighbour probe{.target = to};
    const Neighbour question{.target = to, .source_link = own};
    return Ethernet{.source = own, .destination = multicast} /
           IPv6{.source = from, .destination = group, .hop_limit = 255} / (from == Ip6{} ? probe : question);
}

bool is_neighbour_answer(const Bytes& frame) {
    const bool arp = frame.size() >= 42 && frame[12] == 0x08 && frame[13] == 0x06 && frame[20] == 0 && frame[21] == 2;
    const bool nd = frame.size() >= 86 && frame[12] == 0x86 && frame[13] == 0xdd && frame[20] == IPPROTO_ICMPV6 &&
                    frame[54] == neighbour_advertisement;
    return arp || nd;
}

}  // namespace causeway::test
