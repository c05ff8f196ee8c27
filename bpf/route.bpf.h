/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which way would the host send this to the world, and from which address? Asked of the kernel's own routes. */
#ifndef CAUSEWAY_ROUTE_BPF_H
#define CAUSEWAY_ROUTE_BPF_H

#include <linux/errno.h>

#include "icmp.bpf.h"

#define AF_INET 2
#define FIB_LOOKUP_SRC (1U << 4) /* BPF_FIB_LOOKUP_SRC, from Linux 6.7 on */

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
	long answer = look_up_fib(packet->skb, &fib);
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
	route->source =
		fib.ipv4_src != packet->source.word[3] ? address_of_ipv4(fib.ipv4_src) : uplink->address[FAMILY_IPV4];
	route->next_hop.nh_family = fib.family;
	__builtin_memcpy(route->next_hop.ipv6_nh, fib.ipv6_dst, sizeof(fib.ipv6_dst));
	return VERDICT_CONTINUE;
}

#endif
