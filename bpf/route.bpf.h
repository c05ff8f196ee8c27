/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which way would the host send this to the world, and from which address? Asked of the kernel's own routes. */
#ifndef CAUSEWAY_ROUTE_BPF_H
#define CAUSEWAY_ROUTE_BPF_H

#include <linux/errno.h>

#include <bpf/bpf_core_read.h>

#include "packet.bpf.h"

#define AF_INET 2
#define AF_INET6 10
#define FIB_LOOKUP_SRC (1U << 4) /* BPF_FIB_LOOKUP_SRC, from Linux 6.7 on */

/* The kernel's own, as far as they are read here; the loader finds where the fields are. */

struct netns_ipv4 {
	struct {
		int counter;
	} rt_genid;
} __attribute__((preserve_access_index));

struct net {
	struct netns_ipv4 ipv4;
} __attribute__((preserve_access_index));

struct net_device {
	struct {
		struct net *net;
	} nd_net;
} __attribute__((preserve_access_index));

struct sk_buff {
	struct net_device *dev;
} __attribute__((preserve_access_index));

extern void *bpf_cast_to_kern_ctx(void *skb) __ksym __weak; /* from Linux 6.2 on */

/*
 * What the kernel counts whenever a route, rule, address, device or setting has changed that routes depend on, and so
 * what it holds its own kept routes against. False: this kernel does not tell.
 */
static __always_inline bool route_generation(struct __sk_buff *skb, __u32 *generation)
{
	struct sk_buff *kernels;

	if (!bpf_cast_to_kern_ctx)
		return false;
	kernels = bpf_cast_to_kern_ctx(skb);
	*generation = kernels->dev->nd_net.net->ipv4.rt_genid.counter;
	return true;
}

struct route {
	struct bpf_redir_neigh next_hop;
	struct address source; /* that the host would use itself */
	__u32 ifindex;         /* of the uplink */
	__u32 generation;
	bool has_generation;
	__u16 mtu;
	__u8 refusal; /* with DROP_NO_ROUTE: enum unreachable_code; 0: the route wants silence */
};

/* 0 -> room for the route of one packet, since the stack has none | programs | programs | one packet | 52 B a CPU */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct route);
} route_work SEC(".maps");

/* Empty; never NULL, but for the verifier. */
static __always_inline struct route *room_for_route(void)
{
	struct route *route = bpf_map_lookup_elem(&route_work, &(__u32){0});

	if (route)
		__builtin_memset(route, 0, sizeof(*route));
	return route;
}

/* TO_HOST: the address is the host's own, or none that it routes; its stack delivers it or says so. */
static __always_inline enum verdict verdict_of_fib(long answer)
{
	switch (answer) {
	case BPF_FIB_LKUP_RET_SUCCESS:
	case BPF_FIB_LKUP_RET_NO_NEIGH: /* the redirect resolves it */
		return VERDICT_CONTINUE;
	case BPF_FIB_LKUP_RET_NOT_FWDED:
		return VERDICT_TO_HOST;
	case BPF_FIB_LKUP_RET_FRAG_NEEDED:
		return VERDICT_DROP_TOO_BIG;
	default:
		return VERDICT_DROP_NO_ROUTE;
	}
}

static __always_inline __u8 refusal_of_fib(long answer)
{
	if (answer == BPF_FIB_LKUP_RET_UNREACHABLE)
		return UNREACHABLE_HOST;
	return answer == BPF_FIB_LKUP_RET_PROHIBIT ? UNREACHABLE_PROHIBITED : 0;
}

/* A kernel that can't name the source address refuses the flag at once; then the uplink's recorded one serves. */
static __always_inline long look_up_fib(struct __sk_buff *skb, struct bpf_fib_lookup *fib)
{
	long answer = bpf_fib_lookup(skb, fib, sizeof(*fib), FIB_LOOKUP_SRC);

	if (answer == -EINVAL)
		answer = bpf_fib_lookup(skb, fib, sizeof(*fib), 0);
	return answer;
}

/*
 * The lookup is made as if the packet had come in through the gateway device, so "ip rule" sees it so, and only
 * that device needs forwarding switched on. CONTINUE: route is filled in.
 */
/* A flow of that way needs no look-up while the generation lasts. */
static __always_inline void keep_route(struct flow *flow, const struct route *route)
{
	flow->route_ifindex = 0; /* for whoever reads meanwhile */
	barrier();
	flow->next_hop = route->next_hop.nh_family == AF_INET
				 ? address_of_ipv4(route->next_hop.ipv4_nh)
				 : (struct address){{route->next_hop.ipv6_nh[0], route->next_hop.ipv6_nh[1],
						     route->next_hop.ipv6_nh[2], route->next_hop.ipv6_nh[3]}};
	flow->route_mtu = route->mtu;
	flow->route_generation = route->generation;
	barrier();
	flow->route_ifindex = route->has_generation ? route->ifindex : 0;
}

/* Whether what was kept is still what the kernel would find for this packet. */
static __always_inline bool route_holds(const struct packet *packet, const struct flow *flow)
{
	__u32 generation;

	return flow->route_ifindex && packet->segment_length <= flow->route_mtu &&
	       route_generation(packet->skb, &generation) && generation == flow->route_generation;
}

static __noinline enum verdict find_route(const struct packet *packet, const struct sandbox *sandbox,
					  struct route *route)
{
	struct bpf_fib_lookup fib = {
		.family = AF_INET,
		.l4_protocol = packet->protocol,
		.sport = packet->ports.source,
		.dport = packet->ports.destination,
		.tot_len = packet->segment_length,
		.ifindex = sandbox->gateway_ifindex,
		.tos = packet->type_of_service,
		.ipv4_src = packet->source.word[3],
		.ipv4_dst = packet->destination.word[3],
	};
	const struct uplink *uplink;
	enum verdict verdict;
	long answer;

	/* Before the look-up that it is to hold for; one that asked for no size says nothing of the next packet's. */
	route->has_generation = packet->segment_length && route_generation(packet->skb, &route->generation);
	answer = look_up_fib(packet->skb, &fib);
	verdict = verdict_of_fib(answer);

	route->mtu = fib.mtu_result;
	route->refusal = refusal_of_fib(answer);
	if (verdict)
		return verdict;
	uplink = bpf_map_lookup_elem(&uplinks, &fib.ifindex);
	if (!uplink)
		return fib.ifindex == sandbox->gateway_ifindex ? VERDICT_DROP_NO_ENDPOINT : VERDICT_DROP_NO_UPLINK;
	route->ifindex = fib.ifindex;
	route->source = fib.ipv4_src != packet->source.word[3] ? address_of_ipv4(fib.ipv4_src) : uplink->address;
	route->next_hop.nh_family = fib.family;
	__builtin_memcpy(route->next_hop.ipv6_nh, fib.ipv6_dst, sizeof(fib.ipv6_dst));
	return VERDICT_CONTINUE;
}

#endif
