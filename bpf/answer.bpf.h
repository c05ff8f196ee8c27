/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is a sender told of a packet that was dropped? The packet itself becomes the answer: an ICMP error, or a reset
 * where only that ends a connection.
 */
#ifndef CAUSEWAY_ANSWER_BPF_H
#define CAUSEWAY_ANSWER_BPF_H

#include "checksum.bpf.h"
#include "quota.bpf.h"
#include "reset.bpf.h"
#include "route.bpf.h"

#define QUOTE_MAX 128 /* bytes of an IPv4 packet: RFC 1812, section 4.3.2.3, lets it be as many as fit into 576 */
#define QUOTE_IPV6_MAX (1280 - sizeof(struct icmpv6_error)) /* RFC 4443, section 2.4 (c): as many as fit */
#define CHAIN_REST_MAX 16                                   /* headers that are looked at behind a refused one */
#define INTERNETWORK_CONTROL 0xc0                           /* type of service of errors: RFC 1812, section 4.3.2.5 */
#define TYPE_OF_SERVICE 0x1e                                /* the rest of it is the packet's own */
#define ANSWERS_PER_SECOND 1000 /* to each sandbox, and to the world: RFC 4443, 2.4 (f); RFC 1812, 4.3.2.8 */

struct icmp_error {
	struct iphdr ip;
	__u8 type, code;
	__sum16 checksum;
	__be32 rest;
};

struct icmpv6_error {
	struct ipv6hdr ip;
	__u8 type, code;
	__sum16 checksum;
	__be32 rest;
};

/* How each family says it; type 0: it does not. RFC 792, RFC 1191 and RFC 1812; RFC 4443. */
static const struct {
	__u8 type, code;
} messages[FAMILY_COUNT][REASON_COUNT] = {
	[FAMILY_IPV4] =
		{
			[REASON_TTL_EXPIRED] = {ICMP_TIME_EXCEEDED, 0},
			[REASON_TOO_BIG] = {ICMP_UNREACHABLE, 4},
			[REASON_NO_ROUTE] = {ICMP_UNREACHABLE, 1},
			[REASON_UNREACHABLE] = {ICMP_UNREACHABLE, 1},
			[REASON_PROHIBITED] = {ICMP_UNREACHABLE, 13},
		},
	[FAMILY_IPV6] =
		{
			[REASON_TTL_EXPIRED] = {ICMPV6_TIME_EXCEEDED, 0},
			[REASON_TOO_BIG] = {ICMPV6_TOO_BIG, 0},
			[REASON_NO_ROUTE] = {ICMPV6_UNREACHABLE, 0},
			[REASON_UNREACHABLE] = {ICMPV6_UNREACHABLE, 3},
			[REASON_PROHIBITED] = {ICMPV6_UNREACHABLE, 1},
			[REASON_HEADER] = {ICMPV6_PARAMETER_PROBLEM, 0},
		},
};

static __always_inline enum reason reason_of(enum verdict verdict, const struct route *route)
{
	switch (verdict) {
	case VERDICT_DROP_TTL_EXPIRED:
		return REASON_TTL_EXPIRED;
	case VERDICT_DROP_TOO_BIG:
		return REASON_TOO_BIG;
	case VERDICT_DROP_NO_ROUTE:
		return route->refusal;
	case VERDICT_DROP_EXTENSION_HEADER:
		return REASON_HEADER;
	case VERDICT_DROP_NO_ENDPOINT:
	case VERDICT_DROP_ISOLATED: /* as if nobody had that address */
	case VERDICT_DROP_NO_UPLINK:
	case VERDICT_DROP_NO_SOURCE:
		return REASON_UNREACHABLE;
	case VERDICT_DROP_STALE_SOURCE:
	case VERDICT_DROP_NO_PORT:
	case VERDICT_DROP_TABLE_FULL:
	case VERDICT_DROP_FLOW_QUOTA:
	case VERDICT_DROP_FLOW_RATE:
		return REASON_PROHIBITED;
	default:
		return REASON_NONE;
	}
}

/*
 * Whether there may be an ICMPv6 error behind a header that was refused: what is further behind than this looks, or in
 * a fragment but the first, may be one. A function of its own to the verifier.
 */
__noinline int may_carry_error(struct __sk_buff *skb, __u32 offset, __u32 protocol)
{
	enum icmp_kind kind;
	__u8 *header;

	for (int i = 0; i < CHAIN_REST_MAX; i++) {
		if (!is_extension(protocol) && protocol != IPPROTO_ICMPV6)
			return false;
		header = bytes_at(skb, offset, EXTENSION_UNIT);
		if (!header)
			return true;
		if (protocol == IPPROTO_ICMPV6) {
			kind = kind_of_icmpv6(header[0]);
			return kind == ICMP_ERROR || kind == ICMP_UNSAID;
		}
		if (protocol == IPPROTO_FRAGMENT && *(__be16 *)(header + 2) & bpf_htons(FRAGMENT_OFFSET_MASK))
			return true;
		offset += protocol == IPPROTO_FRAGMENT ? EXTENSION_UNIT : (header[1] + 1) * EXTENSION_UNIT;
		protocol = header[0];
	}
	return true;
}

/*
 * RFC 1812, section 4.3.2.7, and RFC 4443, section 2.4 (e): no error about an error, whatever it concerns, nor about a
 * fragment but the first or a header with a wrong checksum.
 */
static __always_inline bool may_be_answered(const struct packet *packet, enum reason reason)
{
	if (packet->fragment_offset || packet->ports.icmp == ICMP_ERROR || packet->ports.icmp == ICMP_UNSAID ||
	    !ip_checksum_holds(packet))
		return false;
	return reason != REASON_HEADER || !may_carry_error(packet->skb, packet->transport_offset, packet->protocol);
}

