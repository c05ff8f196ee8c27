/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who has this IPv6 address? Neighbour discovery answered on the asker's own link (RFC 4861), as arp.bpf.h does. */
#ifndef CAUSEWAY_ND_BPF_H
#define CAUSEWAY_ND_BPF_H

#include "checksum.bpf.h"
#include "endpoint.bpf.h"
#include "guard.bpf.h"
#include "link_local.bpf.h"
#include "parse.bpf.h"
#include "rewrite.bpf.h"

#define ND_HOP_LIMIT 255 /* so that no router has passed it on: RFC 4861, section 7.1 */
#define ND_UNIT 8
#define ND_OPTIONS_MAX 12 /* units; a stack sends one or two */
#define ND_BYTES_MAX (sizeof(struct nd_message) + ND_OPTIONS_MAX * ND_UNIT)
#define ND_SOURCE_LINK 1 /* options: section 4.6.1 */
#define ND_TARGET_LINK 2
#define ND_ROUTER 0x80000000 /* flags: section 4.4 */
#define ND_SOLICITED 0x40000000
#define ND_OVERRIDE 0x20000000

/* Section 4.6; all that are read are of 8 bytes. */
struct nd_option {
	__u8 type, length; /* in units of 8 bytes */
	__u8 mac[ETH_ALEN];
};

/* Sections 4.3 and 4.4: either has an address of which it speaks. */
struct nd_message {
	__u8 type, code;
	__sum16 checksum;
	__be32 flags;
	struct address target;
};

/* As it is read. */
struct solicitation {
	struct address source, destination, target;
	__u32 length; /* of the message and its options */
	__u8 type, hop_limit;
	bool probe; /* for a duplicate address: its sender has none yet (RFC 4862, section 5.4.2) */
};

struct advertisement {
	struct nd_message nd;
	struct nd_option link;
};

/* In the room for a frame, since the stack has none. */
struct nd_work {
	struct solicitation asked;
	struct nd_message message;
	struct nd_option options[ND_OPTIONS_MAX];
	struct advertisement answer;
	struct ipv6hdr ip;
	struct ethhdr ethernet;
};

/* Neighbour discovery of any kind. It has a program's answer or none, but never goes beyond the sandbox's own link. */
static __always_inline bool is_nd(struct packet *packet)
{
	const __u8 *type;

	if (packet->protocol != IPPROTO_ICMPV6 || packet->fragment_offset || packet->family != FAMILY_IPV6)
		return false;
	type = bytes_at(packet->skb, packet->transport_offset, sizeof(*type));
	return type && *type >= ICMPV6_ROUTER_SOLICITATION && *type <= ICMPV6_REDIRECT;
}

/* RFC 4291, section 2.7.1. */
static __always_inline bool is_solicited_node(const struct address *group, const struct address *target)
{
	return group->word[0] == bpf_htonl(0xff020000) && !group->word[1] && group->word[2] == bpf_htonl(1) &&
	       group->word[3] == (target->word[3] | bpf_htonl(0xff000000));
}

struct option_check {
	const struct nd_option *options;
	const __u8 *mac; /* the sender's */
	__u32 count;     /* units that follow the message */
	__u32 next;      /* where an option begins */
	bool probe, bad;
};

/* Whether an option begins at that unit, is there whole, and does not lie about the sender's MAC. */
static long check_option(__u32 unit, struct option_check *check)
{
	const struct nd_option *option;
	bool lies;

	asm volatile("" : "+r"(unit)); /* so that the compiler leaves the bound where the verifier sees it */
	if (unit >= ND_OPTIONS_MAX || unit >= check->count)
		return 1;
	if (unit < check->next)
		return 0;
	option = &check->options[unit];
	lies = option->type == ND_SOURCE_LINK &&
	       (check->probe || option->length != 1 || !same_mac(option->mac, check->mac));
	check->next = unit + option->length;
	check->bad = lies || !option->length || check->next > check->count;
	return check->bad;
}

