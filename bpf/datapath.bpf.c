/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where does a packet go? The table of contents: one program an origin, each a line
 * parse -> guard -> look up -> translate -> rewrite -> deliver -> verdict.
 * Origins, not directions: a sandbox's egress is its host end's ingress.
 */
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>

#include "admit.bpf.h"
#include "answer.bpf.h"
#include "arp.bpf.h"
#include "deliver.bpf.h"
#include "dhcp.bpf.h"
#include "endpoint.bpf.h"
#include "forward.bpf.h"
#include "group.bpf.h"
#include "guard.bpf.h"
#include "hairpin.bpf.h"
#include "host.bpf.h"
#include "link_local.bpf.h"
#include "loopback.bpf.h"
#include "nd.bpf.h"
#include "parse.bpf.h"
#include "recent.bpf.h"
#include "route.bpf.h"
#include "shaper.bpf.h"
#include "translate.bpf.h"
#include "translate_error.bpf.h"
#include "verdict.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* L4, as far as this fragment has it. */
static __always_inline enum verdict parse_ports_of(struct packet *packet)
{
	return packet->fragment_offset ? VERDICT_CONTINUE : parse_transport(packet);
}

/* Fragments get their ports from the first one of their packet. CONTINUE: it may be translated. */
static __always_inline enum verdict follow_train(struct packet *packet, __u32 scope, __u32 slot)
{
	if (!is_fragment(packet) || packet->train)
		return VERDICT_CONTINUE;
	return packet->fragment_offset ? join_train(packet, scope, slot) : begin_train(packet, scope, slot);
}

/* CONTINUE: the packet looks as the world is to see it. */
static __always_inline enum verdict translate_to_world(struct packet *packet, const struct sandbox *sandbox,
						       const struct route *route)
{
	const struct sandbox_link *link = &sandbox->link;
	enum verdict verdict;

	generalise(packet);
	verdict = follow_train(packet, link->ifindex, link->slot);
	if (verdict)
		return verdict;
	if (is_icmp_error(packet))
		return translate_error(packet->skb, link->ifindex, packet->train ? packet->train->identification : 0,
				       !packet->fragment_offset && error_sums_hold(packet)); /* else it has no header */
	verdict = translate_source(packet, sandbox, route);
	leave_train(packet, link->ifindex);
	return verdict;
}

/* To the world, or by one of the host's addresses to a sandbox's published port. */
static __always_inline enum verdict to_world(struct packet *packet, const struct sandbox *sandbox, struct route *route,
					     bool hairpin)
{
	enum verdict verdict;

	if (hairpin)
		route->source = packet->destination;
	verdict = translate_to_world(packet, sandbox, route);
	if (!verdict && hairpin && is_icmp_error(packet))
		return turn_error_in(packet->skb);
	if (!verdict)
		verdict = rewrite_ttl(packet->skb);
	if (verdict)
		return verdict;
	if (!hairpin)
		return deliver_to_world(packet->skb, route);
	verdict = turn_in(packet);
	return verdict == VERDICT_DROP_NO_FLOW ? turn_back(packet, sandbox->gateway_ifindex) : verdict;
}

/* No router forwards it, so it is the gateway's or nobody's. */
static __always_inline enum verdict to_link_local(const struct packet *packet, const struct sandbox *sandbox)
{
	return is_link_local_of(&packet->destination, sandbox->link.gateway_mac)
		       ? deliver_to_host(sandbox->gateway_ifindex)
		       : VERDICT_DROP_NO_ENDPOINT;
}

/* Of later fragments whose first one is not known yet, the address alone says so. */
static __always_inline bool may_turn(const struct packet *packet, const struct sandbox *sandbox)
{
	struct flow_work *work = room_for_flow();

	if (!work)
		return false;
	set_key_as_sent(&work->sent, packet, sandbox->link.ifindex);
	return may_be_reached(packet->skb, sandbox->gateway_ifindex);
}

