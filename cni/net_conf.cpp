// SPDX-License-Identifier: Apache-2.0
#include "cni/net_conf.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <fstream>
#include <sstream>

namespace causeway::cni {

namespace {

std::unexpected<Error> invalid(const std::string& key, const Json& value, const std::string& why) {
    return fail(Code::invalid_configuration, key + ": " + value.dump() + " " + why);
}

// The value of a key if it is there (and not null) and of the type; an error that names it if of another.
template <typename Type>
std::expected<std::optional<Type>, Error> optional_value(const Json& object, const std::string& key,
                                                         bool (Json::*is)() const noexcept, const char* type,
                                                         const std::string& prefix = "") {
    const auto found = object.find(key);
    if (found == object.end() || found->is_null()) {
        return std::nullopt;
    }
    if (!((*found).*is)()) {
        return invalid(prefix + key, *found, std::string("is not ") + type);
    }
    return found->template get<Type>();
}

std::expected<std::optional<std::string>, Error> text_at(const Json& object, const std::string& key,
                                                         const std::string& prefix = "") {
    return optional_value<std::string>(object, key, &Json::is_string, "a string", prefix);
}

std::expected<std::vector<std::string>, Error> texts_at(const Json& object, const std::string& key,
                                                        const std::string& prefix = "") {
    std::vector<std::string> texts;
    const auto array = TRY(optional_value<Json>(object, key, &Json::is_array, "a list of strings", prefix));
    for (const auto& item : array.value_or(Json::array())) {
        if (!item.is_string()) {
            return invalid(prefix + key, *array, "is not a list of strings");
        }
        texts.push_back(item.get<std::string>());
    }
    return texts;
}

// Network names: section 1, "Must not contain ... start with an alphanumeric character, optionally followed by".
bool valid_name(const std::string& name) {
    const auto allowed = [](unsigned char c) { return std::isalnum(c) != 0 || c == '_' || c == '.' || c == '-'; };
    return !name.empty() && std::isalnum(static_cast<unsigned char>(name[0])) != 0 &&
           std::ranges::all_of(name, allowed);
}

std::expected<void, Error> read_name(const Json& conf, NetworkSpec& network) {
    const auto name = TRY(text_at(conf, "name"));
    if (!name) {
        return fail(Code::invalid_configuration, "name: missing");
    }
    if (!valid_name(*name)) {
        return invalid("name", *name, "may only hold letters, digits, '_', '.' and '-'");
    }
    if (name->size() >= CAUSEWAY_NAME_LEN) {
        return invalid("name", *name, "is longer than " + std::to_string(CAUSEWAY_NAME_LEN - 1) + " characters");
    }
    network.name = *name;
    return {};
}

std::expected<void, Error> read_device(const Json& conf, NetworkSpec& network) {
    const auto device = TRY(text_at(conf, "device"));
    if (!device) {
        return {};
    }
    const bool bad =
        device->empty() || *device == "." || *device == ".." ||
        std::ranges::any_of(*device, [](unsigned char c) { return c == '/' || c == ':' || c == '%' || c <= ' '; });
    if (bad) {
        return invalid("device", *device, "is not a device name");
    }
    if (device->size() > device_name_max) {
        return invalid("device", *device, "is longer than " + std::to_string(device_name_max) + " characters");
    }
    network.device = *device;
    return {};
}

std::expected<std::optional<std::uint64_t>, Error> number_at(const Json& object, const std::string& key,
                                                             std::uint64_t min, std::uint64_t max,
                                                             const std::string& prefix = "") {
    const auto value = TRY(optional_value<Json>(object, key, &Json::is_number, "a number", prefix));
    if (!value) {
        return std::nullopt;
    }
    if (!value->is_number_unsigned() || value->get<std::uint64_t>() < min || value->get<std::uint64_t>() > max) {
        return invalid(prefix + key, *value,
                       "is not a whole number from " + std::to_string(min) + " to " + std::to_string(max));
    }
    return value->get<std::uint64_t>();
}

// "portRange": "1024-65535"
std::expected<void, Error> read_port_range(const Json& conf, NetworkSpec& network) {
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
    network.port_min = min;
    network.port_max = max;
    return {};
}

std::expected<void, Error> read_timeouts(const Json& conf, NetworkSpec& network) {
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
            network.timeouts[state] = static_cast<std::uint32_t>(*seconds);
        }
    }
    return {};
}

std::expected<void, Error> read_network(const Json& conf, NetworkSpec& network) {
    TRY(read_name(conf, network));
    TRY(read_device(conf, network));
    if (const auto mtu = TRY(number_at(conf, "mtu", 0, 65535))) {
        if (*mtu != 0 && *mtu < 68) {  // RFC 791: what every link must carry; 0 is "not set" by convention
            return invalid("mtu", *mtu, "is less than 68");
        }
        if (*mtu != 0) {
            network.mtu = static_cast<std::uint32_t>(*mtu);
        }
    }
    network.masquerade = TRY(optional_value<bool>(conf, "ipMasq", &Json::is_boolean, "true or false")).value_or(false);
    network.uplinks = TRY(texts_at(conf, "uplinks"));
    TRY(read_port_range(conf, network));
    return read_timeouts(conf, network);
}

