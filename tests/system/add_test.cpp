// SPDX-License-Identifier: Apache-2.0
// ADD and DEL: what is said, what is made, and that all of it goes again.
#include <gmock/gmock.h>

#include <set>

#include "tests/system/host_local.hpp"
#include "tests/system/of_family.hpp"
#include "tests/system/programs.hpp"
#include "tests/system/snapshot.hpp"

namespace causeway::test::add_test {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

// 10.0.0.2, as IPv4's broadcast address would not be given out anyway.
Json with_one_address() {
    auto conf = configuration();
    conf["ipam"]["ranges"][0][0].update({{"subnet", "10.0.0.0/30"}, {"rangeEnd", "10.0.0.2"}});
    return conf;
}

Json link_of(const std::string& device, const std::string& netns = {}) {
    return ip_json({"link", "show", device}, netns).at(0);
}

class Reply : public EachFamily {};
class Add : public EachFamily {
protected:
    // With their lengths. Of IPv6 not what a device makes of its MAC.
    std::vector<std::string> addresses_of(const std::string& device, const std::string& netns = {}) const {
        std::vector<std::string> found;
        const auto links = ip_json_here({"addr", "show", "dev", device}, netns);
        for (const auto& one : links.at(0).at("addr_info")) {
            if (one.at("scope") == "global") {
                found.push_back(std::string(one.at("local")) + "/" + std::to_string(one.at("prefixlen").get<int>()));
            }
        }
        return found;
    }
};
class Del : public EachFamily {};
class DelOnce : public Del {};  // what has no family

TEST_P(Reply, HasTheShapeOfTheVersionThatWasAsked) {
    const auto keeper = connect("keeper");
    for (const std::string version : {"0.3.1", "0.4.0", "1.0.0", "1.1.0"}) {
        SCOPED_TRACE(version);
        const auto blue = connect("blue" + version, configuration({{"cniVersion", version}}));
        const bool newest = version == "1.1.0", ancient = version.starts_with("0.");
        EXPECT_EQ(blue.reply.at("cniVersion"), version);
        const auto& interfaces = blue.reply.at("interfaces");
        ASSERT_EQ(interfaces.size(), 3U);
        for (const auto& interface : interfaces) {
            EXPECT_EQ(interface.contains("mtu"), newest) << interface;
        }
        EXPECT_EQ(interfaces[2].at("sandbox"), blue.netns);
        ASSERT_EQ(blue.reply.at("ips").size(), 1U);
        const auto& ip = blue.reply.at("ips")[0];
        EXPECT_EQ(ip.contains("version"), ancient) << ip;
        EXPECT_EQ(ip.at("interface"), 2);
        EXPECT_EQ(ip.at("gateway"), here("10.0.0.1"));
        EXPECT_EQ(blue.reply.at("routes"), conf_here(Json::parse(R"([{"dst": "0.0.0.0/0", "gw": "10.0.0.1"}])")));
        EXPECT_TRUE(blue.reply.at("dns").is_object());
    }
}

TEST_P(Add, NamesTheDevicesThatAreReallyThere) {
    const auto blue = connect("blue");
    const auto& interfaces = blue.reply.at("interfaces");
    const std::vector<std::pair<std::string, std::string>> expected{
        {"cw0", ""}, {blue.host_end, ""}, {"eth0", blue.netns}};
    for (std::size_t i = 0; i < expected.size(); ++i) {
        const auto& [name, netns] = expected[i];
        const auto link = link_of(name, netns);
        EXPECT_EQ(interfaces[i].at("name"), name);
        EXPECT_EQ(interfaces[i].at("mac"), link.at("address")) << name;
        EXPECT_EQ(interfaces[i].at("mtu"), link.at("mtu")) << name;
        EXPECT_EQ(interfaces[i].value("sandbox", ""), netns) << name;
        EXPECT_EQ(link.at("linkinfo").at("info_kind"), "veth") << name;
        EXPECT_THAT(link.at("flags"), Contains("UP")) << name;
    }
}

TEST_P(Add, SetsUpTheSandbox) {
    const auto blue = connect("blue");
    EXPECT_THAT(link_of("lo", blue.netns).at("flags"), Contains("UP"));
    EXPECT_EQ(blue.address, here("10.0.0.2"));
    EXPECT_THAT(addresses_of("eth0", blue.netns), ElementsAre(here("10.0.0.2/24")));
    if (family() == Family::ipv4) {
        EXPECT_THAT(ip_here({"addr", "show", "eth0"}, blue.netns), HasSubstr("brd 10.0.0.255"));
    }
    std::set<std::string> destinations;
    for (const auto& route : ip_json_here({"route", "show"}, blue.netns)) {
        destinations.insert(route.at("dst"));
        EXPECT_EQ(route.at("dev"), "eth0");
        EXPECT_EQ(route.value("gateway", ""), route.at("dst") == "default" ? here("10.0.0.1") : "");
    }
    destinations.erase("fe80::/64");
    EXPECT_THAT(destinations, UnorderedElementsAre("default", here("10.0.0.0/24")));
    EXPECT_TRUE(ping(blue.netns, loopback())) << "lo";
}

TEST_P(Add, SetsUpTheGatewayDevice) {
    const auto blue = connect("blue");
    EXPECT_THAT(addresses_of("cw0"), ElementsAre(here("10.0.0.1/24")));
    EXPECT_THAT(link_of("cw0").at("flags"), Contains("NOARP"));
    EXPECT_THAT(ip_here({"route", "show", "10.0.0.0/24"}), HasSubstr("dev cw0"));
    EXPECT_THAT(programs_on("cw0", Direction::egress), ElementsAre("from_host"));
    EXPECT_THAT(programs_on(blue.host_end, Direction::ingress), ElementsAre("from_sandbox"));
    EXPECT_THAT(programs_on("up0", Direction::ingress), ElementsAre("from_uplink"));
}

TEST_P(Add, ForwardsOnItsOwnDeviceAlone) {
    const auto all = sysctl(setting("all", "forwarding")), uplink = sysctl(setting("up0", "forwarding"));
    const auto blue = connect("blue");
    EXPECT_EQ(sysctl(setting("cw0", "forwarding")), "1");
    EXPECT_EQ(sysctl(setting("all", "forwarding")), all);
    EXPECT_EQ(sysctl(setting("up0", "forwarding")), uplink);
    EXPECT_EQ(all, "0");
    EXPECT_TRUE(meet(Protocol::tcp, {blue.netns}, server(80)));
}

TEST_P(Add, PassesDnsOn) {
    const auto dns = Json::parse(R"({"nameservers": ["203.0.113.2"], "search": ["example.org"], "domain": "example"})");
    const auto blue = connect("blue", configuration({{"dns", dns}}));
    EXPECT_EQ(blue.reply.at("dns"), conf_here(dns));
}

TEST_P(Add, ReadsResolvConf) {
    must_run(
        {"sh", "-c", here("printf 'nameserver 203.0.113.2\\nsearch one two\\noptions ndots:1\\n' > /run/resolv.conf")});
    const auto blue = connect("blue", configuration(Json::parse(R"({"ipam": {"resolvConf": "/run/resolv.conf"}})")));
    EXPECT_EQ(blue.reply.at("dns"),
              conf_here(Json::parse(
                  R"({"nameservers": ["203.0.113.2"], "search": ["one", "two"], "options": ["ndots:1"]})")));
}

TEST_P(Add, MakesTheRoutesOfItsConfiguration) {
    const auto blue = connect(
        "blue",
        configuration(Json::parse(
            R"({"ipam": {"routes": [{"dst": "198.51.100.0/24"}, {"dst": "203.0.113.0/24", "gw": "10.0.0.1"}]}})")));
    for (const auto* destination : {"198.51.100.0/24", "203.0.113.0/24"}) {
        EXPECT_THAT(ip_here({"route", "show", destination}, blue.netns), HasSubstr(here("via 10.0.0.1 dev eth0")));
    }
    EXPECT_EQ(ip_here({"route", "show", "default"}, blue.netns), "");
    EXPECT_EQ(blue.reply.at("routes").size(), 2U);
}

TEST_P(Add, KeepsTheResultOfThePluginBefore) {
    const auto before = Json::parse(R"({"cniVersion": "1.1.0", "interfaces": [{"name": "dummy0"}], "ips": [],
                                        "routes": [{"dst": "10.9.0.0/16", "gw": "10.9.0.1"}]})");
    const auto blue = world_.add_namespace("blue");
    const auto answer = add("blue", blue, configuration({{"prevResult", before}}));
    ASSERT_TRUE(succeeded(answer));
    ASSERT_EQ(answer.json.at("interfaces").size(), 4U);
    EXPECT_EQ(answer.json.at("interfaces")[0].at("name"), "dummy0");
    EXPECT_EQ(answer.json.at("ips")[0].at("interface"), 3);
    EXPECT_EQ(answer.json.at("routes").size(), 2U);
}

