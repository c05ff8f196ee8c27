/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How did the packet end? The only place where a verdict becomes a TC action, and is counted. */
#ifndef CAUSEWAY_VERDICT_BPF_H
#define CAUSEWAY_VERDICT_BPF_H

#include <linux/pkt_cls.h>

#include "maps.bpf.h"
#include "packet.bpf.h"

static __always_inline void count_verdict(__u32 verdict)
{
	__u64 *count = bpf_map_lookup_elem(&verdicts, &verdict);

	if (count)
		*count += 1; /* per CPU, and no program interrupts another on the same one */
}

/* packets, bytes: as sent, since the frame may be an answer by now. What comes through again is counted then. */
static __always_inline void count_sent(__u32 slot, __u32 packets, __u32 bytes, enum verdict verdict)
{
	struct traffic *seen = bpf_map_lookup_elem(&traffic, &slot);

	if (!seen || verdict == VERDICT_FRAGMENT_HELD || verdict == VERDICT_FRAGMENTS_REPLAYED)
		return;
	seen->sent_packets += packets;
	seen->sent_bytes += bytes;
	if (verdict >= VERDICT_FIRST_DROP)
		seen->dropped_packets += packets;
}

static __always_inline void count_received(struct __sk_buff *skb, __u32 slot)
{
	struct traffic *seen = bpf_map_lookup_elem(&traffic, &slot);

	if (!seen)
		return;
	seen->received_packets += segments_of(skb);
	seen->received_bytes += skb->len;
}

/* An outcome is a verdict, with this where the dropped packet has become an answer to its sender, and is redirected. */
#define ANSWERED 0x100
#define VERDICT_OF_OUTCOME 0xff

/* TC_ACT_UNSPEC is also TCX_NEXT: a packet that isn't ours goes on to the next program, then the stack. */
static __always_inline int finish(__u32 outcome)
{
	enum verdict verdict = outcome & VERDICT_OF_OUTCOME;

	count_verdict(verdict);
	switch (verdict) {
	case VERDICT_PASS_STACK:
	case VERDICT_PASS_TRANSLATED:
		return TC_ACT_UNSPEC;
	case VERDICT_FRAGMENT_HELD: /* its copy lives on */
	case VERDICT_TO_GROUP:      /* its copies do */
	case VERDICT_FRAGMENTS_REPLAYED:
		return TC_ACT_SHOT;
	default:
		return verdict < VERDICT_FIRST_DROP || outcome & ANSWERED ? TC_ACT_REDIRECT : TC_ACT_SHOT;
	}
}

#endif
