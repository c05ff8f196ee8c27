// SPDX-License-Identifier: Apache-2.0
// Any JSON object as a chain's previous result: carried on with causeway's own behind it, and compared with by CHECK.
#include "cni/reply.hpp"
#include "tests/fuzz/fuzz_target.hpp"

namespace causeway::fuzz {

namespace {

const Connection& connection() {
    static const Connection connection{
        .gateway_device = {.name = "cw0"},
        .host_end = {.name = "cwabc"},
        .sandbox_end = {.name = "eth0", .mac = Mac::of_address(Address::of_ipv4(0x0a000005)), .mtu = 1450},
        .assignments = {{{Address::of_ipv4(0x0a000005), 24}, Address::of_ipv4(0x0a000001)}},
        .routes = {{{Address::of_ipv4(0), 0}, Address::of_ipv4(0x0a000001)}}};
    return connection;
}

}  // namespace

void try_input(std::string_view input) {
    const auto previous = cni::parse_json(input);
    if (!previous.is_object()) {
        return;
    }
    const auto expected = cni::expected_from(previous, "eth0", "/run/netns/one");
    require(expected || expected.error().code == Code::invalid_configuration, "a refusal is of the configuration");
    cni::NetConf conf;
    conf.previous_result = previous;
    for (const auto& version : cni::supported_versions()) {
        conf.version = version;
        const auto result = cni::add_result(conf, "/run/netns/one", connection(), {});
        const auto index = result["ips"].back()["interface"].get<std::size_t>();
        require(result["cniVersion"] == version, "a result is of the request's version");
        require(result["interfaces"].at(index)["name"] == "eth0", "an address names its interface");
        require(result["routes"].back()["gw"] == "10.0.0.1", "a route has its gateway");
        require(!result.dump().empty(), "a result can be printed");
    }
}

}  // namespace causeway::fuzz
