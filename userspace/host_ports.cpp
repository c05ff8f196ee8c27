// SPDX-License-Identifier: Apache-2.0
#include "userspace/host_ports.hpp"

#include <arpa/inet.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <sstream>

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

std::string owner_of(const Datapath& datapath, std::uint32_t ifindex) {
    std::string owner = "another sandbox";
    const auto walked = datapath.attachments.for_each([&](const attachment_key& key, const attachment& record) {
        if (record.ifindex == ifindex) {
            owner = name_of(id_of(key));
        }
    });
    return walked ? owner : "another sandbox";
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

std::unexpected<Error> taken(const Datapath& datapath, const PortMapping& mapping, std::uint32_t ifindex) {
    return fail(Code::conflict,
                "publish port " + text_of(mapping) + ": " + owner_of(datapath, ifindex) + " has it already");
}

// Whether somebody else has the port that this one takes of all addresses of its family on one of them. The walk is for
// those alone whose place somebody has marked: who publishes on one address marks it, and has it on record, before the
// entry that is looked for.
std::expected<std::optional<std::uint32_t>, Error> owner_on_one_address(const Datapath& datapath,
                                                                        const Publishing& publishing,
                                                                        const PortMapping& mapping, const flow& entry) {
    if (TRY(publishing.places.look_up(place_of(mapping))).value_or(0) == 0) {
        return std::nullopt;
    }
    std::vector<Address> hosts;
    TRY(publishing.publications.for_each([&](const publication_key&, const publication& record) {
        const Address host(record.host);
        if (record.host_port == mapping.host_port && record.protocol == mapping.protocol && !host.is_none() &&
            host.family() == Address(entry.address).family()) {
            hosts.push_back(host);
        }
    }));
    for (const auto& host : hosts) {
        const auto other = TRY(datapath.flows.look_up(key_of(mapping, host)));
        if (other && other->link.ifindex != entry.link.ifindex) {
            return other->link.ifindex;
        }
    }
    return std::nullopt;
}

std::expected<std::optional<std::uint32_t>, Error> owner_on_all_addresses(const Datapath& datapath,
                                                                          const PortMapping& mapping,
                                                                          const Address& host) {
    const auto other = TRY(datapath.flows.look_up(key_of(mapping, Address::unspecified(host.family()))));
    return other ? std::optional(std::uint32_t{other->link.ifindex}) : std::nullopt;
}

// First the entry and then the look for whom it would split the port with: so of two at once, one on all addresses and
// one on one of them, at least one finds the other's. The place is marked before the entry on one address, which a walk
// is to find, and after the look of one on all, which else would find its own mark.
std::expected<void, Error> publish_on(const Datapath& datapath, const Publishing& publishing,
                                      const PortMapping& mapping, const Address& host, const flow& entry) {
    const bool all = host == Address::unspecified(host.family());
    const auto other_owner = [&] {
        return all ? owner_on_one_address(datapath, publishing, mapping, entry)
                   : owner_on_all_addresses(datapath, mapping, host);
    };
    const std::string what = "the published port " + text_of(mapping);
    if (!all) {
        // Before it as well, so that not one packet is taken from who has had it all along.
        if (const auto owner = TRY(other_owner())) {
            return taken(datapath, mapping, *owner);
        }
        TRY(publishing.places.put(place_of(mapping), 1, what));
    }
    const auto key = key_of(mapping, host);
    auto inserted = datapath.flows.insert(key, entry, what);
    if (!inserted && inserted.error().number == EEXIST) {
        return taken(datapath, mapping, datapath.flows.find(key).value_or(flow{}).link.ifindex);
    }
    TRY(std::move(inserted));
    if (const auto owner = TRY(other_owner())) {
        TRY(datapath.flows.erase(key, what));
        return taken(datapath, mapping, *owner);
    }
    return publishing.places.put(place_of(mapping), 1, what);
}

bool is_published_in(const PortMapping& mapping, family family) {
    return !mapping.host || mapping.host->family() == family;
}

flow_key key_in(const PortMapping& mapping, family family) {
    return key_of(mapping, mapping.host.value_or(Address::unspecified(family)));
}

std::expected<void, Error> publish_one(const Datapath& datapath, const Publishing& publishing,
                                       const PortMapping& mapping, const sandbox& identity, std::uint64_t created) {
    flow entry{.created = created,
               .port = htons(mapping.sandbox_port),
               .flags = FLOW_OPEN,
               .link = identity.link,
               .network = static_cast<__u16>(identity.network)};
    for (const auto family : {FAMILY_IPV4, FAMILY_IPV6}) {
        if (!is_published_in(mapping, family)) {
            continue;
        }
        entry.address = identity.address[family];
        if (!Address(entry.address).is_none()) {
            TRY(publish_on(datapath, publishing, mapping, mapping.host.value_or(Address::unspecified(family)), entry));
        } else if (mapping.host) {
            return fail(Code::invalid_configuration,
                        "publish port " + text_of(mapping) + ": the sandbox has no " + name_of(family) + " address");
        }
    }
    return {};
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

std::expected<void, Error> publish(const Datapath& datapath, const Publishing& publishing,
                                   const std::vector<PortMapping>& ports, const sandbox& identity,
                                   std::uint64_t created) {
    for (const auto& mapping : ports) {
        TRY(publish_one(datapath, publishing, mapping, identity, created));
    }
    return datapath.publishing.put(0, 1, "that ports are published");
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
