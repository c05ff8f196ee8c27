// SPDX-License-Identifier: Apache-2.0
// causewayctl gc: finds by itself what nobody uses any more, says so, removes it, and touches nothing that works.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>

#include <causeway/abi.h>

#include "tests/system/entries.hpp"
#include "tests/system/fault.hpp"
#include "tests/system/host_local.hpp"
#include "tests/system/of_family.hpp"
#include "tests/system/programs.hpp"
#include "tests/system/snapshot.hpp"

namespace causeway::test::gc_test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class Gc : public EachFamily {
protected:
    // A dry run that says this and changes nothing, then one that does it, then one that finds nothing.
    void expect_collected(const std::string& what, const std::string& why, const std::vector<std::string>& namespaces) {
        const auto before = Snapshot::take(namespaces);
        const auto dry = ctl_json({"gc", "--dry-run"});
        ASSERT_EQ(dry.size(), 1U) << dry;
        EXPECT_THAT(dry[0].at("what").get<std::string>(), HasSubstr(here(what)));
        EXPECT_THAT(dry[0].at("why").get<std::string>(), HasSubstr(why));
        EXPECT_TRUE(before.holds());
        EXPECT_EQ(ctl_json({"gc"}), dry);
        EXPECT_EQ(ctl_json({"gc"}), Json::array());
    }

    void end_namespace(const Sandbox& sandbox) {
        world_.remove_namespace(sandbox.id);
        ASSERT_TRUE(eventually([&] { return ip({"-o", "link"}).find(sandbox.host_end) == std::string::npos; }));
    }
};
class GcOnce : public Gc {};  // what has no family

TEST_P(GcOnce, FindsNothingWhereAllIsWell) {
    const auto empty = Snapshot::take();
    EXPECT_EQ(ctl_json({"gc"}), Json::array());
    EXPECT_THAT(ctl({"gc"}).out, HasSubstr("nothing"));
    EXPECT_TRUE(empty.holds());
    const auto blue = connect("blue"), red = connect("red", second_configuration());
    const auto before = Snapshot::take({blue.netns, red.netns});
    EXPECT_EQ(ctl_json({"gc"}), Json::array());
    EXPECT_TRUE(before.holds());
}

TEST_P(Gc, RemovesTheSandboxWhoseNamespaceIsGone) {
    const auto keeper = connect("keeper");
    const auto before = Snapshot::take({keeper.netns});
    const auto entries = keys_of("endpoints");
    end_namespace(connect("blue"));
    expect_collected("container blue, interface eth0, address 10.0.0.3", "namespace", {keeper.netns});
    EXPECT_TRUE(before.holds());
    EXPECT_EQ(keys_of("endpoints"), entries);
    EXPECT_TRUE(meet(Protocol::udp, {keeper.netns}, server(53)));
}

TEST_P(Gc, TakesTheDatapathWithTheLastOfThem) {
    const auto before = Snapshot::take();
    end_namespace(connect("blue"));
    end_namespace(connect("red", second_configuration()));
    EXPECT_EQ(ctl_json({"gc"}).size(), 2U);
    EXPECT_TRUE(before.comes_back());
}

TEST_P(Gc, RemovesTheSandboxWhoseHostEndIsGone) {
    const auto keeper = connect("keeper"), blue = connect("blue");
    ip({"link", "del", blue.host_end});
    expect_collected("container blue", "host end " + blue.host_end, {keeper.netns, blue.netns});
    EXPECT_TRUE(succeeded(add("blue", blue.netns)));
}

TEST_P(Gc, RemovesTheHostEndThatIsOnNoRecord) {
    const auto keeper = connect("keeper");
    const auto keepers_slot = *keys_of("slots").begin();
    const auto blue = connect("blue");
    erase_entry("attachments", key_of_attachment("blue", "eth0"));
    erase_entry("endpoints", key_of_address(blue.address));
    erase_entry("sandboxes", key_of_device(blue.host_end));
    for (const auto& slot : keys_of("slots")) {
        if (slot != keepers_slot) {
            erase_entry("slots", slot);
        }
    }
    expect_collected("host end " + blue.host_end, "no sandbox on record", {keeper.netns, blue.netns});
    EXPECT_TRUE(ping(keeper.netns, "10.0.0.1"));
}

