/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only OR BSD-2-Clause */
/*
 * What both sides of the kernel boundary read: the shape of every map's key and value, the names of
 * every way a packet can end, and the limits. There is no second copy. C11, C++23 and BPF C.
 *
 * A change here that alters a size, an offset or a meaning raises CAUSEWAY_ABI_VERSION: pins live in a
 * directory of that number, so two versions never read each other's maps.
 */
#ifndef CAUSEWAY_ABI_H
#define CAUSEWAY_ABI_H

#include <linux/bpf.h>
#include <linux/types.h>

#define CAUSEWAY_ABI_VERSION 9

/* Limits. Lengths count the terminating NUL. */
#define CAUSEWAY_DEVICE_LEN 16           /* IFNAMSIZ */
#define CAUSEWAY_NAME_LEN 64             /* a network's name */
#define CAUSEWAY_CONTAINER_LEN 240       /* a container id; with the interface name one hash key of 256 bytes */
#define CAUSEWAY_NETNS_LEN 256           /* the path of a sandbox's network namespace */
#define CAUSEWAY_NETWORKS_MAX 64         /* networks, and so gateway devices, on one host */
#define CAUSEWAY_SUBNETS_MAX 8           /* subnets of one network */
#define CAUSEWAY_ADDRESSES_MAX 8         /* addresses of one sandbox's interface, of all families */
#define CAUSEWAY_UPLINKS_MAX 256         /* devices that lead to the world */
#define CAUSEWAY_UNMASQUERADED_MAX 8     /* prefixes of one network that are reached without translation */
#define CAUSEWAY_PUBLISHED_PLACES 4096   /* of published_ports: a port's place is its remainder */
#define CAUSEWAY_SANDBOXES_MAX 65535     /* that table_sizes.sandboxes may ask for: a slot has 16 bits */
#define CAUSEWAY_SANDBOXES_DEFAULT 16384 /* where nobody asks */
#define CAUSEWAY_FLOWS_MIN 16            /* that table_sizes.flows may ask for */
#define CAUSEWAY_FLOWS_MAX 1048576       /* of which the timer looks at 8,192 each tick: some milliseconds */
#define CAUSEWAY_FLOWS_DEFAULT 262144
#define CAUSEWAY_TRAINS_MAX 16384        /* fragmented packets under way */
#define CAUSEWAY_TRAINS_OF_ONE_MAX 256   /* of one sandbox */
#define CAUSEWAY_HELD_MAX 2048           /* fragments that wait for the first of their packet */
#define CAUSEWAY_HELD_OF_ONE_MAX 45      /* of one packet: 64 KiB in frames of 1500 */
#define CAUSEWAY_HELD_OF_SANDBOX_MAX 256 /* of one sandbox; of the world half of all */
#define CAUSEWAY_HELD_BYTES 9216         /* of one of them, with its Ethernet header */

/* Of all networks, link-local ones too. */
#define CAUSEWAY_GATEWAYS_MAX (CAUSEWAY_NETWORKS_MAX * (CAUSEWAY_SUBNETS_MAX + 1))

/* Of how many there is room on this host: said to the programs before they are loaded, and fixed from then on. */
struct table_sizes {
	__u32 flows;     /* of all sandboxes together */
	__u32 sandboxes; /* their interfaces */
};

/* An IP address of either family, network order; IPv4 as ::ffff:a.b.c.d (RFC 4291, section 2.5.5.2). */
struct address {
	__be32 word[4];
};

/* Index of what there is one of for each. */
enum family { FAMILY_IPV4, FAMILY_IPV6, FAMILY_COUNT };

/*
 * Each way a packet can end. X(name, text): the enumerator is VERDICT_<name>; text is for people.
 * What comes from DROP_TRUNCATED on is a drop.
 */
