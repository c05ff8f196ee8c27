// SPDX-License-Identifier: Apache-2.0
// The benchmark as users run it: it measures, judges, and leaves nothing, however it ends.
#include <gmock/gmock.h>

#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/world.hpp"

namespace causeway::test::bench_test {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::Each;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class Bench : public testing::Test {
protected:
    void SetUp() override {
        std::string name = std::filesystem::temp_directory_path() / "bench-test-XXXXXX";
        ASSERT_NE(mkdtemp(name.data()), nullptr);
        directory_ = name;
    }
    void TearDown() override { std::filesystem::remove_all(directory_); }

    std::string directory() const { return directory_; }
    std::string file(const std::string& name) const { return directory_ / name; }

    // A bar that is `times` what the wire does, for a figure that is measured.
    std::string bars(double times) const {
        std::ofstream(file("bars.json")) << json{
            {"bars", {{{"figure", "tcp_sandbox"}, {"at_most", times}, {"times", "wire"}}}}};
        return file("bars.json");
    }

    static Output bench(std::vector<std::string> arguments) {
        arguments.insert(arguments.begin(), CAUSEWAY_BENCH);
        return run(arguments, {.timeout = std::chrono::seconds(100)});
    }

private:
    std::filesystem::path directory_;
};

// The parent of a process; 0 if it is gone.
int parent_of(int pid) {
    std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
    std::string text;
    std::getline(stat, text, '\0');  // does not throw where the process has gone meanwhile
    const std::size_t name_end = text.rfind(") ");
    return name_end == std::string::npos ? 0 : std::stoi(text.substr(name_end + 4));
}

std::string network_namespace_of(int pid) {
    std::error_code gone;
    return std::filesystem::read_symlink("/proc/" + std::to_string(pid) + "/ns/net", gone);
}

std::set<int> all_pids() {
    std::set<int> result;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
        const std::string name = entry.path().filename();
        if (name.find_first_not_of("0123456789") == std::string::npos) {
            result.insert(std::stoi(name));
        }
    }
    return result;
}

// The network namespaces of a program's children, but for the caller's own.
std::set<std::string> namespaces_of_children(int pid) {
    std::set<std::string> result;
    for (const int candidate : all_pids()) {
        if (parent_of(candidate) == pid) {
            result.insert(network_namespace_of(candidate));
        }
    }
    result.erase("");
    result.erase(network_namespace_of(getpid()));
    return result;
}

std::set<int> pids_in(const std::set<std::string>& namespaces) {
    std::set<int> result;
    for (const int candidate : all_pids()) {
        if (namespaces.contains(network_namespace_of(candidate))) {
            result.insert(candidate);
        }
    }
    return result;
}

std::set<std::string> keys_of(const json& object) {
    std::set<std::string> keys;
    for (const auto& [key, value] : object.items()) {
        keys.insert(key);
    }
    return keys;
}

bool is_empty(const std::string& path) {
    std::error_code gone;
    const auto size = std::filesystem::file_size(path, gone);
    return gone || size == 0;
}

bool eventually(const std::function<bool()>& holds) {
    for (const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
         std::chrono::steady_clock::now() < deadline; std::this_thread::sleep_for(std::chrono::milliseconds(20))) {
        if (holds()) {
            return true;
        }
    }
    return holds();
}

