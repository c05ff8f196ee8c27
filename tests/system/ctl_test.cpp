// SPDX-License-Identifier: Apache-2.0
// causewayctl: sandboxes by hand, and what the operator sees of all of them.
#include <gmock/gmock.h>

#include <sys/socket.h>

#include <filesystem>
#include <sstream>

#include <causeway/abi.h>

#include "tests/system/entries.hpp"
#include "tests/system/of_family.hpp"
#include "tests/system/programs.hpp"
#include "tests/system/snapshot.hpp"

namespace causeway::test::ctl_test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

void expect_ok(const Output& output) {
    EXPECT_EQ(output.status, 0) << output.err;
}

void expect_failure(const Output& output, int status, const std::string& word) {
    EXPECT_EQ(output.status, status) << output.out;
    EXPECT_THAT(output.err + output.out, HasSubstr(word));
}

Json row_of(const std::string& container) {
    for (const auto& row : ctl_json({"endpoints"})) {
        if (row.at("container") == container) {
            return row;
        }
    }
    return nullptr;
}

// The first name in /run/netns makes it a shared mount, whoever gives it; that stays.
void give_a_first_name() {
    ip({"netns", "add", "first"});
    ip({"netns", "del", "first"});
}

class Ctl : public Host {
protected:
    void SetUp() override { give_a_first_name(); }
};

class CtlOfFamily : public EachFamily {
protected:
    void SetUp() override { give_a_first_name(); }

    std::string shown(const End& end) const {
        return (end.is_ipv6() ? "[" + end.address + "]" : end.address) + ":" + std::to_string(end.port);
    }
};

TEST_P(CtlOfFamily, WalksThroughTheWholeOfIt) {
    const auto before = Snapshot::take();
    for (const auto* name : {"blue", "red"}) {
        std::vector<std::string> arguments{"sandbox", "add", name};
        if (family() == Family::ipv6) {
            arguments.insert(arguments.end(), {"--subnet", here("10.0.0.0/24")});
        }
        expect_ok(ctl(arguments));
    }
    const auto blue = world_.path("blue"), red = world_.path("red");
    EXPECT_TRUE(ping(blue, "10.0.0.3"));
    EXPECT_TRUE(ping(blue, "10.0.0.1"));
    EXPECT_TRUE(ping(blue, loopback()));
    const auto meeting = meet(Protocol::tcp, {blue}, {world_.world(), {here(service_address), 80}});
    EXPECT_TRUE(meeting);
    EXPECT_EQ(meeting.seen.address, here(node_address)) << "masqueraded";
    EXPECT_TRUE(meet(Protocol::tcp, {""}, {red, {here("10.0.0.3"), 80}}));
    expect_ok(ctl({"sandbox", "del", "blue"}));
    expect_ok(ctl({"sandbox", "del", "red"}));
    EXPECT_TRUE(before.holds());
}

TEST_F(Ctl, RunsACommandInASandbox) {
    expect_ok(ctl({"sandbox", "add", "blue"}));
    const auto shown = ctl({"sandbox", "exec", "blue", "ip", "-4", "-o", "addr", "show", "eth0"});
    expect_ok(shown);
    EXPECT_THAT(shown.out, HasSubstr("10.0.0.2/24"));
    EXPECT_EQ(ctl({"sandbox", "exec", "blue", "sh", "-c", "exit 42"}).status, 42);
    EXPECT_EQ(ctl({"sandbox", "exec", "blue", "--", "sh", "-c", "exit 43"}).status, 43);
    EXPECT_EQ(ctl({"sandbox", "exec", "--", "blue", "sh", "-c", "exit 44"}).status, 44);
    EXPECT_EQ(ctl({"sandbox", "exec", "--", "blue", "--", "sh", "-c", "exit 45"}).status, 45);
    expect_failure(ctl({"sandbox", "exec", "blue", "/no/such/command"}), 1, "/no/such/command");
    expect_failure(ctl({"sandbox", "exec", "green", "true"}), 1, "green");
    EXPECT_EQ(ctl({"sandbox", "exec", "blue"}).status, 2);
}

TEST_F(Ctl, LeavesTheFirstWhenTheNameIsTaken) {
    expect_ok(ctl({"sandbox", "add", "blue"}));
    const auto before = Snapshot::take({world_.path("blue")});
    expect_failure(ctl({"sandbox", "add", "blue"}), 1, "causewayctl sandbox del blue");
    EXPECT_TRUE(before.holds());
    EXPECT_TRUE(ping(world_.path("blue"), "10.0.0.1"));
}

