// SPDX-License-Identifier: Apache-2.0
#include "userspace/ctl/table.hpp"

#include <algorithm>
#include <cstdio>

namespace causeway::ctl {

namespace {

std::string shown(const nlohmann::ordered_json& value) {
    return value.is_null() ? "-" : value.is_string() ? value.get<std::string>() : value.dump();
}

// Paths are bytes, which need not be text.
std::string text_of(const nlohmann::ordered_json& json) {
    constexpr int indent = 2;
    return json.dump(indent, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace

void Table::print(bool as_json, bool wide) const {
    if (as_json) {
        auto array = nlohmann::ordered_json::array();
        for (const auto& row : rows_) {
            auto object = nlohmann::ordered_json::object();
            for (std::size_t i = 0; i < columns_.size(); i++) {
                object[columns_[i].key] = row[i];
            }
            array.push_back(object);
        }
        std::printf("%s\n", text_of(array).c_str());
        return;
    }
    std::vector<std::size_t> widths;
    for (std::size_t i = 0; i < columns_.size(); i++) {
        widths.push_back(columns_[i].heading.size());
        for (const auto& row : rows_) {
            widths[i] = std::max(widths[i], shown(row[i]).size());
        }
    }
    const auto line = [&](const auto& cell) {
        std::string text;
        for (std::size_t i = 0; i < columns_.size(); i++) {
            if (columns_[i].wide && !wide) {
                continue;
            }
            const std::string value = cell(i);
            const std::string padding(widths[i] - value.size(), ' ');
            text += text.empty() ? "" : "  ";
            text += columns_[i].right ? padding + value : value + padding;
        }
        text.erase(text.find_last_not_of(' ') + 1);
        std::printf("%s\n", text.c_str());
    };
    line([&](std::size_t i) { return columns_[i].heading; });
    for (const auto& row : rows_) {
        line([&](std::size_t i) { return shown(row[i]); });
    }
}

void add_output_option(CLI::App& command, bool& as_json) {
    command
        .add_option_function<std::string>(
            "-o,--output", [&as_json](const std::string& format) { as_json = format == "json"; },
            "table for people (default), json for programs")
        ->check(CLI::IsMember({"table", "json"}));
}

void add_sandbox_option(CLI::App& command, std::string& container) {
    command.add_option("--sandbox", container, "only of this container")->check([](const std::string& value) {
        return value.empty() ? "an empty value chooses nothing" : "";
    });
}

}  // namespace causeway::ctl
