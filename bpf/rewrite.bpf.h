/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How must the packet look when it arrives? The only packet writes: MACs, TTL, addresses, ports, checksums. */
#ifndef CAUSEWAY_REWRITE_BPF_H
#define CAUSEWAY_REWRITE_BPF_H

#include "kernel.bpf.h"
#include "parse.bpf.h"
#include "quote.bpf.h"

#define CSUM_IPV6 (1ULL << 7) /* BPF_F_IPV6 of bpf_l4_csum_replace, from Linux 6.16 on */

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

/* A frame for many keeps its destination. */
static __always_inline enum verdict rewrite_source_mac(struct __sk_buff *skb, const __u8 *mac)
{
	struct ethhdr *ethernet = bytes_at(skb, 0, ETH_HLEN);

	if (!ethernet)
		return VERDICT_DROP_REWRITE;
	__builtin_memcpy(ethernet->h_source, mac, ETH_ALEN);
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

/* No checksum of IPv6's covers it, but a sum of the whole packet does. */
static __always_inline void rewrite_hop_limit(struct __sk_buff *skb, struct ipv6hdr *ip)
{
	__u16 before = *(__u16 *)&ip->nexthdr; /* the sum's word: next header, then hop limit */

	ip->hop_limit -= 1;
	if (is_summed(skb))
		bpf_csum_update(skb, (__u16)~before + (__u32) * (__u16 *)&ip->nexthdr);
}

/* A routed hop (RFC 1812, section 5.3.1; RFC 8200, section 3). The caller has seen that the TTL is above 1. */
static __always_inline enum verdict rewrite_ttl(struct __sk_buff *skb)
{
	struct iphdr *ip = bytes_at(skb, ETH_HLEN, sizeof(*ip));
	__u16 before, after;

	if (!ip)
		return VERDICT_DROP_REWRITE;
	if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		rewrite_hop_limit(skb, (struct ipv6hdr *)ip);
		return VERDICT_CONTINUE;
	}
	before = *(__u16 *)&ip->ttl; /* the checksum's word: TTL, then protocol */
	ip->ttl -= 1;
	after = *(__u16 *)&ip->ttl;
	ip->check = checksum_after(ip->check, before, after);
	return VERDICT_CONTINUE;
}

/*
 * Where a protocol's checksum is in its header, or 0: it has none of this kind. SCTP's is a CRC: crc.bpf.h. DCCP:
 * RFC 4340, section 5.1.
 */
static const __u8 checksum_places[256] = {
	[IPPROTO_TCP] = OFFSET_OF(struct tcphdr, check),
	[IPPROTO_UDP] = OFFSET_OF(struct udphdr, check),
	[IPPROTO_UDPLITE] = OFFSET_OF(struct udphdr, check),
	[IPPROTO_DCCP] = OFFSET_OF(struct udphdr, check),
	[IPPROTO_ICMP] = OFFSET_OF(struct icmp_header, checksum),
	[IPPROTO_ICMPV6] = OFFSET_OF(struct icmp_header, checksum),
};

#define GRE_CHECKSUM_OFFSET 4 /* RFC 2784, section 2.1; it covers neither addresses nor ports */

/*
 * Whether what is still to be written into the packet as a checksum is its own, or of a packet inside its payload (a
 * tunnel's). Anywhere else it would change, behind all guards, the addresses or ports that the packet leaves with.
 * header: where the transport's is. A function of its own to the verifier.
 */
__noinline int is_checksum_its_own(struct __sk_buff *skb, __u32 header, __u32 protocol)
{
	__u32 place = place_to_be_written(skb),
	      length = protocol == IPPROTO_TCP ? sizeof(struct tcphdr) : sizeof(struct udphdr);

	return place == NOWHERE || place >= header + length ||
	       (checksum_places[(__u8)protocol] && place == header + checksum_places[(__u8)protocol]) ||
	       (protocol == IPPROTO_GRE && place == header + GRE_CHECKSUM_OFFSET);
}

