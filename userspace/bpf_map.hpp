// SPDX-License-Identifier: Apache-2.0
// BPF maps with the types of their keys and values. Layer 1.
#pragma once

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "userspace/error.hpp"
#include "userspace/unique_fd.hpp"

namespace causeway {

// Key must not have padding: the kernel hashes its bytes.
template <typename Key, typename Value>
    requires std::has_unique_object_representations_v<Key> && std::is_trivially_copyable_v<Value>
class BpfMap {
public:
    // remedy: what to do when it is full.
    BpfMap(UniqueFd fd, std::string name, std::string remedy = {})
        : fd_(std::move(fd)), name_(std::move(name)), remedy_(std::move(remedy)) {}

    // Nothing: no such key.
    std::expected<std::optional<Value>, Error> look_up(const Key& key) const {
        Value value{};
        if (bpf_map_lookup_elem(fd_.get(), &key, &value) == 0) {
            return value;
        }
        if (errno == ENOENT) {
            return std::nullopt;
        }
        return std::unexpected(errno_error("look up an entry of the map " + name_));
    }

    // The same for those to whom what can't be read is as good as absent.
    std::optional<Value> find(const Key& key) const { return look_up(key).value_or(std::nullopt); }

    // EEXIST when the key is there: then nothing changes; Code::exhausted, with E2BIG, when there is no room for one
    // more. what: the entry, for the error.
    std::expected<void, Error> insert(const Key& key, const Value& value, const std::string& what) const {
        return update(key, value, BPF_NOEXIST, what);
    }

    std::expected<void, Error> put(const Key& key, const Value& value, const std::string& what) const {
        return update(key, value, BPF_ANY, what);
    }

    // No such key: no error.
    std::expected<void, Error> erase(const Key& key, const std::string& what) const {
        if (bpf_map_delete_elem(fd_.get(), &key) != 0 && errno != ENOENT) {
            return std::unexpected(errno_error("remove " + what + " from the map " + name_));
        }
        return {};
    }

    // Of how many entries there is room.
    std::expected<std::uint32_t, Error> capacity() const {
        bpf_map_info info{};
        std::uint32_t size = sizeof(info);
        if (bpf_obj_get_info_by_fd(fd_.get(), &info, &size) != 0) {
            return std::unexpected(errno_error("ask for the size of the map " + name_));
        }
        return info.max_entries;
    }

    std::expected<bool, Error> empty() const {
        Key key{};
        if (bpf_map_get_next_key(fd_.get(), nullptr, &key) == 0) {
            return false;
        }
        if (errno == ENOENT) {
            return true;
        }
        return std::unexpected(errno_error("look for an entry of the map " + name_));
    }

    // Every entry there is when the walk begins, once; those that come or go meanwhile, perhaps. at_once: read by one
    // call; of a hash map more than any bucket has, since the kernel wants whole ones.
    std::expected<void, Error> for_each(const std::function<void(const Key&, const Value&)>& visit,
                                        std::uint32_t at_once = 256) const {
        std::vector<Key> keys(at_once);
        std::vector<Value> values(at_once);
        std::uint32_t position = 0;
        for (bool first = true;; first = false) {
            std::uint32_t count = at_once;
            const int result = bpf_map_lookup_batch(fd_.get(), first ? nullptr : &position, &position, keys.data(),
                                                    values.data(), &count, nullptr);
            const bool last = result != 0 && errno == ENOENT;
            if (result != 0 && !last) {
                return std::unexpected(errno_error("read the map " + name_));
            }
            for (std::uint32_t i = 0; i < count; i++) {
                visit(keys[i], values[i]);
            }
            if (last) {
                return {};
            }
        }
    }

    int fd() const { return fd_.get(); }

private:
    std::expected<void, Error> update(const Key& key, const Value& value, std::uint64_t flags,
                                      const std::string& what) const {
        if (bpf_map_update_elem(fd_.get(), &key, &value, flags) == 0) {
            return {};
        }
        const std::string step = "put " + what + " into the map " + name_;
        if (errno != E2BIG) {
            return std::unexpected(errno_error(step));
        }
        return std::unexpected(Error{
            .code = Code::exhausted,
            .message = step + ": it has room for " + std::to_string(TRY(capacity())) + ", and all is taken",
            .details = remedy_,
            .number = E2BIG,
        });
    }

    UniqueFd fd_;
    std::string name_, remedy_;
};

// Values are counters of 64 bits, one set a CPU, that are read as their sum.
template <typename Key, typename Counters>
    requires(std::has_unique_object_representations_v<Key> && sizeof(Counters) % sizeof(std::uint64_t) == 0)
class PerCpuCounters {
public:
    PerCpuCounters(UniqueFd fd, std::string name) : fd_(std::move(fd)), name_(std::move(name)) {}

    std::optional<Counters> sum(const Key& key) const {
        const int cpus = libbpf_num_possible_cpus();
        if (cpus < 0) {
            return std::nullopt;
        }
        std::vector<Counters> values(static_cast<std::size_t>(cpus));
        if (bpf_map_lookup_elem(fd_.get(), &key, values.data()) != 0) {
            return std::nullopt;
        }
        std::array<std::uint64_t, sizeof(Counters) / sizeof(std::uint64_t)> sums{};
        for (const auto& value : values) {
            std::array<std::uint64_t, sums.size()> one{};
            std::memcpy(one.data(), &value, sizeof(value));
            for (std::size_t i = 0; i < sums.size(); i++) {
                sums[i] += one[i];
            }
        }
        Counters total{};
        std::memcpy(&total, sums.data(), sizeof(total));
        return total;
    }

    std::expected<void, Error> reset(const Key& key, const std::string& what) const {
        const int cpus = libbpf_num_possible_cpus();
        if (cpus < 0) {
            return std::unexpected(kernel_error(-cpus, "count the CPUs for " + what));
        }
        const std::vector<Counters> zeros(static_cast<std::size_t>(cpus));
        if (bpf_map_update_elem(fd_.get(), &key, zeros.data(), BPF_ANY) != 0) {
            return std::unexpected(errno_error("put " + what + " into the map " + name_));
        }
        return {};
    }

    int fd() const { return fd_.get(); }

private:
    UniqueFd fd_;
    std::string name_;
};

}  // namespace causeway
