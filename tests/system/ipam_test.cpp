// SPDX-License-Identifier: Apache-2.0
// Addresses that another plugin gives: the reference plugins of Debian, and one that writes down what it is asked.
#include <gmock/gmock.h>
#include <sys/syscall.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/system/fault.hpp"
#include "tests/system/host_local.hpp"
#include "tests/system/of_family.hpp"
#include "tests/system/programs.hpp"
#include "tests/system/snapshot.hpp"

namespace causeway::test::ipam_test {
namespace {

using testing::AnyOf;
using testing::ElementsAre;
using testing::HasSubstr;

Json fixed(const std::string& address) {
    auto conf = configuration({{"cniVersion", "1.0.0"}});
    conf["ipam"] = Json::parse(R"({"type": "static", "routes": [{"dst": "0.0.0.0/0"}]})");
    conf["ipam"]["addresses"] = {{{"address", address}, {"gateway", "10.0.0.1"}}};
    return conf;
}

class HostLocal : public EachFamily {};
class Static : public EachFamily {};

TEST_P(HostLocal, GivesAnAddressThatWorksAndTakesItBack) {
    const auto before = Snapshot::take();
    const auto blue = connect("blue", host_local_configuration());
    EXPECT_EQ(blue.address, here("10.0.0.20"));
    EXPECT_EQ(blue.reply.at("ips")[0].at("gateway"), here("10.0.0.1"));
    EXPECT_THAT(leases(), ElementsAre(here("10.0.0.20")));
    EXPECT_TRUE(meet(Protocol::tcp, {blue.netns}, {"", {here("10.0.0.1"), 80}}));
    EXPECT_TRUE(meet(Protocol::tcp, {blue.netns}, server(80)));
    disconnect(blue, host_local_configuration());
    world_.remove_namespace("blue");
    EXPECT_THAT(leases(), ElementsAre());
    EXPECT_TRUE(before.holds());
}

TEST_P(HostLocal, TakesTheLeaseBackWhenTheAddFails) {
    const auto netns = world_.add_namespace("blue");
    ip({"link", "add", "eth0", "type", "veth", "peer", "name", "eth1"}, netns);
    const auto before = Snapshot::take({netns});
    EXPECT_FALSE(add("blue", netns, host_local_configuration()).ok());
    EXPECT_THAT(leases(), ElementsAre());
    EXPECT_TRUE(before.holds());
}

// The network is there already, and another sandbox is in it.
TEST_P(HostLocal, ChangesNothingOfItsNetworkWhenTheAddFails) {
    const auto blue = connect("blue", host_local_configuration());
    const Json port = {{"hostPort", 8080}, {"containerPort", 80}, {"protocol", "tcp"}};
    const auto red = connect("red", second_configuration({{"runtimeConfig", {{"portMappings", {port}}}}}));
    const auto netns = world_.add_namespace("green");
    const auto before = Snapshot::take({netns, blue.netns});
    auto conf = host_local_configuration({{"isolate", true}, {"runtimeConfig", {{"portMappings", {port}}}}});
    conf["ipam"]["ranges"][0][0] = {{"subnet", "10.0.7.0/24"}};
    EXPECT_TRUE(refused(add("green", netns, conf), 102, {"8080", "red"}));
    EXPECT_THAT(leases(), ElementsAre(blue.address));
    EXPECT_TRUE(before.holds());
}

// It is only there because another network has sandboxes.
TEST_P(HostLocal, MakesANetworkAnewThatNobodyIsIn) {
    connect("keeper", second_configuration());
    disconnect(connect("blue", host_local_configuration()), host_local_configuration());
    auto conf = host_local_configuration();
    conf["ipam"]["ranges"][0][0]["subnet"] = "10.0.0.0/25";
    const auto red = connect("red", conf);
    EXPECT_TRUE(ping(red.netns, here("10.0.0.1")));
}

TEST_P(HostLocal, IsCheckedToo) {
    const auto blue = connect("blue", host_local_configuration());
    const Call check{.command = "CHECK",
                     .id = "blue",
                     .netns = blue.netns,
                     .conf = host_local_configuration({{"prevResult", blue.reply}})};
    EXPECT_TRUE(succeeded(answer_to(check)));
    std::filesystem::remove("/run/leases/sandboxes/" + here("10.0.0.20"));
    EXPECT_FALSE(answer_to(check).ok());
}

// What families the network has, only an ADD is told: CHECK and STATUS know it from what is there.
TEST_P(HostLocal, LeavesDevicesOfTheOtherFamilyOutOfTheUplinks) {
    const auto blue = connect("blue", host_local_configuration());
    ip({"link", "add", "other0", "type", "bridge"});
    const bool ipv6 = family() == Family::ipv6;
    ip({"addr", "add", ipv6 ? "192.0.2.1/24" : "2001:db8:2::1/64", "dev", "other0", "nodad"});
    ip({"link", "set", "other0", "up"});
    EXPECT_TRUE(succeeded(answer_to({.command = "CHECK",
                                     .id = "blue",
                                     .netns = blue.netns,
                                     .conf = host_local_configuration({{"prevResult", blue.reply}})})));
    const auto status = answer_to({.command = "STATUS",
                                   .id = "",
                                   .netns = "",
                                   .conf = host_local_configuration({{"cniVersion", "1.1.0"}}),
                                   .interface = ""});
    EXPECT_THAT(status.text, testing::Not(HasSubstr("other0")));
}

TEST_P(HostLocal, GivesItsLeaseBackAtADelWithoutANamespace) {
    connect("blue", host_local_configuration());
    world_.remove_namespace("blue");
    EXPECT_TRUE(succeeded(del("blue", "", host_local_configuration())));
    EXPECT_THAT(leases(), ElementsAre());
}

// Of all that causeway knows nothing is left, and the leases are still on the disk.
TEST_P(HostLocal, GivesItsLeasesBackAfterAReboot) {
    const auto blue = connect("blue", host_local_configuration());
    const auto red = connect("red", host_local_configuration());
    for (const auto* id : {"blue", "red"}) {
        world_.remove_namespace(id);
    }
    std::filesystem::remove_all("/sys/fs/bpf/causeway");
    for (const auto& device : {blue.host_end, red.host_end, std::string("cw0")}) {
        run({"ip", "link", "del", device});
    }
    for (const auto& [direction, program] :
         {std::pair{Direction::ingress, "from_uplink"}, std::pair{Direction::egress, "from_stack"}}) {
        detach("up0", direction, program);
    }
    ASSERT_EQ(leases().size(), 2U);
    const auto ready = answer_to({.command = "STATUS", .id = "", .netns = "", .interface = ""});
    EXPECT_TRUE(succeeded(ready));
    EXPECT_EQ(ready.text, "");
    EXPECT_TRUE(succeeded(del("blue", "", host_local_configuration()))) << "as a runtime cleans up";
    EXPECT_EQ(leases().size(), 1U);
    EXPECT_TRUE(succeeded(del("red", "", host_local_configuration())));
    EXPECT_TRUE(leases().empty());
    const auto again = connect("blue", host_local_configuration());
    EXPECT_TRUE(ping(again.netns, "10.0.0.1"));
}

TEST_P(HostLocal, GivesItsLeaseBackWhateverElseOfTheConfigurationDoesNotRead) {
    const auto before = Snapshot::take();
    const std::string resolv_conf = "/run/resolv.conf";
    const auto conf = host_local_configuration({{"ipam", {{"resolvConf", resolv_conf}}}});
    for (const auto& patch : {Json::object(), Json{{"mtu", "big"}}, Json{{"uplinks", 5}}}) {
        std::ofstream(resolv_conf) << "nameserver 203.0.113.2\n";
        const auto blue = connect("blue", conf);
        std::filesystem::remove(resolv_conf);
        EXPECT_TRUE(succeeded(answer_to({.command = "CHECK", .id = "blue", .netns = blue.netns, .conf = [&] {
                                             auto with_result = conf;
                                             with_result["prevResult"] = blue.reply;
                                             return with_result;
                                         }()})));
        auto spoilt = conf;
        spoilt.merge_patch(patch);
        EXPECT_TRUE(succeeded(del("blue", blue.netns, spoilt)));
        EXPECT_THAT(leases(), ElementsAre()) << patch;
        world_.remove_namespace("blue");
        EXPECT_TRUE(before.holds());
    }
}

// Its name and the type of the plugin are what nobody else can tell.
TEST_P(HostLocal, IsNotForgottenByADelThatCannotAskIt) {
    const auto before = Snapshot::take();
    const auto conf = host_local_configuration();
    const auto blue = connect("blue", conf), red = connect("red");
    for (const auto& patch : {Json{{"ipam", {{"type", 5}}}}, Json{{"ipam", 5}}, Json{{"name", "/"}}}) {
        auto spoilt = conf;
        spoilt.merge_patch(patch);
        const auto answer = del("blue", blue.netns, spoilt);
        EXPECT_TRUE(refused(answer, 7, {"blue", blue.address, patch.contains("name") ? "name: " : "ipam"}));
        EXPECT_THAT(answer.json.value("details", ""), HasSubstr("DEL it again"));
        EXPECT_EQ(ip({"-o", "link"}).find(blue.host_end), std::string::npos) << "all that is causeway's own is gone";
        EXPECT_TRUE(succeeded(del("never-there", "", spoilt)));
        EXPECT_TRUE(succeeded(del("red", red.netns, spoilt))) << "an address of causeway's own";
        EXPECT_THAT(leases(), ElementsAre(blue.address));
    }
    EXPECT_THAT(answer_to({.command = "STATUS", .id = "", .netns = "", .interface = ""}).text,
                HasSubstr("has not taken its addresses back"));
    disconnect(blue, conf);
    EXPECT_THAT(leases(), ElementsAre());
    world_.remove_namespace("blue");
    world_.remove_namespace("red");
    EXPECT_TRUE(before.holds());
}

TEST_P(HostLocal, SaysInItsOwnWordsWhyItCannot) {
    const auto netns = world_.add_namespace("blue");
    const auto before = Snapshot::take({netns});
    auto conf = host_local_configuration();
    conf["ipam"]["ranges"] = "many";
    const auto answer = add("blue", netns, conf);
    EXPECT_TRUE(refused(answer, answer.code(), {"host-local"}));
    EXPECT_TRUE(before.holds());
}

TEST_P(Static, GivesTheAddressOfTheConfiguration) {
    const auto blue = connect("blue", fixed("10.0.0.77/24"));
    EXPECT_EQ(blue.address, here("10.0.0.77"));
    EXPECT_TRUE(ping(blue.netns, "10.0.0.1"));
    EXPECT_TRUE(meet(Protocol::udp, {blue.netns}, server(53)));
    disconnect(blue, fixed("10.0.0.77/24"));
}

TEST_P(Static, CannotGiveOneAddressTwice) {
    const auto blue = connect("blue", fixed("10.0.0.77/24"));
    const auto netns = world_.add_namespace("red");
    const auto before = Snapshot::take({netns, blue.netns});
    EXPECT_TRUE(refused(add("red", netns, fixed("10.0.0.77/24")), 102, {"10.0.0.77"}));
    EXPECT_TRUE(refused(add("red", netns, fixed("10.0.0.1/24")), 102, {"10.0.0.1"}));
    EXPECT_TRUE(before.holds());
    EXPECT_TRUE(ping(blue.netns, "10.0.0.1"));
}

// A plugin that writes what it is asked to /run/asked, and answers as /run/cni/answer says.
class DelegationBase : public OfFamily {
protected:
    using OfFamily::OfFamily;

