// SPDX-License-Identifier: Apache-2.0
// kill -9 before each system call of ADD and of DEL: whatever is called next finds all that was left, and undoes it.
#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <tuple>

#include "tests/system/fault.hpp"
#include "tests/system/host.hpp"
#include "tests/system/snapshot.hpp"
#include "tests/system/traffic.hpp"

namespace causeway::test::killed_test {
namespace {

constexpr int shards = 8;  // each a case of its own, which takes every eighth call

struct Calls {
    std::vector<int> numbers;
    std::vector<std::uint64_t> bpf_commands;

    bool have(const Faulted& faulted) const {
        return std::ranges::find(numbers, faulted.number) != numbers.end() &&
               (faulted.number != SYS_bpf || std::ranges::find(bpf_commands, faulted.argument) != bpf_commands.end());
    }
};

// Those that change what outlives the program: a kill before any other is one before the next of these.
const Calls with_effect{{SYS_bpf, SYS_sendto, SYS_mkdir, SYS_rename, SYS_mount, SYS_unlink, SYS_unlinkat, SYS_rmdir,
                         SYS_clone, SYS_clone3, SYS_write},
                        {BPF_OBJ_PIN, BPF_MAP_UPDATE_ELEM, BPF_MAP_DELETE_ELEM, BPF_PROG_ATTACH, BPF_PROG_DETACH,
                         BPF_LINK_CREATE, BPF_LINK_DETACH, BPF_PROG_TEST_RUN, BPF_MAP_LOOKUP_AND_DELETE_ELEM}};
const Calls all{};

struct Setting {
    std::string name;
    Json (*configuration)(const Json& patch);
    std::vector<std::string> gateways;
    bool everything;  // ports are published, and there is a bandwidth
};
void PrintTo(const Setting& setting, std::ostream* stream) {
    *stream << setting.name;
}

const Setting of_ipv4{"IPv4", configuration, {"10.0.0.1"}, false},
    of_ipv6{"IPv6", ipv6_configuration, {"fd00:1::1"}, false},
    everything{"Everything", dual_configuration, {"10.0.0.1", "fd00:1::1"}, true};

enum class Next { del, gc, add };

std::string name_of(Next next) {
    return std::array{"DEL", "GC", "ADD"}.at(static_cast<std::size_t>(next));
}

class Killed : public Host, public testing::WithParamInterface<std::tuple<Setting, int>> {
protected:
    void SetUp() override {
        netns_ = world_.add_namespace("blue");
        ip({"link", "set", "lo", "up"}, netns_);
    }

    static const Setting& setting() { return std::get<Setting>(GetParam()); }

    static Json conf() {
        auto conf = setting().configuration({{"tables", {{"flows", 64}, {"sandboxes", 64}}}});
        if (setting().everything) {
            conf["runtimeConfig"] = {{"portMappings",
                                      {{{"hostPort", 8080}, {"containerPort", 80}, {"protocol", "tcp"}},
                                       {{"hostPort", 8081}, {"containerPort", 53}, {"protocol", "udp"}}}},
                                     {"bandwidth",
                                      {{"ingressRate", 80000000},
                                       {"ingressBurst", 800000},
                                       {"egressRate", 80000000},
                                       {"egressBurst", 800000}}}};
        }
        return conf;
    }

    // Without ports, so that what the host needs for the first one comes and goes beside it.
    void connect_keeper() {
        auto without_ports = conf();
        without_ports.merge_patch({{"runtimeConfig", {{"portMappings", nullptr}}}});
        keeper_ = connect("keeper", without_ports);
        namespaces_.push_back(keeper_.netns);
    }

    static bool reaches_its_gateways(const std::string& netns, std::chrono::milliseconds time = patience) {
        return std::ranges::all_of(setting().gateways, [&](const auto& gateway) { return ping(netns, gateway, time); });
    }

