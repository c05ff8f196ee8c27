// SPDX-License-Identifier: Apache-2.0
// kill -9 before each system call of ADD and of DEL: whatever is called next finds all that was left, and undoes it.
#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <tuple>

#include "tests/system/entries.hpp"
#include "tests/system/fault.hpp"
#include "tests/system/guest.hpp"
#include "tests/system/host.hpp"
#include "tests/system/snapshot.hpp"
#include "tests/system/traffic.hpp"
#include "tests/system/wire.hpp"

namespace causeway::test::killed_test {
namespace {

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
// Those that load the datapath and unload it.
const Calls of_pins{
    {SYS_bpf, SYS_mkdir, SYS_rename, SYS_mount, SYS_unlink, SYS_unlinkat, SYS_rmdir, SYS_clone, SYS_clone3},
    {BPF_OBJ_PIN}};
const Calls all{};

// Whose the sandbox's is: the others are of a plugin before, and stay.
enum class Interface { own, given_pair, given_tap };

struct Setting {
    std::string name;
    Json (*configuration)(const Json& patch);
    std::vector<std::string> gateways;
    bool everything;  // ports are published, and there is a bandwidth
    Calls killed_at = with_effect;
    int every = 1;  // so many calls later is the next; beginning with the shard's
    Interface interface = Interface::own;
};
void PrintTo(const Setting& setting, std::ostream* stream) {
    *stream << setting.name;
}

const Setting plain{"IPv4", configuration, {"10.0.0.1"}, false},
    everything{"Everything", dual_configuration, {"10.0.0.1", "fd00:1::1"}, true, with_effect, 4},
    half_of_everything{"Everything", dual_configuration, {"10.0.0.1", "fd00:1::1"}, true, with_effect, 8},
    at_pins{"AtPins", dual_configuration, {"10.0.0.1", "fd00:1::1"}, true, of_pins},
    at_any_call{"AtAnyCall", dual_configuration, {"10.0.0.1", "fd00:1::1"}, true, all, 8},
    given_pair{"GivenPair", dual_configuration, {"10.0.0.1", "fd00:1::1"}, true, with_effect, 1, Interface::given_pair},
    given_tap{"GivenTap", dual_configuration, {"10.0.0.1", "fd00:1::1"}, true, with_effect, 2, Interface::given_tap};

const Json small_tables{{"tables", {{"flows", 64}, {"sandboxes", 64}}}};

enum class Next { del, gc, add };

std::string name_of(Next next) {
    return std::array{"DEL", "GC", "ADD"}.at(static_cast<std::size_t>(next));
}

class Killed : public Host, public testing::WithParamInterface<std::tuple<Setting, int>> {
protected:
    void SetUp() override {
        netns_ = world_.add_namespace("blue");
        ip({"link", "set", "lo", "up"}, netns_);
        if (setting().interface == Interface::given_pair) {
            ip({"link", "add", "given0", "up", "type", "veth", "peer", "name", "eth0", "netns", "blue"});
            ip({"link", "set", "eth0", "up"}, netns_);
            given_ = {{{"name", "given0"}}, {{"name", "eth0"}, {"sandbox", netns_}}};
        }
        if (setting().interface == Interface::given_tap) {
            ip({"tuntap", "add", "tap7", "mode", "tap"});
            ip({"link", "set", "tap7", "up"});
            guest_.emplace("tap7");
            given_ = {{{"name", "tap7"}}, {{"name", "eth0"}, {"mac", guests_mac}, {"sandbox", "vm-blue"}}};
        }
    }

    static const Setting& setting() { return std::get<Setting>(GetParam()); }

