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

static __always_inline __u16 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
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

#endif