    void SetUp() override {
        std::filesystem::create_directory("/run/cni");
        std::ofstream("/run/cni/notes") << "#!/bin/sh\necho \"$CNI_COMMAND $CNI_CONTAINERID\" >> /run/asked\n"
                                           "cat > /run/last-configuration\n"
                                           "[ -e \"/run/cni/no-$CNI_COMMAND\" ] && exit 1\n"
                                           "[ \"$CNI_COMMAND\" = ADD ] || exit 0\ncat /run/cni/answer\n"
                                           "exit \"$(cat /run/cni/status)\"\n";
        std::filesystem::permissions("/run/cni/notes", std::filesystem::perms::owner_all);
        answer_with(R"({"cniVersion": "1.1.0", "ips": [{"address": "10.0.0.44/24", "gateway": "10.0.0.1"}],
                        "dns": {"nameservers": ["203.0.113.2"]}})");
    }

    void answer_with(const std::string& text, int status = 0) const {
        std::ofstream("/run/cni/answer") << here(text);
        std::ofstream("/run/cni/status") << status;
    }

    static Json conf() {
        auto conf = configuration();
        conf["ipam"] = {{"type", "notes"}, {"anything", "goes"}};
        return conf;
    }

    Answer ask(const std::string& command, const std::string& id, const Json& patch = Json::object()) {
        auto patched = conf();
        patched.merge_patch(patch);
        const bool of_a_container = !id.empty();
        return answer_to({.command = command,
                          .id = id,
                          .netns = of_a_container ? world_.path(id) : "",
                          .conf = patched,
                          .interface = of_a_container ? "eth0" : "",
                          .path = "/run/nothing:/run/cni"});
    }

