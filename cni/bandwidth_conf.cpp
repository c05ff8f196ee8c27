// SPDX-License-Identifier: Apache-2.0
#include "cni/bandwidth_conf.hpp"

#include <array>
#include <limits>

namespace causeway::cni {

namespace {

constexpr std::uint64_t bits = 8;  // a byte

// Runtimes send the largest number of 32 bits for a burst that nobody has set.
std::expected<std::optional<Rate>, Error> read_rate(const Json& object, const std::string& rate_key,
                                                    const std::string& burst_key, const std::string& prefix) {
    constexpr std::uint64_t most = 1'000'000'000'000'000;  // a petabit, so that what is calculated from it fits
    constexpr std::uint64_t most_burst = std::numeric_limits<std::uint32_t>::max() * bits;
    const auto rate = TRY(number_at(object, rate_key, 0, most, prefix)).value_or(0);
    const auto burst = TRY(number_at(object, burst_key, 0, most_burst, prefix)).value_or(0);
    if (rate == 0 && burst == 0) {
        return std::nullopt;
    }
    if (rate == 0 || burst == 0) {
        return invalid(prefix + (rate == 0 ? burst_key : rate_key), rate == 0 ? burst : rate,
                       "is set without " + (rate == 0 ? rate_key : burst_key));
    }
    if (rate < bits) {
        return invalid(prefix + rate_key, rate, "is less than 8 bits a second");
    }
    return Rate{rate / bits, burst / bits};
}

constexpr std::array rate_keys{"ingressRate", "ingressBurst", "egressRate", "egressBurst"};

std::expected<Bandwidth, Error> read_both(const Json& object, const std::string& prefix) {
    const auto& [to_rate, to_burst, from_rate, from_burst] = rate_keys;
    return Bandwidth{TRY(read_rate(object, to_rate, to_burst, prefix)),
                     TRY(read_rate(object, from_rate, from_burst, prefix))};
}

}  // namespace

std::expected<Bandwidth, Error> read_bandwidth(const Json& conf, const Json& runtime) {
    const auto configured = TRY(read_both(conf, ""));
    if (!runtime.is_null() && !runtime.is_object()) {
        return invalid("runtimeConfig.bandwidth", runtime, "is not an object");
    }
    if (configured.any() || runtime.is_null()) {
        return configured;
    }
    return read_both(runtime, "runtimeConfig.bandwidth.");
}

}  // namespace causeway::cni
