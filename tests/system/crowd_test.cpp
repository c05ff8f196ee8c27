// SPDX-License-Identifier: Apache-2.0
// Many at once: first ADDs, last DELs, and all in between.
#include <gmock/gmock.h>
#include <sys/syscall.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <iterator>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "tests/system/fault.hpp"
#include "tests/system/host_local.hpp"
#include "tests/system/of_family.hpp"
#include "tests/system/snapshot.hpp"

namespace causeway::test::crowd_test {
namespace {

struct Member {
    std::string id, netns;
    Answer answer{};

    std::vector<std::string> addresses() const {
        std::vector<std::string> addresses;
        for (const auto& one : answer.json.at("ips")) {
            const std::string prefix = one.at("address");
            addresses.push_back(prefix.substr(0, prefix.find('/')));
        }
        return addresses;
    }
    std::string address() const { return addresses().at(0); }
};

std::vector<Member> members_of(World& world, int count) {
    std::vector<Member> all;
    for (int i = 0; i < count; ++i) {
        const std::string id = "member" + std::to_string(i);
        all.push_back({.id = id, .netns = world.add_namespace(id)});
        ip({"link", "set", "lo", "up"}, all.back().netns);
    }
    return all;
}

// One thread each, all at once.
void each(std::vector<Member>& all, const std::function<void(Member&)>& action) {
    std::vector<std::jthread> threads;
    threads.reserve(all.size());
    for (auto& member : all) {
        threads.emplace_back([&] { action(member); });
    }
}

class Crowd : public EachFamily {};
class CrowdOnce : public Crowd {};  // what has no family

struct Outside {
    std::string gateway, world;
};
const Outside outside[] = {{"10.0.0.1", world_address}, {"fd00:1::1", world_ipv6}};  // in the order of addresses

class CrowdOfBothFamilies : public Host {
protected:
    static Json conf() { return dual_configuration(); }
    static Answer add_one(const Member& one) { return add(one.id, one.netns, conf()); }
    static Answer del_one(const Member& one) { return del(one.id, one.netns, conf()); }

    void expect_connected(const Member& one) {
        for (const auto& [gateway, world] : outside) {
            EXPECT_TRUE(ping(one.netns, gateway)) << one.id;
            EXPECT_TRUE(meet(Protocol::udp, {one.netns}, {world_.world(), {world, 53}})) << one.id;
        }
    }

