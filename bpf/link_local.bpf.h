/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who on a gateway device's link has this link-local address? Whoever's MAC makes it: nobody keeps a table of them, so
 * it is a walk through all sandboxes, and how often one may cause it is bound.
 */
#ifndef CAUSEWAY_LINK_LOCAL_BPF_H
#define CAUSEWAY_LINK_LOCAL_BPF_H

#include "deliver.bpf.h"
#include "endpoint.bpf.h"
#include "packet.bpf.h"
#include "quota.bpf.h"

struct member_search {
	const struct address *address;
	__u32 gateway_ifindex;
	__u32 found; /* ifindex of its host end */
};

static long compare_member(const void *map __attribute__((unused)), const __u32 *ifindex, const struct sandbox *sandbox,
			   struct member_search *search)
{
	if (sandbox->gateway_ifindex != search->gateway_ifindex || is_unspecified(&sandbox->address[FAMILY_IPV6]) ||
	    !is_link_local_of(search->address, sandbox->link.mac))
		return 0;
	search->found = *ifindex;
	return 1;
}

/* NULL: nobody. */
static __always_inline const struct sandbox *member_at(const struct address *address, __u32 gateway_ifindex)
{
	struct member_search search = {.address = address, .gateway_ifindex = gateway_ifindex};

	bpf_for_each_map_elem(&sandboxes, compare_member, &search, 0);
	return search.found ? sandbox_behind(search.found) : NULL;
}

/* Of what a sandbox says to groups, and under its link-local address. */
static __noinline bool within_group_rate(const struct sandbox *sandbox, __u32 packets)
{
	const struct network *network = bpf_map_lookup_elem(&networks, &(__u32){sandbox->network});
	struct usage *taken = bpf_map_lookup_elem(&usage, &(__u32){sandbox->link.slot});

	return network && taken && within_rate(&taken->grouping, network->multicast_per_second, packets);
}

/*
 * What a sandbox sends under a link-local address is for the gateway's, or for another sandbox's where they hear each
 * other's groups: discovery is answered so. The address has to be the one that its MAC makes. CONTINUE: it is the
 * gateway's or nobody's, and goes the long way. A function of its own to the verifier; the answer is an enum verdict.
 */
__noinline int to_link(struct __sk_buff *skb, struct packet *packet)
{
	const struct sandbox *sandbox = sandbox_behind(skb->ifindex), *member;
	struct ethhdr *ethernet = bytes_at(skb, 0, ETH_HLEN);
	struct address destination;
	bool for_gateway;

	if (!sandbox || !packet || !ethernet || is_unspecified(&sandbox->address[FAMILY_IPV6]) ||
	    !is_link_local_of(&packet->source, sandbox->link.mac))
		return VERDICT_DROP_SPOOFED_ADDRESS;
	for_gateway = is_link_local_of(&packet->destination, sandbox->link.gateway_mac);
	if (!for_gateway && (!(sandbox->link.flags & LINK_MULTICAST) || !is_link_local(&packet->destination)))
		return VERDICT_DROP_SPOOFED_ADDRESS;
	if (!same_mac(ethernet->h_dest, sandbox->link.gateway_mac))
		return VERDICT_DROP_NOT_GATEWAY_MAC;
	if (!within_group_rate(sandbox, segments_of(skb)))
		return VERDICT_DROP_MULTICAST_RATE;
	if (for_gateway)
		return VERDICT_CONTINUE;
	destination = packet->destination;
	member = member_at(&destination, sandbox->gateway_ifindex);
	return member ? deliver_to_peer(skb, &member->link) : VERDICT_CONTINUE;
}

/* What the host sends to none of the endpoints: to the link-local address of a sandbox, or to nobody's. Likewise. */
__noinline int from_gateway_to_link(struct __sk_buff *skb, struct packet *packet)
{
	const struct sandbox *member;
	struct address destination;

	if (!packet || !is_link_local(&packet->destination))
		return VERDICT_DROP_NO_ENDPOINT;
	destination = packet->destination;
	member = member_at(&destination, skb->ifindex);
	return member ? deliver_through_link(skb, &member->link) : VERDICT_DROP_NO_ENDPOINT;
}

/* The target of a solicitation, for one who hears the others' groups. */
static __always_inline enum verdict find_member(const struct address *target, const struct sandbox *asker)
{
	struct address address = *target;
	const struct sandbox *member;

	if (!(asker->link.flags & LINK_MULTICAST) || is_link_local_of(target, asker->link.mac))
		return VERDICT_DROP_ND_NO_ANSWER;
	if (!within_group_rate(asker, 1))
		return VERDICT_DROP_MULTICAST_RATE;
	member = member_at(&address, asker->gateway_ifindex);
	return member && member->link.ifindex != asker->link.ifindex ? VERDICT_CONTINUE : VERDICT_DROP_ND_NO_ANSWER;
}

#endif