TEST_P(Add, RefusesAnIdThatIsConnectedAndLeavesTheFirstWorking) {
    const auto blue = connect("blue");
    const auto before = Snapshot::take({blue.netns});
    EXPECT_TRUE(refused(add("blue", blue.netns), 102, {"blue", "eth0"}));
    EXPECT_TRUE(before.holds());
    EXPECT_TRUE(ping(blue.netns, "10.0.0.1"));
    EXPECT_TRUE(meet(Protocol::tcp, {blue.netns}, server(80)));
}

TEST_P(Add, ConnectsTwoInterfacesOfOneContainer) {
    const auto blue = connect("blue");
    const auto second = add("blue", blue.netns, second_configuration({{"ipam", {{"routes", nullptr}}}}), "net1");
    ASSERT_TRUE(succeeded(second));
    EXPECT_EQ(second.json.at("ips")[0].at("gateway"), here("10.0.1.1"));
    EXPECT_TRUE(ping(blue.netns, "10.0.0.1"));
    EXPECT_TRUE(ping(blue.netns, "10.0.1.1"));
    ASSERT_TRUE(succeeded(del("blue", blue.netns)));
    EXPECT_EQ(ip_json({"link", "show"}, blue.netns).size(), 2U) << "lo and net1";
    EXPECT_TRUE(ping(blue.netns, "10.0.1.1"));
    ASSERT_TRUE(succeeded(del("blue", blue.netns, second_configuration(), "net1")));
    EXPECT_EQ(programs_on("up0", Direction::ingress).size(), 0U);
}

