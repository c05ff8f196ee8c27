// SPDX-License-Identifier: Apache-2.0
// Address management by another plugin: called, and its answer read. CNI 1.1.0, section 4, "Plugin Delegation".
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "cni/ipam_conf.hpp"
#include "cni/request.hpp"
#include "userspace/sandbox.hpp"

namespace causeway::cni {

struct IpamResult {
    std::vector<Assignment> assignments;  // 1 to CAUSEWAY_ADDRESSES_MAX
    std::vector<RangeSet> ranges;         // the subnet that each is in, for the gateway device
    std::vector<Route> routes;
    Dns dns;
};

// Its path.
std::expected<std::string, Error> find_delegate(const Request& request, const Delegate& delegate);

// Its ADD. Its own error is returned as it is, after its DEL was called; so after an answer that
// causeway can't use (without an address, for one). host-local is asked a second time then.
std::expected<IpamResult, Error> add_by_delegate(const Request& request, const Delegate& delegate);

// What it printed, as its ADD's result. An error names the plugin: Code::decode_failure.
std::expected<IpamResult, Error> read_ipam_result(std::string_view output, const Delegate& delegate);

// Its DEL, CHECK, GC or STATUS, named by command.
std::expected<void, Error> call_delegate(const char* command, const Request& request, const Delegate& delegate);

// Its DEL. Where the sandbox was not connected, after waiting for what an ADD that was killed has left running of the
// plugin (await_stray): a lease that it writes down only now, a DEL before that would not find.
std::expected<void, Error> delete_by_delegate(const Request& request, const Delegate& delegate, bool was_connected);

}  // namespace causeway::cni
