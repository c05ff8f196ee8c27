// SPDX-License-Identifier: Apache-2.0
#include "tests/system/datagram.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <string_view>

#include "tests/support/packet_bytes.hpp"
#include "tests/system/layout.hpp"

namespace causeway::test {
namespace {

// Gives an IP header its length and, with IPv4, a place and the checksum that goes with them.
void set_header(Bytes& frame, const Layout& layout, unsigned flags_and_offset) {
    const auto ip = layout.begin;
    if (layout.family == Family::ipv6) {
        set16(frame, ip + 4, static_cast<unsigned>(frame.size() - ip - ipv6_size));
        return;
    }
    set16(frame, ip + 2, static_cast<unsigned>(frame.size() - ip));
    set16(frame, ip + 6, flags_and_offset);
    set16(frame, ip + 10, 0);
    const auto first = frame.begin() + static_cast<std::ptrdiff_t>(ip);
    set16(frame, ip + 10, checksum_of({first, frame.begin() + static_cast<std::ptrdiff_t>(layout.payload)}));
}

std::uint32_t identification_of(const Bytes& frame) {
    const std::string_view bytes(reinterpret_cast<const char*>(frame.data()), frame.size());
    return static_cast<std::uint32_t>(std::hash<std::string_view>{}(bytes));
}

struct Piece {
    Bytes frame;
    Layout layout;
    std::size_t begin, end;  // of what was cut
    bool last;

    Piece(const Bytes& from, const Layout& where)
        : frame(from),
          layout(where),
          begin(where.fragment_offset),
          end(begin + where.end - first_byte()),
          last(!where.more_fragments) {}
    std::size_t first_byte() const {
        return layout.family == Family::ipv6 ? layout.fragment_header + fragment_header_size : layout.payload;
    }
    Bytes payload() const {
        const auto first = frame.begin() + static_cast<std::ptrdiff_t>(first_byte());
        return {first, first + static_cast<std::ptrdiff_t>(end - begin)};
    }
};

// Fragments of one datagram, as they come.
class Waiting {
public:
    // Returns the datagram with its last missing fragment.
    std::optional<Bytes> add(Piece piece) {
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
        const auto& first = pieces_.front();
        const bool ipv6 = first.layout.family == Family::ipv6;
        const auto headers = ipv6 ? first.layout.fragment_header : first.layout.payload;
        Bytes datagram(first.frame.begin(), first.frame.begin() + static_cast<std::ptrdiff_t>(headers));
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
        if (ipv6) {
            datagram[first.layout.before_fragment_header] = first.frame[first.layout.fragment_header];
        }
        set_header(datagram, first.layout, 0);
        return datagram;
    }

    std::vector<Piece> pieces_;
    bool broken_ = false;
};

// Addresses and identification, and with IPv4 the protocol.
Bytes key_of(const Bytes& frame, const Layout& layout) {
    const auto at = [&](std::size_t offset) { return frame.begin() + static_cast<std::ptrdiff_t>(offset); };
    Bytes key(at(layout.source()), at(layout.source() + 2 * layout.address_size()));
    if (layout.family == Family::ipv6) {
        key.insert(key.end(), at(layout.fragment_header + 4), at(layout.fragment_header + fragment_header_size));
    } else {
        key.insert(key.end(), {layout.protocol, frame[layout.begin + 4], frame[layout.begin + 5]});
    }
    return key;
}

}  // namespace

std::vector<Bytes> pieces_of(const Bytes& frame, std::size_t size, std::optional<std::uint32_t> identification) {
    std::vector<Bytes> pieces;
    const auto layout = layout_of_frame(frame).value();
    const auto payload = frame.begin() + static_cast<std::ptrdiff_t>(layout.payload);
    const auto length = frame.size() - layout.payload;
    const auto of_ipv6 = identification.value_or(identification_of(frame));
    for (std::size_t offset = 0; offset < length; offset += size) {
        const unsigned more = length - offset > size ? 1 : 0;
        Bytes piece(frame.begin(), payload);
        if (layout.family == Family::ipv6) {
            put8(piece, piece[layout.next]);
            put8(piece, 0);
            put16(piece, static_cast<unsigned>(offset) | more);
            put32(piece, of_ipv6);
            piece[layout.next] = fragment_header;
        }
        const auto first = payload + static_cast<std::ptrdiff_t>(offset);
        piece.insert(piece.end(), first, first + static_cast<std::ptrdiff_t>(std::min(length - offset, size)));
        set_header(piece, layout, more << 13 | static_cast<unsigned>(offset / 8));
        pieces.push_back(piece);
    }
    return pieces;
}

std::vector<Bytes> reassembled(const std::vector<Bytes>& frames, std::vector<Bytes>* left) {
    std::map<Bytes, Waiting> waiting;
    std::vector<Bytes> datagrams;
    for (const auto& frame : frames) {
        const auto layout = layout_of_frame(frame);
        if (!layout || !layout->fragment) {
            datagrams.push_back(frame);
            continue;
        }
        const auto key = key_of(frame, *layout);
        if (auto datagram = waiting[key].add(Piece(frame, *layout))) {
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