TEST_F(Ctl, LeavesANamespaceOfSomebodyElse) {
    const auto netns = world_.add_namespace("theirs");
    const auto before = Snapshot::take({netns});
    const auto taken = ctl({"sandbox", "add", "theirs"});
    expect_failure(taken, 1, "theirs");
    EXPECT_THAT(taken.err, Not(HasSubstr("sandbox del"))) << "which would refuse";
    expect_failure(ctl({"sandbox", "del", "theirs"}), 1, "ip netns del theirs");
    connect("keeper");
    const auto elsewhere = world_.add_namespace("elsewhere");
    ASSERT_TRUE(succeeded(add("theirs", elsewhere)));
    expect_failure(ctl({"sandbox", "del", "theirs"}), 1, "ip netns del theirs");
    EXPECT_TRUE(ping(elsewhere, "10.0.0.1"));
    ASSERT_TRUE(succeeded(del("theirs", elsewhere)));
    ASSERT_TRUE(succeeded(del("keeper", world_.path("keeper"))));
    world_.remove_namespace("elsewhere");
    world_.remove_namespace("keeper");
    EXPECT_TRUE(before.holds());
}

// To remove it as nobody's would cut that container off.
TEST_F(Ctl, NamesWhoIsConnectedInANamespaceThatIsNotItsOwn) {
    const auto theirs = world_.add_namespace("theirs");
    ASSERT_TRUE(succeeded(add("a1", theirs, configuration(), "net1")));
    const auto before = Snapshot::take({theirs});
    const auto refusal = ctl({"sandbox", "del", "theirs"});
    expect_failure(refusal, 1, "net1 of container a1");
    EXPECT_THAT(refusal.err, Not(HasSubstr("ip netns del")));
    EXPECT_TRUE(before.holds());
    ASSERT_TRUE(succeeded(del("a1", theirs, configuration(), "net1")));
    expect_failure(ctl({"sandbox", "del", "theirs"}), 1, "ip netns del theirs");
}

TEST_F(Ctl, LeavesNothingWhenASandboxCannotBeAdded) {
    const auto before = Snapshot::take();
    expect_failure(ctl({"sandbox", "add", "blue", "--uplink", "up9"}), 1, "up9");
    expect_failure(ctl({"sandbox", "add", "blue", "--subnet", "10.0.0.0/31"}), 1, "10.0.0.0/31");
    for (const std::string name : {"../blue", "bl ue", "blue\n", "*", ".", "_blue"}) {
        expect_failure(ctl({"sandbox", "add", name}), 1, "\"" + name + "\" can't name a sandbox");
    }
    expect_failure(ctl({"sandbox", "add", "--", "-blue"}), 1, "begin with a letter or digit");
    const std::string long_name(64, 'n');
    const std::vector<std::pair<std::vector<std::string>, std::string>> invalid{
        {{"--subnet", "0.0.0.0/0"}, "every address"},
        {{"--subnet", "10.0.0.7/24"}, "host bits"},
        {{"--subnet", "fe80::/64"}, "no interface"},
        {{"--network", "a b"}, "may only hold"},
        {{"--network", long_name}, "longer than 63"},
        {{"--device", "a/b"}, "not a device name"},
        {{"--device", "cw01234567890"}, "longer than 12"},
        {{"--subnet", "10.5.0.0/16", "--subnet", "10.5.1.0/24"}, "overlaps"}};
    for (const auto& [options, word] : invalid) {
        std::vector<std::string> arguments{"sandbox", "add", "blue"};
        arguments.insert(arguments.end(), options.begin(), options.end());
        expect_failure(ctl(arguments), 1, word);
    }
    EXPECT_EQ(ctl({"sandbox", "add", "blue", "--mtu", "10"}).status, 2);
    EXPECT_TRUE(before.holds());
}

TEST_F(Ctl, SaysSoWhenTheSandboxToDeleteIsUnknown) {
    const auto before = Snapshot::take();
    expect_failure(ctl({"sandbox", "del", "blue"}), 1, "blue");
    EXPECT_TRUE(before.holds());
}

