// SPDX-License-Identifier: Apache-2.0
// What is on the host: to say of a step that it left nothing behind.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

namespace causeway::test {

// Links (and whether a bandwidth has its queue there), addresses, routes and rules of the node and of more namespaces
// (their rules of IPv4 alone); of the node also what is attached to its devices, their queues, pins and what lasts of
// the datapath's entries, mounts, names of namespaces, and which devices forward.
class Snapshot {
public:
    static Snapshot take(const std::vector<std::string>& namespaces = {});

    // Whether now is as then; shows each line that is gone or new.
    testing::AssertionResult holds() const;

    // The same, when what was killed may still be ending: waits for it, five seconds at most.
    testing::AssertionResult comes_back() const;

private:
    std::vector<std::string> namespaces_;
    std::map<std::string, std::string> parts_;
};

}  // namespace causeway::test
