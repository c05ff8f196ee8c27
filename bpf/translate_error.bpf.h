/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whose packet does an ICMP error quote, and how does its receiver know that packet? */
#ifndef CAUSEWAY_TRANSLATE_ERROR_BPF_H
#define CAUSEWAY_TRANSLATE_ERROR_BPF_H

#include "quote.bpf.h"
#include "translate.bpf.h"

/* The entry whose packets go the other way than the quoted one did; an error about no flow has none. */
static __always_inline struct flow *flow_quoted(const struct quote *quote, struct flow_work *work, __u32 scope)
{
	struct flow_key *key = &work->published;

	if (quote->ports.icmp == ICMP_ERROR) /* no error about an error */
		return NULL;
	__builtin_memset(key, 0, sizeof(*key));
	key->source = quote->destination;
	key->destination = quote->source;
	key->source_port = quote->ports.destination;
	key->destination_port = quote->ports.source;
	key->scope = scope;
	key->protocol = quote->protocol;
	key->world_asks = !!(quote->ports.icmp & (scope ? ICMP_QUERY : ICMP_REPLY));
	return bpf_map_lookup_elem(&flows, key);
}

/* RFC 5508, REQ-3 and REQ-3a. That the quoted packet's transport checksum is wrong says nothing: REQ-3c. */
static __always_inline bool error_sums_hold(const struct packet *packet)
{
	__u32 length = packet->transport_length, pseudo = 0;

	if (packet->family == FAMILY_IPV6)
		pseudo = sum_of_pseudo_header(&packet->source, &packet->destination, length, IPPROTO_ICMPV6);
	else if (!ipv4_sum_holds(packet->skb, packet->transport_offset + sizeof(struct icmp_header)))
		return false;
	return icmp_sum_holds(packet->skb, packet->transport_offset, length, pseudo);
}

/*
 * -1 if about none, or told to somebody else than who has sent what it quotes; else the flow's flags. A function of its
 * own to the verifier.
 */
__noinline int flags_of_quoted(struct __sk_buff *skb, __u32 scope)
{
	struct flow_work *work = room_for_flow();
	struct packet packet = {.skb = skb};
	const struct quote *quote = !work || parse_ip(&packet) ? NULL : parse_quote(&packet);
	const struct flow *flow = quote ? flow_quoted(quote, work, scope) : NULL;

	return flow && same_address(&packet.destination, &quote->source) ? flow->flags : -1;
}

/*
 * An ICMP error about a packet of a flow: its receiver is to find its own packet quoted. Such errors neither keep a
 * flow alive nor end it (RFC 5508, REQ-6). scope: of what its sender sends, so 0 for the world; identification: of its
 * train, 0 if it is of none; sums_hold: as above, asked before, since the stack has no room for it here. CONTINUE: the
 * flow's link is in flow_work. NO_FLOW: it concerns no sandbox. A function of its own to the verifier, so it reads the
 * packet anew; the answer is an enum verdict.
 */
__noinline int translate_error(struct __sk_buff *skb, __u32 scope, __be32 identification, bool sums_hold)
{
	struct flow_work *work = room_for_flow();
	struct packet packet = {.skb = skb};
	const struct quote *quote = !work || parse_ip(&packet) ? NULL : parse_quote(&packet);
	const struct flow *flow = quote ? flow_quoted(quote, work, scope) : NULL;
	enum verdict verdict;

	if (!flow || is_departed(flow->link.slot, flow->created))
		return VERDICT_DROP_NO_FLOW;
	if (!same_address(&packet.destination, &quote->source)) /* told to somebody else than who has sent it */
		return VERDICT_DROP_NO_FLOW;
	if (!scope && flow->flags & FLOW_LOOPBACK) /* its link is not where the host's socket is */
		return VERDICT_DROP_NO_FLOW;
	if (flow->flags & FLOW_FORWARDED && (!scope || masquerades(flow->network, &packet.destination)))
		return VERDICT_DROP_NO_FLOW; /* the host's stack knows whose it is, or no longer */
	if (!sums_hold)
		return VERDICT_DROP_BAD_CHECKSUM;
	if (!scope && packet.ttl <= 1 && flow->link.ifindex) /* the host's own ends here */
		return VERDICT_DROP_TTL_EXPIRED;
	work->entry.link = flow->link;
	verdict = rewrite_quote(&packet, quote, !scope, flow);
	if (!verdict && scope && !same_address(&flow->address, &packet.source))
		verdict = identification ? rewrite_identification(&packet, identification)
					 : translate_identification(&packet);
	return verdict ? verdict : rewrite_address(&packet, scope, &flow->address);
}

#endif
