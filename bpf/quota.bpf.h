/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* May this sandbox open another flow? What one takes of the shared table never reaches what others need. */
#ifndef CAUSEWAY_QUOTA_BPF_H
#define CAUSEWAY_QUOTA_BPF_H

#include "maps.bpf.h"

#define FREE_SHARE 4 /* no sandbox may hold more than this part of what is free */
#define OWN_SHARE 4  /* this part of its quota is for flows that the sandbox itself opens */
#define SECOND 1000000000ULL

/*
 * So many a second of what counts this many, and as many in a burst: the generic cell rate algorithm (ITU-T I.371,
 * annex A), one number a sandbox. Two CPUs at once may let one too many pass, never one too few.
 */
static __always_inline bool within_rate(__u64 *arrival, __u32 per_second, __u32 count)
{
	__u64 now = bpf_ktime_get_ns();

	if (!per_second)
		return true;
	if (*arrival < now)
		*arrival = now;
	/* CAUSEWAY_ANY_RATE comes out as 0 ns for each */
	if (*arrival - now > SECOND - SECOND / per_second)
		return false;
	__sync_fetch_and_add(arrival, SECOND / per_second * count);
	return true;
}

/* Those that are there: one that a packet has ended keeps its place in the table until its turn of ageing. */
static __always_inline __u64 flows_at_once(const struct usage *taken)
{
	__u64 flows = taken->flows, ended = taken->ended;

	return ended < flows ? flows - ended : 0;
}

/* What others open counts for more than it is, so that the quota's last part is left to the sandbox. */
static __always_inline __u64 with_own_share(__u64 flows, bool by_others)
{
	return by_others ? flows + flows / (OWN_SHARE - 1) : flows;
}

/*
 * Flows at once: its own quota, and a share of what is free, so that those who take all they can never leave nothing
 * (dynamic thresholds: Choudhury and Hahne, 1998). by_others: what the world or the host opens to the sandbox leaves it
 * some to open itself, and has its rate apart. What is taken of the table is given back when the flow's turns of ageing
 * end. The answer is an enum verdict.
 */
__noinline int take_flow(__u32 ifindex, __u32 slot, bool by_others)
{
	const struct sandbox *sandbox = bpf_map_lookup_elem(&sandboxes, &ifindex);
	const struct network *network = sandbox ? bpf_map_lookup_elem(&networks, &sandbox->network) : NULL;
	struct usage *taken = bpf_map_lookup_elem(&usage, &slot);
	const struct ageing *state = bpf_map_lookup_elem(&ageing, &(__u32){0});
	__u64 flows, all;

	if (!network || !taken || !state)
		return VERDICT_DROP_UNKNOWN_SANDBOX;
	flows = with_own_share(taken->flows, by_others);
	all = state->turns;
	if (with_own_share(flows_at_once(taken), by_others) >=
	    (sandbox->flows_max ? sandbox->flows_max : network->flows_max))
		return VERDICT_DROP_FLOW_QUOTA;
	if (all >= table_sizes.flows)
		return VERDICT_DROP_TABLE_FULL;
	if (flows * FREE_SHARE >= table_sizes.flows - all)
		return VERDICT_DROP_FLOW_QUOTA;
	if (!within_rate(by_others ? &taken->admitting : &taken->opening,
			 sandbox->flows_per_second ? sandbox->flows_per_second : network->flows_per_second, 1))
		return VERDICT_DROP_FLOW_RATE;
	__sync_fetch_and_add(&taken->flows, 1);
	return VERDICT_CONTINUE;
}

/*
 * Whether the sandbox of a flow that was made then is gone. DEL ends no flows, since that would take a walk through all
 * of them: they are nobody's from then on, also where the slot has another holder by now, and the timer ends them.
 */
static __noinline bool is_departed(__u32 slot, __u64 created)
{
	const struct usage *taken = bpf_map_lookup_elem(&usage, &slot);

	return taken && created < taken->since;
}

/* created: when the flow was made. The host's own flows count for nobody. */
static __noinline void give_back_flow(__u32 slot, __u64 created)
{
	struct usage *taken = bpf_map_lookup_elem(&usage, &slot);

	if (taken && slot != CAUSEWAY_WORLD_SLOT && created >= taken->since)
		__sync_fetch_and_sub(&taken->flows, 1);
}

/* A packet has ended that flow. */
static __noinline void note_ended(__u32 slot, __u64 created)
{
	struct usage *taken = bpf_map_lookup_elem(&usage, &slot);

	if (taken && slot != CAUSEWAY_WORLD_SLOT && created >= taken->since)
		__sync_fetch_and_add(&taken->ended, 1);
}

/* The turn has come of a flow that had ended, be it by a packet or by an operator: only the timer takes these away. */
static __noinline void forget_ended(__u32 slot, __u64 created)
{
	struct usage *taken = bpf_map_lookup_elem(&usage, &slot);

	if (taken && created >= taken->since && taken->ended)
		__sync_fetch_and_sub(&taken->ended, 1);
}

#endif
