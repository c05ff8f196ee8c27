// SPDX-License-Identifier: Apache-2.0
// Addresses that causeway gives: which, to whom, when again, and what it costs when nearly all are taken.
#include <gmock/gmock.h>
#include <sys/syscall.h>

#include <thread>

#include "tests/system/entries.hpp"
#include "tests/system/fault.hpp"
#include "tests/system/of_family.hpp"
#include "tests/system/snapshot.hpp"

namespace causeway::test::pool_test {
namespace {

using testing::HasSubstr;

// The README's network with one range, whose keys are these.
Json with_range(const Json& range, const Json& patch = Json::object()) {
    auto conf = configuration();
    conf["ipam"]["ranges"][0][0].merge_patch(range);
    conf.merge_patch(patch);
    return conf;
}

Json few(const Json& patch = Json::object()) {
    return with_range({{"rangeStart", "10.0.0.10"}, {"rangeEnd", "10.0.0.12"}}, patch);
}

Json asking_for(const std::string& address) {
    return configuration({{"runtimeConfig", {{"ips", {address}}}}});
}

class Pool : public EachFamily {
protected:
    std::string address_of_add(const std::string& id, const Json& conf) {
        const auto answer = add(id, world_.path(id), conf);
        EXPECT_TRUE(succeeded(answer));
        return answer.ok() ? answer.json.at("ips")[0].at("address").get<std::string>() : "none";
    }

