// SPDX-License-Identifier: Apache-2.0
#include "tests/system/translator.hpp"

#include <fstream>
#include <sstream>
#include <stdexcept>

namespace causeway::test {
namespace {

constexpr unsigned hour = 3600;

unsigned seconds_of(const Terms& terms, const std::string& name) {
    const auto found = terms.timeouts.find(name);
    return found == terms.timeouts.end() ? hour : found->second;
}

// The kernel's states by the configuration's: what is half closed is established still.
const std::map<std::string, std::vector<std::string>> conntrack_timeouts{
    {"tcpOpening", {"tcp_timeout_syn_sent", "tcp_timeout_syn_recv"}},
    {"tcpEstablished",
     {"tcp_timeout_established", "tcp_timeout_fin_wait", "tcp_timeout_close_wait", "tcp_timeout_unacknowledged",
      "tcp_timeout_max_retrans"}},
    {"tcpClosing", {"tcp_timeout_last_ack", "tcp_timeout_time_wait", "tcp_timeout_close"}},
    {"udp",
     {"udp_timeout", "udp_timeout_stream", "generic_timeout", "gre_timeout", "gre_timeout_stream",
      "sctp_timeout_closed", "sctp_timeout_cookie_wait", "sctp_timeout_cookie_echoed", "sctp_timeout_established",
      "sctp_timeout_shutdown_sent", "sctp_timeout_shutdown_recd", "sctp_timeout_shutdown_ack_sent",
      "sctp_timeout_heartbeat_sent"}},
    {"icmp", {"icmp_timeout", "icmpv6_timeout"}},
};

std::string mac_at(const std::string& device, const std::string& netns) {
    return ip_json({"link", "show", device}, netns).at(0).at("address");
}

// What causeway calls these states of a connection: one that is half closed is in use.
std::string state_by_causeways_name(const std::string& state) {
    if (state == "SYN_SENT" || state == "SYN_RECV" || state == "SYN_SENT2") {
        return "opening";
    }
    return state == "ESTABLISHED" || state == "FIN_WAIT" || state == "CLOSE_WAIT" ? "established" : "closing";
}

}  // namespace

void PrintTo(Translation translation, std::ostream* stream) {
    *stream << (translation.by == Translator::causeway ? "causeway" : "kernel")
            << (translation.family == Family::ipv6 ? "_IPv6" : "");
}

void let_errors_flow(const std::string& netns) {
    set_sysctl("net/ipv4/icmp_ratemask", "0", netns);
    set_sysctl("net/ipv4/icmp_ratelimit", "0", netns);
    set_sysctl("net/ipv6/icmp/ratemask", "255", netns);
    set_sysctl("net/ipv6/icmp/ratelimit", "0", netns);
}

Masquerade::Masquerade(World& world, std::string node, const Terms& terms, Family family)
    : world_(world), node_(std::move(node)), family_(family) {
    ip({"link", "add", "cw0", "address", "02:00:cb:00:72:01", "type", "bridge"}, node_);
    ip({"addr", "add", here(gateway_address + "/24"), "dev", "cw0", "nodad"}, node_);
    ip({"link", "set", "cw0", "up"}, node_);
    set_sysctl("net/ipv4/ip_forward", "1", node_);
    set_sysctl("net/ipv6/conf/all/forwarding", family_ == Family::ipv6 ? "1" : "0", node_);
    set_sysctl("net/ipv4/conf/all/send_redirects", "0", node_);
    set_sysctl("net/ipv4/conf/cw0/send_redirects", "0", node_);
    set_rules(terms);
    set_timeouts(terms);
    for (const auto* setting : {"nf_conntrack_tcp_be_liberal", "nf_conntrack_tcp_ignore_invalid_rst"}) {
        set_sysctl(std::string("net/netfilter/") + setting, "1", node_);
    }
    set_sysctl("net/netfilter/nf_conntrack_tcp_loose", "1", node_);
    set_sysctl("net/netfilter/nf_conntrack_checksum", "0", node_);
}

void Masquerade::set_timeouts(const Terms& terms) const {
    for (const auto& [name, settings] : conntrack_timeouts) {
        for (const auto& setting : settings) {
            set_sysctl("net/netfilter/nf_conntrack_" + setting, std::to_string(seconds_of(terms, name)), node_);
        }
    }
}

void Masquerade::set_rules(const Terms& terms) const {
    const std::string ip_of = family_ == Family::ipv6 ? "ip6" : "ip";
    const auto from_sandbox = "        " + ip_of + " saddr " + here("10.0.0.0/24");
    const auto first = family_ == Family::ipv6 ? "[" + here("10.0.0.2") + "]" : "10.0.0.2";
    std::string leading_in;
    for (const auto& [protocol, host_port, port] : terms.published) {
        leading_in += "        iifname \"up0\" " + ip_of + " daddr " + here(node_address) + " " + protocol + " dport " +
                      std::to_string(host_port) + " dnat to " + first + ":" + std::to_string(port) + "\n";
    }
    const std::string rules = "table " + ip_of + R"( translation {
    chain destinations {
        type nat hook prerouting priority dstnat
)" + leading_in + R"(
    }
    chain sources {
        type nat hook postrouting priority srcnat
        oifname != "up0" accept
)" + from_sandbox +
                              " meta l4proto { tcp, udp, udplite, sctp } masquerade to :" + terms.ports + "\n" +
                              from_sandbox + R"( masquerade
    }
    chain crossing {
        type filter hook forward priority filter; policy drop
        ct state invalid drop
        iifname "cw0" accept
        ct status dnat accept
        ct state established,related accept
    }
})";
    must_run({"nft", "-f", "-"}, {.stdin_text = rules, .netns = node_});
}

