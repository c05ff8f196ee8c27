// SPDX-License-Identifier: Apache-2.0
// What unit tests say of an expected value: that it is there, or how it failed.
#pragma once

#include <gtest/gtest.h>

#include <expected>
#include <initializer_list>
#include <string>
#include <string_view>

#include "userspace/error.hpp"

namespace causeway::test {

template <typename Value>
testing::AssertionResult succeeds(const std::expected<Value, Error>& result) {
    if (result) {
        return testing::AssertionSuccess();
    }
    return testing::AssertionFailure() << "failed with " << static_cast<int>(result.error().code) << ": "
                                       << result.error().message;
}

// It failed with this code, and its message has each of the words.
template <typename Value>
testing::AssertionResult fails_with(const std::expected<Value, Error>& result, Code code,
                                    std::initializer_list<std::string_view> words = {}) {
    if (result) {
        return testing::AssertionFailure() << "succeeded";
    }
    const auto& [got, message, details, number] = result.error();
    if (got != code) {
        return testing::AssertionFailure()
               << "failed with " << static_cast<int>(got) << " and not " << static_cast<int>(code) << ": " << message;
    }
    for (const auto word : words) {
        if (!message.contains(word)) {
            return testing::AssertionFailure() << "says nothing of " << word << ": " << message;
        }
    }
    return testing::AssertionSuccess();
}

// Rows of tables have a member `name`, which becomes the last part of the test's name.
inline constexpr auto name_of_row = [](const auto& info) { return std::string(info.param.name); };

}  // namespace causeway::test
