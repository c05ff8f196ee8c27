// SPDX-License-Identifier: Apache-2.0
// A list of how to undo what outlives the process, run in reverse unless the whole succeeds. Layer 0.
#pragma once

#include <expected>
#include <functional>
#include <utility>
#include <vector>

#include "userspace/error.hpp"

namespace causeway {

class Rollback {
public:
    using Undo = std::function<std::expected<void, Error>()>;

    Rollback() = default;
    Rollback(const Rollback&) = delete;
    Rollback& operator=(const Rollback&) = delete;
    ~Rollback() { undo(); }

    void on_failure(Undo undo) { steps_.push_back(std::move(undo)); }
    void commit() { steps_.clear(); }

    // Undoes all, last first, going on after a failure; the error with what could not be undone in its details.
    Error failed(Error error) {
        const std::string left = undo();
        if (!left.empty()) {
            error.details += (error.details.empty() ? "" : "; ") + ("not undone: " + left);
        }
        return error;
    }

private:
    std::string undo() {
        std::string failures;
        for (auto step = steps_.rbegin(); step != steps_.rend(); ++step) {
            if (auto result = (*step)(); !result) {
                failures += (failures.empty() ? "" : ", ") + result.error().message;
            }
        }
        steps_.clear();
        return failures;
    }

    std::vector<Undo> steps_;
};

}  // namespace causeway
