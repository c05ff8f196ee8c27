/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How must the packet look when it arrives? The only packet writes: MACs, TTL, addresses, ports, checksums. */
#ifndef CAUSEWAY_REWRITE_BPF_H
#define CAUSEWAY_REWRITE_BPF_H

#include "packet.bpf.h"

#define OFFSET_OF(type, member) __builtin_offsetof(type, member)

static __always_inline enum verdict rewrite_macs(struct __sk_buff *skb, const struct sandbox_link *link)
{
	struct ethhdr *ethernet = bytes_at(skb, 0, ETH_HLEN);

	if (!ethernet)
		return VERDICT_DROP_REWRITE;
	__builtin_memcpy(ethernet->h_dest, link->mac, ETH_ALEN);
	__builtin_memcpy(ethernet->h_source, link->gateway_mac, ETH_ALEN);
	return VERDICT_CONTINUE;
}

/* Incremental update: RFC 1624, equation 3. */
static __always_inline __u16 checksum_after(__u16 checksum, __u16 from, __u16 to)
{
	__u32 sum = (__u16)~checksum + (__u32)(__u16)~from + to;

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* A routed hop (RFC 1812, section 5.3.1). The caller has seen that the TTL is above 1. */
static __always_inline enum verdict rewrite_ttl(struct __sk_buff *skb)
{
	struct iphdr *ip = bytes_at(skb, ETH_HLEN, sizeof(*ip));
	__u16 before, after;

	if (!ip)
		return VERDICT_DROP_REWRITE;
	before = *(__u16 *)&ip->ttl; /* the checksum's word: TTL, then protocol */
	ip->ttl -= 1;
	after = *(__u16 *)&ip->ttl;
	ip->check = checksum_after(ip->check, before, after);
	return VERDICT_CONTINUE;
}

/* Where the L4 checksum is, or 0 where there is none that covers what changes. */
static __always_inline __u32 checksum_offset(const struct packet *packet)
{
	switch (packet->protocol) {
	case IPPROTO_TCP:
		return packet->transport_offset + OFFSET_OF(struct tcphdr, check);
	case IPPROTO_UDP:
		return packet->transport_offset + OFFSET_OF(struct udphdr, check);
	case IPPROTO_ICMP:
		return packet->transport_offset + OFFSET_OF(struct icmp_echo, checksum);
	}
	return 0;
}

static __always_inline __u32 port_offset(const struct packet *packet, bool source)
{
	if (packet->protocol == IPPROTO_ICMP)
		return packet->transport_offset + OFFSET_OF(struct icmp_echo, identifier);
	return packet->transport_offset + (source ? 0 : sizeof(__be16));
}

/*
 * Puts address and port in the place of the packet's source (or destination), and mends both checksums.
 * The kernel's helpers know packets whose checksum the device is still to fill in; MANGLED_0 keeps a UDP
 * checksum of 0 ("none", RFC 768) and never makes one.
 */
static __always_inline enum verdict rewrite_end(const struct packet *packet, bool source, const struct address *address,
						__be16 port)
{
	const struct address *old = source ? &packet->source : &packet->destination;
	__be16 old_port = source ? packet->source_port : packet->destination_port;
	__u32 address_offset = ETH_HLEN + (source ? OFFSET_OF(struct iphdr, saddr) : OFFSET_OF(struct iphdr, daddr));
	__u32 checksum = checksum_offset(packet);
	__u64 flags = packet->protocol == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
	struct __sk_buff *skb = packet->skb;
	__be32 from = old->word[3], to = address->word[3];
	__be32 *address_place;
	__be16 *port_place;

	if (from != to) {
		if (packet->protocol != IPPROTO_ICMP && /* no pseudo header: RFC 792 */
		    bpf_l4_csum_replace(skb, checksum, from, to, flags | BPF_F_PSEUDO_HDR | sizeof(to)))
			return VERDICT_DROP_REWRITE;
		if (bpf_l3_csum_replace(skb, ETH_HLEN + OFFSET_OF(struct iphdr, check), from, to, sizeof(to)))
			return VERDICT_DROP_REWRITE;
	}
	if (old_port != port && bpf_l4_csum_replace(skb, checksum, old_port, port, flags | sizeof(port)))
		return VERDICT_DROP_REWRITE;
	address_place = bytes_at(skb, address_offset, sizeof(*address_place));
	if (!address_place)
		return VERDICT_DROP_REWRITE;
	*address_place = to;
	port_place = bytes_at(skb, port_offset(packet, source), sizeof(*port_place));
	if (!port_place)
		return VERDICT_DROP_REWRITE;
	*port_place = port;
	return VERDICT_CONTINUE;
}

/* An ARP request becomes its own answer: mac is at the address that was asked for (RFC 826). */
static __always_inline void rewrite_arp_to_answer(struct ethhdr *ethernet, struct arp_ipv4 *arp, const __u8 *mac)
{
	__be32 asked = arp->target;

	arp->operation = bpf_htons(ARP_REPLY);
	__builtin_memcpy(arp->target_mac, arp->sender_mac, ETH_ALEN);
	arp->target = arp->sender;
	__builtin_memcpy(arp->sender_mac, mac, ETH_ALEN);
	arp->sender = asked;
	__builtin_memcpy(ethernet->h_dest, ethernet->h_source, ETH_ALEN);
	__builtin_memcpy(ethernet->h_source, mac, ETH_ALEN);
}

#endif
