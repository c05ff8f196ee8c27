// SPDX-License-Identifier: Apache-2.0
#include "cni/ipam_conf.hpp"

#include <algorithm>
#include <fstream>
#include <ranges>
#include <span>
#include <sstream>
#include <utility>

#include "cni/route_conf.hpp"
#include "cni/runtime_conf.hpp"
#include "userspace/network_spec.hpp"

namespace causeway::cni {

namespace {

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

// "exclude": single addresses and subnets of the range's subnet that it does not give out.
std::expected<std::vector<Prefix>, Error> read_excluded(const Json& json, const Prefix& subnet) {
    const std::string key = "ipam.ranges.exclude";
    std::vector<Prefix> excluded;
    for (const auto& text : TRY(texts_at(json, "exclude", "ipam.ranges."))) {
        auto prefix = Prefix::parse(text);
        if (!prefix) {
            const auto address = Address::parse(text);
            if (!address) {
                return invalid(key, text, "is neither an address nor a subnet");
            }
            prefix = Prefix{*address, address->bits()};
        }
        if (!subnet.contains(prefix->first()) || !subnet.contains(prefix->last())) {
            return invalid(key, text, "is outside its subnet " + subnet.text());
        }
        excluded.push_back({prefix->first(), prefix->length});
    }
    return excluded;
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
    if (const auto why = why_no_subnet(*subnet); !why.empty()) {
        return invalid("ipam.ranges.subnet", *text, why);
    }
    auto range = Range::of_subnet(*subnet);
    if (!range) {
        return invalid("ipam.ranges.subnet", *text, "has no room for a gateway and a sandbox");
    }
    range->gateway = TRY(address_at(json, "gateway", range->gateway, *subnet));
    if (range->gateway == subnet->first() || (range->gateway == subnet->last() && subnet->address.is_ipv4())) {
        return invalid("ipam.ranges.gateway", range->gateway.text(), "is the subnet's own or its broadcast address");
    }
    range->first = TRY(address_at(json, "rangeStart", range->first, *subnet));
    range->last = TRY(address_at(json, "rangeEnd", range->last, *subnet));
    if (range->last < range->first) {
        return invalid("ipam.ranges.rangeEnd", range->last.text(), "is before rangeStart " + range->first.text());
    }
    range->excluded = TRY(read_excluded(json, *subnet));
    if (size_of(*range) == 0) {
        return invalid("ipam.ranges", json, "gives out no address at all");
    }
    return *range;
}

// STATUS and GC come without what the runtime gives at ADD.
bool awaits_runtime_ranges(const Json& conf) {
    const auto capabilities = conf.find("capabilities");
    return capabilities != conf.end() && capabilities->is_object() && capabilities->value("ipRanges", Json()) == true;
}

std::expected<RangeSet, Error> read_set(const Json& json) {
    if (!json.is_array() || json.empty()) {
        return invalid("ipam.ranges", json, "is not a list of ranges");
    }
    RangeSet set;
    for (const auto& range : json) {
        set.push_back(TRY(read_range(range)));
        if (set.back().gateway.family() != set.front().gateway.family()) {
            return invalid("ipam.ranges", json, "is one set, and so must be of one family; give each a set of its own");
        }
    }
    return set;
}

// Parts of one subnet are alternatives, each apart from the others. The gateway is the subnet's, and so the same.
std::expected<void, Error> refuse_overlap(const Range& range, const Range& other, bool alternatives) {
    if (!other.subnet.overlaps(range.subnet)) {
        return {};
    }
    if (!alternatives || other.subnet != range.subnet) {
        return invalid("ipam.ranges.subnet", range.subnet.text(), "overlaps " + other.subnet.text());
    }
    if (other.gateway != range.gateway) {
        return invalid("ipam.ranges.gateway", range.gateway.text(),
                       "is not " + other.gateway.text() + ", the other gateway of " + range.subnet.text());
    }
    if (range.first <= other.last && other.first <= range.last) {
        return invalid("ipam.ranges", text_of({&range, 1}), "overlaps " + text_of({&other, 1}));
    }
    return {};
}

std::expected<void, Error> refuse_overlaps(const std::vector<RangeSet>& sets) {
    std::vector<std::pair<const RangeSet*, const Range*>> seen;
    for (const auto& set : sets) {
        for (const auto& range : set) {
            for (const auto& [others, other] : seen) {
                TRY(refuse_overlap(range, *other, others == &set));
            }
            seen.emplace_back(&set, &range);
        }
    }
    return {};
}

// Sets of "ranges", after those of the runtime's "ipRanges": each a list of alternatives; a sandbox takes one address
// of each set. "subnet" and its companions right in "ipam" are the short form of a set of one range.
std::expected<std::vector<RangeSet>, Error> read_ranges(const Json& conf, const Json& ipam) {
    Json json = TRY(runtime_ranges(conf));
    json = json.is_null() ? Json::array() : json;
    if (ipam.contains("subnet")) {
        json.push_back(Json::array({ipam}));
    }
    const auto configured =
        TRY(optional_value<Json>(ipam, "ranges", &Json::is_array, "a list of lists of ranges", "ipam."))
            .value_or(Json::array());
    json.insert(json.end(), configured.begin(), configured.end());
    std::vector<RangeSet> sets;
    for (const auto& set : json) {
        sets.push_back(TRY(read_set(set)));
    }
    if (sets.empty() && !awaits_runtime_ranges(conf)) {
        return fail(Code::invalid_configuration,
                    "ipam.ranges: missing: causeway needs a subnet to give addresses from");
    }
    if (sets.size() > CAUSEWAY_ADDRESSES_MAX) {
        return invalid(
            "ipam.ranges", json,
            "has more than " + std::to_string(CAUSEWAY_ADDRESSES_MAX) + " sets: so many addresses a sandbox");
    }
    TRY(refuse_overlaps(sets));
    return sets;
}

// Of the network that is served by DHCP; the plugin does not know them.
std::expected<std::vector<RangeSet>, Error> read_dhcp_subnets(const Json& conf, const Json& ipam) {
    if (!ipam.contains("subnet") && !ipam.contains("ranges")) {
        return std::vector<RangeSet>{};
    }
    auto sets = TRY(read_ranges(conf, ipam));
    for (const auto& range : sets | std::views::join) {
        if (!range.subnet.address.is_ipv4()) {
            return invalid("ipam.ranges.subnet", range.subnet.text(), "is of IPv6, and dhcp gives IPv4 addresses");
        }
    }
    return sets;
}

std::expected<std::vector<Route>, Error> read_routes(const Json& ipam) {
    std::vector<Route> routes;
    const auto array = TRY(optional_value<Json>(ipam, "routes", &Json::is_array, "a list of routes", "ipam."));
    for (const auto& item : array.value_or(Json::array())) {
        routes.push_back(TRY(read_route(item, "ipam.routes")));
    }
    return routes;
}

// By the subnets, of whose ranges nobody knows which one gives the address, or by a route of the link, which has to be
// there before: the kernel looks in the main table, and in that of the route itself.
bool is_on_link(const Route& route, std::span<const Route> before, const std::vector<RangeSet>& sets) {
    const auto is_in = [&](const Range& range) { return range.subnet.contains(route.gateway); };
    const auto leads_there = [&](const Route& other) {
        return other.on_link() && other.destination.contains(route.gateway) &&
               (other.in_main_table() || other.table == route.table);
    };
    return route.gateway.is_link_local() || std::ranges::any_of(sets | std::views::join, is_in) ||
           std::ranges::any_of(before, leads_there);
}

// The one that a route has or, where it names none, gets: struct SandboxSpec. None: that depends on the range.
Address gateway_of(const Route& route, const RangeSet& own) {
    return !route.gateway.is_none() || route.on_link() || own.size() > 1 ? route.gateway : own.front().gateway;
}

// Whether the kernel refuses the later one. One without a priority goes behind another gateway's.
bool are_one(const Route& route, const Route& later, const RangeSet& own) {
    const auto priority = [](const Route& one) {
        constexpr std::uint32_t of_ipv6 = 1024;  // IP6_RT_PRIO_USER
        return one.priority.value_or(one.destination.address.is_ipv4() ? 0 : of_ipv6);
    };
    return route.destination.first() == later.destination.first() &&
           route.destination.length == later.destination.length && priority(route) == priority(later) &&
           route.table.value_or(Route::main_table) == later.table.value_or(Route::main_table) &&
           (later.priority || (gateway_of(route, own) == gateway_of(later, own) && route.on_link() == later.on_link()));
}

// What every ADD would fail of, told before. given: an earlier plugin of the chain has set up the interface.
std::expected<void, Error> refuse_unusable(std::span<const Route> routes, const std::vector<RangeSet>& sets,
                                           bool given) {
    for (std::size_t i = 0; i < routes.size(); i++) {
        const auto& route = routes[i];
        const auto before = routes.first(i);
        const auto family = route.destination.address.family();
        const auto own =
            std::ranges::find_if(sets, [&](const RangeSet& set) { return set.front().gateway.family() == family; });
        if (route.gateway.is_none() && own == sets.end()) {
            return invalid("ipam.routes.dst", route.destination.text(),
                           std::string("has no gateway: the sandbox has no ") + name_of(family) + " address");
        }
        if (!route.gateway.is_none() && !given && !is_on_link(route, before, sets)) {
            return invalid(
                "ipam.routes.gw", route.gateway.text(),
                "of the route to " + route.destination.text() +
                    " is in no subnet of the network, and no route before it with \"scope\": 253 leads there");
        }
        const auto is_this = [&](const Route& other) {
            return are_one(other, route, own == sets.end() ? RangeSet{} : *own);
        };
        if (std::ranges::any_of(before, is_this)) {
            return invalid("ipam.routes", route.destination.text(),
                           "is there twice: routes to the same destination differ by table, priority or gateway");
        }
    }
    return {};
}

std::expected<Dns, Error> read_dns(const Json& conf) {
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

std::expected<Json, Error> ipam_in(const Json& conf) {
    return TRY(optional_value<Json>(conf, "ipam", &Json::is_object, "an object")).value_or(Json::object());
}

}  // namespace

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

std::expected<std::optional<Delegate>, Error> read_delegate(const Json& conf) {
    const auto type = TRY(text_at(TRY(ipam_in(conf)), "type", "ipam.")).value_or("causeway");
    if (type.empty() || type.find('/') != std::string::npos) {
        return invalid("ipam.type", type, "is not the name of a plugin");
    }
    return type == "causeway" ? std::nullopt : std::optional(Delegate{type, conf});
}

bool Delegate::asks_by_link() const {
    const auto previous = conf.find("prevResult");
    if (type != "dhcp" || previous == conf.end() || !previous->is_object()) {
        return type == "dhcp";
    }
    const auto interfaces = previous->find("interfaces");
    const auto is_loopback = [](const Json& one) {
        return one.is_object() && one.contains("name") && one["name"] == "lo";
    };
    return interfaces == previous->end() || std::ranges::all_of(*interfaces, is_loopback);
}

std::expected<IpamConf, Error> read_ipam_conf(const Json& conf) {
    IpamConf result;
    auto ipam = TRY(ipam_in(conf));
    if (!ipam.contains("type") && !ipam.contains("ranges") && !ipam.contains("subnet") && conf.contains("subnet")) {
        ipam["subnet"] = conf["subnet"];
    }
    result.delegate = TRY(read_delegate(conf));
    result.resolv_conf = TRY(text_at(ipam, "resolvConf", "ipam."));
    result.dns = TRY(read_dns(conf));
    if (result.delegate) {
        if (result.delegate->asks_by_link()) {
            result.delegate->subnets = result.ranges = TRY(read_dhcp_subnets(conf, ipam));
        }
        return result;
    }
    constexpr std::uint64_t week = 7ULL * 24 * 3600;
    result.ranges = TRY(read_ranges(conf, ipam));
    result.rest = static_cast<std::uint32_t>(TRY(number_at(ipam, "rest", 0, week, "ipam.")).value_or(0));
    result.routes = TRY(read_routes(ipam));
    if (!awaits_runtime_ranges(conf)) {
        TRY(refuse_unusable(result.routes, result.ranges, conf.contains("prevResult")));
    }
    return result;
}

}  // namespace causeway::cni
