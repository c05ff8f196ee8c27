/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Is this a DHCP client's message that its sandbox may send, or a server's answer, and to which sandbox? Of sandboxes
 * alone whose address a server gives (LINK_DHCP). The server, or a relay, is on the host, at the gateway device. RFC
 * 2131.
 */
#ifndef CAUSEWAY_DHCP_BPF_H
#define CAUSEWAY_DHCP_BPF_H

#include <linux/udp.h>

#include "deliver.bpf.h"
#include "endpoint.bpf.h"
#include "guard.bpf.h"
#include "link_local.bpf.h"
#include "packet.bpf.h"
#include "parse.bpf.h"

/* Ports of servers and clients: RFC 2131, section 4.1; RFC 8415, section 7.2. */
enum dhcp_port {
	DHCP_SERVER = 67,
	DHCP_CLIENT = 68,
	DHCPV6_CLIENT = 546,
	DHCPV6_SERVER = 547,
};

enum dhcp_operation { DHCP_REQUEST = 1, DHCP_REPLY = 2 };

/* The head of a message, behind its UDP header: RFC 2131, section 2. */
struct dhcp_message {
	struct udphdr udp;
	__u8 operation;        /* enum dhcp_operation */
	__u8 hardware, length; /* of the client's address: 1 and 6 for Ethernet */
	__u8 hops;
	__be32 transaction;
	__be16 seconds, flags;
	__be32 client, your, server, relay;
	__u8 client_mac[16];
};

static __always_inline bool is_dhcp(__be16 port)
{
	__u16 number = bpf_ntohs(port);

	return number == DHCP_SERVER || number == DHCP_CLIENT || number == DHCPV6_CLIENT || number == DHCPV6_SERVER;
}

/*
 * NULL: it is none, or not all of one packet and no other: what is still to be cut up (UDP's segmentation offload) has
 * more of them. Whoever asks has parsed the IP headers.
 */
static __always_inline struct dhcp_message *dhcp_message_in(struct __sk_buff *skb, const struct packet *packet)
{
	struct dhcp_message *message;

	if (packet->family != FAMILY_IPV4 || packet->protocol != IPPROTO_UDP || is_fragment(packet) || skb->gso_size ||
	    packet->transport_length < sizeof(*message))
		return NULL;
	message = bytes_at(skb, packet->transport_offset, sizeof(*message));
	if (!message || message->hardware != ARP_HARDWARE_ETHERNET || message->length != ETH_ALEN)
		return NULL;
	return message;
}

/* Of the addresses that somebody has; what a server offers to it, nobody has yet. */
static __always_inline bool is_anothers_address(__be32 raw, const struct sandbox *sandbox)
{
	struct address address = address_of_ipv4(raw);

	return endpoint_at(&address) && !is_own_address(&address, sandbox);
}

/*
 * A client speaks for itself alone: nobody asks for, gives back or uses up addresses in another's name, and nobody
 * plays relay, whose word would say which subnet the client is in.
 */
static __always_inline bool is_dhcp_of(const struct dhcp_message *message, const struct sandbox *sandbox)
{
	return message->operation == DHCP_REQUEST && !message->relay &&
	       same_mac(message->client_mac, sandbox->link.mac) && !is_anothers_address(message->client, sandbox);
}

#define DHCP_BROADCAST bpf_htons(0x8000) /* of the message's flags */

/*
 * Has a server answer by broadcast whom it does not take to have an address yet: RFC 2131, section 4.1. Else it may
 * tell the kernel a neighbour's MAC first (dnsmasq, also where a client that renews names its server), and that the
 * kernel forgets after some seconds, without asking anew: the gateway device has no ARP. Nor may anybody hear an offer
 * who has that address.
 */
static __always_inline enum verdict ask_for_broadcast(struct __sk_buff *skb, __u32 udp_offset,
						      const struct dhcp_message *message)
{
	struct change change = {.from = message->flags, .to = message->flags | DHCP_BROADCAST};

	if (change.from == change.to)
		return VERDICT_CONTINUE;
	return rewrite_payload(skb, udp_offset, udp_offset + OFFSET_OF(struct dhcp_message, flags), change);
}

/*
 * What one sends to a server's port by unicast is its own message, as to_dhcp_server has it, or is dropped. Of
 * what goes the long way: all that is for the host, and what opens a flow to the world. CONTINUE: it may go on. A
 * function of its own to the verifier, so it reads the packet anew; the answer is an enum verdict.
 */
