/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Of which packet does an ICMP error tell, as far as it is quoted? RFC 1812, section 4.3.2.3; RFC 4443, section 3. */
#ifndef CAUSEWAY_QUOTE_BPF_H
#define CAUSEWAY_QUOTE_BPF_H

#include "parse.bpf.h"

struct quote {
	struct address source, destination;
	struct ports ports;
	__u16 offset, transport_offset;
	__u32 transport_length; /* as the quoted packet says, however much of it is quoted */
	__u8 protocol;
};

/* 0 -> what an error quotes, since the stack has no room | programs | programs | one packet | 56 B a CPU */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct quote);
} quotes SEC(".maps");

#define QUOTED_TRANSPORT_MIN 8 /* RFC 792: "64 bits of original data" */

/* Whether the L4 header says whose a packet is, or would if programs read it: then less than all of it is not believed.
 */
static __always_inline bool is_named_by_header(__u8 protocol)
{
	return has_ports(protocol) || is_icmp(protocol) || protocol == IPPROTO_GRE || protocol == IPPROTO_DCCP;
}

static __always_inline enum verdict parse_quoted_ipv4(struct __sk_buff *skb, struct quote *quote)
{
	struct iphdr *ip = bytes_at(skb, quote->offset, sizeof(*ip));
	__u32 header_length;

	if (!ip)
		return VERDICT_DROP_TRUNCATED;
	header_length = ip->ihl * 4;
	if (ip->version != 4 || header_length < sizeof(*ip))
		return VERDICT_DROP_BAD_HEADER;
	quote->source = address_of_ipv4(ip->saddr);
	quote->destination = address_of_ipv4(ip->daddr);
	quote->protocol = ip->protocol;
	quote->transport_offset = quote->offset + header_length;
	quote->transport_length = bpf_ntohs(ip->tot_len) - header_length;
	return ip->frag_off & bpf_htons(IPV4_OFFSET_MASK) ? VERDICT_DROP_FRAGMENT : VERDICT_CONTINUE;
}

static __always_inline enum verdict parse_quoted_ipv6(struct __sk_buff *skb, struct quote *quote)
{
	struct ipv6hdr *ip = bytes_at(skb, quote->offset, sizeof(*ip));
	struct chain *chain = room_for_chain();
	enum verdict verdict;

	if (!ip || !chain)
		return VERDICT_DROP_TRUNCATED;
	if (ip->version != 6)
		return VERDICT_DROP_BAD_HEADER;
	*chain = (struct chain){
		.offset = quote->offset + sizeof(*ip), .length = bpf_ntohs(ip->payload_len), .protocol = ip->nexthdr};
	quote->source = address_of_ipv6(&ip->saddr);
	quote->destination = address_of_ipv6(&ip->daddr);
	verdict = is_extension(chain->protocol) ? skip_extensions(skb) : VERDICT_CONTINUE;
	quote->protocol = chain->protocol;
	quote->transport_offset = chain->offset;
	quote->transport_length = chain->length;
	return !verdict && chain->offset_and_more & FRAGMENT_OFFSET_MASK ? VERDICT_DROP_FRAGMENT : verdict;
}

/* NULL: it quotes no packet that could be told. Options and extension headers of that are skipped. */
static __always_inline const struct quote *parse_quote(const struct packet *packet)
{
	__u32 end = packet->transport_offset + packet->transport_length, needed = 0;
	struct quote *quote = bpf_map_lookup_elem(&quotes, &(__u32){0});
	struct __sk_buff *skb = packet->skb;
	enum verdict verdict;

	if (!quote)
		return NULL;
	__builtin_memset(quote, 0, sizeof(*quote));
	quote->offset = packet->transport_offset + sizeof(struct icmp_header);
	verdict = packet->family == FAMILY_IPV6 ? parse_quoted_ipv6(skb, quote) : parse_quoted_ipv4(skb, quote);
	if (verdict)
		return NULL;
	if (is_named_by_header(quote->protocol))
		needed = QUOTED_TRANSPORT_MIN;
	if (quote->protocol == IPPROTO_GRE && quote->transport_length < QUOTED_TRANSPORT_MIN)
		needed = 0;                         /* it has no more: its own header is 4 bytes */
	if (quote->transport_offset + needed > end) /* what follows is padding */
		return NULL;
	return parse_ports(skb, quote->transport_offset, quote->protocol, &quote->ports) ? NULL : quote;
}

#endif