/*
 * Whether what is for one of the host's addresses goes to a sandbox, or the verdict of a fragment that waits. All of a
 * packet's fragments go one way, and only the first says which. One that there is no room to keep is the host's: it may
 * have room.
 */
static __always_inline enum verdict find_hairpin(struct packet *packet, const struct sandbox *sandbox, bool *hairpin)
{
	enum verdict verdict = follow_train(packet, sandbox->link.ifindex, sandbox->link.slot);

	*hairpin = !verdict && is_hairpin(packet, sandbox->link.ifindex);
	if (!verdict && !*hairpin)
		leave_train(packet, sandbox->link.ifindex);
	return verdict >= VERDICT_FIRST_DROP ? VERDICT_CONTINUE : verdict;
}

/* The stack undoes what it has made of the packet that this answers. So all fragments of an answer go there. */
static __always_inline enum verdict to_forwarder(struct packet *packet, const struct sandbox *sandbox)
{
	enum verdict verdict = follow_train(packet, sandbox->link.ifindex, sandbox->link.slot);

	if (verdict)
		return verdict;
	leave_train(packet, sandbox->link.ifindex);
	return deliver_to_host(sandbox->gateway_ifindex);
}

/* To what is no sandbox's address; the gateway's needs no look-up of the route. */
static __always_inline enum verdict to_outside(struct packet *packet, const struct sandbox *sandbox,
					       struct route *route)
{
	const struct endpoint *endpoint = endpoint_at(&packet->destination);
	enum verdict parsed = parse_ports_of(packet), verdict = VERDICT_TO_HOST, waits = VERDICT_CONTINUE;
	bool hairpin = false;

	if (is_link_local(&packet->destination))
		return to_link_local(packet, sandbox);
	if (is_of_no_link(&packet->destination))
		return VERDICT_DROP_NO_ENDPOINT;
	generalise(packet);
	if (endpoint && is_isolated_from(sandbox, endpoint))
		return VERDICT_DROP_ISOLATED;
	if (is_fragment(packet) && !packet->dont_fragment) /* all of a packet go one way */
		packet->segment_length = sandbox->mtu;
	if (packet->fragment_offset)
		recall_ports(packet, sandbox->link.ifindex);
	if (!parsed && answers_forwarded(packet, sandbox->link.ifindex))
		return to_forwarder(packet, sandbox);
	if (!endpoint)
		verdict = find_route(packet, sandbox, route);
	if (verdict == VERDICT_TO_HOST && !parsed && may_turn(packet, sandbox))
		waits = find_hairpin(packet, sandbox, &hairpin);
	if (waits)
		return waits;
	if (verdict == VERDICT_TO_HOST && !hairpin) /* takes any protocol, also what can't be translated */
		return deliver_to_host(sandbox->gateway_ifindex);
	if (verdict == VERDICT_DROP_TOO_BIG && packet->ttl <= 1)
		return VERDICT_DROP_TTL_EXPIRED;
	if (verdict == VERDICT_DROP_TOO_BIG && !packet->dont_fragment)
		return deliver_to_host(sandbox->gateway_ifindex); /* cuts it up: see from_stack */
	if (verdict && !hairpin)
		return verdict;
	if (!ip_checksum_holds(packet))
		return VERDICT_DROP_BAD_HEADER;
	if (packet->ttl <= 1) /* whatever follows: RFC 1812, section 5.3.1 */
		return VERDICT_DROP_TTL_EXPIRED;
	return parsed ? parsed : to_world(packet, sandbox, route, hairpin);
}

/*
 * The long way out: of what opens a flow, is for the host, comes in fragments, or is an error. A sandbox hears at once
 * why its packet is dropped. A function of its own to the verifier, so it reads the packet anew; the answer is an
 * outcome.
 */