    static std::vector<std::string> asked() {
        std::ifstream file("/run/asked");
        std::vector<std::string> lines;
        for (std::string line; std::getline(file, line);) {
            lines.push_back(line);
        }
        return lines;
    }
};
class Delegation : public DelegationBase, public testing::WithParamInterface<Family> {
protected:
    Delegation() : DelegationBase(GetParam()) {}
};
class DelegationOnce : public Delegation {};  // what has no family
class DelegationOfBothFamilies : public DelegationBase {
protected:
    DelegationOfBothFamilies() : DelegationBase(Family::ipv4) {}
};

TEST_P(Delegation, PassesEveryCommandOn) {
    world_.add_namespace("blue");
    const auto added = ask("ADD", "blue");
    ASSERT_TRUE(succeeded(added));
    EXPECT_EQ(added.json.at("ips")[0].at("address"), here("10.0.0.44/24"));
    EXPECT_EQ(added.json.at("dns").at("nameservers")[0], here("203.0.113.2"));
    std::stringstream seen;
    seen << std::ifstream("/run/last-configuration").rdbuf();
    EXPECT_EQ(Json::parse(seen.str()), conf());
    EXPECT_TRUE(succeeded(ask("CHECK", "blue", {{"prevResult", added.json}})));
    EXPECT_TRUE(succeeded(ask("STATUS", "")));
    EXPECT_TRUE(
        succeeded(ask("GC", "", {{"cni.dev/valid-attachments", {{{"containerID", "blue"}, {"ifname", "eth0"}}}}})));
    EXPECT_TRUE(succeeded(ask("DEL", "blue")));
    EXPECT_THAT(asked(), ElementsAre("ADD blue", "CHECK blue", "STATUS ", "GC ", "DEL blue"));
}

// The reference host-local does nothing at GC.
TEST_P(Delegation, IsToldByGcOfEachSandboxThatIsRemoved) {
    int last = 44;
    for (const auto* id : {"blue", "red", "green"}) {
        world_.add_namespace(id);
        answer_with(R"({"cniVersion": "1.1.0", "ips": [{"address": "10.0.0.)" + std::to_string(last++) + R"(/24"}]})");
        ASSERT_TRUE(succeeded(ask("ADD", id)));
    }
    std::filesystem::remove("/run/asked");
    const Json red{{"containerID", "red"}, {"ifname", "eth0"}};
    EXPECT_TRUE(succeeded(ask("GC", "", {{"cni.dev/valid-attachments", {red}}})));
    EXPECT_THAT(asked(), ElementsAre(AnyOf("DEL blue", "DEL green"), AnyOf("DEL blue", "DEL green"), "GC "));
    EXPECT_THAT(asked(), testing::IsSupersetOf({"DEL blue", "DEL green"}));
}

TEST_P(Delegation, IsToldAgainByTheNextGcWhenItHasNotTakenTheAddressBack) {
    const auto before = Snapshot::take();
    world_.add_namespace("blue");
    ASSERT_TRUE(succeeded(ask("ADD", "blue")));
    world_.remove_namespace("blue");
    std::filesystem::remove("/run/asked");
    std::ofstream("/run/cni/no-DEL") << "";
    EXPECT_TRUE(refused(ask("GC", ""), 5, {"notes"}));
    EXPECT_TRUE(refused(ask("GC", ""), 5, {"notes"}));
    EXPECT_TRUE(refused(ask("GC", "", {{"ipam", {{"type", 5}}}}), 7, {"ipam.type"})) << "which leaves it on record";
    std::filesystem::remove("/run/cni/no-DEL");
    EXPECT_TRUE(succeeded(ask("GC", "")));
    EXPECT_TRUE(succeeded(ask("GC", "")));
    EXPECT_THAT(asked(), ElementsAre("DEL blue", "GC ", "DEL blue", "GC ", "DEL blue", "GC ", "GC "));
    EXPECT_TRUE(before.holds());
}

TEST_P(Delegation, IsToldByGcWhenADelWasKilledBefore) {
    const auto netns = world_.add_namespace("blue");
    ip({"link", "set", "lo", "up"}, netns);
    const auto before = Snapshot::take({netns});
    ASSERT_TRUE(succeeded(ask("ADD", "blue")));
    std::filesystem::remove("/run/asked");
    const auto del = call_here({.command = "DEL", .id = "blue", .netns = netns, .conf = conf(), .path = "/run/cni"});
    const auto faulted =
        run_with({.kind = Fault::Kind::kill, .nth = 1, .calls = {SYS_memfd_create}}, {plugin()}, del.options());
    ASSERT_EQ(faulted.output.status, 128 + SIGKILL) << "as it was about to call the plugin";
    EXPECT_THAT(asked(), ElementsAre());
    EXPECT_TRUE(succeeded(ask("GC", "")));
    EXPECT_THAT(asked(), ElementsAre("DEL blue", "GC "));
    EXPECT_TRUE(before.comes_back());
}

TEST_P(Delegation, IsToldByGcWhateverElseOfTheConfigurationDoesNotRead) {
    world_.add_namespace("blue");
    ASSERT_TRUE(succeeded(ask("ADD", "blue")));
    EXPECT_TRUE(refused(ask("GC", "", {{"ipam", {{"type", 5}}}}), 7, {"ipam.type"}));
    EXPECT_TRUE(succeeded(ask("GC", "", {{"mtu", "big"}, {"dns", 5}, {"prevResult", 5}})));
    EXPECT_THAT(asked(), ElementsAre("ADD blue", "DEL blue", "GC "));
    EXPECT_EQ(ctl_json({"endpoints"}).size(), 0U);
}

TEST_P(Delegation, GivesBackWhatItCannotUse) {
    const auto netns = world_.add_namespace("blue");
    const auto before = Snapshot::take({netns});
    for (const auto* answer : {"{}", "no JSON", R"({"ips": []})", R"({"ips": [{"address": "10.0.0.5/33"}]})",
                               R"({"ips": [{"address": "10.0.0.5/24", "gateway": "10.0.9.1"}]})",
                               R"({"ips": [{"address": "10.0.0.5/24"}, {"address": "fd00:1::5"}]})"}) {
        answer_with(answer);
        std::filesystem::remove("/run/asked");
        EXPECT_TRUE(refused(ask("ADD", "blue"), 6, {"notes"})) << answer;
        EXPECT_THAT(asked(), ElementsAre("ADD blue", "DEL blue")) << answer;
        EXPECT_TRUE(before.holds());
    }
}

TEST_F(DelegationOfBothFamilies, GivesASandboxAllThatThePluginChose) {
    const auto netns = world_.add_namespace("blue");
    const auto before = Snapshot::take();
    answer_with(R"({"ips": [{"address": "fd00:1::5/64"}, {"address": "10.0.0.5/24", "gateway": "10.0.0.254"},
                            {"address": "10.0.0.6/24"}], "routes": [{"dst": "::/0", "priority": 7},
                                                                  {"dst": "0.0.0.0/0", "mtu": 1400, "table": 0}]})");
    const auto added = ask("ADD", "blue");
    ASSERT_TRUE(succeeded(added));
    EXPECT_EQ(added.json.at("ips").size(), 3U);
    EXPECT_EQ(added.json.at("routes"), Json::parse(R"([{"dst": "::/0", "gw": "fd00:1::1", "priority": 7},
                              {"dst": "0.0.0.0/0", "gw": "10.0.0.254", "mtu": 1400}])"));
    EXPECT_EQ(ip_json({"-6", "route", "show", "default"}, netns)[0].at("metric"), 7);
    EXPECT_EQ(ip_json({"-4", "route", "show", "default"}, netns)[0].at("metrics")[0].at("mtu"), 1400);
    EXPECT_EQ(ctl_json({"endpoints"}).size(), 3U);
    EXPECT_TRUE(ping(netns, "10.0.0.254"));
    EXPECT_TRUE(succeeded(ask("CHECK", "blue", {{"prevResult", added.json}})));
    EXPECT_TRUE(succeeded(ask("DEL", "blue")));
    EXPECT_TRUE(before.holds());
}

