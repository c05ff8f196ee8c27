// SPDX-License-Identifier: Apache-2.0
// What `./run install` puts where, and when it does not.
#include <gmock/gmock.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "tests/system/host.hpp"

namespace causeway::test::install_test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class Install : public Host {
protected:
    static Output install(const std::string& prefix) {
        return run({CAUSEWAY_CMAKE, "--install", CAUSEWAY_BUILD, "--prefix", prefix});
    }
};

// Without the plugin that has loaded it, what another version has on this host could never be DELed.
TEST_F(Install, DoesNotReplaceThePluginThatAnotherVersionsSandboxesNeed) {
    const std::string theirs = "/bin/true", plugin = "/run/causeway/cni/bin/causeway";
    std::filesystem::create_directories("/sys/fs/bpf/causeway/v0");
    std::filesystem::create_directories("/run/causeway/cni/bin");
    std::filesystem::copy_file(theirs, plugin);
    const auto answer = install("/run/causeway");
    EXPECT_FALSE(answer.ok());
    EXPECT_THAT(answer.err, AllOf(HasSubstr("/sys/fs/bpf/causeway/v0"), HasSubstr(plugin)));
    EXPECT_EQ(std::filesystem::file_size(plugin), std::filesystem::file_size(theirs));
    EXPECT_FALSE(std::filesystem::exists("/run/causeway/sbin")) << "nothing of it is installed";

    EXPECT_TRUE(install("/run/beside").ok());
    std::filesystem::remove_all("/sys/fs/bpf/causeway");
    EXPECT_TRUE(install("/run/causeway").ok());
    EXPECT_GT(std::filesystem::file_size(plugin), std::filesystem::file_size(theirs));
    EXPECT_TRUE(std::filesystem::exists("/run/causeway/sbin/causewayctl"));
}

// A file that is unlinked, created and filled is none, or none that may be executed, in between.
TEST_F(Install, LeavesAPluginThatCanBeCalledAtAnyTime) {
    const std::string directory = "/run/causeway/cni/bin", plugin = directory + "/causeway";
    ASSERT_TRUE(install("/run/causeway").ok());
    std::atomic<bool> done = false;
    std::jthread installing([&] {
        for (int i = 0; i < 20; ++i) {
            std::filesystem::last_write_time(plugin, {});  // else it is left as it is
            EXPECT_TRUE(install("/run/causeway").ok());
        }
        done = true;
    });
    while (!done) {
        const auto answer = run({"env", "CNI_COMMAND=VERSION", plugin});
        ASSERT_TRUE(answer.ok()) << answer.err;
    }
    installing.join();
    const std::filesystem::directory_iterator files(directory);
    EXPECT_EQ(std::distance(begin(files), end(files)), 1);
}

}  // namespace
}  // namespace causeway::test::install_test