__noinline int leave_sandbox(struct __sk_buff *skb)
{
	const struct sandbox *sandbox = sandbox_behind(skb->ifindex);
	struct route *route = room_for_route();
	struct packet packet = {.skb = skb};
	enum verdict verdict = parse_ip(&packet);

	if (!sandbox || !route)
		return VERDICT_DROP_UNKNOWN_SANDBOX;
	if (!verdict)
		verdict = to_outside(&packet, sandbox, route);
	if (verdict < VERDICT_FIRST_DROP)
		return verdict;
	route->source = packet.family == FAMILY_IPV6 ? sandbox->gateway[FAMILY_IPV6] : sandbox->gateway[FAMILY_IPV4];
	if (answer(&packet, verdict, route, sandbox->link.slot) && deliver_back(skb))
		return verdict | ANSWERED;
	return verdict;
}

/* The same, but for what no client of DHCP may send. */
static __always_inline __u32 leave_in_own_name(struct __sk_buff *skb, const struct sandbox *sandbox)
{
	enum verdict verdict = VERDICT_CONTINUE;

	if (sandbox->link.flags & LINK_DHCP)
		verdict = refuse_dhcp_for_another(skb);
	return verdict ? verdict : leave_sandbox(skb);
}

static __always_inline enum verdict follow(const struct packet *packet, const struct flow *flow)
{
	enum verdict verdict = translate_sent(packet, flow);

	if (!verdict)
		verdict = rewrite_ttl(packet->skb);
	return verdict ? verdict : deliver_as_before(packet->skb, flow);
}

static __always_inline enum verdict follow_and_note(const struct packet *packet, struct flow *flow, bool policed)
{
	struct flow_work *work = room_for_flow();

	note_segment(flow, packet);
	if (work && !policed)
		note_flow(packet, &work->sent, flow);
	return follow(packet, flow);
}

/* CONTINUE: nothing such was sent to the world in this tick; nothing has changed. */
static __noinline enum verdict follow_recent(struct __sk_buff *skb)
{
	struct flow_work *work = room_for_flow();
	struct packet packet = {.skb = skb};
	const struct flow *flow;
	enum verdict verdict;

	if (!work || parse_ip_here(&packet) || is_fragment(&packet) || packet.ttl <= 1 || !ip_checksum_holds(&packet) ||
	    parse_transport_here(skb, &packet))
		return VERDICT_CONTINUE;
	set_key_as_sent(&work->sent, &packet, skb->ifindex);
	flow = recent_flow(&packet, &work->sent);
	if (!flow || packet.segment_length > flow->route_mtu ||
	    !is_checksum_its_own(skb, packet.transport_offset, packet.protocol))
		return VERDICT_CONTINUE;
	verdict = follow(&packet, flow);
	count_sent(flow->link.slot, segments_of(skb), skb->len, verdict);
	return verdict;
}

/* CONTINUE: what is sent is the sandbox's own, but goes the long way; nothing has changed. */
static __noinline enum verdict leave_sandbox_shortly(struct __sk_buff *skb, const struct sandbox *sandbox)
{
	bool policed = sandbox->link.flags & LINK_POLICED; /* each packet takes of what it may send */
	enum verdict verdict, guarded;
	struct packet packet = {.skb = skb};
	const struct endpoint *endpoint;
	struct flow *flow;

	verdict = parse_ip_here(&packet);
	if (!verdict && is_nd(&packet))
		return answer_nd(skb);
	if (verdict && verdict != VERDICT_DROP_EXTENSION_HEADER) /* which its sender is told, the long way */
		return verdict;
	guarded = guard_network(&packet, sandbox);
	if (guarded && !verdict && sandbox->link.flags & LINK_DHCP) {
		verdict = to_dhcp_server(skb, &packet);
		if (verdict)
			return verdict;
	}
	if (guarded == VERDICT_DROP_MULTICAST && !verdict)
		return to_group(skb, &packet);
	if (guarded == VERDICT_DROP_SPOOFED_ADDRESS && !verdict && is_link_local(&packet.source))
		return to_link(skb, &packet);
	if (guarded || verdict)
		return guarded;
	endpoint = endpoint_at(&packet.destination);
	if (endpoint && endpoint->kind == ENDPOINT_SANDBOX && !is_isolated_from(sandbox, endpoint)) {
		if (!policed)
			note_peer(&packet, sandbox->link.slot, &endpoint->link);
		return deliver_to_peer(skb, &endpoint->link);
	}
	if (!is_checksum_its_own(skb, packet.transport_offset, packet.protocol))
		return VERDICT_DROP_BAD_CHECKSUM;
	if (endpoint && endpoint->kind == ENDPOINT_GATEWAY && !is_link_local(&packet.destination) &&
	    !is_fragment(&packet) && !(sandbox->link.flags & LINK_DHCP) &&
	    !anything_published()) /* else it may be for a sandbox */
		return deliver_to_host(sandbox->gateway_ifindex);
	if (endpoint || is_fragment(&packet) || parse_transport_here(skb, &packet))
		return VERDICT_CONTINUE;
	flow = flow_under_way(&packet, sandbox->link.ifindex);
	return flow ? follow_and_note(&packet, flow, policed) : VERDICT_CONTINUE;
}