TEST_P(Gc, RemovesEntriesThatAreOnNoRecord) {
    const auto keeper = connect("keeper"), blue = connect("blue");
    erase_entry("attachments", key_of_attachment("blue", "eth0"));
    ip({"link", "del", blue.host_end});
    const auto found = ctl({"gc"});
    EXPECT_THAT(found.out, AllOf(HasSubstr(here("the address 10.0.0.3")), HasSubstr("identity of the device"),
                                 HasSubstr("the slot ")));
    EXPECT_EQ(ctl_json({"gc"}), Json::array());
    EXPECT_EQ(keys_of("sandboxes").size(), 1U);
    EXPECT_EQ(keys_of("slots").size(), 1U);
}

TEST_P(Gc, RemovesTheHalfMadeSandboxOfAKilledAdd) {
    const auto keeper = connect("keeper");
    const auto netns = world_.add_namespace("blue");
    const auto before = Snapshot::take({keeper.netns});
    const auto call = call_here({.command = "ADD", .id = "blue", .netns = netns});
    int found = 0;
    const bool ipv6 = family() == Family::ipv6;  // at fewer steps
    for (int nth = 1;; nth += ipv6 ? 11 : 3) {
        const auto faulted = run_with({.kind = Fault::Kind::kill, .nth = nth}, {plugin()}, call.options());
        if (faulted.call.empty()) {
            break;
        }
        const auto orphans = ctl_json({"gc"});
        for (const auto& orphan : orphans) {
            EXPECT_THAT(orphan.at("why").get<std::string>(), HasSubstr("killed")) << faulted.call;
            found++;
        }
        if (ctl_json({"endpoints"}).size() == 1) {  // else it was killed when all was done
            EXPECT_TRUE(before.comes_back()) << nth << " " << faulted.call;
        }
        EXPECT_TRUE(succeeded(del("blue", netns)));
        EXPECT_TRUE(before.comes_back()) << nth;
    }
    EXPECT_GE(found, ipv6 ? 3 : 5);
}

// From the first that it removes on; and STATUS tells of it meanwhile.
TEST_P(Gc, RemovesWhatAKilledDelHasLeft) {
    const auto keeper = connect("keeper");
    const auto netns = world_.add_namespace("blue");
    ip({"link", "set", "lo", "up"}, netns);
    const auto before = Snapshot::take({netns, keeper.netns});
    const auto del = call_here({.command = "DEL", .id = "blue", .netns = netns});
    const Call status{.command = "STATUS", .id = "", .netns = "", .interface = ""};
    for (int nth = 2;; ++nth) {
        ASSERT_TRUE(succeeded(add("blue", netns)));
        const auto faulted = run_with({.kind = Fault::Kind::kill_group,
                                       .nth = nth,
                                       .calls = {SYS_bpf, SYS_clone},
                                       .bpf_commands = {BPF_MAP_DELETE_ELEM}},
                                      {plugin()}, del.options());
        if (faulted.call.empty()) {
            EXPECT_GE(nth, 5);
            break;
        }
        EXPECT_THAT(answer_to(status).text,
                    AllOf(HasSubstr("blue"), HasSubstr("DEL was killed"), HasSubstr("causewayctl gc")));
        expect_collected("container blue, interface eth0", "DEL was killed", {netns, keeper.netns});
        EXPECT_TRUE(before.holds()) << faulted.call;
    }
}

