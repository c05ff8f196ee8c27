// SPDX-License-Identifier: Apache-2.0
// What goes on where no datapath is loaded any more: programs whose pins are lost.
#include <gmock/gmock.h>

#include <filesystem>

#include "tests/system/host.hpp"
#include "tests/system/programs.hpp"
#include "tests/system/snapshot.hpp"
#include "tests/system/traffic.hpp"

namespace causeway::test::unloaded_test {
namespace {

class Unloaded : public Host {};

// They would go on to take what comes to a port that was published once.
TEST_F(Unloaded, IsTakenOffUplinksAndLoopbackByGc) {
    const auto before = Snapshot::take();
    const ForeignProgram theirs("up0", Direction::ingress, ForeignProgram::Hook::tcx);
    const auto with_theirs = all_programs();
    const Json ports = Json::parse(R"([{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}])");
    const auto blue = connect("blue", configuration({{"runtimeConfig", {{"portMappings", ports}}}}));
    std::filesystem::remove_all("/sys/fs/bpf/causeway");
    world_.remove_namespace("blue");
    ASSERT_TRUE(eventually([&] { return ip({"-o", "link"}).find(blue.host_end) == std::string::npos; }));
    const Place service{"", {node_address, 8080}};
    EXPECT_FALSE(knock(Protocol::tcp, {world_.world()}, service));
    const auto dry = ctl_json({"gc", "--without-datapath", "--dry-run"});
    EXPECT_NE(all_programs(), with_theirs);
    EXPECT_EQ(ctl_json({"gc", "--without-datapath"}), dry);
    EXPECT_EQ(ctl_json({"gc"}), Json::array());
    EXPECT_EQ(all_programs(), with_theirs);
    EXPECT_TRUE(meet(Protocol::tcp, {world_.world()}, service));
    detach("up0", Direction::ingress, "foreign");
    EXPECT_TRUE(before.comes_back());
}

}  // namespace
}  // namespace causeway::test::unloaded_test
