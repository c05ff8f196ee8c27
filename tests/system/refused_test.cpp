// SPDX-License-Identifier: Apache-2.0
// What ADD refuses: with the specification's code, words that name what is wrong, and nothing changed.
#include <sys/stat.h>

#include "tests/system/of_family.hpp"
#include "tests/system/snapshot.hpp"

namespace causeway::test::refused_test {
namespace {

class Refusal : public OfFamily {
protected:
    explicit Refusal(Family family = Family::ipv4) : OfFamily(family) {}

    Answer status(const Json& conf) const {
        return answer_to({.command = "STATUS", .id = "", .netns = "", .conf = conf, .interface = ""});
    }
    // Also that nothing is loaded for it: the pins are in the snapshot.
    void expect_refused(const Json& conf, int code, const std::vector<std::string>& parts) {
        const auto netns = world_.add_namespace("refused");
        const auto before = Snapshot::take({netns});
        EXPECT_TRUE(refused(add("refused", netns, conf), code, parts)) << conf;
        EXPECT_TRUE(before.holds());
    }
};
// Of what has to do with addresses.
class RefusalOfFamily : public Refusal, public testing::WithParamInterface<Family> {
protected:
    RefusalOfFamily() : Refusal(GetParam()) {}
};

TEST_P(RefusalOfFamily, NamesTheInterfaceWhenTheSandboxHasOneOfThatName) {
    const auto netns = world_.add_namespace("blue");
    ip({"link", "add", "eth0", "type", "veth", "peer", "name", "eth1"}, netns);
    const auto before = Snapshot::take({netns});
    const auto answer = add("blue", netns);
    EXPECT_FALSE(answer.ok());
    EXPECT_TRUE(refused(answer, answer.code(), {"eth0", "File exists"}));
    EXPECT_TRUE(before.holds());
}

TEST_F(Refusal, NamesThePathWhenItIsNoNamespace) {
    const auto before = Snapshot::take();
    must_run({"touch", "/run/not-a-namespace"});
    EXPECT_TRUE(refused(add("blue", "/run/not-a-namespace"), 8, {"/run/not-a-namespace"}));
    EXPECT_TRUE(refused(add("blue", "/run/nothing-at-all"), 8, {"/run/nothing-at-all"}));
    EXPECT_TRUE(refused(add("blue", "/proc/self/ns/mnt"), 8, {"/proc/self/ns/mnt"}));
    EXPECT_TRUE(before.holds());
}

TEST_F(Refusal, NamesTheNamespaceWhenItIsTheHosts) {
    const auto before = Snapshot::take();
    EXPECT_TRUE(refused(add("blue", world_.node()), 8, {world_.node()}));
    EXPECT_TRUE(before.holds());
}

TEST_F(Refusal, NamesTheVariablesThatAreMissing) {
    const auto before = Snapshot::take();
    EXPECT_TRUE(refused(add("", "", configuration(), ""), 4, {"CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"}));
    EXPECT_TRUE(refused(answer_to({.command = "DANCE", .id = "blue", .netns = world_.node()}), 4, {"DANCE"}));
    EXPECT_TRUE(refused(add("a b", world_.path("blue")), 4, {"CNI_CONTAINERID", "a b"}));
    EXPECT_TRUE(refused(add("blue", world_.path("blue"), configuration(), "a/b"), 4, {"CNI_IFNAME", "a/b"}));
    EXPECT_TRUE(before.holds());
}

TEST_P(RefusalOfFamily, NamesTheKeyAndTheValueThatCannotBe) {
    const auto range = [](const Json& json) { return Json{{"ipam", {{"ranges", {{json}}}}}}; };
    const auto before = Snapshot::take();
    const auto netns = world_.add_namespace("refused");
    const std::vector<std::pair<Json, std::vector<std::string>>> cases{
        {{{"device", "a-name-too-long"}}, {"device", "a-name-too-long"}},
        {{{"device", 7}}, {"device", "7"}},
        {{{"mtu", "large"}}, {"mtu", "large"}},
        {{{"mtu", 67}}, {"mtu", "67"}},
        {{{"ipMasq", "yes"}}, {"ipMasq", "yes"}},
        {{{"uplinks", "up0"}}, {"uplinks", "up0"}},
        {{{"portRange", "9-1"}}, {"portRange", "9-1"}},
        {{{"timeouts", {{"udp", 0}}}}, {"timeouts.udp", "0"}},
        {{{"name", nullptr}}, {"name", "missing"}},
        {{{"ipam", {{"ranges", nullptr}}}}, {"ipam.ranges", "missing"}},
        {range({{"subnet", "10.0.0.0/33"}}), {"subnet", "10.0.0.0/33"}},
        {range({{"subnet", "10.0.0.7/24"}}), {"subnet", "10.0.0.7/24", "10.0.0.0/24"}},
        {range({{"subnet", "10.0.0.0/31"}}), {"subnet", "10.0.0.0/31"}},
        {range({{"subnet", "10.0.0.0/24"}, {"gateway", "10.0.1.1"}}), {"gateway", "10.0.1.1"}},
        {range({{"subnet", "10.0.0.0/24"}, {"rangeStart", "10.0.0.9"}, {"rangeEnd", "10.0.0.8"}}), {"rangeEnd"}},
        {{{"ipam", {{"routes", {{{"dst", "anywhere"}}}}}}}, {"routes", "anywhere"}},
        {{{"ipam", {{"resolvConf", "/run/none"}}}}, {"resolvConf", "/run/none"}},
    };
    for (const auto& [patch, parts] : cases) {
        EXPECT_TRUE(refused(add("refused", netns, configuration(patch)), 7, parts)) << patch;
    }
    world_.remove_namespace("refused");
    EXPECT_TRUE(before.holds());
}

TEST_F(Refusal, TellsJsonFromWhatIsNone) {
    const auto before = Snapshot::take();
    Call call{.command = "ADD", .id = "blue", .netns = world_.node()};
    auto options = call.options();
    options.stdin_text = "{\"cniVersion\": ";
    EXPECT_TRUE(refused(answer_of(run({plugin()}, options)), 6, {"not JSON"}));
    EXPECT_TRUE(before.holds());
}

// Whatever the size of what is wrong, the message is for a person.
TEST_F(Refusal, IsShortHoweverLongTheInput) {
    const std::string long_name(100'000, 'x'), megabyte(1 << 20, 'x');
    const auto netns = world_.add_namespace("refused");
    const auto before = Snapshot::take({netns});
    const auto expect_short = [&](const Answer& answer, int code, const std::string& part) {
        EXPECT_TRUE(refused(answer, code, {part}));
        EXPECT_LT(answer.message().size(), 1000U);
        EXPECT_TRUE(before.holds());
    };
    expect_short(add(long_name, netns), 4, "CNI_CONTAINERID");
    expect_short(add("?" + long_name, netns), 4, "CNI_CONTAINERID");
    expect_short(add("refused", netns, configuration(), long_name), 4, "CNI_IFNAME");
    expect_short(add("refused", "/run/" + long_name), 4, "CNI_NETNS");
    expect_short(answer_to({.command = long_name, .id = "refused", .netns = netns}), 4, "CNI_COMMAND");
    for (const auto* key : {"name", "device", "portRange"}) {
        expect_short(add("refused", netns, configuration({{key, long_name}})), 7, key);
    }
    expect_short(add("refused", netns, configuration({{"cniVersion", long_name}})), 1, "cniVersion");
    expect_short(add("refused", netns, configuration({{"uplinks", {long_name}}})), 7, "uplinks");
    expect_short(add("refused", netns, configuration({{"device", megabyte}})), 7, "device");
    expect_short(add("refused", netns, configuration({{"ipam", {{"type", long_name}}}})), 4, "IPAM plugin");
}

TEST_F(Refusal, TellsWhatIsNestedTooDeeply) {
    const auto netns = world_.add_namespace("refused");
    const auto before = Snapshot::take({netns});
    auto options = Call{.command = "ADD", .id = "refused", .netns = netns}.options();
    for (const auto& [open, close] : {std::pair<std::string, std::string>{"[", "]"}, {"{\"a\":", "}"}}) {
        std::string deep, end;
        for (int i = 0; i < 100'000; ++i) {
            deep += open;
            end += close;
        }
        options.stdin_text = "{\"cniVersion\": \"1.1.0\", \"name\": " + deep + "1" + end + "}";
        EXPECT_TRUE(refused(answer_of(run({plugin()}, options)), 6, {"not JSON"}));
        EXPECT_TRUE(before.holds());
    }
}

// What it does not know may be as long as it likes, and ports many.
TEST_F(Refusal, IsNotForLengthAlone) {
    const auto netns = world_.add_namespace("blue");
    const auto before = Snapshot::take();
    auto conf = configuration({{"somebodyElses", std::string(1 << 20, 'x')}});
    for (int port = 1; port <= 3'000; ++port) {
        conf["runtimeConfig"]["portMappings"].push_back(
            {{"hostPort", port}, {"containerPort", port}, {"protocol", "udp"}});
    }
    EXPECT_TRUE(succeeded(add("blue", netns, conf)));
    EXPECT_TRUE(succeeded(del("blue", netns, conf)));
    EXPECT_TRUE(before.holds());
    conf["runtimeConfig"]["portMappings"][2'999]["hostPort"] = 1;
    EXPECT_TRUE(refused(add("blue", netns, conf), 7, {"portMappings", "\"hostPort\":1", "claims the same port"}));
    EXPECT_TRUE(before.holds());
}

TEST_F(Refusal, TellsAVersionThatItDoesNotSpeak) {
    expect_refused(configuration({{"cniVersion", "9.9.9"}}), 1, {"9.9.9"});
}

TEST_F(Refusal, NamesTheUplinkThatDoesNotExist) {
    expect_refused(configuration({{"uplinks", {"up0", "up9"}}}), 7, {"uplinks", "up9"});
}

TEST_F(Refusal, NamesTheUplinkThatIsNoEthernet) {
    expect_refused(configuration({{"uplinks", {"lo"}}}), 7, {"uplinks", "lo"});
}

TEST_F(Refusal, NamesTheUplinkThatIsAGatewayDevice) {
    const auto with_uplinks = [](const std::vector<std::string>& names) { return Json{{"uplinks", names}}; };
    expect_refused(configuration(with_uplinks({"up0", "cw0"})), 7, {"\"cw0\" is a gateway device"});
    const auto blue = connect("blue");
    const auto netns = world_.add_namespace("red");
    const auto before = Snapshot::take({netns});
    for (const std::string name : {"cw0", "cw0-in"}) {
        const std::vector<std::string> words{"\"" + name + "\" is a gateway device"};
        const auto own = configuration(with_uplinks({name})), other = second_configuration(with_uplinks({name}));
        EXPECT_TRUE(refused(add("red", netns, own), 7, words));
        EXPECT_TRUE(refused(status(own), 51, words)) << "it has a sandbox";
        EXPECT_TRUE(refused(add("red", netns, other), 7, words));
        EXPECT_TRUE(refused(status(other), 50, words));
    }
    EXPECT_TRUE(before.holds());
}

TEST_F(Refusal, NamesTheDeviceThatIsSomebodyElsesBridge) {
    ip({"link", "add", "cw0", "type", "bridge"});
    expect_refused(configuration(), 7, {"device", "cw0"});
    EXPECT_EQ(ip_json({"link", "show", "cw0"}).at(0).at("linkinfo").at("info_kind"), "bridge");
}

TEST_F(Refusal, NamesTheDeviceThatIsSomebodyElsesVeth) {
    ip({"link", "add", "cw0", "type", "veth", "peer", "name", "cw0-in"});
    expect_refused(configuration(), 7, {"device", "cw0"});
    ip({"link", "show", "cw0-in"});
}

TEST_F(Refusal, NamesTheInnerEndThatIsSomebodyElses) {
    ip({"link", "add", "cw0-in", "type", "veth", "peer", "name", "theirs0"});
    expect_refused(configuration(), 7, {"device", "cw0-in"});
}

TEST_P(RefusalOfFamily, NamesTheNetworkWhoseSubnetOverlaps) {
    const auto blue = connect("blue");
    auto conf = second_configuration();
    conf["ipam"]["ranges"][0][0]["subnet"] = "10.0.0.128/25";
    expect_refused(conf, 7, {"10.0.0.128/25", "sandboxes", "cw0"});
    EXPECT_TRUE(ping(blue.netns, "10.0.0.1"));
}

TEST_P(RefusalOfFamily, NamesTheSubnetsOfOneNetworkThatOverlap) {
    auto conf = configuration();
    conf["ipam"]["ranges"][0] = Json::parse(R"([{"subnet": "10.0.0.0/24"}, {"subnet": "10.0.0.0/16"}])");
    expect_refused(conf, 7, {"10.0.0.0/16", "10.0.0.0/24"});
}

TEST_P(RefusalOfFamily, NamesTheNetworkThatHasTheDevice) {
    const auto blue = connect("blue");
    expect_refused(second_configuration({{"device", "cw0"}}), 7, {"device", "cw0", "sandboxes"});
    EXPECT_TRUE(ping(blue.netns, "10.0.0.1"));
}

// The host would lose its own address to a sandbox, or what is on that link. STATUS says so too.
TEST_P(RefusalOfFamily, NamesTheHostsOwnAddressInTheSubnetAndItsDevice) {
    ip({"link", "add", "lan0", "type", "veth", "peer", "name", "lan1"});
    ip_here({"addr", "add", "10.0.0.5/32", "dev", "lan0", "nodad"});
    ip({"link", "set", "lan0", "up"});
    const auto conf = configuration({{"uplinks", {"up0"}}});
    const std::vector<std::string> parts{"10.0.0.0/24", "10.0.0.5", "lan0"};
    expect_refused(conf, 7, parts);
    EXPECT_TRUE(refused(status(conf), 50, parts));
    EXPECT_TRUE(succeeded(status(second_configuration({{"uplinks", {"up0"}}}))));
}

TEST_P(RefusalOfFamily, NamesWhatTheHostReachesOnAnotherLinkInTheSubnet) {
    ip({"link", "add", "lan0", "type", "veth", "peer", "name", "lan1"});
    ip({"link", "set", "lan0", "up"});
    ip({"link", "set", "lan1", "up"});
    ip_here({"route", "add", "10.0.0.128/25", "dev", "lan0"});
    expect_refused(configuration(), 7, {"10.0.0.0/24", "10.0.0.128/25", "lan0"});
    ip_here({"route", "del", "10.0.0.128/25", "dev", "lan0"});
    ip_here({"route", "add", "10.0.0.0/16", "dev", "lan0"});
    connect("blue");  // what is narrower has its own route
}

TEST_P(RefusalOfFamily, NamesWhatTheHostReachesByARouterInTheSubnet) {
    ip_here({"route", "add", "10.0.0.128/25", "via", "203.0.113.2"});
    expect_refused(configuration(), 7, {"10.0.0.0/24", "10.0.0.128/25", here("203.0.113.2"), "up0"});
    ip_here({"route", "del", "10.0.0.128/25"});
    ip_here({"route", "add", "10.0.0.0/16", "via", "203.0.113.2"});
    connect("blue");  // what is narrower has its own route
}

TEST_P(RefusalOfFamily, IsOfASubnetThatIsNewToTheNetworkToo) {
    const auto blue = connect("blue");
    auto conf = configuration();
    conf["ipam"]["ranges"][0].push_back({{"subnet", "203.0.113.0/24"}});
    expect_refused(conf, 7, {"203.0.113.0/24", "203.0.113.1", "up0"});
    ip({"link", "add", "lan0", "type", "veth", "peer", "name", "lan1"});
    ip_here({"addr", "add", "10.0.0.9/32", "dev", "lan0", "nodad"});
    ip({"link", "set", "lan0", "up"});
    const auto red = connect("red");  // what it has, it keeps
    EXPECT_TRUE(ping(red.netns, blue.address));
}

// With the same gateway; IPv6 has one prefix length for an address of a device.
TEST_P(RefusalOfFamily, NamesBothSubnetsWhereOneIsMadeLargerOrSmaller) {
    auto far = second_configuration();
    far["ipam"]["ranges"][0][0]["subnet"] = "10.7.0.0/24";
    const auto keeper = connect("keeper", far), blue = connect("blue");
    for (const auto* subnet : {"10.0.0.0/25", "10.0.0.0/20"}) {
        auto conf = configuration();
        conf["ipam"]["ranges"][0][0].update({{"subnet", subnet}, {"gateway", "10.0.0.1"}});
        expect_refused(conf, 7, {subnet, "10.0.0.0/24", "10.0.0.1"});
        EXPECT_TRUE(refused(status(conf), 51, {subnet, "10.0.0.0/24", "10.0.0.1"}));
        world_.remove_namespace("refused");
    }
    EXPECT_TRUE(ping(blue.netns, "10.0.0.1"));
    disconnect(blue);
    auto conf = configuration();
    conf["ipam"]["ranges"][0][0].update({{"subnet", "10.0.0.0/25"}});
    EXPECT_TRUE(succeeded(status(conf)));
    const auto red = connect("red", conf);
    EXPECT_TRUE(ping(red.netns, "10.0.0.1"));
}

// Not even on all of the host's addresses of that family.
TEST_P(RefusalOfFamily, NamesThePortThatIsToBePublishedInAFamilyThatTheSandboxHasNot) {
    const bool ipv6 = family() == Family::ipv6;
    for (const std::string host : {ipv6 ? "203.0.113.1" : "2001:db8:71::1", ipv6 ? "0.0.0.0" : "::"}) {
        auto conf = conf_here(configuration());
        conf["runtimeConfig"]["portMappings"] = {{{"hostPort", 8080}, {"containerPort", 80}, {"hostIP", host}}};
        const auto netns = world_.add_namespace("blue");
        const auto before = Snapshot::take({netns});
        EXPECT_TRUE(test::refused(test::add("blue", netns, conf), 7,
                                  {"8080/tcp", std::string("no ") + (ipv6 ? "IPv4" : "IPv6") + " address"}));
        EXPECT_TRUE(before.holds());
        world_.remove_namespace("blue");
    }
}

FOR_BOTH_FAMILIES(RefusalOfFamily);

// To open one for reading waits for somebody to write.
TEST_F(Refusal, DoesNotWaitForANamespaceThatIsAFifo) {
    ASSERT_EQ(mkfifo("/run/fifo", 0600), 0);
    EXPECT_TRUE(refused(add("blue", "/run/fifo", configuration()), 8, {"/run/fifo is not a network namespace"}));
}

}  // namespace
}  // namespace causeway::test::refused_test
