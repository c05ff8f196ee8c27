/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which way would the host send this to the world, and from which address? Asked of the kernel's own routes. */
#ifndef CAUSEWAY_ROUTE_BPF_H
#define CAUSEWAY_ROUTE_BPF_H

#include <linux/errno.h>

#include "icmp.bpf.h"
#include "kernel.bpf.h"

#define AF_INET 2
#define AF_INET6 10
#define FIB_LOOKUP_SRC (1U << 4) /* BPF_FIB_LOOKUP_SRC, from Linux 6.7 on */
#define FIB_NO_SRC_ADDR 9        /* BPF_FIB_LKUP_RET_NO_SRC_ADDR, likewise */

struct route {
	struct bpf_redir_neigh next_hop;
	struct address source; /* that the host would use itself */
	__u32 ifindex;         /* of the uplink */
	__u32 generation;
	bool has_generation;
	__u16 mtu;
	__u8 refusal; /* with DROP_NO_ROUTE: enum reason; REASON_NONE: the route wants silence */
};

/* 0 -> room for the route of one packet, since the stack has none | programs | programs | one packet | 52 B a CPU */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct route);
} route_work SEC(".maps");

#define NAMED_FOR (50 * 1000000ULL) /* ns: settings and labels of addresses have no generation */

struct named_source {
	struct address source;
	__u64 until;
	__u32 generation;
	__u32 ifindex;
};

/*
 * IPv6 destination -> the source that the kernel has named for it, for which it looks at every device of the host |
 * programs | programs | the least used gives way | 48 B each
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct address);
	__type(value, struct named_source);
} named_sources SEC(".maps");

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
		return REASON_NO_ROUTE;
	return answer == BPF_FIB_LKUP_RET_PROHIBIT ? REASON_PROHIBITED : REASON_NONE;
}

static __always_inline void ask_fib(struct bpf_fib_lookup *fib, const struct packet *packet, __u32 gateway_ifindex)
{
	*fib = (struct bpf_fib_lookup){
		.family = AF_INET,
		.l4_protocol = packet->protocol,
		.sport = packet->ports.source,
		.dport = packet->ports.destination,
		.tot_len = packet->segment_length,
		.ifindex = gateway_ifindex,
	};
	if (packet->family == FAMILY_IPV6) {
		fib->family = AF_INET6;
		fib->flowinfo = bpf_htonl(packet->type_of_service << 20);
		__builtin_memcpy(fib->ipv6_src, &packet->source, sizeof(packet->source));
		__builtin_memcpy(fib->ipv6_dst, &packet->destination, sizeof(packet->destination));
		return;
	}
	fib->tos = packet->type_of_service;
	fib->ipv4_src = packet->source.word[3];
	fib->ipv4_dst = packet->destination.word[3];
}

/* What was named a moment ago, if it still holds; else NULL. */
static __always_inline const struct named_source *named_for(const struct packet *packet, __u32 generation)
{
	const struct named_source *named = bpf_map_lookup_elem(&named_sources, &packet->destination);

	return named && named->generation == generation && bpf_ktime_get_coarse_ns() < named->until ? named : NULL;
}

static __always_inline void note_named(const struct packet *packet, const struct bpf_fib_lookup *fib, __u32 generation)
{
	struct named_source named = {
		.until = bpf_ktime_get_coarse_ns() + NAMED_FOR, .generation = generation, .ifindex = fib->ifindex};

	__builtin_memcpy(&named.source, fib->ipv6_src, sizeof(named.source));
	bpf_map_update_elem(&named_sources, &packet->destination, &named, 0);
}

/*
 * A kernel that can't name the source address refuses the flag at once: then the uplink's recorded one serves, and the
 * packet's own stays where an answer would be. One that has none of IPv6 says so.
 */
static __always_inline long look_up_fib(const struct packet *packet, struct bpf_fib_lookup *fib, __u32 gateway_ifindex,
					const struct route *route)
{
	__u32 generation = route->generation;
	bool may_keep =
		packet->family == FAMILY_IPV6 && route->has_generation && source_generation(packet->skb, &generation);
	const struct named_source *named = may_keep ? named_for(packet, generation) : NULL;
	long answer;

	if (named) {
		ask_fib(fib, packet, gateway_ifindex);
		answer = bpf_fib_lookup(packet->skb, fib, sizeof(*fib), 0);
		if (fib->ifindex == named->ifindex) {
			__builtin_memcpy(fib->ipv6_src, &named->source, sizeof(named->source));
			return answer;
		}
	}
	ask_fib(fib, packet, gateway_ifindex);
	answer = bpf_fib_lookup(packet->skb, fib, sizeof(*fib), FIB_LOOKUP_SRC);
	if (may_keep && (answer == BPF_FIB_LKUP_RET_SUCCESS || answer == BPF_FIB_LKUP_RET_NO_NEIGH))
		note_named(packet, fib, generation);
	if (answer != -EINVAL && answer != FIB_NO_SRC_ADDR)
		return answer;
	ask_fib(fib, packet, gateway_ifindex);
	if (answer == -EINVAL)
		return bpf_fib_lookup(packet->skb, fib, sizeof(*fib), 0);
	answer = bpf_fib_lookup(packet->skb, fib, sizeof(*fib), 0);
	__builtin_memset(fib->ipv6_src, 0, sizeof(fib->ipv6_src));
	return answer;
}