#define CAUSEWAY_VERDICTS(X)                                                                                           \
	X(CONTINUE, "no decision yet; never counted")                                                                  \
	X(PASS_STACK, "not causeway's: left to the host's stack")                                                      \
	X(TO_SANDBOX, "delivered to a sandbox")                                                                        \
	X(TO_HOST, "delivered to the host's stack, through the gateway device")                                        \
	X(TO_WORLD, "sent out of an uplink")                                                                           \
	X(ARP_ANSWERED, "ARP request answered on the sender's own link")                                               \
	X(ND_ANSWERED, "neighbour solicitation answered on the sender's own link")                                     \
	X(PASS_TRANSLATED, "left to the host's stack, translated")                                                     \
	X(FRAGMENT_HELD, "later fragment kept until the first of its packet comes")                                    \
	X(TO_GROUP, "multicast or broadcast, copied to the other sandboxes of the sender's network")                   \
	X(FRAGMENTS_REPLAYED, "first fragment, sent through again together with those that waited for it")             \
	X(DROP_TRUNCATED, "shorter than its headers say")                                                              \
	X(DROP_BAD_HEADER, "malformed IP header")                                                                      \
	X(DROP_BAD_CHECKSUM, "ICMP error with a wrong checksum, or that quotes an IP header with one")                 \
	X(DROP_EXTENSION_HEADER, "IPv6 extension headers, unknown or more than are read")                              \
	X(DROP_ETHERTYPE, "none of IPv4, IPv6 and ARP, or tagged")                                                     \
	X(DROP_BAD_ARP, "malformed ARP, or ARP of another kind than a request")                                        \
	X(DROP_ARP_NO_ANSWER, "ARP request for an address that nobody has, or for the asker's own")                    \
	X(DROP_BAD_ND, "malformed or spoofed neighbour discovery, or of a kind that no sandbox may send")              \
	X(DROP_ND_NO_ANSWER, "router solicitation, or one for an address that nobody has or that is the asker's own")  \
	X(DROP_UNKNOWN_SANDBOX, "from a link that belongs to no sandbox")                                              \
	X(DROP_SPOOFED_MAC, "source MAC is not the sandbox's")                                                         \
	X(DROP_SPOOFED_ADDRESS, "source address is not the sandbox's")                                                 \
	X(DROP_SPOOFED_ARP, "ARP sender is not the sandbox")                                                           \
	X(DROP_NOT_GATEWAY_MAC, "unicast to a MAC that is not the gateway's")                                          \
	X(DROP_SHAPED, "the sandbox sends faster than its bandwidth, past the queue at its end")                       \
	X(DROP_MULTICAST, "multicast or broadcast")                                                                    \
	X(DROP_BAD_DHCP, "malformed DHCP message to a server, or in another one's name")                               \
	X(DROP_MULTICAST_RATE, "the sandbox sends multicast and broadcast faster than it may")                         \
	X(DROP_NO_ENDPOINT, "to an address of a sandbox network that nobody has")                                      \
	X(DROP_ISOLATED, "to another sandbox of a network whose sandboxes are isolated")                               \
	X(DROP_UNSOLICITED, "from outside to a sandbox that did not ask")                                              \
	X(DROP_TTL_EXPIRED, "TTL used up")                                                                             \
	X(DROP_NO_ROUTE, "the host has no route, or its route forbids")                                                \
	X(DROP_NO_UPLINK, "the route leaves by a device that is no uplink of causeway")                                \
	X(DROP_NO_SOURCE, "the uplink has no address to translate to")                                                 \
	X(DROP_TOO_BIG, "larger than the route's MTU")                                                                 \
	X(DROP_FRAGMENT, "fragment without its first one, and no room to keep it; or of SCTP, to get another port")    \
	X(DROP_PROTOCOL, "protocol or ICMP type that cannot be translated")                                            \
	X(DROP_NO_FLOW, "segment, answer or error of a flow that does not exist, which it cannot open")                \
	X(DROP_STALE_SOURCE,                                                                                           \
	  "the host no longer has the address that the flow was translated to, or has forgotten the flow")             \
	X(DROP_FLOW_QUOTA, "the sandbox has as many flows as it may")                                                  \
	X(DROP_FLOW_RATE, "the sandbox opens flows faster than it may")                                                \
	X(DROP_NO_PORT, "no source port free towards that peer")                                                       \
	X(DROP_TABLE_FULL, "flow table full")                                                                          \
	X(DROP_REWRITE, "the kernel refused to rewrite the packet")                                                    \
	X(DROP_REDIRECT, "the kernel refused to redirect the packet")

enum verdict {
#define X(name, text) VERDICT_##name,
	CAUSEWAY_VERDICTS(X)
#undef X
		VERDICT_COUNT,
	VERDICT_FIRST_DROP = VERDICT_DROP_TRUNCATED,
};

