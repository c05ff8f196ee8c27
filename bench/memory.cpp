// SPDX-License-Identifier: Apache-2.0
#include "bench/memory.hpp"

#include <fstream>
#include <map>
#include <string>

namespace causeway::bench {

double memory_in_use() {
    std::ifstream file("/proc/meminfo");
    std::map<std::string, double> kibibytes;
    std::string name, unit;
    for (double value = 0; file >> name >> value; std::getline(file, unit)) {
        kibibytes[name] = value;
    }
    return 1024 * (kibibytes["MemTotal:"] - kibibytes["MemFree:"] - kibibytes["Buffers:"] - kibibytes["Cached:"]);
}

}  // namespace causeway::bench
