// SPDX-License-Identifier: Apache-2.0
// CHECK: true as long as everything is there, and a name for what is not.
#include "tests/system/host.hpp"
#include "tests/system/programs.hpp"
#include "tests/system/snapshot.hpp"

namespace causeway::test {
namespace {

Answer check(const Sandbox& sandbox, const Json& conf = configuration()) {
    return answer_to({.command = "CHECK", .id = sandbox.id, .netns = sandbox.netns, .conf = [&] {
                          auto with_result = conf;
                          with_result["prevResult"] = sandbox.reply;
                          return with_result;
                      }()});
}

struct Damage {
    std::string name;
    std::function<void(const Sandbox&)> strike;
    std::vector<std::string> words;  // that the error must have
};
void PrintTo(const Damage& damage, std::ostream* stream) {
    *stream << damage.name;
}

const Damage damages[] = {
    {"AddressGone",
     [](const Sandbox& s) { ip({"addr", "del", s.address + "/24", "dev", "eth0"}, s.netns); },
     {"10.0.0.2/24", "gone"}},
    {"AddressOfAnotherLength",
     [](const Sandbox& s) {
         ip({"addr", "add", s.address + "/16", "dev", "eth0"}, s.netns);
         ip({"addr", "del", s.address + "/24", "dev", "eth0"}, s.netns);
     },
     {"10.0.0.2/24"}},
    {"RouteGone", [](const Sandbox& s) { ip({"route", "del", "default"}, s.netns); }, {"0.0.0.0/0", "10.0.0.1"}},
    {"InterfaceDown", [](const Sandbox& s) { ip({"link", "set", "eth0", "down"}, s.netns); }, {"eth0", "not up"}},
    {"InterfaceGone", [](const Sandbox& s) { ip({"link", "del", "eth0"}, s.netns); }, {"gone"}},
    {"InterfaceRenamed",
     [](const Sandbox& s) {
         ip({"link", "set", "eth0", "down"}, s.netns);
         ip({"link", "set", "eth0", "name", "eth9"}, s.netns);
     },
     {"eth0", "gone"}},
    {"MacChanged",
     [](const Sandbox& s) { ip({"link", "set", "eth0", "address", "02:00:00:00:00:99"}, s.netns); },
     {"MAC", "02:00:00:00:00:99"}},
    {"MtuChanged", [](const Sandbox& s) { ip({"link", "set", "eth0", "mtu", "1300"}, s.netns); }, {"MTU", "1300"}},
    {"HostEndDown", [](const Sandbox& s) { ip({"link", "set", s.host_end, "down"}); }, {"host end", "not up"}},
    {"HostEndGone", [](const Sandbox& s) { ip({"link", "del", s.host_end}); }, {"host end", "gone"}},
    {"SandboxProgramDetached",
     [](const Sandbox& s) { detach(s.host_end, Direction::ingress, "from_sandbox"); },
     {"from_sandbox"}},
    {"GatewayProgramDetached",
     [](const Sandbox&) { detach("cw0", Direction::egress, "from_host"); },
     {"from_host", "cw0"}},
    {"UplinkProgramDetached",
     [](const Sandbox&) { detach("up0", Direction::ingress, "from_uplink"); },
     {"from_uplink", "up0"}},
    {"GatewayDeviceDown", [](const Sandbox&) { ip({"link", "set", "cw0", "down"}); }, {"cw0"}},
    {"GatewayDeviceGone", [](const Sandbox&) { ip({"link", "del", "cw0"}); }, {"cw0"}},
    {"GatewayAddressGone", [](const Sandbox&) { ip({"addr", "flush", "dev", "cw0"}); }, {"10.0.0.1", "cw0"}},
};

class Check : public Host {};
class CheckOfDamage : public Host, public testing::WithParamInterface<Damage> {};

TEST_P(CheckOfDamage, FailsAndNamesWhatItFound) {
    const auto blue = connect("blue");
    ASSERT_TRUE(succeeded(check(blue)));
    GetParam().strike(blue);
    EXPECT_TRUE(refused(check(blue), 103, GetParam().words));
    EXPECT_TRUE(succeeded(del("blue", blue.netns)));
    EXPECT_EQ(all_programs(), "");
}

INSTANTIATE_TEST_SUITE_P(Each, CheckOfDamage, testing::ValuesIn(damages),
                         [](const auto& damage) { return damage.param.name; });

TEST_F(Check, SucceedsAndChangesNothing) {
    const auto blue = connect("blue");
    const auto before = Snapshot::take({blue.netns});
    const auto answer = check(blue);
    EXPECT_TRUE(succeeded(answer));
    EXPECT_EQ(answer.text, "");
    EXPECT_TRUE(before.holds());
}

TEST_F(Check, SucceedsInEachVersionThatHasIt) {
    for (const std::string version : {"0.4.0", "1.0.0", "1.1.0"}) {
        const auto conf = configuration({{"cniVersion", version}});
        const auto blue = connect("blue" + version, conf);
        EXPECT_TRUE(succeeded(check(blue, conf))) << version;
    }
    const auto oldest = configuration({{"cniVersion", "0.3.1"}});
    const auto red = connect("red", oldest);
    EXPECT_TRUE(refused(check(red, oldest), 1, {"0.3.1"}));
}

TEST_F(Check, NeedsTheResultOfTheAdd) {
    const auto blue = connect("blue");
    EXPECT_TRUE(refused(answer_to({.command = "CHECK", .id = "blue", .netns = blue.netns}), 7, {"prevResult"}));
}

TEST_F(Check, FailsForWhatWasNeverAdded) {
    auto blue = connect("blue");
    blue.id = "red";
    EXPECT_TRUE(refused(check(blue), 103, {"red"}));
    blue.id = "blue";
    disconnect(blue);
    EXPECT_FALSE(check(blue).ok()) << "nothing is loaded any more";
}

}  // namespace
}  // namespace causeway::test
