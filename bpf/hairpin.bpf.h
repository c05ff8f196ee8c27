/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Does what a sandbox sends to the host reach a sandbox after all, by a published port? Then it goes out and in again
 * in one step: under an address and port of the host's own, so that the answer comes the same way back (RFC 4787,
 * REQ-9).
 */
#ifndef CAUSEWAY_HAIRPIN_BPF_H
#define CAUSEWAY_HAIRPIN_BPF_H

#include "deliver.bpf.h"
#include "translate.bpf.h"

static __always_inline bool is_hairpin(const struct packet *packet, __u32 scope)
{
	struct flow_work *work = room_for_flow();

	if (!anything_published() || !work || is_fragment(packet) || is_icmp_error(packet))
		return false;
	set_key_as_sent(&work->sent, packet, scope);
	return bpf_map_lookup_elem(&flows, &work->sent) || published_at(work, &work->sent);
}

/* The answer to what the host sent to itself: no way but by `lo` leads to its socket, and that needs an address of
 * lo's.
 */
static __always_inline enum verdict turn_to_loopback(const struct packet *packet)
{
	struct address loopback = address_of_ipv4(bpf_htonl(0x7f000001)); /* RFC 1122, section 3.2.1.3 */
	enum verdict verdict = rewrite_address(packet, false, &loopback);

	return verdict ? verdict : deliver_to_loopback();
}

/* The source is translated; now the packet is as one from the world. */
static __noinline enum verdict turn_in(struct packet *packet)
{
	enum verdict verdict = parse_ip(packet);
	struct flow *flow;

	if (!verdict)
		verdict = parse_transport(packet);
	if (verdict)
		return verdict;
	flow = flow_from_world(packet);
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

#endif
