// SPDX-License-Identifier: Apache-2.0
// What a runtime asks for one sandbox: each way of saying it, which of them counts, and what is refused.
#include <gmock/gmock.h>

#include "cni/runtime_conf.hpp"
#include "tests/unit/configuration.hpp"

namespace causeway::cni::test::runtime_conf_test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

Json runtime(const Json& config) {
    return {{"runtimeConfig", config}};
}

std::string address_in(const std::expected<RuntimeConf, Error>& conf) {
    EXPECT_TRUE(succeeds(conf));
    std::string text;
    for (const auto& address : conf ? conf->addresses : std::vector<Address>{}) {
        text += (text.empty() ? "" : " ") + address.text();
    }
    return text.empty() ? "none" : text;
}

std::string mac_in(const std::expected<RuntimeConf, Error>& conf) {
    EXPECT_TRUE(succeeds(conf));
    return conf && conf->mac ? conf->mac->text() : "none";
}

TEST(RuntimeConf, AsksForNothingWhereNothingIsSaid) {
    for (const auto& conf : {Json::object(), runtime(Json::object()), runtime(nullptr), Json{{"args", nullptr}},
                             Json{{"args", {{"cni", {{"labels", {1}}}}}}},
                             runtime({{"ips", Json::array()},
                                      {"mac", ""},
                                      {"dns", Json::object()},
                                      {"portMappings", Json::array()},
                                      {"bandwidth", nullptr},
                                      {"aliases", Json::array()}})}) {
        const auto read = read_runtime_conf(conf, "");
        ASSERT_TRUE(succeeds(read)) << conf;
        EXPECT_FALSE(read->mac || read->dns) << conf;
        EXPECT_THAT(read->addresses, IsEmpty()) << conf;
    }
}

TEST(RuntimeConf, HasTheAddressOfEachWayToAskForOne) {
    EXPECT_EQ(address_in(read_runtime_conf(runtime({{"ips", {"10.0.0.5"}}}), "")), "10.0.0.5");
    EXPECT_EQ(address_in(read_runtime_conf(runtime({{"ips", {"10.0.0.5/24"}}}), "")), "10.0.0.5");
    EXPECT_EQ(address_in(read_runtime_conf({{"args", {{"cni", {{"ips", {"10.0.0.6"}}}}}}}, "")), "10.0.0.6");
    EXPECT_EQ(address_in(read_runtime_conf(Json::object(), "IP=10.0.0.7")), "10.0.0.7");
}

TEST(RuntimeConf, HasSeveralAddressesOfEitherFamily) {
    EXPECT_EQ(address_in(read_runtime_conf(runtime({{"ips", {"10.0.0.5/24", "2001:db8::5/64", "10.0.0.6"}}}), "")),
              "10.0.0.5 2001:db8::5 10.0.0.6");
    EXPECT_EQ(address_in(read_runtime_conf({{"args", {{"cni", {{"ips", {"fd00::5", "10.0.0.6"}}}}}}}, "")),
              "fd00::5 10.0.0.6");
    EXPECT_EQ(address_in(read_runtime_conf(Json::object(), "IP=10.0.0.7,fd00::7")), "10.0.0.7 fd00::7");
}

TEST(RuntimeConf, RefusesWhatIsNoTextAsWhatIsNoAddress) {
    for (const auto* arguments : {"IP=10.0.0.\xff", "MAC=02:00:\xc3\x28"}) {
        EXPECT_TRUE(fails_with(read_runtime_conf(Json::object(), arguments), Code::invalid_environment, {"CNI_ARGS"}));
    }
}

TEST(RuntimeConf, HasTheMacOfEachWayToAskForOne) {
    EXPECT_EQ(mac_in(read_runtime_conf(runtime({{"mac", "02:00:00:00:00:01"}}), "")), "02:00:00:00:00:01");
    EXPECT_EQ(mac_in(read_runtime_conf({{"args", {{"cni", {{"mac", "02:00:00:00:00:02"}}}}}}, "")),
              "02:00:00:00:00:02");
    EXPECT_EQ(mac_in(read_runtime_conf(Json::object(), "MAC=02:00:00:00:00:03")), "02:00:00:00:00:03");
}