    // The connected ones are reached, and the table lists them and nobody else.
    void expect_what_the_answers_said(const std::vector<Member>& all) {
        std::set<std::string> expected, listed;
        for (const auto& one : all) {
            if (one.answer.json.is_object()) {
                EXPECT_EQ(one.addresses().size(), std::size(outside));
                for (const auto& address : one.addresses()) {
                    expected.insert(one.id + " " + address);
                }
                expect_connected(one);
            }
        }
        for (const auto& row : ctl_json({"endpoints"})) {
            listed.insert(row.at("container").get<std::string>() + " " + row.at("address").get<std::string>());
        }
        EXPECT_EQ(listed, expected);
    }
};

TEST_F(CrowdOfBothFamilies, OfSixtyFourIsConnectedAndDisconnectedAtOnce) {
    auto all = members_of(world_, 64);
    const auto before = Snapshot::take();
    each(all, [](Member& one) { one.answer = add_one(one); });
    std::set<std::string> addresses;
    for (const auto& one : all) {
        ASSERT_TRUE(succeeded(one.answer)) << one.id;
        for (const auto& address : one.addresses()) {
            addresses.insert(address);
        }
    }
    EXPECT_EQ(addresses.size(), all.size() * std::size(outside));
    const auto& first = all.front();
    for (const auto& one : all) {
        expect_connected(one);
        for (const auto& address : one.addresses()) {
            EXPECT_TRUE(one.id == first.id || meet(Protocol::udp, {first.netns}, {one.netns, {address, 53}})) << one.id;
        }
    }
    each(all, [](Member& one) { one.answer = del_one(one); });
    for (const auto& one : all) {
        EXPECT_TRUE(succeeded(one.answer)) << one.id;
    }
    EXPECT_TRUE(before.holds());
}

TEST_P(Crowd, OfTwoNetworksIsConnectedAtOnce) {
    auto all = members_of(world_, 16);
    const auto before = Snapshot::take();
    const auto conf_of = [&](const Member& one) {
        return (&one - all.data()) % 2 == 0 ? configuration() : second_configuration();
    };
    each(all, [&](Member& one) { one.answer = add(one.id, one.netns, conf_of(one)); });
    for (const auto& one : all) {
        ASSERT_TRUE(succeeded(one.answer)) << one.id;
        EXPECT_TRUE(meet(Protocol::udp, {one.netns}, {all[0].netns, {all[0].address(), 53}})) << one.id;
    }
    each(all, [&](Member& one) { one.answer = del(one.id, one.netns, conf_of(one)); });
    EXPECT_TRUE(before.holds());
}

TEST_P(Crowd, ThatOutnumbersTheAddressesGetsAllOfThemAndNoMore) {
    auto conf = configuration();
    conf["ipam"]["ranges"][0][0].update({{"subnet", "10.0.0.0/28"}, {"rangeEnd", "10.0.0.14"}});  // 13 for sandboxes
    auto all = members_of(world_, 20);
    const auto before = Snapshot::take();
    each(all, [&](Member& one) { one.answer = add(one.id, one.netns, conf); });
    std::set<std::string> addresses;
    for (const auto& one : all) {
        if (one.answer.ok()) {
            addresses.insert(one.address());
        } else {
            EXPECT_TRUE(refused(one.answer, 101));
        }
    }
    EXPECT_EQ(addresses.size(), 13U);
    EXPECT_EQ(std::ranges::count_if(all, [](const Member& one) { return one.answer.ok(); }), 13);
    each(all, [&](Member& one) { one.answer = del(one.id, one.netns, conf); });
    EXPECT_TRUE(before.holds());
}

// Beside another one, or the first of them would have the lock for itself.
TEST_P(CrowdOnce, OfOneIdIsConnectedOnce) {
    connect("keeper");
    auto all = members_of(world_, 8);
    const auto before = Snapshot::take();
    for (int round = 0; round < 10; ++round) {
        each(all, [&](Member& one) { one.answer = add("the-same", one.netns); });
        const auto connected = std::ranges::count_if(all, [](const Member& one) { return one.answer.ok(); });
        EXPECT_EQ(connected, 1);
        for (const auto& one : all) {
            EXPECT_TRUE(one.answer.ok() ? ping(one.netns, "10.0.0.1")
                                        : refused(one.answer, 102, {"the-same", "is connected already"}));
        }
        EXPECT_EQ(ctl_json({"endpoints"}).size(), static_cast<std::size_t>(connected) + 1);
        EXPECT_TRUE(succeeded(del("the-same", "")));
        EXPECT_TRUE(before.holds());
    }
}

// Whoever is refused has asked that plugin for nothing, and so gives nothing back; also where a killed ADD has left a
// lease, which each of them finds.
TEST_P(CrowdOnce, OfOneIdHasTheLeaseOfTheOneThatIsConnected) {
    const auto conf = host_local_configuration();
    const auto keeper = connect("keeper", conf);
    auto all = members_of(world_, 8);
    const auto before = Snapshot::take();
    const Call killed{.command = "ADD", .id = "the-same", .netns = all[0].netns, .conf = conf};
    for (int round = 0; round < 10; ++round) {
        if (round % 2 == 1) {
            const Fault behind_the_lease{.kind = Fault::Kind::kill, .nth = 1, .calls = {SYS_wait4}};
            ASSERT_EQ(run_with(behind_the_lease, {plugin()}, killed.options()).output.status, 128 + SIGKILL);
        }
        each(all, [&](Member& one) { one.answer = add("the-same", one.netns, conf); });
        std::vector<std::string> expected{keeper.address};
        for (const auto& one : all) {
            if (one.answer.ok()) {
                expected.push_back(one.address());
                EXPECT_TRUE(ping(one.netns, "10.0.0.1"));
            } else {
                EXPECT_THAT(one.answer.code(), testing::AnyOf(11, 102)) << one.answer.text;
            }
        }
        EXPECT_EQ(expected.size(), 2U);
        EXPECT_THAT(leases(), testing::UnorderedElementsAreArray(expected));
        EXPECT_TRUE(succeeded(del("the-same", "", conf)));
        EXPECT_EQ(leases(), std::vector{keeper.address});
        EXPECT_TRUE(before.holds());
    }
}

TEST_F(CrowdOfBothFamilies, ThatComesAndGoesIsWhatTheAnswersSaid) {
    auto all = members_of(world_, 16);
    const auto before = Snapshot::take();
    each(all, [&](Member& one) {
        std::mt19937 random(static_cast<unsigned>(&one - all.data()));
        for (int i = 0; i < 8; ++i) {
            const bool connected = one.answer.json.is_object();
            const auto answer = random() % 3 == 0 ? del_one(one) : add_one(one);
            if (answer.ok()) {
                one.answer = answer;  // a DEL's has no JSON
            } else if (!connected || answer.code() != 102) {
                one.answer.status = answer.status;  // only what is connected may be refused, and only for that
                one.answer.text = answer.text;
            }
        }
    });
    for (const auto& one : all) {
        EXPECT_EQ(one.answer.status, 0) << one.id << ": " << one.answer.text;
    }
    expect_what_the_answers_said(all);
    each(all, [](Member& one) { one.answer = del_one(one); });
    EXPECT_TRUE(before.holds());
}

// Each publishes a port of its own, and has nobody but itself call for it.
class CrowdWithKills : public CrowdOfBothFamilies {
protected:
    void SetUp() override { all_ = members_of(world_, 16); }

