// SPDX-License-Identifier: Apache-2.0
// Many connections: one after the other, at once, as many as there are ports, and more than anyone should want.
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <atomic>
#include <cstring>
#include <iostream>
#include <set>
#include <thread>

#include "tests/system/crossing.hpp"

namespace causeway::test::nat_load_test {
namespace {

// Far more than any test asks for: what is looked at here is neither a quota nor the room for all.
const Json generous{{"tables", nullptr}, {"quota", {{"flows", 200000}, {"flowsPerSecond", 1000000}}}};

void allow_many_descriptors() {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

class ManyConnections : public Translating {
protected:
    ManyConnections() { allow_many_descriptors(); }

    // What is long with IPv4 is a tenth with IPv6, whose ports and flows are counted by the same code.
    std::size_t many(std::size_t count) const { return family() == Family::ipv6 ? count / 10 : count; }
};

TEST_P(ManyConnections, InSequenceAllSucceed) {
    const auto count = many(20'000);
    const auto blue = join("blue", {.patch = generous});
    auto listener = Socket::listener(world_.world(), server().end);
    for (std::size_t i = 0; i < count; ++i) {
        auto client = Socket::tcp(blue.netns, any());
        ASSERT_EQ(client.connect(server().end), 0) << i << "\n" << counted();
        auto accepted = listener.accept();
        ASSERT_TRUE(accepted) << i;
        ASSERT_TRUE(client.send("a")) << i;
        ASSERT_TRUE(accepted->receive()) << i;
    }
}

TEST_P(ManyConnections, AtOnceAllSucceed) {
    const auto count = many(2'000);
    const auto blue = join("blue", {.patch = generous});
    auto listener = Socket::listener(world_.world(), server().end);
    std::vector<Socket> clients, accepted;
    for (std::size_t i = 0; i < count; ++i) {
        clients.push_back(Socket::tcp(blue.netns, any()));
        clients.back().connect(server().end, std::chrono::milliseconds(0));  // goes on beside the others
        while (auto one = listener.accept(std::chrono::milliseconds(0))) {
            accepted.push_back(std::move(*one));
        }
    }
    while (accepted.size() < count) {
        auto one = listener.accept();
        ASSERT_TRUE(one) << "after " << accepted.size() << "\n" << counted();
        accepted.push_back(std::move(*one));
    }
    std::map<End, Socket*> by_end;
    for (auto& one : accepted) {
        by_end[one.peer()] = &one;
    }
    EXPECT_EQ(by_end.size(), count) << "each has a port of its own";
    for (std::size_t i = 0; i < count; ++i) {
        ASSERT_TRUE(clients[i].send(std::to_string(i))) << i;
    }
    for (auto& one : accepted) {
        const auto number = one.receive();
        ASSERT_TRUE(number);
        ASSERT_TRUE(one.send("yes, " + number->text));
    }
    for (std::size_t i = 0; i < count; ++i) {
        const auto answer = clients[i].receive();
        ASSERT_TRUE(answer) << i;
        EXPECT_EQ(answer->text, "yes, " + std::to_string(i));
    }
}

FOR_BOTH_TRANSLATORS_AND_FAMILIES(ManyConnections);

// The kernel tries some 250 of the ports and then gives up, and knows no quotas: these are asked of causeway alone.
class Exhaustion : public Crossroads {};

// Connections that neither end has a socket for: blue and red are mute, and so is the peer.
TEST_P(Exhaustion, OfPortsComesWhenEveryPortIsTaken) {
    constexpr std::uint16_t first = 10'000, batch = 100, peers_port = 8080;
    const unsigned each = family() == Family::ipv6 ? 1'400 : 14'000, last = first + 2 * each - 1;
    const Terms terms{.ports = std::to_string(first) + "-" + std::to_string(last), .patch = generous};
    build(terms);
    const auto green = join("green", terms);
    const auto segment_out = [&](std::size_t sandbox, std::uint16_t port, std::uint8_t flags) {
        return road().bytes(
            road().from_sandbox(sandbox) / IPv4{.source = road().address(sandbox), .destination = peer_ip} /
            TCP{.source_port = port, .destination_port = peers_port, .flags = flags, .acknowledged = 1});
    };
    const auto answer_to = [&](std::uint16_t port, std::uint8_t flags) {
        return road().bytes(
            road().from_world() / IPv4{.source = peer_ip, .destination = node_ip} /
            TCP{.source_port = peers_port, .destination_port = port, .flags = flags, .acknowledged = 1001});
    };
    std::set<std::uint16_t> ports;
    std::vector<std::uint16_t> reds;
    for (std::size_t sandbox = 0; sandbox < 2; ++sandbox) {  // both ask for the even ports: only half can have them
        for (unsigned done = 0; done < each; done += batch) {
            const auto all_send = [&](std::uint8_t flags) {
                for (unsigned i = 0; i < batch; ++i) {
                    const auto port = static_cast<std::uint16_t>(first + 2 * (done + i));
                    road().send_from_sandbox(segment_out(sandbox, port, flags), sandbox);
                }
                return road().settle();
            };
            const auto asked = all_send(syn);
            ASSERT_EQ(asked.world.size(), batch) << "after " << ports.size() << "\n" << counted();
            for (const auto& frame : asked.world) {
                const auto port = source_port_of(frame).value();
                EXPECT_TRUE(ports.insert(port).second) << port << " was taken";
                if (sandbox == 1) {
                    reds.push_back(port);
                }
                road().send_from_world(answer_to(port, syn | ack));
            }
            ASSERT_EQ(road().settle().sandboxes[sandbox].size(), batch) << counted();
            ASSERT_EQ(all_send(ack).world.size(), batch) << counted();
        }
    }
    ASSERT_EQ(ports.size(), 2U * each);
    EXPECT_EQ(*ports.begin(), first);
    EXPECT_EQ(*ports.rbegin(), last);

    const End peer{here("198.51.100.20"), peers_port};
    const auto drops = count_of("drop-no-port");
    EXPECT_EQ(Socket::tcp(green.netns, any()).connect(peer), prohibited()) << "at once, and not a time-out\n"
                                                                           << counted();
    EXPECT_GE(count_of("drop-no-port"), drops + 1);
    EXPECT_TRUE(meet(Protocol::tcp, {green.netns}, server(peers_port))) << "each peer has ports of its own";
    for (std::size_t i = 0; i < reds.size(); i += reds.size() / 14) {
        EXPECT_EQ(road().in(answer_to(reds[i], ack)).sandboxes[1].size(), 1U) << reds[i];
    }

    ASSERT_TRUE(succeeded(del("red", world_.path("red"), configuration_of(terms))));
    Tap world(world_.world(), "dn0");
    const auto gets_through = [&] {  // the peer is mute, so that its SYN is all that there is to see
        Socket::tcp(green.netns, any()).connect(peer, std::chrono::milliseconds(0));
        return world
            .next([&](const Seen& seen) { return is_packet(seen.frame, 6, here(node_address), peer.address); },
                  std::chrono::milliseconds(20))
            .has_value();
    };
    EXPECT_TRUE(eventually(gets_through)) << "ports that are free again are found";
}

class Quota : public ManyConnections {
protected:
    // Flows that a sandbox has now.
    static std::size_t flows_of(const std::string& container) {
        std::size_t count = 0;
        for (const auto& flow : ctl_json({"flows"})) {
            count += flow.at("container") == container ? 1 : 0;
        }
        return count;
    }
};

TEST_P(Quota, ThatIsUsedUpIsSaidAtOnce) {
    const Json tight{{"quota", {{"flows", 3}, {"flowsPerSecond", 1000000}}}};
    const auto blue = join("blue", {.patch = tight}), red = join("red", {.patch = tight});
    auto listener = Socket::listener(world_.world(), server().end);
    std::vector<Line> lines;
    for (int i = 0; i < 3; ++i) {
        auto client = Socket::tcp(blue.netns, any());
        ASSERT_EQ(client.connect(server().end), 0) << i << "\n" << counted();
        lines.push_back({std::move(client), std::move(*listener.accept()), {}});
    }
    EXPECT_EQ(Socket::tcp(blue.netns, any()).connect(server().end), prohibited()) << counted();
    EXPECT_TRUE(meet(Protocol::tcp, {red.netns}, server(8081))) << "another's quota is its own";
    for (auto& line : lines) {
        EXPECT_TRUE(alive(line));
    }
    EXPECT_EQ(flows_of("blue"), 3U);
}

TEST_P(Quota, OfOneSandboxIsSaidByItsRuntimeAndChangedByTheOperator) {
    const Terms terms{
        .patch = {{"quota", {{"flows", 2}}}, {"args", {{"cni", {{"quota", {{"flows", 4}, {"flowsPerSecond", 0}}}}}}}}};
    const auto blue = join("blue", terms), red = join("red", {.patch = {{"quota", {{"flows", 2}}}}});
    std::vector<Line> lines;
    const auto opens = [&](const Party& party) {
        int opened = 0;
        for (; opened < 10; ++opened) {
            auto client = Socket::tcp(party.netns, any());
            auto listener =
                Socket::listener(world_.world(), server(static_cast<std::uint16_t>(9000 + lines.size())).end);
            if (client.connect(listener.local()) != 0) {
                break;
            }
            lines.push_back({std::move(client), std::move(*listener.accept()), {}});
        }
        return opened;
    };
    EXPECT_EQ(opens(blue), 4);
    EXPECT_EQ(opens(red), 2) << "the network's";
    ASSERT_EQ(ctl({"sandbox", "quota", "blue", "--flows", "6"}).status, 0);
    EXPECT_EQ(opens(blue), 2);
    for (const auto& row : ctl_json({"endpoints"})) {
        const bool of_blue = row.at("container") == "blue";
        EXPECT_EQ(row.at("flows"), of_blue ? 6 : 2) << row;
        EXPECT_EQ(row.at("flowsAtMost"), of_blue ? 6 : 2) << row;
        EXPECT_EQ(row.at("flowsPerSecond"), of_blue ? 0 : 50000) << row;
    }
    ASSERT_EQ(ctl({"sandbox", "quota", "blue", "--reset"}).status, 0);
    EXPECT_EQ(opens(blue), 0);
    for (auto& line : lines) {
        EXPECT_TRUE(alive(line)) << "those that are there stay";
    }
    EXPECT_EQ(ctl({"sandbox", "quota", "green", "--flows", "6"}).status, 1);
    EXPECT_EQ(ctl({"sandbox", "quota", "blue"}).status, 2);
    EXPECT_EQ(ctl({"sandbox", "quota", "blue", "--flows", "0"}).status, 2);
}

// An address and a port, as the kernel takes them.
struct Name {
    sockaddr_storage bytes{};
    socklen_t size = 0;

    Name() = default;
    Name(Ip ip, std::uint16_t port, Family family) {
        const auto longer = ip6_of(ip);
        sockaddr_in of_ipv4{.sin_family = AF_INET, .sin_port = htons(port), .sin_addr{htonl(ip.value)}, .sin_zero = {}};
        sockaddr_in6 of_ipv6{};
        of_ipv6.sin6_family = AF_INET6;
        of_ipv6.sin6_port = htons(port);
        std::memcpy(&of_ipv6.sin6_addr, longer.bytes.data(), longer.bytes.size());
        size = family == Family::ipv6 ? sizeof(of_ipv6) : sizeof(of_ipv4);
        std::memcpy(&bytes, family == Family::ipv6 ? static_cast<void*>(&of_ipv6) : &of_ipv4, size);
    }
};

// Sends a datagram to each of so many addresses and ports.
void scan(const std::string& netns, std::size_t destinations, const End& own, Family family) {
    constexpr std::size_t batch = 1000, ports = 5000;
    auto socket = Socket::udp(netns, own);
    char byte = '?';
    iovec place{.iov_base = &byte, .iov_len = 1};
    std::vector<Name> names(batch);
    std::vector<mmsghdr> messages(batch);
    for (std::size_t i = 0; i < batch; ++i) {
        messages[i].msg_hdr = {};
        messages[i].msg_hdr.msg_name = &names[i].bytes;
        messages[i].msg_hdr.msg_iov = &place;
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    constexpr std::uint32_t first_address = 0xc6336402;  // 198.51.100.2
    for (std::size_t done = 0; done < destinations;) {
        for (std::size_t i = 0; i < batch; ++i) {
            const auto number = done + i;
            names[i] = Name(Ip{static_cast<std::uint32_t>(first_address + number / ports)},
                            static_cast<std::uint16_t>(1 + number % ports), family);
            messages[i].msg_hdr.msg_namelen = names[i].size;
        }
        for (std::size_t sent = 0; sent < batch;) {
            const int now = sendmmsg(socket.fd(), &messages[sent], static_cast<unsigned>(batch - sent), 0);
            sent += now > 0 ? static_cast<std::size_t>(now) : 0;  // an error is of an earlier datagram, or a full queue
        }
        done += batch;
    }
}

TEST_P(Quota, IsAllThatAScanFills) {
    constexpr std::size_t quota = 5000;
    const auto destinations = many(1'000'000);
    const Terms terms{.patch = {{"quota", {{"flows", quota}, {"flowsPerSecond", 1000000}}}}};
    const auto blue = join("blue", terms), red = join("red", terms);
    auto line = open_line({red.netns}, server());
    std::uint16_t port = 9000;
    const auto goes_on = [&] {
        EXPECT_TRUE(carries(line.client, line.server, 1 << 20)) << counted();
        EXPECT_TRUE(meet(Protocol::tcp, {red.netns}, server(++port))) << counted();
    };
    const auto report = [](const std::string& when, int rounds, std::chrono::steady_clock::time_point since) {
        const std::chrono::duration<double> time = std::chrono::steady_clock::now() - since;
        std::cout << when << " the scan: " << rounds / time.count() << " MiB and connections a second\n";
    };
    const auto several_rounds = [&](const std::string& when) {
        const auto began = std::chrono::steady_clock::now();
        for (int round = 0; round < 20; ++round) {
            goes_on();
        }
        report(when, 20, began);
    };
    several_rounds("before");
    std::atomic<bool> scanning = true;
    std::thread scanner([&] {
        scan(blue.netns, destinations, any(), family());
        scanning = false;
    });
    const auto began = std::chrono::steady_clock::now();
    int rounds = 0;
    for (; (scanning || rounds == 0) && !HasFailure(); ++rounds) {
        goes_on();
    }
    report("during", rounds, began);
    scanner.join();
    EXPECT_LE(flows_of("blue"), quota);
    EXPECT_GT(flows_of("blue"), quota / 2) << "it was a scan";
    several_rounds("after");
}

FOR_CAUSEWAY_AND_BOTH_FAMILIES(Quota);
FOR_CAUSEWAY_AND_BOTH_FAMILIES(Exhaustion);

}  // namespace
}  // namespace causeway::test::nat_load_test
