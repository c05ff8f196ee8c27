/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Was such a packet sent on a moment ago? Then this one goes the same way, and nothing is looked up: the first look-up
 * in a hash table of the kernel's costs a packet more than most of what is done with it. What was decided holds for one
 * tick of the kernel's clock (1 to 10 ms) on the CPU that has decided it. So what the control plane changes, or another
 * packet, holds from the next tick on at the latest, and nobody has to say that it has changed.
 */
#ifndef CAUSEWAY_RECENT_BPF_H
#define CAUSEWAY_RECENT_BPF_H

#include "ipv4.bpf.h"
#include "ipv6.bpf.h"
#include "maps.bpf.h"
#include "packet.bpf.h"

/* So that each bit of a key has a part in the place. Odd, so that none is lost. */
#define MIX_1 0x9e3779b1
#define MIX_2 0x85ebca6b
#define MIX_3 0x27d4eb2f

static __always_inline bool same_macs(const __be16 *a, const __be16 *b)
{
	return !((a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3]) | (a[4] ^ b[4]) | (a[5] ^ b[5]));
}

static __always_inline struct recent_peer *place_of_peer(__u32 ifindex, __be32 destination)
{
	__u32 mixed = ifindex * MIX_1 ^ bpf_ntohl(destination) * MIX_2;
	__u32 place = mixed >> 16 & (RECENT_MAX - 1);

	return bpf_map_lookup_elem(&recent_peers, &place);
}

/* Of a whole packet without options: all else that the parser and the guards ask is of the addresses and MACs. */
static __always_inline const struct recent_peer *recent_peer_by_ipv4(struct __sk_buff *skb, const struct iphdr *ip)
{
	__u32 length = bpf_ntohs(ip->tot_len);
	const struct recent_peer *recent;

	if (*(const __u8 *)ip != 0x45 || ip->frag_off & bpf_htons((__u16)~IPV4_DF) || length < sizeof(*ip) ||
	    length > skb->len - ETH_HLEN)
		return NULL;
	recent = place_of_peer(skb->ifindex, ip->daddr);
	return recent && recent->source.word[3] == ip->saddr && recent->destination.word[3] == ip->daddr ? recent
													 : NULL;
}

/* Likewise; others than these two may be neighbour discovery, or begin with a chain of headers. */
static __always_inline const struct recent_peer *recent_peer_by_ipv6(struct __sk_buff *skb, const struct ipv6hdr *ip)
{
	const struct address *source = (const void *)&ip->saddr, *destination = (const void *)&ip->daddr;
	__u32 length = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	const struct recent_peer *recent;

	if (ip->version != 6 || (ip->nexthdr != IPPROTO_TCP && ip->nexthdr != IPPROTO_UDP) || !ip->payload_len ||
	    length > skb->len - ETH_HLEN)
		return NULL;
	recent = place_of_peer(skb->ifindex, destination->word[3]);
	return recent && same_address(&recent->source, source) && same_address(&recent->destination, destination)
		       ? recent
		       : NULL;
}

/* The sandbox that such a packet went to in this tick, or NULL. */
static __always_inline const struct recent_peer *recent_peer(struct __sk_buff *skb)
{
	void *start = frame_start(skb), *end = frame_end(skb);
	const struct iphdr *ipv4 = start + ETH_HLEN;
	const struct ipv6hdr *ipv6 = start + ETH_HLEN;
	const struct recent_peer *recent = NULL;

	if ((void *)(ipv4 + 1) > end || skb->vlan_present)
		return NULL;
	if (skb->protocol == bpf_htons(ETH_P_IP))
		recent = recent_peer_by_ipv4(skb, ipv4);
	else if (skb->protocol == bpf_htons(ETH_P_IPV6) && (void *)(ipv6 + 1) <= end)
		recent = recent_peer_by_ipv6(skb, ipv6);
	if (!recent || recent->tick != bpf_jiffies64() || recent->ifindex != skb->ifindex ||
	    recent->ethertype != skb->protocol || !same_macs(recent->macs, start))
		return NULL;
	return recent;
}

/* Before the frame is changed; slot: of the sandbox that sends, or CAUSEWAY_WORLD_SLOT. */
static __always_inline void note_peer(const struct packet *packet, __u16 slot, const struct sandbox_link *to)
{
	struct recent_peer *recent = place_of_peer(packet->skb->ifindex, packet->destination.word[3]);
	struct ethhdr *ethernet = bytes_at(packet->skb, 0, ETH_HLEN);

	if (!recent || !ethernet)
		return;
	recent->tick = bpf_jiffies64();
	recent->source = packet->source;
	recent->destination = packet->destination;
	recent->ifindex = packet->skb->ifindex;
	recent->ethertype = packet->skb->protocol;
	recent->slot = slot;
	__builtin_memcpy(recent->macs, ethernet, sizeof(recent->macs));
	recent->to = *to;
}

static __always_inline struct recent_flow *place_of_flow(const struct flow_key *key)
{
	__u32 ports = (__u32)key->source_port << 16 | key->destination_port;
	__u32 mixed = (key->scope ^ bpf_ntohl(key->source.word[3])) * MIX_1 ^
		      bpf_ntohl(key->destination.word[3]) * MIX_2 ^ ports * MIX_3;
	__u32 place = mixed >> 16 & (RECENT_MAX - 1);

	return bpf_map_lookup_elem(&recent_flows, &place);
}

static __always_inline bool same_key(const struct flow_key *a, const struct flow_key *b)
{
	return same_address(&a->source, &b->source) && same_address(&a->destination, &b->destination) &&
	       a->source_port == b->source_port && a->destination_port == b->destination_port && a->scope == b->scope &&
	       a->protocol == b->protocol;
}

/* A packet that tells its flow nothing new: neither begins nor ends a connection. */
static __always_inline bool is_amid_flow(const struct packet *packet)
{
	return packet->protocol == IPPROTO_TCP ? packet->seen == SEEN_ACK : packet->protocol == IPPROTO_UDP;
}

/*
 * The entry of the packet's flow as it was in this tick, or NULL. Of what a sandbox sends the frame is the same too.
 * Behind what begins or ends a connection nothing holds.
 */
static __always_inline const struct flow *recent_flow(const struct packet *packet, const struct flow_key *key)
{
	struct ethhdr *ethernet = bytes_at(packet->skb, 0, ETH_HLEN);
	struct recent_flow *recent = place_of_flow(key);

	if (!recent || !ethernet || recent->tick != bpf_jiffies64() || !same_key(&recent->key, key))
		return NULL;
	if (key->scope && !same_macs(recent->macs, (const __be16 *)ethernet))
		return NULL;
	if (!is_amid_flow(packet)) {
		recent->tick = 0;
		return NULL;
	}
	return &recent->entry;
}

/* Before the frame is changed, and behind note_segment: what follows in this tick would change nothing in the entry. */
static __always_inline void note_flow(const struct packet *packet, const struct flow_key *key, const struct flow *flow)
{
	struct recent_flow *recent = is_amid_flow(packet) ? place_of_flow(key) : NULL;
	struct ethhdr *ethernet = bytes_at(packet->skb, 0, ETH_HLEN);

	if (!recent || !ethernet)
		return;
	recent->tick = bpf_jiffies64();
	recent->key = *key;
	__builtin_memcpy(recent->macs, ethernet, sizeof(recent->macs));
	recent->entry = *flow;
}

#endif
