// SPDX-License-Identifier: Apache-2.0
// How rtnetlink's messages are made and read. For netlink*.cpp alone: the only users of libmnl. Layer 1.
#pragma once

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "userspace/netlink.hpp"

namespace causeway {

constexpr std::size_t message_size = 1024;  // of one request; the largest is a veth pair's, some 250 bytes
constexpr std::size_t reply_size = 32768;

// Room for replies, and never cleared: most are short, and leave most of it untouched.
using Replies = std::array<char, reply_size>;

struct Batch::Message {
    std::string step;
    int expected = 0;  // errno that is no failure
    std::vector<char> bytes = std::vector<char>(message_size);

    nlmsghdr& start(std::uint16_t type, std::uint16_t flags) {
        nlmsghdr* header = mnl_nlmsg_put_header(bytes.data());
        header->nlmsg_type = type;
        header->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
        return *header;
    }
    nlmsghdr& header() { return *reinterpret_cast<nlmsghdr*>(bytes.data()); }
    const nlmsghdr& header() const { return *reinterpret_cast<const nlmsghdr*>(bytes.data()); }
};

// libmnl's own macro for this is C only.
template <typename Visit>
void for_each_attribute(const void* begin, const void* end, const Visit& visit) {
    for (const auto* attribute = static_cast<const nlattr*>(begin); mnl_attr_ok(
             attribute, static_cast<int>(static_cast<const char*>(end) - reinterpret_cast<const char*>(attribute)));
         attribute = mnl_attr_next(attribute)) {
        visit(*attribute, mnl_attr_get_type(attribute));
    }
}

template <typename Visit>
void for_each_attribute(const nlmsghdr& message, std::size_t offset, const Visit& visit) {
    for_each_attribute(mnl_nlmsg_get_payload_offset(&message, offset), mnl_nlmsg_get_payload_tail(&message), visit);
}

template <typename Visit>
void for_each_attribute_in(const nlattr& nest, const Visit& visit) {
    const auto* begin = static_cast<const char*>(mnl_attr_get_payload(&nest));
    for_each_attribute(begin, begin + mnl_attr_get_payload_len(&nest), visit);
}

// From Linux 6.3 on, and so younger than some headers; an older kernel passes over them.
inline constexpr std::uint16_t gso_ipv4_max_size = 63, gro_ipv4_max_size = 64;  // IFLA_...

// The error of a step, from the kernel's answer that it won't.
Error refused(int number, std::string_view step, const nlmsghdr& reply);
Link link_in(const nlmsghdr& message);
LinkAddress link_address_in(const nlmsghdr& message);
Neighbour neighbour_in(const nlmsghdr& message);
std::optional<Filter> filter_in(const nlmsghdr& message);  // none: it only tells that there are some of that priority
Route route_in(const nlmsghdr& message);
std::vector<Route> routes_in(const nlmsghdr& message);  // of one that is shared out among several ways: each

int family_of(const Address& address);  // AF_INET, AF_INET6
void put_address(nlmsghdr& request, std::uint16_t type, const Address& address);

// Of the queue that a bandwidth has at a device.
inline constexpr std::uint32_t own_queue = 0x63770000;  // handle of causeway's own
tcmsg& put_queue(nlmsghdr& request, std::uint32_t ifindex);

}  // namespace causeway