TEST_P(DelegationOnce, KeepsTheAddressAtADelOfAnotherNetwork) {
    world_.add_namespace("blue");
    ASSERT_TRUE(succeeded(ask("ADD", "blue")));
    EXPECT_TRUE(succeeded(ask("DEL", "blue", {{"name", "elsewhere"}, {"device", "cw9"}})));
    EXPECT_THAT(asked(), ElementsAre("ADD blue"));
}

TEST_P(DelegationOnce, SaysThatItsAddressIsLeftAndGivesItBackAtTheNextDel) {
    const auto netns = world_.add_namespace("blue");
    ip({"link", "add", "eth0", "type", "veth", "peer", "name", "eth1"}, netns);
    const auto before = Snapshot::take({netns});
    std::ofstream("/run/cni/no-DEL");
    const auto answer = ask("ADD", "blue");
    EXPECT_FALSE(answer.ok());
    EXPECT_THAT(answer.text, HasSubstr("not undone: IPAM plugin \\\"notes\\\""));
    std::filesystem::remove("/run/cni/no-DEL");
    EXPECT_TRUE(succeeded(ask("DEL", "blue")));
    EXPECT_THAT(asked(), ElementsAre("ADD blue", "DEL blue", "DEL blue"));
    EXPECT_TRUE(before.holds());
}

