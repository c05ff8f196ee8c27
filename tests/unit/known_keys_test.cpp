// SPDX-License-Identifier: Apache-2.0
// Keys of a configuration that nobody reads, as those that are mistyped.
#include <gmock/gmock.h>

#include "cni/known_keys.hpp"
#include "tests/unit/configuration.hpp"

namespace causeway::cni::test::known_keys_test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

TEST(UnknownKeys, AreNoneOfAWholeConfiguration) {
    EXPECT_THAT(unknown_keys(example()), IsEmpty());
    EXPECT_THAT(unknown_keys(Json::parse(R"({
        "cniVersion": "1.1.0", "cniVersions": ["1.1.0"], "name": "sandboxes", "type": "causeway", "disableGC": false,
        "capabilities": {"portMappings": true, "io.kubernetes.cri.pod-annotations": true}, "args": {"cni": {"a": 1}},
        "runtimeConfig": {"anything": "is refused elsewhere"}, "prevResult": {"interfaces": []},
        "cni.dev/valid-attachments": [], "cni.dev/attachments": [], "dns": {"search": ["a"]},
        "timeouts": {"udp": 5}, "quota": {"flows": 5}, "tables": {"flows": 5},
        "ipam": {"ranges": [[{"subnet": "10.0.0.0/24", "rangeStart": "10.0.0.5"}]], "rest": 5,
                 "routes": [{"dst": "0.0.0.0/0", "advmss": 1400}]}})")),
                IsEmpty());
}

TEST(UnknownKeys, AreThoseOfEveryObject) {
    EXPECT_THAT(unknown_keys(Json::parse(R"({
        "ipMask": true, "portblok": 5, "capabilities": {"portMapping": true}, "dns": {"server": []},
        "timeouts": {"tcp": 5}, "quota": {"flow": 5}, "tables": {"flow": 5}, "my.cni.dev/x": 1,
        "ipam": {"rangestart": "10.0.0.5", "ranges": [[{"subnet": "10.0.0.0/24"}, {"rangeend": "10.0.0.5"}]],
                 "routes": [{"dst": "0.0.0.0/0"}, {"dest": "::/0"}], "type": "causeway"}})")),
                UnorderedElementsAre("ipMask", "portblok", "capabilities.portMapping", "dns.server", "timeouts.tcp",
                                     "quota.flow", "tables.flow", "my.cni.dev/x", "ipam.rangestart",
                                     "ipam.ranges.rangeend", "ipam.routes.dest"));
}

TEST(UnknownKeys, AreNoRemarksAndEachIsToldOnce) {
    EXPECT_THAT(unknown_keys(Json::parse(R"({"_comment": "for us", "//": "for us too", "#": 1, "ipam": {"_why": 1,
        "ranges": [[{"size": 1}], [{"size": 2}]]}})")),
                ElementsAre("ipam.ranges.size"));
}

TEST(UnknownKeys, AreNoneOfAnotherIpamPlugins) {
    EXPECT_THAT(unknown_keys({{"ipMask", true}, {"ipam", {{"type", "host-local"}, {"dataDir", "/run"}}}}),
                ElementsAre("ipMask"));
}

}  // namespace
}  // namespace causeway::cni::test::known_keys_test