enum network_flag {
	NETWORK_MASQUERADE = 1 << 0,           /* what leaves for the world takes the host's source address */
	NETWORK_ENDPOINT_INDEPENDENT = 1 << 1, /* and an endpoint the same port towards every peer (RFC 4787, REQ-1) */
	NETWORK_OPEN_TO_ALL = 1 << 2,          /* to which any peer may send (RFC 4787, REQ-8) */
	NETWORK_OPEN_TO_ADDRESS = 1 << 3,      /* or any port of a peer that was sent to */
	NETWORK_ISOLATED = 1 << 4,             /* its sandboxes don't see each other */
	NETWORK_MULTICAST = 1 << 5,            /* they hear what each says to groups of the link */
	NETWORK_INBOUND = 1 << 6,              /* who sees a sandbox's own address may open flows to it */
	NETWORK_FORWARDED = 1 << 7,            /* what the host's stack forwards to them is let in */
};

/* What a flow is doing, and so how long it may be idle: an index of network.timeout. */
enum flow_state {
	FLOW_TCP_OPENING, /* not yet acknowledged from both sides */
	FLOW_TCP_ESTABLISHED,
	FLOW_TCP_CLOSING, /* a RST, or a FIN from both sides, was seen */
	FLOW_UDP,
	FLOW_ICMP,
	FLOW_STATE_COUNT,
};

/* A subnet of a network, by the host's address in it; prefix_length 0: unused. */
struct subnet {
	struct address gateway;
	__u32 prefix_length; /* in bits of the address's own family */
};

/* Part of the address space: the addresses that are first where mask has ones. */
struct prefix {
	struct address first, mask;
};

/* One causeway network: index of `networks`; slot 0 is never used, a slot with an empty name is free. */
struct network {
	char name[CAUSEWAY_NAME_LEN];
	char device[CAUSEWAY_DEVICE_LEN];                        /* the gateway device */
	struct subnet subnets[CAUSEWAY_SUBNETS_MAX];             /* those used come first */
	struct prefix unmasqueraded[CAUSEWAY_UNMASQUERADED_MAX]; /* those used come first */
	__u32 ifindex;                                           /* the gateway device; 0 while it is being made */
	__u32 flags;                                             /* enum network_flag */
	__u32 mtu;
	__u16 port_min, port_max; /* source ports for translation, inclusive, host order */
	__u32 unmasqueraded_count;
	__u32 flows_max;                 /* quota of each sandbox: flows at once */
	__u32 flows_per_second;          /* quota of each sandbox: new flows a second, and as many in a burst */
	__u32 multicast_per_second;      /* likewise: packets that it sends to groups */
	__u8 mac[6];                     /* the gateway's; also of every host end */
	__u16 port_block;                /* ports of each sandbox's own; 0: all draw from the range */
	__u32 timeout[FLOW_STATE_COUNT]; /* seconds */
};

enum link_flag {
	LINK_ISOLATED = 1 << 0,  /* sends to no other sandbox of its network */
	LINK_QUEUED = 1 << 1,    /* what goes there has to pass the host end's own queue: no peer redirect */
	LINK_POLICED = 1 << 2,   /* has a rate in `shapers` that what it sends must not exceed */
	LINK_MULTICAST = 1 << 3, /* is of a network with NETWORK_MULTICAST */
	LINK_DHCP = 1 << 4,      /* has its address of a DHCP server on the host, which it asks for it and hears */
};

/* The way to a sandbox: through which host end, and how a frame for it begins. */
struct sandbox_link {
	__u32 ifindex; /* host end, or gateway device */
	__u16 slot;    /* index of `traffic` */
	__u16 flags;   /* enum link_flag */
	__u8 mac[6];   /* the sandbox's: destination of what goes there, source of what comes */
	__u8 gateway_mac[6];
};

/* What may a link send? Key of `sandboxes`: ifindex of the host end. */
struct sandbox {
	/*
	 * By family; all zero: it has none of that family. The first of each: further ones are in `endpoints`, whose
	 * link's ifindex says whose they are.
	 */
	struct address address[FAMILY_COUNT]; /* its own */
	struct address gateway[FAMILY_COUNT]; /* the host's in its subnet: source of the errors that it is sent */
	struct sandbox_link link;
	__u32 network; /* index of `networks` */
	__u32 gateway_ifindex;
	__u32 mtu;
	__u16 port_min, port_max; /* source ports of its own, inclusive; 0: the network's */
	__u32 flows_max;          /* quota of its own; 0: the network's */
	__u32 flows_per_second;   /* likewise; CAUSEWAY_ANY_RATE: any number */
};
#define CAUSEWAY_ANY_RATE 0xffffffff

/* The one value of `host_ports`. */
struct host_ports {
	__u64 reserved[1024]; /* never chosen for a flow: bit n of word w is port 64 w + n */
};

