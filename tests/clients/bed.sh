# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# The bed that each client test lies in: a node, an outside, and what must be true of both. Sourced in a jail as
#
#   . bed.sh PLUGIN CAUSEWAYCTL CONFLIST FAMILY
#
#   node   the jail's own network namespace   203.0.113.1/24, 2001:db8:71::1/64 on uplink0, default routes to the world
#   world  /run/netns/world                   203.0.113.2/24, 2001:db8:71::2/64 on downlink0,
#                                             198.51.100.1/32, 2001:db8:64::1/128 on lo
#
# FAMILY is what the sandboxes get: ipv4, ipv6 or dual. The world has routes back to them: a packet that left
# untranslated would be answered, counted and seen.
set -Eeuo pipefail

plugin=$1 causewayctl=$2 conflist=$3 family=$4
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

case $family in
ipv4) versions=(4) ;;
ipv6) versions=(6) ;;
dual) versions=(4 6) ;;
*) echo "FAILED: \"$family\" is none of ipv4, ipv6, dual" >&2; exit 1 ;;
esac

# Addresses of the bed in one version of IP: far_address is behind the world's link and needs the node's default route.
speak() { # 4|6
  version=$1
  if [ "$version" = 4 ]; then
    node_address=203.0.113.1 loopback_address=127.0.0.1 world_address=203.0.113.2 far_address=198.51.100.1 far_host=$far_address
    subnet=10.0.0.0/24 gateway=10.0.0.1 prefix=10.0.0. length=24 everywhere=0.0.0.0/0
  else
    node_address=2001:db8:71::1 loopback_address=::1 world_address=2001:db8:71::2 far_address=2001:db8:64::1 far_host="[$far_address]"
    subnet=fd00:1::/64 gateway=fd00:1::1 prefix=fd00:1:: length=64 everywhere=::/0
  fi
  subnet_pattern=${prefix//./\\.}
}
speak "${versions[0]}"

in_url() { # ADDRESS
  case $1 in *:*) echo "[$1]" ;; *) echo "$1" ;; esac
}

image=localhost/causeway/busybox:1

# ---- saying what happens ----

