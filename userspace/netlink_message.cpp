// SPDX-License-Identifier: Apache-2.0
#include "userspace/netlink_message.hpp"

#include <arpa/inet.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/neighbour.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>

#include <algorithm>
#include <cstring>

namespace causeway {

namespace {

// The kernel's own words for a refusal, where it gives any (NETLINK_EXT_ACK, Linux 4.12).
std::string reason_in(const nlmsghdr& reply) {
    if ((reply.nlmsg_flags & NLM_F_ACK_TLVS) == 0) {
        return {};
    }
    const auto* ack = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(&reply));
    std::size_t offset = sizeof(*ack);
    if ((reply.nlmsg_flags & NLM_F_CAPPED) == 0) {
        offset += ack->msg.nlmsg_len - sizeof(nlmsghdr);
    }
    std::string reason;
    for_each_attribute(reply, offset, [&](const nlattr& attribute, int type) {
        if (type == NLMSGERR_ATTR_MSG) {
            reason = mnl_attr_get_str(&attribute);
        }
    });
    return reason;
}

// IFLA_AF_SPEC > AF_INET > IFLA_INET_CONF is the list of net.ipv4.conf.<link>.*, by number from 1 on; AF_INET6 >
// IFLA_INET6_CONF that of net.ipv6.conf.<link>.*, from 0 on.
void read_settings(const nlattr& families, Link& link) {
    for_each_attribute_in(families, [&](const nlattr& family, int name) {
        const bool ipv4 = name == AF_INET;
        if (!ipv4 && name != AF_INET6) {
            return;
        }
        const int wanted = ipv4 ? int{IFLA_INET_CONF} : int{IFLA_INET6_CONF};
        for_each_attribute_in(family, [&](const nlattr& settings, int type) {
            const auto* values = static_cast<const std::int32_t*>(mnl_attr_get_payload(&settings));
            const auto value_at = [&](std::size_t place) {
                return mnl_attr_get_payload_len(&settings) > place * sizeof(*values) ? values[place] : 0;
            };
            if (type == wanted && ipv4) {
                link.forwards_ipv4 = value_at(IPV4_DEVCONF_FORWARDING - 1) != 0;
            } else if (type == wanted) {
                link.forwards_ipv6 = value_at(DEVCONF_FORWARDING) != 0;
                link.prefers_temporary_ipv6 = value_at(DEVCONF_USE_TEMPADDR) > 1;
            }
        });
    });
}

std::string kind_in(const nlattr& info) {
    std::string kind;
    for_each_attribute_in(info, [&](const nlattr& attribute, int type) {
        if (type == IFLA_INFO_KIND) {
            kind = mnl_attr_get_str(&attribute);
        }
    });
    return kind;
}

Address address_in(const nlattr& attribute) {
    const auto* bytes = static_cast<const std::uint8_t*>(mnl_attr_get_payload(&attribute));
    address raw{};
    if (mnl_attr_get_payload_len(&attribute) == sizeof(raw.word[3])) {
        raw.word[2] = htonl(0xffff);
        std::memcpy(&raw.word[3], bytes, sizeof(raw.word[3]));
    } else if (mnl_attr_get_payload_len(&attribute) == sizeof(raw)) {
        std::memcpy(&raw, bytes, sizeof(raw));
    }
    return Address(raw);
}

}  // namespace

Error refused(int number, std::string_view step, const nlmsghdr& reply) {
    return kernel_error(number, step, reason_in(reply));
}

Link link_in(const nlmsghdr& message) {
    Link link;
    const auto* info = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(&message));
    link.ifindex = static_cast<std::uint32_t>(info->ifi_index);
    link.up = (info->ifi_flags & IFF_UP) != 0;
    link.carrier = (info->ifi_flags & IFF_LOWER_UP) != 0;
    link.ethernet = info->ifi_type == ARPHRD_ETHER;
    for_each_attribute(message, sizeof(*info), [&](const nlattr& attribute, int type) {
        if (type == IFLA_IFNAME) {
            link.name = mnl_attr_get_str(&attribute);
        } else if (type == IFLA_MTU) {
            link.mtu = mnl_attr_get_u32(&attribute);
        } else if (type == IFLA_GSO_MAX_SIZE || type == gso_ipv4_max_size) {
            link.gso_max_size = std::max(link.gso_max_size, mnl_attr_get_u32(&attribute));
        } else if (type == IFLA_ADDRESS && mnl_attr_get_payload_len(&attribute) == link.mac.bytes.size()) {
            std::memcpy(link.mac.bytes.data(), mnl_attr_get_payload(&attribute), link.mac.bytes.size());
        } else if (type == IFLA_LINK) {
            link.peer = mnl_attr_get_u32(&attribute);
        } else if (type == IFLA_LINK_NETNSID) {
            link.peer_netns = static_cast<std::int32_t>(mnl_attr_get_u32(&attribute));
        } else if (type == IFLA_QDISC) {
            const std::string_view qdisc = mnl_attr_get_str(&attribute);
            link.queued = qdisc != "noqueue" && qdisc != "noop";
        } else if (type == IFLA_LINKINFO) {
            link.kind = kind_in(attribute);
        } else if (type == IFLA_AF_SPEC) {
            read_settings(attribute, link);
        }
    });
    return link;
}

