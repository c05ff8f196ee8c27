/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which flows have been idle for too long? One timer looks at some of them each tick, with no process alive. It takes
 * them in turn from a queue, so that the work of a tick is bounded whatever the size of the table, and a packet never
 * pays for it. (A timer in each flow would need an allocation in the packet path, which newer kernels refuse at will.)
 */
#ifndef CAUSEWAY_AGE_BPF_H
#define CAUSEWAY_AGE_BPF_H

#include <causeway/flow_state.h>

#include "fragment.bpf.h"
#include "packet.bpf.h"
#include "quota.bpf.h"

#define TICK (CAUSEWAY_AGEING_TICK_MS * 1000000ULL)
#define TURNS_AT_LEAST 64 /* a tick; few flows are all looked at each time */
#define TRAIN_TICKS 4     /* from one look at the fragments that wait to the next */
#define SWEEP_TICK (TICK / 8)
#define SWEEP_TURNS 8192 /* a tick of a sweep: 262,144 flows are all looked at in a second */
#define CLOCK_MONOTONIC 1
#define MAPPING_HOLD (2 * CAUSEWAY_AGEING_TICKS * TICK) /* longer than from one turn of a flow to its next */

/* address, port: that it is sent as. */
static __always_inline void set_reply_key(struct flow_key *key, const struct flow_key *sent,
					  const struct address *address, __be16 port)
{
	key->source = sent->destination;
	key->destination = *address;
	key->source_port = sent->destination_port;
	key->destination_port = port;
	key->scope = 0;
	key->protocol = sent->protocol;
	key->world_asks = sent->world_asks;
	__builtin_memset(key->reserved, 0, sizeof(key->reserved));
}

#define TIMEOUT_WITHOUT_NETWORK (7440 * SECOND) /* RFC 5382, REQ-5 */

/* Where the network is gone, those that are left are the host's own, which have got a port of its range. */
static __always_inline __u64 timeout_of(__u32 network_id, enum flow_state state)
{
	const struct network *network = bpf_map_lookup_elem(&networks, &network_id);

	if (network && !network->port_max)
		return TIMEOUT_WITHOUT_NETWORK;
	return network && state < FLOW_STATE_COUNT ? network->timeout[state] * SECOND : 0;
}

/* The new flow gets its turns from now on. Fails when the table holds as many flows as it can. */
static __noinline long start_turns(const struct flow_key *sent, const struct flow *flow)
{
	struct ageing_turn turn = {
		.key = *sent,
		.slot = flow->link.slot,
		.created = flow->created,
		.address = flow->address,
		.port = flow->port,
	};
	struct ageing *state = bpf_map_lookup_elem(&ageing, &(__u32){0});
	long error = state ? bpf_map_push_elem(&ageing_turns, &turn, 0) : -1;

	if (!error)
		__sync_fetch_and_add(&state->turns, 1);
	return error;
}

static __noinline struct flow *flow_made_at(const struct flow_key *key, __u64 created)
{
	struct flow *flow = bpf_map_lookup_elem(&flows, key);

	return flow && flow->created == created ? flow : NULL;
}

/* The reply's key has lost its port then: a search for one towards that peer may succeed from now on. */
static __noinline void free_port(struct flow_key *reply)
{
	__u64 *freed;

	bpf_map_delete_elem(&flows, reply);
	reply->destination_port = 0;
	freed = bpf_map_lookup_elem(&exhausted, reply);
	if (freed)
		*freed = bpf_ktime_get_ns();
}

/*
 * Before the flow's turn. Two CPUs may be about to end it: who takes the one half away takes the other away too. The
 * entry is dead then.
 */
static __always_inline void end_pair(const struct flow *flow, const struct flow_key *sent, struct flow_key *reply)
{
	__u64 created = flow->created;
	__u32 slot = flow->link.slot;

	note_ended(slot, created); /* before the timer can see it */
	if (bpf_map_delete_elem(&flows, sent))
		forget_ended(slot, created);
	else if (flow_made_at(reply, created))
		free_port(reply);
}

/* Whether neither side of the flow has sent for as long as its state may be idle. */
static __always_inline bool is_over(const struct flow *sent, const struct flow *replied, __u8 protocol)
{
	__u64 last_seen = sent->last_seen > replied->last_seen ? sent->last_seen : replied->last_seen;

	return bpf_ktime_get_ns() >=
	       last_seen + timeout_of(sent->network, flow_state_of(protocol, sent->seen, replied->seen));
}

