// SPDX-License-Identifier: Apache-2.0
// Datagrams in pieces and whole again (RFC 791, section 3.2; RFC 8200, section 4.5), as a sender and a receiver do it.
#pragma once

#include <optional>
#include <vector>

#include "tests/support/packet.hpp"

namespace causeway::test {

inline constexpr std::size_t piece_size = 800;

// The same datagram in fragments of so many bytes (a multiple of 8) of the IP payload, all with its IP options or
// hop-by-hop header. A packet of IPv6 that is whole has no identification: this one, or another for each packet.
std::vector<Bytes> pieces_of(const Bytes& frame, std::size_t size = piece_size,
                             std::optional<std::uint32_t> identification = {});

// What a receiver makes of these frames, in the order in which they come: whole datagrams. Fragments belong together by
// addresses, identification and, with IPv4, protocol until they are complete; of two for one place the first is taken,
// and a datagram of which two overlap otherwise never is complete. left: where given, gets the fragments of what is not
// complete.
std::vector<Bytes> reassembled(const std::vector<Bytes>& frames, std::vector<Bytes>* left = nullptr);

}  // namespace causeway::test
