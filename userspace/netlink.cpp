// SPDX-License-Identifier: Apache-2.0
#include "userspace/netlink.hpp"

#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/net_namespace.h>
#include <linux/pkt_sched.h>
#include <linux/veth.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <map>
#include <ranges>

#include "userspace/netlink_message.hpp"

namespace causeway {

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

namespace {

// A dump that fails says so at its end alone (netlink_dump_done).
int errno_at_end(const nlmsghdr& done) {
    int number = 0;
    if (mnl_nlmsg_get_payload_len(&done) >= sizeof(number)) {
        std::memcpy(&number, mnl_nlmsg_get_payload(&done), sizeof(number));
    }
    return -number;
}

}  // namespace

// One request, its answers up to the acknowledgement or the end of the dump, or the one object that it asks for. EINTR:
// what was dumped changed meanwhile, so that something may be missing or there twice.
std::expected<void, Error> Netlink::exchange(nlmsghdr& request, std::string_view step, const Receiver& receive) {
    request.nlmsg_seq = ++sequence_;
    if (mnl_socket_sendto(socket_.get(), &request, request.nlmsg_len) < 0) {
        return std::unexpected(errno_error(step));
    }
    Replies buffer;
    bool interrupted = false;
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
            interrupted |= (reply->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
            if (reply->nlmsg_type == NLMSG_DONE) {
                const int number = interrupted ? EINTR : errno_at_end(*reply);
                return number == 0 ? std::expected<void, Error>{} : std::unexpected(kernel_error(number, step));
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

// A dump until nothing changes meanwhile.
template <typename Item>
std::expected<std::vector<Item>, Error> Netlink::list(nlmsghdr& request, std::string_view step,
                                                      const Collector<Item>& collect) {
    constexpr int tries = 32;
    for (int i = 1;; i++) {
        std::vector<Item> found;
        const auto listed = exchange(request, step, [&](const nlmsghdr& reply) { collect(reply, found); });
        if (listed) {
            return found;
        }
        if (listed.error().number != EINTR) {
            return std::unexpected(listed.error());
        }
        if (i == tries) {
            return fail(Code::try_again_later, std::string(step) + ": what there is has changed during each of " +
                                                   std::to_string(tries) + " looks at it");
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

namespace {

// What there is of something that is not there.
template <typename Item>
std::expected<std::vector<Item>, Error> nothing_where(int number, std::expected<std::vector<Item>, Error> listed) {
    return !listed && listed.error().number == number ? std::vector<Item>{} : std::move(listed);
}

}  // namespace

std::expected<std::vector<LinkAddress>, Error> Netlink::addresses(int family, std::uint32_t ifindex) {
    Batch::Message message;
    auto& request = message.start(RTM_GETADDR, NLM_F_DUMP);
    auto* info = static_cast<ifaddrmsg*>(mnl_nlmsg_put_extra_header(&request, sizeof(ifaddrmsg)));
    info->ifa_family = static_cast<std::uint8_t>(family);
    info->ifa_index = ifindex;
    const auto collect = [&](const nlmsghdr& reply, std::vector<LinkAddress>& found) {
        const auto address = link_address_in(reply);
        if (ifindex == 0 || address.ifindex == ifindex) {
            found.push_back(address);
        }
    };
    // One that is gone has no address.
    return nothing_where(ENODEV, list<LinkAddress>(request, "list addresses", collect));
}

std::expected<std::vector<LinkAddress>, Error> Netlink::local_addresses(int family) {
    Batch::Message message;
    auto& request = message.start(RTM_GETROUTE, NLM_F_DUMP);
    auto* info = static_cast<rtmsg*>(mnl_nlmsg_put_extra_header(&request, sizeof(rtmsg)));
    info->rtm_family = static_cast<std::uint8_t>(family);
    info->rtm_table = RT_TABLE_LOCAL;
    info->rtm_type = RTN_LOCAL;
    const auto collect = [&](const nlmsghdr& reply, std::vector<LinkAddress>& found) {
        if (static_cast<const rtmsg*>(mnl_nlmsg_get_payload(&reply))->rtm_type == RTN_LOCAL) {
            const auto route = route_in(reply);
            found.push_back({.ifindex = route.ifindex, .prefix = route.destination});
        }
    };
    // The table is made with the first address.
    return nothing_where(ENOENT, list<LinkAddress>(request, "list local addresses", collect));
}

std::expected<std::vector<Route>, Error> Netlink::routes(int family, std::uint32_t ifindex) {
    Batch::Message message;
    auto& request = message.start(RTM_GETROUTE, NLM_F_DUMP);
    auto* info = static_cast<rtmsg*>(mnl_nlmsg_put_extra_header(&request, sizeof(rtmsg)));
    info->rtm_family = static_cast<std::uint8_t>(family);
    if (ifindex != 0) {
        mnl_attr_put_u32(&request, RTA_OIF, ifindex);
    }
    const auto collect = [](const nlmsghdr& reply, std::vector<Route>& found) {
        if (static_cast<const rtmsg*>(mnl_nlmsg_get_payload(&reply))->rtm_type == RTN_UNICAST) {
            std::ranges::move(routes_in(reply), std::back_inserter(found));
        }
    };
    return nothing_where(ENODEV, list<Route>(request, "list routes", collect));
}

std::expected<std::uint32_t, Error> Netlink::way_to(const Address& address) {
    Batch::Message message;
    auto& request = message.start(RTM_GETROUTE, 0);
    auto* info = static_cast<rtmsg*>(mnl_nlmsg_put_extra_header(&request, sizeof(rtmsg)));
    info->rtm_family = static_cast<std::uint8_t>(family_of(address));
    info->rtm_dst_len = address.is_ipv4() ? 32 : 128;
    put_address(request, RTA_DST, address);
    std::uint32_t ifindex = 0;
    TRY(exchange(request, "look up the route to " + address.text(),
                 [&](const nlmsghdr& reply) { ifindex = route_in(reply).ifindex; }));
    return ifindex;
}

// Where devices come and go all the time, every look is interrupted. What is there all the time is in each
// nevertheless: from Linux 6.9 on, where the kernel goes by their numbers; before, it may lose its place in one look,
// and not in all.
std::expected<std::vector<Link>, Error> Netlink::links() {
    Batch::Message message;
    auto& request = message.start(RTM_GETLINK, NLM_F_DUMP);
    mnl_nlmsg_put_extra_header(&request, sizeof(ifinfomsg));
    mnl_attr_put_u32(&request, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    constexpr int looks = 8;
    std::map<std::uint32_t, Link> seen;  // as the last look that had it saw it
    for (int i = 0; i < looks; i++) {
        std::vector<Link> found;
        const auto listed =
            exchange(request, "list devices", [&](const nlmsghdr& reply) { found.push_back(link_in(reply)); });
        if (listed) {
            return found;
        }
        if (listed.error().number != EINTR) {
            return std::unexpected(listed.error());
        }
        for (auto& link : found) {
            seen.insert_or_assign(link.ifindex, std::move(link));
        }
    }
    std::vector<Link> links;
    std::ranges::move(seen | std::views::values, std::back_inserter(links));
    return links;
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

std::expected<std::vector<Neighbour>, Error> Netlink::neighbours(int family, std::uint32_t ifindex) {
    Batch::Message message;
    auto& request = message.start(RTM_GETNEIGH, NLM_F_DUMP);
    auto* info = static_cast<ndmsg*>(mnl_nlmsg_put_extra_header(&request, sizeof(ndmsg)));
    info->ndm_family = static_cast<std::uint8_t>(family);
    mnl_attr_put_u32(&request, NDA_IFINDEX, ifindex);
    return list<Neighbour>(request, "list neighbours", [&](const nlmsghdr& reply, std::vector<Neighbour>& found) {
        const auto* one = static_cast<const ndmsg*>(mnl_nlmsg_get_payload(&reply));
        if (static_cast<std::uint32_t>(one->ndm_ifindex) == ifindex && (one->ndm_state & NUD_PERMANENT) != 0) {
            found.push_back(neighbour_in(reply));
        }
    });
}

std::expected<std::vector<Filter>, Error> Netlink::filters(std::uint32_t ifindex, bool ingress) {
    Batch::Message message;
    auto& request = message.start(RTM_GETTFILTER, NLM_F_DUMP);
    auto* info = static_cast<tcmsg*>(mnl_nlmsg_put_extra_header(&request, sizeof(tcmsg)));
    info->tcm_ifindex = static_cast<int>(ifindex);
    info->tcm_parent = TC_H_MAKE(TC_H_CLSACT, ingress ? TC_H_MIN_INGRESS : TC_H_MIN_EGRESS);
    const auto collect = [](const nlmsghdr& reply, std::vector<Filter>& found) {
        if (auto filter = filter_in(reply)) {
            found.push_back(std::move(*filter));
        }
    };
    return list<Filter>(request, "list filters", collect);
}

std::expected<std::optional<Rate>, Error> Netlink::queue_at(std::uint32_t ifindex) {
    Batch::Message message;
    // To the asker too, not only to those who listen; and a queue of no kind is not told of at all.
    auto& request = message.start(RTM_GETQDISC, NLM_F_ECHO | NLM_F_ACK);
    put_queue(request, ifindex);
    std::optional<std::uint64_t> rate;
    std::uint64_t burst_time = 0;  // ns
    const auto read_option = [&](const nlattr& attribute, int type) {
        if (type == TCA_TBF_PARMS) {
            constexpr std::uint64_t tick = 64;  // ns: PSCHED_SHIFT
            const auto* parameters = static_cast<const tc_tbf_qopt*>(mnl_attr_get_payload(&attribute));
            rate = rate.value_or(parameters->rate.rate);
            burst_time = parameters->buffer * tick;
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
    if (!rate) {
        return std::nullopt;
    }
    constexpr std::uint64_t second = 1'000'000'000;
    const auto burst = (static_cast<unsigned __int128>(burst_time) * *rate + second / 2) / second;
    return Rate{*rate, static_cast<std::uint64_t>(burst)};
}

namespace {

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
        mnl_attr_put_u32(&request, IFLA_GSO_MAX_SIZE, end.gso_max_size);
        mnl_attr_put_u32(&request, IFLA_GRO_MAX_SIZE, end.gso_max_size);
        mnl_attr_put_u32(&request, gso_ipv4_max_size, end.gso_max_size);
        mnl_attr_put_u32(&request, gro_ipv4_max_size, end.gso_max_size);
    }
}

}  // namespace

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

namespace {

void note(const nlmsghdr& notice, std::vector<Address>& usable) {
    if (notice.nlmsg_type == RTM_NEWADDR && notice.nlmsg_seq == 0) {
        usable.push_back(link_address_in(notice).prefix.address);
    }
}

}  // namespace

std::expected<void, Error> Netlink::hear_of_ipv6_addresses(bool wanted) {
    int group = RTNLGRP_IPV6_IFADDR;
    if (mnl_socket_setsockopt(socket_.get(), wanted ? NETLINK_ADD_MEMBERSHIP : NETLINK_DROP_MEMBERSHIP, &group,
                              sizeof(group)) < 0) {
        return std::unexpected(errno_error("listen for IPv6 addresses"));
    }
    return {};
}

std::expected<void, Error> Netlink::await(const std::vector<Address>& addresses, std::vector<Address>& usable) {
    constexpr int patience = 1000;  // ms
    Replies buffer;
    const auto is_usable = [&](const Address& one) { return std::ranges::find(usable, one) != usable.end(); };
    while (!std::ranges::all_of(addresses, is_usable)) {
        pollfd waiting{mnl_socket_get_fd(socket_.get()), POLLIN, 0};
        const int ready = poll(&waiting, 1, patience);
        if (ready == 0) {
            break;
        }
        const auto received = ready < 0 ? -1 : mnl_socket_recvfrom(socket_.get(), buffer.data(), buffer.size());
        if (received < 0 && errno != EINTR) {
            return std::unexpected(errno_error("wait for the IPv6 addresses"));
        }
        auto left = static_cast<int>(received);
        for (const auto* notice = reinterpret_cast<const nlmsghdr*>(buffer.data()); mnl_nlmsg_ok(notice, left);
             notice = mnl_nlmsg_next(notice, &left)) {
            note(*notice, usable);
        }
    }
    return hear_of_ipv6_addresses(false);
}

std::expected<void, Error> Netlink::commit(const Batch& batch) {
    const auto refusals = TRY(try_all(batch));
    return refusals.empty() ? std::expected<void, Error>{} : std::unexpected(refusals.front().error);
}

std::expected<std::vector<Netlink::Refusal>, Error> Netlink::try_all(const Batch& batch) {
    std::vector<Refusal> refusals;
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
        return refusals;
    }
    const bool has_ipv6 = !batch.ipv6_addresses_.empty();
    if (has_ipv6) {
        TRY(hear_of_ipv6_addresses(true));
    }
    if (mnl_socket_sendto(socket_.get(), bytes.data(), bytes.size()) < 0) {
        return std::unexpected(errno_error(batch.messages_.front().step));
    }
    bool all_addresses = true;
    std::vector<Address> usable;
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
                note(*reply, usable);
                continue;
            }
            answered++;
            const auto* ack = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(reply));
            const auto place = reply->nlmsg_seq - first;
            const auto& message = batch.messages_.at(place);
            if (ack->error != 0 && -ack->error != message.expected) {
                all_addresses &= message.header().nlmsg_type != RTM_NEWADDR;
                refusals.push_back({place, refused(-ack->error, message.step, *reply)});
            }
        }
    }
    if (has_ipv6 && all_addresses) {
        TRY(await(batch.ipv6_addresses_, usable));
    }
    return refusals;
}

}  // namespace causeway
