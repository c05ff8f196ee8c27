/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only OR BSD-2-Clause */
/* What is a flow, and what is it doing, told from what each direction has seen? Read by the datapath and by
 * causewayctl. */
#ifndef CAUSEWAY_FLOW_STATE_H
#define CAUSEWAY_FLOW_STATE_H

#include <linux/in.h>
#include <linux/in6.h>

#include <causeway/abi.h>

/* Whether it is the key as sent of an endpoint-independent mapping. Other scopes that are no ifindex have both bits. */
static inline int is_mapping(const struct flow_key *key)
{
	return (key->scope & (CAUSEWAY_SCOPE_MAPPING | CAUSEWAY_SCOPE_MAPPING >> 1)) == CAUSEWAY_SCOPE_MAPPING;
}

/*
 * seen_sent, seen_replied: flow.seen of the two entries. States: RFC 5382, section 5 (REQ-5); a connection that one
 * side has ended is established for the other, which may go on sending.
 */
static inline enum flow_state flow_state_of(__u8 protocol, __u32 seen_sent, __u32 seen_replied)
{
	if (protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6)
		return FLOW_ICMP;
	if (protocol != IPPROTO_TCP)
		return FLOW_UDP;
	if ((seen_sent | seen_replied) & SEEN_RST || seen_sent & seen_replied & SEEN_FIN)
		return FLOW_TCP_CLOSING;
	return seen_sent & seen_replied & SEEN_ACK ? FLOW_TCP_ESTABLISHED : FLOW_TCP_OPENING;
}

#endif
