// SPDX-License-Identifier: Apache-2.0
#include "tests/system/of_family.hpp"

namespace causeway::test {
namespace {

// Commands that give the device the address of IPv6 that stands for this one of IPv4 (with its prefix length), and no
// other.
std::string renumber(const std::string& device, const std::string& address) {
    return "addr flush dev " + device + " scope global\naddr add " + in_family(address, Family::ipv6) + " dev " +
           device + " nodad\n";
}

}  // namespace

OfFamily::OfFamily(Family family) : family_(family) {
    if (family_ == Family::ipv6) {
        const auto of_node = renumber("up0", std::string(node_address) + "/24"),
                   of_world = renumber("dn0", std::string(world_address) + "/24") +
                              renumber("lo", std::string(service_address) + "/32");
        const auto route = "route replace default via " + here(world_address) + "\n";
        must_run({"ip", "-6", "-batch", "-"}, {.stdin_text = of_node + route});
        must_run({"ip", "-6", "-batch", "-"}, {.stdin_text = of_world, .netns = world_.world()});
    }
}

std::vector<std::string> OfFamily::all_here(std::vector<std::string> texts) const {
    for (auto& text : texts) {
        text = here(text);
    }
    return texts;
}

std::string OfFamily::ip_here(std::vector<std::string> arguments, const std::string& netns) const {
    arguments.insert(arguments.begin(), ip_flag());
    return ip(all_here(arguments), netns);
}

Json OfFamily::ip_json_here(std::vector<std::string> arguments, const std::string& netns) const {
    arguments.insert(arguments.begin(), ip_flag());
    return ip_json(all_here(arguments), netns);
}

testing::AssertionResult OfFamily::refused(const Answer& answer, int code,
                                           const std::vector<std::string>& parts) const {
    return test::refused(answer, code, all_here(parts));
}

std::string OfFamily::setting(const std::string& device, const std::string& name) const {
    return std::string(family_ == Family::ipv6 ? "net/ipv6/conf/" : "net/ipv4/conf/") + device + "/" + name;
}

std::string OfFamily::add_neighbour() {
    auto neighbour = world_.add_namespace("neighbour");
    ip({"link", "add", "lan0", "type", "veth", "peer", "name", "eth0", "netns", "neighbour"});
    ip_here({"addr", "add", "10.7.0.1/24", "dev", "lan0", "nodad"});
    ip({"link", "set", "lan0", "up"});
    ip_here({"addr", "add", "10.7.0.2/24", "dev", "eth0", "nodad"}, neighbour);
    ip({"link", "set", "eth0", "up"}, neighbour);
    ip_here({"route", "add", "default", "via", "10.7.0.1"}, neighbour);
    return neighbour;
}

void OfFamily::forward(const std::string& netns) const {
    set_sysctl(setting("all", "forwarding"), "1", netns);
}

}  // namespace causeway::test
