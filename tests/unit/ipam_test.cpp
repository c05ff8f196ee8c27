// SPDX-License-Identifier: Apache-2.0
// Another plugin's address management: what it answered, and how it is called. The plugins are shell scripts.
#include "cni/ipam.hpp"

#include <gmock/gmock.h>

#include "tests/unit/configuration.hpp"
#include "tests/unit/plugin_directory.hpp"

namespace causeway::cni::test::ipam_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

Delegate delegated() {
    return {"leases", example_with("/ipam", {{"type", "leases"}})};
}

std::expected<IpamResult, Error> result_in(const std::string& output) {
    return read_ipam_result(output, delegated());
}

TEST(IpamResult, HasAllThatIsGiven) {
    const auto result = result_in(R"({"cniVersion": "1.1.0",
        "ips": [{"address": "10.7.0.5/24", "gateway": "10.7.0.254"}],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "10.8.0.0/16", "gw": "10.7.0.9", "mtu": 1400, "priority": 5}],
        "dns": {"nameservers": ["10.7.0.53"], "search": ["example.org"], "options": ["edns0"], "domain": "example.org"}})");
    ASSERT_TRUE(succeeds(result));
    EXPECT_EQ(result->assignments.at(0).address.text(), "10.7.0.5/24");
    EXPECT_EQ(result->assignments.at(0).gateway.text(), "10.7.0.254");
    EXPECT_EQ(result->ranges.at(0).at(0).subnet.text(), "10.7.0.0/24");
    EXPECT_EQ(result->ranges.at(0).at(0).gateway.text(), "10.7.0.254");
    ASSERT_THAT(result->routes, SizeIs(2));
    EXPECT_TRUE(result->routes[0].gateway.is_none());
    EXPECT_EQ(result->routes[1].gateway.text(), "10.7.0.9");
    EXPECT_EQ(result->routes[1].mtu, 1400U);
    EXPECT_EQ(result->routes[1].priority, 5U);
    EXPECT_THAT(result->dns.nameservers, ElementsAre("10.7.0.53"));
    EXPECT_THAT(result->dns.search, ElementsAre("example.org"));
    EXPECT_THAT(result->dns.options, ElementsAre("edns0"));
    EXPECT_EQ(result->dns.domain, "example.org");
}

TEST(IpamResult, IsOfTheSubnetsThatItHasToBeIn) {
    auto delegate = delegated();
    auto range = Range::of_subnet(Prefix::parse("10.7.0.0/24").value()).value();
    range.gateway = Address::parse("10.7.0.254").value();
    delegate.subnets = {{range}};
    const auto read = [&](const std::string& ip) { return read_ipam_result(R"({"ips": [)" + ip + "]}", delegate); };
    for (const auto* ip : {R"({"address": "10.7.0.5/24", "gateway": "10.7.0.254"})", R"({"address": "10.7.0.5/24"})"}) {
        const auto result = read(ip);
        ASSERT_TRUE(succeeds(result)) << ip;
        EXPECT_EQ(result->assignments[0].gateway.text(), "10.7.0.254");
    }
    for (const auto* ip : {R"({"address": "10.7.0.5/16"})", R"({"address": "10.8.0.5/24", "gateway": "10.8.0.1"})"}) {
        EXPECT_TRUE(fails_with(read(ip), Code::decode_failure, {"\"leases\"", "is not in 10.7.0.0/24"})) << ip;
    }
    EXPECT_TRUE(fails_with(read(R"({"address": "10.7.0.5/24", "gateway": "10.7.0.1"})"), Code::decode_failure,
                           {"the gateway 10.7.0.1", "10.7.0.254"}));
}

TEST(IpamResult, HasTheSubnetsFirstAddressForAGatewayWhenNoneIsGiven) {
    const auto result = result_in(R"({"ips": [{"version": "4", "address": "10.7.0.5/24"}]})");
    ASSERT_TRUE(succeeds(result));
    EXPECT_EQ(result->assignments.at(0).gateway.text(), "10.7.0.1");
    EXPECT_THAT(result->routes, IsEmpty());
    EXPECT_TRUE(result->dns.empty());
}

