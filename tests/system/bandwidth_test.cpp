// SPDX-License-Identifier: Apache-2.0
// A sandbox with a bandwidth: what it is sent, and what it sends, comes at that rate and no faster.
#include <gmock/gmock.h>
#include <sys/socket.h>

#include <atomic>
#include <deque>
#include <functional>
#include <set>
#include <thread>
#include <utility>

#include "tests/system/entries.hpp"
#include "tests/system/of_family.hpp"

namespace causeway::test::bandwidth_test {
namespace {

using testing::IsEmpty;

constexpr double rate = 10e6;           // bytes a second
constexpr std::size_t burst = 100'000;  // bytes

Json limited(const std::string& direction) {
    auto conf = configuration();
    conf["runtimeConfig"]["bandwidth"] = {{direction + "Rate", static_cast<std::uint64_t>(rate * 8)},
                                          {direction + "Burst", burst * 8}};
    return conf;
}

Json limited_both() {
    auto conf = limited("ingress");
    conf.merge_patch(limited("egress"));
    return conf;
}

// What of a frame's bytes are payload, at an MTU of 1500.
double tcp_share(bool ipv6) {
    return (ipv6 ? 1428.0 : 1448.0) / 1514;
}
constexpr std::size_t datagram_size = 1400;
std::size_t frame_of_datagram(bool ipv6) {
    return datagram_size + 8 + (ipv6 ? 40 : 20) + 14;
}
double udp_share(bool ipv6) {
    return static_cast<double>(datagram_size) / static_cast<double>(frame_of_datagram(ipv6));
}

// The highest rate of a whole second, in bytes: no other load of the machine makes that more, and one second without is
// enough to reach what was set.
class Meter {
public:
    using Clock = std::chrono::steady_clock;
    static constexpr std::chrono::milliseconds at_least{1100}, at_most{20'000};

    // Behind the first burst, to be called with the payload of all that has come.
    void note(std::size_t all) {
        const auto now = Clock::now();
        while (seen_.size() > 1 && now - seen_[1].first >= std::chrono::seconds(1)) {
            seen_.pop_front();
        }
        if (!seen_.empty() && now - seen_.front().first >= std::chrono::seconds(1)) {
            const std::chrono::duration<double> took = now - seen_.front().first;
            highest_ = std::max(highest_, static_cast<double>(all - seen_.front().second) / took.count());
        }
        seen_.emplace_back(now, all);
    }
    bool goes_on(double enough) const {
        const auto took = Clock::now() - begun_;
        return took < at_least || (took < at_most && highest_ < enough);
    }
    double highest() const { return highest_; }

private:
    const Clock::time_point begun_ = Clock::now();
    std::deque<std::pair<Clock::time_point, std::size_t>> seen_;
    double highest_ = 0;
};

// What waits to be read counts for the second in which it is: little. A stream waits for who reads it, and datagrams
// that have no room are lost to the figure.
void keep_little(const Socket& receiver, int size) {
    ASSERT_EQ(setsockopt(receiver.fd(), SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)), 0);
}

// receive: the bytes of the next piece, 0 at the end; share: see above. As the kernel counts them.
double highest_rate(const std::function<std::size_t()>& receive, double share) {
    std::size_t got = 0;
    while (got < 2 * burst) {
        const auto piece = receive();
        if (piece == 0) {
            return 0;
        }
        got += piece;
    }
    Meter meter;
    for (std::size_t piece = 1; piece != 0 && meter.goes_on(0.95 * rate * share);) {
        piece = receive();
        got += piece;
        meter.note(got);
    }
    return meter.highest() / share;
}

double rate_of_stream(Line line) {
    keep_little(line.server, 32'768);
    std::atomic<bool> enough = false, ended = false;
    std::thread sender([&] {
        const std::string text(100'000, 'x');
        while (!enough) {
            line.client.send(text);
        }
        ended = true;
    });
    const auto receive = [&] {
        const auto piece = line.server.receive(silence);
        return piece ? piece->text.size() : 0;
    };
    const auto measured = highest_rate(receive, tcp_share(line.seen.is_ipv6()));
    enough = true;
    while (!ended) {
        receive();
    }
    sender.join();
    return measured;
}

// asked: as with meet().
double rate_of_datagrams(const Place& client, const Place& server, const End& asked = {}) {
    auto service = Socket::udp(server.netns, server.end);
    auto socket = Socket::udp(client.netns, client.end);
    keep_little(service, 100'000);
    const auto to = asked.port != 0 ? asked : server.end;
    std::atomic<bool> enough = false;
    std::thread sender([&] {
        const std::string text(datagram_size, 'x');
        while (!enough) {
            if (!socket.send_to(to, text)) {
                std::this_thread::yield();
            }
        }
    });
    const auto receive = [&] {
        const auto datagram = service.receive();
        return datagram ? datagram->text.size() : 0;
    };
    const auto measured = highest_rate(receive, udp_share(server.end.is_ipv6()));
    enough = true;
    sender.join();
    return measured;
}

testing::AssertionResult is_the_rate(double measured) {
    testing::Test::RecordProperty("rate", std::to_string(measured));
    if (measured < 1.05 * rate && measured >= 0.95 * rate) {
        return testing::AssertionSuccess();
    }
    return testing::AssertionFailure() << measured / rate << " of the rate that was set";
}

class Bandwidth : public EachFamily {
protected:
    Place in(const std::string& netns) const { return {netns, any()}; }
    static Place at(const Sandbox& sandbox) { return {sandbox.netns, {sandbox.address, 8080}}; }
};

TEST_P(Bandwidth, OfWhatASandboxIsSentIsTheOneThatWasSet) {
    auto conf = limited("ingress");
    conf["runtimeConfig"]["portMappings"] = {{{"hostPort", 8080}, {"containerPort", 8080}, {"protocol", "udp"}}};
    const auto blue = connect("blue", conf), red = connect("red");
    EXPECT_TRUE(is_the_rate(rate_of_stream(open_line(in(red.netns), at(blue)))));
    EXPECT_TRUE(is_the_rate(rate_of_stream(open_line(in(""), at(blue)))));
    EXPECT_TRUE(is_the_rate(rate_of_datagrams(in(red.netns), at(blue))));
    EXPECT_TRUE(is_the_rate(rate_of_datagrams(in(""), at(blue)))) << "of the host's";
    EXPECT_TRUE(is_the_rate(rate_of_datagrams(in(world_.world()), at(blue), {here(node_address), 8080})))
        << "of the world's, to a published port";
    auto download = open_line(in(blue.netns), server());
    std::swap(download.client, download.server);
    EXPECT_TRUE(is_the_rate(rate_of_stream(std::move(download)))) << "of the world's";
}

TEST_P(Bandwidth, OfWhatASandboxSendsIsTheOneThatWasSet) {
    const auto blue = connect("blue", limited("egress")), red = connect("red");
    const auto dropped = count_of("drop-shaped");
    EXPECT_TRUE(is_the_rate(rate_of_stream(open_line(in(blue.netns), at(red)))));
    EXPECT_TRUE(is_the_rate(rate_of_stream(open_line(in(blue.netns), server()))));
    EXPECT_TRUE(is_the_rate(rate_of_datagrams(in(blue.netns), server())));
    EXPECT_EQ(count_of("drop-shaped"), dropped) << "who waits in the queue is not dropped";
}

TEST_P(Bandwidth, OfTheOtherDirectionIsNotTouched) {
    const auto blue = connect("blue", limited("ingress")), red = connect("red");
    EXPECT_GT(rate_of_stream(open_line(in(blue.netns), at(red))), 1.5 * rate);
}

TEST_P(Bandwidth, IsNotGainedByTakingTheQueueAway) {
    const auto blue = connect("blue", limited("egress")), red = connect("red");
    must_run({"tc", "qdisc", "del", "dev", "eth0", "root"}, {.netns = blue.netns});
    const auto measured = rate_of_datagrams(in(blue.netns), at(red));
    EXPECT_LT(measured, 1.1 * rate);
    EXPECT_GT(measured, 0.5 * rate);
    EXPECT_GT(count_of("drop-shaped"), 0U);
}

// Half of what may pass at once, in less time than it would take at the rate alone.
void expect_burst_at_once(const Place& from, const Place& to) {
    auto service = Socket::udp(to.netns, to.end);
    auto client = Socket::udp(from.netns, from.end);
    const std::string text(datagram_size, 'x');
    const auto size = frame_of_datagram(to.end.is_ipv6()), few = burst / 2 / size;
    ASSERT_TRUE(eventually([&] {  // so that nobody waits for a MAC, or for what the kernel makes of a new address
        return client.send_to(to.end, "hello") && service.receive(silence);
    }));
    const std::chrono::duration<double> at_the_rate_alone(static_cast<double>(few * size) / rate);
    EXPECT_TRUE(eventually([&] {  // since both ends may have to wait for a CPU
        std::this_thread::sleep_for(2 * at_the_rate_alone);
        const auto begun = std::chrono::steady_clock::now();
        for (std::size_t i = 0; i < few; ++i) {
            EXPECT_TRUE(client.send_to(to.end, text));
        }
        for (std::size_t i = 0; i < few; ++i) {
            EXPECT_TRUE(service.receive());
        }
        return std::chrono::steady_clock::now() - begun < 0.8 * at_the_rate_alone;
    }));
}

TEST_P(Bandwidth, LetsABurstPassAtOnce) {
    const auto blue = connect("blue", limited_both()), red = connect("red");
    expect_burst_at_once(in(blue.netns), at(red));
    expect_burst_at_once(in(red.netns), at(blue));
}

// The names of all devices of a namespace.
std::set<std::string> devices_of(const std::string& netns) {
    std::set<std::string> names;
    for (const auto& link : ip_json({"link", "show"}, netns)) {
        names.insert(link.at("ifname"));
    }
    return names;
}

TEST_P(Bandwidth, IsCheckedAndGoesWithDel) {
    const auto keeper = connect("keeper");
    auto on_the_host = devices_of("");
    const auto blue = connect("blue", limited_both());
    on_the_host.insert(blue.host_end);
    EXPECT_EQ(devices_of(""), on_the_host) << "no device is made for it, an ifb for one";
    EXPECT_EQ(devices_of(blue.netns), devices_of(keeper.netns));
    auto conf = limited_both();
    conf["prevResult"] = blue.reply;
    const Call check{.command = "CHECK", .id = "blue", .netns = blue.netns, .conf = conf};
    const auto fails = [&](const std::vector<std::string>& words) {
        EXPECT_TRUE(refused(answer_to(check), 103, words));
    };
    const auto change = [&](const std::string& device, const std::string& netns, const std::string& to) {
        must_run({"tc", "qdisc", "change", "dev", device, "root", "handle", "6377:", "tbf", "rate", to, "burst",
                  "100kb", "latency", "25ms"},
                 {.netns = netns});
    };
    EXPECT_TRUE(succeeded(answer_to(check)));
    change(blue.host_end, "", "400mbit");
    fails({blue.host_end, "50000000", "10000000"});
    change(blue.host_end, "", "80mbit");
    EXPECT_TRUE(succeeded(answer_to(check)));
    change("eth0", blue.netns, "400mbit");
    fails({"eth0", "50000000", "10000000"});
    must_run({"tc", "qdisc", "del", "dev", "eth0", "root"}, {.netns = blue.netns});
    fails({"queue", "eth0", "gone"});
    must_run({"tc", "qdisc", "del", "dev", blue.host_end, "root"});
    fails({"queue", blue.host_end, "gone"});
    EXPECT_THAT(keys_of("shapers"), testing::SizeIs(1));
    disconnect(blue, limited_both());
    EXPECT_THAT(keys_of("shapers"), IsEmpty());
}

FOR_BOTH_FAMILIES(Bandwidth);

}  // namespace
}  // namespace causeway::test::bandwidth_test
