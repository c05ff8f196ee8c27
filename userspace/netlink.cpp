// SPDX-License-Identifier: Apache-2.0
#include "userspace/netlink.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/net_namespace.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

namespace causeway {

namespace {

constexpr std::size_t message_size = 1024;  // of one request; the largest is a veth pair's, some 250 bytes
constexpr std::size_t reply_size = 32768;

// Room for replies, and never cleared: most are short, and leave most of it untouched.
using Replies = std::array<char, reply_size>;

int family_of(const Address& address) {
    return address.is_ipv4() ? AF_INET : AF_INET6;
}

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

Error refused(int number, std::string_view step, const nlmsghdr& reply) {
    return kernel_error(number, step, reason_in(reply));
}

// IFLA_AF_SPEC > AF_INET > IFLA_INET_CONF is the list of net.ipv4.conf.<link>.*, by number from 1 on; AF_INET6 >
// IFLA_INET6_CONF that of net.ipv6.conf.<link>.*, from 0 on.
void read_forwarding(const nlattr& families, Link& link) {
    for_each_attribute_in(families, [&](const nlattr& family, int name) {
        const bool ipv4 = name == AF_INET;
        if (!ipv4 && name != AF_INET6) {
            return;
        }
        const int wanted = ipv4 ? int{IFLA_INET_CONF} : int{IFLA_INET6_CONF};
        const std::size_t place = ipv4 ? IPV4_DEVCONF_FORWARDING - 1 : DEVCONF_FORWARDING;
        for_each_attribute_in(family, [&](const nlattr& settings, int type) {
            const auto* values = static_cast<const std::uint32_t*>(mnl_attr_get_payload(&settings));
            if (type == wanted && mnl_attr_get_payload_len(&settings) > place * sizeof(*values)) {
                (ipv4 ? link.forwards_ipv4 : link.forwards_ipv6) = values[place] != 0;
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

Link link_in(const nlmsghdr& message) {
    Link link;
    const auto* info = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(&message));
    link.ifindex = static_cast<std::uint32_t>(info->ifi_index);
    link.up = (info->ifi_flags & IFF_UP) != 0;
    link.ethernet = info->ifi_type == ARPHRD_ETHER;
    for_each_attribute(message, sizeof(*info), [&](const nlattr& attribute, int type) {
        if (type == IFLA_IFNAME) {
            link.name = mnl_attr_get_str(&attribute);
        } else if (type == IFLA_MTU) {
            link.mtu = mnl_attr_get_u32(&attribute);
        } else if (type == IFLA_ADDRESS && mnl_attr_get_payload_len(&attribute) == link.mac.bytes.size()) {
            std::memcpy(link.mac.bytes.data(), mnl_attr_get_payload(&attribute), link.mac.bytes.size());
        } else if (type == IFLA_LINK) {
            link.peer = mnl_attr_get_u32(&attribute);
        } else if (type == IFLA_LINK_NETNSID) {
            link.peer_netns = static_cast<std::int32_t>(mnl_attr_get_u32(&attribute));
        } else if (type == IFLA_LINKINFO) {
            link.kind = kind_in(attribute);
        } else if (type == IFLA_AF_SPEC) {
            read_forwarding(attribute, link);
        }
    });
    return link;
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

Route route_in(const nlmsghdr& message) {
    Route route;
    const auto* info = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(&message));
    std::uint32_t table = info->rtm_table;
    route.destination = {info->rtm_family == AF_INET ? Address::of_ipv4(0) : Address{}, info->rtm_dst_len};
    for_each_attribute(message, sizeof(*info), [&](const nlattr& attribute, int type) {
        if (type == RTA_DST) {
            route.destination.address = address_in(attribute);
        } else if (type == RTA_GATEWAY) {
            route.gateway = address_in(attribute);
        } else if (type == RTA_OIF) {
            route.ifindex = mnl_attr_get_u32(&attribute);
        } else if (type == RTA_TABLE) {
            table = mnl_attr_get_u32(&attribute);
        }
    });
    route.in_main_table = table == RT_TABLE_MAIN;
    return route;
}

// From Linux 6.3 on, and so younger than some headers; an older kernel passes over them.
constexpr std::uint16_t gso_ipv4_max_size = 63, gro_ipv4_max_size = 64;  // IFLA_...

// One queue each way: the kernel would make one for each CPU, with an object in sysfs for each, and uses them for
// nothing but XDP and hardware offloads.
void put_veth_end(nlmsghdr& request, const VethEnd& end) {
    mnl_attr_put_strz(&request, IFLA_IFNAME, end.name.c_str());
    mnl_attr_put_u32(&request, IFLA_NUM_TX_QUEUES, 1);
    mnl_attr_put_u32(&request, IFLA_NUM_RX_QUEUES, 1);
    mnl_attr_put(&request, IFLA_ADDRESS, end.mac.bytes.size(), end.mac.bytes.data());
    if (end.mtu != 0) {
        mnl_attr_put_u32(&request, IFLA_MTU, end.mtu);
    }
    if (end.gso_max_size != 0) {
        mnl_attr_put_u32(&request, gso_ipv4_max_size, end.gso_max_size);
        mnl_attr_put_u32(&request, gro_ipv4_max_size, end.gso_max_size);
    }
}

void put_address(nlmsghdr& request, std::uint16_t type, const Address& address) {
    mnl_attr_put(&request, type, address.size(), address.bytes());
}

void put_route(nlmsghdr& request, const Route& route) {
    auto* info = static_cast<rtmsg*>(mnl_nlmsg_put_extra_header(&request, sizeof(rtmsg)));
    info->rtm_family = static_cast<std::uint8_t>(family_of(route.destination.address));
    info->rtm_dst_len = static_cast<std::uint8_t>(route.destination.length);
    info->rtm_table = RT_TABLE_MAIN;
    info->rtm_protocol = RTPROT_STATIC;
    info->rtm_type = RTN_UNICAST;
    info->rtm_scope = route.gateway.is_none() ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
    if (route.destination.length > 0) {
        put_address(request, RTA_DST, route.destination.first());
    }
    if (!route.gateway.is_none()) {
        put_address(request, RTA_GATEWAY, route.gateway);
    }
    mnl_attr_put_u32(&request, RTA_OIF, route.ifindex);
}

}  // namespace

struct Batch::Message {
    std::string step;
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

Batch::Batch() = default;
Batch::~Batch() = default;
Batch::Batch(Batch&&) noexcept = default;
Batch& Batch::operator=(Batch&&) noexcept = default;

void Batch::change_link(std::uint32_t ifindex, const LinkChange& change, std::string step) {
    const auto begin = [&](const std::string& name) -> nlmsghdr& {
        auto& request = messages_.emplace_back(name).start(RTM_SETLINK, NLM_F_ACK);
        auto* info = static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(&request, sizeof(ifinfomsg)));
        info->ifi_index = static_cast<int>(ifindex);
        return request;
    };
    // Before the link goes up, and apart from it: the kernel takes a link's flags before its per-family settings.
    if (change.forward_ipv4 || change.no_ipv6_link_local) {
        auto& request = begin(step + " (family settings)");
        auto* families = mnl_attr_nest_start(&request, IFLA_AF_SPEC);
        if (change.forward_ipv4) {
            auto* ipv4 = mnl_attr_nest_start(&request, AF_INET);
            auto* settings = mnl_attr_nest_start(&request, IFLA_INET_CONF);
            mnl_attr_put_u32(&request, IPV4_DEVCONF_FORWARDING, 1);
            mnl_attr_nest_end(&request, settings);
            mnl_attr_nest_end(&request, ipv4);
        }
        if (change.no_ipv6_link_local) {
            auto* ipv6 = mnl_attr_nest_start(&request, AF_INET6);
            mnl_attr_put_u8(&request, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
            mnl_attr_nest_end(&request, ipv6);
        }
        mnl_attr_nest_end(&request, families);
    }
    if (change.up || change.no_arp) {
        auto& request = begin(step);
        auto* info = static_cast<ifinfomsg*>(mnl_nlmsg_get_payload(&request));
        info->ifi_flags = (change.up ? unsigned{IFF_UP} : 0U) | (change.no_arp ? unsigned{IFF_NOARP} : 0U);
        info->ifi_change = info->ifi_flags;
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
    put_route(messages_.emplace_back(std::move(step)).start(RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL),
              route);
}

void Batch::remove_route(const Route& route, std::string step) {
    put_route(messages_.emplace_back(std::move(step)).start(RTM_DELROUTE, NLM_F_ACK), route);
}

void Batch::attach_ingress(std::uint32_t ifindex, int program, std::uint32_t filter, const std::string& step) {
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
    auto& request = begin(RTM_NEWTFILTER, NLM_F_EXCL, filter, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS),
                          TC_H_MAKE(filter << 16, htons(ETH_P_ALL)), "bpf");
    auto* options = mnl_attr_nest_start(&request, TCA_OPTIONS);
    mnl_attr_put_u32(&request, TCA_BPF_FD, static_cast<std::uint32_t>(program));
    mnl_attr_put_strz(&request, TCA_BPF_NAME, "from_sandbox");
    mnl_attr_put_u32(&request, TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
    mnl_attr_nest_end(&request, options);
}

namespace {

constexpr std::uint32_t own_queue = 0x63770000;  // handle of causeway's own

tcmsg& put_queue(nlmsghdr& request, std::uint32_t ifindex) {
    auto* message = static_cast<tcmsg*>(mnl_nlmsg_put_extra_header(&request, sizeof(tcmsg)));
    message->tcm_ifindex = static_cast<int>(ifindex);
    message->tcm_parent = TC_H_ROOT;
    return *message;
}

// Who waits longer than that is dropped: so no sender's queue grows beyond what it takes to keep the device busy. One
// packet that is still to be cut up has to fit whatever the rate.
std::uint32_t queue_length(const Rate& rate) {
    constexpr std::uint64_t a_second_by = 40, largest_packet = 65536 + 4096, most = ~std::uint32_t{0};
    const auto bytes = rate.bytes_per_second / a_second_by + std::min(rate.burst, largest_packet);
    return static_cast<std::uint32_t>(std::min(bytes, most));
}

}  // namespace

void Batch::add_queue(std::uint32_t ifindex, const Rate& rate, const std::string& step) {
    constexpr std::uint64_t most = ~std::uint32_t{0};
    auto& request = messages_.emplace_back(step).start(RTM_NEWQDISC, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL);
    put_queue(request, ifindex).tcm_handle = own_queue;
    mnl_attr_put_strz(&request, TCA_KIND, "tbf");
    auto* options = mnl_attr_nest_start(&request, TCA_OPTIONS);
    tc_tbf_qopt parameters{};
    parameters.rate.rate = static_cast<std::uint32_t>(std::min(rate.bytes_per_second, most));
    parameters.rate.linklayer = TC_LINKLAYER_ETHERNET;
    parameters.limit = queue_length(rate);
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

void Netlink::Close::operator()(mnl_socket* socket) const {
    mnl_socket_close(socket);
}

std::expected<Netlink, Error> Netlink::open() {
    Socket socket(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC));
    if (!socket) {
        return std::unexpected(errno_error("open a netlink socket"));
    }
    int on = 1;
    mnl_socket_setsockopt(socket.get(), NETLINK_EXT_ACK, &on, sizeof(on));
    mnl_socket_setsockopt(socket.get(), NETLINK_CAP_ACK, &on, sizeof(on));
    mnl_socket_setsockopt(socket.get(), NETLINK_GET_STRICT_CHK, &on, sizeof(on));
    if (mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0) {
        return std::unexpected(errno_error("bind a netlink socket"));
    }
    return Netlink(std::move(socket));
}

std::expected<Netlink, Error> Netlink::open_in(const Netns& netns, const Netns& home) {
    TRY(netns.enter());
    auto netlink = open();
    TRY(home.enter());
    return netlink;
}

// One request, its answers up to the acknowledgement or the end of the dump, or the one object that it asks for.
std::expected<void, Error> Netlink::exchange(nlmsghdr& request, std::string_view step, const Receiver& receive) {
    request.nlmsg_seq = ++sequence_;
    if (mnl_socket_sendto(socket_.get(), &request, request.nlmsg_len) < 0) {
        return std::unexpected(errno_error(step));
    }
    Replies buffer;
    for (;;) {
        const auto received = mnl_socket_recvfrom(socket_.get(), buffer.data(), buffer.size());
        if (received < 0) {
            return std::unexpected(errno_error(step));
        }
        auto left = static_cast<int>(received);
        for (const auto* reply = reinterpret_cast<const nlmsghdr*>(buffer.data()); mnl_nlmsg_ok(reply, left);
             reply = mnl_nlmsg_next(reply, &left)) {
            if (reply->nlmsg_seq != sequence_) {
                continue;
            }
            if (reply->nlmsg_type == NLMSG_DONE) {
                return {};
            }
            if (reply->nlmsg_type == NLMSG_ERROR) {
                const auto* ack = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(reply));
                if (ack->error == 0) {
                    return {};
                }
                return std::unexpected(refused(-ack->error, step, *reply));
            }
            if (receive) {
                receive(*reply);
            }
            if ((request.nlmsg_flags & (NLM_F_ACK | NLM_F_DUMP)) == 0) {
                return {};  // the object that was asked for is the whole answer
            }
        }
    }
}

std::expected<Link, Error> Netlink::get_link(nlmsghdr& request, std::string_view step) {
    mnl_attr_put_u32(&request, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    Link link;
    TRY(exchange(request, step, [&](const nlmsghdr& reply) { link = link_in(reply); }));
    return link;
}

std::expected<Link, Error> Netlink::link_named(const std::string& name) {
    if (name.size() >= IFNAMSIZ) {  // of no device, and more than the message has room for
        return std::unexpected(kernel_error(ENODEV, "look up the device " + name.substr(0, IFNAMSIZ) + "..."));
    }
    Batch::Message message;
    auto& request = message.start(RTM_GETLINK, 0);
    mnl_nlmsg_put_extra_header(&request, sizeof(ifinfomsg));
    mnl_attr_put_strz(&request, IFLA_IFNAME, name.c_str());
    return get_link(request, "look up the device " + name);
}

std::expected<Link, Error> Netlink::link_at(std::uint32_t ifindex) {
    Batch::Message message;
    auto& request = message.start(RTM_GETLINK, 0);
    auto* info = static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(&request, sizeof(ifinfomsg)));
    info->ifi_index = static_cast<int>(ifindex);
    return get_link(request, "look up the device with index " + std::to_string(ifindex));
}

std::expected<std::vector<LinkAddress>, Error> Netlink::addresses(int family, std::uint32_t ifindex) {
    Batch::Message message;
    auto& request = message.start(RTM_GETADDR, NLM_F_DUMP);
    auto* info = static_cast<ifaddrmsg*>(mnl_nlmsg_put_extra_header(&request, sizeof(ifaddrmsg)));
    info->ifa_family = static_cast<std::uint8_t>(family);
    info->ifa_index = ifindex;
    std::vector<LinkAddress> found;
    const auto listed = exchange(request, "list addresses", [&](const nlmsghdr& reply) {
        const auto address = link_address_in(reply);
        if (ifindex == 0 || address.ifindex == ifindex) {
            found.push_back(address);
        }
    });
    if (!listed && !(ifindex != 0 && listed.error().number == ENODEV)) {  // gone: it has no address
        return std::unexpected(listed.error());
    }
    return found;
}

std::expected<std::vector<LinkAddress>, Error> Netlink::local_addresses(int family) {
    Batch::Message message;
    auto& request = message.start(RTM_GETROUTE, NLM_F_DUMP);
    auto* info = static_cast<rtmsg*>(mnl_nlmsg_put_extra_header(&request, sizeof(rtmsg)));
    info->rtm_family = static_cast<std::uint8_t>(family);
    info->rtm_table = RT_TABLE_LOCAL;
    info->rtm_type = RTN_LOCAL;
    std::vector<LinkAddress> found;
    TRY(exchange(request, "list local addresses", [&](const nlmsghdr& reply) {
        if (static_cast<const rtmsg*>(mnl_nlmsg_get_payload(&reply))->rtm_type == RTN_LOCAL) {
            const auto route = route_in(reply);
            found.push_back({.ifindex = route.ifindex, .prefix = route.destination});
        }
    }));
    return found;
}

std::expected<std::vector<Route>, Error> Netlink::routes(int family) {
    Batch::Message message;
    auto& request = message.start(RTM_GETROUTE, NLM_F_DUMP);
    auto* info = static_cast<rtmsg*>(mnl_nlmsg_put_extra_header(&request, sizeof(rtmsg)));
    info->rtm_family = static_cast<std::uint8_t>(family);
    std::vector<Route> found;
    TRY(exchange(request, "list routes", [&](const nlmsghdr& reply) {
        if (static_cast<const rtmsg*>(mnl_nlmsg_get_payload(&reply))->rtm_type == RTN_UNICAST) {
            found.push_back(route_in(reply));
        }
    }));
    return found;
}

std::expected<std::vector<Link>, Error> Netlink::links() {
    Batch::Message message;
    auto& request = message.start(RTM_GETLINK, NLM_F_DUMP);
    mnl_nlmsg_put_extra_header(&request, sizeof(ifinfomsg));
    mnl_attr_put_u32(&request, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    std::vector<Link> found;
    TRY(exchange(request, "list devices", [&](const nlmsghdr& reply) { found.push_back(link_in(reply)); }));
    return found;
}

std::expected<std::optional<std::int32_t>, Error> Netlink::number_of(const Netns& netns) {
    Batch::Message message;
    auto& request = message.start(RTM_GETNSID, 0);
    mnl_nlmsg_put_extra_header(&request, sizeof(rtgenmsg));
    mnl_attr_put_u32(&request, NETNSA_FD, static_cast<std::uint32_t>(netns.fd()));
    std::optional<std::int32_t> number;
    TRY(exchange(request, "look up the number of the network namespace " + netns.path(), [&](const nlmsghdr& reply) {
        for_each_attribute(reply, sizeof(rtgenmsg), [&](const nlattr& attribute, int type) {
            const auto found = static_cast<std::int32_t>(mnl_attr_get_u32(&attribute));
            if (type == NETNSA_NSID && found >= 0) {
                number = found;
            }
        });
    }));
    return number;
}

std::expected<std::optional<std::uint64_t>, Error> Netlink::queue_rate(std::uint32_t ifindex) {
    Batch::Message message;
    // To the asker too, not only to those who listen; and a queue of no kind is not told of at all.
    auto& request = message.start(RTM_GETQDISC, NLM_F_ECHO | NLM_F_ACK);
    put_queue(request, ifindex);
    std::optional<std::uint64_t> rate;
    const auto read_option = [&](const nlattr& attribute, int type) {
        if (type == TCA_TBF_PARMS && !rate) {
            rate = static_cast<const tc_tbf_qopt*>(mnl_attr_get_payload(&attribute))->rate.rate;
        } else if (type == TCA_TBF_RATE64) {
            rate = mnl_attr_get_u64(&attribute);
        }
    };
    const auto found =
        exchange(request, "look up the queue of the device " + std::to_string(ifindex), [&](const nlmsghdr& reply) {
            if (static_cast<const tcmsg*>(mnl_nlmsg_get_payload(&reply))->tcm_handle != own_queue) {
                return;
            }
            for_each_attribute(reply, sizeof(tcmsg), [&](const nlattr& attribute, int type) {
                if (type == TCA_OPTIONS) {
                    for_each_attribute_in(attribute, read_option);
                }
            });
        });
    if (!found && found.error().number != ENOENT) {
        return std::unexpected(found.error());
    }
    return rate;
}

std::expected<void, Error> Netlink::create_veth(const VethEnd& near, const VethEnd& far, const Netns* far_netns) {
    Batch::Message message;
    auto& request = message.start(RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL);
    mnl_nlmsg_put_extra_header(&request, sizeof(ifinfomsg));
    put_veth_end(request, near);
    auto* info = mnl_attr_nest_start(&request, IFLA_LINKINFO);
    mnl_attr_put_strz(&request, IFLA_INFO_KIND, "veth");
    auto* data = mnl_attr_nest_start(&request, IFLA_INFO_DATA);
    auto* peer = mnl_attr_nest_start(&request, VETH_INFO_PEER);
    mnl_nlmsg_put_extra_header(&request, sizeof(ifinfomsg));
    put_veth_end(request, far);
    if (far_netns != nullptr) {
        mnl_attr_put_u32(&request, IFLA_NET_NS_FD, static_cast<std::uint32_t>(far_netns->fd()));
    }
    mnl_attr_nest_end(&request, peer);
    mnl_attr_nest_end(&request, data);
    mnl_attr_nest_end(&request, info);
    const std::string where = far_netns != nullptr ? " (in " + far_netns->path() + ")" : "";
    return exchange(request, "create the veth pair " + near.name + " and " + far.name + where);
}

std::expected<void, Error> Netlink::commit(const Batch& batch) {
    std::vector<char> bytes;
    const std::uint32_t first = sequence_ + 1;
    for (const auto& message : batch.messages_) {
        const auto start = bytes.size();
        const auto& header = message.header();
        bytes.insert(bytes.end(), message.bytes.begin(), message.bytes.begin() + header.nlmsg_len);
        bytes.resize(start + NLMSG_ALIGN(header.nlmsg_len));
        reinterpret_cast<nlmsghdr*>(&bytes[start])->nlmsg_seq = ++sequence_;
    }
    if (batch.messages_.empty()) {
        return {};
    }
    if (mnl_socket_sendto(socket_.get(), bytes.data(), bytes.size()) < 0) {
        return std::unexpected(errno_error(batch.messages_.front().step));
    }
    std::optional<Error> error;
    Replies buffer;
    for (std::size_t answered = 0; answered < batch.messages_.size();) {
        const auto received = mnl_socket_recvfrom(socket_.get(), buffer.data(), buffer.size());
        if (received < 0) {
            return std::unexpected(errno_error(batch.messages_[answered].step));
        }
        auto left = static_cast<int>(received);
        for (const auto* reply = reinterpret_cast<const nlmsghdr*>(buffer.data()); mnl_nlmsg_ok(reply, left);
             reply = mnl_nlmsg_next(reply, &left)) {
            if (reply->nlmsg_type != NLMSG_ERROR || reply->nlmsg_seq < first) {
                continue;
            }
            answered++;
            const auto* ack = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(reply));
            if (ack->error != 0 && !error) {
                error = refused(-ack->error, batch.messages_.at(reply->nlmsg_seq - first).step, *reply);
            }
        }
    }
    if (error) {
        return std::unexpected(*error);
    }
    return {};
}

namespace {

// Waits until the kernel announces that the link is out of its lists, or the child that deletes it says why not.
// Returns an errno, 0 for gone.
int wait_for_deletion(mnl_socket* notifications, int child_says, std::uint32_t ifindex) {
    Replies buffer;
    std::array<pollfd, 2> waiting{{{mnl_socket_get_fd(notifications), POLLIN, 0}, {child_says, POLLIN, 0}}};
    for (;;) {
        if (poll(waiting.data(), waiting.size(), -1) < 0) {
            if (errno == EINTR) {
                continue;
            }
            return errno;
        }
        if ((waiting[1].revents & (POLLIN | POLLHUP)) != 0) {
            int number = 0;
            const auto got = read(child_says, &number, sizeof(number));
            return got == sizeof(number) ? number : ECHILD;  // it died before it could say
        }
        const auto received = mnl_socket_recvfrom(notifications, buffer.data(), buffer.size());
        if (received < 0) {  // ENOBUFS: so much is going on that notices were lost; the child's word decides
            waiting[0].fd = -1;
            continue;
        }
        auto left = static_cast<int>(received);
        for (const auto* notice = reinterpret_cast<const nlmsghdr*>(buffer.data()); mnl_nlmsg_ok(notice, left);
             notice = mnl_nlmsg_next(notice, &left)) {
            const auto* info = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(notice));
            if (notice->nlmsg_type == RTM_DELLINK && info->ifi_family == AF_UNSPEC &&
                static_cast<std::uint32_t>(info->ifi_index) == ifindex) {
                return 0;
            }
        }
    }
}

// A grandchild does the work, so that nobody has to reap it. It holds none of the caller's descriptors: a runtime
// that waits for the end of the plugin's output must not wait for it.
int fork_orphan(const std::function<void()>& work, int keep) {
    const pid_t child = fork();
    if (child < 0) {
        return errno;
    }
    if (child == 0) {
        if (const pid_t grandchild = fork(); grandchild != 0) {
            _exit(grandchild < 0 ? errno : 0);
        }
        if (keep > 0) {
            close_range(0, static_cast<unsigned>(keep) - 1, 0);
        }
        close_range(static_cast<unsigned>(keep) + 1, ~0U, 0);
        std::signal(SIGPIPE, SIG_IGN);  // whoever listened may have heard enough
        work();
        _exit(0);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
}

}  // namespace

std::expected<void, Error> Netlink::delete_link(const std::string& name) {
    const auto link = link_named(name);
    if (!link) {
        return link.error().number == ENODEV ? std::expected<void, Error>{} : std::unexpected(link.error());
    }
    return delete_link(*link);
}

std::expected<void, Error> Netlink::delete_link(const Link& link) {
    const std::string step = "delete the device " + link.name;
    Socket notifications(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC));
    if (!notifications || mnl_socket_bind(notifications.get(), RTMGRP_LINK, MNL_SOCKET_AUTOPID) < 0) {
        return std::unexpected(errno_error(step));
    }
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) {
        return std::unexpected(errno_error(step));
    }
    const UniqueFd child_says(ends[0]);
    UniqueFd say(ends[1]);
    const int number = fork_orphan(
        [&] {
            auto netlink = open();
            int result = netlink ? 0 : netlink.error().number;
            if (netlink) {
                Batch::Message message;
                auto& request = message.start(RTM_DELLINK, NLM_F_ACK);
                auto* info = static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(&request, sizeof(ifinfomsg)));
                info->ifi_index = static_cast<int>(link.ifindex);
                const auto done = netlink->exchange(request, step);
                result = done || done.error().number == ENODEV ? 0 : done.error().number;
            }
            const auto said = write(say.get(), &result, sizeof(result));
            _exit(said == sizeof(result) ? 0 : 1);
        },
        say.get());
    say = UniqueFd();
    const int outcome = number != 0 ? number : wait_for_deletion(notifications.get(), child_says.get(), link.ifindex);
    if (outcome != 0) {
        return std::unexpected(kernel_error(outcome, step));
    }
    return {};
}

}  // namespace causeway
