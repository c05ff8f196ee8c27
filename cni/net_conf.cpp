// SPDX-License-Identifier: Apache-2.0
#include "cni/net_conf.hpp"

#include <algorithm>

#include "cni/nat_conf.hpp"
#include "cni/shown.hpp"
#include "userspace/network_spec.hpp"

namespace causeway::cni {

namespace {

std::expected<std::string, Error> read_name(const Json& conf) {
    const auto name = TRY(text_at(conf, "name"));
    if (!name) {
        return fail(Code::invalid_configuration, "name: missing");
    }
    if (const auto why = why_no_network_name(*name); !why.empty()) {
        return invalid("name", *name, why);
    }
    return *name;
}

std::expected<void, Error> read_device(const Json& conf, NetworkSpec& network) {
    const auto device = TRY(text_at(conf, "device"));
    if (!device) {
        return {};
    }
    if (const auto why = why_no_device_name(*device); !why.empty()) {
        return invalid("device", *device, why);
    }
    network.device = *device;
    return {};
}

// "tables": {"flows": 262144, "sandboxes": 16384}
std::expected<void, Error> read_tables(const Json& conf, NetworkSpec& network) {
    const auto tables =
        TRY(optional_value<Json>(conf, "tables", &Json::is_object, "an object")).value_or(Json::object());
    network.tables.flows = TRY(number_at(tables, "flows", CAUSEWAY_FLOWS_MIN, CAUSEWAY_FLOWS_MAX, "tables."));
    network.tables.sandboxes = TRY(number_at(tables, "sandboxes", 1, CAUSEWAY_SANDBOXES_MAX, "tables."));
    return {};
}

// Whether sandboxes of the network see each other, and hear what each says to all.
std::expected<void, Error> read_neighbourhood(const Json& conf, NetworkSpec& network) {
    constexpr std::uint64_t rate_at_most = 1'000'000;
    const auto flag = [&](const std::string& key) {
        return optional_value<bool>(conf, key, &Json::is_boolean, "true or false");
    };
    network.isolated = TRY(flag("isolate")).value_or(false);
    network.multicast = TRY(flag("multicast")).value_or(false);
    network.multicast_per_second = static_cast<std::uint32_t>(
        TRY(number_at(conf, "multicastRate", 1, rate_at_most)).value_or(network.multicast_per_second));
    if (network.isolated && network.multicast) {
        return invalid("multicast", true, "is what sandboxes of a network with \"isolate\" can't have");
    }
    return {};
}

std::expected<void, Error> read_network(const Json& conf, NetworkSpec& network) {
    network.name = TRY(read_name(conf));
    TRY(read_device(conf, network));
    if (const auto mtu = TRY(number_at(conf, "mtu", 0, 65535))) {
        if (*mtu != 0 && *mtu < 68) {  // RFC 791: what every link must carry; 0 is "not set" by convention
            return invalid("mtu", *mtu, "is less than 68");
        }
        if (*mtu != 0) {
            network.mtu = static_cast<std::uint32_t>(*mtu);
        }
    }
    constexpr std::uint32_t smallest = 65536, largest = 524280;  // the kernel's default, and what it lets veth have
    network.gso_max_size =
        static_cast<std::uint32_t>(TRY(number_at(conf, "gsoMaxSize", smallest, largest)).value_or(0));
    network.uplinks = TRY(texts_at(conf, "uplinks"));
    TRY(read_neighbourhood(conf, network));
    network.nat = TRY(read_nat_conf(conf));
    TRY(read_tables(conf, network));
    return {};
}

// GC's list: section 2, "GC". Missing means the same as empty, since libcni leaves it out then; but libcni 1.2.0 to
// 1.2.2 have it under another name alone.
std::expected<std::vector<SandboxId>, Error> read_attachments(const Json& conf) {
    std::string key = "cni.dev/valid-attachments";
    if (conf.value(key, Json()).is_null()) {
        key = "cni.dev/attachments";
    }
    std::vector<SandboxId> ids;
    const auto array = TRY(optional_value<Json>(conf, key, &Json::is_array, "a list of attachments"));
    for (const auto& item : array.value_or(Json::array())) {
        if (!item.is_object() || !item.contains("containerID") || !item["containerID"].is_string() ||
            !item.contains("ifname") || !item["ifname"].is_string()) {
            return invalid(key, item, "is not an object with containerID and ifname");
        }
        ids.push_back({item["containerID"].get<std::string>(), item["ifname"].get<std::string>()});
    }
    return ids;
}

std::expected<std::string, Error> read_version(const Json& conf) {
    auto version = TRY(text_at(conf, "cniVersion")).value_or("0.1.0");
    const auto& known = supported_versions();
    if (std::ranges::find(known, version) == known.end()) {
        std::string list;
        for (const auto& one : known) {
            list += (list.empty() ? "" : ", ") + one;
        }
        return fail(Code::incompatible_version, "cniVersion: \"" + shown(version) + "\" is not one of " + list);
    }
    return version;
}

std::expected<Json, Error> read_object(std::string_view text) {
    auto json = parse_json(text);
    if (text.empty()) {
        return fail(Code::decode_failure, "the network configuration on stdin is not JSON: it is empty");
    }
    if (json.is_discarded()) {
        return fail(Code::decode_failure, "the network configuration on stdin is not JSON, or is nested too deeply");
    }
    if (!json.is_object()) {
        return fail(Code::decode_failure, "the network configuration on stdin is not a JSON object");
    }
    return json;
}

}  // namespace

const std::vector<std::string>& supported_versions() {
    static const std::vector<std::string> versions{"0.3.1", "0.4.0", "1.0.0", "1.1.0"};
    return versions;
}

std::expected<NetConf, Error> read_net_conf(std::string_view text) {
    NetConf conf;
    conf.raw = TRY(read_object(text));
    conf.version = TRY(read_version(conf.raw));
    TRY(texts_at(conf.raw, "cniVersions"));  // which of them is spoken is for the runtime to choose
    TRY(read_network(conf.raw, conf.network));
    auto ipam = TRY(read_ipam_conf(conf.raw));
    conf.network.ranges = std::move(ipam.ranges);
    conf.network.rest = ipam.rest;
    conf.routes = std::move(ipam.routes);
    conf.resolv_conf = std::move(ipam.resolv_conf);
    conf.dns = std::move(ipam.dns);
    conf.delegate = std::move(ipam.delegate);
    conf.previous_result = TRY(optional_value<Json>(conf.raw, "prevResult", &Json::is_object, "an object"));
    return conf;
}

std::expected<RemovalConf, Error> read_removal_conf(std::string_view text) {
    const auto json = TRY(read_object(text));
    return RemovalConf{TRY(read_version(json)), TRY(read_name(json)), TRY(read_delegate(json)), read_attachments(json)};
}

std::expected<Dns, Error> dns_of(const NetConf& conf) {
    return conf.resolv_conf ? read_resolv_conf(*conf.resolv_conf) : conf.dns;
}

}  // namespace causeway::cni
