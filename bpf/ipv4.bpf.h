/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What does an IPv4 header say? RFC 791, section 3.1. Options are skipped, not read. */
#ifndef CAUSEWAY_IPV4_BPF_H
#define CAUSEWAY_IPV4_BPF_H

#include <linux/ip.h>

#include "checksum.bpf.h"
#include "packet.bpf.h"

#define IPV4_RESERVED 0x8000 /* bit 0 of the flags must be zero */
#define IPV4_DF 0x4000
#define IPV4_MORE_FRAGMENTS 0x2000
#define IPV4_OFFSET_MASK 0x1fff /* in units of 8 bytes */

static __always_inline enum verdict parse_ipv4(struct __sk_buff *skb, struct packet *packet)
{
	struct iphdr *ip = bytes_at(skb, ETH_HLEN, sizeof(*ip));
	__u32 present = skb->len - ETH_HLEN, header_length, total_length;
	__u16 fragment;

	if (!ip)
		return VERDICT_DROP_TRUNCATED;
	header_length = ip->ihl * 4;
	total_length = bpf_ntohs(ip->tot_len);
	if (!total_length && present > 0xffff)
		total_length = present; /* segmentation offload beyond 64 KiB */
	if (ip->version != 4 || header_length < sizeof(*ip) || total_length < header_length)
		return VERDICT_DROP_BAD_HEADER;
	if (total_length > present)
		return VERDICT_DROP_TRUNCATED;
	fragment = bpf_ntohs(ip->frag_off);

	packet->source = address_of_ipv4(ip->saddr);
	packet->destination = address_of_ipv4(ip->daddr);
	packet->transport_offset = ETH_HLEN + header_length;
	packet->transport_length = total_length - header_length;
	packet->family = FAMILY_IPV4;
	packet->protocol = ip->protocol;
	packet->type_of_service = ip->tos;
	packet->ttl = ip->ttl;
	packet->identification = ip->id;
	packet->more_fragments = fragment & IPV4_MORE_FRAGMENTS;
	packet->fragment_offset = (fragment & IPV4_OFFSET_MASK) * 8;
	packet->dont_fragment = fragment & IPV4_DF;
	packet->segment_length = total_length;
	return fragment & IPV4_RESERVED ? VERDICT_DROP_BAD_HEADER : VERDICT_CONTINUE;
}

#define IPV4_HEADER_MAX 60

/* Of an IP header at that offset. A function of its own to the verifier, so the answer is an int: 0 if not. */
__noinline int ipv4_sum_holds(struct __sk_buff *skb, __u32 offset)
{
	__u8 header[IPV4_HEADER_MAX] = {};
	__u32 length;
	__u64 sum;

	if (bpf_skb_load_bytes(skb, offset, header, 1))
		return 0;
	length = (header[0] & 0xf) * 4;
	if (length < sizeof(struct iphdr) || length > sizeof(header) || bpf_skb_load_bytes(skb, offset, header, length))
		return 0;
	sum = bpf_csum_diff(NULL, 0, (__be32 *)header, sizeof(header), 0);
	return !checksum_of(sum);
}

/* A router discards what fails it (RFC 1812, section 5.2.2), since what it mends would stay as wrong. */
static __always_inline bool ipv4_checksum_holds(const struct packet *packet)
{
	__u32 header_length = packet->transport_offset - ETH_HLEN;
	__u32 *word = bytes_at(packet->skb, ETH_HLEN, sizeof(struct iphdr));
	__u64 sum;

	if (header_length != sizeof(struct iphdr))
		return ipv4_sum_holds(packet->skb, ETH_HLEN);
	if (!word)
		return false;
	sum = (__u64)word[0] + word[1] + word[2] + word[3] + word[4];
	return !checksum_of(sum);
}

#endif