/* Where a protocol's port is in its header; of ICMP the identifier. Only for protocols that have one. */
static __always_inline __u32 port_place(__u8 protocol, bool source)
{
	if (is_icmp(protocol))
		return OFFSET_OF(struct icmp_header, identifier);
	return source ? 0 : sizeof(__be16);
}

/* A UDP checksum of 0 says that there is none (RFC 768), and is never made; which is right for UDP-Lite as well. */
static __always_inline bool zero_is_none(__u8 protocol)
{
	return protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE;
}

/* Where a packet comes from, or goes to. */
struct end {
	const struct address *address;
	__be16 port;
};

/* What a sum gains by that: in one's complement, folded. */
struct gain {
	__u16 by_addresses, by_port;
};

static __always_inline struct gain gain_of(const struct end *from, const struct end *to)
{
	return (struct gain){fold(address_difference(from->address, to->address)),
			     fold((__u64)(__u16)~from->port + to->port)};
}

struct mending {
	__u32 place; /* of the transport's checksum */
	struct gain gain;
	__u8 family, protocol;
};

/*
 * Where the kernel keeps a sum of the whole packet, or does not tell. Its helper mends both. A function of its own to
 * the verifier; the answer is an enum verdict.
 */
__noinline int mend_checksum_and_sum(struct __sk_buff *skb, const struct mending *mending)
{
	__u64 flags, of_addresses;

	if (!mending)
		return VERDICT_DROP_REWRITE;
	flags = zero_is_none(mending->protocol) ? BPF_F_MARK_MANGLED_0 : 0;
	of_addresses = flags | BPF_F_PSEUDO_HDR;
	/* An IPv6 header has no checksum, so that sum stays right: the kernel is told so where it knows to ask. */
	if (mending->protocol != IPPROTO_ICMP &&
	    (mending->family == FAMILY_IPV4 ||
	     bpf_l4_csum_replace(skb, mending->place, 0, mending->gain.by_addresses, of_addresses | CSUM_IPV6)) &&
	    bpf_l4_csum_replace(skb, mending->place, 0, mending->gain.by_addresses, of_addresses))
		return VERDICT_DROP_REWRITE;
	if (bpf_l4_csum_replace(skb, mending->place, 0, mending->gain.by_port, flags))
		return VERDICT_DROP_REWRITE;
	return VERDICT_CONTINUE;
}

/* What no checksum makes up for, that sum gains; an IPv4 header's own does for its addresses. */
static __always_inline void mend_sum(const struct packet *packet, struct gain gain)
{
	__u32 by_addresses = packet->family == FAMILY_IPV6 ? gain.by_addresses : 0;

	if (is_summed(packet->skb))
		bpf_csum_update(packet->skb, by_addresses + gain.by_port);
}

/* Of the transport, incremental as above. What is still to be made is not yet inverted, and covers no ports. */
static __always_inline enum verdict mend_checksum(const struct packet *packet, struct gain gain)
{
	__u32 place = packet->transport_offset + checksum_places[packet->protocol];
	__u16 *checksum = bytes_at(packet->skb, place, sizeof(*checksum));
	bool to_be_made = is_to_be_made(packet->skb, place);

	if (!checksum)
		return VERDICT_DROP_REWRITE;
	if (!*checksum && zero_is_none(packet->protocol) && !to_be_made) {
		mend_sum(packet, gain);
		return VERDICT_CONTINUE;
	}
	if (is_summed(packet->skb))
		return mend_checksum_and_sum(packet->skb,
					     &(struct mending){place, gain, packet->family, packet->protocol});
	if (packet->protocol == IPPROTO_ICMP) /* whose checksum covers no address */
		gain.by_addresses = 0;
	if (to_be_made) {
		*checksum = fold((__u64)gain.by_addresses + *checksum);
		return VERDICT_CONTINUE;
	}
	*checksum = checksum_of((__u64)gain.by_addresses + gain.by_port + (__u16) ~*checksum);
	if (!*checksum && zero_is_none(packet->protocol))
		*checksum = 0xffff;
	return VERDICT_CONTINUE;
}

