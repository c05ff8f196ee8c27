// SPDX-License-Identifier: Apache-2.0
// Charts as inline SVG, 360 units wide: as wide as a phone's screen, so that their text is never smaller than the
// page's.
//
// Colours are the page's: series-0, series-1 and so on by the column's place in the record.
#pragma once

#include <string>
#include <vector>

#include "bench/figure.hpp"
#include "bench/results.hpp"

namespace causeway::bench {

// A bar for each column that was measured: as long as its median, with a line from its smallest to its largest round.
std::string bar_chart(const Record& record, const Figure& figure);

// A line for each column, through its medians at each size; sizes on a logarithmic axis.
std::string line_chart(const Record& record, const Line& line);

// 0 and up to five more round numbers, evenly spaced, the last not below `largest`, which is above 0.
std::vector<double> ticks(double largest);

}  // namespace causeway::bench
