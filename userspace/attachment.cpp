// SPDX-License-Identifier: Apache-2.0
#include "userspace/attachment.hpp"

#include <cerrno>
#include <optional>
#include <string_view>
#include <vector>

#include "userspace/fixed_text.hpp"

namespace causeway {

namespace {

constexpr std::string_view host_end_prefix = "cw";
constexpr std::string_view digits = "0123456789abcdefghijklmnopqrstuv";
constexpr std::size_t digit_count = 13;  // of five bits: all of a claim

}  // namespace

std::string name_of(const SandboxId& id) {
    return "container " + id.container + ", interface " + id.interface;
}

attachment_key key_of(const SandboxId& id) {
    attachment_key key{};
    copy_text(key.container, id.container);
    copy_text(key.interface, id.interface);
    return key;
}

SandboxId id_of(const attachment_key& key) {
    return {key.container, key.interface};
}

std::string host_end_name(std::uint64_t claim) {
    std::string name(host_end_prefix);
    for (std::size_t i = 0; i < digit_count; i++) {
        name += digits[claim & 31];
        claim >>= 5;
    }
    return name;
}

bool is_host_end_name(const std::string& name) {
    return name.starts_with(host_end_prefix) && name.size() == host_end_prefix.size() + digit_count &&
           name.find_first_not_of(digits, host_end_prefix.size()) == std::string::npos;
}

std::vector<Address> Attachment::addresses() const {
    std::vector<Address> addresses;
    for (const auto& raw : record.addresses) {
        if (const Address address(raw); !address.is_none()) {
            addresses.push_back(address);
        }
    }
    return addresses;
}

std::expected<void, Error> save(const Datapath& datapath, const Attachment& attachment) {
    return datapath.attachments.put(attachment.key, attachment.record, attachment.what());
}

std::expected<bool, Error> is_host_end_of(const Datapath& datapath, const attachment& record, const Link& link) {
    if (link.name == record.host_end) {
        return true;
    }
    const int program = datapath.from_sandbox.get();
    if (!TRY(attached(own_device_hook, link.ifindex, Direction::ingress, program, link.name))) {
        return false;
    }
    const auto identity = TRY(datapath.sandboxes.look_up(link.ifindex));
    return !identity || identity->link.slot == record.slot;
}

std::expected<std::optional<Link>, Error> recorded_device(Netlink& netlink, const attachment& record) {
    return none_where(ENODEV,
                      record.ifindex != 0 ? netlink.link_at(record.ifindex) : netlink.link_named(record.host_end));
}

// The identity is the first that a disconnect removes, and a connect writes it before the record says that all is done.
std::expected<bool, Error> stands(const Datapath& datapath, Netlink& netlink, const attachment& record) {
    if (record.state != ATTACHMENT_CONNECTED || !TRY(datapath.sandboxes.look_up(record.ifindex))) {
        return false;
    }
    const auto link = TRY(recorded_device(netlink, record));
    return link && TRY(is_host_end_of(datapath, record, *link));
}

std::unexpected<Error> connected_already(const SandboxId& id) {
    return fail(Code::conflict, name_of(id) + " is connected already", "DEL it first");
}

std::unexpected<Error> at_work(const SandboxId& id) {
    return fail(
        Code::try_again_later,
        name_of(id) +
            " is being connected or disconnected by another call, or a call of it was killed: an IPAM plugin is "
            "being asked just now, and for whom can't be told",
        "wait for the other call, or, where that was killed, DEL it first");
}

}  // namespace causeway
