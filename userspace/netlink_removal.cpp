// SPDX-License-Identifier: Apache-2.0
// A link's end, without the wait for the kernel's RCU barrier.
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

#include "userspace/netlink_message.hpp"

namespace causeway {

namespace {

constexpr int nobody = -1;  // in place of an errno: who was to delete it has died, or was never there

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
            return got == sizeof(number) ? number : nobody;
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

// A child does the work. It mostly outlives this process, so init reaps it. It holds none of this one's descriptors: a
// runtime that waits for the end of the plugin's output must not wait for it.
bool fork_child(const std::function<void()>& work, int keep) {
    const pid_t child = fork();
    if (child == 0) {
        if (keep > 0) {
            close_range(0, static_cast<unsigned>(keep) - 1, 0);
        }
        close_range(static_cast<unsigned>(keep) + 1, ~0U, 0);
        std::signal(SIGPIPE, SIG_IGN);  // whoever listened may have heard enough
        work();
        _exit(0);
    }
    return child > 0;
}

}  // namespace

std::expected<void, Error> Netlink::delete_link(const std::string& name) {
    const auto link = link_named(name);
    if (!link) {
        return link.error().number == ENODEV ? std::expected<void, Error>{} : std::unexpected(link.error());
    }
    return delete_link(*link);
}

std::expected<void, Error> Netlink::delete_and_wait(const Link& link, const std::string& step) {
    Batch::Message message;
    auto& request = message.start(RTM_DELLINK, NLM_F_ACK);
    auto* info = static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(&request, sizeof(ifinfomsg)));
    info->ifi_index = static_cast<int>(link.ifindex);
    const auto done = exchange(request, step);
    return done || done.error().number == ENODEV ? std::expected<void, Error>{} : done;
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
    const bool begun = fork_child(
        [&] {
            auto netlink = open();
            const auto done = netlink ? netlink->delete_and_wait(link, step) : std::unexpected(netlink.error());
            const int result = done ? 0 : done.error().number;
            const auto said = write(say.get(), &result, sizeof(result));
            _exit(said == sizeof(result) ? 0 : 1);
        },
        say.get());
    say = UniqueFd();
    const int outcome = begun ? wait_for_deletion(notifications.get(), child_says.get(), link.ifindex) : nobody;
    if (outcome == nobody) {  // no process to be had, or somebody has killed it: then this one waits as long
        return delete_and_wait(link, step);
    }
    if (outcome != 0) {
        return std::unexpected(kernel_error(outcome, step));
    }
    return {};
}

}  // namespace causeway
