// SPDX-License-Identifier: Apache-2.0
// What the sender of a dropped packet is told, by the standards and not by the programs.
#pragma once

#include <causeway/abi.h>

#include <cstdint>
#include <optional>

#include "tests/datapath/loaded_datapath.hpp"
#include "tests/support/packet.hpp"

namespace causeway::test {

// What only the route knows, or the parser.
struct RouteAnswer {
    std::uint16_t mtu = 1500;          // with DROP_TOO_BIG
    std::optional<std::uint8_t> code;  // of IPv4's "unreachable", with DROP_NO_ROUTE; nothing: a blackhole
    std::uint8_t problem = 0;          // code of the parameter problem, with DROP_EXTENSION_HEADER
    std::uint32_t pointer = 0;         // to what is wrong, likewise
};

// The frame that the packet becomes; nothing: no answer is due, and the packet is just dropped.
std::optional<Bytes> expected_answer(Program program, const Bytes& packet, enum verdict verdict,
                                     const RouteAnswer& route);

}  // namespace causeway::test
