// SPDX-License-Identifier: Apache-2.0
#include "tests/system/traffic.hpp"

#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <thread>

#include "tests/support/packet.hpp"
#include "tests/support/packet_bytes.hpp"

namespace causeway::test {
namespace {

Meeting missed(const std::string& why) {
    return {.met = false, .why = why, .client = {}, .seen = {}};
}

// What a client binds to, of the server's family.
End own_end(const Place& client, const Place& server) {
    return client.end == End{} && server.end.is_ipv6() ? End{"::", 0} : client.end;
}

Socket prepared(Socket socket, const Place& client) {
    if (client.prepare) {
        client.prepare(socket);
    }
    return socket;
}

Meeting meet_tcp(const Place& client, const Place& server, const End& asked) {
    auto listener = Socket::listener(server.netns, server.end);
    auto socket = prepared(Socket::tcp(client.netns, own_end(client, server)), client);
    const int refusal = socket.connect(asked);
    auto accepted = refusal == 0 ? listener.accept() : std::nullopt;
    if (!accepted) {
        return missed(std::string("TCP connect: ") + std::strerror(refusal));
    }
    Meeting meeting{.met = true, .why = "", .client = socket.local(), .seen = accepted->peer()};
    const auto says = [&](Socket& from, Socket& to, const std::string& text) {
        const bool sent = from.send(text);
        const auto heard = sent ? to.receive() : std::nullopt;
        if (!heard || heard->text != text) {
            meeting.met = false;
            meeting.why = "TCP: \"" + text + "\" did not arrive";
        }
    };
    says(socket, *accepted, "a question");
    says(*accepted, socket, "an answer");
    return meeting;
}

Meeting meet_udp(const Place& client, const Place& server, const End& asked) {
    auto service = Socket::udp(server.netns, server.end);
    auto socket = prepared(Socket::udp(client.netns, own_end(client, server)), client);
    if (const int error = socket.connect(asked)) {  // so that only answers from there are heard
        return missed(std::string("UDP connect: ") + std::strerror(error));
    }
    socket.send("a question");
    const auto question = service.receive();
    if (!question) {
        return missed("UDP: the question did not arrive");
    }
    Meeting meeting{.met = true, .why = "", .client = socket.local(), .seen = question->from};
    service.send_to(question->from, "an answer");
    const auto answer = socket.receive();
    if (!answer || answer->text != "an answer") {
        meeting.met = false;
        meeting.why = "UDP: the answer did not arrive";
    }
    return meeting;
}

// RFC 4443, sections 4.1 and 4.2: the same header with other types. The kernel fills in that checksum.
struct Echo {
    int protocol;
    std::uint8_t request, reply;
    bool with_ip_header;  // as raw sockets give what they receive
};
Echo echo_towards(const End& end) {
    return end.is_ipv6() ? Echo{IPPROTO_ICMPV6, 128, 129, false} : Echo{IPPROTO_ICMP, ICMP_ECHO, ICMP_ECHOREPLY, true};
}

std::string echo_request(std::uint8_t type, std::uint16_t identifier) {
    icmphdr header{};
    header.type = type;
    header.un.echo.id = htons(identifier);
    header.un.echo.sequence = htons(1);
    const std::string text = "is anybody there";
    Bytes bytes(sizeof(header) + text.size());
    std::memcpy(bytes.data() + sizeof(header), text.data(), text.size());
    std::memcpy(bytes.data(), &header, sizeof(header));
    header.checksum = htons(checksum_of(bytes));
    std::memcpy(bytes.data(), &header, sizeof(header));
    return {bytes.begin(), bytes.end()};
}

// The next ICMP message of the type from a raw socket, which sees all of them.
std::optional<End> next_icmp(Socket& socket, const Echo& echo, std::uint8_t type, std::uint16_t identifier,
                             bool any_identifier, std::chrono::milliseconds time) {
    const auto deadline = std::chrono::steady_clock::now() + time;
    for (;;) {
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
        const auto packet = left.count() > 0 ? socket.receive(left) : std::nullopt;
        if (!packet) {
            return std::nullopt;
        }
        const std::size_t offset = echo.with_ip_header ? (static_cast<std::uint8_t>(packet->text[0]) & 0x0fU) * 4U : 0;
        icmphdr header{};
        if (packet->text.size() < offset + sizeof(header)) {
            continue;
        }
        std::memcpy(&header, packet->text.data() + offset, sizeof(header));
        const auto seen = ntohs(header.un.echo.id);
        if (header.type == type && (any_identifier || seen == identifier)) {
            return End{packet->from.address, seen};
        }
    }
}

std::uint16_t identifier_of(const Place& client) {
    static std::atomic<std::uint16_t> next = 20000;
    return client.end.port != 0 ? client.end.port : next++;
}

Meeting meet_icmp(const Place& client, const Place& server, const End& asked) {
    const auto identifier = identifier_of(client);
    const auto echo = echo_towards(asked);
    const bool ipv6 = asked.is_ipv6();
    auto socket = prepared(Socket::open(client.netns, SOCK_RAW, echo.protocol, ipv6), client);
    auto watch = Socket::open(server.netns, SOCK_RAW, echo.protocol, ipv6);
    socket.bind({own_end(client, server).address, 0});
    if (const int error = socket.connect({asked.address, 0})) {
        return missed(std::string("ICMP connect: ") + std::strerror(error));
    }
    socket.send(echo_request(echo.request, identifier));
    const auto request = next_icmp(watch, echo, echo.request, identifier, true, patience);
    if (!request) {
        return missed("ICMP: the request did not arrive");
    }
    Meeting meeting{.met = true, .why = "", .client = {socket.local().address, identifier}, .seen = *request};
    if (!next_icmp(socket, echo, echo.reply, identifier, false, patience)) {
        meeting.met = false;
        meeting.why = "ICMP: the answer did not arrive";
    }
    return meeting;
}

// Who has asked for a connection with this port, by what a raw socket has got.
std::optional<End> next_syn(Socket& watch, std::uint16_t port) {
    while (const auto packet = watch.receive(std::chrono::milliseconds(0))) {
        const Bytes bytes(packet->text.begin(), packet->text.end());
        const std::size_t begin = packet->from.is_ipv6() || bytes.empty() ? 0 : (bytes[0] & 0x0fU) * std::size_t{4};
        if (bytes.size() >= begin + sizeof(tcphdr) && get16(bytes, begin + 2) == port &&
            (bytes[begin + 13] & (syn | ack)) == syn) {
            return End{packet->from.address, static_cast<std::uint16_t>(get16(bytes, begin))};
        }
    }
    return std::nullopt;
}

std::optional<End> seen_by_tcp(const Place& client, const Place& server, const End& asked) {
    auto listener = Socket::listener(server.netns, server.end);
    auto watch = Socket::open(server.netns, SOCK_RAW, IPPROTO_TCP, server.end.is_ipv6());
    prepared(Socket::tcp(client.netns, own_end(client, server)), client).connect(asked, silence);
    return next_syn(watch, server.end.port);
}

std::optional<End> seen_by_udp(const Place& client, const Place& server, const End& asked) {
    auto service = Socket::udp(server.netns, server.end);
    auto socket = prepared(Socket::udp(client.netns, own_end(client, server)), client);
    EXPECT_TRUE(socket.send_to(asked, "a question")) << std::strerror(errno);
    const auto question = service.receive(silence);
    return question ? std::optional(question->from) : std::nullopt;
}

std::optional<End> seen_by_icmp(const Place& client, const Place& server, const End& asked) {
    const auto identifier = identifier_of(client);
    const auto echo = echo_towards(asked);
    auto watch = Socket::open(server.netns, SOCK_RAW, echo.protocol, asked.is_ipv6());
    auto socket = prepared(Socket::open(client.netns, SOCK_RAW, echo.protocol, asked.is_ipv6()), client);
    socket.bind({own_end(client, server).address, 0});
    EXPECT_TRUE(socket.send_to({asked.address, 0}, echo_request(echo.request, identifier))) << std::strerror(errno);
    return next_icmp(watch, echo, echo.request, identifier, true, silence);
}

// Cheap where nothing is optimised: SplitMix64, which walks its state by one odd number and mixes each.
std::string unguessable(std::uint64_t& state) {
    std::string block(65536, '\0');
    for (std::size_t i = 0; i < block.size(); i += sizeof(std::uint64_t)) {
        std::uint64_t number = state += 0x9e3779b97f4a7c15;
        number = (number ^ number >> 30) * 0xbf58476d1ce4e5b9;
        number = (number ^ number >> 27) * 0x94d049bb133111eb;
        number ^= number >> 31;
        std::memcpy(block.data() + i, &number, sizeof(number));
    }
    return block;
}

}  // namespace

void PrintTo(Protocol protocol, std::ostream* stream) {
    *stream << (protocol == Protocol::tcp ? "tcp" : protocol == Protocol::udp ? "udp" : "icmp");
}

void PrintTo(const Meeting& meeting, std::ostream* stream) {
    *stream << (meeting.met ? "met" : "not met: " + meeting.why) << ", client " << meeting.client.address << ":"
            << meeting.client.port << " seen as " << meeting.seen.address << ":" << meeting.seen.port;
}

std::function<void(Socket&)> ip_options(const std::string& options) {
    return [options](Socket& socket) {
        if (socket.is_ipv6()) {  // a destination options header with padding
            const std::uint8_t padding[] = {0, 0, 1, 4, 0, 0, 0, 0};
            if (setsockopt(socket.fd(), IPPROTO_IPV6, IPV6_DSTOPTS, padding, sizeof(padding)) != 0) {
                throw std::runtime_error(std::string("set a header of IPv6: ") + std::strerror(errno));
            }
        } else if (setsockopt(socket.fd(), IPPROTO_IP, IP_OPTIONS, options.data(),
                              static_cast<socklen_t>(options.size())) != 0) {
            throw std::runtime_error(std::string("set IP options: ") + std::strerror(errno));
        }
    };
}

std::function<void(Socket&)> fragments(bool allowed) {
    return [allowed](Socket& socket) { socket.set_mtu_discovery(allowed ? IP_PMTUDISC_DONT : IP_PMTUDISC_DO); };
}

Meeting meet(Protocol protocol, const Place& client, const Place& server, const End& asked) {
    const auto& target = asked == End{} ? server.end : asked;
    switch (protocol) {
        case Protocol::tcp:
            return meet_tcp(client, server, target);
        case Protocol::udp:
            return meet_udp(client, server, target);
        default:
            return meet_icmp(client, server, target);
    }
}

Meeting knock(Protocol protocol, const Place& client, const Place& server, const End& asked) {
    const auto& target = asked == End{} ? server.end : asked;
    // a way there is a client's to have, whoever then is in it
    EXPECT_EQ(Socket::udp(client.netns, {own_end(client, server).address, 0}).connect(target), 0) << target.address;
    const auto seen = protocol == Protocol::tcp   ? seen_by_tcp(client, server, target)
                      : protocol == Protocol::udp ? seen_by_udp(client, server, target)
                                                  : seen_by_icmp(client, server, target);
    return {.met = seen.has_value(),
            .why = seen ? "" : "the question did not arrive",
            .client = {},
            .seen = seen.value_or(End{})};
}

bool ping(const std::string& netns, const std::string& address, std::chrono::milliseconds time) {
    constexpr std::uint16_t identifier = 4242;
    const End end{address, 0};
    const auto echo = echo_towards(end);
    auto socket = Socket::open(netns, SOCK_RAW, echo.protocol, end.is_ipv6());
    return socket.connect({address, 0}) == 0 && socket.send(echo_request(echo.request, identifier)) &&
           next_icmp(socket, echo, echo.reply, identifier, false, time).has_value();
}

Line open_line(const Place& client, const Place& server, const End& asked) {
    auto listener = Socket::listener(server.netns, server.end);
    auto socket = prepared(Socket::tcp(client.netns, own_end(client, server)), client);
    const int refusal = socket.connect(asked == End{} ? server.end : asked);
    auto accepted = listener.accept();
    if (refusal != 0 || !accepted) {
        throw std::runtime_error("connect to " + server.end.address + ": " + std::strerror(refusal));
    }
    const End seen = accepted->peer();
    return {std::move(socket), std::move(*accepted), seen};
}

bool alive(Line& line, std::chrono::milliseconds time) {
    const auto says = [&](Socket& from, Socket& to, const std::string& text) {
        const bool sent = from.send(text);
        const auto heard = sent ? to.receive(time) : std::nullopt;
        return heard && heard->text == text;
    };
    return says(line.client, line.server, "still there?") && says(line.server, line.client, "yes");
}

testing::AssertionResult carries(Socket& from, Socket& to, std::size_t size) {
    constexpr std::uint64_t seed = 42;
    std::atomic<bool> sent = true;
    std::thread sender([&] {
        std::uint64_t random = seed;
        for (std::size_t done = 0; done < size && sent;) {
            const auto block = unguessable(random).substr(0, size - done);
            sent = from.send(block);
            done += block.size();
        }
    });
    std::uint64_t random = seed;
    std::string expected;
    std::size_t got = 0;
    std::string why;
    while (got < size && why.empty()) {
        const auto piece = to.receive();
        if (!piece || piece->text.empty()) {
            why = "the stream broke";
            break;
        }
        while (expected.size() < piece->text.size()) {
            expected += unguessable(random);
        }
        if (expected.compare(0, piece->text.size(), piece->text) != 0) {
            why = "the stream is not what was sent";
        }
        expected.erase(0, piece->text.size());
        got += piece->text.size();
    }
    sender.join();
    if (why.empty() && sent) {
        return testing::AssertionSuccess();
    }
    return testing::AssertionFailure() << why << " after " << got << " of " << size << " bytes";
}

testing::AssertionResult carries_datagrams(const Place& client, const Place& server, std::size_t question,
                                           std::size_t answer, const End& asked) {
    auto service = Socket::udp(server.netns, server.end);
    auto socket = prepared(Socket::udp(client.netns, own_end(client, server)), client);
    const std::string asking(question, 'q'), answering(answer, 'a');
    if (socket.connect(asked == End{} ? server.end : asked) != 0 || !socket.send(asking)) {
        return testing::AssertionFailure() << "the question was not sent: " << std::strerror(errno);
    }
    const auto heard = service.receive();
    if (!heard || heard->text != asking) {
        return testing::AssertionFailure() << "the question did not arrive as it was";
    }
    const auto answered = service.send_to(heard->from, answering) ? socket.receive() : std::nullopt;
    if (!answered || answered->text != answering) {
        return testing::AssertionFailure() << "the answer did not arrive as it was";
    }
    return testing::AssertionSuccess();
}

}  // namespace causeway::test