// --- ipam ---

std::expected<Address, Error> address_at(const Json& range, const std::string& key, const Address& otherwise,
                                         const Prefix& subnet) {
    const auto text = TRY(text_at(range, key, "ipam.ranges."));
    if (!text) {
        return otherwise;
    }
    const auto address = Address::parse(*text);
    if (!address) {
        return invalid("ipam.ranges." + key, *text, "is not an IP address");
    }
    if (!subnet.contains(*address)) {
        return invalid("ipam.ranges." + key, *text, "is outside its subnet " + subnet.text());
    }
    return *address;
}

std::expected<Range, Error> read_range(const Json& json) {
    if (!json.is_object()) {
        return invalid("ipam.ranges", json, "is not an object with a subnet");
    }
    const auto text = TRY(text_at(json, "subnet", "ipam.ranges."));
    if (!text) {
        return invalid("ipam.ranges", json, "has no subnet");
    }
    const auto subnet = Prefix::parse(*text);
    if (!subnet) {
        return invalid("ipam.ranges.subnet", *text, "is not a subnet such as 10.0.0.0/24");
    }
    if (!subnet->address.is_ipv4()) {
        return invalid("ipam.ranges.subnet", *text, "is IPv6, which is not supported yet");
    }
    if (subnet->length == 0) {
        return invalid("ipam.ranges.subnet", *text, "is every address there is, and not a sandbox network's");
    }
    if (subnet->address != subnet->first()) {
        return invalid("ipam.ranges.subnet", *text,
                       "has host bits set; meant is perhaps " + Prefix{subnet->first(), subnet->length}.text());
    }
    auto range = Range::of_subnet(*subnet);
    if (!range) {
        return invalid("ipam.ranges.subnet", *text, "has no room for a gateway and a sandbox");
    }
    range->gateway = TRY(address_at(json, "gateway", range->gateway, *subnet));
    if (range->gateway == subnet->first() || range->gateway == subnet->last()) {
        return invalid("ipam.ranges.gateway", range->gateway.text(), "is the subnet's own or its broadcast address");
    }
    range->first = TRY(address_at(json, "rangeStart", range->first, *subnet));
    range->last = TRY(address_at(json, "rangeEnd", range->last, *subnet));
    if (range->last < range->first) {
        return invalid("ipam.ranges.rangeEnd", range->last.text(), "is before rangeStart " + range->first.text());
    }
    return *range;
}

// "ranges": a list of sets, each a list of alternatives; a sandbox takes one address of each set. "subnet" and its
// companions right in "ipam" are the short form of one range.
std::expected<std::vector<Range>, Error> read_ranges(const Json& ipam) {
    std::vector<Range> ranges;
    const auto sets = TRY(optional_value<Json>(ipam, "ranges", &Json::is_array, "a list of lists of ranges", "ipam."));
    if (sets && sets->size() > 1) {
        return invalid("ipam.ranges", *sets, "has several sets: more than one address a sandbox is not supported yet");
    }
    if (ipam.contains("subnet")) {
        ranges.push_back(TRY(read_range(ipam)));
    }
    for (const auto& set : sets.value_or(Json::array())) {
        if (!set.is_array() || set.empty()) {
            return invalid("ipam.ranges", set, "is not a list of ranges");
        }
        for (const auto& range : set) {
            ranges.push_back(TRY(read_range(range)));
        }
    }
    if (ranges.empty()) {
        return fail(Code::invalid_configuration,
                    "ipam.ranges: missing: causeway needs a subnet to give addresses from");
    }
    for (auto a = ranges.begin(); a != ranges.end(); ++a) {
        for (auto b = std::next(a); b != ranges.end(); ++b) {
            if (a->subnet.overlaps(b->subnet)) {
                return invalid("ipam.ranges.subnet", b->subnet.text(), "overlaps " + a->subnet.text());
            }
        }
    }
    return ranges;
}

std::expected<std::vector<Route>, Error> read_routes(const Json& ipam) {
    std::vector<Route> routes;
    const auto array = TRY(optional_value<Json>(ipam, "routes", &Json::is_array, "a list of routes", "ipam."));
    for (const auto& item : array.value_or(Json::array())) {
        if (!item.is_object()) {
            return invalid("ipam.routes", item, "is not an object with a dst");
        }
        const auto destination = TRY(text_at(item, "dst", "ipam.routes."));
        if (!destination) {
            return invalid("ipam.routes", item, "has no dst");
        }
        const auto prefix = Prefix::parse(*destination);
        if (!prefix) {
            return invalid("ipam.routes.dst", *destination, "is not a destination such as 0.0.0.0/0");
        }
        Route route{.destination = *prefix};
        if (const auto gateway = TRY(text_at(item, "gw", "ipam.routes."))) {
            const auto address = Address::parse(*gateway);
            if (!address || address->is_ipv4() != prefix->address.is_ipv4()) {
                return invalid("ipam.routes.gw", *gateway, "is not an address of the family of " + *destination);
            }
            route.gateway = *address;
        }
        routes.push_back(route);
    }
    return routes;
}