    // The call with a kill before its system call number 1, then of each (of each eighth in a shard) until it outlives
    // it. What comes next goes by turns; with each_next, where something was about to change, all of it, and then all
    // is as it was.
    void kill_at_each(const std::string& command, Fault::Kind kind, const Calls& calls, bool each_next) {
        namespaces_.push_back(netns_);
        const auto before = Snapshot::take(namespaces_);
        const Call call{.command = command, .id = "blue", .netns = netns_, .conf = conf()};
        int kills = 0;
        bool outlived = false;
        for (int nth = 1 + std::get<int>(GetParam()); !outlived && !HasFailure();
             nth += setting().everything ? shards : 1) {
            for (int turn = 0, turns = 1; turn < turns; ++turn) {
                const auto next = static_cast<Next>((nth + turn) % 3);
                if (command == "DEL") {
                    ASSERT_TRUE(succeeded(add("blue", netns_, conf())));
                }
                const auto faulted = run_with({.kind = kind,
                                               .nth = nth,
                                               .calls = calls.numbers,
                                               .bpf_commands = calls.bpf_commands,
                                               .few_of_alike = !calls.numbers.empty()},
                                              {plugin()}, call.options());
                SCOPED_TRACE(command + " killed before call " + std::to_string(nth) + ", " + faulted.call + ", then " +
                             name_of(next));
                turns = each_next && with_effect.have(faulted) ? 3 : 1;
                kills += faulted.output.status == 128 + SIGKILL ? 1 : 0;
                outlived = faulted.call.empty();
                undo_by(next, command, faulted);
                EXPECT_TRUE(before.comes_back());
                EXPECT_TRUE(keeper_.netns.empty() || reaches_its_gateways(keeper_.netns));
            }
        }
        EXPECT_GE(kills, 1);
    }

    std::string netns_;
    Sandbox keeper_;

private:
    void undo_by(Next next, const std::string& killed, const Faulted& faulted) {
        if (next == Next::gc) {  // as a runtime calls it that has no record of the call that it lost
            auto listing = conf();
            listing["cni.dev/valid-attachments"] =
                keeper_.netns.empty() ? Json::array() : Json::parse(R"([{"containerID": "keeper", "ifname": "eth0"}])");
            EXPECT_TRUE(
                succeeded(answer_to({.command = "GC", .id = "", .netns = "", .conf = listing, .interface = ""})));
            return;
        }
        if (next == Next::add) {
            expect_added(killed, faulted);
        }
        EXPECT_TRUE(succeeded(del("blue", netns_, conf())));
    }

    // Refused only where the sandbox is connected as ever: the ADD was killed when all was done, or the DEL when
    // nothing was. Nobody can know that, and no runtime should connect it twice (CNI 1.1.0, section 2, "ADD").
    void expect_added(const std::string& killed, const Faulted& faulted) {
        const bool after_del = killed == "DEL", worked = after_del && reaches_its_gateways(netns_, silence);
        const auto again = add("blue", netns_, conf());
        const bool answering = faulted.number == SYS_write && faulted.argument == STDOUT_FILENO;
        const bool whole = after_del ? worked : answering || (!again.ok() && !with_effect.have(faulted));
        EXPECT_TRUE(whole ? refused(again, 102, {"blue", "is connected already"}) : succeeded(again));
        EXPECT_TRUE(reaches_its_gateways(netns_));
    }

    std::vector<std::string> namespaces_;
};

// With a datapath to load and to unload, which takes its time: so each call that matters, of all that there is, and
// what comes next by turns: KilledBesideAnother has each of them after each.
class KilledAlone : public Killed {};

TEST_P(KilledAlone, FirstAddIsUndoneByWhateverComesNext) {
    kill_at_each("ADD", Fault::Kind::kill, with_effect, false);
}

// With all that it has started: as when a runtime's whole service is ended.
TEST_P(KilledAlone, LastDelIsEndedByWhateverComesNext) {
    kill_at_each("DEL", Fault::Kind::kill_group, with_effect, false);
}

class KilledBesideAnother : public Killed {};

TEST_P(KilledBesideAnother, LaterAddIsUndoneByWhateverComesNext) {
    connect_keeper();
    kill_at_each("ADD", Fault::Kind::kill, setting().everything ? all : with_effect, true);
}

TEST_P(KilledBesideAnother, EarlierDelIsEndedByWhateverComesNext) {
    connect_keeper();
    kill_at_each("DEL", Fault::Kind::kill, setting().everything ? all : with_effect, true);
}

constexpr auto name_of_case = [](const auto& param) {
    return std::get<Setting>(param.param).name + "Shard" + std::to_string(std::get<int>(param.param));
};

INSTANTIATE_TEST_SUITE_P(Each, KilledAlone, testing::Combine(testing::Values(everything), testing::Range(0, shards)),
                         name_of_case);
INSTANTIATE_TEST_SUITE_P(Each, KilledBesideAnother,
                         testing::Combine(testing::Values(everything), testing::Range(0, shards)), name_of_case);
INSTANTIATE_TEST_SUITE_P(Plain, KilledBesideAnother,
                         testing::Combine(testing::Values(of_ipv4, of_ipv6), testing::Values(0)), name_of_case);

}  // namespace
}  // namespace causeway::test::killed_test
