/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * To which ports does a fragment belong? Only the first one of a packet says; a train is what is remembered of it.
 * Later fragments that come before it are held, and sent through again behind it, so that the rest of the pipeline sees
 * each fragment with its ports, in whatever order they came.
 */
#ifndef CAUSEWAY_FRAGMENT_BPF_H
#define CAUSEWAY_FRAGMENT_BPF_H

#include <linux/errno.h>

#include "parse.bpf.h"
#include "quota.bpf.h"
#include "shaper.bpf.h"

#define TCP_HEADER_MIN 20 /* RFC 1858, section 3.2.2: no fragment begins inside of it */

static __always_inline struct fragment_key train_key(const struct packet *packet, __u32 scope)
{
	return (struct fragment_key){
		.source = packet->source,
		.destination = packet->destination,
		.scope = scope,
		.identification = packet->identification,
		.protocol = packet->family == FAMILY_IPV6 ? 0 : packet->protocol,
	};
}

/*
 * For a packet that may be cut up on its way: what sandboxes chose for themselves may collide once they share an
 * address, so all draw from one sequence (RFC 6864, section 5.3.1). count: packets that it will be segmented into. Of
 * IPv4, the last 16 bits.
 */
static __always_inline __u32 next_identification(__u32 count)
{
	__u32 *last = bpf_map_lookup_elem(&identifications, &(__u32){0});

	return last ? __sync_fetch_and_add(last, count ? count : 1) : 0;
}

/* Never 0, which stands for none. */
static __noinline __be32 identification_of_train(__u8 protocol)
{
	__u32 next = next_identification(1);

	if (!(__u16)next)
		next = next_identification(1);
	return protocol ? bpf_htons(next) : bpf_htonl(next);
}

static const __u8 empty_train[sizeof(struct fragment_train)]; /* the stack has no room for one */

/*
 * Takes the room of one for that slot, if it has less than `most`. What the world sends has half of all; of the other
 * half each sandbox has but a share of what is free, as with flows.
 */
static __noinline bool take_room(enum fragment_room room, __u32 scope, __u32 slot, __u32 most)
{
	const __u32 half = (room == ROOM_FOR_TRAINS ? CAUSEWAY_TRAINS_MAX : CAUSEWAY_HELD_MAX) / 2;
	__u32 *all = bpf_map_lookup_elem(&fragments_of_sandboxes, &(__u32){room});
	struct usage *taken = bpf_map_lookup_elem(&usage, &slot);
	__u32 *own;

	if (!all || !taken)
		return false;
	own = room == ROOM_FOR_TRAINS ? &taken->fragments : &taken->held;
	if (*own >= most || (scope && (*all >= half || *own * FREE_SHARE >= half - *all)))
		return false;
	__sync_fetch_and_add(own, 1);
	if (scope)
		__sync_fetch_and_add(all, 1);
	return true;
}

static __noinline void give_room_back(enum fragment_room room, __u32 scope, __u32 slot)
{
	__u32 *all = bpf_map_lookup_elem(&fragments_of_sandboxes, &(__u32){room});
	struct usage *taken = bpf_map_lookup_elem(&usage, &slot);
	__u32 *own;

	if (!all || !taken)
		return;
	own = room == ROOM_FOR_TRAINS ? &taken->fragments : &taken->held;
	if (*own) /* the slot may have another holder since */
		__sync_fetch_and_sub(own, 1);
	if (scope)
		__sync_fetch_and_sub(all, 1);
}

/*
 * The train of that key; a new one if there is room in the table and in the quota of the slot. known: it is of a flow
 * that is there. What the world can send without one takes at most half of the world's, so that answers have the rest.
 */
