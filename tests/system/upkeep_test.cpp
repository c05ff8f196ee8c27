// SPDX-License-Identifier: Apache-2.0
// What goes wrong beside the others: an ADD that fails or is killed, a lease that nobody can give back, what CHECK and
// STATUS have to see.
#include <gmock/gmock.h>
#include <linux/bpf.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fcntl.h>

#include <causeway/abi.h>

#include "tests/system/entries.hpp"
#include "tests/system/fault.hpp"
#include "tests/system/host.hpp"
#include "tests/system/host_local.hpp"
#include "tests/system/programs.hpp"
#include "tests/system/snapshot.hpp"
#include "tests/system/traffic.hpp"

namespace causeway::test::upkeep_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class Upkeep : public Host {
protected:
    static Json publishing(const Json& patch = Json::object()) {
        auto conf = configuration(patch);
        conf["runtimeConfig"]["portMappings"] =
            Json::parse(R"([{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}])");
        return conf;
    }
    static Answer status(const Json& conf = configuration()) {
        return answer_to({.command = "STATUS", .id = "", .netns = "", .conf = conf, .interface = ""});
    }
    static Answer collect(Json conf) {
        conf["cni.dev/valid-attachments"] = Json::array();
        return answer_to({.command = "GC", .id = "", .netns = "", .conf = conf, .interface = ""});
    }
    static Answer check(const Sandbox& sandbox, Json conf, const std::string& version = "1.1.0") {
        conf["prevResult"] = sandbox.reply;
        conf["cniVersion"] = version;
        return answer_to({.command = "CHECK", .id = sandbox.id, .netns = sandbox.netns, .conf = conf});
    }
};

TEST_F(Upkeep, LetsNoAddressRestThatNoSandboxCouldUse) {
    auto patch = Json::parse(R"({"ipam": {"rest": 3600}})");
    auto conf = configuration(patch), with_port = publishing(patch);
    for (auto* one : {&conf, &with_port}) {
        (*one)["ipam"]["ranges"][0][0]["rangeEnd"] = "10.0.0.3";
    }
    const auto blue = connect("blue", with_port);
    const auto netns = world_.add_namespace("red");
    for (int i = 0; i < 3; ++i) {
        EXPECT_TRUE(refused(add("red", netns, with_port), 102, {"8080"}));
    }
    EXPECT_THAT(keys_of("resting"), IsEmpty());
    EXPECT_TRUE(succeeded(add("red", netns, conf)));
    EXPECT_TRUE(succeeded(del("red", netns, conf)));
    EXPECT_THAT(keys_of("resting"), testing::SizeIs(1));
}

// As DELs and other ADDs under way hold it.
TEST_F(Upkeep, OfAFailedAddWaitsForNobodyWhereOthersAreConnected) {
    const auto keeper = connect("keeper");
    const auto netns = world_.add_namespace("red");
    const int held = ::open("/sys/fs/bpf", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ASSERT_EQ(flock(held, LOCK_SH), 0);
    auto conf = configuration({{"capabilities", {{"ipRanges", true}}}});  // so that the route is left to the kernel
    conf["ipam"]["routes"] = Json::parse(R"([{"dst": "0.0.0.0/0", "gw": "192.0.2.1"}])");
    const auto begun = std::chrono::steady_clock::now();
    const auto answer = answer_of(run({plugin()}, [&] {
        auto options = Call{.command = "ADD", .id = "red", .netns = netns, .conf = conf}.options();
        options.timeout = std::chrono::seconds(5);
        return options;
    }()));
    EXPECT_TRUE(refused(answer, 100, {"192.0.2.1"}));
    EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(4));
    close(held);
    disconnect(keeper);
    EXPECT_EQ(all_programs(), "");
}

