// SPDX-License-Identifier: Apache-2.0
// What went wrong, in words that a person can act on. Layer 0.
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace causeway {

// The codes of a CNI error result: the specification's (CNI 1.1.0, "Error"), and from 100 on causeway's own.
enum class Code : int {
    incompatible_version = 1,
    unsupported_field = 2,
    unknown_container = 3,
    invalid_environment = 4,
    io_failure = 5,
    decode_failure = 6,
    invalid_configuration = 7,
    invalid_namespace = 8,
    try_again_later = 11,
    unavailable = 50,
    unavailable_limited = 51,
    kernel = 100,        // the kernel refused a step
    exhausted = 101,     // no address is free
    conflict = 102,      // what is to be made is there already
    check_failed = 103,  // CHECK found something missing or changed
};

struct Error {
    Code code;
    std::string message;    // which step, which object, the reason
    std::string details{};  // what to do about it, or more of the reason; may be empty
    int number = 0;         // positive errno where the kernel gave one
};

// "step: reason of number". The step names its object: "create the veth pair cw1a2b/eth0".
Error kernel_error(int number, std::string_view step, std::string_view details = {});

// The same with what errno says now.
Error errno_error(std::string_view step);

inline std::unexpected<Error> fail(Code code, std::string message, std::string details = {}) {
    return std::unexpected(Error{code, std::move(message), std::move(details)});
}

// None where the error is of that number: what was looked for is not there.
template <typename Value>
std::expected<std::optional<Value>, Error> none_where(int number, std::expected<Value, Error> found) {
    if (!found && found.error().number != number) {
        return std::unexpected(std::move(found).error());
    }
    return found ? std::optional<Value>(std::move(*found)) : std::nullopt;
}

}  // namespace causeway

// The value of an expected, or return its error from the enclosing function.
#define TRY(expression) CAUSEWAY_TRY(expression, CAUSEWAY_JOIN(causeway_result_, __COUNTER__))
#define CAUSEWAY_JOIN(a, b) CAUSEWAY_JOIN_EXPANDED(a, b)
#define CAUSEWAY_JOIN_EXPANDED(a, b) a##b
#define CAUSEWAY_TRY(expression, result)                       \
    ({                                                         \
        auto result = (expression);                            \
        if (!result) {                                         \
            return std::unexpected(std::move(result).error()); \
        }                                                      \
        std::move(result).value();                             \
    })