/* What no decision of this tick is about. */
static __always_inline __u32 decide(struct __sk_buff *skb)
{
	const struct sandbox *sandbox = sandbox_behind(skb->ifindex);
	__u32 packets = segments_of(skb), bytes = skb->len;
	__u32 outcome;

	if (!sandbox)
		return VERDICT_DROP_UNKNOWN_SANDBOX;
	outcome = guard_link(skb, sandbox);
	if (!outcome && sandbox->link.flags & LINK_POLICED && !is_within_shape(skb, sandbox->link.slot))
		outcome = VERDICT_DROP_SHAPED;
	if (!outcome && is_ip(skb)) {
		outcome = leave_sandbox_shortly(skb, sandbox);
		if (!outcome)
			outcome = leave_in_own_name(skb, sandbox);
	} else if (!outcome) {
		outcome = skb->protocol == bpf_htons(ETH_P_ARP) ? answer_arp(skb, sandbox) : VERDICT_DROP_ETHERTYPE;
	}
	if ((outcome == VERDICT_ARP_ANSWERED || outcome == VERDICT_ND_ANSWERED) && !deliver_back(skb))
		outcome = VERDICT_DROP_REDIRECT;
	count_sent(sandbox->link.slot, packets, bytes, outcome & VERDICT_OF_OUTCOME);
	return outcome;
}

/* TC ingress of each host end: may the sandbox send this, and is it for a sandbox, the host or the world? */
SEC("tc")
int from_sandbox(struct __sk_buff *skb)
{
	const struct recent_peer *peer = recent_peer(skb);
	__u32 outcome = VERDICT_CONTINUE;

	skb->tc_index = 0;
	skb->priority = 0; /* would choose its class of the uplink's queue */
	if (peer) {
		outcome = deliver_to_peer(skb, &peer->to);
		count_sent(peer->slot, segments_of(skb), skb->len, outcome);
	} else if (is_ip(skb) && !skb->vlan_present) {
		outcome = follow_recent(skb);
	}
	return finish(outcome ? outcome : decide(skb));
}

/* What the host sends to all, or to an address that no sandbox has. */
static __always_inline enum verdict to_no_endpoint(struct __sk_buff *skb, struct packet *packet, enum verdict group)
{
	enum verdict verdict = from_dhcp_server(skb, packet);

	if (verdict)
		return verdict;
	return group ? group : from_gateway_to_link(skb, packet);
}

