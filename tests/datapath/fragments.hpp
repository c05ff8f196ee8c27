// SPDX-License-Identifier: Apache-2.0
// A whole packet cut into fragments: by a router (RFC 791, section 3.2), or by its sender (RFC 8200, section 4.5).
#pragma once

#include <cstdint>
#include <vector>

#include "tests/support/packet.hpp"

namespace causeway::test {

// The frames that carry whole's packet, each with so many bytes behind its IP header; a multiple of 8. Of whole's IP
// header, addresses, protocol, TTL and identification (of IPv4) count.
std::vector<Frame> fragments_of(const Frame& whole, std::size_t size);

// The same under another identification.
std::vector<Frame> fragments_of(const Frame& whole, std::size_t size, std::uint16_t identification);

}  // namespace causeway::test
