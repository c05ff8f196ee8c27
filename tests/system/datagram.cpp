// SPDX-License-Identifier: Apache-2.0
#include "tests/system/datagram.hpp"

#include <algorithm>
#include <map>
#include <optional>

namespace causeway::test {
namespace {

constexpr std::size_t ethernet_size = 14, ipv4_size = 20;
constexpr unsigned more_fragments = 0x2000, offset_mask = 0x1fff;

unsigned read16(const Bytes& bytes, std::size_t offset) {
    return static_cast<unsigned>(bytes.at(offset) << 8 | bytes.at(offset + 1));
}

void write16(Bytes& bytes, std::size_t offset, std::size_t value) {
    bytes.at(offset) = static_cast<std::uint8_t>(value >> 8);
    bytes.at(offset + 1) = static_cast<std::uint8_t>(value);
}

std::size_t header_size(const Bytes& frame) {
    return std::size_t{frame.at(ethernet_size)} % 16 * 4;
}

// Gives the header a length and a place, and the checksum that goes with them.
void set_header(Bytes& frame, std::size_t flags_and_offset) {
    write16(frame, 16, frame.size() - ethernet_size);
    write16(frame, 20, flags_and_offset);
    write16(frame, 24, 0);
    const auto first = frame.begin() + ethernet_size;
    write16(frame, 24, checksum_of({first, first + static_cast<std::ptrdiff_t>(header_size(frame))}));
}

struct Piece {
    Bytes frame;
    std::size_t begin, end;  // of the IP payload
    bool last;

    explicit Piece(const Bytes& from)
        : frame(from),
          begin(std::size_t{read16(from, 20) & offset_mask} * 8),
          end(begin + read16(from, 16) - header_size(from)),
          last((read16(from, 20) & more_fragments) == 0) {}
    Bytes payload() const {
        const auto first = frame.begin() + static_cast<std::ptrdiff_t>(ethernet_size + header_size(frame));
        return {first, first + static_cast<std::ptrdiff_t>(end - begin)};
    }
};

std::optional<Bytes> whole(std::vector<Piece> pieces) {
    std::ranges::stable_sort(pieces, {}, &Piece::begin);
    const auto& first = pieces.front();
    Bytes payload;
    bool complete = false;
    for (const auto& piece : pieces) {
        const auto bytes = piece.payload();
        if (piece.begin > payload.size()) {
            return std::nullopt;
        }
        const auto known = std::min(payload.size() - piece.begin, bytes.size());
        if (!std::equal(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(known),
                        payload.begin() + static_cast<std::ptrdiff_t>(piece.begin))) {
            return std::nullopt;
        }
        payload.insert(payload.end(), bytes.begin() + static_cast<std::ptrdiff_t>(known), bytes.end());
        complete |= piece.last;
    }
    if (!complete) {
        return std::nullopt;
    }
    Bytes datagram(first.frame.begin(),
                   first.frame.begin() + static_cast<std::ptrdiff_t>(ethernet_size + header_size(first.frame)));
    datagram.insert(datagram.end(), payload.begin(), payload.end());
    set_header(datagram, 0);
    return datagram;
}

bool is_fragment(const Bytes& frame) {
    return frame.size() >= ethernet_size + ipv4_size && (read16(frame, 20) & (more_fragments | offset_mask)) != 0;
}

}  // namespace

std::vector<Bytes> pieces_of(const Bytes& frame, std::size_t size) {
    std::vector<Bytes> pieces;
    const auto payload = frame.begin() + ethernet_size + ipv4_size;
    const auto length = frame.size() - ethernet_size - ipv4_size;
    for (std::size_t offset = 0; offset < length; offset += size) {
        Bytes piece(frame.begin(), payload);
        const auto first = payload + static_cast<std::ptrdiff_t>(offset);
        piece.insert(piece.end(), first, first + static_cast<std::ptrdiff_t>(std::min(length - offset, size)));
        set_header(piece, (length - offset > size ? more_fragments : 0) | offset / 8);
        pieces.push_back(piece);
    }
    return pieces;
}

std::vector<Bytes> reassembled(const std::vector<Bytes>& frames, std::vector<Bytes>* left) {
    std::map<Bytes, std::vector<Piece>> waiting;
    std::vector<Bytes> datagrams;
    for (const auto& frame : frames) {
        if (!is_fragment(frame)) {
            datagrams.push_back(frame);
            continue;
        }
        Bytes key(frame.begin() + 26, frame.begin() + 34);
        key.insert(key.end(), {frame[23], frame[18], frame[19]});
        auto& pieces = waiting[key];
        pieces.emplace_back(frame);
        if (auto datagram = whole(pieces)) {
            datagrams.push_back(*datagram);
            waiting.erase(key);
        }
    }
    for (const auto& [key, pieces] : waiting) {
        for (const auto& piece : pieces) {
            if (left) {
                left->push_back(piece.frame);
            }
        }
    }
    return datagrams;
}

}  // namespace causeway::test