static __always_inline struct fragment_train *train_at(const struct fragment_key *key, __u32 slot, bool known)
{
	__u32 most = key->scope ? CAUSEWAY_TRAINS_OF_ONE_MAX : CAUSEWAY_TRAINS_MAX / (known ? 2 : 4);
	struct fragment_train *train = bpf_map_lookup_elem(&trains, key);

	if (train)
		return train;
	if (!take_room(ROOM_FOR_TRAINS, key->scope, slot, most))
		return NULL;
	if (bpf_map_update_elem(&trains, key, empty_train, BPF_NOEXIST)) {
		give_room_back(ROOM_FOR_TRAINS, key->scope, slot);
		return bpf_map_lookup_elem(&trains, key);
	}
	train = bpf_map_lookup_elem(&trains, key);
	if (!train)
		return NULL;
	train->slot = slot;
	train->identification = identification_of_train(key->protocol);
	train->begun = bpf_ktime_get_ns();
	return train;
}

/* slot: a copy of the train's, which is gone then. */
static __always_inline void forget_train(const struct fragment_key *key, __u32 slot)
{
	if (!bpf_map_delete_elem(&trains, key))
		give_room_back(ROOM_FOR_TRAINS, key->scope, slot);
}

/* Keeps a copy of the frame, if the slot may have one more; of a duplicate, the first. 0, or -errno. */
static __always_inline long hold_frame(struct __sk_buff *skb, const struct held_key *key, __u32 slot)
{
	__u32 most = key->train.scope ? CAUSEWAY_HELD_OF_SANDBOX_MAX : CAUSEWAY_HELD_MAX / 2;
	struct held_fragment *copy = bpf_map_lookup_elem(&frame_copy, &(__u32){0});
	__u32 length = skb->len;
	long error;

	if (!copy || length < ETH_HLEN || length > CAUSEWAY_HELD_BYTES)
		return -EMSGSIZE;
	if (!take_room(ROOM_FOR_HELD, key->train.scope, slot, most))
		return -ENOSPC;
	copy->length = length;
	error = bpf_skb_load_bytes(skb, 0, copy->frame, length);
	if (!error)
		error = bpf_map_update_elem(&held_fragments, key, copy, BPF_NOEXIST);
	if (error)
		give_room_back(ROOM_FOR_HELD, key->train.scope, slot);
	return error;
}

static __always_inline void release_frame(const struct held_key *key, __u32 slot)
{
	if (!bpf_map_delete_elem(&held_fragments, key))
		give_room_back(ROOM_FOR_HELD, key->train.scope, slot);
}

static __always_inline void take_ports(struct packet *packet, struct fragment_train *train)
{
	packet->ports.source = train->source_port;
	packet->ports.destination = train->destination_port;
	packet->ports.icmp = train->icmp;
	packet->protocol = train->protocol;
	packet->train = train;
}

/* A later fragment. CONTINUE: its ports are filled in. */
static __noinline enum verdict join_train(struct packet *packet, __u32 scope, __u32 slot)
{
	struct held_key held = {.train = train_key(packet, scope), .offset = packet->fragment_offset};
	struct fragment_train *train;
	__u32 place;
	bool known;
	long error;

	if (packet->protocol == IPPROTO_TCP && packet->fragment_offset < TCP_HEADER_MIN)
		return VERDICT_DROP_BAD_HEADER;
	train = train_at(&held.train, slot, false);
	if (!train)
		return VERDICT_DROP_FRAGMENT;
	if (!train->known) {
		error = train->held_count >= CAUSEWAY_HELD_OF_ONE_MAX ? -ENOSPC : hold_frame(packet->skb, &held, slot);
		if (error)
			return error == -EEXIST ? VERDICT_FRAGMENT_HELD : VERDICT_DROP_FRAGMENT;
		bpf_spin_lock(&train->lock);
		known = train->known;
		place = train->held_count;
		if (!known && place < CAUSEWAY_HELD_OF_ONE_MAX) {
			train->held[place] = packet->fragment_offset;
			train->held_count = place + 1;
		}
		bpf_spin_unlock(&train->lock);
		if (!known)
			return VERDICT_FRAGMENT_HELD;
		release_frame(&held, slot); /* the first one came meanwhile */
	}
	take_ports(packet, train);
	return VERDICT_CONTINUE;
}