/*
 * What each of the world's takes of its rate is not to be foreseen: whoever counts what is left of it would learn from
 * that which flows there are, by packets under a forged source. A function of its own to the verifier.
 */
__noinline int within_answer_rate(__u32 slot)
{
	struct usage *told = bpf_map_lookup_elem(&usage, &slot);
	__u32 count = slot == CAUSEWAY_WORLD_SLOT ? 1 + bpf_get_prandom_u32() % 2 : 1;

	return told && within_rate(&told->answering, ANSWERS_PER_SECOND, count);
}

/* Makes room before what is quoted. */
static __always_inline bool begin_quote(struct __sk_buff *skb, __u32 quoted, __u32 room)
{
	return !bpf_skb_change_tail(skb, ETH_HLEN + quoted, 0) && !bpf_skb_adjust_room(skb, room, BPF_ADJ_ROOM_MAC, 0);
}

/*
 * The packet becomes an error about itself, from that address to its sender. message: type and code; rest: of its
 * header. Not 0: it is to go back where it came from; 0: it is no longer fit for anything but a drop. A function of
 * its own to the verifier, so it reads the packet anew.
 */
__noinline int answer_with_icmp(struct __sk_buff *skb, __u32 message, __u32 rest, __be32 from)
{
	struct iphdr *ip = bytes_at(skb, ETH_HLEN, sizeof(*ip));
	__u32 quoted;
	struct icmp_error error = {
		.ip = {.version = 4,
		       .ihl = 5,
		       .tos = INTERNETWORK_CONTROL,
		       .frag_off = bpf_htons(IPV4_DF),
		       .ttl = ANSWER_TTL,
		       .protocol = IPPROTO_ICMP,
		       .saddr = from},
		.type = message >> 8,
		.code = message,
		.rest = bpf_htonl(rest),
	};

	if (!ip)
		return 0;
	error.ip.daddr = ip->saddr;
	error.ip.tos |= ip->tos & TYPE_OF_SERVICE;
	quoted = bpf_ntohs(ip->tot_len);
	quoted = quoted > QUOTE_MAX || !quoted ? QUOTE_MAX : quoted;
	if (!begin_quote(skb, quoted, sizeof(error)))
		return 0;
	error.checksum = checksum_of(sum_of_bytes(skb, ETH_HLEN + sizeof(error), quoted,
						  bpf_csum_diff(NULL, 0, (__be32 *)&error.type, 8, 0)));
	error.ip.tot_len = bpf_htons(sizeof(error) + quoted);
	error.ip.check = checksum_of(bpf_csum_diff(NULL, 0, (__be32 *)&error.ip, sizeof(error.ip), 0));
	return !bpf_skb_store_bytes(skb, ETH_HLEN, &error, sizeof(error), 0) && swap_macs(skb);
}

/* The same with IPv6. */
__noinline int answer_with_icmpv6(struct __sk_buff *skb, __u32 message, __u32 rest, const struct address *from)
{
	struct ipv6hdr *ip = bytes_at(skb, ETH_HLEN, sizeof(*ip));
	__u32 quoted, length;
	struct address to;
	struct icmpv6_error error = {
		.ip = {.version = 6, .nexthdr = IPPROTO_ICMPV6, .hop_limit = ANSWER_TTL},
		.type = message >> 8,
		.code = message,
		.rest = bpf_htonl(rest),
	};
	__u64 sum;

	if (!ip || !from)
		return 0;
	to = address_of_ipv6(&ip->saddr);
	quoted = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	quoted = quoted > QUOTE_IPV6_MAX || skb->len > 0xffff ? QUOTE_IPV6_MAX : quoted;
	if (!begin_quote(skb, quoted, sizeof(error)))
		return 0;
	length = sizeof(error) - sizeof(error.ip) + quoted;
	error.ip.payload_len = bpf_htons(length);
	__builtin_memcpy(&error.ip.saddr, from, sizeof(*from));
	__builtin_memcpy(&error.ip.daddr, &to, sizeof(to));
	sum = sum_of_pseudo_header(from, &to, length, IPPROTO_ICMPV6);
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&error.type, 8, sum);
	error.checksum = checksum_of(sum_of_bytes(skb, ETH_HLEN + sizeof(error), quoted, sum));
	return !bpf_skb_store_bytes(skb, ETH_HLEN, &error, sizeof(error), 0) && swap_macs(skb);
}

/* True: the packet has become the answer. route->source speaks for the host there; slot: whose rate it is of. */
static __always_inline bool answer(const struct packet *packet, enum verdict verdict, const struct route *route,
				   __u32 slot)
{
	enum reason reason = reason_of(verdict, route);
	__u32 family = packet->family, message, rest = 0;

	if (reason >= REASON_COUNT || family >= FAMILY_COUNT || !may_be_answered(packet, reason))
		return false;
	if (verdict == VERDICT_DROP_STALE_SOURCE && packet->protocol == IPPROTO_TCP)
		return (packet->seen & (SEEN_ACK | SEEN_RST)) == SEEN_ACK && answer_with_reset(packet->skb);
	message = messages[family][reason].type << 8 | messages[family][reason].code;
	if (reason == REASON_TOO_BIG)
		rest = route->mtu;
	if (reason == REASON_HEADER) { /* a pointer to the header */
		message |= packet->refused_code;
		rest = packet->transport_offset - ETH_HLEN;
	}
	if (!message || !within_answer_rate(slot))
		return false;
	return family == FAMILY_IPV6 ? answer_with_icmpv6(packet->skb, message, rest, &route->source)
				     : answer_with_icmp(packet->skb, message, rest, route->source.word[3]);
}

#endif
