// SPDX-License-Identifier: Apache-2.0
// kill -9 before each system call of ADD and of DEL: what comes next finds all that was left, and undoes it.
#include <sys/syscall.h>

#include "tests/system/fault.hpp"
#include "tests/system/host.hpp"
#include "tests/system/snapshot.hpp"
#include "tests/system/traffic.hpp"

namespace causeway::test {
namespace {

constexpr int shards = 4;  // each a case of its own, which takes every fourth call

// Those that change what outlives the program: a kill before any other is one before the next of these.
const std::vector<int> with_effect{SYS_bpf,    SYS_sendto,   SYS_mkdir, SYS_rename, SYS_mount,
                                   SYS_unlink, SYS_unlinkat, SYS_rmdir, SYS_clone,  SYS_write};

class Killed : public Host, public testing::WithParamInterface<int> {
protected:
    void SetUp() override {
        netns_ = world_.add_namespace("blue");
        ip({"link", "set", "lo", "up"}, netns_);
    }

    // Calls `body` with the kill before call 1, 5, 9, ... until the program outlives it, or something is wrong.
    void kill_at_each(const std::string& command, Fault::Kind kind, const std::function<void()>& before,
                      const std::function<void()>& after, const std::vector<int>& calls = {}) {
        const Call call{.command = command, .id = "blue", .netns = netns_};
        int kills = 0;
        for (int nth = 1 + GetParam();; nth += shards) {
            before();
            const auto faulted = run_with({.kind = kind, .nth = nth, .calls = calls}, {plugin()}, call.options());
            SCOPED_TRACE(command + " killed before call " + std::to_string(nth) + ", " + faulted.call);
            kills += faulted.output.status == 128 + SIGKILL ? 1 : 0;
            after();
            if (faulted.call.empty() || HasFailure()) {
                break;
            }
        }
        EXPECT_GE(kills, 10);
    }

    std::string netns_;
};

TEST_P(Killed, FirstAddIsUndoneByDel) {
    const auto before = Snapshot::take({netns_});
    kill_at_each(
        "ADD", Fault::Kind::kill, [] {},
        [&] {
            EXPECT_TRUE(succeeded(del("blue", netns_)));
            EXPECT_TRUE(before.comes_back());
        });
}

TEST_P(Killed, FirstAddCanBeMadeAgain) {
    const auto before = Snapshot::take({netns_});
    kill_at_each(
        "ADD", Fault::Kind::kill, [] {},
        [&] {
            const auto answer = add("blue", netns_);
            if (answer.code() != 102) {  // killed when all was done
                EXPECT_TRUE(succeeded(answer));
            }
            EXPECT_TRUE(ping(netns_, "10.0.0.1"));
            EXPECT_TRUE(succeeded(del("blue", netns_)));
            EXPECT_TRUE(before.comes_back());
        },
        with_effect);
}

TEST_P(Killed, LaterAddIsUndoneByDel) {
    const auto keeper = connect("keeper");
    const auto before = Snapshot::take({netns_, keeper.netns});
    kill_at_each(
        "ADD", Fault::Kind::kill, [] {},
        [&] {
            EXPECT_TRUE(succeeded(del("blue", netns_)));
            EXPECT_TRUE(before.comes_back());
            EXPECT_TRUE(ping(keeper.netns, "10.0.0.1"));
        });
}

// As a runtime calls it that has no record of the ADD that it lost.
TEST_P(Killed, LaterAddIsUndoneByGc) {
    const auto keeper = connect("keeper");
    const auto before = Snapshot::take({netns_, keeper.netns});
    auto conf = configuration();
    conf["cni.dev/valid-attachments"] = Json::parse(R"([{"containerID": "keeper", "ifname": "eth0"}])");
    kill_at_each(
        "ADD", Fault::Kind::kill, [] {},
        [&] {
            EXPECT_TRUE(succeeded(answer_to({.command = "GC", .id = "", .netns = "", .conf = conf, .interface = ""})));
            EXPECT_TRUE(before.comes_back());
            EXPECT_TRUE(ping(keeper.netns, "10.0.0.1"));
        },
        with_effect);
}

TEST_P(Killed, LaterAddCanBeMadeAgain) {
    const auto keeper = connect("keeper");
    const auto before = Snapshot::take({netns_, keeper.netns});
    kill_at_each(
        "ADD", Fault::Kind::kill, [] {},
        [&] {
            const auto answer = add("blue", netns_);
            if (answer.code() != 102) {
                EXPECT_TRUE(succeeded(answer));
            }
            EXPECT_TRUE(meet(Protocol::udp, {netns_}, {keeper.netns, {keeper.address, 53}}));
            EXPECT_TRUE(succeeded(del("blue", netns_)));
            EXPECT_TRUE(before.comes_back());
        });
}

// With all that it has started: as when a runtime's whole service is ended.
TEST_P(Killed, LastDelCanBeMadeAgain) {
    const auto before = Snapshot::take({netns_});
    kill_at_each(
        "DEL", Fault::Kind::kill_group, [&] { ASSERT_TRUE(succeeded(add("blue", netns_))); },
        [&] {
            EXPECT_TRUE(succeeded(del("blue", netns_)));
            EXPECT_TRUE(before.comes_back());
        });
}

TEST_P(Killed, EarlierDelCanBeMadeAgain) {
    const auto keeper = connect("keeper");
    const auto before = Snapshot::take({netns_, keeper.netns});
    kill_at_each(
        "DEL", Fault::Kind::kill, [&] { ASSERT_TRUE(succeeded(add("blue", netns_))); },
        [&] {
            EXPECT_TRUE(succeeded(del("blue", netns_)));
            EXPECT_TRUE(before.comes_back());
            EXPECT_TRUE(ping(keeper.netns, "10.0.0.1"));
        });
}

INSTANTIATE_TEST_SUITE_P(Shard, Killed, testing::Range(0, shards));

}  // namespace
}  // namespace causeway::test
