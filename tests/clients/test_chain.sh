#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Chains with the reference plugins, as a runtime calls them: each gets the result of the one before; CHECK and DEL too.
. "$(dirname "$0")/bed.sh"
. "$here/cni.sh"

base=$(jq -c '{cniVersion, name} + .plugins[0]' "$conflist")
network=$(jq -c '{cniVersion, name}' "$conflist")

# call COMMAND CONTAINER PLUGIN CONFIG: exit status the plugin's, its reply in $reply.
call() {
  local status=0 program=/usr/lib/cni/$3
  [ "$3" != causeway ] || program=$plugin
  reply=$(env -i PATH="$PATH" CNI_COMMAND="$1" CNI_CONTAINERID="$2" CNI_NETNS="$(netns_of "$2")" CNI_IFNAME=eth0 \
    CNI_PATH=/opt/cni/bin:/usr/lib/cni "$program" <<<"$4" 2>>"$WORK/plugins.log") || status=$?
  return "$status"
}

# chain COMMAND CONTAINER CONFIG...: ADD leaves the last result in $result, and CHECK and DEL are given that.
chain() {
  local command=$1 container=$2 config configs=() type
  for config in "${@:3}"; do
    if [ "$command" = DEL ]; then configs=("$config" "${configs[@]}"); else configs+=("$config"); fi
  done
  [ "$command" != ADD ] || result=
  for config in "${configs[@]}"; do
    type=${config#*'"type":"'} type=${type%%'"'*}
    [ -z "$result" ] || config=$(with_previous "$config" "$result")
    call "$command" "$container" "$type" "$config" || fail "$command of $container by $type: $reply"
    [ "$command" != ADD ] || result=$reply
  done
}

with() { jq -c ". + $1" <<<"$network"; } # '{"type": ...}'

expect_works() { # CONTAINER
  local each script=
  for each in "${versions[@]}"; do
    speak "$each"
    script+=$(pinging "$gateway" "$far_address")$'\n'
  done
  in_sandbox "$1" sh -c "$script"
}

# Of the subnet, in the version of IP that is spoken.
ours_in() { jq -r --arg prefix "$prefix" '[.ips[].address | select(startswith($prefix))][0] | split("/")[0]' <<<"$1"; } # RESULT

for name in one two; do make_sandbox $name; done
expect_cni ADD two "$(netns_of two)" "$base" # stays, so that the datapath does
two=$reply

tuning=$(with '{"type": "tuning", "mtu": 1400, "promisc": true,
  "sysctl": {"net.ipv4.conf.eth0.arp_notify": "1", "net.ipv6.conf.eth0.ndisc_notify": "1"}}')
sbr=$(with '{"type": "sbr"}')
firewall=$(with '{"type": "firewall", "backend": "iptables"}')
ports='"runtimeConfig": {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}'
portmap=$(with '{"type": "portmap", "snat": true, '"$ports"'}')
bandwidth=$(with '{"type": "bandwidth", "ingressRate": 8000000, "ingressBurst": 80000, "egressRate": 8000000, "egressBurst": 80000}')
ingress_bandwidth=$(with '{"type": "bandwidth", "ingressRate": 8000000, "ingressBurst": 800000}')

# None of them may be the first in a chain, and they say so themselves.
node_state >"$WORK/two-connected.txt"
for config in "$tuning" "$sbr" "$firewall" "$portmap" "$bandwidth"; do
  type=${config#*'"type":"'} type=${type%%'"'*}
  if call ADD one "$type" "$config"; then fail "$type needs no plugin before it: $reply"; fi
  grep -qiE 'prevResult|chained' <<<"$reply" || fail "$type refuses to be the first for another reason: $reply"
done
expect_state "$WORK/two-connected.txt"
say "tuning, sbr, firewall, portmap and bandwidth refuse to be the first"

chain ADD one "$base" "$tuning"
expect_equal "the MTU that tuning has set" "$(in_sandbox one ip -j link show eth0 | jq '.[0].mtu')" 1400
expect_works one
chain CHECK one "$base" "$tuning"
chain DEL one "$base" "$tuning"
say "tuning: sysctl, MTU and promiscuity"

# tuning's "mac" alone can't work behind a plugin that stops spoofing; asked for at ADD it does.
with_mac=$(jq -c '. + {"runtimeConfig": {"mac": "02:00:00:00:00:42"}}' <<<"$base")
tuning_mac=$(with '{"type": "tuning", "mac": "02:00:00:00:00:42"}')
chain ADD one "$with_mac" "$tuning_mac"
expect_works one
chain CHECK one "$with_mac" "$tuning_mac"
chain DEL one "$with_mac" "$tuning_mac"
say "tuning: the MAC that was asked for"

chain ADD one "$base" "$sbr"
for each in "${versions[@]}"; do
  speak "$each"
  in_sandbox one ping -I "$(ours_in "$result")" -c 1 -W 2 "$far_address" >/dev/null # else it would take no table but main
  expect_equal "the main table's default route" "$(in_sandbox one ip "-$version" route show default)" ""
done
chain CHECK one "$base" "$sbr"
chain DEL one "$base" "$sbr"
say "sbr: routes in a table of their own"

# Behind causeway portmap's rules come and go, and its port leads nowhere: what the host forwards nobody has asked for. The
# same port as causeway's own capability leads to the sandbox, with portmap or without.
mkdir "$WORK/one"
echo "from one" >"$WORK/one/index.html"
in_sandbox one busybox httpd -f -p 80 -h "$WORK/one" &
server=$!
port_of_node_says() { in_world curl -sf -m "$1" "http://$(in_url "$node_address"):8080/"; } # SECONDS
for each in "${versions[@]}"; do echo 1 >"/proc/sys/net/ipv$each/conf/all/forwarding"; done
chain ADD one "$base" "$portmap"
expect_works one
for each in "${versions[@]}"; do
  speak "$each"
  unsolicited=$(unsolicited_packets)
  expect_fails "portmap's port leads to the sandbox: docs/configuration.md says that it does not" port_of_node_says 0.3
  [ "$(unsolicited_packets)" -gt "$unsolicited" ] || fail "what portmap sends to the sandbox did not come as far as causeway"
done
chain CHECK one "$base" # portmap 1.1.1 fails its own: it looks for IPv4's rules in IPv6's table, too
chain DEL one "$base" "$portmap"
publishing=$(jq -c ". + {$ports}" <<<"$base")
chain ADD one "$publishing" "$portmap"
for each in "${versions[@]}"; do
  speak "$each"
  expect_equal "what causeway's port says beside portmap" "$(port_of_node_says 2)" "from one"
done
chain DEL one "$publishing" "$portmap"
kill "$server"
say "portmap: its rules come and go; causeway's port answers"

# It wants filters where causeway's are: a clear refusal, and the runtime's DEL of the chain leaves nothing.
chain ADD one "$base"
if call ADD one bandwidth "$(with_previous "$bandwidth" "$result")"; then
  fail "bandwidth has come to terms with causeway: docs/limits.md says that it does not"
fi
said=$(jq -r .msg <<<"$reply")
chain DEL one "$base" "$bandwidth"

# An ingress rate alone wants a queue at the host end and no filter; without a peer nothing of a sandbox's passes it.
sent_by() { tc -s -j qdisc show dev "$1" root | jq '.[0].bytes'; } # HOST_END
large() { in_sandbox two ping -c 1 -W 2 -s 1200 "$(ours_in "$result")" >/dev/null; }
host_end() { jq -r '[.interfaces[] | select((.sandbox // "") == "" and (.name | test("^(veth|cw.{13}$)")))][0].name' <<<"$result"; }
chain ADD one "$base" "$ingress_bandwidth"
large
[ "$(sent_by "$(host_end)")" -lt 1200 ] || fail "what is for a sandbox passes bandwidth's queue: docs/limits.md says that it does not"
chain DEL one "$base" "$ingress_bandwidth"
say "bandwidth refuses: $said"

# causeway has the capability itself, with the same keys, before other plugins.
limited=$(jq -c '. + {"ingressRate": 8000000, "ingressBurst": 80000, "runtimeConfig": {"bandwidth": {"egressRate": 1, "egressBurst": 1}}}' <<<"$base")
chain ADD one "$limited" "$tuning" "$firewall"
expect_works one
expect_equal "queues in the sandbox: the configuration's word counts" "$(in_sandbox one tc qdisc show dev eth0 | grep -c tbf || true)" 0
chain CHECK one "$limited" "$tuning" "$firewall"
chain DEL one "$limited" "$tuning" "$firewall"
say "causeway's own bandwidth, before tuning and firewall"

# Behind a plugin that makes the interface: its host end is attached, and stays until that plugin's own DEL. Each of the
# two leaves the sandbox's addresses and default route to causeway.
behind() { # WHAT FIRST_CONFIG
  chain ADD one "$2" "$base"
  local host_end
  host_end=$(host_end)
  expect_equal "the interfaces in the sandbox" "$(in_sandbox one ip -o link | awk -F'[:@ ]+' '{print $2}' | paste -sd' ')" "lo eth0"
  expect_equal "the programs on the host end of $1" \
    "$(tc filter show dev "$host_end" ingress | grep -o 'from_sandbox' | sort -u)" from_sandbox
  expect_works one
  in_sandbox two sh -c "$(for each in "${versions[@]}"; do speak "$each"; pinging "$(ours_in "$result")"; done)"
  chain CHECK one "$base"
  expect_cni DEL one "$(netns_of one)" "$(with_previous "$base" "$result")"
  ip link show "$host_end" >/dev/null
  chain DEL one "$2" "$base"
  expect_fails "the host end of $1 is left" ip link show "$host_end"
  say "behind $1: its veth pair is attached"
}
behind bridge "$(with '{"type": "bridge", "bridge": "br0"}')"
ip link del br0
ptp=$(with '{"type": "ptp", "ipam": {"type": "host-local", "dataDir": "'"$WORK"'/leases",
  "ranges": [[{"subnet": "10.9.0.0/24"}], [{"subnet": "fd00:9::/64"}]]}}')
behind ptp "$ptp"

# All the others on what ptp has made, causeway last: their settings stay, and what is for the sandbox passes the queue.
first=("$ptp" "$tuning" "$sbr" "$firewall" "$portmap" "$ingress_bandwidth")
chain ADD one "${first[@]}" "$base"
expect_works one
sent=$(sent_by "$(host_end)")
large
[ "$(sent_by "$(host_end)")" -gt $((sent + 1200)) ] || fail "what is for a sandbox does not pass the queue that was there before causeway"
chain CHECK one "$base"
expect_equal "the MTU that tuning has set" "$(in_sandbox one ip -j link show eth0 | jq '.[0].mtu')" 1400
chain DEL one "${first[@]}" "$base"
say "tuning, sbr, firewall, portmap and an ingress bandwidth before causeway"

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

# Two networks on one container, and the loopback plugin first, as CRI calls it.
call ADD one loopback "$(with '{"type": "loopback"}')" || fail "loopback: $reply"
second=$(jq -c '. + {"name": "others", "device": "cw1", "ipam": {
  "ranges": [[{"subnet": "10.0.1.0/24"}], [{"subnet": "fd00:2::/64"}]]}}' <<<"$base")
