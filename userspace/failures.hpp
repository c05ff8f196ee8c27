// SPDX-License-Identifier: Apache-2.0
// What went wrong in work that goes on after a failure: the first is the error, the others are in its details. Layer 0.
#pragma once

#include <expected>
#include <optional>
#include <string>

#include "userspace/error.hpp"

namespace causeway {

class Failures {
public:
    void note(const std::expected<void, Error>& result) {
        if (result) {
            return;
        }
        if (!first_) {
            first_ = result.error();
            return;
        }
        const auto& [code, message, details, number] = result.error();
        first_->details += (first_->details.empty() ? "" : "; ") + message + (details.empty() ? "" : "; ") + details;
    }
    std::expected<void, Error> result() const {
        return first_ ? std::expected<void, Error>(std::unexpected(*first_)) : std::expected<void, Error>();
    }
    bool none() const { return !first_; }

private:
    std::optional<Error> first_;
};

}  // namespace causeway
