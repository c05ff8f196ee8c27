// SPDX-License-Identifier: Apache-2.0
// Kills where another plugin gives the addresses: no lease is left that nothing frees, and none is taken from who has
// it.
#include <gmock/gmock.h>
#include <linux/bpf.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>

#include "tests/system/fault.hpp"
#include "tests/system/host_local.hpp"
#include "tests/system/snapshot.hpp"
#include "tests/system/traffic.hpp"

namespace causeway::test::killed_ipam_test {
namespace {

class KilledWithHostLocal : public Host {
protected:
    void SetUp() override {
        netns_ = world_.add_namespace("blue");
        ip({"link", "set", "lo", "up"}, netns_);
        // As a newer one, which knows CNI 1.1.0 and does nothing at GC.
        std::filesystem::create_directory("/run/cni");
        std::ofstream("/run/cni/host-local")
            << "#!/bin/sh\n[ $CNI_COMMAND = GC ] || sed s/1.1.0/1.0.0/ | /usr/lib/cni/host-local\n";
        std::filesystem::permissions("/run/cni/host-local", std::filesystem::perms::owner_all);
    }

    void connect_keeper() {
        keeper_ = connect("keeper", conf_);
        namespaces_.push_back(keeper_->netns);
    }

    // A call with a kill before each that it makes of these; after it what comes next, by turns, and then only the
    // keeper's lease.
    void kill_at_each(const std::string& command, const std::vector<int>& calls) {
        namespaces_.push_back(netns_);
        const auto before = Snapshot::take(namespaces_);
        const auto kept = leases();
        const Call call{.command = command, .id = "blue", .netns = netns_, .conf = conf_};
        bool outlived = false;
        int nth = 1;
        for (; !outlived && !HasFailure(); ++nth) {
            if (command == "DEL") {
                ASSERT_TRUE(succeeded(add("blue", netns_, conf_)));
            }
            const auto faulted =
                run_with({.kind = Fault::Kind::kill, .nth = nth, .calls = calls, .bpf_commands = bpf_commands},
                         {plugin()}, call.options());
            SCOPED_TRACE(command + " killed before call " + std::to_string(nth) + ", " + faulted.call);
            outlived = faulted.call.empty();
            undo_by_turns(nth);
            EXPECT_EQ(leases(), kept);
            EXPECT_TRUE(before.comes_back());
            EXPECT_TRUE(!keeper_ || ping(keeper_->netns, "10.0.0.1"));
        }
        EXPECT_GE(nth, keeper_ ? 12 : 5);
    }

    void undo_by_turns(int turn) {
        switch (turn % 4) {
            case 1:
                expect_collected();
                break;
            case 2:
                expect_added();
                [[fallthrough]];
            case 3:
                EXPECT_TRUE(succeeded(del("blue", netns_, conf_)));
                break;
            default:
                EXPECT_TRUE(succeeded(del("blue", "", conf_)));
        }
    }

    // host-local refuses a second lease, so what a killed call has left is given back first.
    void expect_added() {
        const auto answer = add("blue", netns_, conf_);
        EXPECT_TRUE(answer.ok() || refused(answer, 102, {"is connected already"})) << answer.text;
        EXPECT_EQ(leases().size(), keeper_ ? 2U : 1U);
        EXPECT_TRUE(ping(netns_, "10.0.0.1"));
    }

    void expect_collected() {
        auto listing = host_local_configuration({{"cniVersion", "1.1.0"}});
        listing["cni.dev/valid-attachments"] =
            keeper_ ? Json::parse(R"([{"containerID": "keeper", "ifname": "eth0"}])") : Json::array();
        EXPECT_TRUE(succeeded(
            answer_to({.command = "GC", .id = "", .netns = "", .conf = listing, .interface = "", .path = "/run/cni"})));
    }

