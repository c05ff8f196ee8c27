// SPDX-License-Identifier: Apache-2.0
// Values of a JSON object by key and type; an error names the key and the value. Layer 0.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "userspace/error.hpp"

namespace causeway::cni {

using Json = nlohmann::json;

// A discarded value where it is not JSON, or nests deeper than any configuration or result does: what copies or
// prints a value goes as deep as it nests, on the stack.
Json parse_json(std::string_view text);

std::string lower_case(std::string text);

// Code::invalid_configuration: "key: value why".
std::unexpected<Error> invalid(const std::string& key, const Json& value, const std::string& why);

// The value of a key if it is there (and not null) and of the type; an error that names it if of another. prefix: where
// the object is, as in "ipam.".
template <typename Type>
std::expected<std::optional<Type>, Error> optional_value(const Json& object, const std::string& key,
                                                         bool (Json::*is)() const noexcept, const char* type,
                                                         const std::string& prefix = "") {
    const auto found = object.find(key);
    if (found == object.end() || found->is_null()) {
        return std::nullopt;
    }
    if (!((*found).*is)()) {
        return invalid(prefix + key, *found, std::string("is not ") + type);
    }
    return found->template get<Type>();
}

std::expected<std::optional<std::string>, Error> text_at(const Json& object, const std::string& key,
                                                         const std::string& prefix = "");

std::expected<std::vector<std::string>, Error> texts_at(const Json& object, const std::string& key,
                                                        const std::string& prefix = "");

// A whole number from min to max.
std::expected<std::optional<std::uint64_t>, Error> number_at(const Json& object, const std::string& key,
                                                             std::uint64_t min, std::uint64_t max,
                                                             const std::string& prefix = "");

}  // namespace causeway::cni
