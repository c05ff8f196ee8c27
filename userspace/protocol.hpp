// SPDX-License-Identifier: Apache-2.0
// Transport protocols by name, in small letters.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace causeway {

// "tcp"; the number of one without a name here.
std::string name_of_protocol(std::uint8_t protocol);

// Whether a protocol is called so: by its name, or by its number where it has none here.
bool is_protocol_name(std::string_view name);

// Of those that can be published: tcp, udp, sctp.
std::optional<std::uint8_t> published_protocol(std::string_view name);

}  // namespace causeway