TEST_F(Bench, MeasuresEveryModeAndWritesItsReports) {
    const Output output = bench({"--quick", "--rounds", "2", "--only", "tcp_sandbox", "udp_world", "tcp_published",
                                 "latency_p50", "programs", "--json", file("out.json"), "--html", file("out.html")});
    ASSERT_EQ(output.status, 0) << output.err;
    EXPECT_THAT(output.out, HasSubstr("TCP, sandbox → sandbox, µs"));
    const json written = json::parse(std::ifstream(file("out.json")));
    const json& figures = written.at("figures");
    const std::set<std::string> all = {"wire",  "bridge",  "by-hand",   "ptp",  "causeway",
                                       "wire6", "bridge6", "causeway6", "bare", "big-tcp"};
    for (const char* const figure : {"tcp_sandbox", "udp_world", "latency_p999"}) {
        std::set<std::string> expected = all;
        if (figure != std::string("tcp_sandbox")) {
            expected.erase("big-tcp");  // it is of no interest there
        }
        if (figure == std::string("latency_p999")) {
            expected.erase("bare");
        }
        EXPECT_EQ(keys_of(figures.at(figure)), expected) << figure;
        for (const auto& [mode, measured] : figures.at(figure).items()) {
            EXPECT_GT(measured.at("median").get<double>(), 0) << figure << " " << mode;
            EXPECT_EQ(measured.at("rounds").size(), 2u) << figure << " " << mode;
        }
    }
    for (const char* const mode : {"wire", "bridge", "ptp", "causeway", "wire6", "bridge6", "causeway6"}) {
        EXPECT_TRUE(figures.at("tcp_published").contains(mode)) << mode;
    }
    for (const char* const figure : {"program_sandbox", "program_world", "program_uplink", "load_sandbox", "load_world",
                                     "load_uplink", "load_host"}) {
        EXPECT_GT(figures.at(figure).at("causeway").at("median").get<double>(), 0) << figure;
        EXPECT_GT(figures.at(figure).at("causeway6").at("median").get<double>(), 0) << figure;
    }
    std::ifstream html(file("out.html"));
    EXPECT_THAT(std::string(std::istreambuf_iterator<char>(html), {}), HasSubstr("</html>"));
    for (const char* const name : {"causeway", "plugin", "reference plugins", "iptables", "br_netfilter", "CPUs",
                                   "cpufreq governor", "load average before"}) {
        EXPECT_THAT(written.at("setting").at(name).get<std::string>(), Not(IsEmpty())) << name;
    }
    EXPECT_TRUE(written.at("complete"));
}

// Ways beside those of the first test; the two ends of a published port are not called the same.
TEST_F(Bench, MeasuresDatagramsAndStreamsOnTheOtherWaysToo) {
    const Output output = bench({"--quick", "--rounds", "1", "--only", "udp_host", "udp_published", "packets_spread",
                                 "stream_world", "latency_p50", "--modes", "wire", "bridge", "causeway", "causeway6",
                                 "bridge6", "--json", file("out.json")});
    ASSERT_EQ(output.status, 0) << output.err;
    const json figures = json::parse(std::ifstream(file("out.json"))).at("figures");
    for (const char* const figure : {"udp_host", "udp_published", "packets_spread", "stream_world", "latency_flood"}) {
        EXPECT_EQ(keys_of(figures.at(figure)),
                  (std::set<std::string>{"wire", "bridge", "causeway", "causeway6", "bridge6"}))
            << figure;
        for (const auto& [mode, measured] : figures.at(figure).items()) {
            EXPECT_GT(measured.at("median").get<double>(), 0) << figure << " " << mode;
        }
    }
}

TEST_F(Bench, MeasuresTheLatencyOfABandwidthBesideTheReferencePlugins) {
    const Output output = bench({"--quick", "--rounds", "1", "--only", "limited_out", "limited_in", "--modes",
                                 "causeway", "limited", "limited-bridge", "--json", file("out.json")});
    ASSERT_EQ(output.status, 0) << output.err;
    const json figures = json::parse(std::ifstream(file("out.json"))).at("figures");
    for (const std::string way : {"limited_out", "limited_in"}) {
        EXPECT_EQ(keys_of(figures.at(way)), (std::set<std::string>{"limited", "limited-bridge"}));
        for (const auto& [mode, measured] : figures.at(way + "_stream").items()) {
            EXPECT_LT(measured.at("median").get<double>(), 110) << way << " " << mode << ": 100 Mbit/s";
            EXPECT_GT(figures.at(way).at(mode).at("median").get<double>(), 0) << way << " " << mode;
        }
    }
}

// With nobody before it in the round, the first packet goes out at once: what connects the sandboxes has to be ready.
TEST_F(Bench, MeasuresAnIpv6ModeThatIsAlone) {
    for (const char* const mode : {"wire6", "bridge6", "causeway6"}) {
        for (const char* const step : {"tcp_world", "tcp_host"}) {
            const Output output = bench({"--quick", "--rounds", "1", "--modes", mode, "--only", step});
            EXPECT_EQ(output.status, 0) << mode << ", " << step << ": " << output.err;
        }
    }
}

TEST_F(Bench, EndsBeforeTheLongWaitWhereAReportCannotBeWritten) {
    for (const char* const report : {"--json", "--html", "--markdown"}) {
        const auto begin = std::chrono::steady_clock::now();
        const Output output = bench({"--rounds", "1000", report, file("nowhere/out")});
        EXPECT_EQ(output.status, 1) << report;
        EXPECT_THAT(output.err, HasSubstr("cannot write " + file("nowhere/out")));
        EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
    }
}

