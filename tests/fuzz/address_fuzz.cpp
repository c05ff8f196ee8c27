// SPDX-License-Identifier: Apache-2.0
// Any text as an address, a subnet and a MAC: refused, or the same again once it was printed.
#include "userspace/address.hpp"

#include "tests/fuzz/fuzz_target.hpp"

namespace causeway::fuzz {

namespace {

void try_address(std::string_view input) {
    const auto address = Address::parse(input);
    if (!address) {
        return;
    }
    require(Address::parse(address->text()) == *address, "an address is the same once printed");
    require(Address(address->raw()) == *address, "an address is the same once through a map");
    require(address->plus(0) == *address, "an address plus nothing is itself");
    require(address->plus(1) != *address && address->plus(1).is_ipv4() == address->is_ipv4(),
            "the next address is another of the same family");
    require(!Mac::of_address(*address).text().empty(), "an address has a MAC");
}

void try_prefix(std::string_view input) {
    const auto prefix = Prefix::parse(input);
    if (!prefix) {
        return;
    }
    require(Prefix::parse(prefix->text()) == *prefix, "a subnet is the same once printed");
    require(prefix->length >= 0 && prefix->length <= prefix->address.bits(), "a length is within its family");
    require(prefix->contains(prefix->address), "a subnet contains its address");
    require(prefix->contains(prefix->first()), "a subnet contains its first address");
    // The last address of an IPv6 subnet such as ::/80 is one that stands for IPv4.
    require(prefix->last().is_ipv4() != prefix->address.is_ipv4() || prefix->contains(prefix->last()),
            "a subnet contains its last address");
    require(prefix->overlaps(*prefix), "a subnet overlaps itself");
}

void try_mac(std::string_view input) {
    const auto mac = Mac::parse(input);
    if (!mac) {
        return;
    }
    require(Mac::parse(mac->text()) == *mac, "a MAC is the same once printed");
    require((mac->bytes[0] & 1) == 0, "a MAC is unicast");
}

}  // namespace

void try_input(std::string_view input) {
    try_address(input);
    try_prefix(input);
    try_mac(input);
}

}  // namespace causeway::fuzz
