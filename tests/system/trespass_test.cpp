// SPDX-License-Identifier: Apache-2.0
// What belongs to somebody else, and stays his: another namespace's datapath, another sandbox's device, another's
// flows.
#include <gmock/gmock.h>

#include "tests/system/entries.hpp"
#include "tests/system/host.hpp"
#include "tests/system/programs.hpp"
#include "tests/system/snapshot.hpp"
#include "tests/system/traffic.hpp"

namespace causeway::test::trespass_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Trespass : public Host {
protected:
    // As of the plugin before, in the sandbox and on the node.
    Json given_pair(const std::string& name) {
        ip({"link", "add", "given0", "type", "veth", "peer", "name", "eth0", "netns", name});
        ip({"link", "set", "given0", "up"});
        return Json::parse(R"({"cniVersion": "1.1.0", "interfaces": [
            {"name": "given0"}, {"name": "eth0", "sandbox": ")" +
                           world_.path(name) + R"("}]})");
    }
};

// With the host's bpffs before it, but not the host's devices: all of them would be gone.
TEST_F(Trespass, FromAnotherNamespaceIsRefusedByAllThatChangesAnything) {
    const auto keeper = connect("keeper"), blue = connect("blue");
    const auto visitor = world_.add_namespace("visitor"), red = world_.add_namespace("red");
    const auto before = Snapshot::take({keeper.netns, visitor});
    const auto answer_there = [&](Call call) {
        auto options = call.options();
        options.netns = visitor;
        return answer_of(run({plugin()}, options));
    };
    const std::vector<std::string> told{"another network namespace"};
    const auto gc = run({ctl_program(), "gc"}, {.netns = visitor});
    EXPECT_EQ(gc.status, 1) << gc.out;
    EXPECT_THAT(gc.err, HasSubstr(told[0]));
    EXPECT_EQ(run({ctl_program(), "sandbox", "quota", "keeper", "--flows", "1"}, {.netns = visitor}).status, 1);
    EXPECT_EQ(run({ctl_program(), "flows", "delete", "--all"}, {.netns = visitor}).status, 1);
    EXPECT_TRUE(refused(answer_there({.command = "ADD", .id = "red", .netns = red}), 102, told));
    EXPECT_TRUE(refused(answer_there({.command = "DEL", .id = "keeper", .netns = keeper.netns}), 102, told));
    EXPECT_TRUE(refused(answer_there({.command = "GC", .id = "", .netns = "", .interface = ""}), 102, told));
    EXPECT_TRUE(refused(answer_there({.command = "STATUS", .id = "", .netns = "", .interface = ""}), 50, told));
    EXPECT_TRUE(before.holds());
    EXPECT_TRUE(ping(keeper.netns, blue.address));
    EXPECT_EQ(Json::parse(must_run({ctl_program(), "endpoints", "-o", "json"}, {.netns = visitor})).size(), 2U)
        << "who only looks is shown it";
}

TEST_F(Trespass, OnADeviceThatASandboxHasIsRefused) {
    const auto netns = world_.add_namespace("blue");
    const auto conf = configuration({{"prevResult", given_pair("blue")}});
    const auto added = add("blue", netns, conf);
    ASSERT_TRUE(succeeded(added));
    const auto before = Snapshot::take({netns});
    EXPECT_TRUE(refused(add("red", netns, conf), 102, {"given0", "container blue"}));
    EXPECT_TRUE(before.holds());
    EXPECT_TRUE(refused(add("blue", netns, conf), 102, {"connected already"}));
    EXPECT_TRUE(succeeded(del("red", netns, conf)));
    EXPECT_TRUE(before.holds());
    EXPECT_THAT(programs_on("given0", Direction::ingress), ElementsAre("from_sandbox"));
    EXPECT_TRUE(ping(netns, "10.0.0.1"));
    EXPECT_TRUE(succeeded(del("blue", netns, conf)));
    EXPECT_TRUE(succeeded(add("red", netns, conf)));
    EXPECT_TRUE(ping(netns, "10.0.0.1"));
}