Party Masquerade::connect(const std::string& id) {
    const auto number = ++members_;
    Party party{.id = id, .netns = world_.add_namespace(id), .address = here("10.0.0." + std::to_string(number + 1))};
    const auto host_end = "port" + std::to_string(number);
    ip({"link", "add", host_end, "type", "veth", "peer", "name", party.device, "netns", id}, node_);
    ip({"link", "set", host_end, "master", "cw0", "up"}, node_);
    ip({"link", "set", "lo", "up"}, party.netns);
    const auto length = family_ == Family::ipv6 ? "/120" : "/24";
    const auto gateway = here(gateway_address);
    ip({"addr", "add", party.address + length, "dev", party.device, "nodad"}, party.netns);
    ip({"link", "set", party.device, "up"}, party.netns);
    ip({"route", "add", "default", "via", gateway, "dev", party.device}, party.netns);
    party.mac = mac_at(party.device, party.netns);
    party.gateway_mac = mac_at("cw0", node_);
    ip({"neigh", "replace", party.address, "lladdr", party.mac, "dev", "cw0", "nud", "permanent"}, node_);
    ip({"neigh", "replace", gateway, "lladdr", party.gateway_mac, "dev", party.device, "nud", "permanent"},
       party.netns);
    const auto up = eventually([&] { return ip_json({"link", "show", "cw0"}, node_)[0].at("operstate") == "UP"; });
    if (!up) {
        throw std::runtime_error("the bridge has no carrier");
    }
    return party;
}

Json configuration_of(const Terms& terms, Family family) {
    auto conf = Json::parse(in_family(configuration(terms.patch).dump(), family));
    conf["portRange"] = terms.ports;
    for (const auto& [name, settings] : conntrack_timeouts) {
        conf["timeouts"][name] = seconds_of(terms, name);
    }
    for (const auto& [protocol, host_port, port] : terms.published) {
        conf["capabilities"]["portMappings"] = true;
        conf["runtimeConfig"]["portMappings"].push_back(
            {{"hostPort", host_port}, {"containerPort", port}, {"protocol", protocol}});
    }
    return conf;
}

Party party_of(const Sandbox& sandbox) {
    return {.id = sandbox.id,
            .netns = sandbox.netns,
            .address = sandbox.address,
            .mac = sandbox.mac,
            .gateway_mac = mac_at(sandbox.host_end, "")};
}

Translating::Translating() : OfFamily(GetParam().family) {
    let_errors_flow("");
    let_errors_flow(world_.world());
}

Party Translating::join(const std::string& id, const Terms& terms) {
    if (is_causeway()) {
        return party_of(Host::connect(id, configuration_of(terms, family())));
    }
    if (!masquerade_) {
        masquerade_.emplace(world_, "", terms, family());
    }
    return masquerade_->connect(id);
}

// Of conntrack: lines such as "ipv4 2 tcp 6 3599 ESTABLISHED src=10.0.0.2 dst=203.0.113.2 sport=40000 dport=80
// src=...".
std::vector<Translating::Listed> Translating::listed_flows() const {
    const bool ipv6 = family() == Family::ipv6;
    const std::string icmp = ipv6 ? "icmpv6" : "icmp";
    std::vector<Listed> listed;
    const auto list = [&](const std::string& protocol, const std::string& port, const std::string& state) {
        listed.push_back({protocol == icmp ? "icmp" : protocol, static_cast<std::uint16_t>(std::stoi(port)), state});
    };
    if (is_causeway()) {
        for (const auto& flow : ctl_json({"flows"})) {
            const std::string destination = flow.at("destination");
            if (const auto colon = destination.rfind(':'); colon != std::string::npos) {
                list(flow.at("protocol"), destination.substr(colon + 1), flow.at("state"));
            }
        }
        return listed;
    }
    std::ifstream flows("/proc/thread-self/net/nf_conntrack");
    if (!flows) {
        fail("open the list of conntrack");
    }
    const std::string of_port = "dport=", of_echo = ipv6 ? "type=128" : "type=8";
    for (std::string line; std::getline(flows, line);) {
        std::istringstream words(line);
        std::string of, number, name, protocol_number, seconds, state, word;
        words >> of >> number >> name >> protocol_number >> seconds >> state;
        if (of != (ipv6 ? "ipv6" : "ipv4")) {
            continue;
        }
        for (int sources = state.starts_with("src=") ? 1 : 0; words >> word && sources < 2;) {
            sources += word.starts_with("src=") ? 1 : 0;  // as sent, not as replied
            if (sources < 2 && (word.starts_with(of_port) || word == of_echo)) {
                list(name, word == of_echo ? "0" : word.substr(of_port.size()),
                     name == "tcp"  ? state_by_causeways_name(state)
                     : name == icmp ? "icmp"
                                    : name);
            }
        }
    }
    return listed;
}

std::string Translating::state_of_flow(const std::string& protocol, std::uint16_t peer_port) const {
    for (const auto& flow : listed_flows()) {
        if (flow.protocol == protocol && flow.peer_port == peer_port) {
            return flow.state;
        }
    }
    return {};
}

bool Translating::holds_flow(const std::string& protocol, std::uint16_t peer_port) const {
    return !state_of_flow(protocol, peer_port).empty() || !state_of_flow(protocol, peer_port).empty();
}

std::string Translating::counted() const {
    return is_causeway() ? ctl({"stats", "-i", "0"}).out : std::string();
}

testing::AssertionResult Translating::with_counts(testing::AssertionResult result) const {
    return result ? result : result << counted();
}

}  // namespace causeway::test
