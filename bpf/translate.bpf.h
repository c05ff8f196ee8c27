/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Under which address and port does the world know this flow? Flows come as pairs of entries, as sent and as
 * replied; the second is claimed first, and that claim is what makes a port taken.
 */
#ifndef CAUSEWAY_TRANSLATE_BPF_H
#define CAUSEWAY_TRANSLATE_BPF_H

#include <linux/errno.h>

#include <causeway/flow_state.h>

#include "age.bpf.h"
#include "rewrite.bpf.h"
#include "route.bpf.h"

static __always_inline struct flow_key key_as_sent(const struct packet *packet, __u32 scope)
{
	return (struct flow_key){
		.source = packet->source,
		.destination = packet->destination,
		.source_port = packet->source_port,
		.destination_port = packet->destination_port,
		.scope = scope,
		.protocol = packet->protocol,
	};
}

/* The one record of a segment in its own direction; the other direction's is never written. */
static __always_inline void note_segment(struct flow *flow, const struct packet *packet)
{
	__u32 news = packet->seen & ~flow->seen;

	flow->last_seen = bpf_ktime_get_ns();
	if (news)
		__sync_fetch_and_or(&flow->seen, news);
}

/* Would an answer to this port reach a socket of the host's own? */
static __always_inline bool host_uses(struct __sk_buff *skb, const struct flow_key *reply)
{
	struct bpf_sock_tuple tuple = {
		.ipv4.saddr = reply->source.word[3],
		.ipv4.daddr = reply->destination.word[3],
		.ipv4.sport = reply->source_port,
		.ipv4.dport = reply->destination_port,
	};
	struct bpf_sock *socket;

	if (reply->protocol == IPPROTO_TCP)
		socket = bpf_skc_lookup_tcp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	else if (reply->protocol == IPPROTO_UDP)
		socket = bpf_sk_lookup_udp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	else
		return false;
	if (!socket)
		return false;
	bpf_sk_release(socket);
	return true;
}

struct port_search {
	struct __sk_buff *skb;
	struct flow_key *reply; /* destination_port is what varies */
	struct flow *entry;
	__u16 port_min;
	__u32 span, start;
	long error; /* 0 once a port is claimed */
};

static __always_inline bool claim_port(struct port_search *search, __be16 port, bool masquerade)
{
	search->reply->destination_port = port;
	if (masquerade && host_uses(search->skb, search->reply))
		return false;
	search->error = bpf_map_update_elem(&flows, search->reply, search->entry, BPF_NOEXIST);
	return !search->error;
}

static long try_port(__u32 step, struct port_search *search)
{
	__u32 port = search->port_min + (search->start + step) % search->span;

	/* stop when it is ours, or when the table and not the port is what fails */
	return claim_port(search, bpf_htons(port), true) || search->error != -EEXIST;
}

/* The sender's own port where it is free and in the range, else every port of the range from a random one on. */
static __always_inline enum verdict claim_reply(struct port_search *search, const struct network *network,
						__be16 wanted)
{
	bool masquerade = network->flags & NETWORK_MASQUERADE;
	bool is_identifier = search->reply->protocol == IPPROTO_ICMP; /* no port of the host's: any will do */
	__u16 port = bpf_ntohs(wanted);

	search->error = -EEXIST;
	search->port_min = network->port_min;
	search->span = network->port_max - network->port_min + 1;
	if (!masquerade || is_identifier || (port >= network->port_min && port <= network->port_max)) {
		if (claim_port(search, wanted, masquerade))
			return VERDICT_CONTINUE;
		if (search->error != -EEXIST)
			return VERDICT_DROP_TABLE_FULL;
		if (!masquerade)
			return VERDICT_DROP_NO_PORT;
	}
	search->start = bpf_get_prandom_u32() % search->span;
	bpf_loop(search->span, try_port, search, 0);
	if (!search->error)
		return VERDICT_CONTINUE;
	return search->error == -EEXIST ? VERDICT_DROP_NO_PORT : VERDICT_DROP_TABLE_FULL;
}

/*
 * What may open a flow: anything but an answer or the end of something that causeway has not seen. A TCP segment
 * from the middle may, as with the kernel's own tracking, so that connections outlive a reload.
 */
