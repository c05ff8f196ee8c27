// SPDX-License-Identifier: Apache-2.0
// What a VMM is to its guest: the file behind a tap of the node.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "tests/support/packet.hpp"
#include "tests/system/socket.hpp"

namespace causeway::test {

class Guest {
public:
    explicit Guest(const std::string& tap);  // which is there already

    void send(const Frame& frame);
    // The first that is wanted, of those that come to it.
    std::optional<Bytes> next(const std::function<bool(const Bytes&)>& wanted,
                              std::chrono::milliseconds time = patience);

private:
    Socket socket_;
};

}  // namespace causeway::test
