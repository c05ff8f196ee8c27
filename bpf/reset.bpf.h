/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How does a connection end at once? The packet becomes the reset that its sender believes. */
#ifndef CAUSEWAY_RESET_BPF_H
#define CAUSEWAY_RESET_BPF_H

#include "checksum.bpf.h"
#include "rewrite.bpf.h"

#define ANSWER_TTL 64

static __always_inline bool swap_macs(struct __sk_buff *skb)
{
	struct ethhdr *ethernet = bytes_at(skb, 0, ETH_HLEN);
	__u8 mac[ETH_ALEN];

	if (!ethernet)
		return false;
	__builtin_memcpy(mac, ethernet->h_source, ETH_ALEN);
	__builtin_memcpy(ethernet->h_source, ethernet->h_dest, ETH_ALEN);
	__builtin_memcpy(ethernet->h_dest, mac, ETH_ALEN);
	return true;
}

/*
 * Whether the device is still to fill in the L4 checksum: then the kernel leaves the field alone where only L4 bytes
 * change. Nothing else tells.
 */
static __always_inline bool is_checksum_pending(struct __sk_buff *skb, __u32 place)
{
	__u16 before, after;

	if (bpf_skb_load_bytes(skb, place, &before, sizeof(before)) ||
	    bpf_l4_csum_replace(skb, place, 0, 0x0100, sizeof(before)) ||
	    bpf_skb_load_bytes(skb, place, &after, sizeof(after)))
		return false;
	return before == after;
}

struct reset {
	struct tcphdr tcp;
	struct address source, destination;
};

/* Of the header and its pseudo header (RFC 9293, section 3.1), or of the latter alone, as a device wants it. */
static __always_inline __u16 reset_checksum(const struct reset *reset, bool pending)
{
	__u64 sum = sum_of_pseudo_header(&reset->source, &reset->destination, sizeof(reset->tcp), IPPROTO_TCP);

	if (pending)
		return fold(sum);
	return checksum_of(bpf_csum_diff(NULL, 0, (__be32 *)&reset->tcp, sizeof(reset->tcp), sum));
}

static __always_inline bool write_ipv4_header(struct __sk_buff *skb, const struct reset *reset)
{
	struct iphdr ip = {.version = 4,
			   .ihl = 5,
			   .tot_len = bpf_htons(sizeof(ip) + sizeof(reset->tcp)),
			   .frag_off = bpf_htons(IPV4_DF),
			   .ttl = ANSWER_TTL,
			   .protocol = IPPROTO_TCP,
			   .saddr = reset->source.word[3],
			   .daddr = reset->destination.word[3]};

	ip.check = checksum_of(bpf_csum_diff(NULL, 0, (__be32 *)&ip, sizeof(ip), 0));
	return !bpf_skb_store_bytes(skb, ETH_HLEN, &ip, sizeof(ip), 0);
}

static __always_inline bool write_ipv6_header(struct __sk_buff *skb, const struct reset *reset)
{
	struct ipv6hdr ip = {.version = 6,
			     .payload_len = bpf_htons(sizeof(reset->tcp)),
			     .nexthdr = IPPROTO_TCP,
			     .hop_limit = ANSWER_TTL};

	__builtin_memcpy(&ip.saddr, &reset->source, sizeof(reset->source));
	__builtin_memcpy(&ip.daddr, &reset->destination, sizeof(reset->destination));
	return !bpf_skb_store_bytes(skb, ETH_HLEN, &ip, sizeof(ip), 0);
}

/* Where a segment's TCP header is, its ends swapped into the reset; 0: options or extension headers are before it. */
static __always_inline __u32 turn_ends(struct __sk_buff *skb, struct reset *reset)
{
	struct ipv6hdr *ipv6;
	struct iphdr *ipv4;

	if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		ipv6 = bytes_at(skb, ETH_HLEN, sizeof(*ipv6));
		if (!ipv6 || ipv6->nexthdr != IPPROTO_TCP)
			return 0;
		reset->source = address_of_ipv6(&ipv6->daddr);
		reset->destination = address_of_ipv6(&ipv6->saddr);
		return ETH_HLEN + sizeof(*ipv6);
	}
	ipv4 = bytes_at(skb, ETH_HLEN, sizeof(*ipv4));
	if (!ipv4 || ipv4->ihl != 5)
		return 0;
	reset->source = address_of_ipv4(ipv4->daddr);
	reset->destination = address_of_ipv4(ipv4->saddr);
	return ETH_HLEN + sizeof(*ipv4);
}

/*
 * A segment of an established connection becomes the reset that ends it: only that is believed at once (RFC 9293,
 * section 3.10.7.1; its sequence number is what the segment acknowledges). Not 0: it is to go back where it came from.
 * A function of its own to the verifier, so it reads the packet anew.
 */
__noinline int answer_with_reset(struct __sk_buff *skb)
{
	struct reset reset = {.tcp = {.doff = sizeof(struct tcphdr) / 4, .rst = 1}};
	__u32 offset = turn_ends(skb, &reset);
	struct tcphdr *segment = offset ? bytes_at(skb, offset, sizeof(*segment)) : NULL;
	bool written;

	if (!segment)
		return 0;
	reset.tcp.source = segment->dest;
	reset.tcp.dest = segment->source;
	reset.tcp.seq = segment->ack_seq;
	reset.tcp.check = reset_checksum(&reset, is_checksum_pending(skb, offset + OFFSET_OF(struct tcphdr, check)));
	if (bpf_skb_change_tail(skb, offset + sizeof(reset.tcp), 0))
		return 0;
	written = skb->protocol == bpf_htons(ETH_P_IPV6) ? write_ipv6_header(skb, &reset)
							 : write_ipv4_header(skb, &reset);
	return written && !bpf_skb_store_bytes(skb, offset, &reset.tcp, sizeof(reset.tcp), 0) && swap_macs(skb);
}

#endif