__noinline int refuse_dhcp_for_another(struct __sk_buff *skb)
{
	const struct sandbox *sandbox = sandbox_behind(skb->ifindex);
	struct packet packet = {.skb = skb};
	const struct dhcp_message *message;
	struct udphdr *udp;

	if (!sandbox || parse_ip(&packet) || packet.protocol != IPPROTO_UDP || packet.fragment_offset)
		return VERDICT_CONTINUE;
	udp = bytes_at(skb, packet.transport_offset, sizeof(*udp));
	if (!udp || udp->dest != bpf_htons(DHCP_SERVER))
		return VERDICT_CONTINUE;
	message = dhcp_message_in(skb, &packet);
	if (!message || !is_dhcp_of(message, sandbox))
		return VERDICT_DROP_BAD_DHCP;
	if (!within_group_rate(sandbox, 1))
		return VERDICT_DROP_MULTICAST_RATE;
	return ask_for_broadcast(skb, packet.transport_offset, message);
}

/*
 * What a client says to all, before it has its address and afterwards, goes to the host alone, as the gateway device's.
 * CONTINUE: it is no client's message. A function of its own to the verifier; the answer is an enum verdict.
 */
__noinline int to_dhcp_server(struct __sk_buff *skb, struct packet *packet)
{
	const struct sandbox *sandbox = sandbox_behind(skb->ifindex);
	const struct dhcp_message *message;
	enum verdict verdict;

	if (!sandbox || !packet || !is_ipv4_mapped(&packet->destination) ||
	    packet->destination.word[3] != bpf_htonl(0xffffffff))
		return VERDICT_CONTINUE;
	message = dhcp_message_in(skb, packet);
	if (!message || message->udp.source != bpf_htons(DHCP_CLIENT) || message->udp.dest != bpf_htons(DHCP_SERVER))
		return VERDICT_CONTINUE;
	if (!is_dhcp_of(message, sandbox))
		return VERDICT_DROP_BAD_DHCP;
	if (!is_none(&packet->source) && !is_own_address(&packet->source, sandbox))
		return VERDICT_DROP_SPOOFED_ADDRESS;
	if (!within_group_rate(sandbox, 1))
		return VERDICT_DROP_MULTICAST_RATE;
	verdict = ask_for_broadcast(skb, packet->transport_offset, message);
	return verdict ? verdict : deliver_to_host(sandbox->gateway_ifindex);
}

struct client_search {
	__u8 mac[ETH_ALEN];
	__u16 reserved;
	__u32 gateway_ifindex;
	__u32 found; /* ifindex of its host end */
};

static long compare_client(const void *map __attribute__((unused)), const __u32 *ifindex, const struct sandbox *sandbox,
			   struct client_search *search)
{
	if (sandbox->gateway_ifindex != search->gateway_ifindex || !(sandbox->link.flags & LINK_DHCP) ||
	    !same_mac(sandbox->link.mac, search->mac))
		return 0;
	search->found = *ifindex;
	return 1;
}

/*
 * What a server of the host's says to all or to the address that it offers, which no sandbox has yet, is for the one
 * whose MAC it names. Nobody keeps a table of those: it is a walk through all sandboxes, which one can cause only as
 * often as it may ask. CONTINUE: it is none such. As above.
 */
__noinline int from_dhcp_server(struct __sk_buff *skb, struct packet *packet)
{
	struct client_search search = {.gateway_ifindex = skb->ifindex};
	const struct dhcp_message *message;
	const struct sandbox *sandbox;

	message = packet ? dhcp_message_in(skb, packet) : NULL;
	if (!message || message->udp.source != bpf_htons(DHCP_SERVER) || message->udp.dest != bpf_htons(DHCP_CLIENT) ||
	    message->operation != DHCP_REPLY)
		return VERDICT_CONTINUE;
	__builtin_memcpy(search.mac, message->client_mac, ETH_ALEN);
	bpf_for_each_map_elem(&sandboxes, compare_client, &search, 0);
	sandbox = search.found ? sandbox_behind(search.found) : NULL;
	return sandbox ? deliver_through_link(skb, &sandbox->link) : VERDICT_CONTINUE;
}

#endif
