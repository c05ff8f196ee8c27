// SPDX-License-Identifier: Apache-2.0
// A link's end, without the wait for the kernel's RCU barrier.
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <utility>
#include <vector>

#include "userspace/netlink_message.hpp"

namespace causeway {

namespace {

// What the child reads before the kernel has taken its request.
struct Deletion {
    int socket;
    const nlmsghdr& request;
};

// It shares this process's memory, errno among it, so that starting it copies nothing: it allocates nothing, and when
// its request fails it says nothing and ends. Of the descriptors, which it has copies of, it keeps one: a runtime that
// waits for the end of the plugin's output must not wait for it.
int delete_in_child(void* argument) {
    const auto& [socket, request] = *static_cast<const Deletion*>(argument);
    if (socket > 0) {
        close_range(0, static_cast<unsigned>(socket) - 1, 0);
    }
    close_range(static_cast<unsigned>(socket) + 1, ~0U, 0);
    send(socket, &request, request.nlmsg_len, 0);
    _exit(0);
}

// The last of them mostly outlive this process, so init reaps them. Returns a descriptor that can be read when it has
// ended.
UniqueFd start_child(Deletion& deletion) {
    constexpr std::size_t stack_size = 16 << 10;  // bytes, left until this process ends; one page of them is touched
    void* const stack =
        mmap(nullptr, stack_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    int ended = -1;
    if (stack == MAP_FAILED || clone(delete_in_child, static_cast<char*>(stack) + stack_size,
                                     CLONE_VM | CLONE_PIDFD | SIGCHLD, &deletion, &ended) < 0) {
        return {};
    }
    return UniqueFd(ended);
}

// Those that have ended: who removes many at once would have as many zombies.
void reap_ended(std::vector<UniqueFd>& children) {
    std::erase_if(children, [](const UniqueFd& child) {
        siginfo_t info{};
        const auto id = static_cast<id_t>(child.get());
        return waitid(P_PIDFD, id, &info, WEXITED | WNOHANG) != 0 || info.si_pid != 0;
    });
}

// Waits until the kernel announces that the link is out of its lists (true), or the child has ended without that.
bool wait_for_deletion(mnl_socket* notifications, int child, std::uint32_t ifindex) {
    Replies buffer;
    std::array<pollfd, 2> waiting{{{mnl_socket_get_fd(notifications), POLLIN, 0}, {child, POLLIN, 0}}};
    for (;;) {
        if (poll(waiting.data(), waiting.size(), -1) < 0) {
            if (errno == EINTR) {
                continue;
            }
            return false;
        }
        if (waiting[0].revents == 0) {
            return false;
        }
        const auto received = mnl_socket_recvfrom(notifications, buffer.data(), buffer.size());
        if (received < 0) {  // ENOBUFS: so much is going on that notices were lost; the child's end decides
            waiting[0].fd = -1;
            continue;
        }
        auto left = static_cast<int>(received);
        for (const auto* notice = reinterpret_cast<const nlmsghdr*>(buffer.data()); mnl_nlmsg_ok(notice, left);
             notice = mnl_nlmsg_next(notice, &left)) {
            const auto* info = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(notice));
            if (notice->nlmsg_type == RTM_DELLINK && info->ifi_family == AF_UNSPEC &&
                static_cast<std::uint32_t>(info->ifi_index) == ifindex) {
                return true;
            }
        }
    }
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
    Batch::Message message;
    auto& request = message.start(RTM_DELLINK, 0);
    auto* info = static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(&request, sizeof(ifinfomsg)));
    info->ifi_index = static_cast<int>(link.ifindex);
    request.nlmsg_seq = ++sequence_;

    Socket notifications(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC));
    if (!notifications || mnl_socket_bind(notifications.get(), RTMGRP_LINK, MNL_SOCKET_AUTOPID) < 0) {
        return std::unexpected(errno_error(step));
    }
    Deletion deletion{mnl_socket_get_fd(socket_.get()), request};
    reap_ended(children_);
    UniqueFd started = start_child(deletion);
    const int child = started.get();
    if (started) {
        children_.push_back(std::move(started));
    }
    if (child >= 0 && wait_for_deletion(notifications.get(), child, link.ifindex)) {
        return {};
    }
    // No process to be had, or it has ended: killed, or refused, or done while so much went on that its notice was
    // lost. This one asks then, waits as long as the kernel does, and hears why not.
    request.nlmsg_flags |= NLM_F_ACK;
    const auto done = exchange(request, step);
    return done || done.error().number == ENODEV ? std::expected<void, Error>{} : done;
}

}  // namespace causeway