/* The headers; false: the message does not follow at once, as after a fragment header (RFC 6980, section 5). */
static __always_inline bool read_header(struct __sk_buff *skb, struct solicitation *asked)
{
	struct ipv6hdr *ip = bytes_at(skb, ETH_HLEN, sizeof(*ip) + sizeof(asked->type));

	if (!ip || ip->nexthdr != IPPROTO_ICMPV6)
		return false;
	asked->source = address_of_ipv6(&ip->saddr);
	asked->destination = address_of_ipv6(&ip->daddr);
	asked->length = bpf_ntohs(ip->payload_len);
	asked->hop_limit = ip->hop_limit;
	asked->probe = is_unspecified(&asked->source);
	asked->type = *(__u8 *)(ip + 1);
	return true;
}

/* The message and its options; false: they don't hold. */
static __always_inline bool read_message(struct __sk_buff *skb, struct nd_work *work, const __u8 *mac)
{
	struct solicitation *asked = &work->asked;
	struct option_check check = {.options = work->options, .mac = mac, .probe = asked->probe};
	__u32 length = asked->length;
	__u64 sum;

	__builtin_memset(&work->message, 0, ND_BYTES_MAX);
	asm volatile("" : "+r"(length)); /* so that the compiler leaves the bounds where the verifier sees them */
	if (length < sizeof(work->message) || length > ND_BYTES_MAX || length % ND_UNIT ||
	    bpf_skb_load_bytes(skb, ETH_HLEN + sizeof(struct ipv6hdr), &work->message, length))
		return false;
	asked->target = work->message.target;
	sum = sum_of_pseudo_header(&asked->source, &asked->destination, length, IPPROTO_ICMPV6);
	if (work->message.code || checksum_of(bpf_csum_diff(NULL, 0, (__be32 *)&work->message, ND_BYTES_MAX, sum)))
		return false;
	check.count = (length - sizeof(work->message)) / ND_UNIT;
	bpf_loop(check.count, check_option, &check, 0);
	return !check.bad;
}

/* Sections 7.1.1 and 7.2.3: and nobody speaks for another. */
static __always_inline bool is_honest(const struct solicitation *asked, const struct sandbox *sandbox)
{
	bool to_group = is_solicited_node(&asked->destination, &asked->target);

	if (is_multicast(&asked->target) || !(to_group || same_address(&asked->destination, &asked->target)))
		return false;
	if (asked->probe)
		return to_group;
	if (is_link_local(&asked->source))
		return !is_link_local_of(&asked->source, sandbox->link.gateway_mac);
	return is_own_address(&asked->source, sandbox);
}

/* CONTINUE: the target is there, and not the asker; router: it is the gateway. */
static __always_inline enum verdict find_target(const struct solicitation *asked, const struct sandbox *sandbox,
						bool *router)
{
	const struct endpoint *endpoint;

	*router = is_link_local_of(&asked->target, sandbox->link.gateway_mac);
	if (*router)
		return VERDICT_CONTINUE;
	if (is_link_local(&asked->target))
		return find_member(&asked->target, sandbox);
	endpoint = endpoint_at(&asked->target);
	if (!endpoint || endpoint->link.ifindex == sandbox->link.ifindex)
		return VERDICT_DROP_ND_NO_ANSWER;
	*router = endpoint->kind == ENDPOINT_GATEWAY;
	return is_isolated_from(sandbox, endpoint) ? VERDICT_DROP_ISOLATED : VERDICT_CONTINUE;
}

