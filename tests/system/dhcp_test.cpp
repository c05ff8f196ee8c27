// SPDX-License-Identifier: Apache-2.0
// Addresses that a DHCP server on the host gives: the reference plugin dhcp with its daemon, and dnsmasq, which listens
// at the gateway device.
#include <gmock/gmock.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string_view>

#include "tests/system/snapshot.hpp"
#include "tests/system/traffic.hpp"

namespace causeway::test::dhcp_test {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr const char* daemons_socket = "/run/dhcp.sock";

Json dhcp_configuration(const Json& patch = Json::object()) {
    Json conf = configuration({{"cniVersion", "1.0.0"}});
    conf["ipam"] = {{"type", "dhcp"}, {"daemonSocketPath", daemons_socket}, {"subnet", "10.0.0.0/24"}};
    conf.merge_patch(patch);
    return conf;
}

std::string text_of(const std::string& path) {
    std::stringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
}

// DHCPDISCOVER (1), DHCPREQUEST (3) or DHCPRELEASE (7) of a client, with more options as they are written: RFC 2131,
// section 2; RFC 2132, section 9.6.
std::string message_of(char type, const std::string& mac, const std::string& own = "0.0.0.0",
                       const std::string& options = {}) {
    std::string text(240, '\0');
    text[0] = text[1] = 1;
    text[2] = 6;
    text[4] = 0x77;
    std::istringstream numbers(own), bytes(mac);
    int number = 0;
    for (std::size_t i = 0; i < 4 && numbers >> number; i++, numbers.get()) {
        text[12 + i] = static_cast<char>(number);
    }
    for (std::size_t i = 0; i < 6 && bytes >> std::hex >> number; i++, bytes.get()) {
        text[28 + i] = static_cast<char>(number);
    }
    constexpr std::array<unsigned char, 4> cookie{99, 130, 83, 99};
    std::ranges::copy(cookie, text.begin() + 236);
    return text + std::string{53, 1, type} + options + static_cast<char>(255);
}

// A node with a server that listens at the gateway device, and the plugin's daemon.
class Dhcp : public Host {
protected:
    Dhcp() {
        start_daemon();
        serve();
    }

    void start_daemon() {
        daemon_.clear();
        std::filesystem::remove(daemons_socket);
        daemon_.push_back(start(
            {"/usr/lib/cni/dhcp", "daemon", "-socketpath", daemons_socket, "-timeout", "1s", "-resendmax", "1s"}));
        EXPECT_TRUE(eventually([] { return std::filesystem::exists(daemons_socket); }));
    }

    // Anew, with these options besides.
    void serve(const std::vector<std::string>& options = {}) {
        server_.clear();
        std::filesystem::remove(log);
        std::vector<std::string> command{"dnsmasq",
                                         "--keep-in-foreground",
                                         "--user=root",
                                         "--conf-file=/dev/null",
                                         "--port=0",
                                         "--pid-file=",
                                         "--interface=cw0",
                                         "--dhcp-authoritative",
                                         "--dhcp-ignore-clid",
                                         "--no-ping",
                                         "--dhcp-leasefile=/run/dnsmasq.leases",
                                         "--log-facility=" + log,
                                         "--dhcp-range=10.0.0.50,10.0.0.59,255.255.255.0,2m"};
        command.insert(command.end(), options.begin(), options.end());
        server_.push_back(start(command));
        EXPECT_TRUE(logs("DHCP, IP range"));
    }

    // So often at least.
    static testing::AssertionResult logs(const std::string& text, int times = 1) {
        const auto count = [&] {
            const auto all = text_of(log);
            int found = 0;
            for (auto place = all.find(text); place != std::string::npos; place = all.find(text, place + 1)) {
                found++;
            }
            return found;
        };
        return eventually([&] { return count() >= times; }) ? testing::AssertionSuccess()
                                                            : testing::AssertionFailure()
                                                                  << text << " is " << count() << " times in\n"
                                                                  << text_of(log);
    }

