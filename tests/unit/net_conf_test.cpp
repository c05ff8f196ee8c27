// SPDX-License-Identifier: Apache-2.0
// A network configuration as a whole: the example, what is assumed where nothing is said, JSON that is none.
#include <gmock/gmock.h>

#include "tests/unit/configuration.hpp"

namespace causeway::cni::test::net_conf_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

TEST(NetConf, HasAllOfTheExample) {
    const auto conf = read(example());
    ASSERT_TRUE(succeeds(conf));
    EXPECT_EQ(conf->version, "1.1.0");
    const auto& network = conf->network;
    EXPECT_EQ(network.name, "sandboxes");
    EXPECT_EQ(network.device, "cw0");
    EXPECT_EQ(network.mtu, 1500U);
    EXPECT_TRUE(network.nat.masquerade);
    EXPECT_THAT(network.uplinks, ElementsAre("eth0"));
    ASSERT_THAT(network.ranges, SizeIs(1));
    EXPECT_EQ(network.ranges[0][0].subnet.text(), "10.0.0.0/24");
    EXPECT_EQ(network.ranges[0][0].gateway.text(), "10.0.0.1");
    EXPECT_EQ(network.ranges[0][0].last.text(), "10.0.0.255");
    ASSERT_THAT(conf->routes, SizeIs(1));
    EXPECT_EQ(conf->routes[0].destination.text(), "0.0.0.0/0");
    EXPECT_TRUE(conf->routes[0].gateway.is_none());
    EXPECT_FALSE(conf->delegate);
    EXPECT_FALSE(conf->previous_result);
    EXPECT_EQ(conf->raw, example());
}

TEST(NetConf, AssumesTheDocumentedWhereNothingIsSaid) {
    const auto conf = read_net_conf(R"({"cniVersion": "1.0.0", "name": "n", "ipam": {"subnet": "10.0.0.0/24"}})");
    ASSERT_TRUE(succeeds(conf));
    const auto& network = conf->network;
    EXPECT_EQ(network.device, "cw0");
    EXPECT_EQ(network.mtu, std::nullopt);
    EXPECT_FALSE(network.nat.masquerade);
    EXPECT_THAT(network.uplinks, IsEmpty());
    EXPECT_EQ(network.nat.port_min, 1024);
    EXPECT_EQ(network.nat.port_max, 65535);
    EXPECT_THAT(network.nat.timeouts, ElementsAre(240, 7440, 240, 300, 60));
    EXPECT_THAT(conf->routes, IsEmpty());
    EXPECT_TRUE(conf->dns.empty());
    EXPECT_FALSE(conf->delegate);
}

TEST(NetConf, AssumesTheSameWhereAValueIsNull) {
    auto json = example();
    for (const auto* const key : {"device", "mtu", "ipMasq", "uplinks", "portRange", "timeouts", "dns", "prevResult"}) {
        json[key] = nullptr;
    }
    const auto conf = read(json);
    ASSERT_TRUE(succeeds(conf));
    EXPECT_EQ(conf->network.device, "cw0");
    EXPECT_EQ(conf->network.mtu, std::nullopt);
    EXPECT_FALSE(conf->previous_result);
}

TEST(NetConf, IgnoresKeysThatItDoesNotKnow) {
    auto json = example();
    json["capabilities"] = {{"portMappings", true}};
    json["keepAwake"] = Json::array({1, "two", nullptr});
    json["ipam"]["dataDir"] = 7;
    json["ipam"]["ranges"][0][0]["colour"] = "blue";
    json["ipam"]["routes"][0]["colour"] = "large";
    EXPECT_TRUE(succeeds(read(json)));
}

// --- versions ---

TEST(NetConf, TakesEachVersionThatItSpeaks) {
    EXPECT_THAT(supported_versions(), ElementsAre("0.3.1", "0.4.0", "1.0.0", "1.1.0"));
    for (const auto& version : supported_versions()) {
        const auto conf = read(example_with("/cniVersion", version));
        ASSERT_TRUE(succeeds(conf));
        EXPECT_EQ(conf->version, version);
    }
}

