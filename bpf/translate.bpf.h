/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Under which address and port does the world know this flow? Flows come as pairs of entries, as sent and as
 * replied; the second is claimed first, and that claim is what makes a port taken.
 */
#ifndef CAUSEWAY_TRANSLATE_BPF_H
#define CAUSEWAY_TRANSLATE_BPF_H

#include "age.bpf.h"
#include "fragment.bpf.h"
#include "mapping.bpf.h"
#include "port.bpf.h"
#include "rewrite.bpf.h"
#include "route.bpf.h"

/* In place: a copy would need the stack. */
static __always_inline void set_key(struct flow_key *key, const struct packet *packet, __u32 scope,
				    enum icmp_kind of_world_asking)
{
	key->source = packet->source;
	key->destination = packet->destination;
	key->source_port = packet->ports.source;
	key->destination_port = packet->ports.destination;
	key->scope = scope;
	key->protocol = packet->protocol;
	key->world_asks = !!(packet->ports.icmp & of_world_asking);
	__builtin_memset(key->reserved, 0, sizeof(key->reserved));
}

/* Of what comes from inside: scope is not 0. */
static __always_inline void set_key_as_sent(struct flow_key *key, const struct packet *packet, __u32 scope)
{
	set_key(key, packet, scope, ICMP_REPLY);
}

static __always_inline void set_key_as_replied(struct flow_key *key, const struct packet *packet)
{
	set_key(key, packet, 0, ICMP_QUERY);
}

/* Entries without a peer have none; no packet is of those. */
static __always_inline bool lacks_source_port(const struct packet *packet)
{
	return has_ports(packet->protocol) && !packet->ports.source;
}

/* To what leaves under the host's address: the host's own, or translated already. */
static __always_inline void set_key_of_answer(struct flow_work *work, const struct packet *packet)
{
	work->reply = (struct flow_key){
		.source = packet->destination,
		.destination = packet->source,
		.source_port = packet->ports.destination,
		.destination_port = packet->ports.source,
		.protocol = packet->protocol,
	};
}

/*
 * The one record of a segment in its own direction; the other direction's is never written. Who goes on behind a RST
 * has not sent it: RFC 6146, section 3.5.2.2.
 */
static __always_inline void note_segment(struct flow *flow, const struct packet *packet)
{
	bool goes_on = (packet->seen & (SEEN_SYN | SEEN_ACK | SEEN_RST)) == SEEN_ACK;
	__u32 seen = flow->seen, forged = goes_on ? seen & SEEN_RST : 0, news = packet->seen & ~seen;

	flow->last_seen = bpf_ktime_get_coarse_ns();
	if (news | forged) {
		__sync_fetch_and_or(&flow->seen, news);
		__sync_fetch_and_and(&flow->seen, ~forged);
	}
}

/*
 * What may open a flow: anything but an answer or the end of something that causeway has not seen. A TCP segment
 * from the middle may, as with the kernel's own tracking, so that connections outlive a reload.
 */
static __always_inline bool opens_flow(const struct packet *packet)
{
	if (is_icmp(packet->protocol))
		return packet->ports.icmp == ICMP_QUERY;
	return packet->protocol != IPPROTO_TCP || packet->seen == SEEN_SYN || packet->seen == SEEN_ACK;
}

/*
 * Whether what goes there takes the host's address. A function of its own to the verifier, which would follow all that
 * comes after it once for each end of the loop; such functions take no pointer to what programs only read.
 */
__noinline int masquerades(__u32 network_id, const struct address *destination)
{
	const struct network *network = bpf_map_lookup_elem(&networks, &network_id);
	bool outside = true;

	if (!network || !destination || !(network->flags & NETWORK_MASQUERADE))
		return false;
	for (__u32 i = 0; i < CAUSEWAY_UNMASQUERADED_MAX; i++)
		outside &= i >= network->unmasqueraded_count || !is_inside(destination, &network->unmasqueraded[i]);
	return outside;
}

static __always_inline void prepare_pair(struct flow_work *work, const struct sandbox_link *link, __u32 network)
{
	__u64 now = bpf_ktime_get_ns();

	__builtin_memset(&work->reply, 0, sizeof(work->reply)); /* in place: a copy would need the stack */
	work->reply.source = work->sent.destination;
	work->reply.source_port = work->sent.destination_port;
	work->reply.protocol = work->sent.protocol;
	__builtin_memset(&work->entry, 0, sizeof(work->entry));
	work->entry.created = now;
	work->entry.last_seen = now;
	work->entry.address = work->sent.source;
	work->entry.port = work->sent.source_port;
	work->entry.link = *link;
	work->entry.network = network;
}

/*
 * Makes the pair of the flow whose key as sent is in flow_work; source: the host's address on its way. A function of
 * its own to the verifier, so it takes nothing that is known of the caller's packet. The answer is an enum verdict.
 */
