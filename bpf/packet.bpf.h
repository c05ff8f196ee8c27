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
#define IPV4_MORE_FRAGMENTS 0x2000
#define IPV4_OFFSET_MASK 0x1fff /* in units of 8 bytes */

#define HEADERS_MAX 512 /* no header that is read begins further in; the verifier wants a bound */

/* Network order. ICMP queries have their identifier as source, replies as destination: see struct flow_key. */
struct ports {
	__be16 source, destination;
	__u8 icmp_type; /* of ICMP only */
};

struct packet {
	struct __sk_buff *skb;
	struct address source, destination;
	struct ports ports;
	__u16 transport_offset; /* from the start of the frame, as is every offset here */
	__u32 transport_length; /* bytes of the packet from there on, without padding */
	__u16 segment_length;   /* L3 bytes of the packet, or of each that it will be cut into */
	__u8 protocol;
	__u8 type_of_service;
	__u8 ttl;
	__u32 seen; /* enum flow_seen, of this segment */
	__be16 identification;
	__u16 fragment_offset; /* bytes; 0 in a whole packet and in the first fragment */
	bool more_fragments;
	bool dont_fragment;
	bool at_egress;               /* of the device that the program is attached to */
	struct fragment_train *train; /* of a fragment, once it has joined it */
};

/* 0 -> a packet as parsed | programs | programs | one packet | 100 B a CPU */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct packet));
} packet_copy SEC(".maps");

/*
 * Makes the verifier forget what it has concluded about the fields, so that it takes all packets that come to this
 * place for one, and walks the rest once and not once for each kind. Before the packet has a train.
 */
static __always_inline void generalise(struct packet *packet)
{
	struct packet *copy = bpf_map_lookup_elem(&packet_copy, &(__u32){0});
	struct __sk_buff *skb = packet->skb;

	if (!copy)
		return;
	*copy = *packet;
	barrier();
	*packet = *copy;
	packet->skb = skb; /* what is read back is no pointer to the verifier */
	packet->train = NULL;
}

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

/* RFC 792; RFC 950, appendix I, for the address masks. */
enum icmp_type {
	ICMP_ECHO_REPLY = 0,
	ICMP_UNREACHABLE = 3,
	ICMP_SOURCE_QUENCH = 4,
	ICMP_REDIRECT = 5,
	ICMP_ECHO_REQUEST = 8,
	ICMP_TIME_EXCEEDED = 11,
	ICMP_PARAMETER_PROBLEM = 12,
	ICMP_TIMESTAMP_REQUEST = 13,
	ICMP_TIMESTAMP_REPLY = 14,
	ICMP_INFORMATION_REQUEST = 15,
	ICMP_INFORMATION_REPLY = 16,
	ICMP_MASK_REQUEST = 17,
	ICMP_MASK_REPLY = 18,
};

/* Codes: RFC 792; RFC 1191, section 4; RFC 1812, section 5.2.7.1. */
enum unreachable_code {
	UNREACHABLE_HOST = 1,
	UNREACHABLE_TOO_BIG = 4,
	UNREACHABLE_PROHIBITED = 13,
};

/* RFC 792, "Echo or Echo Reply Message", and so of all queries; errors have what they quote after these 8 bytes. */
struct icmp_header {
	__u8 type, code;
	__sum16 checksum;
	__be16 identifier, sequence;
};

static __always_inline bool is_query(__u8 icmp_type)
{
	return icmp_type == ICMP_ECHO_REQUEST || icmp_type == ICMP_TIMESTAMP_REQUEST ||
	       icmp_type == ICMP_INFORMATION_REQUEST || icmp_type == ICMP_MASK_REQUEST;
}

static __always_inline bool is_query_reply(__u8 icmp_type)
{
	return icmp_type == ICMP_ECHO_REPLY || icmp_type == ICMP_TIMESTAMP_REPLY ||
	       icmp_type == ICMP_INFORMATION_REPLY || icmp_type == ICMP_MASK_REPLY;
}

/* Those that tell of a packet and quote it. Redirects do too, but concern the link that they were sent on. */
static __always_inline bool is_error(__u8 icmp_type)
{
	return icmp_type == ICMP_UNREACHABLE || icmp_type == ICMP_TIME_EXCEEDED || icmp_type == ICMP_PARAMETER_PROBLEM;
}

