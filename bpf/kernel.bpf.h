/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What does the kernel know of a packet, and of where it is, that the programs' context does not tell? */
#ifndef CAUSEWAY_KERNEL_BPF_H
#define CAUSEWAY_KERNEL_BPF_H

#include <bpf/bpf_core_read.h>

#include "packet.bpf.h"

/* The kernel's own, as far as they are read here; the loader finds where the fields are. */

struct netns_ipv4 {
	struct {
		int counter;
	} rt_genid;
} __attribute__((preserve_access_index));

struct fib_rules_ops {
	unsigned int fib_rules_seq;
} __attribute__((preserve_access_index));

struct rt6_statistics {
	__u32 fib_discarded_routes;
} __attribute__((preserve_access_index));

struct netns_ipv6 {
	struct {
		int counter;
	} dev_addr_genid, fib6_sernum;
	struct rt6_statistics *rt6_stats;
	bool fib6_has_custom_rules;
	unsigned int fib6_routes_require_src;
	struct fib_rules_ops *fib6_rules_ops;
} __attribute__((preserve_access_index));

struct net {
	struct netns_ipv4 ipv4;
	struct netns_ipv6 ipv6;
} __attribute__((preserve_access_index));

struct net_device {
	struct {
		struct net *net;
	} nd_net;
} __attribute__((preserve_access_index));

struct sk_buff {
	struct net_device *dev;
	__u8 ip_summed : 2;
	__u16 csum_start, csum_offset; /* from the head on, and from there on */
	unsigned char *head, *data;
} __attribute__((preserve_access_index));

/* ip_summed: include/linux/skbuff.h, "Checksumming of packets". */
#define CHECKSUM_COMPLETE 2
#define CHECKSUM_PARTIAL 3

extern void *bpf_cast_to_kern_ctx(void *skb) __ksym __weak; /* from Linux 6.2 on */

/* NULL: this kernel does not tell. */
static __always_inline struct sk_buff *kernels_own(struct __sk_buff *skb)
{
	return bpf_cast_to_kern_ctx ? bpf_cast_to_kern_ctx(skb) : NULL;
}

/*
 * What the kernel counts whenever a route, rule, address, device or setting has changed that routes depend on, and so
 * what it holds its own kept routes against. Of IPv6 it counts routes that come, routes that go and rules apart,
 * and what happens to a device with IPv4's; each only grows. False: this kernel does not tell.
 */
static __always_inline bool route_generation(const struct packet *packet, __u32 *generation)
{
	struct sk_buff *own = kernels_own(packet->skb);
	struct net *net;

	if (!own)
		return false;
	net = own->dev->nd_net.net;
	*generation = net->ipv4.rt_genid.counter;
	if (packet->family == FAMILY_IPV4)
		return true;
	if (!bpf_core_field_exists(net->ipv6.fib6_rules_ops) || !bpf_core_field_exists(net->ipv6.fib6_sernum))
		return false;
	*generation += net->ipv6.fib6_sernum.counter + net->ipv6.rt6_stats->fib_discarded_routes +
		       net->ipv6.fib6_rules_ops->fib_rules_seq;
	return true;
}

/*
 * The same with what happens to addresses, deprecation too, for what the kernel names as an IPv6 packet's source by its
 * destination. False where the kernel does not tell, or has rules or routes (CONFIG_IPV6_SUBTREES) that may ask for
 * more.
 */
static __always_inline bool source_generation(struct __sk_buff *skb, __u32 *generation)
{
	struct sk_buff *own = kernels_own(skb);
	struct net *net;

	if (!own)
		return false;
	net = own->dev->nd_net.net;
	if (!bpf_core_field_exists(net->ipv6.fib6_has_custom_rules) || net->ipv6.fib6_has_custom_rules)
		return false;
	if (bpf_core_field_exists(net->ipv6.fib6_routes_require_src) && net->ipv6.fib6_routes_require_src)
		return false;
	*generation += net->ipv6.dev_addr_genid.counter;
	return true;
}

/* Whether a sum of the whole packet is kept beside it, which its device has made; or may be. */
static __always_inline bool is_summed(struct __sk_buff *skb)
{
	struct sk_buff *own = kernels_own(skb);

	return !own || BPF_CORE_READ_BITFIELD(own, ip_summed) == CHECKSUM_COMPLETE;
}

#define NOWHERE 0xffffffff

/* Where in the frame a checksum is still to be made and written, whatever it may be of. */
static __always_inline __u32 place_to_be_written(struct __sk_buff *skb)
{
	struct sk_buff *own = kernels_own(skb);

	if (!own || BPF_CORE_READ_BITFIELD(own, ip_summed) != CHECKSUM_PARTIAL)
		return NOWHERE;
	return own->csum_start + own->csum_offset - (__u32)((__u64)own->data - (__u64)own->head);
}

/*
 * Whether the checksum at that place of the frame is still to be made, by a device, from what is there: the pseudo
 * header's. What is to be made may also be that of a packet inside this one's payload (a tunnel's).
 */
static __always_inline bool is_to_be_made(struct __sk_buff *skb, __u32 place)
{
	return place_to_be_written(skb) == place;
}

#endif
