// SPDX-License-Identifier: Apache-2.0
// The two numbers that stand for many: their middle, and how far they lie around it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace causeway::bench {

// `values` is not empty; of an even number it is the upper of the two in the middle.
template <typename T>
T median(std::vector<T> values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

// Half the distance between the smallest and the largest, as a share of the median.
inline double spread(const std::vector<double>& values) {
    const auto [smallest, largest] = std::ranges::minmax_element(values);
    return *largest > *smallest ? (*largest - *smallest) / 2 / median(values) : 0;
}

}  // namespace causeway::bench