/* Fills in what the packet becomes: the gateway's MAC is at the target. To a probe it goes to all nodes. */
static __always_inline void prepare_advertisement(struct nd_work *work, const struct sandbox_link *link, bool router)
{
	const struct solicitation *asked = &work->asked;
	__u32 flags = ND_OVERRIDE | (router ? ND_ROUTER : 0) | (asked->probe ? 0 : ND_SOLICITED);
	struct address to =
		asked->probe ? (struct address){{bpf_htonl(0xff020000), 0, 0, bpf_htonl(1)}} : asked->source;

	__builtin_memset(&work->answer, 0, sizeof(work->answer));
	work->answer.nd.type = ICMPV6_NEIGHBOUR_ADVERTISEMENT;
	work->answer.nd.flags = bpf_htonl(flags);
	work->answer.nd.target = asked->target;
	work->answer.link.type = ND_TARGET_LINK;
	work->answer.link.length = 1;
	__builtin_memcpy(work->answer.link.mac, link->gateway_mac, ETH_ALEN);
	work->answer.nd.checksum = checksum_of(
		bpf_csum_diff(NULL, 0, (__be32 *)&work->answer, sizeof(work->answer),
			      sum_of_pseudo_header(&asked->target, &to, sizeof(work->answer), IPPROTO_ICMPV6)));
	__builtin_memset(&work->ip, 0, sizeof(work->ip));
	work->ip.version = 6;
	work->ip.payload_len = bpf_htons(sizeof(work->answer));
	work->ip.nexthdr = IPPROTO_ICMPV6;
	work->ip.hop_limit = ND_HOP_LIMIT;
	__builtin_memcpy(&work->ip.saddr, &asked->target, sizeof(asked->target));
	__builtin_memcpy(&work->ip.daddr, &to, sizeof(to));
	work->ethernet = (struct ethhdr){.h_dest = {0x33, 0x33, 0, 0, 0, 1}, .h_proto = bpf_htons(ETH_P_IPV6)};
	__builtin_memcpy(work->ethernet.h_source, link->gateway_mac, ETH_ALEN);
	if (!asked->probe)
		__builtin_memcpy(work->ethernet.h_dest, link->mac, ETH_ALEN);
}

static __always_inline bool write_advertisement(struct __sk_buff *skb, const struct nd_work *work)
{
	__u32 ip = ETH_HLEN, nd = ip + sizeof(work->ip);

	return !bpf_skb_change_tail(skb, nd + sizeof(work->answer), 0) &&
	       !bpf_skb_store_bytes(skb, 0, &work->ethernet, sizeof(work->ethernet), 0) &&
	       !bpf_skb_store_bytes(skb, ip, &work->ip, sizeof(work->ip), 0) &&
	       !bpf_skb_store_bytes(skb, nd, &work->answer, sizeof(work->answer), 0);
}

/*
 * As with ARP, every address that exists is at the gateway's MAC, and silence is for one that nobody has and for the
 * asker's own: so it learns that its address is no duplicate. The gateway's link-local address exists on each link.
 * Router solicitations stay unanswered: addresses and routes are the runtime's to give. Nobody but the gateway
 * advertises or redirects. A function of its own to the verifier.
 */
__noinline int answer_nd(struct __sk_buff *skb)
{
	const struct sandbox *sandbox = sandbox_behind(skb->ifindex);
	struct held_fragment *room = bpf_map_lookup_elem(&frame_copy, &(__u32){0});
	struct nd_work *work;
	enum verdict verdict;
	bool router;

	if (!sandbox || !room)
		return VERDICT_DROP_UNKNOWN_SANDBOX;
	work = (void *)room->frame;
	if (!read_header(skb, &work->asked))
		return VERDICT_DROP_BAD_ND;
	if (work->asked.type == ICMPV6_ROUTER_SOLICITATION)
		return VERDICT_DROP_ND_NO_ANSWER;
	if (work->asked.type != ICMPV6_NEIGHBOUR_SOLICITATION || work->asked.hop_limit != ND_HOP_LIMIT)
		return VERDICT_DROP_BAD_ND;
	if (!read_message(skb, work, sandbox->link.mac) || !is_honest(&work->asked, sandbox))
		return VERDICT_DROP_BAD_ND;
	verdict = find_target(&work->asked, sandbox, &router);
	if (verdict)
		return verdict;
	prepare_advertisement(work, &sandbox->link, router);
	return write_advertisement(skb, work) ? VERDICT_ND_ANSWERED : VERDICT_DROP_REWRITE;
}

#endif
