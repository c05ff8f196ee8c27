// SPDX-License-Identifier: Apache-2.0
#include "tests/system/damage.hpp"

#include <algorithm>
#include <random>

#include "tests/support/packet_bytes.hpp"
#include "tests/system/datagram.hpp"
#include "tests/system/layout.hpp"
#include "tests/system/mixed_flow.hpp"

namespace causeway::test {
namespace {

void set_ip_checksum(Bytes& frame) {
    set16(frame, 24, 0);
    const auto size = std::min<std::size_t>(std::size_t{frame[14]} % 16 * 4, frame.size() - 14);
    set16(frame, 24, checksum_of({frame.begin() + 14, frame.begin() + 14 + static_cast<std::ptrdiff_t>(size)}));
}

// Makes it wrong by as much, whatever it is; one that says that there is none stays.
void add_to_checksum(Bytes& frame, const Layout& layout, unsigned much) {
    const auto at = layout.transport + (layout.protocol == tcp_number ? 16 : layout.protocol == icmp_number ? 2 : 6);
    if (at + 2 > frame.size() || get16(frame, at) == 0) {
        return;
    }
    set16(frame, at, (get16(frame, at) + much) % 0xffff);
}

void set_length_to_size(Bytes& frame, const Layout& layout) {
    if (layout.family == Family::ipv6) {
        set16(frame, layout.begin + 4, static_cast<unsigned>(frame.size() - layout.begin - ipv6_size));
    } else {
        set16(frame, layout.begin + 2, static_cast<unsigned>(frame.size() - layout.begin));
    }
}

void cut_within_headers(Bytes& frame, const Layout& layout, std::uint8_t noise) {
    if (layout.protocol == gre_number) {
        return;  // how much of it there must be is a matter of opinion
    }
    frame.resize(std::min(frame.size(), layout.transport + (noise % 2 ? 0 : 4U + noise % 4)));  // no half ports
    set_length_to_size(frame, layout);
}

void spoil_ipv4(Bytes& frame, const Layout& layout, const Damage& damage) {
    switch (damage.kind) {
        case Damage::Kind::ip_checksum:
            frame[24] ^= damage.noise;
            return;
        case Damage::Kind::ip_version:
            frame[14] = static_cast<std::uint8_t>(0x60 | frame[14] % 16);
            break;
        case Damage::Kind::header_too_short:
            frame[14] = static_cast<std::uint8_t>(0x40 | damage.noise % 5);
            break;
        case Damage::Kind::header_too_long:
            frame.resize(std::min<std::size_t>(frame.size(), 70));  // which the header's 60 bytes would outrun
            frame[14] = 0x4f;
            set_length_to_size(frame, layout);
            break;
        case Damage::Kind::total_too_long:
            frame[16] = 0x7f;
            break;
        case Damage::Kind::cut_within_headers:
            cut_within_headers(frame, layout, damage.noise);
            break;
        default:
            frame[20] |= 0x80;
            break;
    }
    set_ip_checksum(frame);
}

// What there is not in IPv6 falls on its flow label and its traffic class, which nobody may touch.
void spoil_ipv6(Bytes& frame, const Layout& layout, const Damage& damage) {
    switch (damage.kind) {
        case Damage::Kind::ip_version:
            frame[14] = static_cast<std::uint8_t>(0x40 | frame[14] % 16);
            return;
        case Damage::Kind::header_too_short:  // where an extension header would begin, there is half of one
            frame.resize(std::min(frame.size(), layout.payload + 4));
            frame[layout.next] = destination_options;
            set_length_to_size(frame, layout);
            return;
        case Damage::Kind::header_too_long:
            frame.resize(std::min(frame.size(), layout.payload + 16));
            frame[layout.next] = destination_options;
            if (frame.size() > layout.payload + 1) {
                frame[layout.payload + 1] = damage.noise | 2;
            }
            set_length_to_size(frame, layout);
            return;
        case Damage::Kind::total_too_long:
            frame[18] = 0x7f;
            return;
        case Damage::Kind::cut_within_headers:
            cut_within_headers(frame, layout, damage.noise);
            return;
        case Damage::Kind::reserved_flag:
            frame[15] ^= static_cast<std::uint8_t>(damage.noise << 4);
            return;
        default:
            frame[17] ^= damage.noise;
            return;
    }
}

}  // namespace

std::string in_words(const Damage& damage) {
    switch (damage.kind) {
        case Damage::Kind::ip_checksum:
            return "wrong IP checksum";
        case Damage::Kind::checksum_within:
            return "wrong checksum within";
        case Damage::Kind::ip_version:
            return "IP version of the other family";
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
    const auto layout = layout_of_frame(frame).value();
    if (damage.kind == Damage::Kind::checksum_within) {
        add_to_checksum(frame, layout, damage.noise);
    } else if (damage.kind == Damage::Kind::link_padding) {
        frame.resize(frame.size() + damage.noise);
    } else if (layout.family == Family::ipv6) {
        spoil_ipv6(frame, layout, damage);
    } else {
        spoil_ipv4(frame, layout, damage);
    }
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
