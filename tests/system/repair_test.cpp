// SPDX-License-Identifier: Apache-2.0
// What an operator breaks by accident, and a kill leaves behind, is whole again after the next ADD.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <future>
#include <numeric>

#include <causeway/abi.h>

#include "tests/system/entries.hpp"
#include "tests/system/fault.hpp"
#include "tests/system/of_family.hpp"
#include "tests/system/programs.hpp"
#include "tests/system/snapshot.hpp"

namespace causeway::test::repair_test {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

class Repair : public EachFamily {
protected:
    void expect_connected(const Sandbox& sandbox) {
        const Place service{"", {here("10.0.0.1"), 8080}}, outside = server(80);
        EXPECT_TRUE(ping(sandbox.netns, "10.0.0.1")) << sandbox.id;
        EXPECT_TRUE(meet(Protocol::tcp, {sandbox.netns}, service)) << sandbox.id;
        EXPECT_TRUE(meet(Protocol::tcp, {sandbox.netns}, outside)) << sandbox.id;
        EXPECT_TRUE(meet(Protocol::tcp, {""}, {sandbox.netns, {sandbox.address, 80}})) << sandbox.id;
    }
    Answer check(const Sandbox& sandbox) const {
        auto conf = configuration();
        conf["prevResult"] = sandbox.reply;
        return answer_to({.command = "CHECK", .id = sandbox.id, .netns = sandbox.netns, .conf = conf});
    }
    Answer status(const Json& conf = configuration()) const {
        return answer_to({.command = "STATUS", .id = "", .netns = "", .conf = conf, .interface = ""});
    }
    void add_bridge() const {
        ip({"link", "add", "job0", "type", "bridge"});
        ip_here({"addr", "add", "10.98.0.1/24", "dev", "job0", "nodad"});
    }
    static std::vector<std::uint32_t> indexes_from(std::uint32_t first) {
        std::vector<std::uint32_t> indexes(CAUSEWAY_UPLINKS_MAX);
        std::iota(indexes.begin(), indexes.end(), first);
        return indexes;
    }
};
class RepairOnce : public Repair {};  // what has no family

TEST_P(Repair, MakesTheGatewayDeviceAgainForOldSandboxesToo) {
    const auto blue = connect("blue");
    ip({"link", "del", "cw0"});
    EXPECT_FALSE(ping(blue.netns, "10.0.0.1", silence));
    const auto red = connect("red");
    expect_connected(red);
    expect_connected(blue);
    EXPECT_TRUE(meet(Protocol::udp, {blue.netns}, {red.netns, {red.address, 53}}));
    disconnect(red);
    disconnect(blue);
    EXPECT_EQ(all_programs(), "");
}

TEST_P(Repair, AttachesTheUplinkAgain) {
    const auto blue = connect("blue");
    detach("up0", Direction::ingress, "from_uplink");
    EXPECT_FALSE(ping(blue.netns, server(80).end.address, silence)) << "no answer comes in";
    const auto red = connect("red");
    EXPECT_THAT(programs_on("up0", Direction::ingress), ElementsAre("from_uplink"));
    expect_connected(blue);
    expect_connected(red);
}

TEST_P(Repair, AttachesTheGatewayDeviceAgain) {
    const auto blue = connect("blue");
    detach("cw0", Direction::egress, "from_host");
    const auto red = connect("red");
    EXPECT_THAT(programs_on("cw0", Direction::egress), ElementsAre("from_host"));
    expect_connected(blue);
    expect_connected(red);
}

TEST_P(Repair, SetsTheGatewayDeviceUpAgain) {
    const auto blue = connect("blue");
    ip({"link", "set", "cw0", "down"});
    const auto red = connect("red");
    expect_connected(blue);
    expect_connected(red);
}

TEST_P(Repair, GivesTheGatewayDeviceItsAddressAgain) {
    const auto blue = connect("blue");
    ip_here({"addr", "flush", "dev", "cw0"});
    const auto red = connect("red");
    expect_connected(blue);
    expect_connected(red);
}

TEST_P(Repair, MakesTheHostsRouteToTheSubnetAgain) {
    const auto blue = connect("blue");
    const auto before = ip_json_here({"route", "show", "dev", "cw0"});
    ip_here({"route", "flush", "dev", "cw0"});
    EXPECT_THAT(status().text, HasSubstr("the host's route to " + here("10.0.0.0/24") + " by cw0 is gone"));
    const auto red = connect("red");
    EXPECT_EQ(ip_json_here({"route", "show", "dev", "cw0"}), before) << "as the kernel makes it";
    EXPECT_TRUE(succeeded(check(blue)));
    EXPECT_EQ(status().text, "");
    expect_connected(blue);
    expect_connected(red);
}

TEST_P(RepairOnce, PutsTheHostsRouteBeforeOneThatHasTakenItsPlace) {
    const auto blue = connect("blue");
    ip({"route", "replace", "10.0.0.0/24", "dev", "up0"});
    EXPECT_THAT(status().text, HasSubstr("the host's route to 10.0.0.0/24 by cw0 is gone"));
    const auto red = connect("red");
    EXPECT_EQ(status().text, "");
    expect_connected(blue);
    expect_connected(red);
}

TEST_P(Repair, NamesTheRouteThatComesBeforeTheHostsOwnToItsSandboxes) {
    const auto blue = connect("blue");
    const std::string first = family() == Family::ipv4 ? "0" : "1";
    for (const std::string& other : std::vector<std::string>{"10.0.0.0/25 via 203.0.113.2", "blackhole 10.0.0.0/25",
                                                             "10.0.0.0/24 via 203.0.113.2 metric " + first}) {
        std::istringstream words(other);
        std::vector<std::string> command{"route", "prepend"};
        std::copy(std::istream_iterator<std::string>(words), {}, std::back_inserter(command));
        ip_here(command);
        EXPECT_TRUE(refused(check(blue), 103, {"what the host sends to " + blue.address + " does not leave by cw0"}));
        EXPECT_THAT(status().text, HasSubstr("does not leave by cw0"));
        command[1] = "del";
        ip_here(command);
        EXPECT_TRUE(succeeded(check(blue)));
        EXPECT_EQ(status().text, "");
    }
}

TEST_P(Repair, GivesTheGatewayDeviceItsMacAgain) {
    const auto blue = connect("blue");
    ip({"link", "set", "cw0", "address", "02:00:00:00:00:99"});
    EXPECT_THAT(status().text, HasSubstr("the MAC of the gateway device cw0 is 02:00:00:00:00:99"));
    const auto red = connect("red");
    EXPECT_TRUE(succeeded(check(blue)));
    expect_connected(blue);
    expect_connected(red);
}

TEST_P(Repair, LetsTheGatewayDeviceForwardAgain) {
    const auto blue = connect("blue");
    set_sysctl(setting("cw0", "forwarding"), "0");
    EXPECT_THAT(status().text, HasSubstr(".conf.cw0.forwarding is 0"));
    const auto red = connect("red");
    EXPECT_EQ(status().text, "");
    expect_connected(blue);
    expect_connected(red);
}

TEST_P(Repair, FollowsAnUplinkThatWasMadeAnew) {
    const auto blue = connect("blue");
    ip({"link", "del", "up0"});
    EXPECT_TRUE(succeeded(check(blue))) << "one that is gone is no fault of causeway's";
    ip({"link", "add", "up0", "type", "veth", "peer", "name", "dn0", "netns", "world"});
    ip_here({"addr", "add", "203.0.113.1/24", "dev", "up0", "nodad"});
    ip({"link", "set", "up0", "up"});
    ip_here({"addr", "add", "203.0.113.2/24", "dev", "dn0", "nodad"}, world_.world());
    ip({"link", "set", "dn0", "up"}, world_.world());
    ASSERT_TRUE(eventually([&] { return !ip_json_here({"route", "show", "table", "local", node_address}).empty(); }));
    ip_here({"route", "add", "default", "via", world_address});
    EXPECT_TRUE(refused(check(blue), 103, {"uplink up0", "no record"}));
    EXPECT_THAT(status().text, HasSubstr("uplink up0 has come since the last ADD"));
    const auto red = connect("red");
    EXPECT_TRUE(succeeded(check(blue)));
    EXPECT_EQ(status().text, "");
    expect_connected(blue);
    expect_connected(red);
}

// As containers of others come with bridges of their own.
TEST_P(Repair, SaysOfADeviceThatLeadsNowhereByDefaultButDoesNotFailCheckForIt) {
    const auto blue = connect("blue");
    ip({"link", "add", "other0", "type", "bridge"});
    ip_here({"addr", "add", "10.99.0.1/24", "dev", "other0", "nodad"});
    ip({"link", "set", "other0", "up"});
    EXPECT_TRUE(eventually([&] { return status().text.contains("uplink other0 has come since the last ADD"); }));
    EXPECT_TRUE(succeeded(check(blue)));
    expect_connected(blue);
}

TEST_P(Repair, FollowsAnUplinkThatHasAnotherAddress) {
    const auto blue = connect("blue");
    ip_here({"addr", "add", "203.0.113.77/24", "dev", "up0", "nodad"});
    ip_here({"addr", "del", "203.0.113.1/24", "dev", "up0"});  // with IPv4 takes the second one of its subnet with it
    ip_here({"addr", "replace", "203.0.113.77/24", "dev", "up0", "nodad"});
    ip_here({"route", "replace", "default", "via", world_address});
    const auto red = connect("red");
    for (const auto& sandbox : {blue, red}) {
        const auto meeting = meet(Protocol::tcp, {sandbox.netns}, {world_.world(), {here(service_address), 80}});
        EXPECT_TRUE(meeting) << sandbox.id;
        EXPECT_EQ(meeting.seen.address, here("203.0.113.77"));
    }
}

// Between the look at what there is and the attachment, which fails as for a device that is gone.
TEST_P(Repair, PassesOverAnUplinkThatVanishesMeanwhile) {
    const auto keeper = connect("keeper");
    add_bridge();
    const auto netns = world_.add_namespace("blue");
    const Fault gone{
        .kind = Fault::Kind::error, .nth = 3, .error = ENODEV, .calls = {SYS_bpf}, .bpf_commands = {BPF_PROG_ATTACH}};
    const auto faulted =
        run_with(gone, {plugin()}, call_here({.command = "ADD", .id = "blue", .netns = netns}).options());
    EXPECT_NE(faulted.call, "");
    EXPECT_TRUE(succeeded(answer_of(faulted.output)));
    EXPECT_EQ(keys_of("uplinks").size(), 1U) << "whichever of the two came first";
    EXPECT_TRUE(succeeded(del("blue", netns)));
    const auto red = connect("red");
    EXPECT_EQ(keys_of("uplinks").size(), 2U) << "it is there after all";
    expect_connected(keeper);
    expect_connected(red);
}

// As on a host that makes a bridge for each job, and removes it afterwards.
TEST_P(Repair, ForgetsUplinksThatAreGoneWhenThereIsNoRoomForAnother) {
    const auto blue = connect("blue");
    record_uplinks(indexes_from(1'000'000));
    ASSERT_EQ(keys_of("uplinks").size(), std::size_t{CAUSEWAY_UPLINKS_MAX});
    add_bridge();
    EXPECT_TRUE(succeeded(status()));
    const auto red = connect("red");
    EXPECT_THAT(programs_on("job0", Direction::ingress), ElementsAre("from_uplink"));
    EXPECT_EQ(keys_of("uplinks"), (std::set{key_of_device("up0"), key_of_device("job0")}));
    expect_connected(blue);
    expect_connected(red);
}

TEST_P(Repair, SaysSoWhereThereAreMoreUplinksThanThereIsRoomFor) {
    const auto blue = connect("blue");
    std::string devices;
    for (int i = 0; i < CAUSEWAY_UPLINKS_MAX; ++i) {
        devices += "link add many" + std::to_string(i) + " type bridge\n";
    }
    must_run({"ip", "-batch", "-"}, {.stdin_text = devices});
    record_uplinks(indexes_from(if_nametoindex("many0")));
    add_bridge();
    const auto netns = world_.add_namespace("red");
    const std::vector<std::string> words{"uplink job0", "room for 256 devices"};
    const auto answer = add("red", netns);
    EXPECT_TRUE(refused(answer, 101, words));
    EXPECT_THAT(answer.json.value("details", ""), HasSubstr("\"uplinks\" in the configuration"));
    EXPECT_TRUE(refused(status(), 50, words));
    const auto before = Snapshot::take({netns});
    EXPECT_TRUE(refused(add("red", netns, second_configuration()), 101, words));
    EXPECT_TRUE(before.holds()) << "nothing of a network that has come so far";
    EXPECT_TRUE(succeeded(add("red", netns, configuration({{"uplinks", {"up0"}}}))));
    expect_connected(blue);
}

// Which is there only because another network has some.
TEST_P(Repair, TakesWhatANetworkWithoutSandboxesHad) {
    const auto keeper = connect("keeper");
    const auto red = connect("red", second_configuration());
    const auto renamed = second_configuration({{"name", "renamed"}});
    auto moved = second_configuration({{"name", "moved"}, {"device", "cw2"}});
    moved["ipam"]["ranges"][0][0]["subnet"] = "10.0.1.0/25";
    const auto blue = world_.add_namespace("blue");
    for (const auto& conf : {renamed, moved}) {
        EXPECT_TRUE(refused(add("blue", blue, conf), 7, {"others"}));
        EXPECT_TRUE(refused(status(conf), 50, {"others"}));
    }
    disconnect(red, second_configuration());
    for (const auto& conf : {renamed, moved}) {
        EXPECT_TRUE(succeeded(status(conf)));
        EXPECT_TRUE(succeeded(add("blue", blue, conf)));
        EXPECT_TRUE(ping(blue, "10.0.1.1"));
        EXPECT_TRUE(succeeded(del("blue", blue, conf)));
    }
    expect_connected(keeper);
}

TEST_P(Repair, TakesThePlaceOfANetworkWithoutSandboxes) {
    const auto keeper = connect("keeper");
    fill_networks();
    const auto red = world_.add_namespace("red");
    EXPECT_TRUE(refused(add("red", red, second_configuration()), 101, {"make a network"}));
    erase_entry("attachments", key_of_attachment("full7", "eth0"));
    EXPECT_TRUE(succeeded(status(second_configuration())));
    EXPECT_TRUE(succeeded(add("red", red, second_configuration())));
    EXPECT_TRUE(ping(red, "10.0.1.1"));
    expect_connected(keeper);
}

TEST_P(Repair, TakesTheNewSettingsOfAConfiguration) {
    const auto blue = connect("blue");
    const auto red = connect("red", configuration({{"ipMasq", false}}));
    ip_here({"route", "add", "10.0.0.0/24", "via", node_address}, world_.world());
    const auto meeting = meet(Protocol::udp, {red.netns}, server(53));
    EXPECT_TRUE(meeting);
    EXPECT_EQ(meeting.seen.address, red.address);
}

TEST_P(Repair, TakesAWholeNewSubnetOfAConfiguration) {
    const auto blue = connect("blue");
    auto conf = configuration();
    conf["ipam"]["ranges"][0] = Json::parse(R"([{"subnet": "10.0.4.0/24"}])");
    const auto red = connect("red", conf);
    EXPECT_EQ(red.address, here("10.0.4.2"));
    EXPECT_TRUE(ping(blue.netns, "10.0.0.1"));
    EXPECT_TRUE(ping(red.netns, "10.0.4.1"));
    EXPECT_TRUE(meet(Protocol::tcp, {red.netns}, {blue.netns, {blue.address, 80}}));
    EXPECT_TRUE(meet(Protocol::tcp, {""}, {red.netns, {red.address, 80}}));
}

TEST_P(RepairOnce, MountsTheBpfFileSystemWhereItIsAbsent) {
    ASSERT_EQ(umount("/sys/fs/bpf"), 0);
    while (umount("/sys/fs/bpf") == 0) {  // those of the machine, in this mount namespace only
    }
    const auto blue = connect("blue");
    expect_connected(blue);
    EXPECT_TRUE(std::filesystem::exists("/sys/fs/bpf/causeway"));
    disconnect(blue);
    EXPECT_EQ(all_programs(), "");
    EXPECT_FALSE(std::filesystem::exists("/sys/fs/bpf/causeway"));
}

TEST_P(RepairOnce, ClearsWhatAKilledLoadLeft) {
    const auto before = Snapshot::take();
    for (const auto* directory :
         {"/sys/fs/bpf/causeway", "/sys/fs/bpf/causeway/loading", "/sys/fs/bpf/causeway/retiring"}) {
        std::filesystem::create_directory(directory);
    }
    for (const auto* pin : {"loading/endpoints", "retiring/flows"}) {
        must_run({"bpftool", "map", "create", std::string("/sys/fs/bpf/causeway/") + pin, "type", "hash", "key", "4",
                  "value", "4", "entries", "1", "name", "left"});
    }
    const auto blue = connect("blue");
    expect_connected(blue);
    EXPECT_FALSE(std::filesystem::exists("/sys/fs/bpf/causeway/loading"));
    disconnect(blue);
    world_.remove_namespace("blue");
    EXPECT_TRUE(before.holds());
}

TEST_P(RepairOnce, ClearsHalfALoadAtADelToo) {
    const auto before = Snapshot::take();
    std::filesystem::create_directories("/sys/fs/bpf/causeway/loading");
    must_run({"bpftool", "map", "create", "/sys/fs/bpf/causeway/loading/endpoints", "type", "hash", "key", "4", "value",
              "4", "entries", "1", "name", "left"});
    EXPECT_TRUE(succeeded(del("blue", "")));
    EXPECT_TRUE(before.holds());
}

TEST_P(RepairOnce, LeavesThePinsOfOthersAlone) {
    std::filesystem::create_directories("/sys/fs/bpf/somebody");
    must_run({"bpftool", "map", "create", "/sys/fs/bpf/somebody/map", "type", "hash", "key", "4", "value", "4",
              "entries", "1", "name", "theirs"});
    const auto before = Snapshot::take();
    const auto blue = connect("blue");
    disconnect(blue);
    world_.remove_namespace("blue");
    EXPECT_TRUE(before.holds());
}

// As a network card that is lent to a container for a while: its program stays on it, and is nobody's.
TEST_P(RepairOnce, TakesBackAnUplinkThatWasElsewhereWhenTheLastSandboxWent) {
    ip({"link", "add", "card0", "type", "veth", "peer", "name", "cable0"});
    ip({"addr", "add", "10.98.0.1/24", "dev", "card0"});
    ip({"link", "set", "card0", "up"});
    const auto blue = connect("blue");
    ASSERT_THAT(programs_on("card0", Direction::ingress), ElementsAre("from_uplink"));
    const auto elsewhere = world_.add_namespace("elsewhere");
    ip({"link", "set", "card0", "netns", elsewhere});
    disconnect(blue);
    must_run({"nsenter", "--net=" + elsewhere, "ip", "link", "set", "card0", "netns", std::to_string(getpid())});
    ASSERT_THAT(programs_on("card0", Direction::ingress), ElementsAre("from_uplink"));
    EXPECT_TRUE(succeeded(del("never", "")));
    const auto red = connect("red");
    expect_connected(red);
    disconnect(red);
}

// As podman(1) starts a container again that was killed with all that looked after it.
TEST_P(Repair, ConnectsASandboxAnewWhoseNamespaceHasGoneWithoutADel) {
    const auto keeper = connect("keeper");
    const auto before = Snapshot::take({keeper.netns});
    const auto lost = connect("blue");
    world_.remove_namespace("blue");
    ASSERT_TRUE(eventually([&] { return ip({"-o", "link"}).find(lost.host_end) == std::string::npos; }));
    const auto blue = connect("blue");
    expect_connected(blue);
    EXPECT_EQ(ctl_json({"endpoints"}).size(), 2U);
    disconnect(blue);
    world_.remove_namespace("blue");
    EXPECT_TRUE(before.holds());
}

FOR_BOTH_FAMILIES(Repair);
INSTANTIATE_TEST_SUITE_P(Of, RepairOnce, testing::Values(Family::ipv4), testing::PrintToStringParamName());

class RepairOfBothFamilies : public Host {
protected:
    Answer check(const Sandbox& sandbox) const {
        auto conf = dual_configuration();
        conf["prevResult"] = sandbox.reply;
        return answer_to({.command = "CHECK", .id = sandbox.id, .netns = sandbox.netns, .conf = conf});
    }
    Answer status() const {
        return answer_to({.command = "STATUS", .id = "", .netns = "", .conf = dual_configuration(), .interface = ""});
    }
};

TEST_F(RepairOfBothFamilies, FollowsAnUplinkThatHasAnotherAddress) {
    const auto blue = connect("blue", dual_configuration());
    ip({"addr", "add", "2001:db8:71::77/64", "dev", "up0", "nodad"});
    ip({"addr", "del", std::string(node_ipv6) + "/64", "dev", "up0"});
    const auto red = connect("red", dual_configuration());
    for (const auto& sandbox : {blue, red}) {
        const auto meeting = meet(Protocol::tcp, {sandbox.netns}, {world_.world(), {service_ipv6, 80}});
        EXPECT_TRUE(meeting) << sandbox.id;
        EXPECT_EQ(meeting.seen.address, "2001:db8:71::77");
        EXPECT_TRUE(meet(Protocol::tcp, {sandbox.netns}, {world_.world(), {service_address, 80}}));
    }
}

// Where the kernel would name a temporary address (RFC 8981), the recorded one serves: as long as the host has it.
TEST_F(RepairOfBothFamilies, LeavesTheAddressThatTheUplinkNoLongerHas) {
    set_sysctl("net/ipv6/conf/up0/use_tempaddr", "2");
    const auto blue = connect("blue", dual_configuration());
    EXPECT_TRUE(succeeded(check(blue)));
    EXPECT_EQ(status().text, "");
    ip({"addr", "add", "2001:db8:71::77/64", "dev", "up0", "nodad"});
    EXPECT_TRUE(succeeded(check(blue))) << "it has both";
    ip({"addr", "del", std::string(node_ipv6) + "/64", "dev", "up0"});
    const auto meeting = meet(Protocol::tcp, {blue.netns}, {world_.world(), {service_ipv6, 80}});
    EXPECT_TRUE(meeting);
    EXPECT_EQ(meeting.seen.address, "2001:db8:71::77");
    EXPECT_TRUE(refused(check(blue), 103, {"uplink up0", std::string(node_ipv6) + " no longer"}));
    EXPECT_THAT(status().text, HasSubstr("the uplink up0 has another address than at the last ADD"));
    const auto red = connect("red", dual_configuration());
    EXPECT_TRUE(succeeded(check(blue)));
    EXPECT_EQ(status().text, "");
}

TEST_F(RepairOfBothFamilies, TakesTheAddressThatLastsFromTheNextAddOn) {
    const auto blue = connect("blue", dual_configuration());
    set_sysctl("net/ipv6/conf/up0/use_tempaddr", "2");
    EXPECT_TRUE(refused(check(blue), 103, {"net.ipv6.conf.up0.use_tempaddr"}));
    EXPECT_THAT(status().text, HasSubstr("net.ipv6.conf.up0.use_tempaddr"));
    const auto red = connect("red", dual_configuration());
    EXPECT_TRUE(succeeded(check(blue)));
    EXPECT_EQ(status().text, "");
}

// One record is of all networks: an ADD of another one at the same time would write back what this one has read.
TEST_F(RepairOfBothFamilies, WaitsForOthersUntilItRecordsAnUplinksAddress) {
    const auto keeper = connect("keeper");
    const auto netns = world_.add_namespace("blue");
    const int held = ::open("/sys/fs/bpf", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ASSERT_EQ(flock(held, LOCK_SH), 0) << "as an ADD under way does";
    EXPECT_TRUE(succeeded(add("blue", netns))) << "nothing is to be recorded";
    EXPECT_TRUE(succeeded(del("blue", netns)));
    ip({"addr", "flush", "dev", "up0", "scope", "global"});
    ip({"addr", "add", "203.0.113.77/24", "dev", "up0"});
    auto adding = std::async(std::launch::async, [&] { return add("blue", netns); });
    EXPECT_EQ(adding.wait_for(std::chrono::milliseconds(500)), std::future_status::timeout);
    close(held);
    EXPECT_TRUE(succeeded(adding.get()));
}

TEST_F(RepairOfBothFamilies, GivesANetworkOfIPv4ItsIPv6) {
    const auto blue = connect("blue");
    const auto red = connect("red", dual_configuration());
    EXPECT_TRUE(meet(Protocol::tcp, {blue.netns}, {"", {"10.0.0.1", 8080}}));
    EXPECT_TRUE(meet(Protocol::tcp, {blue.netns}, {world_.world(), {world_address, 80}}));
    EXPECT_TRUE(ping(red.netns, "fd00:1::1"));
    EXPECT_TRUE(meet(Protocol::tcp, {red.netns}, {world_.world(), {service_ipv6, 80}}));
    EXPECT_TRUE(meet(Protocol::tcp, {blue.netns}, {red.netns, {red.address, 80}}));
    const auto green = connect("green");  // as the old configuration has it: nothing is taken away
    EXPECT_TRUE(ping(red.netns, "fd00:1::1"));
}

}  // namespace
}  // namespace causeway::test::repair_test