TEST_P(CtlOfFamily, TakesTheNetworkFromItsOptions) {
    expect_ok(ctl({"sandbox", "add", "blue", "--network", "others", "--device", "cw5", "--subnet", here("10.5.0.0/16"),
                   "--mtu", "1300", "--routed", "--uplink", "up0"}));
    const auto row = row_of("blue");
    EXPECT_EQ(row.at("network"), "others");
    EXPECT_EQ(row.at("address"), here("10.5.0.2"));
    EXPECT_EQ(ip_json({"link", "show", "cw5"}).at(0).at("mtu"), 1300);
    ip_here({"route", "add", "10.5.0.0/16", "via", node_address}, world_.world());
    const auto meeting = meet(Protocol::udp, {world_.path("blue")}, server(53));
    EXPECT_TRUE(meeting);
    EXPECT_EQ(meeting.seen.address, here("10.5.0.2"));
}

// All that a configuration can say of it is other than what a sandbox by hand would have asked for.
TEST_F(Ctl, TakesANetworkThatIsThereAsItIs) {
    const std::vector<Json> patches{{{"isolate", true},
                                     {"portRange", "20000-29999"},
                                     {"portBlock", 100},
                                     {"mtu", 1400},
                                     {"device", "cw9"},
                                     {"nonMasqueradeCIDRs", {"198.51.100.0/24", "fd00:9::/48"}},
                                     {"inbound", true},
                                     {"forwarded", true}},
                                    {{"mapping", "endpoint-independent"},
                                     {"filtering", "address-dependent"},
                                     {"multicast", true},
                                     {"ipMasq", false},
                                     {"uplinks", {"up0"}}}};
    for (const auto& patch : patches) {
        const auto blue = connect("blue", dual_configuration(patch));
        const auto before = Snapshot::take({blue.netns});
        expect_ok(ctl({"sandbox", "add", "red"}));
        EXPECT_EQ(row_of("red").at("network"), "sandboxes");
        EXPECT_TRUE(ping(world_.path("red"), "10.0.0.1"));
        EXPECT_TRUE(ping(world_.path("red"), "fd00:1::1"));
        expect_ok(ctl({"sandbox", "del", "red"}));
        EXPECT_TRUE(before.holds());
        expect_ok(ctl({"sandbox", "add", "red", "--subnet", "10.0.0.0/24"}));
        EXPECT_EQ(row_of("red").at("address"), "10.0.0.4");
        expect_ok(ctl({"sandbox", "del", "red"}));
        EXPECT_TRUE(before.holds());
        expect_failure(ctl({"sandbox", "add", "red", "--mtu", "1300"}), 1, "--mtu 1300");
        expect_failure(ctl({"sandbox", "add", "red", "--device", "cw7"}), 1, "--device cw7");
        expect_failure(ctl({"sandbox", "add", "red", "--subnet", "10.9.0.0/24"}), 1, "fd00:1::/64");
        EXPECT_EQ(ctl({"sandbox", "add", "green", "--routed"}).ok(), patch.contains("ipMasq"));
        ctl({"sandbox", "del", "green"});
        EXPECT_TRUE(before.holds());
        disconnect(blue, dual_configuration(patch));
        world_.remove_namespace("blue");
    }
}

TEST_F(Ctl, TakesASubnetOfEachFamily) {
    const auto before = Snapshot::take();
    expect_ok(ctl({"sandbox", "add", "--subnet", "10.5.0.0/24", "--subnet", "fd00:5::/64", "blue"}));
    const auto rows = ctl_json({"endpoints"});
    ASSERT_EQ(rows.size(), 2U);
    EXPECT_EQ(rows[0].at("address"), "10.5.0.2");
    EXPECT_EQ(rows[1].at("address"), "fd00:5::2");
    const auto blue = world_.path("blue");
    EXPECT_TRUE(ping(blue, "fd00:5::1"));
    EXPECT_TRUE(meet(Protocol::tcp, {blue}, {world_.world(), {service_address, 80}}));
    const auto meeting = meet(Protocol::icmp, {blue}, {world_.world(), {service_ipv6, 0}});
    EXPECT_TRUE(meeting);
    const auto flows = ctl_json({"flows", "--protocol", "icmpv6", "--peer", service_ipv6});
    ASSERT_EQ(flows.size(), 1U);
    EXPECT_EQ(flows[0].at("state"), "icmp");
    EXPECT_EQ(flows[0].at("source"), "[fd00:5::2]:" + std::to_string(meeting.client.port));
    EXPECT_EQ(flows[0].at("translated"), "[" + std::string(node_ipv6) + "]:" + std::to_string(meeting.seen.port));
    EXPECT_EQ(ctl({"flows", "delete", "--peer", service_ipv6}).status, 0);
    EXPECT_EQ(ctl_json({"flows", "--peer", service_ipv6}).size(), 0U);
    expect_ok(ctl({"sandbox", "del", "blue"}));
    EXPECT_TRUE(before.holds());
}