/* TC egress of the gateway device: which sandbox does the host mean, or forward to? */
SEC("tc")
int from_host(struct __sk_buff *skb)
{
	const struct recent_peer *peer = skb->ingress_ifindex ? NULL : recent_peer(skb);
	struct packet packet = {.skb = skb};
	const struct endpoint *endpoint;
	enum verdict verdict;
	bool forwarded;

	if (peer)
		return finish(deliver_through_link(skb, &peer->to));
	if (!is_ip(skb))
		return finish(VERDICT_DROP_ETHERTYPE);
	verdict = parse_ip_here(&packet);
	forwarded = is_forwarded(&packet);
	if (!verdict)
		verdict = forwarded ? admit_forwarded(skb) : guard_host(&packet);
	if (verdict && verdict != VERDICT_DROP_MULTICAST)
		return finish(verdict);
	endpoint = verdict ? NULL : sandbox_endpoint_at(&packet.destination);
	if (!endpoint)
		return finish(to_no_endpoint(skb, &packet, verdict));
	if (!forwarded)
		note_peer(&packet, CAUSEWAY_WORLD_SLOT, &endpoint->link);
	return finish(deliver_through_link(skb, &endpoint->link));
}

static __always_inline enum verdict from_world_unasked(const struct packet *packet, enum verdict verdict)
{
	if (!sandbox_endpoint_at(&packet->destination))
		return VERDICT_PASS_STACK; /* a fragment that is held is a copy: the host may be waiting for it too */
	return verdict == VERDICT_FRAGMENT_HELD ? verdict : VERDICT_DROP_UNSOLICITED;
}

/* The host would answer for a flow that it knows nothing of, and so end it. */
static __always_inline enum verdict malformed_from_world(struct packet *packet, enum verdict verdict)
{
	if (!packet->fragment_offset &&
	    !parse_ports(packet->skb, packet->transport_offset, packet->protocol, &packet->ports) && is_of_flow(packet))
		return verdict;
	return from_world_unasked(packet, verdict);
}

/* CONTINUE: the packet goes by work->entry.link, and looks as the sandbox is to see it. Else nothing has changed. */
static __always_inline enum verdict translate_to_sandbox(struct packet *packet, struct flow_work *work)
{
	struct flow *flow;
	enum verdict verdict;

	if (is_icmp_error(packet) && !packet->fragment_offset) /* what is behind the first fragment is no header */
		return translate_error(packet->skb, 0, 0, error_sums_hold(packet));
	if (anything_published() && endpoint_at(&packet->source))
		return VERDICT_DROP_UNSOLICITED; /* an inner address from outside: spoofed */
	flow = flow_from_world(packet, &verdict);
	if (!flow)
		return verdict;
	if (packet->ttl <= 1 && !is_of_host(flow))
		return VERDICT_DROP_TTL_EXPIRED;
	verdict = packet->more_fragments && !packet->fragment_offset ? begin_train(packet, 0, CAUSEWAY_WORLD_SLOT)
								     : VERDICT_CONTINUE;
	if (verdict)
		return verdict;
	work->entry.link = flow->link;
	verdict = translate_destination(packet, flow);
	leave_train(packet, 0);
	return verdict;
}

static __always_inline enum verdict deliver_answer(const struct packet *packet, const struct flow *flow)
{
	enum verdict verdict = rewrite_end(packet, false, &flow->address, flow->port);

	if (!verdict)
		verdict = rewrite_ttl(packet->skb);
	return verdict ? verdict : deliver_to_peer(packet->skb, &flow->link);
}

/* CONTINUE: the packet is no answer to a flow that is there already; nothing has changed. */
static __always_inline enum verdict answer_to_flow(struct packet *packet)
{
	struct flow_work *work = room_for_flow();
	const struct flow *recent;
	struct flow *flow;

	if (!work || packet->ttl <= 1 || !has_ports(packet->protocol) || lacks_source_port(packet))
		return VERDICT_CONTINUE;
	set_key_as_replied(&work->reply, packet);
	recent = recent_flow(packet, &work->reply);
	if (recent)
		return deliver_answer(packet, recent);
	flow = packet->seen == SEEN_SYN ? NULL : bpf_map_lookup_elem(&flows, &work->reply);
	if (!flow || is_of_host(flow) || flow->flags & (FLOW_OPEN | FLOW_FORWARDED) || is_quiet(flow) ||
	    is_departed(flow->link.slot, flow->created))
		return VERDICT_CONTINUE;
	note_segment(flow, packet); /* no SYN alone, which may begin a connection anew */
	note_flow(packet, &work->reply, flow);
	return deliver_answer(packet, flow);
}

