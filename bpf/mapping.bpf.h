/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Under which port does every peer know this endpoint of a sandbox's, or under which identifier its queries? Where a
 * network asks for endpoint-independent mapping (RFC 4787, REQ-1; RFC 5508, REQ-1), a pair of entries without peer
 * holds it for each of the host's addresses that it is sent from, and lives as long as any of its flows sends, or, of
 * TCP, is open.
 */
#ifndef CAUSEWAY_MAPPING_BPF_H
#define CAUSEWAY_MAPPING_BPF_H

#include "age.bpf.h"
#include "port.bpf.h"

static __always_inline bool is_mapped(const struct network *network, __u8 protocol)
{
	return network->flags & NETWORK_ENDPOINT_INDEPENDENT && (has_ports(protocol) || is_icmp(protocol));
}

/* Puts the other half beside the claimed one, and begins the flow's turns of ageing; or neither half is there. */
static __always_inline bool complete_pair(struct flow_work *work, const struct flow_key *sent)
{
	work->entry.address = work->reply.destination;
	work->entry.port = work->reply.destination_port;
	if (!bpf_map_update_elem(&flows, sent, &work->entry, BPF_NOEXIST)) {
		if (!start_turns(sent, &work->entry))
			return true;
		bpf_map_delete_elem(&flows, sent);
	}
	bpf_map_delete_elem(&flows, &work->reply);
	return false;
}

static __always_inline struct flow *mapping_of(struct flow_work *work, const struct address *address)
{
	set_key_of_mapping(&work->mapping, &work->sent, address);
	return bpf_map_lookup_elem(&flows, &work->mapping);
}

/*
 * With each packet that the sandbox sends (RFC 4787, REQ-6); its key as sent is in flow_work. A function of its own to
 * the verifier; the answer means nothing.
 */
__noinline int keep_mapping(const struct flow *sent)
{
	struct flow_work *work = room_for_flow();
	bool open;

	if (!work || !sent)
		return 0;
	open = work->sent.protocol == IPPROTO_TCP && !(sent->seen & (SEEN_FIN | SEEN_RST));
	extend_mapping(&work->sent, sent, &work->mapping, bpf_ktime_get_ns() + (open ? MAPPING_HOLD : 0));
	return 0;
}

/* Of TCP, a mapping's entry is as what is closing: it ends soon after the last of its connections has closed. */
static __always_inline __u32 seen_by_mapping(const struct flow_key *sent)
{
	return sent->protocol == IPPROTO_TCP ? SEEN_FIN : 0;
}

/* Claims a port that stands for the endpoint towards all; work->mapping is its key. */
static __always_inline enum verdict open_mapping(struct __sk_buff *skb, struct flow_work *work,
						 const struct network *network, const struct port_range *range)
{
	struct address peer = work->reply.source;
	__be16 peer_port = work->reply.source_port;
	enum verdict verdict = take_flow(work->entry.link.ifindex, work->entry.link.slot, false);

	if (verdict)
		return verdict;
	work->reply.source = (struct address){};
	work->reply.source_port = 0;
	work->entry.flags = FLOW_MAPPED | (network->flags & NETWORK_OPEN_TO_ALL ? FLOW_OPEN : 0);
	work->entry.seen = seen_by_mapping(&work->sent);
	verdict = claim_reply(skb, range);
	if (!verdict && !complete_pair(work, &work->mapping))
		verdict = VERDICT_DROP_TABLE_FULL;
	if (verdict)
		give_back_flow(work->entry.link.slot, work->entry.created);
	work->entry.seen = 0;
	work->entry.address = work->sent.source;
	work->entry.port = work->sent.source_port;
	work->reply.source = peer;
	work->reply.source_port = peer_port;
	return verdict;
}

/* Whether the peer is let in to this endpoint. One that it was let in to by the same port before, it no longer is. */
static __always_inline bool is_admitted(struct flow_work *work)
{
	const struct flow *known = bpf_map_lookup_elem(&flows, &work->reply);
	__be16 port = work->reply.destination_port;

	if (!known)
		return false;
	if (known->link.ifindex == work->entry.link.ifindex && known->port == work->entry.port &&
	    same_address(&known->address, &work->entry.address))
		return true;
	work->mapping.scope = known->link.ifindex;
	end_pair(known, &work->mapping, &work->reply);
	work->mapping.scope = work->sent.scope;
	work->reply.destination_port = port;
	return false;
}

/* What comes from any port of this peer may open a flow from now on; no query does. A full table admits nobody. */
static __always_inline void admit_peer(struct flow_work *work, const struct network *network)
{
	__be16 peer_port = work->reply.source_port;

	if (!(network->flags & NETWORK_OPEN_TO_ADDRESS) || !has_ports(work->sent.protocol))
		return;
	set_key_of_admission(&work->mapping, &work->sent, &work->reply.destination, work->reply.destination_port);
	work->reply.source_port = 0;
	if (!is_admitted(work) && !take_flow(work->entry.link.ifindex, work->entry.link.slot, false)) {
		work->entry.flags = FLOW_MAPPED | FLOW_OPEN;
		work->entry.seen = seen_by_mapping(&work->sent);
		if (bpf_map_update_elem(&flows, &work->reply, &work->entry, BPF_NOEXIST) ||
		    !complete_pair(work, &work->mapping))
			give_back_flow(work->entry.link.slot, work->entry.created);
		work->entry.seen = 0;
		work->entry.address = work->sent.source;
		work->entry.port = work->sent.source_port;
	}
	work->reply.source_port = peer_port;
}

/*
 * Claims the world's half of the flow under the port or identifier of its mapping. Towards a peer that knows another
 * under it already (the host itself, or a sandbox of a network without mappings) it is another one.
 */
static __always_inline enum verdict claim_mapped(struct __sk_buff *skb, struct flow_work *work,
						 const struct network *network, const struct port_range *range)
{
	struct flow *mapping = mapping_of(work, &work->reply.destination);
	enum verdict verdict = VERDICT_CONTINUE;
	long error;

	if (!mapping) {
		verdict = open_mapping(skb, work, network, range);
		mapping = bpf_map_lookup_elem(&flows, &work->mapping);
	}
	if (!mapping)
		return verdict ? verdict : VERDICT_DROP_TABLE_FULL;
	work->reply.destination_port = mapping->port;
	admit_peer(work, network);
	work->entry.flags = FLOW_MAPPED;
	error = host_socket_at(skb, work, &work->reply) == HOST_SOCKET_CONVERSES
			? -EEXIST
			: bpf_map_update_elem(&flows, &work->reply, &work->entry, BPF_NOEXIST);
	if (!error)
		return VERDICT_CONTINUE;
	if (error != -EEXIST)
		return VERDICT_DROP_TABLE_FULL;
	work->entry.flags = 0;
	return claim_reply(skb, range);
}

#endif
