// SPDX-License-Identifier: Apache-2.0
// Stories of packets that nobody asked for: none from outside ever reaches a sandbox.
#include <gmock/gmock.h>

#include "tests/system/of_family.hpp"
#include "tests/system/programs.hpp"
#include "tests/system/wire.hpp"

namespace causeway::test::intruder_story_test {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

// The world knows the way to the sandboxes, and the node forwards whatever it gets: causeway alone is in the way.
class Intruder : public EachProtocol {
protected:
    void SetUp() override {
        forward("");
        for (const auto* device : {"all", "default", "up0"}) {
            set_sysctl(std::string("net/ipv4/conf/") + device + "/rp_filter", "0");
        }
        ip_here({"route", "add", "10.0.0.0/24", "via", node_address}, world_.world());
    }

    // A tap in the sandbox that has seen something else, so that its silence means something.
    static bool reached(Tap& tap, const std::string& source) {
        return tap
            .next(
                [&](const Seen& seen) {
                    return !seen.outgoing && (is_packet(seen.frame, 6, source) || is_packet(seen.frame, 17, source) ||
                                              is_packet(seen.frame, 1, source));
                },
                silence)
            .has_value();
    }

    // By a drop that is counted. tap: of the sandbox's interface.
    void expect_kept_out(const Place& client, const std::string& source, const Sandbox& sandbox, Tap& tap) {
        const auto dropped = count_of("drop-unsolicited");
        EXPECT_FALSE(knock(protocol(), client, {sandbox.netns, {sandbox.address, 8080}}));
        EXPECT_FALSE(reached(tap, source));
        EXPECT_GT(count_of("drop-unsolicited"), dropped);
    }
};
class OtherPrograms : public EachFamily {
protected:
    Answer check(const Sandbox& sandbox) const {
        return answer_to({.command = "CHECK",
                          .id = sandbox.id,
                          .netns = sandbox.netns,
                          .conf = configuration({{"prevResult", sandbox.reply}})});
    }
    Answer status() const { return answer_to({.command = "STATUS", .id = "", .netns = "", .interface = ""}); }
};

TEST_P(Intruder, DoesNotReachAMasqueradedSandbox) {
    const auto blue = connect("blue");
    by_each_protocol([&] {
        Tap tap(blue.netns, "eth0");
        expect_kept_out({world_.world()}, here(world_address), blue, tap);
        EXPECT_TRUE(ping(blue.netns, here(world_address)));
        EXPECT_TRUE(reached(tap, here(world_address))) << "what was asked for does";
    });
}

TEST_P(Intruder, DoesNotReachASandboxThatKeepsItsAddress) {
    const auto blue = connect("blue", configuration({{"ipMasq", false}}));
    by_each_protocol([&] {
        Tap tap(blue.netns, "eth0");
        expect_kept_out({world_.world()}, here(world_address), blue, tap);
        EXPECT_TRUE(meet(protocol(), {blue.netns}, {world_.world(), {here(world_address), 8080}}));
    });
}

// The kernel strips tags of VLAN 0 (IEEE 802.1Q, priority tags), one within another too, behind the program of an
// uplink.
TEST_P(Intruder, DoesNotReachASandboxWithWhatTheKernelStrips) {
    const auto blue = connect("blue", configuration({{"forwarded", true}, {"ipMasq", false}}));
    Tap world(world_.world(), "dn0"), tap(blue.netns, "eth0");
    const Ethernet link{
        .source = mac_of_device(world_.world(), "dn0"), .destination = mac_of_device("", "up0"), .type = {}};
    const IPv4 ip{.source = ip_of(world_address), .destination = ip_of(blue.address)};
    EXPECT_TRUE(ping(blue.netns, here(world_address)));
    EXPECT_TRUE(reached(tap, here(world_address))) << "what was asked for does";
    const Frame once = link / Vlan{.tag = 0}, twice = link / Vlan{.tag = 0} / Vlan{.tag = 0};
    for (const auto& [tagged, verdict] : {std::pair{once, "drop-unsolicited"}, std::pair{twice, "drop-ethertype"}}) {
        const auto dropped = count_of(verdict);
        world.send(in_family(tagged / ip / UDP{53, 80}, family()).bytes());
        EXPECT_FALSE(reached(tap, here(world_address)));
        EXPECT_GT(count_of(verdict), dropped);
    }
}

// Over a device that is no uplink, so that none of causeway's programs sees the packet come in.
TEST_P(Intruder, DoesNotReachASandboxThroughTheNodesStack) {
    const auto neighbour = add_neighbour();
    const auto blue = connect("blue", configuration({{"uplinks", {"up0"}}}));
    ASSERT_THAT(programs_on("lan0", Direction::ingress), testing::IsEmpty());
    by_each_protocol([&] {
        EXPECT_TRUE(meet(protocol(), {neighbour}, {"", {here("10.7.0.1"), 8080}})) << "the neighbour reaches the node";
        Tap tap(blue.netns, "eth0");
        expect_kept_out({neighbour}, here("10.7.0.2"), blue, tap);
        EXPECT_TRUE(meet(protocol(), {""}, {blue.netns, {blue.address, 8080}})) << "the node itself does";
    });
}

// A flow is open from the sandbox; an answer that comes from elsewhere, or for another port, is none.
TEST_P(Intruder, DoesNotPassForTheAnswerOfAnother) {
    const auto blue = connect("blue");
    by_each_protocol([&] {
        const auto meeting = meet(protocol(), {blue.netns, any(4000)}, {world_.world(), {here(world_address), 8080}});
        ASSERT_TRUE(meeting);
        ASSERT_EQ(meeting.seen, (End{here(node_address), 4000}));
        Tap tap(blue.netns, "eth0");
        for (const auto& [source, port] : {std::pair{here(service_address), 4000}, {here(world_address), 4001}}) {
            const End from{source,
                           protocol() == Protocol::icmp ? static_cast<std::uint16_t>(port) : std::uint16_t{8080}};
            const Place node{"", {here(node_address), static_cast<std::uint16_t>(port)}};
            EXPECT_EQ(knock(protocol(), {world_.world(), from}, node).seen, from) << "it is the node's own";
        }
        EXPECT_FALSE(reached(tap, here(service_address)));
    });
}

FOR_BOTH_FAMILIES(Intruder);

class IntruderInPieces : public Intruder {};

// Where conntrack has put a packet together, the stack cuts it up again; pieces whose headers differ come out as if
// nobody had sent them.
TEST_P(IntruderInPieces, DoesNotReachASandboxByThoseThatTheStackHasMade) {
    const auto neighbour = add_neighbour();
    must_run({"ip6tables", "-t", "nat", "-A", "POSTROUTING", "-s", "fd00:9::/64", "-j", "MASQUERADE"});
    const auto blue = connect("blue", configuration({{"uplinks", {"up0"}}}));
    Tap tap(blue.netns, "eth0"), lan(neighbour, "eth0");
    const Ethernet link{
        .source = mac_of_device(neighbour, "eth0"), .destination = mac_of_device("", "lan0"), .type = {}};
    const auto dropped = count_of("drop-unsolicited");
    for (const Frame& piece : pieces_with_other_headers(link, here("10.7.0.2"), blue.address, {53, 80})) {
        lan.send(piece.bytes());
    }
    EXPECT_FALSE(reached(tap, here("10.7.0.2")));
    EXPECT_GT(count_of("drop-unsolicited"), dropped) << "the first, and the stack makes no others then";
}

INSTANTIATE_TEST_SUITE_P(Of, IntruderInPieces, testing::Values(Family::ipv6), testing::PrintToStringParamName());

TEST_P(OtherPrograms, StayWhereTheyAre) {
    const ForeignProgram tcx("up0", Direction::ingress, ForeignProgram::Hook::tcx);
    const ForeignProgram clsact("up0", Direction::ingress, ForeignProgram::Hook::clsact);
    const auto blue = connect("blue");
    EXPECT_THAT(programs_on("up0", Direction::ingress), ElementsAre("from_uplink", "foreign", "foreign"));
    EXPECT_TRUE(meet(Protocol::tcp, {blue.netns}, {world_.world(), {here(world_address), 80}}));
    disconnect(blue);
    EXPECT_THAT(programs_on("up0", Direction::ingress), ElementsAre("foreign", "foreign"));
}

// As many do that only look at packets, or count them.
TEST_P(OtherPrograms, ThatAcceptAllTakeNothingFromSandboxes) {
    const Foreign all{.accepts = true};
    const ForeignProgram in("up0", Direction::ingress, ForeignProgram::Hook::tcx, all);
    const ForeignProgram out("up0", Direction::egress, ForeignProgram::Hook::tcx, all);
    const auto blue = connect("blue");
    EXPECT_TRUE(meet(Protocol::tcp, {blue.netns}, server()));
    EXPECT_TRUE(meet(Protocol::tcp, {world_.world()}, {"", {here(node_address), 8080}}));
    EXPECT_GT(in.packets(), 0U);
    EXPECT_GT(out.packets(), 0U);
    EXPECT_TRUE(succeeded(check(blue)));
}

// What it accepts, sandboxes would wait for in vain.
TEST_P(OtherPrograms, ThatComeFirstAreNamedByCheckAndStatus) {
    const auto blue = connect("blue");
    EXPECT_TRUE(succeeded(check(blue)));
    EXPECT_EQ(status().text, "");
    for (const auto& [direction, ours] :
         {std::pair{Direction::ingress, "from_uplink"}, {Direction::egress, "from_stack"}}) {
        const ForeignProgram theirs("up0", direction, ForeignProgram::Hook::tcx, {.accepts = true, .first = true});
        const auto words = std::string(") runs before ") + ours;
        EXPECT_TRUE(refused(check(blue), 103, {"foreign (id ", words, "up0"}));
        EXPECT_THAT(status().text, AllOf(HasSubstr("foreign (id "), HasSubstr(words), HasSubstr("behind causeway's")));
        const auto red = connect(std::string("red") + ours);
        EXPECT_TRUE(refused(check(blue), 103, {words})) << "nobody is put elsewhere";
        detach("up0", direction, "foreign");
        EXPECT_TRUE(succeeded(check(blue)));
    }
}

TEST_P(OtherPrograms, GetWhatIsNotCauseways) {
    const ForeignProgram theirs("up0", Direction::ingress, ForeignProgram::Hook::clsact);
    const auto blue = connect("blue");
    EXPECT_TRUE(ping(world_.world(), here(node_address)));
    const auto after_one = theirs.packets();
    EXPECT_GE(after_one, 1U);
    EXPECT_TRUE(ping(world_.world(), here(node_address)));
    EXPECT_GT(theirs.packets(), after_one);
    disconnect(blue);
    const auto after_del = theirs.packets();
    EXPECT_TRUE(ping(world_.world(), here(node_address)));
    EXPECT_GT(theirs.packets(), after_del);
}

FOR_BOTH_FAMILIES(OtherPrograms);

}  // namespace
}  // namespace causeway::test::intruder_story_test
