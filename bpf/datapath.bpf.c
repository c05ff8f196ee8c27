/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where does a packet go? The table of contents: one program an origin, each a line
 * parse -> guard -> look up -> translate -> rewrite -> deliver -> verdict.
 * Origins, not directions: a sandbox's egress is its host end's ingress.
 */
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>

#include "arp.bpf.h"
#include "deliver.bpf.h"
#include "endpoint.bpf.h"
#include "guard.bpf.h"
#include "packet.bpf.h"
#include "route.bpf.h"
#include "translate.bpf.h"
#include "verdict.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

static __always_inline enum verdict to_world(struct packet *packet, const struct sandbox *sandbox)
{
	struct route route = {};
	enum verdict parsed = parse_transport(packet);
	enum verdict verdict = find_route(packet, sandbox, &route);

	if (verdict == VERDICT_TO_HOST) /* takes any protocol, also what can't be translated */
		return deliver_to_host(sandbox->gateway_ifindex);
	if (verdict)
		return verdict;
	if (parsed)
		return parsed;
	if (packet->ttl <= 1)
		return VERDICT_DROP_TTL_EXPIRED;
	verdict = translate_source(packet, sandbox, &route);
	if (!verdict)
		verdict = rewrite_ttl(packet->skb);
	return verdict ? verdict : deliver_to_world(&route);
}

static __always_inline enum verdict from_sandbox_ipv4(struct __sk_buff *skb, const struct sandbox *sandbox)
{
	struct packet packet = {.skb = skb};
	const struct endpoint *endpoint;
	enum verdict verdict = parse_ipv4(&packet);

	if (!verdict)
		verdict = guard_network(&packet, sandbox);
	if (verdict)
		return verdict;
	endpoint = endpoint_at(&packet.destination);
	if (!endpoint)
		return to_world(&packet, sandbox);
	if (endpoint->kind == ENDPOINT_GATEWAY)
		return deliver_to_host(sandbox->gateway_ifindex);
	return deliver_to_peer(skb, &endpoint->link);
}

/* TC ingress of each host end: may the sandbox send this, and is it for a sandbox, the host or the world? */
SEC("tc")
int from_sandbox(struct __sk_buff *skb)
{
	const struct sandbox *sandbox = sandbox_behind(skb);
	enum verdict verdict;

	if (!sandbox)
		return finish(VERDICT_DROP_UNKNOWN_SANDBOX);
	verdict = guard_link(skb, sandbox);
	if (!verdict && skb->protocol == bpf_htons(ETH_P_IP)) {
		verdict = from_sandbox_ipv4(skb, sandbox);
	} else if (!verdict && skb->protocol == bpf_htons(ETH_P_ARP)) {
		verdict = answer_arp(skb, sandbox);
		if (verdict == VERDICT_ARP_ANSWERED)
			verdict = deliver_back(skb);
	} else if (!verdict) {
		verdict = VERDICT_DROP_ETHERTYPE;
	}
	count_sent(skb, sandbox->link.slot, verdict);
	return finish(verdict);
}

/* TC egress of the gateway device: which sandbox does the host mean? Only what the host itself sends is let in. */
SEC("tc")
int from_host(struct __sk_buff *skb)
{
	struct packet packet = {.skb = skb};
	const struct endpoint *endpoint;
	enum verdict verdict;

	if (skb->protocol != bpf_htons(ETH_P_IP))
		return finish(VERDICT_DROP_ETHERTYPE);
	verdict = parse_ipv4(&packet);
	if (!verdict)
		verdict = guard_host(&packet);
	if (verdict)
		return finish(verdict);
	endpoint = endpoint_at(&packet.destination);
	if (!endpoint || endpoint->kind != ENDPOINT_SANDBOX)
		return finish(VERDICT_DROP_NO_ENDPOINT);
	return finish(deliver_through_link(skb, &endpoint->link));
}

static __always_inline enum verdict from_uplink_ipv4(struct __sk_buff *skb)
{
	struct packet packet = {.skb = skb};
	const struct endpoint *endpoint;
	struct flow *flow = NULL;
	enum verdict verdict = parse_ipv4(&packet);

	if (verdict) /* let the host count its own malformed packets */
		return VERDICT_PASS_STACK;
	if (!parse_transport(&packet))
		flow = flow_answered_by(&packet);
	if (!flow) {
		endpoint = endpoint_at(&packet.destination);
		return endpoint && endpoint->kind == ENDPOINT_SANDBOX ? VERDICT_DROP_UNSOLICITED : VERDICT_PASS_STACK;
	}
	if (packet.ttl <= 1)
		return VERDICT_DROP_TTL_EXPIRED;
	verdict = translate_destination(&packet, flow);
	if (!verdict)
		verdict = rewrite_ttl(skb);
	return verdict ? verdict : deliver_to_peer(skb, &flow->link);
}

/* TC ingress of each uplink: is it an answer to a sandbox? What isn't ours goes to the stack untouched. */
SEC("tc")
int from_uplink(struct __sk_buff *skb)
{
	if (skb->protocol != bpf_htons(ETH_P_IP) || skb->vlan_present || skb->pkt_type != PACKET_HOST)
		return finish(VERDICT_PASS_STACK);
	return finish(from_uplink_ipv4(skb));
}

/* Run once by whoever has loaded the programs: sets the timer going that ages flows from then on. 0, or -errno. */
SEC("tc")
int start_ageing(struct __sk_buff *skb __attribute__((unused)))
{
	struct ageing *state = bpf_map_lookup_elem(&ageing, &(__u32){0});
	long error = state ? bpf_timer_init(&state->timer, &ageing, CLOCK_MONOTONIC) : -ENOENT;

	if (!error)
		error = bpf_timer_set_callback(&state->timer, age_flows);
	return error ? error : bpf_timer_start(&state->timer, TICK, 0);
}
