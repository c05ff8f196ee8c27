/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which state does the datapath keep? All maps, each with its card. */
#ifndef CAUSEWAY_MAPS_BPF_H
#define CAUSEWAY_MAPS_BPF_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <causeway/abi.h>

/* Set before the load. What is declared below by CAUSEWAY_..._DEFAULT gets that size then: userspace/datapath.cpp. */
const volatile struct table_sizes table_sizes = {
	.flows = CAUSEWAY_FLOWS_DEFAULT,
	.sandboxes = CAUSEWAY_SANDBOXES_DEFAULT,
};

/*
 * A card: key -> value | written by | read by | lives until | size.
 * "control plane" is the plugin or causewayctl.
 */

/* host end's ifindex -> identity of its sandbox | control plane | from_sandbox | DEL | ~100 B a sandbox */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CAUSEWAY_SANDBOXES_DEFAULT);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__type(key, __u32);
	__type(value, struct sandbox);
} sandboxes SEC(".maps");

/* address -> where it lives; the insertion allocates it | control plane | all programs | DEL | ~112 B */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2 * CAUSEWAY_SANDBOXES_DEFAULT + CAUSEWAY_GATEWAYS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__type(key, struct address);
	__type(value, struct endpoint);
} endpoints SEC(".maps");

/* network id -> its configuration | control plane | translation, ageing | unload | 10 KB in all */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CAUSEWAY_NETWORKS_MAX);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__type(key, __u32);
	__type(value, struct network);
} networks SEC(".maps");

/* uplink's ifindex -> its source address | control plane | from_sandbox | unload | small */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CAUSEWAY_UPLINKS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__type(key, __u32);
	__type(value, struct uplink);
} uplinks SEC(".maps");

/* one direction of a flow -> its translation and state | programs | programs, causewayctl | ageing | ~176 B, twice a
 * flow */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2 * CAUSEWAY_FLOWS_DEFAULT);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct flow_key);
	__type(value, struct flow);
} flows SEC(".maps");

/* flows in the order in which they are looked at | new flows, ageing | ageing | ageing | 80 B a flow, all of it at load
 */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, CAUSEWAY_FLOWS_DEFAULT);
	__type(value, struct ageing_turn);
} ageing_turns SEC(".maps");

/* slot -> what its sandbox takes of what all share | programs, ADD, DEL | programs | unload | 640 KB */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CAUSEWAY_SANDBOXES_DEFAULT + 1);
	__type(key, __u32);
	__type(value, struct usage);
} usage SEC(".maps");

/* slot -> the bandwidth of its sandbox, where it has one | control plane; from_sandbox the time | from_sandbox | DEL |
 * ~110 B */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CAUSEWAY_SANDBOXES_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct shaper);
} shapers SEC(".maps");

/* packet in fragments -> what its first one told | programs | programs | its last fragment, or ageing | ~230 B */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CAUSEWAY_TRAINS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct fragment_key);
	__type(value, struct fragment_train);
} trains SEC(".maps");

/* packet and offset -> fragment that waits | programs | programs | its first fragment, or ageing | 9 KB, only when used
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CAUSEWAY_HELD_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct held_key);
	__type(value, struct held_fragment);
} held_fragments SEC(".maps");

enum fragment_room { ROOM_FOR_TRAINS, ROOM_FOR_HELD, FRAGMENT_ROOM_COUNT };

/* enum fragment_room -> how much of it sandboxes have taken | programs | programs | lives as long as the datapath |
 * 16 B */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FRAGMENT_ROOM_COUNT);
	__type(key, __u32);
	__type(value, __u32);
} fragments_of_sandboxes SEC(".maps");

/* What is looked for or put into `flows`. */
struct flow_work {
	struct flow_key sent, reply, published, mapping;
	struct flow entry;
	struct bpf_sock_tuple tuple; /* of a socket of the host's */
};

/* 0 -> room for keys and an entry, since the stack has none | programs | programs | one packet | 310 B a CPU */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct flow_work);
} flow_work SEC(".maps");

#define RECENT_MAX 256 /* of each kind, on each CPU */

/* A decision to send a packet to a sandbox, with all that it was made by but for what every packet is asked. */
struct recent_peer {
	__u64 tick;
	struct address source, destination;
	__u32 ifindex; /* that it came through */
	__be16 ethertype;
	__u16 slot;            /* of the sandbox that sends; CAUSEWAY_WORLD_SLOT: the host does */
	__be16 macs[ETH_ALEN]; /* both, as they came */
	struct sandbox_link to;
};

/* mixed from ifindex and destination -> the last decision | programs | programs | one tick | 22 KB a CPU */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, RECENT_MAX);
	__type(key, __u32);
	__type(value, struct recent_peer);
} recent_peers SEC(".maps");

