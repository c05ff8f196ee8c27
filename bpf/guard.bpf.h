/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* May this sandbox send this? Its source must be its own; its frames go to the gateway's MAC. */
#ifndef CAUSEWAY_GUARD_BPF_H
#define CAUSEWAY_GUARD_BPF_H

#include "endpoint.bpf.h"
#include "packet.bpf.h"

static __always_inline bool same_mac(const __u8 *a, const __u8 *b)
{
	return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3] && a[4] == b[4] && a[5] == b[5];
}

static __always_inline enum verdict guard_link(struct __sk_buff *skb, const struct sandbox *sandbox)
{
	struct ethhdr *ethernet = bytes_at(skb, 0, ETH_HLEN);

	if (!ethernet)
		return VERDICT_DROP_TRUNCATED;
	if (skb->vlan_present) /* beside the frame, where it would leave by an uplink into somebody else's VLAN */
		return VERDICT_DROP_ETHERTYPE;
	if (!same_mac(ethernet->h_source, sandbox->link.mac))
		return VERDICT_DROP_SPOOFED_MAC;
	return VERDICT_CONTINUE;
}

/*
 * To more than one receiver, by MAC (the lowest bit of the first byte: IEEE 802, section 8.2) or by address, since
 * either may be forged to look like the other kind.
 */
static __always_inline bool is_group(const struct packet *packet, const struct ethhdr *ethernet)
{
	return ethernet->h_dest[0] & 1 || is_multicast(&packet->destination);
}

/*
 * Whether the host's stack has it from somebody else. The pieces that it makes of a packet of IPv6 may not say where
 * that came in; what the host itself sends in pieces is a socket's.
 */
static __always_inline bool is_forwarded(const struct packet *packet)
{
	return packet->skb->ingress_ifindex || (packet->fragment_header && !packet->skb->sk);
}

/* What the host sends: its gateway device is no place for broadcasts either. */
static __always_inline enum verdict guard_host(const struct packet *packet)
{
	struct ethhdr *ethernet = bytes_at(packet->skb, 0, ETH_HLEN);

	if (!ethernet)
		return VERDICT_DROP_TRUNCATED;
	return is_group(packet, ethernet) ? VERDICT_DROP_MULTICAST : VERDICT_CONTINUE;
}

/* The first of each family is at hand; a sandbox without any has all zero there, which nobody may send from. */
static __always_inline bool is_own_address(const struct address *address, const struct sandbox *sandbox)
{
	const struct endpoint *endpoint;

	if (same_address(address, &sandbox->address[FAMILY_IPV4]))
		return !is_unspecified(address);
	if (same_address(address, &sandbox->address[FAMILY_IPV6]))
		return !is_unspecified(address);
	endpoint = sandbox_endpoint_at(address);
	return endpoint && endpoint->link.ifindex == sandbox->link.ifindex;
}

/* What hosts say to a group before, and beside, having an address of their own: RFC 3590, section 4. */
static __always_inline bool is_link_scoped(const struct packet *packet)
{
	return packet->family == FAMILY_IPV6 && (is_unspecified(&packet->source) || is_link_local(&packet->source)) &&
	       is_multicast(&packet->destination);
}

/* For IP only: ARP requests are broadcast. */
static __always_inline enum verdict guard_network(const struct packet *packet, const struct sandbox *sandbox)
{
	struct ethhdr *ethernet = bytes_at(packet->skb, 0, ETH_HLEN);

	if (!ethernet)
		return VERDICT_DROP_TRUNCATED;
	if (!is_own_address(&packet->source, sandbox))
		return is_link_scoped(packet) ? VERDICT_DROP_MULTICAST : VERDICT_DROP_SPOOFED_ADDRESS;
	if (is_group(packet, ethernet))
		return VERDICT_DROP_MULTICAST;
	if (!same_mac(ethernet->h_dest, sandbox->link.gateway_mac))
		return VERDICT_DROP_NOT_GATEWAY_MAC;
	return VERDICT_CONTINUE;
}

/* A probe for a duplicate address has no sender address yet (RFC 5227, section 2.1.1). */
static __always_inline enum verdict guard_arp(const struct arp_ipv4 *arp, const struct sandbox *sandbox)
{
	struct address sender = address_of_ipv4(arp->sender);

	if (!same_mac(arp->sender_mac, sandbox->link.mac))
		return VERDICT_DROP_SPOOFED_ARP;
	if (arp->sender && !is_own_address(&sender, sandbox))
		return VERDICT_DROP_SPOOFED_ARP;
	return VERDICT_CONTINUE;
}

#endif