/*
 * Of what has no such checksum, or not in this fragment. SCTP's changes with a port by how long the packet is, which no
 * fragment tells but the last.
 */
static __always_inline enum verdict mend_otherwise(const struct packet *packet, bool source, __be16 port,
						   struct gain gain)
{
	__u16 difference = port ^ (source ? packet->ports.source : packet->ports.destination);

	if (packet->protocol == IPPROTO_SCTP && difference && is_fragment(packet))
		return VERDICT_DROP_FRAGMENT;
	mend_sum(packet, gain);
	if (packet->protocol != IPPROTO_SCTP || !difference)
		return VERDICT_CONTINUE;
	return mend_crc(packet->skb, packet->transport_offset + OFFSET_OF(struct sctp_header, checksum), difference,
			packet->transport_length - port_place(packet->protocol, source));
}

static __always_inline bool write_ipv4_address(struct __sk_buff *skb, __u32 offset, bool source, __be32 to)
{
	struct iphdr *ip = bytes_at(skb, offset, sizeof(*ip));

	if (!ip)
		return false;
	ip->check = checksum_after_address(ip->check, source ? ip->saddr : ip->daddr, to);
	if (source)
		ip->saddr = to;
	else
		ip->daddr = to;
	return true;
}

static __always_inline bool write_ipv6_address(struct __sk_buff *skb, __u32 offset, bool source,
					       const struct address *to)
{
	struct ipv6hdr *ip = bytes_at(skb, offset, sizeof(*ip));
	__be32 *word;

	if (!ip)
		return false;
	word = source ? ip->saddr.in6_u.u6_addr32 : ip->daddr.in6_u.u6_addr32;
	word[0] = to->word[0];
	word[1] = to->word[1];
	word[2] = to->word[2];
	word[3] = to->word[3];
	return true;
}

/* In the IP header at that offset, whose own checksum is mended. */
static __always_inline bool write_address(const struct packet *packet, __u32 offset, bool source,
					  const struct address *to)
{
	return packet->family == FAMILY_IPV6 ? write_ipv6_address(packet->skb, offset, source, to)
					     : write_ipv4_address(packet->skb, offset, source, to->word[3]);
}

static __always_inline bool write_port(const struct packet *packet, bool source, __be16 port)
{
	__u32 place = packet->transport_offset + port_place(packet->protocol, source);
	__be16 *written = bytes_at(packet->skb, place, sizeof(port));

	if (!written)
		return false;
	*written = port;
	return true;
}

/*
 * Puts address and port in the place of the packet's source (or destination), where it has them, and mends the
 * checksums that cover them.
 */
static __always_inline enum verdict rewrite_end(const struct packet *packet, bool source, const struct address *address,
						__be16 port)
{
	const struct end from = {source ? &packet->source : &packet->destination,
				 source ? packet->ports.source : packet->ports.destination};
	const struct end to = {address, packet->fragment_offset ? from.port : port};
	bool moved = !same_address(from.address, to.address);
	enum verdict verdict = VERDICT_CONTINUE;

	if (!moved && from.port == to.port)
		return VERDICT_CONTINUE;
	if (checksum_places[packet->protocol] && !packet->fragment_offset)
		verdict = mend_checksum(packet, gain_of(&from, &to));
	else
		verdict = mend_otherwise(packet, source, port, gain_of(&from, &to));
	if (verdict)
		return verdict;
	if (moved && !write_address(packet, ETH_HLEN, source, to.address))
		return VERDICT_DROP_REWRITE;
	if (from.port != to.port && !write_port(packet, source, to.port))
		return VERDICT_DROP_REWRITE;
	return VERDICT_CONTINUE;
}

