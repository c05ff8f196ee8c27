// SPDX-License-Identifier: Apache-2.0
// What an ADD and a DEL ask of the kernel, counted: as docs/cost.md says, and the same beside many as beside few.
#include <gtest/gtest.h>
#include <sys/syscall.h>

#include "tests/system/fault.hpp"
#include "tests/system/host.hpp"
#include "tests/system/traffic.hpp"

namespace causeway::test::cost_test {
namespace {

// Without a size to compare with what is there.
const Json documented = configuration(default_tables);

// What waits for time to pass, or gives others the CPU.
const std::vector<int> sleeping{SYS_nanosleep,       SYS_clock_nanosleep, SYS_select,      SYS_pselect6,
                                SYS_ppoll,           SYS_epoll_wait,      SYS_epoll_pwait, SYS_epoll_pwait2,
                                SYS_pause,           SYS_rt_sigtimedwait, SYS_setitimer,   SYS_timer_settime,
                                SYS_timerfd_settime, SYS_sched_yield};

class Cost : public Host {
protected:
    // Of the plugin and all that it starts.
    struct Counts {
        int map_operations = 0, netlink_requests = 0, started = 0;  // processes and threads
        int waits = 0;                                              // poll(2): until the kernel tells something
    };
    struct Costs {
        Counts add, del;
    };

    static Faulted traced(const Call& call, const std::vector<int>& calls) {
        auto result = run_with({.calls = calls, .callers = Fault::Callers::all}, {plugin()}, call.options());
        EXPECT_TRUE(succeeded(answer_of(result.output)));
        return result;
    }

    static Counts counts_of(const Call& call) {
        const std::vector<int> starting{SYS_execve, SYS_clone, SYS_clone3, SYS_fork, SYS_vfork};
        auto calls = sleeping;
        calls.insert(calls.end(), starting.begin(), starting.end());
        calls.insert(calls.end(), {SYS_bpf, SYS_sendto, SYS_sendmsg, SYS_poll});
        auto of_each = traced(call, calls).of_each;
        const auto sum = [&](const std::vector<int>& numbers) {
            int result = 0;
            for (const int number : numbers) {
                result += of_each[number];
            }
            return result;
        };
        EXPECT_EQ(sum(sleeping), 0) << call.command << " sleeps";
        return {of_each[SYS_bpf], sum({SYS_sendto, SYS_sendmsg}), sum(starting), of_each[SYS_poll]};
    }

    static Costs costs_of(Call call) {
        Costs costs;
        call.command = "ADD";
        costs.add = counts_of(call);
        call.command = "DEL";
        costs.del = counts_of(call);
        return costs;
    }

