// SPDX-License-Identifier: Apache-2.0
// The keys of the network itself: name, device, MTU, uplinks, masquerading, ports, timeouts, dns.
#include <gmock/gmock.h>

#include <string_view>

#include "tests/unit/configuration.hpp"

namespace causeway::cni::test::net_conf_network_test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

using namespace std::string_literals;

class NetConfKey : public testing::TestWithParam<Refused> {};

TEST_P(NetConfKey, IsRefusedWhen) {
    expect_refused(GetParam());
}

INSTANTIATE_TEST_SUITE_P(Name, NetConfKey,
                         testing::Values(Refused{"NameIsANumber", "/name", 5, "name"},
                                         Refused{"NameIsAList", "/name", {"n"}, "name"},
                                         Refused{"NameIsEmpty", "/name", "", "name"},
                                         Refused{"NameHasASpace", "/name", "my net", "name"},
                                         Refused{"NameHasASlash", "/name", "a/b", "name"},
                                         Refused{"NameBeginsWithADot", "/name", ".net", "name"},
                                         Refused{"NameBeginsWithADash", "/name", "-net", "name"},
                                         Refused{"NameHasANul", "/name", "net\0"s, "name"},
                                         Refused{"NameIsNotAscii", "/name", "caf\u00e9", "name"},
                                         Refused{"NameHasSixtyFourCharacters", "/name", std::string(64, 'n'), "name"}),
                         name_of_row);

INSTANTIATE_TEST_SUITE_P(Device, NetConfKey,
                         testing::Values(Refused{"DeviceIsANumber", "/device", 0, "device"},
                                         Refused{"DeviceIsFalse", "/device", false, "device"},
                                         Refused{"DeviceIsEmpty", "/device", "", "device"},
                                         Refused{"DeviceIsADot", "/device", ".", "device"},
                                         Refused{"DeviceIsTwoDots", "/device", "..", "device"},
                                         Refused{"DeviceHasASlash", "/device", "cw/0", "device"},
                                         Refused{"DeviceHasAColon", "/device", "cw:0", "device"},
                                         Refused{"DeviceHasASpace", "/device", "cw 0", "device"},
                                         Refused{"DeviceHasATab", "/device", "cw\t0", "device"},
                                         Refused{"DeviceHasANul", "/device", "cw0\0"s, "device"},
                                         Refused{"DeviceWouldBeNumberedByTheKernel", "/device", "cw%d", "device"},
                                         Refused{"DeviceStandsForAll", "/device", "all", "device"},
                                         Refused{"DeviceStandsForThoseToCome", "/device", "default", "device"},
                                         Refused{"DeviceHasThirteenCharacters", "/device", "abcdefghijklm", "device"},
                                         Refused{"DeviceIsVeryLong", "/device", std::string(300, 'd'), "device"}),
                         name_of_row);

INSTANTIATE_TEST_SUITE_P(
    Mtu, NetConfKey,
    testing::Values(Refused{"MtuIsText", "/mtu", "1500", "mtu"}, Refused{"MtuIsTrue", "/mtu", true, "mtu"},
                    Refused{"MtuIsNegative", "/mtu", -1, "mtu"}, Refused{"MtuIsAFraction", "/mtu", 1500.5, "mtu"},
                    Refused{"MtuIsBelowWhatIPv4Needs", "/mtu", 67, "mtu"}, Refused{"MtuIsOne", "/mtu", 1, "mtu"},
                    Refused{"MtuIsAboveWhatADeviceTakes", "/mtu", 65536, "mtu"},
                    Refused{"MtuIsHuge", "/mtu", 18446744073709551615ULL, "mtu"},
                    Refused{"MtuIsAnObject", "/mtu", Json::object(), "mtu"},
                    Refused{"GsoMaxSizeIsBelowTheDefault", "/gsoMaxSize", 65535, "gsoMaxSize", "65535"},
                    Refused{"GsoMaxSizeIsMoreThanVethHas", "/gsoMaxSize", 524281, "gsoMaxSize", "524281"},
                    Refused{"GsoMaxSizeIsText", "/gsoMaxSize", "big", "gsoMaxSize", "\"big\""}),
    name_of_row);

