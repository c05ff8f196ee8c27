// SPDX-License-Identifier: Apache-2.0
// Entries of the datapath's pinned maps, looked at, taken away and put in as no command of causeway's would.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace causeway::test {

using Bytes = std::vector<std::uint8_t>;

Bytes key_of_device(const std::string& device);    // of sandboxes and traffic; the device is the node's
Bytes key_of_address(const std::string& address);  // of endpoints
Bytes key_of_attachment(const std::string& container, const std::string& interface);

// Throws where there is no such map or entry.
void erase_entry(const std::string& map, const Bytes& key);
std::set<Bytes> keys_of(const std::string& map);

// The bytes from offset on of an entry's value are these.
void overwrite_entry(const std::string& map, const Bytes& key, std::size_t offset, const Bytes& bytes);

// The record of the sandbox says that its host end has the index of that device.
void record_host_end(const std::string& container, const std::string& interface, const std::string& device);

// All flows say that they begin in an hour.
void begin_flows_later();

// What the maps of the datapath hold of networks, sandboxes and published ports, a line an entry: the key, and the
// value where packets don't change it. Flows are not among it, since they end by themselves. Empty without a datapath.
std::string lasting_entries();

// Addresses from `first` on, taken by sandboxes of which nothing else is there.
void take_addresses(const std::string& first, int count);

// Claims so many addresses of the subnet, one after the other as ADDs do, for sandboxes of which nothing else is there.
struct Claims {
    std::set<std::string> addresses;
    int most_attempts = 0;  // that one of them took
};
Claims claim_addresses(const std::string& subnet, int count);

// A record in each place of a network that is free, without a device or a subnet; each has the record of a sandbox,
// of container and network "full<id>".
void fill_networks();

// Records of uplinks with these indexes, as many as there is room for.
void record_uplinks(const std::vector<std::uint32_t>& ifindexes);

}  // namespace causeway::test
