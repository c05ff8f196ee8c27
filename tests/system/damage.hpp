// SPDX-License-Identifier: Apache-2.0
// What may befall a packet before it reaches a translator: to be wrong in one place, or to come in pieces.
#pragma once

#include <string>
#include <vector>

#include "tests/support/packet.hpp"

namespace causeway::test {

struct Damage {
    enum class Kind {
        ip_checksum,
        checksum_within,
        ip_version,
        header_too_short,
        header_too_long,
        total_too_long,
        cut_within_headers,
        reserved_flag,
        link_padding,
    };
    static constexpr std::size_t kinds = 9;

    Kind kind;
    std::uint8_t noise;  // how much of it; not 0
};

struct Cut {
    enum class Fate { whole, twice, lost, overlap };  // of one of the pieces

    std::size_t size;
    Fate fate;
    bool shuffled;
    std::uint64_t seed;  // of the order
};

std::string in_words(const Damage& damage);
std::string in_words(const Cut& cut);

// The IP checksum is made right again unless that is what is damaged.
void spoil(Bytes& frame, const Damage& damage);
// The same frame where it is too small for two pieces.
std::vector<Bytes> pieces_of(const Bytes& frame, const Cut& cut);

}  // namespace causeway::test