TEST(IpamResult, TakesWhatIsNullOrEmptyForUnset) {
    const auto result = result_in(
        R"({"ips": [{"address": "10.7.0.5/24", "gateway": ""}], "routes": null, "dns": {"nameservers": null, "domain": null}})");
    ASSERT_TRUE(succeeds(result));
    EXPECT_EQ(result->assignments.at(0).gateway.text(), "10.7.0.1");
    EXPECT_TRUE(result->dns.empty());
    EXPECT_TRUE(succeeds(result_in(R"({"ips": [{"address": "10.7.0.5/24", "gateway": null}], "dns": null})")));
}

TEST(IpamResult, HasAddressesOfBothFamiliesEachWithItsGateway) {
    const auto result = result_in(R"({"ips": [{"address": "2001:db8::5/64", "gateway": "2001:db8::fe"},
        {"address": "10.7.0.5/24"}, {"address": "2001:db8::6/64"}]})");
    ASSERT_TRUE(succeeds(result));
    ASSERT_THAT(result->assignments, SizeIs(3));
    EXPECT_EQ(result->assignments[0].gateway.text(), "2001:db8::fe");
    EXPECT_EQ(result->assignments[1].gateway.text(), "10.7.0.1");
    EXPECT_EQ(result->assignments[2].address.text(), "2001:db8::6/64");
    EXPECT_EQ(result->assignments[2].gateway.text(), "2001:db8::fe") << "the subnet has one already";
}

struct Unusable {
    const char* name;
    std::string output;
};

void PrintTo(const Unusable& row, std::ostream* out) {
    *out << row.output.substr(0, 80);
}

class IpamResultUnusable : public testing::TestWithParam<Unusable> {};

TEST_P(IpamResultUnusable, IsRefusedWithThePluginsNameWhen) {
    EXPECT_TRUE(fails_with(result_in(GetParam().output), Code::decode_failure, {"\"leases\""}));
}

std::string nine_addresses() {
    Json result{{"ips", Json::array()}};
    for (int i = 0; i < 9; ++i) {
        result["ips"].push_back({{"address", "10." + std::to_string(i) + ".0.5/24"}});
    }
    return result.dump();
}

std::string with_address(const std::string& rest) {
    return R"({"ips": [{"address": "10.7.0.5/24"}], )" + rest + "}";
}

INSTANTIATE_TEST_SUITE_P(
    , IpamResultUnusable,
    testing::Values(
        Unusable{"ItIsEmpty", ""}, Unusable{"ItIsText", "10.7.0.5/24"}, Unusable{"ItIsAList", "[]"},
        Unusable{"ItIsNoUtf8", "{\"ips\": \"\xff\"}"},
        Unusable{"ItIsNestedTooDeeply",
                 with_address("\"dns\": " + std::string(200000, '[') + std::string(200000, ']'))},
        Unusable{"ItHasNoAddress", "{}"}, Unusable{"TheAddressesAreNone", R"({"ips": []})"},
        Unusable{"TheAddressesAreNull", R"({"ips": null})"},
        Unusable{"TheAddressesAreText", R"({"ips": "10.7.0.5/24"})"},
        Unusable{"TheAddressesAreAnObject", R"({"ips": {"address": "10.7.0.5/24"}})"},
        Unusable{"ItHasNineAddresses", nine_addresses()},
        Unusable{"ItsSecondAddressIsNone", R"({"ips": [{"address": "10.7.0.5/24"}, {"address": "fd00::5"}]})"},
        Unusable{"AnAddressIsText", R"({"ips": ["10.7.0.5/24"]})"},
        Unusable{"TheAddressIsANumber", R"({"ips": [{"address": 10}]})"},
        Unusable{"TheAddressIsMissing", R"({"ips": [{"gateway": "10.7.0.1"}]})"},
        Unusable{"TheAddressHasNoLength", R"({"ips": [{"address": "10.7.0.5"}]})"},
        Unusable{"TheAddressIsOfTheLinkAlone", R"({"ips": [{"address": "fe80::5/64"}]})"},
        Unusable{"TheAddressIsAGroup", R"({"ips": [{"address": "ff02::5/64"}]})"},
        Unusable{"TheGatewayIsOfAnotherFamily", R"({"ips": [{"address": "2001:db8::5/64", "gateway": "10.7.0.1"}]})"},
        Unusable{"TheAddressIsAloneInItsSubnet", R"({"ips": [{"address": "10.7.0.5/32"}]})"},
        Unusable{"TheGatewayIsOutside", R"({"ips": [{"address": "10.7.0.5/24", "gateway": "10.8.0.1"}]})"},
        Unusable{"TheGatewayIsMalformed", R"({"ips": [{"address": "10.7.0.5/24", "gateway": "one"}]})"},
        Unusable{"TheGatewayIsANumber", R"({"ips": [{"address": "10.7.0.5/24", "gateway": 1}]})"},
        Unusable{"TheRoutesAreText", with_address(R"("routes": "0.0.0.0/0")")},
        Unusable{"ARouteHasNoDestination", with_address(R"("routes": [{"gw": "10.7.0.1"}])")},
        Unusable{"ARoutesGatewayIsMalformed", with_address(R"("routes": [{"dst": "0.0.0.0/0", "gw": "x"}])")},
        Unusable{"ARoutesMtuIsText", with_address(R"("routes": [{"dst": "0.0.0.0/0", "mtu": "1400"}])")},
        Unusable{"DnsIsAList", with_address(R"("dns": [])")},
        Unusable{"ANameserverIsANumber", with_address(R"("dns": {"nameservers": [1]})")}),
    name_of_row);

