// SPDX-License-Identifier: Apache-2.0
#include "tests/system/entries.hpp"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <net/if.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <stdexcept>

#include <causeway/abi.h>

namespace causeway::test {
namespace {

class Map {
public:
    explicit Map(const std::string& name) : path_(directory() + name), fd_(bpf_obj_get(path_.c_str())) {
        bpf_map_info info{};
        std::uint32_t size = sizeof(info);
        if (fd_ < 0 || bpf_obj_get_info_by_fd(fd_, &info, &size) != 0) {
            fail("open");
        }
        key_size_ = info.key_size;
    }
    Map(const Map&) = delete;
    Map& operator=(const Map&) = delete;
    ~Map() { close(fd_); }

    int fd() const { return fd_; }
    std::size_t key_size() const { return key_size_; }
    [[noreturn]] void fail(const std::string& step) const {
        throw std::runtime_error(step + " " + path_ + ": " + std::strerror(errno));
    }

private:
    static std::string directory() { return "/sys/fs/bpf/causeway/v" + std::to_string(CAUSEWAY_ABI_VERSION) + "/"; }

    std::string path_;
    int fd_;
    std::size_t key_size_ = 0;
};

}  // namespace

Bytes key_of_device(const std::string& device) {
    const std::uint32_t number = if_nametoindex(device.c_str());
    Bytes bytes(sizeof(number));
    std::memcpy(bytes.data(), &number, sizeof(number));
    return bytes;
}

Bytes key_of_address(const std::string& address) {
    Bytes bytes(16);
    if (inet_pton(AF_INET6, (address.find(':') == std::string::npos ? "::ffff:" + address : address).c_str(),
                  bytes.data()) != 1) {
        throw std::runtime_error("no IPv4 address: " + address);
    }
    return bytes;
}

Bytes key_of_attachment(const std::string& container, const std::string& interface) {
    Bytes bytes(sizeof(attachment_key));
    std::ranges::copy(container, bytes.begin() + offsetof(attachment_key, container));
    std::ranges::copy(interface, bytes.begin() + offsetof(attachment_key, interface));
    return bytes;
}

void erase_entry(const std::string& map, const Bytes& key) {
    const Map opened(map);
    if (key.size() != opened.key_size() || bpf_map_delete_elem(opened.fd(), key.data()) != 0) {
        opened.fail("erase an entry of");
    }
}

std::set<Bytes> keys_of(const std::string& map) {
    const Map opened(map);
    std::set<Bytes> keys;
    Bytes key(opened.key_size());
    for (const void* previous = nullptr; bpf_map_get_next_key(opened.fd(), previous, key.data()) == 0;
         previous = key.data()) {
        keys.insert(key);
    }
    return keys;
}

void take_addresses(const std::string& first, int count) {
    const Map opened("endpoints");
    Bytes key = key_of_address(first);
    std::uint32_t number = 0;
    std::memcpy(&number, &key[12], sizeof(number));
    endpoint entry{};
    entry.claim = 1;
    entry.kind = ENDPOINT_CLAIMED;
    for (int i = 0; i < count; ++i) {
        const std::uint32_t next = htonl(ntohl(number) + static_cast<std::uint32_t>(i));
        std::memcpy(&key[12], &next, sizeof(next));
        if (bpf_map_update_elem(opened.fd(), key.data(), &entry, BPF_NOEXIST) != 0) {
            opened.fail("take an address in");
        }
    }
}

}  // namespace causeway::test
