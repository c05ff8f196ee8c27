/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How long may a flow be idle? A timer in the entry as sent ends both entries, with no process alive. */
#ifndef CAUSEWAY_AGE_BPF_H
#define CAUSEWAY_AGE_BPF_H

#include <causeway/flow_state.h>

#include "packet.bpf.h"

#define NANOSECONDS 1000000000ULL
#define CLOCK_MONOTONIC 1

static __always_inline struct flow_key reply_key(const struct flow_key *sent, const struct flow *flow)
{
	return (struct flow_key){
		.source = sent->destination,
		.destination = flow->address,
		.source_port = sent->destination_port,
		.destination_port = flow->port,
		.protocol = sent->protocol,
	};
}

static __always_inline __u64 timeout_of(__u32 network_id, enum flow_state state)
{
	const struct network *network = bpf_map_lookup_elem(&networks, &network_id);

	return network && state < FLOW_STATE_COUNT ? network->timeout[state] * NANOSECONDS : 0;
}

/* Runs when the flow may have been idle long enough. Busy flows are seen only here, never per packet. */
static int age_flow(void *map __attribute__((unused)), struct flow_key *key, struct flow *flow)
{
	struct flow_key sent = *key;
	struct flow_key reply = reply_key(&sent, flow);
	struct flow *replied = bpf_map_lookup_elem(&flows, &reply);
	__u64 now = bpf_ktime_get_ns(), last_seen = flow->last_seen, timeout;
	__u32 seen_in_reply = 0;

	if (replied) {
		seen_in_reply = replied->seen;
		if (replied->last_seen > last_seen)
			last_seen = replied->last_seen;
	}
	timeout = timeout_of(flow->network, flow_state_of(sent.protocol, flow->seen, seen_in_reply));
	if (replied && now < last_seen + timeout) {
		bpf_timer_start(&flow->timer, last_seen + timeout - now, 0);
		return 0;
	}
	bpf_map_delete_elem(&flows, &reply);
	bpf_map_delete_elem(&flows, &sent);
	return 0;
}

static __always_inline long start_ageing(struct flow *flow, const struct network *network)
{
	long error = bpf_timer_init(&flow->timer, &flows, CLOCK_MONOTONIC);

	if (!error)
		error = bpf_timer_set_callback(&flow->timer, age_flow);
	if (!error) /* the shortest that any state allows; age_flow knows the flow's own */
		error = bpf_timer_start(&flow->timer, network->timeout[FLOW_TCP_OPENING] * NANOSECONDS, 0);
	return error;
}

/* The connection is ending: look at it after the closing timeout and not after the established one. */
static __always_inline void hasten_ageing(struct flow *flow)
{
	bpf_timer_start(&flow->timer, timeout_of(flow->network, FLOW_TCP_CLOSING), 0);
}

/* The same, where the answer is at hand: the timer is in the other entry. */
static __always_inline void hasten_ageing_of_sent(const struct packet *packet, const struct flow *replied)
{
	struct flow_key sent = {
		.source = replied->address,
		.destination = packet->source,
		.source_port = replied->port,
		.destination_port = packet->source_port,
		.scope = replied->ifindex,
		.protocol = packet->protocol,
	};
	struct flow *flow = bpf_map_lookup_elem(&flows, &sent);

	if (flow)
		hasten_ageing(flow);
}

#endif
