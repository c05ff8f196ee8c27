// SPDX-License-Identifier: Apache-2.0
// IP addresses, subnets and MAC addresses as values. Layer 0.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include <causeway/abi.h>

#include "userspace/error.hpp"

namespace causeway {

struct Mac;

// An IPv4 or IPv6 address. The default value is "::", which stands for none.
class Address {
public:
    Address() = default;
    explicit Address(const address& raw);
    static Address of_ipv4(std::uint32_t host_order);
    static std::expected<Address, Error> parse(std::string_view text);  // without a prefix length
    // fe80:: and the MAC's modified EUI-64: RFC 4291, section 2.5.6 and appendix A.
    static Address link_local_of(const Mac& mac);
    // The family's "0.0.0.0" or "::", which stands for any.
    static Address unspecified(::family family) { return family == FAMILY_IPV4 ? of_ipv4(0) : Address{}; }

    bool is_ipv4() const;
    ::family family() const { return is_ipv4() ? FAMILY_IPV4 : FAMILY_IPV6; }
    bool is_link_local() const;  // fe80::/10; IPv4's are not told apart
    bool is_none() const { return *this == Address{}; }
    int bits() const { return is_ipv4() ? 32 : 128; }
    address raw() const;                // as the maps hold it
    const std::uint8_t* bytes() const;  // 4 or 16, network order
    std::size_t size() const { return is_ipv4() ? 4 : 16; }
    std::string text() const;

    // The address offset steps further on; wraps at the end of the family.
    Address plus(std::uint64_t offset) const;
    // How many steps further on other is; other >= *this. The largest number where it is more.
    std::uint64_t distance_to(const Address& other) const;

    auto operator<=>(const Address&) const = default;

private:
    std::array<std::uint8_t, 16> bytes_{};
};

// An address with its prefix length, as in "10.0.0.5/24".
struct Prefix {
    Address address;
    int length = 0;

    static std::expected<Prefix, Error> parse(std::string_view text);
    Address first() const;  // the network's own address: host bits all zero
    Address last() const;   // host bits all one; the broadcast address of an IPv4 subnet
    bool contains(const Address& other) const;
    bool overlaps(const Prefix& other) const;
    std::string text() const;

    bool operator==(const Prefix&) const = default;
};

// "IPv4", "IPv6": for messages.
const char* name_of(family family);

struct Mac {
    std::array<std::uint8_t, 6> bytes{};

    static std::expected<Mac, Error> parse(std::string_view text);
    // Locally administered, the same each time for the same address, so that neighbours' caches stay true.
    // Of two IPv6 addresses only those of one /96 are sure to differ.
    static Mac of_address(const Address& address);
    std::string text() const;
    bool operator==(const Mac&) const = default;
};

}  // namespace causeway
