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

static __always_inline __u16 checksum_after_address(__u16 checksum, __be32 from, __be32 to)
{
	return checksum_after(checksum_after(checksum, from, to), from >> 16, to >> 16);
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

/*
 * Where a protocol's checksum is in its header, or 0: it has none that NAT changes. SCTP's covers no address
 * (RFC 9260, section 6.8). DCCP: RFC 4340, section 5.1.
 */
static const __u8 checksum_places[256] = {
	[IPPROTO_TCP] = OFFSET_OF(struct tcphdr, check),          [IPPROTO_UDP] = OFFSET_OF(struct udphdr, check),
	[IPPROTO_UDPLITE] = OFFSET_OF(struct udphdr, check),      [IPPROTO_DCCP] = OFFSET_OF(struct udphdr, check),
	[IPPROTO_ICMP] = OFFSET_OF(struct icmp_header, checksum),
};

/* Where a protocol's port is in its header; of ICMP the identifier. Only for protocols that have one. */
static __always_inline __u32 port_place(__u8 protocol, bool source)
{
	if (protocol == IPPROTO_ICMP)
		return OFFSET_OF(struct icmp_header, identifier);
	return source ? 0 : sizeof(__be16);
}

/* MANGLED_0 keeps a UDP checksum of 0 ("none", RFC 768) and never makes one, which is right for UDP-Lite as well. */
static __always_inline __u64 checksum_flags(__u8 protocol)
{
	return protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE ? BPF_F_MARK_MANGLED_0 : 0;
}

/*
 * Puts an address in the place of the packet's source (or destination), and mends the checksums that cover it. The
 * kernel's helpers know packets whose checksum the device is still to fill in.
 */
static __always_inline enum verdict rewrite_address(const struct packet *packet, bool source,
						    const struct address *address)
{
	const struct address *old = source ? &packet->source : &packet->destination;
	__u32 checksum = checksum_places[packet->protocol];
	__be32 from = old->word[3], to = address->word[3];
	struct __sk_buff *skb = packet->skb;
	struct iphdr *ip;

	if (from == to)
		return VERDICT_CONTINUE;
	if (checksum && packet->protocol != IPPROTO_ICMP && !packet->fragment_offset && /* ICMP: no pseudo header */
	    bpf_l4_csum_replace(skb, packet->transport_offset + checksum, from, to,
				checksum_flags(packet->protocol) | BPF_F_PSEUDO_HDR | sizeof(to)))
		return VERDICT_DROP_REWRITE;
	ip = bytes_at(skb, ETH_HLEN, sizeof(*ip));
	if (!ip)
		return VERDICT_DROP_REWRITE;
	ip->check = checksum_after_address(ip->check, from, to);
	if (source)
		ip->saddr = to;
	else
		ip->daddr = to;
	return VERDICT_CONTINUE;
}

/* The same for its port, where the packet has one. */
static __always_inline enum verdict rewrite_port(const struct packet *packet, bool source, __be16 port)
{
	__be16 old = source ? packet->ports.source : packet->ports.destination, *port_place_in_packet;
	__u32 checksum = packet->transport_offset + checksum_places[packet->protocol];
	struct __sk_buff *skb = packet->skb;

	if (old == port || packet->fragment_offset)
		return VERDICT_CONTINUE;
	if (bpf_l4_csum_replace(skb, checksum, old, port, checksum_flags(packet->protocol) | sizeof(port)))
		return VERDICT_DROP_REWRITE;
	port_place_in_packet =
		bytes_at(skb, packet->transport_offset + port_place(packet->protocol, source), sizeof(port));
	if (!port_place_in_packet)
		return VERDICT_DROP_REWRITE;
	*port_place_in_packet = port;
	return VERDICT_CONTINUE;
}

static __always_inline enum verdict rewrite_end(const struct packet *packet, bool source, const struct address *address,
						__be16 port)
{
	enum verdict verdict = rewrite_address(packet, source, address);

	return verdict ? verdict : rewrite_port(packet, source, port);
}

/* Identification: RFC 791, section 3.1. */
static __always_inline enum verdict rewrite_identification(struct __sk_buff *skb, __be16 identification)
{
	struct iphdr *ip = bytes_at(skb, ETH_HLEN, sizeof(*ip));

	if (!ip)
		return VERDICT_DROP_REWRITE;
	ip->check = checksum_after(ip->check, ip->id, identification);
	ip->id = identification;
	return VERDICT_CONTINUE;
}

/*
 * The quoted packet's own L4 checksum, where the quote reaches that far; 0 in UDP means none. icmp_checksum: where the
 * error's own checksum is, which covers it.
 */
static __always_inline enum verdict rewrite_quoted_checksum(const struct packet *packet, const struct quote *quote,
							    __u32 difference)
{
	__u32 icmp_checksum = packet->transport_offset + OFFSET_OF(struct icmp_header, checksum);
	__u32 place = quote->transport_offset + checksum_places[quote->protocol];
	struct __sk_buff *skb = packet->skb;
	__u16 before, after;

	if (place + sizeof(before) > packet->transport_offset + packet->transport_length) /* padding, if anything */
		return VERDICT_CONTINUE;
	if (!checksum_places[quote->protocol] || bpf_skb_load_bytes(skb, place, &before, sizeof(before)))
		return VERDICT_CONTINUE;
	if (!before && quote->protocol == IPPROTO_UDP)
		return VERDICT_CONTINUE;
	difference = (difference & 0xffff) + (difference >> 16);
	after = checksum_after(before, 0, (difference & 0xffff) + (difference >> 16));
	if (!after && quote->protocol == IPPROTO_UDP)
		after = 0xffff;
	if (bpf_l4_csum_replace(skb, icmp_checksum, before, after, sizeof(after)) ||
	    bpf_skb_store_bytes(skb, place, &after, sizeof(after), 0))
		return VERDICT_DROP_REWRITE;
	return VERDICT_CONTINUE;
}

/*
 * Puts address and port in the place of the quoted packet's source (or destination). Its own checksums are mended, and
 * the error's, which covers it all; what the quoted IP header gains, its checksum loses.
 */
static __always_inline enum verdict rewrite_quote(const struct packet *packet, const struct quote *quote, bool source,
						  const struct flow *flow)
{
	const struct address *old = source ? &quote->source : &quote->destination;
	__be16 old_port = source ? quote->ports.source : quote->ports.destination, port = flow->port;
	__u32 icmp_checksum = packet->transport_offset + OFFSET_OF(struct icmp_header, checksum);
	__be32 from = old->word[3], to = flow->address.word[3];
	__u32 difference = (__u16)~from + (__u32)(__u16) ~(from >> 16) + (to & 0xffff) + (to >> 16);
	struct iphdr *ip = bytes_at(packet->skb, quote->offset, sizeof(*ip));
	bool ported = has_ports(quote->protocol) || quote->protocol == IPPROTO_ICMP;

	if (!ip)
		return VERDICT_DROP_REWRITE;
	ip->check = checksum_after_address(ip->check, from, to);
	if (source)
		ip->saddr = to;
	else
		ip->daddr = to;
	if (quote->protocol == IPPROTO_ICMP)
		difference = 0;
	if (ported && old_port != port) {
		difference += (__u16)~old_port + (__u32)port;
		if (bpf_l4_csum_replace(packet->skb, icmp_checksum, old_port, port, sizeof(port)) ||
		    bpf_skb_store_bytes(packet->skb, quote->transport_offset + port_place(quote->protocol, source),
					&port, sizeof(port), 0))
			return VERDICT_DROP_REWRITE;
	}
	return rewrite_quoted_checksum(packet, quote, difference);
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