TEST_F(Upkeep, SetsTheGatewaysInnerEndUpAgain) {
    const auto blue = connect("blue");
    ip({"link", "set", "cw0-in", "down"});
    EXPECT_THAT(ip({"route", "show", "dev", "cw0"}), HasSubstr("linkdown"));
    EXPECT_THAT(status().text, HasSubstr("cw0-in is not up"));
    EXPECT_TRUE(refused(check(blue, configuration()), 103, {"cw0-in"}));
    const auto red = connect("red");
    EXPECT_EQ(status().text, "");
    EXPECT_THAT(ip({"route", "show", "dev", "cw0"}), testing::Not(HasSubstr("linkdown")));
    EXPECT_TRUE(ping("", blue.address));
    EXPECT_TRUE(ping(blue.netns, "10.0.0.1"));
}

// Found by their network's record, whichever step the kill was before.
TEST_F(Upkeep, LeavesNoGatewayOfAKilledAddThatBroughtASubnet) {
    const auto keeper = connect("keeper", second_configuration());
    const auto before = keys_of("endpoints");
    auto more = configuration();
    more["ipam"]["ranges"] = Json::parse(R"([[{"subnet": "10.0.4.0/24"}]])");
    const auto netns = world_.add_namespace("red");
    for (int nth = 1; !HasFailure(); ++nth) {
        const auto blue = connect("blue");
        const auto faulted =
            run_with({.kind = Fault::Kind::kill, .nth = nth, .calls = {SYS_bpf, SYS_sendto, SYS_flock}}, {plugin()},
                     Call{.command = "ADD", .id = "red", .netns = netns, .conf = more}.options());
        EXPECT_TRUE(succeeded(del("red", netns, more)));
        EXPECT_TRUE(succeeded(del("blue", blue.netns)));
        EXPECT_TRUE(succeeded(collect(configuration())));
        EXPECT_EQ(keys_of("endpoints"), before) << "killed before " << faulted.call;
        world_.remove_namespace("blue");
        if (faulted.call.empty()) {
            break;
        }
    }
}

// What can't be read is not gone: a GC removes what it says it has, with the gateway's entry, and nothing of another
// network's.
TEST_F(Upkeep, RemovesAllOfANetworkAndNothingOfAnotherWhateverCannotBeRead) {
    const auto keeper = connect("keeper", second_configuration());
    const auto before = keys_of("endpoints");
    bool outlived = false;
    for (int nth = 1; !outlived && !HasFailure(); ++nth) {
        connect("blue");
        auto conf = configuration();
        conf["cni.dev/valid-attachments"] = Json::array();
        const auto faulted =
            run_with({.kind = Fault::Kind::error,
                      .nth = nth,
                      .error = ENOMEM,
                      .calls = {SYS_bpf},
                      .bpf_commands = {BPF_MAP_LOOKUP_ELEM}},
                     {plugin()}, Call{.command = "GC", .id = "", .netns = "", .conf = conf, .interface = ""}.options());
        outlived = faulted.call.empty();
        SCOPED_TRACE("look-up " + std::to_string(nth) + " refused: " + faulted.output.out);
        EXPECT_TRUE(ping(keeper.netns, "10.0.1.1"));
        EXPECT_TRUE(!faulted.output.ok() || keys_of("endpoints") == before);
        EXPECT_TRUE(succeeded(collect(configuration())));
        EXPECT_EQ(keys_of("endpoints"), before);
        world_.remove_namespace("blue");
    }
}

// Which a network has eight of: those that its configuration has no more, and no sandbox, make room.
TEST_F(Upkeep, LetsSubnetsGoInWhichNobodyIs) {
    const auto in_subnet = [](int number) {
        auto conf = configuration();
        conf["ipam"]["ranges"][0][0]["subnet"] = "10.0." + std::to_string(number) + ".0/24";
        return conf;
    };
    const auto keeper = connect("keeper", in_subnet(0)), other = connect("other", in_subnet(1));
    const auto netns = world_.add_namespace("blue");
    for (int number = 2; number < 20; ++number) {
        EXPECT_TRUE(succeeded(status(in_subnet(number)))) << number;
        ASSERT_TRUE(succeeded(add("blue", netns, in_subnet(number)))) << number;
        EXPECT_TRUE(ping(netns, keeper.address));
        EXPECT_TRUE(ping(netns, other.address));
        EXPECT_TRUE(succeeded(del("blue", netns, in_subnet(number))));
    }
    EXPECT_EQ(ip_json({"addr", "show", "dev", "cw0"}).at(0).at("addr_info").size(), 8U);
    EXPECT_EQ(ip({"route", "show", "10.0.2.0/24"}), "");
    for (int number = 20; number < 26; ++number) {
        connect("sandbox" + std::to_string(number), in_subnet(number));
    }
    const auto before = Snapshot::take({netns, keeper.netns});
    EXPECT_TRUE(refused(add("blue", netns, in_subnet(26)), 7, {"8 subnets", "sandboxes in all of them"}));
    EXPECT_TRUE(refused(status(in_subnet(26)), 51, {"8 subnets"}));
    EXPECT_TRUE(before.holds());
    EXPECT_TRUE(ping(keeper.netns, other.address));
}

