/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is known of a packet, and what of its bytes is there? Bounds checks live here and in rewrite.bpf.h only. */
#ifndef CAUSEWAY_PACKET_BPF_H
#define CAUSEWAY_PACKET_BPF_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/if_packet.h>
#include <bpf/bpf_endian.h>

#include "maps.bpf.h"

#define VLAN_ID 0xfff   /* of skb->vlan_tci */
#define HEADERS_MAX 768 /* no header that is read begins further in; the verifier wants a bound */

/* Network order. ICMP queries have their identifier as source, replies as destination: see struct flow_key. */
struct ports {
	__be16 source, destination;
	__u8 icmp; /* enum icmp_kind */
};

struct packet {
	struct __sk_buff *skb;
	struct address source, destination;
	struct ports ports;
	__u16 transport_offset; /* from the start of the frame, as is every offset here */
	__u16 fragment_header;  /* of IPv6; 0: there is none */
	__u16 segment_length;   /* L3 bytes of the packet, or of each that it will be cut into */
	__u16 fragment_offset;  /* bytes; 0 in a whole packet and in the first fragment */
	__u32 transport_length; /* bytes of the packet from there on, without padding */
	__u32 seen;             /* enum flow_seen, of this segment */
	__be32 identification;  /* as in struct fragment_key */
	__u8 family;            /* enum family */
	__u8 protocol;
	__u8 type_of_service;
	__u8 ttl;
	__u8 refused_code; /* with DROP_EXTENSION_HEADER: enum problem_code, about what is at transport_offset */
	bool more_fragments;
	bool dont_fragment;
	bool at_egress;               /* of the device that the program is attached to */
	bool forwarded;               /* by the host's stack, to a sandbox */
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

/* The kernel's own header for ARP needs a C library, so this is written out. */

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

static __always_inline bool is_fragment(const struct packet *packet)
{
	return packet->more_fragments || packet->fragment_offset;
}

static __always_inline struct address address_of_ipv4(__be32 address)
{
	return (struct address){{0, 0, bpf_htonl(0xffff), address}};
}

/* RFC 4291, section 2.5.5.2: so no packet of IPv6 may have one, or it would be taken for the other family's. */
static __always_inline bool is_ipv4_mapped(const struct address *address)
{
	return !(address->word[0] | address->word[1]) && address->word[2] == bpf_htonl(0xffff);
}

/* None: "::"; of IPv4 0.0.0.0 is an address like any other. */
static __always_inline bool is_unspecified(const struct address *address)
{
	return !(address->word[0] | address->word[1] | address->word[2] | address->word[3]);
}

/* Makes it 0.0.0.0 or ::, of the family that it has. */
static __always_inline void unspecify(struct address *address)
{
	if (!is_ipv4_mapped(address))
		address->word[0] = address->word[1] = address->word[2] = 0;
	address->word[3] = 0;
}

/* 0.0.0.0 or ::. */
static __always_inline bool is_none(const struct address *address)
{
	return !(address->word[0] | address->word[1] | address->word[3]) &&
	       (!address->word[2] || is_ipv4_mapped(address));
}

/*
 * 0.0.0.0, :: and loopback addresses, which are never seen outside of a host: RFC 1122, section 3.2.1.3; RFC 4291,
 * sections 2.5.2 and 2.5.3. A function of its own to the verifier.
 */
__noinline int is_of_no_link(const struct address *address)
{
	if (!address || is_none(address))
		return true;
	if (is_ipv4_mapped(address))
		return (address->word[3] & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
	return !(address->word[0] | address->word[1] | address->word[2]) && address->word[3] == bpf_htonl(1);
}

/* RFC 4291, section 2.5.6: no router forwards what has one. */
static __always_inline bool is_link_local(const struct address *address)
{
	return (address->word[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000);
}

/* The link-local address of whoever has that MAC: the interface identifier is made of it (RFC 4291, appendix A). */
static __always_inline bool is_link_local_of(const struct address *address, const __u8 *mac)
{
	return address->word[0] == bpf_htonl(0xfe800000) && !address->word[1] &&
	       address->word[2] == bpf_htonl((mac[0] ^ 2U) << 24 | mac[1] << 16 | mac[2] << 8 | 0xff) &&
	       address->word[3] == bpf_htonl(0xfe000000U | mac[3] << 16 | mac[4] << 8 | mac[5]);
}

/* RFC 1112, section 4, and RFC 919, section 7; RFC 4291, section 2.7. */
static __always_inline bool is_multicast(const struct address *address)
{
	if (!is_ipv4_mapped(address))
		return (address->word[0] & bpf_htonl(0xff000000)) == bpf_htonl(0xff000000);
	return (address->word[3] & bpf_htonl(0xf0000000)) == bpf_htonl(0xe0000000) ||
	       address->word[3] == bpf_htonl(0xffffffff);
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

	if (!__builtin_constant_p(offset)) /* so that the compiler leaves the bound where the verifier sees it */
		asm volatile("" : "+r"(offset));
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

/* How many packets it is on the wire. What comes off a tap has a size of its segments, and no count. */
static __always_inline __u32 segments_of(const struct __sk_buff *skb)
{
	__u32 size = skb->gso_size;

	if (skb->gso_segs || !size)
		return skb->gso_segs ? skb->gso_segs : 1;
	return (skb->len + size - 1) / size;
}

#endif
