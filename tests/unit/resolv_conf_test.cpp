// SPDX-License-Identifier: Apache-2.0
// What a configuration takes from a resolv.conf file.
#include <gmock/gmock.h>

#include "tests/unit/configuration.hpp"
#include "tests/unit/scratch_directory.hpp"

namespace causeway::cni::test::resolv_conf_test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class ResolvConf : public testing::Test {
protected:
    std::expected<Dns, Error> read_with(std::string_view text) {
        return read_resolv_conf(directory_.write("resolv.conf", text));
    }

    causeway::test::ScratchDirectory directory_;
};

TEST_F(ResolvConf, GivesAllThatItNames) {
    const auto dns = read_with(
        "nameserver 1.1.1.1\nnameserver\t2001:db8::1\n"
        "search a.example.org example.org\ndomain example.org\noptions ndots:2 edns0\n");
    ASSERT_TRUE(succeeds(dns));
    EXPECT_THAT(dns->nameservers, ElementsAre("1.1.1.1", "2001:db8::1"));
    EXPECT_THAT(dns->search, ElementsAre("a.example.org", "example.org"));
    EXPECT_EQ(dns->domain, "example.org");
    EXPECT_THAT(dns->options, ElementsAre("ndots:2", "edns0"));
}

TEST_F(ResolvConf, GivesNothingOfRemarksAndUnknownLines) {
    const auto dns = read_with(
        "# nameserver 1.1.1.1\n; nameserver 1.1.1.1\n#nameserver 1.1.1.1\n\n   \n"
        "sortlist 10.0.0.0\nnameserver\nnameserver 9.9.9.9 # the only one\n");
    ASSERT_TRUE(succeeds(dns));
    EXPECT_THAT(dns->nameservers, ElementsAre("9.9.9.9"));
    EXPECT_THAT(dns->search, IsEmpty());
}

TEST_F(ResolvConf, GivesItsLastLineWhenNoNewlineFollows) {
    const auto dns = read_with("nameserver 9.9.9.9");
    ASSERT_TRUE(succeeds(dns));
    EXPECT_THAT(dns->nameservers, ElementsAre("9.9.9.9"));
}

TEST_F(ResolvConf, GivesNothingWhenItIsEmpty) {
    const auto dns = read_with("");
    ASSERT_TRUE(succeeds(dns));
    EXPECT_TRUE(dns->empty());
}

TEST_F(ResolvConf, IsPreferredWhenThereIsDnsToo) {
    auto json = example_with("/ipam/resolvConf", directory_.write("resolv.conf", "nameserver 9.9.9.9\n"));
    json["dns"] = {{"nameservers", {"1.1.1.1"}}};
    const auto conf = read(json);
    ASSERT_TRUE(succeeds(conf));
    const auto dns = dns_of(*conf);
    ASSERT_TRUE(succeeds(dns));
    EXPECT_THAT(dns->nameservers, ElementsAre("9.9.9.9"));
}

TEST_F(ResolvConf, IsRefusedByItsPathWhenItIsMissing) {
    const auto path = directory_.path() + "/missing";
    EXPECT_TRUE(fails_with(read_resolv_conf(path), Code::invalid_configuration, {"ipam.resolvConf", path}));
}

TEST_F(ResolvConf, IsNotReadWithTheConfiguration) {
    EXPECT_TRUE(succeeds(read(example_with("/ipam/resolvConf", directory_.path() + "/missing"))));
}

TEST_F(ResolvConf, IsRefusedByItsPathWhenItIsADirectory) {
    EXPECT_TRUE(fails_with(read_resolv_conf(directory_.path()), Code::invalid_configuration,
                           {"ipam.resolvConf", directory_.path()}));
}

}  // namespace
}  // namespace causeway::cni::test::resolv_conf_test
