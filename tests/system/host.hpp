// SPDX-License-Identifier: Apache-2.0
// A host of one's own with the plugin on it: what a runtime does, and what an operator does.
#pragma once

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include <cstdint>
#include <string>
#include <vector>

#include "tests/support/world.hpp"

namespace causeway::test {

using Json = nlohmann::json;

// The configuration of the README: network "sandboxes", 10.0.0.0/24 on cw0, masqueraded. `patch`: RFC 7396. Its tables
// are small: each test makes them, and large ones take a sixth of what a short test costs.
Json configuration(const Json& patch = Json::object());

inline const Json default_tables{{"tables", nullptr}};  // a patch: as large as they are where nothing is configured

// The same for a second network: its own name, device and subnet 10.0.1.0/24.
Json second_configuration(const Json& patch = Json::object());

// The first network with IPv6 fd00:1::/64 in place of IPv4, or beside it, and routes to everywhere of each.
Json ipv6_configuration(const Json& patch = Json::object());
Json dual_configuration(const Json& patch = Json::object());

// One call of the plugin, as the specification has it.
struct Call {
    std::string command, id, netns;
    Json conf = configuration();
    std::string interface = "eth0";
    std::string path = "/usr/lib/cni";

    RunOptions options() const;  // environment and stdin
};

struct Answer {
    int status = 0;
    Json json;         // of stdout; null where that is empty, discarded where it is no JSON
    std::string text;  // stdout and stderr, for a person

    bool ok() const { return status == 0; }
    int code() const { return json.is_object() ? json.value("code", 0) : 0; }
    std::string message() const { return json.is_object() ? json.value("msg", "") : ""; }
};

std::string plugin();  // its path
Answer answer_of(const Output& output);
Answer answer_to(const Call& call);
Answer add(const std::string& id, const std::string& netns, const Json& conf = configuration(),
           const std::string& interface = "eth0");
Answer del(const std::string& id, const std::string& netns, const Json& conf = configuration(),
           const std::string& interface = "eth0");

// Predicates that show the answer when they fail.
testing::AssertionResult succeeded(const Answer& answer);
// With a code and a message that has all of the parts in it; no stray output beside the JSON.
testing::AssertionResult refused(const Answer& answer, int code, const std::vector<std::string>& parts = {});

struct Sandbox {
    std::string id, netns, interface;
    std::string address;   // the first one, without its prefix length
    std::string host_end;  // name
    std::string mac;
    Json reply;
};

std::string ctl_program();  // its path
// causewayctl with these arguments.
Output ctl(const std::vector<std::string>& arguments);
// Its "-o json", of a command that must succeed.
Json ctl_json(std::vector<std::string> arguments);
// Packets that ended with the verdict, by its name for people ("drop-unsolicited").
std::uint64_t count_of(const std::string& verdict);

// What `ip` with these arguments says of a namespace (empty: the node); throws where it fails.
std::string ip(const std::vector<std::string>& arguments, const std::string& netns = {});
Json ip_json(std::vector<std::string> arguments, const std::string& netns = {});
void set_sysctl(const std::string& name, const std::string& value, const std::string& netns = {});
std::string sysctl(const std::string& name, const std::string& netns = {});

// Repeats until it holds, for so long at most; the more rarely, the longer a look takes, as one by a program does.
bool eventually(const std::function<bool()>& holds, std::chrono::milliseconds time = std::chrono::seconds(5));

// The fixture: a world, settled, with nothing of causeway's in it.
class Host : public testing::Test {
protected:
    Host();

    // A namespace of that name, with an ADD that must succeed.
    Sandbox connect(const std::string& id, const Json& conf = configuration());
    void disconnect(const Sandbox& sandbox, const Json& conf = configuration());

    World world_;
};

}  // namespace causeway::test
