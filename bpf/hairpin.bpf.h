/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Does what a sandbox sends to the host reach a sandbox after all, by a published port? Then it goes out and in again
 * in one step: under an address and port of the host's own, so that the answer comes the same way back (RFC 4787,
 * REQ-9).
 */
#ifndef CAUSEWAY_HAIRPIN_BPF_H
#define CAUSEWAY_HAIRPIN_BPF_H

#include "admit.bpf.h"
#include "deliver.bpf.h"
#include "translate_error.bpf.h"

/*
 * Whether a port of the destination in flow_work's sent key, to which the host forwards nothing, may be a sandbox's. A
 * flow to the world never has its peer's address. A function of its own to the verifier.
 */
__noinline int may_be_reached(struct __sk_buff *skb, __u32 gateway_ifindex)
{
	struct flow_work *work = room_for_flow();
	const struct flow *flow;

	if (!work || !anything_published())
		return 0;
	flow = bpf_map_lookup_elem(&flows, &work->sent);
	if ((flow && same_address(&flow->address, &work->sent.destination)) || endpoint_at(&work->sent.destination))
		return 1;
	return is_amid_routes(skb, &work->sent.destination, &work->sent.source, gateway_ifindex);
}

/* Ports are known: of a fragment, once it has joined its train. */
static __always_inline bool is_hairpin(const struct packet *packet, __u32 scope)
{
	struct flow_work *work = room_for_flow();

	if (!work)
		return false;
	if (is_icmp_error(packet)) /* about a packet that was turned: an error about any other is about no flow */
		return flags_of_quoted(packet->skb, scope) >= 0;
	set_key_as_sent(&work->sent, packet, scope);
	return bpf_map_lookup_elem(&flows, &work->sent) || is_published(packet, work, &work->sent);
}

/* The answer to what the host sent to itself: no way but by `lo` leads to its socket, and that needs an address of
 * lo's.
 */
static __always_inline enum verdict turn_to_loopback(const struct packet *packet)
{
	/* RFC 1122, section 3.2.1.3; RFC 4291, section 2.5.3 */
	struct address loopback = packet->family == FAMILY_IPV6 ? (struct address){{0, 0, 0, bpf_htonl(1)}}
								: address_of_ipv4(bpf_htonl(0x7f000001));
	enum verdict verdict = rewrite_address(packet, false, &loopback);

	return verdict ? verdict : deliver_to_loopback();
}

/*
 * The source is translated; now the packet is as one from the world. Of a fragment its train has told the ports, and
 * the flow, whose key as sent is in flow_work, tells the one that has changed.
 */
static __noinline enum verdict turn_in(struct packet *packet)
{
	struct flow_work *work = room_for_flow();
	enum verdict verdict = parse_ip(packet);
	struct flow *flow;

	flow = work ? bpf_map_lookup_elem(&flows, &work->sent) : NULL;
	if (verdict || !flow)
		return verdict ? verdict : VERDICT_DROP_NO_FLOW;
	packet->ports.source = flow->port;
	flow = flow_from_world(packet, &verdict);
	if (!flow)
		return VERDICT_DROP_NO_FLOW;
	if (flow->flags & FLOW_LOOPBACK)
		return turn_to_loopback(packet);
	verdict = translate_destination(packet, flow);
	if (verdict)
		return verdict;
	return packet->at_egress ? deliver_through_link(packet->skb, &flow->link)
				 : deliver_to_peer(packet->skb, &flow->link);
}

/*
 * There is no sandbox that takes what turn_in has refused, so it is the host's, under its sender's own address again;
 * the host's stack tells the sender. The flow stays, and with it what it has of the quota: another one with each packet
 * would take more.
 */
static __noinline enum verdict turn_back(struct packet *packet, __u32 gateway_ifindex)
{
	struct flow_work *work = room_for_flow();
	const struct flow *replied;
	enum verdict verdict;

	if (!work)
		return VERDICT_DROP_NO_FLOW;
	set_key_of_answer(work, packet);
	replied = bpf_map_lookup_elem(&flows, &work->reply);
	if (!replied)
		return VERDICT_DROP_NO_FLOW;
	verdict = rewrite_end(packet, true, &replied->address, replied->port);
	return verdict ? verdict : deliver_to_host(gateway_ifindex);
}

/* An error likewise: its quoted packet is as the other sandbox's flow knows it by now. */
static __noinline enum verdict turn_error_in(struct __sk_buff *skb)
{
	enum verdict verdict = translate_error(skb, 0, 0, true);
	struct flow_work *work = room_for_flow();

	if (!verdict)
		verdict = rewrite_ttl(skb);
	if (verdict || !work)
		return verdict ? verdict : VERDICT_DROP_NO_FLOW;
	return deliver_to_peer(skb, &work->entry.link);
}

#endif
