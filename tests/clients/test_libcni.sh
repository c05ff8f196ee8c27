#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The library that the runtimes use: ADD, CHECK of what is whole and of what is broken, DEL in every order.
. "$(dirname "$0")/bed.sh"
. "$here/cni.sh"

install_plugin
list=/etc/cni/net.d/$(basename "$conflist")
driver=$WORK/libcni_driver
(cd "$here" && GO111MODULE=off GOFLAGS='' GOPATH=/usr/share/gocode GOCACHE=$WORK/go-cache \
  go build -o "$driver" libcni_driver.go)
say "the driver is built"

libcni() { CNI_PATH=/opt/cni/bin "$driver" "$1" "$list" "$2" "$3" 2>"$WORK/libcni.log"; } # VERB CONTAINER NETNS

cached_results() { find /var/lib/cni/results -type f 2>/dev/null | wc -l; }

watch_node
for name in one two; do
  make_sandbox $name
  libcni add $name "$(netns_of $name)" >"$WORK/$name.json"
done
one=$(jq -r '.ips[0].address | split("/")[0]' "$WORK/one.json")
two=$(jq -r '.ips[0].address | split("/")[0]' "$WORK/two.json")
say "one is $one, two is $two"
[ "$one" != "$two" ] || fail "both have the address $one"
in_sandbox one ping -c 1 -W 2 "$two" >/dev/null
in_sandbox two ping -c 1 -W 2 "$far_address" >/dev/null
for name in one two; do libcni check $name "$(netns_of $name)"; done

node_state >"$WORK/connected.txt"
expect_fails "ADD of what was added" libcni add one "$(netns_of one)"
said=$(cat "$WORK/libcni.log")
expect_state "$WORK/connected.txt"
in_sandbox one ping -c 1 -W 2 "$two" >/dev/null
libcni check one "$(netns_of one)"
say "a second ADD was refused and changed nothing: $said"

# What CHECK is for: each of these would be found by nobody else.
ip -n one addr del "$one/$length" dev eth0
expect_fails "CHECK of a sandbox without its address" libcni check one "$(netns_of one)"
ip -n two link set eth0 down
expect_fails "CHECK of a sandbox whose link is down" libcni check two "$(netns_of two)"
say "CHECK of what is broken says: $(cat "$WORK/libcni.log")"

libcni del one "$(netns_of one)"
libcni del one "$(netns_of one)"
ip netns del two
libcni del two "$(netns_of two)"
libcni del never-added ""
expect_equal "the number of results in libcni's cache" "$(cached_results)" 0
ip netns del one
expect_nothing_left
say "DEL twice, without its namespace, and of what was never added; nothing left"