static __always_inline bool opens_flow(const struct packet *packet)
{
	return packet->protocol != IPPROTO_TCP || packet->seen == SEEN_SYN || packet->seen == SEEN_ACK;
}

/* Makes the flow's pair, under the key as sent, and begins its turns of ageing. */
static __always_inline enum verdict open_flow(const struct packet *packet, const struct sandbox *sandbox,
					      const struct route *route, const struct flow_key *sent)
{
	const struct network *network = bpf_map_lookup_elem(&networks, &sandbox->network);
	struct flow_key reply = {
		.source = sent->destination,
		.source_port = sent->destination_port,
		.protocol = sent->protocol,
	};
	struct flow entry = {
		.created = bpf_ktime_get_ns(),
		.address = sent->source,
		.port = sent->source_port,
		.link = sandbox->link,
		.network = sandbox->network,
	};
	struct port_search search = {.skb = packet->skb, .reply = &reply, .entry = &entry};
	enum verdict verdict;

	if (!network)
		return VERDICT_DROP_UNKNOWN_SANDBOX;
	if (!opens_flow(packet))
		return VERDICT_DROP_NO_FLOW;
	if (!(network->flags & NETWORK_MASQUERADE))
		reply.destination = sent->source;
	else if (route->source.word[3])
		reply.destination = route->source;
	else
		return VERDICT_DROP_NO_SOURCE;
	entry.last_seen = entry.created;
	verdict = claim_reply(&search, network, sent->source_port);
	if (verdict)
		return verdict;

	entry.address = reply.destination;
	entry.port = reply.destination_port;
	if (bpf_map_update_elem(&flows, sent, &entry, BPF_NOEXIST)) {
		bpf_map_delete_elem(&flows, &reply);
		return VERDICT_CONTINUE; /* another CPU was first, or the table is full: the caller sees which */
	}
	if (start_turns(sent, &entry)) {
		bpf_map_delete_elem(&flows, sent);
		bpf_map_delete_elem(&flows, &reply);
		return VERDICT_DROP_TABLE_FULL;
	}
	return VERDICT_CONTINUE;
}

/* A connection that either side has ended and that begins anew keeps its translation, but none of its past. */
static __always_inline void reopen_if_over(struct flow *flow, const struct flow_key *sent)
{
	struct flow_key reply = reply_key(sent, flow);
	struct flow *replied = bpf_map_lookup_elem(&flows, &reply);

	if (!replied || !((flow->seen | replied->seen) & (SEEN_FIN | SEEN_RST)))
		return;
	flow->seen = 0;
	replied->seen = 0;
}

/* From a sandbox to the world: finds or opens the packet's flow, and gives it the source the world is to see. */
static __always_inline enum verdict translate_source(const struct packet *packet, const struct sandbox *sandbox,
						     const struct route *route)
{
	struct flow_key sent = key_as_sent(packet, packet->skb->ifindex);
	struct flow *flow = bpf_map_lookup_elem(&flows, &sent);
	enum verdict verdict;

	if (packet->protocol == IPPROTO_ICMP && packet->icmp_type != ICMP_ECHO_REQUEST)
		return VERDICT_DROP_NO_FLOW; /* an answer to a ping that nobody could have sent */
	if (!flow) {
		verdict = open_flow(packet, sandbox, route, &sent);
		if (verdict)
			return verdict;
		flow = bpf_map_lookup_elem(&flows, &sent);
	}
	if (!flow)
		return VERDICT_DROP_TABLE_FULL;
	if (packet->seen == SEEN_SYN)
		reopen_if_over(flow, &sent);
	note_segment(flow, packet);
	return rewrite_end(packet, true, &flow->address, flow->port);
}

/* From the world: the flow that this answers, or NULL. */
static __always_inline struct flow *flow_answered_by(const struct packet *packet)
{
	struct flow_key replied = key_as_sent(packet, 0);

	if (packet->protocol == IPPROTO_ICMP && packet->icmp_type != ICMP_ECHO_REPLY)
		return NULL;
	return bpf_map_lookup_elem(&flows, &replied);
}

/* Gives the answer back the destination that the sandbox sent from. */
static __always_inline enum verdict translate_destination(const struct packet *packet, struct flow *flow)
{
	note_segment(flow, packet);
	return rewrite_end(packet, false, &flow->address, flow->port);
}

#endif