TEST_F(Bench, SaysWhichLoadGeneratorsAreMissing) {
    const Output output = run({CAUSEWAY_BENCH, "--only", "tcp_sandbox", "iperf3_1", "wrk_requests"},
                              {.environment = {{"PATH", directory()}}});
    EXPECT_EQ(output.status, 1);
    EXPECT_THAT(output.err, HasSubstr("programs that are not there (./run bench --full installs them): iperf3, nginx, "
                                      "taskset, wrk"));
}

// An hour must not be lost to Ctrl-C.
TEST_F(Bench, HasTheRoundsThatWereOverWhenItIsInterrupted) {
    Child running = start({CAUSEWAY_BENCH, "--quick", "--rounds", "1000", "--only", "tcp_sandbox", "--modes", "wire",
                           "--json", file("out.json")});
    ASSERT_TRUE(eventually([&] { return !is_empty(file("out.json")); })) << running.err();
    ::kill(running.pid(), SIGINT);
    running.wait();
    const json written = json::parse(std::ifstream(file("out.json")));
    EXPECT_GE(written.at("figures").at("tcp_sandbox").at("wire").at("rounds").size(), 1u);
    EXPECT_FALSE(written.at("complete"));
}

// TCX is of Linux 6.6: on an older kernel the bench does without.
bool kernel_has_tcx() {
    utsname name{};
    int major = 0, minor = 0;
    uname(&name);
    return std::sscanf(name.release, "%d.%d", &major, &minor) == 2 && std::pair(major, minor) >= std::pair(6, 6);
}

TEST_F(Bench, MeasuresOnlyTheModesThatItIsAskedForAndAllThatTheyCan) {
    std::vector<std::string> arguments = {"--quick",    "--rounds",     "1",       "--json",    file("out.json"),
                                          "--markdown", file("out.md"), "--only",  "udp_world", "connections_published",
                                          "--modes",    "big-tcp",      "no-peer", "bare"};
    std::set<std::string> expected = {"big-tcp", "no-peer"};
    if (kernel_has_tcx()) {
        arguments.emplace_back("tcx");
        expected.insert("tcx");
    }
    const Output output = bench(arguments);
    ASSERT_EQ(output.status, 0) << output.err;
    const json figures = json::parse(std::ifstream(file("out.json"))).at("figures");
    EXPECT_EQ(keys_of(figures.at("connections_published")), expected) << "bare publishes nothing";
    expected.insert("bare");
    EXPECT_EQ(keys_of(figures.at("udp_world")), expected);
    EXPECT_EQ(figures.at("connections_published").at("no-peer").at("failed"), 0);
    std::ifstream tables(file("out.md"));
    EXPECT_THAT(std::string(std::istreambuf_iterator<char>(tables), {}),
                HasSubstr("| UDP, sandbox → world (SNAT), µs |"));
}

TEST_F(Bench, FillsNodesWithFlows) {
    const Output output = bench({"--quick", "--rounds", "1", "--only", "flows", "--json", file("out.json")});
    ASSERT_EQ(output.status, 0) << output.err;
    const json figures = json::parse(std::ifstream(file("out.json"))).at("figures");
    EXPECT_GT(figures.at("packets_world_flows_100000").at("causeway").at("median").get<double>(), 0);
    EXPECT_EQ(figures.at("connections_world_flows_100000").at("causeway").at("failed"), 0);
    EXPECT_TRUE(figures.contains("memory_flow"));  // how much depends on what else the machine does
    EXPECT_GT(figures.at("program_world_flows_100000").at("causeway").at("median").get<double>(), 0);
}

TEST_F(Bench, CheckFailsWhereABarIsMissedAndOnlyThere) {
    ASSERT_EQ(bench({"--quick", "--rounds", "1", "--only", "tcp_sandbox", "--json", file("out.json")}).status, 0);
    EXPECT_EQ(bench({"--from", file("out.json"), "--check", "--bars", bars(100)}).status, 0);
    const Output missed = bench({"--from", file("out.json"), "--check", "--bars", bars(0.01)});
    EXPECT_EQ(missed.status, 3);
    EXPECT_THAT(missed.out,
                AllOf(HasSubstr("MISSES  TCP, sandbox → sandbox: ≤ 0.010 × wire"), HasSubstr("% above the bar")));
    EXPECT_EQ(bench({"--from", file("out.json"), "--bars", bars(0.01)}).status, 0) << "nobody asked for a check";
}