__noinline int open_flow(struct __sk_buff *skb, const struct address *source)
{
	struct flow_work *work = room_for_flow();
	const struct sandbox *sandbox = work ? sandbox_behind(work->sent.scope) : NULL;
	const struct network *network = sandbox ? bpf_map_lookup_elem(&networks, &sandbox->network) : NULL;
	struct port_range range = {};
	enum verdict verdict;

	if (!network || !source)
		return VERDICT_DROP_UNKNOWN_SANDBOX;
	if (has_ports(work->sent.protocol) && !work->sent.destination_port) /* as the entries without a peer have */
		return VERDICT_DROP_BAD_HEADER;
	/* A hairpin takes the address that it is sent to: from its own, the answer would go straight back. */
	range.masquerade =
		same_address(source, &work->sent.destination) || masquerades(sandbox->network, &work->sent.destination);
	prepare_pair(work, &sandbox->link, sandbox->network);
	if (!range.masquerade)
		work->reply.destination = work->sent.source;
	else if (!is_none(source))
		work->reply.destination = *source;
	else
		return VERDICT_DROP_NO_SOURCE;
	verdict = take_flow(sandbox->link.ifindex, sandbox->link.slot, false);
	if (verdict)
		return verdict;
	range.first = sandbox->port_min ? sandbox->port_min : network->port_min;
	range.span = (sandbox->port_min ? sandbox->port_max : network->port_max) - range.first + 1;
	if (range.masquerade && is_mapped(network, work->sent.protocol))
		verdict = claim_mapped(skb, work, network, &range);
	else
		verdict = claim_reply(skb, &range);
	if (!verdict && !complete_pair(work, &work->sent))
		verdict = VERDICT_DROP_TABLE_FULL; /* or another CPU was first: the caller sees which */
	if (verdict)
		give_back_flow(sandbox->link.slot, work->entry.created);
	return verdict;
}

/* A connection that either side has ended and that begins anew keeps its translation, but none of its past. */
static __always_inline void reopen_if_over(struct flow *flow, struct flow_work *work)
{
	struct flow *replied;

	set_reply_key(&work->reply, &work->sent, &flow->address, flow->port);
	replied = bpf_map_lookup_elem(&flows, &work->reply);
	if (!replied || !((flow->seen | replied->seen) & (SEEN_FIN | SEEN_RST)))
		return;
	flow->seen = 0;
	replied->seen = 0;
}

/* Whether the address and port that a flow has are published as such, be the address the host's or routed to it. */
static __always_inline bool is_published_as_such(const struct flow *flow, __u8 protocol)
{
	struct flow_work *work = room_for_flow();
	const struct flow *published;

	if (!work)
		return false;
	__builtin_memset(&work->published, 0, sizeof(work->published));
	work->published.destination = flow->address;
	work->published.destination_port = flow->port;
	work->published.protocol = protocol;
	published = bpf_map_lookup_elem(&flows, &work->published);
	return published && !(published->flags & FLOW_MAPPED);
}

/*
 * The host has another address on that way now: nothing that is sent as before would be answered. With IPv6, it no
 * longer has the one it had: of several the kernel may name another from one day to the next, and does so for none of
 * its own connections. So too where the world has chosen the address, unless a port is published on just that one.
 */
static __always_inline bool is_stale(const struct flow *flow, const struct packet *packet,
				     const struct sandbox *sandbox, const struct address *source)
{
	if (same_address(&flow->address, source) || same_address(&flow->address, &packet->source))
		return false;
	if (flow->flags & FLOW_FROM_WORLD) {
		if (is_published_as_such(flow, packet->protocol))
			return false;
	} else if (packet->family == FAMILY_IPV4) {
		return true;
	}
	return !is_hosts(packet->skb, &flow->address, &flow->address, sandbox->gateway_ifindex);
}

/*
 * What answers such a flow has gone to the stack, which has not given it an address of the host's: so it no longer
 * knows the flow, or never translated it, and under the sandbox's own address it can't leave.
 */
static __always_inline bool is_forgotten_by_stack(const struct flow *flow, const struct packet *packet)
{
	return flow->flags & FLOW_FORWARDED && masquerades(flow->network, &packet->destination);
}

static __always_inline enum verdict forget_stale(const struct flow *flow, struct flow_work *work)
{
	set_reply_key(&work->reply, &work->sent, &flow->address, flow->port);
	end_pair(flow, &work->sent, &work->reply);
	return VERDICT_DROP_STALE_SOURCE;
}

/* What may be cut up on its way gets an identification of the host's. Header checksums: see rewrite.bpf.h. */
static __always_inline enum verdict translate_identification(const struct packet *packet)
{
	if (packet->train)
		return rewrite_identification(packet, packet->train->identification);
	if (packet->dont_fragment) /* means nothing then: RFC 6864, section 4.1 */
		return VERDICT_CONTINUE;
	return rewrite_identification(packet, bpf_htons(next_identification(segments_of(packet->skb))));
}

