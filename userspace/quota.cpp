// SPDX-License-Identifier: Apache-2.0
#include "userspace/quota.hpp"

#include <cerrno>

#include "userspace/orphan.hpp"

namespace causeway {

void apply(const Quota& quota, sandbox& identity) {
    identity.flows_max = quota.flows.value_or(identity.flows_max);
    if (quota.flows_per_second) {
        identity.flows_per_second = *quota.flows_per_second == 0 ? CAUSEWAY_ANY_RATE : *quota.flows_per_second;
    }
}

Quota quota_of(const sandbox& identity, const network& network) {
    Quota quota{network.flows_max, network.flows_per_second};
    if (identity.flows_max != 0) {
        quota.flows = identity.flows_max;
    }
    if (identity.flows_per_second != 0) {
        quota.flows_per_second = identity.flows_per_second == CAUSEWAY_ANY_RATE ? 0 : identity.flows_per_second;
    }
    return quota;
}

// Exclusively, since whoever makes a gateway device anew writes identities too.
std::expected<void, Error> change_quota(const SandboxId& id, const Quota& quota, bool from_network) {
    const auto lock = TRY(DatapathLock::take(DatapathLock::Mode::exclusive));
    const auto datapath = TRY(none_where(ENOENT, Datapath::open()));
    if (!datapath) {
        auto netlink = TRY(Netlink::open());
        TRY(refuse_unseen(netlink));
    }
    const auto record = datapath ? datapath->attachments.find(key_of(id)) : std::nullopt;
    auto identity = record ? datapath->sandboxes.find(record->ifindex) : std::nullopt;
    if (!identity) {
        return fail(Code::unknown_container, name_of(id) + " is not connected",
                    "\"causewayctl endpoints\" lists those that are");
    }
    if (from_network) {
        identity->flows_max = identity->flows_per_second = 0;
    }
    apply(quota, *identity);
    return datapath->sandboxes.put(record->ifindex, *identity, name_of(id));
}

}  // namespace causeway