TEST(NetConf, RefusesAVersionThatItDoesNotSpeak) {
    for (const auto* const version : {"0.1.0", "0.2.0", "0.3.0", "1.2.0", "2.0.0", "1.1", "v1.1.0", ""}) {
        EXPECT_TRUE(fails_with(read(example_with("/cniVersion", version)), Code::incompatible_version,
                               {"cniVersion", "\"" + std::string(version) + "\"", "0.3.1, 0.4.0, 1.0.0, 1.1.0"}));
    }
}

TEST(NetConf, TakesAMissingVersionForTheOldest) {
    EXPECT_TRUE(fails_with(read(example_without("/cniVersion")), Code::incompatible_version, {"0.1.0"}));
}

TEST(NetConf, TellsOfTheVersionFirstWhenAllElseIsWrongToo) {
    EXPECT_TRUE(
        fails_with(read_net_conf(R"({"cniVersion": "9.9.9", "name": 5, "ipam": "none"})"), Code::incompatible_version));
}

// --- JSON ---

struct Text {
    const char* name;
    std::string text;
};

void PrintTo(const Text& row, std::ostream* out) {
    *out << row.text.substr(0, 60);
}

std::string nested(std::size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
}

std::string example_around(const std::string& value) {
    auto text = example().dump();
    text.insert(1, "\"args\": " + value + ", ");
    return text;
}

class NetConfUndecodable : public testing::TestWithParam<Text> {};

TEST_P(NetConfUndecodable, IsRefusedWhenItIs) {
    EXPECT_TRUE(fails_with(read_net_conf(GetParam().text), Code::decode_failure, {"on stdin is not"}));
}

INSTANTIATE_TEST_SUITE_P(
    , NetConfUndecodable,
    testing::Values(Text{"Empty", ""}, Text{"Space", " \n"}, Text{"AWord", "ADD"}, Text{"AList", "[]"},
                    Text{"AString", R"("1.1.0")"}, Text{"Null", "null"}, Text{"CutOff", R"({"cniVersion": "1.1.0")"},
                    Text{"TwoObjects", "{}{}"}, Text{"ATrailingComma", R"({"name": "n",})"},
                    Text{"InSingleQuotes", "{'name': 'n'}"}, Text{"WithAComment", "{} // none"},
                    Text{"NoUtf8", example_around("\"\xff\xfe\"")},
                    Text{"HalfASurrogate", example_around(R"("\ud800")")},
                    Text{"ANumberOutOfRange", example_around("1e999")},
                    Text{"NestedHundredDeep", example_around(nested(100))},
                    Text{"NestedAMillionDeep", example_around(nested(1000000))},
                    Text{"NestedAMillionDeepInAName", R"({"cniVersion": "1.1.0", "name": )" + nested(1000000) + "}"}),
    name_of_row);

TEST(NetConf, TakesNestingAsDeepAsAnyoneNeeds) {
    EXPECT_TRUE(succeeds(read_net_conf(example_around(nested(32)))));
}

TEST(NetConf, TakesTheLastOfTwoEqualKeys) {
    auto text = example().dump();
    text.insert(text.size() - 1, R"(, "device": "cw7")");
    const auto conf = read_net_conf(text);
    ASSERT_TRUE(succeeds(conf));
    EXPECT_EQ(conf->network.device, "cw7");
}

TEST(NetConf, TakesAByteOrderMarkAhead) {
    EXPECT_TRUE(succeeds(read_net_conf("\xef\xbb\xbf" + example().dump())));
}

// --- what the runtime adds ---

TEST(NetConf, KeepsThePreviousResult) {
    const Json previous{{"cniVersion", "1.1.0"}, {"interfaces", Json::array({{{"name", "tap0"}}})}};
    const auto conf = read(example_with("/prevResult", previous));
    ASSERT_TRUE(succeeds(conf));
    EXPECT_EQ(conf->previous_result, previous);
}

class NetConfOfTheRuntime : public testing::TestWithParam<Refused> {};

TEST_P(NetConfOfTheRuntime, IsRefusedWhen) {
    expect_refused(GetParam());
}

INSTANTIATE_TEST_SUITE_P(, NetConfOfTheRuntime,
                         testing::Values(Refused{"TheVersionIsANumber", "/cniVersion", 1.1, "cniVersion"},
                                         Refused{"ThePreviousResultIsText", "/prevResult", "{}", "prevResult"},
                                         Refused{"ThePreviousResultIsAList", "/prevResult", Json::array(),
                                                 "prevResult"}),
                         name_of_row);

