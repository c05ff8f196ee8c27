// SPDX-License-Identifier: Apache-2.0
// Each step of DEL fails in its turn, in the plugin and in what it leaves running, or that is killed: a DEL that has
// said that all is gone has left nothing, one that has not is finished by the next, and others never notice.
#include <sys/syscall.h>

#include <cerrno>

#include "tests/system/fault.hpp"
#include "tests/system/host.hpp"
#include "tests/system/snapshot.hpp"
#include "tests/system/traffic.hpp"

namespace causeway::test::failed_del_test {
namespace {

const Group groups[] = {
    {"Netlink", {SYS_sendto, SYS_sendmsg, SYS_recvmsg, SYS_recvfrom}, ENOBUFS},
    {"Sockets", {SYS_socket, SYS_bind, SYS_setsockopt, SYS_getsockname, SYS_setns}, EMFILE},
    {"Files",
     {SYS_openat, SYS_mkdir, SYS_rename, SYS_unlink, SYS_unlinkat, SYS_rmdir, SYS_flock, SYS_statfs, SYS_fstatfs,
      SYS_newfstatat, SYS_getdents64, SYS_ioctl},
     EACCES},
    {"Bpf", {SYS_bpf}, EPERM},
    {"Children", {SYS_clone, SYS_clone3, SYS_fork, SYS_vfork, SYS_wait4, SYS_pipe2, SYS_poll}, EAGAIN},
};

class FailedDel : public Host, public testing::WithParamInterface<Group> {
protected:
    void SetUp() override {
        netns_ = world_.add_namespace("blue");
        ip({"link", "set", "lo", "up"}, netns_);
    }

    static Json conf(const Json& more = Json::object()) {
        auto conf = dual_configuration({{"tables", {{"flows", 64}, {"sandboxes", 64}}}});
        conf.merge_patch(more);
        return conf;
    }

    // every: so many calls later is the next.
    void fail_each_call(
        const Snapshot& before, const Json& conf, int every = 1, const std::function<void()>& others_are_well = [] {}) {
        const Call call{.command = "DEL", .id = "blue", .netns = netns_, .conf = conf};
        int hits = 0;
        for (int nth = 1; !HasFailure(); nth += every) {
            ASSERT_TRUE(succeeded(add("blue", netns_, conf)));
            const auto faulted = run_with({.kind = Fault::Kind::error,
                                           .nth = nth,
                                           .error = GetParam().error,
                                           .calls = GetParam().calls,
                                           .callers = Fault::Callers::all,
                                           .few_of_alike = true},
                                          {plugin()}, call.options());
            const auto answer = answer_of(faulted.output);
            SCOPED_TRACE("call " + std::to_string(nth) + ", " + faulted.call + ": " + answer.text);
            if (!answer.ok()) {
                EXPECT_TRUE(refused(answer, answer.code()));
                EXPECT_NE(answer.code(), 0);
                EXPECT_GT(answer.message().size(), 10U) << "the step and the reason";
                EXPECT_TRUE(succeeded(del("blue", netns_, conf)));
            }
            EXPECT_TRUE(before.comes_back());
            others_are_well();
            if (faulted.call.empty()) {
                break;
            }
            hits++;
        }
        EXPECT_GE(hits, 1) << "DEL makes no call of this group";
    }

    std::string netns_;
};

// To unload is to remove files; and to load again takes most of the time.
TEST_P(FailedDel, LeavesNothingWhenItWasTheLast) {
    fail_each_call(Snapshot::take({netns_}), conf(), GetParam().name == "Files" ? 1 : 2);
}

TEST_P(FailedDel, LeavesTheOthers) {
    const Json port{{"hostPort", 8080}, {"containerPort", 80}, {"protocol", "tcp"}},
        bandwidth{
            {"ingressRate", 80000000}, {"ingressBurst", 800000}, {"egressRate", 80000000}, {"egressBurst", 800000}};
    const auto keeper = connect("keeper", conf());
    fail_each_call(Snapshot::take({netns_, keeper.netns}),
                   conf({{"runtimeConfig", {{"portMappings", Json::array({port})}, {"bandwidth", bandwidth}}}}), 1,
                   [&] {
                       EXPECT_TRUE(ping(keeper.netns, "10.0.0.1"));
                       EXPECT_TRUE(ping(keeper.netns, "fd00:1::1"));
                   });
}

INSTANTIATE_TEST_SUITE_P(Each, FailedDel, testing::ValuesIn(groups),
                         [](const auto& group) { return group.param.name; });

// What a DEL leaves running deletes the device. Killed by itself, before each of its calls: then the DEL has done it.
class ChildOfDel : public Host {};

TEST_F(ChildOfDel, ThatIsKilledLeavesNothing) {
    const auto keeper = connect("keeper");
    const auto netns = world_.add_namespace("blue");
    ip({"link", "set", "lo", "up"}, netns);
    const auto before = Snapshot::take({netns, keeper.netns});
    const Call call{.command = "DEL", .id = "blue", .netns = netns};
    int kills = 0;
    for (int nth = 1; !HasFailure(); ++nth) {
        ASSERT_TRUE(succeeded(add("blue", netns)));
        const auto faulted = run_with({.kind = Fault::Kind::kill, .nth = nth, .callers = Fault::Callers::children},
                                      {plugin()}, call.options());
        SCOPED_TRACE("child killed before call " + std::to_string(nth) + ", " + faulted.call);
        EXPECT_TRUE(succeeded(answer_of(faulted.output)));
        EXPECT_TRUE(before.holds());
        EXPECT_TRUE(ping(keeper.netns, "10.0.0.1"));
        if (faulted.call.empty()) {
            break;
        }
        kills++;
    }
    EXPECT_GE(kills, 3) << "descriptors closed, the request, the end";
}

// The child is refused, and so is the DEL that asks itself then.
TEST_F(ChildOfDel, ThatTheKernelRefusesIsToldOfWithTheReason) {
    const auto netns = world_.add_namespace("blue");
    ip({"link", "set", "lo", "up"}, netns);
    const auto before = Snapshot::take({netns});
    ASSERT_TRUE(succeeded(add("blue", netns)));
    const Call call{.command = "DEL", .id = "blue", .netns = netns};
    constexpr int after_the_look_at_the_link = 2;
    const auto faulted = run_with({.kind = Fault::Kind::error,
                                   .nth = after_the_look_at_the_link,
                                   .times = 2,
                                   .error = EBUSY,
                                   .calls = {SYS_sendto},
                                   .callers = Fault::Callers::all},
                                  {plugin()}, call.options());
    EXPECT_TRUE(refused(answer_of(faulted.output), 100, {"delete the device", "Device or resource busy"}));
    EXPECT_TRUE(succeeded(answer_to(call)));
    EXPECT_TRUE(before.holds());
}

}  // namespace
}  // namespace causeway::test::failed_del_test
