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

class Cost : public Host {
protected:
    struct Counts {
        int map_operations = 0, netlink_requests = 0, forks = 0;
        bool operator==(const Counts&) const = default;
    };

    static int count(const Call& call, const std::vector<int>& calls,
                     Fault::Callers callers = Fault::Callers::program) {
        const auto result = run_with({.calls = calls, .callers = callers}, {plugin()}, call.options());
        EXPECT_TRUE(succeeded(answer_of(result.output)));
        return result.counted;
    }

    // One call of each kind, and what undoes it in between.
    static Counts counts_of(Call call) {
        const std::string opposite = call.command == "ADD" ? "DEL" : "ADD";
        Counts counts;
        for (const auto& [number, calls, callers] : std::vector<std::tuple<int*, std::vector<int>, Fault::Callers>>{
                 {&counts.map_operations, {SYS_bpf}, Fault::Callers::program},
                 {&counts.netlink_requests, {SYS_sendto, SYS_sendmsg}, Fault::Callers::program},
                 {&counts.forks, {SYS_execve, SYS_clone, SYS_clone3, SYS_fork, SYS_vfork}, Fault::Callers::all}}) {
            *number = count(call, calls, callers);
            auto back = call;
            back.command = opposite;
            EXPECT_TRUE(succeeded(answer_to(back)));
        }
        return counts;
    }
};

TEST_F(Cost, IsTheDocumentedOneAndDoesNotGrow) {
    const auto keeper = connect("keeper", documented);
    const auto netns = world_.add_namespace("blue");
    const Call add{.command = "ADD", .id = "blue", .netns = netns, .conf = documented},
        del{.command = "DEL", .id = "blue", .netns = netns, .conf = documented};
    const auto add_alone = counts_of(add);
    EXPECT_LE(add_alone.map_operations, 42);
    EXPECT_LE(add_alone.netlink_requests, 12);
    EXPECT_EQ(add_alone.forks, 0);
    ASSERT_TRUE(succeeded(answer_to(add)));
    const auto del_alone = counts_of(del);
    EXPECT_LE(del_alone.map_operations, 30);
    EXPECT_LE(del_alone.netlink_requests, 2);
    EXPECT_LE(del_alone.forks, 1) << "the child that outlives it";
    ASSERT_TRUE(succeeded(answer_to(del)));
    for (int i = 0; i < 60; ++i) {
        connect("neighbour" + std::to_string(i), documented);
    }
    EXPECT_EQ(counts_of(add), add_alone);
    ASSERT_TRUE(succeeded(answer_to(add)));
    EXPECT_EQ(counts_of(del), del_alone);
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
        const int cost = count({.command = "DEL", .id = "blue", .netns = blue.netns, .conf = documented}, {SYS_bpf});
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

// A second address is a claim, an entry and its undoing, and the uplink's own address of that family.
// Each library more is some 10 pages and 8 system calls of every ADD and DEL.
TEST_F(Cost, OfTheStartIsThatOfTwoLibraries) {
    EXPECT_LE(count({.command = "VERSION"}, {SYS_openat}), 3) << "the linker's cache, libmnl, libc";
}

TEST_F(Cost, IsTheDocumentedOneForBothFamiliesToo) {
    const auto conf = dual_configuration(default_tables);
    const auto keeper = connect("keeper", conf);
    const auto netns = world_.add_namespace("blue");
    const Call add{.command = "ADD", .id = "blue", .netns = netns, .conf = conf};
    const auto counts = counts_of(add);
    EXPECT_LE(counts.map_operations, 47);
    EXPECT_LE(counts.netlink_requests, 16);
    EXPECT_EQ(counts.forks, 1) << "the thread that writes IPv6's settings in the sandbox's namespace";
    ASSERT_TRUE(succeeded(answer_to(add)));
    auto del = add;
    del.command = "DEL";
    const auto del_counts = counts_of(del);
    EXPECT_LE(del_counts.map_operations, 32);
    EXPECT_LE(del_counts.netlink_requests, 2);
}

}  // namespace
}  // namespace causeway::test::cost_test