    static void expect_at_most(const Counts& counts, const Counts& limit) {
        EXPECT_LE(counts.map_operations, limit.map_operations);
        EXPECT_LE(counts.netlink_requests, limit.netlink_requests);
        EXPECT_LE(counts.started, limit.started);
        EXPECT_LE(counts.waits, limit.waits);
    }
    static void expect_at_most(const Costs& costs, const Costs& limits) {
        for (const auto& [name, counts, limit] :
             {std::tuple("ADD", costs.add, limits.add), std::tuple("DEL", costs.del, limits.del)}) {
            SCOPED_TRACE(name);
            expect_at_most(counts, limit);
        }
    }
};

TEST_F(Cost, IsTheDocumentedOneAndDoesNotGrow) {
    const auto keeper = connect("keeper", documented);
    const Call call{.command = {}, .id = "blue", .netns = world_.add_namespace("blue"), .conf = documented};
    const auto alone = costs_of(call);
    expect_at_most(alone, {.add = {42, 12, 0, 0}, .del = {30, 2, 1, 2}});
    for (int i = 0; i < 60; ++i) {
        connect("neighbour" + std::to_string(i), documented);
    }
    expect_at_most(costs_of(call), alone);
}

// What a DEL leaves of its sandbox's flows the timer ends: nobody walks through all that there are.
TEST_F(Cost, OfADelIsTheSameHoweverManyFlowsThereAre) {
    const auto open_flows = [&](const Sandbox& sandbox, std::uint16_t count) {
        auto socket = Socket::udp(sandbox.netns);
        for (std::uint16_t i = 0; i < count; ++i) {
            socket.send_to({world_address, static_cast<std::uint16_t>(1 + i)}, "?");
        }
    };
    const auto flows_of = [](const std::string& container) {
        for (const auto& row : ctl_json({"endpoints"})) {
            if (row.at("container") == container) {
                return row.at("flows").get<int>();
            }
        }
        return -1;
    };
    const auto keeper = connect("keeper", documented);
    const auto cost_of_del = [&](std::uint16_t own) {
        const auto blue = connect("blue", documented);
        open_flows(blue, own);
        EXPECT_EQ(flows_of("blue"), own);
        const int cost =
            traced({.command = "DEL", .id = "blue", .netns = blue.netns, .conf = documented}, {SYS_bpf}).counted;
        world_.remove_namespace("blue");
        return cost;
    };
    const int with_few = cost_of_del(1), with_none = cost_of_del(0);
    EXPECT_LE(with_none, 30);
    open_flows(keeper, 10000);
    ASSERT_EQ(flows_of("keeper"), 10000);
    EXPECT_EQ(cost_of_del(0), with_none);
    EXPECT_EQ(cost_of_del(5000), with_few);
    EXPECT_EQ(flows_of("keeper"), 10000) << "another's stay";
    EXPECT_TRUE(eventually([] { return ctl_json({"flows"}).size() == 10000; }, std::chrono::seconds(30)))
        << "those of who is gone do not";
}

// Each library more is some 10 pages and 8 system calls of every ADD and DEL.
TEST_F(Cost, OfTheStartIsThatOfTwoLibraries) {
    const auto started = traced({.command = "VERSION"}, {SYS_openat});
    EXPECT_LE(started.counted, 3) << "the linker's cache, libmnl, libc";
}

// A second address is a claim, an entry and its undoing, and the uplink's own address of that family. A thread writes
// IPv6's settings in the sandbox's namespace.
TEST_F(Cost, IsTheDocumentedOneForBothFamiliesPortsBandwidthAndAGivenLinkToo) {
    const auto mapping = [](int port) {
        return Json{{"portMappings", {{{"hostPort", port}, {"containerPort", 80}, {"protocol", "tcp"}}}}};
    };
    const auto conf = [](const Json& patch) {
        auto both = dual_configuration(default_tables);
        both.merge_patch(patch);
        return both;
    };
    const auto keeper = connect("keeper", conf({{"runtimeConfig", mapping(8081)}}));
    Call call{.command = {}, .id = "blue", .netns = world_.add_namespace("blue"), .conf = conf(Json::object())};
    expect_at_most(costs_of(call), {.add = {47, 16, 1, 2}, .del = {32, 2, 1, 2}});
    auto all = mapping(8080);
    all["bandwidth"] = {
        {"ingressRate", 80000000}, {"ingressBurst", 800000}, {"egressRate", 80000000}, {"egressBurst", 800000}};
    call.conf = conf({{"runtimeConfig", all}});
    {
        SCOPED_TRACE("ports and bandwidth");
        expect_at_most(costs_of(call), {.add = {71, 16, 1, 2}, .del = {50, 2, 1, 2}});
    }
    ip({"link", "add", "given0", "type", "veth", "peer", "name", "eth0", "netns", "blue"});
    call.conf = conf(Json::parse(R"({"prevResult": {"cniVersion": "1.1.0", "interfaces": [
        {"name": "given0"}, {"name": "eth0", "sandbox": "/run/netns/blue"}]}})"));
    SCOPED_TRACE("a link of an earlier plugin's");
    expect_at_most(costs_of(call), {.add = {52, 17, 1, 2}, .del = {33, 8, 0, 0}});
}

}  // namespace
}  // namespace causeway::test::cost_test
