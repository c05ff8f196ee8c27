/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is the Internet checksum of this (RFC 1071)? For what is written anew; what changes is mended: rewrite.bpf.h. */
#ifndef CAUSEWAY_CHECKSUM_BPF_H
#define CAUSEWAY_CHECKSUM_BPF_H

#include "packet.bpf.h"

/* Of what IPv6 adds to a message (RFC 8200, section 8.1). */
struct pseudo_header {
	struct address source, destination;
	__be32 length, protocol;
};

/* To 16 bits, by ones' complement addition. */
static __always_inline __u16 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

static __always_inline __u16 checksum_of(__u64 sum)
{
	return ~fold(sum);
}

/* What a sum gains by one address in the place of another; of IPv4's, as they are kept, the same. To be folded. */
static __always_inline __u64 address_difference(const struct address *from, const struct address *to)
{
	__u64 difference = 0;

	for (int i = 0; i < 4; i++)
		difference += (__u64)(__u32)~from->word[i] + to->word[i];
	return difference;
}

/* To be gone on with: seed of bpf_csum_diff. */
static __always_inline __u64 sum_of_pseudo_header(const struct address *source, const struct address *destination,
						  __u32 length, __u8 protocol)
{
	struct pseudo_header header = {
		.source = *source,
		.destination = *destination,
		.length = bpf_htonl(length),
		.protocol = bpf_htonl(protocol),
	};

	return bpf_csum_diff(NULL, 0, (__be32 *)&header, sizeof(header), 0);
}

#define SUMMED_AT_ONCE 512 /* what bpf_csum_diff takes before Linux 6.13 */
#define SUMMED_MAX 65536

struct sum {
	struct __sk_buff *skb;
	__u32 offset, length; /* of what is still to be added */
	__u64 value;
};

static long add_bytes(__u32 step __attribute__((unused)), struct sum *sum)
{
	struct held_fragment *copy = bpf_map_lookup_elem(&frame_copy, &(__u32){0});
	__u32 now = sum->length < SUMMED_AT_ONCE ? sum->length : SUMMED_AT_ONCE;

	asm volatile("" : "+r"(now)); /* so that the compiler leaves the bounds where the verifier sees them */
	if (!copy || !now || now > SUMMED_AT_ONCE)
		return 1;
	__builtin_memset(copy->frame, 0, SUMMED_AT_ONCE); /* what is beyond the end adds nothing */
	if (bpf_skb_load_bytes(sum->skb, sum->offset, copy->frame, now))
		return 1;
	sum->value = bpf_csum_diff(NULL, 0, (__be32 *)copy->frame, SUMMED_AT_ONCE, sum->value);
	sum->offset += now;
	sum->length -= now;
	return 0;
}

/* To be gone on with: the sum of so many bytes from there on. */
static __always_inline __u64 sum_of_bytes(struct __sk_buff *skb, __u32 offset, __u32 length, __u64 seed)
{
	struct sum sum = {.skb = skb, .offset = offset, .length = length, .value = seed};

	bpf_loop(SUMMED_MAX / SUMMED_AT_ONCE, add_bytes, &sum, 0);
	return sum.value;
}

/*
 * Of so many bytes of an ICMP message from that offset on; seed: of IPv6's pseudo header. 0 if not, or if they are not
 * all there. A function of its own to the verifier.
 */
__noinline int icmp_sum_holds(struct __sk_buff *skb, __u32 offset, __u32 length, __u32 seed)
{
	struct sum sum = {.skb = skb, .offset = offset, .length = length, .value = seed};

	bpf_loop(SUMMED_MAX / SUMMED_AT_ONCE, add_bytes, &sum, 0);
	return !sum.length && !checksum_of(sum.value);
}

#endif