// What was measured, as a file to report on or to compare with.
void change(const std::string& path, const std::string& figure, const std::string& column,
            const std::function<void(json&)>& change_round) {
    json record = json::parse(std::ifstream(path));
    for (auto& [number, round] : record.at("figures").at(figure).at(column).at("rounds").items()) {
        change_round(round);
    }
    std::ofstream(path) << record;
}

TEST_F(Bench, CheckFailsWhereNoBarCouldBeJudgedAndNamesThem) {
    ASSERT_EQ(bench({"--quick", "--rounds", "1", "--only", "udp_sandbox", "--modes", "wire", "causeway", "--json",
                     file("out.json")})
                  .status,
              0);
    const Output output = bench({"--from", file("out.json"), "--check", "--bars", bars(100)});
    EXPECT_EQ(output.status, 3);
    EXPECT_THAT(output.out, HasSubstr("absent  TCP, sandbox → sandbox: ≤ 100.00 × wire"));
    EXPECT_THAT(output.err, HasSubstr("--check: no bar could be judged"));
}

TEST_F(Bench, CheckFailsWhereAnAttemptOfCausewaysFailedAndAgainstWhereARatioFell) {
    const std::string before = file("before.json"), now = file("now.json");
    ASSERT_EQ(bench({"--quick", "--rounds", "1", "--only", "tcp_sandbox", "connections_published", "--modes", "wire",
                     "causeway", "--json", before})
                  .status,
              0);
    std::filesystem::copy(before, now);
    EXPECT_EQ(bench({"--from", now, "--against", before, "--check", "--bars", bars(100)}).status, 0);
    change(now, "connections_published", "wire", [](json& round) { round["failed"] = 3; });
    EXPECT_EQ(bench({"--from", now, "--check", "--bars", bars(100)}).status, 0) << "not causeway's";
    change(now, "connections_published", "causeway", [](json& round) { round["failed"] = 2; });
    const Output failed = bench({"--from", now, "--check", "--bars", bars(100)});
    EXPECT_EQ(failed.status, 3);
    EXPECT_THAT(failed.err, HasSubstr("--check: causeway, connections, world → published port: 2 failed"));
    change(now, "tcp_sandbox", "causeway",
           [](json& round) { round["samples"][0] = 1.5 * round["samples"][0].get<double>(); });
    const Output fell = bench({"--from", now, "--against", before});
    EXPECT_EQ(fell.status, 4);
    EXPECT_THAT(fell.out, AllOf(HasSubstr("FELL    TCP, sandbox → sandbox, causeway ÷ wire"), HasSubstr("50 % worse"),
                                HasSubstr("1 of 2 ratios that both runs have fell")));
}

TEST_F(Bench, SaysWhatCouldNotBeMeasuredAndFails) {
    std::ofstream(file("causeway")) << "#!/bin/sh\necho '{\"code\": 999, \"msg\": \"not today\"}'\nexit 1\n"
                                    << std::flush;
    std::filesystem::permissions(file("causeway"), std::filesystem::perms::owner_all);
    const Output output = bench({"--quick", "--rounds", "1", "--only", "tcp_sandbox", "--plugin", file("causeway"),
                                 "--json", file("out.json")});
    EXPECT_EQ(output.status, 1);
    EXPECT_THAT(output.err, AllOf(HasSubstr("causeway, setting up traffic"), HasSubstr("not today")));
    const json written = json::parse(std::ifstream(file("out.json")));
    EXPECT_FALSE(written.at("figures").at("tcp_sandbox").contains("causeway"));
    EXPECT_TRUE(written.at("figures").at("tcp_sandbox").contains("bridge")) << "the others go on";
}

// The plugin, but that a script may change what comes in ($request) and, after an ADD, what is there.
class BenchOfAnotherPlugin : public Bench {
protected:
    Output bench_with(const std::string& change_request, const std::string& after_add, const std::string& step) const {
        const std::string plugin = file("causeway");
        std::ofstream(plugin) << "#!/bin/sh -e\nrequest=$(cat)\n"
                              << change_request << "\nreply=$(printf %s \"$request\" | " << CAUSEWAY_PLUGIN << ")\n"
                              << "if [ $CNI_COMMAND = ADD ]; then " << after_add << "; fi >&2\nprintf %s \"$reply\"\n"
                              << std::flush;
        std::filesystem::permissions(plugin, std::filesystem::perms::owner_all);
        return bench({"--quick", "--rounds", "1", "--modes", "causeway", "--only", step, "--plugin", plugin, "--json",
                      file("out.json")});
    }

