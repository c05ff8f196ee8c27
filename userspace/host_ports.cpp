// SPDX-License-Identifier: Apache-2.0
#include "userspace/host_ports.hpp"

#include <arpa/inet.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>
#include <tuple>
#include <utility>

#include "userspace/attachment.hpp"
#include "userspace/failures.hpp"
#include "userspace/protocol.hpp"

namespace causeway {

namespace {

const std::string reserved_path = "/proc/sys/net/ipv4/ip_local_reserved_ports";

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

// What is published on all addresses of a family, and whose place somebody has marked.
struct OnAll {
    PortMapping mapping;
    int family;
};

// Whether somebody else has one of these ports on one address: one walk, however many they are. Who publishes on one
// address marks the place, and has it on record, before the entry that is looked for.
std::expected<void, Error> refuse_split(const Datapath& datapath, const Publishing& publishing,
                                        const std::vector<OnAll>& published, const Publisher& publisher) {
    std::map<std::tuple<std::uint16_t, std::uint8_t, int>, const OnAll*> wanted;
    for (const auto& one : published) {
        wanted[{one.mapping.host_port, one.mapping.protocol, one.family}] = &one;
    }
    std::vector<std::pair<const OnAll*, Address>> found;
    if (!wanted.empty()) {
        TRY(publishing.publications.for_each([&](const publication_key&, const publication& record) {
            const Address host(record.host);
            const auto same = wanted.find({record.host_port, record.protocol, host.family()});
            if (!host.is_none() && host != Address::unspecified(host.family()) && same != wanted.end()) {
                found.emplace_back(same->second, host);
            }
        }));
    }
    for (const auto& [one, host] : found) {
        const auto other = TRY(datapath.flows.look_up(key_of(one->mapping, host)));
        if (other && other->link.ifindex != publisher.identity.link.ifindex) {
            TRY(refuse_others(datapath, one->mapping, other->link.ifindex, publisher));
        }
    }
    return {};
}

std::expected<std::optional<std::uint32_t>, Error> owner_on_all_addresses(const Datapath& datapath,
                                                                          const PortMapping& mapping,
                                                                          const Address& host) {
    const auto other = TRY(datapath.flows.look_up(key_of(mapping, Address::unspecified(host.family()))));
    return other ? std::optional(std::uint32_t{other->link.ifindex}) : std::nullopt;
}

// False: another interface of the container's has it.
std::expected<bool, Error> insert(const Datapath& datapath, const PortMapping& mapping, const Address& host,
                                  const flow& entry, const Publisher& publisher) {
    const auto key = key_of(mapping, host);
    const auto inserted = datapath.flows.insert(key, entry, "the published port " + text_of(mapping));
    if (!inserted && inserted.error().number == EEXIST) {
        TRY(refuse_others(datapath, mapping, datapath.flows.find(key).value_or(flow{}).link.ifindex, publisher));
        return false;
    }
    return inserted ? std::expected<bool, Error>(true) : std::unexpected(inserted.error());
}

// The look before the entry as well, so that not one packet is taken from who has had it all along. The place is marked
// before the entry, which a walk is to find. False: as above.
std::expected<bool, Error> publish_on_one(const Datapath& datapath, const Publishing& publishing,
                                          const PortMapping& mapping, const Address& host, const flow& entry,
                                          const Publisher& publisher) {
    if (const auto owner = TRY(owner_on_all_addresses(datapath, mapping, host))) {
        TRY(refuse_others(datapath, mapping, *owner, publisher));
        return false;
    }
    TRY(publishing.places.put(place_of(mapping), 1, "the published port " + text_of(mapping)));
    const bool inserted = TRY(insert(datapath, mapping, host, entry, publisher));
    if (const auto owner = TRY(owner_on_all_addresses(datapath, mapping, host))) {
        TRY(refuse_others(datapath, mapping, *owner, publisher));
    }
    return inserted;
}

bool is_published_in(const PortMapping& mapping, family family) {
    return !mapping.host || mapping.host->family() == family;
}

flow_key key_in(const PortMapping& mapping, family family) {
    return key_of(mapping, mapping.host.value_or(Address::unspecified(family)));
}

// What of the mapping is the publisher's own now: all, nothing, or one family of it.
std::expected<std::optional<PortMapping>, Error> publish_one(const Datapath& datapath, const Publishing& publishing,
                                                             const PortMapping& mapping, const Publisher& publisher,
                                                             std::vector<OnAll>& on_all) {
    const auto& identity = publisher.identity;
    flow entry{.created = publisher.created,
               .port = htons(mapping.sandbox_port),
               .flags = FLOW_OPEN,
               .link = identity.link,
               .network = static_cast<__u16>(identity.network)};
    auto own = mapping;
    bool of_others = false;
    std::optional<Address> made;
    for (const auto family : {FAMILY_IPV4, FAMILY_IPV6}) {
        if (!is_published_in(mapping, family)) {
            continue;
        }
        entry.address = identity.address[family];
        const auto all = Address::unspecified(family), host = mapping.host.value_or(all);
        if (Address(entry.address).is_none()) {
            const auto present = mapping.host ? TRY(datapath.flows.look_up(key_of(mapping, host))) : std::nullopt;
            if (present) {  // the container's other interface may have the family
                TRY(refuse_others(datapath, mapping, present->link.ifindex, publisher));
                of_others = true;
                continue;
            }
            if (mapping.host) {
                return fail(Code::invalid_configuration, "publish port " + text_of(mapping) + ": the sandbox has no " +
                                                             name_of(family) + " address");
            }
            continue;
        }
        const bool inserted = TRY(host != all ? publish_on_one(datapath, publishing, mapping, host, entry, publisher)
                                              : insert(datapath, mapping, host, entry, publisher));
        if (!inserted) {
            of_others = true;
            continue;
        }
        made = host;
        if (host == all) {
            on_all.push_back({mapping, host.family()});
        }
    }
    if (of_others) {
        own.host = made;
    }
    return made ? std::optional(own) : std::nullopt;
}

}  // namespace

std::expected<void, Error> verify_published(const Datapath& datapath, const PortMapping& mapping,
                                            const sandbox& identity) {
    for (const auto family : {FAMILY_IPV4, FAMILY_IPV6}) {
        if (!is_published_in(mapping, family) || Address(identity.address[family]).is_none()) {
            continue;
        }
        const auto entry = datapath.flows.find(key_in(mapping, family));
        if (!entry || entry->link.ifindex != identity.link.ifindex || entry->port != htons(mapping.sandbox_port)) {
            return fail(Code::check_failed, "the published port " + text_of(mapping) + " is gone");
        }
    }
    return {};
}

std::expected<host_ports, Error> reserved_ports() {
    host_ports ports{};
    std::ifstream file(reserved_path);
    std::string text;
    std::getline(file, text);
    if (file.bad()) {
        return std::unexpected(errno_error("read " + reserved_path));
    }
    std::istringstream ranges(text);
    for (std::string range; std::getline(ranges, range, ',');) {
        if (!add_ports(range, ports)) {
            return fail(Code::io_failure, "read " + reserved_path + ": \"" + range + "\" is no range of ports");
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

// First the entries and then the look for whom they would split a port with: so of two at once, one on all addresses
// and one on one of them, at least one finds the other's; what has been made, the failed ADD takes back. The places of
// what is published on all addresses are marked behind the look, which would find its own marks.
std::expected<std::vector<PortMapping>, Error> publish(const Datapath& datapath, const Publishing& publishing,
                                                       const std::vector<PortMapping>& ports,
                                                       const Publisher& publisher) {
    std::vector<PortMapping> own;
    std::vector<OnAll> on_all, suspected;
    for (const auto& mapping : ports) {
        if (const auto one = TRY(publish_one(datapath, publishing, mapping, publisher, on_all))) {
            own.push_back(*one);
        }
    }
    for (const auto& one : on_all) {
        if (TRY(publishing.places.look_up(place_of(one.mapping))).value_or(0) != 0) {
            suspected.push_back(one);
        }
    }
    TRY(refuse_split(datapath, publishing, suspected, publisher));
    for (const auto& one : on_all) {
        TRY(publishing.places.put(place_of(one.mapping), 1, "the published port " + text_of(one.mapping)));
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
            failures.note(unpublish_one(key_in(mapping, family), "the published port " + text_of(mapping)));
        }
    }
    return failures.result();
}

}  // namespace causeway