/*
 * The ports of a later fragment whose first one was seen, before it joins its train: its route may depend on them. One
 * within the TCP header gets none, and is refused when it joins.
 */
static __noinline void recall_ports(struct packet *packet, __u32 scope)
{
	struct fragment_key key = train_key(packet, scope);
	struct fragment_train *train = bpf_map_lookup_elem(&trains, &key);

	if (train && train->known && (packet->protocol != IPPROTO_TCP || packet->fragment_offset >= TCP_HEADER_MIN))
		take_ports(packet, train);
}

struct replay {
	struct __sk_buff *skb;
	__u32 waiting, next; /* how many; 0: there is none */
	__u64 direction;
	struct held_key key;
	const struct fragment_train *train;
};

/* Finds the lowest offset of those that wait above the last one that was replayed. */
static long look_at_held(__u32 place, struct replay *replay)
{
	__u32 offset;

	if (place >= CAUSEWAY_HELD_OF_ONE_MAX)
		return 1;
	offset = replay->train->held[place];
	if (offset > replay->key.offset && (!replay->next || offset < replay->next))
		replay->next = offset;
	return 0;
}

/* What a device has made of the whole packet as its sum (CHECKSUM_COMPLETE) begins behind the Ethernet header. */
static __always_inline long become(struct __sk_buff *skb, const struct held_fragment *held, __u32 length)
{
	long error = bpf_skb_change_tail(skb, length, 0);

	if (!error)
		error = bpf_skb_store_bytes(skb, 0, held->frame, ETH_HLEN, 0);
	if (!error)
		error = bpf_skb_store_bytes(skb, ETH_HLEN, held->frame + ETH_HLEN, length - ETH_HLEN,
					    BPF_F_RECOMPUTE_CSUM);
	return error;
}

/* In order: the skb becomes the next held fragment, and a clone of it goes in where it had come in. */
static long replay_held(__u32 step __attribute__((unused)), struct replay *replay)
{
	struct held_fragment *held;
	__u32 length;

	replay->next = 0;
	bpf_loop(replay->waiting, look_at_held, replay, 0);
	if (!replay->next)
		return 1;
	replay->key.offset = replay->next;
	held = bpf_map_lookup_elem(&held_fragments, &replay->key);
	if (!held)
		return 0;
	length = held->length;
	if (length > ETH_HLEN && length <= CAUSEWAY_HELD_BYTES && !become(replay->skb, held, length))
		bpf_clone_redirect(replay->skb, replay->skb->ifindex, replay->direction);
	release_frame(&replay->key, replay->train->slot);
	return 0;
}

/* How many have waited for it, whose places in `held` are free from now on. */
static __always_inline __u32 make_known(struct fragment_train *train, const struct packet *packet)
{
	__u32 waiting;

	bpf_spin_lock(&train->lock);
	train->source_port = packet->ports.source;
	train->destination_port = packet->ports.destination;
	train->icmp = packet->ports.icmp;
	train->protocol = packet->protocol;
	train->known = 1;
	waiting = train->held_count;
	train->held_count = 0;
	bpf_spin_unlock(&train->lock);
	return waiting;
}

/*
 * The first fragment, its ports parsed. CONTINUE: those that follow will find them. REPLAYED: some were waiting, and so
 * this one was sent through again, and they behind it.
 */