TEST_F(Upkeep, KeepsALeaseWhosePluginTheConfigurationNamesNoMore) {
    const auto leasing = host_local_configuration();
    const auto blue = connect("blue", leasing);
    const auto keeper = connect("keeper");
    EXPECT_TRUE(refused(collect(configuration()), 7, {"blue", blue.address}));
    EXPECT_EQ(ip({"-o", "link"}).find(blue.host_end), std::string::npos) << "all that is causeway's own is gone";
    EXPECT_TRUE(refused(del("blue", blue.netns), 7, {"blue", blue.address}));
    EXPECT_TRUE(refused(add("blue", blue.netns), 102, {"blue", "IPAM plugin"}));
    EXPECT_THAT(leases(), ElementsAre(blue.address));
    EXPECT_TRUE(succeeded(del("blue", blue.netns, leasing)));
    EXPECT_THAT(leases(), IsEmpty());
    EXPECT_TRUE(succeeded(add("blue", blue.netns)));
}

TEST_F(Upkeep, IsNotReadyWhereEveryAddIsRefused) {
    EXPECT_TRUE(refused(status(configuration({{"ingressRate", 1000000}})), 7, {"ingressBurst"}));
    EXPECT_TRUE(refused(status(configuration({{"ipam", {{"resolvConf", "/no/such"}}}})), 50, {"/no/such"}));
    auto conf = configuration();
    conf["ipam"] = {{"type", "no-such-plugin"}};
    EXPECT_TRUE(refused(status(conf), 50, {"no-such-plugin"}));
}

// Whichever version the result is of.
TEST_F(Upkeep, ChecksTheMtuOfBothEnds) {
    for (const auto* version : {"0.4.0", "1.1.0"}) {
        const auto conf = configuration({{"cniVersion", version}});
        const auto blue = connect("blue", conf);
        EXPECT_TRUE(succeeded(check(blue, conf, version)));
        ip({"link", "set", "eth0", "mtu", "9000"}, blue.netns);
        EXPECT_TRUE(refused(check(blue, conf, version), 103, {"eth0", "9000"})) << version;
        ip({"link", "set", "eth0", "mtu", "1400"}, blue.netns);
        EXPECT_TRUE(succeeded(check(blue, conf, version))) << "a later plugin may lower it";
        ip({"link", "set", blue.host_end, "mtu", "1400"});
        EXPECT_TRUE(refused(check(blue, conf, version), 103, {blue.host_end, "1400"})) << version;
        disconnect(blue, conf);
        world_.remove_namespace("blue");
    }
}

TEST_F(Upkeep, ChecksTheNeighboursThatTheSandboxWasGiven) {
    const auto blue = connect("blue");
    EXPECT_TRUE(succeeded(check(blue, configuration())));
    ip({"neigh", "replace", "10.0.0.1", "lladdr", "02:00:00:00:00:09", "dev", "eth0", "nud", "permanent"}, blue.netns);
    EXPECT_TRUE(refused(check(blue, configuration()), 103, {"neighbour 10.0.0.1", "02:00:00:00:00:09"}));
    ip({"neigh", "del", "10.0.0.1", "dev", "eth0"}, blue.netns);
    EXPECT_TRUE(succeeded(check(blue, configuration()))) << "it asks then";
}

