// SPDX-License-Identifier: Apache-2.0
#include "cni/runtime_conf.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <ranges>
#include <span>
#include <string_view>
#include <vector>

#include "cni/bandwidth_conf.hpp"
#include "cni/known_keys.hpp"
#include "cni/port_conf.hpp"
#include "cni/quota_conf.hpp"

namespace causeway::cni {

namespace {

// The keys within capabilities as they are documented, at whatever depth.
constexpr std::array inner_keys{"servers",  "searches", "options",     "subnet",         "rangeStart", "rangeEnd",
                                "gateway",  "exclude",  "flows",       "flowsPerSecond", "hostPort",   "containerPort",
                                "protocol", "hostIP",   "ingressRate", "ingressBurst",   "egressRate", "egressBurst"};

// Go's JSON, and so runtimes, matches keys whatever their case.
std::string documented(const std::string& key) {
    const auto is_this = [&](const char* one) { return lower_case(one) == lower_case(key); };
    for (const std::span<const char* const> names : {capabilities(), std::span<const char* const>(inner_keys)}) {
        if (const auto found = std::ranges::find_if(names, is_this); found != names.end()) {
            return *found;
        }
    }
    return key;
}

// So that only those keys and values are read elsewhere. An empty text is what Go writes for one that nobody has set.
Json as_documented(const Json& given) {
    if (given.is_array()) {
        Json list = Json::array();
        std::ranges::transform(given, std::back_inserter(list), as_documented);
        return list;
    }
    if (!given.is_object()) {
        return given;
    }
    Json object = Json::object();
    for (const auto& [key, value] : given.items()) {
        if (value != "") {
            object[documented(key)] = as_documented(value);
        }
    }
    return object;
}

std::expected<Json, Error> runtime_config(const Json& conf) {
    const auto object = TRY(optional_value<Json>(conf, "runtimeConfig", &Json::is_object, "an object"));
    return object ? as_documented(*object) : Json::object();
}

bool is_nothing(const Json& value) {
    return value.is_null() || value.empty() || value == false;
}

std::expected<void, Error> refuse_unknown(const Json& runtime) {
    const auto known = capabilities();
    for (const auto& [key, value] : runtime.items()) {
        if (std::ranges::find(known, key) == known.end() && !is_nothing(value)) {
            return fail(Code::unsupported_field, "runtimeConfig." + key + ": " + value.dump() + " can't be done",
                        "take the capability away from causeway's configuration, or chain a plugin that has it");
        }
    }
    return {};
}

// One address of "10.0.0.5", or of "10.0.0.5/24" as runtimes also write it.
std::expected<Address, Error> read_address(const std::string& key, const std::string& text) {
    const auto prefix = Prefix::parse(text);
    const auto address = prefix ? std::expected<Address, Error>(prefix->address) : Address::parse(text);
    if (!address) {
        return invalid(key, text, "is not an IP address");
    }
    return *address;
}

std::expected<std::vector<Address>, Error> read_addresses(const Json& object, const std::string& prefix) {
    std::vector<Address> addresses;
    for (const auto& text : TRY(texts_at(object, "ips", prefix))) {
        addresses.push_back(TRY(read_address(prefix + "ips", text)));
    }
    return addresses;
}

std::expected<std::optional<Mac>, Error> read_mac(const std::string& key, const std::string& text) {
    if (text.empty()) {
        return std::nullopt;
    }
    const auto mac = Mac::parse(text);
    if (!mac || (mac->bytes[0] & 1) != 0 || *mac == Mac{}) {
        return invalid(key, text, "is not the MAC address of one device");
    }
    return *mac;
}

// CONVENTIONS.md calls the lists "servers" and "searches", where a result has "nameservers" and "search".
std::expected<std::optional<Dns>, Error> read_runtime_dns(const Json& runtime) {
    const auto given = TRY(optional_value<Json>(runtime, "dns", &Json::is_object, "an object", "runtimeConfig."));
    if (!given || given->empty()) {
        return std::nullopt;
    }
    Dns dns;
    dns.nameservers = TRY(texts_at(*given, "servers", "runtimeConfig.dns."));
    dns.search = TRY(texts_at(*given, "searches", "runtimeConfig.dns."));
    dns.options = TRY(texts_at(*given, "options", "runtimeConfig.dns."));
    return dns.empty() ? std::nullopt : std::optional(dns);
}

using Arguments = std::map<std::string, std::string>;

std::unexpected<Error> bad_arguments(const std::string& what) {
    return fail(Code::invalid_environment, "CNI_ARGS: " + what);
}

// "IP=10.0.0.5;IgnoreUnknown=1". CNI 1.1.0, section 2, "Parameters".
std::expected<Arguments, Error> read_arguments(std::string_view text) {
    Arguments arguments;
    while (!text.empty()) {
        const auto end = std::min(text.find(';'), text.size());
        const std::string pair(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
        const auto equals = pair.find('=');
        if (equals == 0 || equals == std::string::npos) {
            return bad_arguments("\"" + pair + "\" is not KEY=VALUE");
        }
        arguments[pair.substr(0, equals)] = pair.substr(equals + 1);
    }
    const std::string ignore = lower_case(arguments.contains("IgnoreUnknown") ? arguments["IgnoreUnknown"] : "false");
    if (ignore != "1" && ignore != "true" && ignore != "0" && ignore != "false") {
        return bad_arguments("IgnoreUnknown=" + ignore + " is neither true nor false");
    }
    for (const auto& [key, value] : arguments) {
        if (ignore != "1" && ignore != "true" && key != "IP" && key != "MAC" && key != "IgnoreUnknown") {
            return bad_arguments(key + " is unknown; IgnoreUnknown=1 lets it pass");
        }
    }
    return arguments;
}

std::expected<void, Error> apply_arguments(std::string_view text, RuntimeConf& result) {
    auto arguments = TRY(read_arguments(text));
    const auto with_its_name = [](Error error) { return bad_arguments(error.message); };
    for (const auto ip : std::views::split(arguments["IP"], ',')) {  // several
        auto address = read_address("IP", std::string(std::string_view(ip)));
        if (!address) {
            return with_its_name(address.error());
        }
        result.addresses.push_back(*address);
    }
    const auto mac = read_mac("MAC", arguments["MAC"]);
    if (!mac) {
        return with_its_name(mac.error());
    }
    result.mac = *mac;
    return {};
}

template <typename Value>
void prefer(std::optional<Value>& present, std::optional<Value> other) {
    present = other ? std::move(other) : std::move(present);
}

std::expected<void, Error> apply_object(const Json& object, const std::string& prefix, RuntimeConf& result) {
    if (auto addresses = TRY(read_addresses(object, prefix)); !addresses.empty()) {
        result.addresses = std::move(addresses);
    }
    const auto mac = TRY(text_at(object, "mac", prefix)).value_or("");
    prefer(result.mac, TRY(read_mac(prefix + "mac", mac)));
    const auto quota = TRY(read_quota(object, prefix));
    prefer(result.quota.flows, quota.flows);
    prefer(result.quota.flows_per_second, quota.flows_per_second);
    return {};
}

}  // namespace

std::expected<RuntimeConf, Error> read_runtime_conf(const Json& conf, std::string_view arguments) {
    RuntimeConf result;
    TRY(apply_arguments(arguments, result));
    const auto args = TRY(optional_value<Json>(conf, "args", &Json::is_object, "an object")).value_or(Json::object());
    const auto cni = TRY(optional_value<Json>(args, "cni", &Json::is_object, "an object", "args."));
    TRY(apply_object(cni.value_or(Json::object()), "args.cni.", result));
    const auto runtime = TRY(runtime_config(conf));
    TRY(refuse_unknown(runtime));
    TRY(apply_object(runtime, "runtimeConfig.", result));
    result.dns = TRY(read_runtime_dns(runtime));
    result.bandwidth = TRY(read_bandwidth(conf, runtime.value("bandwidth", Json())));
    result.ports = TRY(read_port_mappings(runtime.value("portMappings", Json())));
    return result;
}

std::expected<Json, Error> runtime_ranges(const Json& conf) {
    auto ranges = TRY(runtime_config(conf)).value("ipRanges", Json());
    if (!ranges.is_null() && !ranges.is_array()) {
        return invalid("runtimeConfig.ipRanges", ranges, "is not a list of lists of ranges");
    }
    for (auto& set : ranges) {
        if (set.is_object()) {  // containerd's library has a list of ranges, and no sets
            set = Json::array({set});
        }
    }
    return ranges;
}

}  // namespace causeway::cni
