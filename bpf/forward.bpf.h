/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Does the host's stack forward this to a sandbox, by rules of its own (a port that iptables or nftables publishes, a
 * device that is no uplink)? Its firewall has decided then; here only the answers are told apart from what goes by the
 * datapath, since the stack alone knows their way.
 */
#ifndef CAUSEWAY_FORWARD_BPF_H
#define CAUSEWAY_FORWARD_BPF_H

#include "admit.bpf.h"
#include "deliver.bpf.h"
#include "translate_error.bpf.h"

static __always_inline bool lets_forwarded_in(const struct endpoint *endpoint)
{
	const struct network *network = bpf_map_lookup_elem(&networks, &endpoint->network);

	return network && network->flags & NETWORK_FORWARDED;
}

/*
 * CONTINUE: it goes to its sandbox, and the answer will find its way: by a flow, or because it is for the host itself.
 * Another sandbox would be answered directly, whatever the host has made of the packet. A function of its own to the
 * verifier, so it reads the packet anew; the answer is an enum verdict.
 */
__noinline int admit_forwarded(struct __sk_buff *skb)
{
	struct packet packet = {.skb = skb, .forwarded = true};
	enum verdict verdict = parse_ip(&packet);
	const struct endpoint *endpoint;
	struct flow *flow;

	if (verdict)
		return verdict;
	endpoint = sandbox_endpoint_at(&packet.destination);
	if (!endpoint || !lets_forwarded_in(endpoint) || sandbox_endpoint_at(&packet.source))
		return VERDICT_DROP_UNSOLICITED;
	if (packet.fragment_offset || (!anything_published() && endpoint_at(&packet.source)))
		return VERDICT_CONTINUE; /* what goes to the gateway is the stack's then */
	verdict = parse_transport(&packet);
	if (verdict)
		return verdict;
	if (lacks_source_port(&packet))
		return VERDICT_DROP_UNSOLICITED;
	flow = flow_from_world(&packet, &verdict);
	if (flow) {
		note_from_world(&packet, flow);
		return VERDICT_CONTINUE;
	}
	if (!opens_flow(&packet) ||
	    is_hosts(skb, &packet.source, &packet.source, skb->ifindex)) /* the gateway device */
		return VERDICT_CONTINUE;
	return verdict;
}

/*
 * Whether the sandbox answers such a packet, or tells an error about one; of an answer, note is taken. The ports are
 * known.
 */
static __always_inline bool answers_forwarded(const struct packet *packet, __u32 scope)
{
	const __u32 *opened = bpf_map_lookup_elem(&forwarded_flows, &(__u32){0});
	struct flow_work *work = room_for_flow();
	struct flow *flow;
	int flags;

	if (!work || !opened || !*opened)
		return false;
	if (is_icmp_error(packet)) {
		flags = packet->fragment_offset ? -1 : flags_of_quoted(packet->skb, scope);
		return flags >= 0 && flags & FLOW_FORWARDED;
	}
	set_key_as_sent(&work->sent, packet, scope);
	flow = flow_sent(work);
	if (!flow || !(flow->flags & FLOW_FORWARDED))
		return false;
	note_segment(flow, packet);
	return true;
}

#endif