/* The one value of `loopback`: for what the host sends to published ports; inclusive, host order. */
struct loopback_ports {
	__u16 min, max; /* the kernel gives none of them to a socket by itself */
};

/* How fast a sandbox may be sent to, and send. Key of `shapers`: its slot. Rates in bytes a second, 0: any. */
struct shaper {
	__u64 to_rate, to_burst; /* of the queue at the host end; bursts in bytes */
	__u64 from_rate, from_burst;
	__u64 policed_rate, tolerance; /* what the programs let pass of what it sends: a little more; ns */
	__u64 arrival;                 /* CLOCK_MONOTONIC, ns: when all it has sent would have come at that rate */
};

/* What a sandbox takes of what all share. Index of `usage`: its slot; CAUSEWAY_WORLD_SLOT: what comes from outside. */
#define CAUSEWAY_WORLD_SLOT 0 /* of no sandbox */
struct usage {
	__u64 opening;   /* CLOCK_MONOTONIC, ns: when its flows so far would have been opened at its rate */
	__u64 admitting; /* likewise: those that others have opened to it */
	__u64 answering; /* likewise: when the ICMP errors that it has been told would have been at the rate of all */
	__u64 since;     /* likewise: of the slot's flows those made before are of a sandbox that is gone */
	__u64 grouping;  /* likewise: when all that it has sent to groups would have been sent at its rate */
	__u32 flows;     /* that have a turn of ageing */
	__u32 fragments; /* packets in fragments under way */
	__u32 held;      /* fragments that wait */
	__u32 ended;     /* of the flows: by a packet, and their turn is to come */
};
#define CAUSEWAY_NOBODY_SINCE 0xffffffffffffffff /* usage.since while nobody has the slot, but flows of it are left */

enum endpoint_kind {
	ENDPOINT_CLAIMED, /* allocated, not yet connected */
	ENDPOINT_SANDBOX,
	ENDPOINT_GATEWAY, /* the host's own address on a gateway device */
};

/* Where does an address live? Key of `endpoints`: struct address. Inserting one allocates the address. */
struct endpoint {
	__u64 claim; /* of the attachment that owns it; 0 for a gateway */
	struct sandbox_link link;
	__u32 network;
	__u32 kind; /* enum endpoint_kind */
	__u32 reserved;
};

/* Packets as the sandbox sees them, per CPU. Index of `traffic`: the slot that its attachment holds. */
struct traffic {
	__u64 sent_packets, sent_bytes;
	__u64 received_packets, received_bytes;
	__u64 dropped_packets; /* of those that it sent */
};

enum uplink_flag {
	UPLINK_TEMPORARY = 1 << 0, /* the kernel would name a temporary address of IPv6: the recorded one serves */
};

/* A device to the world. Key of `uplinks`: ifindex. */
struct uplink {
	/* By family; all zero: none. Source for translation where the kernel can't name one (before 6.7). */
	struct address address[FAMILY_COUNT];
	__u32 flags; /* enum uplink_flag */
};

enum flow_seen { /* TCP flags seen in one direction */
		 SEEN_SYN = 1 << 0,
		 SEEN_ACK = 1 << 1,
		 SEEN_FIN = 1 << 2,
		 SEEN_RST = 1 << 3,
};

enum flow_flag {
	FLOW_FROM_WORLD = 1 << 0, /* the world opened it, and so chose the address */
	FLOW_MAPPED = 1 << 1,     /* has its port from an endpoint-independent mapping */
	FLOW_OPEN = 1 << 2,       /* an entry without a peer's port: whoever it matches may open a flow */
	FLOW_LOOPBACK = 1 << 3,   /* the host's own, to a published port by one of its addresses */
	FLOW_FORWARDED = 1 << 4,  /* the host's stack has forwarded what opened it, and hears the answers */
};

/*
 * One direction of a flow, as the packet is before translation. A flow has two entries in `flows`:
 * as the sandbox sends (scope: its host end), and as the world sends (scope 0). For ICMP queries the identifier is
 * source_port of the request and destination_port of the reply, the other port is 0 (so may it be: hence world_asks);
 * protocols without ports have 0 for both. A published port is one entry, as the world sends, without source; with the
 * unspecified address (0.0.0.0 or ::) for destination, it is published on each of the host's addresses of that family.
 * An endpoint-independent mapping is a pair without peer: as sent with the host's address for destination, and marked
 * in its scope. What it admits is a pair without the peer's port, as sent from what the endpoint is mapped to.
 */
