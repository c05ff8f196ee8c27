// SPDX-License-Identifier: Apache-2.0
// The bandwidth of one sandbox: who says it, in which units, and what is refused.
#include <gmock/gmock.h>

#include <array>

#include "cni/bandwidth_conf.hpp"
#include "tests/unit/configuration.hpp"

namespace causeway::cni::test::bandwidth_conf_test {
namespace {

const Json both = {{"ingressRate", 8000U}, {"ingressBurst", 80000U}, {"egressRate", 16000U}, {"egressBurst", 160000U}};

TEST(BandwidthConf, IsNoneWhereNothingIsSaid) {
    const Json zeros{{"ingressRate", 0U}, {"ingressBurst", 0U}, {"egressRate", 0U}, {"egressBurst", 0U}};
    for (const auto& [conf, runtime] : {std::pair<Json, Json>{Json::object(), Json()}, {zeros, zeros}}) {
        const auto read = read_bandwidth(conf, runtime);
        ASSERT_TRUE(succeeds(read));
        EXPECT_FALSE(read->any());
    }
}

TEST(BandwidthConf, IsInBitsOfTheConfigurationOrOfTheRuntime) {
    const Bandwidth expected{Rate{1000, 10000}, Rate{2000, 20000}};
    for (const auto& [conf, runtime] : {std::pair<Json, Json>{both, Json()}, {Json::object(), both}}) {
        const auto read = read_bandwidth(conf, runtime);
        ASSERT_TRUE(succeeds(read));
        EXPECT_EQ(*read, expected);
    }
}

TEST(BandwidthConf, IsTheConfigurationsWhateverTheRuntimeAsksFor) {
    const auto read = read_bandwidth({{"egressRate", 8000U}, {"egressBurst", 8000U}}, both);
    ASSERT_TRUE(succeeds(read));
    EXPECT_EQ(*read, (Bandwidth{std::nullopt, Rate{1000, 1000}}));
}

// What containerd sends for a pod's annotation.
TEST(BandwidthConf, IsTakenWithABurstThatNobodyHasSet) {
    const auto read = read_bandwidth(
        Json::object(),
        {{"ingressRate", 1000000U}, {"ingressBurst", 4294967295U}, {"egressRate", 0U}, {"egressBurst", 0U}});
    ASSERT_TRUE(succeeds(read));
    EXPECT_EQ(*read, (Bandwidth{Rate{125000, 536870911}, std::nullopt}));
}

struct BadBandwidth {
    const char* name;
    Json value;
    std::array<std::string_view, 3> said;
};
void PrintTo(const BadBandwidth& row, std::ostream* out) {
    *out << row.value;
}

class BandwidthConfOf : public testing::TestWithParam<BadBandwidth> {};

TEST_P(BandwidthConfOf, IsRefused) {
    const auto& [key, value, why] = GetParam().said;
    EXPECT_TRUE(fails_with(read_bandwidth(Json::object(), GetParam().value), Code::invalid_configuration,
                           {"runtimeConfig.bandwidth", key, value, why}));
    if (GetParam().value.is_object()) {
        EXPECT_TRUE(fails_with(read_bandwidth(GetParam().value, Json()), Code::invalid_configuration));
    }
}

INSTANTIATE_TEST_SUITE_P(
    , BandwidthConfOf,
    testing::Values(
        BadBandwidth{"ANumber", 5, {"bandwidth"}}, BadBandwidth{"AList", Json::array(), {"bandwidth"}},
        BadBandwidth{"ARateWithoutBurst", {{"ingressRate", 8000U}}, {"ingressRate", "8000", "ingressBurst"}},
        BadBandwidth{"ABurstWithoutRate", {{"egressBurst", 8000U}}, {"egressBurst", "8000", "egressRate"}},
        BadBandwidth{"ANegativeRate", {{"ingressRate", -1}, {"ingressBurst", 1U}}, {"ingressRate", "-1"}},
        BadBandwidth{"AFraction", {{"ingressRate", 8.5}, {"ingressBurst", 1U}}, {"ingressRate", "8.5"}},
        BadBandwidth{"AText", {{"egressRate", "8M"}, {"egressBurst", 1U}}, {"egressRate", "8M"}},
        BadBandwidth{"LessThanAByteASecond", {{"egressRate", 7U}, {"egressBurst", 8U}}, {"egressRate", "7"}},
        BadBandwidth{"ABurstBeyondFourGigabytes",
                     {{"egressRate", 8000U}, {"egressBurst", 34359738368U}},
                     {"egressBurst", "34359738368"}}),
    name_of_row);

}  // namespace
}  // namespace causeway::cni::test::bandwidth_conf_test
