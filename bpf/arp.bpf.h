/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who has this address? ARP answered on the asker's own link, so that no broadcast ever leaves it. */
#ifndef CAUSEWAY_ARP_BPF_H
#define CAUSEWAY_ARP_BPF_H

#include "endpoint.bpf.h"
#include "guard.bpf.h"
#include "rewrite.bpf.h"

/*
 * Every address that exists is at the gateway's MAC, which is also the host end's own: so the kernel takes
 * what comes in there as meant for it. Silence for an address that nobody has, and for the asker's own: that
 * is how it learns that its address is not a duplicate (RFC 5227, section 2.1.1).
 */
static __noinline enum verdict answer_arp(struct __sk_buff *skb, const struct sandbox *sandbox)
{
	struct ethhdr *ethernet = bytes_at(skb, 0, ETH_HLEN + sizeof(struct arp_ipv4));
	struct arp_ipv4 *arp = (void *)(ethernet + 1);
	const struct endpoint *endpoint;
	struct address asked;
	enum verdict verdict;

	if (!ethernet)
		return VERDICT_DROP_TRUNCATED;
	if (arp->hardware != bpf_htons(ARP_HARDWARE_ETHERNET) || arp->protocol != bpf_htons(ETH_P_IP) ||
	    arp->hardware_length != ETH_ALEN || arp->protocol_length != sizeof(__be32) ||
	    arp->operation != bpf_htons(ARP_REQUEST))
		return VERDICT_DROP_BAD_ARP;
	verdict = guard_arp(arp, sandbox);
	if (verdict)
		return verdict;
	asked = address_of_ipv4(arp->target);
	endpoint = endpoint_at(&asked);
	if (!endpoint || endpoint->link.ifindex == skb->ifindex)
		return VERDICT_DROP_ARP_NO_ANSWER;
	if (is_isolated_from(sandbox, endpoint))
		return VERDICT_DROP_ISOLATED;
	rewrite_arp_to_answer(ethernet, arp, sandbox->link.gateway_mac);
	return VERDICT_ARP_ANSWERED;
}

#endif