    // Nothing is translated, and the world knows the way back all the same.
    Output bench_untranslated(const std::string& step) const {
        return bench_with(R"(request=$(printf %s "$request" | jq -c '.ipMasq = false'))",
                          "ip -n world route replace 10.0.0.0/20 via 203.0.113.1", step);
    }

    json figures() const { return json::parse(std::ifstream(file("out.json"))).at("figures"); }
};

// A figure of a way that is not what its name says would be a lie.
TEST_F(BenchOfAnotherPlugin, IsNotMeasuredWhereTheWorldSeesTheSandboxesOwnAddress) {
    for (const char* const step : {"tcp_world", "packets_world", "packets_spread", "stream_world"}) {
        const Output output = bench_untranslated(step);
        EXPECT_EQ(output.status, 1) << step;
        EXPECT_THAT(output.err, HasSubstr("the server sees 10.0.0.2 instead of 203.0.113.1")) << step;
        EXPECT_THAT(figures(), IsEmpty()) << step;
    }
    const Output unanswered = bench_untranslated("udp_world");
    EXPECT_EQ(unanswered.status, 1);
    EXPECT_THAT(unanswered.err, HasSubstr("causeway, udp_world: no reply"));
    EXPECT_THAT(figures(), IsEmpty());
    EXPECT_EQ(bench_untranslated("connections_world").status, 0);
    const json connections = figures().at("connections_world").at("causeway");
    EXPECT_EQ(connections.at("median"), 0);
    EXPECT_GT(connections.at("failed"), 0);
}

TEST_F(BenchOfAnotherPlugin, HasNoLatencyUnderAFloodThatDoesNotArrive) {
    const Output output =
        bench_with("", "nsenter --net=$CNI_NETNS iptables -A INPUT -p udp --dport 7001 -j DROP", "latency_p50");
    EXPECT_EQ(output.status, 1);
    EXPECT_THAT(output.err, HasSubstr("causeway, latency_p50: nothing of the flood arrived"));
    EXPECT_THAT(figures(), IsEmpty());
}

// The local ports of connections that the client has closed.
std::vector<int> closed_ports(const Child& bench) {
    std::vector<int> ports;
    for (const int candidate : all_pids()) {
        const std::string client = "/proc/" + std::to_string(candidate) + "/root/run/netns/first";
        if (parent_of(candidate) != bench.pid() || !std::filesystem::exists(client)) {
            continue;
        }
        std::istringstream lines(must_run({"ss", "-tnH", "state", "time-wait"}, {.netns = client}));
        for (std::string in, out, local, peer; lines >> in >> out >> local >> peer;) {
            ports.push_back(std::stoi(local.substr(local.rfind(':') + 1)));
        }
    }
    return ports;
}

// Whose port is in TIME_WAIT in the namespace of a server's keeps it from listening. The kernel gives one after the
// other, so one of the lowest comes where all have had their turn.
TEST_F(Bench, ItsClientsLeaveTheServersPortsAlone) {
    const Child running =
        start({CAUSEWAY_BENCH, "--quick", "--rounds", "1000", "--only", "connections_sandbox", "--modes", "wire"});
    std::vector<int> ports;
    ASSERT_TRUE(eventually([&] {
        ports = closed_ports(running);
        return std::ranges::any_of(ports, [](int port) { return port < 8100; });
    })) << running.err();
    EXPECT_THAT(ports, Each(testing::Ge(8000)));
}

class KilledBench : public Bench, public testing::WithParamInterface<int> {};

TEST_P(KilledBench, LeavesNothingRunningInItsNamespaces) {
    Child running = start({CAUSEWAY_BENCH, "--quick", "--only", "tcp_sandbox", "adds"});
    std::set<std::string> namespaces;
    ASSERT_TRUE(eventually([&] { return (namespaces = namespaces_of_children(running.pid())).size() >= 5; }))
        << running.err();
    ASSERT_THAT(pids_in(namespaces), Not(IsEmpty()));
    ::kill(running.pid(), GetParam());  // it alone, not its group
    EXPECT_EQ(running.wait(), 128 + GetParam());
    EXPECT_TRUE(eventually([&] { return pids_in(namespaces).empty(); }));
}

INSTANTIATE_TEST_SUITE_P(By, KilledBench, testing::Values(SIGKILL, SIGINT, SIGTERM),
                         [](const auto& signal) { return std::string(sigabbrev_np(signal.param)); });

}  // namespace
}  // namespace causeway::test::bench_test
