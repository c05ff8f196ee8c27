// SPDX-License-Identifier: Apache-2.0
// A test of either family: what it writes as IPv4 (tests/support/family.hpp) is of its family. With IPv6, the addresses
// of node and world are those that stand for IPv4's.
#pragma once

#include <cerrno>
#include <functional>
#include <optional>
#include <string>
#include <utility>
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
    std::vector<std::string> all_here(std::vector<std::string> texts) const;
    std::string loopback() const { return family_ == Family::ipv6 ? "::1" : "127.0.0.1"; }
    End any(std::uint16_t port = 0) const { return {here("0.0.0.0"), port}; }
    Place server(std::uint16_t port = 8080) const { return {world_.world(), {here(world_address), port}}; }
    const char* ip_flag() const { return family_ == Family::ipv6 ? "-6" : "-4"; }
    // `ip` of the family with these arguments.
    std::string ip_here(std::vector<std::string> arguments, const std::string& netns = {}) const;
    Json ip_json_here(std::vector<std::string> arguments, const std::string& netns = {}) const;
    bool ping(const std::string& netns, const std::string& address, std::chrono::milliseconds time = patience) const {
        return test::ping(netns, here(address), time);
    }
    // What a socket is told of what is prohibited (RFC 1812, section 5.2.7.1; RFC 4443, section 3.1).
    int prohibited() const { return family_ == Family::ipv6 ? EACCES : EHOSTUNREACH; }
    // The name of a sysctl of that device.
    std::string setting(const std::string& device, const std::string& name) const;
    // Behind a device of the node's that is no uplink where up0 is named: 10.7.0.2, its router 10.7.0.1. Its namespace.
    std::string add_neighbour();
    // Who is to be a router.
    void forward(const std::string& netns) const;

    // Configurations, and what an answer must say, that are written as IPv4.
    Json conf_here(const Json& conf) const { return Json::parse(here(conf.dump())); }
    Sandbox connect(const std::string& id, const Json& conf = configuration()) {
        return Host::connect(id, conf_here(conf));
    }
    void disconnect(const Sandbox& sandbox, const Json& conf = configuration()) {
        Host::disconnect(sandbox, conf_here(conf));
    }
    Answer add(const std::string& id, const std::string& netns, const Json& conf = configuration(),
               const std::string& interface = "eth0") const {
        return test::add(id, netns, conf_here(conf), interface);
    }
    Answer del(const std::string& id, const std::string& netns, const Json& conf = configuration(),
               const std::string& interface = "eth0") const {
        return test::del(id, netns, conf_here(conf), interface);
    }
    Call call_here(Call call) const {
        call.conf = conf_here(call.conf);
        return call;
    }
    Answer answer_to(const Call& call) const { return test::answer_to(call_here(call)); }
    testing::AssertionResult refused(const Answer& answer, int code, const std::vector<std::string>& parts = {}) const;

private:
    Family family_;
};

// The fixtures of stories: told of each family, and in it of each protocol in turn where they are the same.
class EachFamily : public OfFamily, public testing::WithParamInterface<Family> {
protected:
    EachFamily() : OfFamily(GetParam()) {}
};
class EachProtocol : public EachFamily {
protected:
    explicit EachProtocol(std::vector<Protocol> all = {Protocol::tcp, Protocol::udp, Protocol::icmp})
        : all_(std::move(all)) {}

    // What is connected before is there for all of them.
    void by_each_protocol(const std::function<void()>& story) {
        for (const auto one : all_) {
            SCOPED_TRACE(testing::PrintToString(one));
            protocol_ = one;
            story();
        }
    }
    Protocol protocol() const { return protocol_.value(); }
    // Its number, ICMP's by IPv4.
    std::uint8_t number() const { return protocol() == Protocol::tcp ? 6 : protocol() == Protocol::udp ? 17 : 1; }

private:
    std::vector<Protocol> all_;
    std::optional<Protocol> protocol_;
};

#define FOR_BOTH_FAMILIES(Fixture)                                                     \
    INSTANTIATE_TEST_SUITE_P(Of, Fixture, testing::Values(Family::ipv4, Family::ipv6), \
                             testing::PrintToStringParamName())

}  // namespace causeway::test