static __always_inline enum verdict translate_sent(const struct packet *packet, const struct flow *flow)
{
	enum verdict verdict = VERDICT_CONTINUE;

	if (!same_address(&flow->address, &packet->source))
		verdict = translate_identification(packet);
	return verdict ? verdict : rewrite_end(packet, true, &flow->address, flow->port);
}

/*
 * The same for the packet in packet_copy, its address and port to be in flow_work. A function of its own to the
 * verifier, for which all packets come to it alike; identification: as in translate_error.
 */
__noinline int translate_copy(struct __sk_buff *skb, __be32 identification)
{
	struct packet *copy = bpf_map_lookup_elem(&packet_copy, &(__u32){0});
	struct flow_work *work = room_for_flow();
	enum verdict verdict = VERDICT_CONTINUE;
	struct packet packet;

	if (!copy || !work)
		return VERDICT_DROP_REWRITE;
	packet = *copy;
	packet.skb = skb;
	packet.train = NULL;
	if (!same_address(&work->entry.address, &packet.source))
		verdict = identification ? rewrite_identification(&packet, identification)
					 : translate_identification(&packet);
	return verdict ? verdict : rewrite_end(&packet, true, &work->entry.address, work->entry.port);
}

static __always_inline enum verdict translate_sent_apart(const struct packet *packet, const struct flow *flow,
							 struct flow_work *work)
{
	struct packet *copy = bpf_map_lookup_elem(&packet_copy, &(__u32){0});
	const struct fragment_train *train = packet->train;

	if (!copy)
		return VERDICT_DROP_REWRITE;
	*copy = *packet;
	work->entry.address = flow->address;
	work->entry.port = flow->port;
	return translate_copy(packet->skb, train ? train->identification : 0);
}

/*
 * Ends the flow whose two keys are in flow_work where its time is up or its sandbox gone, though its turn has not come:
 * its packets find the same whenever the timer looks. The reply's key has lost its port then. A function of its own to
 * the verifier; 1: it has ended.
 */
__noinline int end_if_over(void)
{
	struct flow_work *work = room_for_flow();
	const struct flow *sent, *replied;

	if (!work)
		return 0;
	sent = bpf_map_lookup_elem(&flows, &work->sent);
	replied = bpf_map_lookup_elem(&flows, &work->reply);
	if (!sent || !replied)
		return 0;
	if (!is_departed(sent->link.slot, sent->created) && !is_over(sent, replied, work->sent.protocol))
		return 0;
	end_pair(sent, &work->sent, &work->reply);
	return 1;
}

/*
 * The flow of a packet that may take the short way, as most do: of what is under way already, and by a route that still
 * holds. Or NULL.
 */
static __always_inline struct flow *flow_under_way(const struct packet *packet, __u32 scope)
{
	struct flow_work *work = room_for_flow();
	struct flow *flow;

	if (!work || packet->ttl <= 1 || packet->seen == SEEN_SYN || !has_ports(packet->protocol))
		return NULL;
	set_key_as_sent(&work->sent, packet, scope);
	flow = bpf_map_lookup_elem(&flows, &work->sent);
	if (!flow || flow->flags & (FLOW_MAPPED | FLOW_FORWARDED) || is_quiet(flow) || !route_holds(packet, flow) ||
	    !ip_checksum_holds(packet))
		return NULL;
	return flow;
}

/* The flow whose key as sent is in flow_work, unless it is over. */
static __always_inline struct flow *flow_sent(struct flow_work *work)
{
	struct flow *flow = bpf_map_lookup_elem(&flows, &work->sent);

	if (!flow || !is_quiet(flow))
		return flow;
	set_reply_key(&work->reply, &work->sent, &flow->address, flow->port);
	return end_if_over() ? NULL : flow;
}

/*
 * From a sandbox to the world: finds or opens the packet's flow, and gives it the source that the world is to see.
 */
static __always_inline enum verdict translate_source(const struct packet *packet, const struct sandbox *sandbox,
						     const struct route *route)
{
	struct flow_work *work = room_for_flow();
	enum verdict verdict = VERDICT_CONTINUE;
	struct flow *flow;

	if (!work)
		return VERDICT_DROP_NO_FLOW;
	set_key_as_sent(&work->sent, packet, sandbox->link.ifindex);
	flow = flow_sent(work);
	if (!flow) {
		verdict = opens_flow(packet) ? open_flow(packet->skb, &route->source) : VERDICT_DROP_NO_FLOW;
		flow = bpf_map_lookup_elem(&flows, &work->sent);
	}
	if (!flow)
		return verdict ? verdict : VERDICT_DROP_TABLE_FULL;
	if (is_stale(flow, packet, sandbox, &route->source) || is_forgotten_by_stack(flow, packet))
		return forget_stale(flow, work);
	if (packet->seen == SEEN_SYN)
		reopen_if_over(flow, work);
	note_segment(flow, packet);
	keep_route(flow, route);
	if (flow->flags & FLOW_MAPPED)
		keep_mapping(flow);
	return translate_sent_apart(packet, flow, work);
}

#endif
