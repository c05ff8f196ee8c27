// SPDX-License-Identifier: Apache-2.0
#include "cni/plugin.hpp"

#include <algorithm>
#include <exception>
#include <iterator>

#include "cni/bandwidth_conf.hpp"
#include "cni/ipam.hpp"
#include "cni/known_keys.hpp"
#include "cni/net_conf.hpp"
#include "cni/reply.hpp"
#include "cni/runtime_conf.hpp"
#include "cni/shown.hpp"
#include "userspace/collection.hpp"
#include "userspace/failures.hpp"
#include "userspace/orphan.hpp"
#include "userspace/readiness.hpp"
#include "userspace/rollback.hpp"
#include "userspace/verify.hpp"

namespace causeway::cni {

namespace {

const std::string& newest_version() {
    return supported_versions().back();
}

SandboxId id_of(const Request& request) {
    return {request.container_id, request.interface};
}

std::string text_of(const std::vector<Address>& addresses) {
    std::string text;
    for (const auto& address : addresses) {
        text += (text.empty() ? "" : ", ") + address.text();
    }
    return text;
}

constexpr const char* asked_as =
    "ask for one that it gives out, or for none: by runtimeConfig.ips, args.cni.ips or the IP of CNI_ARGS";

// Not every IPAM plugin reads what a runtime asks for, and none has to give it out.
std::expected<void, Error> refuse_other_addresses(const std::vector<Address>& asked, const IpamResult& lease,
                                                  const Delegate& delegate) {
    std::vector<Address> given;
    std::ranges::transform(lease.assignments, std::back_inserter(given),
                           [](const Assignment& one) { return one.address.address; });
    for (const auto& address : asked) {
        if (std::ranges::find(given, address) == given.end()) {
            return fail(Code::unsupported_field,
                        "ips: " + address.text() + " is asked for, but the IPAM plugin \"" + delegate.type +
                            "\" gives " + text_of(given),
                        asked_as);
        }
    }
    return {};
}

// By the delegated plugin, which reads the same request, and so knows which addresses are asked for. All outlive it.
std::expected<Lease, Error> lease_for(const Request& request, const NetConf& conf, const std::vector<Address>& asked,
                                      std::optional<Dns>& dns) {
    const auto& delegate = *conf.delegate;
    const bool by_link = delegate.asks_by_link();
    if (by_link && delegate.subnets.empty()) {
        return fail(Code::invalid_configuration,
                    "ipam.subnet: missing: the IPAM plugin \"" + delegate.type +
                        "\" asks by the gateway device, which has its address in that subnet before",
                    "name it, and where it is not the first of the subnet ipam.gateway, as the server does");
    }
    if (by_link && !asked.empty()) {
        return fail(Code::unsupported_field,
                    "ips: " + text_of(asked) + " is asked for, which the IPAM plugin \"" + delegate.type +
                        "\" can't ask its server for",
                    asked_as);
    }
    TRY(find_delegate(request, delegate));
    const auto give_back = [&] { return call_delegate("DEL", request, delegate); };
    const auto take = [&, give_back]() -> std::expected<Lease::Given, Error> {
        auto lease = TRY(add_by_delegate(request, delegate));
        Rollback rollback;
        rollback.on_failure(give_back);
        if (const auto as_asked = refuse_other_addresses(asked, lease, delegate); !as_asked) {
            return std::unexpected(rollback.failed(as_asked.error()));
        }
        rollback.commit();
        dns = std::move(lease.dns);
        return Lease::Given{std::move(lease.ranges), std::move(lease.assignments), std::move(lease.routes)};
    };
    return Lease{.by_link = by_link, .take = take, .give_back = give_back};
}

std::expected<Json, Error> add(const Request& request, const NetConf& conf) {
    auto asked = TRY(read_runtime_conf(conf.raw, request.arguments));
    const bool asked_dns = asked.dns.has_value();
    auto dns = asked_dns ? std::move(*asked.dns) : TRY(dns_of(conf));
    SandboxSpec sandbox{.id = id_of(request),
                        .netns = request.netns,
                        .mac = asked.mac,
                        .routes = conf.routes,
                        .ports = std::move(asked.ports),
                        .quota = asked.quota,
                        .bandwidth = asked.bandwidth};
    if (conf.previous_result) {
        sandbox.given = TRY(given_in(*conf.previous_result, request.interface, request.netns));
    }
    std::optional<Dns> leased_dns;
    if (conf.delegate) {
        sandbox.lease = TRY(lease_for(request, conf, asked.addresses, leased_dns));
        TRY(disconnect_leftover(sandbox.id, conf.network.name,
                                [&](const Attachment&) { return delete_by_delegate(request, *conf.delegate, false); }));
    } else if (conf.network.ranges.empty()) {
        return fail(Code::invalid_configuration, "runtimeConfig.ipRanges: missing, and ipam has no ranges of its own");
    } else {
        sandbox.addresses = std::move(asked.addresses);
    }
    const auto connection = TRY(connect(conf.network, sandbox));
    if (leased_dns && !leased_dns->empty() && !asked_dns) {
        dns = std::move(*leased_dns);
    }
    return add_result(conf, request.netns, connection, dns);
}

// Whose plugin cannot be asked, since no configuration that can be read names it.
std::expected<void, Error> refuse_to_forget_lease(const Attachment& attachment, const Error& why) {
    if ((attachment.record.flags & ATTACHMENT_LEASED) == 0) {
        return {};
    }
    return fail(
        why.code,
        name_of(causeway::id_of(attachment.key)) + ": " + text_of(attachment.addresses()) +
            " can't be given back to the IPAM plugin that it came from: " + why.message,
        "all else is gone; DEL it again with a configuration whose name and ipam.type can be read, and name that "
        "plugin; or \"causewayctl gc\", which forgets the lease");
}

std::expected<void, Error> refuse_to_forget_lease_of_nobody(const Attachment& attachment) {
    return refuse_to_forget_lease(attachment,
                                  {Code::invalid_configuration, "ipam: the configuration names no other plugin"});
}

// There is nothing of this network's to remove, and so no error; but if no other DEL comes, the sandbox is left.
void tell_of_other_network(const SandboxId& id, const RemovalConf& conf, const std::optional<std::string>& other,
                           std::string& remarks) {
    if (other) {
        remarks += "causeway: network \"" + conf.name + "\": " + name_of(id) + " stays: it is of the network \"" +
                   *other +
                   "\"; DEL it with that name, or, when its namespace is gone, \"causewayctl gc\" removes it\n";
    }
}

// A configuration that has become invalid since the ADD must not keep the sandbox alive: what it made is on record.
std::expected<Json, Error> remove(const Request& request, const std::expected<RemovalConf, Error>& conf,
                                  std::string& remarks) {
    if (!conf && conf.error().code != Code::invalid_configuration) {
        return std::unexpected(conf.error());
    }
    const auto id = id_of(request);
    if (!conf) {
        TRY(disconnect(id, "", [&](const Attachment& one) { return refuse_to_forget_lease(one, conf.error()); }));
        return Json();
    }
    if (!conf->delegate) {
        tell_of_other_network(id, *conf, TRY(disconnect(id, conf->name, refuse_to_forget_lease_of_nobody)), remarks);
        return Json();
    }
    const auto connected = is_connected(id);
    bool asked = false;
    const auto ask = [&] {
        asked = true;
        return delete_by_delegate(request, *conf->delegate, connected.value_or(false));
    };
    Failures failures;
    const auto disconnected = disconnect(id, conf->name, [&](const Attachment&) { return ask(); });
    if (!disconnected) {
        failures.note(std::unexpected(disconnected.error()));
    }
    // It may have a lease of an ADD that never got as far as a record; where no record can be read, it may be at work.
    const bool anothers = disconnected && *disconnected;
    if (!asked && !anothers && (connected || disconnected)) {
        failures.note(ask());
    }
    TRY(failures.result());
    tell_of_other_network(id, *conf, *disconnected, remarks);
    return Json();
}

std::expected<Json, Error> check(const Request& request, const NetConf& conf) {
    if (!conf.previous_result) {
        return fail(Code::invalid_configuration, "prevResult: missing: CHECK compares with it");
    }
    auto expected = TRY(expected_from(*conf.previous_result, request.interface, request.netns));
    expected.network = conf.network.name;
    TRY(verify(id_of(request), request.netns, conf.network.uplinks, expected));
    if (conf.delegate) {
        TRY(call_delegate("CHECK", request, *conf.delegate));
    }
    return Json();
}

std::expected<Json, Error> collect_garbage(const Request& request, const RemovalConf& conf) {
    const auto valid_attachments = TRY(conf.valid_attachments);
    const auto give_back = [&](const Attachment& one) {  // not every IPAM plugin does something at GC
        auto of_it = request;
        const auto id = causeway::id_of(one.key);
        of_it.container_id = id.container;
        of_it.interface = id.interface;
        return delete_by_delegate(of_it, *conf.delegate, one.record.state == ATTACHMENT_CONNECTED);
    };
    TRY(see_records());  // else leases of sandboxes that are at work would be given back, too
    Failures failures;
    failures.note(disconnect_all_but(conf.name, valid_attachments,
                                     conf.delegate ? GiveBack(give_back) : GiveBack(refuse_to_forget_lease_of_nobody)));
    if (const auto strays = collect_orphans({.records_too = false}); !strays) {
        failures.note(std::unexpected(strays.error()));
    }
    if (conf.delegate) {
        failures.note(call_delegate("GC", request, *conf.delegate));
    }
    TRY(failures.result());
    return Json();
}

// What the configuration names and the host has not.
std::unexpected<Error> unavailable(const Error& error) {
    return fail(Code::unavailable, error.message, error.details);
}

// What would fail an ADD fails it, too.
std::expected<Json, Error> status(const Request& request, const NetConf& conf, std::string& remarks) {
    const auto tell = [&](const std::string& remark) {
        remarks += "causeway: network \"" + conf.network.name + "\": " + remark + "\n";
    };
    std::ranges::for_each(TRY(ready(conf.network)), tell);
    for (const auto& key : unknown_keys(conf.raw)) {
        tell("the configuration has \"" + shown(key) + "\", which causeway does not know" +
             (key.starts_with("capabilities.") ? ": an ADD that a runtime passes it to fails" : ", and ignores"));
    }
    TRY(read_bandwidth(conf.raw, Json()));
    if (const auto dns = dns_of(conf); !dns) {
        return unavailable(dns.error());
    }
    if (conf.delegate) {
        if (const auto found = find_delegate(request, *conf.delegate); !found) {
            return unavailable(found.error());
        }
        TRY(call_delegate("STATUS", request, *conf.delegate));
    }
    return Json();
}

// CHECK came with 0.4.0, GC and STATUS with 1.1.0.
std::expected<void, Error> refuse_too_old(Command command, const std::string& version) {
    const bool too_old = (command == Command::check && version == "0.3.1") ||
                         ((command == Command::gc || command == Command::status) && version != "1.1.0");
    if (too_old) {
        return fail(Code::incompatible_version, "cniVersion: \"" + version + "\" does not have this command");
    }
    return {};
}

std::expected<Json, Error> perform(const Request& request, std::string_view input, std::string& remarks) {
    if (request.command == Command::del) {
        return remove(request, read_removal_conf(input), remarks);
    }
    if (request.command == Command::gc) {
        const auto conf = TRY(read_removal_conf(input));
        TRY(refuse_too_old(request.command, conf.version));
        return collect_garbage(request, conf);
    }
    const auto conf = TRY(read_net_conf(input));
    TRY(refuse_too_old(request.command, conf.version));
    switch (request.command) {
        case Command::add:
            return add(request, conf);
        case Command::check:
            return check(request, conf);
        default:
            return status(request, conf, remarks);
    }
}

// The version to answer in, also where the rest of the configuration is wrong.
std::string version_in(std::string_view input) {
    const auto json = Json::parse(input, nullptr, false);
    if (json.is_object() && json.contains("cniVersion") && json["cniVersion"].is_string()) {
        return json["cniVersion"].get<std::string>();
    }
    return newest_version();
}

// A path or a name may be no UTF-8; that must not fail what is done already.
std::string printed(const Json& json) {
    return json.dump(4, ' ', false, Json::error_handler_t::replace) + "\n";
}

Answer failed(const std::string& version, const Error& error) {
    return {1, printed(error_result(version, error)), ""};
}

Answer answer_or_throw(const Environment& environment, std::string_view input) {
    const auto version = version_in(input);
    const auto request = read_request(environment);
    if (!request) {
        return failed(version, request.error());
    }
    if (request->command == Command::version) {
        return {0, version_result(version).dump() + "\n", ""};
    }
    std::string remarks;
    const auto result = perform(*request, input, remarks);
    if (!result) {
        return failed(version, result.error());
    }
    return {0, result->is_null() ? "" : printed(*result), remarks};
}

}  // namespace

// Whatever happens, the runtime gets JSON.
Answer answer(const Environment& environment, std::string_view input) {
    try {
        return answer_or_throw(environment, input);
    } catch (const std::exception& exception) {
        return failed(newest_version(), {Code::io_failure, std::string("unexpected: ") + exception.what()});
    }
}

}  // namespace causeway::cni