static __noinline enum verdict begin_train(struct packet *packet, __u32 scope, __u32 slot)
{
	struct replay replay = {.skb = packet->skb, .key.train = train_key(packet, scope)};
	struct fragment_train *train = train_at(&replay.key.train, slot, true);
	__u32 waiting;

	if (!train)
		return VERDICT_DROP_FRAGMENT;
	waiting = make_known(train, packet);
	packet->train = train;
	if (!waiting)
		return VERDICT_CONTINUE;
	replay.train = train;
	replay.direction = packet->at_egress ? 0 : BPF_F_INGRESS;
	if (scope && !packet->at_egress)
		mark_admitted(packet->skb, slot);
	bpf_clone_redirect(packet->skb, packet->skb->ifindex, replay.direction);
	replay.waiting = waiting;
	bpf_loop(waiting, replay_held, &replay, 0);
	return VERDICT_FRAGMENTS_REPLAYED;
}

/* Bytes behind the headers that each fragment of the packet has. */
static __always_inline __u32 fragment_length(const struct packet *packet)
{
	__u32 begin = packet->fragment_header ? packet->fragment_header + EXTENSION_UNIT : packet->transport_offset;

	return packet->transport_length + packet->transport_offset - begin;
}

/*
 * Whether this was the last piece that was missing. Senders cut all pieces but the last to one size, so each has a
 * place, and one that comes twice is no other; of a packet that is cut otherwise, or into more than 64, the bytes are
 * counted.
 */
static __always_inline bool completes_train(const struct packet *packet, struct fragment_train *train)
{
	__u32 length = fragment_length(packet), place;
	__u32 passed = __sync_fetch_and_add(&train->passed, length) + length;

	if (!packet->fragment_offset)
		train->piece = length;
	place = train->piece ? packet->fragment_offset / train->piece : 64;
	if (!packet->more_fragments)
		train->total = packet->fragment_offset + length;
	if (place > 63 || place * train->piece != packet->fragment_offset ||
	    (packet->more_fragments && length != train->piece))
		train->irregular = 1;
	if (train->irregular)
		return train->total && passed >= train->total;
	if (!packet->more_fragments)
		train->pieces = place + 1;
	__sync_fetch_and_or(&train->arrived, 1ULL << (place & 63));
	return train->pieces && train->arrived == ~0ULL >> ((64 - train->pieces) & 63);
}

/* The fragment goes on, translated. */
static __noinline void leave_train(const struct packet *packet, __u32 scope)
{
	struct fragment_train *train = packet->train;
	struct fragment_key key;

	if (!train || !completes_train(packet, train))
		return;
	key = train_key(packet, scope);
	forget_train(&key, train->slot);
}

static long drop_held(__u32 place, struct replay *dropped)
{
	if (place >= CAUSEWAY_HELD_OF_ONE_MAX)
		return 1;
	dropped->key.offset = dropped->train->held[place];
	release_frame(&dropped->key, dropped->train->slot);
	return 0;
}

/*
 * A fragment of the world's for the host itself, whose stack waits for the others, and has those that came before the
 * first. The others behind it are known for the host's, and so wait nowhere.
 */
static __noinline void leave_to_host(struct packet *packet)
{
	struct replay dropped = {.key.train = train_key(packet, 0)};

	if (!packet->fragment_offset && !packet->train) {
		packet->train = train_at(&dropped.key.train, CAUSEWAY_WORLD_SLOT, false);
		if (!packet->train)
			return;
		dropped.train = packet->train;
		bpf_loop(make_known(packet->train, packet), drop_held, &dropped, 0);
	}
	leave_train(packet, 0);
}

/* --- ageing --- */

static long age_train(void *map __attribute__((unused)), const struct fragment_key *key, struct fragment_train *train,
		      const __u64 *now)
{
	struct replay expired = {.train = train};

	if (!train->begun || *now < train->begun + CAUSEWAY_TRAIN_SECONDS * SECOND)
		return 0;
	expired.key.train = *key;
	bpf_loop(train->held_count, drop_held, &expired, 0);
	forget_train(key, train->slot);
	return 0;
}

static __always_inline void age_trains(void)
{
	__u64 now = bpf_ktime_get_ns();

	bpf_for_each_map_elem(&trains, age_train, &now, 0);
}

#endif