TEST(RuntimeConf, PrefersRuntimeConfigToArgsAndArgsToTheVariable) {
    const std::string variable = "IP=10.0.0.7;MAC=02:00:00:00:00:03";
    Json conf{{"args", {{"cni", {{"ips", {"10.0.0.6"}}, {"mac", "02:00:00:00:00:02"}}}}}};
    EXPECT_EQ(address_in(read_runtime_conf(conf, variable)), "10.0.0.6");
    EXPECT_EQ(mac_in(read_runtime_conf(conf, variable)), "02:00:00:00:00:02");
    conf["runtimeConfig"] = {{"ips", {"10.0.0.5"}}, {"mac", "02:00:00:00:00:01"}};
    EXPECT_EQ(address_in(read_runtime_conf(conf, variable)), "10.0.0.5");
    EXPECT_EQ(mac_in(read_runtime_conf(conf, variable)), "02:00:00:00:00:01");
}

// containerd's go-cni writes its keys with capitals; podman as the conventions have them.
TEST(RuntimeConf, MatchesKeysWhateverTheirCase) {
    EXPECT_EQ(address_in(read_runtime_conf(runtime({{"IPs", {"10.0.0.5"}}}), "")), "10.0.0.5");
    EXPECT_EQ(mac_in(read_runtime_conf(runtime({{"MAC", "02:00:00:00:00:01"}}), "")), "02:00:00:00:00:01");
    const auto read = read_runtime_conf(runtime({{"DNS", {{"Servers", {"203.0.113.2"}}}}}), "");
    ASSERT_TRUE(succeeds(read));
    ASSERT_TRUE(read->dns);
    EXPECT_THAT(read->dns->nameservers, ElementsAre("203.0.113.2"));
}

TEST(RuntimeConf, HasTheQuotaOfEachWayToAskForOne) {
    const Json args{{"args", {{"cni", {{"quota", {{"flows", 10U}, {"flowsPerSecond", 0U}}}}}}}};
    auto conf = args;
    auto read = read_runtime_conf(conf, "");
    ASSERT_TRUE(succeeds(read));
    EXPECT_EQ(read->quota.flows, 10U);
    EXPECT_EQ(read->quota.flows_per_second, 0U);
    conf["runtimeConfig"] = {{"Quota", {{"Flows", 20U}}}};
    read = read_runtime_conf(conf, "");
    ASSERT_TRUE(succeeds(read));
    EXPECT_EQ(read->quota.flows, 20U);
    EXPECT_EQ(read->quota.flows_per_second, 0U) << "said by args alone";
    EXPECT_TRUE(fails_with(read_runtime_conf(runtime({{"quota", {{"flows", 0U}}}}), ""), Code::invalid_configuration,
                           {"runtimeConfig.quota.flows: ", "0"}));
    EXPECT_TRUE(fails_with(read_runtime_conf(runtime({{"quota", 5}}), ""), Code::invalid_configuration,
                           {"runtimeConfig.quota: ", "5"}));
}

TEST(RuntimeConf, HasTheDnsOfTheRuntime) {
    const auto read = read_runtime_conf(
        runtime({{"dns", {{"servers", {"203.0.113.2"}}, {"searches", {"one", "two"}}, {"options", {"ndots:1"}}}}}), "");
    ASSERT_TRUE(succeeds(read));
    ASSERT_TRUE(read->dns);
    EXPECT_THAT(read->dns->search, ElementsAre("one", "two"));
    EXPECT_THAT(read->dns->options, ElementsAre("ndots:1"));
}

TEST(RuntimeConf, HasThePortsOfEitherSpelling) {
    for (const auto* const text :
         {R"({"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]})",
          R"({"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "", "hostIP": ""}]})",
          R"({"PortMappings": [{"HostPort": 8080, "ContainerPort": 80, "Protocol": "tcp", "HostIP": ""}]})"}) {
        const auto read = read_runtime_conf(runtime(Json::parse(text)), "");
        ASSERT_TRUE(succeeds(read));
        ASSERT_EQ(read->ports.size(), 1U);
        EXPECT_EQ(read->ports[0].host_port, 8080);
        EXPECT_EQ(read->ports[0].sandbox_port, 80);
        EXPECT_FALSE(read->ports[0].host) << text;
    }
    EXPECT_TRUE(fails_with(read_runtime_conf(runtime({{"portMappings", {1}}}), ""), Code::invalid_configuration));
}