    static Json publishing(const std::vector<std::size_t>& ports) {
        auto published = conf();
        for (const auto port : ports) {
            published["runtimeConfig"]["portMappings"].push_back(
                {{"hostPort", port}, {"containerPort", 80}, {"protocol", "tcp"}});
        }
        return published;
    }
    std::size_t port_of(const Member& one) const { return 8000 + static_cast<std::size_t>(&one - all_.data()); }

    Call call(const Member& one, const std::string& command) const {
        return {.command = command, .id = one.id, .netns = one.netns, .conf = publishing({port_of(one)})};
    }
    Call check_of(const Member& one) const {
        auto check = call(one, "CHECK");
        check.conf["prevResult"] = one.answer.json;
        return check;
    }
    // All of the others are valid: what they are just being connected to or disconnected from is theirs to tell.
    Call gc_but(const Member* one) const {
        auto listing = conf();
        for (const auto& other : all_) {
            if (&other != one) {
                listing["cni.dev/valid-attachments"].push_back({{"containerID", other.id}, {"ifname", "eth0"}});
            }
        }
        return {.command = "GC", .id = "", .netns = "", .conf = listing, .interface = ""};
    }

    void connect(Member& one) {
        one.answer = answer_to(call(one, "ADD"));
        EXPECT_TRUE(succeeded(one.answer)) << one.id;
    }
    void check(const Member& one) const { EXPECT_TRUE(succeeded(answer_to(check_of(one)))) << one.id; }
    void disconnect(Member& one) const {
        EXPECT_TRUE(succeeded(answer_to(call(one, "DEL")))) << one.id;
        one.answer = {};
    }
    void collect(Member& one) const {
        EXPECT_TRUE(succeeded(answer_to(gc_but(&one)))) << one.id;
        one.answer = {};
    }

    // Soon, when most wait for others, or before any of its calls to the kernel.
    void kill_somewhere(const Call& call, std::mt19937& random) {
        if (random() % 4 == 0) {
            auto child = start({plugin()}, call.options());
            std::this_thread::sleep_for(std::chrono::microseconds(random() % 6000));
            child.kill();
            kills_[call.command] += child.wait() == 128 + SIGKILL ? 1 : 0;
            return;
        }
        const Fault fault{.kind = Fault::Kind::kill,
                          .nth = 1 + static_cast<int>(random() % (call.command == "ADD" ? 80 : 40)),
                          .calls = {SYS_bpf, SYS_sendto, SYS_write},
                          .few_of_alike = true};
        kills_[call.command] += run_with(fault, {plugin()}, call.options()).output.status == 128 + SIGKILL ? 1 : 0;
    }