// The links are not only up but carry when ADD returns: no first packet is lost, also not on a busy machine. With IPv6
// this is also Family.IsReachedByTheFirstDatagram.
TEST_P(Add, ReturnsWhenTheNodesFirstPacketArrives) {
    const auto keeper = connect("keeper");
    for (int i = 0; i < (family() == Family::ipv6 ? 10 : 50); ++i) {
        const auto netns = world_.add_namespace("one");
        const auto answer = add("one", netns);
        ASSERT_TRUE(succeeded(answer));
        const std::string prefix = answer.json.at("ips")[0].at("address");
        const auto address = prefix.substr(0, prefix.find('/'));
        ASSERT_TRUE(meet(Protocol::udp, {""}, {netns, {address, 53}})) << i;
        ASSERT_TRUE(succeeded(del("one", netns)));
        world_.remove_namespace("one");
    }
}

TEST_P(Add, GivesAddressesRoundRobin) {
    auto conf = configuration();
    conf["ipam"]["ranges"][0][0]["rangeStart"] = "10.0.0.10";
    conf["ipam"]["ranges"][0][0]["rangeEnd"] = "10.0.0.12";
    const auto keeper = connect("keeper", conf);
    EXPECT_EQ(keeper.address, here("10.0.0.10"));
    std::vector<std::string> given;
    const auto netns = world_.add_namespace("blue");
    for (int i = 0; i < 4; ++i) {
        const auto answer = add("blue", netns, conf);
        ASSERT_TRUE(succeeded(answer));
        given.push_back(answer.json.at("ips")[0].at("address"));
        ASSERT_TRUE(succeeded(del("blue", netns, conf)));
    }
    EXPECT_EQ(given, all_here({"10.0.0.11/24", "10.0.0.12/24", "10.0.0.11/24", "10.0.0.12/24"}));
}

TEST_P(Add, SaysSoAtOnceWhenNoAddressIsLeft) {
    const auto conf = with_one_address();
    const auto blue = connect("blue", conf);
    EXPECT_EQ(blue.address, here("10.0.0.2"));
    const auto red = world_.add_namespace("red");
    const auto before = Snapshot::take({red});
    const auto started = std::chrono::steady_clock::now();
    EXPECT_TRUE(refused(add("red", red, conf), 101, {"10.0.0.2-10.0.0.2"}));
    EXPECT_LT(std::chrono::steady_clock::now() - started, std::chrono::seconds(2));
    EXPECT_TRUE(before.holds());
    disconnect(blue, conf);
    EXPECT_TRUE(succeeded(add("red", red, conf)));
}

TEST_P(Add, TakesTheNextRangeWhenTheFirstIsFull) {
    auto conf = with_one_address();
    conf["ipam"]["ranges"][0].push_back({{"subnet", "10.0.4.0/24"}});
    const auto blue = connect("blue", conf), red = connect("red", conf);
    EXPECT_EQ(blue.address, here("10.0.0.2"));
    EXPECT_EQ(red.address, here("10.0.4.2"));
    EXPECT_TRUE(ping(red.netns, "10.0.4.1"));
    EXPECT_TRUE(ping(red.netns, "10.0.0.1"));
    EXPECT_TRUE(meet(Protocol::tcp, {blue.netns}, {red.netns, {red.address, 80}}));
}

TEST_P(Del, LeavesNothingWhenItWasTheLast) {
    const auto netns = world_.add_namespace("blue");
    ip({"link", "set", "lo", "up"}, netns);  // as ADD leaves it: nobody can tell who set it up
    const auto before = Snapshot::take({netns});
    const auto blue = add("blue", netns);
    ASSERT_TRUE(succeeded(blue));
    EXPECT_FALSE(before.holds()) << "a snapshot that sees nothing proves nothing";
    const auto gone = del("blue", netns);
    EXPECT_TRUE(succeeded(gone));
    EXPECT_EQ(gone.text, "");
    EXPECT_TRUE(before.holds());
}

