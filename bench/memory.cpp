// SPDX-License-Identifier: Apache-2.0
#include "bench/memory.hpp"

#include <fstream>
#include <map>
#include <string>

namespace causeway::bench {

// Not MemFree: what other programs ask for meanwhile is more than a thousand flows take.
double kernel_memory() {
    std::ifstream file("/proc/meminfo");
    std::map<std::string, double> kibibytes;
    std::string name, unit;
    for (double value = 0; file >> name >> value; std::getline(file, unit)) {
        kibibytes[name] = value;
    }
    return 1024 * (kibibytes["Slab:"] + kibibytes["Percpu:"] + kibibytes["VmallocUsed:"]);
}

}  // namespace causeway::bench
