// SPDX-License-Identifier: Apache-2.0
#include "userspace/publication.hpp"

#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>

#include "userspace/sysctl.hpp"

namespace causeway {

namespace {

constexpr std::uint32_t loopback_index = 1;  // the first device of every network namespace
const std::string loopback_name = "lo";
const std::string range_setting = "net/ipv4/ip_local_port_range";

publication_key key_of(std::uint64_t claim, std::uint32_t number) {
    return {.claim = claim, .number = number, .reserved = 0};
}

publication publication_of(const PortMapping& mapping) {
    return {.host = mapping.host.value_or(Address{}).raw(),
            .host_port = mapping.host_port,
            .sandbox_port = mapping.sandbox_port,
            .protocol = mapping.protocol,
            .has_host = mapping.host.has_value(),
            .reserved = {}};
}

PortMapping mapping_of(const publication& record) {
    return {.protocol = record.protocol,
            .host = record.has_host != 0 ? std::optional(Address(record.host)) : std::nullopt,
            .host_port = record.host_port,
            .sandbox_port = record.sandbox_port};
}

// The larger part of what the kernel leaves when it gives ports to sockets by itself. A host that leaves hardly any
// shares all of them: then a port that a socket has at that moment is passed over.
std::expected<loopback_ports, Error> ports_for_loopback() {
    constexpr std::uint32_t unprivileged = 1024, last = 65535, enough = 1024;
    std::uint32_t first_given = 0, last_given = 0;
    const auto text = sysctl_value(range_setting).value_or("");
    if (std::sscanf(text.c_str(), "%u %u", &first_given, &last_given) != 2 || first_given > last_given ||
        last_given > last) {
        return fail(Code::io_failure, "read /proc/sys/" + range_setting + ": it holds no range of ports");
    }
    const std::uint32_t below = first_given > unprivileged ? first_given - unprivileged : 0, above = last - last_given;
    if (std::max(below, above) < enough) {
        return loopback_ports{unprivileged, last};
    }
    return below >= above ? loopback_ports{unprivileged, static_cast<std::uint16_t>(first_given - 1)}
                          : loopback_ports{static_cast<std::uint16_t>(std::max(last_given + 1, unprivileged)), last};
}

}  // namespace

namespace {

std::expected<void, Error> put_publications(const Publishing& publishing, std::uint64_t claim,
                                            const std::vector<PortMapping>& ports) {
    for (std::uint32_t number = 0; const auto& mapping : ports) {
        const std::string what = "the published port " + std::to_string(mapping.host_port);
        TRY(publishing.publications.put(key_of(claim, number++), publication_of(mapping), what));
    }
    return {};
}

}  // namespace

std::expected<void, Error> record_publications(const Datapath& datapath, const Publishing& publishing,
                                               std::uint64_t claim, const std::vector<PortMapping>& ports) {
    TRY(put_publications(publishing, claim, ports));
    TRY(publishing.loopback.put(0, TRY(ports_for_loopback()), "the ports for what the host sends to itself"));
    return attach(datapath.uplink_hook, loopback_index, Direction::egress, publishing.from_loopback.get(),
                  loopback_name);
}

// Each moves to an earlier place or stays, so that a kill finds all of them on record. The last of the others goes
// first: what a kill leaves is found from 0 on.
std::expected<void, Error> keep_publications(const Publishing& publishing, std::uint64_t claim,
                                             const std::vector<PortMapping>& kept, std::size_t count) {
    TRY(put_publications(publishing, claim, kept));
    for (auto number = count; number > kept.size(); number--) {
        TRY(publishing.publications.erase(key_of(claim, static_cast<std::uint32_t>(number - 1)), "a published port"));
    }
    return {};
}

std::expected<std::vector<PortMapping>, Error> publications_of(const Publishing& publishing, std::uint64_t claim) {
    std::vector<PortMapping> ports;
    for (;;) {
        const auto number = static_cast<std::uint32_t>(ports.size());
        const auto record = TRY(publishing.publications.look_up(key_of(claim, number)));
        if (!record) {
            return ports;
        }
        ports.push_back(mapping_of(*record));
    }
}

std::expected<bool, Error> nothing_is_published() {
    return TRY(Datapath::open_publishing()).publications.empty();
}

std::expected<void, Error> close_loopback_if_unused(const Datapath& datapath) {
    const auto publishing = TRY(Datapath::open_publishing());
    if (!TRY(publishing.publications.empty()) && !TRY(datapath.attachments.empty())) {
        return {};
    }
    return detach(datapath.uplink_hook, loopback_index, Direction::egress, publishing.from_loopback.get(),
                  loopback_name);
}

std::expected<void, Error> verify_loopback(const Datapath& datapath) {
    const auto publishing = TRY(Datapath::open_publishing());
    if (!TRY(attached(datapath.uplink_hook, loopback_index, Direction::egress, publishing.from_loopback.get(),
                      loopback_name))) {
        return fail(Code::check_failed,
                    "the program from_loopback is not attached to lo: the host itself does not "
                    "reach published ports");
    }
    return {};
}

}  // namespace causeway
