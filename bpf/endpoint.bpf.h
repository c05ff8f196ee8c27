/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who is sending, and who lives at this address? Lookups of what the control plane wrote. */
#ifndef CAUSEWAY_ENDPOINT_BPF_H
#define CAUSEWAY_ENDPOINT_BPF_H

#include "maps.bpf.h"

/* By the link that the packet came through, never by what it claims. */
static __noinline const struct sandbox *sandbox_behind(__u32 ifindex)
{
	return bpf_map_lookup_elem(&sandboxes, &ifindex);
}

static __noinline const struct endpoint *endpoint_at(const struct address *address)
{
	const struct endpoint *endpoint = bpf_map_lookup_elem(&endpoints, address);

	return endpoint && endpoint->kind != ENDPOINT_CLAIMED ? endpoint : NULL;
}

/* The same if it is a sandbox that lives there. */
static __noinline const struct endpoint *sandbox_endpoint_at(const struct address *address)
{
	const struct endpoint *endpoint = bpf_map_lookup_elem(&endpoints, address);

	return endpoint && endpoint->kind == ENDPOINT_SANDBOX ? endpoint : NULL;
}

/* Whether the sandbox is not to see who lives there: another one of its own network. The gateway is for all. */
static __always_inline bool is_isolated_from(const struct sandbox *sandbox, const struct endpoint *endpoint)
{
	return sandbox->link.flags & LINK_ISOLATED && endpoint->kind == ENDPOINT_SANDBOX &&
	       endpoint->network == sandbox->network;
}

#endif