    static Call call(const std::string& command, const std::string& netns) {
        return {.command = command, .id = "blue", .netns = netns, .conf = dhcp_configuration()};
    }

    // An ADD while nobody answers, as soon as it asks.
    Child begin_asking(const std::string& netns) {
        server_.clear();
        auto adding = start({plugin()}, call("ADD", netns).options());
        // Until then it holds what the plugin holds, also when that is killed.
        const auto is_another_program = [](pid_t child) {
            std::error_code gone;
            const auto program = std::filesystem::read_symlink("/proc/" + std::to_string(child) + "/exe", gone);
            return !gone && program != plugin();
        };
        const auto asks = [&] { return std::ranges::any_of(children_of(adding.pid()), is_another_program); };
        EXPECT_TRUE(eventually(asks, std::chrono::seconds(30)));
        return adding;
    }

    // Those of its first thread.
    static std::vector<pid_t> children_of(pid_t pid) {
        const auto number = std::to_string(pid);
        std::ifstream file("/proc/" + number + "/task/" + number + "/children");
        return {std::istream_iterator<pid_t>(file), {}};
    }

    static inline const std::string log = "/run/dnsmasq.log";
    std::vector<Child> daemon_, server_;
};

TEST_F(Dhcp, GivesAnAddressThatWorksAndTakesItBack) {
    const auto before = Snapshot::take();
    const auto blue = connect("blue", dhcp_configuration());
    EXPECT_THAT(blue.address, StartsWith("10.0.0.5"));
    EXPECT_EQ(blue.reply.at("ips")[0].at("gateway"), "10.0.0.1");
    EXPECT_TRUE(logs("DHCPACK(cw0) " + blue.address + " " + blue.mac));
    EXPECT_TRUE(meet(Protocol::tcp, {blue.netns}, {"", {"10.0.0.1", 80}}));
    EXPECT_TRUE(meet(Protocol::tcp, {blue.netns}, {world_.world(), {world_address, 80}}));
    disconnect(blue, dhcp_configuration());
    EXPECT_TRUE(logs("DHCPRELEASE(cw0) " + blue.address + " " + blue.mac));
    world_.remove_namespace("blue");
    EXPECT_TRUE(before.comes_back());
}

TEST_F(Dhcp, ServesSeveralAtOnce) {
    set_sysctl("net/ipv4/conf/all/rp_filter", "1");  // strict
    const auto before = Snapshot::take();
    std::vector<Call> calls;
    for (const auto* id : {"blue", "red", "green", "grey"}) {
        calls.push_back(call("ADD", world_.add_namespace(id)));
        calls.back().id = id;
    }
    for (const auto* command : {"ADD", "DEL"}) {
        std::vector<Child> running;
        for (auto& one : calls) {
            one.command = command;
            running.push_back(start({plugin()}, one.options()));
        }
        std::set<std::string> addresses;
        for (auto& one : running) {
            EXPECT_EQ(one.wait(), 0) << one.out() << one.err();
            if (std::string_view(command) == "ADD") {
                addresses.insert(Json::parse(one.out()).at("ips")[0].at("address").get<std::string>());
            }
        }
        EXPECT_EQ(addresses.size(), std::string_view(command) == "ADD" ? 4U : 0U);
    }
    EXPECT_TRUE(logs("DHCPRELEASE(cw0)", 4));
    for (const auto& one : calls) {
        world_.remove_namespace(one.id);
    }
    EXPECT_TRUE(before.comes_back());
}

// Besides a queue at either end, and where sandboxes hear each other's groups: what it says there, they don't.
TEST_F(Dhcp, ServesThoseWithABandwidthAndOfANetworkWithMulticast) {
    const auto conf = dhcp_configuration(
        {{"multicast", true},
         {"runtimeConfig",
          {{"bandwidth",
            {{"ingressRate", 8000000}, {"ingressBurst", 800000}, {"egressRate", 8000000}, {"egressBurst", 800000}}}}}});
    const auto blue = connect("blue", conf), red = connect("red", conf);
    EXPECT_TRUE(meet(Protocol::tcp, {blue.netns}, {red.netns, {red.address, 80}}));
    EXPECT_EQ(count_of("to-group"), 0U);
    disconnect(red, conf);
    disconnect(blue, conf);
    EXPECT_TRUE(logs("DHCPRELEASE(cw0)", 2));
}

TEST_F(Dhcp, IsAskedByTheLinkBehindThePluginLoopbackToo) {
    auto conf = dhcp_configuration();
    const auto netns = world_.add_namespace("blue");
    conf["prevResult"] = {{"cniVersion", conf.at("cniVersion")},
                          {"interfaces", {{{"name", "lo"}, {"mac", "00:00:00:00:00:00"}, {"sandbox", netns}}}}};
    auto add = call("ADD", netns);
    add.conf = conf;
    const auto connected = answer_to(add);
    EXPECT_TRUE(succeeded(connected));
    EXPECT_TRUE(ping(netns, "10.0.0.1"));
    auto del = call("DEL", netns);
    del.conf["prevResult"] = connected.json;
    EXPECT_TRUE(succeeded(answer_to(del)));
    EXPECT_TRUE(logs("DHCPRELEASE(cw0)"));
}

TEST_F(Dhcp, IsCheckedAndGivenBackByGc) {
    const auto before = Snapshot::take();
    const auto blue = connect("blue", dhcp_configuration());
    auto check = call("CHECK", blue.netns);
    check.conf["prevResult"] = blue.reply;
    EXPECT_TRUE(succeeded(answer_to(check)));
    EXPECT_EQ(ctl_json({"endpoints"}).size(), 1U);
    EXPECT_TRUE(ctl({"gc"}).ok());
    EXPECT_TRUE(ping(blue.netns, "10.0.0.1"));
    std::filesystem::create_directory("/run/cni");  // the plugin of Debian 12 does not know GC's version
    std::ofstream("/run/cni/dhcp") << "#!/bin/sh\n[ \"$CNI_COMMAND\" = GC ] && exit\n"
                                      "sed s/1.1.0/1.0.0/ | /usr/lib/cni/dhcp\n";
    std::filesystem::permissions("/run/cni/dhcp", std::filesystem::perms::owner_all);
    EXPECT_TRUE(succeeded(answer_to({.command = "GC",
                                     .id = "",
                                     .netns = "",
                                     .conf = dhcp_configuration({{"cniVersion", "1.1.0"}}),
                                     .interface = "",
                                     .path = "/run/cni"})));
    EXPECT_TRUE(logs("DHCPRELEASE(cw0) " + blue.address));
    world_.remove_namespace("blue");
    EXPECT_TRUE(before.comes_back());
}

// The plugin gives up after some seconds.
TEST_F(Dhcp, LeavesNothingWhenNobodyAnswers) {
    const auto netns = world_.add_namespace("blue");
    const auto before = Snapshot::take({netns});
    server_.clear();
    const auto answer = answer_to(call("ADD", netns));
    EXPECT_TRUE(refused(answer, answer.code(), {"IPAM plugin \"dhcp\"", "no more tries"})) << answer.text;
    EXPECT_TRUE(succeeded(answer_to(call("DEL", netns))));
    EXPECT_TRUE(before.comes_back());
}

TEST_F(Dhcp, LeavesNothingOfALeaseThatIsNotOfTheSubnet) {
    const auto netns = world_.add_namespace("blue");
    const auto before = Snapshot::take({netns});
    serve({"--dhcp-option=option:netmask,255.255.0.0"});
    EXPECT_TRUE(refused(answer_to(call("ADD", netns)), 6, {"dhcp", "10.0.0.5", "/16", "is not in 10.0.0.0/24"}));
    EXPECT_TRUE(logs("DHCPRELEASE(cw0)"));
    serve({"--dhcp-option=option:router,10.0.0.9"});
    EXPECT_TRUE(refused(answer_to(call("ADD", netns)), 6, {"dhcp", "10.0.0.9", "10.0.0.0/24 is 10.0.0.1"}));
    EXPECT_TRUE(logs("DHCPRELEASE(cw0)"));
    EXPECT_TRUE(before.comes_back());
}

// The server does not know what others have. It is not told that it has it back, since that would name another's
// address.
TEST_F(Dhcp, LeavesNothingOfALeaseThatAnotherSandboxHas) {
    for (int last = 50; last < 60; last++) {
        const auto address = "10.0.0." + std::to_string(last);
        connect("other" + std::to_string(last), configuration({{"runtimeConfig", {{"ips", {address}}}}}));
    }
    const auto netns = world_.add_namespace("blue");
    const auto before = Snapshot::take({netns});
    EXPECT_TRUE(refused(answer_to(call("ADD", netns)), 102, {"10.0.0.5", "other5"}));
    EXPECT_TRUE(before.comes_back());
}

TEST_F(Dhcp, NeedsASubnetForItsGatewayDevice) {
    const auto netns = world_.add_namespace("blue");
    const auto before = Snapshot::take({netns});
    EXPECT_TRUE(refused(add("blue", netns, dhcp_configuration({{"ipam", {{"subnet", nullptr}}}})), 7, {"ipam.subnet"}));
    EXPECT_TRUE(refused(add("blue", netns, dhcp_configuration({{"ipam", {{"subnet", "fd00:1::/64"}}}})), 7,
                        {"ipam.ranges.subnet", "IPv4"}));
    EXPECT_TRUE(before.holds());
}

TEST_F(Dhcp, CannotAskForACertainAddress) {
    const auto netns = world_.add_namespace("blue");
    const auto before = Snapshot::take({netns});
    const Json asked{{"runtimeConfig", {{"ips", {"10.0.0.55"}}}}};
    EXPECT_TRUE(refused(add("blue", netns, dhcp_configuration(asked)), 2, {"10.0.0.55", "dhcp"}));
    EXPECT_EQ(text_of(log).find("DHCPDISCOVER"), std::string::npos);
    EXPECT_TRUE(before.holds());
}

TEST_F(Dhcp, TellsTwoOfOneMacApartByTheirNetworks) {
    const Json same{{"runtimeConfig", {{"mac", "02:00:00:00:77:01"}}}};
    const auto blue = connect("blue", dhcp_configuration(same));
    const auto netns = world_.add_namespace("red");
    const auto before = Snapshot::take({netns, blue.netns});
    EXPECT_TRUE(refused(add("red", netns, dhcp_configuration(same)), 102, {"02:00:00:00:77:01", "container blue"}));
    EXPECT_TRUE(before.holds());
    auto other = second_configuration({{"cniVersion", "1.0.0"}});
    other["ipam"] = {{"type", "dhcp"}, {"daemonSocketPath", daemons_socket}, {"subnet", "10.0.1.0/24"}};
    other.merge_patch(same);
    serve({"--interface=cw1", "--dhcp-range=10.0.1.50,10.0.1.59,255.255.255.0,2m"});
    ASSERT_TRUE(succeeded(add("red", netns, other)));
    EXPECT_TRUE(logs("DHCPACK(cw1) 10.0.1."));
    EXPECT_TRUE(ping(netns, "10.0.1.1"));
    EXPECT_TRUE(ping(blue.netns, "10.0.0.1"));
    EXPECT_TRUE(succeeded(del("red", netns, other)));
    EXPECT_TRUE(logs("DHCPRELEASE(cw1)"));
}

// Its own to all, as the daemon renews it, and to the server alone, as other clients do; another's neither way.
TEST_F(Dhcp, HearsASandboxInItsOwnNameAlone) {
    const auto blue = connect("blue", dhcp_configuration()), red = connect("red", dhcp_configuration());
    auto socket = Socket::udp(blue.netns, {"0.0.0.0", 68});
    socket.set(SOL_SOCKET, SO_BROADCAST, 1);
    for (const auto* to : {"255.255.255.255", "10.0.0.1"}) {
        serve();
        EXPECT_TRUE(socket.send_to({to, 67}, message_of(3, blue.mac, blue.address)));
        EXPECT_TRUE(logs("DHCPACK(cw0) " + blue.address + " " + blue.mac));
        const auto answer = socket.receive();
        ASSERT_TRUE(answer);
        EXPECT_EQ(answer->from, (End{"10.0.0.1", 67}));
        const auto before = count_of("drop-bad-dhcp");
        for (const char type : std::string{1, 3, 7}) {
            EXPECT_TRUE(socket.send_to({to, 67}, message_of(type, red.mac, red.address)));
        }
        EXPECT_TRUE(eventually([&] { return count_of("drop-bad-dhcp") == before + 3; }));
        EXPECT_THAT(text_of(log), testing::Not(HasSubstr(red.mac)));
    }
    EXPECT_TRUE(ping(red.netns, "10.0.0.1"));
}

// Whatever it calls itself, to a server that goes by MACs.
TEST_F(Dhcp, GivesOneSandboxOneAddress) {
    const auto blue = connect("blue", dhcp_configuration());
    auto socket = Socket::udp(blue.netns, {"0.0.0.0", 68});
    socket.set(SOL_SOCKET, SO_BROADCAST, 1);
    serve();
    for (const char identifier : std::string("abc")) {
        const std::string option{61, 2, 0, identifier};  // RFC 2132, section 9.14
        EXPECT_TRUE(socket.send_to({"255.255.255.255", 67}, message_of(1, blue.mac, "0.0.0.0", option)));
    }
    EXPECT_TRUE(logs("DHCPOFFER(cw0) " + blue.address, 3));
}

// As the daemon does it: it names the server, and its address once more. What that tells the kernel of its neighbours
// would be forgotten some seconds later, and not asked for anew.
TEST_F(Dhcp, LeavesTheHostItsWayToASandboxThatRenews) {
    const auto blue = connect("blue", dhcp_configuration());
    EXPECT_EQ(ip({"neigh", "show", "dev", "cw0"}), "");
    auto socket = Socket::udp(blue.netns, {"0.0.0.0", 68});
    socket.set(SOL_SOCKET, SO_BROADCAST, 1);
    serve();
    const auto last = static_cast<char>(std::stoi(blue.address.substr(blue.address.rfind('.') + 1)));
    const std::string named{54, 4, 10, 0, 0, 1, 50, 4, 10, 0, 0, last};  // RFC 2132, sections 9.7 and 9.1
    EXPECT_TRUE(socket.send_to({"255.255.255.255", 67}, message_of(3, blue.mac, blue.address, named)));
    EXPECT_TRUE(logs("DHCPREQUEST(cw0) " + blue.address + " " + blue.mac));
    EXPECT_TRUE(socket.receive());
    EXPECT_EQ(ip({"neigh", "show", "dev", "cw0"}), "");
}

TEST_F(Dhcp, LosesItsLinkThoughItCannotBeGivenBack) {
    const auto before = Snapshot::take();
    const auto blue = connect("blue", dhcp_configuration());
    daemon_.clear();
    const auto answer = del("blue", blue.netns, dhcp_configuration());
    EXPECT_TRUE(refused(answer, answer.code(), {"dhcp", "daemon"}));
    EXPECT_EQ(ip({"-o", "link"}).find(blue.host_end), std::string::npos);
    EXPECT_FALSE(del("blue", blue.netns, dhcp_configuration()).ok());
    start_daemon();
    EXPECT_TRUE(succeeded(del("blue", blue.netns, dhcp_configuration())));
    world_.remove_namespace("blue");
    EXPECT_TRUE(before.comes_back());
}

TEST_F(Dhcp, KeepsNobodyWaitingWhileItIsAsked) {
    const auto other = world_.add_namespace("red"), netns = world_.add_namespace("blue");
    ip({"link", "set", "lo", "up"}, other);
    ip({"link", "set", "lo", "up"}, netns);
    const auto before = Snapshot::take({netns, other});
    auto adding = begin_asking(netns);
    EXPECT_EQ(ctl_json({"endpoints", "--sandbox", "blue"}).at(0).at("state"), "connecting");
    EXPECT_TRUE(succeeded(add("red", other, second_configuration())));  // the first of its network
    const auto collected = ctl({"gc"});
    EXPECT_TRUE(collected.ok()) << collected.err;
    EXPECT_TRUE(adding.running());
    serve();
    EXPECT_EQ(adding.wait(), 0) << adding.out() << collected.out;
    EXPECT_TRUE(ping(netns, "10.0.0.1"));
    EXPECT_TRUE(succeeded(del("red", other, second_configuration())));
    EXPECT_TRUE(succeeded(answer_to(call("DEL", netns))));
    EXPECT_TRUE(logs("DHCPRELEASE(cw0)"));
    EXPECT_TRUE(before.comes_back());
}

TEST_F(Dhcp, LeavesNothingOfAnAddThatADelOvertakes) {
    const auto netns = world_.add_namespace("blue");
    ip({"link", "set", "lo", "up"}, netns);
    const auto before = Snapshot::take({netns});
    auto adding = begin_asking(netns);
    EXPECT_TRUE(refused(answer_to(call("DEL", netns)), 11, {"still runs"}));
    EXPECT_NE(adding.wait(), 0);
    EXPECT_TRUE(succeeded(answer_to(call("DEL", netns))));
    EXPECT_TRUE(before.comes_back());
}

TEST_F(Dhcp, LeavesNothingWhenThePluginIsKilled) {
    const auto netns = world_.add_namespace("blue");
    const auto before = Snapshot::take({netns});
    auto adding = begin_asking(netns);
    for (const auto child : children_of(adding.pid())) {
        ::kill(child, SIGKILL);
    }
    EXPECT_NE(adding.wait(), 0);
    EXPECT_THAT(adding.out(), HasSubstr("dhcp"));
    EXPECT_TRUE(before.comes_back());
}

// causeway itself, and not what it has called.
TEST_F(Dhcp, LeavesNothingWhenTheAddIsKilledAndThenDeleted) {
    const auto netns = world_.add_namespace("blue");
    ip({"link", "set", "lo", "up"}, netns);
    const auto before = Snapshot::take({netns});
    for (const bool again : {false, true}) {
        auto adding = begin_asking(netns);
        const auto asked = children_of(adding.pid());
        ::kill(adding.pid(), SIGKILL);
        EXPECT_EQ(adding.wait(), 128 + SIGKILL);
        for (const auto child : asked) {
            ::kill(child, SIGKILL);
        }
        serve();
        if (again) {
            ASSERT_TRUE(succeeded(answer_to(call("ADD", netns))));
            EXPECT_TRUE(ping(netns, "10.0.0.1"));
        }
        EXPECT_TRUE(succeeded(answer_to(call("DEL", netns))));
        EXPECT_TRUE(before.comes_back());
    }
    auto adding = begin_asking(netns);
    ::kill(adding.pid(), SIGKILL);
    adding.wait();
    EXPECT_THAT(ctl({"gc"}).out, HasSubstr("its ADD was killed"));
    EXPECT_TRUE(before.comes_back());
}

}  // namespace
}  // namespace causeway::test::dhcp_test
