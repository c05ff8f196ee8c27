// SPDX-License-Identifier: Apache-2.0
// What the sender of a dropped packet is told, by the standards and not by the programs.
#pragma once

#include <causeway/abi.h>

#include <cstdint>
#include <optional>

#include "tests/datapath/loaded_datapath.hpp"
#include "tests/support/packet.hpp"

namespace causeway::test {

// What only the route knows.
struct RouteAnswer {
    std::uint16_t mtu = 1500;          // with DROP_TOO_BIG
    std::optional<std::uint8_t> code;  // of "unreachable", with DROP_NO_ROUTE; nothing: a blackhole
};

// The frame that the packet becomes; nothing: no answer is due, and the packet is just dropped.
std::optional<Bytes> expected_answer(Program program, const Bytes& packet, enum verdict verdict,
                                     const RouteAnswer& route);

}  // namespace causeway::test
