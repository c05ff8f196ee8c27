// SPDX-License-Identifier: Apache-2.0
// What the benchmark plans, and what it counts while it makes load, on nothing but this process.
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "bench/message.hpp"
#include "bench/plan.hpp"
#include "bench/rate.hpp"
#include "bench/said.hpp"
#include "userspace/unique_fd.hpp"

namespace causeway::bench::bench_load_test {
namespace {

using testing::ElementsAre;

// A connect that nobody answers takes a second, and a whole round may be shorter.
TEST(Rate, IsANumberWhereOneStepTakesLongerThanAllOfTheTime) {
    int steps = 0;
    const Rate found = rate({.client = 0, .server = 0}, Duration(10), [&] {
        ++steps;
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        return false;
    });
    EXPECT_EQ(steps, 2) << "one to get going and one that counts";
    EXPECT_EQ(found.per_second(), 0);
}

TEST(Rate, IsOfWhatCameAfterTheFirstTenth) {
    int steps = 0;
    const Rate found = rate({.client = 0, .server = 0}, Duration(100), [&] {
        ++steps;
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
        return 1;
    });
    EXPECT_GT(found.count, 0);
    EXPECT_LT(found.count, steps);
    EXPECT_LE(found.per_second(), 500);
}

// The two ends of a connected socket.
struct Ends {
    UniqueFd near, far;
};

Ends socket_pair(int type) {
    std::array<int, 2> ends{};
    EXPECT_EQ(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends.data()), 0);
    const timeval soon = {.tv_sec = 0, .tv_usec = 50'000};
    setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon);
    return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

// What comes to the near end before anybody has asked.
void send_reply(const Ends& ends, std::uint64_t number, char last = 0) {
    Message message{};
    std::memcpy(message.data(), &number, sizeof number);
    message.back() = last;
    ASSERT_EQ(send(ends.far.get(), message.data(), message.size(), 0), static_cast<ssize_t>(message.size()));
}

TEST(Exchange, TakesALateReplyForNoneOfItsOwn) {
    const Ends ends = socket_pair(SOCK_DGRAM);
    send_reply(ends, 1);
    EXPECT_FALSE(exchange(ends.near.get(), 2)) << "that was the answer to another";
    send_reply(ends, 2);
    send_reply(ends, 3);
    EXPECT_TRUE(exchange(ends.near.get(), 3));
}

TEST(Exchange, FailsWithAnotherReplyThanWhatItHasSent) {
    for (const int type : {SOCK_DGRAM, SOCK_STREAM}) {
        const Ends ends = socket_pair(type);
        send_reply(ends, 1, 'x');
        EXPECT_FALSE(exchange(ends.near.get(), 1));
        send_reply(ends, 3);
        EXPECT_FALSE(exchange(ends.near.get(), 2));
    }
}

// To attach a program, the kernel walks a list of all namespaces': nodes of other sizes would be in each ADD.
TEST(Plan, HasNodesOfOneSizeTogether) {
    const std::vector<Filled> nodes = {
        {"bridge", 1}, {"bridge", 60}, {"causeway", 1}, {"causeway", 60}, {"causeway", 10}};
    EXPECT_THAT(by_size(nodes), ElementsAre(ElementsAre(Filled{"bridge", 1}, Filled{"causeway", 1}),
                                            ElementsAre(Filled{"causeway", 10}),
                                            ElementsAre(Filled{"bridge", 60}, Filled{"causeway", 60})));
}

const std::string wrk_said = R"(Running 1s test @ http://198.51.100.1:7300/
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   311.05us  102.83us   3.20ms   91.33%
    Req/Sec    49.61k     3.01k   54.13k    70.00%
  49354 requests in 1.00s, 7.48MB read
)";

TEST(Wrk, HasFailedNothingWhereItSaysNothingOfErrors) {
    EXPECT_EQ(failed_requests(wrk_said + "Requests/sec:  49305.21\n"), 0);
}

TEST(Wrk, HasFailedWhatItCallsSocketErrorsAndOtherResponses) {
    EXPECT_EQ(failed_requests(wrk_said + "  Socket errors: connect 1, read 20, write 300, timeout 4000\n"), 4321);
    EXPECT_EQ(failed_requests(wrk_said + "  Non-2xx or 3xx responses: 7\n"), 7);
}

TEST(Number, IsRefusedWhereThereIsNone) {
    EXPECT_EQ(number_after("Requests/sec:  49305.21", "Requests/sec:"), 49305.21);
    EXPECT_THROW(number_after("Thread Stats", "read "), std::runtime_error);
    EXPECT_THROW(number_after("49354 requests", "Requests/sec:"), std::runtime_error);
}

}  // namespace
}  // namespace causeway::bench::bench_load_test
