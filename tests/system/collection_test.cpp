// SPDX-License-Identifier: Apache-2.0
// GC as a runtime calls it: what is not on its list goes.
#include <gmock/gmock.h>
#include <linux/bpf.h>
#include <sys/syscall.h>

#include <cerrno>

#include "tests/system/entries.hpp"
#include "tests/system/fault.hpp"
#include "tests/system/of_family.hpp"
#include "tests/system/snapshot.hpp"

namespace causeway::test::collection_test {
namespace {

using testing::UnorderedElementsAre;

class Collection : public EachFamily {
protected:
    // nullptr: the key is missing.
    Answer collect(const Json& valid, const Json& conf = configuration()) const {
        auto with_list = conf;
        if (!valid.is_null()) {
            with_list["cni.dev/valid-attachments"] = valid;
        }
        return answer_to({.command = "GC", .id = "", .netns = "", .conf = with_list, .interface = ""});
    }

    static Json attachment(const std::string& id) { return {{"containerID", id}, {"ifname", "eth0"}}; }

    static std::vector<std::string> connected() {
        std::vector<std::string> ids;
        for (const auto& row : ctl_json({"endpoints"})) {
            ids.push_back(row.at("container"));
        }
        return ids;
    }
};
class CollectionOnce : public Collection {};  // what has no family

TEST_P(Collection, DisconnectsWhatIsNotListed) {
    const auto blue = connect("blue");
    connect("red");
    const auto green = connect("green");
    const auto answer = collect(Json::array({attachment("blue"), attachment("green"), attachment("never-there")}));
    EXPECT_TRUE(succeeded(answer));
    EXPECT_EQ(answer.text, "");
    EXPECT_THAT(connected(), UnorderedElementsAre("blue", "green"));
    EXPECT_TRUE(ping(blue.netns, green.address));
}

TEST_P(CollectionOnce, GoesByTheInterfaceToo) {
    const auto blue = connect("blue");
    ASSERT_TRUE(succeeded(add("blue", blue.netns, configuration({{"ipam", {{"routes", nullptr}}}}), "net1")));
    EXPECT_TRUE(succeeded(collect(Json::array({attachment("blue")}))));
    EXPECT_EQ(connected().size(), 1U);
    EXPECT_TRUE(ping(blue.netns, "10.0.0.1"));
}

TEST_P(Collection, DisconnectsAllForAnEmptyListAndForNone) {
    const auto before = Snapshot::take();
    for (const auto& list : {Json::array(), Json()}) {
        connect("blue");
        connect("red");
        EXPECT_TRUE(succeeded(collect(list)));
        for (const auto* name : {"blue", "red"}) {
            world_.remove_namespace(name);
        }
        EXPECT_TRUE(before.holds());
    }
}

TEST_P(Collection, FreesThePortsAndEndsTheFlowsOfWhatGoes) {
    const auto publishing = [](const std::string& port) {
        return configuration(
            {{"capabilities", {{"portMappings", true}}},
             {"runtimeConfig",
              {{"portMappings", {{{"hostPort", 8080}, {"containerPort", std::stoi(port)}, {"protocol", "tcp"}}}}}}});
    };
    const auto keeper = connect("keeper"), blue = connect("blue", publishing("80"));
    auto in = open_line({world_.world(), any()}, {blue.netns, {blue.address, 80}}, {here(node_address), 8080});
    auto out = open_line({blue.netns}, server());
    auto others = open_line({keeper.netns}, server(8081));
    EXPECT_TRUE(succeeded(collect(Json::array({attachment("keeper")}))));
    EXPECT_FALSE(alive(in, silence));
    EXPECT_TRUE(eventually([] { return ctl_json({"flows"}).size() == 1; })) << ctl_json({"flows"});
    EXPECT_TRUE(alive(others));
    const auto red = connect("red", publishing("90"));
    EXPECT_TRUE(
        meet(Protocol::tcp, {world_.world(), any()}, {red.netns, {red.address, 90}}, {here(node_address), 8080}));
}

TEST_P(Collection, LeavesOtherNetworksAlone) {
    const auto blue = connect("blue");
    const auto red = connect("red", second_configuration());
    EXPECT_TRUE(succeeded(collect(Json::array())));
    EXPECT_THAT(connected(), UnorderedElementsAre("red"));
    EXPECT_TRUE(ping(red.netns, "10.0.1.1"));
}

TEST_P(Collection, RemovesANetworkWithItsLastSandbox) {
    const auto red = connect("red", second_configuration());
    const auto before = Snapshot::take({red.netns});
    connect("blue");
    EXPECT_TRUE(succeeded(collect(Json::array())));
    world_.remove_namespace("blue");
    EXPECT_TRUE(before.holds());
    EXPECT_TRUE(ping(red.netns, "10.0.1.1"));
}

TEST_P(Collection, FindsWhatAVanishedNamespaceLeft) {
    const auto before = Snapshot::take();
    const auto blue = connect("blue");
    world_.remove_namespace("blue");
    EXPECT_TRUE(succeeded(collect(Json::array())));
    EXPECT_TRUE(before.comes_back());
}

TEST_P(CollectionOnce, SucceedsWhenNothingIsLoaded) {
    const auto before = Snapshot::take();
    EXPECT_TRUE(succeeded(collect(Json::array())));
    EXPECT_TRUE(before.holds());
}

TEST_P(CollectionOnce, RefusesAListThatIsNone) {
    const auto blue = connect("blue");
    EXPECT_TRUE(refused(collect("all"), 7, {"cni.dev/valid-attachments"}));
    EXPECT_TRUE(refused(collect(Json::array({{{"containerID", "blue"}}})), 7, {"cni.dev/valid-attachments"}));
    EXPECT_THAT(connected(), UnorderedElementsAre("blue"));
}

TEST_P(CollectionOnce, GoesByTheOldNameOfTheListToo) {
    const auto blue = connect("blue");
    connect("red");
    const auto list = Json::array({attachment("blue")});
    EXPECT_TRUE(succeeded(collect(Json(), configuration({{"cni.dev/attachments", list}}))));
    EXPECT_THAT(connected(), UnorderedElementsAre("blue"));
    const auto both = configuration({{"cni.dev/attachments", list}, {"cni.dev/valid-attachments", list}});
    EXPECT_TRUE(succeeded(collect(Json(), both)));
    EXPECT_THAT(connected(), UnorderedElementsAre("blue"));
}

// Entries and devices on no record: no list of a runtime's could name them.
TEST_P(Collection, RemovesWhatIsOnNoRecord) {
    const auto blue = connect("blue"), red = connect("red");
    const auto before = keys_of("endpoints");
    erase_entry("attachments", key_of_attachment("red", "eth0"));
    EXPECT_TRUE(succeeded(collect(Json::array({attachment("blue")}))));
    EXPECT_EQ(keys_of("endpoints").size(), before.size() - 1);
    EXPECT_EQ(keys_of("sandboxes").size(), 1U);
    EXPECT_EQ(keys_of("slots").size(), 1U);
    EXPECT_EQ(ip({"-o", "link"}).find(red.host_end), std::string::npos);
    EXPECT_TRUE(ping(blue.netns, "10.0.0.1"));
}

// The kernel refuses to delete anything of two, and then no more; the third goes all the same.
TEST_P(CollectionOnce, GoesOnAfterFailuresAndReportsAll) {
    const auto keeper = connect("keeper");
    for (const std::string id : {"blue", "green", "red"}) {
        connect(id);
    }
    auto conf = configuration();
    conf["cni.dev/valid-attachments"] = Json::array({attachment("keeper")});
    const auto call = call_here({.command = "GC", .id = "", .netns = "", .conf = conf, .interface = ""});
    const auto faulted = run_with({.kind = Fault::Kind::error,
                                   .nth = 1,
                                   .times = 4,  // identity, slot and address of the one, identity of the next
                                   .error = EBUSY,
                                   .calls = {SYS_bpf},
                                   .bpf_commands = {BPF_MAP_DELETE_ELEM}},
                                  {plugin()}, call.options());
    const auto answer = answer_of(faulted.output);
    EXPECT_TRUE(refused(answer, 100, {"from the map sandboxes", "Device or resource busy"}));
    const auto left = connected();
    EXPECT_EQ(left.size(), 3U) << "the keeper, and two to be tried again";
    for (const auto& id : left) {
        EXPECT_TRUE(id == "keeper" ||
                    answer.text.contains("remove container " + id + ", interface eth0 from the map sandboxes"))
            << answer.text;
    }
    EXPECT_TRUE(succeeded(answer_to(call)));
    EXPECT_THAT(connected(), UnorderedElementsAre("keeper"));
    EXPECT_TRUE(ping(keeper.netns, "10.0.0.1"));
}

FOR_BOTH_FAMILIES(Collection);
INSTANTIATE_TEST_SUITE_P(Of, CollectionOnce, testing::Values(Family::ipv4), testing::PrintToStringParamName());

}  // namespace
}  // namespace causeway::test::collection_test
