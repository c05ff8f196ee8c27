// SPDX-License-Identifier: Apache-2.0
// Links, addresses and routes of one network namespace, by rtnetlink. Layer 1.
//
// A socket belongs to the namespace that it was opened in, whatever the thread enters later.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "userspace/address.hpp"
#include "userspace/error.hpp"
#include "userspace/netns.hpp"
#include "userspace/unique_fd.hpp"

struct mnl_socket;
struct nlmsghdr;

namespace causeway {

struct Link {
    std::uint32_t ifindex = 0;
    std::string name;
    Mac mac;
    std::uint32_t mtu = 0;
    std::uint32_t gso_max_size = 0;  // bytes of the largest packet, of either family, that it is given unsegmented
    bool up = false;
    bool carrier = false;                    // up, and at its other end too
    bool queued = false;                     // a qdisc that may hold packets up is its root
    bool ethernet = false;                   // ARPHRD_ETHER
    bool forwards_ipv4 = false;              // net.ipv4.conf.<link>.forwarding
    bool forwards_ipv6 = false;              // net.ipv6.conf.<link>.forwarding
    bool prefers_temporary_ipv6 = false;     // net.ipv6.conf.<link>.use_tempaddr is 2, or more
    std::string kind;                        // "veth", "tun", ...; empty: a device of the machine's
    std::uint32_t peer = 0;                  // ifindex of the other end, in its own namespace; 0: none
    std::optional<std::int32_t> peer_netns;  // as this namespace numbers it; none: this one
};

struct LinkAddress {
    std::uint32_t ifindex = 0;
    Prefix prefix;        // the address itself with its subnet's length
    bool global = false;  // RT_SCOPE_UNIVERSE; none that is temporary, deprecated, secondary, or not yet usable
};

// Of a number that is none nothing is said: the kernel chooses.
struct Route {
    static constexpr std::uint32_t main_table = 254, link_scope = 253;  // RT_TABLE_MAIN, RT_SCOPE_LINK

    Prefix destination;
    Address gateway;  // none: on the link
    std::uint32_t ifindex = 0;
    std::optional<std::uint32_t> table, priority, scope;
    std::optional<std::uint32_t> mtu, advmss;  // RTAX_MTU, RTAX_ADVMSS; bytes

    bool in_main_table() const { return table.value_or(main_table) == main_table; }
    bool on_link() const { return scope.value_or(0) >= link_scope; }  // by its own word: it has no gateway
};

struct Neighbour {
    Address address;
    Mac mac;
};

struct VethEnd {
    std::string name;
    Mac mac;
    std::uint32_t mtu = 0;
    std::uint32_t gso_max_size = 0;  // bytes of a packet before it is segmented, and after it is merged; 0: 65536
};

// What a batch may say about a link that exists. Nothing said, nothing changed.
struct LinkChange {
    bool up = false;
    bool no_arp = false;
    bool forward_ipv4 = false;        // net.ipv4.conf.<link>.forwarding
    bool no_ipv6_link_local = false;  // addr_gen_mode none: no link-local address, so no DAD and no MLD
    std::optional<Mac> mac;
};

// Of a queue that makes packets wait, as the kernel counts them: with their Ethernet headers.
struct Rate {
    std::uint64_t bytes_per_second = 0;
    std::uint64_t burst = 0;  // bytes; fits 32 bits

    bool operator==(const Rate&) const = default;
};

// Where a filter is among those of a hook: the lower its priority, the sooner it runs.
struct FilterPlace {
    std::uint32_t number = 0, priority = 0;
};

struct Filter {
    std::uint32_t priority = 0;
    std::string kind;           // "bpf", "u32", ...
    std::uint32_t program = 0;  // id; 0: it has none
};

// Requests that go to the kernel in one system call. Each carries the step's name for its error.
class Batch {
public:
    Batch();
    ~Batch();
    Batch(Batch&&) noexcept;
    Batch& operator=(Batch&&) noexcept;

    std::size_t size() const;
    void change_link(std::uint32_t ifindex, const LinkChange& change, std::string step);
    void add_address(std::uint32_t ifindex, const Prefix& prefix, std::string step);
    void remove_address(std::uint32_t ifindex, const Prefix& prefix, std::string step);
    // EEXIST where its table has one of the same destination and priority, whichever way that goes.
    void add_route(const Route& route, std::string step);
    void remove_route(const Route& route, std::string step);  // as listed; whoever has added it
    // The route to its subnet that the kernel makes for an address of a link's, as it makes it, so that it goes with
    // the address. There already: no error, and nothing changes.
    void add_connected_route(std::uint32_t ifindex, const Prefix& own, std::string step);
    // A neighbour whose MAC is known for good: nobody asks for it, and it is not among those that the kernel counts for
    // all namespaces of a host together, and of which 1,024 are too many (net.ipv4.neigh.default.gc_thresh3, and
    // IPv6's).
    void add_neighbour(std::uint32_t ifindex, const Address& address, const Mac& mac, std::string step);
    // A program on the ingress of a device of causeway's own, by cls_bpf; see attach.hpp for place.
    void attach_ingress(std::uint32_t ifindex, int program, const FilterPlace& place, const std::string& step);
    // What leaves by the device waits for its turn (the kernel's tbf). It must have no queue that somebody has set up.
    // gso_max_size: of the device.
    void add_queue(std::uint32_t ifindex, const Rate& rate, std::uint32_t gso_max_size, const std::string& step);
    void remove_queue(std::uint32_t ifindex, const std::string& step);

private:
    friend class Netlink;
    struct Message;
    std::vector<Message> messages_;
    std::vector<Address> ipv6_addresses_;  // that it adds
};

class Netlink {
public:
    static std::expected<Netlink, Error> open();  // the calling thread's namespace
    // That one's; the thread, which is in home, comes back.
    static std::expected<Netlink, Error> open_in(const Netns& netns, const Netns& home);

