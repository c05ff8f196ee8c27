# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# Chains with the reference plugins, as a runtime calls them: each gets the result of the one before; CHECK and DEL too.
# Sourced after bed.sh and cni.sh. There are the sandboxes one, and two, which is connected.

base=$(jq -c '{cniVersion, name} + .plugins[0]' "$conflist")
network=$(jq -c '{cniVersion, name}' "$conflist")
# The same network, where one gets its addresses from the reference plugins host-local and static; they have no other.
routes=$(jq -c .ipam.routes <<<"$base")
by_host_local=$(config_with_ipam '{"type": "host-local", "routes": '"$routes"', "ranges": [
  [{"subnet": "10.0.0.0/24", "rangeStart": "10.0.0.20", "rangeEnd": "10.0.0.20"}],
  [{"subnet": "fd00:1::/64", "rangeStart": "fd00:1::20", "rangeEnd": "fd00:1::20"}]]}')
by_static=$(config_with_ipam '{"type": "static", "routes": '"$routes"', "addresses": [
  {"address": "10.0.0.77/24", "gateway": "10.0.0.1"}, {"address": "fd00:1::77/64", "gateway": "fd00:1::1"}]}')

# call COMMAND CONTAINER PLUGIN CONFIG: exit status the plugin's, its reply in $reply.
call() {
  local status=0 program=/usr/lib/cni/$3
  [ "$3" != causeway ] || program=$plugin
  reply=$(exec env -i PATH="$PATH" CNI_COMMAND="$1" CNI_CONTAINERID="$2" CNI_NETNS="/run/netns/$2" CNI_IFNAME=eth0 \
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

# The same behind sbr, for what is sent under an address: all else would take no table but main.
expect_works_by_source() { # CONTAINER
  local each
  for each in "${versions[@]}"; do
    speak "$each"
    in_sandbox "$1" ping -I "$(ours_in "$result")" -c 1 -W 2 "$far_address" >/dev/null
    expect_equal "the main table's default route" "$(in_sandbox "$1" ip "-$version" route show default)" ""
  done
}

# Of the subnet, in the version of IP that is spoken.
ours_in() { jq -r --arg prefix "$prefix" '[.ips[].address | select(startswith($prefix))][0] | split("/")[0]' <<<"$1"; } # RESULT

# What passes the queue of a host end, and a packet that is larger than all else on it.
sent_by() { tc -s -j qdisc show dev "$1" root | jq '.[0].bytes'; } # HOST_END
large() { in_sandbox two ping -c 1 -W 2 -s 1200 "$(ours_in "$result")" >/dev/null; }
host_end() { jq -r '[.interfaces[] | select((.sandbox // "") == "" and (.name | test("^(veth|cw.{13}$)")))][0].name' <<<"$result"; }

tuning=$(with '{"type": "tuning", "mtu": 1400, "promisc": true,
  "sysctl": {"net.ipv4.conf.eth0.arp_notify": "1", "net.ipv6.conf.eth0.ndisc_notify": "1"}}')
sbr=$(with '{"type": "sbr"}')
firewall=$(with '{"type": "firewall", "backend": "iptables"}')
ports='"runtimeConfig": {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}'
portmap=$(with '{"type": "portmap", "snat": true, '"$ports"'}')
bandwidth=$(with '{"type": "bandwidth", "ingressRate": 8000000, "ingressBurst": 80000, "egressRate": 8000000, "egressBurst": 80000}')
ingress_bandwidth=$(with '{"type": "bandwidth", "ingressRate": 8000000, "ingressBurst": 800000}')

# Of the packet filter's rules, portmap and firewall keep those that are of no sandbox.
leave_nothing() {
  expect_cni DEL two "$(netns_of two)" "$(with_previous "$base" "$two")"
  expect_equal "the interfaces in one and two" "$({ in_sandbox one ip -o link; in_sandbox two ip -o link; } | awk '{print $2}' | xargs)" "lo: lo:"
  ip netns del one
  ip netns del two
  expect_state_soon "$WORK/before.txt" node_state_but_rules
  local rules
  rules=$({ iptables-save; ip6tables-save; } 2>/dev/null)
  grep -q -- '-A FORWARD .*-j CNI-FORWARD' <<<"$rules" || fail "iptables-save does not show what firewall keeps: $rules"
  expect_equal "the rules of sandboxes" "$(grep -E '^:CNI-[DS]N-|^-A' <<<"$rules" |
    grep -vE -- '-j CNI-(FORWARD|ADMIN|HOSTPORT-DNAT|HOSTPORT-MASQ)$|^-A CNI-HOSTPORT-(SETMARK|MASQ) ' || true)" ""
  [ ! -e /sys/fs/bpf/causeway ] || fail "/sys/fs/bpf/causeway is left"
  if ip link show cw0 >/dev/null 2>&1; then fail "cw0 is left"; fi
  say "nothing left"
}

node_state_but_rules >"$WORK/before.txt"
for name in one two; do make_sandbox $name; done
expect_cni ADD two "$(netns_of two)" "$base" # stays, so that the datapath does
two=$reply
