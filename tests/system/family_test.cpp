// SPDX-License-Identifier: Apache-2.0
// Networks of IPv4, of IPv6, and of both: what ADD makes, what the others find, and that all of it goes again.
#include <gmock/gmock.h>

#include <algorithm>
#include <map>

#include "tests/system/entries.hpp"
#include "tests/system/host.hpp"
#include "tests/system/programs.hpp"
#include "tests/system/snapshot.hpp"
#include "tests/system/traffic.hpp"

namespace causeway::test::family_test {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Key;

struct Member {
    std::string number;               // "-4"
    std::string first, second, last;  // addresses of sandboxes
    std::string gateway, subnet, length, all;
    std::string node, world, service;  // outside
};

const Member ipv4{"-4", "10.0.0.2",  "10.0.0.3",   "10.0.0.77",   "10.0.0.1",     "10.0.0.0/24",
                  "24", "0.0.0.0/0", node_address, world_address, service_address},
    ipv6{"-6",      "fd00:1::2", "fd00:1::3", "fd00:1::ffff:ffff:ffff:ffff", "fd00:1::1", "fd00:1::/64", "64", "::/0",
         node_ipv6, world_ipv6,  service_ipv6};

struct Network {
    std::string name;
    Json (*configuration)(const Json& patch);
    std::vector<Member> members;
};
void PrintTo(const Network& network, std::ostream* stream) {
    *stream << network.name;
}

// Addresses of a device that it was given, as "fd00:1::2/64", with their flags.
std::map<std::string, Json> addresses_on(const std::string& device, const std::string& netns = {}) {
    std::map<std::string, Json> found;
    const auto links = ip_json({"addr", "show", device}, netns);
    for (const auto& one : links.at(0).at("addr_info")) {
        found.emplace(one.at("local").get<std::string>() + "/" + std::to_string(one.at("prefixlen").get<int>()), one);
    }
    return found;
}

Answer ask(const std::string& command, const Sandbox& sandbox, Json conf) {
    conf["prevResult"] = sandbox.reply;
    return answer_to({.command = command, .id = sandbox.id, .netns = sandbox.netns, .conf = std::move(conf)});
}

class Family : public Host, public testing::WithParamInterface<Network> {
protected:
    static Json conf(const Json& patch = Json::object()) { return GetParam().configuration(patch); }
    static Json with_first_addresses() {  // and no others
        auto few = conf();
        for (std::size_t i = 0; i < members().size(); ++i) {
            few["ipam"]["ranges"][i][0].update({{"rangeStart", members()[i].first}, {"rangeEnd", members()[i].first}});
        }
        return few;
    }
    static const std::vector<Member>& members() { return GetParam().members; }
    static bool has_ipv6() { return members().back().number == "-6"; }
    static std::vector<Protocol> protocols() { return {Protocol::tcp, Protocol::udp, Protocol::icmp}; }
};

class OneOrBoth : public Family {};  // where it matters what a network has not

const Network of_both{"Both", dual_configuration, {ipv4, ipv6}};
constexpr auto name_of = [](const auto& network) { return network.param.name; };
INSTANTIATE_TEST_SUITE_P(Of, Family, testing::Values(of_both), name_of);
INSTANTIATE_TEST_SUITE_P(Of, OneOrBoth,
                         testing::Values(Network{"IPv4", configuration, {ipv4}},
                                         Network{"IPv6", ipv6_configuration, {ipv6}}, of_both),
                         name_of);

TEST_P(Family, IsListedInTheReplyWithGatewaysAndRoutes) {
    const auto keeper = connect("keeper", conf());  // so that the datapath is loaded once
    for (const std::string version : {"0.3.1", "0.4.0", "1.0.0", "1.1.0"}) {
        const auto blue = connect("blue" + version, conf({{"cniVersion", version}}));
        ASSERT_EQ(blue.reply.at("ips").size(), members().size());
        ASSERT_EQ(blue.reply.at("routes").size(), members().size());
        for (std::size_t i = 0; i < members().size(); ++i) {
            const auto& ip = blue.reply.at("ips")[i];
            EXPECT_EQ(ip.at("gateway"), members()[i].gateway);
            EXPECT_EQ(ip.at("interface"), 2);
            EXPECT_EQ(ip.value("version", ""),
                      version.starts_with("0.") ? members()[i].number.substr(1) : std::string());
            EXPECT_EQ(blue.reply.at("routes")[i], Json({{"dst", members()[i].all}, {"gw", members()[i].gateway}}));
        }
        disconnect(blue, conf());
    }
}

TEST_P(Family, HasItsAddressesInTheSandboxAtOnce) {
    const auto blue = connect("blue", conf());
    const auto addresses = addresses_on("eth0", blue.netns);
    for (const auto& member : members()) {
        ASSERT_THAT(addresses, Contains(Key(member.first + "/" + member.length)));
        const auto& address = addresses.at(member.first + "/" + member.length);
        EXPECT_FALSE(address.value("tentative", false)) << address;
        const auto routes = ip_json({member.number, "route", "show", "default"}, blue.netns);
        ASSERT_EQ(routes.size(), 1U) << routes;
        EXPECT_EQ(routes[0].at("gateway"), member.gateway);
        EXPECT_EQ(routes[0].at("dev"), "eth0");
    }
    for (const auto& [address, of] : addresses) {
        EXPECT_FALSE(of.value("tentative", false)) << address << ": nothing waits for the detection of duplicates";
    }
    EXPECT_EQ(sysctl("net/ipv6/conf/eth0/accept_ra", blue.netns), "0");
    EXPECT_EQ(sysctl("net/ipv6/conf/eth0/accept_dad", blue.netns), "0");
}

// The kernel makes some addresses usable a little after it has taken them, so of many ADDs some would return too early.
TEST_P(Family, IsReachedByTheFirstDatagram) {
    const auto keeper = connect("keeper", conf());
    std::vector<Socket> clients;
    for (const auto& member : members()) {
        clients.push_back(Socket::udp(keeper.netns, {member.first, 0}));
    }
    const auto port = [](std::size_t k) { return static_cast<std::uint16_t>(80 + k); };
    for (int i = 0; i < 40 && !HasFailure(); ++i) {
        const std::string id = "sandbox" + std::to_string(i);
        const auto netns = world_.add_namespace(id);
        std::vector<Socket> services;
        for (std::size_t k = 0; k < members().size(); ++k) {
            services.push_back(Socket::udp(netns, {members()[k].number == "-6" ? "::" : "0.0.0.0", port(k)}));
        }
        const auto added = add(id, netns, conf());
        ASSERT_TRUE(succeeded(added));
        for (std::size_t k = 0; k < services.size(); ++k) {
            const std::string prefix = added.json.at("ips").at(k).at("address");
            clients[k].send_to({prefix.substr(0, prefix.find('/')), port(k)}, "first");
            EXPECT_TRUE(services[k].receive()) << prefix << ", of ADD " << i;
        }
    }
}

TEST_P(OneOrBoth, HasItsGatewaysOnTheGatewayDevice) {
    const auto blue = connect("blue", conf());
    const auto addresses = addresses_on("cw0");
    for (const auto& member : members()) {
        EXPECT_THAT(addresses, Contains(Key(member.gateway + "/" + member.length)));
        EXPECT_THAT(ip({member.number, "route", "show", member.subnet}), HasSubstr("dev cw0"));
    }
    const std::string mac = ip_json({"link", "show", "cw0"}).at(0).at("address");
    EXPECT_EQ(addresses.size(), has_ipv6() ? members().size() + 1 : 1) << "and with IPv6 one that its MAC makes";
    if (has_ipv6()) {
        const auto link_local =
            std::ranges::find_if(addresses, [](const auto& one) { return one.first.starts_with("fe80::8"); });
        ASSERT_NE(link_local, addresses.end());
        EXPECT_FALSE(link_local->second.value("tentative", false));
        EXPECT_THAT(link_local->first, HasSubstr("ff:fe")) << mac;
    }
    EXPECT_THAT(ip({"-6", "addr", "show", blue.host_end}), IsEmpty()) << "a host end has no IPv6 of its own";
}

TEST_P(OneOrBoth, ForwardsOnTheGatewayDeviceAlone) {
    const std::vector<std::string> others{"all", "default", "up0", "lo"};
    const auto blue = connect("blue", conf());
    for (const auto& device : others) {
        EXPECT_EQ(sysctl("net/ipv6/conf/" + device + "/forwarding"), "0") << device;
    }
    EXPECT_EQ(sysctl("net/ipv6/conf/cw0/forwarding"), has_ipv6() ? "1" : "0");
    EXPECT_EQ(sysctl("net/ipv6/conf/up0/accept_ra"), "1") << "the uplink takes router advertisements as before";
}

TEST_P(Family, IsReachedFromAllWhoMayAndReachesThem) {
    const auto blue = connect("blue", conf()), red = connect("red", conf());
    for (const auto& member : members()) {
        for (const auto protocol : protocols()) {
            EXPECT_TRUE(meet(protocol, {blue.netns}, {red.netns, {member.second, 80}}));
            EXPECT_TRUE(meet(protocol, {""}, {red.netns, {member.second, 80}}));
            EXPECT_TRUE(meet(protocol, {blue.netns}, {"", {member.gateway, 80}}));
            EXPECT_TRUE(meet(protocol, {blue.netns}, {"", {member.node, 80}}));
            for (const auto& outside : {member.world, member.service}) {
                const auto meeting = meet(protocol, {blue.netns}, {world_.world(), {outside, 80}});
                EXPECT_TRUE(meeting) << outside;
                EXPECT_EQ(meeting.seen.address, member.node) << "masqueraded";
            }
        }
        EXPECT_TRUE(ping(blue.netns, member.gateway));
    }
}

TEST_P(Family, KeepsItsOwnAddressTowardsTheWorldWhenItIsRouted) {
    Json unmasqueraded = Json::array();
    for (const auto& member : members()) {
        ip({"route", "add", member.subnet, "via", member.node}, world_.world());
        unmasqueraded.push_back(member.world + (member.number == "-4" ? "/32" : "/128"));
    }
    const auto blue = connect("blue", conf({{"ipMasq", false}}));
    for (const auto& member : members()) {
        const auto meeting = meet(Protocol::tcp, {blue.netns}, {world_.world(), {member.service, 80}});
        EXPECT_TRUE(meeting);
        EXPECT_EQ(meeting.seen.address, member.first);
    }
    const auto red = connect("red", conf({{"nonMasqueradeCIDRs", unmasqueraded}}));
    for (const auto& member : members()) {
        const auto near = meet(Protocol::udp, {red.netns}, {world_.world(), {member.world, 80}});
        EXPECT_TRUE(near);
        EXPECT_EQ(near.seen.address, member.second) << "listed";
        const auto far = meet(Protocol::udp, {red.netns}, {world_.world(), {member.service, 80}});
        EXPECT_TRUE(far);
        EXPECT_EQ(far.seen.address, member.node) << "not listed";
    }
}

// Where the kernel prefers them for its own connections (RFC 8981, and use_tempaddr 2).
TEST_P(Family, IsMasqueradedWithNeitherATemporaryNorADeprecatedAddress) {
    set_sysctl("net/ipv6/conf/up0/use_tempaddr", "2");
    set_sysctl("net/ipv6/conf/up0/accept_dad", "0");
    ip({"addr", "add", "2001:db8:71::77/64", "dev", "up0", "mngtmpaddr"});
    ip({"addr", "add", "2001:db8:71::99/64", "dev", "up0", "preferred_lft", "0"});
    ASSERT_THAT(ip({"-6", "addr", "show", "up0"}), HasSubstr("temporary"));
    const auto blue = connect("blue", conf());
    for (const auto& member : members()) {
        const auto meeting = meet(Protocol::tcp, {blue.netns}, {world_.world(), {member.world, 80}});
        EXPECT_TRUE(meeting);
        EXPECT_THAT(meeting.seen.address, testing::AnyOf(member.node, std::string("2001:db8:71::77")));
    }
}

TEST_P(Family, PublishesAPortOnEachOfItsFamilies) {
    const auto publishing = [](const std::string& host) {
        return conf(
            {{"runtimeConfig", {{"portMappings", {{{"hostPort", 8080}, {"containerPort", 80}, {"hostIP", host}}}}}}});
    };
    const auto red = world_.add_namespace("red");
    for (const auto& member : members()) {
        for (const std::string& host : {std::string(), member.all.substr(0, member.all.find('/')), member.node}) {
            const auto blue = world_.add_namespace("blue");
            const auto added = add("blue", blue, publishing(host));
            ASSERT_TRUE(succeeded(added));
            EXPECT_TRUE(refused(add("red", red, publishing(host)), 102, {"8080", "container blue"}));
            std::string own;
            for (const auto& given : added.json.at("ips")) {
                own = given.at("gateway") == member.gateway ? given.at("address").get<std::string>() : own;
            }
            auto listener = Socket::listener(blue, {own.substr(0, own.find('/')), 80});
            auto client = Socket::tcp(world_.world(), {member.world, 0});
            EXPECT_EQ(client.connect({member.node, 8080}), 0) << member.node << " published on " << host;
            ASSERT_TRUE(succeeded(del("blue", blue, conf())));
            world_.remove_namespace("blue");
        }
    }
}

TEST_P(Family, IsReachedByTheLinkLocalAddressOfTheGatewayToo) {
    const auto blue = connect("blue", conf());
    for (const auto& [address, of] : addresses_on("cw0")) {
        if (address.starts_with("fe80::8")) {
            const auto next_hop = address.substr(0, address.find('/'));
            ip({"-6", "route", "replace", "default", "via", next_hop, "dev", "eth0"}, blue.netns);
            EXPECT_TRUE(meet(Protocol::tcp, {blue.netns}, {world_.world(), {service_ipv6, 80}}));
        }
    }
}

TEST_P(Family, LeavesNothingWhenTheLastIsGone) {
    const auto netns = world_.add_namespace("blue");
    ip({"link", "set", "lo", "up"}, netns);
    const auto before = Snapshot::take({netns});
    ASSERT_TRUE(succeeded(add("blue", netns, conf())));
    EXPECT_FALSE(before.holds());
    EXPECT_TRUE(succeeded(del("blue", netns, conf())));
    EXPECT_TRUE(before.holds());
}

TEST_P(Family, LeavesTheOthersEntriesWhenOneGoes) {
    const auto keeper = connect("keeper", conf());
    const auto entries = keys_of("endpoints");
    disconnect(connect("blue", conf()), conf());
    EXPECT_EQ(keys_of("endpoints"), entries);
    EXPECT_TRUE(succeeded(ask("CHECK", keeper, conf())));
}

TEST_P(Family, SucceedsInCheckAndChangesNothing) {
    const auto blue = connect("blue", conf());
    const auto before = Snapshot::take({blue.netns});
    EXPECT_TRUE(succeeded(ask("CHECK", blue, conf())));
    EXPECT_TRUE(before.holds());
}

TEST_P(Family, FailsCheckWhenAnyPartOfItIsGone) {
    const auto one_each = with_first_addresses();
    const auto expect_missing = [&](const auto& strike, const std::vector<std::string>& words) {
        const auto blue = connect("blue", one_each);
        ASSERT_TRUE(succeeded(ask("CHECK", blue, one_each)));
        strike(blue);
        EXPECT_TRUE(refused(ask("CHECK", blue, one_each), 103, words));
        disconnect(blue, one_each);
        world_.remove_namespace("blue");
    };
    for (const auto& member : members()) {  // which no ADD mends
        expect_missing([&](const Sandbox&) { erase_entry("endpoints", key_of_address(member.gateway)); },
                       {member.gateway, "does not lead to cw0"});
    }
    const auto keeper = connect("keeper", second_configuration());  // so that the datapath is loaded once
    for (const auto& member : members()) {
        const auto with_length = member.first + "/" + member.length;
        expect_missing([&](const Sandbox& s) { ip({"addr", "del", with_length, "dev", "eth0"}, s.netns); },
                       {with_length, "gone"});
        expect_missing([&](const Sandbox& s) { ip({member.number, "route", "del", "default"}, s.netns); },
                       {member.all, member.gateway});
        expect_missing([&](const Sandbox&) { erase_entry("endpoints", key_of_address(member.first)); },
                       {member.first, "does not lead to"});
        expect_missing([&](const Sandbox&) { ip({"addr", "del", member.gateway + "/" + member.length, "dev", "cw0"}); },
                       {member.gateway, "cw0"});
        expect_missing([&](const Sandbox&) { ip({member.number, "route", "del", member.subnet}); },
                       {member.subnet, "cw0", "gone"});
        const std::string family = member.number == "-4" ? "ipv4" : "ipv6";
        expect_missing([&](const Sandbox&) { set_sysctl("net/" + family + "/conf/cw0/forwarding", "0"); },
                       {"net." + family + ".conf.cw0.forwarding"});
    }
}

TEST_P(Family, IsMadeWholeByTheNextAdd) {
    const auto blue = connect("blue", conf());
    ip({"addr", "flush", "dev", "cw0"});
    set_sysctl("net/ipv6/conf/cw0/forwarding", "0");
    const auto red = connect("red", conf());
    EXPECT_TRUE(succeeded(ask("CHECK", blue, conf())));
    EXPECT_TRUE(succeeded(ask("CHECK", red, conf())));
}

TEST_P(Family, IsFoundByGcWithAllItsAddresses) {
    const auto keeper = connect("keeper", conf());
    const auto entries = keys_of("endpoints");
    const auto blue = connect("blue", conf());
    world_.remove_namespace("blue");
    ASSERT_TRUE(eventually([&] { return ip({"-o", "link"}).find(blue.host_end) == std::string::npos; }));
    const auto collected = ctl_json({"gc"});
    ASSERT_EQ(collected.size(), 1U) << collected;
    for (const auto& member : members()) {
        EXPECT_THAT(collected[0].at("what").get<std::string>(), HasSubstr("address " + member.second));
    }
    EXPECT_EQ(keys_of("endpoints"), entries);
}

TEST_P(Family, IsListedAddressByAddress) {
    const auto blue = connect("blue", conf());
    const auto rows = ctl_json({"endpoints"});
    ASSERT_EQ(rows.size(), members().size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
        EXPECT_EQ(rows[i].at("address"), members()[i].first);
        EXPECT_EQ(rows[i].at("container"), "blue");
        EXPECT_EQ(rows[i].at("sentPackets").is_null(), i > 0) << "packets are counted once";
    }
}

TEST_P(Family, GivesTheAddressesThatTheRuntimeAsksFor) {
    const auto keeper = connect("keeper", conf());
    Json ips = Json::array();
    for (const auto& member : members()) {
        ips.insert(ips.begin(), member.last + "/" + member.length);  // in another order than the sets
    }
    const auto asking = conf({{"runtimeConfig", {{"ips", ips}}}});
    const auto blue = connect("blue", asking);
    for (std::size_t i = 0; i < members().size(); ++i) {
        EXPECT_EQ(blue.reply.at("ips")[i].at("address"), members()[i].last + "/" + members()[i].length);
    }
    const auto netns = world_.add_namespace("red");
    const auto before = Snapshot::take({netns});
    EXPECT_TRUE(refused(add("red", netns, asking), 102, {"container blue, interface eth0"}));
    for (const auto& member : members()) {
        const auto gateways = conf({{"runtimeConfig", {{"ips", {member.gateway}}}}});
        EXPECT_TRUE(refused(add("red", netns, gateways), 7, {member.gateway}));
    }
    EXPECT_TRUE(refused(add("red", netns, conf({{"runtimeConfig", {{"ips", {"fd00:9::5"}}}}})), 7, {"fd00:9::5"}));
    EXPECT_TRUE(before.holds());
}

TEST_P(Family, LetsItsAddressesRest) {
    const auto keeper = connect("keeper", second_configuration());
    auto few = with_first_addresses();
    few["ipam"]["rest"] = 3600;
    const auto blue = connect("blue", few);
    disconnect(blue, few);
    EXPECT_TRUE(refused(add("blue", blue.netns, few), 101, {members()[0].first, "1 addresses: 0 taken, 1 resting"}));
    EXPECT_TRUE(refused(answer_to({.command = "STATUS", .id = "", .netns = "", .conf = few, .interface = ""}), 50,
                        {members()[0].first, "1 resting"}));
}

TEST_P(Family, IsReadyAndSaysNothing) {
    const Call status{.command = "STATUS", .id = "", .netns = "", .conf = conf(), .interface = ""};
    EXPECT_EQ(answer_to(status).text, "");
    const auto blue = connect("blue", conf());
    EXPECT_EQ(answer_to(status).text, "");
}

TEST_P(OneOrBoth, AttachesToAnUplinkThatHasNoOtherFamily) {
    for (const auto& member : members()) {
        ip({member.number == "-4" ? "-6" : "-4", "addr", "flush", "dev", "up0", "scope", "global"});
    }
    if (members().size() == 2) {
        ip({"addr", "add", "2001:db8:71::1/64", "dev", "up0", "nodad"});
    }
    const auto blue = connect("blue", conf());
    EXPECT_THAT(programs_on("up0", Direction::ingress), ElementsAre("from_uplink"));
    EXPECT_EQ(keys_of("uplinks").size(), 1U);
}

TEST_P(OneOrBoth, MakesNoUplinkOfADeviceWithoutIt) {
    for (const auto& member : members()) {
        ip({member.number, "addr", "flush", "dev", "up0", "scope", "global"});
    }
    const auto blue = connect("blue", conf());
    EXPECT_THAT(programs_on("up0", Direction::ingress), IsEmpty());
}

}  // namespace
}  // namespace causeway::test::family_test
