// SPDX-License-Identifier: Apache-2.0
// A chain whose earlier plugin has made the sandbox's interface: it is attached as it is, and stays.
#include <gmock/gmock.h>
#include <sys/syscall.h>

#include <cerrno>

#include "tests/system/fault.hpp"
#include "tests/system/host.hpp"
#include "tests/system/programs.hpp"
#include "tests/system/snapshot.hpp"
#include "tests/system/traffic.hpp"

namespace causeway::test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class Chain : public Host {
protected:
    // What the plugin before would have made, and said.
    void SetUp() override {
        netns_ = world_.add_namespace("blue");
        ip({"link", "add", "given0", "address", "02:00:00:00:00:01", "type", "veth", "peer", "name", "eth0", "address",
            "02:00:00:00:00:02", "netns", "blue"});
        ip({"link", "set", "lo", "up"}, netns_);
        ip({"link", "set", "eth0", "up"}, netns_);
        ip({"link", "set", "given0", "up"});
        before_ = Json::parse(R"({"cniVersion": "1.1.0", "interfaces": [
            {"name": "given0", "mac": "02:00:00:00:00:01"},
            {"name": "eth0", "mac": "02:00:00:00:00:02", "sandbox": "/run/netns/blue"}]})");
    }

    Answer ask(const std::string& command, const Json& previous) {
        return answer_to(
            {.command = command, .id = "blue", .netns = netns_, .conf = configuration({{"prevResult", previous}})});
    }

    std::string netns_;
    Json before_;
};

TEST_F(Chain, AttachesTheInterfaceThatIsGivenAndLeavesIt) {
    const auto keeper = connect("keeper");
    const auto before = Snapshot::take({netns_, keeper.netns});
    const auto added = ask("ADD", before_);
    ASSERT_TRUE(succeeded(added));
    ASSERT_EQ(added.json.at("interfaces").size(), 3U) << "the two that were there, and the gateway device";
    EXPECT_EQ(added.json.at("interfaces")[0], before_.at("interfaces")[0]);
    EXPECT_EQ(added.json.at("interfaces")[2].at("name"), "cw0");
    EXPECT_EQ(added.json.at("ips")[0].at("interface"), 1);
    EXPECT_THAT(programs_on("given0", Direction::ingress), ElementsAre("from_sandbox"));
    EXPECT_EQ(ip_json({"link", "show", "eth0"}, netns_).at(0).at("address"), "02:00:00:00:00:02");
    EXPECT_TRUE(meet(Protocol::tcp, {netns_}, {"", {"10.0.0.1", 80}}));
    EXPECT_TRUE(meet(Protocol::tcp, {netns_}, {world_.world(), {world_address, 80}}));
    EXPECT_TRUE(meet(Protocol::tcp, {netns_}, {keeper.netns, {keeper.address, 80}}));
    EXPECT_TRUE(meet(Protocol::tcp, {""}, {netns_, {"10.0.0.3", 80}}));
    EXPECT_TRUE(succeeded(ask("CHECK", added.json)));
    EXPECT_TRUE(succeeded(ask("DEL", added.json)));
    EXPECT_THAT(programs_on("given0", Direction::ingress), IsEmpty());
    EXPECT_TRUE(before.holds());
    EXPECT_TRUE(succeeded(ask("DEL", added.json)));
    EXPECT_TRUE(succeeded(ask("ADD", before_)));
}

TEST_F(Chain, GivesAndTakesBackAddressesAndRoutesOfBothFamilies) {
    const auto keeper = connect("keeper", dual_configuration());
    ip({"addr", "add", "fd00:9::5/64", "dev", "eth0", "nodad"}, netns_);
    const auto before = Snapshot::take({netns_, keeper.netns});
    const auto conf = dual_configuration({{"prevResult", before_}});
    const auto added = add("blue", netns_, conf);
    ASSERT_TRUE(succeeded(added));
    EXPECT_EQ(added.json.at("ips").size(), 2U);
    EXPECT_TRUE(succeeded(answer_to({.command = "CHECK",
                                     .id = "blue",
                                     .netns = netns_,
                                     .conf = dual_configuration({{"prevResult", added.json}})})));
    EXPECT_TRUE(meet(Protocol::tcp, {netns_}, {keeper.netns, {"fd00:1::2", 80}}));
    EXPECT_TRUE(succeeded(del("blue", netns_, conf)));
    EXPECT_TRUE(before.holds());
}