TEST_P(Gc, RemovesTheNetworkThatHasNoSandboxAnyMore) {
    const auto keeper = connect("keeper");
    const auto before = Snapshot::take({keeper.netns});
    const auto red = connect("red", second_configuration());
    EXPECT_EQ(ctl_json({"gc"}), Json::array());
    disconnect(red, second_configuration());
    world_.remove_namespace("red");
    const Call status{.command = "STATUS", .id = "", .netns = "", .interface = ""};
    EXPECT_EQ(answer_to(status).text, "") << "it may have one again";
    expect_collected("the network \"others\" on cw1", "no sandbox", {keeper.netns});
    EXPECT_TRUE(before.holds());
    end_namespace(connect("red", second_configuration()));
    EXPECT_EQ(ctl_json({"gc"}).size(), 2U) << "the sandbox, and then its network";
    EXPECT_TRUE(before.holds());
    EXPECT_TRUE(meet(Protocol::udp, {keeper.netns}, server(53)));
}

TEST_P(Gc, RemovesAllThatIsLeftWhenThePinsAreLost) {
    const auto before = Snapshot::take();
    const auto blue = connect("blue"), red = connect("red");
    std::filesystem::remove_all("/sys/fs/bpf/causeway");
    EXPECT_TRUE(refused(add("blue", blue.netns), 102, {"cw0", "no datapath"}));
    const auto found = ctl_json({"gc", "--without-datapath"});
    EXPECT_EQ(found.size(), 5U) << found;  // devices, and the uplink's programs
    EXPECT_EQ(ip({"-o", "link", "show", "type", "veth"}).find("cw"), std::string::npos);
    EXPECT_TRUE(succeeded(add("blue", blue.netns)));
    EXPECT_TRUE(meet(Protocol::tcp, {blue.netns}, server(80)));
    EXPECT_THAT(programs_on("up0", Direction::ingress), testing::ElementsAre("from_uplink")) << "of this load alone";
    EXPECT_THAT(programs_on("up0", Direction::egress), testing::ElementsAre("from_stack"));
    EXPECT_TRUE(succeeded(del("blue", blue.netns)));
    world_.remove_namespace("blue");
    world_.remove_namespace("red");
    EXPECT_TRUE(before.holds());
}

// A path that somebody has taken away, with or without a process that is still in the namespace.
TEST_P(GcOnce, RemovesTheSandboxWhoseNamespaceNobodyCanReachAndNobodyIsIn) {
    const auto keeper = connect("keeper"), blue = connect("blue");
    const auto held = ::open(blue.netns.c_str(), O_RDONLY | O_CLOEXEC);
    {
        auto inmate = start({"sleep", "1000"}, {.netns = blue.netns});
        ASSERT_TRUE(eventually([&] {
            return run({"nsenter", "--net=/proc/" + std::to_string(inmate.pid()) + "/ns/net", "ip", "link", "show",
                        "eth0"})
                .ok();
        }));
        world_.remove_namespace("blue");
        EXPECT_EQ(ctl_json({"gc"}), Json::array()) << "somebody uses it";
    }
    EXPECT_TRUE(ip_json({"link", "show", blue.host_end}).is_array()) << "the namespace lives by a descriptor alone";
    expect_collected("container blue", "its path " + blue.netns + " is gone", {keeper.netns});
    close(held);
}

// As in a debugging container of the host's network: neither its mounts nor its processes are all of the host's.
TEST_P(GcOnce, LeavesTheSandboxWhoseInhabitantsItCannotSee) {
    const auto blue = connect("blue"), red = connect("red");
    const auto inmate = start({"sleep", "1000"}, {.netns = blue.netns});
    const auto before = Snapshot::take({blue.netns, red.netns});
    const std::vector<std::vector<std::string>> elsewhere{
        {"unshare", "--mount", "--pid", "--fork", "--mount-proc"},
        {"setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace", "unshare", "--mount"}};
    for (auto command : elsewhere) {
        const std::string hide = "mount -t tmpfs none /run/netns && exec \"$@\"";
        command.insert(command.end(), {"sh", "-c", hide, "sh", ctl_program(), "gc", "-o", "json"});
        const auto output = run(command);
        EXPECT_EQ(output.status, 0);
        EXPECT_EQ(output.out, "[]\n");
        EXPECT_THAT(output.err, AllOf(HasSubstr("container blue"), HasSubstr("can't be told"), HasSubstr(blue.netns)));
        EXPECT_TRUE(before.holds()) << command[0];
    }
    EXPECT_TRUE(ping(blue.netns, red.address));
}

