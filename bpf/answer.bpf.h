/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is a sender told of a packet that was dropped? The packet itself becomes the answer: an ICMP error, or a reset
 * where only that ends a connection.
 */
#ifndef CAUSEWAY_ANSWER_BPF_H
#define CAUSEWAY_ANSWER_BPF_H

#include "rewrite.bpf.h"
#include "route.bpf.h"

#define QUOTE_MAX 128 /* bytes of the packet: RFC 1812, section 4.3.2.3, lets it be as many as fit into 576 */
#define INTERNETWORK_CONTROL 0xc0 /* type of service of errors: RFC 1812, section 4.3.2.5 */
#define TYPE_OF_SERVICE 0x1e      /* the rest of it is the packet's own */
#define ANSWER_TTL 64

struct icmp_error {
	struct iphdr ip;
	__u8 type, code;
	__sum16 checksum;
	__be16 unused, mtu; /* mtu: of UNREACHABLE_TOO_BIG only */
};

/* type 0: nothing is said. */
struct answer {
	__u8 type, code;
	__u16 mtu;
};

static __always_inline struct answer answer_to(enum verdict verdict, const struct route *route)
{
	switch (verdict) {
	case VERDICT_DROP_TTL_EXPIRED:
		return (struct answer){ICMP_TIME_EXCEEDED, 0, 0};
	case VERDICT_DROP_TOO_BIG:
		return (struct answer){ICMP_UNREACHABLE, UNREACHABLE_TOO_BIG, route->mtu};
	case VERDICT_DROP_NO_ROUTE:
		return (struct answer){route->refusal ? ICMP_UNREACHABLE : 0, route->refusal, 0};
	case VERDICT_DROP_NO_ENDPOINT:
	case VERDICT_DROP_ISOLATED: /* as if nobody had that address */
	case VERDICT_DROP_NO_UPLINK:
	case VERDICT_DROP_NO_SOURCE:
		return (struct answer){ICMP_UNREACHABLE, UNREACHABLE_HOST, 0};
	case VERDICT_DROP_STALE_SOURCE:
	case VERDICT_DROP_NO_PORT:
	case VERDICT_DROP_TABLE_FULL:
	case VERDICT_DROP_FLOW_QUOTA:
	case VERDICT_DROP_FLOW_RATE:
		return (struct answer){ICMP_UNREACHABLE, UNREACHABLE_PROHIBITED, 0};
	default:
		return (struct answer){};
	}
}

static __always_inline __u16 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

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

/* Of the ICMP header and the quote behind it. */
static __always_inline __u16 error_checksum(struct __sk_buff *skb, const struct answer *answer, __u32 quoted)
{
	struct {
		__u8 type, code;
		__be16 zero, unused, mtu;
		__u8 quote[QUOTE_MAX];
	} text = {.type = answer->type, .code = answer->code, .mtu = bpf_htons(answer->mtu)};

	asm volatile("" : "+r"(quoted)); /* so that the compiler leaves the bounds where the verifier sees them */
	if (quoted < sizeof(struct iphdr) || quoted > QUOTE_MAX ||
	    bpf_skb_load_bytes(skb, ETH_HLEN + sizeof(struct icmp_error), text.quote, quoted))
		return 0;
	return fold(bpf_csum_diff(NULL, 0, (__be32 *)&text, sizeof(text), 0));
}

/* RFC 1122, section 3.2.2: no error about an error, whatever it concerns, nor about a fragment but the first. */
static __always_inline bool may_be_answered(const struct packet *packet)
{
	__u8 type = packet->ports.icmp_type;

	return !packet->fragment_offset && !is_icmp_error(packet) &&
	       (packet->protocol != IPPROTO_ICMP || (type != ICMP_SOURCE_QUENCH && type != ICMP_REDIRECT));
}

/*
 * The packet becomes an error about itself, from that address to its sender. Not 0: it is to go back where it came
 * from; 0: it is no longer fit for anything but a drop. A function of its own to the verifier, so it reads the packet
 * anew.
 */
