/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which port (or ICMP identifier) of the host's stands for this flow? One that nobody else uses towards that peer: no
 * flow, no socket of the host's, no published port, none that the host's administrator keeps for others.
 */
#ifndef CAUSEWAY_PORT_BPF_H
#define CAUSEWAY_PORT_BPF_H

#include <linux/errno.h>

#include "parse.bpf.h"
#include "quota.bpf.h"

/* The room for one packet's keys; never NULL, but for the verifier. */
static __noinline struct flow_work *room_for_flow(void)
{
	return bpf_map_lookup_elem(&flow_work, &(__u32){0});
}

/* Fills in what an answer to this port says; its size, which also says the family. */
static __always_inline __u32 tuple_of(const struct flow_key *reply, struct bpf_sock_tuple *tuple)
{
	if (!is_ipv4_mapped(&reply->destination)) {
		__builtin_memcpy(tuple->ipv6.saddr, &reply->source, sizeof(reply->source));
		__builtin_memcpy(tuple->ipv6.daddr, &reply->destination, sizeof(reply->destination));
		tuple->ipv6.sport = reply->source_port;
		tuple->ipv6.dport = reply->destination_port;
		return sizeof(tuple->ipv6);
	}
	tuple->ipv4.saddr = reply->source.word[3];
	tuple->ipv4.daddr = reply->destination.word[3];
	tuple->ipv4.sport = reply->source_port;
	tuple->ipv4.dport = reply->destination_port;
	return sizeof(tuple->ipv4);
}

enum host_socket {
	HOST_SOCKET_NONE,
	HOST_SOCKET_LISTENS,   /* to whoever it may be */
	HOST_SOCKET_CONVERSES, /* with that peer */
};

/* Which socket of the host's own would an answer to this port reach? */
static __always_inline enum host_socket host_socket_at(struct __sk_buff *skb, struct flow_work *work,
						       const struct flow_key *reply)
{
	enum host_socket found = HOST_SOCKET_NONE;
	struct bpf_sock_tuple *tuple = &work->tuple;
	__u32 size = tuple_of(reply, tuple);
	struct bpf_sock *socket;

	if (reply->protocol == IPPROTO_TCP) {
		socket = bpf_skc_lookup_tcp(skb, tuple, size, BPF_F_CURRENT_NETNS, 0);
		if (socket) {
			found = socket->state == BPF_TCP_LISTEN ? HOST_SOCKET_LISTENS : HOST_SOCKET_CONVERSES;
			bpf_sk_release(socket);
		}
	} else if (reply->protocol == IPPROTO_UDP) {
		socket = bpf_sk_lookup_udp(skb, tuple, size, BPF_F_CURRENT_NETNS, 0);
		if (socket) {
			found = socket->dst_port ? HOST_SOCKET_CONVERSES : HOST_SOCKET_LISTENS;
			bpf_sk_release(socket);
		}
	}
	return found;
}

static __noinline bool anything_published(void)
{
	const __u32 *published = bpf_map_lookup_elem(&publishing, &(__u32){0});

	return published && *published;
}

/*
 * Published ports have an entry without a peer, towards one of the host's addresses or all of them. What is published
 * on all comes before a mapping, which was there first and is no reason why strangers should not be heard.
 */
static __noinline struct flow *published_at(struct flow_work *work, const struct flow_key *reply)
{
	struct flow *flow, *on_all;

	__builtin_memset(&work->published, 0, sizeof(work->published));
	work->published.destination = reply->destination;
	work->published.destination_port = reply->destination_port;
	work->published.protocol = reply->protocol;
	flow = bpf_map_lookup_elem(&flows, &work->published);
	if (flow && !(flow->flags & FLOW_MAPPED))
		return flow;
	unspecify(&work->published.destination);
	on_all = bpf_map_lookup_elem(&flows, &work->published);
	if (on_all || !flow)
		return on_all;
	work->published.destination = reply->destination;
	return flow;
}

/* The entry by which this peer may open a flow to a port, or NULL. */
static __always_inline struct flow *admitted_at(struct flow_work *work, const struct flow_key *reply)
{
	struct flow *flow = published_at(work, reply);

	if (!flow || flow->flags & FLOW_OPEN)
		return flow;
	work->published.source = reply->source;
	return bpf_map_lookup_elem(&flows, &work->published);
}

/* Kept for others by the host's administrator (net.ipv4.ip_local_reserved_ports). */
static __always_inline bool is_reserved(__u16 port)
{
	const struct host_ports *ports = bpf_map_lookup_elem(&host_ports, &(__u32){0});

	return ports && ports->reserved[port / 64] & 1ULL << port % 64;
}

static __always_inline bool is_taken(struct __sk_buff *skb, struct flow_work *work)
{
	const struct flow_key *reply = &work->reply;

	if (has_ports(reply->protocol) && is_reserved(bpf_ntohs(reply->destination_port)))
		return true;
	return (anything_published() && published_at(work, reply)) || host_socket_at(skb, work, reply);
}