TEST(RuntimeConf, HasTheBandwidthOfEitherSpelling) {
    for (const auto* const text :
         {R"({"bandwidth": {"ingressRate": 8000, "ingressBurst": 80000}})",
          R"({"Bandwidth": {"IngressRate": 8000, "IngressBurst": 80000, "EgressRate": 0, "EgressBurst": 0}})"}) {
        const auto read = read_runtime_conf(runtime(Json::parse(text)), "");
        ASSERT_TRUE(succeeds(read));
        EXPECT_EQ(read->bandwidth, (Bandwidth{Rate{1000, 10000}, std::nullopt})) << text;
    }
}

TEST(RuntimeConf, LetsPassWhatAsksForNothing) {
    EXPECT_TRUE(succeeds(read_runtime_conf(
        runtime({{"cgroupPath", "/kubelet/pod1"}, {"io.kubernetes.cri.pod-annotations", {{"a", "b"}}}}), "")));
}

struct Impossible {
    const char* name;
    Json config;
    std::string said;
};
void PrintTo(const Impossible& row, std::ostream* out) {
    *out << row.config;
}
class RuntimeConfOfAnother : public testing::TestWithParam<Impossible> {};

// By the specification, section 5: code 2, and the message has key and value.
TEST_P(RuntimeConfOfAnother, IsRefusedAsUnsupported) {
    const Json& value = *GetParam().config.begin();
    EXPECT_TRUE(fails_with(read_runtime_conf(runtime(GetParam().config), ""), Code::unsupported_field,
                           {GetParam().said, value.is_array() && value.size() == 1 ? value[0].dump() : value.dump()}));
}

INSTANTIATE_TEST_SUITE_P(
    , RuntimeConfOfAnother,
    testing::Values(Impossible{"Aliases", {{"aliases", {"db"}}}, "runtimeConfig.aliases"},
                    Impossible{"DeviceId", {{"deviceID", "0000:04:00.5"}}, "runtimeConfig.deviceID"},
                    Impossible{"InfinibandGuid", {{"infinibandGUID", "c2:11:22:33"}}, "runtimeConfig.infinibandGUID"},
                    Impossible{"AnythingElse", {{"teleport", true}}, "runtimeConfig.teleport"}),
    name_of_row);

struct Malformed {
    const char* name;
    Json conf;
    std::string said;
};
void PrintTo(const Malformed& row, std::ostream* out) {
    *out << row.conf;
}
class RuntimeConfOfNonsense : public testing::TestWithParam<Malformed> {};

TEST_P(RuntimeConfOfNonsense, IsRefusedByKey) {
    EXPECT_TRUE(fails_with(read_runtime_conf(GetParam().conf, ""), Code::invalid_configuration, {GetParam().said}));
}

INSTANTIATE_TEST_SUITE_P(
    , RuntimeConfOfNonsense,
    testing::Values(Malformed{"RuntimeConfigIsAList", {{"runtimeConfig", {1}}}, "runtimeConfig: [1]"},
                    Malformed{"IpsAreText", runtime({{"ips", "10.0.0.5"}}), "runtimeConfig.ips: \"10.0.0.5\""},
                    Malformed{"AnIpIsNone", runtime({{"ips", {"10.0.0.256"}}}), "runtimeConfig.ips: \"10.0.0.256\""},
                    Malformed{"TheMacIsNone", runtime({{"mac", "blue"}}), "runtimeConfig.mac: \"blue\""},
                    Malformed{"TheMacIsOfAGroup", runtime({{"mac", "01:00:5e:00:00:01"}}), "runtimeConfig.mac"},
                    Malformed{"TheMacIsOfAll", runtime({{"mac", "ff:ff:ff:ff:ff:ff"}}), "runtimeConfig.mac"},
                    Malformed{"TheMacIsNobodys", runtime({{"mac", "00:00:00:00:00:00"}}), "runtimeConfig.mac"},
                    Malformed{"DnsIsText", runtime({{"dns", "203.0.113.2"}}), "runtimeConfig.dns"},
                    Malformed{"ArgsAreText", {{"args", "IP"}}, "args: \"IP\""},
                    Malformed{"CniIsAList", {{"args", {{"cni", {1}}}}}, "args.cni: [1]"},
                    Malformed{"ArgsHaveNoAddress", {{"args", {{"cni", {{"ips", {"x"}}}}}}}, "args.cni.ips: \"x\""}),
    name_of_row);

// --- CNI_ARGS ---