static __always_inline bool is_icmp_error(const struct packet *packet)
{
	return packet->protocol == IPPROTO_ICMP && is_error(packet->ports.icmp_type);
}

static __always_inline bool is_fragment(const struct packet *packet)
{
	return packet->more_fragments || packet->fragment_offset;
}

static __always_inline struct address address_of_ipv4(__be32 address)
{
	return (struct address){{0, 0, bpf_htonl(0xffff), address}};
}

static __always_inline bool is_ipv4(const struct address *address)
{
	return !address->word[0] && !address->word[1] && address->word[2] == bpf_htonl(0xffff);
}

static __always_inline bool same_address(const struct address *a, const struct address *b)
{
	return a->word[3] == b->word[3] && a->word[2] == b->word[2] && a->word[1] == b->word[1] &&
	       a->word[0] == b->word[0];
}

static __always_inline bool is_inside(const struct address *address, const struct prefix *prefix)
{
	return !(((address->word[0] ^ prefix->first.word[0]) & prefix->mask.word[0]) |
		 ((address->word[1] ^ prefix->first.word[1]) & prefix->mask.word[1]) |
		 ((address->word[2] ^ prefix->first.word[2]) & prefix->mask.word[2]) |
		 ((address->word[3] ^ prefix->first.word[3]) & prefix->mask.word[3]));
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

	packet->source = address_of_ipv4(ip->saddr);
	packet->destination = address_of_ipv4(ip->daddr);
	packet->transport_offset = ETH_HLEN + header_length;
	packet->transport_length = total_length - header_length;
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
__noinline int ip_sum_holds(struct __sk_buff *skb, __u32 offset)
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
	sum = (sum & 0xffff) + (sum >> 16);
	return ((sum & 0xffff) + (sum >> 16)) == 0xffff;
}

#define SUMMED_AT_ONCE 512 /* what bpf_csum_diff takes before Linux 6.13 */
#define SUMMED_MAX 65536

struct sum {
	struct __sk_buff *skb;
	__u32 offset, length; /* of what is still to be added */
	__u32 value;
};

static long add_bytes(__u32 step __attribute__((unused)), struct sum *sum)
{
	struct held_fragment *copy = bpf_map_lookup_elem(&frame_copy, &(__u32){0});
	__u32 now = sum->length < SUMMED_AT_ONCE ? sum->length : SUMMED_AT_ONCE;

	if (!copy || !now)
		return 1;
	__builtin_memset(copy->frame, 0, SUMMED_AT_ONCE); /* what is beyond the end adds nothing */
	if (bpf_skb_load_bytes(sum->skb, sum->offset, copy->frame, now))
		return 1;
	sum->value = bpf_csum_diff(NULL, 0, (__be32 *)copy->frame, SUMMED_AT_ONCE, sum->value);
	sum->offset += now;
	sum->length -= now;
	return 0;
}

/* Of so many bytes of an ICMP message from that offset on (RFC 792). 0 if not, or if they are not all there. */
__noinline int icmp_sum_holds(struct __sk_buff *skb, __u32 offset, __u32 length)
{
	struct sum sum = {.skb = skb, .offset = offset, .length = length};

	bpf_loop(SUMMED_MAX / SUMMED_AT_ONCE, add_bytes, &sum, 0);
	sum.value = (sum.value & 0xffff) + (sum.value >> 16);
	return !sum.length && ((sum.value & 0xffff) + (sum.value >> 16)) == 0xffff;
}

/* A router discards what fails it (RFC 1812, section 5.2.2), since what it mends would stay as wrong. */
static __always_inline bool ip_checksum_holds(const struct packet *packet)
{
	__u32 header_length = packet->transport_offset - ETH_HLEN;
	__u32 *word = bytes_at(packet->skb, ETH_HLEN, sizeof(struct iphdr));
	__u64 sum;

	if (header_length != sizeof(struct iphdr))
		return ip_sum_holds(packet->skb, ETH_HLEN);
	if (!word)
		return false;
	sum = (__u64)word[0] + word[1] + word[2] + word[3] + word[4];
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff;
}

