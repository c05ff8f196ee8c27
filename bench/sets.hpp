// SPDX-License-Identifier: Apache-2.0
// Which columns are shown beside each other, and which of them are compared.
#pragma once

#include <string>
#include <vector>

#include "bench/figure.hpp"
#include "bench/results.hpp"

namespace causeway::bench {

struct Comparison {
    std::string of, to;  // columns
};

// The columns of one name (Column::set), behind those of other sets that they are compared with.
struct Set {
    std::string text;
    std::vector<Column> columns;
    std::vector<Comparison> comparisons;

    bool has(const Record& record, const Figure& figure) const;  // in a column that is of this set by its name
};

// In the order of their first columns.
std::vector<Set> sets_of(const Record& record);

// "÷ wire"; with the other side too where the set has several: "tcx ÷ causeway".
std::string text_of(const Comparison& comparison, const Set& set);

// "0.78 ±3%"; with a "!" behind it where attempts failed on either side; "–" where there is none.
std::string ratio_text(const Record& record, const Figure& figure, const Comparison& comparison);

// "causeway is 1.02 ±1% × wire, 0.78 ±3% × bridge"; empty where it can't be said.
std::string sentence(const Record& record, const Figure& figure, const Set& set);

}  // namespace causeway::bench
