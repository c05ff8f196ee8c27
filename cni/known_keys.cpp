// SPDX-License-Identifier: Apache-2.0
#include "cni/known_keys.hpp"

#include <algorithm>
#include <array>

namespace causeway::cni {

namespace {

// The last two are information that asks for nothing.
constexpr std::array known_capabilities{"portMappings", "bandwidth",  "ips",
                                        "mac",          "dns",        "ipRanges",
                                        "quota",        "cgroupPath", "io.kubernetes.cri.pod-annotations"};

// What a value may have in it: null, anything; else these keys, in each element where it is a list.
// tests/check/keys.py holds it, and the capabilities, against what is read and what is documented.
Json known_configuration() {
    auto shape = Json::parse(R"({
        "cniVersion": null, "cniVersions": null, "name": null, "type": null, "disableCheck": null, "disableGC": null,
        "args": null, "runtimeConfig": null, "prevResult": null,
        "capabilities": {},
        "dns": {"nameservers": null, "domain": null, "search": null, "options": null},
        "device": null, "gsoMaxSize": null, "mtu": null, "uplinks": null, "subnet": null,
        "ipMasq": null, "portRange": null, "nonMasqueradeCIDRs": null, "inbound": null, "forwarded": null, "portBlock": null,
        "mapping": null, "filtering": null,
        "timeouts": {"tcpOpening": null, "tcpEstablished": null, "tcpClosing": null, "udp": null, "icmp": null},
        "quota": {"flows": null, "flowsPerSecond": null},
        "isolate": null, "multicast": null, "multicastRate": null,
        "tables": {"flows": null, "sandboxes": null},
        "ingressRate": null, "ingressBurst": null, "egressRate": null, "egressBurst": null,
        "ipam": {
            "type": null, "resolvConf": null, "rest": null,
            "subnet": null, "gateway": null, "rangeStart": null, "rangeEnd": null, "exclude": null,
            "ranges": {"subnet": null, "gateway": null, "rangeStart": null, "rangeEnd": null, "exclude": null},
            "routes": {"dst": null, "gw": null, "mtu": null, "advmss": null, "priority": null, "table": null,
                       "scope": null}
        }})");
    for (const auto* const name : known_capabilities) {
        shape["capabilities"][name] = nullptr;
    }
    return shape;
}

// CNI 1.1.0, section 1: keys that begin with cni.dev/ are a runtime's. Others are how people write remarks into JSON.
bool is_left_alone(const std::string& key) {
    return key.starts_with("cni.dev/") || key.starts_with("_") || key.starts_with("//") || key.starts_with("#");
}

void find_unknown(const Json& given, const Json& shape, const std::string& prefix, std::vector<std::string>& unknown) {
    if (given.is_array()) {
        for (const auto& item : given) {
            find_unknown(item, shape, prefix, unknown);
        }
    }
    if (!given.is_object() || shape.is_null()) {
        return;
    }
    for (const auto& [key, value] : given.items()) {
        const std::string path = prefix + key;
        if (shape.contains(key)) {
            find_unknown(value, shape[key], path + ".", unknown);
        } else if (!is_left_alone(key) && std::ranges::find(unknown, path) == unknown.end()) {
            unknown.push_back(path);
        }
    }
}

}  // namespace

std::vector<std::string> unknown_keys(const Json& conf) {
    auto read = conf;
    const auto ipam = conf.find("ipam");
    if (ipam != conf.end() && ipam->is_object() && ipam->value("type", Json("causeway")) != "causeway") {
        read.erase("ipam");
    }
    std::vector<std::string> unknown;
    find_unknown(read, known_configuration(), "", unknown);
    return unknown;
}

std::span<const char* const> capabilities() {
    return known_capabilities;
}

}  // namespace causeway::cni
