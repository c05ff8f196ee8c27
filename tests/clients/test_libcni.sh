#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The library that the runtimes use: ADD, CHECK of what is whole and of what is broken, DEL in every order; and what a
# later version of it does besides, STATUS and GC.
. "$(dirname "$0")/bed.sh"
. "$here/cni.sh"

install_plugin
list=/etc/cni/net.d/$(basename "$conflist")
driver=$WORK/libcni_driver
# One thread, and no garbage collected: a third less of a CPU, for compilers that live for a moment.
(cd "$here" && GO111MODULE=off GOFLAGS='' GOPATH=/usr/share/gocode GOCACHE=$WORK/go-cache GOGC=off GOMAXPROCS=1 \
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
say "DEL twice, without its namespace, and of what was never added"

# Debian's libcni 1.1.2 knows neither STATUS nor GC. So this is by hand what libcni 1.3 does, from its source: of the same
# list it takes the latest version, it sets the variables of a container but leaves them empty, and before it calls GC it
# calls DEL for what is in its cache and not in the runtime's list.
latest=$(jq -c '{cniVersion: .cniVersions[-1], name} + .plugins[0]' "$list")
call_13() { # STATUS|GC CONFIG
  reply=$(env CNI_COMMAND="$1" CNI_CONTAINERID= CNI_NETNS= CNI_ARGS= CNI_IFNAME= CNI_PATH=/opt/cni/bin "$plugin" <<<"$2")
}
valid() { # CONTAINER...
  jq -c '. + ($ARGS.positional | map({containerID: ., ifname: "eth0"}) | {"cni.dev/valid-attachments": ., "cni.dev/attachments": .})' \
    --args "$@" <<<"$latest"
}
call_13 STATUS "$latest" || fail "STATUS before the first ADD: $reply"
declare -A result
for name in one two three; do
  [ $name = one ] || make_sandbox $name
  expect_cni ADD $name "$(netns_of $name)" "$latest"
  result[$name]=$reply
done
two=$(jq -r '.ips[0].address | split("/")[0]' <<<"${result[two]}")
expect_cni DEL one "$(netns_of one)" "$(with_previous "$latest" "${result[one]}")"
call_13 GC "$(valid two three)" || fail "GC of two valid attachments: $reply"
in_sandbox three ping -c 1 -W 2 "$two" >/dev/null
say "GC leaves what is valid"

# three is in no cache: its runtime has lost it. GC alone removes it, though its namespace is there.
call_13 GC "$(valid two)" || fail "GC of one valid attachment: $reply"
expect_equal "the interfaces in three" "$(in_sandbox three ip -o link | awk -F'[:@ ]+' '{print $2}' | paste -sd' ')" lo
in_sandbox two ping -c 1 -W 2 "$far_address" >/dev/null
expect_cni CHECK two "$(netns_of two)" "$(with_previous "$latest" "${result[two]}")"
full=$(jq -c --arg only "$two" '.ipam.ranges = [[.ipam.ranges[0][0] + {rangeStart: $only, rangeEnd: $only}]]' <<<"$latest")
if call_13 STATUS "$full"; then fail "STATUS of a range with no address left succeeded"; fi
expect_equal "the code of STATUS where no address is left" "$(jq .code <<<"$reply")" 50
say "GC removes what is not; STATUS of a full range says: $(jq -r .msg <<<"$reply")"

# "cnitool gc" has no list at all: two goes by DEL, three by GC.
expect_cni ADD three "$(netns_of three)" "$latest"
expect_cni DEL two "$(netns_of two)" "$(with_previous "$latest" "${result[two]}")"
call_13 GC "$latest" || fail "GC without a list: $reply"
for name in one two three; do ip netns del $name; done
expect_nothing_left
say "nothing left"