__noinline int answer_with_error(struct __sk_buff *skb, __u32 type, __u32 code_and_mtu, __be32 from)
{
	struct answer answer = {.type = type, .code = code_and_mtu, .mtu = code_and_mtu >> 16};
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
		.type = answer.type,
		.code = answer.code,
		.mtu = bpf_htons(answer.mtu),
	};

	if (!ip)
		return 0;
	error.ip.daddr = ip->saddr;
	error.ip.tos |= ip->tos & TYPE_OF_SERVICE;
	quoted = bpf_ntohs(ip->tot_len);
	quoted = quoted > QUOTE_MAX || !quoted ? QUOTE_MAX : quoted;
	if (bpf_skb_change_tail(skb, ETH_HLEN + quoted, 0) ||
	    bpf_skb_adjust_room(skb, sizeof(error), BPF_ADJ_ROOM_MAC, 0))
		return 0;
	error.checksum = error_checksum(skb, &answer, quoted);
	error.ip.tot_len = bpf_htons(sizeof(error) + quoted);
	error.ip.check = fold(bpf_csum_diff(NULL, 0, (__be32 *)&error.ip, sizeof(error.ip), 0));
	return !bpf_skb_store_bytes(skb, ETH_HLEN, &error, sizeof(error), 0) && swap_macs(skb);
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

/* The sum of a TCP header and its pseudo header (RFC 9293, section 3.1), or of the latter alone, as a device wants it.
 */
static __always_inline __u16 reset_checksum(const struct iphdr *ip, struct tcphdr *tcp, bool pending)
{
	struct {
		__be32 source, destination;
		__u8 zero, protocol;
		__be16 length;
	} pseudo = {ip->saddr, ip->daddr, 0, IPPROTO_TCP, bpf_htons(sizeof(*tcp))};
	__u64 sum = bpf_csum_diff(NULL, 0, (__be32 *)&pseudo, sizeof(pseudo), 0);

	if (pending)
		return ~fold(sum);
	return fold(bpf_csum_diff(NULL, 0, (__be32 *)tcp, sizeof(*tcp), sum));
}

/*
 * A segment of an established connection becomes the reset that ends it: only that is believed at once (RFC 9293,
 * section 3.10.7.1; its sequence number is what the segment acknowledges). 0 as above; also for what has IP options.
 */
__noinline int answer_with_reset(struct __sk_buff *skb)
{
	struct reset {
		struct iphdr ip;
		struct tcphdr tcp;
	} reset = {.ip = {.version = 4,
			  .ihl = 5,
			  .tot_len = bpf_htons(sizeof(struct reset)),
			  .frag_off = bpf_htons(IPV4_DF),
			  .ttl = ANSWER_TTL,
			  .protocol = IPPROTO_TCP},
		   .tcp = {.doff = sizeof(struct tcphdr) / 4, .rst = 1}};
	struct reset *segment = bytes_at(skb, ETH_HLEN, sizeof(*segment));
	bool pending;

	if (!segment || segment->ip.ihl != 5)
		return 0;
	reset.ip.saddr = segment->ip.daddr;
	reset.ip.daddr = segment->ip.saddr;
	reset.tcp.source = segment->tcp.dest;
	reset.tcp.dest = segment->tcp.source;
	reset.tcp.seq = segment->tcp.ack_seq;
	pending = is_checksum_pending(skb, ETH_HLEN + OFFSET_OF(struct reset, tcp.check));
	reset.ip.check = fold(bpf_csum_diff(NULL, 0, (__be32 *)&reset.ip, sizeof(reset.ip), 0));
	reset.tcp.check = reset_checksum(&reset.ip, &reset.tcp, pending);
	return !bpf_skb_change_tail(skb, ETH_HLEN + sizeof(reset), 0) &&
	       !bpf_skb_store_bytes(skb, ETH_HLEN, &reset, sizeof(reset), 0) && swap_macs(skb);
}

/*
 * True: the packet has become the answer. from: the address that speaks for the host there.
 */
static __always_inline bool answer(const struct packet *packet, enum verdict verdict, const struct address *from,
				   const struct route *route)
{
	struct answer answer = answer_to(verdict, route);

	if (!may_be_answered(packet))
		return false;
	if (verdict == VERDICT_DROP_STALE_SOURCE && packet->protocol == IPPROTO_TCP)
		return (packet->seen & (SEEN_ACK | SEEN_RST)) == SEEN_ACK && answer_with_reset(packet->skb);
	return answer.type &&
	       answer_with_error(packet->skb, answer.type, answer.code | answer.mtu << 16, from->word[3]);
}

#endif
