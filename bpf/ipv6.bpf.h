/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What do an IPv6 header and those that extend it say? RFC 8200, sections 3 and 4. Options are skipped, not read. */
#ifndef CAUSEWAY_IPV6_BPF_H
#define CAUSEWAY_IPV6_BPF_H

#include <linux/ipv6.h>

#include "packet.bpf.h"

#define EXTENSION_HEADERS_MAX 6 /* as many as section 4.1 has in a packet, of those that are read here */
#define EXTENSION_BYTES_MAX 256 /* of all of them */
#define EXTENSION_UNIT 8

#define FRAGMENT_OFFSET_MASK 0xfff8
#define FRAGMENT_MORE 1

/* Codes of the ICMPv6 parameter problem: RFC 4443, section 3.4; RFC 8883, section 2. */
enum problem_code {
	PROBLEM_HEADER_FIELD = 0,
	PROBLEM_CHAIN_TOO_LONG = 7,
	PROBLEM_TOO_MANY_HEADERS = 8,
};

/* Section 4.5. */
struct fragment_header {
	__u8 next_header, reserved;
	__be16 offset_and_more;
	__be32 identification;
};

/* Those whose second byte is their length. Mobility and others that only ever come last count as protocols, as does AH.
 */
static __always_inline bool is_extension(__u8 protocol)
{
	return protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_ROUTING || protocol == IPPROTO_DSTOPTS ||
	       protocol == IPPROTO_FRAGMENT;
}

static __always_inline enum verdict refuse_extension(struct chain *chain, enum problem_code code)
{
	chain->refused_code = code;
	return VERDICT_DROP_EXTENSION_HEADER;
}

/* The room for one packet's headers; never NULL, but for the verifier. */
static __always_inline struct chain *room_for_chain(void)
{
	return bpf_map_lookup_elem(&chains, &(__u32){0});
}

/* Section 4.5: of each fragment but the first, what follows the header is no header. */
static __always_inline void note_fragment(struct chain *chain, const struct fragment_header *header)
{
	chain->fragment_header = chain->offset;
	chain->identification = header->identification;
	chain->offset_and_more = bpf_ntohs(header->offset_and_more);
}

/*
 * Skips one. A routing header that is not done with names another destination than the first header does, and could
 * send the packet to and fro (RFC 5095).
 */
static __always_inline enum verdict skip_extension(struct __sk_buff *skb, struct chain *chain)
{
	__u8 *header = bytes_at(skb, chain->offset, EXTENSION_UNIT);
	__u32 length;

	if (!header || chain->length < EXTENSION_UNIT)
		return VERDICT_DROP_TRUNCATED;
	length = chain->protocol == IPPROTO_FRAGMENT ? EXTENSION_UNIT : (header[1] + 1) * EXTENSION_UNIT;
	if (length > chain->length)
		return VERDICT_DROP_TRUNCATED;
	if (chain->protocol == IPPROTO_ROUTING && header[3])
		return refuse_extension(chain, PROBLEM_HEADER_FIELD);
	if (chain->protocol == IPPROTO_FRAGMENT) {
		if (chain->fragment_header)
			return refuse_extension(chain, PROBLEM_HEADER_FIELD);
		note_fragment(chain, (void *)header);
	}
	chain->protocol = header[0];
	chain->offset += length;
	chain->length -= length;
	return VERDICT_CONTINUE;
}

/* Of the chain there is room for. A function of its own to the verifier, as an ICMPv6 error quotes another chain. */
__noinline int skip_extensions(struct __sk_buff *skb)
{
	struct chain *chain = room_for_chain();
	enum verdict verdict;
	__u32 end;

	if (!chain)
		return VERDICT_DROP_TRUNCATED;
	end = chain->offset + EXTENSION_BYTES_MAX;
	for (int i = 0; i < EXTENSION_HEADERS_MAX; i++) {
		if (!is_extension(chain->protocol) || chain->offset_and_more & FRAGMENT_OFFSET_MASK)
			return VERDICT_CONTINUE;
		if (chain->protocol == IPPROTO_HOPOPTS && i) /* section 4.1: it only comes first */
			return refuse_extension(chain, PROBLEM_HEADER_FIELD);
		verdict = skip_extension(skb, chain);
		if (verdict)
			return verdict;
		if (chain->offset > end)
			return refuse_extension(chain, PROBLEM_CHAIN_TOO_LONG);
	}
	if (!is_extension(chain->protocol) || chain->offset_and_more & FRAGMENT_OFFSET_MASK)
		return VERDICT_CONTINUE;
	return refuse_extension(chain, PROBLEM_TOO_MANY_HEADERS);
}

static __always_inline struct address address_of_ipv6(const struct in6_addr *address)
{
	const __be32 *word = address->in6_u.u6_addr32;

	return (struct address){{word[0], word[1], word[2], word[3]}};
}

static __always_inline void take_chain(struct packet *packet, const struct chain *chain)
{
	packet->transport_offset = chain->offset;
	packet->transport_length = chain->length;
	packet->fragment_header = chain->fragment_header;
	packet->identification = chain->identification;
	packet->fragment_offset = chain->offset_and_more & FRAGMENT_OFFSET_MASK;
	packet->more_fragments = chain->offset_and_more & FRAGMENT_MORE;
	packet->protocol = chain->protocol;
	packet->refused_code = chain->refused_code;
}

static __always_inline enum verdict parse_ipv6(struct __sk_buff *skb, struct packet *packet)
{
	struct ipv6hdr *ip = bytes_at(skb, ETH_HLEN, sizeof(*ip));
	__u32 present = skb->len - ETH_HLEN, total_length;
	struct chain *chain = room_for_chain();
	enum verdict verdict;

	if (!ip || !chain)
		return VERDICT_DROP_TRUNCATED;
	total_length = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	if (!ip->payload_len && present > 0xffff)
		total_length = present; /* segmentation offload beyond 64 KiB */
	packet->source = address_of_ipv6(&ip->saddr);
	packet->destination = address_of_ipv6(&ip->daddr);
	if (ip->version != 6 || is_ipv4_mapped(&packet->source) || is_ipv4_mapped(&packet->destination))
		return VERDICT_DROP_BAD_HEADER;
	if (total_length > present)
		return VERDICT_DROP_TRUNCATED;
	packet->family = FAMILY_IPV6;
	packet->type_of_service = ip->priority << 4 | ip->flow_lbl[0] >> 4;
	packet->ttl = ip->hop_limit;
	packet->dont_fragment = true; /* no router fragments: section 4.5 */
	packet->segment_length = total_length;
	*chain = (struct chain){
		.offset = ETH_HLEN + sizeof(*ip), .length = total_length - sizeof(*ip), .protocol = ip->nexthdr};
	verdict = is_extension(chain->protocol) ? skip_extensions(skb) : VERDICT_CONTINUE;
	take_chain(packet, chain);
	return verdict;
}

#endif