    static Json conf() {
        auto conf = setting().configuration(small_tables);
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

    Json conf_of_blue() const {
        auto whole = conf();
        if (!given_.empty()) {
            whole["prevResult"] = {{"cniVersion", "1.1.0"}, {"interfaces", given_}};
        }
        return whole;
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

    // The call with a kill before its system call number 1, then of each (in a shard of each so many) until it outlives
    // it. What comes next goes by turns; with each_next, where something was about to change, all of it, and then all
    // is as it was.
    void kill_at_each(const std::string& command, Fault::Kind kind, bool each_next) {
        const auto& calls = setting().killed_at;
        namespaces_.push_back(netns_);
        const auto before = Snapshot::take(namespaces_);
        const Call call{.command = command, .id = "blue", .netns = netns_, .conf = conf_of_blue()};
        int kills = 0;
        bool outlived = false;
        for (int nth = 1 + std::get<int>(GetParam()); !outlived && !HasFailure(); nth += setting().every) {
            for (int turn = 0, turns = 1; turn < turns; ++turn) {
                const auto next = static_cast<Next>((nth + turn) % 3);
                if (command == "DEL") {
                    ASSERT_TRUE(succeeded(add_blue()));
                    ASSERT_TRUE(setting().interface != Interface::given_pair ||
                                meet(Protocol::udp, {netns_}, {world_.world(), {world_address, 53}}));
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
                EXPECT_TRUE(!outlived || faulted.output.ok()) << faulted.output.out;
                undo_by(next, command, faulted);
                EXPECT_TRUE(before.comes_back());
                // The interface may be another sandbox's next: whoever that is, it finds none of the flows.
                EXPECT_TRUE(given_.empty() || keys_of("flows").empty());
                EXPECT_TRUE(keeper_.netns.empty() || reaches_its_gateways(keeper_.netns));
            }
        }
        EXPECT_GE(kills, 1);
    }

    std::string netns_;
    Sandbox keeper_;

private:
    Answer add_blue() const { return add("blue", netns_, conf_of_blue()); }

    // Whether blue is as ADD has left it: what is behind a tap knows by the answers to who its gateways are.
    bool works(std::chrono::milliseconds time = patience) {
        return guest_ ? guest_works(time) : reaches_its_gateways(netns_, time);
    }

    bool guest_works(std::chrono::milliseconds time) {
        std::size_t answers = 0;
        for (const auto& row : ctl_json({"endpoints"})) {
            const std::string address = row.at("address");
            if (row.at("container") == "blue") {
                guest_->send(neighbour_question(mac_of(guests_mac), address,
                                                setting().gateways[address.find(':') == std::string::npos ? 0 : 1]));
                answers += guest_->next(is_neighbour_answer, time) ? 1 : 0;
            }
        }
        return answers == setting().gateways.size();
    }

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
        // A runtime has no result of an ADD that was killed.
        EXPECT_TRUE(succeeded(del("blue", netns_, killed == "ADD" ? conf() : conf_of_blue())));
    }

    // Refused only where the sandbox is connected as ever: the ADD was killed when all was done, or the DEL when
    // nothing was. Nobody can know that, and no runtime should connect it twice (CNI 1.1.0, section 2, "ADD").
    void expect_added(const std::string& killed, const Faulted& faulted) {
        const bool after_del = killed == "DEL", worked = after_del && works(silence);
        const auto again = add_blue();
        const bool answering = faulted.number == SYS_write && faulted.argument == STDOUT_FILENO;
        const bool whole = after_del ? worked : answering || (!again.ok() && !with_effect.have(faulted));
        EXPECT_TRUE(whole ? refused(again, 102, {"blue", "is connected already"}) : succeeded(again));
        EXPECT_TRUE(works());
    }

    static constexpr const char* guests_mac = "02:00:00:00:00:42";
    Json given_ = Json::array();  // of prevResult, the interfaces
    std::optional<Guest> guest_;
    std::vector<std::string> namespaces_;
};

// With a datapath to load and to unload, which takes its time: so each call of that, half of the others, and what comes
// next by turns: KilledBesideAnother has each of them after each.
class KilledAlone : public Killed {};

TEST_P(KilledAlone, FirstAddIsUndoneByWhateverComesNext) {
    kill_at_each("ADD", Fault::Kind::kill, false);
}

// With all that it has started: as when a runtime's whole service is ended.
TEST_P(KilledAlone, LastDelIsEndedByWhateverComesNext) {
    kill_at_each("DEL", Fault::Kind::kill_group, false);
}

class KilledBesideAnother : public Killed {
protected:
    static bool each_next() { return setting().everything && setting().interface == Interface::own; }
};

TEST_P(KilledBesideAnother, LaterAddIsUndoneByWhateverComesNext) {
    connect_keeper();
    kill_at_each("ADD", Fault::Kind::kill, each_next());
}

TEST_P(KilledBesideAnother, EarlierDelIsEndedByWhateverComesNext) {
    connect_keeper();
    kill_at_each("DEL", Fault::Kind::kill, each_next());
}

constexpr auto name_of_case = [](const auto& param) {
    return std::get<Setting>(param.param).name + "Shard" + std::to_string(std::get<int>(param.param));
};

INSTANTIATE_TEST_SUITE_P(Pins, KilledAlone, testing::Combine(testing::Values(at_pins), testing::Values(0)),
                         name_of_case);
INSTANTIATE_TEST_SUITE_P(Some, KilledAlone,
                         testing::Combine(testing::Values(half_of_everything), testing::Range(0, 8, 2)), name_of_case);
INSTANTIATE_TEST_SUITE_P(Each, KilledBesideAnother, testing::Combine(testing::Values(everything), testing::Range(0, 4)),
                         name_of_case);
// A share of all calls, so that with_effect does not lack any for long.
INSTANTIATE_TEST_SUITE_P(Some, KilledBesideAnother, testing::Combine(testing::Values(at_any_call), testing::Values(0)),
                         name_of_case);
INSTANTIATE_TEST_SUITE_P(Plain, KilledBesideAnother, testing::Combine(testing::Values(plain), testing::Values(0)),
                         name_of_case);
INSTANTIATE_TEST_SUITE_P(Given, KilledBesideAnother,
                         testing::Combine(testing::Values(given_pair, given_tap), testing::Values(0)), name_of_case);

}  // namespace
}  // namespace causeway::test::killed_test
