// SPDX-License-Identifier: Apache-2.0
// STATUS: would an ADD work now, and what should the operator know?
#include <gmock/gmock.h>
#include <sys/syscall.h>

#include <filesystem>

#include <causeway/abi.h>

#include "tests/system/entries.hpp"
#include "tests/system/fault.hpp"
#include "tests/system/of_family.hpp"
#include "tests/system/programs.hpp"
#include "tests/system/snapshot.hpp"

namespace causeway::test::status_test {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

class Status : public OfFamily {
protected:
    explicit Status(Family family = Family::ipv4) : OfFamily(family) {}

    Answer status(const Json& conf = configuration()) const {
        return answer_to({.command = "STATUS", .id = "", .netns = "", .conf = conf, .interface = ""});
    }

    // It is ready, and says this on stderr; nothing on stdout.
    void expect_remark(const std::string& words, const Json& conf = configuration()) const {
        const auto answer = status(conf);
        EXPECT_TRUE(succeeded(answer));
        EXPECT_TRUE(answer.json.is_null());
        EXPECT_THAT(answer.text, HasSubstr(here(words)));
    }
};
// Of what has to do with addresses and routes.
class StatusOfFamily : public Status, public testing::WithParamInterface<Family> {
protected:
    StatusOfFamily() : Status(GetParam()) {}
};

TEST_P(StatusOfFamily, IsGoodBeforeAndAfterTheFirstAdd) {
    const auto before = Snapshot::take();
    EXPECT_TRUE(succeeded(status()));
    EXPECT_THAT(status().text, IsEmpty());
    EXPECT_TRUE(before.holds());
    const auto blue = connect("blue");
    const auto with_one = Snapshot::take({blue.netns});
    EXPECT_TRUE(succeeded(status()));
    EXPECT_THAT(status().text, IsEmpty());
    EXPECT_TRUE(with_one.holds());
}

TEST_F(Status, TellsThatTheUplinkIsMissingAndWhetherSandboxesSuffer) {
    const auto conf = configuration({{"uplinks", {"up9"}}});
    EXPECT_TRUE(refused(status(conf), 50, {"up9"})) << "nothing is loaded";
    const auto red = connect("red", second_configuration());
    EXPECT_TRUE(refused(status(conf), 50, {"up9"})) << "none of this network's sandboxes is connected";
    const auto blue = connect("blue");
    EXPECT_TRUE(refused(status(conf), 51, {"up9"})) << "one is";
    ip({"link", "del", "up0"});
    EXPECT_TRUE(refused(status(configuration({{"uplinks", {"up0"}}})), 51, {"up0"})) << "vanished";
}

// Nobody suffers who has an address: 50, not 51.
TEST_P(StatusOfFamily, TellsThatNoAddressIsLeft) {
    auto conf = configuration();
    conf["ipam"]["ranges"][0][0].update({{"subnet", "10.0.0.0/30"}, {"rangeEnd", "10.0.0.2"}});
    const auto blue = connect("blue", conf);
    EXPECT_TRUE(refused(status(conf), 50, {"10.0.0.2-10.0.0.2"}));
    world_.remove_namespace("blue");
    ASSERT_TRUE(eventually([&] { return ip({"-o", "link"}).find(blue.host_end) == std::string::npos; }));
    const auto answer = status(conf);
    EXPECT_TRUE(refused(answer, 50));
    EXPECT_THAT(answer.json.value("details", ""), HasSubstr("causewayctl gc")) << "who could be removed";
    disconnect(blue, conf);
    EXPECT_TRUE(succeeded(status(conf)));
}

TEST_F(Status, TellsThatTheDeviceIsSomebodyElses) {
    ip({"link", "add", "cw0", "type", "bridge"});
    EXPECT_TRUE(refused(status(), 50, {"cw0"}));
    const auto red = connect("red", second_configuration());
    EXPECT_TRUE(refused(status(), 50, {"cw0"}));
    EXPECT_TRUE(refused(status(configuration({{"device", "cw1"}})), 50, {"cw1", "others"}));
}

TEST_P(StatusOfFamily, TellsThatSubnetsOverlap) {
    const auto blue = connect("blue");
    auto conf = second_configuration();
    conf["ipam"]["ranges"][0][0]["subnet"] = "10.0.0.0/16";
    EXPECT_TRUE(refused(status(conf), 50, {"10.0.0.0/16", "sandboxes"}));
}

TEST_F(Status, TellsThatThereIsNoRoomForAnotherNetwork) {
    const auto blue = connect("blue");
    fill_networks();
    EXPECT_TRUE(succeeded(status())) << "one that is there";
    const std::string words = "make a network: this host has " + std::to_string(CAUSEWAY_NETWORKS_MAX - 1);
    EXPECT_TRUE(refused(add("red", world_.add_namespace("red"), second_configuration()), 101, {words}));
    EXPECT_TRUE(refused(status(second_configuration()), 50, {words}));
}

TEST_P(StatusOfFamily, MentionsWhatIsLeftOver) {
    const auto blue = connect("blue"), red = connect("red");
    world_.remove_namespace("blue");
    ASSERT_TRUE(eventually([&] { return ip({"-o", "link"}).find(blue.host_end) == std::string::npos; }));
    expect_remark("blue");
    expect_remark("causewayctl gc");
    ASSERT_EQ(ctl({"gc"}).status, 0);
    EXPECT_THAT(status().text, IsEmpty());
}

// On no record, as no kill leaves them: who has touched the one or the other by hand.
TEST_F(Status, MentionsAHostEndWithoutEntriesAndEntriesWithoutAHostEnd) {
    const auto keeper = connect("keeper");
    const auto keepers_slots = keys_of("slots");
    const auto forget = [](const Sandbox& sandbox) {
        erase_entry("attachments", key_of_attachment(sandbox.id, sandbox.interface));
    };
    const auto blue = connect("blue");
    forget(blue);
    erase_entry("endpoints", key_of_address(blue.address));
    erase_entry("sandboxes", key_of_device(blue.host_end));
    for (const auto& slot : keys_of("slots")) {
        if (!keepers_slots.contains(slot)) {
            erase_entry("slots", slot);
        }
    }
    expect_remark("1 thing is left over, as the host end " + blue.host_end);
    ASSERT_TRUE(ctl({"gc"}).ok());
    EXPECT_THAT(status().text, IsEmpty());

    const auto red = connect("red");
    forget(red);
    ip({"link", "del", red.host_end});
    expect_remark("3 things are left over, as the address " + red.address);
    ASSERT_TRUE(ctl({"gc"}).ok());
    EXPECT_THAT(status().text, IsEmpty());
}

TEST_P(StatusOfFamily, ExplainsARouteThatLeavesByADeviceThatIsNoUplink) {
    const auto blue = connect("blue");
    ip({"tuntap", "add", "tun7", "mode", "tun"});
    ip({"link", "set", "tun7", "up"});
    ip_here({"route", "add", "198.18.0.0/15", "dev", "tun7"});
    expect_remark("198.18.0.0/15 leaves by tun7, which is no uplink (it has no Ethernet header)");
    ip({"link", "del", "tun7"});
    EXPECT_THAT(status().text, IsEmpty());
    ip({"link", "add", "up7", "up", "type", "bridge"});
    expect_remark("0.0.0.0/0 leaves by up0", second_configuration({{"uplinks", {"up7"}}}));
}

TEST_P(StatusOfFamily, MentionsWhatTheNextAddWillRepair) {
    const auto blue = connect("blue");
    ip({"link", "set", "cw0", "down"});
    expect_remark("cw0");
    const auto green = connect("green");
    EXPECT_THAT(status().text, IsEmpty());
    detach("up0", Direction::ingress, "from_uplink");
    expect_remark("from_uplink");
    const auto red = connect("red");
    EXPECT_THAT(status().text, IsEmpty());
}

TEST_P(StatusOfFamily, MentionsAnUplinkThatForwardsNothingToSandboxes) {
    const auto conf = configuration({{"forwarded", true}});
    const std::string device = family() == Family::ipv6 ? "all" : "up0";  // by which the kernel decides
    expect_remark((family() == Family::ipv6 ? "net.ipv6.conf." : "net.ipv4.conf.") + device + ".forwarding is 0", conf);
    EXPECT_THAT(status().text, IsEmpty()) << "no matter to a network that lets none of it in";
    set_sysctl(setting(device, "forwarding"), "1");
    EXPECT_THAT(status(conf).text, Not(HasSubstr("forwarding is 0")));
}

// Linux, Documentation/networking/ip-sysctl.rst, accept_ra: where somebody has forwarding on all devices.
TEST_F(Status, MentionsAnUplinkThatTakesNoRouterAdvertisementsAnyMore) {
    const auto blue = connect("blue", ipv6_configuration());
    EXPECT_THAT(status(ipv6_configuration()).text, IsEmpty());
    set_sysctl("net/ipv6/conf/all/forwarding", "1");
    expect_remark("net.ipv6.conf.up0.accept_ra to 2", ipv6_configuration());
    EXPECT_THAT(status(second_configuration()).text, IsEmpty()) << "no matter to a network of IPv4";
    set_sysctl("net/ipv6/conf/up0/accept_ra", "2");
    EXPECT_THAT(status(ipv6_configuration()).text, IsEmpty());
}

TEST_F(Status, TellsThatTheMtuIsTooSmallForIPv6) {
    EXPECT_TRUE(refused(status(dual_configuration({{"mtu", 1279}})), 50, {"mtu: 1279", "1280"}));
    EXPECT_TRUE(succeeded(status(configuration({{"mtu", 1279}}))));
    ip({"link", "set", "up0", "mtu", "1279"});
    EXPECT_TRUE(refused(status(dual_configuration({{"uplinks", {"up0"}}})), 50, {"1279 of the uplink up0"}));
    EXPECT_TRUE(refused(add("blue", world_.add_namespace("blue"), dual_configuration({{"uplinks", {"up0"}}})), 7,
                        {"1279 of the uplink up0"}));
    EXPECT_TRUE(succeeded(status(dual_configuration({{"mtu", 1280}, {"uplinks", {"up0"}}}))));
}

// As ADD refuses it, before anything is there.
TEST_P(StatusOfFamily, TellsOfRoutesThatNoSandboxCanHave) {
    const auto with_routes = [](const char* routes) {
        auto conf = configuration();
        conf["ipam"]["routes"] = Json::parse(routes);
        return conf;
    };
    EXPECT_TRUE(refused(status(with_routes(R"([{"dst": "10.9.0.0/16"}, {"dst": "10.9.0.0/16"}])")), 7,
                        {"ipam.routes", "10.9.0.0/16"}));
    EXPECT_TRUE(refused(status(with_routes(R"([{"dst": "10.9.0.0/16", "gw": "10.8.0.1"}])")), 7,
                        {"ipam.routes.gw", "10.8.0.1"}));
    EXPECT_TRUE(succeeded(status(with_routes(R"([{"dst": "10.9.0.0/16", "gw": "10.0.0.9"}])"))));
}

TEST_F(Status, MentionsKeysThatNobodyReads) {
    const auto conf = configuration({{"ipMask", true}, {"ipam", {{"rangestart", "10.0.0.5"}}}});
    expect_remark("the configuration has \"ipMask\", which causeway does not know", conf);
    expect_remark("\"ipam.rangestart\"", conf);
}

TEST_F(Status, MentionsThatThereIsNoUplink) {
    ip({"link", "del", "up0"});
    expect_remark("no uplink");
}

// Each list of the devices, which comes in parts, has then changed between two of them.
TEST_F(Status, SaysTheSameWhereDevicesComeAllTheTime) {
    const auto keeper = connect("keeper"), blue = connect("blue");
    std::string others;
    for (int i = 0; i < 40; i++) {
        others += "link add other" + std::to_string(i) + " type bridge\n";
    }
    must_run({"ip", "-batch", "-"}, {.stdin_text = others});
    int come = 0;
    const auto change = [&] { ip({"link", "add", "new" + std::to_string(come++), "type", "bridge"}); };
    const auto answer_meanwhile = [&](const std::string& command, const Json& conf = configuration()) {
        const Call call{.command = command, .id = "", .netns = "", .conf = conf, .interface = ""};
        return answer_of(run_with({.calls = {SYS_recvmsg}, .before = change}, {plugin()}, call.options()).output);
    };
    world_.remove_namespace("blue");
    ASSERT_TRUE(eventually([&] { return ip({"-o", "link"}).find(blue.host_end) == std::string::npos; }));
    const auto left = answer_meanwhile("STATUS");
    EXPECT_TRUE(succeeded(left));
    EXPECT_THAT(left.text, HasSubstr("1 thing is left over, as container blue"));
    const Json valid{{"cni.dev/valid-attachments", {{{"containerID", "keeper"}, {"ifname", "eth0"}}}}};
    EXPECT_TRUE(succeeded(answer_meanwhile("GC", configuration(valid))));
    EXPECT_THAT(status().text, IsEmpty());
    EXPECT_EQ(ctl_json({"endpoints"}).size(), 1U);
}

TEST_F(Status, TellsOfAnotherVersionsPinsAndOfHalfOnes) {
    std::filesystem::create_directories("/sys/fs/bpf/causeway/v0");
    EXPECT_TRUE(refused(status(), 50, {"another version", "/sys/fs/bpf/causeway/v0"}));
    std::filesystem::remove("/sys/fs/bpf/causeway/v0");
    EXPECT_TRUE(succeeded(status()));
    const auto blue = connect("blue");
    const std::string pin = "/sys/fs/bpf/causeway/v" + std::to_string(CAUSEWAY_ABI_VERSION) + "/endpoints";
    std::filesystem::remove(pin);
    EXPECT_TRUE(refused(status(), 50, {pin}));
}

TEST_F(Status, IsOfTheNewestVersionAlone) {
    for (const std::string command : {"STATUS", "GC"}) {
        EXPECT_TRUE(refused(answer_to({.command = command,
                                       .id = "",
                                       .netns = "",
                                       .conf = configuration({{"cniVersion", "1.0.0"}}),
                                       .interface = ""}),
                            1, {"1.0.0"}));
    }
}

TEST_F(Status, AndVersionNeedNoMoreThanTheirNames) {
    const auto answer =
        answer_to({.command = "VERSION", .id = "", .netns = "", .conf = {{"cniVersion", "1.0.0"}}, .interface = ""});
    ASSERT_TRUE(succeeded(answer));
    EXPECT_EQ(answer.json.at("cniVersion"), "1.0.0");
    EXPECT_EQ(answer.json.at("supportedVersions"), Json({"0.3.1", "0.4.0", "1.0.0", "1.1.0"}));
}

FOR_BOTH_FAMILIES(StatusOfFamily);

}  // namespace
}  // namespace causeway::test::status_test