// IFA_LOCAL is the address itself where the link is point to point; IFA_ADDRESS then is the peer's.
LinkAddress link_address_in(const nlmsghdr& message) {
    LinkAddress found;
    const auto* info = static_cast<const ifaddrmsg*>(mnl_nlmsg_get_payload(&message));
    found.ifindex = info->ifa_index;
    found.prefix.length = info->ifa_prefixlen;
    std::uint32_t flags = info->ifa_flags;
    bool local = false;
    for_each_attribute(message, sizeof(*info), [&](const nlattr& attribute, int type) {
        if (type == IFA_LOCAL || (type == IFA_ADDRESS && !local)) {
            found.prefix.address = address_in(attribute);
            local = type == IFA_LOCAL;
        } else if (type == IFA_FLAGS) {
            flags = mnl_attr_get_u32(&attribute);
        }
    });
    constexpr std::uint32_t unfit = IFA_F_SECONDARY | IFA_F_DEPRECATED | IFA_F_TENTATIVE | IFA_F_DADFAILED;
    found.global = info->ifa_scope == RT_SCOPE_UNIVERSE && (flags & unfit) == 0;
    return found;
}

Neighbour neighbour_in(const nlmsghdr& message) {
    Neighbour found;
    for_each_attribute(message, sizeof(ndmsg), [&](const nlattr& attribute, int type) {
        if (type == NDA_DST) {
            found.address = address_in(attribute);
        } else if (type == NDA_LLADDR && mnl_attr_get_payload_len(&attribute) == found.mac.bytes.size()) {
            std::memcpy(found.mac.bytes.data(), mnl_attr_get_payload(&attribute), found.mac.bytes.size());
        }
    });
    return found;
}

std::optional<Filter> filter_in(const nlmsghdr& message) {
    const auto* info = static_cast<const tcmsg*>(mnl_nlmsg_get_payload(&message));
    if (info->tcm_handle == 0) {
        return std::nullopt;
    }
    Filter found{.priority = TC_H_MAJ(info->tcm_info) >> 16};
    const auto read_option = [&](const nlattr& option, int type) {
        if (type == TCA_BPF_ID) {
            found.program = mnl_attr_get_u32(&option);
        }
    };
    for_each_attribute(message, sizeof(*info), [&](const nlattr& attribute, int type) {
        if (type == TCA_KIND) {
            found.kind = mnl_attr_get_str(&attribute);
        } else if (type == TCA_OPTIONS && found.kind == "bpf") {
            for_each_attribute_in(attribute, read_option);
        }
    });
    return found;
}

namespace {

void read_metrics(const nlattr& metrics, Route& route) {
    for_each_attribute_in(metrics, [&](const nlattr& attribute, int type) {
        if (type == RTAX_MTU) {
            route.mtu = mnl_attr_get_u32(&attribute);
        } else if (type == RTAX_ADVMSS) {
            route.advmss = mnl_attr_get_u32(&attribute);
        }
    });
}

}  // namespace

Route route_in(const nlmsghdr& message) {
    Route route;
    const auto* info = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(&message));
    route.table = info->rtm_table;
    route.scope = info->rtm_scope;
    route.priority = 0;
    route.destination = {info->rtm_family == AF_INET ? Address::of_ipv4(0) : Address{}, info->rtm_dst_len};
    for_each_attribute(message, sizeof(*info), [&](const nlattr& attribute, int type) {
        if (type == RTA_DST) {
            route.destination.address = address_in(attribute);
        } else if (type == RTA_GATEWAY) {
            route.gateway = address_in(attribute);
        } else if (type == RTA_OIF) {
            route.ifindex = mnl_attr_get_u32(&attribute);
        } else if (type == RTA_TABLE) {
            route.table = mnl_attr_get_u32(&attribute);
        } else if (type == RTA_PRIORITY) {
            route.priority = mnl_attr_get_u32(&attribute);
        } else if (type == RTA_METRICS) {
            read_metrics(attribute, route);
        }
    });
    return route;
}

namespace {

void read_ways(const nlattr& multipath, const Route& route, std::vector<Route>& routes) {
    auto left = static_cast<int>(mnl_attr_get_payload_len(&multipath));
    for (const auto* way = static_cast<const rtnexthop*>(mnl_attr_get_payload(&multipath)); RTNH_OK(way, left);
         left -= static_cast<int>(RTNH_ALIGN(way->rtnh_len)), way = RTNH_NEXT(way)) {
        auto& one = routes.emplace_back(route);
        one.ifindex = static_cast<std::uint32_t>(way->rtnh_ifindex);
        const auto* begin = reinterpret_cast<const char*>(way);
        for_each_attribute(begin + RTNH_LENGTH(0), begin + way->rtnh_len, [&](const nlattr& attribute, int type) {
            if (type == RTA_GATEWAY) {
                one.gateway = address_in(attribute);
            }
        });
    }
}

}  // namespace

std::vector<Route> routes_in(const nlmsghdr& message) {
    const auto route = route_in(message);
    std::vector<Route> routes;
    for_each_attribute(message, sizeof(rtmsg), [&](const nlattr& attribute, int type) {
        if (type == RTA_MULTIPATH) {
            read_ways(attribute, route, routes);
        }
    });
    return routes.empty() ? std::vector{route} : routes;
}

int family_of(const Address& address) {
    return address.is_ipv4() ? AF_INET : AF_INET6;
}

void put_address(nlmsghdr& request, std::uint16_t type, const Address& address) {
    mnl_attr_put(&request, type, address.size(), address.bytes());
}

tcmsg& put_queue(nlmsghdr& request, std::uint32_t ifindex) {
    auto* message = static_cast<tcmsg*>(mnl_nlmsg_put_extra_header(&request, sizeof(tcmsg)));
    message->tcm_ifindex = static_cast<int>(ifindex);
    message->tcm_parent = TC_H_ROOT;
    return *message;
}

}  // namespace causeway
