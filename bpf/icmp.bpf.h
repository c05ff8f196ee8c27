/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What does an ICMP message mean? The same of either family: a query, its reply, an error about a packet. */
#ifndef CAUSEWAY_ICMP_BPF_H
#define CAUSEWAY_ICMP_BPF_H

#include "packet.bpf.h"

/* The kernel's own headers for ICMP need a C library, so these are written out. */

/* RFC 792; RFC 950, appendix I, for the address masks. */
enum icmp_type {
	ICMP_ECHO_REPLY = 0,
	ICMP_UNREACHABLE = 3,
	ICMP_SOURCE_QUENCH = 4,
	ICMP_REDIRECT = 5,
	ICMP_ECHO_REQUEST = 8,
	ICMP_TIME_EXCEEDED = 11,
	ICMP_PARAMETER_PROBLEM = 12,
	ICMP_TIMESTAMP_REQUEST = 13,
	ICMP_TIMESTAMP_REPLY = 14,
	ICMP_INFORMATION_REQUEST = 15,
	ICMP_INFORMATION_REPLY = 16,
	ICMP_MASK_REQUEST = 17,
	ICMP_MASK_REPLY = 18,
};

/* RFC 4443; RFC 4861, section 4; RFC 2710 and RFC 3810 for listeners. */
enum icmpv6_type {
	ICMPV6_UNREACHABLE = 1,
	ICMPV6_TOO_BIG = 2,
	ICMPV6_TIME_EXCEEDED = 3,
	ICMPV6_PARAMETER_PROBLEM = 4,
	ICMPV6_INFORMATIONAL = 128, /* and all that follow: RFC 4443, section 2.1 */
	ICMPV6_ECHO_REQUEST = 128,
	ICMPV6_ECHO_REPLY = 129,
	ICMPV6_ROUTER_SOLICITATION = 133,
	ICMPV6_NEIGHBOUR_SOLICITATION = 135,
	ICMPV6_NEIGHBOUR_ADVERTISEMENT = 136,
	ICMPV6_REDIRECT = 137,
};

/* RFC 792, "Echo or Echo Reply Message", and so of all queries; errors have what they quote after these 8 bytes. */
struct icmp_header {
	__u8 type, code;
	__sum16 checksum;
	__be16 identifier, sequence;
};

/* What the sender of a dropped packet is told. What each family says for it: see answer.bpf.h. */
enum reason {
	REASON_NONE, /* nothing */
	REASON_TTL_EXPIRED,
	REASON_TOO_BIG,
	REASON_NO_ROUTE,
	REASON_UNREACHABLE,
	REASON_PROHIBITED,
	REASON_HEADER,
	REASON_COUNT,
};

/* How a message is treated: struct ports.icmp. A bit each, so that no branch is needed to ask for one. */
enum icmp_kind {
	ICMP_NONE = 0,        /* no ICMP, or of a type that is not translated */
	ICMP_QUERY = 1 << 0,  /* opens a flow under its identifier */
	ICMP_REPLY = 1 << 1,  /* answers one */
	ICMP_ERROR = 1 << 2,  /* tells of a packet and quotes it */
	ICMP_UNSAID = 1 << 3, /* tells of one too, is neither translated nor answered: RFC 1122, section 3.2.2 */
};

static __always_inline enum icmp_kind kind_of_icmpv4(__u8 type)
{
	switch (type) {
	case ICMP_ECHO_REQUEST:
	case ICMP_TIMESTAMP_REQUEST:
	case ICMP_INFORMATION_REQUEST:
	case ICMP_MASK_REQUEST:
		return ICMP_QUERY;
	case ICMP_ECHO_REPLY:
	case ICMP_TIMESTAMP_REPLY:
	case ICMP_INFORMATION_REPLY:
	case ICMP_MASK_REPLY:
		return ICMP_REPLY;
	case ICMP_UNREACHABLE:
	case ICMP_TIME_EXCEEDED:
	case ICMP_PARAMETER_PROBLEM:
		return ICMP_ERROR;
	case ICMP_SOURCE_QUENCH:
	case ICMP_REDIRECT: /* concerns the link that it was sent on */
		return ICMP_UNSAID;
	}
	return ICMP_NONE;
}

static __always_inline enum icmp_kind kind_of_icmpv6(__u8 type)
{
	switch (type) {
	case ICMPV6_ECHO_REQUEST:
		return ICMP_QUERY;
	case ICMPV6_ECHO_REPLY:
		return ICMP_REPLY;
	case ICMPV6_REDIRECT:
		return ICMP_UNSAID;
	}
	return type < ICMPV6_INFORMATIONAL ? ICMP_ERROR : ICMP_NONE; /* also one not named yet: section 2.4 (a) */
}

static __always_inline bool is_icmp(__u8 protocol)
{
	return protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6;
}

/* The other one is a protocol without ports in either family, and is not carried. */
static __always_inline __u8 icmp_of(__u8 family)
{
	return family == FAMILY_IPV6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
}

static __always_inline bool is_icmp_error(const struct packet *packet)
{
	return packet->ports.icmp == ICMP_ERROR;
}

#endif
