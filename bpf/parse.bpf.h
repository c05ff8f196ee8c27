/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What does this packet say, whatever its family? Call parse_ip, then parse_transport. */
#ifndef CAUSEWAY_PARSE_BPF_H
#define CAUSEWAY_PARSE_BPF_H

#include <linux/tcp.h>
#include <linux/udp.h>

#include "crc.bpf.h"
#include "icmp.bpf.h"
#include "ipv4.bpf.h"
#include "ipv6.bpf.h"
#include "packet.bpf.h"

static __always_inline bool is_ip(const struct __sk_buff *skb)
{
	return skb->protocol == bpf_htons(ETH_P_IP) || skb->protocol == bpf_htons(ETH_P_IPV6);
}

/*
 * A function of its own to the verifier, for which all that follows is the same packet. It can't know the pointers that
 * the caller has in there, so those are for the caller to set.
 */
__noinline int parse_headers(struct __sk_buff *skb, struct packet *packet)
{
	if (!packet)
		return VERDICT_DROP_TRUNCATED;
	return skb->protocol == bpf_htons(ETH_P_IPV6) ? parse_ipv6(skb, packet) : parse_ipv4(skb, packet);
}

/* CONTINUE: what the IP headers say is in the packet. transport_offset 0: they are malformed. */
static __always_inline enum verdict parse_ip(struct packet *packet)
{
	struct __sk_buff *skb = packet->skb;
	enum verdict verdict = parse_headers(skb, packet);

	packet->skb = skb;
	packet->train = NULL;
	return verdict;
}

/* The same where speed counts: IPv4's headers are read in place. */
static __always_inline enum verdict parse_ip_here(struct packet *packet)
{
	return packet->skb->protocol == bpf_htons(ETH_P_IP) ? parse_ipv4(packet->skb, packet) : parse_ip(packet);
}

/* A router discards what fails it (RFC 1812, section 5.2.2); IPv6 has none. */
static __always_inline bool ip_checksum_holds(const struct packet *packet)
{
	return packet->family == FAMILY_IPV6 || ipv4_checksum_holds(packet);
}

static __always_inline __u32 seen_in(const struct tcphdr *tcp)
{
	return (tcp->syn ? SEEN_SYN : 0) | (tcp->ack ? SEEN_ACK : 0) | (tcp->fin ? SEEN_FIN : 0) |
	       (tcp->rst ? SEEN_RST : 0);
}

static __always_inline bool has_ports(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE ||
	       protocol == IPPROTO_SCTP;
}

/*
 * The ports of a header at that offset, or what stands for them; as many bytes as an ICMP error quotes at least.
 * UDP-Lite (RFC 3828, section 3.1) and SCTP: as UDP. Protocols without ports have 0 for both.
 */
static __always_inline enum verdict parse_ports(struct __sk_buff *skb, __u32 offset, __u8 protocol, struct ports *ports)
{
	__be16 *pair;
	struct icmp_header *icmp;

	if (has_ports(protocol)) {
		pair = bytes_at(skb, offset, 2 * sizeof(*pair));
		if (!pair)
			return VERDICT_DROP_TRUNCATED;
		ports->source = pair[0];
		ports->destination = pair[1];
	} else if (is_icmp(protocol)) {
		icmp = bytes_at(skb, offset, sizeof(*icmp));
		if (!icmp)
			return VERDICT_DROP_TRUNCATED;
		ports->icmp = protocol == IPPROTO_ICMPV6 ? kind_of_icmpv6(icmp->type) : kind_of_icmpv4(icmp->type);
		if (ports->icmp == ICMP_QUERY)
			ports->source = icmp->identifier;
		else if (ports->icmp == ICMP_REPLY)
			ports->destination = icmp->identifier;
		else if (ports->icmp != ICMP_ERROR)
			return VERDICT_DROP_PROTOCOL;
	}
	return VERDICT_CONTINUE;
}

#define GSO_BY_FRAGS 0xffff /* of SCTP: the kernel's segments have no one size, and no program sees theirs */

