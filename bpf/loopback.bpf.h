/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Does the host mean a sandbox's published port, when it talks to one of its own addresses? What it sends there never
 * leaves `lo`, so there it is taken: it goes to the sandbox under the gateway's address and a port that no socket of
 * the host's is given by itself, and what comes back takes the same way. As with a hairpin there are two flows, one
 * for each end that is translated.
 */
#ifndef CAUSEWAY_LOOPBACK_BPF_H
#define CAUSEWAY_LOOPBACK_BPF_H

#include "hairpin.bpf.h"

#define SCOPE_LOOPBACK 0xfffffffe /* of what the host sends to itself */

/* So that traffic that has nothing to do with published ports is let go at once. Wrong only in saying yes. */
static __always_inline bool may_be_published(__be16 port)
{
	__u32 place = bpf_ntohs(port) % CAUSEWAY_PUBLISHED_PLACES;
	const __u32 *published = bpf_map_lookup_elem(&published_ports, &place);

	return published && *published;
}

/* work->mapping: the flow as the sandbox will see it. Nobody may have that one either. */
static long try_loopback_port(__u32 step, struct port_search *search)
{
	__u32 port = search->range.first + (search->start + step * PORT_STRIDE) % search->range.span;

	search->error = -EEXIST;
	search->work->mapping.destination_port = bpf_htons(port);
	if (bpf_map_lookup_elem(&flows, &search->work->mapping) ||
	    host_socket_at(search->skb, search->work, &search->work->mapping))
		return 0;
	return claim_port(search, bpf_htons(port)) || search->error != -EEXIST;
}

/* As the sandbox sees the host. */
static __always_inline const struct address *gateway_of(const struct sandbox *sandbox, bool ipv6)
{
	return ipv6 ? &sandbox->gateway[FAMILY_IPV6] : &sandbox->gateway[FAMILY_IPV4];
}

/*
 * Makes the pair for work->sent, which comes from an address of the host's. A function of its own to the verifier. The
 * answer is an enum verdict; PASS_STACK: nobody has published that port.
 */
__noinline int open_loopback_flow(struct __sk_buff *skb)
{
	struct port_search search = {.skb = skb, .work = room_for_flow(), .range.masquerade = true, .error = -EEXIST};
	struct flow_work *work = search.work;
	const struct flow *published = work ? published_at(work, &work->sent) : NULL;
	const struct sandbox *sandbox = published ? sandbox_behind(published->link.ifindex) : NULL;
	const struct loopback_ports *ports = bpf_map_lookup_elem(&loopback, &(__u32){0});
	const struct address *gateway;
	enum verdict verdict;

	if (!sandbox || !ports || ports->max < ports->min || is_for_host(skb, work, &work->sent, published))
		return VERDICT_PASS_STACK;
	gateway = gateway_of(sandbox, !is_ipv4_mapped(&published->address));
	prepare_pair(work, &sandbox->link, sandbox->network);
	work->entry.flags = FLOW_LOOPBACK;
	work->reply.destination = *gateway;
	work->mapping = (struct flow_key){
		.source = published->address,
		.destination = *gateway,
		.source_port = published->port,
		.scope = sandbox->link.ifindex,
		.protocol = work->sent.protocol,
	};
	search.range.first = ports->min;
	search.range.span = ports->max - ports->min + 1;
	search.start = bpf_get_prandom_u32() % search.range.span;
	verdict = take_flow(sandbox->link.ifindex, sandbox->link.slot, true);
	if (verdict)
		return verdict;
	bpf_loop(search.range.span, try_loopback_port, &search, 0);
	if (search.error == -EEXIST)
		verdict = VERDICT_DROP_NO_PORT;
	else if (search.error || !complete_pair(work, &work->sent))
		verdict = VERDICT_DROP_TABLE_FULL;
	if (verdict)
		give_back_flow(sandbox->link.slot, work->entry.created);
	return verdict;
}

/* The flow of what the host sends to itself; NULL, and why, where it is no sandbox's business. */
static __always_inline struct flow *loopback_flow_of(const struct packet *packet, struct flow_work *work,
						     enum verdict *verdict)
{
	struct flow *flow;

	*verdict = VERDICT_PASS_STACK;
	set_key_as_sent(&work->sent, packet, SCOPE_LOOPBACK);
	flow = bpf_map_lookup_elem(&flows, &work->sent);
	if (flow && is_departed(flow->link.slot, flow->created))
		return NULL;
	if (flow && packet->seen == SEEN_SYN)
		reopen_if_over(flow, work);
	if (flow ||
	    (packet->protocol == IPPROTO_TCP && packet->seen != SEEN_SYN)) /* of a connection of the host's own */
		return flow;
	*verdict = open_loopback_flow(packet->skb);
	return bpf_map_lookup_elem(&flows, &work->sent);
}

/* No answer tells the host: it would take the sandbox's MTU for that of its own address. */
static __always_inline bool fits(const struct packet *packet, const struct flow *flow)
{
	const struct sandbox *sandbox = sandbox_behind(flow->link.ifindex);

	return sandbox && packet->segment_length <= sandbox->mtu;
}

static __always_inline enum verdict from_host_to_itself(struct packet *packet)
{
	struct flow_work *work = room_for_flow();
	enum verdict verdict;
	struct flow *flow;

	if (!work || parse_ip(packet) || is_fragment(packet) || !has_ports(packet->protocol) ||
	    parse_ports(packet->skb, packet->transport_offset, packet->protocol, &packet->ports) ||
	    !may_be_published(packet->ports.destination) || parse_transport(packet))
		return VERDICT_PASS_STACK;
	flow = loopback_flow_of(packet, work, &verdict);
	if (!flow)
		return verdict;
	if (!fits(packet, flow))
		return VERDICT_DROP_TOO_BIG;
	note_segment(flow, packet);
	verdict = rewrite_end(packet, true, &flow->address, flow->port);
	return verdict ? verdict : turn_in(packet);
}

/* What turn_in has sent here: the last step, to the address that the host had sent from. */
static __always_inline enum verdict back_to_itself(struct packet *packet, const struct sandbox *sandbox)
{
	struct flow_work *work = room_for_flow();
	struct flow *flow;

	if (!work || parse_ip(packet) || parse_transport(packet))
		return VERDICT_DROP_NO_FLOW;
	set_key_as_replied(&work->reply, packet);
	work->reply.destination = *gateway_of(sandbox, packet->family == FAMILY_IPV6);
	flow = bpf_map_lookup_elem(&flows, &work->reply);
	if (!flow || !(flow->flags & FLOW_LOOPBACK))
		return VERDICT_DROP_NO_FLOW;
	return translate_destination(packet, flow) ? VERDICT_DROP_REWRITE : VERDICT_PASS_TRANSLATED;
}

#endif