    // ENODEV where there is none.
    std::expected<Link, Error> link_named(const std::string& name);
    std::expected<Link, Error> link_at(std::uint32_t ifindex);
    std::expected<std::vector<LinkAddress>, Error> addresses(int family, std::uint32_t ifindex = 0);  // 0: of all
    // The addresses that this namespace has, and where: from its table of local routes, so that it costs nothing for
    // devices without one, of which there are many. Not their scope or prefix length: 32 or 128.
    std::expected<std::vector<LinkAddress>, Error> local_addresses(int family);
    // Unicast, of every table; by that device, or by any (0).
    std::expected<std::vector<Route>, Error> routes(int family, std::uint32_t ifindex = 0);
    // The device by which this namespace sends to it now, by its rules and routes of all kinds: lo for an address of
    // its own. number: the kernel's where it doesn't (ENETUNREACH, EHOSTUNREACH, EACCES, EINVAL).
    std::expected<std::uint32_t, Error> way_to(const Address& address);
    // Where devices come and go meanwhile, some that have gone may be among them.
    std::expected<std::vector<Link>, Error> links();
    // How this namespace numbers another one; none where it never had to.
    std::expected<std::optional<std::int32_t>, Error> number_of(const Netns& netns);
    // Of the queue that add_queue has made there; none where it has another one, or none. The kernel keeps a burst as
    // the time that it takes, so that it comes back rounded.
    std::expected<std::optional<Rate>, Error> queue_at(std::uint32_t ifindex);
    // Of a device's ingress or egress, in the order in which they run; not those by TCX.
    std::expected<std::vector<Filter>, Error> filters(std::uint32_t ifindex, bool ingress);
    // Those that are known for good.
    std::expected<std::vector<Neighbour>, Error> neighbours(int family, std::uint32_t ifindex);

    // Both ends in one request, each where it belongs: near here, far in its own namespace (here when null).
    // EEXIST when either name is taken. Neither exists after an error.
    std::expected<void, Error> create_veth(const VethEnd& near, const VethEnd& far, const Netns* far_netns);

    // Returns once the link is out of every list of the kernel's; what the kernel still waits for (an RCU barrier of
    // some 20 ms) is left to a child process, which ends by itself; where that can't be had or is killed, the caller
    // waits. No such link: no error. Only for a socket of the calling thread's own namespace.
    std::expected<void, Error> delete_link(const std::string& name);
    std::expected<void, Error> delete_link(const Link& link);

    // All requests in one system call. The first that failed is the error; the others were made all the same.
    // The kernel makes an IPv6 address usable a little after it has taken it, even where there is nothing to detect,
    // and loses what is sent to it until then: returns when it has told that those of the batch are, or after a second
    // without news, which only a kernel that is badly behind takes.
    std::expected<void, Error> commit(const Batch& batch);

    struct Refusal {
        std::size_t place = 0;  // in the batch, from 0 on
        Error error;
    };
    // The same, and tells of every one.
    std::expected<std::vector<Refusal>, Error> try_all(const Batch& batch);

private:
    struct Close {
        void operator()(mnl_socket* socket) const;
    };
    using Socket = std::unique_ptr<mnl_socket, Close>;
    using Receiver = std::function<void(const nlmsghdr&)>;

    explicit Netlink(Socket socket) : socket_(std::move(socket)) {}
    std::expected<void, Error> exchange(nlmsghdr& request, std::string_view step, const Receiver& receive = {});
    template <typename Item>
    using Collector = std::function<void(const nlmsghdr&, std::vector<Item>&)>;
    template <typename Item>
    std::expected<std::vector<Item>, Error> list(nlmsghdr& request, std::string_view step,
                                                 const Collector<Item>& collect);
    std::expected<Link, Error> get_link(nlmsghdr& request, std::string_view step);
    std::expected<void, Error> hear_of_ipv6_addresses(bool wanted);
    std::expected<void, Error> await(const std::vector<Address>& addresses, std::vector<Address>& usable);

    Socket socket_;
    std::uint32_t sequence_ = 0;
    std::vector<UniqueFd> children_;  // of delete_link, that had not ended when last looked at
};

}  // namespace causeway