TEST_P(CtlOfFamily, ListsEndpointsWithWhatWentThroughThem) {
    const auto blue = connect("blue"), red = connect("red");
    ASSERT_TRUE(meet(Protocol::tcp, {blue.netns}, {red.netns, {red.address, 80}}));
    const auto row = row_of("blue");
    EXPECT_EQ(row.at("address"), blue.address);
    EXPECT_EQ(row.at("mac"), blue.mac);
    EXPECT_EQ(row.at("hostEnd"), blue.host_end);
    EXPECT_EQ(row.at("interface"), "eth0");
    EXPECT_EQ(row.at("network"), "sandboxes");
    EXPECT_EQ(row.at("namespace"), blue.netns);
    const auto number = [](const Json& of, const char* key) { return of.at(key).get<std::uint64_t>(); };
    EXPECT_GE(number(row, "sentPackets"), 5U);
    EXPECT_GE(number(row, "receivedPackets"), 3U);
    EXPECT_GE(number(row, "sentBytes"), 5U * 54U);
    EXPECT_GE(number(row, "receivedBytes"), 3U * 54U);
    const bool ipv6 = family() == Family::ipv6;
    auto odd = Socket::open(blue.netns, SOCK_DGRAM, 0, ipv6);  // to a group of routers': drop-multicast
    const auto dropped = number(row_of("blue"), "droppedPackets");
    ASSERT_TRUE(odd.send_to({ipv6 ? "ff05::1234" : "224.0.1.9", 53}, "is anybody there?"));
    EXPECT_TRUE(eventually([&] { return number(row_of("blue"), "droppedPackets") > dropped; }));
    const auto table = ctl({"endpoints"});
    expect_ok(table);
    EXPECT_THAT(table.out, AllOf(HasSubstr("ADDRESS"), HasSubstr(blue.address), HasSubstr(red.address),
                                 HasSubstr(blue.host_end), HasSubstr("red")));
}

TEST_F(Ctl, ListsEndpointsOfOneSandboxAndWhatBecomesOfThem) {
    const std::string id(64, 'a');
    const auto blue = connect(id, dual_configuration()), red = connect("red");
    const auto states = [&](const std::string& container) {
        std::vector<std::string> all;
        for (const auto& row : ctl_json({"endpoints", "--sandbox", container})) {
            EXPECT_EQ(row.at("container"), container);
            all.push_back(row.at("state"));
        }
        return all;
    };
    EXPECT_EQ(states(id), (std::vector<std::string>{"connected", "connected"})) << "one of each address";
    EXPECT_EQ(states("nobody").size(), 0U);
    erase_entry("sandboxes", key_of_device(blue.host_end));
    EXPECT_EQ(states(id), (std::vector<std::string>{"disconnecting", "disconnecting"}));
    EXPECT_EQ(states("red"), std::vector<std::string>{"connected"});

    std::istringstream table(ctl({"endpoints"}).out);
    for (std::string line; std::getline(table, line);) {
        EXPECT_LE(line.size() - (line.ends_with(id) ? id.size() : 0), 120U) << line;
    }
    EXPECT_THAT(ctl({"endpoints"}).out, Not(HasSubstr(red.netns)));
    EXPECT_THAT(ctl({"endpoints", "--wide"}).out,
                AllOf(HasSubstr("NAMESPACE"), HasSubstr(red.netns), HasSubstr(red.mac)));
}

TEST_P(CtlOfFamily, CountsWhatTheNodeAndTheWorldSend) {
    const auto blue = connect("blue");
    const auto received = [] { return row_of("blue").at("receivedPackets").get<std::uint64_t>(); };
    const auto before = received();
    ASSERT_TRUE(meet(Protocol::udp, {""}, {blue.netns, {blue.address, 53}}));
    const auto by_node = received();
    EXPECT_GE(by_node, before + 1);
    ASSERT_TRUE(meet(Protocol::udp, {blue.netns}, server(53)));
    EXPECT_GE(received(), by_node + 1);
}

