#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Chains that other plugins begin: causeway attaches the link that they have made, or comes after loopback.
. "$(dirname "$0")/bed.sh"
. "$here/cni.sh"
. "$here/chain.sh"

# bridge and ptp wait until nobody has objected to an address of IPv6's, some seconds in all: there is nobody.
echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad
in_sandbox one sh -c "echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad"

# Behind a plugin that makes the interface, and others behind that: its host end is attached, and stays until that
# plugin's own DEL. Each of those that make one leaves the sandbox's addresses and default route to causeway. What the
# others have set stays, and what is for the sandbox passes the queue that was there before.
behind() { # IPAM CONFIG...
  local chain=("${@:2}" "${!1}") host_end sent
  chain ADD one "${chain[@]}"
  host_end=$(host_end)
  expect_equal "the interfaces in the sandbox" "$(in_sandbox one ip -o link | awk -F'[:@ ]+' '{print $2}' | paste -sd' ')" "lo eth0"
  expect_equal "the programs on the host end" \
    "$(tc filter show dev "$host_end" ingress | grep -o 'from_sandbox' | sort -u)" from_sandbox
  expect_works one
  in_sandbox two sh -c "$(for each in "${versions[@]}"; do speak "$each"; pinging "$(ours_in "$result")"; done)"
  if [[ $* = *'"mtu":1400'* ]]; then
    expect_equal "the MTU that tuning has set" "$(in_sandbox one ip -j link show eth0 | jq '.[0].mtu')" 1400
  fi
  if [[ $* = *ingressRate* ]]; then
    sent=$(sent_by "$host_end")
    large
    [ "$(sent_by "$host_end")" -gt $((sent + 1200)) ] || fail "what is for a sandbox does not pass the queue that was there before causeway"
  fi
  chain CHECK one "${!1}"
  expect_cni DEL one "$(netns_of one)" "$(with_previous "${!1}" "$result")"
  ip link show "$host_end" >/dev/null
  chain DEL one "${chain[@]}"
  expect_fails "the host end is left" ip link show "$host_end"
  expect_equal "leases of host-local's" "$(ls_leases)" ""
}
bridge=$(with '{"type": "bridge", "bridge": "br0"}')
behind base "$bridge" "$tuning" "$firewall"
behind by_static "$bridge"
expect_equal "the address that static gave" "$(ours_in "$result")" "${prefix}77"
ip link del br0
say "behind bridge, tuning and firewall, and with static behind bridge"
ptp=$(with '{"type": "ptp", "ipam": {"type": "host-local", "dataDir": "'"$WORK"'/leases",
  "ranges": [[{"subnet": "10.9.0.0/24"}], [{"subnet": "fd00:9::/64"}]]}}')
behind by_host_local "$ptp" "$tuning" "$sbr" "$firewall" "$portmap" "$ingress_bandwidth"
expect_equal "the address that host-local gave" "$(ours_in "$result")" "${prefix}20"
say "with host-local behind ptp, tuning, sbr, firewall, portmap and an ingress bandwidth"

# An egress rate wants the filter whose place causeway's has to have: what is to be done is said, and all of it undone.
chain ADD one "$ptp" "$bandwidth"
if call ADD one causeway "$(with_previous "$base" "$result")"; then
  fail "causeway has come to terms with bandwidth: docs/limits.md says that it does not"
fi
said=$(jq -r '"\(.code): \(.msg); \(.details)"' <<<"$reply")
grep -qF "\"tc filter show dev $(host_end) ingress\"" <<<"$said" || fail "causeway does not say what is in its way: $said"
chain DEL one "$ptp" "$bandwidth" "$base"
expect_equal "leases of ptp's" "$(find "$WORK/leases" -type f ! -name lock ! -name 'last_reserved_ip*')" ""
expect_equal "links that ptp and bandwidth have made" "$(ip -o link | grep -cE ': (veth|bwp)' || true)" 0
say "bandwidth before causeway: $said"

# Two networks on one container, one of them with host-local, and the loopback plugin first, as CRI calls it.
call ADD one loopback "$(with '{"type": "loopback"}')" || fail "loopback: $reply"
second=$(jq -c '. + {"name": "others", "device": "cw1", "ipam": {
  "type": "host-local", "ranges": [[{"subnet": "10.0.1.0/24"}], [{"subnet": "fd00:2::/64"}]]}}' <<<"$base")
expect_cni ADD one "$(netns_of one)" "$base"
expect_cni ADD one "$(netns_of one)" "$second" net1
expect_works one
in_sandbox one sh -c "$(pinging 10.0.1.1 fd00:2::1)"
expect_equal "leases of host-local's" "$(ls_leases | paste -sd' ')" "others/10.0.1.2 others/fd00:2::2"
expect_cni DEL one "$(netns_of one)" "$second" net1
expect_equal "leases of host-local's after DEL" "$(ls_leases)" ""
expect_works one
expect_cni DEL one "$(netns_of one)" "$base"
say "loopback, and two networks on one container"

# An address that a server on the host leases, between loopback and tuning: the reference plugin dhcp with its daemon.
speak 4
/usr/lib/cni/dhcp daemon -socketpath "$WORK/dhcp.sock" -timeout 2s -resendmax 1s >>"$WORK/dhcp.log" 2>&1 &
daemon=$!
dnsmasq --keep-in-foreground --user=root --conf-file=/dev/null --port=0 --pid-file= --interface=cw2 --dhcp-authoritative \
  --dhcp-ignore-clid --no-ping --dhcp-leasefile="$WORK/dnsmasq.leases" --log-facility="$WORK/dnsmasq.log" \
  --dhcp-range=10.0.2.50,10.0.2.59,255.255.255.0,2m &
server=$!
await "the daemon listens" test -S "$WORK/dhcp.sock"
await "the server listens" grep -q "DHCP, IP range" "$WORK/dnsmasq.log"
leased=("$(with '{"type": "loopback"}')" "$(jq -c '. + {"name": "leased", "device": "cw2", "ipam": {
  "type": "dhcp", "daemonSocketPath": "'"$WORK"'/dhcp.sock", "subnet": "10.0.2.0/24"}}' <<<"$base")" "$tuning" "$sbr" "$firewall")
chain ADD one "${leased[@]}"
address=$(jq -r '.ips[].address | select(startswith("10.0.2."))' <<<"$result")
expect_equal "the address in the sandbox" "$(in_sandbox one ip -4 -o addr show eth0 | awk '{print $4}')" "$address"
expect_equal "the MTU that tuning has set" "$(in_sandbox one ip -j link show eth0 | jq '.[0].mtu')" 1400
for other in 10.0.2.1 "$far_address" "$(ours_in "$two")"; do
  in_sandbox one ping -I "${address%/*}" -c 1 -W 2 "$other" >/dev/null
done
chain CHECK one "${leased[@]}"
chain DEL one "${leased[@]}"
await "the lease was given back" grep -q "DHCPRELEASE(cw2) ${address%/*}" "$WORK/dnsmasq.log"
kill "$daemon" "$server"
say "loopback, dhcp, tuning, sbr, firewall: $address was leased and given back"

leave_nothing