TEST_F(Trespass, OnFlowsOfOthersIsRefusedWhereWhatChoosesThemChoosesNothing) {
    const auto blue = connect("blue"), red = connect("red");
    for (const auto& sandbox : {blue, red}) {
        EXPECT_TRUE(meet(Protocol::udp, {sandbox.netns}, {world_.world(), {world_address, 53}}));
    }
    for (const std::vector<std::string>& command :
         {std::vector<std::string>{"flows", "--sandbox", "blue", "delete", "--all"},
          {"flows", "--peer", "203.0.113.9", "delete", "--port", "53"},
          {"flows", "delete", "--sandbox", ""},
          {"flows", "delete", "--sandbox", "", "--port", "53"},
          {"flows", "delete", "--peer", "", "--protocol", "udp"},
          {"flows", "delete", "--port", "0", "--protocol", "udp"}}) {
        EXPECT_NE(ctl(command).status, 0) << testing::PrintToString(command);
    }
    EXPECT_EQ(ctl_json({"flows"}).size(), 2U);
    EXPECT_EQ(ctl({"flows", "delete", "--sandbox", "blue"}).status, 0);
    ASSERT_EQ(ctl_json({"flows"}).size(), 1U);
    EXPECT_EQ(ctl_json({"flows"})[0].at("container"), "red");
}

// Its record has no device, as a flow of the host's own has none.
TEST_F(Trespass, OnFlowsOfTheHostIsNotOpenToAContainerThatHasNoDeviceYet) {
    const auto blue = connect("blue"), ghost = connect("ghost");
    const Place service{world_.world(), {world_address, 53}};
    EXPECT_TRUE(meet(Protocol::udp, {blue.netns, {blue.address, 4000}}, service));
    EXPECT_TRUE(meet(Protocol::udp, {"", {node_address, 4000}}, service)) << "its port is taken: it gets another one";
    record_host_end("ghost", "eth0", "no such device");
    EXPECT_EQ(ctl_json({"flows", "--sandbox", "ghost"}).size(), 0U);
    EXPECT_EQ(ctl_json({"flows", "--sandbox", "(host)"}).size(), 1U);
}

// A device that has come by the name of the gateway's, when that was gone.
TEST_F(Trespass, OnADeviceOfTheGatewaysNameIsRefused) {
    const auto keeper = connect("keeper");
    ip({"link", "del", "cw0"});
    ip({"link", "add", "cw0", "type", "bridge"});
    const Call status{.command = "STATUS", .id = "", .netns = "", .interface = ""};
    EXPECT_TRUE(refused(add("blue", world_.add_namespace("blue")), 7, {"cw0", "not causeway's"}));
    EXPECT_TRUE(refused(answer_to(status), 51, {"cw0", "not causeway's"}));
    EXPECT_EQ(ip_json({"-d", "link", "show", "cw0"}).at(0).at("linkinfo").at("info_kind"), "bridge");
    disconnect(keeper);
    EXPECT_EQ(ip_json({"-d", "link", "show", "cw0"}).at(0).at("linkinfo").at("info_kind"), "bridge");
    ip({"link", "del", "cw0"});
    EXPECT_TRUE(succeeded(add("blue", world_.path("blue"))));
    EXPECT_TRUE(ping(world_.path("blue"), "10.0.0.1"));
}

// The gateway's own, which an operator has called otherwise, is causeway's all the same.
TEST_F(Trespass, IsNotForgottenUnderAnotherName) {
    const auto before = Snapshot::take();
    const auto rename = [] {
        ip({"link", "set", "cw0", "down"});
        ip({"link", "set", "cw0", "name", "gate0"});
        ip({"link", "set", "gate0", "up"});
    };
    const auto keeper = connect("keeper");
    rename();
    const auto blue = connect("blue");
    EXPECT_TRUE(ping(keeper.netns, "10.0.0.1"));
    EXPECT_TRUE(ping(blue.netns, "10.0.0.1"));
    EXPECT_EQ(run({"ip", "link", "show", "gate0"}).status, 1) << "one of the two would have its addresses in vain";
    rename();
    disconnect(blue);
    disconnect(keeper);
    for (const auto* name : {"blue", "keeper"}) {
        world_.remove_namespace(name);
    }
    EXPECT_TRUE(before.comes_back());
}

}  // namespace
}  // namespace causeway::test::trespass_test
