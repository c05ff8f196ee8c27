/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which way would the host send this to the world, and from which address? Asked of the kernel's own routes. */
#ifndef CAUSEWAY_ROUTE_BPF_H
#define CAUSEWAY_ROUTE_BPF_H

#include <linux/errno.h>

#include "icmp.bpf.h"

#define AF_INET 2
#define AF_INET6 10
#define FIB_LOOKUP_SRC (1U << 4) /* BPF_FIB_LOOKUP_SRC, from Linux 6.7 on */
#define FIB_NO_SRC_ADDR 9         /* BPF_FIB_LKUP_RET_NO_SRC_ADDR, likewise */

struct route {
	struct bpf_redir_neigh next_hop;
	struct address source; /* that the host would use itself */
	__u32 ifindex;         /* of the uplink */
	__u16 mtu;             /* with DROP_TOO_BIG */
	__u8 refusal;          /* with DROP_NO_ROUTE: enum reason; REASON_NONE: the route wants silence */
};

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
		return REASON_UNREACHABLE;
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

/*
 * A kernel that can't name the source address refuses the flag at once, and one that has none of IPv6 says so: then the
 * uplink's recorded one serves, and the packet's own stays where an answer would be.
 */
static __always_inline long look_up_fib(const struct packet *packet, struct bpf_fib_lookup *fib, __u32 gateway_ifindex)
{
	long answer;

	ask_fib(fib, packet, gateway_ifindex);
	answer = bpf_fib_lookup(packet->skb, fib, sizeof(*fib), FIB_LOOKUP_SRC);
	if (answer != -EINVAL && answer != FIB_NO_SRC_ADDR)
		return answer;
	ask_fib(fib, packet, gateway_ifindex);
	return bpf_fib_lookup(packet->skb, fib, sizeof(*fib), 0);
}

/* Where a device has no address that reaches further, the kernel names ::1 or one of the link. */
static __always_inline bool is_source(const struct address *address)
{
	bool loopback = !(address->word[0] | address->word[1] | address->word[2]) && address->word[3] == bpf_htonl(1);

	return !loopback && !is_link_local(address);
}

static __always_inline struct address source_of_fib(const struct packet *packet, const struct bpf_fib_lookup *fib,
						    const struct uplink *uplink)
{
	struct address source;

	if (packet->family == FAMILY_IPV4)
		return fib->ipv4_src != packet->source.word[3] ? address_of_ipv4(fib->ipv4_src)
							       : uplink->address[FAMILY_IPV4];
	source = (struct address){{fib->ipv6_src[0], fib->ipv6_src[1], fib->ipv6_src[2], fib->ipv6_src[3]}};
	return is_source(&source) && !same_address(&source, &packet->source) ? source : uplink->address[FAMILY_IPV6];
}

/*
 * The lookup is made as if the packet had come in through the gateway device, so "ip rule" sees it so, and only
 * that device needs forwarding switched on. CONTINUE: route is filled in.
 */
static __noinline enum verdict find_route(const struct packet *packet, const struct sandbox *sandbox,
					  struct route *route)
{
	struct bpf_fib_lookup fib;
	long answer = look_up_fib(packet, &fib, sandbox->gateway_ifindex);
	enum verdict verdict = verdict_of_fib(answer);
	const struct uplink *uplink;

	route->mtu = fib.mtu_result;
	route->refusal = refusal_of_fib(answer);
	if (verdict)
		return verdict;
	uplink = bpf_map_lookup_elem(&uplinks, &fib.ifindex);
	if (!uplink)
		return fib.ifindex == sandbox->gateway_ifindex ? VERDICT_DROP_NO_ENDPOINT : VERDICT_DROP_NO_UPLINK;
	route->ifindex = fib.ifindex;
	route->source = source_of_fib(packet, &fib, uplink);
	route->next_hop.nh_family = fib.family;
	__builtin_memcpy(route->next_hop.ipv6_nh, fib.ipv6_dst, sizeof(fib.ipv6_dst));
	return VERDICT_CONTINUE;
}

#endif