    // What is written down, and all that has to do with the other plugin.
    static inline const std::vector<int> all{SYS_bpf,    SYS_memfd_create, SYS_pipe2, SYS_clone, SYS_vfork,
                                             SYS_clone3, SYS_read,         SYS_wait4, SYS_write};
    // A few of them, where each takes a datapath that is loaded and unloaded.
    static inline const std::vector<int> few{SYS_rename, SYS_memfd_create, SYS_wait4, SYS_write};
    static inline const std::vector<std::uint64_t> bpf_commands{BPF_MAP_UPDATE_ELEM, BPF_MAP_DELETE_ELEM};
    const Json conf_ = host_local_configuration();
    std::optional<Sandbox> keeper_;
    std::string netns_;

private:
    std::vector<std::string> namespaces_;
};

TEST_F(KilledWithHostLocal, AddLeavesNoLeaseThatNothingFrees) {
    connect_keeper();
    kill_at_each("ADD", all);
}

TEST_F(KilledWithHostLocal, DelLeavesNoLeaseThatNothingFrees) {
    connect_keeper();
    kill_at_each("DEL", all);
}

TEST_F(KilledWithHostLocal, FirstAddLeavesNoLeaseThatNothingFrees) {
    kill_at_each("ADD", few);
}

TEST_F(KilledWithHostLocal, LastDelLeavesNoLeaseThatNothingFrees) {
    kill_at_each("DEL", few);
}

// As a runtime that has lost its own record of it does.
TEST_F(KilledWithHostLocal, AnAddOfWhatIsConnectedLeavesItsLease) {
    connect_keeper();
    EXPECT_TRUE(refused(add("keeper", keeper_->netns, conf_), 102, {"keeper", "is connected already"}));
    EXPECT_EQ(leases(), std::vector{keeper_->address});
    EXPECT_TRUE(ping(keeper_->netns, "10.0.0.1"));
}

// host-local behind a script that waits until it is told to go on.
class SlowHostLocal : public Host {
protected:
    void SetUp() override {
        std::filesystem::create_directory("/run/cni");
        std::ofstream("/run/cni/slow")
            << "#!/bin/sh\n[ \"$CNI_COMMAND\" = $(cat /run/slow) ] && echo > /run/asked && cat /run/go\n"
               "sed s/1.1.0/1.0.0/ | /usr/lib/cni/host-local\n";  // which is older than GC
        std::filesystem::permissions("/run/cni/slow", std::filesystem::perms::owner_all);
        ASSERT_EQ(mkfifo("/run/go", 0600), 0);
        be_slow_at("ADD");
        conf_["ipam"]["type"] = "slow";
        netns_ = world_.add_namespace("blue");
        ip({"link", "set", "lo", "up"}, netns_);
    }

    Call call(const std::string& command, const std::string& netns) const {
        return {.command = command, .id = "blue", .netns = netns, .conf = conf_, .path = "/run/cni"};
    }

    static void be_slow_at(const std::string& command) { std::ofstream("/run/slow") << command; }

    // Until the script waits.
    Child begin(const std::string& command) const {
        std::filesystem::remove("/run/asked");
        auto child = start({plugin()}, call(command, netns_).options());
        EXPECT_TRUE(eventually([] { return std::filesystem::exists("/run/asked"); }));
        return child;
    }

    // A process of a killed ADD that has yet to take its lease.
    void leave_one_running() {
        auto adding = begin("ADD");
        ::kill(adding.pid(), SIGKILL);  // and not its children
        ASSERT_EQ(adding.wait(), 128 + SIGKILL);
    }

    void let_it_go_on() { std::ofstream("/run/go"); }