/*
 * From one port to the next that is tried: a prime, so that all are, and not the neighbour, which a sandbox that takes
 * ports in turn has taken too. Greater than any span, so it divides none.
 */
#define PORT_STRIDE 2654435761ULL

/* Where ports are from. No padding: a verifier before Linux 6.3 takes it for what nobody has written. */
struct port_range {
	__u32 first, span;
	__u32 masquerade; /* whether; else there is but one: the sender's own */
};

struct port_search {
	struct __sk_buff *skb;
	struct flow_work *work; /* the port that varies is the destination of work->reply */
	struct port_range range;
	__u32 start;
	long error;   /* 0 once a port is claimed */
	bool watched; /* that one comes free towards this peer is noted */
};

static __always_inline bool claim_port(struct port_search *search, __be16 port)
{
	search->error = -EEXIST;
	search->work->reply.destination_port = port;
	if (bpf_map_lookup_elem(&flows, &search->work->reply))
		return false;
	if (search->range.masquerade && is_taken(search->skb, search->work))
		return false;
	search->error = bpf_map_update_elem(&flows, &search->work->reply, &search->work->entry, BPF_NOEXIST);
	return !search->error;
}

static long try_port(__u32 step, struct port_search *search)
{
	__u32 port = search->range.first + (search->start + step * PORT_STRIDE) % search->range.span;

	/* stop when it is ours, or when the table and not the port is what fails */
	return claim_port(search, bpf_htons(port)) || search->error != -EEXIST;
}

/*
 * The second search that has gone through all ports towards a peer in vain is the last before one of them comes free,
 * or a second has passed (a socket of the host's may have gone): else whoever has filled the range could burn the CPU.
 * Two entries: of the range, when a search began; of the peer, when a port towards it last came free.
 */
static __always_inline bool is_exhausted(struct port_search *search)
{
	struct flow_key *reply = &search->work->reply;
	const __u64 *since, *freed;

	reply->destination_port = 0;
	reply->scope = search->range.first | search->range.span << 16; /* span 65536 as 0: still no other's */
	since = bpf_map_lookup_elem(&exhausted, reply);
	reply->scope = 0;
	freed = bpf_map_lookup_elem(&exhausted, reply);
	search->watched = freed;
	if (!since || bpf_ktime_get_ns() - *since >= SECOND)
		return false;
	return freed && *freed < *since;
}

/* That a port towards this peer comes free is noted from now on. */
static __always_inline void watch_ports(struct port_search *search)
{
	struct flow_key *reply = &search->work->reply;
	__u64 never = 0;

	reply->destination_port = 0;
	bpf_map_update_elem(&exhausted, reply, &never, BPF_NOEXIST);
}

static __always_inline void note_exhausted(struct port_search *search, __u64 began)
{
	struct flow_key *reply = &search->work->reply;

	reply->destination_port = 0;
	reply->scope = search->range.first | search->range.span << 16; /* span 65536 as 0: still no other's */
	bpf_map_update_elem(&exhausted, reply, &began, BPF_ANY);
	reply->scope = 0;
}

/*
 * The sender's own port where it is free and in the range, else every port of the range from a random one on, for the
 * reply in flow_work. A function of its own to the verifier; the answer is an enum verdict.
 */
__noinline int claim_reply(struct __sk_buff *skb, const struct port_range *range)
{
	struct port_search search = {.skb = skb, .work = room_for_flow(), .error = -EEXIST};
	__u64 began;
	__u16 wanted;
	bool any;

	if (!search.work || !range)
		return VERDICT_DROP_NO_PORT;
	wanted = bpf_ntohs(search.work->sent.source_port);
	search.range = *range;
	/* An identifier is no port of the host's, so any will do; a protocol without ports has but one. */
	any = !range->masquerade || !has_ports(search.work->reply.protocol);
	if (any || wanted - range->first < range->span) {
		if (claim_port(&search, search.work->sent.source_port))
			return VERDICT_CONTINUE;
		if (search.error != -EEXIST)
			return VERDICT_DROP_TABLE_FULL;
		if (!range->masquerade || (any && !is_icmp(search.work->reply.protocol)))
			return VERDICT_DROP_NO_PORT;
	}
	if (is_exhausted(&search))
		return VERDICT_DROP_NO_PORT;
	search.start = bpf_get_prandom_u32() % range->span;
	began = bpf_ktime_get_ns();
	bpf_loop(range->span, try_port, &search, 0);
	if (!search.error)
		return VERDICT_CONTINUE;
	if (search.error != -EEXIST)
		return VERDICT_DROP_TABLE_FULL;
	if (search.watched)
		note_exhausted(&search, began);
	else /* what has come free meanwhile, nobody has noted: the next one looks again */
		watch_ports(&search);
	return VERDICT_DROP_NO_PORT;
}

#endif
