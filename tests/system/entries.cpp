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
#include <functional>
#include <stdexcept>
#include <string_view>

#include <causeway/abi.h>

#include "userspace/pool.hpp"

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
        value_size_ = info.value_size;
    }
    Map(const Map&) = delete;
    Map& operator=(const Map&) = delete;
    ~Map() { close(fd_); }

    int fd() const { return fd_; }
    std::size_t key_size() const { return key_size_; }
    std::size_t value_size() const { return value_size_; }

    static bool is_there(const std::string& name) {
        const int fd = bpf_obj_get((directory() + name).c_str());
        close(fd);
        return fd >= 0;
    }

    void for_each_key(const std::function<void(const Bytes&)>& body) const {
        Bytes key(key_size_);
        for (const void* previous = nullptr; bpf_map_get_next_key(fd_, previous, key.data()) == 0;
             previous = key.data()) {
            body(key);
        }
    }

    Bytes value_of(const Bytes& key) const {
        Bytes value(value_size_);
        if (bpf_map_lookup_elem(fd_, key.data(), value.data()) != 0) {
            fail("look up an entry of");
        }
        return value;
    }

    void put(const Bytes& key, const Bytes& value) const {
        if (bpf_map_update_elem(fd_, key.data(), value.data(), BPF_EXIST) != 0) {
            fail("update an entry of");
        }
    }

    [[noreturn]] void fail(const std::string& step) const {
        throw std::runtime_error(step + " " + path_ + ": " + std::strerror(errno));
    }

private:
    static std::string directory() { return "/sys/fs/bpf/causeway/v" + std::to_string(CAUSEWAY_ABI_VERSION) + "/"; }

    std::string path_;
    int fd_;
    std::size_t key_size_ = 0, value_size_ = 0;
};

// Without the zeros at the end, of which a record of texts has many.
std::string hexadecimal(const Bytes& bytes) {
    static constexpr std::string_view digits = "0123456789abcdef";
    const auto end = std::ranges::find_if(bytes.rbegin(), bytes.rend(), [](auto byte) { return byte != 0; }).base();
    std::string text;
    for (auto byte = bytes.begin(); byte != end; ++byte) {
        text += {digits[*byte >> 4], digits[*byte & 15]};
    }
    return text;
}

bool is_zero(const Bytes& bytes, std::size_t from, std::size_t count) {
    return std::all_of(&bytes[from], &bytes[from] + count, [](auto byte) { return byte == 0; });
}

bool is_published_port(const Bytes& flow) {
    return is_zero(flow, offsetof(flow_key, source), sizeof(flow_key::source)) &&
           is_zero(flow, offsetof(flow_key, scope), sizeof(flow_key::scope));
}

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
        throw std::runtime_error("no IP address: " + address);
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

void overwrite_entry(const std::string& map, const Bytes& key, std::size_t offset, const Bytes& bytes) {
    const Map opened(map);
    auto value = opened.value_of(key);
    std::ranges::copy(bytes, value.begin() + static_cast<std::ptrdiff_t>(offset));
    opened.put(key, value);
}

void record_host_end(const std::string& container, const std::string& interface, const std::string& device) {
    const Map map("attachments");
    const auto key = key_of_attachment(container, interface);
    auto value = map.value_of(key);
    const std::uint32_t index = if_nametoindex(device.c_str());
    std::memcpy(value.data() + offsetof(attachment, ifindex), &index, sizeof(index));
    map.put(key, value);
}

void begin_flows_later() {
    constexpr std::uint64_t hour = 3'600'000'000'000;  // ns
    const Map map("flows");
    for (const auto& key : keys_of("flows")) {
        auto value = map.value_of(key);
        std::uint64_t created = 0;
        std::memcpy(&created, value.data() + offsetof(flow, created), sizeof(created));
        created += hour;
        std::memcpy(value.data() + offsetof(flow, created), &created, sizeof(created));
        map.put(key, value);
    }
}

std::set<Bytes> keys_of(const std::string& map) {
    const Map opened(map);
    std::set<Bytes> keys;
    opened.for_each_key([&](const Bytes& key) { keys.insert(key); });
    return keys;
}

std::string lasting_entries() {
    std::string lines;
    if (!Map::is_there("attachments")) {
        return lines;
    }
    for (const std::string name :
         {"attachments", "endpoints", "networks", "port_blocks", "publications", "sandboxes", "slots", "uplinks"}) {
        const Map map(name);
        map.for_each_key([&](const Bytes& key) {
            const auto value = map.value_of(key);
            if (name != "networks" || !is_zero(value, 0, value.size())) {
                lines += name + " " + hexadecimal(key) + ": " + hexadecimal(value) + "\n";
            }
        });
    }
    for (const std::string name : {"flows", "shapers"}) {
        Map(name).for_each_key([&](const Bytes& key) {
            if (name == "shapers" || is_published_port(key)) {
                lines += name + " " + hexadecimal(key) + "\n";
            }
        });
    }
    return lines;
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

namespace {

template <typename T>
T value_of(std::expected<T, Error> result) {
    if (!result) {
        throw std::runtime_error(result.error().message);
    }
    return std::move(*result);
}

}  // namespace

Claims claim_addresses(const std::string& subnet, int count) {
    const auto datapath = value_of(Datapath::open());
    const auto range = value_of(Range::of_subnet(value_of(Prefix::parse(subnet))));
    Claims claims;
    int attempts = 0;
    const Claimant claimant{.claim = 1, .about_to = [&](const Address&) -> std::expected<void, Error> {
                                attempts++;
                                return {};
                            }};
    for (int i = 0; i < count; ++i) {
        attempts = 0;
        claims.addresses.insert(value_of(claim_address(datapath, {&range, 1}, claimant, false)).address.text());
        claims.most_attempts = std::max(claims.most_attempts, attempts);
    }
    return claims;
}

void fill_networks() {
    const Map opened("networks"), attachments("attachments");
    for (std::uint32_t id = 1; id < CAUSEWAY_NETWORKS_MAX; ++id) {
        network record{};
        if (bpf_map_lookup_elem(opened.fd(), &id, &record) != 0) {
            opened.fail("look up a network in");
        }
        if (record.name[0] == '\0') {
            std::ranges::copy("full" + std::to_string(id), record.name);
            std::ranges::copy("full" + std::to_string(id), record.device);
            if (bpf_map_update_elem(opened.fd(), &id, &record, BPF_ANY) != 0) {
                opened.fail("record a network in");
            }
            attachment sandbox{};
            sandbox.claim = id;
            sandbox.state = ATTACHMENT_CONNECTED;
            sandbox.network = id;
            const auto key = key_of_attachment(record.name, "eth0");
            if (bpf_map_update_elem(attachments.fd(), key.data(), &sandbox, BPF_NOEXIST) != 0) {
                attachments.fail("record a sandbox in");
            }
        }
    }
}

void record_uplinks(const std::vector<std::uint32_t>& ifindexes) {
    const Map opened("uplinks");
    const uplink entry{};
    for (const auto ifindex : ifindexes) {
        if (bpf_map_update_elem(opened.fd(), &ifindex, &entry, BPF_ANY) != 0 && errno != E2BIG) {
            opened.fail("record an uplink in");
        }
    }
}

}  // namespace causeway::test
