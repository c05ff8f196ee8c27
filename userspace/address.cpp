// SPDX-License-Identifier: Apache-2.0
#include "userspace/address.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <limits>
#include <utility>

namespace causeway {

namespace {

constexpr std::array<std::uint8_t, 12> mapped_ipv4{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

std::unexpected<Error> malformed(std::string_view what, std::string_view text) {
    return fail(Code::invalid_configuration, "\"" + std::string(text) + "\" is not " + std::string(what));
}

}  // namespace

Address::Address(const address& raw) {
    std::memcpy(bytes_.data(), &raw, sizeof(raw));
}

Address Address::of_ipv4(std::uint32_t host_order) {
    Address address;
    std::ranges::copy(mapped_ipv4, address.bytes_.begin());
    const std::uint32_t network_order = htonl(host_order);
    std::memcpy(&address.bytes_[12], &network_order, sizeof(network_order));
    return address;
}

std::expected<Address, Error> Address::parse(std::string_view text) {
    const std::string copy(text);
    if (copy.contains('\0')) {  // where inet_pton would stop reading
        return malformed("an IP address", text);
    }
    in_addr ipv4{};
    if (inet_pton(AF_INET, copy.c_str(), &ipv4) == 1) {
        return of_ipv4(ntohl(ipv4.s_addr));
    }
    Address address;
    if (inet_pton(AF_INET6, copy.c_str(), address.bytes_.data()) == 1) {
        return address;
    }
    return malformed("an IP address", text);
}

Address Address::link_local_of(const Mac& mac) {
    Address address;
    address.bytes_ = {0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe};
    std::copy_n(mac.bytes.begin(), 3, &address.bytes_[8]);
    std::copy_n(mac.bytes.begin() + 3, 3, &address.bytes_[13]);
    address.bytes_[8] ^= 0x02;
    return address;
}

bool Address::is_link_local() const {
    return bytes_[0] == 0xfe && (bytes_[1] & 0xc0) == 0x80;
}

bool Address::is_ipv4() const {
    return std::equal(mapped_ipv4.begin(), mapped_ipv4.end(), bytes_.begin());
}

address Address::raw() const {
    address raw{};
    std::memcpy(&raw, bytes_.data(), sizeof(raw));
    return raw;
}

const std::uint8_t* Address::bytes() const {
    return is_ipv4() ? &bytes_[12] : bytes_.data();
}

std::string Address::text() const {
    std::array<char, INET6_ADDRSTRLEN> text{};
    inet_ntop(is_ipv4() ? AF_INET : AF_INET6, bytes(), text.data(), text.size());
    return text.data();
}

Address Address::plus(std::uint64_t offset) const {
    Address sum = *this;
    const std::size_t start = is_ipv4() ? 12 : 0;
    unsigned carry = 0;
    for (std::size_t i = sum.bytes_.size(); i-- > start;) {
        carry += sum.bytes_[i] + static_cast<unsigned>(offset & 0xff);
        sum.bytes_[i] = static_cast<std::uint8_t>(carry);
        carry >>= 8;
        offset >>= 8;
    }
    return sum;
}

std::uint64_t Address::distance_to(const Address& other) const {
    std::uint64_t high = 0, low = 0;
    int borrow = 0;
    for (std::size_t i = bytes_.size(); i-- > 0;) {
        const int difference = other.bytes_[i] - bytes_[i] - borrow;
        borrow = difference < 0 ? 1 : 0;
        const auto byte = static_cast<std::uint64_t>(difference & 0xff);
        if (i < 8) {
            high |= byte << (8 * (7 - i));
        } else {
            low |= byte << (8 * (15 - i));
        }
    }
    return high != 0 ? std::numeric_limits<std::uint64_t>::max() : low;
}

std::expected<Prefix, Error> Prefix::parse(std::string_view text) {
    const auto slash = text.find('/');
    if (slash == std::string_view::npos) {
        return malformed("a subnet such as 10.0.0.0/24", text);
    }
    Prefix prefix{TRY(Address::parse(text.substr(0, slash)))};
    const auto digits = text.substr(slash + 1);
    const auto* const end = digits.data() + digits.size();
    unsigned length = 0;
    const auto [stop, error] = std::from_chars(digits.data(), end, length);
    // ::ffff:10.0.0.0/24 would be ::/24 to some and 10.0.0.0/24 to others.
    const bool ambiguous = prefix.address.is_ipv4() && text.contains(':');
    if (error != std::errc{} || stop != end || std::cmp_greater(length, prefix.address.bits()) || ambiguous) {
        return malformed("a subnet such as 10.0.0.0/24", text);
    }
    prefix.length = static_cast<int>(length);
    return prefix;
}

namespace {

Address with_host_bits(const Prefix& prefix, bool ones) {
    address raw = prefix.address.raw();
    auto* bytes = reinterpret_cast<std::uint8_t*>(&raw);
    const int network_bits = 128 - prefix.address.bits() + prefix.length;
    for (int bit = network_bits; bit < 128; bit++) {
        const auto mask = static_cast<std::uint8_t>(0x80 >> (bit % 8));
        bytes[bit / 8] = static_cast<std::uint8_t>(ones ? bytes[bit / 8] | mask : bytes[bit / 8] & ~mask);
    }
    return Address(raw);
}

}  // namespace

Address Prefix::first() const {
    return with_host_bits(*this, false);
}

Address Prefix::last() const {
    return with_host_bits(*this, true);
}

bool Prefix::contains(const Address& other) const {
    return other.is_ipv4() == address.is_ipv4() && first() <= other && other <= last();
}

bool Prefix::overlaps(const Prefix& other) const {
    return contains(other.first()) || other.contains(first());
}

std::string Prefix::text() const {
    return address.text() + "/" + std::to_string(length);
}

std::expected<Mac, Error> Mac::parse(std::string_view text) {
    Mac mac;
    const char* at = text.data();
    const char* const end = text.data() + text.size();
    for (std::size_t i = 0; i < mac.bytes.size(); i++) {
        if (i > 0 && (at == end || *at++ != ':')) {
            return malformed("a MAC address such as 02:00:00:00:00:01", text);
        }
        const auto [stop, error] = std::from_chars(at, end, mac.bytes[i], 16);
        if (error != std::errc{} || stop - at > 2) {
            return malformed("a MAC address such as 02:00:00:00:00:01", text);
        }
        at = stop;
    }
    if (at != end || (mac.bytes[0] & 1) != 0) {
        return malformed("a unicast MAC address such as 02:00:00:00:00:01", text);
    }
    return mac;
}

const char* name_of(family family) {
    return family == FAMILY_IPV4 ? "IPv4" : "IPv6";
}

Mac Mac::of_address(const Address& address) {
    // 0x0a: locally administered, unicast (IEEE 802, section 8.4); then "c", then the low bytes that differ, or "6" and
    // those with the high ones mixed in (FNV-1a), since gateways of IPv6 subnets all end in ::1.
    const auto* const bytes = address.bytes();
    Mac mac{{0x0a, static_cast<std::uint8_t>(address.is_ipv4() ? 'c' : '6')}};
    std::uint32_t mixed = address.is_ipv4() ? 0 : 2166136261;
    for (std::size_t i = 0; i < address.size() - 4; i++) {
        mixed = (mixed ^ bytes[i]) * 16777619;
    }
    for (std::size_t i = 0; i < 4; i++) {
        mac.bytes[2 + i] = static_cast<std::uint8_t>(bytes[address.size() - 4 + i] ^ (mixed >> (24 - 8 * i)));
    }
    return mac;
}

std::string Mac::text() const {
    std::array<char, 18> text{};
    std::snprintf(text.data(), text.size(), "%02x:%02x:%02x:%02x:%02x:%02x", bytes[0], bytes[1], bytes[2], bytes[3],
                  bytes[4], bytes[5]);
    return text.data();
}

}  // namespace causeway