    // Nobody has an answer: it is undone, or done again.
    void settle(Member& one, std::mt19937& random) {
        switch (random() % 3) {
            case 0:
                one.answer = answer_to(call(one, "ADD"));
                if (!one.answer.ok()) {
                    EXPECT_TRUE(refused(one.answer, 102, {one.id, "is connected already"}));
                    disconnect(one);
                }
                break;
            case 1:
                collect(one);
                break;
            default:
                disconnect(one);
        }
    }

    void call_and_kill(Member& one, std::mt19937& random) {
        const bool connected = one.answer.json.is_object();
        switch (random() % 6) {
            case 0:
                kill_somewhere(gc_but(&one), random);
                break;
            case 1:  // these two change nothing of what was answered
                return kill_somewhere(gc_but(nullptr), random);
            case 2:
                return connected ? kill_somewhere(check_of(one), random) : connect(one);
            default:
                kill_somewhere(call(one, random() % 2 == 0 ? "ADD" : "DEL"), random);
        }
        settle(one, random);
    }

    void call_any(Member& one, std::mt19937& random) {
        const bool connected = one.answer.json.is_object();
        switch (random() % 8) {
            case 0:
            case 1:
                return call_and_kill(one, random);
            case 2:
                return disconnect(one);
            case 3:
                return collect(one);
            case 4:
                EXPECT_TRUE(succeeded(answer_to(gc_but(nullptr))));
                break;
            default:
                return connected ? check(one) : connect(one);
        }
    }

    // Those of the connected lead to them and are nobody else's; the others are free.
    void expect_ports_that_the_answers_said() {
        std::vector<std::size_t> free;
        const Member other{.id = "other", .netns = world_.add_namespace("other")};
        for (const auto& one : all_) {
            const auto port = port_of(one);
            if (!one.answer.json.is_object()) {
                free.push_back(port);
                continue;
            }
            EXPECT_TRUE(meet(Protocol::tcp, {world_.world()}, {one.netns, {one.address(), 80}},
                             {node_address, static_cast<std::uint16_t>(port)}))
                << one.id;
            EXPECT_TRUE(refused(add(other.id, other.netns, publishing({port})), 102, {std::to_string(port), one.id}));
        }
        EXPECT_TRUE(succeeded(add(other.id, other.netns, publishing(free))));
        EXPECT_TRUE(succeeded(del(other.id, other.netns, conf())));
        world_.remove_namespace(other.id);
    }

    std::vector<Member> all_;
    std::map<std::string, std::atomic<int>> kills_{};
};

// Two hundred calls of four kinds, each killed somewhere now and then: what is there afterwards is what the last
// answers said, and what nobody has an answer for, GC, DEL and ADD find. No runtime may call GC beside the others
// (CNI 1.1.0, section 3); here it takes what it is to take all the same, and no more.
TEST_F(CrowdWithKills, OfMixedCallsLeavesWhatTheAnswersSaid) {
    constexpr int rounds = 13;  // of 16 members: 208 calls
    const auto before = Snapshot::take();
    for (const std::string command : {"ADD", "DEL", "CHECK", "GC"}) {
        kills_[command] = 0;  // not from several threads
    }
    each(all_, [&](Member& one) {
        std::mt19937 random(static_cast<unsigned>(port_of(one)));
        for (int i = 0; i < rounds; ++i) {
            call_any(one, random);
        }
    });
    for (const auto& [command, count] : kills_) {
        EXPECT_GE(count, 1) << command << ": the others came too late";
    }
    expect_what_the_answers_said(all_);
    expect_ports_that_the_answers_said();
    EXPECT_EQ(ctl_json({"gc"}), Json::array());
    each(all_, [&](Member& one) { disconnect(one); });
    EXPECT_TRUE(before.comes_back());
}

FOR_BOTH_FAMILIES(Crowd);
INSTANTIATE_TEST_SUITE_P(Of, CrowdOnce, testing::Values(Family::ipv4), testing::PrintToStringParamName());

}  // namespace
}  // namespace causeway::test::crowd_test