INSTANTIATE_TEST_SUITE_P(
    Rest, NetConfKey,
    testing::Values(
        Refused{"IpMasqIsText", "/ipMasq", "true", "ipMasq"}, Refused{"IpMasqIsANumber", "/ipMasq", 1, "ipMasq"},
        Refused{"IsolateIsText", "/isolate", "yes", "isolate"},
        Refused{"InboundIsText", "/inbound", "10.0.0.0/8", "inbound", "10.0.0.0/8"},
        Refused{"InboundLetsNobodyIn", "/inbound", true, "inbound", "nonMasqueradeCIDRs"},
        Refused{"ForwardedIsText", "/forwarded", "yes", "forwarded", "yes"},
        Refused{"MulticastIsText", "/multicast", "yes", "multicast"},
        Refused{"MulticastIsANumber", "/multicast", 1, "multicast"},
        Refused{"MulticastIsAListOfGroups", "/multicast", Json::array({"ff02::fb"}), "multicast"},
        Refused{"MulticastRateIsNothing", "/multicastRate", 0, "multicastRate", "0"},
        Refused{"MulticastRateIsMoreThanThereIs", "/multicastRate", 1000001, "multicastRate", "1000001"},
        Refused{"MulticastRateIsText", "/multicastRate", "100", "multicastRate"},
        Refused{"AnUnmasqueradedDestinationIsNone", "/nonMasqueradeCIDRs", Json::array({"fd00::"}),
                "nonMasqueradeCIDRs", "\"fd00::\""},
        Refused{"AnUnmasqueradedDestinationHasHostBits", "/nonMasqueradeCIDRs", Json::array({"fd00::5/64"}),
                "nonMasqueradeCIDRs", "fd00::/64"},
        Refused{"AnUnmasqueradedDestinationHasIPv4InIt", "/nonMasqueradeCIDRs", Json::array({"::/0"}),
                "nonMasqueradeCIDRs", "2000::/3"},
        Refused{"UplinksAreText", "/uplinks", "eth0", "uplinks"},
        Refused{"UplinksAreAnObject", "/uplinks", {{"eth0", true}}, "uplinks"},
        Refused{"AnUplinkIsANumber", "/uplinks", Json::array({"eth0", 5}), "uplinks"},
        Refused{"AnUplinkIsNull", "/uplinks", Json::array({nullptr}), "uplinks"},
        Refused{"DnsIsAList", "/dns", Json::array({"1.1.1.1"}), "dns"},
        Refused{"NameserversAreText", "/dns", {{"nameservers", "1.1.1.1"}}, "dns.nameservers", "\"1.1.1.1\""},
        Refused{"ANameserverIsANumber", "/dns", {{"nameservers", Json::array({1})}}, "dns.nameservers", "[1]"},
        Refused{"SearchIsText", "/dns", {{"search", "example.org"}}, "dns.search", "\"example.org\""},
        Refused{"OptionsAreAnObject", "/dns", {{"options", Json::object()}}, "dns.options", "{}"},
        Refused{"DomainIsANumber", "/dns", {{"domain", 7}}, "dns.domain", "7"}),
    name_of_row);

INSTANTIATE_TEST_SUITE_P(
    PortRange, NetConfKey,
    testing::Values(Refused{"PortRangeIsANumber", "/portRange", 1024, "portRange"},
                    Refused{"PortRangeIsAList", "/portRange", Json::array({1024, 2048}), "portRange"},
                    Refused{"PortRangeIsEmpty", "/portRange", "", "portRange"},
                    Refused{"PortRangeIsOnePort", "/portRange", "1024", "portRange"},
                    Refused{"PortRangeHasNoEnd", "/portRange", "1024-", "portRange"},
                    Refused{"PortRangeHasNoStart", "/portRange", "-2048", "portRange"},
                    Refused{"PortRangeIsReversed", "/portRange", "2048-1024", "portRange"},
                    Refused{"PortRangeBeginsAtZero", "/portRange", "0-1024", "portRange"},
                    Refused{"PortRangeEndsBehindTheLast", "/portRange", "1024-65536", "portRange"},
                    Refused{"PortRangeStartsByWrappingRound", "/portRange", "-4294966272-65535", "portRange"},
                    Refused{"PortRangeHasAColon", "/portRange", "1024:2048", "portRange"},
                    Refused{"PortRangeHasThreePorts", "/portRange", "1-2-3", "portRange"},
                    Refused{"PortRangeHasSpaces", "/portRange", "1024 - 2048", "portRange"},
                    Refused{"PortRangeHasASpaceAhead", "/portRange", " 1024-2048", "portRange"},
                    Refused{"PortRangeHasSigns", "/portRange", "+1024-+2048", "portRange"},
                    Refused{"PortRangeIsHex", "/portRange", "0x400-0x800", "portRange"}),
    name_of_row);

INSTANTIATE_TEST_SUITE_P(
    Timeouts, NetConfKey,
    testing::Values(
        Refused{"TimeoutsAreANumber", "/timeouts", 60, "timeouts"},
        Refused{"TimeoutsAreAList", "/timeouts", Json::array({60}), "timeouts"},
        Refused{"TcpOpeningIsZero", "/timeouts", {{"tcpOpening", 0}}, "timeouts.tcpOpening", "0"},
        Refused{"TcpEstablishedIsText", "/timeouts", {{"tcpEstablished", "2h"}}, "timeouts.tcpEstablished", "\"2h\""},
        Refused{"TcpClosingIsNegative", "/timeouts", {{"tcpClosing", -1}}, "timeouts.tcpClosing", "-1"},
        Refused{"UdpIsAFraction", "/timeouts", {{"udp", 0.5}}, "timeouts.udp", "0.5"},
        Refused{"IcmpIsMoreThanAMonth", "/timeouts", {{"icmp", 2592001}}, "timeouts.icmp", "2592001"}),
    name_of_row);

