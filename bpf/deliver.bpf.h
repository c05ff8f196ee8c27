/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which redirect takes the packet there, and why that one? */
#ifndef CAUSEWAY_DELIVER_BPF_H
#define CAUSEWAY_DELIVER_BPF_H

#include <linux/pkt_cls.h>

#include "endpoint.bpf.h"
#include "rewrite.bpf.h"
#include "route.bpf.h"
#include "verdict.bpf.h"

static __always_inline enum verdict redirected(long action, enum verdict verdict)
{
	return action == TC_ACT_REDIRECT ? verdict : VERDICT_DROP_REDIRECT;
}

/*
 * From an ingress hook: straight into the sandbox's namespace, with no second trip through a backlog queue; nor through
 * the host end's own, so not where that has something to do.
 */
static __always_inline enum verdict deliver_to_peer(struct __sk_buff *skb, const struct sandbox_link *link)
{
	enum verdict verdict = rewrite_macs(skb, link);

	if (verdict)
		return verdict;
	count_received(skb, link->slot);
	if (link->flags & LINK_QUEUED)
		return redirected(bpf_redirect(link->ifindex, 0), VERDICT_TO_SANDBOX);
	return redirected(bpf_redirect_peer(link->ifindex, 0), VERDICT_TO_SANDBOX);
}

/* From an egress hook, where the kernel refuses a peer redirect: out of the host end, and so in at the other. */
static __always_inline enum verdict deliver_through_link(struct __sk_buff *skb, const struct sandbox_link *link)
{
	enum verdict verdict = rewrite_macs(skb, link);

	if (verdict)
		return verdict;
	count_received(skb, link->slot);
	return redirected(bpf_redirect(link->ifindex, 0), VERDICT_TO_SANDBOX);
}

/*
 * The stack sees it come in on the gateway device, where the route back to the sandbox points: strict reverse-path
 * filters and "-i cw0" rules hold. Its MAC is that device's already.
 */
static __always_inline enum verdict deliver_to_host(__u32 gateway_ifindex)
{
	return redirected(bpf_redirect(gateway_ifindex, BPF_F_INGRESS), VERDICT_TO_HOST);
}

#define LOOPBACK_IFINDEX 1 /* of every network namespace */

/*
 * To a socket of the host's that has sent to the host itself. From `lo`, as the kernel would do it, and with a route of
 * its own making: so none of its checks of what may come in from outside is in the way. See from_loopback for the
 * packet's true addresses, which need not be of that route.
 */
static __always_inline enum verdict deliver_to_loopback(void)
{
	return redirected(bpf_redirect_neigh(LOOPBACK_IFINDEX, NULL, 0, 0), VERDICT_TO_HOST);
}

/*
 * Tells from_stack, through which it comes next, that the packet is from_sandbox's: beside it, in skb->tc_index, which
 * the kernel has no use for itself. What a sandbox sends may have anything there.
 */
#define SENT_ON 0xca5e

static __always_inline enum verdict deliver_to_world(struct __sk_buff *skb, struct route *route)
{
	skb->tc_index = SENT_ON;
	return redirected(bpf_redirect_neigh(route->ifindex, &route->next_hop, sizeof(route->next_hop), 0),
			  VERDICT_TO_WORLD);
}

static __always_inline enum verdict deliver_as_before(struct __sk_buff *skb, const struct flow *flow)
{
	struct bpf_redir_neigh next_hop = {.nh_family = AF_INET6};

	skb->tc_index = SENT_ON;
	if (is_ipv4_mapped(&flow->next_hop)) {
		next_hop.nh_family = AF_INET;
		next_hop.ipv4_nh = flow->next_hop.word[3];
	} else {
		__builtin_memcpy(next_hop.ipv6_nh, &flow->next_hop, sizeof(flow->next_hop));
	}
	return redirected(bpf_redirect_neigh(flow->route_ifindex, &next_hop, sizeof(next_hop), 0), VERDICT_TO_WORLD);
}

/* What has become an answer goes back where it came from. */
static __always_inline bool deliver_back(struct __sk_buff *skb)
{
	return bpf_redirect(skb->ifindex, 0) == TC_ACT_REDIRECT;
}

#endif