// --- what a removal needs ---

std::expected<RemovalConf, Error> read_for_removal(const Json& conf) {
    return read_removal_conf(conf.dump());
}

TEST(RemovalConf, HasTheValidAttachments) {
    const auto conf = read_removal_conf(example_around(R"(0, "cni.dev/valid-attachments": [
        {"containerID": "c1", "ifname": "eth0"}, {"containerID": "c1", "ifname": "net1", "more": 1}])"));
    ASSERT_TRUE(succeeds(conf));
    EXPECT_THAT(conf->valid_attachments.value(), ElementsAre(SandboxId{"c1", "eth0"}, SandboxId{"c1", "net1"}));
}

TEST(RemovalConf, HasNoValidAttachmentsWhenTheListIsEmptyOrMissing) {
    for (const auto& json : {example_with("/cni.dev~1valid-attachments", Json::array()),
                             example_with("/cni.dev~1valid-attachments", nullptr), example()}) {
        const auto conf = read_for_removal(json);
        ASSERT_TRUE(succeeds(conf));
        EXPECT_THAT(conf->valid_attachments.value(), IsEmpty());
    }
}

TEST(RemovalConf, IsReadWhateverIsWrongElsewhere) {
    for (const auto* const pointer : {"/mtu", "/device", "/ipam/ranges", "/ipam/routes", "/ipam/resolvConf", "/dns",
                                      "/prevResult", "/runtimeConfig", "/cni.dev~1valid-attachments"}) {
        auto json = example_with("/ipam/type", "leases");
        json[Json::json_pointer(pointer)] = -1;
        const auto conf = read_for_removal(json);
        ASSERT_TRUE(succeeds(conf)) << pointer;
        EXPECT_EQ(conf->name, "sandboxes") << pointer;
        EXPECT_EQ(conf->delegate.value().type, "leases") << pointer;
        EXPECT_EQ(conf->delegate.value().conf, json) << pointer;
    }
}

TEST(RemovalConf, IsRefusedWhenItDoesNotTellWhoseAndByWhom) {
    for (const auto* const pointer : {"/cniVersion", "/name", "/ipam", "/ipam/type"}) {
        EXPECT_TRUE(fails_with(read_for_removal(example_with(pointer, 5)), Code::invalid_configuration, {": 5"}));
    }
}

class ValidAttachments : public testing::TestWithParam<Refused> {};

TEST_P(ValidAttachments, AreRefusedWhen) {
    const auto& [name, pointer, value, key, said] = GetParam();
    const auto conf = read_for_removal(example_with(pointer, value));
    ASSERT_TRUE(succeeds(conf));
    EXPECT_TRUE(fails_with(conf->valid_attachments, Code::invalid_configuration,
                           {key + ": ", said.empty() ? value.dump() : said}));
}

INSTANTIATE_TEST_SUITE_P(, ValidAttachments,
                         testing::Values(Refused{"TheAttachmentsAreAnObject", "/cni.dev~1valid-attachments",
                                                 Json::object(), "cni.dev/valid-attachments"},
                                         Refused{"AnAttachmentIsText", "/cni.dev~1valid-attachments",
                                                 Json::array({"c1"}), "cni.dev/valid-attachments", "\"c1\""},
                                         Refused{"AnAttachmentHasNoInterface", "/cni.dev~1valid-attachments",
                                                 Json::array({{{"containerID", "c1"}}}), "cni.dev/valid-attachments",
                                                 R"({"containerID":"c1"})"},
                                         Refused{"AnAttachmentHasNoContainer", "/cni.dev~1valid-attachments",
                                                 Json::array({{{"ifname", "eth0"}}}), "cni.dev/valid-attachments",
                                                 R"({"ifname":"eth0"})"},
                                         Refused{"AnAttachmentsContainerIsANumber", "/cni.dev~1valid-attachments",
                                                 Json::array({{{"containerID", 1}, {"ifname", "eth0"}}}),
                                                 "cni.dev/valid-attachments", R"({"containerID":1,"ifname":"eth0"})"}),
                         name_of_row);

}  // namespace
}  // namespace causeway::cni::test::net_conf_test
