// SPDX-License-Identifier: Apache-2.0
#include "cni/quota_conf.hpp"

#include <string>

namespace causeway::cni {

std::expected<Quota, Error> read_quota(const Json& object, const std::string& prefix) {
    constexpr std::uint64_t rate_at_most = 1'000'000;
    const std::string place = prefix + "quota.";
    const auto given =
        TRY(optional_value<Json>(object, "quota", &Json::is_object, "an object", prefix)).value_or(Json::object());
    return Quota{.flows = TRY(number_at(given, "flows", 1, CAUSEWAY_FLOWS_MAX, place)),
                 .flows_per_second = TRY(number_at(given, "flowsPerSecond", 0, rate_at_most, place))};
}

}  // namespace causeway::cni
