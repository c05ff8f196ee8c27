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

// Fragments of one datagram, as they come.
class Waiting {
public:
    // Returns the datagram with its last missing fragment.
    std::optional<Bytes> add(const Bytes& frame) {
        Piece piece(frame);
        const auto same = [&](const Piece& other) { return other.begin == piece.begin && other.end == piece.end; };
        const auto over = [&](const Piece& other) { return other.begin < piece.end && piece.begin < other.end; };
        if (broken_ || std::ranges::any_of(pieces_, same)) {
            return std::nullopt;
        }
        broken_ = std::ranges::any_of(pieces_, over);
        pieces_.push_back(std::move(piece));
        std::ranges::sort(pieces_, {}, &Piece::begin);
        return broken_ ? std::nullopt : whole();
    }
    const std::vector<Piece>& pieces() const { return pieces_; }

private:
    std::optional<Bytes> whole() const {
        const auto& first = pieces_.front().frame;
        Bytes datagram(first.begin(), first.begin() + static_cast<std::ptrdiff_t>(ethernet_size + header_size(first)));
        std::size_t end = 0;
        for (const auto& piece : pieces_) {
            if (piece.begin != end) {
                return std::nullopt;
            }
            const auto payload = piece.payload();
            datagram.insert(datagram.end(), payload.begin(), payload.end());
            end = piece.end;
        }
        if (!pieces_.back().last) {
            return std::nullopt;
        }
        set_header(datagram, 0);
        return datagram;
    }

    std::vector<Piece> pieces_;
    bool broken_ = false;
};

bool is_fragment(const Bytes& frame) {
    return frame.size() >= ethernet_size + ipv4_size && (read16(frame, 20) & (more_fragments | offset_mask)) != 0;
}

}  // namespace

std::vector<Bytes> pieces_of(const Bytes& frame, std::size_t size) {
    std::vector<Bytes> pieces;
    const auto headers = ethernet_size + header_size(frame);
    const auto payload = frame.begin() + static_cast<std::ptrdiff_t>(headers);
    const auto length = frame.size() - headers;
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
    std::map<Bytes, Waiting> waiting;
    std::vector<Bytes> datagrams;
    for (const auto& frame : frames) {
        if (!is_fragment(frame)) {
            datagrams.push_back(frame);
            continue;
        }
        Bytes key(frame.begin() + 26, frame.begin() + 34);
        key.insert(key.end(), {frame[23], frame[18], frame[19]});
        if (auto datagram = waiting[key].add(frame)) {
            datagrams.push_back(*datagram);
            waiting.erase(key);
        }
    }
    for (const auto& [key, datagram] : waiting) {
        for (const auto& piece : datagram.pieces()) {
            if (left) {
                left->push_back(piece.frame);
            }
        }
    }
    return datagrams;
}

}  // namespace causeway::test