TEST(CniArgs, AreWhatTheClientsSend) {
    EXPECT_TRUE(succeeds(read_runtime_conf(Json::object(),
                                           "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;"
                                           "K8S_POD_INFRA_CONTAINER_ID=0a;K8S_POD_UID=1-2")));
    EXPECT_EQ(mac_in(read_runtime_conf(Json::object(), "IgnoreUnknown=1;K8S_POD_NAME=web;MAC=02:00:00:00:00:03")),
              "02:00:00:00:00:03");
    EXPECT_EQ(address_in(read_runtime_conf(Json::object(), "K8S_POD_UID=1;IP=10.0.0.7;IgnoreUnknown=true")),
              "10.0.0.7");
    EXPECT_EQ(address_in(read_runtime_conf(Json::object(), "IP=;MAC=;")), "none");
}

TEST(CniArgs, AreRefusedByNameWhenTheyAreNone) {
    for (const auto* const text :
         {"IP", "=5", "IP=10.0.0.5;;MAC=", "K8S_POD_NAME=web", "IgnoreUnknown=0;X=1", "IgnoreUnknown=perhaps",
          "IP=blue", "IP=10.0.0.5,blue", "IP=10.0.0.5,", "MAC=blue", "MAC=ff:ff:ff:ff:ff:ff"}) {
        EXPECT_TRUE(fails_with(read_runtime_conf(Json::object(), text), Code::invalid_environment, {"CNI_ARGS"}))
            << text;
    }
}

// --- ipRanges ---

TEST(RuntimeRanges, ComeBeforeTheConfigurationsOwnAndCountAlone) {
    auto conf = example_without("/ipam/ranges");
    conf["capabilities"] = {{"ipRanges", true}};
    auto read = read_net_conf(conf.dump());
    ASSERT_TRUE(succeeds(read)) << "as STATUS and GC get it";
    EXPECT_THAT(read->network.ranges, IsEmpty());
    conf["runtimeConfig"]["ipRanges"] = Json::parse(R"([[{"subnet": "10.4.0.0/16", "rangeStart": "10.4.3.0"}]])");
    read = read_net_conf(conf.dump());
    ASSERT_TRUE(succeeds(read));
    ASSERT_EQ(read->network.ranges.size(), 1U);
    EXPECT_EQ(read->network.ranges[0][0].first.text(), "10.4.3.0");
    conf["ipam"]["ranges"] = Json::parse(R"([[{"subnet": "fd00:1::/64"}]])");
    conf["ipam"]["subnet"] = "10.5.0.0/16";
    read = read_net_conf(conf.dump());
    ASSERT_TRUE(succeeds(read));
    ASSERT_EQ(read->network.ranges.size(), 3U);
    EXPECT_EQ(read->network.ranges[0][0].subnet.text(), "10.4.0.0/16");
    EXPECT_EQ(read->network.ranges[1][0].subnet.text(), "10.5.0.0/16");
    EXPECT_EQ(read->network.ranges[2][0].subnet.text(), "fd00:1::/64");
    conf["runtimeConfig"]["ipRanges"] = "10.4.0.0/16";
    EXPECT_TRUE(fails_with(read_net_conf(conf.dump()), Code::invalid_configuration, {"runtimeConfig.ipRanges"}));
}

// Capitals, texts that nobody has set, and no sets.
TEST(RuntimeRanges, AreTakenAsContainerdsLibraryWritesThem) {
    auto conf = example_without("/ipam/ranges");
    conf["runtimeConfig"]["ipRanges"] = Json::parse(
        R"([{"Subnet": "10.4.0.0/16", "RangeStart": "10.4.3.0", "RangeEnd": "", "Gateway": ""},
            {"Subnet": "fd00:1::/64", "RangeStart": "", "RangeEnd": "", "Gateway": "fd00:1::9"}])");
    const auto read = read_net_conf(conf.dump());
    ASSERT_TRUE(succeeds(read));
    ASSERT_EQ(read->network.ranges.size(), 2U);
    EXPECT_EQ(read->network.ranges[0][0].first.text(), "10.4.3.0");
    EXPECT_EQ(read->network.ranges[0][0].gateway.text(), "10.4.0.1");
    EXPECT_EQ(read->network.ranges[1][0].gateway.text(), "fd00:1::9");
}

}  // namespace
}  // namespace causeway::cni::test::runtime_conf_test
