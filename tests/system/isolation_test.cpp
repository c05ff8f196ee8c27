// SPDX-License-Identifier: Apache-2.0
// "isolate": sandboxes of one network don't see each other, by no way, and reach everything else.
#include "tests/system/host.hpp"
#include "tests/system/traffic.hpp"
#include "tests/system/wire.hpp"

namespace causeway::test::isolation_test {
namespace {

class Isolation : public Host {
protected:
    static Json isolated(const Json& patch = Json::object()) {
        auto conf = configuration({{"isolate", true}});
        conf.merge_patch(patch);
        return conf;
    }

    static bool meets(Protocol protocol, const Sandbox& one, const Sandbox& other) {
        return static_cast<bool>(meet(protocol, {one.netns}, {other.netns, {other.address, 80}}));
    }
};

TEST_F(Isolation, KeepsSandboxesFromEachOther) {
    const auto blue = connect("blue", isolated()), red = connect("red", isolated());
    for (const auto protocol : {Protocol::tcp, Protocol::udp, Protocol::icmp}) {
        EXPECT_FALSE(knock(protocol, {blue.netns}, {red.netns, {red.address, 80}}));
    }
    EXPECT_GE(count_of("drop-isolated"), 1U) << "the question by ARP";
}

// Whoever knows the neighbour's MAC, or the gateway's, and a route that leads around.
TEST_F(Isolation, HoldsAgainstRoutesAndNeighboursThatTheSandboxSets) {
    const auto blue = connect("blue", isolated()), red = connect("red", isolated());
    set_sysctl("net/ipv4/ip_forward", "1");
    for (const auto& mac : {red.mac, std::string(ip_json({"link", "show", "cw0"})[0].at("address"))}) {
        ip({"neigh", "replace", red.address, "lladdr", mac, "dev", "eth0"}, blue.netns);
        EXPECT_FALSE(knock(Protocol::udp, {blue.netns}, {red.netns, {red.address, 80}})) << mac;
    }
    ip({"neigh", "del", red.address, "dev", "eth0"}, blue.netns);
    ip({"route", "add", red.address + "/32", "via", "10.0.0.1"}, blue.netns);
    EXPECT_FALSE(knock(Protocol::udp, {blue.netns}, {red.netns, {red.address, 80}})) << "by the gateway";
}

TEST_F(Isolation, GivesNoAnswerToArpForANeighbour) {
    const auto blue = connect("blue", isolated()), red = connect("red", isolated());
    Tap tap(blue.netns, "eth0");
    const Mac own = mac_of(blue.mac);
    const auto answered = [&](const std::string& target, std::chrono::milliseconds time) {
        tap.send((Ethernet{.source = own, .destination = "ff:ff:ff:ff:ff:ff"_mac} /
                  Arp{.sender_mac = own, .sender = ip_of(blue.address), .target = ip_of(target)})
                     .bytes());
        return tap.next([](const Seen& seen) { return is_arp_reply(seen.frame); }, time).has_value();
    };
    EXPECT_TRUE(answered("10.0.0.1", patience));
    EXPECT_FALSE(answered(red.address, silence));
}

TEST_F(Isolation, LeavesTheHostTheWorldAndOtherNetworks) {
    const auto blue = connect("blue", isolated()), red = connect("red", second_configuration());
    for (const auto protocol : {Protocol::tcp, Protocol::udp, Protocol::icmp}) {
        EXPECT_TRUE(meet(protocol, {blue.netns}, {"", {"10.0.0.1", 8080}}));
        EXPECT_TRUE(meet(protocol, {""}, {blue.netns, {blue.address, 8080}}));
        EXPECT_TRUE(meet(protocol, {blue.netns}, {world_.world(), {world_address, 80}}));
        EXPECT_TRUE(meets(protocol, blue, red));
        EXPECT_TRUE(meets(protocol, red, blue));
    }
}

TEST_F(Isolation, BeginsAndEndsForSandboxesThatAreThereWithTheNextAdd) {
    const auto blue = connect("blue"), red = connect("red");
    EXPECT_TRUE(meets(Protocol::tcp, blue, red));
    connect("third", isolated());
    EXPECT_FALSE(knock(Protocol::tcp, {blue.netns}, {red.netns, {red.address, 80}}));
    EXPECT_FALSE(knock(Protocol::tcp, {red.netns}, {blue.netns, {blue.address, 80}}));
    connect("fourth");
    EXPECT_TRUE(meets(Protocol::tcp, blue, red));
}

}  // namespace
}  // namespace causeway::test::isolation_test
