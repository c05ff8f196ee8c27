// SPDX-License-Identifier: Apache-2.0
// A chain whose earlier plugin has made the sandbox's interface: it is attached as it is, and stays.
#include <gmock/gmock.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>

#include "tests/system/entries.hpp"
#include "tests/system/fault.hpp"
#include "tests/system/guest.hpp"
#include "tests/system/host_local.hpp"
#include "tests/system/of_family.hpp"
#include "tests/system/programs.hpp"
#include "tests/system/snapshot.hpp"
#include "tests/system/wire.hpp"

namespace causeway::test::chain_test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class ChainBase : public OfFamily {
protected:
    using OfFamily::OfFamily;

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
class Chain : public ChainBase, public testing::WithParamInterface<Family> {
protected:
    Chain() : ChainBase(GetParam()) {}
};
class ChainOnce : public Chain {};  // what has no family
class ChainOfBothFamilies : public ChainBase {
protected:
    ChainOfBothFamilies() : ChainBase(Family::ipv4) {}
};

TEST_P(Chain, AttachesTheInterfaceThatIsGivenAndLeavesIt) {
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
    EXPECT_TRUE(meet(Protocol::tcp, {netns_}, {"", {here("10.0.0.1"), 80}}));
    EXPECT_TRUE(meet(Protocol::tcp, {netns_}, server(80)));
    EXPECT_TRUE(meet(Protocol::tcp, {netns_}, {keeper.netns, {keeper.address, 80}}));
    EXPECT_TRUE(meet(Protocol::tcp, {""}, {netns_, {here("10.0.0.3"), 80}}));
    EXPECT_TRUE(succeeded(ask("CHECK", added.json)));
    EXPECT_TRUE(succeeded(ask("DEL", added.json)));
    EXPECT_THAT(programs_on("given0", Direction::ingress), IsEmpty());
    EXPECT_TRUE(before.holds());
    EXPECT_TRUE(succeeded(ask("DEL", added.json)));
    before_["interfaces"][0]["sandbox"] = nullptr;
    const auto again = ask("ADD", before_);
    ASSERT_TRUE(succeeded(again));
    EXPECT_TRUE(succeeded(ask("CHECK", again.json)));
}

TEST_F(ChainOfBothFamilies, GivesAndTakesBackAddressesAndRoutes) {
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

TEST_P(Chain, TakesItsRoutesBackFromEveryTable) {
    const auto keeper = connect("keeper");
    const auto before = Snapshot::take({netns_, keeper.netns});
    const auto routes = Json::parse(R"([{"dst": "0.0.0.0/0", "table": 100, "mtu": 1400}, {"dst": "0.0.0.0/0"}])");
    const auto conf = configuration({{"prevResult", before_}, {"ipam", {{"routes", routes}}}});
    ASSERT_TRUE(succeeded(add("blue", netns_, conf)));
    EXPECT_EQ(ip_json_here({"route", "show", "table", "100"}, netns_).size(), 1U);
    EXPECT_TRUE(succeeded(del("blue", netns_, conf)));
    ip_here({"route", "show", "table", "100"}, netns_);  // fails where there is none
    EXPECT_TRUE(before.holds());
}

TEST_P(Chain, RefusesARouteThatIsThereAlready) {
    ip_here({"addr", "add", "10.0.0.240/24", "dev", "eth0", "nodad"}, netns_);
    ip_here({"route", "add", "default", "via", "10.0.0.1", "dev", "eth0", "proto", "static"}, netns_);
    EXPECT_TRUE(refused(ask("ADD", before_), 100, {"0.0.0.0/0", "File exists"}));
}

TEST_P(ChainOnce, TakesItsQueuesBackFromTheInterface) {
    const auto keeper = connect("keeper");
    const auto queues = [&] {
        return must_run({"tc", "qdisc", "show", "dev", "given0"}) +
               must_run({"tc", "qdisc", "show", "dev", "eth0"}, {.netns = netns_});
    };
    auto conf = configuration({{"prevResult", before_}, {"ingressRate", 80000000}, {"ingressBurst", 800000}});
    conf.merge_patch({{"egressRate", 80000000}, {"egressBurst", 800000}});
    ASSERT_TRUE(succeeded(add("blue", netns_, conf)));
    EXPECT_THAT(queues(), testing::ContainsRegex("tbf 6377:.*rate 80Mbit burst 100000b.*\n.*\n.*tbf 6377:"));
    EXPECT_TRUE(meet(Protocol::tcp, {netns_}, {keeper.netns, {keeper.address, 80}}));
    EXPECT_TRUE(succeeded(del("blue", netns_, conf)));
    EXPECT_THAT(queues(), testing::Not(testing::HasSubstr("tbf")));
}

// As the reference plugin bandwidth makes it, asked for an ingress rate alone.
TEST_P(ChainOnce, DeliversThroughTheQueueOfAnEarlierPlugin) {
    const auto keeper = connect("keeper");
    must_run(
        {"tc", "qdisc", "add", "dev", "given0", "root", "tbf", "rate", "80mbit", "burst", "100k", "latency", "25ms"});
    const auto queued = [] {
        return Json::parse(must_run({"tc", "-s", "-j", "qdisc", "show", "dev", "given0", "root"}))[0]
            .at("bytes")
            .get<int>();
    };
    const auto added = ask("ADD", before_);
    ASSERT_TRUE(succeeded(added));
    const auto before = queued();
    const std::string address = added.json.at("ips")[0].at("address");
    must_run({"ping", "-c", "1", "-W", "2", "-s", "1200", address.substr(0, address.find('/'))},
             {.netns = keeper.netns});
    EXPECT_GT(queued(), before + 1200);
    EXPECT_TRUE(succeeded(ask("CHECK", added.json)));
}

TEST_P(Chain, LeavesOthersAddressesAndProgramsOnTheInterface) {
    const auto keeper = connect("keeper");
    ip_here({"addr", "add", "172.16.0.5/24", "dev", "eth0", "nodad"}, netns_);
    const ForeignProgram theirs("given0", Direction::ingress, ForeignProgram::Hook::clsact);
    const auto before = Snapshot::take({netns_});
    ASSERT_TRUE(succeeded(ask("ADD", before_)));
    EXPECT_TRUE(succeeded(ask("DEL", before_)));
    EXPECT_TRUE(before.holds());
    EXPECT_THAT(programs_on("given0", Direction::ingress), ElementsAre("foreign"));
}

TEST_P(Chain, LeavesTheInterfaceAtAFailedAdd) {
    const auto keeper = connect("keeper");
    const auto before = Snapshot::take({netns_, keeper.netns});
    const auto call =
        call_here({.command = "ADD", .id = "blue", .netns = netns_, .conf = configuration({{"prevResult", before_}})});
    for (int nth = 1;; nth += family() == Family::ipv6 ? 7 : 2) {
        const auto faulted = run_with({.kind = Fault::Kind::error,
                                       .nth = nth,
                                       .error = EPERM,
                                       .calls = {SYS_bpf, SYS_sendto},
                                       .few_of_alike = true},
                                      {plugin()}, call.options());
        if (faulted.call.empty()) {
            EXPECT_TRUE(faulted.output.ok()) << faulted.output.out;
            EXPECT_TRUE(succeeded(del("blue", netns_)));
            break;
        }
        if (!faulted.output.ok()) {  // what it undoes itself
            EXPECT_TRUE(before.holds()) << nth << " " << faulted.call;
        }
        EXPECT_TRUE(succeeded(del("blue", netns_))) << nth;
        EXPECT_TRUE(before.holds()) << nth << " " << faulted.call;
    }
}

// The device may be another sandbox's next, and has the index that it had.
TEST_P(Chain, LeavesNoFlowsToTheNextSandboxOnTheInterface) {
    const auto keeper = connect("keeper");
    ASSERT_TRUE(succeeded(ask("ADD", before_)));
    EXPECT_TRUE(meet(Protocol::udp, {netns_}, server(53)));
    EXPECT_EQ(ctl_json({"flows"}).size(), 1U);
    ASSERT_TRUE(succeeded(ask("DEL", before_)));
    EXPECT_EQ(ctl_json({"flows"}), Json::array());
}

// As long as an address is still to be given back, the interface is on the first one's record, too.
TEST_P(ChainOnce, LeavesTheInterfaceToTheNextSandboxWhenALeaseIsGivenBackLate) {
    const auto keeper = connect("keeper");
    const auto conf = host_local_configuration({{"cniVersion", "1.0.0"}, {"prevResult", before_}});
    auto spoilt = conf;
    spoilt["ipam"]["type"] = 5;
    ASSERT_TRUE(succeeded(add("blue", netns_, conf)));
    EXPECT_TRUE(refused(del("blue", netns_, spoilt), 7, {"ipam.type"}));
    EXPECT_THAT(programs_on("given0", Direction::ingress), IsEmpty());
    ASSERT_TRUE(succeeded(add("green", netns_, conf)));
    EXPECT_TRUE(succeeded(del("blue", netns_, conf)));
    EXPECT_TRUE(meet(Protocol::tcp, {netns_}, {keeper.netns, {keeper.address, 80}}));
}

// A forged packet of the sandbox's on its interface, to the host end's own MAC: as from the world, if that were an
// uplink.
class GivenWithAnAddress : public Chain {
protected:
    void SetUp() override {
        Chain::SetUp();
        ip_here({"addr", "add", "10.9.0.1/24", "dev", "given0", "nodad"});
    }

    Sandbox connect_published(const std::string& id) {
        const Json port{{"hostPort", 8080}, {"containerPort", 80}, {"protocol", "udp"}};
        return connect(id, configuration({{"runtimeConfig", {{"portMappings", {port}}}}}));
    }

    void expect_guarded(const Sandbox& published) {
        EXPECT_THAT(programs_on("given0", Direction::ingress), ElementsAre("from_sandbox"));
        EXPECT_THAT(programs_on("given0", Direction::egress), IsEmpty());
        auto service = Socket::udp(published.netns, {published.address, 80});
        Tap tap(netns_, "eth0");
        const auto spoofed = count_of("drop-spoofed-address");
        const Frame forged = Ethernet{.source = "02:00:00:00:00:02"_mac, .destination = "02:00:00:00:00:01"_mac} /
                             IPv4{.source = ip_of(here(world_address)), .destination = ip_of(here(node_address))} /
                             UDP{4444, 8080} / Payload{"forged"};
        tap.send(in_family(forged, family()).bytes());
        EXPECT_FALSE(service.receive(silence));
        EXPECT_EQ(count_of("drop-spoofed-address"), spoofed + 1);
        EXPECT_EQ(keys_of("uplinks"), std::set{key_of_device("up0")});
    }
};

// As ptp's host ends have, and taps of a VMM's.
TEST_P(GivenWithAnAddress, IsNoUplink) {
    ASSERT_TRUE(succeeded(ask("ADD", before_)));
    const auto red = connect_published("red");
    expect_guarded(red);
    EXPECT_TRUE(meet(Protocol::tcp, {netns_}, server()));
    EXPECT_TRUE(meet(Protocol::tcp, {netns_}, {red.netns, {red.address, 80}}));
}

TEST_P(GivenWithAnAddress, IsNoUplinkAnyMore) {
    const auto keeper = connect("keeper");
    ASSERT_THAT(programs_on("given0", Direction::ingress), ElementsAre("from_uplink")) << "it was nobody's";
    const auto added = ask("ADD", before_);
    ASSERT_TRUE(succeeded(added));
    const auto red = connect_published("red");
    const auto other = connect("other", second_configuration());
    expect_guarded(red);
    EXPECT_TRUE(succeeded(ask("CHECK", added.json)));
    EXPECT_TRUE(succeeded(ask("DEL", before_)));
    const auto green = connect("green");
    EXPECT_THAT(programs_on("given0", Direction::ingress), ElementsAre("from_uplink")) << "it is nobody's again";
}

TEST_P(GivenWithAnAddress, SetsNoMtu) {
    ip({"link", "set", "given0", "mtu", "1300"});
    ASSERT_TRUE(succeeded(ask("ADD", before_)));
    const auto red = connect("red");
    EXPECT_EQ(ip_json({"link", "show", "cw0"}).at(0).at("mtu"), 1500);
    EXPECT_EQ(ip_json({"link", "show", "eth0"}, red.netns).at(0).at("mtu"), 1500);
}

TEST_P(GivenWithAnAddress, CannotBeNamedAsAnUplink) {
    const Json named{{"uplinks", {"up0", "given0"}}};
    auto conf = configuration(named);
    conf["prevResult"] = before_;
    EXPECT_TRUE(refused(add("blue", netns_, conf), 7, {"uplinks", "given0"}));
    ASSERT_TRUE(succeeded(ask("ADD", before_)));
    EXPECT_TRUE(refused(add("red", world_.add_namespace("red"), configuration(named)), 7, {"uplinks", "given0"}));
}

// Which would decide for from_sandbox what a sandbox may send.
TEST_P(GivenWithAnAddress, IsGuardedBeforeAnybodyElsesProgram) {
    const Foreign all{.accepts = true};
    const ForeignProgram there("given0", Direction::ingress, ForeignProgram::Hook::clsact, all);
    const auto added = ask("ADD", before_);
    ASSERT_TRUE(succeeded(added));
    const ForeignProgram later("given0", Direction::ingress, ForeignProgram::Hook::clsact, all);
    EXPECT_THAT(programs_on("given0", Direction::ingress), ElementsAre("from_sandbox", "foreign", "foreign"));
    EXPECT_TRUE(meet(Protocol::tcp, {netns_}, server()));
    EXPECT_TRUE(succeeded(ask("CHECK", added.json)));
    const ForeignProgram tcx("given0", Direction::ingress, ForeignProgram::Hook::tcx, all);
    EXPECT_TRUE(refused(ask("CHECK", added.json), 103, {"foreign (id ", "before from_sandbox", "given0"}));
    EXPECT_TRUE(succeeded(ask("DEL", before_)));
    EXPECT_THAT(programs_on("given0", Direction::ingress), ElementsAre("foreign", "foreign", "foreign"));
}

// A filter that has causeway's priority and is of another kind: where to look, and the kernel's own words.
TEST_P(ChainOnce, SaysWhyTheProgramCannotBeTheFirst) {
    must_run({"tc", "qdisc", "add", "dev", "given0", "clsact"});
    must_run({"tc", "filter", "add", "dev", "given0", "ingress", "pref", "1", "u32", "match", "u32", "0", "0", "flowid",
              "1:1"});
    const auto answer = ask("ADD", before_);
    EXPECT_TRUE(refused(answer, 100, {"ingress hook of given0"}));
    EXPECT_THAT(answer.json.value("details", ""),
                testing::AllOf(testing::HasSubstr("\"tc filter show dev given0 ingress\""),
                               testing::HasSubstr("filter kind"), testing::Not(testing::HasSubstr("Exclusivity"))));
}

TEST_P(ChainOnce, SaysNothingBesideItsAnswers) {
    const auto keeper = connect("keeper");
    for (const std::string command : {"ADD", "DEL", "DEL"}) {
        const auto output = run(
            {plugin()},
            Call{.command = command, .id = "blue", .netns = netns_, .conf = configuration({{"prevResult", before_}})}
                .options());
        EXPECT_TRUE(output.ok()) << output.out;
        EXPECT_EQ(output.err, "") << command;
    }
}

TEST_P(ChainOnce, RefusesAnInterfaceWhoseOtherEndIsNotNamed) {
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

TEST_P(Chain, AttachesATapOfTheNodesAndLeavesIt) {
    const auto keeper = connect("keeper");
    ip({"tuntap", "add", "tap7", "mode", "tap"});
    ip({"link", "set", "tap7", "address", "02:00:00:00:00:01"});
    Guest guest("tap7");
    const Json said = Json::parse(R"({"cniVersion": "1.1.0", "interfaces": [
        {"name": "tap7", "mac": "02:00:00:00:00:01"},
        {"name": "eth0", "mac": "02:00:00:00:00:42", "sandbox": "vm-blue"}]})");
    const auto before = Snapshot::take({netns_});
    const auto added = ask("ADD", said);
    ASSERT_TRUE(succeeded(added));
    const auto ours = added.json.at("ips")[0].at("interface").get<std::size_t>();
    EXPECT_EQ(added.json.at("interfaces")[ours].at("mac"), "02:00:00:00:00:42") << "the guest's";
    EXPECT_THAT(programs_on("tap7", Direction::ingress), ElementsAre("from_sandbox"));
    const Mac own = "02:00:00:00:00:42"_mac;
    const auto address = here("10.0.0.3"), router = here("10.0.0.1");
    guest.send(neighbour_question(own, address, router));
    const auto answer = guest.next(is_neighbour_answer);
    ASSERT_TRUE(answer);
    Mac gateway{};
    std::copy_n(answer->begin() + 6, 6, gateway.bytes.begin());
    for (const auto& [netns, peer] :
         {std::pair{world_.world(), here(world_address)}, {keeper.netns, keeper.address}, {"", router}}) {
        auto service = Socket::udp(netns, {peer, 5353});
        guest.send(in_family(Ethernet{.source = own, .destination = gateway} /
                                 IPv4{.source = ip_of(address), .destination = ip_of(peer)} / UDP{4000, 5353} /
                                 Payload{"question"},
                             family()));
        const auto question = service.receive();
        ASSERT_TRUE(question) << peer;
        ASSERT_TRUE(service.send_to(question->from, "answer"));
        const auto came = guest.next([&](const Bytes& frame) { return is_packet(frame, 17, peer, address); });
        ASSERT_TRUE(came) << peer;
        EXPECT_TRUE(std::equal(own.bytes.begin(), own.bytes.end(), came->begin())) << "to the guest's MAC";
    }
    EXPECT_TRUE(succeeded(ask("CHECK", added.json)));
    EXPECT_TRUE(succeeded(ask("DEL", added.json)));
    EXPECT_THAT(programs_on("tap7", Direction::ingress), IsEmpty());
    ip({"link", "set", "tap7", "down"});
    EXPECT_TRUE(before.holds());
}

TEST_P(ChainOnce, RefusesATapThatItCouldNotDeliverTo) {
    ip({"link", "del", "given0"});
    ip({"tuntap", "add", "eth0", "mode", "tap"}, netns_);
    const auto before = Snapshot::take({netns_});
    EXPECT_TRUE(refused(ask("ADD", before_), 7, {"eth0", "veth"}));
    EXPECT_TRUE(before.holds());
}

FOR_BOTH_FAMILIES(Chain);
FOR_BOTH_FAMILIES(GivenWithAnAddress);
INSTANTIATE_TEST_SUITE_P(Of, ChainOnce, testing::Values(Family::ipv4), testing::PrintToStringParamName());

}  // namespace
}  // namespace causeway::test::chain_test
