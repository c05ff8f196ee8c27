// SPDX-License-Identifier: Apache-2.0
// "isolate": sandboxes of one network don't see each other, by no way, and reach everything else.
#include "tests/system/of_family.hpp"
#include "tests/system/wire.hpp"

namespace causeway::test::isolation_test {
namespace {

class Isolation : public EachFamily {
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

TEST_P(Isolation, KeepsSandboxesFromEachOther) {
    const auto blue = connect("blue", isolated()), red = connect("red", isolated());
    for (const auto protocol : {Protocol::tcp, Protocol::udp, Protocol::icmp}) {
        EXPECT_FALSE(knock(protocol, {blue.netns}, {red.netns, {red.address, 80}}));
    }
    EXPECT_GE(count_of("drop-isolated"), 1U) << "the question for its MAC";
}

// Whoever knows the neighbour's MAC, or the gateway's, and a route that leads around.
TEST_P(Isolation, HoldsAgainstRoutesAndNeighboursThatTheSandboxSets) {
    const auto blue = connect("blue", isolated()), red = connect("red", isolated());
    forward("");
    for (const auto& mac : {red.mac, std::string(ip_json({"link", "show", "cw0"})[0].at("address"))}) {
        ip({"neigh", "replace", red.address, "lladdr", mac, "dev", "eth0"}, blue.netns);
        EXPECT_FALSE(knock(Protocol::udp, {blue.netns}, {red.netns, {red.address, 80}})) << mac;
    }
    ip({"neigh", "del", red.address, "dev", "eth0"}, blue.netns);
    ip_here({"route", "add", red.address, "via", "10.0.0.1"}, blue.netns);
    EXPECT_FALSE(knock(Protocol::udp, {blue.netns}, {red.netns, {red.address, 80}})) << "by the gateway";
}

TEST_P(Isolation, GivesNoAnswerToAQuestionForANeighbour) {
    const auto blue = connect("blue", isolated()), red = connect("red", isolated());
    Tap tap(blue.netns, "eth0");
    const auto answered = [&](const std::string& target, std::chrono::milliseconds time) {
        tap.send(neighbour_question(mac_of(blue.mac), blue.address, target).bytes());
        return tap.next([](const Seen& seen) { return is_neighbour_answer(seen.frame); }, time).has_value();
    };
    EXPECT_TRUE(answered(here("10.0.0.1"), patience));
    EXPECT_FALSE(answered(red.address, silence));
}

TEST_P(Isolation, LeavesTheHostTheWorldAndOtherNetworks) {
    const auto blue = connect("blue", isolated()), red = connect("red", second_configuration());
    for (const auto protocol : {Protocol::tcp, Protocol::udp, Protocol::icmp}) {
        EXPECT_TRUE(meet(protocol, {blue.netns}, {"", {here("10.0.0.1"), 8080}}));
        EXPECT_TRUE(meet(protocol, {""}, {blue.netns, {blue.address, 8080}}));
        EXPECT_TRUE(meet(protocol, {blue.netns}, server(80)));
        EXPECT_TRUE(meets(protocol, blue, red));
        EXPECT_TRUE(meets(protocol, red, blue));
    }
}

TEST_P(Isolation, BeginsAndEndsForSandboxesThatAreThereWithTheNextAdd) {
    const auto blue = connect("blue"), red = connect("red");
    EXPECT_TRUE(meets(Protocol::tcp, blue, red));
    connect("third", isolated());
    EXPECT_FALSE(knock(Protocol::tcp, {blue.netns}, {red.netns, {red.address, 80}}));
    EXPECT_FALSE(knock(Protocol::tcp, {red.netns}, {blue.netns, {blue.address, 80}}));
    connect("fourth");
    EXPECT_TRUE(meets(Protocol::tcp, blue, red));
}

FOR_BOTH_FAMILIES(Isolation);

}  // namespace
}  // namespace causeway::test::isolation_test
