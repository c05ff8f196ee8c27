/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is in this packet? The parser; bounds checks live here and in rewrite.bpf.h only. */
#ifndef CAUSEWAY_PACKET_BPF_H
#define CAUSEWAY_PACKET_BPF_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <linux/if_packet.h>
#include <bpf/bpf_endian.h>

#include "maps.bpf.h"

#define IPV4_RESERVED 0x8000 /* RFC 791, section 3.1: bit 0 of the flags must be zero */
#define IPV4_DF 0x4000
#define IPV4_FRAGMENT_MASK 0x3fff /* more-fragments flag and offset: zero in a whole packet */

#define HEADERS_MAX 512 /* no header that is read begins further in; the verifier wants a bound */

struct packet {
	struct __sk_buff *skb;
	struct address source, destination;
	__be16 source_port, destination_port; /* host order nowhere; ICMP echo: see struct flow_key */
	__u16 transport_offset;               /* from the start of the frame, as is every offset here */
	__u32 transport_length;               /* bytes of the packet from there on, without padding */
	__u16 segment_length;                 /* L3 bytes of the packet, or of each that it will be cut into */
	__u8 protocol;
	__u8 type_of_service;
	__u8 ttl;
	__u8 icmp_type;
	__u32 seen; /* enum flow_seen, of this segment */
	bool fragment;
	bool dont_fragment;
};

/* The kernel's own headers for ARP and ICMP need a C library, so these two are written out. */

#define ARP_HARDWARE_ETHERNET 1
#define ARP_REQUEST 1
#define ARP_REPLY 2

/* ARP for IPv4 over Ethernet: RFC 826, "Packet format". */
struct arp_ipv4 {
	__be16 hardware, protocol;
	__u8 hardware_length, protocol_length;
	__be16 operation;
	__u8 sender_mac[ETH_ALEN];
	__be32 sender;
	__u8 target_mac[ETH_ALEN];
	__be32 target;
} __attribute__((packed));

#define ICMP_ECHO_REPLY 0
#define ICMP_ECHO_REQUEST 8

/* RFC 792, "Echo or Echo Reply Message". */
struct icmp_echo {
	__u8 type, code;
	__sum16 checksum;
	__be16 identifier, sequence;
};

static __always_inline struct address address_of_ipv4(__be32 address)
{
	return (struct address){{0, 0, bpf_htonl(0xffff), address}};
}

static __always_inline bool same_address(const struct address *a, const struct address *b)
{
	return a->word[3] == b->word[3] && a->word[2] == b->word[2] && a->word[1] == b->word[1] &&
	       a->word[0] == b->word[0];
}

/*
 * The frame's bounds. In assembly, since the context holds pointers in 32-bit fields, and the compiler would
 * keep the narrow copy of one that it has read before: the verifier takes that for a number.
 */
static __always_inline void *frame_start(struct __sk_buff *skb)
{
	void *start;

	asm volatile("%0 = *(u32 *)(%1 + %2)"
		     : "=r"(start)
		     : "r"(skb), "i"(__builtin_offsetof(struct __sk_buff, data)));
	return start;
}

static __always_inline void *frame_end(struct __sk_buff *skb)
{
	void *end;

	asm volatile("%0 = *(u32 *)(%1 + %2)"
		     : "=r"(end)
		     : "r"(skb), "i"(__builtin_offsetof(struct __sk_buff, data_end)));
	return end;
}

/*
 * size bytes of the frame from offset on, readable and writable; NULL when it is shorter. Pointers got earlier
 * are dead after a call, since the kernel may have moved the headers together.
 */
static __always_inline void *bytes_at(struct __sk_buff *skb, __u32 offset, __u32 size)
{
	void *place;

	if (offset > HEADERS_MAX)
		return NULL;
	place = frame_start(skb) + offset;
	if (place + size > frame_end(skb)) {
		if (bpf_skb_pull_data(skb, offset + size))
			return NULL;
		place = frame_start(skb) + offset;
		if (place + size > frame_end(skb))
			return NULL;
	}
	return place;
}

/* IPv4: RFC 791, section 3.1. Options are skipped, not read. */
static __always_inline enum verdict parse_ipv4(struct packet *packet)
{
	struct __sk_buff *skb = packet->skb;
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
	if (fragment & IPV4_RESERVED)
		return VERDICT_DROP_BAD_HEADER;

	packet->source = address_of_ipv4(ip->saddr);
	packet->destination = address_of_ipv4(ip->daddr);
	packet->transport_offset = ETH_HLEN + header_length;
	packet->transport_length = total_length - header_length;
	packet->protocol = ip->protocol;
	packet->type_of_service = ip->tos;
	packet->ttl = ip->ttl;
	packet->fragment = fragment & IPV4_FRAGMENT_MASK;
	packet->dont_fragment = fragment & IPV4_DF;
	packet->segment_length = total_length;
	return VERDICT_CONTINUE;
}

static __always_inline __u32 seen_in(const struct tcphdr *tcp)
{
	return (tcp->syn ? SEEN_SYN : 0) | (tcp->ack ? SEEN_ACK : 0) | (tcp->fin ? SEEN_FIN : 0) |
	       (tcp->rst ? SEEN_RST : 0);
}

/*
 * Ports, or what stands for them. Only for packets that a flow can carry; call after parse_ipv4.
 * TCP: RFC 9293, section 3.1. UDP: RFC 768. ICMP echo: RFC 792.
 */
static __always_inline enum verdict parse_transport(struct packet *packet)
{
	struct __sk_buff *skb = packet->skb;
	__u32 offset = packet->transport_offset, header_length;

	if (packet->fragment)
		return VERDICT_DROP_FRAGMENT;
	switch (packet->protocol) {
	case IPPROTO_TCP: {
		struct tcphdr *tcp = bytes_at(skb, offset, sizeof(*tcp));

		if (!tcp)
			return VERDICT_DROP_TRUNCATED;
		packet->source_port = tcp->source;
		packet->destination_port = tcp->dest;
		packet->seen = seen_in(tcp);
		header_length = tcp->doff * 4;
		if (header_length < sizeof(*tcp))
			return VERDICT_DROP_BAD_HEADER;
		break;
	}
	case IPPROTO_UDP: {
		struct udphdr *udp = bytes_at(skb, offset, sizeof(*udp));

		if (!udp)
			return VERDICT_DROP_TRUNCATED;
		packet->source_port = udp->source;
		packet->destination_port = udp->dest;
		header_length = sizeof(*udp);
		if (bpf_ntohs(udp->len) > packet->transport_length)
			return VERDICT_DROP_TRUNCATED;
		break;
	}
	case IPPROTO_ICMP: {
		struct icmp_echo *icmp = bytes_at(skb, offset, sizeof(*icmp));

		if (!icmp)
			return VERDICT_DROP_TRUNCATED;
		packet->icmp_type = icmp->type;
		if (icmp->type == ICMP_ECHO_REQUEST)
			packet->source_port = icmp->identifier;
		else if (icmp->type == ICMP_ECHO_REPLY)
			packet->destination_port = icmp->identifier;
		else
			return VERDICT_DROP_PROTOCOL;
		header_length = sizeof(*icmp);
		break;
	}
	default:
		return VERDICT_DROP_PROTOCOL;
	}
	if (header_length > packet->transport_length)
		return VERDICT_DROP_TRUNCATED;
	if (skb->gso_size)
		packet->segment_length = offset - ETH_HLEN + header_length + skb->gso_size;
	return VERDICT_CONTINUE;
}

#endif
