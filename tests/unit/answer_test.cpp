// SPDX-License-Identifier: Apache-2.0
// A whole request and its answer, as far as no kernel is needed for it.
#include <gmock/gmock.h>

#include <map>

#include "cni/plugin.hpp"
#include "tests/unit/configuration.hpp"
#include "tests/unit/plugin_directory.hpp"

namespace causeway::cni::test::answer_test {
namespace {

using testing::HasSubstr;

using Variables = std::map<std::string, std::string>;

Answer answer_to(const Variables& variables, std::string_view input) {
    const auto environment = [&](const std::string& name) -> std::optional<std::string> {
        const auto found = variables.find(name);
        return found == variables.end() ? std::nullopt : std::optional(found->second);
    };
    return answer(environment, input);
}

Variables request_of(const std::string& command) {
    return {{"CNI_COMMAND", command},
            {"CNI_CONTAINERID", "nobody"},
            {"CNI_NETNS", "/nowhere/netns"},
            {"CNI_IFNAME", "eth0"},
            {"CNI_PATH", "/nowhere"}};
}

// The error in an answer: JSON alone on stdout, and an exit status that is not zero.
Json error_in(const Answer& answer) {
    EXPECT_NE(answer.exit_status, 0);
    EXPECT_TRUE(answer.output.ends_with("\n"));
    auto error = Json::parse(answer.output, nullptr, false);
    EXPECT_TRUE(error.is_object() && error["code"].is_number_integer() && error["msg"].is_string() &&
                error["cniVersion"].is_string())
        << answer.output;
    return error;
}

// --- VERSION ---

struct Asked {
    const char* name;
    std::string input, version;
};

void PrintTo(const Asked& row, std::ostream* out) {
    *out << row.input;
}

class AnswerToVersion : public testing::TestWithParam<Asked> {};

TEST_P(AnswerToVersion, HasTheAskedVersionWhenTheInputIs) {
    const auto got = answer_to({{"CNI_COMMAND", "VERSION"}}, GetParam().input);
    EXPECT_EQ(got.exit_status, 0);
    EXPECT_EQ(Json::parse(got.output),
              (Json{{"cniVersion", GetParam().version}, {"supportedVersions", {"0.3.1", "0.4.0", "1.0.0", "1.1.0"}}}));
}

INSTANTIATE_TEST_SUITE_P(, AnswerToVersion,
                         testing::Values(Asked{"OfTheOldestVersion", R"({"cniVersion": "0.3.1"})", "0.3.1"},
                                         Asked{"OfTheNewestVersion", R"({"cniVersion": "1.1.0"})", "1.1.0"},
                                         Asked{"OfAnUnknownVersion", R"({"cniVersion": "9.0.0"})", "9.0.0"},
                                         Asked{"Empty", "", "1.1.0"}, Asked{"WithoutVersion", "{}", "1.1.0"},
                                         Asked{"WithAVersionThatIsNoText", R"({"cniVersion": 1})", "1.1.0"},
                                         Asked{"NoJson", "VERSION", "1.1.0"}),
                         name_of_row);

// libcni sets the variables that must not be empty to "dummy" when it asks for versions.
TEST(Answer, HasVersionsWhenTheOtherVariablesAreDummies) {
    const auto got =
        answer_to({{"CNI_COMMAND", "VERSION"}, {"CNI_NETNS", "dummy"}, {"CNI_IFNAME", "dummy"}, {"CNI_PATH", "dummy"}},
                  R"({"cniVersion": "1.0.0"})");
    EXPECT_EQ(got.exit_status, 0);
    EXPECT_EQ(Json::parse(got.output)["cniVersion"], "1.0.0");
}

// --- errors ---

struct Failing {
    const char* name;
    std::string command, input;
    int code;
    std::string said;
};

void PrintTo(const Failing& row, std::ostream* out) {
    *out << row.command << " of " << row.input.substr(0, 80);
}

class AnswerToFailing : public testing::TestWithParam<Failing> {};

TEST_P(AnswerToFailing, IsAnErrorWhen) {
    const auto& [name, command, input, code, said] = GetParam();
    const auto error = error_in(answer_to(request_of(command), input));
    EXPECT_EQ(error["code"], code) << error;
    EXPECT_THAT(error["msg"].get<std::string>(), HasSubstr(said));
}

// Nobody's network and container: should a request that is to be refused not be, nothing on the host is meant by it.
std::string of_nobody(Json json) {
    if (json["name"].is_string()) {
        json["name"] = "nobodys";
    }
    return json.dump();
}

std::string conf(const std::string& version = "1.1.0") {
    return of_nobody(example_with("/cniVersion", version));
}

std::string conf_with(const std::string& pointer, const Json& value) {
    return of_nobody(example_with(pointer, value));
}

INSTANTIATE_TEST_SUITE_P(
    OfInput, AnswerToFailing,
    testing::Values(
        Failing{"AddHasNoInput", "ADD", "", 6, "not JSON"}, Failing{"AddHasNoJson", "ADD", "{", 6, "not JSON"},
        Failing{"AddHasAList", "ADD", "[]", 6, "not a JSON object"}, Failing{"DelHasNoInput", "DEL", "", 6, "not JSON"},
        Failing{"CheckHasNoInput", "CHECK", "", 6, "not JSON"}, Failing{"GcHasNoInput", "GC", "", 6, "not JSON"},
        Failing{"StatusHasNoInput", "STATUS", "", 6, "not JSON"},
        Failing{"AddHasAWrongMtu", "ADD", conf_with("/mtu", "big"), 7, "mtu: \"big\""},
        Failing{"CheckHasAWrongName", "CHECK", conf_with("/name", 5), 7, "name: 5"},
        Failing{"GcHasWrongAttachments", "GC", conf_with("/cni.dev~1valid-attachments", 5), 7, "valid-attachments"},
        Failing{"StatusHasAWrongSubnet", "STATUS", conf_with("/ipam/ranges/0/0/subnet", "10.0.0.0/99"), 7,
                "10.0.0.0/99"},
        Failing{"CheckHasNoPreviousResult", "CHECK", conf(), 7, "prevResult: missing"},
        Failing{"CheckHasNoPreviousResultIn04", "CHECK", conf("0.4.0"), 7, "prevResult: missing"},
        Failing{"CheckHasAPreviousResultOfAnother", "CHECK", conf_with("/prevResult", Json::object()), 7, "\"eth0\""}),
    name_of_row);

INSTANTIATE_TEST_SUITE_P(OfVersion, AnswerToFailing,
                         testing::Values(Failing{"AddIsOfAnUnknownVersion", "ADD", conf("9.0.0"), 1, "9.0.0"},
                                         Failing{"DelIsOfAnUnknownVersion", "DEL", conf("0.2.0"), 1, "0.2.0"},
                                         Failing{"AddIsOfNoVersion", "ADD", example_without("/cniVersion").dump(), 1,
                                                 "0.1.0"},
                                         Failing{"CheckIsOlderThan04", "CHECK", conf("0.3.1"), 1, "0.3.1"},
                                         Failing{"StatusIsOlderThan11", "STATUS", conf("1.0.0"), 1, "1.0.0"},
                                         Failing{"StatusIsOfTheOldest", "STATUS", conf("0.3.1"), 1, "0.3.1"},
                                         Failing{"GcIsOlderThan11", "GC", conf("1.0.0"), 1, "1.0.0"},
                                         Failing{"GcIsOf04", "GC", conf("0.4.0"), 1, "0.4.0"}),
                         name_of_row);

INSTANTIATE_TEST_SUITE_P(OfEnvironment, AnswerToFailing,
                         testing::Values(Failing{"TheCommandIsUnknown", "UPDATE", conf(), 4, "UPDATE"},
                                         Failing{"TheCommandIsEmpty", "", conf(), 4, "CNI_COMMAND"},
                                         Failing{"TheNamespaceIsMissing", "ADD", conf(), 8, "/nowhere/netns"},
                                         Failing{"ThePluginForAddressesIsMissing", "ADD",
                                                 conf_with("/ipam/type", "no-such-plugin"), 4, "no-such-plugin"}),
                         name_of_row);

TEST(Answer, NamesTheVariablesWhenTheEnvironmentIsIncomplete) {
    const auto error = error_in(answer_to({{"CNI_COMMAND", "ADD"}, {"CNI_NETNS", "/run/netns/one"}}, conf()));
    EXPECT_EQ(error["code"], 4);
    EXPECT_THAT(error["msg"].get<std::string>(), HasSubstr("CNI_CONTAINERID, CNI_IFNAME"));
}

TEST(Answer, IsAnErrorWhenAPersonStartsThePlugin) {
    const auto error = error_in(answer_to({}, ""));
    EXPECT_EQ(error["code"], 4);
    EXPECT_THAT(error["details"].get<std::string>(), HasSubstr("causewayctl"));
}

TEST(Answer, IsAnErrorWhenTheNamespaceIsAFileOfAnotherKind) {
    for (const auto* const path : {"/etc/passwd", "/", "/proc/self/ns/uts"}) {
        auto variables = request_of("ADD");
        variables["CNI_NETNS"] = path;
        EXPECT_EQ(error_in(answer_to(variables, conf()))["code"], 8) << path;
    }
}

TEST(Answer, IsAnErrorWhenTheNamespaceIsTheHosts) {
    auto variables = request_of("ADD");
    variables["CNI_NETNS"] = "/proc/self/ns/net";
    EXPECT_EQ(error_in(answer_to(variables, conf()))["code"], 8);
}

TEST(Answer, IsAnErrorWhenTheContainerIsTooLongToBeRecorded) {
    auto variables = request_of("ADD");
    variables["CNI_NETNS"] = "/proc/self/ns/net";
    variables["CNI_CONTAINERID"] = std::string(CAUSEWAY_CONTAINER_LEN, 'c');
    const auto error = error_in(answer_to(variables, conf()));
    EXPECT_EQ(error["code"], 4);
    EXPECT_THAT(error["msg"].get<std::string>(), HasSubstr("CNI_CONTAINERID"));
}

TEST(Answer, IsInTheRequestsVersionWhenItIsAnError) {
    for (const auto& version : supported_versions()) {
        auto json = example_with("/cniVersion", version);
        json["mtu"] = "big";
        EXPECT_EQ(error_in(answer_to(request_of("ADD"), json.dump()))["cniVersion"], version);
    }
}

TEST(Answer, IsInTheNewestVersionWhenTheRequestHasNone) {
    EXPECT_EQ(error_in(answer_to(request_of("ADD"), "no JSON"))["cniVersion"], "1.1.0");
}

TEST(Answer, IsStillJsonWhenAVariableIsNoText) {
    auto variables = request_of("ADD");
    variables["CNI_CONTAINERID"] = "c\xff\xfe";
    EXPECT_EQ(error_in(answer_to(variables, conf()))["code"], 4);
}

TEST(Answer, IsStillJsonWhenTheEnvironmentThrows) {
    const auto got =
        answer([](const std::string&) -> std::optional<std::string> { throw std::runtime_error("no memory"); }, conf());
    EXPECT_THAT(error_in(got)["msg"].get<std::string>(), HasSubstr("no memory"));
}

// --- another plugin's addresses, as far as it goes without a namespace ---

class AnswerWithDelegate : public testing::Test {
protected:
    Json error_of_add() const {
        auto variables = request_of("ADD");
        variables["CNI_PATH"] = plugins_.path();
        return error_in(answer_to(variables, conf_with("/ipam", {{"type", "leases"}})));
    }

    causeway::test::PluginDirectory plugins_;
};

TEST_F(AnswerWithDelegate, AsksNothingWhenTheNamespaceIsMissing) {
    plugins_.add("leases", R"([ $CNI_COMMAND != ADD ] || echo '{"ips": [{"address": "10.7.0.5/24"}]}')");
    EXPECT_EQ(error_of_add()["code"], 8);
    EXPECT_EQ(plugins_.calls(), "");
}

}  // namespace
}  // namespace causeway::cni::test::answer_test
