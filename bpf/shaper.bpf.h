/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Does this sandbox send faster than it may? A queue at its own end makes it wait, so that nothing is dropped; this is
 * for those who have taken the queue away.
 */
#ifndef CAUSEWAY_SHAPER_BPF_H
#define CAUSEWAY_SHAPER_BPF_H

#include "packet.bpf.h"
#include "quota.bpf.h"

#define SEGMENT_HEADERS                                                                                                \
	54 /* Ethernet, IPv4 and TCP without options: each segment that is cut off later has them too                  \
	    */

/* Bytes, as the queue counts them (the kernel's qdisc_pkt_len). */
static __always_inline __u64 bytes_on_wire(const struct __sk_buff *skb)
{
	return skb->len + (__u64)(segments_of(skb) - 1) * SEGMENT_HEADERS;
}

#define MARK_ADMITTED 0x63770001 /* of no sandbox's: what comes out of its namespace has mark 0 */

/* So that what is sent through again is neither counted nor judged twice; is_within_shape takes the mark away. */
static __always_inline void mark_admitted(struct __sk_buff *skb, __u32 slot)
{
	const struct shaper *shaper = bpf_map_lookup_elem(&shapers, &slot);

	if (shaper && shaper->policed_rate)
		skb->mark = MARK_ADMITTED;
}

/* As within_rate of quota.bpf.h, for bytes. */
static __always_inline bool is_within_shape(struct __sk_buff *skb, __u32 slot)
{
	struct shaper *shaper = bpf_map_lookup_elem(&shapers, &slot);
	__u64 now = bpf_ktime_get_ns();

	if (!shaper || !shaper->policed_rate)
		return true;
	if (skb->mark == MARK_ADMITTED) {
		skb->mark = 0;
		return true;
	}
	if (shaper->arrival < now)
		shaper->arrival = now;
	if (shaper->arrival - now > shaper->tolerance)
		return false;
	__sync_fetch_and_add(&shaper->arrival, bytes_on_wire(skb) * SECOND / shaper->policed_rate);
	return true;
}

#endif
