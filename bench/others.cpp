// SPDX-License-Identifier: Apache-2.0
#include "bench/others.hpp"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>
#include <thread>
#include <utility>

#include "bench/said.hpp"
#include "bench/socket.hpp"
#include "tests/support/world.hpp"

namespace causeway::bench {
namespace {

using Command = std::vector<std::string>;

Command pinned(int cpu, const Command& command) {
    Command whole = {"taskset", "-c", std::to_string(cpu)};
    whole.insert(whole.end(), command.begin(), command.end());
    return whole;
}

// Whole seconds, as these programs want them; at least one.
std::string seconds(Duration time) {
    return std::to_string(std::max<long>(1, time.count() / 1000));
}

// A server in the background, that listens.
test::Child serve(const Path& path, Cpus cpus, const Command& command, bool tcp, const std::string& port) {
    test::Child server = test::start(pinned(cpus.server, command), {.netns = path.server});
    const Command listening = {"ss", tcp ? "-ltnH" : "-lunH", "sport", "=", ":" + port};
    const auto deadline = Clock::now() + 10 * patience;
    while (test::must_run(listening, {.netns = path.server}).empty()) {
        if (!server.running() || Clock::now() > deadline) {
            throw std::runtime_error(command.front() + " does not listen: " + server.out() + server.err());
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return server;
}

std::string ask(const Path& path, Cpus cpus, Duration time, const Command& command) {
    return test::must_run(pinned(cpus.client, command), {.netns = path.client, .timeout = time + 20 * patience});
}

template <int Count>
Sample iperf3(const Path& path, Cpus cpus, Duration time) {
    const test::Child server = serve(path, cpus, {"iperf3", "-s", "-1", "-p", "7100"}, true, "7100");
    const std::string said =
        ask(path, cpus, time,
            {"iperf3", "-c", path.address, "-p", "7100", "-t", seconds(time), "-P", std::to_string(Count), "-J"});
    const auto sum = nlohmann::json::parse(said).at("end").at("sum_received");
    return {.values = {sum.at("bits_per_second").get<double>() / 1e9}};
}

template <bool Tcp>
Sample sockperf(const Path& path, Cpus cpus, Duration time) {
    Command server_command = {"sockperf", "server", "-i", "0.0.0.0", "-p", "7200"};
    Command command = {"sockperf", "ping-pong", "-i", path.address, "-p", "7200", "-m", "64", "-t", seconds(time)};
    if (Tcp) {
        server_command.emplace_back("--tcp");
        command.emplace_back("--tcp");
    }
    const test::Child server = serve(path, cpus, server_command, Tcp, "7200");
    const std::string said = ask(path, cpus, time, command);
    return {.values = {number_after(said, "percentile 50.000 ="), number_after(said, "percentile 99.000 =")}};
}

constexpr const char* nginx_configuration = R"(
daemon off; master_process off; pid /run/nginx.pid; error_log stderr; user root;
events { worker_connections 1024; }
http {
  access_log off; keepalive_requests 1000000000; server_tokens off;
  client_body_temp_path /run; proxy_temp_path /run; fastcgi_temp_path /run; uwsgi_temp_path /run; scgi_temp_path /run;
  server { listen [::]:7300 ipv6only=off backlog=1024; location / { default_type text/plain; return 200 "hello\n"; } }
}
)";

template <bool KeepAlive>
Sample wrk(const Path& path, Cpus cpus, Duration time) {
    std::ofstream("/run/nginx.conf") << nginx_configuration << std::flush;
    const test::Child server =
        serve(path, cpus, {"nginx", "-p", "/run", "-e", "stderr", "-c", "/run/nginx.conf"}, true, "7300");
    Command command = {"wrk", "-t1", "-c16", "-d" + seconds(time) + "s"};
    if (!KeepAlive) {
        command.insert(command.end(), {"-H", "Connection: close"});
    }
    const bool ipv6 = path.address.contains(':');
    command.push_back("http://" + (ipv6 ? "[" + path.address + "]" : path.address) + ":7300/");
    const std::string said = ask(path, cpus, time, command);
    return {.values = {number_after(said, "Requests/sec:")}, .failed = failed_requests(said)};
}

}  // namespace

std::string missing_generators(const std::vector<std::string>& steps) {
    std::set<std::string> needed;
    for (const std::string& step : steps) {
        needed.insert({step.substr(0, step.find('_')), "taskset"});
    }
    if (needed.contains("wrk")) {
        needed.insert("nginx");
    }
    std::string missing;
    for (const std::string& program : needed) {
        if (!test::run({"sh", "-c", "command -v " + program}).ok()) {
            missing += (missing.empty() ? "" : ", ") + program;
        }
    }
    return missing;
}

const std::vector<Load>& loads_of_others() {
    using N = Network;
    static const std::vector<Load> all = {
        {{"iperf3_1"}, iperf3<1>, &N::sandbox_to_sandbox, true},
        {{"iperf3_4"}, iperf3<4>, &N::sandbox_to_sandbox, true},
        {{"iperf3_16"}, iperf3<16>, &N::sandbox_to_sandbox, true},
        {{"sockperf_tcp"}, sockperf<true>, &N::sandbox_to_sandbox, false, true},  // its 3.7 knows IPv4 only
        {{"sockperf_udp", "sockperf_udp_p99"}, sockperf<false>, &N::sandbox_to_sandbox, false, true},
        {{"wrk_requests"}, wrk<true>, &N::sandbox_to_world, true},
        {{"wrk_connections"}, wrk<false>, &N::sandbox_to_world, true},
    };
    return all;
}

}  // namespace causeway::bench
