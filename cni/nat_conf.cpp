// SPDX-License-Identifier: Apache-2.0
#include "cni/nat_conf.hpp"

#include <array>
#include <charconv>

#include "cni/quota_conf.hpp"

namespace causeway::cni {

namespace {

// "portRange": "1024-65535"
std::expected<void, Error> read_port_range(const Json& conf, NatSpec& nat) {
    const auto text = TRY(text_at(conf, "portRange"));
    if (!text) {
        return {};
    }
    std::uint16_t min = 0, max = 0;
    const char* const end = text->data() + text->size();
    const auto [dash, bad_min] = std::from_chars(text->data(), end, min);
    const bool two = bad_min == std::errc{} && dash != end && *dash == '-';
    const auto [stop, bad_max] = std::from_chars(two ? dash + 1 : end, end, max);
    if (!two || bad_max != std::errc{} || stop != end || min < 1 || min > max) {
        return invalid("portRange", *text, "is not a range of ports such as \"1024-65535\"");
    }
    nat.port_min = min;
    nat.port_max = max;
    return {};
}

std::expected<void, Error> read_timeouts(const Json& conf, NatSpec& nat) {
    constexpr std::uint64_t month = 30ULL * 24 * 3600;
    const auto timeouts = TRY(optional_value<Json>(conf, "timeouts", &Json::is_object, "an object"));
    if (!timeouts) {
        return {};
    }
    const std::array<std::pair<flow_state, const char*>, FLOW_STATE_COUNT> keys{
        {{FLOW_TCP_OPENING, "tcpOpening"},
         {FLOW_TCP_ESTABLISHED, "tcpEstablished"},
         {FLOW_TCP_CLOSING, "tcpClosing"},
         {FLOW_UDP, "udp"},
         {FLOW_ICMP, "icmp"}}};
    for (const auto& [state, key] : keys) {
        if (const auto seconds = TRY(number_at(*timeouts, key, 1, month, "timeouts."))) {
            nat.timeouts[state] = static_cast<std::uint32_t>(*seconds);
        }
    }
    return {};
}

std::expected<void, Error> read_network_quota(const Json& conf, NatSpec& nat) {
    const auto quota = TRY(read_quota(conf, ""));
    nat.flows_max = quota.flows.value_or(nat.flows_max);
    nat.flows_per_second = quota.flows_per_second.value_or(nat.flows_per_second);
    return {};
}

std::expected<void, Error> read_unmasqueraded(const Json& conf, NatSpec& nat) {
    const std::string key = "nonMasqueradeCIDRs";
    for (const auto& text : TRY(texts_at(conf, key))) {
        const auto prefix = Prefix::parse(text);
        if (!prefix) {
            return invalid(key, text, "is not a destination such as 10.0.0.0/8 or fd00::/8");
        }
        if (prefix->address != prefix->first()) {
            return invalid(key, text,
                           "has host bits set; meant is perhaps " + Prefix{prefix->first(), prefix->length}.text());
        }
        if (!prefix->address.is_ipv4() && prefix->overlaps(Prefix::parse("::fffe:0:0/95").value())) {
            return invalid(key, text, "has IPv4's addresses in it; meant is perhaps 2000::/3 and fc00::/7");
        }
        nat.unmasqueraded.push_back(*prefix);
    }
    if (nat.unmasqueraded.size() > CAUSEWAY_UNMASQUERADED_MAX) {
        return invalid(key, conf[key], "has more than " + std::to_string(CAUSEWAY_UNMASQUERADED_MAX) + " entries");
    }
    return {};
}

std::expected<void, Error> read_inbound(const Json& conf, NatSpec& nat) {
    nat.inbound = TRY(optional_value<bool>(conf, "inbound", &Json::is_boolean, "true or false")).value_or(false);
    if (nat.inbound && nat.masquerade && nat.unmasqueraded.empty()) {
        return invalid("inbound", true, "lets nobody in: with \"ipMasq\" it needs \"nonMasqueradeCIDRs\"");
    }
    return {};
}

// Blocks begin at the range's first port; what is left at its end is in none.
std::expected<void, Error> read_port_block(const Json& conf, NatSpec& nat) {
    const auto size = TRY(number_at(conf, "portBlock", 1, 65535));
    if (!size) {
        return {};
    }
    const auto span = nat.port_max - nat.port_min + 1;
    if (*size > static_cast<std::uint64_t>(span)) {
        return invalid("portBlock", *size, "is more than the " + std::to_string(span) + " ports of portRange");
    }
    nat.port_block = static_cast<std::uint16_t>(*size);
    return {};
}

// One of the values by name; nothing where the key is missing.
template <typename Value, std::size_t Count>
std::expected<void, Error> read_choice(const Json& conf, const std::string& key,
                                       const std::array<std::pair<const char*, Value>, Count>& choices, Value& chosen) {
    const auto text = TRY(text_at(conf, key));
    if (!text) {
        return {};
    }
    std::string names;
    for (const auto& [name, value] : choices) {
        if (*text == name) {
            chosen = value;
            return {};
        }
        names += std::string(names.empty() ? "" : ", ") + name;
    }
    return invalid(key, *text, "is not one of " + names);
}

// RFC 4787's terms. Filtering of its own needs a port that is the same for all.
std::expected<void, Error> read_behaviour(const Json& conf, NatSpec& nat) {
    constexpr std::array<std::pair<const char*, Mapping>, 2> mappings{
        {{"address-and-port-dependent", Mapping::address_and_port_dependent},
         {"endpoint-independent", Mapping::endpoint_independent}}};
    constexpr std::array<std::pair<const char*, Filtering>, 3> filterings{
        {{"address-and-port-dependent", Filtering::address_and_port_dependent},
         {"address-dependent", Filtering::address_dependent},
         {"endpoint-independent", Filtering::endpoint_independent}}};
    TRY(read_choice(conf, "mapping", mappings, nat.mapping));
    TRY(read_choice(conf, "filtering", filterings, nat.filtering));
    if (nat.filtering != Filtering::address_and_port_dependent && nat.mapping != Mapping::endpoint_independent) {
        return invalid("filtering", conf["filtering"], "needs \"mapping\": \"endpoint-independent\"");
    }
    return {};
}

}  // namespace

std::expected<NatSpec, Error> read_nat_conf(const Json& conf) {
    NatSpec nat;
    nat.masquerade = TRY(optional_value<bool>(conf, "ipMasq", &Json::is_boolean, "true or false")).value_or(false);
    TRY(read_port_range(conf, nat));
    TRY(read_port_block(conf, nat));
    TRY(read_timeouts(conf, nat));
    TRY(read_network_quota(conf, nat));
    TRY(read_unmasqueraded(conf, nat));
    TRY(read_inbound(conf, nat));
    nat.forwarded = TRY(optional_value<bool>(conf, "forwarded", &Json::is_boolean, "true or false")).value_or(false);
    TRY(read_behaviour(conf, nat));
    return nat;
}

}  // namespace causeway::cni