/*
 * What each packet has that this one will be cut into. Of SCTP, what they have on average: senders fill all but the
 * last, and one whose packets all fit never looks too long.
 */
static __always_inline __u16 segment_length_of(const struct packet *packet, __u32 headers, const struct __sk_buff *skb)
{
	__u32 length = skb->gso_size, segments = skb->gso_segs;

	if (length == GSO_BY_FRAGS && segments)
		length = (packet->segment_length - headers + segments - 1) / segments;
	length += headers;
	return length < 0xffff ? length : 0xffff;
}

/*
 * Bytes of the header that says how long a packet of IPv6 beyond 64 KiB is (RFC 2675). Linux puts it before a sender's
 * TCP segments and takes it away where it cuts them up, so that none of what the link sees has it.
 */
static __always_inline __u32 jumbo_header_of(struct __sk_buff *skb, const struct packet *packet)
{
	__u32 extensions = packet->transport_offset - ETH_HLEN - sizeof(struct ipv6hdr);
	struct ipv6hdr *ip;

	if (packet->family != FAMILY_IPV6 || extensions + packet->transport_length <= 0xffff)
		return 0;
	ip = bytes_at(skb, ETH_HLEN, sizeof(*ip));
	return ip && ip->nexthdr == IPPROTO_HOPOPTS ? EXTENSION_UNIT : 0;
}

/*
 * The L4 header of a packet, or of its first fragment. What its lengths say is true. TCP: RFC 9293, section 3.1. UDP:
 * RFC 768. ICMP: RFC 792 and RFC 4443.
 */
static __always_inline enum verdict parse_transport_here(struct __sk_buff *skb, struct packet *packet)
{
	__u32 offset = packet->transport_offset, header_length = 0;
	enum verdict verdict;

	if (packet->protocol == IPPROTO_TCP) {
		struct tcphdr *tcp = bytes_at(skb, offset, sizeof(*tcp));

		if (!tcp)
			return VERDICT_DROP_TRUNCATED;
		packet->seen = seen_in(tcp);
		header_length = tcp->doff * 4;
		if (header_length < sizeof(*tcp))
			return VERDICT_DROP_BAD_HEADER;
	} else if (packet->protocol == IPPROTO_UDP) {
		struct udphdr *udp = bytes_at(skb, offset, sizeof(*udp));

		if (!udp)
			return VERDICT_DROP_TRUNCATED;
		header_length = sizeof(*udp);
		if (bpf_ntohs(udp->len) > packet->transport_length && !packet->more_fragments)
			return VERDICT_DROP_TRUNCATED;
	} else if (packet->protocol == IPPROTO_SCTP) {
		header_length = sizeof(struct sctp_header);
	} else if (packet->protocol == IPPROTO_UDPLITE || is_icmp(packet->protocol)) {
		header_length = sizeof(struct icmp_header);
	}
	if (header_length > packet->transport_length || (packet->more_fragments && !packet->transport_length))
		return VERDICT_DROP_TRUNCATED; /* RFC 7112, section 5: nor may only the first header come later */
	if (is_icmp(packet->protocol) && packet->protocol != icmp_of(packet->family))
		return VERDICT_DROP_PROTOCOL;
	verdict = parse_ports(skb, offset, packet->protocol, &packet->ports);
	if (skb->gso_size)
		packet->segment_length = segment_length_of(
			packet, offset - ETH_HLEN - jumbo_header_of(skb, packet) + header_length, skb);
	return verdict;
}

/* A function of its own to the verifier, as parse_headers. */
__noinline int parse_transport_header(struct __sk_buff *skb, struct packet *packet)
{
	return packet ? parse_transport_here(skb, packet) : VERDICT_DROP_TRUNCATED;
}

static __always_inline enum verdict parse_transport(struct packet *packet)
{
	struct __sk_buff *skb = packet->skb;
	enum verdict verdict = parse_transport_header(skb, packet);

	packet->skb = skb;
	packet->train = NULL;
	return verdict;
}

#endif