/* True: the packet has become the answer, from the address that was sent to, or the gateway of the sandbox there. */
static __always_inline bool answer_world(struct packet *packet, enum verdict verdict)
{
	const struct endpoint *endpoint = sandbox_endpoint_at(&packet->destination);
	const struct sandbox *sandbox = endpoint ? sandbox_behind(endpoint->link.ifindex) : NULL;
	struct route *route = room_for_route();

	if (!route)
		return false;
	route->source = sandbox ? *gateway_of(sandbox, packet->family == FAMILY_IPV6) : packet->destination;
	return answer(packet, verdict, route, CAUSEWAY_WORLD_SLOT) && deliver_back(packet->skb);
}

/* The long way in, as leave_sandbox: of what may open a flow, comes in fragments, is an error, or is the host's. */
__noinline int enter_from_world(struct __sk_buff *skb)
{
	struct packet packet = {.skb = skb};
	struct flow_work *work = room_for_flow();
	enum verdict verdict = parse_ip(&packet);

	if (!packet.transport_offset || !ip_checksum_holds(&packet)) /* let the host count its own malformed packets */
		return VERDICT_PASS_STACK;
	if (is_link_local(&packet.source) || is_link_local(&packet.destination))
		return VERDICT_PASS_STACK; /* goes no further than this link: RFC 4291, section 2.5.6 */
	if (is_of_no_link(&packet.source) || is_of_no_link(&packet.destination))
		return VERDICT_PASS_STACK; /* which refuses it */
	if (verdict || !work)
		return malformed_from_world(&packet, verdict);
	verdict = packet.fragment_offset ? join_train(&packet, 0, CAUSEWAY_WORLD_SLOT) : parse_transport(&packet);
	if (verdict)
		return malformed_from_world(&packet, verdict);
	if (lacks_source_port(&packet))
		verdict = VERDICT_DROP_UNSOLICITED;
	else
		verdict = translate_to_sandbox(&packet, work);
	if (verdict == VERDICT_DROP_UNSOLICITED || verdict == VERDICT_DROP_NO_FLOW)
		verdict = from_world_unasked(&packet, verdict);
	if (verdict == VERDICT_PASS_STACK && is_fragment(&packet))
		leave_to_host(&packet);
	if (verdict == VERDICT_DROP_TTL_EXPIRED && answer_world(&packet, verdict))
		return verdict | ANSWERED;
	if (!verdict && !work->entry.link.ifindex) /* of a flow of the host's own */
		return VERDICT_PASS_TRANSLATED;
	if (!verdict)
		verdict = rewrite_ttl(skb);
	return verdict ? verdict : deliver_to_peer(skb, &work->entry.link);
}

/* CONTINUE: it goes the long way; nothing has changed. */
static __noinline enum verdict enter_shortly(struct __sk_buff *skb)
{
	struct packet packet = {.skb = skb};

	if (parse_ip_here(&packet) || is_fragment(&packet) || !ip_checksum_holds(&packet) ||
	    parse_transport_here(skb, &packet))
		return VERDICT_CONTINUE;
	return answer_to_flow(&packet);
}

/*
 * A tag of VLAN 0 tells a priority alone (IEEE 802.1Q, table 9-2), and the kernel strips each behind this program: so
 * the frame is as one without. False: there is another behind it.
 */
static __always_inline bool strip_priority_tag(struct __sk_buff *skb)
{
	if (skb->vlan_present && !(skb->vlan_tci & VLAN_ID))
		bpf_skb_vlan_pop(skb);
	return !skb->vlan_present || skb->vlan_tci & VLAN_ID;
}

