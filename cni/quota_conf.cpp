// SPDX-License-Identifier: Apache-2.0
#include "cni/quota_conf.hpp"

#include <string>

namespace causeway::cni {

namespace {

// As runtimeConfig's keys are matched whatever their case, so are these.
Json with_known_keys(const Json& object) {
    Json known = Json::object();
    for (const auto& [key, value] : object.items()) {
        for (const std::string name : {"flows", "flowsPerSecond"}) {
            if (lower_case(key) == lower_case(name)) {
                known[name] = value;
            }
        }
    }
    return known;
}

}  // namespace

std::expected<Quota, Error> read_quota(const Json& object, const std::string& prefix) {
    constexpr std::uint64_t rate_at_most = 1'000'000;
    const std::string place = prefix + "quota.";
    const auto given = with_known_keys(
        TRY(optional_value<Json>(object, "quota", &Json::is_object, "an object", prefix)).value_or(Json::object()));
    return Quota{.flows = TRY(number_at(given, "flows", 1, CAUSEWAY_FLOWS_MAX, place)),
                 .flows_per_second = TRY(number_at(given, "flowsPerSecond", 0, rate_at_most, place))};
}

}  // namespace causeway::cni