static __always_inline __u32 seen_in(const struct tcphdr *tcp)
{
	return (tcp->syn ? SEEN_SYN : 0) | (tcp->ack ? SEEN_ACK : 0) | (tcp->fin ? SEEN_FIN : 0) |
	       (tcp->rst ? SEEN_RST : 0);
}

static __always_inline bool has_ports(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE;
}

/*
 * The ports of a header at that offset, or what stands for them; as many bytes as an ICMP error quotes at least.
 * UDP-Lite: RFC 3828, section 3.1, as UDP. Protocols without ports have 0 for both.
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
	} else if (protocol == IPPROTO_ICMP) {
		icmp = bytes_at(skb, offset, sizeof(*icmp));
		if (!icmp)
			return VERDICT_DROP_TRUNCATED;
		ports->icmp_type = icmp->type;
		if (is_query(icmp->type))
			ports->source = icmp->identifier;
		else if (is_query_reply(icmp->type))
			ports->destination = icmp->identifier;
		else if (!is_error(icmp->type))
			return VERDICT_DROP_PROTOCOL;
	}
	return VERDICT_CONTINUE;
}

/* The packet that an ICMP error tells of, as far as it is quoted (RFC 792; RFC 1812, section 4.3.2.3). */
struct quote {
	struct address source, destination;
	struct ports ports;
	__u16 offset, transport_offset;
	__u8 protocol;
};

#define QUOTED_TRANSPORT_MIN 8 /* RFC 792: "64 bits of original data" */

/* Whether the L4 header says whose a packet is, or would if programs read it: then less than all of it is not believed.
 */
static __always_inline bool is_named_by_header(__u8 protocol)
{
	return has_ports(protocol) || protocol == IPPROTO_ICMP || protocol == IPPROTO_SCTP || protocol == IPPROTO_GRE ||
	       protocol == IPPROTO_DCCP;
}

/* Options in the quoted header are skipped. */
static __always_inline enum verdict parse_quote(const struct packet *packet, struct quote *quote)
{
	__u32 offset = packet->transport_offset + sizeof(struct icmp_header), header_length, needed = 0;
	struct iphdr *ip = bytes_at(packet->skb, offset, sizeof(*ip));

	if (!ip)
		return VERDICT_DROP_TRUNCATED;
	header_length = ip->ihl * 4;
	if (ip->version != 4 || header_length < sizeof(*ip))
		return VERDICT_DROP_BAD_HEADER;
	if (is_named_by_header(ip->protocol))
		needed = QUOTED_TRANSPORT_MIN;
	if (ip->protocol == IPPROTO_GRE && bpf_ntohs(ip->tot_len) < header_length + QUOTED_TRANSPORT_MIN)
		needed = 0; /* it has no more: its own header is 4 bytes */
	if (sizeof(struct icmp_header) + header_length + needed > packet->transport_length)
		return VERDICT_DROP_TRUNCATED;          /* what follows is padding */
	if (ip->frag_off & bpf_htons(IPV4_OFFSET_MASK)) /* quotes no ports */
		return VERDICT_DROP_FRAGMENT;
	quote->source = address_of_ipv4(ip->saddr);
	quote->destination = address_of_ipv4(ip->daddr);
	quote->protocol = ip->protocol;
	quote->offset = offset;
	quote->transport_offset = offset + header_length;
	return parse_ports(packet->skb, quote->transport_offset, quote->protocol, &quote->ports);
}

/*
 * The L4 header of a packet, or of its first fragment; call after parse_ipv4. What its lengths say is true.
 * TCP: RFC 9293, section 3.1. UDP: RFC 768. ICMP: RFC 792.
 */
static __always_inline enum verdict parse_transport(struct packet *packet)
{
	struct __sk_buff *skb = packet->skb;
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
	} else if (packet->protocol == IPPROTO_UDPLITE || packet->protocol == IPPROTO_ICMP) {
		header_length = sizeof(struct icmp_header);
	}
	if (header_length > packet->transport_length)
		return VERDICT_DROP_TRUNCATED;
	verdict = parse_ports(skb, offset, packet->protocol, &packet->ports);
	if (skb->gso_size)
		packet->segment_length = offset - ETH_HLEN + header_length + skb->gso_size;
	return verdict;
}

#endif
