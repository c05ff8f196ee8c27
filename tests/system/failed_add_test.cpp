// SPDX-License-Identifier: Apache-2.0
// Each step of ADD fails in its turn: nothing is left, the error says which step, and others never notice.
#include <linux/bpf.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include <causeway/abi.h>

#include "tests/system/entries.hpp"
#include "tests/system/fault.hpp"
#include "tests/system/of_family.hpp"
#include "tests/system/snapshot.hpp"

namespace causeway::test::failed_add_test {
namespace {

struct Failure : Group {
    int first = 1, every = 1;                   // which of the calls: a share of the many
    std::vector<std::uint64_t> bpf_commands{};  // as of a fault
};
void PrintTo(const Failure& failure, std::ostream* stream) {
    *stream << failure.name;
}

// Every system call that an ADD makes and that can fail, but for reading stdin and writing the answer.
const Group bpf{"Bpf", {SYS_bpf}, EPERM};
const Failure groups[] = {
    {bpf},
    {{"Netlink", {SYS_sendto, SYS_sendmsg, SYS_recvmsg, SYS_recvfrom}, ENOBUFS}},
    {{"Sockets", {SYS_socket, SYS_bind, SYS_setsockopt, SYS_getsockname, SYS_setns}, EMFILE}},
    {{"Files",
      {SYS_openat, SYS_mkdir, SYS_mkdirat, SYS_rename, SYS_renameat, SYS_renameat2, SYS_unlink, SYS_unlinkat, SYS_rmdir,
       SYS_flock, SYS_mount, SYS_statfs, SYS_fstatfs, SYS_newfstatat, SYS_getdents64, SYS_ioctl},
      EACCES}},
    {{"Children", {SYS_clone, SYS_clone3, SYS_fork, SYS_vfork, SYS_wait4, SYS_pipe2, SYS_poll, SYS_getrandom}, EAGAIN}},
};

class FailedAdd : public Host, public testing::WithParamInterface<Failure> {
protected:
    void SetUp() override {
        netns_ = world_.add_namespace("blue");
        ip({"link", "set", "lo", "up"}, netns_);  // as ADD leaves it: nobody can tell who set it up
    }

    // One ADD after another, whose first call of the group fails, then the second, to the last that there is.
    // few_of_alike: as of a fault's calls. after_del: what is before the next ADD where one did not fail.
    void fail_each_call(
        Snapshot before, bool few_of_alike, const std::function<void()>& others_are_well,
        const Json& more = Json::object(),
        const std::function<Snapshot(const Snapshot&)>& after_del = [](const Snapshot& before) {
            EXPECT_TRUE(before.holds());
            return before;
        }) {
        const auto conf = dual_configuration(more);
        const Call call{.command = "ADD", .id = "blue", .netns = netns_, .conf = conf};
        int failed = 0;
        for (int nth = GetParam().first;; nth += GetParam().every) {
            const Fault fault{.kind = Fault::Kind::error,
                              .nth = nth,
                              .error = GetParam().error,
                              .calls = GetParam().calls,
                              .bpf_commands = GetParam().bpf_commands,
                              .few_of_alike = few_of_alike};
            const auto faulted = run_with(fault, {plugin()}, call.options());
            const auto answer = answer_of(faulted.output);
            SCOPED_TRACE("call " + std::to_string(nth) + ", " + faulted.call + ": " + answer.text);
            if (answer.ok()) {
                expect_well(netns_);
                EXPECT_TRUE(succeeded(del("blue", netns_, conf)));
                before = after_del(before);
            } else {
                failed++;
                EXPECT_FALSE(faulted.call.empty()) << "without a fault";
                EXPECT_TRUE(refused(answer, answer.code()));
                EXPECT_NE(answer.code(), 0);
                EXPECT_GT(answer.message().size(), 10U) << "the step and the reason";
                EXPECT_TRUE(before.holds());
            }
            others_are_well();
            if (faulted.call.empty() || (HasFailure() && !(del("blue", netns_, conf).ok() && before.holds()))) {
                break;  // also where what one has left behind would be held against the next
            }
        }
        EXPECT_GE(failed, 1) << "no call of this group ever failed an ADD";
    }

