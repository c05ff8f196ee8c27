/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Does the host's stack forward this to a sandbox, by rules of its own (a port that iptables or nftables publishes, a
 * device that is no uplink)? Its firewall has decided then; here only the answers are told apart from what goes by the
 * datapath, since the stack alone knows their way.
 */
#ifndef CAUSEWAY_FORWARD_BPF_H
#define CAUSEWAY_FORWARD_BPF_H

#include "admit.bpf.h"
#include "translate_error.bpf.h"

/*
 * CONTINUE: it goes to its sandbox, whose network lets it in, and the answer will find its way. Another sandbox would
 * be answered directly, whatever the host has made of the packet. A function of its own to the verifier, so it reads
 * the packet anew; the answer is an enum verdict.
 */
__noinline int admit_forwarded(struct __sk_buff *skb)
{
	struct packet packet = {.skb = skb, .forwarded = true};
	enum verdict verdict = parse_ip(&packet);
	const struct endpoint *endpoint;
	const struct network *network;
	struct flow *flow;

	if (verdict)
		return verdict;
	endpoint = sandbox_endpoint_at(&packet.destination);
	network = endpoint ? bpf_map_lookup_elem(&networks, &endpoint->network) : NULL;
	if (!network || !(network->flags & NETWORK_FORWARDED))
		return VERDICT_DROP_UNSOLICITED;
	endpoint = endpoint_at(&packet.source);
	if (endpoint) /* what goes to the gateway is the stack's anyway */
		return endpoint->kind == ENDPOINT_GATEWAY ? VERDICT_CONTINUE : VERDICT_DROP_UNSOLICITED;
	if (packet.fragment_offset)
		return VERDICT_CONTINUE;
	verdict = parse_transport(&packet);
	if (verdict)
		return verdict;
	if (lacks_source_port(&packet))
		return VERDICT_DROP_UNSOLICITED;
	flow = flow_from_world(&packet, &verdict);
	if (!flow)
		return opens_flow(&packet) ? verdict : VERDICT_CONTINUE;
	note_from_world(&packet, flow);
	return VERDICT_CONTINUE;
}

/* Whether the sandbox answers such a packet, or tells an error about it. The ports are known. */
static __always_inline bool answers_forwarded(const struct packet *packet, __u32 scope)
{
	struct flow_work *work = room_for_flow();
	struct flow *flow;
	int flags;

	if (is_icmp_error(packet)) {
		flags = flags_of_quoted(packet->skb, scope);
		return flags >= 0 && flags & FLOW_FORWARDED;
	}
	if (!work)
		return false;
	set_key_as_sent(&work->sent, packet, scope);
	flow = flow_sent(work);
	if (!flow || !(flow->flags & FLOW_FORWARDED))
		return false;
	note_segment(flow, packet);
	return true;
}

#endif
