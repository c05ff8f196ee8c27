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
Bytes key_of_address(const std::string& address);  // of endpoints; IPv4
Bytes key_of_attachment(const std::string& container, const std::string& interface);

// Throws where there is no such map or entry.
void erase_entry(const std::string& map, const Bytes& key);
std::set<Bytes> keys_of(const std::string& map);

// Addresses from `first` on, taken by sandboxes of which nothing else is there.
void take_addresses(const std::string& first, int count);

}  // namespace causeway::test