TEST_F(Upkeep, ChecksTheBurstOfAQueue) {
    const auto conf = configuration({{"ingressRate", 80000000}, {"ingressBurst", 800000}});
    const auto blue = connect("blue", conf);
    EXPECT_TRUE(succeeded(check(blue, conf)));
    must_run({"tc", "qdisc", "change", "dev", blue.host_end, "root", "handle", "6377:", "tbf", "rate", "80mbit",
              "burst", "1mb", "latency", "25ms"});
    EXPECT_TRUE(refused(check(blue, conf), 103, {blue.host_end, "burst", "100000"}));
}

// As runtimes write it where they are told none; the kernel tells no time that is so long.
TEST_F(Upkeep, TakesABurstOfMinutesForWhatItIs) {
    const auto conf = configuration({{"ingressRate", 10000000}, {"ingressBurst", 4294967295}});
    const auto blue = connect("blue", conf);
    EXPECT_TRUE(succeeded(check(blue, conf)));
}

TEST_F(Upkeep, GivesAQueueRoomForTheLargestPacketOfItsDevice) {
    const auto conf = configuration({{"gsoMaxSize", 524280}, {"ingressRate", 80000000}, {"ingressBurst", 16000000}});
    const auto blue = connect("blue", conf);
    const auto queue = Json::parse(must_run({"tc", "-j", "qdisc", "show", "dev", blue.host_end, "root"}));
    EXPECT_GE(queue.at(0).at("options").value("limit", 0), 524280) << queue;
}

// A pair of jumbo frames, in a network whose own links have 1500.
TEST_F(Upkeep, TakesTheMtuOfALinkThatIsGiven) {
    const auto netns = world_.add_namespace("blue");
    ip({"link", "add", "given0", "mtu", "9000", "type", "veth", "peer", "name", "eth0", "mtu", "9000", "netns",
        "blue"});
    ip({"link", "set", "given0", "up"});
    const auto given = Json::parse(R"({"cniVersion": "1.1.0", "interfaces": [{"name": "given0"},
        {"name": "eth0", "sandbox": "/run/netns/blue"}]})");
    const auto conf = configuration({{"prevResult", given}, {"ingressRate", 80000000}, {"ingressBurst", 8000}});
    ASSERT_TRUE(succeeded(add("blue", netns, conf)));
    EXPECT_THAT(must_run({"tc", "qdisc", "show", "dev", "given0", "root"}),
                testing::ContainsRegex("burst 90[0-9][0-9]b"))
        << "one whole frame, but for what the kernel rounds";
}

TEST_F(Upkeep, OfRangesWithoutACursorGoesOn) {
    const auto keeper = connect("keeper");
    const std::string pin = "/sys/fs/bpf/causeway/v" + std::to_string(CAUSEWAY_ABI_VERSION) + "/cursors";
    std::string commands;
    for (int i = 0; i < 1024; ++i) {
        commands += "map update pinned " + pin + " key hex 20 01 0d b8 00 00 00 00 00 00 00 00 00 00";
        for (const int byte : {i / 256, i % 256}) {
            commands += " 0x" + std::string(1, "0123456789abcdef"[byte / 16]) + "0123456789abcdef"[byte % 16];
        }
        commands += " value hex 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n";
    }
    run({"bpftool", "batch", "file", "-"}, {.stdin_text = commands});  // until it is full
    ASSERT_EQ(keys_of("cursors").size(), 1024U);
    const auto red = connect("red", second_configuration());
    EXPECT_EQ(red.address, "10.0.1.2");
    EXPECT_EQ(keys_of("cursors").size(), 1024U);
}

// While it removes one after another.
TEST_F(Upkeep, OfManySandboxesReapsTheChildrenOfAGc) {
    for (int i = 0; i < 12; ++i) {
        connect("old" + std::to_string(i));
    }
    auto conf = configuration({{"cni.dev/valid-attachments", Json::array()}});
    const auto faulted =
        run_with({.calls = {SYS_waitid}}, {plugin()},
                 Call{.command = "GC", .id = "", .netns = "", .conf = conf, .interface = ""}.options());
    EXPECT_TRUE(succeeded(answer_of(faulted.output)));
    EXPECT_GE(faulted.counted, 11);
}

}  // namespace
}  // namespace causeway::test::upkeep_test
