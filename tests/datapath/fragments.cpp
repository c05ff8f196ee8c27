// SPDX-License-Identifier: Apache-2.0
// Slices the bytes of a frame, so that the checksums in them stay those of the whole.
#include "tests/datapath/fragments.hpp"

#include <algorithm>
#include <string>

namespace causeway::test {
namespace {

constexpr std::size_t ethernet_size = 14, ip_size = 20;

std::uint16_t number(const Bytes& bytes, std::size_t offset) {
    return static_cast<std::uint16_t>(bytes[offset] << 8 | bytes[offset + 1]);
}

Ip address(const Bytes& bytes, std::size_t offset) {
    return {static_cast<std::uint32_t>(number(bytes, offset)) << 16 | number(bytes, offset + 2)};
}

}  // namespace

std::vector<Frame> fragments_of(const Frame& whole, std::size_t size) {
    return fragments_of(whole, size, number(whole.bytes(), ethernet_size + 4));
}

std::vector<Frame> fragments_of(const Frame& whole, std::size_t size, std::uint16_t identification) {
    const Bytes bytes = whole.bytes();
    Ethernet ethernet;
    std::copy_n(bytes.begin(), 6, ethernet.destination.bytes.begin());
    std::copy_n(bytes.begin() + 6, 6, ethernet.source.bytes.begin());
    const std::string text(bytes.begin() + ethernet_size + ip_size, bytes.end());
    std::vector<Frame> frames;
    for (std::size_t offset = 0; offset < text.size(); offset += size) {
        const IPv4 ip{.source = address(bytes, ethernet_size + 12),
                      .destination = address(bytes, ethernet_size + 16),
                      .ttl = bytes[ethernet_size + 8],
                      .protocol = bytes[ethernet_size + 9],
                      .identification = identification,
                      .dont_fragment = false,
                      .more_fragments = offset + size < text.size(),
                      .fragment_offset = static_cast<std::uint16_t>(offset / 8)};
        frames.push_back(ethernet / ip / Payload{text.substr(offset, size)});
    }
    return frames;
}

}  // namespace causeway::test