    // ADD and DEL of one, again and again.
    std::vector<std::string> given(int times, const Json& conf) {
        const auto netns = world_.add_namespace("guest");
        std::vector<std::string> addresses;
        for (int i = 0; i < times; ++i) {
            addresses.push_back(address_of_add("guest", conf));
            EXPECT_TRUE(succeeded(del("guest", netns, conf)));
        }
        world_.remove_namespace("guest");
        return addresses;
    }
};

TEST_P(Pool, LeavesOutWhatIsExcluded) {
    const auto conf = with_range({{"rangeStart", "10.0.0.10"},
                                  {"rangeEnd", "10.0.0.20"},
                                  {"exclude", {"10.0.0.10", "10.0.0.12/30", "10.0.0.18/31"}}});
    const auto keeper = connect("keeper", second_configuration());
    EXPECT_EQ(given(6, conf), all_here({"10.0.0.11/24", "10.0.0.16/24", "10.0.0.17/24", "10.0.0.20/24", "10.0.0.11/24",
                                        "10.0.0.16/24"}));
    auto asked = conf;
    asked["runtimeConfig"] = {{"ips", {"10.0.0.13"}}};
    EXPECT_TRUE(refused(add("blue", world_.add_namespace("blue"), asked), 7,
                        {"10.0.0.13", "is excluded", "10.0.0.10-10.0.0.20"}));
}

TEST_P(Pool, GivesTheAddressThatTheRuntimeAsksFor) {
    const auto keeper = connect("keeper");
    const auto blue = connect("blue", asking_for("10.0.0.77"));
    EXPECT_EQ(blue.address, here("10.0.0.77"));
    EXPECT_TRUE(meet(Protocol::tcp, {keeper.netns}, {blue.netns, {blue.address, 80}}));
    EXPECT_TRUE(meet(Protocol::udp, {blue.netns}, server(53)));
    const auto red = connect("red");
    EXPECT_EQ(red.address, here("10.0.0.3")) << "the others' turn is as it was";
    const auto netns = world_.add_namespace("green");
    const auto before = Snapshot::take({netns});
    EXPECT_TRUE(
        refused(add("green", netns, asking_for("10.0.0.77")), 102, {"10.0.0.77", "container blue, interface eth0"}));
    const std::string all = family() == Family::ipv4 ? "10.0.0.2-10.0.0.254" : "10.0.0.2-10.0.0.255";
    EXPECT_TRUE(refused(add("green", netns, asking_for("10.0.0.1")), 7, {"10.0.0.1", "is the gateway's", all}));
    EXPECT_TRUE(refused(add("green", netns, asking_for("10.0.0.0")), 7, {"10.0.0.0", "is the own address", all}));
    if (family() == Family::ipv4) {
        EXPECT_TRUE(refused(add("green", netns, asking_for("10.0.0.255")), 7,
                            {"10.0.0.255", "is the broadcast address of the subnet 10.0.0.0/24", all}));
    }
    EXPECT_TRUE(refused(add("green", netns, asking_for("10.0.1.5")), 7, {"10.0.1.5", "is outside", all}));
    auto of_one_set = asking_for("10.0.0.78");
    of_one_set["runtimeConfig"]["ips"].push_back("10.0.0.79");
    EXPECT_TRUE(refused(add("green", netns, of_one_set), 7, {"10.0.0.79", "is the second of one set"}));
    EXPECT_TRUE(before.holds());
    disconnect(blue);
    EXPECT_TRUE(succeeded(add("green", netns, asking_for("10.0.0.77"))));
}

TEST_P(Pool, GivesTheMacAndTheDnsThatTheRuntimeAsksFor) {
    const auto keeper = connect("keeper");
    const auto blue =
        connect("blue", configuration(Json::parse(
                            R"({"runtimeConfig": {"Mac": "02:00:00:00:00:42", "dns": {"servers": ["203.0.113.2"]}},
                                              "dns": {"nameservers": ["198.51.100.9"]}})")));
    EXPECT_EQ(blue.mac, "02:00:00:00:00:42");
    EXPECT_EQ(ip_json({"link", "show", "eth0"}, blue.netns).at(0).at("address"), "02:00:00:00:00:42");
    EXPECT_EQ(blue.reply.at("dns"), conf_here(Json::parse(R"({"nameservers": ["203.0.113.2"]})")));
    EXPECT_TRUE(meet(Protocol::tcp, {keeper.netns}, {blue.netns, {blue.address, 80}}));
    EXPECT_TRUE(meet(Protocol::tcp, {blue.netns}, server(80)));
}

TEST_P(Pool, TakesTheRangesOfTheRuntime) {
    auto conf = configuration({{"capabilities", {{"ipRanges", true}}}, {"ipam", {{"ranges", nullptr}}}});
    const auto netns = world_.add_namespace("blue");
    EXPECT_TRUE(refused(add("blue", netns, conf), 7, {"ipRanges"}));
    conf["runtimeConfig"]["ipRanges"] = Json::parse(R"([[{"subnet": "10.7.0.0/24"}]])");
    EXPECT_EQ(address_of_add("blue", conf), here("10.7.0.2/24"));
    EXPECT_TRUE(ping(netns, "10.7.0.1"));
    conf.erase("runtimeConfig");
    EXPECT_TRUE(succeeded(answer_to({.command = "STATUS", .id = "", .netns = "", .conf = conf, .interface = ""})));
    EXPECT_TRUE(succeeded(del("blue", netns, conf)));
}

TEST_P(Pool, LetsAnAddressRest) {
    const auto keeper = connect("keeper", second_configuration());
    const auto conf = few({{"ipam", {{"rest", 3600}}}});
    EXPECT_EQ(given(3, conf), all_here({"10.0.0.10/24", "10.0.0.11/24", "10.0.0.12/24"}));
    const auto netns = world_.add_namespace("blue");
    EXPECT_TRUE(refused(add("blue", netns, conf), 101, {"10.0.0.10-10.0.0.12", "3 addresses: 0 taken, 3 resting"}));
    const auto status = answer_to({.command = "STATUS", .id = "", .netns = "", .conf = conf, .interface = ""});
    EXPECT_TRUE(refused(status, 50, {"3 resting"}));
    auto asked = conf;
    asked["runtimeConfig"] = {{"ips", {"10.0.0.11"}}};
    EXPECT_EQ(address_of_add("blue", asked), here("10.0.0.11/24")) << "who asks for it, wants it";
    EXPECT_TRUE(succeeded(del("blue", netns, conf)));
    EXPECT_EQ(address_of_add("blue", few()), here("10.0.0.10/24")) << "a network without rest";
}

TEST_P(Pool, GivesAnAddressAgainWhenItHasRested) {
    const auto keeper = connect("keeper", second_configuration());
    const auto conf = with_range({{"rangeStart", "10.0.0.10"}, {"rangeEnd", "10.0.0.10"}}, {{"ipam", {{"rest", 1}}}});
    EXPECT_EQ(given(1, conf), all_here({"10.0.0.10/24"}));
    const auto netns = world_.add_namespace("blue");
    EXPECT_TRUE(eventually([&] { return add("blue", netns, conf).ok(); }));
    EXPECT_TRUE(ping(netns, "10.0.0.1"));
}

TEST_P(Pool, CountsWhatIsTakenWhenNothingIsLeft) {
    const auto conf = few();
    for (const auto* id : {"one", "two", "three"}) {
        connect(id, conf);
    }
    EXPECT_TRUE(refused(add("four", world_.add_namespace("four"), conf), 101,
                        {"10.0.0.10-10.0.0.12", "3 addresses: 3 taken, 0 resting"}));
}

// Counted, not timed: each of ten thousand addresses is had at the first attempt, and what an ADD asks of the kernel
// beside them is what it asks beside none.
TEST_P(Pool, CostsTheSameBesideTenThousand) {
    const auto conf = with_range({{"subnet", "10.64.0.0/16"}}, default_tables);
    const auto keeper = connect("keeper", conf);
    const auto netns = world_.add_namespace("blue");
    const auto call = call_here({.command = "ADD", .id = "blue", .netns = netns, .conf = conf});
    const auto calls_of_add = [&] {
        const auto result = run_with({.calls = {SYS_bpf}}, {plugin()}, call.options());
        EXPECT_TRUE(succeeded(answer_of(result.output)));
        EXPECT_TRUE(ping(netns, "10.64.0.1"));
        EXPECT_TRUE(succeeded(del("blue", netns, conf)));
        return result.counted;
    };
    const int alone = calls_of_add();
    const auto claims = claim_addresses(here("10.64.0.0/16"), 10000);
    EXPECT_EQ(claims.addresses.size(), 10000U);
    EXPECT_EQ(claims.most_attempts, 1);
    EXPECT_EQ(calls_of_add(), alone) << "while there is room where it looks first";
    const auto next = with_range({{"subnet", "10.64.0.0/16"}, {"rangeStart", "10.64.0.4"}, {"rangeEnd", "10.64.39.30"}},
                                 default_tables);
    auto full = call;
    full.conf = conf_here(next);
    const auto first = run_with({.calls = {SYS_bpf}}, {plugin()}, full.options());
    EXPECT_TRUE(succeeded(answer_of(first.output)));
    EXPECT_TRUE(succeeded(del("blue", netns, conf)));
    const auto second = run_with({.calls = {SYS_bpf}}, {plugin()}, full.options());
    EXPECT_TRUE(succeeded(answer_of(second.output)));
    EXPECT_LT(second.counted, alone + 200)
        << "one walk through the map, 256 entries a call, and no try for each address";
}

TEST_P(Pool, GivesTheLastAddressToOneOfThoseWhoRaceForIt) {
    const auto conf = few();
    connect("one", conf);
    connect("two", conf);
    constexpr int racers = 8;
    std::vector<std::string> paths;
    for (int i = 0; i < racers; ++i) {
        paths.push_back(world_.add_namespace("racer" + std::to_string(i)));
    }
    std::vector<Answer> answers(racers);
    {
        std::vector<std::jthread> threads;
        for (std::size_t i = 0; i < racers; ++i) {
            threads.emplace_back([&, i] { answers[i] = add("racer" + std::to_string(i), paths[i], conf); });
        }
    }
    int winners = 0;
    for (std::size_t i = 0; i < racers; ++i) {
        if (answers[i].ok()) {
            winners++;
            EXPECT_EQ(answers[i].json.at("ips")[0].at("address"), here("10.0.0.12/24"));
            EXPECT_TRUE(ping(paths[i], "10.0.0.1"));
        } else {
            EXPECT_TRUE(refused(answers[i], 101, {"3 taken"}));
        }
    }
    EXPECT_EQ(winners, 1);
    EXPECT_EQ(ctl_json({"endpoints"}).size(), 3U);
}

// As with host-local.
TEST_P(Pool, GivesOutTwoPartsOfOneSubnet) {
    auto conf = with_range({{"rangeStart", "10.0.0.10"}, {"rangeEnd", "10.0.0.11"}});
    conf["ipam"]["rest"] = 600;
    conf["ipam"]["ranges"][0].push_back(
        {{"subnet", "10.0.0.0/24"}, {"rangeStart", "10.0.0.30"}, {"rangeEnd", "10.0.0.31"}});
    std::vector<std::string> given;
    for (const auto* id : {"one", "two", "three", "four"}) {
        world_.add_namespace(id);
        given.push_back(address_of_add(id, conf));
    }
    EXPECT_EQ(given, all_here({"10.0.0.10/24", "10.0.0.11/24", "10.0.0.30/24", "10.0.0.31/24"}));
    EXPECT_TRUE(ping(world_.path("one"), "10.0.0.31"));
    const auto netns = world_.add_namespace("five");
    EXPECT_TRUE(
        refused(add("five", netns, conf), 101, {"10.0.0.10-10.0.0.11", "10.0.0.30-10.0.0.31", "4 taken, 0 resting"}));
    EXPECT_TRUE(succeeded(del("three", world_.path("three"), conf)));
    EXPECT_TRUE(refused(add("five", netns, conf), 101, {"4 addresses: 3 taken, 1 resting"}));
    auto asking = conf;
    asking["runtimeConfig"] = {{"ips", {"10.0.0.30"}}};
    EXPECT_EQ(address_of_add("five", asking), here("10.0.0.30/24"));
    asking["runtimeConfig"] = {{"ips", {"10.0.0.20"}}};
    EXPECT_TRUE(refused(add("six", world_.add_namespace("six"), asking), 7, {"10.0.0.20"}));
}

// Between claim and use: nobody else gets the address until it is told that nobody uses it, and then somebody does.
TEST_P(Pool, GivesTheAddressOfAKilledAddAgainAfterGc) {
    const auto conf = with_range({{"rangeStart", "10.0.0.10"}, {"rangeEnd", "10.0.0.11"}});
    const auto keeper = connect("keeper", conf);
    const auto blue = world_.add_namespace("blue"), red = world_.add_namespace("red");
    const auto call = call_here({.command = "ADD", .id = "blue", .netns = blue, .conf = conf});
    const auto claimed = [&] { return keys_of("endpoints").contains(key_of_address(here("10.0.0.11"))); };
    for (int nth = 1; !claimed(); ++nth) {
        ASSERT_TRUE(succeeded(del("blue", blue, conf)));  // what the last one left would be undone first
        const auto faulted =
            run_with({.kind = Fault::Kind::kill, .nth = nth, .calls = {SYS_bpf}}, {plugin()}, call.options());
        ASSERT_FALSE(faulted.call.empty()) << "the ADD ended before it had an address";
    }
    const auto answer = add("red", red, conf);
    EXPECT_TRUE(refused(answer, 101, {"2 addresses: 2 taken"}));
    EXPECT_THAT(answer.json.value("details", ""), HasSubstr("causewayctl gc"));
    EXPECT_EQ(ctl_json({"gc"}).size(), 1U);
    EXPECT_EQ(address_of_add("red", conf), here("10.0.0.11/24"));
    EXPECT_TRUE(ping(red, "10.0.0.1"));
}

FOR_BOTH_FAMILIES(Pool);

}  // namespace
}  // namespace causeway::test::pool_test
