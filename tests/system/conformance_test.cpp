// SPDX-License-Identifier: Apache-2.0
// The CNI specification, version 1.1.0: what binds a plugin, by its section, in the specification's order and words.
// Not here is what takes more than a call or two:
//   section 2  which variables CHECK, DEL, STATUS and GC require: unit/request_test. CHECK of each resource, of what no
//              result tells (ports, queues, leases), and what later plugins may change: check_test, bandwidth_test,
//              ipam_test. STATUS, each reason for 50, and 51: status_test. GC goes on after a failure and reports all:
//              collection_test.
//   section 3  binds runtimes, but for plugins "executed concurrently across different containers": crowd_test; and DEL
//              after an ADD that failed, or was killed: failed_add_test, killed_test.
//   section 5  the shapes of results before 1.1.0: unit/reply_test. mtu, advmss, priority, table, scope: route_test.
// The plugin never says code 3 ("container unknown"): DEL succeeds, and CHECK of what was never added fails with 103.
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "tests/system/entries.hpp"
#include "tests/system/of_family.hpp"
#include "tests/system/snapshot.hpp"

namespace causeway::test::conformance_test {
namespace {

using testing::HasSubstr;

class Conformance : public OfFamily {
protected:
    explicit Conformance(Family family = Family::ipv4) : OfFamily(family) {}

    Answer ask(const std::string& command, const Json& conf = configuration()) const {
        return answer_to({.command = command, .id = "", .netns = "", .conf = conf, .interface = ""});
    }

    Answer check(const Sandbox& sandbox, const Json& result) const {
        return answer_to({.command = "CHECK",
                          .id = sandbox.id,
                          .netns = sandbox.netns,
                          .conf = configuration({{"prevResult", result}})});
    }

    // With these variables set or, where null, not set.
    Answer with(const std::string& command, const Json& variables, const std::string& input) const {
        auto options = Call{.command = command, .id = "blue", .netns = "/run/netns/blue"}.options();
        options.stdin_text = here(input);
        for (const auto& [name, value] : variables.items()) {
            std::erase_if(options.environment, [&](const auto& one) { return one.first == name; });
            if (!value.is_null()) {
                options.environment.emplace_back(name, here(value.get<std::string>()));
            }
        }
        return answer_of(run({plugin()}, options));
    }

    // ADD, with a delegated plugin that writes down what it is asked, and then does as the script says.
    Call call_by(const std::string& script, const std::string& netns) const {
        std::filesystem::create_directory("/run/cni");
        std::ofstream("/run/cni/giver") << "#!/bin/sh\nenv | grep ^CNI_ | sort | tr '\\n' ' ' >> /run/asked\n"
                                        << "echo >> /run/asked\ncat >> /run/conf\n"
                                        << here(script) << "\n";
        std::filesystem::permissions("/run/cni/giver", std::filesystem::perms::owner_all);
        const auto conf = configuration({{"ipam", {{"type", "giver"}, {"ranges", nullptr}, {"routes", nullptr}}}});
        return {.command = "ADD", .id = "blue", .netns = netns, .conf = conf, .path = "/run/cni"};
    }
    Answer add_by(const std::string& script, const std::string& netns) const {
        return answer_to(call_by(script, netns));
    }

