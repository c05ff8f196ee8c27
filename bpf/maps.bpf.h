/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which state does the datapath keep? All maps, each with its card. */
#ifndef CAUSEWAY_MAPS_BPF_H
#define CAUSEWAY_MAPS_BPF_H

#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <causeway/abi.h>

/*
 * A card: key -> value | written by | read by | lives until | size.
 * "control plane" is the plugin or causewayctl.
 */

/* host end's ifindex -> identity of its sandbox | control plane | from_sandbox | DEL | ~100 B a sandbox */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CAUSEWAY_SANDBOXES_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__type(key, __u32);
	__type(value, struct sandbox);
} sandboxes SEC(".maps");

/* address -> where it lives; the insertion allocates it | control plane | all programs | DEL | ~112 B */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2 * CAUSEWAY_SANDBOXES_MAX);
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
	__uint(max_entries, CAUSEWAY_FLOW_ENTRIES_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct flow_key);
	__type(value, struct flow);
} flows SEC(".maps");

/* flows in the order in which they are looked at | new flows, ageing | ageing | ageing | 56 B a flow, all of it at load
 */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, CAUSEWAY_FLOW_ENTRIES_MAX / 2);
	__type(value, struct ageing_turn);
} ageing_turns SEC(".maps");

/* 0 -> the timer that ages flows | start_ageing | age_flows | unload | one */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ageing);
} ageing SEC(".maps");

/* host end's ifindex -> packets and bytes | programs | causewayctl | DEL | 40 B a CPU a sandbox */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, CAUSEWAY_SANDBOXES_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct traffic);
} traffic SEC(".maps");

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
	__uint(max_entries, CAUSEWAY_SANDBOXES_MAX);
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
	__uint(max_entries, 2 * CAUSEWAY_SANDBOXES_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__type(key, struct address);
	__type(value, struct rest);
} resting SEC(".maps");

#endif
