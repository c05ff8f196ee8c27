// SPDX-License-Identifier: Apache-2.0
// One container in two networks, of each of which its runtime asks for the same ports.
#include <gmock/gmock.h>

#include "tests/system/host.hpp"
#include "tests/system/snapshot.hpp"
#include "tests/system/traffic.hpp"

namespace causeway::test::two_networks_test {
namespace {

class TwoNetworks : public Host {
protected:
    static Json publishing(const Json& conf) {
        auto patched = conf;
        patched["runtimeConfig"]["portMappings"] = Json::parse(
            R"([{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
                {"hostPort": 8443, "containerPort": 443, "protocol": "tcp", "hostIP": "203.0.113.1"}])");
        return patched;
    }
    Answer check(const Sandbox& sandbox, Json conf, const std::string& interface) const {
        conf["prevResult"] = sandbox.reply;
        return answer_to(
            {.command = "CHECK", .id = sandbox.id, .netns = sandbox.netns, .conf = conf, .interface = interface});
    }
    Meeting from_world(const Sandbox& sandbox, std::uint16_t host_port, std::uint16_t port) {
        auto listener = Socket::listener(sandbox.netns, {"0.0.0.0", port});
        auto client = Socket::tcp(world_.world(), {world_address, 0});
        Meeting meeting;
        meeting.met = client.connect({node_address, host_port}, std::chrono::seconds(1)) == 0;
        return meeting;
    }

    const Json first_ = publishing(configuration()), second_ = publishing(second_configuration());
};

TEST_F(TwoNetworks, HaveThePortsOfTheirContainerOnTheFirst) {
    const auto before = Snapshot::take();
    const auto keeper = connect("keeper");
    auto blue = connect("blue", first_);
    auto second = blue;
    const auto added = add("blue", blue.netns, second_, "eth1");
    ASSERT_TRUE(succeeded(added));
    second.reply = added.json;
    EXPECT_TRUE(from_world(blue, 8080, 80));
    EXPECT_TRUE(from_world(blue, 8443, 443));
    EXPECT_TRUE(succeeded(check(blue, first_, "eth0")));
    EXPECT_TRUE(succeeded(check(second, second_, "eth1")));
    EXPECT_TRUE(refused(add("red", world_.add_namespace("red"), first_), 102, {"8080", "container blue"}));
    EXPECT_TRUE(succeeded(del("blue", blue.netns, second_, "eth1")));
    EXPECT_TRUE(from_world(blue, 8080, 80)) << "it was never the second one's";
    EXPECT_TRUE(succeeded(check(blue, first_, "eth0")));
    second.reply = add("blue", blue.netns, second_, "eth1").json;
    EXPECT_TRUE(succeeded(del("blue", blue.netns, first_, "eth0")));
    EXPECT_TRUE(succeeded(check(second, second_, "eth1"))) << "it has none of them";
    EXPECT_TRUE(succeeded(add("red", world_.path("red"), first_))) << "nobody has them any more";
    EXPECT_TRUE(succeeded(del("red", world_.path("red"), first_)));
    EXPECT_TRUE(succeeded(del("blue", blue.netns, second_, "eth1")));
    disconnect(keeper);
    for (const auto* name : {"blue", "red", "keeper"}) {
        world_.remove_namespace(name);
    }
    EXPECT_TRUE(before.comes_back());
}

TEST_F(TwoNetworks, HaveAPortOfOneAddressOnTheOneThatHasItsFamily) {
    auto first = first_, third = publishing(ipv6_configuration({{"device", "cw3"}, {"name", "third"}}));
    for (auto* conf : {&first, &third}) {
        (*conf)["runtimeConfig"]["portMappings"].erase(1);
        (*conf)["runtimeConfig"]["portMappings"][0]["hostIP"] = node_address;
    }
    const auto blue = connect("blue", first);
    EXPECT_TRUE(succeeded(add("blue", blue.netns, third, "eth1")));
    EXPECT_TRUE(from_world(blue, 8080, 80));
    EXPECT_TRUE(refused(add("red", world_.add_namespace("red"), third), 102, {"8080", "container blue"}));
}

// What the first one has no address for is the second one's.
TEST_F(TwoNetworks, HaveAPortOnOneEachWhereTheirFamiliesDiffer) {
    auto dual = publishing(second_configuration({{"ipam", {{"ranges", nullptr}}}}));
    dual["ipam"]["ranges"] = Json::parse(R"([[{"subnet": "10.0.1.0/24"}], [{"subnet": "fd00:5::/64"}]])");
    dual["runtimeConfig"]["portMappings"].erase(1);
    const auto blue = connect("blue", first_);
    auto second = blue;
    const auto added = add("blue", blue.netns, dual, "eth1");
    ASSERT_TRUE(succeeded(added));
    second.reply = added.json;
    EXPECT_TRUE(succeeded(check(second, dual, "eth1")));
    disconnect(blue, first_);
    EXPECT_TRUE(succeeded(check(second, dual, "eth1")));
    const auto red = connect("red", first_);
    const auto third = publishing(ipv6_configuration({{"device", "cw3"}, {"name", "third"}}));
    EXPECT_TRUE(refused(add("green", world_.add_namespace("green"), third), 102, {"8080", "interface eth1"}))
        << "the second one keeps its own";
}

}  // namespace
}  // namespace causeway::test::two_networks_test