// resolv.conf(5); a file that is missing is an error, since the sandbox would start without names.
std::expected<Dns, Error> read_resolv_conf(const std::string& path) {
    const auto unreadable = fail(Code::invalid_configuration, "ipam.resolvConf: \"" + path + "\" can't be read");
    std::ifstream file(path);
    if (!file) {
        return unreadable;
    }
    Dns dns;
    for (std::string line; std::getline(file, line);) {
        std::istringstream words(line);
        std::string keyword, word;
        words >> keyword;
        const auto is_remark = [](const std::string& text) { return text[0] == '#' || text[0] == ';'; };
        while (!is_remark(keyword) && words >> word && !is_remark(word)) {
            if (keyword == "nameserver") {
                dns.nameservers.push_back(word);
            } else if (keyword == "search") {
                dns.search.push_back(word);
            } else if (keyword == "options") {
                dns.options.push_back(word);
            } else if (keyword == "domain") {
                dns.domain = word;
            }
        }
    }
    if (file.bad()) {  // a directory, for one
        return unreadable;
    }
    return dns;
}

std::expected<Dns, Error> read_dns(const Json& conf, const Json& ipam) {
    if (const auto path = TRY(text_at(ipam, "resolvConf", "ipam."))) {
        return read_resolv_conf(*path);
    }
    Dns dns;
    const auto json = TRY(optional_value<Json>(conf, "dns", &Json::is_object, "an object"));
    if (json) {
        dns.nameservers = TRY(texts_at(*json, "nameservers", "dns."));
        dns.search = TRY(texts_at(*json, "search", "dns."));
        dns.options = TRY(texts_at(*json, "options", "dns."));
        dns.domain = TRY(text_at(*json, "domain", "dns.")).value_or("");
    }
    return dns;
}

std::expected<void, Error> read_ipam(const Json& conf, NetConf& result) {
    auto ipam = TRY(optional_value<Json>(conf, "ipam", &Json::is_object, "an object")).value_or(Json::object());
    if (!ipam.contains("type") && !ipam.contains("ranges") && !ipam.contains("subnet") && conf.contains("subnet")) {
        ipam["subnet"] = conf["subnet"];
    }
    const auto type = TRY(text_at(ipam, "type", "ipam.")).value_or("causeway");
    if (type.empty() || type.find('/') != std::string::npos) {
        return invalid("ipam.type", type, "is not the name of a plugin");
    }
    result.dns = TRY(read_dns(conf, ipam));
    if (type != "causeway") {
        result.delegated_ipam = type;
        return {};
    }
    result.network.ranges = TRY(read_ranges(ipam));
    result.routes = TRY(read_routes(ipam));
    return {};
}

// GC's list: section 1, "cni.dev/valid-attachments"; missing means the same as empty.
std::expected<std::vector<SandboxId>, Error> read_attachments(const Json& conf) {
    const std::string key = "cni.dev/valid-attachments";
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
        return fail(Code::incompatible_version, "cniVersion: \"" + version + "\" is not one of " + list);
    }
    return version;
}

}  // namespace

const std::vector<std::string>& supported_versions() {
    static const std::vector<std::string> versions{"0.3.1", "0.4.0", "1.0.0", "1.1.0"};
    return versions;
}

Json parse_json(std::string_view text) {
    constexpr int deepest = 64;
    bool too_deep = false;
    const auto note_depth = [&](int depth, Json::parse_event_t, Json&) {
        too_deep |= depth > deepest;
        return !too_deep;
    };
    auto json = Json::parse(text, note_depth, false);
    return too_deep ? Json(Json::value_t::discarded) : json;
}

std::expected<NetConf, Error> read_net_conf(std::string_view text) {
    NetConf conf;
    conf.raw = parse_json(text);
    if (conf.raw.is_discarded()) {
        return fail(Code::decode_failure, "the network configuration on stdin is not JSON, or is nested too deeply");
    }
    if (!conf.raw.is_object()) {
        return fail(Code::decode_failure, "the network configuration on stdin is not a JSON object");
    }
    conf.version = TRY(read_version(conf.raw));
    TRY(read_network(conf.raw, conf.network));
    TRY(read_ipam(conf.raw, conf));
    conf.previous_result = TRY(optional_value<Json>(conf.raw, "prevResult", &Json::is_object, "an object"));
    conf.valid_attachments = TRY(read_attachments(conf.raw));
    return conf;
}

}  // namespace causeway::cni
