// SPDX-License-Identifier: Apache-2.0
#include "cni/reply.hpp"

#include <algorithm>
#include <limits>

#include "cni/route_conf.hpp"

namespace causeway::cni {

namespace {

// "mtu" and the numbers of a route came with 1.1.0; "version" in an address went with 1.0.0.
bool has_numbers(const std::string& version) {
    return version == "1.1.0";
}
bool has_ip_version(const std::string& version) {
    return version.starts_with("0.");
}

Json interface_json(const std::string& version, const Link& link, const std::string& sandbox) {
    Json json{{"name", link.name}, {"mac", link.mac.text()}};
    if (has_numbers(version)) {
        json["mtu"] = link.mtu;
    }
    if (!sandbox.empty()) {
        json["sandbox"] = sandbox;
    }
    return json;
}

Json dns_json(const Dns& dns) {
    Json json = Json::object();
    const auto put = [&](const char* key, const auto& value) {
        if (!value.empty()) {
            json[key] = value;
        }
    };
    put("nameservers", dns.nameservers);
    put("domain", dns.domain);
    put("search", dns.search);
    put("options", dns.options);
    return json;
}

// These throw what nlohmann throws at a value of the wrong type.

// What plugins in Go leave unset comes as "", and others' as null.
std::string text_in(const Json& object, const char* key) {
    const auto value = object.value(key, Json());
    return value.is_null() ? "" : value.get<std::string>();
}

Json::const_iterator find_interface(const Json& interfaces, const std::string& name, const std::string& netns) {
    return std::ranges::find_if(
        interfaces, [&](const Json& one) { return text_in(one, "name") == name && text_in(one, "sandbox") == netns; });
}

Json& list_in(Json& object, const char* key) {
    auto& list = object[key];
    if (!list.is_array()) {
        list = Json::array();
    }
    return list;
}

}  // namespace

Json add_result(const NetConf& conf, const std::string& netns, const Connection& connection, const Dns& dns) {
    Json result = conf.previous_result.value_or(Json::object());
    result["cniVersion"] = conf.version;
    auto& interfaces = list_in(result, "interfaces");
    interfaces.push_back(interface_json(conf.version, connection.gateway_device, ""));
    if (!connection.given) {
        interfaces.push_back(interface_json(conf.version, connection.host_end, ""));
    }
    const Json::const_iterator named =
        connection.given ? find_interface(interfaces, connection.sandbox_end.name, netns) : interfaces.cend();
    const auto index = std::distance(interfaces.cbegin(), named);
    if (named == interfaces.cend()) {
        interfaces.push_back(interface_json(conf.version, connection.sandbox_end, netns));
    }
    for (const auto& [address, gateway] : connection.assignments) {
        Json ip{{"interface", index}, {"address", address.text()}, {"gateway", gateway.text()}};
        if (has_ip_version(conf.version)) {
            ip["version"] = address.address.is_ipv4() ? "4" : "6";
        }
        list_in(result, "ips").push_back(ip);
    }
    auto& routes = list_in(result, "routes");
    for (const auto& route : connection.routes) {
        routes.push_back(route_json(route, has_numbers(conf.version)));
    }
    if (!dns.empty() || !result.contains("dns")) {
        result["dns"] = dns_json(dns);
    }
    return result;
}

std::expected<GivenDevices, Error> given_in(const Json& previous_result, const std::string& interface,
                                            const std::string& netns) {
    try {
        const auto interfaces = previous_result.value("interfaces", Json::array());
        GivenDevices given{.in_sandbox = find_interface(interfaces, interface, netns) != interfaces.end()};
        for (const auto& one : interfaces) {
            if (text_in(one, "sandbox").empty()) {
                given.on_host.push_back(text_in(one, "name"));
            } else if (text_in(one, "name") == interface && !text_in(one, "mac").empty()) {
                given.mac = TRY(Mac::parse(text_in(one, "mac")));
            }
        }
        return given;
    } catch (const Json::exception& exception) {
        return fail(Code::invalid_configuration, std::string("prevResult: can't be read: ") + exception.what());
    }
}

Json version_result(const std::string& asked_version) {
    return {{"cniVersion", asked_version}, {"supportedVersions", supported_versions()}};
}

Json error_result(const std::string& version, const Error& error) {
    Json json{{"cniVersion", version}, {"code", static_cast<int>(error.code)}, {"msg", error.message}};
    if (!error.details.empty()) {
        json["details"] = error.details;
    }
    return json;
}

namespace {

// These throw what nlohmann throws at a value of the wrong type.

std::expected<Expected::Device, Error> device_in(const Json& json) {
    Expected::Device device{.name = text_in(json, "name"), .mac = text_in(json, "mac"), .mtu = {}};
    if (const auto mtu = json.value("mtu", Json(0)); !mtu.is_null() && mtu != 0) {
        if (!mtu.is_number_unsigned() || mtu.get<std::uint64_t>() > std::numeric_limits<std::uint32_t>::max()) {
            return fail(Code::invalid_configuration, "prevResult.interfaces: the mtu " + mtu.dump() + " is not one");
        }
        device.mtu = mtu.get<std::uint32_t>();
    }
    return device;
}

std::expected<Expected, Error> expected_in(const Json& previous, const std::string& interface,
                                           const std::string& netns) {
    Expected expected;
    const auto interfaces = previous.value("interfaces", Json::array());
    const auto ours = find_interface(interfaces, interface, netns);
    if (ours == interfaces.end()) {
        return fail(Code::invalid_configuration,
                    "prevResult.interfaces: has no \"" + interface + "\" in the sandbox " + netns);
    }
    const auto index = std::distance(interfaces.begin(), ours);
    const auto device = TRY(device_in(*ours));
    if (!device.mac.empty()) {
        expected.mac = TRY(Mac::parse(device.mac));
    }
    expected.mtu = device.mtu;
    for (const auto& one : interfaces) {
        if (text_in(one, "sandbox").empty()) {
            expected.host_devices.push_back(TRY(device_in(one)));
        }
    }
    const auto is_other = [&](const Json& one) {
        return text_in(one, "sandbox") == netns && text_in(one, "name") != interface && text_in(one, "name") != "lo";
    };
    expected.alone = std::ranges::none_of(interfaces, is_other);
    for (const auto& ip : previous.value("ips", Json::array())) {
        const auto place = ip.value("interface", Json());
        if (!place.is_null() && !place.is_number_integer()) {
            return fail(Code::invalid_configuration, "prevResult.ips: the interface " + place.dump() + " is no index");
        }
        const auto address = Prefix::parse(text_in(ip, "address"));
        if (place == Json(index)) {
            expected.addresses.push_back(TRY(address));
        } else if (address && place.is_null()) {
            expected.untied.push_back(*address);
        } else if (address && place >= 0 && place < interfaces.size() &&
                   is_other(interfaces[place.get<std::size_t>()])) {
            expected.of_others.push_back(*address);
        }
    }
    for (const auto& item : previous.value("routes", Json::array())) {
        expected.routes.push_back(TRY(read_route(item, "prevResult.routes")));
    }
    return expected;
}

}  // namespace

std::expected<Expected, Error> expected_from(const Json& previous_result, const std::string& interface,
                                             const std::string& netns) {
    try {
        return expected_in(previous_result, interface, netns);
    } catch (const Json::exception& exception) {
        return fail(Code::invalid_configuration, std::string("prevResult: can't be read: ") + exception.what());
    }
}

}  // namespace causeway::cni
