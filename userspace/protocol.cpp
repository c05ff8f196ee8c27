// SPDX-License-Identifier: Apache-2.0
#include "userspace/protocol.hpp"

#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <span>
#include <utility>

namespace causeway {

namespace {

constexpr std::array<std::pair<std::string_view, std::uint8_t>, 5> protocols{{{"tcp", IPPROTO_TCP},
                                                                              {"udp", IPPROTO_UDP},
                                                                              {"sctp", IPPROTO_SCTP},
                                                                              {"icmp", IPPROTO_ICMP},
                                                                              {"icmpv6", IPPROTO_ICMPV6}}};
constexpr auto publishable = std::span(protocols).first<3>();

}  // namespace

std::string name_of_protocol(std::uint8_t protocol) {
    const auto found = std::ranges::find(protocols, protocol, [](const auto& known) { return known.second; });
    return found != protocols.end() ? std::string(found->first) : std::to_string(protocol);
}

bool is_protocol_name(std::string_view name) {
    constexpr int numbers = 256;
    for (int number = 0; number < numbers; number++) {
        if (name == name_of_protocol(static_cast<std::uint8_t>(number))) {
            return true;
        }
    }
    return false;
}

std::optional<std::uint8_t> published_protocol(std::string_view name) {
    const auto found = std::ranges::find(publishable, name, [](const auto& known) { return known.first; });
    return found != publishable.end() ? std::optional(found->second) : std::nullopt;
}

}  // namespace causeway
