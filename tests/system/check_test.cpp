// SPDX-License-Identifier: Apache-2.0
// CHECK: true as long as everything is there, and a name for what is not.
#include <algorithm>
#include <cstddef>
#include <set>
#include <span>

#include <causeway/abi.h>

#include "tests/system/entries.hpp"
#include "tests/system/of_family.hpp"
#include "tests/system/programs.hpp"
#include "tests/system/snapshot.hpp"

namespace causeway::test::check_test {
namespace {

class Checking : public OfFamily {
public:  // to those who damage something
    using OfFamily::here;
    using OfFamily::ip_here;
    using OfFamily::setting;

    Bytes own_slot() const {  // not the keeper's
        const auto slots = keys_of("slots");
        return *std::ranges::find_if(slots, [&](const Bytes& slot) { return !keepers_slots_.contains(slot); });
    }

protected:
    using OfFamily::OfFamily;

    std::set<Bytes> keepers_slots_;

    Answer check(const Sandbox& sandbox, const Json& conf = configuration()) const {
        return answer_to({.command = "CHECK", .id = sandbox.id, .netns = sandbox.netns, .conf = [&] {
                              auto with_result = conf;
                              with_result["prevResult"] = sandbox.reply;
                              return with_result;
                          }()});
    }
};

struct Damage {
    std::string name;
    std::function<void(const Checking&, const Sandbox&)> strike;
    std::vector<std::string> words;  // that the error must have
};

void alter_identity(const Sandbox& s, std::size_t offset, const Bytes& bytes) {
    overwrite_entry("sandboxes", key_of_device(s.host_end), offset, bytes);
}

constexpr std::size_t link_of_identity = offsetof(sandbox, link),
                      flags_of_identity = link_of_identity + offsetof(sandbox_link, flags);

const Damage damages[] = {
    {"InterfaceGone", [](const Checking&, const Sandbox& s) { ip({"link", "del", "eth0"}, s.netns); }, {"gone"}},
    {"InterfaceRenamed",
     [](const Checking&, const Sandbox& s) {
         ip({"link", "set", "eth0", "down"}, s.netns);
         ip({"link", "set", "eth0", "name", "eth9"}, s.netns);
     },
     {"eth0", "gone"}},
    {"MacChanged",
     [](const Checking&, const Sandbox& s) { ip({"link", "set", "eth0", "address", "02:00:00:00:00:99"}, s.netns); },
     {"MAC", "02:00:00:00:00:99"}},
    {"MtuRaised",
     [](const Checking&, const Sandbox& s) { ip({"link", "set", "eth0", "mtu", "1600"}, s.netns); },
     {"MTU", "1600"}},
    {"HostEndDown",
     [](const Checking&, const Sandbox& s) { ip({"link", "set", s.host_end, "down"}); },
     {"host end", "not up"}},
    {"HostEndGone", [](const Checking&, const Sandbox& s) { ip({"link", "del", s.host_end}); }, {"host end", "gone"}},
    {"SandboxProgramDetached",
     [](const Checking&, const Sandbox& s) { detach(s.host_end, Direction::ingress, "from_sandbox"); },
     {"from_sandbox"}},
    {"GatewayProgramDetached",
     [](const Checking&, const Sandbox&) { detach("cw0", Direction::egress, "from_host"); },
     {"from_host", "cw0"}},
    {"UplinkProgramDetached",
     [](const Checking&, const Sandbox&) { detach("up0", Direction::ingress, "from_uplink"); },
     {"from_uplink", "up0"}},
    {"StackProgramDetached",
     [](const Checking&, const Sandbox&) { detach("up0", Direction::egress, "from_stack"); },
     {"from_stack", "up0"}},
    {"GatewayDeviceGone", [](const Checking&, const Sandbox&) { ip({"link", "del", "cw0"}); }, {"cw0"}},
    {"InterfaceReplaced",
     [](const Checking&, const Sandbox& s) {
         ip({"link", "set", "eth0", "down"}, s.netns);
         ip({"link", "set", "eth0", "name", "old"}, s.netns);
         ip({"link", "add", "eth0", "address", s.mac, "type", "veth", "peer", "name", "x"}, s.netns);
         ip({"link", "set", "eth0", "up"}, s.netns);
     },
     {"eth0", "another device"}},
    {"LoopbackDown",
     [](const Checking&, const Sandbox& s) { ip({"link", "set", "lo", "down"}, s.netns); },
     {"lo", "not up"}},
    {"HostEndReplaced",
     [](const Checking&, const Sandbox& s) {
         ip({"link", "set", s.host_end, "down"});
         ip({"link", "set", s.host_end, "name", "old"});
         ip({"link", "add", s.host_end, "type", "veth", "peer", "name", "x"});
     },
     {"host end", "another device"}},
    {"HostEndMacChanged",
     [](const Checking&, const Sandbox& s) { ip({"link", "set", s.host_end, "address", "02:00:00:00:00:98"}); },
     {"host end", "02:00:00:00:00:98"}},
    {"HostEndMtuChanged",
     [](const Checking&, const Sandbox& s) { ip({"link", "set", s.host_end, "mtu", "1300"}); },
     {"MTU", "1300"}},
    {"HostEndWithAnotherProgram",
     [](const Checking&, const Sandbox& s) {
         detach(s.host_end, Direction::ingress, "from_sandbox");
         ForeignProgram(s.host_end, Direction::ingress, ForeignProgram::Hook::clsact);
     },
     {"from_sandbox"}},
    {"IdentityGone",
     [](const Checking&, const Sandbox& s) { erase_entry("sandboxes", key_of_device(s.host_end)); },
     {"identity"}},
    {"IdentityWithOtherFlags",
     [](const Checking&, const Sandbox& s) { alter_identity(s, flags_of_identity, {LINK_ISOLATED, 0}); },
     {"identity", "whether it sees other sandboxes"}},
    {"IdentityWithAnotherMtu",
     [](const Checking&, const Sandbox& s) { alter_identity(s, offsetof(sandbox, mtu), {0x78, 0x05, 0, 0}); },
     {"MTU", "1500", "identity 1400"}},
    {"IdentityWithOtherPorts",
     [](const Checking&, const Sandbox& s) {
         alter_identity(s, offsetof(sandbox, port_min), {0x00, 0x10, 0xff, 0x1f});
     },
     {"identity", "source ports 4096-8191, and not 0-0"}},
    {"IdentityWithAnotherSlot",
     [](const Checking&, const Sandbox& s) {
         alter_identity(s, link_of_identity + offsetof(sandbox_link, slot), {0xff, 1});
     },
     {"identity", "another's counters"}},
    {"IdentityWithAnotherGatewayMac",
     [](const Checking&, const Sandbox& s) {
         alter_identity(s, link_of_identity + offsetof(sandbox_link, gateway_mac), {2, 0, 0, 0, 0, 0x99});
     },
     {"identity", "another MAC of the gateway's"}},
    {"IdentityWithAnotherGateway",
     [](const Checking&, const Sandbox& s) {
         alter_identity(s, offsetof(sandbox, gateway), key_of_address("10.0.0.9"));
     },
     {"identity", "10.0.0.9"}},
    {"AddressEntryWithoutTheCounters",
     [](const Checking&, const Sandbox& s) {
         overwrite_entry("endpoints", key_of_address(s.address),
                         offsetof(endpoint, link) + offsetof(sandbox_link, slot), {0xff, 1});
     },
     {"10.0.0.2", "does not lead to"}},
    {"CountersGone", [](const Checking& on, const Sandbox&) { erase_entry("slots", on.own_slot()); }, {"counters"}},
};

const Damage damages_to_addresses_and_routes[] = {
    {"AddressGone",
     [](const Checking& on, const Sandbox& s) { on.ip_here({"addr", "del", "10.0.0.2/24", "dev", "eth0"}, s.netns); },
     {"10.0.0.2/24", "gone"}},
    {"AddressOfAnotherLength",
     [](const Checking& on, const Sandbox& s) {
         on.ip_here({"addr", "del", "10.0.0.2/24", "dev", "eth0"}, s.netns);
         on.ip_here({"addr", "add", "10.0.0.2/16", "dev", "eth0"}, s.netns);
         on.ip_here({"route", "replace", "default", "via", "10.0.0.1"}, s.netns);
     },
     {"10.0.0.2/24"}},
    {"RouteGone",
     [](const Checking& on, const Sandbox& s) { on.ip_here({"route", "del", "default"}, s.netns); },
     {"0.0.0.0/0", "10.0.0.1"}},
    {"ConnectedRouteGone",
     [](const Checking& on, const Sandbox& s) { on.ip_here({"route", "del", "10.0.0.0/24", "dev", "eth0"}, s.netns); },
     {"the route to 10.0.0.0/24 by eth0", "is gone"}},
    {"RouteOfTheLinkGone",
     [](const Checking& on, const Sandbox& s) { on.ip_here({"route", "del", "198.18.0.0/15"}, s.netns); },
     {"the route to 198.18.0.0/15 by eth0", "is gone"}},
    {"RouteOfTheLinkByAnotherDevice",
     [](const Checking& on, const Sandbox& s) {
         on.ip_here({"route", "replace", "198.18.0.0/15", "dev", "lo"}, s.netns);
         on.ip_here({"route", "flush", "198.18.0.0/15", "dev", "eth0"}, s.netns);
     },
     {"the route to 198.18.0.0/15 by eth0", "is gone"}},
    {"RouteOfTheLinkByARouter",
     [](const Checking& on, const Sandbox& s) {
         on.ip_here({"route", "flush", "198.18.0.0/15", "dev", "eth0"}, s.netns);
         on.ip_here({"route", "add", "198.18.0.0/15", "via", "10.0.0.1"}, s.netns);
     },
     {"the route to 198.18.0.0/15 by eth0", "is gone"}},
    {"InterfaceDown",
     [](const Checking&, const Sandbox& s) { ip({"link", "set", "eth0", "down"}, s.netns); },
     {"eth0", "not up"}},
    {"GatewayDeviceDown", [](const Checking&, const Sandbox&) { ip({"link", "set", "cw0", "down"}); }, {"cw0"}},
    {"AddressEntryGone",
     [](const Checking&, const Sandbox& s) { erase_entry("endpoints", key_of_address(s.address)); },
     {"10.0.0.2", "does not lead to"}},
    {"ForwardingOff",
     [](const Checking& on, const Sandbox&) { set_sysctl(on.setting("cw0", "forwarding"), "0"); },
     {".conf.cw0.forwarding"}},
    {"InnerEndDown",
     [](const Checking&, const Sandbox&) { ip({"link", "set", "cw0-in", "down"}); },
     {"cw0-in", "not up"}},
    {"HostRouteGone",
     [](const Checking& on, const Sandbox&) { on.ip_here({"route", "del", "10.0.0.0/24"}); },
     {"10.0.0.0/24", "cw0", "gone"}},
    {"GatewayAddressGone",
     [](const Checking& on, const Sandbox&) { on.ip_here({"addr", "flush", "dev", "cw0"}); },
     {"10.0.0.1", "cw0"}},
    {"GatewayEntryGone",
     [](const Checking& on, const Sandbox&) { erase_entry("endpoints", key_of_address(on.here("10.0.0.1"))); },
     {"10.0.0.1", "does not lead to cw0"}},
};

class Check : public Checking, public testing::WithParamInterface<Family> {
protected:
    Check() : Checking(GetParam()) {}
};
class CheckOnce : public Check {};  // what has no family
// One after another, each with a sandbox of its own, beside a network that keeps the datapath loaded.
class CheckOfDamage : public Check {
protected:
    void expect_named(std::span<const Damage> all) {
        const auto keeper = connect("keeper", second_configuration());
        keepers_slots_ = keys_of("slots");
        auto conf = configuration();
        conf["ipam"]["ranges"][0][0].update({{"rangeStart", "10.0.0.2"}, {"rangeEnd", "10.0.0.2"}});
        conf["ipam"]["routes"].push_back({{"dst", "198.18.0.0/15"}, {"scope", 253}});
        for (const auto& damage : all) {
            SCOPED_TRACE(damage.name);
            const auto blue = connect("blue", conf);
            ASSERT_TRUE(succeeded(check(blue, conf)));
            damage.strike(*this, blue);
            EXPECT_TRUE(refused(check(blue, conf), 103, damage.words));
            EXPECT_TRUE(succeeded(del("blue", blue.netns, conf)));
            world_.remove_namespace("blue");
            run({"ip", "link", "del", "cw0"});  // if it is there: the next ADD makes all of it anew
        }
        EXPECT_TRUE(succeeded(del("keeper", keeper.netns, second_configuration())));
        EXPECT_EQ(all_programs(), "");
    }
};
class CheckOfDamageOnce : public CheckOfDamage {};

TEST_P(CheckOfDamageOnce, FailsAndNamesWhatItFound) {
    expect_named(damages);
}

TEST_P(CheckOfDamage, FailsAndNamesWhichAddressOrRouteItFound) {
    expect_named(damages_to_addresses_and_routes);
}

// The reference plugin tuning, for one, which leaves the result as it was.
TEST_P(CheckOnce, ToleratesAnMtuThatALaterPluginHasLowered) {
    const auto blue = connect("blue");
    ASSERT_EQ(blue.reply.at("interfaces").back().at("mtu"), 1500);
    ip({"link", "set", "eth0", "mtu", "1300"}, blue.netns);
    EXPECT_TRUE(succeeded(check(blue)));
}

TEST_P(Check, SucceedsAndChangesNothing) {
    const auto blue = connect("blue");
    const auto before = Snapshot::take({blue.netns});
    const auto answer = check(blue);
    EXPECT_TRUE(succeeded(answer));
    EXPECT_EQ(answer.text, "");
    EXPECT_TRUE(before.holds());
}

TEST_P(CheckOnce, SucceedsInEachVersionThatHasIt) {
    for (const std::string version : {"0.4.0", "1.0.0", "1.1.0"}) {
        const auto conf = configuration({{"cniVersion", version}});
        const auto blue = connect("blue" + version, conf);
        EXPECT_TRUE(succeeded(check(blue, conf))) << version;
    }
    const auto oldest = configuration({{"cniVersion", "0.3.1"}});
    const auto red = connect("red", oldest);
    EXPECT_TRUE(refused(check(red, oldest), 1, {"0.3.1"}));
}

TEST_P(CheckOnce, NeedsTheResultOfTheAdd) {
    const auto blue = connect("blue");
    EXPECT_TRUE(refused(answer_to({.command = "CHECK", .id = "blue", .netns = blue.netns}), 7, {"prevResult"}));
}

// What the reference plugins tuning and sbr do after causeway in a chain, told and untold.
TEST_P(Check, ToleratesWhatLaterPluginsOfTheChainChange) {
    auto blue = connect("blue", configuration({{"cniVersion", "1.0.0"}}));
    const auto conf = configuration({{"cniVersion", "1.0.0"}});
    ip_here({"route", "del", "default"}, blue.netns);
    ip_here({"route", "add", "default", "via", "10.0.0.1", "table", "100"}, blue.netns);
    ip_here({"route", "del", "10.0.0.0/24", "dev", "eth0"}, blue.netns);
    ip_here({"route", "add", "10.0.0.0/24", "dev", "eth0", "table", "100"}, blue.netns);
    ip_here({"rule", "add", "from", blue.address, "table", "100"}, blue.netns);
    EXPECT_TRUE(succeeded(check(blue, conf))) << "the routes are in a table of their own";
    ip({"link", "set", "eth0", "mtu", "1300", "promisc", "on"}, blue.netns);
    EXPECT_TRUE(succeeded(check(blue, conf))) << "no MTU was told";
    ip({"link", "add", "cw-later", "type", "veth", "peer", "name", "later"}, blue.netns);
    blue.reply["interfaces"].push_back({{"name", "later"}, {"sandbox", blue.netns}});
    blue.reply["routes"].push_back({{"dst", "192.168.0.0/16"}, {"gw", "10.9.0.1"}});
    blue.reply["ips"].push_back({{"address", "10.9.0.5/24"}, {"interface", 3}});
    EXPECT_TRUE(succeeded(check(blue, conf))) << "what is another's is another's business";
    blue.reply["interfaces"].push_back(
        {{"name", "ib0"}, {"mac", "80:00:02:08:fe:80:00:00:00:00:00:00:0c:42:a1:03:00:12:34:56"}});
    EXPECT_TRUE(succeeded(check(blue, conf))) << "whatever kind of device it has on the host";
    blue.reply["routes"].push_back({{"dst", "198.18.0.0/15"}});
    EXPECT_TRUE(refused(check(blue, conf), 103, {"198.18.0.0/15", "is gone"}));
    ip({"link", "set", "later", "up"}, blue.netns);
    ip_here({"route", "add", "198.18.0.0/15", "dev", "later"}, blue.netns);
    EXPECT_TRUE(succeeded(check(blue, conf))) << "it does not say of whose interface it is";
}

// Of a chain's result: what is of another interface, and what is of none.
TEST_P(Check, ComparesTheAddressesAndRoutesThatAreItsOwn) {
    auto blue = connect("blue");
    const auto own = blue.reply;
    ip({"link", "add", "later", "up", "type", "veth", "peer", "name", "later0"}, blue.netns);
    ip({"link", "set", "later0", "up"}, blue.netns);
    ip_here({"addr", "add", "10.0.0.77/24", "dev", "later", "nodad"}, blue.netns);
    ip_here({"route", "add", "198.18.0.0/15", "via", "10.0.0.1", "dev", "later", "onlink"}, blue.netns);
    blue.reply["interfaces"].push_back({{"name", "later"}, {"sandbox", blue.netns}});
    blue.reply["ips"].push_back({{"address", here("10.0.0.77/24")}, {"interface", 3}});
    blue.reply["ips"].push_back({{"address", here("10.9.0.9/24")}});
    blue.reply["routes"].push_back({{"dst", here("198.18.0.0/15")}, {"gw", here("10.0.0.1")}});
    EXPECT_TRUE(succeeded(check(blue)));
    ip({"link", "del", "later"}, blue.netns);
    EXPECT_TRUE(refused(check(blue), 103, {"198.18.0.0/15", "by 10.0.0.1", "is gone"}));

    blue.reply = own;
    blue.reply["ips"][0].erase("interface");
    EXPECT_TRUE(succeeded(check(blue)));
    ip_here({"addr", "del", "10.0.0.2/24", "dev", "eth0"}, blue.netns);
    ip_here({"addr", "add", "10.0.0.2/16", "dev", "eth0", "nodad"}, blue.netns);
    ip_here({"route", "replace", "default", "via", "10.0.0.1"}, blue.netns);
    EXPECT_TRUE(refused(check(blue), 103, {"10.0.0.2/24", "is gone"}));
}

TEST_P(CheckOnce, FailsForAMacThatALaterPluginHasSetAndThatMayNotSend) {
    auto blue = connect("blue");
    ip({"link", "set", "eth0", "address", "02:00:00:00:00:99"}, blue.netns);
    blue.reply["interfaces"][2]["mac"] = "02:00:00:00:00:99";
    EXPECT_TRUE(refused(check(blue), 103, {"02:00:00:00:00:99", blue.mac, "ask for a MAC at ADD"}));
}

TEST_P(CheckOnce, FailsForAMacOfTheHostEndThatIsNotTheOneTold) {
    auto blue = connect("blue");
    for (const auto* mac : {"02:00:00:00:00:99", "80:00:02:08:fe:80:00:00:00:00:00:00:0c:42:a1:03:00:12:34:56"}) {
        blue.reply["interfaces"][1]["mac"] = mac;
        EXPECT_TRUE(refused(check(blue), 103, {"MAC of the host end " + blue.host_end})) << mac;
    }
}

TEST_P(Check, FailsForAPublishedPortThatIsGone) {
    const Json one{{"hostPort", 8080}, {"containerPort", 80}, {"protocol", "tcp"}},
        other{{"hostPort", 9090}, {"containerPort", 90}, {"protocol", "udp"}, {"hostIP", "203.0.113.1"}};
    const auto conf = configuration({{"runtimeConfig", {{"portMappings", {one, other}}}}});
    const auto blue = connect("blue", conf);
    EXPECT_TRUE(succeeded(check(blue, conf)));
    const auto published = keys_of("flows");
    ASSERT_EQ(published.size(), 2U);
    for (const auto& key : published) {
        erase_entry("flows", key);
        EXPECT_TRUE(refused(check(blue), 103, {"published port", "gone"})) << "whatever the runtime says now";
    }
    EXPECT_TRUE(refused(check(blue, conf), 103, {"8080/tcp on every address"}));
}

// Of the two that the sandbox has.
TEST_P(Check, KnowsAPortThatIsPublishedOnOneFamilyAlone) {
    const auto conf = dual_configuration(
        {{"runtimeConfig",
          {{"portMappings",
            {{{"hostPort", 8080}, {"containerPort", 80}, {"protocol", "tcp"}, {"hostIP", here("0.0.0.0")}}}}}}});
    const auto blue = Host::connect("blue", conf);
    auto asked = conf;
    asked["prevResult"] = blue.reply;
    const Call call{.command = "CHECK", .id = "blue", .netns = blue.netns, .conf = asked};
    EXPECT_TRUE(succeeded(test::answer_to(call)));
    const auto published = keys_of("flows");
    ASSERT_EQ(published.size(), 1U);
    erase_entry("flows", *published.begin());
    const std::string all =
        family() == Family::ipv6 ? "8080/tcp on every IPv6 address" : "8080/tcp on every IPv4 address";
    EXPECT_TRUE(refused(test::answer_to(call), 103, {all}));
}

TEST_P(CheckOnce, FailsForAPortBlockThatIsGone) {
    const auto conf = configuration({{"portRange", "20000-20019"}, {"portBlock", 10}});
    const auto blue = connect("blue", conf);
    EXPECT_TRUE(succeeded(check(blue, conf)));
    erase_entry("port_blocks", *keys_of("port_blocks").begin());
    EXPECT_TRUE(refused(check(blue, conf), 103, {"port block", blue.host_end}));
}

TEST_P(CheckOnce, FailsForAnotherNetworksConfiguration) {
    const auto blue = connect("blue");
    EXPECT_TRUE(refused(check(blue, configuration({{"name", "others"}})), 103,
                        {"container blue, interface eth0", "of the network \"sandboxes\"", "not of \"others\""}));
    const auto red = connect("red", second_configuration());
    EXPECT_TRUE(refused(check(blue, second_configuration()), 103, {"\"sandboxes\"", "not of \"others\""}));
    EXPECT_TRUE(succeeded(check(red, second_configuration())));
}

// Without them the queues are passed by.
TEST_P(CheckOnce, FailsForABandwidthOfWhichTheIdentitySaysNothing) {
    const auto conf = configuration(
        {{"ingressRate", 80000000}, {"ingressBurst", 800000}, {"egressRate", 80000000}, {"egressBurst", 800000}});
    const auto blue = connect("blue", conf);
    EXPECT_TRUE(succeeded(check(blue, conf)));
    alter_identity(blue, flags_of_identity, {LINK_QUEUED, 0});
    EXPECT_TRUE(refused(check(blue, conf), 103, {"identity", "whether it has a rate"}));
    alter_identity(blue, flags_of_identity, {LINK_POLICED, 0});
    EXPECT_TRUE(refused(check(blue, conf), 103, {"identity", "queue"}));
    alter_identity(blue, flags_of_identity, {LINK_POLICED | LINK_QUEUED, 0});
    EXPECT_TRUE(succeeded(check(blue, conf)));
    ASSERT_TRUE(ctl({"sandbox", "quota", "blue", "--flows", "17"}).ok());
    EXPECT_TRUE(succeeded(check(blue, conf))) << "an operator may";
}

// With all that is in it; or only its path, while somebody is in it still.
TEST_P(CheckOnce, FailsWhereTheNamespaceIsGone) {
    const auto blue = connect("blue"), red = connect("red");
    const auto inmate = start({"sleep", "1000"}, {.netns = blue.netns});
    world_.remove_namespace("blue");
    EXPECT_TRUE(refused(check(blue), 8, {blue.netns}));
    world_.remove_namespace("red");
    ASSERT_TRUE(eventually([&] { return ip({"-o", "link"}).find(red.host_end) == std::string::npos; }));
    EXPECT_TRUE(refused(check(red), 103, {"host end", red.host_end, "gone"}));
}

// As of a datapath whose pins were lost, at each place where one is.
TEST_P(CheckOnce, FailsForAProgramOfTheSameNameOfAnotherLoad) {
    const auto blue = connect("blue");
    const struct {
        std::string device;
        Direction direction;
        const char* name;
        ForeignProgram::Hook hook;
    } places[]{{"cw0", Direction::egress, "from_host", ForeignProgram::Hook::clsact},
               {"up0", Direction::ingress, "from_uplink", ForeignProgram::Hook::tcx},
               {"up0", Direction::egress, "from_stack", ForeignProgram::Hook::tcx},
               {blue.host_end, Direction::ingress, "from_sandbox", ForeignProgram::Hook::clsact}};
    for (const auto& [device, direction, name, hook] : places) {
        EXPECT_TRUE(succeeded(check(blue)));
        detach(device, direction, name);
        const ForeignProgram other(device, direction, hook, {.first = true, .name = name});
        ASSERT_EQ(programs_on(device, direction), std::vector<std::string>{name});
        EXPECT_TRUE(refused(check(blue), 103, {std::string("the program ") + name + " is not attached to", device}));
        detach(device, direction, name);
        const auto red = connect("red");  // attaches what is missing
        disconnect(red);
        world_.remove_namespace("red");
    }
}

TEST_P(CheckOnce, FailsForWhatWasNeverAdded) {
    auto blue = connect("blue");
    blue.id = "red";
    EXPECT_TRUE(refused(check(blue), 103, {"red"}));
    blue.id = "blue";
    disconnect(blue);
    EXPECT_TRUE(refused(check(blue), 103, {"blue", "not loaded"}));
}

FOR_BOTH_FAMILIES(Check);
FOR_BOTH_FAMILIES(CheckOfDamage);
INSTANTIATE_TEST_SUITE_P(Of, CheckOnce, testing::Values(Family::ipv4), testing::PrintToStringParamName());
INSTANTIATE_TEST_SUITE_P(Of, CheckOfDamageOnce, testing::Values(Family::ipv4), testing::PrintToStringParamName());

}  // namespace
}  // namespace causeway::test::check_test