TEST_P(Del, LeavesTheOthersWhenItWasNotTheLast) {
    const auto blue = connect("blue"), green = connect("green");
    const auto before = Snapshot::take({blue.netns, green.netns});
    const auto red = connect("red");
    disconnect(red);
    world_.remove_namespace("red");
    EXPECT_TRUE(before.holds());
    EXPECT_TRUE(meet(Protocol::tcp, {blue.netns}, {green.netns, {green.address, 80}}));
}

TEST_P(DelOnce, SucceedsWhenItIsDoneAlready) {
    const auto blue = connect("blue");
    disconnect(blue);
    const auto before = Snapshot::take();
    EXPECT_TRUE(succeeded(del("blue", blue.netns)));
    EXPECT_TRUE(before.holds());
}

TEST_P(DelOnce, SucceedsWhenThereWasNoAdd) {
    const auto netns = world_.add_namespace("blue");
    const auto before = Snapshot::take({netns});
    EXPECT_TRUE(succeeded(del("blue", netns)));
    EXPECT_TRUE(before.holds());
    const auto red = connect("red");
    EXPECT_TRUE(succeeded(del("blue", netns)));
    EXPECT_TRUE(ping(red.netns, "10.0.0.1"));
}

TEST_P(DelOnce, NeedsNoNamespace) {
    const auto before = Snapshot::take();
    connect("blue");
    EXPECT_TRUE(succeeded(del("blue", "")));
    world_.remove_namespace("blue");
    EXPECT_TRUE(before.holds());
}

TEST_P(Del, SucceedsWhenTheNamespaceIsGone) {
    const auto before = Snapshot::take();
    const auto blue = connect("blue");
    world_.remove_namespace("blue");
    EXPECT_TRUE(eventually([&] { return ip({"-o", "link"}).find(blue.host_end) == std::string::npos; }));
    EXPECT_TRUE(succeeded(del("blue", blue.netns)));
    EXPECT_TRUE(before.holds());
}

TEST_P(DelOnce, LeavesWhatAnotherNetworkHasConnected) {
    const auto blue = connect("blue");
    const auto before = Snapshot::take({blue.netns});
    for (const auto& conf : {configuration(), host_local_configuration()}) {
        auto renamed = conf;
        renamed["name"] = "elsewhere";
        const auto answer = del("blue", blue.netns, renamed);
        EXPECT_TRUE(succeeded(answer));
        EXPECT_TRUE(answer.json.is_null());
        EXPECT_EQ(answer.text,
                  "causeway: network \"elsewhere\": container blue, interface eth0 stays: it is of the network "
                  "\"sandboxes\"; DEL "
                  "it with that name, or, when its namespace is gone, \"causewayctl gc\" removes it\n");
    }
    EXPECT_TRUE(before.holds());
    EXPECT_TRUE(ping(blue.netns, "10.0.0.1"));
    EXPECT_EQ(del("never-there", blue.netns, configuration({{"name", "elsewhere"}})).text, "");
    EXPECT_EQ(del("blue", blue.netns).text, "");
}

TEST_P(DelOnce, WorksWhenTheConfigurationHasBecomeInvalid) {
    const auto before = Snapshot::take();
    const auto blue = connect("blue");
    EXPECT_TRUE(succeeded(del("blue", blue.netns, configuration({{"device", "a name that can't be"}}))));
    world_.remove_namespace("blue");
    EXPECT_TRUE(before.holds());
}

TEST_P(Del, MakesRoomForTheSameIdAgain) {
    const auto blue = connect("blue");
    disconnect(blue);
    const auto again = add("blue", blue.netns);
    ASSERT_TRUE(succeeded(again));
    EXPECT_TRUE(ping(blue.netns, "10.0.0.1"));
    EXPECT_TRUE(meet(Protocol::tcp, {blue.netns}, server(80)));
}

TEST_P(Del, FreesTheAddressForWhoeverComesNext) {
    const auto conf = with_one_address();
    const auto keeper = connect("keeper", second_configuration());
    for (int i = 0; i < 3; ++i) {
        const std::string id = "sandbox" + std::to_string(i);
        const auto one = connect(id, conf);
        EXPECT_EQ(one.address, here("10.0.0.2"));
        EXPECT_TRUE(meet(Protocol::udp, {one.netns}, {"", {here("10.0.0.1"), 53}})) << id;
        disconnect(one, conf);
    }
}

FOR_BOTH_FAMILIES(Reply);
FOR_BOTH_FAMILIES(Add);
FOR_BOTH_FAMILIES(Del);
INSTANTIATE_TEST_SUITE_P(Of, DelOnce, testing::Values(Family::ipv4), testing::PrintToStringParamName());

}  // namespace
}  // namespace causeway::test::add_test
