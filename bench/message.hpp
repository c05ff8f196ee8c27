// SPDX-License-Identifier: Apache-2.0
// Requests and their replies, over a connected socket.
#pragma once

#include <array>
#include <cstdint>

namespace causeway::bench {

using Message = std::array<char, 64>;

// Sends a request with that number and waits for its reply, the same bytes; false: none, or a wrong one. A late reply,
// to a request with a smaller number, is passed over.
bool exchange(int fd, std::uint64_t number);

// Answers until the stream ends.
void echo_stream(int fd);

}  // namespace causeway::bench
