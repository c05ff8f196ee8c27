// SPDX-License-Identifier: Apache-2.0
// Many at once: first ADDs, last DELs, and all in between.
#include <algorithm>
#include <random>
#include <set>
#include <thread>

#include "tests/system/host.hpp"
#include "tests/system/snapshot.hpp"
#include "tests/system/traffic.hpp"

namespace causeway::test {
namespace {

class Crowd : public Host {
protected:
    struct Member {
        std::string id, netns;
        Answer answer{};

        std::string address() const {
            const std::string prefix = answer.json.at("ips").at(0).at("address");
            return prefix.substr(0, prefix.find('/'));
        }
    };

    std::vector<Member> members(int count) {
        std::vector<Member> all;
        for (int i = 0; i < count; ++i) {
            const std::string id = "member" + std::to_string(i);
            all.push_back({.id = id, .netns = world_.add_namespace(id)});
            ip({"link", "set", "lo", "up"}, all.back().netns);
        }
        return all;
    }

    // One thread each, all at once.
    static void each(std::vector<Member>& all, const std::function<void(Member&)>& action) {
        std::vector<std::jthread> threads;
        threads.reserve(all.size());
        for (auto& member : all) {
            threads.emplace_back([&] { action(member); });
        }
    }
};

TEST_F(Crowd, OfSixtyFourIsConnectedAndDisconnectedAtOnce) {
    auto all = members(64);
    const auto before = Snapshot::take();
    each(all, [](Member& one) { one.answer = add(one.id, one.netns); });
    std::set<std::string> addresses;
    for (const auto& one : all) {
        ASSERT_TRUE(succeeded(one.answer)) << one.id;
        addresses.insert(one.address());
    }
    EXPECT_EQ(addresses.size(), all.size());
    const auto& first = all.front();
    for (const auto& one : all) {
        EXPECT_TRUE(ping(one.netns, "10.0.0.1")) << one.id;
        EXPECT_TRUE(meet(Protocol::udp, {one.netns}, {world_.world(), {world_address, 53}})) << one.id;
        EXPECT_TRUE(one.id == first.id || meet(Protocol::udp, {first.netns}, {one.netns, {one.address(), 53}}))
            << one.id;
    }
    each(all, [](Member& one) { one.answer = del(one.id, one.netns); });
    for (const auto& one : all) {
        EXPECT_TRUE(succeeded(one.answer)) << one.id;
    }
    EXPECT_TRUE(before.holds());
}

TEST_F(Crowd, OfTwoNetworksIsConnectedAtOnce) {
    auto all = members(16);
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

TEST_F(Crowd, ThatOutnumbersTheAddressesGetsAllOfThemAndNoMore) {
    auto conf = configuration();
    conf["ipam"]["ranges"][0][0]["subnet"] = "10.0.0.0/28";  // 13 for sandboxes
    auto all = members(20);
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

TEST_F(Crowd, OfOneIdIsConnectedOnce) {
    auto all = members(8);
    const auto before = Snapshot::take();
    each(all, [](Member& one) { one.answer = add("the-same", one.netns); });
    const auto connected = std::ranges::count_if(all, [](const Member& one) { return one.answer.ok(); });
    EXPECT_LE(connected, 1);
    EXPECT_EQ(ctl_json({"endpoints"}).size(), static_cast<std::size_t>(connected));
    EXPECT_TRUE(succeeded(del("the-same", "")));
    EXPECT_TRUE(before.holds());
}

TEST_F(Crowd, ThatComesAndGoesIsWhatTheAnswersSaid) {
    auto all = members(16);
    const auto before = Snapshot::take();
    each(all, [&](Member& one) {
        std::mt19937 random(static_cast<unsigned>(&one - all.data()));
        for (int i = 0; i < 8; ++i) {
            const bool connected = one.answer.json.is_object();
            const auto answer = random() % 3 == 0 ? del(one.id, one.netns) : add(one.id, one.netns);
            if (answer.ok()) {
                one.answer = answer;  // a DEL's has no JSON
            } else if (!connected || answer.code() != 102) {
                one.answer.status = answer.status;  // only what is connected may be refused, and only for that
                one.answer.text = answer.text;
            }
        }
    });
    std::set<std::string> expected, listed;
    for (const auto& one : all) {
        EXPECT_EQ(one.answer.status, 0) << one.id << ": " << one.answer.text;
        if (one.answer.json.is_object()) {
            expected.insert(one.id + " " + one.address());
            EXPECT_TRUE(ping(one.netns, "10.0.0.1")) << one.id;
            EXPECT_TRUE(meet(Protocol::tcp, {one.netns}, {world_.world(), {world_address, 80}})) << one.id;
        }
    }
    for (const auto& row : ctl_json({"endpoints"})) {
        listed.insert(row.at("container").get<std::string>() + " " + row.at("address").get<std::string>());
    }
    EXPECT_EQ(listed, expected);
    each(all, [](Member& one) { one.answer = del(one.id, one.netns); });
    EXPECT_TRUE(before.holds());
}

// Two hundred calls of four kinds, some killed somewhere: what is there afterwards is what the last answers said, and
// what nobody has an answer for, gc and DEL find.
TEST_F(Crowd, OfMixedCallsWithKillsLeavesWhatTheAnswersSaid) {
    constexpr int rounds = 13;  // of 16 members: 208 calls
    auto all = members(16);
    const auto before = Snapshot::take();
    const auto gc_of_all = [&] {
        auto conf = configuration();
        for (const auto& one : all) {
            conf["cni.dev/valid-attachments"].push_back({{"containerID", one.id}, {"ifname", "eth0"}});
        }
        return Call{.command = "GC", .id = "", .netns = "", .conf = conf, .interface = ""};
    };
    const auto killed_somewhere = [](const Call& call, std::uint64_t microseconds) {
        auto child = start({plugin()}, call.options());
        std::this_thread::sleep_for(std::chrono::microseconds(microseconds));
        child.kill();
        child.wait();
    };
    each(all, [&](Member& one) {
        const auto index = static_cast<std::size_t>(&one - all.data());
        std::mt19937 random(static_cast<unsigned>(index) + 100);
        for (int i = 0; i < rounds; ++i) {
            const Call add_one{.command = "ADD", .id = one.id, .netns = one.netns};
            const Call del_one{.command = "DEL", .id = one.id, .netns = one.netns};
            switch (random() % 6) {
                case 0:  // killed, and then undone, as a runtime would
                    killed_somewhere(random() % 2 == 0 ? add_one : del_one, random() % 6000);
                    [[fallthrough]];
                case 1:
                    EXPECT_TRUE(succeeded(answer_to(del_one))) << one.id;
                    one.answer = {};
                    break;
                case 2:
                    EXPECT_TRUE(succeeded(answer_to(gc_of_all())));
                    break;
                case 3:
                    if (one.answer.json.is_object()) {
                        auto check = add_one;
                        check.command = "CHECK";
                        check.conf["prevResult"] = one.answer.json;
                        EXPECT_TRUE(succeeded(answer_to(check))) << one.id;
                        break;
                    }
                    [[fallthrough]];
                default:
                    if (!one.answer.json.is_object()) {
                        one.answer = answer_to(add_one);
                        EXPECT_TRUE(succeeded(one.answer)) << one.id;
                    }
            }
        }
    });
    std::set<std::string> expected, listed;
    for (const auto& one : all) {
        if (one.answer.json.is_object()) {
            expected.insert(one.id + " " + one.address());
            EXPECT_TRUE(ping(one.netns, "10.0.0.1")) << one.id;
        }
    }
    for (const auto& row : ctl_json({"endpoints"})) {
        listed.insert(row.at("container").get<std::string>() + " " + row.at("address").get<std::string>());
    }
    EXPECT_EQ(listed, expected);
    EXPECT_EQ(ctl_json({"gc"}), Json::array());
    each(all, [](Member& one) { one.answer = del(one.id, one.netns); });
    EXPECT_TRUE(before.comes_back());
}

}  // namespace
}  // namespace causeway::test
