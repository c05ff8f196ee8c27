// SPDX-License-Identifier: Apache-2.0
// What a batch asks of the kernel, message by message.
#include <arpa/inet.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/neighbour.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>

#include <algorithm>
#include <cerrno>

#include "userspace/netlink_message.hpp"

namespace causeway {

namespace {

void put_metrics(nlmsghdr& request, const Route& route) {
    if (!route.mtu && !route.advmss) {
        return;
    }
    auto* metrics = mnl_attr_nest_start(&request, RTA_METRICS);
    if (route.mtu) {
        mnl_attr_put_u32(&request, RTAX_MTU, *route.mtu);
    }
    if (route.advmss) {
        mnl_attr_put_u32(&request, RTAX_ADVMSS, *route.advmss);
    }
    mnl_attr_nest_end(&request, metrics);
}

void put_route(nlmsghdr& request, const Route& route, std::uint8_t protocol) {
    auto* info = static_cast<rtmsg*>(mnl_nlmsg_put_extra_header(&request, sizeof(rtmsg)));
    info->rtm_family = static_cast<std::uint8_t>(family_of(route.destination.address));
    info->rtm_dst_len = static_cast<std::uint8_t>(route.destination.length);
    info->rtm_protocol = protocol;
    info->rtm_type = RTN_UNICAST;
    info->rtm_scope = static_cast<std::uint8_t>(
        route.scope.value_or(route.gateway.is_none() ? std::uint32_t{RT_SCOPE_LINK} : RT_SCOPE_UNIVERSE));
    mnl_attr_put_u32(&request, RTA_TABLE, route.table.value_or(Route::main_table));
    if (route.destination.length > 0) {
        put_address(request, RTA_DST, route.destination.first());
    }
    if (!route.gateway.is_none()) {
        put_address(request, RTA_GATEWAY, route.gateway);
    }
    mnl_attr_put_u32(&request, RTA_OIF, route.ifindex);
    if (route.priority) {
        mnl_attr_put_u32(&request, RTA_PRIORITY, *route.priority);
    }
    put_metrics(request, route);
}

}  // namespace

Batch::Batch() = default;
Batch::~Batch() = default;
Batch::Batch(Batch&&) noexcept = default;
Batch& Batch::operator=(Batch&&) noexcept = default;

std::size_t Batch::size() const {
    return messages_.size();
}

void Batch::change_link(std::uint32_t ifindex, const LinkChange& change, std::string step) {
    const auto begin = [&](const std::string& name) -> nlmsghdr& {
        auto& request = messages_.emplace_back(name).start(RTM_SETLINK, NLM_F_ACK);
        auto* info = static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(&request, sizeof(ifinfomsg)));
        info->ifi_index = static_cast<int>(ifindex);
        return request;
    };
    // Before the link goes up, and apart from it: the kernel takes a link's flags before its per-family settings.
    if (change.forward_ipv4) {
        auto& request = begin(step + " (IPv4)");
        auto* families = mnl_attr_nest_start(&request, IFLA_AF_SPEC);
        auto* ipv4 = mnl_attr_nest_start(&request, AF_INET);
        auto* settings = mnl_attr_nest_start(&request, IFLA_INET_CONF);
        mnl_attr_put_u32(&request, IPV4_DEVCONF_FORWARDING, 1);
        mnl_attr_nest_end(&request, settings);
        mnl_attr_nest_end(&request, ipv4);
        mnl_attr_nest_end(&request, families);
    }
    if (change.no_ipv6_link_local) {
        auto& request = begin(step + " (IPv6)");
        auto* families = mnl_attr_nest_start(&request, IFLA_AF_SPEC);
        auto* ipv6 = mnl_attr_nest_start(&request, AF_INET6);
        mnl_attr_put_u8(&request, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
        mnl_attr_nest_end(&request, ipv6);
        mnl_attr_nest_end(&request, families);
        messages_.back().expected = EAFNOSUPPORT;  // with an MTU below 1280, or without IPv6, a link has none anyway
    }
    if (change.up || change.no_arp || change.mac) {
        auto& request = begin(step);
        auto* info = static_cast<ifinfomsg*>(mnl_nlmsg_get_payload(&request));
        info->ifi_flags = (change.up ? unsigned{IFF_UP} : 0U) | (change.no_arp ? unsigned{IFF_NOARP} : 0U);
        info->ifi_change = info->ifi_flags;
        if (change.mac) {
            mnl_attr_put(&request, IFLA_ADDRESS, change.mac->bytes.size(), change.mac->bytes.data());
        }
    }
}

void Batch::add_address(std::uint32_t ifindex, const Prefix& prefix, std::string step) {
    auto& request = messages_.emplace_back(std::move(step)).start(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL);
    auto* info = static_cast<ifaddrmsg*>(mnl_nlmsg_put_extra_header(&request, sizeof(ifaddrmsg)));
    info->ifa_family = static_cast<std::uint8_t>(family_of(prefix.address));
    info->ifa_prefixlen = static_cast<std::uint8_t>(prefix.length);
    info->ifa_index = ifindex;
    info->ifa_flags = prefix.address.is_ipv4() ? 0 : IFA_F_NODAD;
    put_address(request, IFA_LOCAL, prefix.address);
    put_address(request, IFA_ADDRESS, prefix.address);
    if (!prefix.address.is_ipv4()) {
        ipv6_addresses_.push_back(prefix.address);
    }
    if (prefix.address.is_ipv4() && prefix.length < 31) {
        put_address(request, IFA_BROADCAST, prefix.last());
    }
}

void Batch::remove_address(std::uint32_t ifindex, const Prefix& prefix, std::string step) {
    auto& request = messages_.emplace_back(std::move(step)).start(RTM_DELADDR, NLM_F_ACK);
    auto* info = static_cast<ifaddrmsg*>(mnl_nlmsg_put_extra_header(&request, sizeof(ifaddrmsg)));
    info->ifa_family = static_cast<std::uint8_t>(family_of(prefix.address));
    info->ifa_prefixlen = static_cast<std::uint8_t>(prefix.length);
    info->ifa_index = ifindex;
    put_address(request, IFA_LOCAL, prefix.address);
}

void Batch::add_route(const Route& route, std::string step) {
    put_route(messages_.emplace_back(std::move(step)).start(RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL), route,
              RTPROT_STATIC);
}

void Batch::remove_route(const Route& route, std::string step) {
    put_route(messages_.emplace_back(std::move(step)).start(RTM_DELROUTE, NLM_F_ACK), route, RTPROT_UNSPEC);
}

// Without NLM_F_EXCL: an equal one is refused all the same, and IPv4's goes before another one to that subnet that has
// taken its place.
void Batch::add_connected_route(std::uint32_t ifindex, const Prefix& own, std::string step) {
    constexpr std::uint32_t metric_of_ipv6 = 256;  // IP6_RT_PRIO_ADDRCONF
    auto& message = messages_.emplace_back(std::move(step));
    message.expected = EEXIST;
    auto& request = message.start(RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE);
    Route route{.destination = own, .ifindex = ifindex};
    if (!own.address.is_ipv4()) {
        route.priority = metric_of_ipv6;
    }
    put_route(request, route, RTPROT_KERNEL);
    if (own.address.is_ipv4()) {
        put_address(request, RTA_PREFSRC, own.address);
    }
}

void Batch::add_neighbour(std::uint32_t ifindex, const Address& address, const Mac& mac, std::string step) {
    auto& request =
        messages_.emplace_back(std::move(step)).start(RTM_NEWNEIGH, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE);
    auto* info = static_cast<ndmsg*>(mnl_nlmsg_put_extra_header(&request, sizeof(ndmsg)));
    info->ndm_family = static_cast<std::uint8_t>(family_of(address));
    info->ndm_ifindex = static_cast<int>(ifindex);
    info->ndm_state = NUD_PERMANENT;
    put_address(request, NDA_DST, address);
    mnl_attr_put(&request, NDA_LLADDR, mac.bytes.size(), mac.bytes.data());
}

void Batch::attach_ingress(std::uint32_t ifindex, int program, const FilterPlace& place, const std::string& step) {
    const auto begin = [&](std::uint16_t type, std::uint16_t flags, std::uint32_t identifier, std::uint32_t parent,
                           std::uint32_t info, const char* kind) -> nlmsghdr& {
        auto& request =
            messages_.emplace_back(step).start(type, static_cast<std::uint16_t>(NLM_F_ACK | NLM_F_CREATE | flags));
        auto* message = static_cast<tcmsg*>(mnl_nlmsg_put_extra_header(&request, sizeof(tcmsg)));
        message->tcm_ifindex = static_cast<int>(ifindex);
        message->tcm_handle = identifier;
        message->tcm_parent = parent;
        message->tcm_info = info;
        mnl_attr_put_strz(&request, TCA_KIND, kind);
        return request;
    };
    // "ingress" and not "clsact": the kernel keeps one list of the blocks of all devices without offload and walks it
    // for each that comes or goes; clsact has two blocks a device.
    begin(RTM_NEWQDISC, NLM_F_EXCL, TC_H_MAKE(TC_H_INGRESS, 0), TC_H_INGRESS, 0, "ingress");
    auto& request = begin(RTM_NEWTFILTER, NLM_F_EXCL, place.number, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS),
                          TC_H_MAKE(place.priority << 16, htons(ETH_P_ALL)), "bpf");
    auto* options = mnl_attr_nest_start(&request, TCA_OPTIONS);
    mnl_attr_put_u32(&request, TCA_BPF_FD, static_cast<std::uint32_t>(program));
    mnl_attr_put_strz(&request, TCA_BPF_NAME, "from_sandbox");
    mnl_attr_put_u32(&request, TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
    mnl_attr_nest_end(&request, options);
}

namespace {

// Who waits longer than that is dropped: so no sender's queue grows beyond what it takes to keep the device busy. One
// packet that is still to be cut up has to fit whatever the rate.
std::uint32_t queue_length(const Rate& rate, std::uint32_t gso_max_size) {
    constexpr std::uint64_t a_second_by = 40, headers = 4096, usual = 65536, most = ~std::uint32_t{0};
    const auto largest_packet = std::max<std::uint64_t>(gso_max_size, usual) + headers;
    const auto bytes = rate.bytes_per_second / a_second_by + std::min(rate.burst, largest_packet);
    return static_cast<std::uint32_t>(std::min(bytes, most));
}

}  // namespace

void Batch::add_queue(std::uint32_t ifindex, const Rate& rate, std::uint32_t gso_max_size, const std::string& step) {
    constexpr std::uint64_t most = ~std::uint32_t{0};
    auto& request = messages_.emplace_back(step).start(RTM_NEWQDISC, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL);
    put_queue(request, ifindex).tcm_handle = own_queue;
    mnl_attr_put_strz(&request, TCA_KIND, "tbf");
    auto* options = mnl_attr_nest_start(&request, TCA_OPTIONS);
    tc_tbf_qopt parameters{};
    parameters.rate.rate = static_cast<std::uint32_t>(std::min(rate.bytes_per_second, most));
    parameters.rate.linklayer = TC_LINKLAYER_ETHERNET;
    parameters.limit = queue_length(rate, gso_max_size);
    mnl_attr_put(&request, TCA_TBF_PARMS, sizeof(parameters), &parameters);
    mnl_attr_put_u32(&request, TCA_TBF_BURST, static_cast<std::uint32_t>(std::min(rate.burst, most)));
    if (rate.bytes_per_second > most) {
        mnl_attr_put_u64(&request, TCA_TBF_RATE64, rate.bytes_per_second);
    }
    mnl_attr_nest_end(&request, options);
}

void Batch::remove_queue(std::uint32_t ifindex, const std::string& step) {
    auto& request = messages_.emplace_back(step).start(RTM_DELQDISC, NLM_F_ACK);
    put_queue(request, ifindex).tcm_handle = own_queue;
}

}  // namespace causeway