/* Where no address reaches further, the kernel names ::1 or one of the link. */
static __always_inline bool is_source(const struct address *address)
{
	bool loopback = !(address->word[0] | address->word[1] | address->word[2]) && address->word[3] == bpf_htonl(1);

	return !loopback && !is_link_local(address);
}

/*
 * Whether a packet from source to that address would be the host's own, or at least not be forwarded by it. A function
 * of its own to the verifier, so the answer is an int.
 */
__noinline int is_hosts(struct __sk_buff *skb, const struct address *address, const struct address *source,
			__u32 gateway_ifindex)
{
	struct bpf_fib_lookup fib = {.family = AF_INET6, .ifindex = gateway_ifindex};

	if (!address || !source)
		return 0;
	if (is_ipv4_mapped(address)) {
		fib.family = AF_INET;
		fib.ipv4_src = source->word[3];
		fib.ipv4_dst = address->word[3];
	} else {
		__builtin_memcpy(fib.ipv6_src, source, sizeof(*source));
		__builtin_memcpy(fib.ipv6_dst, address, sizeof(*address));
	}
	return bpf_fib_lookup(skb, &fib, sizeof(fib), 0) == BPF_FIB_LKUP_RET_NOT_FWDED;
}

/*
 * Whether an address that nothing is forwarded to is one of the host's. The kernel answers the same where there is no
 * route: then the addresses next to that one have none either. A function of its own to the verifier.
 */
__noinline int is_amid_routes(struct __sk_buff *skb, const struct address *address, const struct address *source,
			      __u32 gateway_ifindex)
{
	struct address next;

	if (!address || !source)
		return 0;
	for (__u32 i = 1; i <= 3; i++) { /* some may be the host's too, or of broadcast */
		next = *address;
		next.word[3] ^= bpf_htonl(i);
		if (!is_hosts(skb, &next, source, gateway_ifindex))
			return 1;
	}
	return 0;
}

/*
 * What the kernel names, or where it can't, or would name what lasts a day, the uplink's recorded address: if the host
 * still has that, since only an ADD records it. It may have none.
 */
static __always_inline struct address source_of_fib(const struct packet *packet, const struct bpf_fib_lookup *fib,
						    const struct uplink *uplink, __u32 gateway_ifindex)
{
	struct address named = {{fib->ipv6_src[0], fib->ipv6_src[1], fib->ipv6_src[2], fib->ipv6_src[3]}};
	struct address recorded = uplink->address[FAMILY_IPV6];
	bool temporary = uplink->flags & UPLINK_TEMPORARY, unnamed;

	if (packet->family == FAMILY_IPV4) {
		named = address_of_ipv4(fib->ipv4_src);
		recorded = uplink->address[FAMILY_IPV4];
		temporary = false;
	}
	unnamed = same_address(&named, &packet->source);
	if ((unnamed || temporary) && !is_none(&recorded) &&
	    is_hosts(packet->skb, &recorded, &recorded, gateway_ifindex))
		return recorded;
	return unnamed || !is_source(&named) ? (struct address){} : named;
}

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
	       route_generation(packet, &generation) && generation == flow->route_generation;
}

/*
 * The lookup is made as if the packet had come in through the gateway device, so "ip rule" sees it so, and only
 * that device needs forwarding switched on. CONTINUE: route is filled in.
 */
static __noinline enum verdict find_route(const struct packet *packet, const struct sandbox *sandbox,
					  struct route *route)
{
	const struct uplink *uplink;
	struct bpf_fib_lookup fib;
	enum verdict verdict;
	long answer;

	/* Before the look-up that it is to hold for; one that asked for no size says nothing of the next packet's. */
	route->has_generation = packet->segment_length && route_generation(packet, &route->generation);
	answer = look_up_fib(packet, &fib, sandbox->gateway_ifindex, route);
	verdict = verdict_of_fib(answer);

	route->mtu = fib.mtu_result;
	route->refusal = refusal_of_fib(answer);
	if (verdict == VERDICT_DROP_TOO_BIG) { /* of which device the kernel has not said */
		ask_fib(&fib, packet, sandbox->gateway_ifindex);
		fib.tot_len = 1;
		if (verdict_of_fib(bpf_fib_lookup(packet->skb, &fib, sizeof(fib), 0)))
			return verdict;
	} else if (verdict) {
		return verdict;
	}
	uplink = bpf_map_lookup_elem(&uplinks, &fib.ifindex);
	if (uplink && verdict)
		return verdict;
	if (!uplink)
		return fib.ifindex == sandbox->gateway_ifindex ? VERDICT_DROP_NO_ENDPOINT : VERDICT_DROP_NO_UPLINK;
	route->ifindex = fib.ifindex;
	route->source = source_of_fib(packet, &fib, uplink, sandbox->gateway_ifindex);
	route->next_hop.nh_family = fib.family;
	__builtin_memcpy(route->next_hop.ipv6_nh, fib.ipv6_dst, sizeof(fib.ipv6_dst));
	return VERDICT_CONTINUE;
}

#endif
