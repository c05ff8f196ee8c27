// SPDX-License-Identifier: Apache-2.0
// A host on which something that causeway needs is missing, full or taken away: a clear error, nothing left, and well
// again when it is back.
#include <gmock/gmock.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <filesystem>

#include <causeway/abi.h>

#include "tests/system/host.hpp"
#include "tests/system/host_local.hpp"
#include "tests/system/snapshot.hpp"
#include "tests/system/traffic.hpp"

namespace causeway::test::hostile_host_test {
namespace {

class HostileHost : public Host {
protected:
    void SetUp() override {
        netns_ = world_.add_namespace("blue");
        ip({"link", "set", "lo", "up"}, netns_);
    }

    // The plugin started by a program that takes something away from it first.
    Answer ask_by(std::vector<std::string> starter, const std::string& command) {
        starter.push_back(plugin());
        return answer_of(run(starter, Call{.command = command, .id = "blue", .netns = netns_}.options()));
    }
    static Answer status_by(std::vector<std::string> starter = {}) {
        starter.push_back(plugin());
        return answer_of(run(starter, Call{.command = "STATUS", .id = "", .netns = "", .interface = ""}.options()));
    }

    void expect_well() {
        EXPECT_TRUE(succeeded(add("blue", netns_)));
        EXPECT_TRUE(ping(netns_, "10.0.0.1"));
        EXPECT_TRUE(succeeded(del("blue", netns_)));
    }

