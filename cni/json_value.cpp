// SPDX-License-Identifier: Apache-2.0
#include "cni/json_value.hpp"

#include <algorithm>
#include <cctype>

#include "cni/shown.hpp"

namespace causeway::cni {

std::string lower_case(std::string text) {
    std::ranges::transform(text, text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return text;
}

std::unexpected<Error> invalid(const std::string& key, const Json& value, const std::string& why) {
    const auto text = value.dump(-1, ' ', false, Json::error_handler_t::replace);  // CNI_ARGS may be no UTF-8
    return fail(Code::invalid_configuration, key + ": " + shown(text) + " " + why);
}

std::expected<std::optional<std::string>, Error> text_at(const Json& object, const std::string& key,
                                                         const std::string& prefix) {
    return optional_value<std::string>(object, key, &Json::is_string, "a string", prefix);
}

std::expected<std::vector<std::string>, Error> texts_at(const Json& object, const std::string& key,
                                                        const std::string& prefix) {
    std::vector<std::string> texts;
    const auto array = TRY(optional_value<Json>(object, key, &Json::is_array, "a list of strings", prefix));
    for (const auto& item : array.value_or(Json::array())) {
        if (!item.is_string()) {
            return invalid(prefix + key, *array, "is not a list of strings");
        }
        texts.push_back(item.get<std::string>());
    }
    return texts;
}

std::expected<std::optional<std::uint64_t>, Error> number_at(const Json& object, const std::string& key,
                                                             std::uint64_t min, std::uint64_t max,
                                                             const std::string& prefix) {
    const auto value = TRY(optional_value<Json>(object, key, &Json::is_number, "a number", prefix));
    if (!value) {
        return std::nullopt;
    }
    if (!value->is_number_unsigned() || value->get<std::uint64_t>() < min || value->get<std::uint64_t>() > max) {
        return invalid(prefix + key, *value,
                       "is not a whole number from " + std::to_string(min) + " to " + std::to_string(max));
    }
    return value->get<std::uint64_t>();
}

Json parse_json(std::string_view text) {
    constexpr int deepest = 64;
    bool too_deep = false;
    const auto note_depth = [&](int depth, Json::parse_event_t, Json&) {
        too_deep |= depth > deepest;
        return !too_deep;
    };
    auto json = Json::parse(text, note_depth, false);
    return too_deep ? Json(Json::value_t::discarded) : json;
}

}  // namespace causeway::cni
