// SPDX-License-Identifier: Apache-2.0
#include "tests/system/traffic.hpp"

#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <random>
#include <stdexcept>
#include <thread>

#include "tests/support/packet.hpp"

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

Meeting meet_tcp(const Place& client, const Place& server, std::chrono::milliseconds time) {
    auto listener = Socket::listener(server.netns, server.end);
    auto socket = prepared(Socket::tcp(client.netns, own_end(client, server)), client);
    const int refusal = socket.connect(server.end, time);
    auto accepted = listener.accept(refusal == 0 ? time : std::chrono::milliseconds(0));
    if (!accepted) {
        return missed(std::string("TCP connect: ") + std::strerror(refusal));
    }
    if (refusal != 0) {
        return {.met = false, .why = "reached the server", .client = {}, .seen = accepted->peer()};
    }
    Meeting meeting{.met = true, .why = "", .client = socket.local(), .seen = accepted->peer()};
    const auto says = [&](Socket& from, Socket& to, const std::string& text) {
        const bool sent = from.send(text);
        const auto heard = sent ? to.receive(time) : std::nullopt;
        if (!heard || heard->text != text) {
            meeting.met = false;
            meeting.why = "TCP: \"" + text + "\" did not arrive";
        }
    };
    says(socket, *accepted, "a question");
    says(*accepted, socket, "an answer");
    return meeting;
}

Meeting meet_udp(const Place& client, const Place& server, std::chrono::milliseconds time) {
    auto service = Socket::udp(server.netns, server.end);
    auto socket = prepared(Socket::udp(client.netns, own_end(client, server)), client);
    if (const int error = socket.connect(server.end)) {  // so that only answers from there are heard
        return missed(std::string("UDP connect: ") + std::strerror(error));
    }
    socket.send("a question");
    const auto question = service.receive(time);
    if (!question) {
        return missed("UDP: the question did not arrive");
    }
    Meeting meeting{.met = true, .why = "", .client = socket.local(), .seen = question->from};
    service.send_to(question->from, "an answer");
    const auto answer = socket.receive(time);
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

Meeting meet_icmp(const Place& client, const Place& server, std::chrono::milliseconds time) {
    static std::atomic<std::uint16_t> next = 20000;
    const std::uint16_t identifier = client.end.port != 0 ? client.end.port : next++;
    const auto echo = echo_towards(server.end);
    const bool ipv6 = server.end.is_ipv6();
    auto socket = prepared(Socket::open(client.netns, SOCK_RAW, echo.protocol, ipv6), client);
    auto watch = Socket::open(server.netns, SOCK_RAW, echo.protocol, ipv6);
    socket.bind({own_end(client, server).address, 0});
    if (const int error = socket.connect({server.end.address, 0})) {
        return missed(std::string("ICMP connect: ") + std::strerror(error));
    }
    socket.send(echo_request(echo.request, identifier));
    const auto request = next_icmp(watch, echo, echo.request, identifier, true, time);
    if (!request) {
        return missed("ICMP: the request did not arrive");
    }
    Meeting meeting{.met = true, .why = "", .client = {socket.local().address, identifier}, .seen = *request};
    if (!next_icmp(socket, echo, echo.reply, identifier, false, time)) {
        meeting.met = false;
        meeting.why = "ICMP: the answer did not arrive";
    }
    return meeting;
}

Meeting meet_within(Protocol protocol, const Place& client, const Place& server, std::chrono::milliseconds time) {
    switch (protocol) {
        case Protocol::tcp:
            return meet_tcp(client, server, time);
        case Protocol::udp:
            return meet_udp(client, server, time);
        default:
            return meet_icmp(client, server, time);
    }
}

std::string unguessable(std::mt19937_64& random) {
    std::string block(65536, '\0');
    for (std::size_t i = 0; i < block.size(); i += sizeof(std::uint64_t)) {
        const std::uint64_t number = random();
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

Meeting meet(Protocol protocol, const Place& client, const Place& server) {
    return meet_within(protocol, client, server, patience);
}

Meeting knock(Protocol protocol, const Place& client, const Place& server) {
    return meet_within(protocol, client, server, silence);
}

bool ping(const std::string& netns, const std::string& address, std::chrono::milliseconds time) {
    constexpr std::uint16_t identifier = 4242;
    const End end{address, 0};
    const auto echo = echo_towards(end);
    auto socket = Socket::open(netns, SOCK_RAW, echo.protocol, end.is_ipv6());
    return socket.connect({address, 0}) == 0 && socket.send(echo_request(echo.request, identifier)) &&
           next_icmp(socket, echo, echo.reply, identifier, false, time).has_value();
}

Line open_line(const Place& client, const Place& server) {
    auto listener = Socket::listener(server.netns, server.end);
    auto socket = prepared(Socket::tcp(client.netns, own_end(client, server)), client);
    const int refusal = socket.connect(server.end);
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
        std::mt19937_64 random(seed);
        for (std::size_t done = 0; done < size && sent;) {
            const auto block = unguessable(random).substr(0, size - done);
            sent = from.send(block);
            done += block.size();
        }
    });
    std::mt19937_64 random(seed);
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

}  // namespace causeway::test
