// SPDX-License-Identifier: Apache-2.0
// One topology behind two translators, causeway's programs and the kernel's masquerade, so that one test asks both.
//
//     blue 10.0.0.2 ─┐              node                     world
//                    ├── cw0 10.0.0.1   up0 203.0.113.1 ── dn0 203.0.113.2   lo 198.51.100.1
//     red  10.0.0.3 ─┘
//
// The kernel's cw0 is a bridge, and its rules are what a careful administrator writes: what has no part in a
// translated connection is not forwarded, neither in nor out. What conntrack would drop for its view of a TCP window
// or a checksum it lets through, so that both translate and neither judges.
#pragma once

#include <map>
#include <ostream>
#include <string>
#include <vector>

#include "tests/support/family.hpp"
#include "tests/system/of_family.hpp"

namespace causeway::test {

enum class Translator { causeway, kernel };

// Who translates, and packets of which family.
struct Translation {
    Translator by;
    Family family;

    Translation(Translator translator, Family of = Family::ipv4) : by(translator), family(of) {}
};
void PrintTo(Translation translation, std::ostream* stream);

// A sandbox, whoever translates for it.
struct Party {
    std::string id, netns, address, mac, gateway_mac;
    std::string device = "eth0";
};

// A port of the node's that leads to one of the first sandbox's, for the world.
struct Published {
    std::string protocol;  // "tcp", "udp", "sctp"
    std::uint16_t host_port, port;
};

// What a test asks for, beside the defaults.
struct Terms {
    std::string ports = "1024-65535";
    std::map<std::string, unsigned> timeouts{};  // of the configuration's names, in seconds; all others are an hour
    Json patch = Json::object();                 // more of causeway's configuration
    std::vector<Published> published{};          // by the sandbox that asks for it; with the kernel the first
};

inline const std::string gateway_address = "10.0.0.1";

// The kernel's translation in a namespace that has up0 and its address.
class Masquerade {
public:
    Masquerade(World& world, std::string node, const Terms& terms, Family family = Family::ipv4);

    Party connect(const std::string& id);

private:
    void set_timeouts(const Terms& terms) const;
    void set_rules(const Terms& terms) const;
    std::string here(const std::string& text) const { return in_family(text, family_); }

    World& world_;
    std::string node_;
    Family family_;
    unsigned members_ = 0;
};

// causeway's configuration of these terms.
Json configuration_of(const Terms& terms, Family family = Family::ipv4);
// What an ADD made, by the same words.
Party party_of(const Sandbox& sandbox);

// Lets the stack in this namespace send as many ICMP errors as there is reason for.
void let_errors_flow(const std::string& netns);

// The fixture: the world with one of the two translators, which comes with the first sandbox.
class Translating : public OfFamily, public testing::WithParamInterface<Translation> {
protected:
    Translating();

    bool is_causeway() const { return GetParam().by == Translator::causeway; }
    // All sandboxes of one test have the same terms.
    Party join(const std::string& id, const Terms& terms = {});

    // A flow's protocol ("tcp", "udp", "icmp"), port of the world's (0: echoes), and state in causeway's words:
    // "opening", "established", "closing", "udp", "icmp".
    struct Listed {
        std::string protocol;
        std::uint16_t peer_port;
        std::string state;
    };
    // A list of a table that changes while it is read may lack some.
    std::vector<Listed> listed_flows() const;
    // Empty when there is none.
    std::string state_of_flow(const std::string& protocol, std::uint16_t peer_port) const;
    bool holds_flow(const std::string& protocol, std::uint16_t peer_port) const;
    // What causeway alone counts; nothing to see at the kernel.
    std::string counted() const;
    // Says that too, of what failed.
    testing::AssertionResult with_counts(testing::AssertionResult result) const;

private:
    std::optional<Masquerade> masquerade_;
};

#define FOR_BOTH_TRANSLATORS(Fixture)                                                                \
    INSTANTIATE_TEST_SUITE_P(By, Fixture, testing::Values(Translator::causeway, Translator::kernel), \
                             testing::PrintToStringParamName())
#define FOR_CAUSEWAY_AND_BOTH_FAMILIES(Fixture)                                                \
    INSTANTIATE_TEST_SUITE_P(By, Fixture,                                                      \
                             testing::Values(Translation(Translator::causeway, Family::ipv4),  \
                                             Translation(Translator::causeway, Family::ipv6)), \
                             testing::PrintToStringParamName())
#define FOR_BOTH_TRANSLATORS_AND_FAMILIES(Fixture)                                            \
    INSTANTIATE_TEST_SUITE_P(By, Fixture,                                                     \
                             testing::Values(Translation(Translator::causeway, Family::ipv4), \
                                             Translation(Translator::kernel, Family::ipv4),   \
                                             Translation(Translator::causeway, Family::ipv6), \
                                             Translation(Translator::kernel, Family::ipv6)),  \
                             testing::PrintToStringParamName())

}  // namespace causeway::test