TEST_P(GcOnce, LeavesTheSandboxWhoseHostEndHasAnotherName) {
    const auto empty = Snapshot::take();
    const auto blue = connect("blue"), red = connect("red");
    for (const auto* name : {"veth-db", "cw0123456789abc"}) {  // the second as causeway might have called it
        ip({"link", "set", blue.host_end, "name", name});
        EXPECT_EQ(ctl_json({"gc"}), Json::array()) << name;
        EXPECT_TRUE(ping(blue.netns, red.address)) << name;
        ip({"link", "set", name, "name", blue.host_end});
    }
    ip({"link", "set", blue.host_end, "name", "veth-db"});
    EXPECT_TRUE(refused(add("blue", blue.netns), 102, {"connected already"}));
    EXPECT_TRUE(succeeded(del("blue", blue.netns)));
    EXPECT_EQ(ip({"-o", "link"}).find("veth-db"), std::string::npos);
    EXPECT_TRUE(succeeded(del("red", red.netns)));
    world_.remove_namespace("blue");
    world_.remove_namespace("red");
    EXPECT_TRUE(empty.comes_back());
}

// Somebody else's, or another sandbox's host end.
TEST_P(GcOnce, LeavesTheDeviceThatHasTheIndexOfAHostEndThatIsGone) {
    const auto keeper = connect("keeper"), blue = connect("blue");
    const auto index = std::to_string(ip_json({"link", "show", blue.host_end}).at(0).at("ifindex").get<int>());
    ip({"link", "del", blue.host_end});
    ip({"link", "add", "theirs", "index", index, "type", "veth", "peer", "name", "theirs-in"});
    EXPECT_THAT(ctl({"gc"}).out, AllOf(HasSubstr("container blue"), HasSubstr("is gone")));
    EXPECT_TRUE(ip_json({"link", "show", "theirs"}).is_array());

    const auto red = connect("red");
    ASSERT_TRUE(succeeded(add("blue", blue.netns)));
    record_host_end("blue", "eth0", red.host_end);
    EXPECT_THAT(ctl({"gc"}).out, AllOf(HasSubstr("container blue"), HasSubstr("is gone")));
    EXPECT_TRUE(ping(red.netns, keeper.address));
}

// While it is loaded, when all else is done, and while it is unloaded.
TEST_P(GcOnce, UnloadsTheDatapathThatAKilledCallHasLeft) {
    const auto netns = world_.add_namespace("blue");
    ip({"link", "set", "lo", "up"}, netns);
    const auto before = Snapshot::take({netns});
    const struct {
        std::string command;
        long call;
        std::string why;
    } kills[]{{"ADD", SYS_rename, "killed"}, {"DEL", SYS_rename, "no sandbox"}, {"DEL", SYS_unlinkat, "killed"}};
    for (const auto& [command, number, why] : kills) {
        if (command == "DEL") {
            ASSERT_TRUE(succeeded(add("blue", netns)));
        }
        const auto call = call_here({.command = command, .id = "blue", .netns = netns});
        const auto faulted = run_with({.kind = Fault::Kind::kill_group, .nth = 1, .calls = {static_cast<int>(number)}},
                                      {plugin()}, call.options());
        ASSERT_FALSE(faulted.call.empty());
        expect_collected("the datapath", why, {netns});
        EXPECT_TRUE(before.comes_back()) << faulted.call;
    }
}

// Which takes the identity first, then the host end: so STATUS may see it beside whoever shares the lock.
TEST_P(GcOnce, DoesNotTakeADelAtWorkForALeftover) {
    const auto keeper = connect("keeper"), blue = connect("blue");
    const auto status = [] {
        return test::answer_to({.command = "STATUS", .id = "", .netns = "", .interface = ""}).text;
    };
    erase_entry("sandboxes", key_of_device(blue.host_end));
    ip({"link", "del", blue.host_end});
    {
        const auto disconnecting = start({"flock", "--shared", "/sys/fs/bpf", "sleep", "1000"});
        ASSERT_TRUE(eventually([] { return !run({"flock", "--nonblock", "/sys/fs/bpf", "true"}).ok(); }));
        EXPECT_EQ(status(), "");
    }
    ASSERT_TRUE(eventually([] { return run({"flock", "--nonblock", "/sys/fs/bpf", "true"}).ok(); }));
    EXPECT_THAT(status(), HasSubstr("its DEL was killed"));
    expect_collected("container blue", "its DEL was killed", {keeper.netns});
}