// --- how it is called ---

class IpamPlugin : public testing::Test {
protected:
    std::expected<IpamResult, Error> add() const { return add_by_delegate(request(), delegated()); }

    std::expected<void, Error> call(const char* command) const {
        return call_delegate(command, request(), delegated());
    }

    Request request() const {
        return {.command = Command::add, .path = "/nowhere:" + plugins_.path() + ":/nowhere/else"};
    }

    causeway::test::PluginDirectory plugins_;
};

const std::string good_result = R"({"ips": [{"address": "10.7.0.5/24"}]})";

TEST_F(IpamPlugin, IsFoundWhenItIsAnywhereInThePath) {
    plugins_.add("leases", "echo '" + good_result + "'");
    const auto result = add();
    ASSERT_TRUE(succeeds(result));
    EXPECT_EQ(result->assignments.at(0).address.text(), "10.7.0.5/24");
}

TEST_F(IpamPlugin, IsGivenTheCommandAndTheConfigurationAsItCame) {
    plugins_.add("leases", "echo '" + good_result + "'");
    ASSERT_TRUE(succeeds(add()));
    EXPECT_EQ(plugins_.calls(), "ADD\n");
    EXPECT_EQ(Json::parse(plugins_.last_input()), delegated().conf);
}

TEST_F(IpamPlugin, IsGivenEachOtherCommandByItsName) {
    plugins_.add("leases", "");
    for (const auto* const command : {"DEL", "CHECK", "GC", "STATUS"}) {
        EXPECT_TRUE(succeeds(call(command)));
    }
    EXPECT_EQ(plugins_.calls(), "DEL\nCHECK\nGC\nSTATUS\n");
}

TEST_F(IpamPlugin, IsGivenAConfigurationLongerThanAPipe) {
    plugins_.add("leases", "echo '" + good_result + "'");
    const auto conf = example_with("/ipam", {{"type", "leases"}, {"remark", std::string(300000, 'x')}});
    EXPECT_TRUE(succeeds(add_by_delegate(request(), {"leases", conf})));
    EXPECT_EQ(Json::parse(plugins_.last_input()), conf);
}

TEST_F(IpamPlugin, IsRefusedByNameWhenItIsNotInThePath) {
    EXPECT_TRUE(fails_with(add(), Code::invalid_environment, {"\"leases\"", "CNI_PATH", plugins_.path()}));
}

