/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * To whom is it that the world sends? By a flow that is there, or one that it may open: to a published or mapped port,
 * or to a sandbox's own address. What answers a socket of the host's own is the host's.
 */
#ifndef CAUSEWAY_ADMIT_BPF_H
#define CAUSEWAY_ADMIT_BPF_H

#include "endpoint.bpf.h"
#include "translate.bpf.h"

/* As the sandbox sends what the world's packet is the answer to, or is to be answered with. */
static __always_inline void set_key_behind(struct flow_key *key, const struct packet *packet, const struct flow *flow)
{
	key->source = flow->address;
	key->destination = packet->source;
	key->source_port = flow->port;
	key->destination_port = packet->ports.source;
	key->scope = flow->link.ifindex;
	key->protocol = packet->protocol;
	key->world_asks = !!(packet->ports.icmp & ICMP_QUERY);
	__builtin_memset(key->reserved, 0, sizeof(key->reserved));
}

/*
 * Whether the packet is for the host itself, though its port is published or mapped: a published one is no listener's
 * of the host's, but the host may converse from it.
 */
static __always_inline bool is_for_host(struct __sk_buff *skb, struct flow_work *work, const struct flow_key *reply,
					const struct flow *published)
{
	enum host_socket found = host_socket_at(skb, work, reply);

	return found == HOST_SOCKET_CONVERSES || (found && published->flags & FLOW_MAPPED);
}

/*
 * Whether what was found is published on all of the host's addresses, of which this is none: the host forwards it.
 * Asked of where it is, not of where the packet comes in, which need forward nothing.
 */
static __always_inline bool is_elsewhere(const struct packet *packet, const struct flow_work *work,
					 const struct flow *published)
{
	__u32 id = published->network;
	const struct network *network = bpf_map_lookup_elem(&networks, &id);

	return is_none(&work->published.destination) &&
	       (!network || !is_hosts(packet->skb, &packet->destination, &packet->destination, network->ifindex));
}

/* Fills in the entry as the world sends to a published port. PASS_STACK: it is not published there. */
static __always_inline enum verdict prepare_to_published(const struct packet *packet, struct flow_work *work)
{
	const struct flow *published = has_ports(packet->protocol) ? admitted_at(work, &work->reply) : NULL;

	if (!published || is_multicast(&packet->source) || is_elsewhere(packet, work, published) ||
	    is_for_host(packet->skb, work, &work->reply, published))
		return VERDICT_PASS_STACK;
	work->entry = *published;
	work->entry.flags = FLOW_FROM_WORLD | (published->flags & FLOW_MAPPED);
	work->entry.seen = 0;
	return VERDICT_CONTINUE;
}

/*
 * Whether the sandbox's network lets in who sees its own address: not a peer that does not, or that claims an address
 * that nothing is forwarded to (RFC 1812, section 5.3.7) or that is of inside.
 */
static __always_inline bool is_let_in(const struct packet *packet, const struct endpoint *endpoint)
{
	const struct network *network = bpf_map_lookup_elem(&networks, &endpoint->network);

	return network && network->flags & NETWORK_INBOUND && !masquerades(endpoint->network, &packet->source) &&
	       !endpoint_at(&packet->source) && !is_multicast(&packet->source) &&
	       !is_hosts(packet->skb, &packet->source, &packet->source, network->ifindex);
}

/* Fills in the entry as the world sends to a sandbox's own address. UNSOLICITED: this peer may not. */
static __always_inline enum verdict prepare_to_sandbox(const struct packet *packet, const struct endpoint *endpoint,
						       struct flow_work *work)
{
	if (!packet->forwarded) { /* which the host's stack has seen to */
		if (!is_let_in(packet, endpoint))
			return VERDICT_DROP_UNSOLICITED;
		if (packet->ttl <= 1)
			return VERDICT_DROP_TTL_EXPIRED;
	}
	__builtin_memset(&work->entry, 0, sizeof(work->entry));
	work->entry.address = packet->destination;
	work->entry.port = packet->ports.destination;
	work->entry.flags = FLOW_FROM_WORLD | (packet->forwarded ? FLOW_FORWARDED : 0);
	work->entry.link = endpoint->link;
	work->entry.network = endpoint->network;
	return VERDICT_CONTINUE;
}

/*
 * A flow that the sandbox has opened, under an address of the host's, with the peer that now asks through the host's
 * stack: it ends, since what is sent to that peer from now on is the stack's. Not if the peer has answered it: then who
 * asks now may be anybody under the peer's address.
 */
static __always_inline void end_unanswered(const struct packet *packet, struct flow_work *work)
{
	const struct flow *sent = bpf_map_lookup_elem(&flows, &work->sent), *replied;

	if (!sent || sent->flags & FLOW_FROM_WORLD)
		return;
	set_reply_key(&work->reply, &work->sent, &sent->address, sent->port);
	replied = bpf_map_lookup_elem(&flows, &work->reply);
	if (!replied || replied->last_seen == replied->created || replied->seen & SEEN_RST)
		end_pair(sent, &work->sent, &work->reply);
	set_key_as_replied(&work->reply, packet);
}

/* From now on the answers are looked for. */
static __noinline void begin_forwarded(const struct packet *packet, struct flow_work *work)
{
	__u32 *opened = bpf_map_lookup_elem(&forwarded_flows, &(__u32){0});

	if (opened)
		*opened = 1;
	end_unanswered(packet, work);
}