INSTANTIATE_TEST_SUITE_P(
    Tables, NetConfKey,
    testing::Values(Refused{"TablesAreANumber", "/tables", 60, "tables"},
                    Refused{"TablesAreAList", "/tables", Json::array({60}), "tables"},
                    Refused{"FlowsAreTooFew", "/tables", {{"flows", 15}}, "tables.flows", "15"},
                    Refused{"FlowsAreTooMany", "/tables", {{"flows", 1048577}}, "tables.flows", "1048577"},
                    Refused{"FlowsAreText", "/tables", {{"flows", "many"}}, "tables.flows", "\"many\""},
                    Refused{"SandboxesAreNone", "/tables", {{"sandboxes", 0}}, "tables.sandboxes", "0"},
                    Refused{"SandboxesAreTooMany", "/tables", {{"sandboxes", 65536}}, "tables.sandboxes", "65536"}),
    name_of_row);

TEST(NetConfTables, AreTakenWhenTheyAreAtABound) {
    for (const auto& [flows, sandboxes] : {std::pair(16U, 1U), std::pair(1048576U, 65535U)}) {
        const auto conf = read(example_with("/tables", {{"flows", flows}, {"sandboxes", sandboxes}}));
        ASSERT_TRUE(succeeds(conf));
        EXPECT_EQ(conf->network.tables.flows, flows);
        EXPECT_EQ(conf->network.tables.sandboxes, sandboxes);
    }
}

TEST(NetConfTables, AreAnySizeWhenNothingIsSaid) {
    const auto conf = read(example());
    ASSERT_TRUE(succeeds(conf));
    EXPECT_EQ(conf->network.tables.flows, std::nullopt);
    EXPECT_EQ(conf->network.tables.sandboxes, std::nullopt);
}

TEST(NetConfUnmasqueraded, IsTakenOfBothFamilies) {
    const auto conf =
        read(example_with("/nonMasqueradeCIDRs", {"10.0.0.0/8", "fc00::/7", "2000::/3", "2001:db8::1/128"}));
    ASSERT_TRUE(succeeds(conf));
    ASSERT_EQ(conf->network.nat.unmasqueraded.size(), 4U);
    EXPECT_EQ(conf->network.nat.unmasqueraded[2].text(), "2000::/3");
}

TEST(NetConfForwarded, IsOffUntilItIsAskedFor) {
    const auto closed = read(example()), open = read(example_with("/forwarded", true));
    ASSERT_TRUE(succeeds(closed) && succeeds(open));
    EXPECT_FALSE(closed->network.nat.forwarded);
    EXPECT_TRUE(open->network.nat.forwarded);
}

TEST(NetConfInbound, IsOffUntilItIsAskedFor) {
    auto routed = example_with("/ipMasq", false), in_part = example_with("/nonMasqueradeCIDRs", {"10.0.0.0/8"});
    routed["inbound"] = in_part["inbound"] = true;
    const auto closed = read(example());
    ASSERT_TRUE(succeeds(closed));
    EXPECT_FALSE(closed->network.nat.inbound);
    for (const auto& conf : {read(routed), read(in_part)}) {
        ASSERT_TRUE(succeeds(conf));
        EXPECT_TRUE(conf->network.nat.inbound);
    }
}

TEST(NetConfMulticast, IsOffUntilItIsAskedFor) {
    const auto quiet = read(example()), loud = read(example_with("/multicast", true));
    ASSERT_TRUE(succeeds(quiet) && succeeds(loud));
    EXPECT_FALSE(quiet->network.multicast);
    EXPECT_TRUE(loud->network.multicast);
    EXPECT_EQ(loud->network.multicast_per_second, 100U);
}

TEST(NetConfMulticast, HasItsRate) {
    const auto conf = read(example_with("/multicastRate", 7));
    ASSERT_TRUE(succeeds(conf));
    EXPECT_EQ(conf->network.multicast_per_second, 7U);
}

TEST(NetConfMulticast, IsRefusedWhereSandboxesAreIsolated) {
    auto conf = example_with("/multicast", true);
    conf["isolate"] = true;
    EXPECT_TRUE(fails_with(read(conf), Code::invalid_configuration, {"multicast", "isolate"}));
}

