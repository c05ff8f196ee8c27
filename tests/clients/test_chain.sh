#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Chains that causeway begins: the reference plugins behind it.
. "$(dirname "$0")/bed.sh"
. "$here/cni.sh"
. "$here/chain.sh"

chain ADD one "$base" "$tuning" "$firewall"
expect_equal "the MTU that tuning has set" "$(in_sandbox one ip -j link show eth0 | jq '.[0].mtu')" 1400
expect_works one
chain CHECK one "$base" "$tuning" "$firewall"
chain DEL one "$base" "$tuning" "$firewall"
say "tuning, firewall: sysctl, MTU and promiscuity"

# tuning's "mac" alone can't work behind a plugin that stops spoofing; asked for at ADD it does.
with_mac=$(jq -c '. + {"runtimeConfig": {"mac": "02:00:00:00:00:42"}}' <<<"$base")
tuning_mac=$(with '{"type": "tuning", "mac": "02:00:00:00:00:42"}')
chain ADD one "$with_mac" "$tuning_mac"
expect_works one
chain CHECK one "$with_mac" "$tuning_mac"
chain DEL one "$with_mac" "$tuning_mac"
say "tuning: the MAC that was asked for"

for ipam in base by_host_local; do
  chain ADD one "${!ipam}" "$sbr"
  expect_works_by_source one
  chain CHECK one "${!ipam}" "$sbr"
  chain DEL one "${!ipam}" "$sbr"
done
say "sbr: routes in a table of their own"

# portmap's port is the host's stack's, which causeway lets in where the network says "forwarded". The same port as
# causeway's own capability leads to the sandbox all the same, with portmap or without.
mkdir "$WORK/one"
echo "from one" >"$WORK/one/index.html"
in_sandbox one busybox httpd -f -p 80 -h "$WORK/one" &
server=$!
for each in "${versions[@]}"; do echo 1 >"/proc/sys/net/ipv$each/conf/all/forwarding"; done
open=("$(jq -c '. + {"forwarded": true}' <<<"$by_host_local")" "$tuning" "$firewall" "$portmap")
chain ADD one "${open[@]}"
expect_equal "the address that host-local gave" "$(ours_in "$result")" "${prefix}20"
expect_works one
for each in "${versions[@]}"; do
  speak "$each"
  expect_equal "what portmap's port says to the world" "$(port_of_node_says in_world)" "from one"
  expect_equal "what it says to the node itself" "$(port_of_node_says)" "from one"
  expect_equal "what it says to another sandbox" "$(port_of_node_says in_sandbox two)" "from one"
  expect_equal "what it says to its own" "$(port_of_node_says in_sandbox one)" "from one"
done
expect_equal "what it says by 127.0.0.1" "$(curl -sf -m 2 http://127.0.0.1:8080/)" "from one"
chain CHECK one "${open[@]::3}" # portmap 1.1.1 fails its own: it looks for IPv4's rules in IPv6's table, too
chain DEL one "${open[@]}"
chain ADD one "$by_static" "$portmap"
for each in "${versions[@]}"; do
  speak "$each"
  unsolicited=$(unsolicited_packets)
  seconds=0.3 expect_fails "portmap's port leads to the sandbox of a network that lets nothing in" port_of_node_says in_world
  [ "$(unsolicited_packets)" -gt "$unsolicited" ] || fail "what portmap sends to the sandbox did not come as far as causeway"
done
chain DEL one "$by_static" "$portmap"
publishing=$(jq -c ". + {$ports}" <<<"$base")
chain ADD one "$publishing" "$portmap"
for each in "${versions[@]}"; do
  speak "$each"
  expect_equal "what causeway's port says beside portmap" "$(port_of_node_says in_world)" "from one"
done
chain DEL one "$publishing" "$portmap"
kill "$server"
say "portmap: its port answers the world, the node and sandboxes where the network says \"forwarded\"; causeway's own answers beside it"

# It wants filters where causeway's are: a clear refusal, and the runtime's DEL of the chain leaves nothing.
chain ADD one "$base"
if call ADD one bandwidth "$(with_previous "$bandwidth" "$result")"; then
  fail "bandwidth has come to terms with causeway: docs/limits.md says that it does not"
fi
said=$(jq -r .msg <<<"$reply")
chain DEL one "$base" "$bandwidth"

# An ingress rate alone wants a queue at the host end and no filter; without a peer nothing of a sandbox's passes it.
chain ADD one "$base" "$ingress_bandwidth"
large
[ "$(sent_by "$(host_end)")" -lt 1200 ] || fail "what is for a sandbox passes bandwidth's queue: docs/limits.md says that it does not"
chain DEL one "$base" "$ingress_bandwidth"
say "bandwidth refuses: $said"

# causeway has the capability itself, with the same keys, before other plugins.
limited=("$(jq -c '. + {"ingressRate": 8000000, "ingressBurst": 80000, 
  "runtimeConfig": {"bandwidth": {"egressRate": 1, "egressBurst": 1}}}' <<<"$by_static")" "$tuning" "$sbr" "$firewall")
chain ADD one "${limited[@]}"
expect_equal "the address that static gave" "$(ours_in "$result")" "${prefix}77"
expect_works_by_source one
expect_equal "queues in the sandbox: the configuration's word counts" "$(in_sandbox one tc qdisc show dev eth0 | grep -c tbf || true)" 0
chain CHECK one "${limited[@]}"
chain DEL one "${limited[@]}"
say "causeway's own bandwidth, before tuning, sbr and firewall"

leave_nothing