TEST_P(CtlOfFamily, ListsFlowsWithTheirStates) {
    const auto blue = connect("blue");
    auto line = open_line({blue.netns, any(4000)}, server(80));
    ASSERT_TRUE(alive(line));
    auto flows = ctl_json({"flows"});
    ASSERT_EQ(flows.size(), 1U);
    EXPECT_EQ(flows[0].at("container"), "blue");
    EXPECT_EQ(flows[0].at("protocol"), "tcp");
    EXPECT_EQ(flows[0].at("source"), shown({blue.address, 4000}));
    EXPECT_EQ(flows[0].at("destination"), shown(server(80).end));
    EXPECT_EQ(flows[0].at("translated"), shown({here(node_address), 4000}));
    EXPECT_EQ(flows[0].at("state"), "established");
    EXPECT_GT(flows[0].at("secondsLeft"), 7000);
    EXPECT_LE(flows[0].at("secondsLeft"), 7440);
    line.client.reset();
    EXPECT_TRUE(eventually([] { return ctl_json({"flows"}).at(0).at("state") == "closing"; }));
    const auto table = ctl({"flows"});
    expect_ok(table);
    EXPECT_THAT(table.out, AllOf(HasSubstr("SENT AS"), HasSubstr(shown({blue.address, 4000})), HasSubstr("closing")));
}

TEST_P(CtlOfFamily, NamesEveryVerdict) {
    const auto blue = connect("blue"), red = connect("red");
    ASSERT_TRUE(ping(blue.netns, "10.0.0.1"));
    ASSERT_TRUE(ping(blue.netns, red.address)) << "whose MAC it asks for";
    const auto all = ctl_json({"stats", "-i", "0"});
    EXPECT_GE(all.size(), 20U);
    for (const auto& row : all) {
        EXPECT_THAT(row.at("verdict").get<std::string>(), testing::MatchesRegex("[a-z-]+"));
        EXPECT_THAT(row.at("meaning").get<std::string>(), Not(IsEmpty()));
    }
    EXPECT_GE(count_of("to-host"), 1U);
    EXPECT_GE(count_of("to-sandbox"), 1U);
    EXPECT_GE(count_of(family() == Family::ipv6 ? "nd-answered" : "arp-answered"), 1U);
    const auto table = ctl({"stats", "-i", "0.1"}), whole = ctl({"stats", "-i", "0", "--all"});
    expect_ok(table);
    expect_ok(whole);
    EXPECT_THAT(table.out, AllOf(HasSubstr("PER SECOND"), HasSubstr("to-host"), Not(HasSubstr("drop-table-full"))));
    EXPECT_THAT(whole.out, HasSubstr("drop-table-full"));
}

FOR_BOTH_FAMILIES(CtlOfFamily);

TEST_F(Ctl, TellsThatNothingIsLoaded) {
    const auto before = Snapshot::take();
    expect_failure(ctl({"stats"}), 3, "not loaded");
    expect_failure(ctl({"flows", "delete", "--all"}), 3, "not loaded");
    EXPECT_EQ(ctl_json({"endpoints"}), Json::array());
    EXPECT_EQ(ctl_json({"flows"}), Json::array());
    EXPECT_TRUE(before.holds());
}

// Pins in another bpffs, as "ip netns exec" mounts one, or lost: what can't be seen is not nothing.
TEST_F(Ctl, DoesNotSayThatThereIsNothingWhereItCannotSee) {
    const auto blue = connect("blue");
    const auto tells = [&](const std::vector<std::string>& starter, const std::vector<std::string>& arguments,
                           int status) {
        auto command = starter;
        command.push_back(ctl_program());
        command.insert(command.end(), arguments.begin(), arguments.end());
        const auto output = run(command);
        EXPECT_EQ(output.status, status) << testing::PrintToString(arguments);
        EXPECT_THAT(output.out, IsEmpty());
        EXPECT_THAT(output.err, AllOf(HasSubstr("host end " + blue.host_end), HasSubstr("--without-datapath")));
    };
    const auto tells_all = [&](const std::vector<std::string>& starter) {
        for (const std::string table : {"endpoints", "flows", "stats"}) {
            tells(starter, {table}, 3);
            tells(starter, {table, "-o", "json"}, 3);
        }
        tells(starter, {"flows", "delete", "--all"}, 3);
        tells(starter, {"sandbox", "quota", "blue", "--flows", "5"}, 1);
    };
    tells_all({"unshare", "--mount", "sh", "-c", "mount -t bpf none /sys/fs/bpf && exec \"$@\"", "sh"});
    EXPECT_EQ(row_of("blue").at("address"), blue.address);
    std::filesystem::remove_all("/sys/fs/bpf/causeway");
    tells_all({});
    expect_ok(ctl({"gc", "--without-datapath"}));
}

