// SPDX-License-Identifier: Apache-2.0
#include "userspace/host_ports.hpp"

#include <arpa/inet.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <map>
#include <ranges>
#include <string_view>
#include <tuple>
#include <utility>

#include "userspace/attachment.hpp"
#include "userspace/failures.hpp"
#include "userspace/protocol.hpp"
#include "userspace/sysctl.hpp"

namespace causeway {

namespace {

const std::string reserved_setting = "net/ipv4/ip_local_reserved_ports";

// "8080" or "9000-9010".
bool add_ports(std::string_view text, host_ports& ports) {
    std::uint16_t first = 0, last = 0;
    const char* const end = text.data() + text.size();
    const auto [dash, bad] = std::from_chars(text.data(), end, first);
    last = first;
    const char* at = dash;
    if (bad == std::errc{} && dash != end && *dash == '-') {
        at = std::from_chars(dash + 1, end, last).ptr;
    }
    if (bad != std::errc{} || at != end || last < first) {
        return false;
    }
    for (std::uint32_t port = first; port <= last; port++) {
        ports.reserved[port / 64] |= std::uint64_t{1} << port % 64;
    }
    return true;
}

// Nobody where that can't be told.
std::optional<SandboxId> owner_of(const Datapath& datapath, std::uint32_t ifindex) {
    std::optional<SandboxId> owner;
    if (ifindex == 0) {  // as records have it that are no sandbox's yet, or any more
        return owner;
    }
    const auto walked = datapath.attachments.for_each([&](const attachment_key& key, const attachment& record) {
        if (record.ifindex == ifindex) {
            owner = id_of(key);
        }
    });
    return walked ? owner : std::nullopt;
}

std::string text_of(const PortMapping& mapping) {
    const bool all = mapping.host && *mapping.host == Address::unspecified(mapping.host->family());
    const std::string host = !mapping.host ? "every address"
                             : all         ? std::string("every ") + name_of(mapping.host->family()) + " address"
                                           : mapping.host->text();
    return std::to_string(mapping.host_port) + "/" + name_of_protocol(mapping.protocol) + " on " + host;
}

std::uint32_t place_of(const PortMapping& mapping) {
    return mapping.host_port % CAUSEWAY_PUBLISHED_PLACES;
}

flow_key key_of(const PortMapping& mapping, const Address& host) {
    return {.source = {},
            .destination = host.raw(),
            .source_port = 0,
            .destination_port = htons(mapping.host_port),
            .scope = 0,
            .protocol = mapping.protocol,
            .world_asks = 0,
            .reserved = {}};
}

// No error where it is the publisher's own container that has it, by another interface.
std::expected<void, Error> refuse_others(const Datapath& datapath, const PortMapping& mapping, std::uint32_t ifindex,
                                         const Publisher& publisher) {
    const auto owner = owner_of(datapath, ifindex);
    if (owner && owner->container == publisher.container) {
        return {};
    }
    return fail(Code::conflict, "publish port " + text_of(mapping) + ": " +
                                    (owner ? name_of(*owner) : "another sandbox") + " has it already");
}

bool is_published_in(const PortMapping& mapping, family family) {
    return !mapping.host || mapping.host->family() == family;
}

Address host_in(const PortMapping& mapping, family family) {
    return mapping.host.value_or(Address::unspecified(family));
}

bool is_of_all(const Address& host) {
    return host == Address::unspecified(host.family());
}

// False: another interface of the publisher's container has it.
std::expected<bool, Error> is_free(const Datapath& datapath, const PortMapping& mapping, const Address& host,
                                   const Publisher& publisher) {
    for (const auto& address : {host, Address::unspecified(host.family())}) {
        if (const auto other = TRY(datapath.flows.look_up(key_of(mapping, address)))) {
            TRY(refuse_others(datapath, mapping, other->link.ifindex, publisher));
            return false;
        }
    }
    return true;
}

// An entry that leads to the publisher's sandbox.
struct Lead {
    PortMapping mapping;
    Address host;
    flow entry;
};

// Whether somebody else has one of the ports on one address that are to be published on all: one walk, however many
// they are, and only where their places are marked, as everybody's are who has published.
std::expected<void, Error> refuse_split(const Datapath& datapath, const Publishing& publishing,
                                        const std::vector<Lead>& leads, const Publisher& publisher) {
    std::map<std::tuple<std::uint16_t, std::uint8_t, int>, const Lead*> wanted;
    for (const auto& lead : leads) {
        if (is_of_all(lead.host) && TRY(publishing.places.look_up(place_of(lead.mapping))).value_or(0) != 0) {
            wanted[{lead.mapping.host_port, lead.mapping.protocol, lead.host.family()}] = &lead;
        }
    }
    std::vector<std::pair<const Lead*, Address>> found;
    if (!wanted.empty()) {
        TRY(publishing.publications.for_each([&](const publication_key&, const publication& record) {
            const Address host(record.host);
            const auto same = wanted.find({record.host_port, record.protocol, host.family()});
            if (!host.is_none() && !is_of_all(host) && same != wanted.end()) {
                found.emplace_back(same->second, host);
            }
        }));
    }
    for (const auto& [lead, host] : found) {
        if (const auto other = TRY(datapath.flows.look_up(key_of(lead->mapping, host)))) {
            TRY(refuse_others(datapath, lead->mapping, other->link.ifindex, publisher));
        }
    }
    return {};
}

// What of the mapping can be the publisher's own: all, nothing, or one family of it; and by which entries.
std::expected<std::optional<PortMapping>, Error> plan(const Datapath& datapath, const PortMapping& mapping,
                                                      const Publisher& publisher, std::vector<Lead>& leads) {
    const auto& identity = publisher.identity;
    auto own = mapping;
    bool of_others = false;
    std::optional<Address> planned;
    for (const auto family : {FAMILY_IPV4, FAMILY_IPV6}) {
        const auto host = host_in(mapping, family);
        const bool absent = Address(identity.address[family]).is_none();
        if (!is_published_in(mapping, family) || (absent && !mapping.host)) {
            continue;
        }
        if (!TRY(is_free(datapath, mapping, host, publisher))) {
            of_others = true;
            continue;
        }
        if (absent) {  // and no other interface of the container has the family
            return fail(Code::invalid_configuration,
                        "publish port " + text_of(mapping) + ": the sandbox has no " + name_of(family) + " address");
        }
        leads.push_back({mapping,
                         host,
                         {.created = publisher.created,
                          .address = identity.address[family],
                          .port = htons(mapping.sandbox_port),
                          .flags = FLOW_OPEN,
                          .link = identity.link,
                          .network = static_cast<__u16>(identity.network)}});
        planned = host;
    }
    if (of_others) {
        own.host = planned;
    }
    return planned ? std::optional(own) : std::nullopt;
}

}  // namespace

std::expected<void, Error> verify_published(const Datapath& datapath, const PortMapping& mapping,
                                            const sandbox& identity) {
    for (const auto family : {FAMILY_IPV4, FAMILY_IPV6}) {
        if (!is_published_in(mapping, family) || Address(identity.address[family]).is_none()) {
            continue;
        }
        const auto entry = datapath.flows.find(key_of(mapping, host_in(mapping, family)));
        if (!entry || entry->link.ifindex != identity.link.ifindex || entry->port != htons(mapping.sandbox_port)) {
            return fail(Code::check_failed, "the published port " + text_of(mapping) + " is gone");
        }
    }
    return {};
}

std::expected<host_ports, Error> reserved_ports() {
    host_ports ports{};
    const auto text = sysctl_value(reserved_setting);
    if (!text && errno != ENOENT) {
        return std::unexpected(errno_error("read /proc/sys/" + reserved_setting));
    }
    for (const auto part : std::views::split(text.value_or(""), ',')) {
        const std::string_view range(part);
        if (!add_ports(range, ports)) {
            return fail(Code::io_failure,
                        "read /proc/sys/" + reserved_setting + ": \"" + std::string(range) + "\" is no range of ports");
        }
    }
    return ports;
}

std::expected<void, Error> refresh_reserved_ports(const Datapath& datapath) {
    const auto now = TRY(reserved_ports());
    const auto known = datapath.ports.find(0);
    if (known && std::memcmp(&*known, &now, sizeof(now)) == 0) {
        return {};
    }
    return datapath.ports.put(0, now, "the reserved ports");
}

// All looks before the first entry, so that who is refused has taken no packet from who has had the port all along.
std::expected<std::vector<PortMapping>, Error> publish(const Datapath& datapath, const Publishing& publishing,
                                                       const std::vector<PortMapping>& ports,
                                                       const Publisher& publisher) {
    const auto lock = TRY(PublishingLock::take());
    std::vector<PortMapping> own;
    std::vector<Lead> leads;
    for (const auto& mapping : ports) {
        if (const auto one = TRY(plan(datapath, mapping, publisher, leads))) {
            own.push_back(*one);
        }
    }
    TRY(refuse_split(datapath, publishing, leads, publisher));
    for (const auto& lead : leads) {
        const std::string what = "the published port " + text_of(lead.mapping);
        TRY(publishing.places.put(place_of(lead.mapping), 1, what));
        TRY(datapath.flows.insert(key_of(lead.mapping, lead.host), lead.entry, what));
    }
    TRY(datapath.publishing.put(0, 1, "that ports are published"));
    return own;
}

std::expected<void, Error> unpublish(const Datapath& datapath, const std::vector<PortMapping>& ports,
                                     std::uint32_t ifindex) {
    const auto unpublish_one = [&](const flow_key& key, const std::string& what) -> std::expected<void, Error> {
        const auto entry = TRY(datapath.flows.look_up(key));
        if (!entry || entry->link.ifindex != ifindex) {  // as what the port was refused for
            return {};
        }
        return datapath.flows.erase(key, what);
    };
    Failures failures;
    for (const auto& mapping : ports) {
        for (const auto family : {FAMILY_IPV4, FAMILY_IPV6}) {
            failures.note(
                unpublish_one(key_of(mapping, host_in(mapping, family)), "the published port " + text_of(mapping)));
        }
    }
    return failures.result();
}

}  // namespace causeway