/* An entry of `flows` as it was. */
struct recent_flow {
	__u64 tick;
	struct flow_key key;
	__be16 macs[ETH_ALEN]; /* both, as they came */
	struct flow entry;
};

/* mixed from a flow's key -> the last entry | programs | programs | one tick | 50 KB a CPU */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, RECENT_MAX);
	__type(key, __u32);
	__type(value, struct recent_flow);
} recent_flows SEC(".maps");

/* Where the headers of a packet end, before and after those that extend the first one are skipped. */
struct chain {
	__u32 offset, length;  /* of what follows; length: bytes from there on */
	__u32 fragment_header; /* where that is; 0: there is none */
	__be32 identification;
	__u16 offset_and_more; /* of the fragment header, host order */
	__u8 protocol;         /* of what follows */
	__u8 refused_code;     /* with DROP_EXTENSION_HEADER: enum problem_code of ipv6.bpf.h */
};

/* 0 -> room for them, since the stack has none | programs | programs | one packet | 20 B a CPU */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct chain);
} chains SEC(".maps");

/* 0 -> room to copy a frame | programs | programs | unload | 9 KB a CPU */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct held_fragment);
} frame_copy SEC(".maps");

/* 0 -> the last identification given to a packet that may be cut up | programs | programs | unload | one */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} identifications SEC(".maps");

/* 0 -> ports that are not for flows | control plane | programs | unload | 8 KB */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__type(key, __u32);
	__type(value, struct host_ports);
} host_ports SEC(".maps");

/* 0 -> whether a port was ever published, so that nobody looks where there is none | control plane | programs | unload
 * | one */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__type(key, __u32);
	__type(value, __u32);
} publishing SEC(".maps");

/* port modulo the size -> whether one of these was ever published, so that little of what the host sends to itself is
 * looked up | control plane | from_loopback, control plane | unload | 32 KB */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CAUSEWAY_PUBLISHED_PLACES);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__type(key, __u32);
	__type(value, __u32);
} published_ports SEC(".maps");

/* 0 -> the ports under which sandboxes see the host, when it uses what they publish | control plane | from_loopback |
 * unload | one */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__type(key, __u32);
	__type(value, struct loopback_ports);
} loopback SEC(".maps");

/* claim and number -> a port that the attachment has published | control plane | control plane | DEL | ~90 B a port */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__type(key, struct publication_key);
	__type(value, struct publication);
} publications SEC(".maps");

/* 0 -> whether the host ever sent from a port that was taken, so that few of its packets are looked up | programs |
 * programs | unload | one */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} host_flows SEC(".maps");

/* 0 -> whether the host's stack ever forwarded what opened a flow, likewise | programs | programs | unload | one */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} forwarded_flows SEC(".maps");

/* peer and range -> when no port was found; peer -> when one came free | programs | programs | others come | 120 KB */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct flow_key);
	__type(value, __u64);
} exhausted SEC(".maps");

/* 0 -> the timer that ages flows | start_ageing | age_flows | unload | one */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ageing);
} ageing SEC(".maps");

/* 0 -> how many DELs have left flows for the timer to end | control plane | age_flows | unload | one */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__type(key, __u32);
	__type(value, __u32);
} departures SEC(".maps");

/* slot -> packets and bytes; an array, since each packet counts twice | programs | causewayctl | unload | 640 KB a CPU
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, CAUSEWAY_SANDBOXES_DEFAULT + 1);
	__type(key, __u32);
	__type(value, struct traffic);
} traffic SEC(".maps");

/* first port of a block -> claim of the attachment that holds it | control plane | control plane | DEL | ~64 B a block
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__type(key, __u32);
	__type(value, __u64);
} port_blocks SEC(".maps");

/* slot -> claim of the attachment that holds it | control plane | control plane | DEL | ~64 B a sandbox */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CAUSEWAY_SANDBOXES_DEFAULT);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__type(key, __u32);
	__type(value, __u64);
} slots SEC(".maps");

/* enum verdict -> packets that ended so | finish() | causewayctl | unload | 8 B a CPU each */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, VERDICT_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} verdicts SEC(".maps");

/* container and interface -> what ADD made for it | control plane | control plane | DEL | ~600 B */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CAUSEWAY_SANDBOXES_DEFAULT);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__type(key, struct attachment_key);
	__type(value, struct attachment);
} attachments SEC(".maps");

/* a range's first address -> the last one given out | control plane | control plane | unload | small */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__type(key, struct address);
	__type(value, struct cursor);
} cursors SEC(".maps");

/* an address given back -> until when it rests | control plane | control plane | its next claim | ~80 B */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2 * CAUSEWAY_SANDBOXES_DEFAULT);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__type(key, struct address);
	__type(value, struct rest);
} resting SEC(".maps");

#endif
