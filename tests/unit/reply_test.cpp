// SPDX-License-Identifier: Apache-2.0
// What the plugin prints: results in the shape of each version, a chain's result carried on, errors.
#include "cni/reply.hpp"

#include "tests/unit/configuration.hpp"

namespace causeway::cni::test::reply_test {
namespace {

Connection connection() {
    return {.gateway_device = {.ifindex = 3, .name = "cw0", .mac = {{0x0a, 'c', 10, 0, 0, 1}}, .mtu = 1500},
            .host_end = {.ifindex = 4, .name = "cwabc", .mac = {{0x0a, 'c', 10, 0, 0, 1}}, .mtu = 1450},
            .sandbox_end = {.ifindex = 2, .name = "eth0", .mac = {{0x0a, 'c', 10, 0, 0, 5}}, .mtu = 1450},
            .assignments = {{Prefix::parse("10.0.0.5/24").value(), Address::parse("10.0.0.1").value()}},
            .routes = {{Prefix::parse("0.0.0.0/0").value(), Address::parse("10.0.0.1").value()}}};
}

NetConf conf_of(const std::string& version, std::optional<Json> previous_result = std::nullopt) {
    NetConf conf;
    conf.version = version;
    conf.previous_result = std::move(previous_result);
    return conf;
}

const std::string netns = "/run/netns/one";

Json result_of(const std::string& version, std::optional<Json> previous_result = std::nullopt, const Dns& dns = {}) {
    return add_result(conf_of(version, std::move(previous_result)), netns, connection(), dns);
}

TEST(AddResult, IsExactlyThisIn11) {
    EXPECT_EQ(result_of("1.1.0"), Json::parse(R"({
        "cniVersion": "1.1.0",
        "interfaces": [
            {"name": "cw0", "mac": "0a:63:0a:00:00:01", "mtu": 1500},
            {"name": "cwabc", "mac": "0a:63:0a:00:00:01", "mtu": 1450},
            {"name": "eth0", "mac": "0a:63:0a:00:00:05", "mtu": 1450, "sandbox": "/run/netns/one"}],
        "ips": [{"interface": 2, "address": "10.0.0.5/24", "gateway": "10.0.0.1"}],
        "routes": [{"dst": "0.0.0.0/0", "gw": "10.0.0.1"}],
        "dns": {}})"));
}

TEST(AddResult, IsExactlyThisIn031) {
    EXPECT_EQ(result_of("0.3.1"), Json::parse(R"({
        "cniVersion": "0.3.1",
        "interfaces": [
            {"name": "cw0", "mac": "0a:63:0a:00:00:01"},
            {"name": "cwabc", "mac": "0a:63:0a:00:00:01"},
            {"name": "eth0", "mac": "0a:63:0a:00:00:05", "sandbox": "/run/netns/one"}],
        "ips": [{"version": "4", "interface": 2, "address": "10.0.0.5/24", "gateway": "10.0.0.1"}],
        "routes": [{"dst": "0.0.0.0/0", "gw": "10.0.0.1"}],
        "dns": {}})"));
}

// CNI 1.1.0 brought interfaces[].mtu; 1.0.0 took ips[].version away.
struct Shape {
    const char* name;
    std::string version;
    bool has_mtu, has_ip_version;
};

void PrintTo(const Shape& row, std::ostream* out) {
    *out << row.version;
}

class AddResultShape : public testing::TestWithParam<Shape> {};

TEST_P(AddResultShape, IsTheRequestsWhenTheVersionIs) {
    const auto& [name, version, has_mtu, has_ip_version] = GetParam();
    const auto result = result_of(version);
    EXPECT_EQ(result["cniVersion"], version);
    for (const auto& interface : result["interfaces"]) {
        EXPECT_EQ(interface.contains("mtu"), has_mtu) << interface;
    }
    EXPECT_EQ(result["ips"][0].contains("version"), has_ip_version);
}

TEST_P(AddResultShape, CountsInterfacesFromZeroWhenTheVersionIs) {
    const auto result = result_of(GetParam().version);
    const auto& interface = result["interfaces"][result["ips"][0]["interface"].get<std::size_t>()];
    EXPECT_EQ(interface["name"], "eth0");
    EXPECT_EQ(interface["sandbox"], netns);
}

INSTANTIATE_TEST_SUITE_P(, AddResultShape,
                         testing::Values(Shape{"V031", "0.3.1", false, true}, Shape{"V040", "0.4.0", false, true},
                                         Shape{"V100", "1.0.0", false, false}, Shape{"V110", "1.1.0", true, false}),
                         name_of_row);

TEST(AddResult, NamesTheFamilyWhenTheAddressIsIPv6) {
    auto ipv6 = connection();
    ipv6.assignments = {{Prefix::parse("2001:db8::5/64").value(), Address::parse("2001:db8::1").value()}};
    const auto result = add_result(conf_of("0.4.0"), netns, ipv6, {});
    EXPECT_EQ(result["ips"][0]["version"], "6");
    EXPECT_EQ(result["ips"][0]["address"], "2001:db8::5/64");
}

TEST(AddResult, HasEachAddressWithItsGatewayWhenThereAreSeveral) {
    auto dual = connection();
    dual.assignments.push_back({Prefix::parse("2001:db8::5/64").value(), Address::parse("2001:db8::1").value()});
    dual.routes.push_back({Prefix::parse("::/0").value(), Address::parse("2001:db8::1").value()});
    const auto result = add_result(conf_of("1.0.0"), netns, dual, {});
    EXPECT_EQ(result["ips"], Json::parse(R"([{"interface": 2, "address": "10.0.0.5/24", "gateway": "10.0.0.1"},
                                             {"interface": 2, "address": "2001:db8::5/64", "gateway": "2001:db8::1"}])"));
    EXPECT_EQ(result["routes"],
              Json::parse(R"([{"dst": "0.0.0.0/0", "gw": "10.0.0.1"}, {"dst": "::/0", "gw": "2001:db8::1"}])"));
}

TEST(AddResult, HasDnsWhenThereIsSome) {
    const Dns dns{
        .nameservers = {"1.1.1.1"}, .search = {"example.org"}, .options = {"ndots:2"}, .domain = "example.org"};
    EXPECT_EQ(result_of("1.0.0", std::nullopt, dns)["dns"],
              Json::parse(R"({"nameservers": ["1.1.1.1"], "search": ["example.org"], "options": ["ndots:2"],
                              "domain": "example.org"})"));
}

TEST(AddResult, LeavesOutOfDnsWhatIsEmpty) {
    EXPECT_EQ(result_of("1.0.0", std::nullopt, {.nameservers = {"1.1.1.1"}})["dns"],
              Json::parse(R"({"nameservers": ["1.1.1.1"]})"));
}

TEST(AddResult, HasAnEmptyListOfRoutesWhenThereAreNone) {
    auto bare = connection();
    bare.routes.clear();
    EXPECT_EQ(add_result(conf_of("1.0.0"), netns, bare, {})["routes"], Json::array());
}

// --- chains ---

Json previous() {
    return Json::parse(R"({
        "cniVersion": "1.1.0",
        "interfaces": [{"name": "tap0", "mac": "02:00:00:00:00:01", "pciID": "0000:00:1f.6"}],
        "ips": [{"interface": 0, "address": "192.0.2.2/24"}],
        "routes": [{"dst": "198.51.100.0/24", "gw": "192.0.2.1", "mtu": 1400}],
        "dns": {"nameservers": ["192.0.2.53"]},
        "firewall": {"rules": 3}})");
}

TEST(AddResult, CarriesOnWhatTheChainHasWhenThereIsAPreviousResult) {
    const auto result = result_of("1.1.0", previous());
    EXPECT_EQ(result["interfaces"][0], previous()["interfaces"][0]);
    EXPECT_EQ(result["ips"][0], previous()["ips"][0]);
    EXPECT_EQ(result["routes"][0], previous()["routes"][0]);
    EXPECT_EQ(result["dns"], previous()["dns"]);
    EXPECT_EQ(result["firewall"], previous()["firewall"]);
}

TEST(AddResult, AppendsItsOwnWhenThereIsAPreviousResult) {
    const auto result = result_of("1.1.0", previous());
    ASSERT_EQ(result["interfaces"].size(), 4U);
    EXPECT_EQ(result["interfaces"][3]["name"], "eth0");
    ASSERT_EQ(result["ips"].size(), 2U);
    EXPECT_EQ(result["ips"][1]["interface"], 3);
    EXPECT_EQ(result["ips"][1]["address"], "10.0.0.5/24");
    ASSERT_EQ(result["routes"].size(), 2U);
    EXPECT_EQ(result["routes"][1]["dst"], "0.0.0.0/0");
}

TEST(AddResult, IsOfTheRequestsVersionWhenThePreviousResultIsOfAnother) {
    auto other = previous();
    other["cniVersion"] = "0.4.0";
    EXPECT_EQ(result_of("1.1.0", other)["cniVersion"], "1.1.0");
}

TEST(AddResult, HasItsOwnDnsWhenTheChainHasSomeToo) {
    EXPECT_EQ(result_of("1.1.0", previous(), {.nameservers = {"1.1.1.1"}})["dns"]["nameservers"],
              Json::array({"1.1.1.1"}));
}

TEST(AddResult, IsWholeWhenThePreviousResultIsEmptyOrHasNulls) {
    for (const auto* const text : {"{}", R"({"interfaces": null, "ips": null, "routes": null})"}) {
        EXPECT_EQ(result_of("1.1.0", Json::parse(text)), result_of("1.1.0")) << text;
    }
}

// --- the others ---

TEST(VersionResult, HasTheVersionThatWasAskedInAndAllThatAreSpoken) {
    EXPECT_EQ(version_result("0.4.0"), Json::parse(R"({"cniVersion": "0.4.0",
                                                       "supportedVersions": ["0.3.1", "0.4.0", "1.0.0", "1.1.0"]})"));
}

TEST(ErrorResult, HasVersionCodeAndMessage) {
    EXPECT_EQ(error_result("1.0.0", {Code::invalid_configuration, "mtu: 1 is less than 68"}),
              Json::parse(R"({"cniVersion": "1.0.0", "code": 7, "msg": "mtu: 1 is less than 68"})"));
}

TEST(ErrorResult, HasDetailsWhenThereAreSome) {
    EXPECT_EQ(error_result("1.1.0", {Code::exhausted, "none left", "configure more"}),
              Json::parse(R"({"cniVersion": "1.1.0", "code": 101, "msg": "none left", "details": "configure more"})"));
}

TEST(ErrorResult, HasTheSpecificationsCodes) {
    const std::pair<Code, int> codes[]{
        {Code::incompatible_version, 1},  {Code::unsupported_field, 2},   {Code::unknown_container, 3},
        {Code::invalid_environment, 4},   {Code::io_failure, 5},          {Code::decode_failure, 6},
        {Code::invalid_configuration, 7}, {Code::invalid_namespace, 8},   {Code::try_again_later, 11},
        {Code::unavailable, 50},          {Code::unavailable_limited, 51}};
    for (const auto& [code, number] : codes) {
        EXPECT_EQ(error_result("1.1.0", {code, "m"})["code"], number);
    }
    EXPECT_GE(static_cast<int>(Code::kernel), 100);
}

}  // namespace
}  // namespace causeway::cni::test::reply_test