TEST_P(GcOnce, LeavesDevicesThatOnlyLookLikeCausewaysOwn) {
    ip({"link", "add", "br0", "type", "veth", "peer", "name", "br0-in"});
    ip({"link", "add", "cwabcdefghijklm", "type", "bridge"});
    ip({"link", "add", "cw0123456789abz", "type", "veth", "peer", "name", "cwshort"});
    const auto before = Snapshot::take();
    EXPECT_EQ(ctl_json({"gc"}), Json::array());
    EXPECT_TRUE(before.holds());
}

// As after an upgrade: all say so, and what they are asked for.
TEST_P(GcOnce, LeavesWhatAnotherVersionMayHaveOnRecord) {
    const auto blue = connect("blue"), leaser = connect("leaser", host_local_configuration());
    const auto of_leaser = leases();
    const std::string home = "/sys/fs/bpf/causeway/";
    std::filesystem::rename(home + "v" + std::to_string(CAUSEWAY_ABI_VERSION), home + "v0");
    const auto before = Snapshot::take({blue.netns, leaser.netns});
    const std::vector<std::string> told{"another version", home + "v0"};
    for (const std::vector<std::string>& options :
         {std::vector<std::string>{"gc"}, {"gc", "--dry-run"}, {"gc", "--without-datapath"}}) {
        const auto gc = ctl(options);
        EXPECT_EQ(gc.status, 1) << gc.out;
        EXPECT_THAT(gc.err, AllOf(HasSubstr(told[0]), HasSubstr(told[1])));
    }
    EXPECT_TRUE(refused(add("red", world_.add_namespace("red")), 102, told));
    EXPECT_TRUE(refused(del("blue", blue.netns), 102, {"blue", told[0], told[1]}));
    EXPECT_TRUE(refused(del("leaser", leaser.netns, host_local_configuration()), 102, told));
    EXPECT_EQ(leases(), of_leaser);
    EXPECT_TRUE(refused(answer_to({.command = "CHECK",
                                   .id = "blue",
                                   .netns = blue.netns,
                                   .conf = configuration({{"prevResult", blue.reply}})}),
                        102, told));
    EXPECT_TRUE(refused(answer_to({.command = "STATUS", .id = "", .netns = "", .interface = ""}), 50, told));
    EXPECT_TRUE(refused(answer_to({.command = "GC", .id = "", .netns = "", .interface = ""}), 102, told));
    world_.remove_namespace("red");
    EXPECT_TRUE(before.holds());
    std::filesystem::remove_all(home + "v0");
    EXPECT_EQ(ctl_json({"gc", "--without-datapath"}).size(), 5U);  // devices, and the uplink's programs
}

// What this version has loaded is collected all the same.
TEST_P(GcOnce, SaysThatAnotherVersionIsThereBesideItsOwn) {
    const auto keeper = connect("keeper");
    end_namespace(connect("blue"));
    std::filesystem::create_directory("/sys/fs/bpf/causeway/v0");
    EXPECT_THAT(ctl({"gc"}).err, HasSubstr("/sys/fs/bpf/causeway/v0"));
    EXPECT_EQ(ctl_json({"endpoints"}).size(), 1U);
    std::filesystem::remove("/sys/fs/bpf/causeway/v0");
    EXPECT_EQ(ctl_json({"gc"}), Json::array());
}

FOR_BOTH_FAMILIES(Gc);
INSTANTIATE_TEST_SUITE_P(Of, GcOnce, testing::Values(Family::ipv4), testing::PrintToStringParamName());

}  // namespace
}  // namespace causeway::test::gc_test
