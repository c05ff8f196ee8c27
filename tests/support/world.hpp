// SPDX-License-Identifier: Apache-2.0
// A world of one's own: a node, an outside and empty sandboxes in private namespaces, and programs that run in them.
//
//     World world = World::enter();                          // from here on this program is on the node
//     std::string blue = world.add_namespace("blue");        // /run/netns/blue
//     Output ping = run({"ping", "-c1", "203.0.113.1"}, {.netns = world.world()});
//     Child server = start({"httpd", "-f", "-p", "80"}, {.netns = world.world()});
//
//          node (the program's own namespace)                      world
//     up0  203.0.113.1/24  02:00:cb:00:71:01  ──── veth ────  203.0.113.2/24  02:00:cb:00:71:02  dn0
//          2001:db8:71::1/64                                  2001:db8:71::2/64
//     default via 203.0.113.2, 2001:db8:71::2                 198.51.100.1/32                    lo
//                                                             2001:db8:64::1/128
//
// Nothing is to be cleaned up: namespaces, mounts, pins and children all die with the program, however it ends.
// What goes wrong is thrown as std::runtime_error; a child that fails is no error but an Output.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <csignal>
#include <string>
#include <utility>
#include <vector>

namespace causeway::test {

inline constexpr const char* node_address = "203.0.113.1";
inline constexpr const char* world_address = "203.0.113.2";
inline constexpr const char* service_address = "198.51.100.1";  // in world, one hop further than world_address
inline constexpr const char* node_ipv6 = "2001:db8:71::1";
inline constexpr const char* world_ipv6 = "2001:db8:71::2";
inline constexpr const char* service_ipv6 = "2001:db8:64::1";

// Throws `what` with what errno says.
[[noreturn]] void fail(const std::string& what);

void write_file(const std::string& path, const std::string& text);

// How a child ended: its exit status, 128 + signal if one killed it, 124 if its time was up, 126 if it could not
// enter its namespace, 127 if there is no such program. The last two have the reason in `err`.
struct Output {
    int status = 0;
    std::string out, err;

    bool ok() const { return status == 0; }
};

struct RunOptions {
    std::string stdin_text{};
    std::vector<std::pair<std::string, std::string>> environment{};  // added to what the child inherits
    bool clean_environment = false;                                  // inherits nothing; argv[0] is still found by PATH
    std::string netns{};                                           // path of its network namespace; empty: the caller's
    std::chrono::milliseconds timeout = std::chrono::seconds(30);  // for run() alone
};

// A child in the background. Owned: its end of scope kills the child, with its process group, and reaps it. It also
// dies when the thread that started it ends.
class Child {
public:
    Child(Child&& other) noexcept;
    Child& operator=(Child&& other) noexcept;
    ~Child();

    pid_t pid() const { return pid_; }
    bool running();

    // Returns how it ended, as Output.status; kills it first if it takes longer than `timeout`, and returns 124.
    int wait(std::chrono::milliseconds timeout = std::chrono::seconds(30));
    void kill(int signal = SIGKILL);

    // What it has written so far.
    std::string out() const;
    std::string err() const;

private:
    friend Child start(const std::vector<std::string>& argv, const RunOptions& options);
    Child(pid_t pid, int pidfd, int out, int err) : pid_(pid), pidfd_(pidfd), out_(out), err_(err) {}

    bool reap(std::chrono::milliseconds timeout);
    void end() noexcept;

    pid_t pid_ = -1;
    int pidfd_ = -1, out_ = -1, err_ = -1;
    int status_ = -1;  // -1 until reaped
};

// Starts argv[0] with stdin, stdout and stderr of its own. Safe from several threads at once.
Child start(const std::vector<std::string>& argv, const RunOptions& options = {});

// The same, and waits for its end.
Output run(const std::vector<std::string>& argv, const RunOptions& options = {});

// Like run(), but throws what the child said unless it exits with 0; returns its stdout.
std::string must_run(const std::vector<std::string>& argv, const RunOptions& options = {});

// The calling thread is in the namespace at path (empty: where it is) for as long as this lives.
class Visit {
public:
    explicit Visit(const std::string& path);
    Visit(const Visit&) = delete;
    Visit& operator=(const Visit&) = delete;
    ~Visit();

private:
    int home_ = -1;
};

class World {
public:
    // Moves this program into namespaces of its own and builds what the picture above shows, with an empty /run and
    // an empty bpffs on /sys/fs/bpf. Once in a program's life, as root, before any other thread exists.
    static World enter();

    World(World&&) = default;
    World& operator=(World&&) = default;

    // Paths of the network namespaces.
    std::string node() const { return path("node"); }
    std::string world() const { return path("world"); }
    std::string path(const std::string& name) const { return "/run/netns/" + name; }

    // Makes an empty network namespace (lo down, no address) and returns its path; `name` is free.
    std::string add_namespace(const std::string& name);

    // Lets go of it: it dies with its last user.
    void remove_namespace(const std::string& name);

private:
    World() = default;
};

}  // namespace causeway::test