struct flow_key {
	struct address source, destination;
	__be16 source_port, destination_port;
	__u32 scope;
	__u8 protocol;
	__u8 world_asks; /* of ICMP: 1 in both entries where the query is the world's */
	__u8 reserved[2];
};
#define CAUSEWAY_SCOPE_MAPPING 0x80000000 /* beside the ifindex, which is never so great */

struct flow {
	__u64 created;          /* CLOCK_MONOTONIC, ns */
	__u64 last_seen;        /* of this direction; as the kernel's coarse clock has it, so up to 10 ms before */
	struct address address; /* as sent: the new source; as replied: the new destination */
	__be16 port;            /* likewise */
	__u8 flags;             /* enum flow_flag */
	__u8 reserved;
	struct sandbox_link link; /* of the sandbox whose flow it is */
	__u16 network;
	__u16 route_mtu;
	__u32 seen;              /* enum flow_seen, of this direction */
	struct address next_hop; /* as sent: of the way that the host's routes had for it at that generation */
	__u32 route_generation;
	__u32 route_ifindex; /* uplink; 0: no way is kept */
};

/* A flow to be looked at when its turn comes. Value of the queue `ageing_turns`. */
struct ageing_turn {
	struct flow_key key;    /* as sent */
	__u32 slot;             /* of the sandbox whose flow it is */
	__u64 created;          /* of that flow: another one may have its keys by then */
	struct address address; /* as sent: with the port, what is needed for the key as replied */
	__be16 port;
	__u8 reserved[6];
};

/* The one value of `ageing`. */
struct ageing {
	struct bpf_timer timer;
	__u64 turns;      /* in the queue: one a flow */
	__u64 ticks;      /* so far, but those of a sweep */
	__u64 sweep;      /* turns to be taken soon, since flows of a sandbox that is gone are among them */
	__u32 departures; /* that a sweep was begun for */
	__u32 reserved;
};

/* One packet in fragments, before translation. Key of `trains`. */
struct fragment_key {
	struct address source, destination;
	__u32 scope;           /* as in struct flow_key */
	__be32 identification; /* IPv4's 16 bits come first, the rest is 0 */
	__u8 protocol;         /* 0 with IPv6, where it tells no packets apart (RFC 8200, section 4.5) */
	__u8 reserved[3];
};

/* What is known of a packet whose fragments are under way: what only its first one tells, and which wait for that. */
struct fragment_train {
	struct bpf_spin_lock lock; /* of known, held_count, held */
	__u32 slot;                /* of the sandbox that sends it */
	__u64 begun;               /* CLOCK_MONOTONIC, ns */
	__u64 arrived;             /* a bit for each piece that was translated */
	__u32 passed, total;       /* bytes after the IP headers: translated so far; of all, 0 while unknown */
	__be32 identification;     /* that the world sees; as in struct fragment_key */
	__be16 source_port, destination_port;
	__u8 icmp;      /* what kind of message, where it is ICMP */
	__u8 known;     /* the first fragment was here */
	__u16 piece;    /* bytes of the first fragment, after its IP header: of each but the last */
	__u8 pieces;    /* how many; 0 while unknown */
	__u8 irregular; /* the pieces are not of one size */
	__u16 held_count;
	__u16 held[CAUSEWAY_HELD_OF_ONE_MAX]; /* offsets of those that wait, in bytes */
	__u8 protocol;                        /* of the first fragment, behind all its headers */
	__u8 reserved[5];
};

/* Key of `held_fragments`. */
struct held_key {
	struct fragment_key train;
	__u32 offset;
};

/* A frame that waits for the first fragment of its packet. */
struct held_fragment {
	__u32 length;
	__u8 frame[CAUSEWAY_HELD_BYTES];
};

#define CAUSEWAY_TRAIN_SECONDS                                                                                         \
	30 /* that a packet's fragments have to come together: RFC 1122, section 3.3.2, allows 60 */

#define CAUSEWAY_AGEING_TICK_MS 250 /* the timer's period */
#define CAUSEWAY_AGEING_TICKS 128   /* periods, at the most, until every flow was looked at once */

/*
 * Userspace's record of one interface of one container, written before anything that it names is made, so
 * that whatever a killed ADD left can be found and undone. Programs never read it.
 */
struct attachment_key {
	char container[CAUSEWAY_CONTAINER_LEN];
	char interface[CAUSEWAY_DEVICE_LEN]; /* in the sandbox */
};

