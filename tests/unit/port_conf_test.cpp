// SPDX-License-Identifier: Apache-2.0
// Port mappings as runtimes write them: each spelling, what is assumed, and what is refused.
#include <gmock/gmock.h>
#include <linux/in.h>

#include "cni/port_conf.hpp"
#include "tests/unit/configuration.hpp"

namespace causeway::cni::test::port_conf_test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

PortMapping mapping(std::uint8_t protocol, std::uint16_t host_port, std::uint16_t sandbox_port,
                    const char* host = nullptr) {
    return {protocol, host == nullptr ? std::nullopt : std::optional(Address::parse(host).value()), host_port,
            sandbox_port};
}

TEST(PortMappings, AreThoseOfTheConventions) {
    const auto ports = read_port_mappings(Json::parse(R"([
        {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
        {"hostPort": 53, "containerPort": 5353, "protocol": "udp", "hostIP": "203.0.113.1"},
        {"hostPort": 53, "containerPort": 5353, "protocol": "tcp"},
        {"hostPort": 65535, "containerPort": 1, "protocol": "SCTP"}])"));
    ASSERT_TRUE(succeeds(ports));
    EXPECT_THAT(*ports, ElementsAre(mapping(IPPROTO_TCP, 8080, 80), mapping(IPPROTO_UDP, 53, 5353, "203.0.113.1"),
                                    mapping(IPPROTO_TCP, 53, 5353), mapping(IPPROTO_SCTP, 65535, 1)));
}

TEST(PortMappings, AreOfEveryAddressAndOfTcpWhereNothingElseIsSaid) {
    const auto ports = read_port_mappings(Json::parse(R"([{"hostPort": 1, "containerPort": 2}])"));
    ASSERT_TRUE(succeeds(ports));
    EXPECT_THAT(*ports, ElementsAre(mapping(IPPROTO_TCP, 1, 2)));
    EXPECT_THAT(read_port_mappings(Json()).value(), IsEmpty());
    EXPECT_THAT(read_port_mappings(Json::array()).value(), IsEmpty());
}

TEST(PortMappings, AreOfOneFamilyWhereTheHostsAddressIs) {
    const auto ports = read_port_mappings(Json::parse(R"([
        {"hostPort": 80, "containerPort": 80, "hostIP": "0.0.0.0"}, {"hostPort": 80, "containerPort": 81, "hostIP": "::"},
        {"hostPort": 81, "containerPort": 80, "hostIP": "2001:db8::1"}])"));
    ASSERT_TRUE(succeeds(ports));
    EXPECT_THAT(*ports, ElementsAre(mapping(IPPROTO_TCP, 80, 80, "0.0.0.0"), mapping(IPPROTO_TCP, 80, 81, "::"),
                                    mapping(IPPROTO_TCP, 81, 80, "2001:db8::1")));
}

TEST(PortMappings, MayShareAPortOnDifferentAddressesAndProtocols) {
    EXPECT_TRUE(succeeds(read_port_mappings(Json::parse(R"([
        {"hostPort": 80, "containerPort": 80, "hostIP": "203.0.113.1"}, {"hostPort": 80, "containerPort": 81, "hostIP": "203.0.113.2"},
        {"hostPort": 80, "containerPort": 80, "protocol": "udp"}])"))));
}

struct Wrong {
    const char* name;
    std::string text, said;
};
void PrintTo(const Wrong& row, std::ostream* out) {
    *out << row.text;
}
class WrongPortMappings : public testing::TestWithParam<Wrong> {};

TEST_P(WrongPortMappings, AreRefusedByName) {
    EXPECT_TRUE(fails_with(read_port_mappings(Json::parse(GetParam().text)), Code::invalid_configuration,
                           {"runtimeConfig.portMappings", GetParam().said}));
}

INSTANTIATE_TEST_SUITE_P(
    , WrongPortMappings,
    testing::Values(
        Wrong{"Text", R"("80:80")", "80:80"}, Wrong{"AListOfNumbers", "[80]", "80"},
        Wrong{"NoHostPort", R"([{"containerPort": 80}])", "hostPort"},
        Wrong{"HostPortZero", R"([{"hostPort": 0, "containerPort": 80}])", "hostPort"},
        Wrong{"HostPortNegative", R"([{"hostPort": -80, "containerPort": 80}])", "hostPort"},
        Wrong{"HostPortTooLarge", R"([{"hostPort": 65536, "containerPort": 80}])", "hostPort"},
        Wrong{"HostPortAFraction", R"([{"hostPort": 80.5, "containerPort": 80}])", "hostPort"},
        Wrong{"HostPortText", R"([{"hostPort": "80", "containerPort": 80}])", "hostPort"},
        Wrong{"NoContainerPort", R"([{"hostPort": 80}])", "containerPort"},
        Wrong{"ContainerPortTooLarge", R"([{"hostPort": 80, "containerPort": 70000}])", "containerPort"},
        Wrong{"ProtocolUnknown", R"([{"hostPort": 80, "containerPort": 80, "protocol": "icmp"}])", "icmp"},
        Wrong{"ProtocolANumber", R"([{"hostPort": 80, "containerPort": 80, "protocol": 6}])", "protocol: 6"},
        Wrong{"HostIpMalformed", R"([{"hostPort": 80, "containerPort": 80, "hostIP": "here"}])", "here"},
        Wrong{"HostIpAGroup", R"([{"hostPort": 80, "containerPort": 80, "hostIP": "224.0.0.1"}])", "no host"},
        Wrong{"HostIpAnIPv6Group", R"([{"hostPort": 80, "containerPort": 80, "hostIP": "ff02::1"}])", "no host"},
        Wrong{"HostIpTheBroadcastAddress", R"([{"hostPort": 80, "containerPort": 80, "hostIP": "255.255.255.255"}])",
              "no host"},
        Wrong{"HostIpOfThisNetwork", R"([{"hostPort": 80, "containerPort": 80, "hostIP": "0.0.0.7"}])", "no host"},
        Wrong{"TwiceTheSame", R"([{"hostPort": 80, "containerPort": 80}, {"hostPort": 80, "containerPort": 81}])",
              R"(claims the same port as {"containerPort":80,"hostPort":80})"},
        Wrong{
            "OnceOnEveryAddressAndOnceOnOne",
            R"([{"hostPort": 80, "containerPort": 80, "hostIP": "203.0.113.1"}, {"hostPort": 80, "containerPort": 81}])",
            "claims the same port"},
        Wrong{
            "OnceOnEveryIPv6AddressAndOnceOnOne",
            R"([{"hostPort": 80, "containerPort": 80, "hostIP": "2001:db8::1"}, {"hostPort": 80, "containerPort": 81, "hostIP": "::"}])",
            "claims the same port"},
        Wrong{"OnceOnEveryAddressAndOnceOnEveryIPv6Address",
              R"([{"hostPort": 80, "containerPort": 80}, {"hostPort": 80, "containerPort": 81, "hostIP": "::"}])",
              "claims the same port"}),
    name_of_row);

}  // namespace
}  // namespace causeway::cni::test::port_conf_test
