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
        bool wide = false;   // for people only who ask for a wide table
    };

    explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

    // One value a column. JSON keeps its type; people see texts as they are and numbers as digits.
    void add(std::vector<nlohmann::ordered_json> row) { rows_.push_back(std::move(row)); }
    void print(bool as_json, bool wide = false) const;

private:
    std::vector<Column> columns_;
    std::vector<std::vector<nlohmann::ordered_json>> rows_;
};

// "-o table|json", and "--sandbox CONTAINER", the same everywhere.
void add_output_option(CLI::App& command, bool& as_json);
void add_sandbox_option(CLI::App& command, std::string& container);

}  // namespace causeway::ctl