    std::string netns_;
};

TEST_F(HostileHost, SaysThatTheRightToLoadIsMissing) {
    const auto before = Snapshot::take({netns_});
    const std::string without = "--bounding-set=-bpf,-sys_admin,-perfmon";
    const std::string drop = "--inh-caps=-bpf,-sys_admin,-perfmon";
    const auto answer = ask_by({"setpriv", without, drop}, "ADD");
    EXPECT_TRUE(refused(answer, 100, {"Operation not permitted"}));
    EXPECT_TRUE(before.holds());
    const auto keeper = connect("keeper");
    const auto with_keeper = Snapshot::take({netns_, keeper.netns});
    EXPECT_FALSE(ask_by({"setpriv", without, drop}, "ADD").ok());
    EXPECT_TRUE(with_keeper.holds());
    expect_well();
}

// What would keep the first ADD from loading.
TEST_F(HostileHost, TellsAtStatusThatNothingCanBeLoaded) {
    EXPECT_TRUE(succeeded(status_by()));
    const auto without = status_by({"setpriv", "--bounding-set=-bpf,-sys_admin", "--inh-caps=-bpf,-sys_admin"});
    EXPECT_TRUE(refused(without, 50, {"load a BPF program", "Operation not permitted"}));
    must_run({"mount", "-o", "remount,bind,ro", "/sys/fs/bpf"});
    EXPECT_TRUE(refused(status_by(), 50, {"/sys/fs/bpf", "Read-only file system"}));
    must_run({"mount", "-o", "remount,bind,rw", "/sys/fs/bpf"});
    must_run({"mount", "-t", "tmpfs", "none", "/sys/kernel/btf"});
    EXPECT_TRUE(refused(status_by(), 50, {"/sys/kernel/btf/vmlinux"}));
    must_run({"umount", "/sys/kernel/btf"});
    EXPECT_TRUE(succeeded(status_by()));
}

// Since Linux 5.11 maps count against the cgroup and not against RLIMIT_MEMLOCK: a low limit is no obstacle.
TEST_F(HostileHost, DoesNotMindALowLimitOfLockedMemory) {
    const auto before = Snapshot::take({netns_});
    EXPECT_TRUE(succeeded(ask_by({"prlimit", "--memlock=0:0"}, "ADD")));
    EXPECT_TRUE(ping(netns_, "10.0.0.1"));
    EXPECT_TRUE(succeeded(ask_by({"prlimit", "--memlock=0:0"}, "DEL")));
    EXPECT_TRUE(before.holds());
}

TEST_F(HostileHost, SaysThatItHasNoFileDescriptors) {
    const auto keeper = connect("keeper");
    const auto before = Snapshot::take({netns_, keeper.netns});
    // With fewer the plugin's loader fails before the plugin can say a word.
    for (const auto* limit : {"--nofile=8", "--nofile=12", "--nofile=16"}) {
        const auto answer = ask_by({"prlimit", limit}, "ADD");
        EXPECT_TRUE(refused(answer, answer.code(), {"Too many open files"})) << limit;
        EXPECT_TRUE(before.holds()) << limit;
    }
    expect_well();
}

// Nothing of causeway's is on a disk: neither a full nor a read-only one matters to it.
TEST_F(HostileHost, NeedsNoDisk) {
    const auto keeper = connect("keeper");
    must_run({"mount", "-o", "remount,ro", "/run"});
    EXPECT_TRUE(succeeded(add("blue", netns_)));
    EXPECT_TRUE(ping(netns_, "10.0.0.1"));
    EXPECT_TRUE(succeeded(del("blue", netns_)));
    must_run({"mount", "-o", "remount,rw", "/run"});
    must_run({"mount", "-o", "remount,size=4k", "/run"});
    expect_well();
}

TEST_F(HostileHost, SaysThatAnotherPluginsLeasesCannotBeWritten) {
    const auto keeper = connect("keeper");
    must_run({"mkdir", "/run/leases"});
    must_run({"mount", "-t", "tmpfs", "-o", "ro", "none", "/run/leases"});
    auto conf = configuration({{"cniVersion", "1.0.0"}});
    conf["ipam"] =
        Json::parse(R"({"type": "host-local", "dataDir": "/run/leases", "ranges": [[{"subnet": "10.0.0.0/24"}]]})");
    const auto before = Snapshot::take({netns_, keeper.netns});
    const auto answer = add("blue", netns_, conf);
    EXPECT_TRUE(refused(answer, answer.code(), {"host-local", "read-only file system"}));
    EXPECT_TRUE(before.holds());
}

// As a kernel that was started with ipv6.disable=1, or a host whose /proc/sys is hidden.
TEST_F(HostileHost, SaysThatItHasNoSettingsOfIPv6) {
    const auto keeper = connect("keeper");
    const auto before = Snapshot::take({netns_, keeper.netns});
    must_run({"mount", "-t", "tmpfs", "none", "/proc/sys/net/ipv6"});
    const auto conf = ipv6_configuration({{"name", "second"}, {"device", "cw1"}});
    const auto answer = add("blue", netns_, conf);
    EXPECT_TRUE(refused(answer, 100, {"/proc/sys/net/ipv6/conf/cw1/", "No such file or directory"}));
    EXPECT_THAT(answer.json.value("details", ""), testing::HasSubstr("IPv6"));
    expect_well();
    must_run({"umount", "/proc/sys/net/ipv6"});
    EXPECT_TRUE(before.holds());
    EXPECT_TRUE(succeeded(add("blue", netns_, conf)));
    EXPECT_TRUE(ping(netns_, "fd00:1::1"));
}

// The gateway device has IPv6 all the same: sandboxes have each other and the host, and no uplink.
TEST_F(HostileHost, GivesSandboxesIPv6ThatItDoesWithoutItself) {
    set_sysctl("net/ipv6/conf/all/disable_ipv6", "1");
    const auto blue = connect("one", ipv6_configuration()), red = connect("other", ipv6_configuration());
    EXPECT_TRUE(ping(blue.netns, red.address));
    EXPECT_TRUE(ping(blue.netns, "fd00:1::1"));
    EXPECT_EQ(sysctl("net/ipv6/conf/up0/disable_ipv6"), "1");
}

// A page for each file, and none left: for the lease, and then for what host-local writes after it.
TEST_F(HostileHost, SaysThatTheDiskOfAnotherPluginsLeasesIsFull) {
    const auto keeper = connect("keeper");
    auto conf = configuration({{"cniVersion", "1.0.0"}});
    conf["ipam"] =
        Json::parse(R"({"type": "host-local", "dataDir": "/run/leases", "ranges": [[{"subnet": "10.0.0.0/24"}]]})");
    const auto before = Snapshot::take({netns_, keeper.netns});
    must_run({"mkdir", "/run/leases"});
    for (const auto* size : {"size=4096", "size=8192"}) {
        ASSERT_EQ(mount("none", "/run/leases", "tmpfs", 0, size), 0);
        must_run({"sh", "-c", "echo full > /run/leases/file"});
        const auto answer = add("blue", netns_, conf);
        EXPECT_TRUE(refused(answer, answer.code(), {"host-local", "/run/leases/sandboxes/", "no space left"})) << size;
        for (const auto& file : std::filesystem::directory_iterator("/run/leases/sandboxes")) {
            EXPECT_FALSE(file.path().filename().string().starts_with("10.")) << file.path() << " is left";
        }
        ASSERT_EQ(umount("/run/leases"), 0);
        EXPECT_TRUE(before.holds());
    }
    expect_well();
}

// The pins go with the mount, and with them what was on record: nobody knows whose the devices of then are, and only an
// operator can say that they are nobody's. From then on DEL has nothing to say no to.
TEST_F(HostileHost, WantsAnOperatorsWordWhenBpffsWasUnmounted) {
    const auto keeper = connect("keeper");
    ASSERT_EQ(umount2("/sys/fs/bpf", MNT_DETACH), 0);
    const std::vector<std::string> told{"host end " + keeper.host_end, "no datapath"};
    const auto answer = add("blue", netns_);
    EXPECT_TRUE(refused(answer, 102, told));
    EXPECT_THAT(answer.json.value("details", ""), testing::HasSubstr("causewayctl gc --without-datapath"));
    EXPECT_TRUE(refused(del("keeper", keeper.netns), 102, told));
    EXPECT_EQ(ctl({"gc"}).status, 1);
    EXPECT_EQ(ctl_json({"gc", "--without-datapath", "--dry-run"}).size(), 4U) << "devices, and the uplink's programs";
    EXPECT_TRUE(ping(keeper.netns, "10.0.0.1"));
    EXPECT_EQ(ctl_json({"gc", "--without-datapath"}).size(), 4U);
    EXPECT_EQ(ip({"-o", "link", "show", "type", "veth"}).find("cw"), std::string::npos);
    EXPECT_TRUE(succeeded(del("keeper", keeper.netns)));
    EXPECT_EQ(ctl_json({"gc"}), Json::array());
    expect_well();
}

// As "ip netns exec" of the host's own namespace, or a container of the host's network, sees it.
TEST_F(HostileHost, ChangesNothingOfADatapathWhosePinsAreInAnotherBpffs) {
    const auto keeper = connect("keeper"), leaser = connect("leaser", host_local_configuration());
    const auto of_leaser = leases();
    const std::vector<std::string> elsewhere{
        "unshare", "--mount", "sh", "-c", "mount -t bpf none /sys/fs/bpf && exec \"$@\"", "sh"};
    const auto there = [&](std::vector<std::string> program, const RunOptions& options = {}) {
        program.insert(program.begin(), elsewhere.begin(), elsewhere.end());
        return run(program, options);
    };
    const auto ask_there = [&](const Call& call) { return answer_of(there({plugin()}, call.options())); };
    const auto before = Snapshot::take({netns_, keeper.netns, leaser.netns});
    const std::vector<std::string> told{"host end cw", "no datapath is in /sys/fs/bpf/causeway/"};
    for (const auto& conf : {configuration(), second_configuration(), host_local_configuration()}) {
        EXPECT_TRUE(refused(ask_there({.command = "ADD", .id = "blue", .netns = netns_, .conf = conf}), 102, told));
    }
    EXPECT_TRUE(refused(ask_there({.command = "DEL", .id = "keeper", .netns = keeper.netns}), 102, told));
    EXPECT_TRUE(refused(ask_there({.command = "DEL", .id = "blue", .netns = ""}), 102, told));
    const auto leasing = host_local_configuration();
    for (const auto* command : {"ADD", "DEL"}) {
        const auto answer = ask_there({.command = command, .id = "leaser", .netns = leaser.netns, .conf = leasing});
        EXPECT_TRUE(refused(answer, 102, told)) << command;
    }
    for (auto listing : {configuration(), host_local_configuration({{"cniVersion", "1.1.0"}})}) {
        listing["cni.dev/valid-attachments"] = Json::array();
        EXPECT_TRUE(
            refused(ask_there({.command = "GC", .id = "", .netns = "", .conf = listing, .interface = ""}), 102, told));
    }
    const auto checking = configuration({{"prevResult", keeper.reply}});
    EXPECT_TRUE(
        refused(ask_there({.command = "CHECK", .id = "keeper", .netns = keeper.netns, .conf = checking}), 102, told));
    EXPECT_TRUE(refused(ask_there({.command = "STATUS", .id = "", .netns = "", .interface = ""}), 50, told));
    for (const std::vector<std::string>& arguments :
         {std::vector<std::string>{"gc"}, {"gc", "--dry-run"}, {"sandbox", "add", "red"}, {"sandbox", "del", "blue"}}) {
        auto command = arguments;
        command.insert(command.begin(), ctl_program());
        const auto output = there(command);
        EXPECT_EQ(output.status, 1) << output.out;
        EXPECT_THAT(output.err, testing::HasSubstr(told[1]));
    }
    EXPECT_THAT(there({ctl_program(), "stats", "-i", "0"}).err, testing::HasSubstr(told[1]));
    EXPECT_EQ(leases(), of_leaser);
    EXPECT_TRUE(before.holds());
    EXPECT_TRUE(meet(Protocol::tcp, {keeper.netns}, {world_.world(), {world_address, 80}}));
    EXPECT_TRUE(ping(keeper.netns, leaser.address));
}

// Whichever pin it is: it stands for no unload, so that nothing is taken for nobody's.
TEST_F(HostileHost, LeavesAllSandboxesAloneWhenAPinIsLost) {
    const auto keeper = connect("keeper"), leaser = connect("leaser", host_local_configuration());
    const auto of_leaser = leases();
    const auto listing = configuration({{"cni.dev/valid-attachments", Json::array()}});
    const auto home = "/sys/fs/bpf/causeway/v" + std::to_string(CAUSEWAY_ABI_VERSION) + "/";
    const std::string elsewhere = "/sys/fs/bpf/lost";
    for (const auto* name : {"attachments", "from_uplink", "verdicts"}) {
        std::filesystem::rename(home + name, elsewhere);
        const auto before = Snapshot::take({netns_, keeper.netns, leaser.netns});
        const std::vector<std::string> told{"not complete", home + name};
        EXPECT_TRUE(refused(add("blue", netns_), 102, told));
        EXPECT_TRUE(refused(add("leaser", leaser.netns, host_local_configuration()), 102, told));
        EXPECT_TRUE(refused(del("blue", netns_), 102, told));
        EXPECT_TRUE(refused(del("keeper", keeper.netns), 102, told));
        EXPECT_TRUE(refused(del("leaser", leaser.netns, host_local_configuration()), 102, told));
        EXPECT_TRUE(
            refused(answer_to({.command = "GC", .id = "", .netns = "", .conf = listing, .interface = ""}), 102, told));
        EXPECT_TRUE(refused(answer_to({.command = "STATUS", .id = "", .netns = "", .interface = ""}), 50, told));
        for (const std::vector<std::string>& command :
             {std::vector<std::string>{"gc"}, {"endpoints"}, {"flows"}, {"stats", "-i", "0"}}) {
            const auto output = ctl(command);
            EXPECT_EQ(output.status, 1) << output.out;
            EXPECT_THAT(output.err, testing::HasSubstr(home + name));
        }
        EXPECT_EQ(leases(), of_leaser);
        EXPECT_TRUE(before.holds()) << name;
        EXPECT_TRUE(ping(keeper.netns, leaser.address));
        std::filesystem::rename(elsewhere, home + name);
    }
    EXPECT_TRUE(succeeded(del("leaser", leaser.netns, host_local_configuration())));
    expect_well();
}

TEST_F(HostileHost, RefusesToLoadBesideAnotherVersion) {
    std::filesystem::create_directories("/sys/fs/bpf/causeway/v0");
    const auto before = Snapshot::take({netns_});
    EXPECT_TRUE(refused(add("blue", netns_), 102, {"another version", "/sys/fs/bpf/causeway/v0"}));
    EXPECT_TRUE(before.holds());
    std::filesystem::remove_all("/sys/fs/bpf/causeway");
    expect_well();
}

}  // namespace
}  // namespace causeway::test::hostile_host_test
