// SPDX-License-Identifier: Apache-2.0
// A test of either family: what it writes as IPv4 (tests/support/family.hpp) is of its family. With IPv6, the addresses
// of node and world are those that stand for IPv4's.
#pragma once

#include <string>
#include <tuple>
#include <vector>

#include "tests/support/family.hpp"
#include "tests/system/host.hpp"
#include "tests/system/traffic.hpp"

namespace causeway::test {

class OfFamily : public Host {
protected:
    explicit OfFamily(Family family);

    Family family() const { return family_; }
    std::string here(const std::string& text) const { return in_family(text, family_); }
    End any(std::uint16_t port = 0) const { return {here("0.0.0.0"), port}; }
    Place server(std::uint16_t port = 8080) const { return {world_.world(), {here(world_address), port}}; }
    // `ip` with these arguments.
    std::string ip_here(std::vector<std::string> arguments, const std::string& netns = {}) const;
    // Who is to be a router.
    void forward(const std::string& netns) const;

    // Configurations that are written as IPv4.
    Json conf_here(const Json& conf) const { return Json::parse(here(conf.dump())); }
    Sandbox connect(const std::string& id, const Json& conf = configuration()) {
        return Host::connect(id, conf_here(conf));
    }
    void disconnect(const Sandbox& sandbox, const Json& conf = configuration()) {
        Host::disconnect(sandbox, conf_here(conf));
    }
    Answer add(const std::string& id, const std::string& netns, const Json& conf) const {
        return test::add(id, netns, conf_here(conf));
    }

private:
    Family family_;
};

// The fixtures of stories: told of each protocol and family, or of each family.
class EachProtocol : public OfFamily, public testing::WithParamInterface<std::tuple<Protocol, Family>> {
protected:
    EachProtocol() : OfFamily(std::get<Family>(GetParam())) {}

    static Protocol protocol() { return std::get<Protocol>(GetParam()); }
    // Its number, ICMP's by IPv4.
    static std::uint8_t number() { return protocol() == Protocol::tcp ? 6 : protocol() == Protocol::udp ? 17 : 1; }
};
class EachFamily : public OfFamily, public testing::WithParamInterface<Family> {
protected:
    EachFamily() : OfFamily(GetParam()) {}
};

std::string name_of_story(const testing::TestParamInfo<std::tuple<Protocol, Family>>& of);

#define FOR_PROTOCOLS_AND_BOTH_FAMILIES(Fixture, ...)                                                               \
    INSTANTIATE_TEST_SUITE_P(                                                                                       \
        Each, Fixture, testing::Combine(testing::Values(__VA_ARGS__), testing::Values(Family::ipv4, Family::ipv6)), \
        name_of_story)
#define FOR_BOTH_FAMILIES(Fixture)                                                     \
    INSTANTIATE_TEST_SUITE_P(Of, Fixture, testing::Values(Family::ipv4, Family::ipv6), \
                             testing::PrintToStringParamName())

}  // namespace causeway::test
