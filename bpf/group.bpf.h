/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who else hears what a sandbox says to all on its link? The other sandboxes of its network, where that is configured,
 * each by a copy; never the host, another network or the world. There is no querier and nobody joins: a sandbox's own
 * stack drops what it has not joined.
 */
#ifndef CAUSEWAY_GROUP_BPF_H
#define CAUSEWAY_GROUP_BPF_H

#include "dhcp.bpf.h"
#include "guard.bpf.h"
#include "link_local.bpf.h"
#include "parse.bpf.h"
#include "rewrite.bpf.h"
#include "verdict.bpf.h"

/*
 * Groups that a bridge could not keep on one link without being one: of IPv6 by scope, link and realm (RFC 4291,
 * section 2.7; RFC 7346); of IPv4 224.0.0.0/24 (RFC 5771, section 4) and 239.255.0.0/16, whose like the latter is
 * (RFC 2365, sections 6.1 and 8).
 */
static __always_inline bool is_group_of_link(const struct address *address)
{
	__be32 first = is_ipv4_mapped(address) ? address->word[3] : address->word[0];

	if (is_ipv4_mapped(address))
		return (first & bpf_htonl(0xffffff00)) == bpf_htonl(0xe0000000) ||
		       (first & bpf_htonl(0xffff0000)) == bpf_htonl(0xefff0000) || first == bpf_htonl(0xffffffff);
	return (first & bpf_htonl(0xff0f0000)) == bpf_htonl(0xff020000) ||
	       (first & bpf_htonl(0xff0f0000)) == bpf_htonl(0xff030000);
}

/* The last address of one of the network's subnets (RFC 922, section 7); IPv6 has none such. */
static __always_inline bool is_broadcast_of(const struct address *address, const struct network *network)
{
	if (!is_ipv4_mapped(address))
		return false;
	for (int i = 0; i < CAUSEWAY_SUBNETS_MAX; i++) {
		const struct subnet *subnet = &network->subnets[i];
		__u32 hosts = subnet->prefix_length < 32 ? 0xffffffffU >> subnet->prefix_length : 0;

		if (subnet->prefix_length && is_ipv4_mapped(&subnet->gateway) &&
		    address->word[3] == (subnet->gateway.word[3] | bpf_htonl(hosts)))
			return hosts > 1;
	}
	return false;
}

/* Its own address, or the one of the link that its MAC makes. */
static __always_inline bool is_senders(const struct address *address, const struct sandbox *sandbox)
{
	return is_own_address(address, sandbox) || is_link_local_of(address, sandbox->link.mac);
}

/*
 * Datagrams and queries: discovery and ping. What routers, DHCP servers and listeners say has no place on a link whose
 * router is the gateway, whose addresses are the runtime's and whose groups reach everybody. A fragment without the
 * first, which says more, comes to nothing.
 */
static __always_inline bool is_for_neighbours(struct __sk_buff *skb, struct packet *packet)
{
	if (packet->fragment_offset)
		return packet->protocol == IPPROTO_UDP;
	if (parse_transport_here(skb, packet))
		return false;
	if (packet->protocol == IPPROTO_UDP)
		return !is_dhcp(packet->ports.source) && !is_dhcp(packet->ports.destination);
	return is_icmp(packet->protocol) && packet->ports.icmp == ICMP_QUERY && !packet->more_fragments;
}

struct copying {
	struct __sk_buff *skb;
	__u32 ifindex, network; /* of the sender */
	__u32 family;
};

/* Through the host end's own queue, where there is one. What finds no room on its way is lost, as on any link. */
static long copy_to_member(const void *map __attribute__((unused)), const __u32 *ifindex, const struct sandbox *sandbox,
			   struct copying *copying)
{
	const struct address *own =
		copying->family == FAMILY_IPV6 ? &sandbox->address[FAMILY_IPV6] : &sandbox->address[FAMILY_IPV4];

	if (sandbox->network != copying->network || *ifindex == copying->ifindex || is_unspecified(own))
		return 0;
	count_received(copying->skb, sandbox->link.slot);
	bpf_clone_redirect(copying->skb, *ifindex, 0);
	return 0;
}

/*
 * To each member under the gateway's MAC, as all that comes to a sandbox: no member needs to know another's. The rate
 * counts what the sender sends, not the copies. A function of its own to the verifier; the answer is an enum verdict.
 */
__noinline int to_group(struct __sk_buff *skb, struct packet *packet)
{
	const struct sandbox *sandbox = sandbox_behind(skb->ifindex);
	struct copying copying = {.skb = skb, .ifindex = skb->ifindex};
	const struct network *network;
	struct ethhdr *ethernet;

	if (!sandbox || !packet || !(sandbox->link.flags & LINK_MULTICAST))
		return VERDICT_DROP_MULTICAST;
	copying.network = sandbox->network;
	copying.family = packet->family;
	network = bpf_map_lookup_elem(&networks, &copying.network);
	ethernet = bytes_at(skb, 0, ETH_HLEN);
	if (!network || !ethernet || !(ethernet->h_dest[0] & 1))
		return VERDICT_DROP_MULTICAST;
	if (!is_senders(&packet->source, sandbox))
		return VERDICT_DROP_SPOOFED_ADDRESS;
	if (!is_group_of_link(&packet->destination) && !is_broadcast_of(&packet->destination, network))
		return VERDICT_DROP_MULTICAST;
	if (!is_for_neighbours(skb, packet))
		return VERDICT_DROP_MULTICAST;
	if (!within_group_rate(sandbox, segments_of(skb)))
		return VERDICT_DROP_MULTICAST_RATE;
	if (rewrite_source_mac(skb, sandbox->link.gateway_mac))
		return VERDICT_DROP_REWRITE;
	bpf_for_each_map_elem(&sandboxes, copy_to_member, &copying, 0);
	return VERDICT_TO_GROUP;
}

#endif
