// SPDX-License-Identifier: Apache-2.0
// GC, STATUS and VERSION.
#include <gmock/gmock.h>

#include "tests/system/host.hpp"
#include "tests/system/snapshot.hpp"
#include "tests/system/traffic.hpp"

namespace causeway::test {
namespace {

using testing::UnorderedElementsAre;

class Collection : public Host {
protected:
    // nullptr: the key is missing.
    static Answer collect(const Json& valid, const Json& conf = configuration()) {
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
class Status : public Host {
protected:
    static Answer status(const Json& conf = configuration()) {
        return answer_to({.command = "STATUS", .id = "", .netns = "", .conf = conf, .interface = ""});
    }
};

TEST_F(Collection, DisconnectsWhatIsNotListed) {
    const auto blue = connect("blue");
    connect("red");
    const auto green = connect("green");
    const auto answer = collect(Json::array({attachment("blue"), attachment("green"), attachment("never-there")}));
    EXPECT_TRUE(succeeded(answer));
    EXPECT_EQ(answer.text, "");
    EXPECT_THAT(connected(), UnorderedElementsAre("blue", "green"));
    EXPECT_TRUE(ping(blue.netns, green.address));
}

TEST_F(Collection, GoesByTheInterfaceToo) {
    const auto blue = connect("blue");
    ASSERT_TRUE(succeeded(add("blue", blue.netns, configuration({{"ipam", {{"routes", nullptr}}}}), "net1")));
    EXPECT_TRUE(succeeded(collect(Json::array({attachment("blue")}))));
    EXPECT_EQ(connected().size(), 1U);
    EXPECT_TRUE(ping(blue.netns, "10.0.0.1"));
}

TEST_F(Collection, DisconnectsAllForAnEmptyListAndForNone) {
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

TEST_F(Collection, LeavesOtherNetworksAlone) {
    const auto blue = connect("blue");
    const auto red = connect("red", second_configuration());
    EXPECT_TRUE(succeeded(collect(Json::array())));
    EXPECT_THAT(connected(), UnorderedElementsAre("red"));
    EXPECT_TRUE(ping(red.netns, "10.0.1.1"));
}

TEST_F(Collection, FindsWhatAVanishedNamespaceLeft) {
    const auto before = Snapshot::take();
    const auto blue = connect("blue");
    world_.remove_namespace("blue");
    EXPECT_TRUE(succeeded(collect(Json::array())));
    EXPECT_TRUE(before.comes_back());
}

TEST_F(Collection, SucceedsWhenNothingIsLoaded) {
    const auto before = Snapshot::take();
    EXPECT_TRUE(succeeded(collect(Json::array())));
    EXPECT_TRUE(before.holds());
}

TEST_F(Collection, RefusesAListThatIsNone) {
    const auto blue = connect("blue");
    EXPECT_TRUE(refused(collect("all"), 7, {"cni.dev/valid-attachments"}));
    EXPECT_TRUE(refused(collect(Json::array({{{"containerID", "blue"}}})), 7, {"cni.dev/valid-attachments"}));
    EXPECT_THAT(connected(), UnorderedElementsAre("blue"));
}

TEST_F(Status, IsGoodBeforeAndAfterTheFirstAdd) {
    const auto before = Snapshot::take();
    EXPECT_TRUE(succeeded(status()));
    EXPECT_TRUE(before.holds());
    const auto blue = connect("blue");
    const auto with_one = Snapshot::take({blue.netns});
    EXPECT_TRUE(succeeded(status()));
    EXPECT_TRUE(with_one.holds());
}

TEST_F(Status, TellsThatTheUplinkIsMissing) {
    const auto conf = configuration({{"uplinks", {"up9"}}});
    EXPECT_TRUE(refused(status(conf), 50, {"up9"})) << "nothing is loaded";
    const auto blue = connect("blue");
    EXPECT_TRUE(refused(status(conf), 50, {"up9"})) << "loaded";
    ip({"link", "del", "up0"});
    EXPECT_TRUE(refused(status(configuration({{"uplinks", {"up0"}}})), 50, {"up0"})) << "vanished";
}

TEST_F(Status, TellsThatNoAddressIsLeft) {
    auto conf = configuration();
    conf["ipam"]["ranges"][0][0]["subnet"] = "10.0.0.0/30";
    const auto blue = connect("blue", conf);
    EXPECT_TRUE(refused(status(conf), 51, {"10.0.0"}));
    disconnect(blue, conf);
    EXPECT_TRUE(succeeded(status(conf)));
}

TEST_F(Status, IsOfTheNewestVersionAlone) {
    for (const std::string command : {"STATUS", "GC"}) {
        EXPECT_TRUE(refused(answer_to({.command = command,
                                       .id = "",
                                       .netns = "",
                                       .conf = configuration({{"cniVersion", "1.0.0"}}),
                                       .interface = ""}),
                            1, {"1.0.0"}));
    }
}

TEST_F(Status, AndVersionNeedNoMoreThanTheirNames) {
    const auto answer =
        answer_to({.command = "VERSION", .id = "", .netns = "", .conf = {{"cniVersion", "1.0.0"}}, .interface = ""});
    ASSERT_TRUE(succeeded(answer));
    EXPECT_EQ(answer.json.at("cniVersion"), "1.0.0");
    EXPECT_EQ(answer.json.at("supportedVersions"), Json({"0.3.1", "0.4.0", "1.0.0", "1.1.0"}));
}

}  // namespace
}  // namespace causeway::test