static __always_inline enum verdict rewrite_address(const struct packet *packet, bool source,
						    const struct address *address)
{
	return rewrite_end(packet, source, address, source ? packet->ports.source : packet->ports.destination);
}

static __always_inline enum verdict rewrite_port(const struct packet *packet, bool source, __be16 port)
{
	return rewrite_end(packet, source, source ? &packet->source : &packet->destination, port);
}

/* RFC 791, section 3.1; RFC 8200, section 4.5: only fragments have one. As in struct fragment_key. */
static __always_inline enum verdict rewrite_identification(const struct packet *packet, __be32 identification)
{
	struct fragment_header *fragment;
	struct iphdr *ip;

	if (packet->family == FAMILY_IPV6) {
		fragment = packet->fragment_header ? bytes_at(packet->skb, packet->fragment_header, sizeof(*fragment))
						   : NULL;
		if (!fragment)
			return VERDICT_DROP_REWRITE;
		fragment->identification = identification;
		return VERDICT_CONTINUE;
	}
	ip = bytes_at(packet->skb, ETH_HLEN, sizeof(*ip));
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
	after = checksum_after(before, 0, fold(difference));
	if (!after && quote->protocol == IPPROTO_UDP)
		after = 0xffff;
	if (bpf_l4_csum_replace(skb, icmp_checksum, before, after, sizeof(after)) ||
	    bpf_skb_store_bytes(skb, place, &after, sizeof(after), 0))
		return VERDICT_DROP_REWRITE;
	return VERDICT_CONTINUE;
}

/* What the quoted IPv4 header gains, its checksum loses; the sum of an ICMPv6 error must be mended. */
static __always_inline bool rewrite_quoted_address(const struct packet *packet, const struct quote *quote, bool source,
						   const struct address *to)
{
	const struct address *from = source ? &quote->source : &quote->destination;
	__u32 icmp_checksum = packet->transport_offset + OFFSET_OF(struct icmp_header, checksum);

	if (packet->family == FAMILY_IPV6 &&
	    bpf_l4_csum_replace(packet->skb, icmp_checksum, 0, fold(address_difference(from, to)), 0))
		return false;
	return write_address(packet, quote->offset, source, to);
}

/*
 * Puts address and port in the place of the quoted packet's source (or destination). Its own checksums are mended, and
 * the error's, which covers it all.
 */
static __always_inline enum verdict rewrite_quote(const struct packet *packet, const struct quote *quote, bool source,
						  const struct flow *flow)
{
	__be16 old_port = source ? quote->ports.source : quote->ports.destination, port = flow->port;
	__u32 icmp_checksum = packet->transport_offset + OFFSET_OF(struct icmp_header, checksum);
	__u32 difference = fold(address_difference(source ? &quote->source : &quote->destination, &flow->address));
	bool ported = has_ports(quote->protocol) || is_icmp(quote->protocol);

	if (!rewrite_quoted_address(packet, quote, source, &flow->address))
		return VERDICT_DROP_REWRITE;
	if (quote->protocol == IPPROTO_ICMP) /* no pseudo header */
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

struct change {
	__be16 from, to;
};

/* Two bytes of what a UDP datagram carries, both offsets from the frame's start; and its checksum, where it has one. */
static __always_inline enum verdict rewrite_payload(struct __sk_buff *skb, __u32 udp_offset, __u32 place,
						    struct change change)
{
	__u32 checksum = udp_offset + OFFSET_OF(struct udphdr, check);

	if (bpf_l4_csum_replace(skb, checksum, change.from, change.to, sizeof(change.to) | BPF_F_MARK_MANGLED_0) ||
	    bpf_skb_store_bytes(skb, place, &change.to, sizeof(change.to), 0))
		return VERDICT_DROP_REWRITE;
	return VERDICT_CONTINUE;
}

#endif