now_ms() { echo $((${EPOCHREALTIME//[.,]/} / 1000)); }
started=$(now_ms)
say() { printf '%6d ms  %s\n' $(($(now_ms) - started)) "$*"; }

fail() {
  trap - ERR
  echo "FAILED: $*" >&2
  [ "$BASH_SUBSHELL" = 0 ] || exit 1
  {
    echo "-- node:"
    node_state
    if [ -x "$causewayctl" ]; then
      echo "-- causewayctl endpoints, stats:"
      timeout 5 "$causewayctl" endpoints 2>&1 || true
      timeout 5 "$causewayctl" stats 2>&1 || true
    fi
    local log
    for log in "$WORK"/*.log; do
      [ ! -s "$log" ] || { echo "-- the end of $log:"; tail -n 15 "$log"; }
    done
  } >&2
  exit 1
}
trap 'fail "${BASH_SOURCE[0]##*/}:$LINENO: $BASH_COMMAND"' ERR

expect_equal() { # WHAT GOT WANTED
  [ "$2" = "$3" ] || fail "$1 is '$2', not '$3'"
}

expect_fails() { # WHAT COMMAND...
  local what=$1
  shift
  if "$@" >/dev/null 2>&1; then fail "$what: '$*' succeeded"; fi
}

# Until COMMAND succeeds, ten seconds at most.
await() { # WHAT COMMAND...
  local what=$1 deadline=$((SECONDS + 10))
  shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $deadline ] || fail "$what: not within 10 s: $*"
    sleep 0.02
  done
}

# ---- node and world ----

in_world() { nsenter --net=/run/netns/world -- "$@"; }

make_network() {
  ip netns add world
  local each flags='' node world
  node="link add uplink0 type veth peer name downlink0 netns world"$'\n'"link set uplink0 up"
  world="link set lo up"$'\n'"link set downlink0 up"
  for each in 4 6; do
    speak $each
    [ $each = 4 ] || flags=nodad
    node+="
      addr add $node_address/$length dev uplink0 $flags
      route add default via $world_address"
    world+="
      addr add $world_address/$length dev downlink0 $flags
      addr add $far_address dev lo
      route add $subnet via $node_address"
  done
  ip -batch - <<<"$node"
  ip -n world -batch - <<<"$world"
  in_world nft -f - <<'RULES'
table inet watch {
  chain arriving {
    type filter hook prerouting priority raw
    iifname "downlink0" ip saddr 10.0.0.0/8 counter name untranslated
    iifname "downlink0" ip6 saddr fd00::/8 counter name untranslated
  }
  counter untranslated { }
}
RULES
  speak "${versions[0]}"
}

# Packets that reached the world with a sandbox's address as their source.
untranslated_packets() {
  in_world nft -j list counter inet watch untranslated | jq '[.nftables[].counter?.packets // empty] | add'
}

# What the node's port 8080 answers, asked by COMMAND... as in_world; by the node itself without.
port_of_node_says() { "$@" curl -sf -m "${seconds:-2}" "http://$(in_url "$node_address"):8080/"; }

# A server of UDP and SCTP in a namespace; kill $! ends it.
start_datagram_server() { # NETNS NAME PROTOCOL:PORT...
  : >"$WORK/ready"
  nsenter --net="$1" -- python3 -IS "$here/datagram.py" answer "${@:2}" >>"$WORK/ready" 2>>"$WORK/datagram.log" &
  await "the server of UDP and SCTP is ready" test -s "$WORK/ready"
}

# What it answers where the world asks such ports of the node, a line each.
datagrams_of_node_say() { # PROTOCOL:PORT...
  in_world python3 -IS "$here/datagram.py" ask "$node_address" "$@" 2>>"$WORK/datagram.log"
}

# Packets that somebody sent to a sandbox without having been asked, and that causeway dropped.
unsolicited_packets() { "$causewayctl" stats -i 0 -o json | jq '.[] | select(.verdict == "drop-unsolicited").packets'; }

# The repository's configuration, with ranges of the family.
write_conflist() {
  local each ranges=() routes=()
  for each in "${versions[@]}"; do
    speak "$each"
    ranges+=("[{\"subnet\": \"$subnet\"}]")
    routes+=("{\"dst\": \"$everywhere\"}")
  done
  speak "${versions[0]}"
  local own
  own=$WORK/$(basename "$conflist")
  jq --argjson ranges "[$(IFS=,; echo "${ranges[*]}")]" --argjson routes "[$(IFS=,; echo "${routes[*]}")]" \
    '.plugins[0].ipam += {ranges: $ranges, routes: $routes}' "$conflist" >"$own"
  conflist=$own
}

install_plugin() {
  mkdir -p /opt/cni/bin /etc/cni/net.d
  rm -rf /opt/cni/bin/* /etc/cni/net.d/*
  cp "$plugin" /opt/cni/bin/
  cp "$conflist" /etc/cni/net.d/
}

# Its command is what a pod's first container is to do: nothing, for ever.
make_image() { # FILE
  python3 -IS "$here/image.py" "$1" "$image" sleep 1000000
}

# What a container's shell is to do: of each address it wants an answer, and it names the one that has none.
pinging() { # ADDRESS...
  local address
  for address; do
    echo "ping -c 1 -W 2 $address >/dev/null || { echo 'no answer from $address' >&2; exit 1; }"
  done
}

# ---- the server outside ----

blob_bytes=10000000

# 10 MB that no link can compress or guess, and their checksum in $blob_sum.
start_server() {
  mkdir -p "$WORK/www"
  head -c "$blob_bytes" /dev/urandom >"$WORK/www/blob"
  blob_sum=$(sha256sum <"$WORK/www/blob")
  echo hello >"$WORK/www/hello"
  in_world busybox httpd -f -vv -p 80 -h "$WORK/www" 2>>"$WORK/server.log" &
  await "the server outside answers" in_world curl -sf "http://$far_host/hello"
  : >"$WORK/server.log"
}

# Which clients did the server see? It logs "[ADDRESS]:PORT: what".
server_saw() { sed -n 's/^\[\(::ffff:\)\?\(.*\)\]:[0-9]*: url:.*/\2/p' "$WORK/server.log" | sort -u | paste -sd' '; }

# ---- what must not be left, and what must never be ----

# What host-local has given out; its lock and its cursor stay for ever.
ls_leases() {
  [ ! -d /var/lib/cni/networks ] ||
    find /var/lib/cni/networks -type f ! -name lock ! -name 'last_reserved_ip*' -printf '%P\n' | sort
}

# Everything of the node that a plugin may change but the packet filter, in an order of its own; without what each device
# that has IPv6 gets by itself.
node_state_but_rules() {
  {
    ip -o link
    ip -4 -o -batch - <<<$'addr\nroute show table all\nrule'
    ip -6 -o -batch - <<<$'addr show scope global\nroute show table all\nrule' |
      grep -vE 'fe80:|^multicast|^anycast|ff00::/8'
    tc qdisc show
    python3 -IS "$here/attached.py"
    find /sys/fs/bpf /run/netns -mindepth 1
    ls_leases
  } | sort
}

node_state() {
  node_state_but_rules
  nft list ruleset 2>/dev/null
  cat /proc/net/ip{,6}_tables_names 2>/dev/null || true
}

# From here on: what is there now must be there at the end, and no rule of nftables or iptables may ever come.
watch_node() {
  nft monitor >"$WORK/rules.txt" 2>&1 &
  local attempt
  for attempt in $(seq 100); do
    nft add table ip probe
    nft delete table ip probe
    [ ! -s "$WORK/rules.txt" ] || break
    sleep 0.02
  done
  [ -s "$WORK/rules.txt" ] || fail "nft monitor sees nothing"
  node_state >"$WORK/before.txt"
}

# As node_state, or what else, was when it was written to FILE.
expect_state() { # FILE [STATE]
  local changes
  changes=$("${2:-node_state}" | diff "$1" - || true)
  [ -z "$changes" ] || fail "the node is not as in ${1##*/} (< then, > now):"$'\n'"$changes"
}

state_is() { "${2:-node_state}" | cmp -s - "$1"; } # FILE [STATE]

# A client may end its DEL a moment after it has answered, so this waits.
expect_state_soon() { # FILE [STATE]
  local deadline=$((SECONDS + 5))
  until state_is "$@"; do
    [ $SECONDS -lt $deadline ] || expect_state "$@"
    sleep 0.02
  done
}

expect_nothing_left() {
  expect_state_soon "$WORK/before.txt"
  [ ! -e /sys/fs/bpf/causeway ] || fail "/sys/fs/bpf/causeway is left"
  if ip link show cw0 >/dev/null 2>&1; then fail "cw0 is left"; fi
  local each
  for each in "${versions[@]}"; do
    speak "$each"
    expect_equal "the route to the sandboxes" "$(ip "-$version" route show "$subnet")" ""
  done
  expect_no_rules_ever
  expect_equal "the number of untranslated packets in the world" "$(untranslated_packets)" 0
}

expect_no_rules_ever() {
  local seen
  seen=$(grep -v -e 'table ip probe' -e '^# new generation' "$WORK/rules.txt" || true)
  expect_equal "what nft monitor saw" "$seen" ""
  expect_equal "the packet filter" "$(nft list ruleset 2>/dev/null)" ""
}

make_network
write_conflist