TEST_F(Chain, LeavesOthersAddressesAndProgramsOnTheInterface) {
    const auto keeper = connect("keeper");
    ip({"addr", "add", "172.16.0.5/24", "dev", "eth0"}, netns_);
    const ForeignProgram theirs("given0", Direction::ingress, ForeignProgram::Hook::clsact);
    const auto before = Snapshot::take({netns_});
    ASSERT_TRUE(succeeded(ask("ADD", before_)));
    EXPECT_TRUE(succeeded(ask("DEL", before_)));
    EXPECT_TRUE(before.holds());
    EXPECT_THAT(programs_on("given0", Direction::ingress), ElementsAre("foreign"));
}

TEST_F(Chain, LeavesTheInterfaceAtAFailedAndAtAKilledAdd) {
    const auto keeper = connect("keeper");
    const auto before = Snapshot::take({netns_, keeper.netns});
    auto call = Call{.command = "ADD", .id = "blue", .netns = netns_, .conf = configuration({{"prevResult", before_}})};
    for (const auto kind : {Fault::Kind::error, Fault::Kind::kill}) {
        for (int nth = 1;; nth += 2) {
            const auto faulted = run_with({.kind = kind, .nth = nth, .error = EPERM, .calls = {SYS_bpf, SYS_sendto}},
                                          {plugin()}, call.options());
            if (faulted.call.empty()) {
                EXPECT_TRUE(succeeded(del("blue", netns_)));
                break;
            }
            EXPECT_TRUE(succeeded(del("blue", netns_))) << nth;
            EXPECT_TRUE(before.holds()) << nth << " " << faulted.call;
        }
    }
}

// The device may be another sandbox's next, and has the index that it had.
TEST_F(Chain, LeavesNoFlowsToTheNextSandboxOnTheInterface) {
    const auto keeper = connect("keeper");
    ASSERT_TRUE(succeeded(ask("ADD", before_)));
    EXPECT_TRUE(meet(Protocol::udp, {netns_}, {world_.world(), {world_address, 53}}));
    EXPECT_EQ(ctl_json({"flows"}).size(), 1U);
    ASSERT_TRUE(succeeded(ask("DEL", before_)));
    EXPECT_EQ(ctl_json({"flows"}), Json::array());
}

TEST_F(Chain, RefusesAnInterfaceWhoseOtherEndIsNotNamed) {
    const auto before = Snapshot::take({netns_});
    auto said = before_;
    said["interfaces"].erase(0);
    EXPECT_TRUE(refused(ask("ADD", said), 7, {"eth0", "prevResult"}));
    ip({"link", "add", "other0", "type", "veth", "peer", "name", "other1"});
    said = before_;
    said["interfaces"][0]["name"] = "other0";
    EXPECT_TRUE(refused(ask("ADD", said), 7, {"eth0", "prevResult"}));
    ip({"link", "del", "other0"});
    auto asked = configuration({{"prevResult", before_}, {"runtimeConfig", {{"mac", "02:00:00:00:00:77"}}}});
    EXPECT_TRUE(refused(add("blue", netns_, asked), 7, {"02:00:00:00:00:77", "02:00:00:00:00:02"}));
    EXPECT_TRUE(before.holds());
}

TEST_F(Chain, RefusesATapThatItCouldNotDeliverTo) {
    ip({"link", "del", "given0"});
    ip({"tuntap", "add", "eth0", "mode", "tap"}, netns_);
    const auto before = Snapshot::take({netns_});
    EXPECT_TRUE(refused(ask("ADD", before_), 7, {"eth0", "veth"}));
    EXPECT_TRUE(before.holds());
}

}  // namespace
}  // namespace causeway::test