expect_cni ADD one "$(netns_of one)" "$base"
expect_cni ADD one "$(netns_of one)" "$second" net1
expect_works one
in_sandbox one sh -c "$(pinging 10.0.1.1 fd00:2::1)"
expect_cni DEL one "$(netns_of one)" "$second" net1
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
  "type": "dhcp", "daemonSocketPath": "'"$WORK"'/dhcp.sock", "subnet": "10.0.2.0/24"}}' <<<"$base")" "$tuning")
chain ADD one "${leased[@]}"
address=$(jq -r '.ips[].address | select(startswith("10.0.2."))' <<<"$result")
expect_equal "the address in the sandbox" "$(in_sandbox one ip -4 -o addr show eth0 | awk '{print $4}')" "$address"
expect_equal "the MTU that tuning has set" "$(in_sandbox one ip -j link show eth0 | jq '.[0].mtu')" 1400
in_sandbox one sh -c "$(pinging 10.0.2.1 "$far_address" "$(ours_in "$two")")"
chain CHECK one "${leased[@]}"
chain DEL one "${leased[@]}"
await "the lease was given back" grep -q "DHCPRELEASE(cw2) ${address%/*}" "$WORK/dnsmasq.log"
kill "$daemon" "$server"
say "loopback, dhcp, tuning: $address was leased and given back"

expect_cni DEL two "$(netns_of two)" "$(with_previous "$base" "$two")"
for name in one two; do ip netns del $name; done
iptables_left() { { iptables-save; ip6tables-save; } 2>/dev/null | grep -c -e "$subnet_pattern" || true; }
expect_equal "rules about sandboxes" "$(iptables_left)" 0
[ ! -e /sys/fs/bpf/causeway ] || fail "/sys/fs/bpf/causeway is left"
if ip link show cw0 >/dev/null 2>&1; then fail "cw0 is left"; fi
say "nothing of causeway's left"
