// SPDX-License-Identifier: Apache-2.0
// Any bytes as a network configuration: refused with a reason, or a configuration that can be relied on.
#include <ranges>

#include "cni/net_conf.hpp"
#include "cni/port_conf.hpp"
#include "cni/reply.hpp"
#include "cni/runtime_conf.hpp"
#include "tests/fuzz/fuzz_target.hpp"

namespace causeway::fuzz {

namespace {

void require_sound(const Range& range) {
    const auto& subnet = range.subnet;
    require(subnet.address == subnet.first(), "a subnet has no host bits");
    require(subnet.contains(range.first) && subnet.contains(range.last), "a range is inside its subnet");
    require(range.first <= range.last, "a range is not reversed");
    require(subnet.contains(range.gateway), "a gateway is inside its subnet");
    require(range.gateway != subnet.first() && (range.gateway != subnet.last() || !subnet.address.is_ipv4()),
            "a gateway is an address of its own");
}

void require_sound(const NetworkSpec& network) {
    require(!network.name.empty() && network.name.size() < CAUSEWAY_NAME_LEN, "a name fits its record");
    require(!network.device.empty() && network.device.size() <= device_name_max, "a device name fits");
    require(!network.mtu || (*network.mtu >= 68 && *network.mtu <= 65535), "an MTU is within bounds");
    require(network.nat.port_min >= 1 && network.nat.port_min <= network.nat.port_max, "ports are a range");
    for (const auto timeout : network.nat.timeouts) {
        require(timeout >= 1, "a timeout is at least a second");
    }
    require(network.ranges.size() <= CAUSEWAY_ADDRESSES_MAX, "there is room for an address of each set");
    for (const auto& range : network.ranges | std::views::join) {
        require_sound(range);
        for (const auto& other : network.ranges | std::views::join) {
            require(&range == &other || !range.subnet.overlaps(other.subnet), "subnets do not overlap");
        }
    }
}

// What an ADD reads of it besides.
void require_sound(const cni::NetConf& conf) {
    const auto asked = cni::read_runtime_conf(conf.raw, conf.network.name);
    require(asked || asked.error().code == Code::invalid_environment ||
                asked.error().code == Code::invalid_configuration || asked.error().code == Code::unsupported_field,
            "a refusal has one of three codes");
    const auto runtime = conf.raw.find("runtimeConfig");
    const auto ports = runtime != conf.raw.end() && runtime->is_object()
                           ? cni::read_port_mappings(runtime->value("portMappings", cni::Json()))
                           : std::vector<PortMapping>{};
    for (const auto& port : ports.value_or(std::vector<PortMapping>{})) {
        require(port.host_port != 0 && port.sandbox_port != 0 && port.protocol != 0, "a port mapping is whole");
    }
}

}  // namespace

void try_input(std::string_view input) {
    const auto conf = cni::read_net_conf(input);
    if (!conf) {
        const auto& error = conf.error();
        require(error.code == Code::incompatible_version || error.code == Code::decode_failure ||
                    error.code == Code::invalid_configuration,
                "a refusal has one of three codes");
        require(!error.message.empty(), "a refusal has a reason");
        cni::error_result("1.1.0", error).dump();  // throws where it is not UTF-8
        return;
    }
    require_sound(conf->network);
    require(conf->delegate || !conf->network.ranges.empty() || conf->raw.contains("capabilities"),
            "there are addresses to give out, or the runtime will bring them");
    require_sound(*conf);
    const auto again = cni::read_net_conf(conf->raw.dump());
    require(again.has_value() && again->raw == conf->raw, "what was read can be passed on to another plugin");
}

}  // namespace causeway::fuzz