    static void expect_asked(const std::vector<std::string>& commands) {
        std::ifstream asked("/run/asked");
        std::string line;
        for (const auto& command : commands) {
            std::getline(asked, line);
            EXPECT_THAT(line, HasSubstr("CNI_COMMAND=" + command +
                                        " CNI_CONTAINERID=blue CNI_IFNAME=eth0 CNI_NETNS=/run/netns/blue "
                                        "CNI_PATH=/run/cni"));
        }
        EXPECT_FALSE(std::getline(asked, line)) << line;
    }
};

// Of those sections that speak of what a sandbox gets.
class ConformanceOfFamily : public Conformance, public testing::WithParamInterface<Family> {
protected:
    ConformanceOfFamily() : Conformance(GetParam()) {}
};

class Section1 : public ConformanceOfFamily {};
class Section2Parameters : public Conformance {};
class Section2Arguments : public ConformanceOfFamily {};
class Section2Errors : public Conformance {};
class Section2Add : public ConformanceOfFamily {};
class Section2Del : public ConformanceOfFamily {};
class Section2Check : public ConformanceOfFamily {};
class Section2Status : public Conformance {};
class Section2Version : public Conformance {};
class Section2Gc : public ConformanceOfFamily {};
class Section4 : public ConformanceOfFamily {};
class Section5Success : public ConformanceOfFamily {};
class Section5Error : public Conformance {};

// "name ... Must start with an alphanumeric character, optionally followed by any combination of one or more
// alphanumeric characters, underscore, dot (.) or hyphen (-)."
TEST_P(Section1, NameIsAlphanumericWithUnderscoreDotAndHyphen) {
    const auto netns = world_.add_namespace("blue");
    for (const std::string name : {"_a", ".a", "-a", "a/b", "a b", "", "ä"}) {
        EXPECT_TRUE(refused(add("blue", netns, configuration({{"name", name}})), 7, {"name"})) << name;
    }
    const auto blue = configuration({{"name", "9a_b.c-d"}});
    EXPECT_TRUE(succeeded(add("blue", netns, blue)));
    EXPECT_TRUE(succeeded(del("blue", netns, blue)));
}

// "cniVersions (string list): List of all CNI versions which this configuration supports."
TEST_P(Section1, CniVersionsMayBeThere) {
    const auto conf = configuration({{"cniVersions", {"0.4.0", "1.0.0", "1.1.0"}}});
    const auto blue = connect("blue", conf);
    EXPECT_EQ(blue.reply.at("cniVersion"), "1.1.0");
    EXPECT_TRUE(refused(ask("STATUS", configuration({{"cniVersions", "1.1.0"}})), 7, {"cniVersions"}));
}

// "Plugins may define additional fields that they accept and may generate an error if called with unknown fields."
TEST_P(Section1, OtherPluginsFieldsAreNoError) {
    connect("blue",
            configuration({{"isGateway", true}, {"args", {{"labels", {{"a", "b"}}}}}, {"disableCheck", false}}));
}

// "ipMasq (boolean): If supported by the plugin, sets up an IP masquerade on the host for this network."
TEST_P(Section1, IpMasqTranslates) {
    const auto blue = connect("blue");
    const auto meeting = meet(Protocol::udp, {blue.netns}, server(53));
    EXPECT_EQ(meeting.seen.address, here(node_address));
}

// "CNI_CONTAINERID: ... Must not be empty. Must start with an alphanumeric character, optionally followed by any
// combination of one or more alphanumeric characters, underscore (), dot (.) or hyphen (-)."
TEST_F(Section2Parameters, ContainerIdIsAlphanumericWithUnderscoreDotAndHyphen) {
    const auto netns = world_.add_namespace("blue");
    for (const std::string id : {"_a", ".a", "-a", "a/b", "a b", "a;b", "ä"}) {
        for (const auto* command : {"ADD", "DEL", "CHECK"}) {
            EXPECT_TRUE(refused(answer_to({.command = command, .id = id, .netns = netns}), 4, {"CNI_CONTAINERID"}))
                << id;
        }
    }
    EXPECT_TRUE(succeeded(add("9a_b.c-d", netns)));
}

// "CNI_IFNAME: Name of the interface to create inside the container; if the plugin is unable to use this interface name
// it must return an error."
TEST_F(Section2Parameters, AnInterfaceNameThatCannotBeUsedIsAnError) {
    const auto netns = world_.add_namespace("blue");
    for (const std::string name : {".", "..", "a/b", "a:b", "a b", "sixteen-letters0", "eth%d"}) {
        EXPECT_TRUE(refused(add("blue", netns, configuration(), name), 4, {"CNI_IFNAME"})) << name;
    }
    EXPECT_TRUE(refused(add("blue", netns, configuration(), "lo"), 100, {"lo"})) << "every namespace has one";
}

// "CNI_ARGS: Extra arguments passed in by the user at invocation time. Alphanumeric key-value pairs separated by
// semicolons"
TEST_P(Section2Arguments, AreKeysAndValues) {
    world_.add_namespace("blue");
    const auto added = with("ADD", {{"CNI_ARGS", "IgnoreUnknown=1;FOO=BAR;IP=10.0.0.42;MAC=02:00:00:00:00:42"}},
                            configuration().dump());
    ASSERT_TRUE(succeeded(added));
    EXPECT_EQ(added.json.at("ips")[0].at("address"), here("10.0.0.42/24"));
    EXPECT_EQ(added.json.at("interfaces")[2].at("mac"), "02:00:00:00:00:42");
    EXPECT_TRUE(succeeded(with("DEL", {{"CNI_ARGS", "what;ever"}}, configuration().dump())));
    EXPECT_TRUE(refused(with("ADD", {{"CNI_ARGS", "what;ever"}}, configuration().dump()), 4, {"CNI_ARGS", "what"}));
}

// "A plugin must exit with a return code of 0 on success, and non-zero on failure. If the plugin encounters an error,
// it should output an "error" result structure"
TEST_F(Section2Errors, AFailureHasAStatusAndAResultAloneOnStdout) {
    const auto output = run({plugin()}, Call{.command = "ADD", .id = "blue", .netns = "/none"}.options());
    EXPECT_NE(output.status, 0);
    EXPECT_TRUE(Json::parse(output.out).is_object());
    EXPECT_EQ(output.err, "");
}

// "should either create the interface defined by CNI_IFNAME inside the container at CNI_NETNS"
// "If the CNI plugin is successful, it must output a result structure ... on standard out."
TEST_P(Section2Add, CreatesTheInterfaceInTheContainer) {
    const auto netns = world_.add_namespace("blue");
    const auto answer = add("blue", netns, configuration(), "net7");
    ASSERT_TRUE(succeeded(answer));
    EXPECT_EQ(answer.json.at("interfaces")[2].at("name"), "net7");
    EXPECT_EQ(ip_json({"link", "show", "net7"}, netns).size(), 1U);
}

// "If the plugin was supplied a prevResult as part of its input configuration, it MUST handle prevResult by either
// passing it through, or modifying it appropriately."
TEST_P(Section2Add, PassesAPreviousResultThrough) {
    const auto netns = world_.add_namespace("blue");
    const auto before = conf_here(Json::parse(R"({"cniVersion": "1.1.0", "dns": {"nameservers": ["198.51.100.9"]},
        "interfaces": [{"name": "x0", "mac": "02:00:00:00:00:01", "sandbox": "/run/netns/blue"}],
        "ips": [{"interface": 0, "address": "10.9.0.5/24"}], "routes": [{"dst": "10.9.0.0/16", "gw": "10.9.0.1"}]})"));
    const auto answer = add("blue", netns, configuration({{"prevResult", before}}));
    ASSERT_TRUE(succeeded(answer));
    for (const auto* list : {"interfaces", "ips", "routes"}) {
        EXPECT_EQ(answer.json.at(list)[0], before.at(list)[0]) << list;
        EXPECT_GT(answer.json.at(list).size(), 1U) << list;
    }
    EXPECT_EQ(answer.json.at("dns"), before.at("dns"));
}

// "If an interface of the requested name already exists in the container, the CNI plugin MUST return with an error."
TEST_P(Section2Add, RefusesAnInterfaceThatExists) {
    const auto blue = connect("blue");
    EXPECT_TRUE(refused(add("another", blue.netns), 100, {"eth0", "File exists"}));
    EXPECT_TRUE(ping(blue.netns, "10.0.0.1"));
}

// "a given container ID may be added to a specific network more than once only if each addition is done with a
// different interface name"
TEST_P(Section2Add, TakesAContainerTwiceWithTwoInterfaces) {
    const auto blue = connect("blue");
    EXPECT_TRUE(refused(add("blue", blue.netns), 102, {"blue", "eth0"}));
    EXPECT_TRUE(succeeded(add("blue", blue.netns, configuration({{"ipam", {{"routes", nullptr}}}}), "net1")));
}

// Required input: the standard variables without CNI_PATH and CNI_ARGS.
TEST_P(Section2Add, NeedsItsFourVariables) {
    world_.add_namespace("blue");
    for (const auto* name : {"CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"}) {
        EXPECT_TRUE(refused(with("ADD", {{name, nullptr}}, configuration().dump()), 4, {name}));
        EXPECT_TRUE(refused(with("ADD", {{name, ""}}, configuration().dump()), 4, {name})) << "empty";
    }
    EXPECT_TRUE(succeeded(with("ADD", {{"CNI_PATH", nullptr}, {"CNI_ARGS", nullptr}}, configuration().dump())));
}

// "should either delete the interface defined by CNI_IFNAME inside the container at CNI_NETNS, or undo any
// modifications"; "Plugins MUST accept multiple DEL calls for the same (CNI_CONTAINERID, CNI_IFNAME) pair, and return
// success if the interface in question, or any modifications added, are missing."
TEST_P(Section2Del, DeletesTheInterfaceAndSucceedsAsOftenAsItIsAsked) {
    const auto blue = connect("blue");
    for (int i = 0; i < 3; ++i) {
        EXPECT_TRUE(succeeded(del("blue", blue.netns)));
        EXPECT_EQ(ip_json({"link", "show"}, blue.netns).size(), 1U) << "lo";
    }
}

// "Plugins should generally complete a DEL action without error even if some resources are missing." As containerd
// calls: twice, then without namespace and prevResult; and what never was.
TEST_P(Section2Del, SucceedsWhenResourcesAreMissing) {
    const auto blue = connect("blue"), red = connect("red");
    ip({"link", "del", blue.host_end});
    erase_entry("endpoints", key_of_address(blue.address));
    EXPECT_TRUE(succeeded(del("blue", "/run/netns/never-there", configuration({{"prevResult", blue.reply}}))));
    EXPECT_TRUE(succeeded(del("blue", "")));
    EXPECT_TRUE(succeeded(del("never-there", "")));
    EXPECT_TRUE(ping(red.netns, "10.0.0.1"));
}

// "Plugins must consult prevResult to determine the expected interfaces and addresses." "should return an error if a
// resource included in the CNI Result type (interface, address or route) was created by the plugin, and is listed in
// prevResult, but is missing or in an invalid state." Each resource by name: check_test.cpp.
TEST_P(Section2Check, ConsultsThePreviousResult) {
    const auto blue = connect("blue");
    EXPECT_TRUE(succeeded(check(blue, blue.reply))) << "immediately after an ADD";
    auto other = blue.reply;
    other["ips"][0]["address"] = "10.0.0.99/24";
    EXPECT_TRUE(refused(check(blue, other), 103, {"10.0.0.99/24"}));
    other = blue.reply;
    other["interfaces"][2]["name"] = "eth7";
    EXPECT_TRUE(refused(check(blue, other), 7, {"eth0"}));
    EXPECT_TRUE(refused(answer_to({.command = "CHECK", .id = "blue", .netns = blue.netns}), 7, {"prevResult"}));
}

// "must exit with a zero (success) return code if the plugin is ready to service ADD requests. ... must exit with a
// non-zero return code and output an error". "50: The plugin is not available". Required input: only CNI_COMMAND.
TEST_F(Section2Status, NeedsNothingButItsNameAndChangesNothing) {
    const auto before = Snapshot::take();
    auto options = Call{.command = "STATUS", .id = "", .netns = "", .interface = "", .path = ""}.options();
    EXPECT_TRUE(succeeded(answer_of(run({plugin()}, options))));
    EXPECT_TRUE(refused(ask("STATUS", configuration({{"uplinks", {"up9"}}})), 50));
    EXPECT_TRUE(before.holds());
}

// "50: The plugin is not available", "51: The plugin is not available, and existing containers in the network may have
// limited connectivity": as a plugin says it that this one relies on.
TEST_F(Section2Status, IsADelegatedPluginsTooWithItsCode) {
    for (const int code : {50, 51}) {
        auto call = call_by("echo '{\"code\": " + std::to_string(code) + ", \"msg\": \"no pool\"}'; exit 1", "");
        call.command = "STATUS";
        EXPECT_TRUE(refused(answer_to(call), code, {"giver", "no pool"}));
    }
}

// "The plugin should output via standard-out a json-serialized version result object"; "cniVersion: The value of
// cniVersion specified on input". libcni asks with variables that mean nothing.
TEST_F(Section2Version, AnswersInTheVersionOfTheRequest) {
    for (const std::string version : {"0.1.0", "0.4.0", "1.0.0", "1.1.0", "9.9.9"}) {
        const auto answer = with("VERSION", {{"CNI_NETNS", "dummy"}, {"CNI_IFNAME", "dummy"}, {"CNI_PATH", "dummy"}},
                                 Json{{"cniVersion", version}}.dump());
        ASSERT_TRUE(succeeded(answer));
        EXPECT_EQ(answer.json,
                  (Json{{"cniVersion", version}, {"supportedVersions", {"0.3.1", "0.4.0", "1.0.0", "1.1.0"}}}));
    }
}

// "A plugin SHOULD remove as many stale resources as possible." "The plugin MAY assume that the isolation domain ...
// has been deleted". Required: CNI_PATH. "Plugins should generally complete a GC action without error."
TEST_P(Section2Gc, RemovesWhatIsNotListedAndNeedsAPath) {
    connect("blue");
    const auto red = connect("red");
    world_.remove_namespace("blue");
    auto conf = configuration();
    conf["cni.dev/valid-attachments"] = Json::parse(R"([{"containerID": "red", "ifname": "eth0"}])");
    Call call{.command = "GC", .id = "", .netns = "", .conf = conf, .interface = "", .path = ""};
    EXPECT_TRUE(refused(answer_to(call), 4, {"CNI_PATH"}));
    call.path = "/usr/lib/cni";
    EXPECT_TRUE(succeeded(answer_to(call)));
    EXPECT_EQ(ctl_json({"endpoints"}).size(), 1U);
    EXPECT_TRUE(ping(red.netns, "10.0.0.1"));
}

// "the delegated plugin must be executed with the same environment ... complete network configuration"; "When a plugin
// is executed with a CNI_COMMAND of CHECK, DEL, GC or STATUS, it must also execute any plugins which it delegated to.";
// "If the plugin returns an error, the 'upper' plugin must ... call DEL"
TEST_P(Section4, DelegatesEveryCommandWithAllThatItGot) {
    const auto netns = world_.add_namespace("blue");
    auto call = call_by(
        "[ $CNI_COMMAND != ADD ] || "
        "echo '{\"cniVersion\": \"1.1.0\", \"ips\": [{\"address\": \"10.0.0.44/24\"}]}'",
        netns);
    const auto added = answer_to(call);
    ASSERT_TRUE(succeeded(added));
    std::ifstream seen("/run/conf");
    EXPECT_EQ(Json::parse(seen), conf_here(call.conf));
    call.conf["prevResult"] = added.json;
    for (const auto* command : {"CHECK", "STATUS", "GC", "DEL"}) {
        call.command = command;
        EXPECT_TRUE(succeeded(answer_to(call))) << command;
    }
    expect_asked({"ADD", "CHECK", "STATUS", "DEL", "GC", "DEL"});  // DEL by GC, too, of what is not listed
}

// "If, on ADD, a delegated plugin fails, the "upper" plugin should execute again with DEL before returning failure."
TEST_P(Section4, CallsDelAfterAnAddThatFailed) {
    const auto answer = add_by("[ $CNI_COMMAND != ADD ]", world_.add_namespace("blue"));
    EXPECT_TRUE(refused(answer, 5, {"giver"}));
    EXPECT_EQ(answer.json.value("details", ""), "");
    expect_asked({"ADD", "DEL"});
}

// "interfaces: An array of all interfaces created by the attachment, including any host-level interfaces": name, mac,
// mtu, sandbox, "For interfaces created inside the container, this should be the value passed via CNI_NETNS."
TEST_P(Section5Success, NamesInterfacesAddressesRoutesAndDns) {
    const auto blue = connect("blue");
    EXPECT_EQ(blue.reply.at("cniVersion"), "1.1.0");
    for (const auto& interface : blue.reply.at("interfaces")) {
        EXPECT_TRUE(interface.contains("name") && interface.contains("mac") && interface.contains("mtu"));
    }
    EXPECT_EQ(blue.reply.at("interfaces")[2].at("sandbox"), blue.netns);
    EXPECT_FALSE(blue.reply.at("interfaces")[1].contains("sandbox"));
    EXPECT_EQ(blue.reply.at("ips")[0],
              conf_here({{"address", "10.0.0.2/24"}, {"gateway", "10.0.0.1"}, {"interface", 2}}));
    EXPECT_EQ(blue.reply.at("routes")[0], conf_here({{"dst", "0.0.0.0/0"}, {"gw", "10.0.0.1"}}));
    EXPECT_TRUE(blue.reply.at("dns").is_object());
}

// "cniVersion, code, msg, details"; the table of codes, each with what its text demands of the message.
TEST_F(Section5Error, HasTheCodeOfTheTable) {
    const auto netns = world_.add_namespace("blue");
    const auto input = configuration().dump();
    EXPECT_TRUE(refused(add("blue", netns, configuration({{"cniVersion", "0.2.0"}})), 1, {"0.2.0"}));
    const auto unsupported = configuration({{"runtimeConfig", {{"deviceID", "0000:00:1f.6"}}}});
    EXPECT_TRUE(refused(add("blue", netns, unsupported), 2, {"deviceID", "0000:00:1f.6"})) << "key and value";
    EXPECT_TRUE(refused(with("DANCE", Json::object(), input), 4, {"CNI_COMMAND"})) << "names of invalid variables";
    EXPECT_TRUE(refused(add_by("exit 1", netns), 5, {"giver"})) << "I/O failure";
    EXPECT_TRUE(refused(with("ADD", Json::object(), "{"), 6));
    EXPECT_TRUE(refused(add("blue", netns, configuration({{"mtu", -1}})), 7, {"mtu"}));
    EXPECT_TRUE(refused(add("blue", "/run/netns/none"), 8, {"/run/netns/none"}));
    const auto later = add_by(R"(echo '{"code": 11, "msg": "come again"}'; exit 1)", netns);
    EXPECT_TRUE(refused(later, 11, {"giver", "come again"})) << "try again later, in the delegated plugin's words";
    for (const std::string version : {"0.3.1", "0.4.0", "1.0.0", "1.1.0"}) {
        const auto answer = add("blue", netns, configuration({{"cniVersion", version}, {"mtu", -1}}));
        EXPECT_EQ(answer.json.at("cniVersion"), version) << "the same as in the request";
    }
}

FOR_BOTH_FAMILIES(Section1);
FOR_BOTH_FAMILIES(Section2Arguments);
FOR_BOTH_FAMILIES(Section2Add);
FOR_BOTH_FAMILIES(Section2Del);
FOR_BOTH_FAMILIES(Section2Check);
FOR_BOTH_FAMILIES(Section2Gc);
FOR_BOTH_FAMILIES(Section4);
FOR_BOTH_FAMILIES(Section5Success);

}  // namespace
}  // namespace causeway::test::conformance_test
