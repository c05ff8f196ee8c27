// SPDX-License-Identifier: Apache-2.0
// Builds the host with ip(8), the way an administrator would.
#include "tests/datapath/node.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <fstream>
#include <iterator>
#include <optional>
#include <regex>
#include <sstream>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>

#include "tests/datapath/tick.hpp"
#include "tests/support/world.hpp"

namespace causeway::test {
namespace {

constexpr char devices[] = R"(
link set lo up
link add hostA index 11 address 02:00:00:00:00:01 type veth peer name a address 02:00:00:00:00:0a ELSEWHERE
link add hostB index 12 address 02:00:00:00:00:01 type veth peer name b address 02:00:00:00:00:0b ELSEWHERE
link add cw0 index 13 address 02:00:00:00:00:01 arp off type veth peer name inner ELSEWHERE
link add up0 index 14 address 02:00:00:00:01:01 type veth peer name router address 02:00:00:00:01:fe ELSEWHERE
link add lan0 index 15 type veth peer name lan ELSEWHERE
)";

constexpr char other_ends[] = R"(
link set dev a up
link set dev b up
link set dev inner up
link set dev router up
link set dev lan up
)";

constexpr char no_groups[] = R"(
link set dev lo multicast off
link set dev cw0 multicast off
link set dev up0 multicast off
link set dev lan0 multicast off
)";

constexpr char links_up[] = R"(
link set dev hostA up
link set dev hostB up
link set dev cw0 up
link set dev up0 up
link set dev lan0 up
)";

constexpr char addresses[] = R"(
address add 10.0.0.1/24 dev cw0
address add 203.0.113.1/24 dev up0
address add 10.9.0.1/24 dev lan0
route add default via 203.0.113.254
)";

void require(bool held, const std::string& what) {
    if (!held) {
        throw std::system_error(errno, std::generic_category(), what);
    }
}

// The text with each occurrence of a word replaced.
std::string with(const std::string& word, const std::string& replacement, std::string text) {
    for (std::size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + replacement.size())) {
        text.replace(at, word.size(), replacement);
    }
    return text;
}

UniqueFd current_namespace() {
    const int number = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    require(number >= 0, "open the network namespace");
    return UniqueFd(number);
}

UniqueFd fresh_namespace() {
    require(unshare(CLONE_NEWNET) == 0, "make a network namespace");
    return current_namespace();
}

// Once a process: so that nothing that is mounted or pinned here is seen outside.
void enter_private_mounts() {
    static const bool done = [] {
        require(unshare(CLONE_NEWNS) == 0, "make a mount namespace");
        require(mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, "make the mounts private");
        return true;
    }();
    static_cast<void>(done);
}

std::string text_of(const char* path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

// The kernel makes an IPv6 address its own a moment after it was added.
void await_local_routes() {
    for (int looks = 0; looks < 1000; ++looks) {
        std::istringstream known(text_of("/proc/thread-self/net/if_inet6"));
        const std::string routes = text_of("/proc/thread-self/net/ipv6_route");
        bool all = true;
        for (std::string line; std::getline(known, line);) {
            all = all && routes.find(line.substr(0, 32) + " 80 ") != std::string::npos;  // 128 bits
        }
        if (all) {
            return;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    throw std::runtime_error("an IPv6 address is not the host's own, not even after a second");
}

// IPv6 addresses are there at once, whether the link is up yet or not.
std::string without_probes(const std::string& commands, Family family) {
    static const std::regex line("(address (add|replace) [^\n]*)");
    return family == Family::ipv6 ? std::regex_replace(commands, line, "$1 nodad") : commands;
}

// Neither probes for duplicates, nor solicitations, nor reports of listeners.
void let_ipv6_be() {
    run_ip(no_groups);
    set_sysctl("ipv6/conf/all/accept_dad", "0");
    for (const std::string device : {"lo", "cw0", "up0", "lan0"}) {
        const std::string conf = "ipv6/conf/" + device;
        set_sysctl(conf + "/accept_dad", "0");
        set_sysctl(conf + "/router_solicitations", "0");
        set_sysctl(conf + "/disable_ipv6", "0");
    }
}

}  // namespace

void run_ip(const std::string& commands, Family family) {
    Node::note_change();
    const std::string translated = without_probes(in_family(commands, family), family);
    const Output ended = run({"ip", family == Family::ipv6 ? "-6" : "-4", "-batch", "-"}, {.stdin_text = translated});
    if (!ended.ok()) {
        throw std::runtime_error("ip failed in:\n" + translated + ended.err);
    }
    if (family == Family::ipv6) {
        await_local_routes();
    }
}

void set_sysctl(const std::string& name, const std::string& value) {
    Node::note_change();
    std::ofstream file("/proc/sys/net/" + name);
    file << value << std::flush;
    require(file.good(), "write " + name);
}

Node::Node(Family family) {
    enter_private_mounts();
    elsewhere_ = fresh_namespace();
    set_sysctl("ipv6/conf/default/disable_ipv6", "1");  // its chatter is no part of any test
    here_ = fresh_namespace();
    set_sysctl("ipv6/conf/default/disable_ipv6", "1");
    const std::string netns = "netns /proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(elsewhere_.get());
    run_ip(with("ELSEWHERE", netns, devices));
    {
        const Elsewhere there(*this);
        run_ip(other_ends);
    }
    if (family == Family::ipv6) {
        let_ipv6_be();
    }
    run_ip(std::string(links_up) + addresses);
    set_sysctl("ipv4/conf/cw0/forwarding", "1");
    if (family == Family::ipv6) {
        run_ip(addresses, family);
        set_sysctl("ipv6/conf/cw0/forwarding", "1");
    }
}

void Node::note_change() {
    changed_ = true;
    Tick::note_change();
}

const Node& Node::shared(Family family) {
    static std::optional<Node> node;
    static Family speaks;
    if (!node || changed_ || family != speaks) {
        node.reset();
        node.emplace(family);
        speaks = family;
        changed_ = false;
    }
    return *node;
}

Node::Elsewhere::Elsewhere(const Node& node) : node_(node) {
    note_change();
    require(setns(node_.elsewhere_.get(), CLONE_NEWNET) == 0, "enter the other ends' namespace");
}

Node::Elsewhere::~Elsewhere() {
    if (setns(node_.here_.get(), CLONE_NEWNET) != 0) {
        std::perror("return to the node's namespace");
        std::abort();  // all that follows would happen in the wrong place
    }
}

}  // namespace causeway::test