enum attachment_state {
	ATTACHMENT_CONNECTING,
	ATTACHMENT_CONNECTED,
	ATTACHMENT_CLEARED, /* all that it names is gone; what is left is to be given back to whoever it is of */
};

enum attachment_flag {
	ATTACHMENT_GIVEN = 1 << 0,  /* both ends were there before: another plugin's of the chain, and stay */
	ATTACHMENT_BARE = 1 << 3,   /* given, and without a peer: what is behind it, no namespace of this host's has */
	ATTACHMENT_SHAPED = 1 << 2, /* has an entry in `shapers`, or is about to */
	ATTACHMENT_PUBLISHES = 1 << 1, /* has ports in `publications`, or is about to */
	ATTACHMENT_LEASED = 1 << 4,    /* its addresses are somebody else's, to whom they have to be given back */
	ATTACHMENT_ASKS =
		1 << 5, /* LEASED, by its own link: which is to be up before, and there when they are given back */
};

struct attachment {
	__u64 claim; /* random, never 0; endpoints that carry it are this attachment's */
	struct address addresses[CAUSEWAY_ADDRESSES_MAX]; /* claimed, or about to be; those used come first */
	__u16 state;                                      /* enum attachment_state */
	__u16 flags;                                      /* enum attachment_flag */
	__u32 network;
	__u32 ifindex; /* host end; 0 while unknown */
	__u32 slot;    /* held in `slots` under this claim, or about to be */
	__u32 rest;    /* seconds that its addresses are not given out again afterwards */
	__u32 block;   /* likewise in `port_blocks`: its first port; 0: none */
	char host_end[CAUSEWAY_DEVICE_LEN];
	char netns[CAUSEWAY_NETNS_LEN];
};

/* Userspace's record of a published port. Key of `publications`, by number from 0 on. */
struct publication_key {
	__u64 claim; /* of the attachment that has published it */
	__u32 number;
	__u32 reserved;
};

struct publication {
	struct address host; /* where; 0.0.0.0 or ::, on each of the host's addresses of that family */
	__u16 host_port, sandbox_port;
	__u8 protocol;
	__u8 has_host; /* 0: on each of the host's addresses of both families */
	__u8 reserved[2];
};

/* Last address given out from a range. Key of `cursors`: the range's first address. */
struct cursor {
	struct address last;
};

/* When may an address that was given back be given out again? Key of `resting`: the address. */
struct rest {
	__u64 until; /* CLOCK_MONOTONIC, ns */
};

#ifdef __cplusplus
#define CAUSEWAY_SIZE(type, size) static_assert(sizeof(type) == (size), #type)
#else
#define CAUSEWAY_SIZE(type, size) _Static_assert(sizeof(type) == (size), #type)
#endif
CAUSEWAY_SIZE(struct address, 16);
CAUSEWAY_SIZE(struct network, 64 + 16 + 20 * CAUSEWAY_SUBNETS_MAX + 32 * CAUSEWAY_UNMASQUERADED_MAX + 3 * 4 + 4 +
				      4 * 4 + 8 + 4 * FLOW_STATE_COUNT);
CAUSEWAY_SIZE(struct table_sizes, 8);
CAUSEWAY_SIZE(struct usage, 56);
CAUSEWAY_SIZE(struct shaper, 56);
CAUSEWAY_SIZE(struct fragment_key, 44);
CAUSEWAY_SIZE(struct fragment_train, 48 + 2 * CAUSEWAY_HELD_OF_ONE_MAX + 6);
CAUSEWAY_SIZE(struct held_key, 48);
CAUSEWAY_SIZE(struct sandbox_link, 20);
CAUSEWAY_SIZE(struct sandbox, 44 + 32 * FAMILY_COUNT);
CAUSEWAY_SIZE(struct uplink, 16 * FAMILY_COUNT + 4);
CAUSEWAY_SIZE(struct endpoint, 40);
CAUSEWAY_SIZE(struct traffic, 40);
CAUSEWAY_SIZE(struct flow_key, 44);
CAUSEWAY_SIZE(struct flow, 88); /* 96 would take the kernel's next larger object */
CAUSEWAY_SIZE(struct ageing_turn, 80);
CAUSEWAY_SIZE(struct ageing, 48);
CAUSEWAY_SIZE(struct attachment_key, 256);
CAUSEWAY_SIZE(struct publication_key, 16);
CAUSEWAY_SIZE(struct publication, 24);
CAUSEWAY_SIZE(struct attachment, 8 + 16 * CAUSEWAY_ADDRESSES_MAX + 24 + 16 + 256);

#endif
