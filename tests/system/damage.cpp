// SPDX-License-Identifier: Apache-2.0
#include "tests/system/damage.hpp"

#include <algorithm>
#include <random>

#include "tests/system/datagram.hpp"
#include "tests/system/mixed_flow.hpp"

namespace causeway::test {
namespace {

void set_ip_checksum(Bytes& frame) {
    frame[24] = frame[25] = 0;
    const auto size = std::min<std::size_t>(std::size_t{frame[14]} % 16 * 4, frame.size() - 14);
    const auto sum = checksum_of({frame.begin() + 14, frame.begin() + 14 + static_cast<std::ptrdiff_t>(size)});
    frame[24] = static_cast<std::uint8_t>(sum >> 8);
    frame[25] = static_cast<std::uint8_t>(sum);
}

// Makes it wrong by as much, whatever it is; one that says that there is none stays.
void add_to_checksum(Bytes& frame, std::size_t transport, unsigned much) {
    const auto at = transport + (frame[23] == tcp_number ? 16 : frame[23] == icmp_number ? 2 : 6);
    if (at + 2 > frame.size() || (frame[at] == 0 && frame[at + 1] == 0)) {
        return;
    }
    const unsigned sum = (static_cast<unsigned>(frame[at] << 8 | frame[at + 1]) + much) % 0xffff;
    frame[at] = static_cast<std::uint8_t>(sum >> 8);
    frame[at + 1] = static_cast<std::uint8_t>(sum);
}

void set_total_to_size(Bytes& frame) {
    frame[16] = static_cast<std::uint8_t>((frame.size() - 14) >> 8);
    frame[17] = static_cast<std::uint8_t>(frame.size() - 14);
}

}  // namespace

std::string in_words(const Damage& damage) {
    switch (damage.kind) {
        case Damage::Kind::ip_checksum:
            return "wrong IP checksum";
        case Damage::Kind::checksum_within:
            return "wrong checksum within";
        case Damage::Kind::ip_version:
            return "IP version 6";
        case Damage::Kind::header_too_short:
            return "IP header too short";
        case Damage::Kind::header_too_long:
            return "IP header too long";
        case Damage::Kind::total_too_long:
            return "IP total too long";
        case Damage::Kind::cut_within_headers:
            return "cut within headers";
        case Damage::Kind::reserved_flag:
            return "reserved IP flag";
        default:
            return "link padding";
    }
}

std::string in_words(const Cut& cut) {
    const char* fate = cut.fate == Cut::Fate::twice     ? ", one twice"
                       : cut.fate == Cut::Fate::lost    ? ", one lost"
                       : cut.fate == Cut::Fate::overlap ? ", one laid over another"
                                                        : "";
    return "in fragments of " + std::to_string(cut.size) + (cut.shuffled ? " in any order" : "") + fate;
}

void spoil(Bytes& frame, const Damage& damage) {
    const std::size_t transport = 14 + std::size_t{frame[14]} % 16 * 4;
    const auto noise = damage.noise;
    switch (damage.kind) {
        case Damage::Kind::ip_checksum:
            frame[24] ^= noise;
            return;
        case Damage::Kind::checksum_within:
            add_to_checksum(frame, transport, noise);
            return;
        case Damage::Kind::link_padding:
            frame.resize(frame.size() + noise);
            return;
        case Damage::Kind::ip_version:
            frame[14] = static_cast<std::uint8_t>(0x60 | frame[14] % 16);
            break;
        case Damage::Kind::header_too_short:
            frame[14] = static_cast<std::uint8_t>(0x40 | noise % 5);
            break;
        case Damage::Kind::header_too_long:
            frame.resize(std::min<std::size_t>(frame.size(), 70));  // which the header's 60 bytes would outrun
            frame[14] = 0x4f;
            set_total_to_size(frame);
            break;
        case Damage::Kind::total_too_long:
            frame[16] = 0x7f;
            break;
        case Damage::Kind::cut_within_headers:
            if (frame[23] == gre_number) {
                return;  // how much of it there must be is a matter of opinion
            }
            frame.resize(std::min(frame.size(), transport + (noise % 2 ? 0 : 4 + noise % 4)));  // no half ports
            set_total_to_size(frame);
            break;
        case Damage::Kind::reserved_flag:
            frame[20] |= 0x80;
            break;
    }
    set_ip_checksum(frame);
}

std::vector<Bytes> pieces_of(const Bytes& frame, const Cut& cut) {
    constexpr std::size_t pieces_at_most = 40;
    std::mt19937_64 random(cut.seed);
    auto pieces = pieces_of(frame, std::max(cut.size, (frame.size() / pieces_at_most + 7) / 8 * 8));
    if (pieces.size() < 2) {
        return {frame};
    }
    const auto some = static_cast<std::ptrdiff_t>(random() % pieces.size());
    if (cut.fate == Cut::Fate::lost) {
        pieces.erase(pieces.begin() + some);
    } else if (cut.fate == Cut::Fate::twice) {
        pieces.push_back(Bytes(pieces[static_cast<std::size_t>(some)]));
    } else if (cut.fate == Cut::Fate::overlap) {
        auto over = pieces[static_cast<std::size_t>(some)];
        over.back() ^= 0xff;
        pieces.insert(pieces.begin() + static_cast<std::ptrdiff_t>(random() % (static_cast<std::size_t>(some) + 1)),
                      over);
    }
    for (std::size_t i = pieces.size(); cut.shuffled && i > 1; --i) {
        std::swap(pieces[i - 1], pieces[random() % i]);
    }
    return pieces;
}

}  // namespace causeway::test
