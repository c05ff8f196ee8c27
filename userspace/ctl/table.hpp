// SPDX-License-Identifier: Apache-2.0
// One listing, as a table for people or as JSON for programs.
#pragma once

#include <CLI/CLI.hpp>

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace causeway::ctl {

class Table {
public:
    // One per column: what heads it, and its key in JSON.
    struct Column {
        std::string heading, key;
        bool right = false;  // numbers
    };

    explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

    // One value a column. JSON keeps its type; people see texts as they are and numbers as digits.
    void add(std::vector<nlohmann::ordered_json> row) { rows_.push_back(std::move(row)); }
    void print(bool as_json) const;

private:
    std::vector<Column> columns_;
    std::vector<std::vector<nlohmann::ordered_json>> rows_;
};

// "-o table|json", the same everywhere.
void add_output_option(CLI::App& command, bool& as_json);

}  // namespace causeway::ctl