/*
 * From the world to a sandbox's own address, or to a published port of the host's: makes the pair, first the entry as
 * the world sends. CONTINUE: it is there, be it by another CPU.
 */
static __noinline enum verdict open_from_world(const struct packet *packet, struct flow_work *work)
{
	const struct endpoint *endpoint = sandbox_endpoint_at(&packet->destination);
	enum verdict verdict = VERDICT_PASS_STACK;

	if (endpoint)
		verdict = prepare_to_sandbox(packet, endpoint, work);
	else if (anything_published())
		verdict = prepare_to_published(packet, work);
	if (verdict)
		return verdict;
	verdict = take_flow(work->entry.link.ifindex, work->entry.link.slot, true);
	if (!verdict) {
		work->entry.created = work->entry.last_seen = bpf_ktime_get_ns();
		set_key_behind(&work->sent, packet, &work->entry);
		if (packet->forwarded)
			begin_forwarded(packet, work);
		if (!bpf_map_update_elem(&flows, &work->reply, &work->entry, BPF_NOEXIST) &&
		    complete_pair(work, &work->sent))
			return VERDICT_CONTINUE;
		give_back_flow(work->entry.link.slot, work->entry.created);
		if (bpf_map_lookup_elem(&flows, &work->reply))
			return VERDICT_CONTINUE;
		/* taken: by that peer's port to the same port of the sandbox, under the host's address */
		verdict = bpf_map_lookup_elem(&flows, &work->sent) ? VERDICT_DROP_NO_PORT : VERDICT_DROP_TABLE_FULL;
	}
	return endpoint ? verdict : VERDICT_PASS_STACK; /* the stack refuses it at once */
}

/* The mappings of queries are entries of that kind too, and nobody sends a query to one. */
static __always_inline bool is_published(const struct packet *packet, struct flow_work *work,
					 const struct flow_key *reply)
{
	const struct flow *published =
		has_ports(packet->protocol) && anything_published() ? published_at(work, reply) : NULL;

	return published && !is_for_host(packet->skb, work, reply, published);
}

/* Or would be, by a port that is published, if it were well-formed. */
static __always_inline bool is_of_flow(const struct packet *packet)
{
	struct flow_work *work = room_for_flow();

	if (!work)
		return false;
	set_key_as_replied(&work->reply, packet);
	return bpf_map_lookup_elem(&flows, &work->reply) || is_published(packet, work, &work->reply);
}

/*
 * Straight to a sandbox's address, where the flow of that key came through the host's stack, or the other way round:
 * each is answered by the way it came.
 */
static __always_inline bool comes_another_way(const struct packet *packet, const struct flow *flow)
{
	return flow->flags & FLOW_FROM_WORLD && packet->forwarded != !!(flow->flags & FLOW_FORWARDED);
}

/*
 * The flow of what the world sends: one that a sandbox has opened, or one to a port that it has published or to its own
 * address. NULL: there is none that the packet may go by, and why.
 */
static __always_inline struct flow *flow_from_world(const struct packet *packet, enum verdict *verdict)
{
	struct flow_work *work = room_for_flow();
	struct flow *flow;

	*verdict = VERDICT_DROP_UNSOLICITED;
	if (!work)
		return NULL;
	set_key_as_replied(&work->reply, packet);
	flow = bpf_map_lookup_elem(&flows, &work->reply);
	if (flow && (is_quiet(flow) || is_departed(flow->link.slot, flow->created))) {
		set_key_behind(&work->sent, packet, flow);
		if (end_if_over()) {
			set_key_as_replied(&work->reply, packet);
			flow = NULL;
		}
	}
	if (!flow && opens_flow(packet)) {
		*verdict = open_from_world(packet, work);
		if (!*verdict) {
			flow = bpf_map_lookup_elem(&flows, &work->reply);
			*verdict = VERDICT_DROP_TABLE_FULL; /* or it is gone already */
		}
	} else if (flow && is_departed(flow->link.slot, flow->created)) {
		flow = NULL;
	} else if (flow && comes_another_way(packet, flow)) {
		*verdict = packet->forwarded ? VERDICT_DROP_NO_PORT : VERDICT_DROP_UNSOLICITED;
		flow = NULL;
	}
	return flow;
}

/* As reopen_if_over, for a connection that the world had opened. */
static __noinline void reopen_from_world_if_over(struct flow *flow, const struct packet *packet)
{
	struct flow_work *work = room_for_flow();
	struct flow *sent;

	if (!work)
		return;
	set_key_behind(&work->sent, packet, flow);
	sent = bpf_map_lookup_elem(&flows, &work->sent);
	if (!sent || !((sent->seen | flow->seen) & (SEEN_FIN | SEEN_RST)))
		return;
	sent->seen = 0;
	flow->seen = 0;
}

static __always_inline void note_from_world(const struct packet *packet, struct flow *flow)
{
	if (packet->seen == SEEN_SYN && flow->flags & FLOW_FROM_WORLD)
		reopen_from_world_if_over(flow, packet);
	note_segment(flow, packet);
}

/* Gives the answer back the destination that the sandbox sent from. */
static __always_inline enum verdict translate_destination(const struct packet *packet, struct flow *flow)
{
	note_from_world(packet, flow);
	return rewrite_end(packet, false, &flow->address, flow->port);
}

#endif