/* The key as sent of the mapping that a flow has its port from, under that address of the host's. */
static __always_inline void set_key_of_mapping(struct flow_key *key, const struct flow_key *sent,
					       const struct address *address)
{
	*key = *sent;
	key->destination = *address;
	key->destination_port = 0;
	key->scope |= CAUSEWAY_SCOPE_MAPPING;
}

/* And of what a mapping to that address and port admits of the flow's peer. */
static __always_inline void set_key_of_admission(struct flow_key *key, const struct flow_key *sent,
						 const struct address *address, __be16 port)
{
	*key = *sent;
	key->source = *address;
	key->source_port = port;
	key->destination_port = 0;
}

static __always_inline void extend(const struct flow_key *key, __u64 until)
{
	struct flow *mapping = bpf_map_lookup_elem(&flows, key);

	if (mapping && mapping->last_seen < until)
		mapping->last_seen = until;
}

/* The mapping of a flow, and what that admits of its peer, are as if used at that time. key: room for theirs. */
static __always_inline void extend_mapping(const struct flow_key *sent, const struct flow *flow, struct flow_key *key,
					   __u64 until)
{
	set_key_of_mapping(key, sent, &flow->address);
	extend(key, until);
	set_key_of_admission(key, sent, &flow->address, flow->port);
	extend(key, until);
}

/* A connection that is open holds its mapping, however idle. */
static __noinline void hold_mapping(const struct flow_key *sent, const struct flow *flow, const struct flow *replied,
				    struct flow_key *key)
{
	if (flow->flags & FLOW_MAPPED && sent->protocol == IPPROTO_TCP && sent->destination_port &&
	    flow_state_of(sent->protocol, flow->seen, replied->seen) != FLOW_TCP_CLOSING)
		extend_mapping(sent, flow, key, bpf_ktime_get_ns() + MAPPING_HOLD);
}

/* Whether it might be: an entry that this is not true of is looked at no closer. No timeout is shorter. */
static __always_inline bool is_quiet(const struct flow *flow)
{
	return bpf_ktime_get_coarse_ns() >= flow->last_seen + SECOND;
}

/*
 * Whether the flow lives on; if not, neither of its entries does. A packet may end it and begin another with its key
 * while this looks: half of that one may go too then. So a turn takes away what there is of its own flow, wherever the
 * other half is.
 */
static __always_inline bool survives(const struct ageing_turn *turn)
{
	struct flow *sent = flow_made_at(&turn->key, turn->created), *replied;
	struct flow_key reply;

	set_reply_key(&reply, &turn->key, &turn->address, turn->port);
	if (is_mapping(&turn->key))
		reply.source = (struct address){};
	replied = flow_made_at(&reply, turn->created);
	if (sent && replied && !is_departed(turn->slot, turn->created) && !is_over(sent, replied, turn->key.protocol)) {
		hold_mapping(&turn->key, sent, replied, &reply);
		return true;
	}
	if (!sent || bpf_map_delete_elem(&flows, &turn->key))
		forget_ended(turn->slot, turn->created);
	if (replied)
		free_port(&reply);
	return false;
}

static long take_turn(__u32 step __attribute__((unused)), struct ageing **state)
{
	struct ageing_turn turn;

	if (bpf_map_pop_elem(&ageing_turns, &turn))
		return 1; /* no flows */
	if (!survives(&turn) || bpf_map_push_elem(&ageing_turns, &turn, 0)) {
		__sync_fetch_and_sub(&(*state)->turns, 1);
		give_back_flow(turn.slot, turn.created);
	}
	return 0;
}

/* How many turns now. After a DEL that has left flows all of them come soon, so that what those hold is free again. */
static __always_inline __u64 share_of_tick(struct ageing *state)
{
	const __u32 *departed = bpf_map_lookup_elem(&departures, &(__u32){0});
	__u64 turns = state->turns, share = turns / CAUSEWAY_AGEING_TICKS + TURNS_AT_LEAST;

	if (departed && *departed != state->departures) {
		state->departures = *departed;
		state->sweep = turns;
	}
	if (state->sweep && share < SWEEP_TURNS)
		share = SWEEP_TURNS;
	state->sweep -= state->sweep < share ? state->sweep : share;
	return turns < share ? turns : share;
}

static int age_flows(void *map __attribute__((unused)), __u32 *key __attribute__((unused)), struct ageing *state)
{
	bpf_loop(share_of_tick(state), take_turn, &state, 0);
	if (!state->sweep && !(state->ticks++ % TRAIN_TICKS))
		age_trains();
	bpf_timer_start(&state->timer, state->sweep ? SWEEP_TICK : TICK, 0);
	return 0;
}

#endif
