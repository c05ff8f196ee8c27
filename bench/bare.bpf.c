/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The least that a datapath of redirects can do: it looks at the destination and sends the packet on. No look-up, no
 * check of the sender, no NAT, no counter.
 */
#include <linux/bpf.h> /* before libbpf's, which use its types */

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>

#define AF_INET 2

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Set before the load. */
const volatile __be32 sandboxes[2], next_hop;
const volatile __u32 host_ends[2], uplink;

SEC("tc")
int from_anywhere(struct __sk_buff* skb) {
    struct bpf_redir_neigh way = {.nh_family = AF_INET, .ipv4_nh = next_hop};
    void *data = (void*)(long)skb->data, *end = (void*)(long)skb->data_end;
    const struct iphdr* ip = data + ETH_HLEN;

    if (skb->protocol != bpf_htons(ETH_P_IP) || (const void*)(ip + 1) > end)
        return TC_ACT_UNSPEC;
    if (ip->daddr == sandboxes[0])
        return (int)bpf_redirect_peer(host_ends[0], 0);
    if (ip->daddr == sandboxes[1])
        return (int)bpf_redirect_peer(host_ends[1], 0);
    return skb->ifindex == uplink ? TC_ACT_UNSPEC : (int)bpf_redirect_neigh(uplink, &way, sizeof(way), 0);
}
