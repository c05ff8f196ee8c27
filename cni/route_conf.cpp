// SPDX-License-Identifier: Apache-2.0
#include "cni/route_conf.hpp"

#include <array>

namespace causeway::cni {

namespace {

struct NumberRow {
    const char* key;
    std::optional<std::uint32_t> Route::* member;
    std::uint32_t most;
    bool zero_is_one;  // else it is what Go writes for a number that nobody has set
};

// Of a metric the kernel makes the largest that it takes, and does not tell.
constexpr std::array numbers{
    NumberRow{"mtu", &Route::mtu, 65535 - 15, false},
    NumberRow{"advmss", &Route::advmss, 65535 - 40, false},
    NumberRow{"priority", &Route::priority, ~std::uint32_t{0}, false},
    NumberRow{"table", &Route::table, ~std::uint32_t{0}, false},
    NumberRow{"scope", &Route::scope, Route::link_scope, true},
};

std::expected<void, Error> read_gateway(const Json& json, const std::string& prefix, Route& route) {
    const auto text = TRY(text_at(json, "gw", prefix)).value_or("");
    if (text.empty()) {
        return {};
    }
    const auto address = Address::parse(text);
    if (!address || address->is_ipv4() != route.destination.address.is_ipv4()) {
        return invalid(prefix + "gw", text, "is not an address of the family of " + route.destination.text());
    }
    route.gateway = *address;
    return {};
}

}  // namespace

std::expected<Route, Error> read_route(const Json& json, const std::string& key) {
    const std::string prefix = key + ".";
    if (!json.is_object()) {
        return invalid(key, json, "is not an object with a dst");
    }
    const auto text = TRY(text_at(json, "dst", prefix));
    if (!text) {
        return invalid(key, json, "has no dst");
    }
    const auto destination = Prefix::parse(*text);
    if (!destination) {
        return invalid(prefix + "dst", *text, "is not a destination such as 0.0.0.0/0");
    }
    Route route{.destination = *destination};
    TRY(read_gateway(json, prefix, route));
    for (const auto& [name, member, most, zero_is_one] : numbers) {
        const auto number = TRY(number_at(json, name, 0, most, prefix));
        if (number && (*number != 0 || zero_is_one)) {
            route.*member = static_cast<std::uint32_t>(*number);
        }
    }
    if (route.on_link() && !route.gateway.is_none()) {
        return invalid(prefix + "scope", json["scope"], "is the link's, and the route has a gw");
    }
    return route;
}

Json route_json(const Route& route, bool with_numbers) {
    Json json{{"dst", route.destination.text()}};
    if (!route.gateway.is_none()) {
        json["gw"] = route.gateway.text();
    }
    for (const auto& row : numbers) {
        if (const auto& number = route.*row.member; number && with_numbers) {
            json[row.key] = *number;
        }
    }
    return json;
}

}  // namespace causeway::cni
