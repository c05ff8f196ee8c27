// SPDX-License-Identifier: Apache-2.0
// What the runtime asks, by its environment: which variables each command needs, and what they may hold.
#include "cni/request.hpp"

#include <algorithm>
#include <map>
#include <ostream>

#include "tests/unit/expectation.hpp"

namespace causeway::cni::request_test {
namespace {

using test::fails_with;
using test::name_of_row;
using test::succeeds;

using Variables = std::map<std::string, std::string>;

std::expected<Request, Error> request_in(const Variables& variables) {
    return read_request([&](const std::string& name) -> std::optional<std::string> {
        const auto found = variables.find(name);
        return found == variables.end() ? std::nullopt : std::optional(found->second);
    });
}

Variables all_of(const std::string& command) {
    return {{"CNI_COMMAND", command}, {"CNI_CONTAINERID", "c1"},    {"CNI_NETNS", "/run/netns/one"},
            {"CNI_IFNAME", "eth0"},   {"CNI_PATH", "/opt/cni/bin"}, {"CNI_ARGS", "IgnoreUnknown=1"}};
}

// CNI 1.1.0, section 2, "CNI operations": the variables that each command requires.
struct Row {
    const char* name;
    Command command;
    std::vector<std::string> required;
};

void PrintTo(const Row& row, std::ostream* out) {
    *out << row.name;
}

class RequestCommand : public testing::TestWithParam<Row> {};

TEST_P(RequestCommand, IsReadWhenAllIsGiven) {
    const auto request = request_in(all_of(GetParam().name));
    ASSERT_TRUE(succeeds(request));
    EXPECT_EQ(request->command, GetParam().command);
    EXPECT_EQ(request->container_id, "c1");
    EXPECT_EQ(request->netns, "/run/netns/one");
    EXPECT_EQ(request->interface, "eth0");
    EXPECT_EQ(request->path, "/opt/cni/bin");
    EXPECT_EQ(request->arguments, "IgnoreUnknown=1");
}

TEST_P(RequestCommand, IsReadWhenOnlyTheRequiredIsGiven) {
    const auto all = all_of(GetParam().name);
    Variables variables{{"CNI_COMMAND", GetParam().name}};
    for (const auto& name : GetParam().required) {
        variables[name] = all.at(name);
    }
    EXPECT_TRUE(succeeds(request_in(variables)));
}

TEST_P(RequestCommand, IsRefusedByNameWhenARequiredVariableIsMissing) {
    for (const auto& name : GetParam().required) {
        auto variables = all_of(GetParam().name);
        variables.erase(name);
        EXPECT_TRUE(fails_with(request_in(variables), Code::invalid_environment, {name, GetParam().name}));
    }
}

TEST_P(RequestCommand, IsRefusedByNameWhenARequiredVariableIsEmpty) {
    for (const auto& name : GetParam().required) {
        auto variables = all_of(GetParam().name);
        variables[name] = "";
        EXPECT_TRUE(fails_with(request_in(variables), Code::invalid_environment, {name}));
    }
}

TEST_P(RequestCommand, IsReadWhenAVariableThatItDoesNotNeedIsMissing) {
    for (const auto* const name : {"CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH", "CNI_ARGS"}) {
        const auto& required = GetParam().required;
        if (std::ranges::find(required, name) == required.end()) {
            auto variables = all_of(GetParam().name);
            variables.erase(name);
            EXPECT_TRUE(succeeds(request_in(variables))) << name;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(, RequestCommand,
                         testing::Values(Row{"ADD", Command::add, {"CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"}},
                                         Row{"DEL", Command::del, {"CNI_CONTAINERID", "CNI_IFNAME"}},
                                         Row{"CHECK", Command::check, {"CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"}},
                                         Row{"GC", Command::gc, {"CNI_PATH"}}, Row{"STATUS", Command::status, {}},
                                         Row{"VERSION", Command::version, {}}),
                         name_of_row);

TEST(Request, NamesAllThatIsMissingWhenOnlyTheCommandIsGiven) {
    EXPECT_TRUE(fails_with(request_in({{"CNI_COMMAND", "ADD"}}), Code::invalid_environment,
                           {"CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME"}));
}

TEST(Request, PointsPeopleToTheirCommandWhenNothingIsSet) {
    const auto request = request_in({});
    EXPECT_TRUE(fails_with(request, Code::invalid_environment, {"CNI_COMMAND is not set"}));
    EXPECT_TRUE(request.error().details.contains("causewayctl"));
}

TEST(Request, IsRefusedWhenTheCommandIsEmpty) {
    EXPECT_TRUE(fails_with(request_in({{"CNI_COMMAND", ""}}), Code::invalid_environment, {"CNI_COMMAND is not set"}));
}

struct Value {
    const char* name;
    std::string value;
};

void PrintTo(const Value& row, std::ostream* out) {
    *out << row.value;
}

class RequestUnknownCommand : public testing::TestWithParam<Value> {};

TEST_P(RequestUnknownCommand, IsRefusedWithTheKnownOnesWhenItIs) {
    EXPECT_TRUE(fails_with(request_in(all_of(GetParam().value)), Code::invalid_environment,
                           {"\"" + GetParam().value + "\"", "ADD, DEL, CHECK, GC, STATUS, VERSION"}));
}

INSTANTIATE_TEST_SUITE_P(, RequestUnknownCommand,
                         testing::Values(Value{"AnotherWord", "UPDATE"}, Value{"InLowerCase", "add"},
                                         Value{"FollowedByASpace", "ADD "}, Value{"TheStartOfOne", "AD"}),
                         name_of_row);

class RequestContainer : public testing::TestWithParam<Value> {};

TEST_P(RequestContainer, IsRefusedWhen) {
    for (const auto* const command : {"ADD", "DEL", "CHECK"}) {
        auto variables = all_of(command);
        variables["CNI_CONTAINERID"] = GetParam().value;
        EXPECT_TRUE(fails_with(request_in(variables), Code::invalid_environment,
                               {"CNI_CONTAINERID", "\"" + GetParam().value + "\""}));
    }
}

INSTANTIATE_TEST_SUITE_P(, RequestContainer,
                         testing::Values(Value{"ADotLeads", ".c1"}, Value{"ADashLeads", "-c1"},
                                         Value{"AnUnderscoreLeads", "_c1"}, Value{"ASlashIsInIt", "a/b"},
                                         Value{"ASpaceIsInIt", "a b"}, Value{"ANewlineFollows", "a\n"},
                                         Value{"AColonIsInIt", "a:b"}, Value{"ItIsTwoDots", ".."},
                                         Value{"ALetterIsNotAscii", "caf\xc3\xa9"}, Value{"AByteIsNoText", "a\xff"}),
                         name_of_row);

TEST(Request, TakesAContainerOfAllAllowedCharacters) {
    for (const auto* const id : {"a", "9", "A.b_c-d", "0123456789abcdef", "a..b"}) {
        auto variables = all_of("ADD");
        variables["CNI_CONTAINERID"] = id;
        EXPECT_TRUE(succeeds(request_in(variables)));
    }
}

class RequestInterface : public testing::TestWithParam<Value> {};

TEST_P(RequestInterface, IsRefusedWhen) {
    for (const auto* const command : {"ADD", "DEL", "CHECK"}) {
        auto variables = all_of(command);
        variables["CNI_IFNAME"] = GetParam().value;
        EXPECT_TRUE(fails_with(request_in(variables), Code::invalid_environment,
                               {"CNI_IFNAME", "\"" + GetParam().value + "\""}));
    }
}

INSTANTIATE_TEST_SUITE_P(, RequestInterface,
                         testing::Values(Value{"ItHasSixteenCharacters", "abcdefghijklmnop"}, Value{"ItIsADot", "."},
                                         Value{"ItIsTwoDots", ".."}, Value{"ASlashIsInIt", "eth/0"},
                                         Value{"AColonIsInIt", "eth:0"}, Value{"ASpaceIsInIt", "eth 0"},
                                         Value{"ATabIsInIt", "eth\t0"}, Value{"ANewlineFollows", "eth0\n"},
                                         Value{"TheKernelWouldNumberIt", "eth%d"},
                                         Value{"ItIsTheNameOfSettingsOfAll", "all"},
                                         Value{"ItIsTheNameOfSettingsByDefault", "default"}),
                         name_of_row);

TEST(Request, TakesAnInterfaceOfFifteenCharacters) {
    for (const auto* const name : {"abcdefghijklmno", "a", "...", "eth0.100", "v-1_2"}) {
        auto variables = all_of("ADD");
        variables["CNI_IFNAME"] = name;
        EXPECT_TRUE(succeeds(request_in(variables))) << name;
    }
}

TEST(Request, TakesAnInvalidContainerWhenTheCommandIsAboutNone) {
    for (const auto* const command : {"VERSION", "STATUS", "GC"}) {
        auto variables = all_of(command);
        variables["CNI_CONTAINERID"] = "dummy/..";
        variables["CNI_IFNAME"] = "an interface with spaces";
        EXPECT_TRUE(succeeds(request_in(variables))) << command;
    }
}

}  // namespace
}  // namespace causeway::cni::request_test
