// SPDX-License-Identifier: Apache-2.0
// A network namespace, held open. Layer 1.
#pragma once

#include <expected>
#include <string>
#include <vector>

#include "userspace/error.hpp"
#include "userspace/unique_fd.hpp"

namespace causeway {

class Netns {
public:
    static std::expected<Netns, Error> open(const std::string& path);  // Code::invalid_namespace
    static std::expected<Netns, Error> current();
    // One for each that a process of the host is in, by /proc; those that end meanwhile, perhaps. An error where /proc
    // does not show all of them: in a PID namespace of one's own, or without the right to read one.
    static std::expected<std::vector<Netns>, Error> in_use();

    int fd() const { return fd_.get(); }
    const std::string& path() const { return path_; }
    bool same_as(const Netns& other) const { return device_ == other.device_ && inode_ == other.inode_; }

    // Moves the calling thread there. For opening sockets, which stay in the namespace they were opened in, and
    // for processes that are about to exec: never around other work.
    std::expected<void, Error> enter() const;

private:
    Netns(UniqueFd fd, std::string path, unsigned long device, unsigned long inode)
        : fd_(std::move(fd)), path_(std::move(path)), device_(device), inode_(inode) {}

    UniqueFd fd_;
    std::string path_;
    unsigned long device_, inode_;
};

// A namespace with a name under /run/netns, as "ip netns add" makes it. Undone when a step fails.
std::expected<void, Error> add_named_netns(const std::string& name);
std::expected<void, Error> delete_named_netns(const std::string& name);  // no such name: no error
std::string named_netns_path(const std::string& name);

}  // namespace causeway