TEST_F(IpamPlugin, IsRefusedByNameWhenItCanNotBeRun) {
    plugins_.add("leases", "");
    std::filesystem::permissions(plugins_.path() + "/leases", std::filesystem::perms::owner_read);
    EXPECT_TRUE(fails_with(add(), Code::invalid_environment, {"\"leases\""}));
}

TEST_F(IpamPlugin, IsNoDirectoryOfItsName) {
    causeway::test::PluginDirectory before;
    std::filesystem::create_directory(before.path() + "/leases");
    plugins_.add("leases", "echo '" + good_result + "'");
    auto request = this->request();
    request.path = before.path() + ":" + request.path;
    EXPECT_TRUE(succeeds(add_by_delegate(request, delegated())));
}

TEST_F(IpamPlugin, HasItsOwnErrorReturnedWhenItGivesOne) {
    plugins_.add("leases",
                 "[ $CNI_COMMAND = ADD ] || exit 0\n"
                 R"(echo '{"code": 11, "msg": "busy", "details": "by another"}'; exit 1)");
    const auto result = add();
    EXPECT_TRUE(fails_with(result, Code::try_again_later, {"\"leases\"", "busy"}));
    EXPECT_EQ(result.error().details, "by another");
    EXPECT_EQ(plugins_.calls(), "ADD\nDEL\n");
}

TEST_F(IpamPlugin, HasItsWordsReturnedWhenTheyAreNoJson) {
    plugins_.add("leases", "echo no lease file; exit 1");
    EXPECT_TRUE(fails_with(add(), Code::io_failure, {"\"leases\"", "no lease file"}));
}

TEST_F(IpamPlugin, FailsTheCallWhenItSaysNothing) {
    plugins_.add("leases", "exit 3");
    EXPECT_TRUE(fails_with(call("DEL"), Code::io_failure, {"\"leases\"", "nothing"}));
}

TEST_F(IpamPlugin, FailsTheCallWhenItIsKilled) {
    plugins_.add("leases", "kill -9 $$");
    EXPECT_TRUE(fails_with(call("STATUS"), Code::io_failure, {"\"leases\""}));
}

TEST_F(IpamPlugin, FailsTheCallWithoutACodeOfItsOwnWhenThatIsNone) {
    for (const auto* const code : {"0", "-3", "4294967307", "1.5"}) {
        plugins_.add("leases", R"(echo '{"code": )" + std::string(code) + R"(, "msg": "busy"}'; exit 1)");
        EXPECT_TRUE(fails_with(call("DEL"), Code::io_failure, {"\"leases\"", "busy"})) << code;
    }
}

TEST_F(IpamPlugin, FailsTheCallShortlyHoweverMuchItSays) {
    plugins_.add("leases", "head -c 300000 /dev/zero | tr '\\0' x; exit 1");
    const auto result = call("DEL");
    EXPECT_TRUE(fails_with(result, Code::io_failure, {"xxx"}));
    EXPECT_LT(result.error().message.size(), 1000U);
}

TEST_F(IpamPlugin, FailsTheCallWhenTheTextsOfItsErrorAreNone) {
    plugins_.add("leases", R"(echo '{"code": 11, "msg": 5, "details": ["a"]}'; exit 1)");
    EXPECT_TRUE(fails_with(call("DEL"), Code::try_again_later, {"\"leases\""}));
}

TEST_F(IpamPlugin, GetsItsLeaseBackWhenItsAnswerIsUnusable) {
    plugins_.add("leases", "echo '{}'");
    EXPECT_TRUE(fails_with(add(), Code::decode_failure, {"0 addresses"}));
    EXPECT_EQ(plugins_.calls(), "ADD\nDEL\n");
}

TEST_F(IpamPlugin, IsSaidToKeepItsLeaseWhenItRefusesToTakeItBack) {
    plugins_.add("leases", R"([ $CNI_COMMAND = ADD ] || { echo '{"code": 5, "msg": "disk full"}'; exit 1; })");
    const auto result = add();
    EXPECT_TRUE(fails_with(result, Code::decode_failure));
    EXPECT_THAT(result.error().details, HasSubstr("not undone: IPAM plugin \"leases\": disk full"));
}

}  // namespace
}  // namespace causeway::cni::test::ipam_test
