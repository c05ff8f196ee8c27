// SPDX-License-Identifier: Apache-2.0
#include "tests/system/snapshot.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "tests/system/entries.hpp"
#include "tests/system/host.hpp"
#include "tests/system/programs.hpp"

namespace causeway::test {
namespace {

// Of IPv6, what each link has without anybody's asking.
bool comes_by_itself(const std::string& line) {
    return std::ranges::any_of(std::array{"fe80:", "ff00::", "anycast"},
                               [&](const char* part) { return line.find(part) != std::string::npos; });
}

// Without what the kernel settles a little later: carrier and queue of a link, and whether an address is tried.
std::string settled(std::string line) {
    for (const std::string word : {"NO-CARRIER,", ",LOWER_UP", " tentative"}) {
        if (const auto at = line.find(word); at != std::string::npos) {
            line.erase(at, word.size());
        }
    }
    for (const std::string word : {" qdisc ", " state "}) {
        const auto at = line.find(word);
        if (at != std::string::npos && !line.substr(at).starts_with(" qdisc tbf ")) {  // that one somebody has made
            line.erase(at, line.find(' ', at + word.size()) - at);
        }
    }
    return line;
}

// Links, addresses and routes of both families, and IPv4's rules.
constexpr const char* questions = "link show\naddr show\nroute show table all\nrule show\n";

std::string settled_lines(const std::string& text) {
    std::istringstream stream(text);
    std::string lines;
    for (std::string line; std::getline(stream, line);) {
        lines += comes_by_itself(line) ? "" : settled(line) + "\n";
    }
    return lines;
}

// Without what each device has as soon as it is up, and the hook clsact, which delays nothing.
std::string without_default_queues(const std::string& text) {
    std::istringstream stream(text);
    std::string lines;
    for (std::string line; std::getline(stream, line);) {
        const bool is_none =
            std::ranges::any_of(std::array{"qdisc noqueue ", "qdisc noop ", "qdisc pfifo_fast 0: ", "qdisc clsact "},
                                [&](const char* kind) { return line.starts_with(kind); });
        lines += is_none ? "" : line + "\n";
    }
    return lines;
}

std::string devices_of(const std::string& netns) {
    return settled_lines(must_run({"ip", "-o", "-d", "-batch", "-"}, {.stdin_text = questions, .netns = netns}));
}

std::string paths_under(const std::string& root) {
    std::set<std::string> paths;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
        paths.insert(entry.path());
    }
    std::string lines;
    for (const auto& path : paths) {
        lines += path + "\n";
    }
    return lines;
}

std::string contents_of(const std::string& path) {
    std::ifstream file(path);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

// /proc/sys/net is that of whoever looks.
std::string forwarding() {
    std::string lines = "all " + contents_of("/proc/sys/net/ipv4/ip_forward");
    for (const std::string family : {"ipv4", "ipv6"}) {
        for (const auto& device : std::filesystem::directory_iterator("/proc/sys/net/" + family + "/conf")) {
            lines += family + " " + device.path().filename().string() + " " + contents_of(device.path() / "forwarding");
        }
    }
    return lines;
}

std::multiset<std::string> lines_of(const std::string& text) {
    std::istringstream stream(text);
    std::multiset<std::string> lines;
    for (std::string line; std::getline(stream, line);) {
        lines.insert(line);
    }
    return lines;
}

}  // namespace

Snapshot Snapshot::take(const std::vector<std::string>& namespaces) {
    Snapshot snapshot;
    snapshot.namespaces_ = namespaces;
    auto& parts = snapshot.parts_;
    parts["node"] = devices_of("") + must_run({"ip", "-6", "rule", "show"});
    for (const auto& netns : namespaces) {
        parts[netns] = devices_of(netns);
    }
    parts["programs and queues"] = without_default_queues(all_programs("qdisc show\n"));
    parts["entries"] = lasting_entries();
    parts["pins"] = paths_under("/sys/fs/bpf");
    parts["names"] = paths_under("/run/netns");
    parts["mounts"] = contents_of("/proc/self/mountinfo");
    parts["forwarding"] = forwarding();
    return snapshot;
}

testing::AssertionResult Snapshot::holds() const {
    const auto now = take(namespaces_);
    std::string differences;
    for (const auto& [name, text] : parts_) {
        const auto before = lines_of(text), after = lines_of(now.parts_.at(name));
        for (const auto& line : before) {
            differences += after.count(line) < before.count(line) ? "\n  " + name + " lost: " + line : "";
        }
        for (const auto& line : after) {
            differences += before.count(line) < after.count(line) ? "\n  " + name + " gained: " + line : "";
        }
    }
    if (differences.empty()) {
        return testing::AssertionSuccess();
    }
    return testing::AssertionFailure() << "the host is not as before:" << differences;
}

testing::AssertionResult Snapshot::comes_back() const {
    auto result = holds();
    eventually([&] {
        result = result ? result : holds();
        return static_cast<bool>(result);
    });
    return result;
}

}  // namespace causeway::test