/* TC ingress of each uplink: is it an answer to a sandbox? What isn't ours goes to the stack, with all but that tag. */
SEC("tc")
int from_uplink(struct __sk_buff *skb)
{
	__u32 outcome = strip_priority_tag(skb) ? VERDICT_PASS_STACK : VERDICT_DROP_ETHERTYPE;

	if (is_ip(skb) && !skb->vlan_present && skb->pkt_type == PACKET_HOST)
		outcome = enter_shortly(skb);
	if (!outcome)
		outcome = enter_from_world(skb);
	return finish(outcome);
}

static __always_inline enum verdict from_stack_ip(struct packet *packet)
{
	struct route *route = room_for_route();
	const struct endpoint *endpoint;
	const struct sandbox *sandbox;
	enum verdict verdict = parse_ip(packet);

	if (verdict)
		return VERDICT_PASS_STACK;
	endpoint = endpoint_at(&packet->source);
	sandbox = endpoint ? sandbox_behind(endpoint->link.ifindex) : NULL;
	if (!sandbox)
		return VERDICT_PASS_STACK;
	verdict = parse_ports_of(packet);
	packet->segment_length = 0; /* it fits: the stack has seen to that */
	if (packet->fragment_offset)
		recall_ports(packet, sandbox->link.ifindex);
	if (!verdict && (!route || find_route(packet, sandbox, route)))
		verdict = VERDICT_DROP_NO_ROUTE;
	if (!verdict)
		verdict = translate_to_world(packet, sandbox, route);
	return verdict ? verdict : VERDICT_PASS_TRANSLATED;
}

/*
 * TC egress of each uplink: is it a sandbox's, which the host's stack has cut up since it was too big? What a sandbox
 * has sent and cannot be translated never leaves. Or is it the host's own, from a port that a sandbox's flow has?
 */
SEC("tc")
int from_stack(struct __sk_buff *skb)
{
	struct packet packet = {.skb = skb, .at_egress = true};
	enum verdict verdict = VERDICT_PASS_STACK;

	if (!is_ip(skb) || skb->tc_index == SENT_ON)
		return TC_ACT_UNSPEC;
	if (skb->ingress_ifindex || !skb->sk) /* as is_forwarded, but before it is parsed */
		verdict = from_stack_ip(&packet);
	if (skb->ingress_ifindex || verdict != VERDICT_PASS_STACK)
		return finish(verdict);
	verdict = from_host_itself(&packet);
	return verdict == VERDICT_PASS_STACK ? TC_ACT_UNSPEC : finish(verdict);
}

/* TC egress of `lo`: does the host mean a sandbox's published port, or is it such a one's answer to the host? */
SEC("tc")
int from_loopback(struct __sk_buff *skb)
{
	struct packet packet = {.skb = skb, .at_egress = true};
	const struct sandbox *sandbox = NULL;
	enum verdict verdict;

	if (!is_ip(skb))
		return TC_ACT_UNSPEC;
	if (skb->ingress_ifindex)
		sandbox = sandbox_behind(skb->ingress_ifindex);
	verdict = sandbox ? back_to_itself(&packet, sandbox) : from_host_to_itself(&packet);
	return verdict == VERDICT_PASS_STACK ? TC_ACT_UNSPEC : finish(verdict);
}

/* Run once by whoever has loaded the programs: sets the timer going that ages flows from then on. 0, or -errno. */
SEC("tc")
int start_ageing(struct __sk_buff *skb __attribute__((unused)))
{
	struct ageing *state = bpf_map_lookup_elem(&ageing, &(__u32){0});
	long error = state ? bpf_timer_init(&state->timer, &ageing, CLOCK_MONOTONIC) : -ENOENT;

	if (!error)
		error = bpf_timer_set_callback(&state->timer, age_flows);
	return error ? error : bpf_timer_start(&state->timer, TICK, 0);
}