    void expect_well(const std::string& netns) {
        for (const auto& [gateway, outside] : {std::pair{"10.0.0.1", world_address}, {"fd00:1::1", world_ipv6}}) {
            EXPECT_TRUE(ping(netns, gateway));
            EXPECT_TRUE(meet(Protocol::udp, {netns}, {world_.world(), {outside, 53}}));
        }
    }

    std::string netns_;
};

TEST_P(FailedAdd, LeavesNothing) {
    fail_each_call(Snapshot::take({netns_}), true, [] {});
}

// The first of a network, beside another that keeps the datapath loaded.
class FailedAddOfANewNetwork : public FailedAdd {};

TEST_P(FailedAddOfANewNetwork, LeavesNothing) {
    const auto others = dual_configuration(Json::parse(R"({"name": "others", "device": "cw1", "ipam": {
        "ranges": [[{"subnet": "10.0.1.0/24"}], [{"subnet": "fd00:2::/64"}]], "routes": null}})"));
    const auto keeper = connect("keeper", others);
    const auto collect = [](const Snapshot& before) {  // a network has no end of its own beside another
        EXPECT_EQ(ctl_json({"gc"}).size(), 1U);
        EXPECT_TRUE(before.holds());
        return before;
    };
    fail_each_call(
        Snapshot::take({netns_, keeper.netns}), true, [&] { EXPECT_TRUE(ping(keeper.netns, "10.0.1.1")); },
        Json::object(), collect);
}

class FailedLaterAdd : public FailedAdd {
protected:
    void expect_others_left() {
        const auto keeper = connect("keeper", dual_configuration());
        fail_each_call(Snapshot::take({netns_, keeper.netns}), false, [&] { expect_well(keeper.netns); });
    }
};

TEST_P(FailedLaterAdd, LeavesTheOthers) {
    expect_others_left();
}

class LaterAddWithoutMemory : public FailedLaterAdd {};

TEST_P(LaterAddWithoutMemory, LeavesTheOthers) {
    expect_others_left();
}

// With all that has steps of its own: the program on lo, what is published, the queues at both ends.
TEST_P(FailedLaterAdd, LeavesNothingOfPortsAndBandwidth) {
    const auto keeper = connect("keeper", dual_configuration());
    const Json port{{"hostPort", 8080}, {"containerPort", 80}, {"protocol", "tcp"}},
        bandwidth{
            {"ingressRate", 80000000}, {"ingressBurst", 800000}, {"egressRate", 80000000}, {"egressBurst", 800000}};
    fail_each_call(Snapshot::take({netns_, keeper.netns}), true,
                   [] {
                       EXPECT_EQ(keys_of("publications").size(), 0U);
                       EXPECT_EQ(keys_of("shapers").size(), 0U);
                       for (const auto& key : keys_of("flows")) {
                           EXPECT_TRUE(std::any_of(key.begin(), key.begin() + 16, [](auto byte) { return byte != 0; }))
                               << "a published port is left";
                       }
                   },
                   {{"runtimeConfig", {{"portMappings", Json::array({port})}, {"bandwidth", bandwidth}}}});
}

constexpr auto name_of = [](const auto& group) { return group.param.name; };

// Loading the datapath takes most of the time, so its own calls alone are all made to fail with nothing loaded, and of
// the others some: FailedAddOfANewNetwork has them all.
const std::vector<std::uint64_t> of_loading{BPF_MAP_CREATE, BPF_PROG_LOAD, BPF_BTF_LOAD, BPF_OBJ_PIN, BPF_OBJ_GET};
INSTANTIATE_TEST_SUITE_P(Loading, FailedAdd,
                         testing::Values(Failure{bpf, 1, 2, of_loading}, Failure{bpf, 2, 2, of_loading}),
                         [](const auto& group) { return std::to_string(group.param.first) + "of2"; });
INSTANTIATE_TEST_SUITE_P(Some, FailedAdd, testing::ValuesIn([] {
                             std::vector<Failure> some(groups + 1, std::end(groups));
                             for (auto& one : some) {
                                 one.every = 5;
                             }
                             return some;
                         }()),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Each, FailedAddOfANewNetwork, testing::ValuesIn(groups), name_of);
INSTANTIATE_TEST_SUITE_P(Each, FailedLaterAdd, testing::ValuesIn(groups), name_of);
INSTANTIATE_TEST_SUITE_P(Of, LaterAddWithoutMemory, testing::Values(Failure{{"Bpf", {SYS_bpf}, ENOMEM}}), name_of);

// What the kernel refuses for reasons of its own: a step each.
class RefusedStep : public EachFamily {
protected:
    void expect_failure(const Json& conf, const std::vector<std::string>& parts, const std::string& prelude = {}) {
        const auto netns = world_.add_namespace("blue");
        ip({"link", "set", "lo", "up"}, netns);
        if (!prelude.empty()) {
            must_run({"ip", "-batch", "-"}, {.stdin_text = here(prelude), .netns = netns});
        }
        const auto before = Snapshot::take({netns});
        const auto answer = add("blue", netns, conf);
        EXPECT_TRUE(refused(answer, answer.code(), parts));
        EXPECT_TRUE(before.holds());
        const auto keeper = connect("keeper");
        const auto with_keeper = Snapshot::take({netns, keeper.netns});
        EXPECT_FALSE(add("blue", netns, conf).ok());
        EXPECT_TRUE(with_keeper.holds());
        EXPECT_TRUE(ping(keeper.netns, "10.0.0.1"));
    }
};
class RefusedStepOnce : public RefusedStep {};  // what has no family

TEST_P(RefusedStepOnce, IsTheInterfaceWhoseNameIsTaken) {
    expect_failure(configuration(), {"eth0", "File exists"}, "link add eth0 type veth peer name eth1\n");
}

// That the runtime may give ranges keeps both routes from being refused before anything is made.
TEST_P(RefusedStep, IsTheRouteWhoseGatewayCannotBeReached) {
    expect_failure(configuration(Json::parse(
                       R"({"capabilities": {"ipRanges": true},
                           "ipam": {"routes": [{"dst": "0.0.0.0/0"}, {"dst": "10.9.0.0/16", "gw": "10.8.0.1"}]}})")),
                   {"add the route", "10.9.0.0/16", "10.8.0.1"});
}

TEST_P(RefusedStep, IsTheRouteThatIsThereTwice) {
    expect_failure(configuration(Json::parse(R"({"capabilities": {"ipRanges": true},
                                      "ipam": {"routes": [{"dst": "10.9.0.0/16"}, {"dst": "10.9.0.0/16"}]}})")),
                   {"10.9.0.0/16", "File exists"});
}

// What this ADD was the first to ask for, the network's other sandboxes and the next ADD see nothing of.
TEST_P(RefusedStep, LeavesTheNetworkThatItWouldHaveChangedAsItWas) {
    const auto keeper = Host::connect("keeper", second_configuration(Json::parse(R"({"ipam": {
        "ranges": [[{"subnet": "10.9.0.0/24"}], [{"subnet": "fd00:9::/64"}]], "routes": null}})")));
    const auto blue = connect("blue");
    const auto netns = world_.add_namespace("red");
    ip({"link", "add", "eth0", "type", "veth", "peer", "name", "eth1"}, netns);
    const auto before = Snapshot::take({blue.netns, netns});
    auto conf = dual_configuration({{"isolate", true}, {"ipMasq", false}, {"portRange", "20000-29999"}});
    conf["ipam"]["ranges"][0].push_back({{"subnet", "10.0.4.0/24"}});
    conf["ipam"].erase("routes");
    const auto answer = add("red", netns, conf);
    EXPECT_TRUE(refused(answer, answer.code(), {"eth0", "File exists"}));
    EXPECT_TRUE(before.holds());
    EXPECT_TRUE(meet(Protocol::udp, {blue.netns}, server(53)));
    ip({"link", "del", "eth0"}, netns);
    EXPECT_TRUE(succeeded(add("red", netns, conf)));
}

TEST_P(RefusedStep, LeavesTheGatewayDeviceThatItHasMadeAgain) {
    const auto blue = connect("blue");
    const auto netns = world_.add_namespace("red");
    ip({"link", "add", "eth0", "type", "veth", "peer", "name", "eth1"}, netns);
    ip({"link", "del", "cw0"});
    auto conf = configuration();
    conf["ipam"]["ranges"][0].push_back({{"subnet", "10.0.4.0/24"}});
    const auto answer = add("red", netns, conf);
    EXPECT_TRUE(refused(answer, answer.code(), {"eth0", "File exists"}));
    EXPECT_TRUE(ping(blue.netns, "10.0.0.1"));
    EXPECT_EQ(ip({"addr", "show", "cw0"}).find(here("10.0.4.1/24")), std::string::npos);
}

TEST_P(RefusedStepOnce, IsThePinInABpfFileSystemThatIsReadOnly) {
    ASSERT_EQ(mount("none", "/sys/fs/bpf", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr), 0);
    const auto netns = world_.add_namespace("blue");
    const auto before = Snapshot::take({netns});
    const auto answer = add("blue", netns);
    EXPECT_TRUE(refused(answer, 100, {"/sys/fs/bpf/causeway", "Read-only"}));
    EXPECT_TRUE(before.holds());
}

TEST_P(RefusedStepOnce, IsThePinThatIsNoMap) {
    const std::string directory = "/sys/fs/bpf/causeway/v" + std::to_string(CAUSEWAY_ABI_VERSION);
    std::filesystem::create_directories(directory + "/sandboxes");
    const auto netns = world_.add_namespace("blue");
    const auto before = Snapshot::take({netns});
    const auto answer = add("blue", netns);
    EXPECT_TRUE(refused(answer, answer.code(), {directory + "/sandboxes"}));
    EXPECT_TRUE(before.holds());
}

FOR_BOTH_FAMILIES(RefusedStep);
INSTANTIATE_TEST_SUITE_P(Of, RefusedStepOnce, testing::Values(Family::ipv4), testing::PrintToStringParamName());

// ADDs with one more of a resource each, as ulimit(1) counts it, until one succeeds: whatever they want one more of
// than they get, they fail at in turn.
class Scarcity : public Host {
protected:
    void expect_clean_failures(const std::string& ulimit, int from, int step) {
        const auto netns = world_.add_namespace("blue");
        ip({"link", "set", "lo", "up"}, netns);
        const auto before = Snapshot::take({netns});
        const Call call{.command = "ADD", .id = "blue", .netns = netns};
        int failed = 0;
        for (int limit = from;; limit += step) {
            const auto script = "ulimit " + ulimit + " " + std::to_string(limit) + "; exec \"$0\"";
            const auto answer = answer_of(run({"/bin/sh", "-c", script, plugin()}, call.options()));
            SCOPED_TRACE(script + ": " + answer.text);
            if (answer.ok()) {
                EXPECT_TRUE(ping(netns, "10.0.0.1"));
                EXPECT_TRUE(succeeded(del("blue", netns)));
            } else if (answer.json.is_object()) {
                EXPECT_TRUE(refused(answer, answer.code()));
                failed++;
            } else {
                EXPECT_TRUE(answer.status == 126 || answer.status == 127) << "it may not start, and never crashes";
            }
            ASSERT_TRUE(before.holds());
            if (answer.ok()) {
                break;
            }
        }
        EXPECT_GE(failed, 3);
    }
};

TEST_F(Scarcity, OfFilesLeavesNothing) {
    expect_clean_failures("-n", 3, 1);
}

TEST_F(Scarcity, OfMemoryLeavesNothing) {
    expect_clean_failures("-d", 256, 256);  // KiB
}

}  // namespace
}  // namespace causeway::test::failed_add_test
