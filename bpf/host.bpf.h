/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Does the host itself send from a port (or ping with an identifier) that a sandbox's flow already has towards that
 * peer? The peer could not tell the two apart, so what the host sends, the later one, gets another port on its way out,
 * and its own back on the way in. A protocol without ports is the host's then.
 */
#ifndef CAUSEWAY_HOST_BPF_H
#define CAUSEWAY_HOST_BPF_H

#include "translate.bpf.h"

#define SCOPE_HOST 0xffffffff /* of the host's own flows; their link has no ifindex */

static __always_inline bool is_of_host(const struct flow *flow)
{
	return !flow->link.ifindex;
}

/* Makes the pair for work->sent, in the range of the network whose flow is in the way. Not 0: it could not. */
__noinline int open_host_flow(struct __sk_buff *skb, __u32 network_id)
{
	const struct network *network = bpf_map_lookup_elem(&networks, &network_id);
	__u32 *opened = bpf_map_lookup_elem(&host_flows, &(__u32){0});
	struct port_range range = {.masquerade = true};
	struct flow_work *work = room_for_flow();

	if (!work || !network || !opened)
		return VERDICT_DROP_UNKNOWN_SANDBOX;
	prepare_pair(work, &(struct sandbox_link){}, network_id);
	work->reply.destination = work->sent.source;
	range.first = network->port_min;
	range.span = network->port_max - network->port_min + 1;
	if (claim_reply(skb, &range) || !complete_pair(work, &work->sent))
		return VERDICT_DROP_NO_PORT;
	*opened = 1;
	return VERDICT_CONTINUE;
}

/* The host's own flow that this packet belongs to; a new one if a sandbox's is in its way; or NULL. */
static __always_inline struct flow *host_flow_of(const struct packet *packet, struct flow_work *work)
{
	const __u32 *opened = bpf_map_lookup_elem(&host_flows, &(__u32){0});
	const struct flow *in_the_way;
	struct flow *flow;

	set_key_as_sent(&work->sent, packet, SCOPE_HOST);
	flow = opened && *opened ? bpf_map_lookup_elem(&flows, &work->sent) : NULL;
	if (flow && packet->seen == SEEN_SYN)
		reopen_if_over(flow, work);
	if (flow || (packet->protocol == IPPROTO_TCP && packet->seen != SEEN_SYN))
		return flow;
	set_key_of_answer(work, packet);
	in_the_way = bpf_map_lookup_elem(&flows, &work->reply);
	if (!in_the_way || is_of_host(in_the_way) || open_host_flow(packet->skb, in_the_way->network))
		return NULL;
	return bpf_map_lookup_elem(&flows, &work->sent);
}

/*
 * There is one flow of a protocol without ports with each peer, and whoever has it hears all that the peer sends by it:
 * a tunnel of the host's own, that would be. So where it is a sandbox's, the host's takes its place.
 */
static __always_inline void claim_for_host(const struct packet *packet, struct flow_work *work)
{
	struct flow *flow, *in_the_way;
	__u32 network;

	set_key_as_sent(&work->sent, packet, SCOPE_HOST);
	flow = bpf_map_lookup_elem(&flows, &work->sent);
	if (flow) {
		note_segment(flow, packet);
		return;
	}
	set_key_of_answer(work, packet);
	in_the_way = bpf_map_lookup_elem(&flows, &work->reply);
	if (!in_the_way || is_of_host(in_the_way))
		return;
	network = in_the_way->network;
	work->published = (struct flow_key){
		.source = in_the_way->address,
		.destination = packet->destination,
		.scope = in_the_way->link.ifindex,
		.protocol = packet->protocol,
	};
	end_pair(in_the_way, &work->published, &work->reply);
	open_host_flow(packet->skb, network);
}

/* Of fragments, the first has what the checksum of all covers; SCTP's could not be mended. */
static __always_inline bool has_port_to_change(struct packet *packet)
{
	bool is_ported = has_ports(packet->protocol) || is_icmp(packet->protocol);

	if (!is_ported || packet->fragment_offset || (is_fragment(packet) && packet->protocol == IPPROTO_SCTP))
		return false;
	return !parse_transport(packet) && (!is_icmp(packet->protocol) || packet->ports.icmp == ICMP_QUERY);
}

static __always_inline enum verdict from_host_itself(struct packet *packet)
{
	struct flow_work *work = room_for_flow();
	struct flow *flow;

	if (!work || parse_ip(packet))
		return VERDICT_PASS_STACK;
	if (!has_ports(packet->protocol) && !is_icmp(packet->protocol))
		claim_for_host(packet, work);
	if (!has_port_to_change(packet))
		return VERDICT_PASS_STACK;
	flow = host_flow_of(packet, work);
	if (!flow)
		return VERDICT_PASS_STACK;
	note_segment(flow, packet);
	return rewrite_port(packet, true, flow->port) ? VERDICT_DROP_REWRITE : VERDICT_PASS_TRANSLATED;
}

#endif