    Json conf_ = host_local_configuration();
    std::string netns_;
};

TEST_F(SlowHostLocal, LeftRunningByAKilledAddIsWaitedForByDel) {
    const auto before = Snapshot::take({netns_});
    for (const auto& netns : {netns_, std::string()}) {  // ctr(8) calls DEL without one after a failed ADD
        leave_one_running();
        auto deleting = start({plugin()}, call("DEL", netns).options());
        std::this_thread::sleep_for(silence);
        EXPECT_TRUE(deleting.running());
        let_it_go_on();
        EXPECT_EQ(deleting.wait(), 0) << deleting.out();
        EXPECT_EQ(leases(), std::vector<std::string>{});
        EXPECT_TRUE(before.holds());
    }
}

// After five seconds, since nobody can tell how long it will take.
TEST_F(SlowHostLocal, LeftRunningForEverIsToldByDel) {
    leave_one_running();
    const auto answer = answer_to(call("DEL", netns_));
    EXPECT_TRUE(refused(answer, 11, {"/run/cni/slow", "blue", "still runs as process"}));
    let_it_go_on();
    EXPECT_TRUE(succeeded(answer_to(call("DEL", netns_))));
    EXPECT_EQ(leases(), std::vector<std::string>{});
}

// A second ADD would make a lease of its own, or give that one back; and nobody may take it for left over.
TEST_F(SlowHostLocal, WhileItIsAskedLeavesTheSandboxToItsAdd) {
    const auto before = Snapshot::take({netns_});
    auto adding = begin("ADD");
    EXPECT_TRUE(refused(answer_to(call("ADD", netns_)), 11, {"blue", "is being connected or disconnected"}));
    EXPECT_TRUE(ctl({"gc"}).ok());
    auto collecting = call("GC", "");
    collecting.id = collecting.interface = "";
    collecting.conf.update({{"cniVersion", "1.1.0"}, {"cni.dev/valid-attachments", Json::array()}});
    EXPECT_TRUE(refused(answer_to(collecting), 3, {"slow", "containerID"}));  // by host-local, behind all else
    let_it_go_on();
    EXPECT_EQ(adding.wait(), 0) << adding.out();
    EXPECT_EQ(leases(), std::vector<std::string>{"10.0.0.20"});
    EXPECT_TRUE(ping(netns_, "10.0.0.1"));
    EXPECT_TRUE(succeeded(answer_to(call("DEL", netns_))));
    EXPECT_EQ(leases(), std::vector<std::string>{});
    EXPECT_TRUE(before.comes_back());
}

// Its network was not made when it was killed; another ADD has made it since.
TEST_F(SlowHostLocal, LeftByAKilledAddIsGivenBackByAGcOfItsNetworkAlone) {
    leave_one_running();
    let_it_go_on();
    be_slow_at("nothing");
    ASSERT_TRUE(eventually([] { return leases().size() == 1; }));
    auto red = call("ADD", world_.add_namespace("red"));
    red.id = "red";
    ASSERT_TRUE(succeeded(answer_to(red)));
    const auto collect = [](Call gc, const Json& kept) {
        gc.command = "GC";
        gc.id = gc.interface = gc.netns = "";
        gc.conf.update({{"cniVersion", "1.1.0"}, {"cni.dev/valid-attachments", kept}});
        return answer_to(gc);
    };
    auto others = call("GC", "");
    others.conf = second_configuration();
    EXPECT_TRUE(succeeded(collect(others, Json::array())));
    EXPECT_EQ(leases().size(), 2U);
    EXPECT_TRUE(refused(collect(red, {{{"containerID", "red"}, {"ifname", "eth0"}}}), 3, {"slow", "containerID"}));
    EXPECT_EQ(leases(), std::vector<std::string>{"10.0.0.21"});
}

// Whose plugin is asked by that network's name, and would know nothing of it.
TEST_F(SlowHostLocal, LeftByAKilledAddIsNotForgottenByAnAddToAnotherNetwork) {
    leave_one_running();
    let_it_go_on();
    be_slow_at("nothing");
    ASSERT_TRUE(eventually([] { return leases().size() == 1; }));
    auto other = call("ADD", netns_);
    other.conf.update({{"name", "others"}, {"device", "cw1"}});
    EXPECT_TRUE(refused(answer_to(other), 102, {"blue", "\"sandboxes\""}));
    EXPECT_TRUE(succeeded(answer_to(call("DEL", netns_))));
    EXPECT_EQ(leases(), std::vector<std::string>{});
}

// It waits without the lock, and takes nothing of what others have made when it goes on.
TEST_F(SlowHostLocal, HangingAtDelKeepsNobodyElseWaiting) {
    const std::string other = world_.add_namespace("red");
    ip({"link", "set", "lo", "up"}, other);
    const auto before = Snapshot::take({netns_, other});
    be_slow_at("DEL");
    ASSERT_TRUE(succeeded(answer_to(call("ADD", netns_))));
    auto deleting = begin("DEL");
    EXPECT_TRUE(
        succeeded(add("red", other, second_configuration())));  // the first of a network, and loads the datapath
    EXPECT_TRUE(deleting.running());
    let_it_go_on();
    EXPECT_EQ(deleting.wait(), 0) << deleting.out();
    EXPECT_EQ(leases(), std::vector<std::string>{});
    EXPECT_TRUE(ping(other, "10.0.1.1"));
    EXPECT_TRUE(succeeded(del("red", other, second_configuration())));
    EXPECT_TRUE(before.comes_back());
}

TEST_F(SlowHostLocal, EndsItsDelWellThoughAnotherOneHasUnloadedTheDatapath) {
    const auto before = Snapshot::take({netns_});
    conf_["runtimeConfig"]["portMappings"] = {{{"hostPort", 8080}, {"containerPort", 80}, {"protocol", "tcp"}}};
    be_slow_at("DEL");
    ASSERT_TRUE(succeeded(answer_to(call("ADD", netns_))));
    auto deleting = begin("DEL");
    be_slow_at("nothing");
    EXPECT_TRUE(succeeded(answer_to(call("DEL", netns_))));
    EXPECT_FALSE(std::filesystem::exists("/sys/fs/bpf/causeway"));
    let_it_go_on();
    EXPECT_EQ(deleting.wait(), 0) << deleting.out();
    EXPECT_TRUE(before.comes_back());
}

// As long as a DEL waits for it.
TEST_F(SlowHostLocal, IsNotLeftOverBeforeItsDelHasEnded) {
    const auto before = Snapshot::take({netns_});
    const auto status = [] { return answer_to({.command = "STATUS", .id = "", .netns = "", .interface = ""}).text; };
    be_slow_at("DEL");
    ASSERT_TRUE(succeeded(answer_to(call("ADD", netns_))));
    auto deleting = begin("DEL");
    EXPECT_EQ(status(), "");
    EXPECT_EQ(ctl_json({"gc"}), Json::array());
    EXPECT_EQ(ctl_json({"endpoints"}).at(0).at("state"), "leased");
    ::kill(deleting.pid(), SIGKILL);  // and not its children
    deleting.wait();
    EXPECT_THAT(status(),
                testing::HasSubstr("container blue, interface eth0, address 10.0.0.20: its IPAM plugin has not"));
    EXPECT_EQ(ctl_json({"gc"}).size(), 1U);
    let_it_go_on();
    EXPECT_TRUE(before.comes_back());
}

// Two DELs of others, and one of what is connected, do not look at it.
TEST_F(SlowHostLocal, LeftRunningForOneSandboxIsNothingToOthers) {
    leave_one_running();
    auto other = call("DEL", netns_);
    other.id = "red";
    EXPECT_TRUE(succeeded(answer_to(other)));
    let_it_go_on();
    EXPECT_TRUE(succeeded(answer_to(call("DEL", netns_))));
}

}  // namespace
}  // namespace causeway::test::killed_ipam_test