TEST_F(Ctl, ShowsAPathThatIsNoText) {
    const auto netns = world_.add_namespace("bl\xff");
    ASSERT_TRUE(succeeded(add("blue", netns)));
    EXPECT_EQ(row_of("blue").at("namespace"), world_.path("bl\xef\xbf\xbd"));
    expect_ok(ctl({"endpoints"}));
}

TEST_F(Ctl, ShowsAFlowThatBeganAfterItLookedAsNew) {
    const auto blue = connect("blue");
    ASSERT_TRUE(meet(Protocol::udp, {blue.netns}, {world_.world(), {service_address, 53}}));
    begin_flows_later();
    for (const auto& flow : ctl_json({"flows"})) {
        EXPECT_EQ(flow.at("ageSeconds"), 0);
    }
}

TEST_F(Ctl, FailsWhereItsAnswerCannotBeWritten) {
    connect("blue");
    const std::vector<std::string> to_full{"sh", "-c", "exec \"$@\" >/dev/full", "sh", ctl_program()};
    for (const std::vector<std::string>& arguments : {std::vector<std::string>{"endpoints"},
                                                      {"flows", "-o", "json"},
                                                      {"stats", "-i", "0", "--all"},
                                                      {"gc", "--dry-run"},
                                                      {"flows", "delete", "--all"},
                                                      {"--help"}}) {
        auto command = to_full;
        command.insert(command.end(), arguments.begin(), arguments.end());
        expect_failure(run(command), 1, "write the answer: No space left on device");
    }
}

// By a copy, since the tree need not be open to others.
TEST_F(Ctl, SaysThatItNeedsRoot) {
    connect("blue");
    const std::string copy = "/run/causewayctl";
    must_run({"install", "-m", "755", ctl_program(), copy});
    for (const auto* command : {"endpoints", "flows", "stats", "gc"}) {
        const auto output = run({"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", copy, command});
        expect_failure(output, 1, "Permission denied");
        EXPECT_THAT(output.err, HasSubstr("run it as root")) << command;
    }
}

TEST_F(Ctl, TeachesItsUse) {
    const std::vector<std::pair<std::vector<std::string>, std::string>> pages{
        {{"--help"}, "Exit status"},
        {{"--version"}, "causewayctl 0.1.0, datapath ABI " + std::to_string(CAUSEWAY_ABI_VERSION)},
        {{"sandbox", "--help"}, "exec"},
        {{"sandbox", "add", "--help"}, "--subnet"},
        {{"sandbox", "del", "--help"}, "NAME"},
        {{"sandbox", "exec", "--help"}, "COMMAND"},
        {{"endpoints", "--help"}, "json"},
        {{"flows", "--help"}, "LEFT"},
        {{"stats", "--help"}, "--interval"}};
    for (const auto& [arguments, word] : pages) {
        const auto page = ctl(arguments);
        expect_ok(page);
        EXPECT_THAT(page.out, HasSubstr(word)) << arguments[0];
    }
    const std::vector<std::vector<std::string>> mistakes{{},
                                                         {"dance"},
                                                         {"sandbox"},
                                                         {"sandbox", "add"},
                                                         {"endpoints", "-o", "xml"},
                                                         {"endpoints", "--sandbox", ""},
                                                         {"stats", "-i", "never"},
                                                         {"flows", "--frobnicate"},
                                                         {"flows", "--protocol", "tpc"},
                                                         {"flows", "--state", "open"},
                                                         {"flows", "--peer", "nonsense"},
                                                         {"flows", "delete", "--peer", ""},
                                                         {"flows", "delete", "--protocol", "256"}};
    for (const auto& arguments : mistakes) {
        const auto output = ctl(arguments);
        EXPECT_EQ(output.status, 2) << (arguments.empty() ? "nothing" : arguments[0]);
        EXPECT_THAT(output.out, IsEmpty());
        EXPECT_THAT(output.err, Not(IsEmpty()));
    }
    EXPECT_THAT(ctl({"dance"}).err, HasSubstr("\"dance\" is no command"));
    EXPECT_THAT(ctl({"sandbox", "dance", "blue"}).err, HasSubstr("\"dance\" is no command"));
    EXPECT_THAT(ctl({"flows", "--peer", "nonsense"}).err, HasSubstr("\"nonsense\""));
}

}  // namespace
}  // namespace causeway::test::ctl_test
