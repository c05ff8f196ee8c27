// SPDX-License-Identifier: Apache-2.0
// What is on record of a sandbox's interface, and whether that stands. Layer 3.
#pragma once

#include <compare>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "userspace/datapath.hpp"
#include "userspace/netlink.hpp"

namespace causeway {

struct SandboxId {
    std::string container;  // shorter than CAUSEWAY_CONTAINER_LEN
    std::string interface;  // its name in the sandbox

    auto operator<=>(const SandboxId&) const = default;
};

std::string name_of(const SandboxId& id);  // for messages
attachment_key key_of(const SandboxId& id);
SandboxId id_of(const attachment_key& key);

struct Attachment {
    attachment_key key{};
    attachment record{};

    std::vector<Address> addresses() const;  // claimed, or about to be
    std::string what() const { return "the record of " + name_of(id_of(key)); }
};

// Writes the record, in place of what was there.
std::expected<void, Error> save(const Datapath& datapath, const Attachment& attachment);

// Whether it is connected, and whole: no disconnect has begun to undo it, and its host end is there. What is left of
// one that does not stand is nobody's, and may be undone.
std::expected<bool, Error> stands(const Datapath& datapath, Netlink& netlink, const attachment& record);
std::unexpected<Error> connected_already(const SandboxId& id);
// Another call may be asking an IPAM plugin for it, or giving back to one: AskingLock is held, by whomever.
std::unexpected<Error> at_work(const SandboxId& id);

// What the host end of a claim is called: "cw" and 13 characters of 32. Names of devices end at 15.
std::string host_end_name(std::uint64_t claim);
bool is_host_end_name(const std::string& name);

// By its index, or by its name where a killed connect could not record that yet; none: there is no such device. Whether
// it is its host end, is_host_end_of says.
std::expected<std::optional<Link>, Error> recorded_device(Netlink& netlink, const attachment& record);

// Whether the device that has the recorded index is its host end, whatever an operator calls it now, and not another
// that came by the index later: then it has the recorded name, or causeway's program and no other sandbox's identity.
std::expected<bool, Error> is_host_end_of(const Datapath& datapath, const attachment& record, const Link& link);

}  // namespace causeway