TEST(NetConfName, IsRefusedWhenItIsMissing) {
    EXPECT_TRUE(fails_with(read(example_without("/name")), Code::invalid_configuration, {"name: missing"}));
}

TEST(NetConfName, IsTakenWhenItHasAllThatIsAllowed) {
    for (const auto& name : {"a"s, "9"s, "A.b_c-d"s, std::string(63, 'n')}) {
        const auto conf = read(example_with("/name", name));
        ASSERT_TRUE(succeeds(conf));
        EXPECT_EQ(conf->network.name, name);
    }
}

TEST(NetConfDevice, IsTakenWhenItHasRoomForTheInnerEndsSuffix) {
    for (const auto* const device : {"a", "cw-sandboxes", "cw0.100", "..."}) {
        const auto conf = read(example_with("/device", device));
        ASSERT_TRUE(succeeds(conf));
        EXPECT_EQ(conf->network.device, device);
    }
}

TEST(NetConfMtu, IsTakenWhenItIsAtABound) {
    for (const auto mtu : {68U, 1280U, 9000U, 65535U}) {
        const auto conf = read(example_with("/mtu", mtu));
        ASSERT_TRUE(succeeds(conf));
        EXPECT_EQ(conf->network.mtu, mtu);
    }
}

TEST(NetConfMtu, IsTheUplinksWhenItIsZero) {
    const auto conf = read(example_with("/mtu", 0));
    ASSERT_TRUE(succeeds(conf));
    EXPECT_EQ(conf->network.mtu, std::nullopt);
}

TEST(NetConfUplinks, AreKeptInTheirOrder) {
    const auto conf = read(example_with("/uplinks", Json::array({"wlan0", "eth0"})));
    ASSERT_TRUE(succeeds(conf));
    EXPECT_THAT(conf->network.uplinks, ElementsAre("wlan0", "eth0"));
}

TEST(NetConfPortRange, IsTakenWhenItIsOfOnePortOrAll) {
    const std::pair<const char*, std::pair<int, int>> ranges[]{
        {"1-65535", {1, 65535}}, {"40000-40000", {40000, 40000}}, {"1024-2047", {1024, 2047}}};
    for (const auto& [text, ports] : ranges) {
        const auto conf = read(example_with("/portRange", text));
        ASSERT_TRUE(succeeds(conf));
        EXPECT_EQ(std::pair(int{conf->network.nat.port_min}, int{conf->network.nat.port_max}), ports);
    }
}

TEST(NetConfTimeouts, AreEachItsOwn) {
    const auto conf = read(example_with(
        "/timeouts", {{"tcpOpening", 1}, {"tcpEstablished", 2592000}, {"tcpClosing", 3}, {"udp", 4}, {"icmp", 5}}));
    ASSERT_TRUE(succeeds(conf));
    EXPECT_EQ(conf->network.nat.timeouts[FLOW_TCP_OPENING], 1U);
    EXPECT_EQ(conf->network.nat.timeouts[FLOW_TCP_ESTABLISHED], 2592000U);
    EXPECT_EQ(conf->network.nat.timeouts[FLOW_TCP_CLOSING], 3U);
    EXPECT_EQ(conf->network.nat.timeouts[FLOW_UDP], 4U);
    EXPECT_EQ(conf->network.nat.timeouts[FLOW_ICMP], 5U);
}

TEST(NetConfTimeouts, StayAsTheyAreWhenOnlyOneIsGiven) {
    const auto conf = read(example_with("/timeouts", {{"udp", 30}, {"sctp", "unknown"}}));
    ASSERT_TRUE(succeeds(conf));
    EXPECT_THAT(conf->network.nat.timeouts, ElementsAre(240, 7440, 240, 30, 60));
}

TEST(NetConfDns, HasAllThatIsGiven) {
    const auto conf = read(example_with("/dns", {{"nameservers", {"1.1.1.1", "9.9.9.9"}},
                                                 {"domain", "example.org"},
                                                 {"search", {"a.example.org", "example.org"}},
                                                 {"options", {"ndots:2"}}}));
    ASSERT_TRUE(succeeds(conf));
    EXPECT_THAT(conf->dns.nameservers, ElementsAre("1.1.1.1", "9.9.9.9"));
    EXPECT_EQ(conf->dns.domain, "example.org");
    EXPECT_THAT(conf->dns.search, ElementsAre("a.example.org", "example.org"));
    EXPECT_THAT(conf->dns.options, ElementsAre("ndots:2"));
}

TEST(NetConfDns, IsEmptyWhenItSaysNothing) {
    const auto conf = read(example_with("/dns", {{"nameservers", Json::array()}, {"domain", ""}}));
    ASSERT_TRUE(succeeds(conf));
    EXPECT_TRUE(conf->dns.empty());
}

}  // namespace
}  // namespace causeway::cni::test::net_conf_network_test
