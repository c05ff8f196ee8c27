// SPDX-License-Identifier: Apache-2.0
// The few numbers that stand for many: their middle, their tail, and how far they lie around it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace causeway::bench {

// The smallest value that at least this share of all are not above; `values` is not empty, `share` above 0 and up to 1.
template <typename T>
T quantile(std::vector<T> values, double share) {
    const auto last = static_cast<double>(values.size() - 1);
    const auto position = std::clamp(share * static_cast<double>(values.size()), 0.0, last);
    const auto wanted = values.begin() + static_cast<std::ptrdiff_t>(position);
    std::nth_element(values.begin(), wanted, values.end());
    return *wanted;
}

// `values` is not empty; of an even number it is the mean of the two in the middle.
template <typename T>
double median(std::vector<T> values) {
    const auto upper = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), upper, values.end());
    if (values.size() % 2 == 1) {
        return static_cast<double>(*upper);
    }
    return (static_cast<double>(*upper) + static_cast<double>(*std::max_element(values.begin(), upper))) / 2;
}

// Half the distance between the smallest and the largest, as a share of the median.
inline double spread(const std::vector<double>& values) {
    const auto [smallest, largest] = std::ranges::minmax_element(values);
    return *largest > *smallest ? (*largest - *smallest) / 2 / median(values) : 0;
}

}  // namespace causeway::bench
