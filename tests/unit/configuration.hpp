// SPDX-License-Identifier: Apache-2.0
// The documentation's example configuration, and that with one thing changed.
#pragma once

#include <ostream>
#include <string>
#include <utility>

#include "cni/net_conf.hpp"
#include "tests/unit/expectation.hpp"

namespace causeway::cni::test {

using causeway::test::fails_with;
using causeway::test::name_of_row;
using causeway::test::succeeds;

inline Json example() {
    return Json::parse(R"({
        "cniVersion": "1.1.0", "name": "sandboxes", "type": "causeway",
        "device": "cw0", "mtu": 1500, "ipMasq": true, "uplinks": ["eth0"],
        "ipam": {"type": "causeway", "ranges": [[{"subnet": "10.0.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}
    })");
}

// The example with the value at a JSON pointer (RFC 6901) set, or with what is there taken away.
inline Json example_with(const std::string& pointer, Json value) {
    Json conf = example();
    conf[Json::json_pointer(pointer)] = std::move(value);
    return conf;
}

inline Json example_without(const std::string& pointer) {
    Json conf = example();
    const Json::json_pointer at(pointer);
    conf[at.parent_pointer()].erase(at.back());
    return conf;
}

inline std::expected<NetConf, Error> read(const Json& conf) {
    return read_net_conf(conf.dump());
}

// A value that a key can't have: the message names the key, and the value as it was given.
struct Refused {
    const char* name;
    std::string pointer;
    Json value;
    std::string key;     // as the message names it
    std::string said{};  // what of the value the message has; the whole value where it is empty
};

inline void PrintTo(const Refused& row, std::ostream* out) {
    *out << row.pointer << " = " << row.value;
}

inline void expect_refused(const Refused& row) {
    EXPECT_TRUE(fails_with(read(example_with(row.pointer, row.value)), Code::invalid_configuration,
                           {row.key + ": ", row.said.empty() ? row.value.dump() : row.said}));
}

}  // namespace causeway::cni::test