TEST_P(DelegationOnce, PassesAnErrorOnWithItsCode) {
    const auto netns = world_.add_namespace("blue");
    const auto before = Snapshot::take({netns});
    answer_with(R"({"cniVersion": "1.1.0", "code": 142, "msg": "no more today", "details": "come back"})", 1);
    EXPECT_TRUE(refused(ask("ADD", "blue"), 142, {"notes", "no more today"}));
    EXPECT_THAT(asked(), ElementsAre("ADD blue", "DEL blue"));
    EXPECT_TRUE(before.holds());
}

TEST_P(Delegation, GivesTheAddressesThatAreAskedForOrNone) {
    const auto netns = world_.add_namespace("blue");
    const auto before = Snapshot::take({netns});
    answer_with(R"({"cniVersion": "1.1.0", "ips": [{"address": "10.0.0.44/24"}, {"address": "10.0.0.45/24"}]})");
    for (const auto& patch : {Json{{"runtimeConfig", {{"ips", {here("10.0.0.45"), here("10.0.0.77/24")}}}}},
                              Json{{"args", {{"cni", {{"ips", {here("10.0.0.77")}}}}}}}}) {
        std::filesystem::remove("/run/asked");
        const auto answer = ask("ADD", "blue", patch);
        EXPECT_TRUE(refused(answer, 2, {"10.0.0.77", "notes", "10.0.0.44, ", "10.0.0.45"}));
        EXPECT_THAT(answer.json.value("details", ""), HasSubstr("runtimeConfig.ips"));
        EXPECT_THAT(asked(), ElementsAre("ADD blue", "DEL blue"));
        EXPECT_TRUE(before.holds());
    }
    EXPECT_TRUE(succeeded(ask("ADD", "blue", {{"runtimeConfig", {{"ips", {here("10.0.0.45/24")}}}}})));
}

TEST_P(DelegationOnce, NamesThePluginThatIsNotThere) {
    const auto netns = world_.add_namespace("blue");
    const auto before = Snapshot::take({netns});
    auto absent = conf();
    absent["ipam"]["type"] = "absent";
    EXPECT_TRUE(refused(add("blue", netns, absent), 4, {"absent", "/usr/lib/cni"}));
    EXPECT_TRUE(before.holds());
}

FOR_BOTH_FAMILIES(HostLocal);
FOR_BOTH_FAMILIES(Static);
FOR_BOTH_FAMILIES(Delegation);
INSTANTIATE_TEST_SUITE_P(Of, DelegationOnce, testing::Values(Family::ipv4), testing::PrintToStringParamName());

}  // namespace
}  // namespace causeway::test::ipam_test
